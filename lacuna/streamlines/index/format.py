"""Parts of a streamline index on disk: folders with plain arrays and a manifest, written atomically."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lacuna.errors import StreamlineIndexError, reason_of, shorten
from lacuna.utils.files import crc32_of
from lacuna.utils.locks import file_lock

VERSION = 1
MANIFEST = 'manifest.json'
_MAGIC = 'lacuna streamline index'
_LOCK = '.lock'
_UNFINISHED = '.building-'
_REBUILD = 'delete the folder and run again to rebuild it'
#: arrays of each part with their dtypes, which compiled code relies on
_DTYPES = {
    'selection': {
        'endpoints': '<f4',
        'lengths': '<f4',
        'vertices': '<u4',
        'blocks': '<u4',
        'rows': '<u2',
        'loose_ids': '<u4',
        'loose_points': '<f4',
    },
    'density': {'starts': '<u4', 'codes': '|u1', 'total': '<u4'},
}


class PartWriter:
    """Write the arrays of a part; it gets its final name in `finish`.

    Parameters
    ----------
    folder : pathlib.Path
        Final folder of the part.
    kind : str
        Kind of the part, such as ``'selection'``.

    Raises
    ------
    OSError
        If the folder cannot be created.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.kind = kind
        self.temporary = folder.with_name(f'{_UNFINISHED}{folder.name}')
        self.temporary.mkdir(parents=True)
        self._streams: dict[str, BinaryIO] = {}
        self._arrays: dict[str, dict[str, Any]] = {}

    def append(self, name: str, array: np.ndarray) -> None:
        """Append `array` to the array `name`, whose dtype is that of the first call."""
        array = np.ascontiguousarray(array)
        if name not in self._streams:
            self._streams[name] = (self.temporary / f'{name}.bin').open('wb')
            dtype = array.dtype.newbyteorder('<').str
            self._arrays[name] = {'dtype': dtype, 'bytes': 0, 'crc32': 0}
        entry = self._arrays[name]
        buffer = array.astype(entry['dtype'], copy=False).reshape(-1).view(np.uint8).data
        self._streams[name].write(buffer)
        entry['bytes'] += len(buffer)
        entry['crc32'] = zlib.crc32(buffer, entry['crc32'])

    def finish(self, facts: dict[str, Any]) -> None:
        """Write the manifest and rename the part to its final name."""
        for stream in self._streams.values():
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()
        body = {'format': _MAGIC, 'version': VERSION, 'kind': self.kind, 'arrays': self._arrays, **facts}
        body['checksum'] = _body_checksum(body)
        with (self.temporary / MANIFEST).open('w', encoding='utf-8') as text:
            json.dump(body, text, indent=1)
            text.flush()
            os.fsync(text.fileno())
        shutil.rmtree(self.folder, ignore_errors=True)
        self.temporary.replace(self.folder)

    def discard(self) -> None:
        """Remove the unfinished part."""
        for stream in self._streams.values():
            with contextlib.suppress(OSError):
                stream.close()
        shutil.rmtree(self.temporary, ignore_errors=True)


def _body_checksum(body: dict[str, Any]) -> int:
    text = json.dumps({key: value for key, value in body.items() if key != 'checksum'}, sort_keys=True)
    return zlib.crc32(text.encode())


def read_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """Read the manifest of a part, and check its content and the sizes of the arrays.

    Raises
    ------
    StreamlineIndexError
        If it is missing, damaged, or of another version or kind.
    """
    try:
        body = json.loads((folder / MANIFEST).read_text(encoding='utf-8'))
    except (FileNotFoundError, NotADirectoryError):
        message = f'no finished streamline index in {folder}; build it first'
        raise StreamlineIndexError(message) from None
    except (OSError, ValueError, RecursionError) as error:
        message = f'the streamline index {folder} cannot be read ({reason_of(error)}); {_REBUILD}'
        raise StreamlineIndexError(message) from error
    if not isinstance(body, dict) or body.get('format') != _MAGIC:
        message = f'{folder} is not a streamline index; {_REBUILD}'
        raise StreamlineIndexError(message)
    if body.get('version') != VERSION:
        message = f'{folder} has version {shorten(body.get("version"))}, but this program needs {VERSION}; {_REBUILD}'
        raise StreamlineIndexError(message)
    if body.get('checksum') != _body_checksum(body) or body.get('kind') != kind:
        message = f'the manifest of the streamline index {folder} is damaged; {_REBUILD}'
        raise StreamlineIndexError(message)
    if not _has_arrays(body):
        raise damaged(folder)
    for name, entry in body['arrays'].items():
        path = folder / f'{name}.bin'
        size = path.stat().st_size if path.is_file() else None
        if size != entry['bytes']:
            found = 'is missing' if size is None else f'has {size} bytes instead of {entry["bytes"]}'
            message = f'the streamline index is damaged: {path} {found}; {_REBUILD}'
            raise StreamlineIndexError(message)
    return body


