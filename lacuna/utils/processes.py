"""Processors, time and memory measurements, and child processes that end with their parent.

A killed run must not leave commands behind that write into the folder of the next run.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import current_process
from pathlib import Path
from typing import Any, TypeVar

_PR_SET_PDEATHSIG = 1
#: maximum number of threads that read images; each holds one in memory
_MOST_READERS = 8
_STARTING = threading.Lock()
_Item = TypeVar('_Item')
_Found = TypeVar('_Found')


def available_processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def processors(nprocs: int) -> int:
    """Return the number of processors for ``--nprocs``; -1 means all."""
    return available_processors() if nprocs == -1 else max(1, nprocs)


def possible_workers(wanted: int) -> int:
    """Return how many worker processes this one may start: none, so 1 for itself, inside a ``multiprocessing.Pool``."""
    return 1 if current_process().daemon else wanted


def thread_map(look: Callable[[_Item], _Found], items: Iterable[_Item]) -> Generator[_Found, None, None]:
    """Map a function over items in threads (reading images is mostly decompression); results are in order."""
    with ThreadPoolExecutor(min(_MOST_READERS, available_processors())) as pool:
        yield from pool.map(look, items)


@dataclass
class Usage:
    """Time and memory that work has taken.

    Attributes
    ----------
    seconds : float
        Total time of all parts.
    peak_memory : int
        Peak memory of the process over all parts, in bytes.
    """

    seconds: float = 0.0
    peak_memory: int = 0

    def add(self, other: Usage) -> None:
        """Add the time and memory of another part."""
        self.seconds += other.seconds
        self.peak_memory = max(self.peak_memory, other.peak_memory)


@contextmanager
def measured() -> Iterator[Usage]:
    """Measure time and memory of the block; complete when the block has ended."""
    usage = Usage()
    _reset_peak_memory()
    started = time.monotonic()
    try:
        yield usage
    finally:
        usage.seconds, usage.peak_memory = time.monotonic() - started, _peak_memory()


def _reset_peak_memory() -> None:
    """Restart the measurement of `_peak_memory`; only possible on Linux."""
    with contextlib.suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5', encoding='ascii')


def _peak_memory() -> int:
    """Return the peak memory of this process in bytes, since `_reset_peak_memory` where possible.

    Mapped pages of an index are included, although the system may drop them at any time.
    """
    with contextlib.suppress(OSError):
        for line in Path('/proc/self/status').read_text(encoding='ascii').splitlines():
            if line.startswith('VmHWM:'):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def die_with_parent() -> None:
    """Ask the kernel to end this process with its parent; call it in the child. Only possible on Linux."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def start_worker(folder: str) -> None:
    """Set up a worker process, which ignores Ctrl-C (left to its parent) and ends with its parent."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.chdir(folder)


@contextmanager
def starting_workers() -> Iterator[None]:
    """Start worker processes, shielded from Ctrl-C until `start_worker` makes them ignore it.

    Python would run the user's script again in each of them, unless it is guarded by ``if __name__ == '__main__'``. It
    would find the script by these attributes; nothing of it is needed.
    """
    main = vars(sys.modules['__main__'])
    with _STARTING:
        hidden: dict[str, Any] = {name: main[name] for name in ('__spec__', '__file__') if name in main}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        main['__spec__'] = None
        main.pop('__file__', None)
        try:
            yield
        finally:
            main.update(hidden)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Treat SIGTERM, which cluster schedulers send, like Ctrl-C; without effect outside the main thread."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)  # None if the handler was not set by Python
