"""Cache folders, and files that are made only once."""

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
from lacuna.utils.files import TEMPORARY
from lacuna.utils.locks import file_lock


def cache_dir() -> Path:
    """Return the folder of Lacuna's caches: ``LACUNA_CACHE_DIR``, else ``lacuna`` in the user's cache folder.

    If that cannot be written to, as in many containers, it is a private folder among the temporary files.
    """
    if given := os.environ.get('LACUNA_CACHE_DIR'):
        return Path(given).expanduser().absolute()
    return user_cache_dir() or private_temporary_dir()


def user_cache_dir() -> Path | None:
    """Return Lacuna's folder in the user's cache folder; None if there is no home, or it cannot be written to."""
    from platformdirs import user_cache_path

    folder = user_cache_path('lacuna')
    if folder.parts[0] == '~':  # unchanged if there is no home
        return None
    return folder.absolute() if is_writable(folder.absolute()) else None


def home_dir() -> Path | None:
    """Return the user's home; None if HOME is not set and the system has no user with this id."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def is_writable(folder: Path) -> bool:
    """Whether files can be written into a folder, which need not exist yet."""
    there = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def private_temporary_dir() -> Path:
    """Return a folder among the temporary files that only this user can write to, the same for all processes.

    Raises
    ------
    InputError
        If the folder belongs to somebody else: the content of a cache is trusted, above all compiled code.
    """
    folder = Path(tempfile.gettempdir()) / f'lacuna-{os.geteuid()}'
    if not make_private_dir(folder):
        message = f'{folder} is not a folder that only you can write to; remove it, or set TMPDIR'
        raise InputError(message)
    return folder


def make_private_dir(path: Path) -> bool:
    """Make a folder for code and pickles; return whether only its owner can write to it.

    An existing one that belongs to somebody else or is open to others is left unchanged.
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
    """Whether the file system has owners and permissions: those of other operating systems often do not."""
    try:
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as probe:
            return _is_private(Path(probe))
    except OSError:
        return True


def cached(target: Path, make: Callable[[], object]) -> None:
    """Make a file of the cache unless it exists; other processes that need it wait and then use it."""
    if not target.is_file():
        with file_lock(target.with_suffix('.lock')):
            if not target.is_file():
                make()


def cached_or_local(folder: str | Path, name: str | Path, make: Callable[[Path], object]) -> Path:
    """Make the file of a node: an absolute name is in a cache and made only once, any other is in the folder and made now."""
    target = Path(folder, name)
    if Path(name).is_absolute():
        cached(target, lambda: make(target))
    else:
        make(target)
    return target


def digest(decides: list[Any]) -> str:
    """Return the name in a cache for something that depends on all of this."""
    return hashlib.sha256(repr(decides).encode()).hexdigest()[:32]
