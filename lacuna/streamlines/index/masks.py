"""Lesion masks on the 1 mm lattice of the index: lattice voxels that are certainly, or possibly, in the mask."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from lacuna.errors import MaskError
from lacuna.measures import voxel_box
from lacuna.streamlines.index.lattice import DEPTH, LAYERS, LOW, SIZE
from lacuna.streamlines.index.voxels import VoxelLookup, cropped, flat_voxels, voxel_lookup

_LARGEST_INDEX = 500  # `lattice.MARGIN` covers the rounding for indices up to 512


@dataclass(frozen=True)
class Wanted:
    """Wanted voxels of the lattice.

    Attributes
    ----------
    keys : numpy.ndarray
        (n,) int64, block indices: ``(x * SIZE + y) * LAYERS + layer``.
    voxels : numpy.ndarray
        (n,) uint16, wanted voxels of each block as bits, lowest first.
    grades : numpy.ndarray or None
        (n, DEPTH) float32, value of a graded mask in each voxel of each block.
    """

    keys: np.ndarray
    voxels: np.ndarray
    grades: np.ndarray | None = None

    @classmethod
    def of(cls, blocks: np.ndarray) -> Wanted:
        """Create from the bits of all blocks of the lattice, uint16."""
        keys = np.flatnonzero(blocks)
        return cls(keys, blocks[keys])


@dataclass(frozen=True)
class MaskOnLattice:
    """A mask, prepared for queries.

    Attributes
    ----------
    flat : numpy.ndarray
        The mask in memory order: uint8, or float32 if graded.
    lookup : VoxelLookup
        Voxel lookup for the mask, cropped as ``tckedit`` does.
    certain : Wanted
        Voxels whose points are all in the mask (except loose vertices).
    possible : Wanted or None
        Voxels some of whose points may be in the mask; None if `certain` is sufficient.
    """

    flat: np.ndarray
    lookup: VoxelLookup
    certain: Wanted
    possible: Wanted | None


def mask_on_lattice(mask: np.ndarray, affine: np.ndarray, *, graded: bool = False) -> MaskOnLattice:
    """Prepare a mask for queries.

    Parameters
    ----------
    mask : numpy.ndarray
        (i, j, k) bool, or float if graded.
    affine : numpy.ndarray
        (4, 4), voxel indices of the mask to world mm; for a NIfTI file see `lacuna.images.nifti.nifti_affine`.
    graded : bool
        Whether to use the values of the mask, and not only which voxels are above 0. No voxel is certain if such a mask
        does not lie on the lattice.

    Raises
    ------
    MaskError
        If the mask is not a volume or is empty.
    InputError
        If `affine` is singular.
    """
    mask = np.asarray(mask)
    if mask.ndim != 3:
        message = f'a mask has three dimensions, but this one has {mask.ndim}'
        raise MaskError(message)
    mask = mask.astype(np.float32 if graded else bool, copy=False)
    if not (mask.flags.c_contiguous or mask.flags.f_contiguous):
        mask = np.ascontiguousarray(mask)
    whole = voxel_lookup(affine, mask.shape, order='C' if mask.flags.c_contiguous else 'F')
    flat = mask.ravel(order='K')
    flat, filled = (flat, flat != 0) if graded else (flat.view(np.uint8), flat)
    box = voxel_box(_in_ras(filled, whole))
    low, high = np.array([[part.start, part.stop - 1] for part in box]).T
    if (high < low).any():
        message = 'the mask has no voxel'
        raise MaskError(message)
    lookup = cropped(whole, low, high)
    shift = _lattice_shift(lookup)
    if shift is not None and (low > 0).all():
        return MaskOnLattice(flat, lookup, _to_wanted(_in_ras(flat, whole)[box], shift + 1), None)
    table = np.zeros(tuple(lookup.shape + 1), np.int32)
    table[1:, 1:, 1:] = _in_ras(filled, lookup)
    for axis in range(3):
        np.cumsum(table, axis=axis, out=table)
    certain, possible = _classify(table, lookup)
    if graded:
        certain = np.zeros_like(certain)
    return MaskOnLattice(flat, lookup, Wanted.of(certain), Wanted.of(possible))


def _lattice_shift(lookup: VoxelLookup) -> np.ndarray | None:
    """Return the lattice index of the first voxel of a grid that lies on the lattice; None for other grids."""
    linear, shift = lookup.to_voxel[:, :3], lookup.to_voxel[:, 3]
    if (linear != np.eye(3, dtype=np.float32)).any() or (shift != np.rint(shift)).any():
        return None
    if (np.abs(shift) > _LARGEST_INDEX).any() or (lookup.shape > _LARGEST_INDEX).any():
        return None
    return -shift.astype(np.int64) - LOW


def _to_wanted(voxels: np.ndarray, first: np.ndarray) -> Wanted:
    """Return the blocks of `voxels`, (x, y, z) uint8 or float32, whose first voxel has the lattice index `first`."""
    inside = tuple(slice(max(0, -at), max(0, SIZE - at)) for at in first.tolist())
    voxels, first = voxels[inside], np.maximum(first, 0)
    layer, depth = divmod(int(first[2]), DEPTH)
    size = -(-(depth + voxels.shape[2]) // DEPTH) * DEPTH
    columns = np.zeros((*voxels.shape[:2], size), voxels.dtype)
    columns[:, :, depth : depth + voxels.shape[2]] = voxels
    blocks = np.packbits(columns != 0, axis=2, bitorder='little').view('<u2')
    x, y, z = np.nonzero(blocks)
    keys = ((x + first[0]) * SIZE + y + first[1]) * LAYERS + z + layer
    graded = columns.dtype.kind == 'f'
    grades = columns.reshape(*blocks.shape, DEPTH)[x, y, z] if graded else None
    return Wanted(keys, blocks[x, y, z].astype(np.uint16), grades)


def _in_ras(flat: np.ndarray, lookup: VoxelLookup) -> np.ndarray:
    """Return the voxels of a lookup in RAS+ orientation."""
    step = flat.itemsize
    view = np.lib.stride_tricks.as_strided(
        flat[lookup.start :], tuple(lookup.shape), tuple(lookup.strides * step), writeable=False
    )
    return np.asarray(view)


def _classify(table: np.ndarray, lookup: VoxelLookup) -> tuple[np.ndarray, np.ndarray]:
    linear = lookup.to_voxel.astype(np.float64)
    # bound of the rounding error in single precision: four roundings of terms up to these sizes
    largest = np.abs(linear[:, :3]).sum(axis=1) * SIZE + np.abs(linear[:, 3])
    slack = 8.0 * 2.0**-24 * largest + 1e-9
    half = 0.5 * np.abs(linear[:, :3]).sum(axis=1) + slack
    size = lookup.shape
    corners = np.array(
        [
            lookup.to_world[:, :3] @ np.where([n & 1, n & 2, n & 4], size - 0.5, -0.5) + lookup.to_world[:, 3]
            for n in range(8)
        ]
    )
    low = np.clip(np.floor(corners.min(axis=0)).astype(np.int64) - 1 - LOW, 0, SIZE)
    high = np.clip(np.ceil(corners.max(axis=0)).astype(np.int64) + 2 - LOW, 0, SIZE)
    certain = np.zeros(SIZE * SIZE * LAYERS, np.uint16)
    possible = np.zeros_like(certain)
    _classify_box(table, linear, half, size, low, high, certain, possible)
    return certain, possible


@numba.njit(cache=True, nogil=True)
def _classify_box(table, linear, half, size, low, high, certain, possible):  # type: ignore[no-untyped-def]
    """Classify the lattice voxels of a box by the mask voxels that their points may fall in.

    `table` is the summed-area table of the mask: sums over all boxes that begin at its first voxel.
    """
    first, last = np.empty(3, np.int64), np.empty(3, np.int64)
    for x in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            for z in range(low[2], high[2]):
                volume = np.int64(1)
                inside = True
                for axis in range(3):
                    centre = (
                        linear[axis, 0] * (x - 128)
                        + linear[axis, 1] * (y - 128)
                        + linear[axis, 2] * (z - 128)
                        + linear[axis, 3]
                    )
                    start = np.int64(np.floor(centre - half[axis] + 0.5))
                    end = np.int64(np.floor(centre + half[axis] + 0.5)) + 1
                    volume *= end - start
                    first[axis] = min(max(start, 0), size[axis])
                    last[axis] = min(max(end, 0), size[axis])
                    inside = inside and last[axis] > first[axis]
                if not inside:
                    continue
                i, j, k, l, m, n = first[0], first[1], first[2], last[0], last[1], last[2]
                count = (
                    (table[l, m, n] - table[i, m, n] - table[l, j, n] - table[l, m, k])
                    + (table[i, j, n] + table[i, m, k] + table[l, j, k])
                    - table[i, j, k]
                )
                if count:
                    block, bit = (x * 256 + y) * 16 + z // 16, np.uint16(1 << (z % 16))
                    possible[block] |= bit
                    if count == volume:
                        certain[block] |= bit


def mark_loose(
    ids: np.ndarray, points: np.ndarray, lookup: VoxelLookup, flat: np.ndarray, marks: np.ndarray
) -> None:
    """Raise the marks of the streamlines `ids` to the mask's value at their loose vertices, ``points[n]``."""
    voxels = flat_voxels(lookup, points)
    hit = (voxels >= 0) & (ids < len(marks))
    np.maximum.at(marks, ids[hit], flat[voxels[hit]])
