"""Decide on the vertices of single streamlines, read from the tractogram itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np

from lacuna.streamlines.masks import MaskOnLattice
from lacuna.streamlines.tck import read_header
from lacuna.streamlines.voxels import flat_voxel

_BATCH_ROWS = 2**20


def mark_crossing(
    tractogram: Path,
    first_rows: np.ndarray,
    vertices: np.ndarray,
    candidates: np.ndarray,
    mask: MaskOnLattice,
    marks: np.ndarray,
    nprocs: int = 1,
) -> None:
    """Mark those of some streamlines that have a vertex in a mask.

    Parameters
    ----------
    tractogram : pathlib.Path
        The ``.tck``.
    first_rows : numpy.ndarray
        (streamlines,) int64, row of the data section at which each streamline begins.
    vertices : numpy.ndarray
        (streamlines,) number of vertices of each.
    candidates : numpy.ndarray
        (n,) int64, streamlines to decide on.
    mask : MaskOnLattice
    marks : numpy.ndarray
        (streamlines,) uint8, set to 1 in place.
    nprocs : int
        Threads.
    """
    header = read_header(tractogram)
    row_bytes = 3 * header.dtype.itemsize
    table = np.asarray(np.memmap(tractogram, np.uint8, 'r', offset=0))
    counts = vertices[candidates].astype(np.int64)
    sums = np.cumsum(counts)
    cuts = np.searchsorted(sums, np.arange(_BATCH_ROWS, int(sums[-1]) + _BATCH_ROWS, _BATCH_ROWS), 'right')
    cuts = np.unique(np.concatenate([[0], cuts, [len(candidates)]]))
    at = mask.lookup

    def run(first: int, last: int) -> None:
        ids, count = candidates[first:last], counts[first:last]
        copied = np.empty(int(count.sum()) * row_bytes, np.uint8)
        _gather(table, header.offset + first_rows[ids] * row_bytes, count * row_bytes, copied)
        points = copied.view(header.dtype).reshape(-1, 3).astype(np.float32, copy=False)
        _mark(points, ids, count, at.to_voxel, at.shape, at.strides, at.start, mask.flat, marks)

    with ThreadPoolExecutor(max(1, nprocs)) as pool:
        list(pool.map(run, cuts[:-1].tolist(), cuts[1:].tolist()))


@numba.njit(cache=True, nogil=True)
def _gather(table, begins, sizes, out):  # type: ignore[no-untyped-def]
    at = 0
    for n in range(len(begins)):
        out[at : at + sizes[n]] = table[begins[n] : begins[n] + sizes[n]]
        at += sizes[n]


@numba.njit(cache=True, nogil=True)
def _mark(points, ids, counts, to_voxel, shape, strides, start, flat, marks):  # type: ignore[no-untyped-def]
    row = 0
    for n in range(len(ids)):
        for p in range(row, row + counts[n]):
            voxel = flat_voxel(to_voxel, shape, strides, start, points[p, 0], points[p, 1], points[p, 2])
            if voxel >= 0 and flat[voxel]:
                marks[ids[n]] = 1
                break
        row += counts[n]
