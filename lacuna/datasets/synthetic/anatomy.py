"""The shape of the brain on a standard grid, from the MNI152 template that ships with nilearn (no network)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lacuna.images.spaces import Grid

if TYPE_CHECKING:
    import nibabel as nib


def brain_mask(grid: Grid) -> np.ndarray:
    """Return the voxels of the brain, including the ventricles.

    nilearn's template is the symmetric average ICBM 2009a, within 2 to 3 mm of MNI152NLin6Asym.

    Parameters
    ----------
    grid : Grid

    Returns
    -------
    numpy.ndarray
        Boolean, with the grid's shape.
    """
    from nilearn.datasets import load_mni152_brain_mask
    from scipy import ndimage

    mask = _onto_grid(load_mni152_brain_mask(resolution=1), grid) > 0
    return ndimage.binary_fill_holes(mask)  # the threshold leaves holes in the cerebrospinal fluid


def gray_matter(grid: Grid) -> np.ndarray:
    """Return the share of grey matter in each voxel, 0 to 1 (float32, with the grid's shape)."""
    from nilearn.datasets import load_mni152_gm_template

    return _onto_grid(load_mni152_gm_template(resolution=1), grid).astype(np.float32)


def world_coordinates(grid: Grid, voxels: np.ndarray) -> np.ndarray:
    """Return the world coordinates (mm, RAS+) of voxel indices, (..., 3)."""
    return voxels @ grid.affine[:3, :3].T + grid.affine[:3, 3]


def voxel_indices(grid: Grid, points: np.ndarray) -> np.ndarray:
    """Return the voxel nearest to each point (world mm), clipped to the grid."""
    # standard grids are parallel to the world axes
    voxels = np.rint((points - grid.affine[:3, 3]) / np.diag(grid.affine)[:3]).astype(np.int64)
    return np.clip(voxels, 0, np.array(grid.shape) - 1)


def _onto_grid(image: nib.Nifti1Image, grid: Grid) -> np.ndarray:
    """Sample `image` at the voxel centres of `grid` (nearest voxel; 0 outside).

    Both have their centres at whole millimetres, so nothing is interpolated and results do not depend on rounding.
    """
    data = np.asanyarray(image.dataobj)
    to_image = np.linalg.inv(image.affine) @ grid.affine
    # both grids are parallel to the world axes: look up each axis separately
    axes = [
        np.rint(np.arange(n) * to_image[a, a] + to_image[a, 3]).astype(int) for a, n in enumerate(grid.shape)
    ]
    inside = [(axis >= 0) & (axis < n) for axis, n in zip(axes, data.shape, strict=True)]
    values = data[np.ix_(*(np.clip(axis, 0, n - 1) for axis, n in zip(axes, data.shape, strict=True)))]
    return np.where(inside[0][:, None, None] & inside[1][:, None] & inside[2], values, 0)
