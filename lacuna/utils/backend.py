"""Keep the backend of matplotlib that a program or notebook has chosen."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def backend_kept() -> Iterator[None]:
    """Restore matplotlib's backend at the end; niworkflows chooses one when it is imported."""
    backend = _backend() if 'matplotlib' in sys.modules else None
    try:
        yield
    finally:
        if 'matplotlib' in sys.modules:
            _set_backend(backend)


def _backend() -> object:
    import matplotlib as mpl

    # reading it from rcParams would choose a backend now
    return dict.__getitem__(mpl.rcParams, 'backend')


def _set_backend(backend: object) -> None:
    """Set matplotlib's backend; None for the state after import."""
    import matplotlib as mpl

    # notebooks name theirs in the environment
    at_first = os.environ.get('MPLBACKEND') or dict.__getitem__(mpl.rcParamsOrig, 'backend')
    before = at_first if backend is None else backend
    if _backend() == before:
        return
    pyplot = sys.modules.get('matplotlib.pyplot')
    if pyplot and isinstance(before, str):
        pyplot.switch_backend(before)
    else:
        dict.__setitem__(mpl.rcParams, 'backend', before)  # rcParams refuses an unset backend
