"""Keep Nipype, TemplateFlow, numba and matplotlib off the network and in folders that can be written to."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lacuna.utils.cache import (
    cache_dir,
    home_dir,
    is_writable,
    make_private_dir,
    private_temporary_dir,
    user_cache_dir,
)

_LOGGER = logging.getLogger('lacuna')
_OF_NIPYPE = ('nipype', 'nipype.workflow', 'nipype.utils', 'nipype.interface', 'nipype.filemanip')


def prepare_environment() -> None:
    """Keep nipype and TemplateFlow from asking the network, and caches where they can be written.

    Call it before they and the modules with compiled code are imported; every command of Lacuna does.
    """
    os.environ.setdefault('NO_ET', '1')
    os.environ.setdefault('NIPYPE_NO_ET', '1')
    os.environ.setdefault('TEMPLATEFLOW_AUTOUPDATE', 'off')
    if 'HOME' not in os.environ:  # in a container, say; MRtrix3 and pybids refuse to start without one
        os.environ['HOME'] = str(home_dir() or private_temporary_dir())
    given = os.environ.get('NUMBA_CACHE_DIR')
    if not given or not is_writable(Path(given).absolute()):  # numba would end with a traceback
        os.environ['NUMBA_CACHE_DIR'] = str(_compiled_code())
    if user_cache_dir() is None:  # matplotlib would warn, or fail without a home
        os.environ.setdefault('MPLCONFIGDIR', str(private_temporary_dir() / 'matplotlib'))


def _compiled_code() -> Path:
    """Where compiled code is kept: we may write there, also in containers and read-only installations, and only we."""
    cache, name = cache_dir(), f'numba-{os.geteuid()}'
    if is_writable(cache):
        if not cache.exists():
            make_private_dir(cache)  # what it holds tells of masks and tractograms
        if make_private_dir(cache / name):
            return cache / name
        _LOGGER.warning(
            'lacuna: compiled code is not kept in %s: the folder belongs to somebody else, or others can write to it',
            cache / name,
        )
    return private_temporary_dir() / name


def quiet_nipype() -> None:
    """Keep nipype's own loggers silent; importing nipype has set them up before."""
    import nipype  # noqa: F401

    for name in _OF_NIPYPE:
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def process_as_it_was() -> Iterator[None]:
    """Prepare the process for a run, and leave it at the end as it was found.

    That is its environment variables, its working directory (Nipype changes it for each node), the levels of Nipype's
    loggers, and the backend of matplotlib (niworkflows chooses one when it is imported).
    """
    environment, folder = dict(os.environ), Path.cwd()
    levels = _levels_of_nipype()
    backend = _backend() if 'matplotlib' in sys.modules else None
    try:
        prepare_environment()
        yield
    finally:
        os.chdir(folder)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if 'matplotlib' in sys.modules:
            _set_backend(backend)


def _levels_of_nipype() -> dict[str, int]:
    """The levels of its loggers, if it was imported; importing it sets them."""
    if 'nipype' not in sys.modules:
        return {}
    return {name: logging.getLogger(name).level for name in _OF_NIPYPE}


def _backend() -> object:
    import matplotlib as mpl

    # not as an item of rcParams, which would choose a backend now
    return dict.__getitem__(mpl.rcParams, 'backend')


def _set_backend(backend: object) -> None:
    """Set the backend of matplotlib; None for that of a process that has only just imported it."""
    import matplotlib as mpl

    before = dict.__getitem__(mpl.rcParamsOrig, 'backend') if backend is None else backend
    if _backend() == before:
        return
    pyplot = sys.modules.get('matplotlib.pyplot')
    if pyplot and isinstance(before, str):
        pyplot.switch_backend(before)
    else:
        dict.__setitem__(mpl.rcParams, 'backend', before)  # one not chosen yet it would not take
