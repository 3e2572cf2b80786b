"""Build the rows of the lattice: the streamlines of each voxel, from the vertices of each streamline.

The (voxel, streamline) pairs are first sorted by columns of 8 x 8 voxels, so that counting and writing, which access
voxels in random order, stay within the processor's cache.
"""

from __future__ import annotations

import numba
import numpy as np

from lacuna.streamlines.index.lattice import DEPTH, MARGIN, SIZE, Rows

_COLUMNS = 32 * 32
_LOOSE = -1
_REPEATED = -2


def build_rows(points: np.ndarray, lengths: np.ndarray) -> Rows:
    """Build the rows of a segment from its vertices.

    Parameters
    ----------
    points : numpy.ndarray
        (vertices, 3) float32, world mm.
    lengths : numpy.ndarray
        (streamlines,) int64, number of vertices of each streamline.
    """
    packed = np.empty(len(points), np.int32)
    counts = np.zeros(_COLUMNS + 1, np.int64)
    low, high = np.full(3, SIZE), np.full(3, -1)
    loose = _locate(points, lengths, packed, counts, low, high)
    if low[0] > high[0]:
        low, high = np.zeros(3, np.int64), np.zeros(3, np.int64)
    first = np.array([low[0], low[1], low[2] // DEPTH])
    size = np.array([high[0], high[1], high[2] // DEPTH]) - first + 1
    pairs = np.empty((int(counts.sum()), 2), np.int32)
    loose_ids = np.empty(loose, np.uint32)
    loose_points = np.empty((loose, 3), np.float32)
    _sort(points, lengths, packed, np.cumsum(counts), first, size, pairs, loose_ids, loose_points)
    del packed
    cells = np.zeros((int(size.prod()) * DEPTH, 2), np.int32)
    cells[:, 0] = -1
    _measure(pairs, cells)
    blocks = np.zeros(len(cells) // DEPTH + 1, np.uint32)
    data = np.empty(_place(cells, blocks), np.uint16)
    _write_lengths(cells, blocks, data)
    _fill(pairs, cells, data)
    box = tuple(int(value) for value in (*first, *size))
    return Rows(box, blocks, data, loose_ids, loose_points)  # type: ignore[arg-type]


@numba.njit(cache=True, nogil=True)
def _cell(value):  # type: ignore[no-untyped-def]
    """Return the lattice index along one axis; -1 for a loose coordinate."""
    shifted = np.float64(value) + 128.5  # exact except for very small values, which are not near a face
    if not (shifted >= 0.5 and shifted < 255.5):
        return np.int64(-1)
    index = np.int64(shifted)
    part = shifted - index
    if part > 1.0 - MARGIN or (part < MARGIN and part != 0.0):
        return np.int64(-1)
    return index


@numba.njit(cache=True, nogil=True)
def _locate(points, lengths, packed, counts, low, high):  # type: ignore[no-untyped-def]
    """Find the voxel of each vertex (8 bits per axis, or why it is skipped); count pairs per column; return the extent."""
    loose, row = 0, 0
    for n in range(len(lengths)):
        before = np.int64(-1)
        for p in range(row, row + lengths[n]):
            x, y, z = _cell(points[p, 0]), _cell(points[p, 1]), _cell(points[p, 2])
            if x < 0 or y < 0 or z < 0:
                loose += 1
                packed[p] = _LOOSE
                continue
            code = x << 16 | y << 8 | z
            if code == before:
                packed[p] = _REPEATED
                continue
            before = code
            packed[p] = code
            counts[((x >> 3) * 32 + (y >> 3)) + 1] += 1
            low[0], low[1], low[2] = min(low[0], x), min(low[1], y), min(low[2], z)
            high[0], high[1], high[2] = max(high[0], x), max(high[1], y), max(high[2], z)
        row += lengths[n]
    return loose


@numba.njit(cache=True, nogil=True)
def _sort(  # type: ignore[no-untyped-def]
    points, lengths, packed, places, first, size, pairs, loose_ids, loose_points
):
    """Sort the (voxel, streamline) pairs by column, streamlines ascending, and collect loose vertices."""
    row, loose = 0, 0
    for n in range(len(lengths)):
        for p in range(row, row + lengths[n]):
            code = np.int64(packed[p])
            if code >= 0:
                x, y, z = code >> 16, (code >> 8) & 255, code & 255
                column = (x >> 3) * 32 + (y >> 3)
                at = places[column]
                places[column] = at + 1
                pairs[at, 0] = ((x - first[0]) * size[1] + (y - first[1])) * size[2] * 16 + (
                    z - first[2] * 16
                )
                pairs[at, 1] = n
            elif code == _LOOSE:
                loose_ids[loose] = n
                for axis in range(3):  # a slice would take seconds to compile, for its error message
                    loose_points[loose, axis] = points[p, axis]
                loose += 1
        row += lengths[n]


@numba.njit(cache=True, nogil=True)
def _code_length(value):  # type: ignore[no-untyped-def]
    return 1 if value < 65535 else 3


@numba.njit(cache=True, nogil=True)
def _write_code(data, at, value):  # type: ignore[no-untyped-def]
    if value < 65535:
        data[at] = np.uint16(value)
        return at + 1
    data[at] = np.uint16(65535)
    data[at + 1] = np.uint16(value & 65535)
    data[at + 2] = np.uint16(value >> 16)
    return at + 3


@numba.njit(cache=True, nogil=True)
def _measure(pairs, cells):  # type: ignore[no-untyped-def]
    """Count the words of each row in ``cells[:, 1]``; ``cells[:, 0]`` is the previous streamline."""
    for m in range(len(pairs)):
        cell, n = pairs[m, 0], pairs[m, 1]
        last = cells[cell, 0]
        if last != n:
            cells[cell, 1] += _code_length(n - last - 1)
            cells[cell, 0] = n


def _place(cells: np.ndarray, blocks: np.ndarray) -> int:
    """Compute the offset of each block; return the total number of words."""
    counts = cells[:, 1].reshape(-1, DEPTH)
    words = counts.sum(axis=1)
    words[words > 0] += DEPTH
    large = counts >= 65535  # such lengths take two more words
    if large.any():
        words += 2 * np.count_nonzero(large, axis=1)
    blocks[0] = 0
    np.cumsum(words, out=blocks[1:], dtype=np.uint32)
    return int(words.sum())


@numba.njit(cache=True, nogil=True)
def _write_lengths(cells, blocks, data):  # type: ignore[no-untyped-def]
    """Write the row lengths, store the offset of each row in ``cells[:, 1]``, and reset ``cells[:, 0]``."""
    for b in range(len(blocks) - 1):
        at = np.int64(blocks[b])
        for c in range(b * 16, b * 16 + 16):
            cells[c, 0] = -1
            if blocks[b + 1] > blocks[b]:
                count = np.int64(cells[c, 1])
                at = _write_code(data, at, count)
                cells[c, 1] = at
                at += count


@numba.njit(cache=True, nogil=True)
def _fill(pairs, cells, data):  # type: ignore[no-untyped-def]
    for m in range(len(pairs)):
        cell, n = pairs[m, 0], pairs[m, 1]
        last = cells[cell, 0]
        if last != n:
            cells[cell, 1] = _write_code(data, np.int64(cells[cell, 1]), np.int64(n - last - 1))
            cells[cell, 0] = n
