"""Explain why masks failed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lacuna.execution.plan import RunPlan

#: bytes; a disk with less space counts as full, because the file that did not fit was removed again
_NO_ROOM = 100e6
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Reasons:
    """Explain failures of a run.

    Parameters
    ----------
    plan : lacuna.execution.plan.RunPlan
    work_dir : pathlib.Path
        Work folder of the run.
    """

    def __init__(self, plan: RunPlan, work_dir: Path) -> None:
        self._work_dir = work_dir
        self._places = {
            'the work folder': work_dir,
            'the output folder': plan.config.output_dir,
            'the cache': plan.cache,
        }

    def of(self, reason: str, details: Path | None) -> str:
        """Explain an error and name the file with details; on a full disk, all failures have the same explanation."""
        if full := full_disk(reason, self._places):
            elsewhere = ', or name another with --work-dir' if str(self._work_dir) in full else ''
            return (
                f'no space left on the disk of {full}: make room{elsewhere}; the same command then continues'
            )
        return f'{reason} (details: {details})' if details else reason


def is_full(error: OSError) -> bool:
    """Whether an error means that a disk, or the user's quota, is full."""
    return error.errno in _FULL


def full_disk(reason: str, folders: Mapping[str, Path]) -> str | None:
    """Return which folders are on a full disk, if that caused an error.

    Parameters
    ----------
    reason : str
        Message of the error.
    folders : mapping
        Folders by the names used in the message.

    Returns
    -------
    str or None
        For example ``the work folder /tmp/x``; None if the error has another cause, or no disk is full.
    """
    if not any(os.strerror(number).lower() in reason.lower() for number in _FULL):
        return None
    full = []
    for name, folder in folders.items():
        there = next(each for each in (folder, *folder.parents) if each.exists())
        if shutil.disk_usage(there).free < _NO_ROOM:
            full.append(f'{name} {folder}')
    return ' and '.join(full) or None
