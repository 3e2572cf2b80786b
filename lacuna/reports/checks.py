"""What a researcher should know before using a result: checks of one lesion, as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lacuna.masks import TINY
from lacuna.measures import count_components, outside_support_percent
from lacuna.spaces import check_space

#: from how many groups of voxels on a mask has many
MANY_COMPONENTS = 10
#: a share of streamlines counted from fewer than this is coarse
SMALL_DENOMINATOR = 5
#: percent of a mask's voxels from which on the smaller side, or what is outside, counts
NOTABLE = 5.0
_SAID = ("the sidecar's Space", "the sidecar's SpatialReference", "the name's space entity", '--mask-space')


@dataclass(frozen=True)
class LesionFacts:
    """Numbers about a lesion that the summary and the checks share.

    Attributes
    ----------
    voxels, components : int
    volume_ml : float
    left_percent : float
        Share of the volume left of x = 0.
    outside_brain_percent : float
        Share of the voxels whose centre is outside the template's brain.
    """

    voxels: int
    components: int
    volume_ml: float
    left_percent: float
    outside_brain_percent: float

    @property
    def side(self) -> str:
        """``left``, ``right``, or ``both`` if the smaller share is notable; ``none`` if there is no voxel."""
        return side_of(self.left_percent) if self.voxels else 'none'


def lesion_facts(
    mask: np.ndarray, affine: np.ndarray, brain: np.ndarray, brain_affine: np.ndarray
) -> LesionFacts:
    """Measure a lesion.

    Parameters
    ----------
    mask, brain : numpy.ndarray
        (x, y, z) bool.
    affine, brain_affine : numpy.ndarray
        4 x 4, voxels to world mm.

    Examples
    --------
    >>> mask = np.ones((4, 1, 1), bool)
    >>> affine = np.eye(4)
    >>> affine[0, 3] = -2
    >>> lesion_facts(mask, affine, mask, affine).left_percent
    62.5
    """
    voxels = np.argwhere(mask)
    return LesionFacts(
        voxels=len(voxels),
        components=count_components(mask) if len(voxels) else 0,
        volume_ml=len(voxels) * float(abs(np.linalg.det(affine[:3, :3]))) / 1000,
        left_percent=left_share(voxels, affine),
        outside_brain_percent=outside_support_percent(mask, affine, brain, brain_affine),
    )


def left_share(voxels: np.ndarray, affine: np.ndarray) -> float:
    """Percent of the voxels, (n, 3) indices, whose centre is left of x = 0; those on it count half; 0 for none."""
    x = voxels @ affine[0, :3] + affine[0, 3]
    left = np.count_nonzero(x < -1e-3) + 0.5 * np.count_nonzero(np.abs(x) <= 1e-3)
    return 100.0 * float(left) / len(voxels) if len(voxels) else 0.0


def side_of(left_percent: float) -> str:
    """``left``, ``right``, or ``both`` if the smaller share is notable."""
    if left_percent > 100 - NOTABLE:
        return 'left'
    return 'right' if left_percent < NOTABLE else 'both'


def check_lesion(facts: LesionFacts) -> list[str]:
    """Checks of the mask alone."""
    found = []
    if facts.voxels == 0:
        return ['The mask is empty.']
    if facts.voxels < TINY:
        found.append(f'The mask has only {_count(facts.voxels, "voxel")}: a shift by one changes the result.')
    if facts.components >= MANY_COMPONENTS:
        found.append(f'The mask consists of {facts.components} pieces; are specks among them?')
    if facts.outside_brain_percent >= 1:
        found.append(
            f"{_percent(facts.outside_brain_percent)} of the mask lies outside the template's brain."
        )
    if facts.side == 'both':
        smaller = min(facts.left_percent, 100 - facts.left_percent)
        found.append(f'The mask crosses the midline ({_percent(smaller)} of it on the smaller side).')
    return found


def check_space_of(
    space: str, shape: tuple[int, ...], affine: np.ndarray, metadata: Mapping[str, Any]
) -> list[str]:
    """Whether the space of the mask was said, and whether its grid agrees."""
    found = []
    said = metadata.get('Mask')
    source = said.get('SpaceFrom') if isinstance(said, Mapping) else None
    if metadata and source not in _SAID:  # none: a workflow that does not tell
        found.append(f'The space of the mask ({space}) was guessed ({source or "nothing says from what"}).')
    if problem := check_space(space, shape, affine):
        found.append(f'The mask may be in another space: {problem}.')
    return found


def check_summary(summary: Mapping[str, Any]) -> list[str]:
    """Checks of the statistics of a run."""
    found = []
    if (outside := float(summary.get('mask_outside_support_pct') or 0)) >= NOTABLE:
        found.append(f'{_percent(outside)} of the mask lies where the tractogram has no streamline.')
    if summary.get('streamlines_disconnected') == 0:
        found.append('No streamline has a vertex in the mask: nothing is disconnected.')
    return found


def check_denominators(percent: np.ndarray, full_tdi: np.ndarray) -> list[str]:
    """How much of the map rests on few streamlines.

    >>> check_denominators(np.array([50.0, 10, 0]), np.array([2, 100, 1]))
    ['50 % of the affected voxels have fewer than 5 streamlines: coarse percentages.']
    """
    affected = percent > 0
    small = int(np.count_nonzero(full_tdi[affected] < SMALL_DENOMINATOR))
    share = 100.0 * small / max(int(np.count_nonzero(affected)), 1)
    if share < 10:
        return []
    return [
        f'{_percent(share)} of the affected voxels have fewer than {SMALL_DENOMINATOR} streamlines: coarse percentages.'
    ]


def check_spacing(spacing: float | None, affine: np.ndarray) -> list[str]:
    """Whether vertices lie so far apart that a streamline may cross the mask without one in it.

    Parameters
    ----------
    spacing : float or None
        Median distance of successive vertices, mm; None if nothing says it.
    affine : numpy.ndarray
        Of the mask.

    >>> check_spacing(4.0, np.eye(4))
    ['Vertices are sparse, 4.0 mm apart (voxels of the mask: 1.0 mm): streamlines may pass unseen.']
    """
    edge = float(np.linalg.norm(affine[:3, :3], axis=0).min())
    # a line through a voxel is on average some two thirds of its edge long
    if spacing is None or spacing <= 2 * edge:
        return []
    return [
        f'Vertices are sparse, {spacing:.1f} mm apart (voxels of the mask: {edge:.1f} mm): streamlines may pass unseen.'
    ]


def _percent(value: float) -> str:
    return f'{value:.0f} %' if value >= 10 or value == round(value) else f'{value:.1f} %'


def _count(number: int, what: str) -> str:
    return f'{number} {what}' + ('' if number == 1 else 's')
