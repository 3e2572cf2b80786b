"""Plausibility checks of inputs, used by ``run``, ``check``, ``bidsify`` and the reports.

Nothing here is an error: results are correct for the input as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from lacuna.errors import MaskError
from lacuna.images.brain import brain
from lacuna.images.masks import Mask, PackedMask, check_touches, mask_source, read_mask
from lacuna.images.spaces import check_space, looks_native
from lacuna.measures import lesion_part, outside_support_percent
from lacuna.utils.files import listed

#: lesions of fewer voxels are probably mistakes
TINY = 10
#: percentage of a mask outside the brain; one in twenty of 359 real lesions exceeds this
OUTSIDE = 10.0
#: percentage of the brain covered by a mask; the largest of 359 real lesions has 42
COVERED = 50.0
#: percentage of a tractogram's vertices inside the brain; 99.8 is normal
INSIDE = 95.0
#: percentage of a mask's voxels in the smaller side that makes it bilateral
NOTABLE = 5.0


@dataclass(frozen=True)
class MaskFacts:
    """Measurements of a mask.

    Attributes
    ----------
    voxels : int
    volume_ml : float
    left_percent : float
        Share of the volume with x < 0.
    outside_brain_percent : float
        Share of the voxels whose centre is outside the brain.
    brain_percent : float
        Percentage of the brain that the mask covers.
    graded : bool
        Whether the mask is graded: volume and percentage of the brain then are sums of values; all else refers to the
        voxels above 0.
    """

    voxels: int
    volume_ml: float
    left_percent: float
    outside_brain_percent: float
    brain_percent: float
    graded: bool = False

    @property
    def side(self) -> str:
        """``left``, ``right``, ``both`` if the smaller share is notable, or ``none`` without voxels."""
        return side_of(self.left_percent) if self.voxels else 'none'


def measure_mask(data: np.ndarray, affine: np.ndarray) -> MaskFacts:
    """Measure a mask.

    Parameters
    ----------
    data : numpy.ndarray
        (x, y, z) bool.
    affine : numpy.ndarray
        4 x 4, voxels to world mm.

    Examples
    --------
    >>> affine = np.eye(4)
    >>> affine[0, 3] = -2
    >>> facts = measure_mask(np.ones((4, 1, 1), bool), affine)
    >>> facts.voxels, facts.left_percent, facts.outside_brain_percent
    (4, 62.5, 0.0)
    """
    data, affine = lesion_part(data, affine)
    voxels = int(np.count_nonzero(data))
    size = float(abs(np.linalg.det(affine[:3, :3])))
    whole = brain()
    outside = outside_support_percent(data, affine, whole.data, whole.affine)
    brain_size = whole.voxels * abs(np.linalg.det(whole.affine[:3, :3]))
    return MaskFacts(
        voxels=voxels,
        volume_ml=voxels * size / 1000,
        left_percent=_left_percent(data, affine),
        outside_brain_percent=outside,
        brain_percent=float((100 - outside) * voxels * size / brain_size),
    )


def mask_facts(mask: Mask) -> MaskFacts:
    """Measure a mask that has been read."""
    facts = measure_mask(*mask.part)
    if mask.values is None:
        return facts
    mean = float(mask.values.sum(dtype=np.float64)) / facts.voxels
    return replace(
        facts, volume_ml=facts.volume_ml * mean, brain_percent=facts.brain_percent * mean, graded=True
    )


class InspectedMask(NamedTuple):
    """A mask with its measurements and problems, from reading it once.

    Attributes
    ----------
    mask : lacuna.images.masks.PackedMask or None
        None if the mask cannot be read.
    facts : MaskFacts or None
    doubts : tuple of str
        What is suspicious about the mask, in words.
    failure : str or None
        Why the mask cannot be used, including its path.
    """

    mask: PackedMask | None
    facts: MaskFacts | None
    doubts: tuple[str, ...]
    failure: str | None


def inspect_mask(
    given: Any,
    space: str | None = None,
    *,
    space_from: str | None = None,
    binarize: float | None = None,
    mask_scale: float | None = None,
) -> InspectedMask:
    """Read, check and describe a mask, reading its file once.

    Parameters
    ----------
    given : path or nibabel image
    space : str, optional
        Declared space of the mask; without it, only usability is checked.
    space_from : str, optional
        Source of the space, in words.
    binarize, mask_scale : float, optional
        See `lacuna.images.masks.read_mask`.
    """
    try:
        mask = read_mask(given, binarize, mask_scale)
    except MaskError as error:
        return InspectedMask(None, None, (), str(error))
    failure = None
    try:
        check_touches(mask_source(given), mask)
    except MaskError as error:
        failure = str(error)
    facts = mask_facts(mask)
    doubts = mask_doubts(mask, space, space_from, facts) if space and not failure else ()
    return InspectedMask(PackedMask.of(mask), facts, doubts, failure)


def mask_doubts(
    mask: Mask, space: str, space_from: str | None = None, facts: MaskFacts | None = None
) -> tuple[str, ...]:
    """Return what is suspicious about a mask, in words.

    Parameters
    ----------
    mask : lacuna.images.masks.Mask
    space : str
        Declared space of the mask.
    space_from : str, optional
        Source of the space, in words.
    facts : MaskFacts, optional
        Measurements of the mask, if already computed.
    """
    facts = facts or mask_facts(mask)
    found = list(mask.notes)
    if not facts.voxels:
        found.append('the mask is empty: its map is 0 everywhere')
    elif facts.voxels < TINY:
        count = '1 voxel' if facts.voxels == 1 else f'{facts.voxels} voxels'
        found.append(f'the mask has only {count}: a shift by one changes the result')
    if facts.brain_percent >= COVERED:
        found.append(
            f'the mask covers {percent_text(min(facts.brain_percent, 100))} of the brain '
            f'({facts.volume_ml:.0f} ml): is it inverted, or a mask of the brain?'
        )
    elif facts.outside_brain_percent >= OUTSIDE:
        found.append(f'{percent_text(facts.outside_brain_percent)} of the mask lies outside the brain')
    shape = mask.data.shape
    if problem := check_space(space, shape, mask.affine):
        found.append(problem + (f' (space from {space_from})' if space_from else ''))
    elif reason := looks_native(shape, mask.affine):
        found.append(
            f'the grid of the mask looks like that of a scan ({reason}), not like one of {space}: '
            'was the mask normalised to standard space?'
        )
    return tuple(found)


def tractogram_doubt(brain_pct: float) -> str | None:
    """Return a warning if too few of a tractogram's vertices are inside the brain (percent)."""
    if brain_pct >= INSIDE:
        return None
    return (
        f'{percent_text(100 - brain_pct)} of the vertices of the tractogram lie outside the brain (normal is less '
        'than 1 %): are its coordinates voxels or LPS instead of RAS+ millimetres, mirrored, or scaled?'
    )


