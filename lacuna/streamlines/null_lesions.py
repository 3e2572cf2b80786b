"""Null lesions: the lesion itself moved to other places in the brain, or lesions of other patients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.errors import InputError
from lacuna.images.brain import brain
from lacuna.images.masks import KnownMask, PackedMask, read_mask
from lacuna.images.placements import Body, Places, draw, turns
from lacuna.images.restrictions import check_same_space, lesion_frequency, tissue_maps
from lacuna.significance import FEWEST_CONTROLS, FEWEST_PLACES
from lacuna.streamlines.index.moved import MovableBody
from lacuna.streamlines.null_settings import NullSettings
from lacuna.streamlines.weighting import NOTHING, Selection

if TYPE_CHECKING:
    from lacuna.images.masks import Mask
    from lacuna.streamlines.index.query import Index

#: tolerated difference of the share of grey, and of white matter, from the lesion's
TISSUE_SLACK = 0.05
#: largest ratio of volumes between a lesion and a similar lesion of another patient
SIMILAR = 2.0
#: digits of the mask's checksum that seed its random numbers
_DIGITS = 32


@dataclass(frozen=True)
class NullLesions:
    """The null lesions of a lesion.

    Attributes
    ----------
    reason : str or None
        Why there are none; None if there are.
    facts : dict
        Settings and counts, with the keys of the statistics file.
    """

    reason: str | None
    facts: dict[str, Any]

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def graded(self) -> bool:
        """Whether the lesion is graded, so that it cuts streamlines more or less strongly."""
        return False

    def own(self, index: Index) -> Selection:
        """Select the streamlines that the lesion itself cuts."""
        raise NotImplementedError

    def cut(self, index: Index, number: int) -> Selection:
        """Select the streamlines that one of the null lesions cuts."""
        raise NotImplementedError


@dataclass(frozen=True)
class MovedLesions(NullLesions):
    """Null lesions that are the lesion itself, moved and rotated.

    Attributes
    ----------
    body : lacuna.images.placements.Body
        The lesion, in voxels of 1 mm.
    among : sequence of numpy.ndarray
        Rotations of the lesion.
    places : lacuna.images.placements.Places
        Places of the null lesions.
    """

    body: Body
    among: Sequence[np.ndarray]
    places: Places

    def __len__(self) -> int:
        return 0 if self.reason else len(self.places.turn)

    @property
    def graded(self) -> bool:
        """Whether the lesion is graded, so that it cuts streamlines more or less strongly."""
        return self.body.voxels.dtype != bool

    def own(self, index: Index) -> Selection:
        """Select the streamlines that the lesion itself cuts."""
        if not self.body.voxels.size:
            return NOTHING
        return self._at(index, 0, self.body.first)

    def cut(self, index: Index, number: int) -> Selection:
        """Select the streamlines that one of the null lesions cuts."""
        places = self.places
        return self._at(index, int(places.turn[number]), places.first[number])

    def _at(self, index: Index, turn: int, first: np.ndarray) -> Selection:
        mask = self._movable.at(turn, first)
        return index.grades_on_lattice(mask) if self.graded else (index.select_on_lattice(mask), None)

    @cached_property
    def _movable(self) -> MovableBody:
        return MovableBody(self.body, self.among)


@dataclass(frozen=True)
class OtherLesions(NullLesions):
    """Null lesions that are lesions of other patients.

    Attributes
    ----------
    lesion : lacuna.images.masks.KnownMask
    others : tuple of lacuna.images.masks.KnownMask
    """

    lesion: KnownMask
    others: tuple[KnownMask, ...]

    def __len__(self) -> int:
        return 0 if self.reason else len(self.others)

    def own(self, index: Index) -> Selection:
        """Select the streamlines that the lesion itself cuts."""
        return _select(index, self.lesion)

    def cut(self, index: Index, number: int) -> Selection:
        """Select the streamlines that one of the null lesions cuts."""
        return _select(index, self.others[number])


def _select(index: Index, known: KnownMask) -> Selection:
    mask = known.unpack()
    return (index.select(mask.data, mask.affine), None) if mask.data.any() else NOTHING


def null_lesions(mask: Mask, space: str, settings: NullSettings, *, workers: int = 1) -> NullLesions:
    """Draw the null lesions of a lesion.

    Parameters
    ----------
    mask : lacuna.images.masks.Mask
    space : str
        Standard space of the mask.
    settings : NullSettings
    workers : int
        Number of threads.

    Raises
    ------
    lacuna.errors.InputError
        If a file of the settings cannot be read or is in another space.
    """
    if settings.within == 'lesions':
        return _other_lesions(mask, space, settings)
    return _moved_lesions(mask, space, settings, workers)


def random_numbers(seed: int, mask: Mask) -> np.random.Generator:
    """Create a generator seeded by the mask too, so that adding a patient does not change the others' null lesions."""
    return np.random.default_rng([seed, int(mask.sha256[:_DIGITS], 16)])


