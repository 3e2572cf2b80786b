"""Maps that say where null lesions may be: tissues, and how often a cohort has lesions somewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lacuna.errors import InputError
from lacuna.images.masks import read_image, read_mask
from lacuna.images.nifti import is_usable
from lacuna.images.placements import Body
from lacuna.images.spaces import settle_space, stated_spaces, templateflow_home

#: the only space of which TemplateFlow has maps of grey and white matter
_HAS_TISSUES = 'MNI152NLin2009cAsym'


def tissue_maps(space: str, given: Sequence[str | Path], like: Body) -> list[Body]:
    """Return the probability of grey and of white matter, 0 to 1, on the voxels of a region.

    Parameters
    ----------
    space : str
        A supported space.
    given : sequence of path
        The two maps, in this space; if there are none, those of TemplateFlow.
    like : lacuna.images.placements.Body
        The region.

    Raises
    ------
    lacuna.errors.InputError
        If TemplateFlow has none for this space, or they cannot be read.
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
    """Return how often lesions are in each voxel of a region: the mean of masks, or a map of it, as it is.

    Parameters
    ----------
    given : sequence of path
        Masks; or a single map, above 0 where there are lesions.
    space : str
        The supported space of all of them.
    like : lacuna.images.placements.Body
        The region.

    Raises
    ------
    lacuna.errors.InputError
        If one cannot be read or is in another space, or there is no lesion in the region.
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
    """Read a map on the voxels of a region, with linear interpolation; 0 outside of it.

    Raises
    ------
    lacuna.errors.InputError
        If it cannot be read, is in another space, is not 3D, or holds values below 0 or that are not finite.
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
    """Refuse a file that says that it is in another space.

    Raises
    ------
    lacuna.errors.InputError
    """
    settled = settle_space(stated_spaces(Path(path)))
    if settled and settled.space != space:
        message = f'{path} is in {settled.space} ({settled.source}), but the lesion is in {space}'
        raise InputError(message)


def _tissue(label: str) -> Path:
    """A map of TemplateFlow, which is fetched if it is not here."""
    name = f'tpl-{_HAS_TISSUES}_res-01_label-{label}_probseg.nii.gz'
    path = templateflow_home() / f'tpl-{_HAS_TISSUES}' / name
    if path.is_file() and path.stat().st_size:
        return path
    from templateflow.client import TemplateFlowClient

    try:
        client = TemplateFlowClient(root=templateflow_home())
        client.get(_HAS_TISSUES, resolution=1, label=label, suffix='probseg', extension='.nii.gz')
    except Exception as error:
        message = f'{name} is not on this machine and could not be fetched from TemplateFlow: {error}; give maps of your own (--null-tissues)'
        raise InputError(message) from error
    return path
