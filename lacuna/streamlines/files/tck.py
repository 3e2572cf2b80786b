"""Read and write MRtrix3 track files (``.tck``) in blocks of whole streamlines.

A ``.tck`` has a text header, then rows of three floats (RAS+ world mm): one row per vertex, a row of NaN after each
streamline, and a row of Inf at the end of the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lacuna.errors import TractogramError, shorten
from lacuna.images.brain import brain
from lacuna.streamlines.files.arrays import LONGEST_STREAMLINE, Blocks, reading_tractogram

_MAGIC = b'mrtrix tracks'
_DATATYPES = {
    'Float32LE': '<f4',
    'Float32BE': '>f4',
    'Float64LE': '<f8',
    'Float64BE': '>f8',
    'Float32': '=f4',
}
#: header fields that describe the storage, not the content
_OWN_FIELDS = ('count', 'datatype', 'file')
_LONGEST_HEADER = 16 * 2**20
_BLOCK_ROWS = 2**21
#: mm; larger coordinates mean that other bytes were read as numbers
_FARTHEST = 1e6
#: mm; upper bound of the step size, because each step is divided into parts of a third of a voxel
_LONGEST_STEP = 1000.0
#: number of vertices per block that are compared with the brain
_SAMPLED = 2**13


@dataclass(frozen=True)
class TckHeader:
    """The header of a ``.tck``.

    Attributes
    ----------
    path : pathlib.Path
    offset : int
        Byte offset of the first vertex.
    dtype : numpy.dtype
        Type of the coordinates.
    count : int or None
        Number of streamlines in the header; None if absent.
    step_size : float or None
        Distance of the vertices in mm in the header, which determines MRtrix3's upsampling; None if absent.
    fields : dict
        All fields; values of repeated fields are joined by newlines.
    """

    path: Path
    offset: int
    dtype: np.dtype
    count: int | None = None
    step_size: float | None = None
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TractogramInfo:
    """Facts about a tractogram, from one pass over it.

    Attributes
    ----------
    count : int
        Number of streamlines, including empty ones.
    vertices : int
    empty, single_vertex : int
        Number of streamlines without a vertex, and with only one.
    box : tuple of tuple of float
        Smallest and largest world coordinates of the vertices in mm.
    spacing : float
        Mean distance of successive vertices in mm; 0 if no streamline has two.
    brain_pct : float
        Percentage of the vertices inside the brain of the standard spaces (of a sample, if there are many).
    step_size : float or None
        From the header.
    sha256 : str
        SHA-256 of the file.
    """

    count: int
    vertices: int
    empty: int
    single_vertex: int
    box: tuple[tuple[float, float, float], tuple[float, float, float]]
    spacing: float
    brain_pct: float
    step_size: float | None
    sha256: str


def read_header(path: str | Path) -> TckHeader:
    """Read the header of a ``.tck``.

    Raises
    ------
    TractogramError
        If the file cannot be read or is not a track file.
    """
    path = Path(path)
    with reading_tractogram(path), path.open('rb') as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        return _parse_header(path, stream, size)


def _parse_header(path: Path, stream: BinaryIO, size: int) -> TckHeader:
    if stream.readline(len(_MAGIC) + 2).strip() != _MAGIC:
        message = f"{path} is not a .tck file: its first line is not 'mrtrix tracks'"
        raise TractogramError(message)
    values: dict[str, list[str]] = {}
    key = ''
    while (line := stream.readline(_LONGEST_HEADER)).strip() != b'END':
        if not line or stream.tell() > _LONGEST_HEADER:
            message = f"{path}: the header has no line 'END'; the file is truncated or not a .tck"
            raise TractogramError(message)
        name, colon, value = line.decode('utf-8', 'replace').strip().partition(':')
        if colon:
            key = name.strip()
            values.setdefault(key, []).append(value.strip())
        elif key:  # continuation of a long value
            values[key].append(name)
    fields = {key: '\n'.join(lines) for key, lines in values.items()}

    where, _, offset_text = fields.get('file', '').partition(' ')
    offset = _whole_number(offset_text.strip())
    if where != '.' or offset is None:
        message = f"{path}: the header's 'file' field is {shorten(fields.get('file'))}, expected '. OFFSET'"
        raise TractogramError(message)
    if not stream.tell() <= offset <= size:
        message = (
            f'{path}: according to the header the data start at byte {offset}, but the file has {size} bytes'
        )
        raise TractogramError(message)
    if (datatype := fields.get('datatype', '')) not in _DATATYPES:
        message = (
            f'{path}: datatype {shorten(datatype)} is not supported; expected one of {", ".join(_DATATYPES)}'
        )
        raise TractogramError(message)
    step_size = _positive_float(fields.get('step_size', ''))
    if step_size and step_size > _LONGEST_STEP:
        message = (
            f'{path}: according to the header the vertices are {step_size:g} mm apart; correct its step_size'
        )
        raise TractogramError(message)
    return TckHeader(
        path=path,
        offset=offset,
        dtype=np.dtype(_DATATYPES[datatype]),
        count=_whole_number(fields.get('count', '')),
        step_size=step_size,
        fields=fields,
    )


def _whole_number(text: str) -> int | None:
    # Python refuses to convert very long numbers
    return int(text) if text.isdecimal() and len(text) < 20 else None


def _positive_float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < np.inf else None


def iter_blocks(
    header: TckHeader,
    *,
    rows: int = _BLOCK_ROWS,
    on_bytes: Callable[[bytes], object] | None = None,
) -> Blocks:
    """Iterate over the streamlines of a ``.tck`` in blocks, in the order of the file.

    Parameters
    ----------
    header : TckHeader
    rows : int
        Rows to read at a time; a longer streamline makes a longer block.
    on_bytes : callable, optional
        Called with the bytes of the data section as they are read, including those after the end marker.

    Yields
    ------
    points, lengths : numpy.ndarray
        See `lacuna.streamlines.files.formats.iter_blocks`.

    Raises
    ------
    TractogramError
        If the file is truncated, has a vertex that is not finite, or not the number of streamlines that its header
        claims.
    """
    row_bytes = 3 * header.dtype.itemsize
    found = 0
    pending = np.empty((0, 3), np.float32)
    ended = False
    with reading_tractogram(header.path), header.path.open('rb') as stream:
        stream.seek(header.offset)
        while chunk := stream.read(rows * row_bytes):
            if on_bytes:
                on_bytes(chunk)
            if ended:
                continue
            if len(chunk) % row_bytes:
                message = f'{header.path} is truncated: it ends within a vertex; copy or download it again'
                raise TractogramError(message)
            with np.errstate(over='ignore'):  # overflow to infinity is refused below
                fresh = np.frombuffer(chunk, header.dtype).reshape(-1, 3).astype(np.float32, copy=False)
            table = np.concatenate([pending, fresh]) if len(pending) else fresh
            points, lengths, pending, ended = _split(table, header, found)
            found += len(lengths)
            if len(pending) > LONGEST_STREAMLINE:
                message = f'{header.path} is corrupt: streamline {found} (counted from 0) has no end; copy or download it again'
                raise TractogramError(message)
            if len(lengths):
                yield points, lengths
    if len(pending) or (not ended and header.count != found) or found < (header.count or 0):
        claim = 'an unknown number' if header.count is None else f'{header.count}'
        message = (
            f'{header.path} is truncated or corrupt: {found} whole streamlines, the header says {claim}'
            f'{"" if ended else ", and the end marker is missing"}; copy or download it again'
        )
        raise TractogramError(message)


def _split(
    table: np.ndarray, header: TckHeader, found: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Return the complete streamlines of a table of rows, the remaining rows, and whether the end marker was found."""
    with np.errstate(invalid='ignore', over='ignore'):
        total = table[:, 0] + table[:, 1]
        total += table[:, 2]  # not finite if any coordinate is not; faster than checking each
    breaks = np.flatnonzero(~np.isfinite(total))
    breaks = breaks[~np.isfinite(table[breaks]).all(axis=1)]
    ended = False
    is_end = np.isinf(table[breaks]).all(axis=1)
    if is_end.any():
        end = breaks[np.argmax(is_end)]
        ended = True
        breaks = breaks[breaks < end]
        table = table[:end]
    bad = ~np.isnan(table[breaks]).all(axis=1)
    if bad.any():
        streamline = found + int(np.argmax(bad))
        message = (
            f'{header.path}: streamline {streamline} (counted from 0) has a vertex that is not finite; '
            'remove it (for example with tckedit), or download the file again'
        )
        raise TractogramError(message)
    lengths = np.diff(breaks, prepend=-1) - 1
    whole = int(breaks[-1]) + 1 if len(breaks) else 0
    inside = np.ones(whole, bool)
    inside[breaks] = False
    # taking whole rows is faster than single numbers
    rows = np.ascontiguousarray(table[:whole]).view('V12').reshape(-1)
    return rows[inside].view(np.float32).reshape(-1, 3), lengths.astype(np.int64), table[whole:], ended


