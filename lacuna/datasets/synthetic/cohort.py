"""A synthetic cohort: random lesions, and a score that depends on one bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from nibabel.affines import apply_affine

from lacuna.datasets.synthetic.lesions import Ellipsoid, Lesion
from lacuna.images.spaces import Grid

#: bundle whose disconnection lowers the score
PLANTED = 'CorticospinalTract_L'
#: share of lesions around a typical place (mm from the midline, y, z), with standard deviations
_USUAL, _CENTRE, _SPREAD = 0.8, (25.0, -16.0, 20.0), (6.0, 16.0, 14.0)
_ANYWHERE = (22.0, 38.0, 22.0)


class Participant(NamedTuple):
    """Values of a participant; `motor` depends on age and on the bundle `PLANTED`, `mood` on nothing."""

    age: int
    motor: float
    mood: float


def random_lesion(rng: np.random.Generator) -> Lesion:
    """Draw the specification of a random lesion: on either side, most often near the middle cerebral artery.

    Parameters
    ----------
    rng : numpy.random.Generator
    """
    side = float(rng.choice([-1, 1]))
    spread = _SPREAD if rng.random() < _USUAL else _ANYWHERE
    depth, y, z = rng.normal(_CENTRE, spread)
    centre = np.array([side * np.clip(abs(depth), 8, 52), np.clip(y, -80, 50), np.clip(z, -25, 48)])
    size = float(np.exp(rng.normal(np.log(9.0), 0.45)))
    parts = []
    for _ in range(int(rng.integers(1, 4))):
        place = centre + rng.normal(scale=0.6 * size, size=3)
        place[0] = side * max(abs(place[0]), 6.0)
        radii = np.clip(size * rng.uniform(0.7, 1.3, 3), 3.0, 24.0)
        parts.append(Ellipsoid(_point(place), _point(radii), float(rng.uniform(-30, 30))))
    return Lesion('left' if side < 0 else 'right', '', tuple(parts), 0.3, 3.5)


def _point(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = np.round(values, 1).tolist()
    return x, y, z


def cut_share(streamlines: Sequence[np.ndarray], mask: np.ndarray, grid: Grid) -> float:
    """Return the share of streamlines with a vertex in a mask.

    Parameters
    ----------
    streamlines : sequence of numpy.ndarray
        Each (vertices, 3), world mm.
    mask : numpy.ndarray
        Boolean mask on `grid`.
    grid : Grid
    """
    lengths = [len(points) for points in streamlines]
    at = np.rint(apply_affine(np.linalg.inv(grid.affine), np.concatenate(streamlines))).astype(int)
    hit = mask[tuple(at.T)] > 0
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return float((np.add.reduceat(hit, starts) > 0).mean())


def simulate_participant(rng: np.random.Generator, cut: float) -> Participant:
    """Draw age and scores of a participant who has lost the share `cut` of the bundle `PLANTED`."""
    age = int(np.clip(rng.normal(66, 11), 28, 94))
    motor = 80 - 40 * cut - 0.3 * (age - 66) + rng.normal(scale=6)
    return Participant(age, round(float(np.clip(motor, 0, 100)), 1), round(float(rng.normal(50, 10)), 1))
