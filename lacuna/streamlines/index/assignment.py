"""Assign the ends of streamlines to parcels, as ``tck2connectome`` does.

The rule ``radial`` is its radial search: voxels around an end are tried from near to far, and the end belongs to the
parcel of the nearest labelled voxel centre within 4 mm (``Tck2nodes_radial`` in
``src/dwi/tractography/connectome/tck2nodes.cpp`` of MRtrix3 3.0). It uses double precision, the image in RAS+
orientation and the same search order, so that ties are resolved in the same way. The rule ``end-voxels`` is
``-assignment_end_voxels``: the parcel of the voxel of the end (``Tck2nodes_end_voxels``).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from lacuna.errors import InputError, check_choice
from lacuna.streamlines.endpoints import RULES
from lacuna.streamlines.index.voxels import VoxelLookup, voxel_lookup

RADIUS = 4.0
_BATCH = 2**16


def assign(
    endpoints: np.ndarray,
    labels: np.ndarray,
    affine: np.ndarray,
    *,
    rule: str = 'radial',
    radius: float = RADIUS,
    nprocs: int = 1,
) -> np.ndarray:
    """Return the parcel at each end of each streamline; 0 where there is none.

    Parameters
    ----------
    endpoints : numpy.ndarray
        (n, 2, 3) float32, first and last vertex, world mm; NaN for a streamline without vertices.
    labels : numpy.ndarray
        (i, j, k), non-negative integers; 0 is background.
    affine : numpy.ndarray
        (4, 4), voxel indices of `labels` to world mm; for a NIfTI file see `lacuna.images.nifti.nifti_affine`.
    rule : str
        One of `lacuna.streamlines.endpoints.RULES`.
    radius : float
        Search radius in mm, for the rule ``radial``.
    nprocs : int
        Number of threads.

    Returns
    -------
    numpy.ndarray
        (n, 2) int32, values of `labels`.

    Raises
    ------
    InputError
        If `labels` is not a volume of integers in range, or `affine` is singular.
    """
    labels = np.asarray(labels)
    if labels.ndim != 3:
        message = f'a label image has three dimensions, but this one has {labels.ndim}'
        raise InputError(message)
    whole = np.ascontiguousarray(labels, np.int32)
    if labels.dtype != np.int32 and (whole != labels).any():
        message = 'the label image holds values that are not whole numbers'
        raise InputError(message)
    if whole.size and int(whole.min()) < 0:
        message = 'the label image holds negative values'
        raise InputError(message)
    check_choice('rule', rule, RULES)
    lookup = voxel_lookup(affine, labels.shape)
    end_only = rule == 'end-voxels'
    offsets = _search_order(lookup.spacing, 0.0 if end_only else radius)[: 1 if end_only else None]
    reach = float(np.sqrt(((0.5 * lookup.spacing[::-1]) ** 2).cumsum()[-1]))
    to_voxel = _double_inverse(lookup)
    points = np.ascontiguousarray(endpoints, np.float32).reshape(-1, 3)
    out = np.zeros(len(points), np.int32)

    def run(first: int) -> None:
        part = slice(first, first + _BATCH)
        _search(
            points[part], whole.reshape(-1), to_voxel, lookup.to_world,
            lookup.shape, lookup.strides, lookup.start, offsets, np.inf if end_only else radius, reach, out[part],
        )  # fmt: skip

    with ThreadPoolExecutor(max(1, nprocs)) as pool:
        list(pool.map(run, range(0, len(points), _BATCH)))
    return out.reshape(-1, 2)


def _double_inverse(lookup: VoxelLookup) -> np.ndarray:
    """Return the world-to-voxel transform in double precision, (3, 4)."""
    whole = np.vstack([lookup.to_world, [0.0, 0.0, 0.0, 1.0]])
    return np.ascontiguousarray(np.linalg.inv(whole)[:3])


def _search_order(spacing: np.ndarray, radius: float) -> np.ndarray:
    """Return the offsets from the voxel of the end in search order, (n, 3) int64."""
    reach = np.sqrt(((0.5 * spacing[2]) ** 2 + (0.5 * spacing[1]) ** 2) + (0.5 * spacing[0]) ** 2)
    most = int(np.ceil((radius + reach) / spacing.min()))
    axis = np.arange(-most, most + 1)
    z, y, x = (grid.reshape(-1) for grid in np.meshgrid(axis, axis, axis, indexing='ij'))
    distance = np.sqrt(((z * spacing[2]) ** 2 + (y * spacing[1]) ** 2) + (x * spacing[0]) ** 2)
    order = np.argsort(distance, kind='stable')
    order = order[distance[order] < radius + reach]
    return np.ascontiguousarray(np.column_stack([x, y, z])[order].astype(np.int64))


@numba.njit(cache=True, nogil=True)
def _round(value):  # type: ignore[no-untyped-def]
    """Round to the nearest integer, halves away from zero."""
    lower = np.floor(value)
    part = value - lower
    if part > 0.5 or (part == 0.5 and value > 0):
        lower += 1.0
    return np.int64(lower)


@numba.njit(cache=True, nogil=True)
def _search(  # type: ignore[no-untyped-def]
    points, labels, to_voxel, to_world, shape, strides, start, offsets, radius, reach, out
):
    for n in range(len(points)):
        x, y, z = np.float64(points[n, 0]), np.float64(points[n, 1]), np.float64(points[n, 2])
        if not (abs(x) < 1e6 and abs(y) < 1e6 and abs(z) < 1e6):
            continue
        ci = _round(((to_voxel[0, 0] * x + to_voxel[0, 1] * y) + to_voxel[0, 2] * z) + to_voxel[0, 3])
        cj = _round(((to_voxel[1, 0] * x + to_voxel[1, 1] * y) + to_voxel[1, 2] * z) + to_voxel[1, 3])
        ck = _round(((to_voxel[2, 0] * x + to_voxel[2, 1] * y) + to_voxel[2, 2] * z) + to_voxel[2, 3])
        best = radius
        for m in range(len(offsets)):
            i, j, k = ci + offsets[m, 0], cj + offsets[m, 1], ck + offsets[m, 2]
            dx = x - (((to_world[0, 0] * i + to_world[0, 1] * j) + to_world[0, 2] * k) + to_world[0, 3])
            dy = y - (((to_world[1, 0] * i + to_world[1, 1] * j) + to_world[1, 2] * k) + to_world[1, 3])
            dz = z - (((to_world[2, 0] * i + to_world[2, 1] * j) + to_world[2, 2] * k) + to_world[2, 3])
            distance = np.sqrt((dx * dx + dy * dy) + dz * dz)
            if distance > best + 2 * reach:
                break
            if distance < best and 0 <= i < shape[0] and 0 <= j < shape[1] and 0 <= k < shape[2]:
                label = labels[start + i * strides[0] + j * strides[1] + k * strides[2]]
                if label:
                    out[n] = label
                    best = distance
