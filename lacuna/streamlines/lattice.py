"""Which streamlines have a vertex in each cubic millimetre: the rows of the selection.

The lattice has its voxel centres on whole millimetres from -128 to 127 mm, which the usual 1 mm grids share, whatever
their first voxel. A vertex belongs to the voxel ``floor(x + 0.5)``. MRtrix3 rounds in single precision *after* adding
the grid's offset, so a vertex within ``MARGIN`` of a face may fall on either side, depending on the grid; such vertices
(about 2 in 10,000) and those outside the lattice are *loose*: they are kept with their coordinates and tested one by
one. A vertex exactly on a face is not loose, as its position in every grid is exact.

Voxels are grouped in blocks of 16 along z. A block's rows stand one after the other: the length of the row in words,
then the row, all in words of 16 bits; a number above 65534 takes three: 65535, its low half, its high half. A row lists
the streamlines in ascending order: the first number, then the differences minus 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

#: first voxel centre (mm) and number of voxels along each axis
LOW = -128
SIZE = 256
#: voxels of a block, along z
DEPTH = 16
#: blocks along z
LAYERS = SIZE // DEPTH
#: mm from a face within which a vertex is loose: twice the greatest rounding error for indices below 512
MARGIN = 2.0**-15


@dataclass(frozen=True)
class Rows:
    """Rows of one segment.

    Attributes
    ----------
    box : tuple of int
        First x, first y, first layer, then the number of each, of the part of the lattice covered.
    blocks : numpy.ndarray
        (blocks + 1,) uint32, where each block begins in `data`, x slowest.
    data : numpy.ndarray
        uint16.
    loose_ids : numpy.ndarray
        (n,) uint32, streamline of each loose vertex, counted within the segment.
    loose_points : numpy.ndarray
        (n, 3) float32, world mm.
    """

    box: tuple[int, int, int, int, int, int]
    blocks: np.ndarray
    data: np.ndarray
    loose_ids: np.ndarray
    loose_points: np.ndarray


def build_rows(points: np.ndarray, lengths: np.ndarray) -> Rows:
    """Invert the vertices of a segment.

    Parameters
    ----------
    points : numpy.ndarray
        (vertices, 3) float32, world mm.
    lengths : numpy.ndarray
        (streamlines,) int64, vertices of each.
    """
    low, high, loose = _extent(points)
    if low[0] > high[0]:
        low, high = np.zeros(3, np.int64), np.zeros(3, np.int64)
    first = np.array([low[0], low[1], low[2] // DEPTH])
    size = np.array([high[0], high[1], high[2] // DEPTH]) - first + 1
    cells = np.zeros((int(size.prod()) * DEPTH, 2), np.int32)
    cells[:, 0] = -1
    loose_ids = np.empty(loose, np.uint32)
    loose_points = np.empty((loose, 3), np.float32)
    _measure(points, lengths, first, size, cells, loose_ids, loose_points)
    blocks = np.zeros(len(cells) // DEPTH + 1, np.uint32)
    total = _place(cells, blocks)
    if total >= 2**31:
        message = 'a segment of the index is too large'
        raise OverflowError(message)
    data = np.empty(total, np.uint16)
    _write_lengths(cells, blocks, data)
    _fill(points, lengths, first, size, cells, data)
    box = tuple(int(value) for value in (*first, *size))
    return Rows(box, blocks, data, loose_ids, loose_points)  # type: ignore[arg-type]


@numba.njit(cache=True, nogil=True)
def _cell(value):  # type: ignore[no-untyped-def]
    """Index of the lattice along one axis; -1 for a loose coordinate."""
    exact = np.float64(value)
    if not (exact >= -128.0 and exact < 127.0):
        return np.int64(-1)
    lower = np.floor(exact)
    gap = exact - lower - 0.5
    if gap != 0.0 and abs(gap) < MARGIN:
        return np.int64(-1)
    return np.int64(np.floor(exact + 0.5)) + 128


@numba.njit(cache=True, nogil=True)
def _extent(points):  # type: ignore[no-untyped-def]
    low, high = np.full(3, 10**6, np.int64), np.full(3, -(10**6), np.int64)
    loose = 0
    for p in range(len(points)):
        x, y, z = _cell(points[p, 0]), _cell(points[p, 1]), _cell(points[p, 2])
        if x < 0 or y < 0 or z < 0:
            loose += 1
            continue
        low[0], low[1], low[2] = min(low[0], x), min(low[1], y), min(low[2], z)
        high[0], high[1], high[2] = max(high[0], x), max(high[1], y), max(high[2], z)
    return low, high, loose


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
def _measure(points, lengths, first, size, cells, loose_ids, loose_points):  # type: ignore[no-untyped-def]
    """Count the words of each row in ``cells[:, 1]`` (``cells[:, 0]``: last streamline), and put loose vertices aside."""
    row, loose = 0, 0
    fy, fz = size[1], size[2] * 16
    for n in range(len(lengths)):
        for p in range(row, row + lengths[n]):
            x, y, z = _cell(points[p, 0]), _cell(points[p, 1]), _cell(points[p, 2])
            if x < 0 or y < 0 or z < 0:
                loose_ids[loose] = n
                loose_points[loose, :] = points[p, :]
                loose += 1
                continue
            cell = ((x - first[0]) * fy + (y - first[1])) * fz + (z - first[2] * 16)
            last = cells[cell, 0]
            if last != n:
                cells[cell, 1] += _code_length(n - last - 1)
                cells[cell, 0] = n
        row += lengths[n]


@numba.njit(cache=True, nogil=True)
def _place(cells, blocks):  # type: ignore[no-untyped-def]
    """Where each block begins; the words of all."""
    at = np.int64(0)
    for b in range(len(blocks) - 1):
        blocks[b] = at
        filled = False
        for c in range(b * 16, b * 16 + 16):
            filled = filled or cells[c, 1] > 0
        if filled:
            for c in range(b * 16, b * 16 + 16):
                at += _code_length(cells[c, 1]) + cells[c, 1]
    blocks[len(blocks) - 1] = at
    return at


@numba.njit(cache=True, nogil=True)
def _write_lengths(cells, blocks, data):  # type: ignore[no-untyped-def]
    """Write the row lengths; leaves in ``cells[:, 1]`` where each row begins, and resets ``cells[:, 0]``."""
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
def _fill(points, lengths, first, size, cells, data):  # type: ignore[no-untyped-def]
    row = 0
    fy, fz = size[1], size[2] * 16
    for n in range(len(lengths)):
        for p in range(row, row + lengths[n]):
            x, y, z = _cell(points[p, 0]), _cell(points[p, 1]), _cell(points[p, 2])
            if x < 0 or y < 0 or z < 0:
                continue
            cell = ((x - first[0]) * fy + (y - first[1])) * fz + (z - first[2] * 16)
            last = cells[cell, 0]
            if last != n:
                cells[cell, 1] = _write_code(data, np.int64(cells[cell, 1]), np.int64(n - last - 1))
                cells[cell, 0] = n
        row += lengths[n]


@numba.njit(cache=True, nogil=True)
def mark_rows(box, blocks, data, keys, wanted, marks):  # type: ignore[no-untyped-def]
    """Mark the streamlines of a segment with a vertex in the wanted voxels; False if the rows make no sense.

    Parameters
    ----------
    box : numpy.ndarray
        (6,) int64, `Rows.box`.
    blocks, data : numpy.ndarray
        See `Rows`.
    keys : numpy.ndarray
        (n,) int64, blocks of the whole lattice, ``(x * SIZE + y) * LAYERS + layer``.
    wanted : numpy.ndarray
        (n,) uint16, the wanted voxels of each block, lowest bit first.
    marks : numpy.ndarray
        (streamlines,) uint8, set to 1 in place.
    """
    for b in range(len(keys)):
        key = keys[b]
        layer = key % 16 - box[2]
        y = (key // 16) % 256 - box[1]
        x = key // 4096 - box[0]
        if x < 0 or y < 0 or layer < 0 or x >= box[3] or y >= box[4] or layer >= box[5]:
            continue
        block = (x * box[4] + y) * box[5] + layer
        at, end = np.int64(blocks[block]), np.int64(blocks[block + 1])
        if end > len(data):
            return False
        left = wanted[b]
        while left and at < end:
            value = np.int64(data[at])
            at += 1
            if value == 65535:
                if at + 2 > end:
                    return False
                value = np.int64(data[at]) | (np.int64(data[at + 1]) << 16)
                at += 2
            stop = at + value
            if stop > end:
                return False
            if left & 1:
                streamline = np.int64(-1)
                while at < stop:
                    value = np.int64(data[at])
                    at += 1
                    if value == 65535:
                        if at + 2 > stop:
                            return False
                        value = np.int64(data[at]) | (np.int64(data[at + 1]) << 16)
                        at += 2
                    streamline += value + 1
                    if streamline >= len(marks):
                        return False
                    marks[streamline] = 1
            at = stop
            left >>= 1
    return True
