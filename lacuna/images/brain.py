"""The brain in the standard spaces: a small mask that ships with Lacuna, for plausibility checks.

It is the brain mask of ICBM 2009a at 2 mm, dilated by one voxel to cover the differences between the standard spaces.
Thus warnings depend neither on the space of an input nor on the templates available on a machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources

import numpy as np

from lacuna.utils.packed import unpack


@dataclass(frozen=True)
class Brain:
    """A brain mask.

    Attributes
    ----------
    data : numpy.ndarray
        (x, y, z) bool, read-only.
    affine : numpy.ndarray
        4 x 4, voxels to world mm (RAS+).
    """

    data: np.ndarray
    affine: np.ndarray

    @cached_property
    def voxels(self) -> int:
        """Number of voxels."""
        return int(np.count_nonzero(self.data))

    @cached_property
    def box(self) -> np.ndarray:
        """Smallest and largest world coordinates, mm; (2, 3)."""
        voxels = np.argwhere(self.data)
        from nibabel.affines import apply_affine

        corners = np.stack([voxels.min(axis=0) - 0.5, voxels.max(axis=0) + 0.5])
        return apply_affine(self.affine, corners)

    def holds(self, points: np.ndarray) -> np.ndarray:
        """Return whether each point, (n, 3) world mm, is in the brain; (n,) bool.

        >>> brain().holds(np.array([[0.0, -20, 10], [0, -20, 100]])).tolist()
        [True, False]
        """
        from nibabel.affines import apply_affine

        to_voxel = np.linalg.inv(self.affine)
        index = np.rint(apply_affine(to_voxel, points)).astype(int)
        inside = ((index >= 0) & (index < self.data.shape)).all(axis=1)
        inside[inside] = self.data[tuple(index[inside].T)]
        return inside


@cache
def brain() -> Brain:
    """Return the brain mask of the standard spaces."""
    from nibabel import Nifti1Image

    packed = resources.files('lacuna').joinpath('data/brain.nii.gz').read_bytes()
    image = Nifti1Image.from_bytes(unpack(packed))
    data = np.asanyarray(image.dataobj) > 0
    data.flags.writeable = False
    return Brain(data, np.asarray(image.affine, float))
