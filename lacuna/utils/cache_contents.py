"""The content of the cache: list it with sizes, and remove it while no run needs it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lacuna.errors import InputError
from lacuna.utils.cache import RECORD, is_writable, make_private_dir
from lacuna.utils.locks import locked

#: folders of the cache that are rebuilt when missing, with descriptions of their content
KINDS = {
    'index': 'streamline indexes',
    'moved': 'tractograms in another space',
    'converted': 'tractograms as .tck',
    'endpoints': 'parcels at the ends of streamlines',
    'bundles': 'voxels that bundles visit',
    'lengths': 'lengths and weights of streamlines',
    'density': 'densities with weights or limits of length',
    'regions': 'voxels of atlases, for lesion load',
    'tdi': 'densities of tractograms (engine mrtrix)',
    'tractograms': 'checksums of tractograms',
    'numba*': 'compiled code',
}
#: folder of downloads, which are not rebuilt
FETCHED = 'connectomes'
_LOCK = '.lock'
#: suffixes of files beside an item
_BESIDE = ('.lock', RECORD)
_DAY = 86400.0
_UNITS = ('bytes', 'kB', 'MB', 'GB', 'TB')


@dataclass(frozen=True)
class Entry:
    """An item of the cache.

    Attributes
    ----------
    path : pathlib.Path
        File or folder.
    size : int
        Size in bytes.
    used : float
        Time of last use, as far as recorded by the file system (seconds since 1970).
    """

    path: Path
    size: int
    used: float


def entries(root: Path, kind: str, *, unused_days: float = 0.0) -> list[Entry]:
    """Return the items of one kind.

    Parameters
    ----------
    root : pathlib.Path
        Cache folder.
    kind : str
        One of `KINDS`, or `FETCHED`.
    unused_days : float
        Leave out items used within this number of days.
    """
    latest = time.time() - unused_days * _DAY
    # compiled code is a single item, because an incomplete folder is useless
    paths = root.glob(kind if '*' in kind else f'{kind}/*')
    found = [_entry(path) for path in sorted(paths) if path.suffix not in _BESIDE]
    return [entry for entry in found if not unused_days or entry.used <= latest]


def _entry(path: Path) -> Entry:
    """Return an item; the access time of its largest file is used, because listing reads the small ones."""
    inside = [path, *path.rglob('*')] if path.is_dir() and not path.is_symlink() else [path]
    files = []
    for each in inside:
        with suppress(FileNotFoundError):  # it is being replaced
            status = each.lstat()
            if not each.is_dir():
                files.append((status.st_size, max(status.st_atime, status.st_mtime)))
    _, used = max(files, default=(0, 0.0))
    return Entry(path, sum(size for size, _ in files), used)


def remove(entry: Entry) -> None:
    """Remove an item, and the lock and the record beside it.

    Raises
    ------
    OSError
        For example, if it belongs to another user.
    """
    if entry.path.is_dir() and not entry.path.is_symlink():
        shutil.rmtree(entry.path)
    else:
        entry.path.unlink(missing_ok=True)
        for suffix in _BESIDE:
            entry.path.with_suffix(suffix).unlink(missing_ok=True)


@contextmanager
def using(root: Path) -> Iterator[None]:
    """Block `clearing` during the block; several processes may do so at the same time."""
    with ExitStack() as stack:
        with suppress(OSError):  # in a read-only cache, or on a full disk, nothing is cleared
            if not root.exists() and is_writable(root):
                make_private_dir(root)
            lock = root / _LOCK
            stream = stack.enter_context(lock.open('a+' if is_writable(root) else 'r'))
            locked(stream, shared=True, wait=True)
        yield


@contextmanager
def clearing(root: Path) -> Iterator[None]:
    """Hold the exclusive right to remove items from the cache.

    Raises
    ------
    InputError
        If a run uses the cache, or this cannot be determined.
    """
    with (root / _LOCK).open('a+') as stream:
        try:
            certain = locked(stream, shared=False, wait=False)
        except BlockingIOError as error:
            message = f'a run is using {root}: nothing was removed; try again when the run has ended'
            raise InputError(message) from error
        if not certain:
            message = (
                f'{root} is on a file system without locks, so it is unknown whether a run is using it; '
                'delete its folders by hand when no run is active'
            )
            raise InputError(message)
        yield


def shown_size(size: float) -> str:
    """Format a number of bytes for display.

    >>> [shown_size(size) for size in (0, 999, 1000, 25_300_000, 1.24e9, 5e15)]
    ['0 bytes', '999 bytes', '1.0 kB', '25.3 MB', '1.2 GB', '5000.0 TB']
    """
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f'{size:.1f} {_UNITS[unit]}' if unit else f'{size:.0f} bytes'
