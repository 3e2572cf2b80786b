"""The common frame of all figures: a 1 mm grid around the brain, to which images are resampled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.errors import InputError
from lacuna.images.masks import read_image, read_mask
from lacuna.images.spaces import standard_grid
from lacuna.images.templateflow import has_content, templateflow_home
from lacuna.measures import world_box

#: world position (mm) of the first voxel's centre, and number of 1 mm voxels along x, y and z (RAS+)
ORIGIN = (-78, -112, -76)
SHAPE = (157, 193, 164)

#: 4 x 4, voxels of the frame to world mm
FRAME_AFFINE = np.eye(4)
FRAME_AFFINE[:3, 3] = ORIGIN


@dataclass(frozen=True)
class Template:
    """A brain template, in the frame.

    Attributes
    ----------
    t1w : numpy.ndarray
        float32 between 0 and 1; 0 outside the brain.
    brain : numpy.ndarray
        Boolean brain mask.
    source : str
        Source of the template, in words.
    """

    t1w: np.ndarray
    brain: np.ndarray
    source: str


def to_grid(
    data: np.ndarray, affine: np.ndarray, shape: tuple[int, ...], target: np.ndarray, order: int
) -> np.ndarray:
    """Resample an image to the voxel centres of another grid; 0 outside.

    Parameters
    ----------
    data : numpy.ndarray
        (x, y, z).
    affine, target : numpy.ndarray
        4 x 4, voxels of the image and of the other grid to world mm.
    shape : tuple of int
        Shape of the other grid.
    order : int
        Order of the interpolation: 0 for nearest voxel, 1 for linear.
    """
    from scipy import ndimage

    to_voxel = np.linalg.inv(affine) @ target
    return ndimage.affine_transform(
        data, to_voxel[:3, :3], to_voxel[:3, 3], output_shape=shape, order=order, mode='constant', cval=0
    )


def to_frame(data: np.ndarray, affine: np.ndarray, order: int = 0) -> np.ndarray:
    """Resample an image to the frame.

    >>> data = np.zeros((2, 2, 2), np.uint8)
    >>> data[1, 0, 0] = 5
    >>> affine = np.eye(4)
    >>> affine[:3, 3] = 10, 20, 30
    >>> np.argwhere(to_frame(data, affine))[0] + ORIGIN
    array([11, 20, 30])
    """
    return to_grid(data, affine, SHAPE, FRAME_AFFINE, order)


def mask_to_grid(
    mask: np.ndarray, affine: np.ndarray, shape: tuple[int, ...], target: np.ndarray
) -> np.ndarray:
    """Return the voxels of another grid whose centres lie in a mask (bool).

    Only the box around the mask is resampled: most of a grid is far from it.
    """
    found = np.zeros(shape, bool)
    if not mask.any():
        return found
    low, high = world_box(mask, np.linalg.inv(target) @ affine)
    first = np.clip(np.floor(low).astype(int) - 1, 0, shape)
    last = np.clip(np.ceil(high).astype(int) + 2, 0, shape)
    if (last > first).all():
        box = tuple(map(slice, first, last))
        part = target.copy()
        part[:3, 3] += target[:3, :3] @ first
        size = tuple((last - first).tolist())
        found[box] = to_grid(mask.view(np.uint8), affine, size, part, 0).astype(bool)
    return found


def voxels_around(mask: np.ndarray, affine: np.ndarray, shape: tuple[int, ...], target: np.ndarray) -> Any:
    """Return the index of the voxels of another grid that hold the centre of a voxel of a mask."""
    from nibabel.affines import apply_affine

    index = np.rint(apply_affine(np.linalg.inv(target) @ affine, np.argwhere(mask))).astype(int)
    return tuple(index[((index >= 0) & (index < shape)).all(axis=1)].T)


def mask_in_frame(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Resample a mask to the frame: voxels inside the mask, and those that contain the centre of a mask voxel.

    Thus small voxels of the mask are never lost.
    """
    frame = mask_to_grid(mask, affine, SHAPE, FRAME_AFFINE)
    frame[voxels_around(mask, affine, SHAPE, FRAME_AFFINE)] = True
    return frame


def load_image(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Load the voxels and the affine of an image.

    Raises
    ------
    lacuna.errors.InputError
        If it cannot be read.
    """
    try:
        data, image = read_image(path)
    except ValueError as error:
        message = f'{path}: the image cannot be read ({error}); is the file complete?'
        raise InputError(message) from error
    return data, np.asarray(image.affine, float)


@cache
def load_template(space: str) -> Template:
    """Load the template of a space: TemplateFlow's if it is on this machine, else the one that ships with nilearn.

    The network is never used.
    """
    folder = templateflow_home() / f'tpl-{space}'
    found = [
        (
            folder / f'tpl-{space}_{t1w}_T1w.nii.gz',
            folder / f'tpl-{space}_{resolution}_desc-brain_mask.nii.gz',
        )
        for resolution in ('res-01', 'res-02')
        for t1w in (f'{resolution}_desc-brain', resolution)
    ]
    for t1w, brain in found:
        if has_content(t1w) and has_content(brain):
            mask = read_mask(brain)
            return _template(*load_image(t1w), mask.data, mask.affine, f'{space} (TemplateFlow)')
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_template

    t1w_image, brain_image = load_mni152_template(resolution=2), load_mni152_brain_mask(resolution=2)
    return _template(
        np.asanyarray(t1w_image.dataobj),
        t1w_image.affine,
        np.asanyarray(brain_image.dataobj),
        brain_image.affine,
        'ICBM 2009a (nilearn)',
    )


def _template(
    t1w: np.ndarray, t1w_affine: np.ndarray, brain: np.ndarray, brain_affine: np.ndarray, source: str
) -> Template:
    in_frame = to_frame(brain.astype(np.uint8), brain_affine).astype(bool)
    values = to_frame(np.asarray(t1w, np.float32), t1w_affine, order=1)
    values *= in_frame
    low, high = np.percentile(values[in_frame], (1, 99.5))
    return Template(np.clip((values - low) / (high - low), 0, 1) * in_frame, in_frame, source)


def template_on_grid(space: str, resolution: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return the template (uint8) on the standard grid of a space, and its affine."""
    grid = standard_grid(space, resolution)
    values = to_grid(load_template(space).t1w, FRAME_AFFINE, grid.shape, grid.affine, order=1)
    return np.rint(values * 255).astype(np.uint8), grid.affine
