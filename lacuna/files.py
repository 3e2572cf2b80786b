"""Write files whole or not at all, and find the place for caches."""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from lacuna.errors import InputError

#: what a file system answers that has no locks: nothing can be known of other processes
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
#: what the name of an unfinished file begins with
TEMPORARY = '.tmp-'
#: C0, C1, the separators of lines and paragraphs, and what Python makes of bytes that are no UTF-8
_UNPRINTABLE = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')


def cache_dir() -> Path:
    """Folder of Lacuna's caches: ``LACUNA_CACHE_DIR``, else ``lacuna`` in the user's cache folder.

    Where the user has none to write to, as in many a container, it is a private one among the temporary files.
    """
    if given := os.environ.get('LACUNA_CACHE_DIR'):
        return Path(given).expanduser().absolute()
    return user_cache_dir() or private_temporary_dir()


def user_cache_dir() -> Path | None:
    """Lacuna's folder in the user's cache folder; None if there is no home, or it cannot be written to."""
    if given := os.environ.get('XDG_CACHE_HOME'):
        caches = Path(given).absolute()
    elif home := home_dir():
        caches = home / '.cache'
    else:
        return None
    return caches / 'lacuna' if is_writable(caches / 'lacuna') else None


def home_dir() -> Path | None:
    """The user's home; None if HOME is not set and the system knows no user of this number."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def is_writable(folder: Path) -> bool:
    """Whether files can be written into a folder, which need not exist yet."""
    there = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def private_temporary_dir() -> Path:
    """A folder among the temporary files that only this user can write to; the same one for all processes.

    Raises
    ------
    InputError
        If somebody else's is in its place: what lies in a cache is trusted, compiled code above all.
    """
    folder = Path(tempfile.gettempdir()) / f'lacuna-{os.geteuid()}'
    if not own_folder(folder):
        message = f'{folder} is not a folder that only you can write to; remove it, or set TMPDIR'
        raise InputError(message)
    return folder


def own_folder(path: Path) -> bool:
    """Make a folder for what is run or unpickled again later; whether nobody but its owner can put anything there.

    One that is there already, and belongs to somebody else or is open to others, is left as it is.
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
    """Whether the file system knows owners and permissions: those of other operating systems often do not."""
    try:
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as probe:
            return _is_private(Path(probe))
    except OSError:
        return True


@contextmanager
def replacing(target: str | Path) -> Iterator[Path]:
    """A temporary path beside `target`, which takes its place when the block ends without an error.

    A killed process leaves at most a file whose name starts with ``.tmp-`` and its own; the target is whole or absent.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    # the extension is kept: writers choose the format and the compression by it
    handle, name = tempfile.mkstemp(
        prefix=f'{TEMPORARY}{target.name}-', suffix=''.join(target.suffixes), dir=target.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def only_one(lock: Path, *, wait: bool = True, passing: bool = False) -> Iterator[bool]:
    """Keep other processes out of the same block; the lock ends with its process, however that ends.

    Parameters
    ----------
    lock : pathlib.Path
        File to lock: it is made if missing, and stays.
    wait : bool
        Whether to wait for the other process.
    passing : bool
        Whether the file is removed at the end of the block.

    Yields
    ------
    bool
        Whether others are certainly kept out; a file system without locks cannot tell.

    Raises
    ------
    BlockingIOError
        If there is another process and `wait` is False.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with lock.open('a') as stream:
            certain = locked(stream, wait=wait)
            if not _is_at(stream, lock):
                continue  # it was removed while we waited: another process may have made, and locked, a new one
            try:
                yield certain
            finally:
                if passing:
                    lock.unlink(missing_ok=True)
            return


def locked(stream: IO[Any], *, wait: bool, shared: bool = False) -> bool:
    """Lock an open file, until it is closed; False if the file system has no locks.

    Parameters
    ----------
    stream : file
    wait : bool
        Whether to wait for the other process.
    shared : bool
        Whether others may lock it in the same way.

    Raises
    ------
    BlockingIOError
        If there is another process and `wait` is False.
    """
    try:
        fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True


def _is_at(stream: IO[Any], path: Path) -> bool:
    """Whether a path is that of an open file."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False


def make_once(target: Path, make: Callable[[], object]) -> None:
    """Make a file of the cache unless it is there; other processes that want it wait, and find it."""
    if not target.is_file():
        with only_one(target.with_suffix('.lock')):
            if not target.is_file():
                make()


def kept_or_made(folder: str | Path, name: str | Path, make: Callable[[Path], object]) -> Path:
    """The file of a node: an absolute name is in a cache and made once, any other in the folder and made now."""
    target = Path(folder, name)
    if Path(name).is_absolute():
        make_once(target, lambda: make(target))
    else:
        make(target)
    return target


def remove_leftovers(targets: Iterable[Path]) -> None:
    """Remove the temporary files that a killed process left beside its targets (nobody else may write them now)."""
    for target in targets:
        for path in target.parent.glob(f'{TEMPORARY}{glob.escape(target.name)}-*'):
            path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def shown_name(path: str | Path) -> str:
    r"""A path for a line of text: what cannot stand there is escaped.

    >>> shown_name('a\tb\udcff')
    'a\\tb\\udcff'
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode('unicode_escape').decode(), str(path))


def check_name(path: str | Path) -> None:
    """Refuse a path with line breaks, other control characters, or bytes that are no text.

    Such a name cannot stand in tables, sidecars and messages, and could be meant to forge a line of one.

    Raises
    ------
    InputError
    """
    if (shown := shown_name(path)) != str(path):
        message = f'{shown}: the name holds control characters, or bytes that are no UTF-8; rename it'
        raise InputError(message)


def write_if_changed(target: str | Path, content: bytes) -> bool:
    """Write `content`, unless the file holds just that already; True if it was written."""
    target = Path(target)
    if target.is_file() and target.stat().st_size == len(content) and target.read_bytes() == content:
        return False
    with replacing(target) as temporary:
        temporary.write_bytes(content)
    return True


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """Valid JSON, one key a line, in the given order.

    Raises
    ------
    ValueError
        If a number is not finite: NaN is no JSON.
    """
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + '\n').encode()


def listed(content: Mapping[str, Any], key: str) -> list[Any]:
    """A list in the object of a JSON file; empty if there is none."""
    found = content.get(key)
    return found if isinstance(found, list) else []


def read_json(path: str | Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if there is no such file or it holds none."""
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError):  # the last: nested a thousandfold
        return None
    return content if isinstance(content, dict) else None
