"""Wait for what happens, however slow the machine is."""

import time
from pathlib import Path

from lacuna.utils.files import SETTLED_NS

#: seconds after which a process, a server or a page is said to hang; on a slow machine, minutes are no fault
HANGS = 600


def wait_for(happened, process=None):
    """Return what `happened()` says, as soon as it is true.

    It fails if nothing happens, or if the process, in which it should, ends before.
    """
    limit = time.monotonic() + HANGS
    while not (found := happened()):
        assert process is None or process.poll() is None, 'the process has ended before'
        assert time.monotonic() < limit, f'nothing has happened in {HANGS} s'
        time.sleep(0.01)
    return found


def settle(path):
    """Wait until the clock has moved on so far that a file cannot be touched again unseen."""
    wait_for(lambda: time.time_ns() - Path(path).stat().st_ctime_ns > SETTLED_NS)
