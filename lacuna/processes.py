"""How many processors there are, and child processes that do not outlive their parent.

A killed run must not leave commands behind that write into the folder in which the next run has already started.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def available_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent ends; call in the child. Without effect but on Linux."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def start_worker(folder: str) -> None:
    """Set up a worker process: it leaves Ctrl-C to its parent, and ends with it."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.chdir(folder)
