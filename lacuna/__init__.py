"""Lacuna: structural lesion network mapping.

Public names are imported on first use: ``import lacuna`` alone loads nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing` for it would take longer than everything else

if TYPE_CHECKING:
    from typing import Any

    from lacuna.bids.results import load_results
    from lacuna.execution.result import RunResult
    from lacuna.execution.start import run
    from lacuna.statistics.analysis import Statistics, stats
    from lacuna.streamlines.lesion import Lesion
    from lacuna.streamlines.tractogram import Tractogram

    __version__: str

#: module of each public name, imported on first use
_MODULES = {
    'Lesion': 'lacuna.streamlines.lesion',
    'RunResult': 'lacuna.execution.result',
    'Statistics': 'lacuna.statistics.analysis',
    'Tractogram': 'lacuna.streamlines.tractogram',
    'load_results': 'lacuna.bids.results',
    'run': 'lacuna.execution.start',
    'stats': 'lacuna.statistics.analysis',
}

__all__ = ['Lesion', 'RunResult', 'Statistics', 'Tractogram', '__version__', 'load_results', 'run', 'stats']


def __getattr__(name: str) -> Any:
    if name == '__version__':
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version('lacuna-lnm')
        except PackageNotFoundError:  # on the path, but not installed
            found = '0+unknown'
        globals()[name] = found
        return found
    if name not in _MODULES:
        message = f'module {__name__!r} has no attribute {name!r}'
        raise AttributeError(message)
    from importlib import import_module

    found = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
