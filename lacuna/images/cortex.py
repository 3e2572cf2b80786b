"""The cortical surface: the mesh that ships with nilearn, and the parcels of an atlas on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine

from lacuna.images.atlases import Parcellation

HEMISPHERES = ('left', 'right')

#: from fsaverage space (MNI305) to MNI152, in mm (FreeSurfer, "CoordinateSystems", section 8b)
_TO_MNI152 = np.array(
    [
        [0.9975, -0.0073, 0.0176, -0.0429],
        [0.0146, 1.0009, -0.0024, 1.5496],
        [-0.0130, -0.0093, 0.9971, 1.1840],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
#: depths between white matter (0) and pia (1) at which the parcel of a vertex is looked up
_DEPTHS = np.linspace(0, 1, 6)
#: search radius in mm around the middle of the cortex for vertices without parcel: brains differ in their sulci
_REACH = 3
#: average thickness (mm) below which there may be no cortex. Only the largest such patch is the medial wall, because the
#: cortex at the bottom of the central sulcus is as thin
_THINNEST = 1.5
#: area (mm2) of cortex per vertex, of the 10,242 of a hemisphere
_VERTEX_AREA = 8.5
#: a parcel is subcortical if its area of cortex is a smaller share of the face of a cube of its volume: 0.2 for the
#: putamen, at least 0.45 for gyri of atlases
_LEAST_IN_CORTEX = 0.3
#: an atlas is subcortical if it covers a smaller share of the cortex
_LEAST_OF_CORTEX = 0.03


@dataclass(frozen=True)
class Hemisphere:
    """The surface of one hemisphere of fsaverage5, an average of 40 people.

    Attributes
    ----------
    white, pial : numpy.ndarray
        (10242, 3), inner and outer surface of the cortex, MNI152, world mm.
    inflated : numpy.ndarray
        (10242, 3), the same vertices on the inflated surface, mm.
    faces : numpy.ndarray
        (20480, 3), vertices of each triangle.
    depth : numpy.ndarray
        (10242,), sulcal depth: positive in sulci, negative on gyri.
    is_cortex : numpy.ndarray
        (10242,), bool; False on the medial wall.
    """

    white: np.ndarray
    pial: np.ndarray
    inflated: np.ndarray
    faces: np.ndarray
    depth: np.ndarray
    is_cortex: np.ndarray


def mesh_path(surface: str, side: str) -> Path:
    """Return a file of the mesh that ships with nilearn, without importing nilearn, which takes seconds.

    Parameters
    ----------
    surface : str
        ``white``, ``pial``, ``infl``, ``sulc`` or ``thick``.
    side : str
        ``left`` or ``right``.
    """
    found = find_spec('nilearn')
    assert found is not None  # noqa: S101 - nilearn is a dependency
    return Path(str(found.origin)).parent / f'datasets/data/fsaverage5/{surface}_{side}.gii.gz'


@cache
def hemisphere(side: str) -> Hemisphere:
    """Return the surface of the ``left`` or ``right`` hemisphere."""
    import nibabel as nib

    (white, faces), (pial, _), (inflated, _), (depth,), (thickness,) = (
        [array.data for array in nib.load(mesh_path(name, side)).darrays]
        for name in ('white', 'pial', 'infl', 'sulc', 'thick')
    )
    return Hemisphere(
        white=apply_affine(_TO_MNI152, white),
        pial=apply_affine(_TO_MNI152, pial),
        inflated=np.asarray(inflated, float),
        faces=np.asarray(faces),
        depth=np.asarray(depth, float),
        is_cortex=~_largest_patch(np.asarray(thickness < _THINNEST), faces),
    )


def _largest_patch(chosen: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the largest connected group of the chosen vertices."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = edges[chosen[edges].all(axis=1)]
    graph = coo_array((np.ones(len(edges), bool), edges.T), shape=(len(chosen), len(chosen)))
    _, group = connected_components(graph, directed=False)
    return np.asarray(group == np.bincount(group).argmax())


def vertex_parcels(parcellation: Parcellation) -> dict[str, np.ndarray] | None:
    """Return the parcel of each cortical vertex, by hemisphere: its row, from 1; 0 where there is none.

    A vertex belongs to the most frequent parcel at six depths between white matter and pia, each looked up in the
    nearest voxel; if there is none, to the nearest parcel within 3 mm. Subcortical parcels are left out, even if some
    of their voxels touch the cortex.

    Parameters
    ----------
    parcellation : lacuna.images.atlases.Parcellation

    Returns
    -------
    dict of numpy.ndarray, or None
        ``left`` and ``right``, each (10242,) int. None if the parcels cover less than 3 percent of the cortex.
    """
    met = {side: _most_frequent_parcels(parcellation, hemisphere(side)) for side in HEMISPHERES}
    vertices = np.bincount(np.concatenate(list(met.values())), minlength=len(parcellation.names) + 1)
    voxel = abs(np.linalg.det(parcellation.affine[:3, :3]))
    sizes = np.concatenate([[0], parcellation.sizes]) * voxel
    on_cortex = (vertices > 0) & (vertices * _VERTEX_AREA >= _LEAST_IN_CORTEX * sizes ** (2 / 3))
    on_cortex[0] = False
    cortex = sum(int(hemisphere(side).is_cortex.sum()) for side in HEMISPHERES)
    if vertices[on_cortex].sum() < _LEAST_OF_CORTEX * cortex:
        return None
    return {
        side: _fill_from_nearest(
            parcellation, hemisphere(side), np.where(on_cortex[found], found, 0), on_cortex
        )
        for side, found in met.items()
    }


def _most_frequent_parcels(parcellation: Parcellation, side: Hemisphere) -> np.ndarray:
    """Return the most frequent parcel of each vertex between white matter and pia; 0 if there is none."""
    cortex = np.flatnonzero(side.is_cortex)
    white, across = side.white[cortex], (side.pial - side.white)[cortex]
    met = np.stack([_labels(parcellation, white + depth * across) for depth in _DEPTHS])
    times = (met[:, None] == met[None]).sum(axis=0)  # frequency of the parcel at each depth
    best = np.argmax(np.where(met > 0, times, 0), axis=0)
    found = np.zeros(len(side.white), np.int64)
    found[cortex] = met[best, np.arange(len(cortex))]
    return found


def _fill_from_nearest(
    parcellation: Parcellation, side: Hemisphere, found: np.ndarray, on_cortex: np.ndarray
) -> np.ndarray:
    """Assign vertices without a parcel to the nearest one in reach, changing `found` in place."""
    steps = np.mgrid[(slice(-_REACH, _REACH + 1),) * 3].reshape(3, -1).T
    length = np.linalg.norm(steps, axis=1)
    nearest_first = steps[np.argsort(length, kind='stable')][: (length <= _REACH).sum()]
    without = np.flatnonzero(side.is_cortex & (found == 0))
    around = ((side.white + side.pial) / 2)[without, None] + nearest_first
    labels = _labels(parcellation, around.reshape(-1, 3)).reshape(around.shape[:2])
    found[without] = labels[np.arange(len(without)), np.argmax(on_cortex[labels], axis=1)]
    found[~on_cortex[found]] = 0
    return found


def _labels(parcellation: Parcellation, points: np.ndarray) -> np.ndarray:
    """Return the parcel in the voxel nearest to each point (world mm); 0 outside the image."""
    index = np.rint(apply_affine(np.linalg.inv(parcellation.affine), points)).astype(int)
    inside = ((index >= 0) & (index < parcellation.index.shape)).all(axis=1)
    labels = np.zeros(len(points), np.int64)
    labels[inside] = parcellation.index[tuple(index[inside].T)]
    return labels
