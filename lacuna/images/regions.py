"""Atlases in the space of the masks, saved for the lesion load of all masks."""

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

#: version of the files, part of their names in the cache
VERSION = 1

#: an atlas of labels or of probabilities
Regions = Parcellation | Probabilities


def read_regions(atlas: Atlas, space: str, transform: Path | None = None) -> Regions:
    """Read an atlas of labels or of probabilities.

    Parameters
    ----------
    atlas : lacuna.images.atlases.Atlas
    space : str
        Standard space of the masks.
    transform : pathlib.Path, optional
        Moves points from `space` to that of the atlas, whose labels are then resampled to the 1 mm grid of `space`.

    Raises
    ------
    lacuna.errors.InputError
        If the atlas is unreadable, or its image and names do not match.
    """
    if is_probability_atlas(atlas.image):
        return read_probabilities(atlas)
    parcels = read_parcellation(atlas)
    if transform is None:
        return parcels
    return move_parcellation(parcels, standard_grid(space, 1), PointTransform(transform))


def save_regions(regions: Regions, path: Path) -> Path:
    """Write a ``.npz`` atomically."""
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
    """Read a file written by `save_regions`."""
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
    """Return the names of the regions and the checksum, from an open file of `save_regions`."""
    return tuple(content['names'].tolist()), str(content['sha256'])


def region_load(mask: Any, regions: Regions) -> dict[str, np.ndarray]:
    """Compute the percentage of each region that is lesion.

    Parameters
    ----------
    mask : nibabel.Nifti1Image
        Binary, on any grid of the regions' space.
    regions : Parcellation or Probabilities

    Returns
    -------
    dict of str to numpy.ndarray
        (regions,) float64 in percent, by name of the output: ``lesion_load`` and, for probability atlases,
        ``lesion_probability``; see :mod:`lacuna.images.load`.
    """
    if isinstance(regions, Probabilities):
        load, largest = probability_load(mask, regions)
        return {'lesion_load': load, 'lesion_probability': largest}
    return {'lesion_load': parcel_load(mask, regions)}
