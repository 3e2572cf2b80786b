"""The settings of a run from plain values, or from the file that a run saved beside its results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.errors import InputError, reason_of, shorten
from lacuna.execution.config import NO_BUNDLES, REPORTS, RunConfig
from lacuna.execution.plugins.file import PluginChoice, read_plugin
from lacuna.streamlines.files.bundle_tables import OWN_GROUPS


def config_of(values: Mapping[str, Any]) -> RunConfig:
    """Create the settings of a run from plain values: paths and labels as text, names of fetched tractograms, plugin files.

    Parameters
    ----------
    values : mapping
        Values by attribute of :class:`~lacuna.execution.config.RunConfig`. Relative paths are made absolute.

    Raises
    ------
    InputError
        If a value is invalid, or a settings file cannot be read.
    """
    from lacuna.datasets.connectomes import connectome_path

    settings = {**values, 'connectome_path': connectome_path(values['connectome_path'])}
    for name, setting in RunConfig.__dataclass_fields__.items():
        if str(setting.type).startswith('Path') and settings.get(name) is not None:
            settings[name] = _absolute(settings[name])
    if plugin := settings.get('use_plugin'):
        if not isinstance(plugin, PluginChoice):
            plugin = read_plugin(_absolute(plugin))
        settings = plugin.resources | settings | {'use_plugin': plugin}
    elif settings.get('dask_scheduler'):
        settings = {'nprocs': 1} | settings  # the other machines may have fewer processors
    for name in ('participants', 'sessions', 'parcel_atlases', 'bundles'):
        given = settings.get(name, ())
        settings[name] = (str(given),) if isinstance(given, (str, Path)) else tuple(map(str, given))
    if (source := settings['bundles'][:1]) and source[0] not in (OWN_GROUPS, NO_BUNDLES):
        settings['bundles'] = (str(_absolute(source[0])), *settings['bundles'][1:])
    if (weights := settings.get('connectome_weights')) is not None:
        path = _absolute(weights)
        # otherwise the name of per-streamline values in a .trx, or a missing file, which the error names as given
        settings['connectome_weights'] = str(path if path.is_file() else weights)
    settings['null_tissues'] = tuple(str(_absolute(path)) for path in settings.get('null_tissues', ()))
    settings['custom_parcellations'] = tuple(
        map(_custom_parcellation, settings.get('custom_parcellations', ()))
    )
    for name, value in settings.items():
        settings[name] = plain = value.item() if isinstance(value, np.generic) else value
        # where the default is a text, RunConfig says what to choose from
        if not isinstance(RunConfig.__dataclass_fields__[name].default, str):
            _check_type(name, plain, name)
    return RunConfig(**settings)


def _custom_parcellation(given: Any) -> tuple[str, str, str, str]:
    if isinstance(given, (str, Path)) or len(given) != 4:
        message = (
            f'custom_parcellations holds {shorten(given)}; '
            'expected a list of (name, label image, label table, space)'
        )
        raise InputError(message)
    name, image, labels, space = given
    return name, str(_absolute(image)), str(_absolute(labels)), space


def _absolute(path: str | Path) -> Path:
    try:
        return Path(path).expanduser().absolute()
    except TypeError:
        message = f'{shorten(path)} is not a path'
        raise InputError(message) from None
    except RuntimeError as error:  # ~user, of an unknown user
        message = f'{path}: {error}'
        raise InputError(message) from error


def read_settings(path: Path) -> dict[str, Any]:
    """Read the settings that a run saved, as plain values.

    Parameters
    ----------
    path : pathlib.Path
        The file, or an output folder, whose last run is used.

    Raises
    ------
    InputError
        If the file is missing, cannot be read, is not TOML, or holds an unknown setting or a value of the wrong type.
    """
    import tomllib

    if path.is_dir():
        path = _newest_settings(path)
    try:
        values = tomllib.loads(path.read_text(encoding='utf-8-sig'))
    except (OSError, ValueError, RecursionError) as error:  # RecursionError: deeply nested
        message = f'the settings {path} cannot be read: {reason_of(error, path)}'
        raise InputError(message) from error
    if isinstance(given := values.get('report'), bool):  # written by older versions
        values['report'] = REPORTS[0] if given else 'none'
    fields = RunConfig.__dataclass_fields__
    for name, value in values.items():
        if name not in fields:
            message = f"the settings {path} contain '{name}', which is not a setting of this version"
            raise InputError(message)
        # a list in a run over several tractograms
        for each in value if name == 'connectome_path' and isinstance(value, list) else [value]:
            _check_type(name, each, f'the settings {path}: {name}')
    return values


def _newest_settings(folder: Path) -> Path:
    """Find the settings of the last run into an output folder: log folders begin with the time, in seconds."""
    found = [*folder.glob('logs/*/settings.toml'), *folder.glob('settings.toml')]
    if not found:
        message = (
            f'{folder} holds no settings of a run (logs/*/settings.toml); give its output folder, or the file'
        )
        raise InputError(message)
    return max(found, key=lambda path: (path.parent.name.partition('_')[0], path.stat().st_mtime_ns))


def _check_type(name: str, value: Any, called: str) -> None:
    kind = str(RunConfig.__dataclass_fields__[name].type)
    if (value is None and kind.endswith(' | None')) or _is_a(value, kind.removesuffix(' | None')):
        return
    message = f'{called} is {shorten(value)}; expected {kind}'
    raise InputError(message)


def _is_a(value: Any, kind: str) -> bool:
    """Whether a plain value has the type of a setting."""
    if kind.startswith('tuple[str'):
        return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
    if kind.startswith('tuple[tuple'):
        return isinstance(value, (list, tuple)) and all(
            _is_a(item, 'tuple[str') and len(item) == 4 for item in value
        )
    # in Python, bool is a subclass of int
    return isinstance(value, _PLAIN_TYPES[kind]) and (kind == 'bool' or not isinstance(value, bool))


#: Python types of plain values, by type of the setting
_PLAIN_TYPES: dict[str, type | tuple[type, ...]] = {
    'Path': (str, Path),
    'PluginChoice': (str, PluginChoice),
    'str': str,
    'bool': bool,
    'int': int,
    'float': (int, float),
}
