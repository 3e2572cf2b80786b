"""Read and write NIfTI images with one position only, identical in files and in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.utils.files import replacing
from lacuna.utils.packed import BROKEN, pack, unpacking


def make(data: np.ndarray, affine: np.ndarray) -> Any:
    """Create an image whose only position is `affine` (sform, standard space).

    It equals what `load` returns for the file written by `save`, because the affine is rounded to single precision.

    Parameters
    ----------
    data : numpy.ndarray
        (x, y, z).
    affine : numpy.ndarray
        (4, 4), voxel indices to world mm (RAS+).

    Returns
    -------
    nibabel.Nifti1Image
    """
    import nibabel as nb

    image = nb.Nifti1Image(data, affine)
    image.header.set_xyzt_units('mm')
    # The qform cannot represent shears; without it, no program can see a different position.
    image.set_sform(affine, code=4)
    image.set_qform(None, code=0)
    return image


def encoded(image: Any, *, compress: bool = True) -> bytes:
    """Return the bytes of the file of an image from `make`; reproducible.

    Parameters
    ----------
    image : nibabel.Nifti1Image
    compress : bool
        Whether to return a ``.nii.gz`` or a ``.nii``.
    """
    header = BytesIO()
    about = image.header.copy()
    about.set_slope_inter(1, 0)
    about.write_to(header)
    # nibabel's `to_bytes` reads the voxels several times
    content = header.getvalue() + voxels(image).astype(about.get_data_dtype(), copy=False).tobytes('F')
    return pack(content) if compress else content


def save(image: Any, path: Path) -> str:
    """Write an image as ``.nii`` or ``.nii.gz`` atomically; return the path.

    Parameters
    ----------
    image : nibabel.Nifti1Image
    path : pathlib.Path
        Its extension decides about compression.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(encoded(image, compress=path.name.endswith('.gz')))
    return str(path)


def load(path: str | Path) -> Any:
    """Load an image written by `save`; its voxels are read on first access.

    Parameters
    ----------
    path : path

    Returns
    -------
    nibabel.Nifti1Image
    """
    import nibabel as nb

    return nb.load(path)


@contextmanager
def opened(path: str | Path) -> Iterator[Any]:
    """Open an image of any format; a single-file NIfTI image is opened once, so read its voxels inside the block.

    nibabel alone opens it three times: to detect the format, for the header, and for the voxels.
    """
    import nibabel as nb
    from nibabel.fileholders import FileHolder

    with ExitStack() as stack:
        image = None
        with suppress(*BROKEN):  # nibabel reports what is wrong
            stream: Any = stack.enter_context(Path(path).open('rb'))
            if str(path).endswith('.gz'):
                stream = stack.enter_context(unpacking(stream))
            size = stream.read(4)
            stream.seek(0)
            kinds = {348: nb.Nifti1Image, 540: nb.Nifti2Image}
            kind = kinds.get(int.from_bytes(size, 'little')) or kinds.get(int.from_bytes(size, 'big'))
            if kind and str(path).endswith(('.nii', '.nii.gz')):
                image = kind.from_file_map({'image': FileHolder(str(path), stream)})
        yield nb.load(path) if image is None else image


def voxels(image: Any) -> np.ndarray:
    """Return the voxels of an image in their stored data type."""
    return np.asanyarray(image.dataobj)


def is_usable(affine: np.ndarray) -> bool:
    """Whether an affine is a valid position: finite, not singular, and within a kilometre."""
    return affine.shape == (4, 4) and bool(
        (np.abs(affine) < 1e6).all() and abs(np.linalg.det(affine[:3, :3])) >= 1e-6
    )


def two_positions(image: Any) -> str | None:
    """Return a warning if sform and qform of an image differ by half a voxel or more: other programs may use the other one."""
    header: Any = getattr(image, 'header', {})
    if not ('sform_code' in header and header['sform_code'] and header['qform_code']):
        return None
    apart = nifti_affine(header) - nifti_affine({**header, 'sform_code': 0})
    corners = np.array([*itertools.product(*((0, size - 1) for size in image.shape[:3]))])
    away = float(np.linalg.norm(corners @ apart[:3, :3].T + apart[:3, 3], axis=1).max())
    if not away > 0.5 * min(header.get_zooms()[:3]):
        return None
    return f'sform and qform of the header are up to {away:.0f} mm apart: the sform is used; is it the right one?'


def nifti_affine(header: Mapping[str, Any]) -> np.ndarray:
    """Return the affine of a NIfTI image as MRtrix3 reads it.

    This is the sform if there is one, else the qform. The columns are scaled to the header's voxel sizes, unless these
    differ by more than 1e-5.

    Parameters
    ----------
    header : mapping
        A NIfTI-1 or -2 header, such as ``nibabel.load(path).header``.

    Returns
    -------
    numpy.ndarray
        (4, 4) float64, voxel indices to world mm.
    """
    zooms = np.abs(np.asarray(header['pixdim'], np.float64)[1:4])
    affine = np.eye(4)
    if int(header['sform_code']):
        affine[:3] = [np.asarray(header[row], np.float64) for row in ('srow_x', 'srow_y', 'srow_z')]
        length = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
        if np.all(np.isfinite(length) & (length > 0)) and not (np.abs(zooms / length - 1) > 1e-5).any():
            affine[:3, :3] = affine[:3, :3] / length * zooms
        return affine
    if not int(header['qform_code']):
        shape = np.asarray(header['dim'])[1:4].astype(np.float64)
        affine[:3, :3] = np.diag(zooms)
        affine[:3, 3] = -0.5 * (shape - 1) * zooms
        return affine
    x, y, z = (float(header[f'quatern_{letter}']) for letter in 'bcd')
    left = 1.0 - (x * x + y * y + z * z)
    norm = np.sqrt(1.0 - left) if left < 1e-7 else 1.0
    w = 0.0 if left < 1e-7 else np.sqrt(left)
    x, y, z = x / norm, y / norm, z / norm
    rotation = np.array(
        [
            [1 - (2 * y * y + 2 * z * z), 2 * x * y - 2 * w * z, 2 * x * z + 2 * w * y],
            [2 * x * y + 2 * w * z, 1 - (2 * x * x + 2 * z * z), 2 * y * z - 2 * w * x],
            [2 * x * z - 2 * w * y, 2 * y * z + 2 * w * x, 1 - (2 * x * x + 2 * y * y)],
        ]
    )
    if float(np.asarray(header['pixdim'])[0]) < 0:
        rotation[:, 2] *= -1
    affine[:3, :3] = rotation * zooms
    affine[:3, 3] = [float(header[f'qoffset_{letter}']) for letter in 'xyz']
    return affine
