"""Read ``.trx`` files in blocks of whole streamlines.

A ``.trx`` is a zip archive with ``header.json``, ``positions.3.<type>`` (world mm, RAS+), ``offsets.<type>`` (first
vertex of each streamline), and optionally groups of streamlines (``groups/<name>.<type>``) and per-streamline values
(``dps/<name>.<type>``).
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from lacuna.errors import TractogramError, shorten
from lacuna.streamlines.files.arrays import (
    BLOCK_VERTICES,
    LONGEST_STREAMLINE,
    Blocks,
    Progress,
    check_finite,
    reading_tractogram,
)

_FLOATS = {'float16': '<f2', 'float32': '<f4', 'float64': '<f8'}
_INTEGERS = {f'{kind}int{8 * size}': f'<{kind or "i"}{size}' for kind in ('u', '') for size in (1, 2, 4, 8)}
_LONGEST_HEADER = 2**20
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_OFFSETS_AT_A_TIME = 2**16


@dataclass(frozen=True)
class TrxHeader:
    """The header and members of a ``.trx``.

    Attributes
    ----------
    path : pathlib.Path
    count, vertices : int
        Numbers of streamlines and vertices in the header.
    positions, offsets : str
        Names of the members of the archive.
    groups : dict
        Archive member of each group of streamlines, by name.
    per_streamline : dict
        Archive member of each set of per-streamline values, by name.
    """

    path: Path
    count: int
    vertices: int
    positions: str
    offsets: str
    groups: dict[str, str]
    per_streamline: dict[str, str]


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the archive; errors become one clear line."""
    # RuntimeError and its subclass NotImplementedError: encrypted, or unsupported compression
    damage = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
    with reading_tractogram(path, *damage), zipfile.ZipFile(path) as archive:
        yield archive


def read_header(path: str | Path) -> TrxHeader:
    """Read the header and table of contents of a ``.trx``.

    Raises
    ------
    TractogramError
        If the file is unreadable, not a ``.trx``, or inconsistent.
    """
    path = Path(path)
    with _opened(path) as archive:
        members = archive.infolist()
        sizes = {info.filename: info.file_size for info in members}
        if packed := next((info for info in members if info.compress_type not in _COMPRESSIONS), None):
            # other methods may unpack gigabytes at once
            message = f'{path}: {shorten(packed.filename)} uses a compression that .trx files do not allow; save it again'
            raise TractogramError(message)
        if not 0 < sizes.get('header.json', 0) <= _LONGEST_HEADER:
            message = f'{path} is not a .trx file: it has no header.json, or an oversized one'
            raise TractogramError(message)
        with archive.open('header.json') as stream:
            text = stream.read(_LONGEST_HEADER)  # the size in the archive may be wrong
    try:
        header = json.loads(text)
        count, vertices = (int(header[key]) for key in ('NB_STREAMLINES', 'NB_VERTICES'))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        message = (
            f'{path}: header.json does not give NB_STREAMLINES and NB_VERTICES ({error}); the file is corrupt'
        )
        raise TractogramError(message) from error
    positions = _member(path, sizes, 'positions.3.', _FLOATS) if count else ''
    offsets = _member(path, sizes, 'offsets.', _INTEGERS) if count else ''
    if count:
        widths = {name: _dtype(name).itemsize for name in (positions, offsets)}
        told, stored = vertices * 3 * widths[positions], sizes[positions]
        if told != stored:
            message = f'{path} is corrupt: {vertices} vertices are claimed ({told} bytes), {positions} has {stored} bytes'
            raise TractogramError(message)
        if sizes[offsets] not in (count * widths[offsets], (count + 1) * widths[offsets]):
            message = (
                f'{path} is corrupt: {count} streamlines are claimed, {offsets} has {sizes[offsets]} bytes'
            )
            raise TractogramError(message)
    groups = _members_in(sizes, 'groups', _INTEGERS)
    return TrxHeader(
        path, count, vertices, positions, offsets, groups, _members_in(sizes, 'dps', _FLOATS | _INTEGERS)
    )


def _members_in(sizes: dict[str, int], folder: str, types: dict[str, str]) -> dict[str, str]:
    """Return the nonempty members of a folder, by name without type."""
    return {
        Path(name).stem: name
        for name, size in sorted(sizes.items())
        if name.startswith(f'{folder}/')
        and name.count('/') == 1
        and size
        and name.rpartition('.')[2] in types
    }


def _member(path: Path, sizes: dict[str, int], start: str, types: dict[str, str]) -> str:
    found = [name for name in sizes if name.startswith(start)]
    if len(found) != 1 or found[0].removeprefix(start) not in types:
        message = f'{path} is not a valid .trx: expected one {start}({"|".join(types)}), found {shorten(found) if found else "none"}'
        raise TractogramError(message)
    return found[0]


def _dtype(member: str) -> np.dtype:
    return np.dtype((_FLOATS | _INTEGERS)[member.rpartition('.')[2]])


