"""The work files of a run: their location, and their removal after a run that ends, is interrupted, or is killed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lacuna.errors import InputError
from lacuna.utils.cache import make_private_dir, private_temporary_dir
from lacuna.utils.locks import file_lock

#: work folder below the output folder, for files that all machines must see
HIDDEN = '.work'
#: attempts to remove a folder while files are still being written to it, and the pause between them
_TRIES, _PAUSE = 20, 0.1


def hidden_below(output_dir: Path) -> Path:
    """Return the folder for work files that are large, or that other machines must see."""
    return output_dir / HIDDEN


def temporary_folder() -> Path:
    """Return the folder for other work files: one of this user below TMPDIR."""
    return private_temporary_dir() / 'work'


@contextmanager
def work_folder(base: Path, name: str, *, keep: bool) -> Iterator[None]:
    """Hold the work folder ``base/name``; remove it at the end of the block, also after errors.

    Parameters
    ----------
    base : pathlib.Path
    name : str
        Name of the folder, the same for the same command.
    keep : bool
        Whether the user named the folder: then it is kept, and the next run continues with its content.
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
        with suppress(OSError):  # other runs use it
            base.rmdir()


def remove_of_dead_runs(output_dir: Path) -> None:
    """Remove the work folders of killed runs, recognised by their released locks."""
    _remove_dead(hidden_below(output_dir))
    with suppress(InputError):  # the folder belongs to someone else
        _remove_dead(temporary_folder())


def _remove_dead(base: Path) -> None:
    for lock in base.glob('*.lock'):
        with suppress(OSError), file_lock(lock, wait=False) as certain:
            if certain:  # not on a file system without locks
                _remove(lock.with_suffix(''))
                lock.unlink(missing_ok=True)
    with suppress(OSError):
        base.rmdir()


def make_work_folder(folder: Path) -> Path:
    """Create the work folder of a run and return it.

    Raises
    ------
    InputError
        If others can write to it: Nipype unpickles files there, and a pickle can execute anything.
    """
    if not make_private_dir(folder):
        message = (
            f'the work folder {folder} belongs to somebody else, or others can write there; '
            'remove it, or choose another with --work-dir'
        )
        raise InputError(message)
    return folder


def remove_finished(folder: Path) -> None:
    """Remove the work files of finished nodes: selected streamlines are large and no longer needed."""
    shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path) -> Path:
    return folder.with_name(f'{folder.name}.lock')


def _remove(folder: Path) -> None:
    """Remove a work folder, with retries while an ending command still writes to it."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE)