def _has_arrays(body: dict[str, Any]) -> bool:
    """Whether the manifest lists the tractogram and all arrays of its kind with their dtypes."""
    arrays, source = body.get('arrays'), body.get('source')
    return (
        isinstance(arrays, dict)
        and all(isinstance(entry, dict) and type(entry.get('bytes')) is int for entry in arrays.values())
        and {name: entry.get('dtype') for name, entry in arrays.items()} == _DTYPES.get(body['kind'])
        and isinstance(source, dict)
        and isinstance(source.get('sha256'), str)
    )


def verify_arrays(folder: Path, manifest: dict[str, Any]) -> None:
    """Compare every array with its checksum.

    Raises
    ------
    StreamlineIndexError
        If one differs.
    """
    for name, entry in manifest['arrays'].items():
        path = folder / f'{name}.bin'
        try:
            found = crc32_of(path)
        except OSError as error:
            message = f'the streamline index cannot be read: {path}: {reason_of(error, path)}; {_REBUILD}'
            raise StreamlineIndexError(message) from error
        if found != entry.get('crc32'):
            message = f'the streamline index is damaged: {path} does not match its checksum; {_REBUILD}'
            raise StreamlineIndexError(message)


def map_array(folder: Path, manifest: dict[str, Any], name: str) -> np.ndarray:
    """Map an array of a part from its file: read-only, shared between processes."""
    entry = manifest['arrays'][name]
    if not entry['bytes']:
        return np.empty(0, entry['dtype'])
    return np.asarray(np.memmap(folder / f'{name}.bin', entry['dtype'], 'r'))


def damaged(folder: Path) -> StreamlineIndexError:
    """Return the error for an inconsistent index."""
    return StreamlineIndexError(f'the streamline index {folder} is damaged; {_REBUILD}')


@contextlib.contextmanager
def building(directory: Path, needed: int) -> Iterator[None]:
    """Hold the lock for building in `directory`; disk errors become one clear line.

    Parameters
    ----------
    directory : pathlib.Path
        Created if missing.
    needed : int
        Estimated size of the index in bytes, for the message.

    Raises
    ------
    StreamlineIndexError
        If `directory` cannot be written, or the disk is full.
    """
    try:
        with file_lock(directory / _LOCK):
            for left in directory.glob(f'{_UNFINISHED}*'):  # left by a killed build
                shutil.rmtree(left, ignore_errors=True)
            yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = (
                f'no space left for the streamline index in {directory}: it may take {needed / 1e6:,.0f} MB; '
                'free some space or choose another folder'
            )
        else:
            message = f'cannot write the streamline index in {directory}: {error.strerror or error}'
        raise StreamlineIndexError(message) from error


def describe(directory: Path) -> str:
    """Describe an index in one line: tractogram, grids, size and path, or what is wrong with it."""
    size = sum(path.stat().st_size for path in directory.rglob('*') if path.is_file()) / 1e6
    try:
        selection = read_manifest(directory / 'selection', 'selection')
        grids = [
            read_manifest(path.parent, 'density')['grid'] for path in directory.glob(f'density-*/{MANIFEST}')
        ]
        words = sorted(f'{grid["space"]} {grid["resolution"]} mm' for grid in grids)
        name, count = selection['source']['name'], int(selection['streamlines'])
    except StreamlineIndexError as error:
        return f'{error} ({size:,.0f} MB)'
    except (KeyError, TypeError, ValueError, OverflowError):
        return f'{damaged(directory)} ({size:,.0f} MB)'
    return f'index of {name}: {count:,} streamlines; {", ".join(words)}; {size:,.0f} MB; {directory}'
