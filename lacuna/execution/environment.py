"""Keep Nipype, TemplateFlow, numba and matplotlib off the network, and their caches in writable folders."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lacuna.utils.backend import backend_kept
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
    """Set environment variables that keep Nipype and TemplateFlow off the network, and caches in writable folders.

    Call it before importing them or modules with compiled code; every command of Lacuna does.
    """
    os.environ.setdefault('NO_ET', '1')
    os.environ.setdefault('NIPYPE_NO_ET', '1')
    os.environ.setdefault('TEMPLATEFLOW_AUTOUPDATE', 'off')
    if 'HOME' not in os.environ:  # for example in containers; MRtrix3 and pybids need it
        os.environ['HOME'] = str(home_dir() or private_temporary_dir())
    given = os.environ.get('NUMBA_CACHE_DIR')
    if not given or not is_writable(Path(given).absolute()):  # numba would fail with a traceback
        os.environ['NUMBA_CACHE_DIR'] = str(_compiled_code())
    if user_cache_dir() is None:  # matplotlib would warn or fail
        os.environ.setdefault('MPLCONFIGDIR', str(private_temporary_dir() / 'matplotlib'))


def _compiled_code() -> Path:
    """Return a folder for compiled code that only this user can write, also in containers and read-only installations."""
    cache, name = cache_dir(), f'numba-{os.geteuid()}'
    if is_writable(cache):
        if not cache.exists():
            make_private_dir(cache)  # it contains information about masks and tractograms
        if make_private_dir(cache / name):
            return cache / name
        _LOGGER.warning(
            'lacuna: compiled code is not kept in %s: the folder belongs to somebody else, or others can write to it',
            cache / name,
        )
    return private_temporary_dir() / name


def quiet_nipype() -> None:
    """Silence Nipype's loggers, which are set up when it is imported."""
    import nipype  # noqa: F401

    for name in _OF_NIPYPE:
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def process_as_it_was() -> Iterator[None]:
    """Prepare the process for a run, and restore it at the end.

    This concerns environment variables, the working directory (Nipype changes it for each node), the levels of Nipype's
    loggers, and matplotlib's backend.
    """
    environment, folder = dict(os.environ), Path.cwd()
    levels = _levels_of_nipype()
    try:
        prepare_environment()
        with backend_kept():
            yield
    finally:
        os.chdir(folder)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _levels_of_nipype() -> dict[str, int]:
    """Return the levels of Nipype's loggers, if it is imported; importing it sets them."""
    if 'nipype' not in sys.modules:
        return {}
    return {name: logging.getLogger(name).level for name in _OF_NIPYPE}
