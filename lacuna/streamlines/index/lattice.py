"""The streamlines with a vertex in each cubic millimetre: the rows of the selection.

The lattice has its voxel centres at whole millimetres from -128 to 127 mm, like the usual 1 mm grids, whatever their
first voxel. A vertex belongs to the voxel ``floor(x + 0.5)``. MRtrix3 rounds in single precision *after* adding the
grid's offset, so a vertex within ``MARGIN`` of a face may fall on either side, depending on the grid. Such vertices
(about 2 in 10,000) and those outside the lattice are *loose*: they are stored with their coordinates and tested
one by one. A vertex exactly on a face is not loose, because its position is exact in every grid.

Voxels are grouped in blocks of 16 along z. A block holds one row after the other: the length of the row in words, then
the row, in 16-bit words. A number above 65534 takes three words: 65535, its low half and its high half. A row lists
the streamlines in ascending order: the first index, then the differences minus 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

#: first voxel centre (mm), and number of voxels along each axis
LOW = -128
SIZE = 256
#: voxels per block, along z
DEPTH = 16
#: blocks along z
LAYERS = SIZE // DEPTH
#: distance from a face (mm) below which a vertex is loose: twice the largest rounding error for indices below 512
MARGIN = 2.0**-15


@dataclass(frozen=True)
class Rows:
    """The rows of one segment.

    Attributes
    ----------
    box : tuple of int
        First x, first y and first layer of the part of the lattice covered, then the size along each.
    blocks : numpy.ndarray
        (blocks + 1,) uint32, offset of each block in `data`, x slowest.
    data : numpy.ndarray
        uint16, the rows.
    loose_ids : numpy.ndarray
        (n,) uint32, streamline of each loose vertex, as index within the segment.
    loose_points : numpy.ndarray
        (n, 3) float32, world mm.
    """

    box: tuple[int, int, int, int, int, int]
    blocks: np.ndarray
    data: np.ndarray
    loose_ids: np.ndarray
    loose_points: np.ndarray


@numba.njit(cache=True, nogil=True)
def mark_rows(box, blocks, data, keys, wanted, grades, marks):  # type: ignore[no-untyped-def]
    """Mark the streamlines of a segment with a vertex in wanted voxels; return False if the rows are invalid.

    Parameters
    ----------
    box : numpy.ndarray
        (6,) int64, `Rows.box`.
    blocks, data : numpy.ndarray
        See `Rows`.
    keys : numpy.ndarray
        (n,) int64, blocks of the whole lattice, ``(x * SIZE + y) * LAYERS + layer``.
    wanted : numpy.ndarray
        (n,) uint16, wanted voxels of each block as bits, lowest first.
    grades : numpy.ndarray or None
        (n, DEPTH) float32, value of each voxel of each block; None: 1 for all wanted voxels.
    marks : numpy.ndarray
        (streamlines,) uint8, set to 1 in place; float32 with `grades`, raised in place to the greatest value.
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
        z = 0
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
                    if grades is None:  # decided at compile time
                        marks[streamline] = 1
                    elif grades[b, z] > marks[streamline]:
                        marks[streamline] = grades[b, z]
            at = stop
            left >>= 1
            z += 1
    return True
