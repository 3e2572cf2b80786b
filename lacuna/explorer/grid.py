"""The voxels of a page: those of the maps, in the viewer's order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lacuna.images.spaces import Grid
from lacuna.measures import lesion_part
from lacuna.reports.figures.frame import mask_to_grid, to_grid, voxels_around


@dataclass(frozen=True)
class PageGrid:
    """Voxels with x to the right, y to the front and z up.

    Attributes
    ----------
    shape : tuple of int
    affine : numpy.ndarray
        4 x 4, voxels to world mm (RAS+); without rotation.
    turn : tuple of slice
        Slices that reorient the data of the maps' grid.
    grid : lacuna.images.spaces.Grid
        Grid of the maps.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    turn: tuple[slice, ...]
    grid: Grid

    @classmethod
    def of(cls, grid: Grid) -> PageGrid:
        """Create the page's grid for maps on `grid`."""
        steps = np.where(np.diag(grid.affine)[:3] < 0, -1, 1)
        turned = np.diag([*steps, 1.0])
        turned[:3, 3] = np.where(steps < 0, np.array(grid.shape) - 1, 0)
        turn = tuple(slice(None, None, step) for step in steps.tolist())
        return cls(tuple(map(int, grid.shape)), grid.affine @ turned, turn, grid)

    def map(self, data: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """Resample a map to these voxels (nearest voxel)."""
        if data.shape == self.shape and np.allclose(affine, self.grid.affine):
            return data[self.turn]
        return to_grid(data, affine, self.shape, self.affine, 0)

    def mask(self, data: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """Resample a mask to these voxels (uint8): those with their centre in it, or with a smaller mask voxel inside."""
        mask = data > 0
        shown = mask_to_grid(mask, affine, self.shape, self.affine)
        if not shown.any():
            shown[voxels_around(mask, affine, self.shape, self.affine)] = True
        return shown.view(np.uint8)

    def centre(self, mask: np.ndarray) -> list[float] | None:
        """Return the world coordinates (mm) of the voxel of a mask nearest to the mean of all; None if it is empty."""
        part, affine = lesion_part(mask > 0, self.affine)
        return centre_of(np.argwhere(part), affine)


def centre_of(where: np.ndarray, affine: np.ndarray) -> list[float] | None:
    """Return the world coordinates (mm) of the voxel nearest to the mean of some voxels; None without voxels.

    >>> centre_of(np.array([[0, 0, 0], [1, 0, 0], [5, 0, 0]]), np.eye(4))
    [1.0, 0.0, 0.0]
    """
    if not len(where):
        return None
    from nibabel.affines import apply_affine

    nearest = where[((where - where.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    return [round(float(value), 1) for value in apply_affine(affine, nearest)]
