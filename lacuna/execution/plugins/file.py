"""The file of ``--use-plugin``: how to run the masks, here or on a cluster."""

from __future__ import annotations

import difflib
import re
import reprlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lacuna.errors import InputError, reason_of

#: suffix of Nipype's plugins that submit everything at once and return
_GRAPH = 'graph'
_ALIASES = {'htcondor': 'Condor'}
#: bytes; larger files are refused, because reading them could take minutes
_LARGEST = 100_000


@dataclass(frozen=True)
class PluginChoice:
    """How to run the masks.

    Attributes
    ----------
    name : str
        ``Linear`` or ``MultiProc`` of Nipype, or ``Dask``.
    args : dict
        Validated settings. Those of Dask are ``cluster``, ``jobs`` (or ``minimum`` and ``maximum``) and ``options``.
    path : pathlib.Path or None
        The file that was read.
    notes : sequence of str
        Settings that were interpreted differently from how they were written.
    """

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    notes: Sequence[str] = ()

    @property
    def is_dask(self) -> bool:
        """Whether tasks go to Dask workers."""
        return self.name == 'Dask'

    @property
    def resources(self) -> dict[str, Any]:
        """Its values for ``RunConfig.nprocs`` and ``RunConfig.mem_gb``.

        >>> PluginChoice('MultiProc', {'n_procs': 8, 'memory_gb': 16}).resources
        {'nprocs': 8, 'mem_gb': 16}
        >>> PluginChoice('Dask', {'cluster': 'SLURMCluster', 'options': {'cores': 4}}).resources
        {'nprocs': 4}
        """
        if self.is_dask:  # processors per job
            return {'nprocs': self.args.get('options', {}).get('cores', 1)}
        default = {'nprocs': 1} if self.name == 'Linear' else {}
        names = {'n_procs': 'nprocs', 'memory_gb': 'mem_gb'}
        return default | {names[key]: value for key, value in self.args.items() if key in names}


