"""The brain's shape on a standard grid, from the MNI152 template that comes with nilearn (no network)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lacuna.images.spaces import Grid

if TYPE_CHECKING:
    import nibabel as nib


def brain_mask(grid: Grid) -> np.ndarray:
    """Return the voxels of the brain, including the ventricles.

    nilearn's template is the symmetric ICBM 2009a average: within 2 to 3 mm of MNI152NLin6Asym.

    Parameters
    ----------
    grid : Grid

    Returns
    -------
    numpy.ndarray
        Boolean, of the grid's shape.
    """
    from nilearn.datasets import load_mni152_brain_mask
    from scipy import ndimage

    mask = _onto_grid(load_mni152_brain_mask(resolution=1), grid) > 0
    return ndimage.binary_fill_holes(mask)  # its threshold leaves holes in the fluid


def gray_matter(grid: Grid) -> np.ndarray:
    """Return the share of grey matter in each voxel, 0 to 1 (float32, of the grid's shape)."""
    from nilearn.datasets import load_mni152_gm_template

    return _onto_grid(load_mni152_gm_template(resolution=1), grid).astype(np.float32)


def world_coordinates(grid: Grid, voxels: np.ndarray) -> np.ndarray:
    """World mm (RAS+) of voxel indices, (..., 3)."""
    return voxels @ grid.affine[:3, :3].T + grid.affine[:3, 3]


def voxel_indices(grid: Grid, points: np.ndarray) -> np.ndarray:
    """Return the nearest voxel of each point (world mm), moved to the border of the grid if it lies outside."""
    # the standard grids are parallel to the axes of the world
    voxels = np.rint((points - grid.affine[:3, 3]) / np.diag(grid.affine)[:3]).astype(np.int64)
    return np.clip(voxels, 0, np.array(grid.shape) - 1)


def _onto_grid(image: nib.Nifti1Image, grid: Grid) -> np.ndarray:
    """Return the value of `image` at the centre of each voxel of `grid`: the nearest one, 0 outside the image.

    The template's voxels are 1 mm with centres at whole millimetres, like the grid's: nothing is interpolated, and
    nothing depends on how a processor rounds.
    """
    data = np.asanyarray(image.dataobj)
    to_image = np.linalg.inv(image.affine) @ grid.affine
    # both grids are parallel to the axes: each axis can be looked up on its own
    axes = [
        np.rint(np.arange(n) * to_image[a, a] + to_image[a, 3]).astype(int) for a, n in enumerate(grid.shape)
    ]
    inside = [(axis >= 0) & (axis < n) for axis, n in zip(axes, data.shape, strict=True)]
    values = data[np.ix_(*(np.clip(axis, 0, n - 1) for axis, n in zip(axes, data.shape, strict=True)))]
    return np.where(inside[0][:, None, None] & inside[1][:, None] & inside[2], values, 0)