def scan(path: str | Path, *, progress: Callable[[int], object] | None = None) -> TractogramInfo:
    """Read a whole ``.tck`` once: validate and measure it, and compute its checksum.

    Parameters
    ----------
    path : path
    progress : callable, optional
        Called with the number of bytes read since the last call.

    Raises
    ------
    TractogramError
        See `read_header` and `iter_blocks`; also if no streamline has a vertex.
    """
    header = read_header(path)
    digest = hashlib.sha256()
    with header.path.open('rb') as stream:
        digest.update(stream.read(header.offset))

    def on_bytes(chunk: bytes) -> None:
        digest.update(chunk)
        if progress:
            progress(len(chunk))

    count = vertices = empty = single = segments = 0
    length = inside_brain = 0.0
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for points, lengths in iter_blocks(header, on_bytes=on_bytes):
        count += len(lengths)
        vertices += len(points)
        empty += int(np.count_nonzero(lengths == 0))
        single += int(np.count_nonzero(lengths == 1))
        if len(points):
            # by column: numpy is slow at reducing rows of three
            low = np.minimum(low, [column.min() for column in points.T])
            high = np.maximum(high, [column.max() for column in points.T])
            if max(-low.min(), high.max()) > _FARTHEST:
                message = (
                    f'{header.path}: vertices lie {max(-low.min(), high.max()):.3g} mm from the origin; '
                    'the file is corrupt or not in millimetres'
                )
                raise TractogramError(message)
            inside_brain += len(points) * _share_inside_brain(points)
            inside = np.ones(len(points) - 1, bool)
            inside[np.cumsum(lengths[lengths > 0])[:-1] - 1] = False  # steps between streamlines
            steps = np.diff(points, axis=0)
            length += float(np.sqrt(np.einsum('ij,ij->i', steps, steps))[inside].sum(dtype=float))
            segments += int(inside.sum())
    if not vertices:
        message = f'{header.path} has no streamlines'
        raise TractogramError(message)
    box = (tuple(low.tolist()), tuple(high.tolist()))
    return TractogramInfo(
        count=count,
        vertices=vertices,
        empty=empty,
        single_vertex=single,
        box=box,
        spacing=length / segments if segments else 0.0,
        brain_pct=round(100 * inside_brain / vertices, 2),
        step_size=header.step_size,
        sha256=digest.hexdigest(),
    )


