"""Voxels with supported percentages: those that enough streamlines visit."""

from __future__ import annotations

from typing import Any

import numpy as np

from lacuna.errors import InputError
from lacuna.images.nifti import make, voxels
from lacuna.measures import MIN_SUPPORT


def check_support(min_support: int) -> int:
    """Return a minimum number of streamlines for supported percentages, or raise an error if it is invalid.

    Raises
    ------
    lacuna.errors.InputError
    """
    if min_support < 1:
        message = f'--min-support {min_support}: give a number of streamlines, at least 1'
        raise InputError(message)
    return min_support


def support_mask(density: Any, min_support: int = MIN_SUPPORT) -> Any:
    """Return the mask of voxels with supported percentages: at least `min_support` streamlines visit them.

    Parameters
    ----------
    density : nibabel.Nifti1Image
        Number of streamlines that visit each voxel, in the whole tractogram.
    min_support : int

    Returns
    -------
    nibabel.Nifti1Image
        uint8, 0 or 1.
    """
    return make((voxels(density) >= min_support).view(np.uint8), density.affine)