def _read(stream: IO[bytes], member: str, items: int) -> np.ndarray:
    """Read the next `items` numbers of a member; raise an error if it ends early."""
    dtype = _dtype(member)
    data = stream.read(items * dtype.itemsize)
    if len(data) < items * dtype.itemsize:
        message = f'{member} ends early'
        raise EOFError(message)
    return np.frombuffer(data, dtype)


def iter_blocks(
    header: TrxHeader, *, vertices: int = BLOCK_VERTICES, progress: Progress | None = None
) -> Blocks:
    """Iterate over the streamlines of a ``.trx`` in blocks, see `lacuna.streamlines.files.formats.iter_blocks`."""
    if not header.count:
        return
    found = read = 0
    with _opened(header.path) as archive:
        packed = archive.getinfo(header.positions).compress_size
        with archive.open(header.positions) as positions:
            for lengths in _iter_lengths(archive, header):
                ends = np.cumsum(lengths)
                first = 0
                while first < len(lengths):
                    before = int(ends[first - 1]) if first else 0
                    last = max(int(np.searchsorted(ends, before + vertices, side='right')), first + 1)
                    part = lengths[first:last]
                    with np.errstate(over='ignore'):  # overflow to infinity is refused below
                        stored = _read(positions, header.positions, 3 * int(part.sum()))
                        points = stored.reshape(-1, 3).astype(np.float32)
                    check_finite(header.path, points, part, found)
                    yield points, part
                    first = last
                    found += len(part)
                    if progress:
                        progress(
                            packed * (read + len(points)) // max(header.vertices, 1)
                            - packed * read // max(header.vertices, 1)
                        )
                    read += len(points)
            positions.read(1)  # reading the end verifies the checksum


def _iter_lengths(archive: zipfile.ZipFile, header: TrxHeader) -> Iterator[np.ndarray]:
    """Yield the numbers of vertices, some streamlines at a time."""
    items = archive.getinfo(header.offsets).file_size // _dtype(header.offsets).itemsize
    previous = 0
    with archive.open(header.offsets) as stream:
        if _read(stream, header.offsets, 1)[0] != 0:
            message = f'{header.path} is corrupt: the first offset is not 0'
            raise TractogramError(message)
        for first in range(0, header.count, _OFFSETS_AT_A_TIME):
            wanted = min(_OFFSETS_AT_A_TIME, header.count - first)
            stored = min(wanted, items - 1 - first)
            ends = _read(stream, header.offsets, stored)
            if stored < wanted:  # older files lack the last offset, the total number of vertices
                ends = np.append(ends, np.array([header.vertices], ends.dtype))
            beyond = ends > header.vertices
            lengths = np.diff(ends.astype(np.int64), prepend=previous)
            at_end = first + wanted == header.count
            if (
                beyond.any()
                or lengths.min() < 0
                or lengths.max() > LONGEST_STREAMLINE
                or (at_end and int(ends[-1]) != header.vertices)
            ):
                message = f'{header.path} is corrupt: the offsets do not divide its {header.vertices} vertices among {header.count} streamlines'
                raise TractogramError(message)
            previous = int(ends[-1])
            yield lengths
        stream.read(1)  # reading the end verifies the checksum


def read_groups(header: TrxHeader) -> dict[str, np.ndarray]:
    """Read the groups (bundles) of streamlines.

    Returns
    -------
    dict of str to numpy.ndarray
        Sorted int64 indices of each group's streamlines, from 0.

    Raises
    ------
    TractogramError
        If a group contains an index that does not exist.
    """
    groups = {}
    with _opened(header.path) as archive:
        for name, member in header.groups.items():
            items = archive.getinfo(member).file_size // _dtype(member).itemsize
            fault = items > header.count
            if not fault:
                with archive.open(member) as stream:
                    indices = np.unique(_read(stream, member, items))
                fault = bool(items) and not 0 <= int(indices[0]) <= int(indices[-1]) < header.count
            if fault:
                message = f'{header.path}: group {shorten(name)} refers to streamlines that the file does not have; it is corrupt'
                raise TractogramError(message)
            groups[name] = indices.astype(np.int64)
    return groups


def read_per_streamline(header: TrxHeader, name: str) -> np.ndarray:
    """Read per-streamline values by name.

    Returns
    -------
    numpy.ndarray
        (streamlines,), with the type stored in the file.

    Raises
    ------
    TractogramError
        If their number does not match.
    """
    member = header.per_streamline[name]
    with _opened(header.path) as archive:
        items = archive.getinfo(member).file_size // _dtype(member).itemsize
        if items != header.count:
            message = f'{header.path}: {shorten(name)} has {items} values for {header.count} streamlines; one for each is needed'
            raise TractogramError(message)
        with archive.open(member) as stream:
            values = _read(stream, member, items)
            stream.read(1)  # reading the end verifies the checksum
    return values
