"""The voxels of a page: those of the maps, in the order that its viewer has."""

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
        What turns the data of the grid of maps.
    grid : lacuna.images.spaces.Grid
        That of the maps.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    turn: tuple[slice, ...]
    grid: Grid

    @classmethod
    def of(cls, grid: Grid) -> PageGrid:
        """The page for maps on a grid."""
        steps = np.where(np.diag(grid.affine)[:3] < 0, -1, 1)
        turned = np.diag([*steps, 1.0])
        turned[:3, 3] = np.where(steps < 0, np.array(grid.shape) - 1, 0)
        turn = tuple(slice(None, None, step) for step in steps.tolist())
        return cls(tuple(map(int, grid.shape)), grid.affine @ turned, turn, grid)

    def map(self, data: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """The values of a map on these voxels, those of its nearest voxel."""
        if data.shape == self.shape and np.allclose(affine, self.grid.affine):
            return data[self.turn]
        return to_grid(data, affine, self.shape, self.affine, 0)

    def mask(self, data: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """A mask on these voxels (uint8): those whose centre lies in it, or holds it if it is smaller than a voxel."""
        mask = data > 0
        shown = mask_to_grid(mask, affine, self.shape, self.affine)
        if not shown.any():
            shown[voxels_around(mask, affine, self.shape, self.affine)] = True
        return shown.view(np.uint8)

    def centre(self, mask: np.ndarray) -> list[float] | None:
        """World mm of the voxel of a mask that is nearest to the mean of all; None if it is empty."""
        part, affine = lesion_part(mask > 0, self.affine)
        return centre_of(np.argwhere(part), affine)


def centre_of(where: np.ndarray, affine: np.ndarray) -> list[float] | None:
    """World mm of the voxel that is nearest to the mean of some; None if there is none.

    >>> centre_of(np.array([[0, 0, 0], [1, 0, 0], [5, 0, 0]]), np.eye(4))
    [1.0, 0.0, 0.0]
    """
    if not len(where):
        return None
    from nibabel.affines import apply_affine

    nearest = where[((where - where.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    return [round(float(value), 1) for value in apply_affine(affine, nearest)]
