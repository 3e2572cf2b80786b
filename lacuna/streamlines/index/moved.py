"""Null lesions on the lattice: the keys of a lesion's voxels are shifted instead of resampling its mask."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numba
import numpy as np

from lacuna.images.placements import Body
from lacuna.streamlines.index.lattice import DEPTH, LOW, SIZE
from lacuna.streamlines.index.masks import MaskOnLattice, Wanted
from lacuna.streamlines.index.voxels import voxel_lookup


class MovableBody:
    """A lesion in all rotations, ready to be moved.

    Parameters
    ----------
    body : lacuna.images.placements.Body
    among : sequence of numpy.ndarray
        Rotations, see `lacuna.images.placements.turns`.
    """

    def __init__(self, body: Body, among: Sequence[np.ndarray]) -> None:
        self._body, self._among = body, among
        self._turned = lru_cache(maxsize=2)(self._turn)

    def at(self, turn: int, first: np.ndarray) -> MaskOnLattice:
        """Return the result of `mask_on_lattice` for the rotated body with its first voxel at `first` (mm)."""
        flat, shape, voxels, values = self._turned(turn)
        affine = np.eye(4)
        affine[:3, 3] = first - 1  # of the margin
        keys, wanted = np.empty(len(voxels), np.int64), np.empty(len(voxels), np.uint16)
        grades = None if values is None else np.zeros((len(voxels), DEPTH), np.float32)
        n = _shift(voxels, values, np.asarray(first, np.int64) - LOW, keys, wanted, grades)
        blocks = Wanted(keys[:n], wanted[:n], None if grades is None else grades[:n])
        return MaskOnLattice(flat, voxel_lookup(affine, shape), blocks, None)

    def _turn(self, turn: int) -> tuple[np.ndarray, tuple[int, ...], np.ndarray, np.ndarray | None]:
        """Return the voxels with a margin of one, flat; their shape; their indices, z fastest; and values, if graded."""
        turned = self._body.turned(self._among[turn])
        voxels = np.argwhere(turned).astype(np.int32)
        padded = np.pad(turned, 1)
        if padded.dtype == bool:
            return padded.ravel().view(np.uint8), padded.shape, voxels, None
        return padded.ravel().astype(np.float32), padded.shape, voxels, turned[tuple(voxels.T)]


@numba.njit(cache=True, nogil=True)
def _shift(voxels, values, first, keys, wanted, grades):  # type: ignore[no-untyped-def]
    """Write the blocks of voxels (x, y, z; z fastest), with an offset, as in `Wanted`; return their number.

    `values` and `grades` are None if the body is not graded.
    """
    n = 0
    for v in range(len(voxels)):
        x, y, z = voxels[v, 0] + first[0], voxels[v, 1] + first[1], voxels[v, 2] + first[2]
        if x < 0 or y < 0 or z < 0 or x >= SIZE or y >= SIZE or z >= SIZE:
            continue
        key = (x * 256 + y) * 16 + z // 16
        bit = np.uint16(1 << (z % 16))
        if n and keys[n - 1] == key:
            wanted[n - 1] |= bit
        else:
            keys[n], wanted[n] = key, bit
            n += 1
        if grades is not None:  # decided at compile time
            grades[n - 1, z % 16] = values[v]
    return n
