"""Read and check lesion masks."""

from __future__ import annotations

import hashlib
import math
import os
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.errors import MaskError, reason_of
from lacuna.images.brain import brain
from lacuna.images.mask_values import check_binary, check_finite, graded_values, is_binary
from lacuna.images.nifti import is_usable, make, opened, two_positions
from lacuna.measures import lesion_part, voxel_box, world_box
from lacuna.utils.files import missing_target
from lacuna.utils.packed import pack, unpack

#: voxels of a whole head at 0.2 mm; the header of a damaged file may claim thirty thousand times as many
_MOST_VOXELS = 2**30
#: maximum number of bytes that one compressed byte expands to
_PACKED = 1032
_PACKED_ENDINGS = ('.gz', '.mgz', '.bz2', '.zst')


@dataclass(frozen=True)
class Mask:
    """A binary or graded lesion mask.

    Attributes
    ----------
    data : numpy.ndarray
        (x, y, z) bool; True where a graded mask is above 0.
    affine : numpy.ndarray
        4 x 4, voxels to world mm (RAS+).
    sha256 : str
        Checksum of voxels and affine, independent of how the mask is stored (compression, data type).
    notes : tuple of str
        Notes about values that were changed on reading.
    values : numpy.ndarray or None
        Values of a graded mask in `box`, float32 from 0 to 1; None for a binary mask.
    """

    data: np.ndarray
    affine: np.ndarray
    sha256: str
    notes: tuple[str, ...] = ()
    values: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        part: np.ndarray,
        box: tuple[slice, ...],
        shape: tuple[int, ...],
        affine: np.ndarray,
        sha256: str,
        notes: tuple[str, ...],
    ) -> Mask:
        """Create a mask from the `part` inside a box that contains all its voxels: bool, or float32 if graded."""
        data = np.zeros(shape, bool)
        data[box] = part
        mask = cls(data, affine, sha256, notes, None if part.dtype == bool else part)
        vars(mask)['box'] = box
        return mask

    @cached_property
    def box(self) -> tuple[slice, ...]:
        """The smallest box that contains all voxels of the mask."""
        return voxel_box(self.data)

    @property
    def part(self) -> tuple[np.ndarray, np.ndarray]:
        """The mask inside its box (bool), and the affine of that part."""
        return lesion_part(self.data, self.affine, self.box)

    @property
    def valued_part(self) -> tuple[np.ndarray, np.ndarray]:
        """The mask inside its box (bool, or float32 if graded), and the affine of that part."""
        found, affine = self.part
        return found if self.values is None else self.values, affine

    def image(self) -> Any:
        """Return the mask on its own grid as a NIfTI image: binary (uint8), or graded from 0 to 1 (float32)."""
        if self.values is None:
            return make(self.data.view(np.uint8), self.affine)
        whole = np.zeros(self.data.shape, np.float32)
        whole[self.box] = self.values
        return make(whole, self.affine)

    def part_image(self) -> Any:
        """Return the mask, cropped to its box, as a NIfTI image."""
        found, affine = self.valued_part
        return make(np.ascontiguousarray(found).view(np.uint8) if found.dtype == bool else found, affine)


