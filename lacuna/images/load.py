"""Lesion load: the percentage of each region of an atlas, or of each bundle, that is lesion.

Regions are counted on the voxels of the atlas, with the mask looked up at their centres, so that the denominator does
not depend on the patient. Voxels of a graded mask count by their value.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.errors import InputError, reason_of
from lacuna.images.atlases import Atlas, Parcellation
from lacuna.images.labels import read_labels
from lacuna.images.masks import check_size
from lacuna.images.memberships import Memberships
from lacuna.images.nifti import is_usable, opened, voxels
from lacuna.images.overlap import covered_share, covered_values

#: upper bound of probabilities in percent
_PERCENT = 100.0


@dataclass(frozen=True)
class Probabilities:
    """A probability atlas: a 4D image with one volume per region.

    Attributes
    ----------
    names : tuple of str
        Names of the regions.
    memberships : lacuna.images.memberships.Memberships
        Voxels of the regions, with the probability (0 to 1) as weight.
    sha256 : str
        Checksum of voxels, affine and names.
    """

    names: tuple[str, ...]
    memberships: Memberships
    sha256: str


def parcel_load(mask: Any, parcellation: Parcellation) -> np.ndarray:
    """Compute the percentage of each parcel that is lesion.

    Parameters
    ----------
    mask : nibabel.Nifti1Image
        Binary or graded (float), on any grid of the parcellation's space.
    parcellation : lacuna.images.atlases.Parcellation

    Returns
    -------
    numpy.ndarray
        (parcels,) float64, 0 to 100, in the order of the names; NaN for an empty parcel.
    """
    index = parcellation.index
    inside, values = covered_values(voxels(mask), mask.affine, index.shape, parcellation.affine)
    whole = parcellation.sizes
    part = np.bincount(index.reshape(-1)[inside], values, minlength=len(whole) + 1)[1:]
    return np.divide(100.0 * part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def probability_load(mask: Any, probabilities: Probabilities) -> tuple[np.ndarray, np.ndarray]:
    """Compute the lesion load of a probability atlas, and the largest probability of each region in the lesion.

    Parameters
    ----------
    mask : nibabel.Nifti1Image
        Binary or graded (float), on any grid of the atlas's space.
    probabilities : Probabilities

    Returns
    -------
    load : numpy.ndarray
        (regions,) float64, percent: sum of the probability in the lesion divided by its total; NaN for an empty region.
    largest : numpy.ndarray
        (regions,) float64, percent: largest probability where the mask is above 0.
    """
    regions = probabilities.memberships
    inside, values = covered_values(voxels(mask), mask.affine, regions.shape, regions.affine)
    return _PERCENT * regions.mean(inside, values), _PERCENT * regions.largest(inside)


def visited_load(mask: Any, visits: Memberships) -> np.ndarray:
    """Compute the percentage of the volume of each bundle's voxels that is lesion.

    Parameters
    ----------
    mask : nibabel.Nifti1Image
        Binary or graded (float), on any grid.
    visits : lacuna.images.memberships.Memberships
        Voxels of the map that each bundle visits.

    Returns
    -------
    numpy.ndarray
        (bundles,) float64, mean over the bundle's voxels of the share of their volume that is lesion; NaN for a bundle
        without voxels.
    """
    return _PERCENT * visits.mean(*covered_share(voxels(mask), mask.affine, visits.shape, visits.affine))


def is_probability_atlas(path: str | Path) -> bool:
    """Whether an image is 4D by its header; False for unreadable images."""
    try:
        with opened(path) as image:
            return len(image.shape) == 4 and image.shape[3] > 1
    except Exception:  # noqa: BLE001  any error of any parser; reported when the atlas is read
        return False


def read_probabilities(atlas: Atlas) -> Probabilities:
    """Read a probability atlas volume by volume.

    Parameters
    ----------
    atlas : lacuna.images.atlases.Atlas

    Returns
    -------
    Probabilities

    Raises
    ------
    InputError
        If the image is unreadable, has no usable affine, or contains values that are not probabilities (0 to 1, or 0 to
        100), or if the numbers of names and volumes differ.
    """
    path = atlas.image
    try:
        with opened(path) as image:
            check_size(image)
            shape, affine = image.shape, np.asarray(image.affine, float)
            if len(shape) != 4 or not is_usable(affine) or np.allclose(affine, np.eye(4)):
                message = f'{shape} voxels, or no usable affine'
                raise ValueError(message)
            parts = [
                _volume(np.asarray(image.dataobj[..., number], np.float32)) for number in range(shape[3])
            ]
    except Exception as error:  # any error of any parser
        message = f'the probability atlas {path} cannot be read ({reason_of(error, path)})'
        raise InputError(message) from error
    largest = max((float(weights.max(initial=0)) for _, weights in parts), default=0.0)
    if not 0 < largest <= _PERCENT:
        message = f'the probability atlas {path} holds values up to {largest:g}; expected 0 to 1, or 0 to 100'
        raise InputError(message)
    labels = read_labels(atlas.labels, range(1, shape[3] + 1))
    if list(labels) != list(range(1, shape[3] + 1)):
        message = (
            f'the probability atlas {path} has {shape[3]} volumes; {atlas.labels} has to name 1 to {shape[3]}'
        )
        raise InputError(message)
    if largest > 1:
        parts = [(numbers, weights / np.float32(_PERCENT)) for numbers, weights in parts]
    regions = Memberships.of(parts, shape[:3], affine)
    names = tuple(labels.values())
    digest = hashlib.sha256(repr((regions.shape, affine.round(6).tolist(), names)).encode())
    for part in (regions.voxels, regions.starts, regions.regions, regions.weights):
        digest.update(part.tobytes())
    return Probabilities(names, regions, digest.hexdigest())


def _volume(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = values.reshape(-1)
    if not np.isfinite(flat).all() or float(flat.min(initial=0)) < 0:
        message = 'it holds negative values, or NaN'
        raise ValueError(message)
    numbers = np.flatnonzero(flat)
    return numbers, flat[numbers]
