"""Null lesions: the lesion itself at other places of the brain, as many as are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.errors import InputError
from lacuna.images.brain import brain
from lacuna.images.placements import Body, Places, draw, turns
from lacuna.significance import FEWEST_PLACES
from lacuna.streamlines.index.moved import MovableBody

if TYPE_CHECKING:
    from lacuna.images.masks import Mask
    from lacuna.streamlines.index.query import Index

#: where null lesions may be
WITHIN = ('brain', 'hemisphere')
#: bits of the checksum of a mask that go into its random numbers
_DIGITS = 32


@dataclass(frozen=True, kw_only=True)
class NullSettings:
    """How null lesions are made.

    Attributes
    ----------
    n : int
        How many.
    seed : int
        The random numbers come from this and the checksum of the mask: those of one lesion do not depend on others.
    inside : float
        Share of the lesion, 0 to 1, that has to be in the brain; the lesion's own share, if that is smaller.
    within : str
        ``brain``, or ``hemisphere``: only that in which most of the lesion is.
    mirrors : bool
        Mirror images too.

    Raises
    ------
    lacuna.errors.InputError
        If a setting is not valid.
    """

    n: int = 1000
    seed: int = 0
    inside: float = 0.95
    within: str = 'brain'
    mirrors: bool = False

    def __post_init__(self) -> None:
        if self.n < 1 or self.seed < 0:
            message = (
                f'{self.n} null lesions with seed {self.seed}: give at least 1, and a seed of at least 0'
            )
            raise InputError(message)
        if not 0 < self.inside <= 1:
            message = f'{self.inside} is not a share of the lesion that may be inside; give a number above 0, up to 1'
            raise InputError(message)
        if self.within not in WITHIN:
            message = f'null lesions within {self.within!r} are not known; choose from {", ".join(WITHIN)}'
            raise InputError(message)


@dataclass(frozen=True)
class NullLesions:
    """The null lesions of a lesion.

    Attributes
    ----------
    body : lacuna.images.placements.Body
        The lesion, in voxels of 1 mm.
    among : sequence of numpy.ndarray
        Its turns.
    places : lacuna.images.placements.Places
        Where the null lesions are.
    reason : str or None
        Why there are none.
    facts : dict
        Settings and numbers, with the keys of the statistics file.
    """

    body: Body
    among: Sequence[np.ndarray]
    places: Places
    reason: str | None
    facts: dict[str, Any]

    def __len__(self) -> int:
        return 0 if self.reason else len(self.places.turn)

    def own(self, index: Index) -> np.ndarray:
        """Numbers of the streamlines that the lesion cuts, ascending."""
        if not self.body.voxels.size:
            return np.empty(0, np.uint32)
        return index.select_on_lattice(self._movable.at(0, self.body.first))

    def cut(self, index: Index, number: int) -> np.ndarray:
        """Numbers of the streamlines that one of the null lesions cuts, ascending."""
        places = self.places
        return index.select_on_lattice(self._movable.at(int(places.turn[number]), places.first[number]))

    @cached_property
    def _movable(self) -> MovableBody:
        return MovableBody(self.body, self.among)


def null_lesions(mask: Mask, settings: NullSettings, *, workers: int = 1) -> NullLesions:
    """Draw places for a lesion from all that are valid.

    Parameters
    ----------
    mask : lacuna.images.masks.Mask
    settings : NullSettings
    workers : int
        Threads.
    """
    body, region = Body.of(mask.data, mask.affine), _region(mask, settings.within)
    among = turns(mask.affine, mirrors=settings.mirrors)
    size, own = int(np.count_nonzero(body.voxels)), region.count(body)
    need = min(math.ceil(settings.inside * size - 1e-9), own)
    places = Places.none()
    if need:
        rng = random_numbers(settings.seed, mask)
        places = draw(body, region, settings.n, rng, need=need, among=among, workers=workers)
    facts = {
        'null_seed': settings.seed,
        'null_within': settings.within,
        'null_inside_pct': 100.0 * need / size if size else 0.0,
        'null_turns': len(among),
        'null_places': places.valid,
        'lesion_inside_pct': 100.0 * own / size if size else 0.0,
        'lesion_volume_mm3': size,
    }
    return NullLesions(body, among, places, _reason(places, need, settings.within), facts)


def _reason(places: Places, need: int, within: str) -> str | None:
    if not need:
        return f'no voxel of the lesion is in the {within}'
    if places.valid < FEWEST_PLACES:
        return f'only {places.valid} places in the {within} are valid for this lesion; at least {FEWEST_PLACES} are needed'
    return None


def random_numbers(seed: int, mask: Mask) -> np.random.Generator:
    """Random numbers of a mask's own: adding a patient does not change those of others."""
    return np.random.default_rng([seed, int(mask.sha256[:_DIGITS], 16)])


def _region(mask: Mask, within: str) -> Body:
    """Where the null lesions of a lesion may be."""
    whole = Body.of(brain().data, brain().affine)
    if within == 'brain':
        return whole
    x = whole.first[0] + np.arange(whole.voxels.shape[0])
    body = Body.of(mask.data, mask.affine)
    middle = float(np.mean(body.first[0] + np.nonzero(body.voxels)[0])) if body.voxels.size else 0.0
    side = x < 0 if middle < 0 else x > 0
    return Body(whole.voxels & side[:, None, None], whole.first)
