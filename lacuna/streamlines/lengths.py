"""Lengths of streamlines, as MRtrix3 measures them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np

from lacuna.streamlines.files import tck


def measure_lengths(tracks: str | Path, progress: Callable[[int], object] | None = None) -> np.ndarray:
    """Measure all streamlines of a tractogram.

    Parameters
    ----------
    tracks : path
        A ``.tck``.
    progress : callable, optional
        Called with the number of bytes read since the last call.

    Returns
    -------
    numpy.ndarray
        (streamlines,) float32, mm: distances of successive vertices summed in single precision and in order, as
        ``tckstats -dump`` of MRtrix3 prints them. 0 for a streamline of one vertex, NaN for one without vertices.

    Raises
    ------
    lacuna.errors.TractogramError
        If the file is unreadable or damaged.
    """
    on_bytes = (lambda data: progress(len(data))) if progress else None
    blocks = tck.iter_blocks(tck.read_header(tracks), on_bytes=on_bytes)
    return np.concatenate([np.empty(0, np.float32), *(lengths_of(*block) for block in blocks)])


def lengths_of(points: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Compute the lengths of streamlines, as `measure_lengths` does.

    Parameters
    ----------
    points : numpy.ndarray
        (vertices, 3) float32, mm.
    vertices : numpy.ndarray
        (streamlines,) number of vertices of each streamline.

    Examples
    --------
    >>> lengths_of(np.array([[0, 0, 0], [3, 4, 0], [3, 4, 1], [9, 9, 9]], np.float32), np.array([3, 0, 1]))
    array([ 6., nan,  0.], dtype=float32)
    """
    found = np.full(len(vertices), np.nan, np.float32)
    _measure(np.ascontiguousarray(points, np.float32), np.asarray(vertices, np.int64), found)
    return found


@numba.njit(cache=True, nogil=True)
def _measure(points, vertices, found):  # type: ignore[no-untyped-def]
    row = 0
    for n in range(len(vertices)):
        if vertices[n]:
            length = np.float32(0)
            for p in range(row, row + vertices[n] - 1):
                x = points[p + 1, 0] - points[p, 0]
                y = points[p + 1, 1] - points[p, 1]
                z = points[p + 1, 2] - points[p, 2]
                length += np.sqrt(x * x + (y * y + z * z))
            found[n] = length
        row += vertices[n]
