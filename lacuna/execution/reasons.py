"""Why masks failed, in words."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lacuna.bids.failures import Failure
    from lacuna.execution.plan import MaskJob, RunPlan
    from lacuna.execution.plugins.local import Crash

#: bytes: a disk with less is as good as full, for a file that did not fit is gone again
_NO_ROOM = 100e6


class Reasons:
    """What failures of a run are said to come from.

    Parameters
    ----------
    plan : lacuna.execution.plan.RunPlan
    work_dir : pathlib.Path
        Where the run has its work folder.
    """

    def __init__(self, plan: RunPlan, work_dir: Path) -> None:
        self._config = plan.config
        self._work_dir = work_dir
        self._places = {
            'the work folder': work_dir,
            'the output folder': plan.config.output_dir,
            'the cache': plan.cache,
        }

    def of_mask(self, job: MaskJob, nodes: str, cause: Crash | Exception | None) -> Failure:
        """Why a mask was not finished.

        Parameters
        ----------
        job : lacuna.execution.plan.MaskJob
        nodes : str
            What the full names of its nodes begin with.
        cause : Crash or Exception or None
            The node that failed, of its own or of what it needs; or why the run has ended before its time.
        """
        from lacuna.bids.failures import Failure
        from lacuna.execution.plugins.local import Crash
        from lacuna.execution.record import keep_crash

        path = job.mask.path
        if not isinstance(cause, Crash):
            return Failure(
                path, f'{path}: {self._no_room(str(cause)) or cause or "did not finish"}', job.mask.subject
            )
        details = cause.path
        if details and cause.node.startswith(nodes):
            again = f'{self._config.command_line(job.mask.subject)} --nprocs 1 -vv'
            details = keep_crash(details, job.mask.stem, again)
        return Failure(path, f'{path}: {self.of_crash(cause, details)}', job.mask.subject)

    def of_crash(self, crash: Crash, details: Path | None) -> str:
        """Why a node failed, and where more is said; on a full disk all say the same."""
        more = f' (details: {details})' if details else ''
        return self._no_room(crash.reason) or f'{crash.reason}{more}'

    def _no_room(self, reason: str) -> str | None:
        if not (full := full_disk(reason, self._places)):
            return None
        elsewhere = ', or name another with --work-dir' if str(self._work_dir) in full else ''
        return f'no space left on the disk of {full}: make room{elsewhere}; the same command goes on'


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
    if not any(os.strerror(number).lower() in reason.lower() for number in (errno.ENOSPC, errno.EDQUOT)):
        return None
    full = []
    for name, folder in folders.items():
        there = next(each for each in (folder, *folder.parents) if each.exists())
        if shutil.disk_usage(there).free < _NO_ROOM:
            full.append(f'{name} {folder}')
    return ' and '.join(full) or None
