"""How many processors there are, and child processes that do not outlive their parent.

A killed run must not leave commands behind that write into the folder in which the next run has already started.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_PR_SET_PDEATHSIG = 1
#: threads that look at images; each holds one in memory
_MOST_READERS = 8
_Item = TypeVar('_Item')
_Found = TypeVar('_Found')


def available_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def processors(nprocs: int) -> int:
    """The number that ``--nprocs`` asks for: -1 is all that there are, at least one."""
    return available_processors() if nprocs == -1 else max(1, nprocs)


def side_by_side(look: Callable[[_Item], _Found], items: Iterable[_Item]) -> Iterator[_Found]:
    """Look at images in threads, for most of the time goes into unpacking; what is found comes in the order of the items."""
    with ThreadPoolExecutor(min(_MOST_READERS, available_processors())) as pool:
        yield from pool.map(look, items)


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
