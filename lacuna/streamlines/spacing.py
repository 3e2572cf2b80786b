"""Whether a tractogram's vertices lie close enough together for a density map without gaps."""

from __future__ import annotations

import math

from lacuna.streamlines.tck import TractogramInfo


def upsampling(step_size: float | None, voxel: float, requested: int | None = None) -> int:
    """Factor by which streamlines are sampled more finely before their voxels are counted, by MRtrix3's rule.

    Parameters
    ----------
    step_size : float or None
        Distance of the vertices in mm, as the header of the ``.tck`` claims; None if it does not.
    voxel : float
        Smallest edge of a voxel in mm.
    requested : int, optional
        Factor that the user asked for; it overrides the rule.

    Examples
    --------
    >>> upsampling(1.0, 2.0)
    2
    >>> upsampling(None, 2.0)
    1
    """
    if requested is not None:
        return requested
    return 1 if step_size is None else math.ceil(step_size / (0.333 * voxel))


def gap_warning(info: TractogramInfo, voxel: float, requested: int | None = None) -> str | None:
    """Warn if the vertices lie more than half a voxel apart after upsampling.

    Parameters
    ----------
    info : TractogramInfo
        What `lacuna.streamlines.tck.scan` found.
    voxel : float
        Smallest edge of a voxel of the density map in mm.
    requested : int, optional
        Factor given by ``--tck-upsample``.

    Returns
    -------
    str or None
        One line that names the option and a factor that is enough; None if the spacing is fine.
    """
    factor = upsampling(info.step_size, voxel, requested)
    if info.spacing / factor <= voxel / 2:
        return None
    enough = math.ceil(info.spacing / (0.333 * voxel))
    why = '' if info.step_size else '; its header has no step_size'
    sampled = f', sampled {factor} times as finely' if factor > 1 else ''
    return (
        f'the vertices of the tractogram are {info.spacing:.2f} mm apart on average{sampled}, more than half a voxel '
        f'of {voxel:g} mm{why}: density maps may have gaps; --tck-upsample {enough} fills them'
    )
