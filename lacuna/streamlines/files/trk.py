"""Read TrackVis files (``.trk``, ``.trk.gz``) in blocks of whole streamlines.

A ``.trk`` has a header of 1000 bytes; then, for each streamline, its number of vertices (int32), the vertices (three
float32 and the scalars of each), and its properties. Vertices are in millimetres from the corner of the first voxel,
along the axes of the voxels; the header's matrix ``vox_to_ras`` maps them to world coordinates.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from lacuna.errors import TractogramError
from lacuna.streamlines.files.arrays import (
    BLOCK_VERTICES,
    LONGEST_STREAMLINE,
    Blocks,
    Progress,
    check_finite,
    reading_tractogram,
)

_HEADER_BYTES = 1000
_WORD = 4
#: maximum number of bytes read at a time, whatever number of scalars the header claims
_MOST_BYTES = 2**26


@dataclass(frozen=True)
class TrkHeader:
    """The header of a ``.trk``.

    Attributes
    ----------
    path : pathlib.Path
    packed : bool
        Whether the file is compressed by gzip.
    byte_order : str
        ``'<'`` or ``'>'``.
    count : int or None
        Number of streamlines in the header; None if it is 0, which means unknown.
    scalars, properties : int
        Number of additional values per vertex, and per streamline.
    affine : numpy.ndarray
        4 x 4, stored coordinates to world mm (RAS+).
    """

    path: Path
    packed: bool
    byte_order: str
    count: int | None
    scalars: int
    properties: int
    affine: np.ndarray


def read_header(path: str | Path) -> TrkHeader:
    """Read the header of a ``.trk``.

    Raises
    ------
    TractogramError
        If the file is unreadable or not a ``.trk``, or its header does not define world coordinates.
    """
    path = Path(path)
    with _opened(path) as (_, stream, packed):
        raw = stream.read(_HEADER_BYTES)
    if not raw.startswith(b'TRACK'):
        message = f"{path} is not a .trk file: it does not start with 'TRACK'"
        raise TractogramError(message)
    if len(raw) < _HEADER_BYTES:
        message = f'{path} is truncated: its header has {len(raw)} bytes of {_HEADER_BYTES}; copy or download it again'
        raise TractogramError(message)
    sizes = {'<': int.from_bytes(raw[-4:], 'little'), '>': int.from_bytes(raw[-4:], 'big')}
    order = next((key for key, size in sizes.items() if size == _HEADER_BYTES), None)
    if order is None:
        message = f'{path}: the header gives its own size as {sizes["<"]}, expected {_HEADER_BYTES}; the file is corrupt'
        raise TractogramError(message)

    from nibabel.streamlines.trk import header_2_dtype

    fields = np.frombuffer(raw, header_2_dtype.newbyteorder(order))[0]
    count, scalars, properties = (
        int(fields[key]) for key in ('nb_streamlines', 'nb_scalars_per_point', 'nb_properties_per_streamline')
    )
    if min(count, scalars, properties) < 0:
        message = f'{path}: the header has a negative number of streamlines, scalars or properties; the file is corrupt'
        raise TractogramError(message)
    if count and not packed and path.stat().st_size < _HEADER_BYTES + count * _WORD * (1 + properties):
        message = (
            f'{path} is truncated or corrupt: the header says {count} streamlines, '
            f'more than fit into {path.stat().st_size} bytes; copy or download it again'
        )
        raise TractogramError(message)
    return TrkHeader(path, packed, order, count or None, scalars, properties, _world_affine(path, fields))


def _world_affine(path: Path, fields: np.void) -> np.ndarray:
    """Return the matrix from stored coordinates to world mm; raise an error if the header does not define it."""
    from nibabel.streamlines.trk import get_affine_trackvis_to_rasmm

    advice = 'the positions would be wrong; save it again with its reference image, or convert it to .tck'
    matrix = fields['voxel_to_rasmm'].astype(float)
    fault = ''
    if int(fields['version']) < 2:
        fault = f'the header has version {int(fields["version"])}, which has no voxel-to-RAS matrix'
    elif not (np.abs(matrix) < 1e6).all() or matrix[3, 3] == 0 or np.linalg.det(matrix[:3, :3]) == 0:
        fault = 'the voxel-to-RAS matrix in the header is absent (zero) or singular'
    elif not (np.isfinite(fields['voxel_sizes']).all() and (fields['voxel_sizes'] > 0).all()):
        fault = f'the voxel sizes in the header are {fields["voxel_sizes"].tolist()}'
    code = fields['voxel_order'].item().decode('latin1').strip('\0 ').upper()
    if not fault and sorted('RAS'['RASLPI'.index(c) % 3] for c in code if c in 'RASLPI') != sorted('RAS'):
        fault = f'the voxel order in the header is {code!r}, expected three letters such as RAS or LPS'
    if not fault and (fields['dimensions'] < 1).any():
        fault = f'the dimensions in the header are {fields["dimensions"].tolist()}'
    if fault:
        message = f'{path}: {fault}; {advice}'
        raise TractogramError(message)
    header = {
        'voxel_sizes': fields['voxel_sizes'].astype(float),
        'voxel_order': np.array(code[:3].encode()),
        'dimensions': fields['dimensions'].astype(int),
        'voxel_to_rasmm': matrix,
    }
    try:
        with np.errstate(all='ignore'):
            affine = np.asarray(get_affine_trackvis_to_rasmm(header), float)
    except (TypeError, ValueError) as error:  # ambiguous axes
        message = f'{path}: the voxel-to-RAS matrix in the header is singular; {advice}'
        raise TractogramError(message) from error
    if not np.isfinite(affine).all():
        message = (
            f'{path}: the matrix, sizes and dimensions in the header give impossible positions; {advice}'
        )
        raise TractogramError(message)
    return affine


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, BinaryIO, bool]]:
    """Open the file and its unpacked stream, and return whether it is packed; errors become one clear line."""
    with reading_tractogram(path, EOFError, gzip.BadGzipFile, zlib.error), path.open('rb') as raw:
        packed = raw.read(2) == b'\x1f\x8b'
        raw.seek(0)
        yield raw, cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw, packed


def iter_blocks(
    header: TrkHeader, *, vertices: int = BLOCK_VERTICES, progress: Progress | None = None
) -> Blocks:
    """Iterate over the streamlines of a ``.trk`` in blocks, see `lacuna.streamlines.files.formats.iter_blocks`."""
    per_point = 3 + header.scalars
    found = 0
    pending = b''
    told = 0
    with _opened(header.path) as (raw, stream, _):
        stream.read(_HEADER_BYTES)
        while chunk := stream.read(min(vertices * per_point * _WORD, _MOST_BYTES)):
            pending += chunk
            words = np.frombuffer(pending, f'{header.byte_order}f4', len(pending) // _WORD).astype(
                '=f4', copy=False
            )
            points, lengths, used = _split(words, header, found)
            pending = pending[used * _WORD :]
            if len(lengths):
                check_finite(header.path, points, lengths, found)
                found += len(lengths)
                yield points, lengths
            if progress:
                progress(raw.tell() - told)
                told = raw.tell()
    if pending or (header.count is not None and found != header.count):
        message = (
            f'{header.path} is truncated or corrupt: {found} whole streamlines'
            f'{f" and {len(pending)} bytes more" if pending else ""}, '
            f'the header says {header.count or "no number"}; copy or download it again'
        )
        raise TractogramError(message)


def _split(words: np.ndarray, header: TrkHeader, found: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return world coordinates and lengths of the complete streamlines in a table of words, and the words they take."""
    from lacuna.streamlines.files.trk_records import copy_records, count_records

    counts = words.view('=i4')
    strides = (3 + header.scalars, header.properties)
    whole, used, vertices = count_records(counts, *strides, LONGEST_STREAMLINE)
    if vertices < 0:
        message = (
            f'{header.path} is corrupt: streamline {found + whole} (counted from 0) claims to have '
            f'{counts[used]} vertices; copy or download it again'
        )
        raise TractogramError(message)
    points, lengths = np.empty((vertices, 3), np.float32), np.empty(whole, np.int64)
    copy_records(words, counts, strides, header.affine, points, lengths)
    return points, lengths, used
