"""Why masks failed, in words."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lacuna.execution.plan import RunPlan

#: bytes: a disk with less is as good as full, for a file that did not fit is gone again
_NO_ROOM = 100e6
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Reasons:
    """What failures of a run are said to come from.

    Parameters
    ----------
    plan : lacuna.execution.plan.RunPlan
    work_dir : pathlib.Path
        Where the run has its work folder.
    """

    def __init__(self, plan: RunPlan, work_dir: Path) -> None:
        self._work_dir = work_dir
        self._places = {
            'the work folder': work_dir,
            'the output folder': plan.config.output_dir,
            'the cache': plan.cache,
        }

    def of(self, reason: str, details: Path | None) -> str:
        """What an error comes from, and which file says more; on a full disk all failures say the same."""
        if full := full_disk(reason, self._places):
            elsewhere = ', or name another with --work-dir' if str(self._work_dir) in full else ''
            return (
                f'no space left on the disk of {full}: make room{elsewhere}; the same command then continues'
            )
        return f'{reason} (details: {details})' if details else reason


def is_full(error: OSError) -> bool:
    """Whether an error says that a disk is full, or that its user may not use more of it."""
    return error.errno in _FULL


def full_disk(reason: str, folders: Mapping[str, Path]) -> str | None:
    """Which folders lie on a disk that is full, if that is what an error says.

    Parameters
    ----------
    reason : str
        Message of the error.
    folders : mapping
        By the names that people know them by.

    Returns
    -------
    str or None
        Such as ``the work folder /tmp/x``; None if the error says something else, or none of these disks is full.
    """
    if not any(os.strerror(number).lower() in reason.lower() for number in _FULL):
        return None
    full = []
    for name, folder in folders.items():
        there = next(each for each in (folder, *folder.parents) if each.exists())
        if shutil.disk_usage(there).free < _NO_ROOM:
            full.append(f'{name} {folder}')
    return ' and '.join(full) or None
