"""Maps that restrict null lesions: tissue probabilities, and the frequency of lesions in a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lacuna.errors import InputError
from lacuna.images.masks import read_image, read_mask
from lacuna.images.nifti import is_usable
from lacuna.images.placements import Body
from lacuna.images.spaces import settle_space, stated_spaces
from lacuna.images.templateflow import fetched, templateflow_home

#: the only space with tissue maps in TemplateFlow
_HAS_TISSUES = 'MNI152NLin2009cAsym'


def tissue_maps(space: str, given: Sequence[str | Path], like: Body) -> list[Body]:
    """Return the probabilities of grey and white matter, 0 to 1, on the voxels of a region.

    Parameters
    ----------
    space : str
        Standard space of the region.
    given : sequence of path
        The two maps, in this space; if empty, those of TemplateFlow.
    like : lacuna.images.placements.Body
        The region whose voxels are used.

    Raises
    ------
    lacuna.errors.InputError
        If TemplateFlow has no maps of this space, or they are unreadable.
    """
    if given and len(given) != 2:
        message = f'maps of two tissues are needed, grey and white matter, but {len(given)} were given'
        raise InputError(message)
    if not given and space != _HAS_TISSUES:
        message = f'TemplateFlow has maps of grey and white matter of {_HAS_TISSUES} only; give those of {space} (--null-tissues)'
        raise InputError(message)
    maps = [read_map(path, space, like) for path in given or [_tissue(label) for label in ('GM', 'WM')]]
    for each, path in zip(maps, given, strict=False):
        if each.voxels.max() > 1 + 1e-3:
            message = f'{path}: a tissue map holds probabilities from 0 to 1, but this one holds {each.voxels.max():g}'
            raise InputError(message)
    return maps


def lesion_frequency(given: Sequence[str | Path], space: str, like: Body) -> Body:
    """Return the frequency of lesions in each voxel of a region: the mean of masks, or a given map.

    Parameters
    ----------
    given : sequence of path
        Masks; or one map, above 0 where there are lesions.
    space : str
        Standard space of the files.
    like : lacuna.images.placements.Body
        The region whose voxels are used.

    Raises
    ------
    lacuna.errors.InputError
        If a file is unreadable or in another space, or there is no lesion in the region.
    """
    if len(given) == 1:
        frequency = read_map(given[0], space, like)
    else:
        total = np.zeros(like.voxels.shape)
        for path in given:
            check_same_space(path, space)
            mask = read_mask(path)
            total += Body.of(mask.data, mask.affine).on(like).voxels != 0
        frequency = Body(total / max(len(given), 1), like.first)
    if not (frequency.voxels * (like.voxels != 0)).any():
        message = 'the reference of null lesions has no lesion in the brain; give lesion masks, or a map of their frequency'
        raise InputError(message)
    return frequency


def read_map(path: str | Path, space: str, like: Body) -> Body:
    """Read a map on the voxels of a region, by linear interpolation; 0 outside the map.

    Raises
    ------
    lacuna.errors.InputError
        If it is unreadable, in another space, not 3D, or contains negative or non-finite values.
    """
    from scipy import ndimage

    check_same_space(path, space)
    try:
        data, image = read_image(path)
    except ValueError as error:
        message = f'{path}: the map cannot be read ({error})'
        raise InputError(message) from error
    affine = np.asarray(image.affine, float)
    if data.ndim != 3 or not is_usable(affine):
        message = f'{path}: the map has {data.ndim} dimensions, or no usable affine; a 3D image is needed'
        raise InputError(message)
    if not np.isfinite(data).all() or data.min() < 0:
        message = f'{path}: the map holds values below 0, or that are not finite'
        raise InputError(message)
    to_voxel = np.linalg.inv(affine)
    start = to_voxel[:3, :3] @ like.first + to_voxel[:3, 3]
    values = ndimage.affine_transform(
        data.astype(np.float32),
        to_voxel[:3, :3].round(9),
        start.round(9),
        output_shape=like.voxels.shape,
        order=1,
    )
    return Body(values, like.first)


def check_same_space(path: str | Path, space: str) -> None:
    """Raise an error if a file states another space.

    Raises
    ------
    lacuna.errors.InputError
    """
    settled = settle_space(stated_spaces(Path(path)))
    if settled and settled.space != space:
        message = f'{path} is in {settled.space} ({settled.source}), but the lesion is in {space}'
        raise InputError(message)


def _tissue(label: str) -> Path:
    """Return a tissue map of TemplateFlow, fetched if necessary."""
    name = f'tpl-{_HAS_TISSUES}_res-01_label-{label}_probseg.nii.gz'
    query = {'resolution': 1, 'label': label, 'suffix': 'probseg', 'extension': '.nii.gz'}
    return fetched(
        templateflow_home() / f'tpl-{_HAS_TISSUES}' / name,
        query,
        f'no map of the tissue {label}',
        'give maps of your own (--null-tissues)',
    )
