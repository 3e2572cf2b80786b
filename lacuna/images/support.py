"""Where percentages are supported: voxels that enough streamlines of the tractogram visit."""

from __future__ import annotations

from typing import Any

import numpy as np

from lacuna.errors import InputError
from lacuna.images.nifti import make, voxels
from lacuna.measures import MIN_SUPPORT


def check_support(min_support: int) -> int:
    """Refuse a number of streamlines that supports no percentage; return it.

    Raises
    ------
    lacuna.errors.InputError
    """
    if min_support < 1:
        message = f'--min-support {min_support}: give a number of streamlines, at least 1'
        raise InputError(message)
    return min_support


def support_mask(density: Any, min_support: int = MIN_SUPPORT) -> Any:
    """Return the voxels whose percentages are supported: at least so many streamlines of the tractogram visit them.

    Parameters
    ----------
    density : nibabel.Nifti1Image
        Number of streamlines of the tractogram that visit each voxel.
    min_support : int

    Returns
    -------
    nibabel.Nifti1Image
        uint8, 0 or 1.
    """
    return make((voxels(density) >= min_support).view(np.uint8), density.affine)
