"""The batch systems of clusters: how a job is submitted, asked for and cancelled. No shell reads what is run here."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lacuna.errors import InputError

#: seconds for an answer of a batch system that is busy
_PATIENCE = 60


class BatchError(RuntimeError):
    """The batch system refused a job, or gave no answer."""


@dataclass(frozen=True)
class Request:
    """A job as a batch system sees it.

    Attributes
    ----------
    name : str
    script : pathlib.Path
        A shell script.
    log : pathlib.Path
        For what it prints.
    processors, memory_mb : int
    seconds : int or None
        How long it may take; None for what the system gives.
    """

    name: str
    script: Path
    log: Path
    processors: int
    memory_mb: int
    seconds: int | None = None


#: from what a job asks for, the user's own options, and all settings, to the words behind the program's name
_Words = Callable[[Request, Sequence[str], Mapping[str, Any]], list[str]]


@dataclass(frozen=True)
class BatchSystem:
    """The programs of one batch system.

    Attributes
    ----------
    name : str
    submit : str
    words : callable
        What stands behind `submit`.
    options : str
        Name of the setting with the user's own options for `submit`.
    submitted : str
        Finds the number of the job in what `submit` prints.
    listing : callable
        Lists the user's unfinished jobs.
    listed : str
        Finds in a line of the list the number of a job and, as the second group, its state.
    dead : str
        States of jobs that are listed and do not go on.
    cancel : str
    """

    name: str
    submit: str
    words: _Words
    options: str
    submitted: str
    listing: Callable[[], list[str]]
    listed: str
    cancel: str
    dead: str = 'none'

    def run(self, request: Request, args: Mapping[str, Any]) -> str:
        """Submit a job; returns its number.

        Raises
        ------
        BatchError
            If the system does not take it.
        """
        own = shlex.split(args.get(self.options, ''))
        done = _run([self.submit, *self.words(request, own, args)])
        found = re.search(self.submitted, done.stdout, re.MULTILINE)
        if done.returncode or not found:
            said = ' '.join(f'{done.stderr} {done.stdout}'.split()) or f'exit code {done.returncode}'
            message = f'{self.submit} did not take the job {request.name}: {said}'
            raise BatchError(message)
        return found[1]

    def unfinished(self) -> set[str] | None:
        """The numbers of the user's jobs that wait or run; None if the system did not say."""
        try:
            done = _run(self.listing())
        except BatchError:
            return None
        # LSF has an error for an empty list
        if done.returncode and 'No unfinished job' not in done.stdout + done.stderr:
            return None
        jobs = re.findall(self.listed, done.stdout, re.MULTILINE)
        return {number for number, state in jobs if not re.fullmatch(self.dead, state)}

    def cancel_jobs(self, numbers: Iterable[str]) -> None:
        """Cancel jobs; ended jobs are ignored."""
        if words := list(numbers):
            _run([self.cancel, *words])

    def state(self, number: str) -> str:
        """The state of one job in the words of the system, such as ``TIMEOUT``; empty if it is not known.

        SLURM only: the lists of the others hold no job that has ended.
        """
        if self.name != 'SLURM':
            return ''
        for command, pattern in (
            (['scontrol', 'show', 'job', '--oneliner', number], r'JobState=([A-Z_]+)'),
            (['sacct', '-n', '-X', '-P', '-o', 'State', '-j', number], r'^([A-Z_]+)'),
        ):
            try:
                found = re.search(pattern, _run(command).stdout)
            except BatchError:
                continue
            if found:
                return found[1]
        return ''


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603  a list of words, no shell
            command, capture_output=True, text=True, errors='replace', check=False, timeout=_PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f'{command[0]} does not answer: {error}'
        raise BatchError(message) from error


@dataclass
class _Line:
    """A command line that leaves out what the user has said.

    >>> line = _Line(['--mem=4G', '-c', '2'])
    >>> line.add(['--mem=1G'], '--mem', '--mem-per-cpu').add(['-t', '10'], '-t').add(['-c', '1'], '-c').words
    ['-t', '10']
    """

    own: Sequence[str]
    words: list[str] = field(default_factory=list)

    def add(self, words: Sequence[str], *options: str) -> _Line:
        """Add words unless one of the options, as ``--mem=4G``, ``--mem 4G`` or ``-c4``, is there."""
        said = any(
            re.match(rf'{re.escape(option)}(=|$|(?<=^-\w)\d)', word)
            for word in self.own
            for option in options
        )
        if not said:
            self.words += words
        return self

    def add_resource(self, words: Sequence[str], *resources: str) -> _Line:
        """The same for what stands in a list, as ``-l walltime=1:00:00,mem=4gb``."""
        if not any(re.search(rf'\b{resource}\b', word) for word in self.own for resource in resources):
            self.words += words
        return self


def _clock(seconds: int) -> str:
    """
    >>> _clock(5400)
    '1:30:00'
    """
    return f'{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}'


def _slurm(job: Request, own: Sequence[str], _: Mapping[str, Any]) -> list[str]:
    line = _Line(own)
    line.add([f'--job-name={job.name}'], '-J', '--job-name')
    line.add([f'--output={job.log}'], '-o', '--output')
    line.add([f'--cpus-per-task={job.processors}'], '-c', '--cpus-per-task')
    line.add([f'--mem={job.memory_mb}M'], '--mem', '--mem-per-cpu', '--mem-per-gpu')
    if job.seconds is not None:
        line.add([f'--time={_clock(job.seconds)}'], '-t', '--time')
    return [*line.words, *own, str(job.script)]


