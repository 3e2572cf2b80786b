"""The disconnection map of a lesion and its summary, computed from images."""

from __future__ import annotations

from typing import Any

import numpy as np

from lacuna.images.brain import brain
from lacuna.images.nifti import make, voxels
from lacuna.measures import MIN_SUPPORT, disconnection_percent, lesion_part, summary_statistics


def disconnection_map(lesion_tdi: Any, full_tdi: Any) -> Any:
    """Compute the percentage of each voxel's streamlines that a lesion cuts; 0 where there are no streamlines.

    Parameters
    ----------
    lesion_tdi, full_tdi : nibabel.Nifti1Image
        Density of the streamlines cut and of all streamlines, on one grid.

    Returns
    -------
    nibabel.Nifti1Image
        float32, 0 to 100.

    Raises
    ------
    ValueError
        If the images have different grids, or come from different tractograms.
    """
    if lesion_tdi.shape != full_tdi.shape or not np.allclose(lesion_tdi.affine, full_tdi.affine, atol=1e-4):
        message = f'{_name(lesion_tdi)} and {_name(full_tdi)} lie on different grids'
        raise ValueError(message)
    percent = disconnection_percent(voxels(lesion_tdi), voxels(full_tdi))
    return make(percent.astype(np.float32), lesion_tdi.affine)


def lesion_summary(
    mask: Any,
    percent: Any,
    full_tdi: Any,
    *,
    streamlines_total: int,
    streamlines_disconnected: int,
    support: Any = None,
    min_support: int = MIN_SUPPORT,
) -> dict[str, Any]:
    """Compute volume, counts and extent of one lesion, with the keys of the statistics file.

    Parameters
    ----------
    mask : nibabel.Nifti1Image
        Lesion mask on its own grid: binary, or graded (float).
    percent : nibabel.Nifti1Image
        Its disconnection map.
    full_tdi : nibabel.Nifti1Image
        Density of all streamlines, on the grid of the map.
    streamlines_total, streamlines_disconnected : int
        Number of streamlines of the tractogram, and of those with a vertex in the mask.
    support : nibabel.Nifti1Image, optional
        Number of streamlines that visit each voxel; by default `full_tdi`, if it counts streamlines.
    min_support : int
        A voxel is supported if at least this many streamlines visit it.
    """
    part, affine = lesion_part(voxels(mask), np.asarray(mask.affine, float))
    return summary_statistics(
        mask=part,
        mask_affine=affine,
        percent=voxels(percent),
        full_tdi=voxels(full_tdi),
        grid_affine=np.asarray(percent.affine, float),
        brain=brain().data,
        brain_affine=brain().affine,
        streamlines_total=streamlines_total,
        streamlines_disconnected=streamlines_disconnected,
        support=None if support is None else voxels(support),
        min_support=min_support,
    )


def _name(image: Any) -> str:
    return image.get_filename() or 'an image'
