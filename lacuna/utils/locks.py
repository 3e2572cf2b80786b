"""Locks that keep other processes out of a block."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

#: errors of file systems without locks, where other processes cannot be detected
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def file_lock(lock: Path, *, wait: bool = True, passing: bool = False) -> Iterator[bool]:
    """Keep other processes out of a block; the lock ends with its process, however that ends.

    Parameters
    ----------
    lock : pathlib.Path
        File to lock; created if missing, and kept.
    wait : bool
        Whether to wait for the other process.
    passing : bool
        Whether to remove the file at the end of the block.

    Yields
    ------
    bool
        Whether others are certainly kept out; False on file systems without locks.

    Raises
    ------
    BlockingIOError
        If another process holds the lock and `wait` is False.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with lock.open('a') as stream:
            certain = locked(stream, wait=wait)
            if not _is_at(stream, lock):
                continue  # the file was removed while waiting: another process may have locked a new one
            try:
                yield certain
            finally:
                if passing:
                    lock.unlink(missing_ok=True)
            return


def locked(stream: IO[Any], *, wait: bool, shared: bool = False) -> bool:
    """Lock an open file until it is closed; return False if the file system has no locks.

    Parameters
    ----------
    stream : file
    wait : bool
        Whether to wait for the other process.
    shared : bool
        Whether others may hold the same kind of lock.

    Raises
    ------
    BlockingIOError
        If another process holds the lock and `wait` is False.
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