def _moved_lesions(mask: Mask, space: str, settings: NullSettings, workers: int) -> MovedLesions:
    body = Body.of(*mask.valued_part)
    region = _region(body, settings.within)
    among = turns(mask.affine, mirrors=settings.mirrors)
    size, own = int(np.count_nonzero(body.voxels)), region.count(body)
    need = min(math.ceil(settings.inside * size - 1e-9), own)
    tissues = tissue_maps(space, settings.tissues, region) if settings.within == 'tissue' else []
    weight = lesion_frequency(settings.reference, space, region) if settings.within == 'reference' else None
    places = Places.none()
    if need:
        places = draw(
            body,
            region,
            settings.n,
            random_numbers(settings.seed, mask),
            need=need,
            among=among,
            tissues=[(tissue, TISSUE_SLACK) for tissue in tissues],
            weight=weight,
            workers=workers,
        )
    facts = {
        **_facts(settings),
        'null_inside_pct': 100.0 * need / size if size else 0.0,
        'null_turns': len(among),
        'null_places': places.valid,
        'lesion_inside_pct': 100.0 * own / size if size else 0.0,
        'lesion_volume_mm3': float(body.voxels.sum(dtype=np.float64)),
        'lesion_shape_exact': Body.is_exact(mask.affine),
    }
    return MovedLesions(_too_few_places(places, need, settings.within), facts, body, among, places)


def _too_few_places(places: Places, need: int, within: str) -> str | None:
    if not need:
        return 'no voxel of the lesion is in the brain'
    if places.valid < FEWEST_PLACES:
        return f'only {places.valid} places are valid for this lesion (within: {within}); at least {FEWEST_PLACES} are needed'
    return None


def _region(body: Body, within: str) -> Body:
    """Return the region in which the null lesions of a lesion may be."""
    whole = Body.of(brain().data, brain().affine)
    if within != 'hemisphere':
        return whole
    x = whole.first[0] + np.arange(whole.voxels.shape[0])
    middle = float(np.mean(body.first[0] + np.nonzero(body.voxels)[0])) if body.voxels.size else 0.0
    side = x < 0 if middle < 0 else x > 0
    return Body(whole.voxels & side[:, None, None], whole.first)


def _other_lesions(mask: Mask, space: str, settings: NullSettings) -> OtherLesions:
    """Draw from other patients' masks of similar volume."""
    if mask.values is not None:
        message = (
            "null lesions within 'lesions' need a binary mask; make the mask binary, or choose another within"
        )
        raise InputError(message)
    volume, similar, seen = _volume(mask), [], {mask.sha256}
    for path in settings.reference:
        check_same_space(path, space)
        other = read_mask(path)
        if other.sha256 not in seen and volume / SIMILAR <= _volume(other) <= volume * SIMILAR:
            similar.append(PackedMask.of(other))
        seen.add(other.sha256)
    similar.sort(key=lambda other: other.sha256)
    chosen = random_numbers(settings.seed, mask).permutation(len(similar))[: settings.n]
    others = tuple(similar[number] for number in sorted(chosen))
    reason = None
    if len(others) < FEWEST_CONTROLS:
        reason = f'only {len(others)} other lesions have half to twice the volume; at least {FEWEST_CONTROLS} are needed'
    facts = {**_facts(settings), 'null_similar_lesions': len(similar), 'lesion_volume_mm3': volume}
    return OtherLesions(reason, facts, PackedMask.of(mask), others)


def _volume(mask: Mask) -> float:
    """Return the volume of a mask in mm3."""
    size = abs(float(np.linalg.det(mask.affine[:3, :3])))
    return int(np.count_nonzero(mask.data[mask.box])) * round(size, 9)


def _facts(settings: NullSettings) -> dict[str, Any]:
    return {'null_seed': settings.seed, 'null_within': settings.within, 'null_mirrors': settings.mirrors}