def _sge(job: Request, own: Sequence[str], args: Mapping[str, Any]) -> list[str]:
    line = _Line(own)
    line.add(['-N', job.name], '-N').add(['-o', str(job.log), '-j', 'y'], '-o').add(['-S', '/bin/sh'], '-S')
    # what counts processors and memory has another name at each site: only what the user has named is asked for
    if environment := args.get('parallel_environment'):
        line.add(['-pe', environment, str(job.processors)], '-pe')
    if 'memory_gb' in args:
        line.add_resource(['-l', f'h_vmem={-(-job.memory_mb // job.processors)}M'], 'h_vmem')
    if job.seconds is not None:
        line.add_resource(['-l', f'h_rt={_clock(job.seconds)}'], 'h_rt')
    return [*line.words, *own, str(job.script)]


def _pbs(job: Request, own: Sequence[str], _: Mapping[str, Any]) -> list[str]:
    line = _Line(own)
    # longer names are refused
    line.add(['-N', job.name[:15]], '-N').add(['-o', str(job.log), '-j', 'oe'], '-o')
    line.add_resource(
        ['-l', f'select=1:ncpus={job.processors}:mem={job.memory_mb}mb'], 'select', 'nodes', 'ncpus', 'mem'
    )
    if job.seconds is not None:
        line.add_resource(['-l', f'walltime={_clock(job.seconds)}'], 'walltime')
    return [*line.words, *own, str(job.script)]


def _lsf(job: Request, own: Sequence[str], _: Mapping[str, Any]) -> list[str]:
    line = _Line(own)
    line.add(['-J', job.name], '-J').add(['-o', str(job.log)], '-o')
    line.add(['-n', str(job.processors), '-R', 'span[hosts=1]'], '-n').add(['-M', f'{job.memory_mb}MB'], '-M')
    if job.seconds is not None:
        line.add(['-W', f'{job.seconds // 3600}:{-(-job.seconds // 60) % 60:02}'], '-W')
    # the rest of the line goes to a shell on the node
    return [*line.words, *own, '/bin/sh', shlex.quote(str(job.script))]


def _condor(job: Request, own: Sequence[str], _: Mapping[str, Any]) -> list[str]:
    description = job.script.with_suffix('.sub')
    lines = {
        'universe': 'vanilla',
        'executable': job.script,
        'output': job.log,
        'error': job.log,
        # the work folder is seen by all machines, or nothing works
        'should_transfer_files': 'NO',
        'batch_name': job.name,
    }
    description.write_text('\n'.join([*(f'{key} = {value}' for key, value in lines.items()), 'queue', '']))
    line = _Line(own)
    line.add_resource(['-append', f'request_cpus = {job.processors}'], 'request_cpus')
    line.add_resource(['-append', f'request_memory = {job.memory_mb}MB'], 'request_memory')
    return [*line.words, *own, str(description)]


_ALL = (
    BatchSystem(
        name='SLURM',
        submit='sbatch',
        words=_slurm,
        options='sbatch_args',
        submitted=r'^Submitted batch job (\d+)',
        listing=lambda: ['squeue', '--noheader', f'--user={os.getuid()}', '--format=%i %T'],
        listed=r'^\s*(\d+) (\w+)',
        cancel='scancel',
    ),
    BatchSystem(
        name='SGE',
        submit='qsub',
        words=_sge,
        options='qsub_args',
        submitted=r'^Your job (\d+) ',
        listing=lambda: ['qstat', '-u', getpass.getuser()],
        # number, priority, name, user, state
        listed=r'^\s*(\d+)\s+\S+\s+\S+\s+\S+\s+(\S+)',
        dead='E.*',
        cancel='qdel',
    ),
    BatchSystem(
        name='PBS',
        submit='qsub',
        words=_pbs,
        options='qsub_args',
        submitted=r'^(\d+)[.\s]',
        listing=lambda: ['qstat'],
        # number and server, name, user, time, state
        listed=r'^(\d+)\S*\s+\S+\s+\S+\s+\S+\s+([A-Z])\b',
        dead='C|F',
        cancel='qdel',
    ),
    BatchSystem(
        name='LSF',
        submit='bsub',
        words=_lsf,
        options='bsub_args',
        submitted=r'^Job <(\d+)>',
        listing=lambda: ['bjobs', '-w'],
        listed=r'^(\d+)\s+\S+\s+([A-Z]+)',
        dead='DONE|EXIT',
        cancel='bkill',
    ),
    BatchSystem(
        name='Condor',
        submit='condor_submit',
        words=_condor,
        options='condor_args',
        submitted=r'submitted to cluster (\d+)',
        listing=lambda: ['condor_q', '-af', 'ClusterId', 'JobStatus'],
        listed=r'^(\d+) (\d)',
        # removed, completed, and held: without somebody's help it would wait for ever
        dead='3|4|5',
        cancel='condor_rm',
    ),
)
#: by name
BATCH_SYSTEMS = {system.name: system for system in _ALL}


def check_programs(name: str) -> None:
    """Say so if the programs of a batch system are not here; other names have none.

    Raises
    ------
    InputError
        If one is not on the PATH.
    """
    if system := BATCH_SYSTEMS.get(name):
        needed = (system.submit, system.listing()[0], system.cancel)
        if missing := [program for program in needed if not shutil.which(program)]:
            message = f'{name} was asked for (--use-plugin), and {", ".join(missing)} is not on the PATH'
            raise InputError(message)
