"""The file of ``--use-plugin``: what runs the nodes, here or on a cluster, with which settings."""

from __future__ import annotations

import difflib
import re
import reprlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lacuna.errors import InputError

#: what is put behind a cluster's name for Nipype's plugins that submit everything and return
_GRAPH = 'graph'
_ALIASES = {'htcondor': 'Condor'}
#: no file of settings is larger; a large one would be read for minutes
_LARGEST = 100_000


@dataclass(frozen=True)
class PluginChoice:
    """What runs the nodes.

    Attributes
    ----------
    name : str
        ``Linear``, ``MultiProc``, or a batch system: ``SLURM``, ``SGE``, ``PBS``, ``LSF`` or ``Condor``.
    args : dict
        Its settings, checked.
    path : pathlib.Path or None
        The file that says so.
    """

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None

    @property
    def is_cluster(self) -> bool:
        """Whether jobs are submitted to a batch system."""
        return self.name in _CLUSTERS

    @property
    def resources(self) -> dict[str, Any]:
        """What it says of ``RunConfig.nprocs`` and ``RunConfig.mem_gb``.

        >>> PluginChoice('MultiProc', {'n_procs': 8, 'memory_gb': 16}).resources
        {'nprocs': 8, 'mem_gb': 16}
        >>> PluginChoice('SLURM').resources
        {'nprocs': 1}
        """
        # on a cluster: the processors of a job, which nobody should get unasked
        default = {} if self.name == 'MultiProc' else {'nprocs': 1}
        names = {'n_procs': 'nprocs', 'memory_gb': 'mem_gb'}
        return default | {names[key]: value for key, value in self.args.items() if key in names}


def read_plugin(path: Path) -> PluginChoice:
    """Read and check the file of ``--use-plugin``, TOML (by its name) or YAML; nothing in it is executed.

    Raises
    ------
    InputError
        If the file cannot be read, or names an unknown plugin or setting.
    """
    content = _load(path)
    if not isinstance(content, dict) or not isinstance(content.get('plugin'), str):
        message = f"the plugin file {path} does not name a plugin; write for example 'plugin: SLURM'"
        raise InputError(message)
    if unknown := [reprlib.repr(key) for key in content if key not in ('plugin', 'plugin_args')]:
        message = f"the plugin file {path} has {unknown[0]}; it may have 'plugin' and 'plugin_args' only"
        raise InputError(message)
    name = _plugin_name(path, content['plugin'])
    args = content.get('plugin_args')
    if args is None:
        args = {}
    if not isinstance(args, dict):
        message = f'the plugin file {path}: plugin_args is {reprlib.repr(args)}; write names and values'
        raise InputError(message)
    allowed = _ARGS[name]
    for key, value in args.items():
        if key not in allowed:
            message = (
                f'the plugin file {path}: {name} knows no {reprlib.repr(key)}'
                f'{_meant(str(key)[:50], allowed)}; it knows {", ".join(sorted(allowed)) or "no settings"}'
            )
            raise InputError(message)
        expected, is_right = allowed[key]
        if not is_right(value):
            message = f'the plugin file {path}: {key} is {reprlib.repr(value)}; write {expected}'
            raise InputError(message)
    return PluginChoice(name, args, path)


def time_limit(text: str) -> int:
    """Seconds of a time such as ``'12:00:00'``.

    >>> time_limit('1:30:00')
    5400
    """
    hours, minutes, seconds = map(int, text.split(':'))
    return (hours * 60 + minutes) * 60 + seconds


def _load(path: Path) -> Any:
    import tomllib

    import yaml

    try:
        if path.is_file() and path.stat().st_size > _LARGEST:
            message = 'it is too large to be one'
            raise ValueError(message)
        text = path.read_text(encoding='utf-8')
        return tomllib.loads(text) if path.suffix.lower() == '.toml' else yaml.safe_load(text)
    except OSError as error:
        message = f'the plugin file {path} cannot be read: {error.strerror}'
        raise InputError(message) from error
    # what is well formed and yet no value makes PyYAML raise this and that
    except (
        yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, OverflowError, RecursionError
    ) as error:  # fmt: skip
        message = (
            f'the plugin file {path} is neither YAML nor TOML (.toml): {" ".join(str(error).split())[:300]}'
        )
        raise InputError(message) from error


def _plugin_name(path: Path, given: str) -> str:
    names = {name.lower(): name for name in _ARGS} | _ALIASES
    wanted = given.lower()
    if wanted in names:
        return names[wanted]
    if wanted.endswith(_GRAPH) and wanted.removesuffix(_GRAPH) in names:
        use = names[wanted.removesuffix(_GRAPH)]
        message = (
            f"the plugin file {path}: {given} returns at once, before anything is done; write 'plugin: {use}'"
        )
        raise InputError(message)
    message = (
        f'the plugin file {path}: there is no plugin {reprlib.repr(given)}{_meant(wanted[:50], names)}; '
        f'choose from {", ".join(_ARGS)}'
    )
    raise InputError(message)


def _meant(word: str, known: Mapping[str, Any]) -> str:
    found = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean '{found[0]}'?)" if found else ''


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10**6


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 10**6


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r'[0-9]{1,4}:[0-5][0-9]:[0-5][0-9]', value))


def _is_line(value: Any) -> bool:
    """Words for a command line, with quotes that are closed."""
    if not isinstance(value, str) or '\0' in value:
        return False
    try:
        shlex.split(value)
    except ValueError:
        return False
    return True


_Check = tuple[str, Callable[[Any], bool]]
_LINE: _Check = ('options as on a command line, in quotes', _is_line)
_WHOLE: _Check = ('a whole number from 1', _is_whole)
_NUMBER: _Check = ('a number above 0', _is_number)
_LOCAL: dict[str, _Check] = {'n_procs': _WHOLE, 'memory_gb': _NUMBER}
_CLUSTER: dict[str, _Check] = {
    **_LOCAL,
    # without the quotes, YAML makes a number of seconds of 1:00:00
    'time': ("hours, minutes and seconds in quotes, such as '2:00:00'", _is_time),
    'masks_per_job': _WHOLE,
    'max_jobs': _WHOLE,
    'max_tries': _WHOLE,
    'retry_timeout': _NUMBER,
    'job_finished_timeout': _NUMBER,
    'template': (
        'the first lines of the job script, or the path of a file with them',
        lambda value: isinstance(value, str) and '\0' not in value,
    ),
}
_CLUSTERS: dict[str, dict[str, _Check]] = {
    'SLURM': {**_CLUSTER, 'sbatch_args': _LINE},
    'SGE': {
        **_CLUSTER,
        'qsub_args': _LINE,
        'parallel_environment': (
            'the name of a parallel environment',
            lambda value: isinstance(value, str) and bool(re.fullmatch(r'\w[\w.-]*', value)),
        ),
    },
    'PBS': {**_CLUSTER, 'qsub_args': _LINE},
    'LSF': {**_CLUSTER, 'bsub_args': _LINE},
    'Condor': {**{key: check for key, check in _CLUSTER.items() if key != 'time'}, 'condor_args': _LINE},
}
#: of each plugin: its settings, and how each has to look
_ARGS: dict[str, dict[str, _Check]] = {'Linear': {}, 'MultiProc': _LOCAL, **_CLUSTERS}
