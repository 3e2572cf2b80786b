"""The values of masks: binary, to be thresholded, or graded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.errors import InputError, MaskError, check_choice
from lacuna.images.brain import Brain, brain

#: advice for masks with other values, in commands that have these options
NOT_BINARY = 'or use --binarize T if values above T are lesion, or --graded-masks max if values say how much of a voxel is'
#: tolerance around 0 and 1: SPM stores integers with a scale factor
_TOLERANCE = 1e-3
#: integers up to this are labels or counts rather than grades of a lesion
_MOST_LABELS = 20
#: NIfTI intent code of label images
_LABEL_INTENT = 1002
#: what to do with a graded mask: refuse it, or cut each streamline by the greatest value along its vertices
GRADED = ('error', 'max')


def check_threshold(binarize: float | None) -> None:
    """Raise an error if the threshold for masks is not a number.

    Raises
    ------
    InputError
    """
    if binarize is not None and not math.isfinite(binarize):
        message = f'--binarize {binarize}: give the number above which values are lesion'
        raise InputError(message)


def check_grading(graded_masks: str, mask_scale: float, binarize: float | None = None) -> None:
    """Raise an error if settings for graded masks are invalid or contradict each other.

    Raises
    ------
    InputError
    """
    check_choice('graded_masks', graded_masks, GRADED)
    if graded_masks != GRADED[0] and binarize is not None:
        message = '--binarize makes masks binary: give it or --graded-masks, not both'
        raise InputError(message)
    if not 0 < mask_scale < math.inf:
        message = f'--mask-scale {mask_scale}: give the value that means a whole voxel, such as 100'
        raise InputError(message)
    if graded_masks == GRADED[0] and mask_scale != 1:
        message = '--mask-scale is for graded masks: add --graded-masks max'
        raise InputError(message)


def grading(graded_masks: str, mask_scale: float) -> float | None:
    """Return the `mask_scale` for `read_mask`; None if graded masks are refused."""
    return None if graded_masks == GRADED[0] else mask_scale


def check_finite(path: Path, data: np.ndarray, affine: np.ndarray) -> list[str]:
    """Raise an error for values that are not finite, except NaN outside the brain; return a note about these."""
    if data.dtype.kind != 'f' or np.isfinite(data).all():
        return []
    from nibabel.affines import apply_affine
    from scipy import ndimage

    missing = np.argwhere(np.isnan(data))
    whole = brain()
    # NaN may begin at the border of the brain, which varies between brains
    core = Brain(ndimage.binary_erosion(whole.data, iterations=2), whole.affine)
    if np.isinf(data).any() or core.holds(apply_affine(affine, missing)).any():
        message = (
            f'{path}: the mask holds values that are not finite (NaN in the brain, or Inf); expected 0 and 1'
        )
        raise MaskError(message)
    return [f'{len(missing)} voxels outside the brain are NaN, read as 0']


def _non_binary_values(data: np.ndarray) -> np.ndarray:
    """Return the values other than 0 and 1, without NaN."""
    binary = (data == 0) | (data == 1)
    if binary.all():
        return np.empty(0)
    other = data[~binary]
    return np.asarray(other[~np.isnan(other)], float)


def is_binary(data: np.ndarray) -> bool:
    other = _non_binary_values(data)
    return not other.size or bool(np.minimum(np.abs(other), np.abs(other - 1)).max() <= _TOLERANCE)


def check_binary(path: Path, data: np.ndarray) -> list[str]:
    """Raise an error for values other than 0 and 1; return a note about values that are nearly 0 or 1."""
    other = _non_binary_values(data)
    if not other.size:
        return []
    if is_binary(data):
        off = np.minimum(np.abs(other), np.abs(other - 1)).max()
        return [f'values that differ from 0 and 1 by up to {off:.1g} are read as 0 and 1']
    values = ', '.join(f'{value:g}' for value in np.unique(other)[:4])
    message = f'{path}: the mask is not binary: it holds {values}; make it 0 and 1 (one mask per file), {NOT_BINARY}'
    raise MaskError(message)


def graded_values(
    path: Path, image: Any, stored: np.ndarray, values: np.ndarray, scale: float, notes: list[str]
) -> np.ndarray:
    """Return the values of a graded mask, float32 from 0 to 1; raise an error if it is not one.

    `stored` are the values in the file, `values` those after scaling.
    """
    if reason := _label_image(path, image, stored):
        message = f'{path}: the mask is an image of labels ({reason}), not a graded mask; make a mask for each label'
        raise MaskError(message)
    values = np.nan_to_num(values, nan=0.0)
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if low < -_TOLERANCE:
        message = f'{path}: the mask holds negative values (down to {low * scale:g}); a graded mask has none'
        raise MaskError(message)
    if high > 1 + _TOLERANCE:
        by = f' after division by {scale:g}' if scale != 1 else ''
        message = (
            f'{path}: the mask holds values above 1 (up to {high:g}{by}); '
            'give the value that means a whole voxel with --mask-scale S, such as 100 for percent'
        )
        raise MaskError(message)
    if low < 0:
        notes.append(f'values down to {low * scale:.1g} are read as 0')
    return np.clip(values, 0, 1).astype(np.float32)


def _label_image(path: Path, image: Any, stored: np.ndarray) -> str | None:
    """Return why an image seems to contain labels, in a few words; None if it does not."""
    header = getattr(image, 'header', {})
    if 'intent_code' in header and int(header['intent_code']) == _LABEL_INTENT:
        return 'its header says so'
    if path.name.split('.')[0].endswith('_dseg'):
        return 'its name ends in _dseg'
    high = float(np.nanmax(stored, initial=0))
    if 1 < high <= _MOST_LABELS and float(np.nanmin(stored, initial=0)) >= 0 and _is_whole(stored):
        return f'whole numbers up to {high:g}'
    return None


def _is_whole(data: np.ndarray) -> bool:
    return data.dtype.kind in 'bui' or bool((np.isnan(data) | (data == np.rint(data))).all())
