"""Overlap of a mask with the voxels of another grid: at voxel centres, or as a share of the volume."""

from __future__ import annotations

from itertools import product

import numpy as np

from lacuna.measures import lesion_part

#: decimals of voxel positions, which are sums of single-precision numbers
_DIGITS = 6
#: sampling points along each edge of a voxel, if the axes of two grids are not parallel
_POINTS = 4


def covered_voxels(
    mask: np.ndarray, mask_affine: np.ndarray, shape: tuple[int, ...], affine: np.ndarray
) -> np.ndarray:
    """Find the voxels of a grid whose centre is in a voxel of a mask.

    Parameters
    ----------
    mask : numpy.ndarray
        (x, y, z); values other than 0 are the mask.
    mask_affine, affine : numpy.ndarray
        4 x 4, voxels of the mask and of the grid to world mm.
    shape : tuple of int
        Shape of the grid.

    Returns
    -------
    numpy.ndarray
        (n,) int64, flat indices (C order), ascending.

    Examples
    --------
    >>> covered_voxels(np.ones((1, 1, 1), bool), np.diag([2.0, 2, 2, 1]), (3, 1, 1), np.eye(4))
    array([0])
    """
    return covered_values(mask, mask_affine, shape, affine)[0]


def covered_values(
    mask: np.ndarray, mask_affine: np.ndarray, shape: tuple[int, ...], affine: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the voxels as `covered_voxels` does, with the value of the mask at the centre of each.

    Parameters
    ----------
    mask : numpy.ndarray
        (x, y, z), float if graded; otherwise, values other than 0 are the mask.
    mask_affine, affine, shape
        See `covered_voxels`.

    Returns
    -------
    voxels : numpy.ndarray
        (n,) int64, flat indices (C order), ascending.
    values : numpy.ndarray
        (n,) with the dtype of the mask if graded, else bool.

    Examples
    --------
    >>> covered_values(np.array([[[0, 0.25, 1]]]), np.eye(4), (1, 1, 3), np.eye(4))
    (array([1, 2]), array([0.25, 1.  ]))
    """
    mask, mask_affine = _crop(mask, mask_affine)
    low, size = _box(mask, mask_affine, shape, affine)
    if not mask.size or not size.all():
        return np.empty(0, np.int64), np.empty(0, mask.dtype)
    to_mask = _voxel_transform(affine, mask_affine, low)
    if (order := _axis_order(to_mask)) is None:
        at = np.indices(tuple(size.tolist())).reshape(3, -1)
        at = np.floor(to_mask[:3, :3] @ at + to_mask[:3, 3:] + 0.5).astype(int)
        inside = ((at >= 0) & (at < np.array(mask.shape)[:, None])).all(axis=0)
        hit = np.zeros(at.shape[1], mask.dtype)
        hit[inside] = mask[tuple(at[:, inside])]
        where = _voxel_indices(hit.reshape(size))
        return _flat_indices(where + low, shape), hit[hit != 0]
    part = mask.transpose(order)
    first = np.empty(3, int)
    for axis, of_mask in enumerate(order):
        at = np.floor(to_mask[of_mask, axis] * np.arange(size[axis]) + to_mask[of_mask, 3] + 0.5).astype(int)
        inside = np.flatnonzero((at >= 0) & (at < mask.shape[of_mask]))
        if not len(inside):
            return np.empty(0, np.int64), np.empty(0, mask.dtype)
        first[axis] = inside[0]
        part = _take(part, at[inside], axis)
    where = _voxel_indices(part)
    return _flat_indices(where + low + first, shape), part[tuple(where.T)]


def _take(part: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
    """Take rows along an axis, without a copy if they are contiguous."""
    step = int(at[1] - at[0]) if len(at) > 1 else 1
    if step == 0 or (np.diff(at) != step).any():
        return part.take(at, axis)
    stop = int(at[-1]) + step
    rows = slice(int(at[0]), None if stop < 0 else stop, step)
    return part[(slice(None),) * axis + (rows,)]


def covered_share(
    mask: np.ndarray, mask_affine: np.ndarray, shape: tuple[int, ...], affine: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the voxels of a grid that a mask overlaps, and the share of their volume (or the mean of a graded mask).

    Exact if the axes of the grids are parallel; otherwise sampled at four points along each edge of the grid's voxels.

    Parameters
    ----------
    mask : numpy.ndarray
        (x, y, z), float if graded; otherwise, values other than 0 are the mask.
    mask_affine, affine : numpy.ndarray
        4 x 4, voxels of the mask and of the grid to world mm.
    shape : tuple of int
        Shape of the grid.

    Returns
    -------
    voxels : numpy.ndarray
        (n,) int64, flat indices (C order), ascending.
    share : numpy.ndarray
        (n,) float64, above 0, up to 1.

    Examples
    --------
    >>> covered_share(np.ones((1, 1, 1), bool), np.eye(4), (2, 1, 1), np.diag([2.0, 2, 2, 1]))
    (array([0]), array([0.125]))
    """
    mask, mask_affine = _crop(mask, mask_affine)
    low, size = _box(mask, mask_affine, shape, affine)
    if not mask.size or not size.all():
        return np.empty(0, np.int64), np.empty(0)
    to_grid = _voxel_transform(mask_affine, affine, np.zeros(3, int))
    to_grid[:3, 3] -= low
    share = _exact_share if _axis_order(to_grid) else _sampled_share
    covered = share(mask, to_grid, tuple(size))
    hit = _voxel_indices(covered > 1e-9)
    return _flat_indices(hit + low, shape), np.minimum(covered[tuple(hit.T)], 1.0)


def _exact_share(mask: np.ndarray, to_grid: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Compute the overlap of the voxels of grid and mask axis by axis."""
    from scipy import sparse

    order = _axis_order(to_grid.T) or (0, 1, 2)  # the grid's axis for each axis of the mask
    covered = mask.transpose(order).astype(np.float64)
    for axis, of_mask in enumerate(order):
        scale, shift = to_grid[axis, of_mask], to_grid[axis, 3]
        middle = scale * np.arange(mask.shape[of_mask]) + shift
        reach = abs(scale) / 2
        first = np.floor(middle - reach + 0.5).astype(int)
        rows, columns, lengths = [], [], []
        for step in range(
            int(np.ceil(2 * reach)) + 1
        ):  # voxels of the grid that one voxel of the mask can overlap
            at = first + step
            length = np.minimum(middle + reach, at + 0.5) - np.maximum(middle - reach, at - 0.5)
            overlapping = (length > 1e-9) & (at >= 0) & (at < size[axis])
            rows.append(at[overlapping])
            columns.append(np.flatnonzero(overlapping))
            lengths.append(length[overlapping])
        weights = sparse.csr_matrix(
            (np.concatenate(lengths), (np.concatenate(rows), np.concatenate(columns))),
            shape=(size[axis], mask.shape[of_mask]),
        )
        moved = np.moveaxis(covered, axis, 0)
        summed = weights @ moved.reshape(len(moved), -1)
        covered = np.moveaxis(summed.reshape(size[axis], *moved.shape[1:]), 0, axis)
    return covered


def _sampled_share(mask: np.ndarray, to_grid: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Compute the share of sampling points in each voxel of the grid that are in the mask."""
    to_mask = np.linalg.inv(to_grid)
    voxels = np.indices(size).reshape(3, -1).T
    hits = np.zeros(len(voxels))
    steps = (np.arange(_POINTS) + 0.5) / _POINTS - 0.5
    for step in product(steps, repeat=3):
        at = (voxels + step) @ to_mask[:3, :3].T + to_mask[:3, 3]
        at = np.floor(at + 0.5).astype(int)
        inside = ((at >= 0) & (at < mask.shape)).all(axis=1)
        hits[inside] += mask[tuple(at[inside].T)]
    return hits.reshape(size) / _POINTS**3


def _crop(mask: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Crop a mask to its voxels, and convert it to bool unless graded."""
    part, moved = lesion_part(mask, affine)
    return part if part.dtype.kind == 'f' else part != 0, moved


def _box(
    mask: np.ndarray, mask_affine: np.ndarray, shape: tuple[int, ...], affine: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return first voxel and size of the part of the grid that the mask can overlap."""
    if not mask.size:
        return np.zeros(3, int), np.zeros(3, int)
    # after `_crop`, the mask touches all borders of the array
    edges = np.array([[-0.5, length - 0.5] for length in mask.shape])
    corners = np.array(list(product(*edges))) @ mask_affine[:3, :3].T + mask_affine[:3, 3]
    at = (corners - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    low = np.clip(np.floor(at.min(axis=0)).astype(int), 0, shape)
    high = np.clip(np.ceil(at.max(axis=0)).astype(int) + 1, 0, shape)
    return low, np.maximum(high - low, 0)


def _voxel_transform(source: np.ndarray, target: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return the transform from voxels of one grid, relative to `first`, to voxels of another, rounded."""
    matrix = np.linalg.inv(target) @ source
    matrix[:3, 3] += matrix[:3, :3] @ first
    return np.asarray(matrix.round(_DIGITS))


def _axis_order(matrix: np.ndarray) -> tuple[int, ...] | None:
    """Return the row with the only entry of each of the first three columns; None if the axes are not parallel."""
    entries = matrix[:3, :3] != 0
    if (entries.sum(axis=0) != 1).any() or (entries.sum(axis=1) != 1).any():
        return None
    return tuple(int(row) for row in entries.argmax(axis=0))


def _voxel_indices(filled: np.ndarray) -> np.ndarray:
    """Return the voxels of a mask in C order, (n, 3); flat indices are several times as fast to find."""
    return np.column_stack(np.unravel_index(np.flatnonzero(np.ascontiguousarray(filled)), filled.shape))


def _flat_indices(voxels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.ravel_multi_index(tuple(voxels.T), shape), np.int64)
