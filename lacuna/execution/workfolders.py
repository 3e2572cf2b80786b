"""The work files of a run: where they lie, and that nothing stays of them, whether the run ends, is stopped, or is killed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lacuna.errors import InputError
from lacuna.utils.cache import make_private_dir, private_temporary_dir
from lacuna.utils.locks import file_lock

#: folder of the work files below the output folder, where that has to be on a disk that all machines see
HIDDEN = '.work'
#: files that may be written while their folder is removed
_TRIES, _PAUSE = 20, 0.1


def hidden_below(output_dir: Path) -> Path:
    """Where runs into an output folder keep work files that are large, or that other machines have to see."""
    return output_dir / HIDDEN


def temporary_folder() -> Path:
    """Where other runs keep them: a folder of this user below TMPDIR."""
    return private_temporary_dir() / 'work'


@contextmanager
def work_folder(base: Path, name: str, *, keep: bool) -> Iterator[None]:
    """Hold the work folder ``base/name``, and remove it at the end of the block, however that ends.

    Parameters
    ----------
    base : pathlib.Path
    name : str
        The same for the same command.
    keep : bool
        Whether the folder was asked for: what a run has left there is used by the next, and not removed.
    """
    folder = base / name
    with file_lock(_lock(folder), passing=True):
        try:
            if not keep:
                _remove(folder)
            yield
        finally:
            if not keep:
                _remove(folder)
    if not keep:
        with suppress(OSError):  # others are at work there
            base.rmdir()


def remove_of_dead_runs(output_dir: Path) -> None:
    """Remove the work folders of runs that were killed: their locks have ended with them."""
    _remove_dead(hidden_below(output_dir))
    with suppress(InputError):  # somebody else's is in the place of ours
        _remove_dead(temporary_folder())


def _remove_dead(base: Path) -> None:
    for lock in base.glob('*.lock'):
        with suppress(OSError), file_lock(lock, wait=False) as certain:
            if certain:  # a file system without locks does not tell
                _remove(lock.with_suffix(''))
                lock.unlink(missing_ok=True)
    with suppress(OSError):
        base.rmdir()


def make_work_folder(folder: Path) -> Path:
    """Make the work folder of a run; returns it.

    Raises
    ------
    InputError
        If somebody else could have put something there: Nipype unpickles what it finds, and a pickle can run anything.
    """
    if not make_private_dir(folder):
        message = (
            f'the work folder {folder} belongs to somebody else, or others can write there; '
            'remove it, or choose another with --work-dir'
        )
        raise InputError(message)
    return folder


def remove_finished(folder: Path) -> None:
    """Remove the work files of what is finished: selected streamlines are large, and nothing needs them again."""
    shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path) -> Path:
    return folder.with_name(f'{folder.name}.lock')


def _remove(folder: Path) -> None:
    """Remove a work folder; a command that is just ending may still write there."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE)
