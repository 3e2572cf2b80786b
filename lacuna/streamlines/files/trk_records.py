"""Iterate over the records of a ``.trk``, each of which begins with its own length.

A separate module, because loading numba takes half a second, which other formats do not need.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def count_records(counts: np.ndarray, per_point: int, properties: int, longest: int) -> tuple[int, int, int]:
    """Count the complete streamlines in a table of words, the words they take, and their vertices.

    At an impossible length, the number of vertices is -1, and the second number is the position of that length.
    """
    found = at = vertices = 0
    while at < len(counts):
        length = counts[at]
        if not 0 <= length <= longest:
            return found, at, -1
        end = at + 1 + length * per_point + properties
        if end > len(counts):
            break
        found += 1
        vertices += length
        at = end
    return found, at, vertices


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def copy_records(
    words: np.ndarray,
    counts: np.ndarray,
    strides: tuple[int, int],
    affine: np.ndarray,
    points: np.ndarray,
    lengths: np.ndarray,
) -> None:
    """Compute world coordinates and lengths of the complete streamlines at the start of a table of words."""
    per_point, properties = strides
    m = affine
    at = row = 0
    for n in range(len(lengths)):
        lengths[n] = counts[at]
        at += 1
        for _ in range(lengths[n]):
            x, y, z = words[at], words[at + 1], words[at + 2]
            for axis in range(3):
                points[row, axis] = m[axis, 0] * x + m[axis, 1] * y + m[axis, 2] * z + m[axis, 3]
            at += per_point
            row += 1
        at += properties