def read_plugin(path: Path) -> PluginChoice:
    """Read and check the file of ``--use-plugin``, TOML (by extension) or YAML; nothing in it is executed.

    Raises
    ------
    InputError
        If the file is unreadable, or names an unknown plugin or setting.
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
                f'{_suggest(str(key)[:50], allowed)}; it knows {", ".join(sorted(allowed)) or "no settings"}'
            )
            raise InputError(message)
        expected, is_right = allowed[key]
        if not is_right(value):
            message = f'the plugin file {path}: {key} is {reprlib.repr(value)}; write {expected}'
            raise InputError(message)
    if name in _BATCH_SYSTEMS:
        return _to_dask(name, args, path)
    if 'jobs' in args and (other := [key for key in ('minimum', 'maximum') if key in args]):
        message = f'the plugin file {path}: give jobs or {other[0]}, not both'
        raise InputError(message)
    if name == 'Dask' and 'cluster' not in args:
        message = f'the plugin file {path}: plugin_args names no cluster; write one of {", ".join(_CLUSTERS)}'
        raise InputError(message)
    return PluginChoice(name, args, path)


def _to_dask(name: str, args: Mapping[str, Any], path: Path) -> PluginChoice:
    """Translate a Nipype plugin for a batch system to the corresponding Dask cluster."""
    cluster, words = _BATCH_SYSTEMS[name]
    options: dict[str, Any] = {}
    for key, option, value in (
        ('n_procs', 'cores', lambda given: given),
        ('memory_gb', 'memory', lambda given: f'{given}GB'),
        ('time', 'walltime', lambda given: given),
        (words, 'job_extra_directives', lambda given: [given]),
        ('template', 'job_script_prologue', _lines),
    ):
        if key in args:
            options[option] = value(args[key])
    if environment := args.get('parallel_environment'):
        options.setdefault('job_extra_directives', []).append(f'-pe {environment} {args.get("n_procs", 1)}')
    unused = [key for key in args if key in _UNUSED]
    notes = [f'{path}: plugin: {name} is run by Dask, as {cluster}']
    if unused:
        notes.append(f'{path}: {", ".join(unused)} has no meaning with Dask and is ignored')
    dask = {
        'cluster': cluster,
        **({'jobs': args['max_jobs']} if 'max_jobs' in args else {}),
        'options': options,
    }
    return PluginChoice('Dask', dask, path, tuple(notes))


def _lines(template: str) -> list[str]:
    """Return the lines of a template of job scripts (text or file), without the first, which Dask writes."""
    try:
        text = Path(template).read_text(encoding='utf-8')
    except (OSError, ValueError):
        text = template
    return [line for line in text.splitlines() if line and not line.startswith('#!')]


def _load(path: Path) -> Any:
    import tomllib

    import yaml

    try:
        if path.is_file() and path.stat().st_size > _LARGEST:
            message = 'it is too large to be one'
            raise ValueError(message)
        text = path.read_text(encoding='utf-8-sig')
        return tomllib.loads(text) if path.suffix.lower() == '.toml' else yaml.safe_load(text)
    except OSError as error:
        message = f'the plugin file {path} cannot be read: {reason_of(error, path)}'
        raise InputError(message) from error
    # PyYAML raises various errors for well-formed text that is not a value
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
        message = f"the plugin file {path}: {given} returns before anything is done; write 'plugin: {use}'"
        raise InputError(message)
    message = (
        f'the plugin file {path}: unknown plugin {reprlib.repr(given)}{_suggest(wanted[:50], names)}; '
        f'choose from {", ".join(_ARGS)}'
    )
    raise InputError(message)


def _suggest(word: str, known: Mapping[str, Any]) -> str:
    found = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean '{found[0]}'?)" if found else ''


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10**6


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 10**6


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r'[0-9]{1,4}:[0-5][0-9]:[0-5][0-9]', value))


def _is_line(value: Any) -> bool:
    """Whether a text can be split into words of a command line."""
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
#: cluster classes of dask-jobqueue and distributed
_CLUSTERS = (
    'SLURMCluster', 'PBSCluster', 'LSFCluster', 'SGECluster', 'HTCondorCluster', 'OARCluster', 'LocalCluster'
)  # fmt: skip
_DASK: dict[str, _Check] = {
    'cluster': (f'one of {", ".join(_CLUSTERS)}', lambda value: value in _CLUSTERS),
    'jobs': _WHOLE,
    'minimum': ('a whole number', lambda value: value == 0 or _is_whole(value)),
    'maximum': _WHOLE,
    'options': (
        'names and values, as dask-jobqueue documents them (cores: a whole number)',
        lambda value: (
            isinstance(value, dict)
            and all(isinstance(key, str) for key in value)
            and _is_whole(value.get('cores', 1))
        ),
    ),
}
#: settings of earlier versions without effect: Dask retries by itself, and each mask is a task
_UNUSED = ('masks_per_job', 'max_tries', 'retry_timeout', 'job_finished_timeout')
_BATCH: dict[str, _Check] = {
    **_LOCAL,
    # without quotes, YAML reads 1:00:00 as a number of seconds
    'time': ("hours, minutes and seconds in quotes, such as '2:00:00'", _is_time),
    'max_jobs': _WHOLE,
    'template': (
        'lines for the job script, or the path of a file with them',
        lambda value: isinstance(value, str) and '\0' not in value,
    ),
    **dict.fromkeys(_UNUSED, _NUMBER),
}
_ENVIRONMENT: _Check = (
    'the name of a parallel environment',
    lambda value: isinstance(value, str) and bool(re.fullmatch(r'\w[\w.-]*', value)),
)
#: Nipype plugins for batch systems: corresponding Dask cluster, and the setting with options of the submit command
_BATCH_SYSTEMS = {
    'SLURM': ('SLURMCluster', 'sbatch_args'),
    'SGE': ('SGECluster', 'qsub_args'),
    'PBS': ('PBSCluster', 'qsub_args'),
    'LSF': ('LSFCluster', 'bsub_args'),
    'Condor': ('HTCondorCluster', ''),
}
#: settings of each plugin, with the check of their values
_ARGS: dict[str, dict[str, _Check]] = {
    'Linear': {},
    'MultiProc': _LOCAL,
    'Dask': _DASK,
    'SLURM': {**_BATCH, 'sbatch_args': _LINE},
    'SGE': {**_BATCH, 'qsub_args': _LINE, 'parallel_environment': _ENVIRONMENT},
    'PBS': {**_BATCH, 'qsub_args': _LINE},
    'LSF': {**_BATCH, 'bsub_args': _LINE},
    'Condor': {key: check for key, check in _BATCH.items() if key != 'time'},
}
