"""Test the vertices of single streamlines, read from the tractogram."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np

from lacuna.errors import StreamlineIndexError
from lacuna.streamlines.files.tck import read_header
from lacuna.streamlines.index.masks import MaskOnLattice
from lacuna.streamlines.index.voxels import flat_voxel

_BATCH = 2**13  # streamlines


def mark_crossing(
    tractogram: Path,
    first_rows: np.ndarray,
    vertices: np.ndarray,
    candidates: np.ndarray,
    mask: MaskOnLattice,
    marks: np.ndarray,
    nprocs: int = 1,
) -> None:
    """Raise the marks of the candidates with a vertex in a mask to the mask's greatest value there.

    Parameters
    ----------
    tractogram : pathlib.Path
        The ``.tck``.
    first_rows : numpy.ndarray
        (streamlines,) int64, row of the data section at which each streamline begins.
    vertices : numpy.ndarray
        (streamlines,) number of vertices of each streamline.
    candidates : numpy.ndarray
        (n,) int64, indices of the streamlines to test.
    mask : MaskOnLattice
    marks : numpy.ndarray
        (streamlines,) with the dtype of ``mask.flat``, raised in place.
    nprocs : int
        Number of threads.
    """
    table = _rows(tractogram, first_rows, vertices)
    native = table.dtype == np.dtype('<f4')
    at, top = mask.lookup, mask.flat.max()

    def run(ids: np.ndarray) -> None:
        rows, lengths = first_rows[ids], vertices[ids].astype(np.int64)
        if native:
            points = table
        else:
            pieces = [table[row : row + length] for row, length in zip(rows, lengths, strict=True)]
            points = np.concatenate(pieces).astype(np.float32)
            rows = np.cumsum(lengths) - lengths
        _mark(points, ids, rows, lengths, at.to_voxel, at.shape, at.strides, at.start, mask.flat, top, marks)

    batches = np.array_split(candidates, 1 + len(candidates) // _BATCH)
    with ThreadPoolExecutor(max(1, nprocs)) as pool:
        list(pool.map(run, batches))


def read_vertices(
    tractogram: Path, first_rows: np.ndarray, vertices: np.ndarray, ids: np.ndarray
) -> list[np.ndarray]:
    """Read the vertices of streamlines, each (n, 3) float32, world mm; arguments as in `mark_crossing`."""
    table = _rows(tractogram, first_rows, vertices)
    rows, lengths = first_rows[ids], vertices[ids].astype(np.int64)
    return [table[row : row + n].astype(np.float32) for row, n in zip(rows, lengths, strict=True)]


def _rows(tractogram: Path, first_rows: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Map the data section of a ``.tck``: vertices, with a NaN row after each streamline."""
    header = read_header(tractogram)
    count = (tractogram.stat().st_size - header.offset) // (3 * header.dtype.itemsize)
    if len(vertices) and int(first_rows[-1]) + int(vertices[-1]) > count:
        message = f'the streamline index is damaged: it has more vertices than {tractogram}; delete it and run again'
        raise StreamlineIndexError(message)
    return np.asarray(np.memmap(tractogram, header.dtype, 'r', header.offset, (count, 3)))


@numba.njit(cache=True, nogil=True)
def _mark(  # type: ignore[no-untyped-def]
    points, ids, rows, lengths, to_voxel, shape, strides, start, flat, top, marks
):
    for n in range(len(ids)):
        most = marks[ids[n]]
        for p in range(rows[n], rows[n] + lengths[n]):
            voxel = flat_voxel(to_voxel, shape, strides, start, points[p, 0], points[p, 1], points[p, 2])
            if voxel >= 0 and flat[voxel] > most:
                most = flat[voxel]
                if most == top:
                    break
        marks[ids[n]] = most