def _left_percent(mask: np.ndarray, affine: np.ndarray) -> float:
    """Return the percentage of voxels whose centre has x < 0 (half of those with x = 0); 0 without voxels."""
    along = np.flatnonzero(affine[0, :3])
    if len(along) == 1:  # x changes along one axis only: count planes
        counts = np.count_nonzero(mask, axis=tuple({0, 1, 2}.difference(along.tolist())))
        x = np.arange(mask.shape[along[0]]) * affine[0, along[0]] + affine[0, 3]
    else:
        x = np.argwhere(mask) @ affine[0, :3] + affine[0, 3]
        counts = np.ones(len(x), int)
    left = float(counts[x < -1e-3].sum() + 0.5 * counts[np.abs(x) <= 1e-3].sum())
    return 100.0 * left / int(counts.sum()) if counts.any() else 0.0


def side_of(left_percent: float) -> str:
    """Return ``left``, ``right``, or ``both`` if the smaller share is notable."""
    if left_percent > 100 - NOTABLE:
        return 'left'
    return 'right' if left_percent < NOTABLE else 'both'


def percent_text(value: float) -> str:
    """Format a percentage for display.

    >>> percent_text(25.4), percent_text(1.26)
    ('25 %', '1.3 %')
    """
    return f'{value:.0f} %' if value >= 10 or value == round(value) else f'{value:.1f} %'


def check_tractogram(metadata: Mapping[str, Any]) -> list[str]:
    """Return what is suspicious about the tractogram of results, or one of several, from their sidecar, in words."""
    shares = [
        said.get('VerticesInsideBrainPercent')
        for said in (metadata.get('Tractogram'), *listed(metadata, 'Tractograms'))
        if isinstance(said, Mapping)
    ]
    doubts = (tractogram_doubt(inside) for inside in shares if isinstance(inside, int | float))
    return list(dict.fromkeys(filter(None, doubts)))
