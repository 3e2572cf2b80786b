"""Cache folders, and files that are created once."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lacuna.errors import InputError
from lacuna.utils.files import TEMPORARY, crc32_of, json_bytes, read_json, stamp, write_if_changed
from lacuna.utils.locks import file_lock

#: suffix of the records of checksums beside cached files
RECORD = '.crc'


def cache_dir() -> Path:
    """Return Lacuna's cache folder: ``LACUNA_CACHE_DIR``, else ``lacuna`` in the user's cache folder.

    If that is not writable, as in many containers, it is a private folder among the temporary files.
    """
    if given := os.environ.get('LACUNA_CACHE_DIR'):
        return Path(given).expanduser().absolute()
    return user_cache_dir() or private_temporary_dir()


def user_cache_dir() -> Path | None:
    """Return Lacuna's folder in the user's cache folder; None if there is no home, or it is not writable."""
    from platformdirs import user_cache_path

    folder = user_cache_path('lacuna')
    if folder.parts[0] == '~':  # not expanded, because there is no home
        return None
    return folder.absolute() if is_writable(folder.absolute()) else None


def home_dir() -> Path | None:
    """Return the user's home; None if HOME is not set and the user id is unknown."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def is_writable(folder: Path) -> bool:
    """Whether files can be written into a folder, which may not exist yet."""
    there = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def private_temporary_dir() -> Path:
    """Return a temporary folder that only this user can write to, the same for all processes.

    Raises
    ------
    InputError
        If the folder belongs to another user: cached content is trusted, above all compiled code.
    """
    folder = Path(tempfile.gettempdir()) / f'lacuna-{os.geteuid()}'
    if not make_private_dir(folder):
        message = f'{folder} is not a folder that only you can write to; remove it, or set TMPDIR'
        raise InputError(message)
    return folder


def make_private_dir(path: Path) -> bool:
    """Create a folder for code and pickles; return whether only its owner can write to it.

    An existing folder that belongs to another user or is open to others is left unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
        return True
    return _is_private(path) or not _keeps_permissions(path.parent)


def _is_private(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _keeps_permissions(folder: Path) -> bool:
    """Whether the file system stores owners and permissions, which those of other operating systems may not."""
    try:
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as probe:
            return _is_private(Path(probe))
    except OSError:
        return True


def cached(target: Path, make: Callable[[], object], *others: Path) -> None:
    """Create a cached file unless it exists undamaged; other processes that need it wait for it.

    `others` are files that `make` creates, too.
    """
    if not all(map(is_intact, (target, *others))):
        with file_lock(target.with_suffix('.lock')):
            if not all(map(is_intact, (target, *others))):
                make()
                for path in (target, *others):
                    seal(path)


def seal(path: Path) -> None:
    """Record the checksum of a cached file beside it, for `is_intact`."""
    _record(path, crc32_of(path))


def is_intact(path: Path) -> bool:
    """Whether a cached file exists, and has not changed since `seal`; a file without record is trusted."""
    record = read_json(path.with_suffix(RECORD))
    if record is None or not path.is_file():
        return path.is_file()
    # reading a tractogram takes long: one of the recorded size and times is not read, like any other tractogram
    if path.suffix == '.tck' and record.get('stamp') == stamp(path):
        return True
    found = crc32_of(path)
    if record.get('crc32') != found:
        return False
    if record.get('stamp') != stamp(path):  # for example, in a copy of the cache
        _record(path, found)
    return True


def _record(path: Path, crc32: int) -> None:
    with suppress(OSError):  # the cache is read-only, or the disk full
        write_if_changed(path.with_suffix(RECORD), json_bytes({'crc32': crc32, 'stamp': stamp(path)}))


def cached_or_local(folder: str | Path, name: str | Path, make: Callable[[Path], object]) -> Path:
    """Create the file of a node: once in the cache if `name` is absolute, else in `folder`; return its path."""
    target = Path(folder, name)
    if Path(name).is_absolute():
        cached(target, lambda: make(target))
    else:
        make(target)
    return target


def digest(decides: list[Any]) -> str:
    """Return a cache key for everything that determines the content."""
    return hashlib.sha256(repr(decides).encode()).hexdigest()[:32]
