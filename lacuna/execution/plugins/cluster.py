"""Nipype's distributed execution, made for a cohort on a cluster: a job is a mask, not a node.

A node takes 20 ms, its turn in a queue seconds. All nodes of one mask (or of several) are therefore one job; what is
done once for all masks is a job too, so that the machine one submits from has nothing heavy to do.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby, zip_longest
from pathlib import Path
from time import monotonic, sleep
from traceback import format_exception
from typing import Any

import networkx as nx
import numpy as np
from nipype.pipeline.plugins.base import DistributedPluginBase

from lacuna.execution.plugins.batch import BATCH_SYSTEMS, BatchError, Request
from lacuna.execution.plugins.file import PluginChoice, time_limit
from lacuna.execution.plugins.jobs import Outcome, job_script, outcomes_path, read_outcomes, write_job
from lacuna.execution.plugins.local import (
    Crash,
    KeepsCrashes,
    crash_reason,
    group_of,
    raise_interrupt,
    write_crash,
)
from lacuna.utils.cache import cache_dir
from lacuna.utils.processes import Usage

#: seconds between two looks at the folder of the jobs, and between two questions to the batch system
_LOOK_EVERY, _ASK_EVERY = 0.5, 5.0
#: memory that a job asks for at least (GB): each starts Python and imports Nipype
_LEAST_MEMORY = 1.0
#: seconds in which the jobs of a killed run have to end
_END_WITHIN = 90.0
#: and those of a run that is stopped, before its work files are removed; else the next run does that
_CANCELLED_WITHIN = 20.0
#: settings, by default
_MAX_TRIES, _RETRY_TIMEOUT, _JOB_FINISHED_TIMEOUT = 3, 5.0, 30.0
#: what decides where results, caches and programs are found; most batch systems hand on all, some sites forbid it
_HANDED_ON = (
    'PATH', 'LD_LIBRARY_PATH', 'PYTHONPATH', 'HOME', 'XDG_CACHE_HOME', 'TEMPLATEFLOW_HOME',
    'TEMPLATEFLOW_AUTOUPDATE', 'NUMBA_CACHE_DIR', 'NO_ET', 'NIPYPE_NO_ET',
)  # fmt: skip
_GOING_ON = (
    'PENDING',
    'RUNNING',
    'COMPLETING',
    'CONFIGURING',
    'SUSPENDED',
    'REQUEUED',
    'RESIZING',
    'STOPPED',
)
_MEANINGS = {
    'CANCELLED': 'somebody cancelled it',
    'TIMEOUT': "its time was up; give more with 'time' in the plugin file",
    'OUT_OF_MEMORY': "it needed more memory than it had asked for; give more with 'memory_gb' in the plugin file",
    'NODE_FAIL': 'the machine that it ran on went down',
    'PREEMPTED': 'another job took its place',
    'COMPLETED': 'it left no result',
    '': 'it left no result',
    'FAILED': 'it could not start, or was killed',
}


class Job:
    """Nodes that are submitted together; to Nipype, one node.

    Attributes
    ----------
    name : str
    parts : list of list of nipype.pipeline.engine.Node
        What does not depend on each other, such as masks; in each, the nodes in the order in which they run.
    n_procs : int
    mem_gb : float
        Of the most demanding node.
    """

    _hierarchy = ''

    def __init__(self, name: str, parts: list[list[Any]]) -> None:
        # SGE and PBS want a letter first
        self.name = self._id = name if name[:1].isalpha() else f'job_{name}'
        self.parts = parts
        nodes = [node for part in parts for node in part]
        self.n_procs = max(node.n_procs for node in nodes)
        self.mem_gb = max(node.mem_gb for node in nodes)


@dataclass
class _Submitted:
    """A job of which no end has been seen."""

    job: Job
    path: Path
    time: float
    #: when it was first missing in the list of the batch system
    missed: float | None = None
    #: why it could not be submitted
    refusal: str = ''


def group_into_jobs(graph: Any, groups: Sequence[str], masks_per_job: int = 1) -> Any:
    """The graph of jobs from a graph of nodes.

    Parameters
    ----------
    graph : networkx.DiGraph
        Of nodes.
    groups : sequence of str
        Full names of sub-workflows; the nodes of each are one part of a job.
    masks_per_job : int
        Groups in one job; they have the same parent.

    Returns
    -------
    networkx.DiGraph
        Of jobs, and of the nodes that run here: those with ``run_without_submitting`` but for them whose
        ``plugin_args`` say ``{'submit': True}``.
    """
    ranks = {name: number for number, name in enumerate(groups)}
    parts: dict[int, list[Any]] = {}
    owner: dict[Any, Any] = {}
    for node in nx.topological_sort(graph):
        if group := group_of(node.fullname, ranks):
            parts.setdefault(ranks[group], []).append(node)
        elif node.run_without_submitting and not node.plugin_args.get('submit'):
            owner[node] = node
        else:
            owner[node] = Job('.'.join(node.fullname.split('.')[-2:]), [[node]])
    for numbers in _bundles(groups, sorted(parts), masks_per_job):
        more = f'_and_{len(numbers) - 1}_more' if len(numbers) > 1 else ''
        job = Job(groups[numbers[0]].rpartition('.')[2] + more, [parts[number] for number in numbers])
        owner.update((node, job) for part in job.parts for node in part)
    grouped = nx.DiGraph()
    grouped.add_nodes_from(dict.fromkeys(owner.values()))
    grouped.add_edges_from(
        (owner[first], owner[then]) for first, then in graph.edges if owner[first] is not owner[then]
    )
    if not nx.is_directed_acyclic_graph(grouped):
        message = 'a group of nodes depends on what depends on it'
        raise ValueError(message)
    return grouped


def _bundles(groups: Sequence[str], numbers: Sequence[int], size: int) -> Iterator[list[int]]:
    """Numbers of groups in bundles, each of groups with one parent.

    >>> list(_bundles(['a.x', 'a.y', 'a.z', 'b.x'], range(4), 2))
    [[0, 1], [2], [3]]
    """
    for _, family in groupby(numbers, key=lambda number: groups[number].rpartition('.')[0]):
        members = list(family)
        for start in range(0, len(members), size):
            yield members[start : start + size]


class ClusterPlugin(KeepsCrashes, DistributedPluginBase):
    """Submits jobs to a batch system, and waits for them.

    Nipype's own plugins for SLURM and others submit each node, through a shell; they ask for each job on its own, take
    an error of ``sbatch`` for a missing line of output, and fail themselves when a job is killed. What is kept of
    Nipype is the order of things: what depends on what, and what a failure stops.

    Parameters
    ----------
    choice : lacuna.execution.plugins.file.PluginChoice
    groups : sequence of str
        Full names of sub-workflows, see `group_into_jobs`.
    memory_gb : float or None
        Memory of each job; by default, what its nodes say.
    on_status : callable
        Called with a node and ``end`` when it has ended well.

    Attributes
    ----------
    usage : dict
        By group, the `Usage` of its nodes so far.
    crashes : list of lacuna.execution.plugins.local.Crash
    """

    def __init__(
        self,
        choice: PluginChoice,
        *,
        groups: Sequence[str] = (),
        memory_gb: float | None = None,
        on_status: Callable[[Any, str], Any] = lambda *_: None,
    ) -> None:
        super().__init__(plugin_args={'max_jobs': choice.args.get('max_jobs', np.inf)})
        self.usage: dict[str, Usage] = defaultdict(Usage)
        self.crashes = []
        self._parts_failed: list[Crash] = []
        self._system = BATCH_SYSTEMS[choice.name]
        self._args = choice.args
        self._groups, self._known = groups, frozenset(groups)
        self._memory_gb = memory_gb
        self._on_status = on_status
        self._jobs: dict[str, _Submitted] = {}
        self._folder = Path()
        self._files: set[str] = set()
        self._unfinished: set[str] = set()
        self._looked = self._asked = self._not_before = 0.0
        self._refusals = 0

    def run(self, graph: Any, config: Any, updatehash: bool = False) -> Any:
        """Run all nodes of a graph; see Nipype."""
        node = next(iter(graph))
        self._folder = Path(node.base_dir, node.fullname.partition('.')[0], 'jobs')
        self._folder.mkdir(parents=True, exist_ok=True)
        self._end_leftovers()
        execution = {**config['execution'], 'poll_sleep_duration': _LOOK_EVERY}
        jobs = group_into_jobs(graph, self._groups, self._args.get('masks_per_job', 1))
        try:
            return super().run(jobs, {**config, 'execution': execution}, updatehash)
        finally:
            self.kill_workers()  # nothing is left there if all has ended

    def kill_workers(self) -> None:
        """Cancel all that was submitted and has not ended."""
        if not self._jobs:
            return
        for path in self._folder.glob('*.job'):
            path.unlink(missing_ok=True)  # what has not begun finds nothing to do
        submitted = {number for number, each in self._jobs.items() if not each.refusal}
        self._jobs.clear()
        with suppress(BatchError):  # the next run tries it again
            self._system.cancel_jobs(submitted)
            if not self._still_there(submitted, _CANCELLED_WITHIN):
                for path in self._folder.glob('*.id'):
                    path.unlink()

    def _still_there(self, numbers: set[str], seconds: float) -> set[str]:
        """Wait for the end of jobs; returns those that are still there after so many seconds."""
        deadline = monotonic() + seconds
        while (unfinished := self._system.unfinished()) is None or numbers & unfinished:
            if monotonic() > deadline:
                return numbers & (unfinished or numbers)
            sleep(1)
        return set()

    # submitting

    def _send_procs_to_workers(self, updatehash: bool = False, graph: Any = None) -> None:
        while len(self.pending_tasks) < self.max_jobs and monotonic() >= self._not_before:
            ready = np.flatnonzero(~self.proc_done & (self.depidx.sum(axis=0) == 0).__array__())
            if not ready.size:
                return
            number = ready[0]
            self.proc_done[number] = self.proc_pending[number] = True
            if not isinstance(self.procs[number], Job):
                self._run_here(number, graph, updatehash)
            elif task := self._submit_job(self.procs[number], updatehash):
                self.pending_tasks.insert(0, (task, number))
            else:
                self.proc_done[number] = self.proc_pending[number] = False

    def _run_here(self, number: int, graph: Any, updatehash: bool) -> None:
        node = self.procs[number]
        try:
            node.run(updatehash=updatehash)
        except Exception as error:  # noqa: BLE001  goes to the crash file
            raise_interrupt([error])
            traceback = format_exception(*sys.exc_info())
            self._run_errors.append(''.join(traceback))
            self._clean_queue(number, graph, result={'result': None, 'traceback': traceback})
        else:
            self._on_status(node, 'end')
            self._task_finished_cb(number)

    def _submit_job(self, job: Job, updatehash: bool = False) -> str | None:
        """Submit a job; returns its number, or None to be asked again.

        Where only so many jobs are allowed, the next is taken when one of ours has ended. If none is there, the system
        has some tries for the first job, and one for each that follows.
        """
        path = self._folder / f'{job.name[:100]}-{uuid.uuid4().hex[:8]}.job'
        try:
            write_job(path, job.parts, updatehash)
            number = self._system.run(self._request(job, path), self._args)
            self._note(path, number)
        except (BatchError, OSError) as error:  # no room for the file of a job is no end of the run
            _remove(path)
            waiting = any(not each.refusal for each in self._jobs.values())
            self._refusals += not waiting
            if waiting or self._refusals < self._args.get('max_tries', _MAX_TRIES):
                self._not_before = monotonic() + self._args.get('retry_timeout', _RETRY_TIMEOUT)
                return None
            self._jobs[path.name] = _Submitted(job, path, monotonic(), refusal=str(error))
            return path.name
        self._refusals = 0
        self._jobs[number] = _Submitted(job, path, monotonic())
        return number

    def _note(self, path: Path, number: str) -> None:
        """Write down the number of a job, by which the next run finds what a killed one has left."""
        try:
            path.with_suffix('.id').write_text(f'{self._system.name} {number}\n', encoding='utf-8')
        except OSError:
            self._system.cancel_jobs([number])
            raise

    def _request(self, job: Job, path: Path) -> Request:
        script = path.with_suffix('.sh')
        environment = {name: os.environ[name] for name in _HANDED_ON if name in os.environ} | {
            'LACUNA_CACHE_DIR': str(cache_dir()),
            'OMP_NUM_THREADS': os.environ.get('OMP_NUM_THREADS', str(job.n_procs)),
        }
        script.write_text(job_script(path, environment, self._args.get('template', '')), encoding='utf-8')
        script.chmod(0o755)
        seconds = time_limit(self._args['time']) if 'time' in self._args else None
        memory = self._memory_gb or max(_LEAST_MEMORY, job.mem_gb)
        return Request(
            job.name, script, path.with_suffix('.log'), job.n_procs, max(1, round(memory * 1024)), seconds
        )

    # waiting

    def _get_result(self, task: str) -> dict[str, Any] | None:
        """What became of a job; None while it waits or runs."""
        self._look()
        submitted = self._jobs[task]
        if submitted.refusal:
            return self._finish(submitted, [], submitted.refusal)
        outcomes = []
        if outcomes_path(submitted.path).name in self._files:
            outcomes = read_outcomes(submitted.path)
            if len(outcomes) == len(submitted.job.parts):
                return self._finish(submitted, outcomes)
        if task in self._unfinished or self._asked <= submitted.time:
            submitted.missed = None
            return None
        submitted.missed = submitted.missed or monotonic()
        state = self._system.state(task)
        if state in _GOING_ON:
            return None
        # what was written on another machine may be seen here later
        patience = self._args.get('job_finished_timeout', _JOB_FINISHED_TIMEOUT)
        if monotonic() - submitted.missed < (patience if state in ('', 'COMPLETED') else 2 * _LOOK_EVERY):
            return None
        how = f' as {state}' if state else ''
        meaning = _MEANINGS.get(state, 'it did not finish')
        log = submitted.path.with_suffix('.log')
        reason = f'{self._system.name} job {task} ended{how}: {meaning}; its log: {log}'
        return self._finish(submitted, outcomes, reason)

    def _look(self) -> None:
        """Ask for all jobs at once, and not too often."""
        if monotonic() - self._looked >= _LOOK_EVERY / 2:
            # on a network disk, a listing is newer than what is known of one file
            self._files = {path.name for path in self._folder.iterdir()}
            self._looked = monotonic()
        if monotonic() - self._asked >= _ASK_EVERY:
            before = monotonic()
            unfinished = self._system.unfinished()
            if unfinished is not None:
                self._unfinished, self._asked = unfinished, before

    def _finish(self, submitted: _Submitted, outcomes: list[Outcome], reason: str = '') -> dict[str, Any]:
        """Report each part of a job that has ended."""
        failures: list[str] = []
        for part, outcome in zip_longest(submitted.job.parts, outcomes):
            if outcome is None:  # it did not come to an end
                outcome = Outcome(
                    0, [*_tail(submitted.path.with_suffix('.log')), f'RuntimeError: {reason}\n']
                )
            if group := group_of(part[0].fullname, self._known):
                self.usage[group].add(Usage(outcome.seconds, outcome.peak_memory))
            for node in part[: outcome.failed]:
                self._on_status(node, 'end')
            if outcome.failed is not None:
                path = write_crash(part[outcome.failed], outcome.traceback)
                stopped = frozenset(_names([part[outcome.failed :]]))
                reason = crash_reason(''.join(outcome.traceback))
                self._parts_failed.append(Crash(part[outcome.failed].fullname, reason, path, stopped))
                failures += outcome.traceback
        _remove(submitted.path, log=not failures)
        return {'result': None, 'traceback': failures}

    def _report_crash(self, node: Any, result: dict[str, Any] | None = None) -> str:
        # those of jobs have been written, one for each part
        return '' if isinstance(node, Job) else super()._report_crash(node, result)

    def _names(self, node: Any) -> list[str]:
        return _names(node.parts) if isinstance(node, Job) else super()._names(node)

    def _keep_crash(self, failed: dict[str, Any], traceback: list[str]) -> None:
        if not self._parts_failed:  # a node that ran here, or a job whose answer cannot be read
            super()._keep_crash(failed, traceback)
            return
        job, *dependents = failed['dependents']
        assert job is failed['node']  # noqa: S101
        behind = {name for each in dependents for name in self._names(each)}
        self.crashes += [replace(crash, stopped=crash.stopped | behind) for crash in self._parts_failed]
        self._parts_failed.clear()

    def _clear_task(self, task: str) -> None:
        del self._jobs[task]

    def _end_leftovers(self) -> None:
        """Cancel what a killed run has left in the queue, and wait until it is gone: it writes into the same folders."""
        numbers = set()
        for path in self._folder.glob('*.id'):
            system, _, number = path.read_text(encoding='utf-8').partition(' ')
            if system == self._system.name:
                numbers.add(number.strip())
        for path in self._folder.glob('*.job'):
            path.unlink()
        unfinished = self._system.unfinished() if numbers else set()
        if unfinished is None or numbers & unfinished:
            self._system.cancel_jobs(numbers & (unfinished or numbers))
            if left := self._still_there(numbers, _END_WITHIN):
                named = f'{self._system.name} {", ".join(sorted(left))}'
                message = f'jobs of an earlier run do not end ({named}); cancel them first'
                raise BatchError(message)
        for path in self._folder.iterdir():
            path.unlink()


def _names(parts: Sequence[Sequence[Any]]) -> list[str]:
    return [node.fullname for part in parts for node in part]


def _remove(path: Path, *, log: bool = True) -> None:
    """Remove the files of a job."""
    for suffix in ('.job', '.sh', '.sub', '.json', '.id', *(['.log'] if log else [])):
        path.with_suffix(suffix).unlink(missing_ok=True)


def _tail(log: Path, lines: int = 20) -> list[str]:
    """The last lines that a job printed."""
    try:
        with log.open('rb') as stream:
            stream.seek(max(0, log.stat().st_size - 10_000))
            text = stream.read().decode(errors='replace')
    except OSError:
        return []
    return text.splitlines(keepends=True)[-lines:]
