"""TemplateFlow's folder on this machine, and what it can fetch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lacuna.errors import InputError
from lacuna.utils.cache import cache_dir
from lacuna.utils.locks import file_lock


def templateflow_home() -> Path:
    """Return TemplateFlow's folder on this machine: ``TEMPLATEFLOW_HOME``, else its default; it need not exist."""
    if given := os.environ.get('TEMPLATEFLOW_HOME'):
        return Path(given).expanduser().absolute()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir('templateflow'))


def listed_templateflow_home() -> Path:
    """Return TemplateFlow's folder, which holds a placeholder for each file that can be fetched.

    TemplateFlow brings the list along and writes it when it is first used. If the folder cannot be written, it is
    returned as it is.
    """
    home = templateflow_home()
    # the lock: others wait for the whole list
    with suppress(OSError), warnings.catch_warnings(), file_lock(cache_dir() / 'templateflow.lock'):
        warnings.simplefilter('ignore', ResourceWarning)  # about the new folder
        if not home.is_dir() or not any(home.iterdir()):
            from templateflow.client import TemplateFlowClient

            TemplateFlowClient(root=home).cache.ensure()
    return home


def has_content(path: Path) -> bool:
    """Whether a file is there; TemplateFlow has empty placeholders for files it can fetch."""
    return path.is_file() and path.stat().st_size > 0


def fetched(path: Path, query: Mapping[str, Any], missing: str, instead: str) -> Path:
    """Return a file of TemplateFlow's folder; fetch it if it is not there.

    Parameters
    ----------
    path : pathlib.Path
        ``HOME/tpl-NAME/FILE``
    query : mapping
        Entities by which TemplateFlow finds the file.
    missing, instead : str
        For the message: what is missing, and what users can do without it.

    Raises
    ------
    lacuna.errors.InputError
        If it cannot be fetched.
    """
    if has_content(path):
        return path
    reason = download(path.parents[1], path.parent.name.removeprefix('tpl-'), query)
    if has_content(path):
        return path
    message = (
        f'{missing}: {path} is {"empty" if path.exists() else "missing"}, and it could not be fetched from TemplateFlow '
        f'({reason}); connect to the network, set TEMPLATEFLOW_HOME to a folder that has it, or {instead}'
    )
    raise InputError(message)


def download(home: Path, template: str, query: Mapping[str, Any]) -> str:
    """Fetch what TemplateFlow finds; return what went wrong, if anything."""
    try:
        from templateflow.client import TemplateFlowClient

        found = TemplateFlowClient(root=home).get(template, raise_empty=False, **query)
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        return f'{type(error).__name__}: {error}'.splitlines()[0]
    return '' if found else 'it does not know the file'
