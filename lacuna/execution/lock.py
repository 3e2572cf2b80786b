"""Lock the participants of a run, so that two runs never write the same results in an output folder.

Runs may share an output folder, as the jobs of a cluster do, if their settings agree and their participants differ. The
locks are those of the operating system: they end with the process that holds them, whatever its end and on any host, so
no stale locks are left behind.
"""

from __future__ import annotations

import errno
import fcntl
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lacuna.errors import InputError
from lacuna.utils.files import TEMPORARY
from lacuna.utils.locks import NO_LOCKS
from lacuna.utils.names import few

# Meaning of each locked byte of the lock file, which need not be that long.
_SETTINGS, _TABLES, _FIRST_PARTICIPANT = 0, 1, 2


class OutputLock:
    """Lock on the results of some participants in an output folder.

    Parameters
    ----------
    root : pathlib.Path
        Output folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file: BinaryIO | None = None

    def take(self, subjects: Collection[str], settings: str) -> None:
        """Lock the results of these participants, until `release` or the end of the process.

        Parameters
        ----------
        subjects : collection of str
            Labels, without ``sub-``.
        settings : str
            Settings that all concurrent runs must share.

        Raises
        ------
        InputError
            If another run has locked one of them or has other settings, or the folder is not writable.
        """
        path = self._root / 'logs' / '.lock'
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # keep it open: closing it would release all locks on the file
            self._file = path.open('a+b', buffering=0)
        except OSError as error:
            message = f'the output folder {self._root} cannot be written: {error.strerror or error}'
            raise InputError(message) from error
        try:
            others = self._agree_on_settings(settings)
            taken = [subject for subject in subjects if not self._try_lock(_byte(subject))]
        except OSError as error:
            if error.errno in NO_LOCKS:  # a file system without locks: other runs cannot be detected
                return
            raise
        if others is None and not taken:
            return
        self.release()
        reason = (
            f'other settings: {others}'
            if others
            else f'the results of {few([f"sub-{subject}" for subject in taken])}'
        )
        message = (
            f'another run is writing into {self._root}, with {reason}; '
            'start this one again when the other has ended, or choose another folder'
        )
        raise InputError(message)

    @contextmanager
    def tables(self) -> Iterator[None]:
        """Hold the lock on the shared tables and reports; waits for other runs, which hold it briefly."""
        assert self._file is not None, 'take it first'  # noqa: S101
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, _TABLES)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            yield
            return
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _TABLES)

    def release(self) -> None:
        """Release all locks."""
        if self._file:
            self._file.close()
            self._file = None

    def _agree_on_settings(self, settings: str) -> str | None:
        """Write the settings if no other run is active; otherwise return the others' settings if they differ."""
        file = self._file
        assert file is not None  # noqa: S101
        if self._try_lock(_SETTINGS):
            for left in (*self._root.glob(f'{TEMPORARY}*'), *self._root.glob(f'connectome/{TEMPORARY}*')):
                left.unlink(missing_ok=True)  # left by a killed run; no other run is active
            file.truncate(0)
            file.write(settings.encode())
        fcntl.lockf(file, fcntl.LOCK_SH, 1, _SETTINGS)  # shared with other runs
        file.seek(0)
        found = file.read().decode(errors='replace')
        return None if found == settings else found

    def _try_lock(self, byte: int) -> bool:
        assert self._file is not None  # noqa: S101
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            return False
        return True


@contextmanager
def locking(root: Path) -> Iterator[OutputLock]:
    """Yield an output lock, released at the end of the block."""
    lock = OutputLock(root)
    try:
        yield lock
    finally:
        lock.release()


def _byte(subject: str) -> int:
    """Return the byte of a participant; a collision only makes two runs wait for each other."""
    return _FIRST_PARTICIPANT + zlib.crc32(subject.encode())
