"""The voxels of an atlas in the space of the masks, in a file: what the lesion load of all masks is computed from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.images.atlases import Atlas, Parcellation, move_parcellation, read_parcellation
from lacuna.images.load import (
    Probabilities,
    is_probability_atlas,
    parcel_load,
    probability_load,
    read_probabilities,
)
from lacuna.images.memberships import Memberships
from lacuna.images.spaces import standard_grid
from lacuna.images.transforms import PointTransform
from lacuna.utils.files import replacing

#: version of the files, a part of their names in the cache
VERSION = 1

#: an atlas of labels, or of probabilities
Regions = Parcellation | Probabilities


def read_regions(atlas: Atlas, space: str, transform: Path | None = None) -> Regions:
    """Read an atlas of labels or of probabilities.

    Parameters
    ----------
    atlas : lacuna.images.atlases.Atlas
    space : str
        Of the masks.
    transform : pathlib.Path, optional
        Moves points from `space` to that of the atlas: its labels are resampled to the 1 mm grid of `space`.

    Raises
    ------
    lacuna.errors.InputError
        If it cannot be read, or image and names do not fit.
    """
    if is_probability_atlas(atlas.image):
        return read_probabilities(atlas)
    parcels = read_parcellation(atlas)
    if transform is None:
        return parcels
    return move_parcellation(parcels, standard_grid(space, 1), PointTransform(transform))


def save_regions(regions: Regions, path: Path) -> Path:
    """Write a ``.npz``, completely or not at all."""
    about: dict[str, Any] = {'names': np.array(regions.names, str), 'sha256': np.array(regions.sha256)}
    with replacing(path) as temporary:
        if isinstance(regions, Probabilities):
            np.savez(temporary, **about, **regions.memberships.arrays())
        else:
            np.savez_compressed(  # most voxels are background
                temporary,
                index=regions.index.astype(np.min_scalar_type(len(regions.names))),
                affine=regions.affine,
                networks=np.array(regions.networks, str),
                atlas=np.array([str(value) for value in dataclasses.astuple(regions.atlas)]),
                **about,
            )
    return path


def load_regions(path: str | Path) -> Regions:
    """Read a file of `save_regions`."""
    with np.load(path, allow_pickle=False) as content:
        names, sha256 = read_identity(content)
        if 'weights' in content:
            return Probabilities(names, Memberships.of_arrays(content), sha256)
        name, image, labels, space, source = content['atlas'].tolist()
        return Parcellation(
            Atlas(name, Path(image), Path(labels), space, source),
            content['index'].astype(np.int32),
            content['affine'],
            names,
            sha256,
            tuple(content['networks'].tolist()),
        )


def read_identity(content: Any) -> tuple[tuple[str, ...], str]:
    """Names of the regions, and checksum, from an open file of `save_regions`."""
    return tuple(content['names'].tolist()), str(content['sha256'])


def region_load(mask: Any, regions: Regions) -> dict[str, np.ndarray]:
    """Compute how much of each region is lesion.

    Parameters
    ----------
    mask : nibabel.Nifti1Image
        0 and 1, on any grid of the space of the regions.
    regions : Parcellation or Probabilities

    Returns
    -------
    dict of str to numpy.ndarray
        By the name of the output, (regions,) float64 in percent: ``lesion_load``, and for probabilities
        ``lesion_probability``, see :mod:`lacuna.images.load`.
    """
    if isinstance(regions, Probabilities):
        load, largest = probability_load(mask, regions)
        return {'lesion_load': load, 'lesion_probability': largest}
    return {'lesion_load': parcel_load(mask, regions)}