@dataclass(frozen=True)
class PackedMask:
    """A mask, compressed to a few kB to keep in memory during a run.

    Attributes
    ----------
    shape : tuple of int
        Shape of the whole image.
    affine : numpy.ndarray
        4 x 4, voxels to world mm (RAS+).
    sha256 : str
    notes : tuple of str
        See :class:`Mask`.
    box : tuple of slice
        Box that contains all voxels of the mask.
    bits : bytes
        Compressed bits of the voxels in the box; float32 values if the mask is graded.
    graded : bool
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    sha256: str
    notes: tuple[str, ...]
    box: tuple[slice, ...]
    bits: bytes = field(repr=False)
    graded: bool = False

    @classmethod
    def of(cls, mask: Mask) -> PackedMask:
        """Pack a mask."""
        graded = mask.values is not None
        content = mask.values if mask.values is not None else np.packbits(mask.data[mask.box])
        bits = pack(content.tobytes())
        return cls(mask.data.shape, mask.affine, mask.sha256, mask.notes, mask.box, bits, graded)

    def unpack(self) -> Mask:
        """Return the original mask.

        >>> mask = Mask(np.arange(24).reshape(2, 3, 4) % 7 == 1, np.eye(4), 'abc')
        >>> bool((PackedMask.of(mask).unpack().data == mask.data).all())
        True
        """
        size = [extent.stop - extent.start for extent in self.box]
        content = unpack(self.bits)
        if self.graded:
            part = np.frombuffer(content, np.float32).reshape(size)
        else:
            bits = np.frombuffer(content, np.uint8)
            part = np.unpackbits(bits, count=math.prod(size)).reshape(size).view(bool)
        return Mask.of(part, self.box, self.shape, self.affine, self.sha256, self.notes)


@dataclass(frozen=True)
class UnreadMask:
    """A mask read by an earlier run from an unchanged file; it is read again when its voxels are needed.

    Attributes
    ----------
    path : pathlib.Path
    binarize, mask_scale : float or None
        See `read_mask`.
    sha256 : str
        Checksum of the mask, see :class:`Mask`.
    graded : bool
    """

    path: Path
    binarize: float | None
    mask_scale: float | None
    sha256: str
    graded: bool

    def unpack(self) -> Mask:
        """Read the mask.

        Raises
        ------
        MaskError
            If it cannot be read, or has changed.
        """
        mask = read_mask(self.path, self.binarize, self.mask_scale)
        if mask.sha256 != self.sha256:
            message = f'{self.path}: the mask has changed since the run started; run again'
            raise MaskError(message)
        return mask


#: a mask with a known checksum, whose voxels can be unpacked
KnownMask = PackedMask | UnreadMask


def mask_source(given: Any) -> Path:
    """Return the path of a mask given as path or nibabel image; ``image`` if it is not from a file.

    Raises
    ------
    MaskError
        If it is something else.
    """
    if isinstance(given, str | os.PathLike):
        return Path(given).expanduser()
    if not hasattr(given, 'dataobj'):
        message = f'a mask is a path or a nibabel image, not {type(given).__name__}'
        raise MaskError(message)
    return Path(given.get_filename() or 'image')


def read_mask(given: Any, binarize: float | None = None, mask_scale: float | None = None) -> Mask:
    """Read a lesion mask.

    Values within 0.001 of 0 and 1 are rounded, and NaN outside the brain becomes 0.

    Parameters
    ----------
    given : path or nibabel image
    binarize : float, optional
        Values above this threshold are lesion. Without a threshold, the mask has to be binary.
    mask_scale : float, optional
        Allow graded masks, whose values divided by this are the degree (0 to 1) to which a voxel is lesion. Binary
        masks are read as without it.

    Raises
    ------
    MaskError
        If the file is unreadable, not 3D, has no usable affine, or contains other values. An empty mask is not an
        error here.
    """
    path = mask_source(given)
    try:
        data, image = read_image(given)
    except ValueError as error:
        link = missing_target(path)
        reason = link or f'cannot be read ({error}); is the file complete?'
        message = f'{path}: the mask {reason}'
        raise MaskError(message) from error
    if data.ndim != 3:
        message = (
            f'{path}: the mask has {data.ndim} dimensions {data.shape}; split it into one 3D mask per file'
        )
        raise MaskError(message)
    affine = np.asarray(image.affine, float)
    _check_affine(path, image, affine)
    if binarize is not None and binarize < 0:  # 0 would be lesion
        filled = tuple(slice(0, size) for size in data.shape)
    else:
        filled = voxel_box(_nonzero(data))
    part, part_affine = lesion_part(data, affine, filled)
    notes = check_finite(path, part, part_affine)
    if doubt := two_positions(image):
        notes.append(doubt)
    graded = None
    if mask_scale is not None:
        found = part.astype(np.float64) / mask_scale
        graded = None if is_binary(found) else graded_values(path, image, part, found, mask_scale, notes)
        part = found
    if binarize is None and graded is None:
        notes += check_binary(path, part)
    with np.errstate(invalid='ignore'):  # comparisons with NaN are False
        inside = part > (0.5 if binarize is None else binarize) if graded is None else graded > 0
    tight = voxel_box(inside)
    box = tuple(
        slice(outer.start + inner.start, outer.start + inner.stop)
        for outer, inner in zip(filled, tight, strict=True)
    )
    content = np.ascontiguousarray((inside if graded is None else graded)[tight])
    return Mask.of(
        content, box, data.shape, affine, _checksum(content, box, data.shape, affine), tuple(notes)
    )


def _nonzero(data: np.ndarray) -> np.ndarray:
    """Return where an image is not 0 (bool), without copying binary images."""
    if data.dtype == np.uint8 and data.size and data.max() <= 1:
        return data.view(bool)
    return np.asarray(data != 0)


def _checksum(part: np.ndarray, box: tuple[slice, ...], shape: tuple[int, ...], affine: np.ndarray) -> str:
    """Compute the checksum of shape, affine and the bits of all voxels (last axis fastest), packing the box only.

    For graded masks, the values in the box are included.
    """
    digest = hashlib.sha256(repr((shape, affine.round(6).tolist())).encode())
    plane = shape[1] * shape[2]
    before = box[0].start * plane // 8  # bytes that are zero
    bits = np.zeros(box[0].stop * plane - before * 8, bool)
    bits[box[0].start * plane - before * 8 :].reshape(-1, *shape[1:])[:, box[1], box[2]] = part != 0
    packed = np.packbits(bits)
    digest.update(bytes(before))
    digest.update(packed.tobytes())
    digest.update(bytes(-(-math.prod(shape) // 8) - before - len(packed)))
    if part.dtype != bool:
        digest.update(part.astype('<f4', copy=False).tobytes())
    return digest.hexdigest()


def read_image(given: Any) -> tuple[np.ndarray, Any]:
    """Read an untrusted image (path or nibabel image), whose header may be wrong.

    Returns
    -------
    data : numpy.ndarray
        Real values; axes of length 1 after the third are dropped.
    image : nibabel.spatialimages.SpatialImage

    Raises
    ------
    ValueError
        If it cannot be read; the message is a short reason.
    """
    from_file = isinstance(given, str | os.PathLike)
    if from_file and Path(given).suffix == '.img' and not Path(given).with_suffix('.hdr').is_file():
        message = f'its header {Path(given).with_suffix(".hdr").name} is not beside it'
        raise ValueError(message)
    try:
        with opened(given) if from_file else nullcontext(given) as image:
            check_size(image)
            with np.errstate(all='ignore'):  # scale factors of NaN or Inf; the values are refused later
                data = np.asanyarray(image.dataobj)
    except Exception as error:  # any error of any parser
        raise ValueError(reason_of(error, given)[:200]) from error
    if data.dtype.kind not in 'buif':
        message = f'its voxels are of type {data.dtype}'
        raise ValueError(message)
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    return data, image


def check_size(image: Any) -> None:
    """Raise an error if an image claims more voxels than its file can contain, before memory is allocated.

    Raises
    ------
    ValueError
    """
    voxels = math.prod(map(int, image.shape))
    if not 0 < voxels <= _MOST_VOXELS:
        message = f'its header claims {" x ".join(map(str, image.shape))} voxels'
        raise ValueError(message)
    if not image.get_filename():  # in memory
        return
    file = Path(image.file_map['image'].filename)
    size = file.stat().st_size * (_PACKED if file.name.lower().endswith(_PACKED_ENDINGS) else 1)
    if (claimed := voxels * image.dataobj.dtype.itemsize) > size:
        message = f'its header claims {claimed} bytes of voxels, more than the file holds'
        raise ValueError(message)


def check_touches(path: str | Path, mask: Mask) -> None:
    """Raise an error if a mask is completely outside the bounding box of the brain.

    Raises
    ------
    MaskError
    """
    part, affine = mask.part
    if not part.size:
        return
    low, high = world_box(part, affine)
    box = brain().box
    if (low > box[1]).any() or (high < box[0]).any():
        message = (
            f'{path}: the mask lies at {_corner(low)} to {_corner(high)} mm, the brain at {_corner(box[0])} '
            f'to {_corner(box[1])} mm; is it in MNI space, with the correct affine?'
        )
        raise MaskError(message)


def _corner(point: np.ndarray) -> str:
    return '(' + ', '.join(f'{value:.0f}' for value in point) + ')'


def _check_affine(path: Path, image: object, affine: np.ndarray) -> None:
    from nibabel.analyze import AnalyzeHeader

    header = getattr(image, 'header', {})
    if isinstance(header, AnalyzeHeader) and 'sform_code' not in header:
        message = (
            f'{path}: an Analyze image (.img, .hdr) does not record which side is left; '
            'convert it to NIfTI with the program that wrote it'
        )
        raise MaskError(message)
    if 'sform_code' in header and header['sform_code'] == 0 and header['qform_code'] == 0:
        message = f'{path}: the position of the mask is unknown (sform and qform codes are 0); set them'
        raise MaskError(message)
    if not is_usable(affine):
        message = f'{path}: the affine of the mask is zero or singular, or places it far from any head; save the mask again with the correct affine'
        raise MaskError(message)
