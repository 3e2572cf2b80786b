"""Checks of one lesion, as sentences: what to know before using its results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lacuna.images.plausibility import NOTABLE, MaskFacts, percent_text

#: number of connected components from which a mask is reported as fragmented
MANY_COMPONENTS = 10

_SAID = ("the sidecar's Space", "the sidecar's SpatialReference", "the name's space entity", '--mask-space')


def check_mask(facts: MaskFacts) -> list[str]:
    """Return noteworthy, but not suspicious, properties of a mask.

    >>> check_mask(MaskFacts(500, 0.5, 80.0, 0.0, 0.1))
    ['The mask crosses the midline (20 % of it on the smaller side).']
    """
    if facts.side != 'both':
        return []
    smaller = min(facts.left_percent, 100 - facts.left_percent)
    return [f'The mask crosses the midline ({percent_text(smaller)} of it on the smaller side).']


def check_space_of(space: str, metadata: Mapping[str, Any]) -> list[str]:
    """Return a sentence if the space of the mask was not stated explicitly."""
    said = metadata.get('Mask')
    source = said.get('SpaceFrom') if isinstance(said, Mapping) else None
    if metadata and source not in _SAID:  # None if a workflow did not record it
        return [f'The space of the mask ({space}) was guessed ({source or "the source is not recorded"}).']
    return []


def sentence(doubt: str) -> str:
    """Turn a warning about an input into a sentence.

    >>> sentence('the mask is empty')
    'The mask is empty.'
    """
    return doubt[:1].upper() + doubt[1:] + ('' if doubt.endswith('?') else '.')


def check_summary(summary: Mapping[str, Any]) -> list[str]:
    """Check the statistics of a lesion."""
    found = []
    if int(pieces := summary.get('mask_components') or 0) >= MANY_COMPONENTS:
        found.append(f'The mask consists of {pieces} pieces; look for stray voxels.')
    if (outside := float(summary.get('mask_outside_support_pct') or 0)) >= NOTABLE:
        found.append(f'{percent_text(outside)} of the mask lies where the tractogram has no streamline.')
    if summary.get('streamlines_disconnected') == 0:
        found.append('No streamline has a vertex in the mask: nothing is disconnected.')
    return found


def check_support(summary: Mapping[str, Any]) -> list[str]:
    """Check the share of the map without support.

    >>> check_support({'min_support': 10, 'voxels_disconnected': 4, 'voxels_supported': 3})
    ['25 % of the affected voxels (hatched) have fewer than 10 streamlines, so their percentages are coarse.']
    """
    affected, supported = summary.get('voxels_disconnected') or 0, summary.get('voxels_supported')
    if not affected or supported is None or (share := 100.0 * (affected - supported) / affected) < 10:
        return []
    few = f'{percent_text(share)} of the affected voxels (hatched) have fewer than {summary.get("min_support")} streamlines'
    return [f'{few}, so their percentages are coarse.']


def check_spacing(spacing: float | None, affine: np.ndarray) -> list[str]:
    """Check whether vertices are so sparse that a streamline may cross the mask without a vertex in it.

    Parameters
    ----------
    spacing : float or None
        Median distance between successive vertices in mm; None if unknown.
    affine : numpy.ndarray
        4 x 4, voxels of the mask to world mm.

    >>> check_spacing(4.0, np.eye(4))
    ['Vertices are sparse, 4.0 mm apart (voxels of the mask: 1.0 mm): streamlines may cross it without being counted.']
    """
    edge = float(np.linalg.norm(affine[:3, :3], axis=0).min())
    # the mean length of a line through a voxel is about two thirds of its edge
    if spacing is None or spacing <= 2 * edge:
        return []
    return [
        f'Vertices are sparse, {spacing:.1f} mm apart (voxels of the mask: {edge:.1f} mm): streamlines may cross it without being counted.'
    ]
