"""The lengths of the streamlines of a tractogram, and which of them are within limits, as MRtrix3 has them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np

from lacuna.errors import InputError
from lacuna.streamlines.files import tck

#: share of the step size by which ``tckedit`` widens the limits
_SLACK = 0.1
#: the same of the step before every n-th vertex was kept, for tractograms with a ``downsample_factor``
_SLACK_DOWNSAMPLED = 0.5


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
        (streamlines,) float32, mm: the sum of the distances of successive vertices in single precision, in their order,
        as ``tckstats -dump`` of MRtrix3 prints it. 0 for a streamline of one vertex, NaN for one without any.

    Raises
    ------
    lacuna.errors.TractogramError
        If the file cannot be read, or is damaged.
    """
    on_bytes = (lambda data: progress(len(data))) if progress else None
    blocks = tck.iter_blocks(tck.read_header(tracks), on_bytes=on_bytes)
    return np.concatenate([np.empty(0, np.float32), *(lengths_of(*block) for block in blocks)])


def lengths_of(points: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Lengths of streamlines, see `measure_lengths`.

    Parameters
    ----------
    points : numpy.ndarray
        (vertices, 3) float32, mm.
    vertices : numpy.ndarray
        (streamlines,) number of vertices of each.

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


def length_limits(
    header: tck.TckHeader, shortest: float | None, longest: float | None
) -> tuple[float, float]:
    """The limits that ``tckedit -minlength -maxlength`` applies to a tractogram, mm.

    They are wider than what is asked for by a tenth of the step size, if the header of the tractogram has one; by half of
    the original step, if only every n-th vertex was kept (``downsample_factor``).

    Parameters
    ----------
    header : lacuna.streamlines.files.tck.TckHeader
    shortest, longest : float or None
        mm; None for no limit.
    """
    slack = 0.0
    if header.step_size:
        try:
            slack = _SLACK_DOWNSAMPLED / float(header.fields['downsample_factor'])
        except (KeyError, ValueError, ZeroDivisionError):
            slack = _SLACK
        slack *= header.step_size
    return (
        0.0 if shortest is None else max(0.0, shortest - slack),
        math.inf if longest is None else longest + slack,
    )


def check_length_limits(shortest: float | None, longest: float | None) -> None:
    """Refuse limits between which there is nothing.

    Raises
    ------
    lacuna.errors.InputError
    """
    for option, value in (('--min-length', shortest), ('--max-length', longest)):
        if value is not None and not 0 <= value < math.inf:
            message = f'{option} {value}: give a length in mm'
            raise InputError(message)
    if shortest is not None and longest is not None and shortest > longest:
        message = f'--min-length {shortest:g} is more than --max-length {longest:g}: no streamline is left'
        raise InputError(message)
