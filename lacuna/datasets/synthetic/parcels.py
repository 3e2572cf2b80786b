"""A synthetic parcellation: 84 cortical parcels in seven networks, and 16 subcortical ones."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.spatial import cKDTree

from lacuna.datasets.synthetic.anatomy import world_coordinates
from lacuna.datasets.synthetic.landmarks import Point, table
from lacuna.images.spaces import Grid

_GRAY = 0.4  # minimum share of grey matter in a cortical voxel

_VERMIS = 9.0  # half of its width, mm


@dataclass(frozen=True)
class Parcel:
    """A row of the label table; `network` is 'Subcortical' below the cortex, `hemisphere` L, R or B (both)."""

    index: int
    name: str
    network: str
    hemisphere: str


@dataclass(frozen=True)
class Parcellation:
    """A label image with its table.

    Attributes
    ----------
    labels : numpy.ndarray
        uint16, 0 outside the parcels.
    parcels : tuple of Parcel
        Ordered by index: 1, 2, 3, ...
    """

    labels: np.ndarray
    parcels: tuple[Parcel, ...]

    @property
    def cortex(self) -> np.ndarray:
        """Boolean image of the cortical parcels."""
        first_deep = min(parcel.index for parcel in self.parcels if parcel.network == 'Subcortical')
        return (self.labels > 0) & (self.labels < first_deep)


def simulate_parcels(grid: Grid, brain: np.ndarray, gray: np.ndarray) -> Parcellation:
    """Divide the brain's grey matter into parcels.

    Parameters
    ----------
    grid : Grid
        Grid in an MNI152 space.
    brain : numpy.ndarray
        Boolean brain mask.
    gray : numpy.ndarray
        Share of grey matter, 0 to 1.

    Returns
    -------
    Parcellation
        Left cortex, right cortex, then subcortical structures.
    """
    voxels = np.argwhere(brain)
    points = world_coordinates(grid, voxels)
    deep, deep_table = _deep_labels(points)
    ribbon = _is_ribbon(points, gray[tuple(voxels.T)], deep > 0)
    cortex = table()['cortex']
    names = [
        (network, f'{network}_{i}') for network, seeds in cortex.items() for i in range(1, len(seeds) + 1)
    ]
    seeds = np.array([seed for group in cortex.values() for seed in group], float)

    labels = np.where(deep > 0, deep + 2 * len(names), 0).astype(np.uint16)
    parcels: list[Parcel] = []
    for side, letter in ((-1, 'L'), (1, 'R')):
        here = np.flatnonzero(ribbon & (points[:, 0] * side > 0))
        labels[here] = len(parcels) + 1 + _nearest_seed(points[here], seeds * (-side, 1, 1))
        parcels += [Parcel(len(parcels) + i, f'{letter}H_{name}', network, letter)
                    for i, (network, name) in enumerate(names, 1)]  # fmt: skip
    parcels += [Parcel(len(parcels) + i, name, 'Subcortical', letter)
                for i, (name, letter) in enumerate(deep_table, 1)]  # fmt: skip
    image = np.zeros(grid.shape, np.uint16)
    image[tuple(voxels.T)] = labels
    return Parcellation(image, tuple(parcels))


def _nearest_seed(points: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Return the index of the nearest seed of each point, after two steps of Lloyd's algorithm, which evens out sizes."""
    for _ in range(2):
        cell = cKDTree(seeds).query(points)[1]
        seeds = np.stack([points[cell == i].mean(axis=0) for i in range(len(seeds))])
    return cKDTree(seeds).query(points)[1]


def _is_ribbon(points: np.ndarray, gray: np.ndarray, deep: np.ndarray) -> np.ndarray:
    """Return the cortical grey matter, without deep structures, cerebellum and lining of the ventricles."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    central = (x < 31) & (y > -42) & (y < 21) & (z > -13) & (z < 25)
    stem_region = (x < 20) & (y < -2) & (y > -44) & (z < -2)
    return (gray > _GRAY) & ~deep & ~central & ~stem_region & ~_below_tentorium(points) & (x > 0.5)


def _below_tentorium(points: np.ndarray) -> np.ndarray:
    """Return whether each point is in the posterior fossa."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    roof = -6 - 0.36 * x - 0.25 * np.maximum(0, -62 - y)
    return (y < -36) & (z < roof)


def _deep_labels(points: np.ndarray) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """Return the subcortical label of each point (0: none), and the names with their hemispheres."""
    labels = np.zeros(len(points), int)
    names: list[tuple[str, str]] = []
    for side, letter in ((-1, 'L'), (1, 'R')):
        for name, balls in table()['deep'].items():
            names.append((f'{letter}H_{name}', letter))
            mirrored = [((-side * x, y, z), radius) for (x, y, z), radius in balls]
            inside = _in_chain(points, mirrored) & (points[:, 0] * side > 1)
            labels[inside & (labels == 0)] = len(names)
    names.append(('Brainstem', 'B'))
    stem = _in_chain(points, table()['brainstem']) & (points[:, 1] > -47) & (labels == 0)
    labels[stem] = len(names)
    fossa = _below_tentorium(points) & (labels == 0)
    vermis = np.abs(points[:, 0]) < _VERMIS
    for name, letter, where in (
        ('LH_Cerebellum', 'L', fossa & (points[:, 0] < 0) & ~vermis),
        ('RH_Cerebellum', 'R', fossa & (points[:, 0] > 0) & ~vermis),
        ('Vermis', 'B', fossa & vermis),
    ):
        names.append((name, letter))
        labels[where] = len(names)
    return labels, names


def _in_chain(points: np.ndarray, balls: list[tuple[Point, float]]) -> np.ndarray:
    """Return whether each point is in a tube whose axis and radius run from ball to ball."""
    inside = np.zeros(len(points), bool)
    for (start, r0), (stop, r1) in pairwise(balls):
        a, axis = np.array(start, float), np.subtract(stop, start)
        along = np.clip((points - a) @ axis / (axis @ axis), 0, 1)
        distance = np.linalg.norm(points - a - along[:, None] * axis, axis=1)
        inside |= distance < r0 + (r1 - r0) * along
    return inside