def _share_inside_brain(points: np.ndarray) -> float:
    if len(points) > _SAMPLED:  # deterministic sample
        points = points[np.random.default_rng(0).integers(len(points), size=_SAMPLED)]
    return float(np.mean(brain().holds(points)))


def write_blocks(
    path: str | Path | BytesIO,
    blocks: Iterable[tuple[np.ndarray, np.ndarray]],
    fields: Mapping[str, str] | None = None,
) -> int:
    """Write blocks from `iter_blocks` as a little-endian float32 ``.tck``.

    Parameters
    ----------
    path : path or io.BytesIO
    blocks : iterable of (numpy.ndarray, numpy.ndarray)
        Points (vertices, 3) in world mm, and number of vertices of each streamline.
    fields : mapping of str to str, optional
        Additional header fields; each line of a value becomes a field of its own, as in MRtrix3.

    Returns
    -------
    int
        Number of streamlines.
    """
    extra = ''.join(
        f'{name}: {line}\n'
        for name, value in (fields or {}).items()
        if name not in _OWN_FIELDS
        for line in value.splitlines()
    )
    count = 0
    with nullcontext(path) if isinstance(path, BytesIO) else Path(path).open('wb') as stream:
        stream.write(_header_bytes(0, extra))
        for points, lengths in blocks:
            rows = np.full((len(points) + len(lengths), 3), np.nan, '<f4')
            rows[np.arange(len(points)) + np.repeat(np.arange(len(lengths)), lengths)] = points
            stream.write(rows.data)
            count += len(lengths)
        stream.write(np.full(3, np.inf, '<f4').data)
        stream.seek(0)
        stream.write(_header_bytes(count, extra))
    return count


def write_tck(
    path: str | Path | BytesIO,
    streamlines: Iterable[Sequence[Sequence[float]] | np.ndarray],
    **fields: object,
) -> None:
    """Write streamlines (each (vertices, 3), world mm) as a little-endian float32 ``.tck``.

    The count is written last, so `streamlines` may be a generator.

    Parameters
    ----------
    path : path or io.BytesIO
    streamlines : iterable of array_like
    **fields
        Additional header fields, such as ``step_size=0.5``.
    """
    lines = (np.asarray(streamline, '<f4').reshape(-1, 3) for streamline in streamlines)
    blocks = ((line, np.array([len(line)])) for line in lines)
    write_blocks(path, blocks, {name: str(value) for name, value in fields.items()})


def _header_bytes(count: int, extra: str) -> bytes:
    body = f'mrtrix tracks\ndatatype: Float32LE\ncount: {count:010d}\n{extra}file: . '
    tail = '\nEND\n'
    offset = len((body + tail).encode())
    offset += len(str(offset + len(str(offset))))
    return f'{body}{offset}{tail}'.encode()
