"""Samples of streamlines for display, evenly spread and with few vertices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from lacuna.streamlines.files.tck import TractogramInfo, iter_blocks, read_header, write_tck

#: mm between the vertices of a sample; almost no line is off by more than a pixel of the pictures (0.5 mm)
SPACING = 4.0
#: header field for the spacing before thinning; not ``step_size``, which would make MRtrix3 upsample
_SPACING_FIELD = 'vertex_spacing'


def spread(count: int, most: int) -> np.ndarray:
    """Return the indices of at most `most` of `count` items, evenly spread, ascending.

    >>> spread(10, 4), spread(2, 4)
    (array([0, 3, 6, 9]), array([0, 1]))
    """
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def thinned(streamline: np.ndarray, spacing: float = SPACING) -> np.ndarray:
    """Thin out a streamline to vertices at least `spacing` mm apart along it; both ends are kept.

    >>> line = np.zeros((11, 3))
    >>> line[:, 0] = range(11)
    >>> thinned(line, 4.0)[:, 0].tolist()
    [0.0, 4.0, 8.0, 10.0]
    """
    if len(streamline) < 3:
        return streamline
    steps = np.linalg.norm(np.diff(streamline, axis=0), axis=1)
    passed = np.floor(np.concatenate([[0.0], np.cumsum(steps)]) / spacing + 1e-6)
    keep = np.concatenate([[True], np.diff(passed) > 0])
    keep[-1] = True
    return streamline[keep]


def median_spacing(streamlines: Iterable[np.ndarray]) -> float | None:
    """Return the median distance (mm) of successive vertices; None if no streamline has two.

    >>> median_spacing([np.array([[0.0, 0, 0], [0, 4, 0]])]), median_spacing([np.zeros((1, 3))])
    (4.0, None)
    """
    steps = [np.linalg.norm(np.diff(line, axis=0), axis=1) for line in streamlines if len(line) > 1]
    return float(np.median(np.concatenate(steps))) if steps else None


def write_sample(target: str | Path | BytesIO, streamlines: Sequence[np.ndarray]) -> None:
    """Write streamlines, thinned to the vertices that can be seen; the header records the original spacing.

    Parameters
    ----------
    target : path or io.BytesIO
        A ``.tck``.
    streamlines : sequence of numpy.ndarray
        Each (vertices, 3), world mm.
    """
    spacing = median_spacing(streamlines)
    fields = {} if spacing is None else {_SPACING_FIELD: f'{spacing:.4g}'}
    write_tck(target, map(thinned, streamlines), **fields)


def sample_bytes(streamlines: Sequence[np.ndarray]) -> bytes:
    """Return what `write_sample` writes."""
    stream = BytesIO()
    write_sample(stream, streamlines)
    return stream.getvalue()


def read_sample(path: str | Path) -> tuple[list[np.ndarray], float | None]:
    """Read the streamlines of a sample, thinned, and their original spacing (mm).

    Raises
    ------
    TractogramError
        If the file cannot be read.
    """
    header = read_header(path)
    streamlines: list[np.ndarray] = []
    for points, sizes in iter_blocks(header):
        streamlines += [line for line in np.split(points, np.cumsum(sizes)[:-1]) if len(line)]
    if _SPACING_FIELD not in header.fields:  # written by an earlier version
        return [thinned(line) for line in streamlines], median_spacing(streamlines)
    try:
        return streamlines, float(header.fields[_SPACING_FIELD])
    except ValueError:  # edited by hand
        return streamlines, None


def sample_tck(source: str | Path, target: str | Path, most: int) -> None:
    """Write at most `most` streamlines of a ``.tck``, evenly spread, as a sample.

    Raises
    ------
    TractogramError
        If the source cannot be read.
    """
    header = read_header(source)
    count = sum(len(lengths) for _, lengths in iter_blocks(header))
    wanted = spread(count, most)
    chosen = []
    first = 0
    for points, lengths in iter_blocks(header):
        ends = np.cumsum(lengths)
        here = wanted[(wanted >= first) & (wanted < first + len(lengths))] - first
        chosen += [points[ends[number] - lengths[number] : ends[number]].copy() for number in here]
        first += len(lengths)
    write_sample(target, chosen)


def upsampling(step_size: float | None, voxel: float, requested: int | None = None) -> int:
    """Return the upsampling factor of streamlines before voxels are counted, by MRtrix3's rule.

    Parameters
    ----------
    step_size : float or None
        Distance of the vertices in mm from the header of the ``.tck``; None if it has none.
    voxel : float
        Smallest voxel size in mm.
    requested : int, optional
        Factor set by the user, which overrides the rule.

    Examples
    --------
    >>> upsampling(1.0, 2.0)
    2
    >>> upsampling(None, 2.0)
    1
    """
    if requested is not None:
        return requested
    if not step_size:
        return 1
    # single precision, as in tckmap
    return max(1, math.ceil(float(np.float32(step_size)) / (voxel * float(np.float32(0.333)))))


def gap_warning(info: TractogramInfo, voxel: float, requested: int | None = None) -> str | None:
    """Warn if the vertices lie more than half a voxel apart after upsampling.

    Parameters
    ----------
    info : TractogramInfo
        Result of `lacuna.streamlines.files.tck.scan`.
    voxel : float
        Smallest voxel size of the density map in mm.
    requested : int, optional
        Factor set with ``--tck-upsample``.

    Returns
    -------
    str or None
        One line with the option and a sufficient factor; None if the spacing is fine.
    """
    factor = upsampling(info.step_size, voxel, requested)
    if info.spacing / factor <= voxel / 2:
        return None
    enough = math.ceil(info.spacing / (0.333 * voxel))
    why = '' if info.step_size else '; its header has no step_size'
    sampled = f', sampled {factor} times as finely' if factor > 1 else ''
    return (
        f'the vertices of the tractogram are {info.spacing:.2f} mm apart on average{sampled}, more than half a voxel '
        f'of {voxel:g} mm{why}: density maps may have gaps; --tck-upsample {enough} fills them'
    )
