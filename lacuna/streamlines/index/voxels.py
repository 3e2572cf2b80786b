"""Find the voxel of a vertex, bit for bit as MRtrix3 does.

MRtrix3 first reorients an image to the closest RAS+ orientation, then maps vertices with the inverse of that image's
affine in single precision, ``((m0*x + m1*y) + m2*z) + t``, and rounds halves away from zero. With any other order of
operations, orientation or precision, ties and near-ties may fall on the other side (``core/header.cpp``,
``core/transform.h``, ``src/dwi/tractography/roi.h`` and ``mapping/mapper.cpp`` of MRtrix3 3.0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numba
import numpy as np

from lacuna.errors import InputError
from lacuna.images.nifti import is_usable


@dataclass(frozen=True)
class VoxelLookup:
    """The mapping from world coordinates to the voxels of a stored array.

    Attributes
    ----------
    to_voxel : numpy.ndarray
        (3, 4) float32, world mm to voxel indices in RAS+ orientation.
    to_world : numpy.ndarray
        (3, 4) float64, the inverse.
    shape : numpy.ndarray
        (3,) int64, size along the RAS+ axes.
    strides : numpy.ndarray
        (3,) int64, step in the flat stored array for a step along each RAS+ axis.
    start : int
        Index of the first RAS+ voxel in the flat array.
    spacing : numpy.ndarray
        (3,) float64, voxel sizes along the RAS+ axes, mm.
    """

    to_voxel: np.ndarray
    to_world: np.ndarray
    shape: np.ndarray
    strides: np.ndarray
    start: int
    spacing: np.ndarray


def voxel_lookup(
    affine: np.ndarray, shape: tuple[int, ...], *, order: Literal['C', 'F'] = 'C'
) -> VoxelLookup:
    """Create the lookup for a whole image.

    Parameters
    ----------
    affine : numpy.ndarray
        (4, 4), stored voxel indices to world mm; for a NIfTI file see `lacuna.images.nifti.nifti_affine`.
    shape : tuple of int
        Size along the three stored axes.
    order : str
        Whether the last axis is contiguous in memory (``'C'``) or the first (``'F'``).

    Raises
    ------
    InputError
        If `affine` is not finite or singular.

    Examples
    --------
    >>> lookup = voxel_lookup(np.diag([-2.0, 2.0, 2.0, 1.0]), (3, 4, 5))
    >>> lookup.to_voxel[0].tolist(), lookup.start, lookup.strides.tolist()
    ([0.5, 0.0, 0.0, 2.0], 40, [-20, 5, 1])
    """
    affine = np.asarray(affine, np.float64)
    if not is_usable(affine):
        message = 'the affine of the image is not finite or singular; correct its header'
        raise InputError(message)
    spacing = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    axes = affine[:3, :3] / spacing
    axis_order, flip = _closest_ras(axes)
    steps = [shape[1] * shape[2], shape[2], 1] if order == 'C' else [1, shape[0], shape[0] * shape[1]]
    strides = np.array(steps, np.int64)
    origin = affine[:3, 3].copy()
    start = 0
    for axis in range(3):
        if flip[axis]:
            axes[:, axis] *= -1
            origin -= (shape[axis] - 1) * spacing[axis] * axes[:, axis]
            start += (shape[axis] - 1) * int(strides[axis])
            strides[axis] *= -1
    return _lookup(
        axes[:, axis_order],
        spacing[axis_order],
        origin,
        np.array(shape, np.int64)[axis_order],
        strides[axis_order],
        start,
    )


def cropped(lookup: VoxelLookup, low: np.ndarray, high: np.ndarray) -> VoxelLookup:
    """Create the lookup for a mask as ``tckedit`` crops it: the box of its voxels with a margin of one voxel.

    Parameters
    ----------
    lookup : VoxelLookup
        Lookup for the whole mask.
    low, high : numpy.ndarray
        (3,) int, first and last index of a mask voxel along each RAS+ axis.
    """
    first = np.maximum(np.asarray(low, np.int64) - 1, 0)
    size = np.minimum(lookup.shape - first, np.asarray(high, np.int64) + 2 - first)
    axes = lookup.to_world[:, :3] / lookup.spacing
    origin = lookup.to_world[:, 3].copy()
    for axis in range(3):
        origin += first[axis] * lookup.spacing[axis] * axes[:, axis]
    start = lookup.start + int(first @ lookup.strides)
    return _lookup(axes, lookup.spacing, origin, size, lookup.strides, start)


def _lookup(
    axes: np.ndarray,
    spacing: np.ndarray,
    origin: np.ndarray,
    shape: np.ndarray,
    strides: np.ndarray,
    start: int,
) -> VoxelLookup:
    linear = axes * spacing
    inverse = _inverse(linear)
    shift = -((inverse[:, 0] * origin[0] + inverse[:, 1] * origin[1]) + inverse[:, 2] * origin[2])
    return VoxelLookup(
        to_voxel=np.ascontiguousarray(np.column_stack([inverse, shift]).astype(np.float32)),
        to_world=np.ascontiguousarray(np.column_stack([linear, origin])),
        shape=shape.copy(),
        strides=strides.copy(),
        start=int(start),
        spacing=spacing.copy(),
    )


def _closest_ras(axes: np.ndarray) -> tuple[list[int], list[bool]]:
    """Return the stored axis closest to each world axis, and whether it runs in the opposite direction."""
    order = [int(np.argmax(np.abs(axes[row]))) for row in range(3)]
    if order[0] == order[1]:
        order[1] = _other(order[0], order[2])
    if order[0] == order[2]:
        order[2] = _other(order[0], order[1])
    if order[1] == order[2]:
        order[2] = _other(order[0], order[1])
    flip = [False] * 3
    for row, axis in enumerate(order):
        flip[axis] = bool(axes[row, axis] < 0)
    return order, flip


def _other(first: int, second: int) -> int:
    return next(axis for axis in range(3) if axis not in (first, second))


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Invert a 3 x 3 matrix by cofactors, with the order of operations of MRtrix3's linear algebra library (Eigen)."""
    cofactors = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            i1, i2, j1, j2 = (i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3
            cofactors[i, j] = matrix[i1, j1] * matrix[i2, j2] - matrix[i1, j2] * matrix[i2, j1]
    column = cofactors[:, 0] * matrix[:, 0]
    return cofactors.T * (1.0 / ((column[0] + column[1]) + column[2]))


def flat_voxels(lookup: VoxelLookup, points: np.ndarray) -> np.ndarray:
    """Return the flat index in the stored array of the voxel nearest to each point, (n, 3) float32; -1 outside."""
    x, y, z = points.T
    flat = np.full(len(points), lookup.start, np.int64)
    inside = np.ones(len(points), bool)
    for m, size, step in zip(lookup.to_voxel, lookup.shape, lookup.strides, strict=True):
        exact = (((m[0] * x + m[1] * y) + m[2] * z) + m[3]).astype(np.float64)
        inside &= (exact > -0.5) & (exact < size - 0.5)
        flat += np.where(inside, exact + 0.5, 0).astype(np.int64) * step
    return np.where(inside, flat, -1)


@numba.njit(cache=True, nogil=True)
def nearest_index(row, size, x, y, z):  # type: ignore[no-untyped-def]
    """Return the index along one axis of the voxel nearest to a point; -1 outside.

    Parameters
    ----------
    row : numpy.ndarray
        (4,) float32, a row of `VoxelLookup.to_voxel`.
    size : int
        Number of voxels along the axis.
    x, y, z : float32
        World mm.
    """
    return rounded_index(((row[0] * x + row[1] * y) + row[2] * z) + row[3], size)


@numba.njit(cache=True, nogil=True)
def rounded_index(position, size):  # type: ignore[no-untyped-def]
    """Round a float32 to the nearest integer, halves away from zero; -1 outside an axis of `size` voxels."""
    exact = np.float64(position)
    if exact > -0.5 and exact < size - 0.5:
        return np.int64(exact + 0.5)
    return np.int64(-1)


@numba.njit(cache=True, nogil=True, inline='always')
def flat_voxel(to_voxel, shape, strides, start, x, y, z):  # type: ignore[no-untyped-def]
    """Return the flat index in the stored array of the voxel nearest to a point (world mm, float32); -1 outside."""
    m = to_voxel
    i = rounded_index(((m[0, 0] * x + m[0, 1] * y) + m[0, 2] * z) + m[0, 3], shape[0])
    j = rounded_index(((m[1, 0] * x + m[1, 1] * y) + m[1, 2] * z) + m[1, 3], shape[1])
    k = rounded_index(((m[2, 0] * x + m[2, 1] * y) + m[2, 2] * z) + m[2, 3], shape[2])
    if i < 0 or j < 0 or k < 0:
        return np.int64(-1)
    return start + i * strides[0] + j * strides[1] + k * strides[2]
