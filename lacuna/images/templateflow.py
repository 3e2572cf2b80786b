"""TemplateFlow's folder on this machine, and downloads into it."""

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
    """Return TemplateFlow's folder: ``TEMPLATEFLOW_HOME``, else its default; it may not exist."""
    if given := os.environ.get('TEMPLATEFLOW_HOME'):
        return Path(given).expanduser().absolute()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir('templateflow'))


def listed_templateflow_home() -> Path:
    """Return TemplateFlow's folder with an empty placeholder for each file that can be fetched.

    TemplateFlow writes the placeholders on first use. A folder that is not writable is returned unchanged.
    """
    home = templateflow_home()
    # with a lock, so that other processes wait for all placeholders
    with suppress(OSError), warnings.catch_warnings(), file_lock(cache_dir() / 'templateflow.lock'):
        warnings.simplefilter('ignore', ResourceWarning)  # about the new folder
        if not home.is_dir() or not any(home.iterdir()):
            from templateflow.client import TemplateFlowClient

            TemplateFlowClient(root=home).cache.ensure()
    return home


def has_content(path: Path) -> bool:
    """Whether a file exists and is not one of TemplateFlow's empty placeholders."""
    return path.is_file() and path.stat().st_size > 0


def fetched(path: Path, query: Mapping[str, Any], missing: str, instead: str) -> Path:
    """Return a file in TemplateFlow's folder, fetched if necessary.

    Parameters
    ----------
    path : pathlib.Path
        ``HOME/tpl-NAME/FILE``.
    query : mapping
        Entities of the file in TemplateFlow.
    missing, instead : str
        Parts of the error message: what is missing, and what users can do instead.

    Raises
    ------
    lacuna.errors.InputError
        If the file cannot be fetched.
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
    """Download the files that match a query; return an error message, or an empty string."""
    try:
        from templateflow.client import TemplateFlowClient

        found = TemplateFlowClient(root=home).get(template, raise_empty=False, **query)
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        return f'{type(error).__name__}: {error}'.splitlines()[0]
    return '' if found else 'it does not know the file'
