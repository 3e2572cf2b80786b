"""Nipype's MultiProc, made for a cohort: many short jobs, one mask after the other."""

from __future__ import annotations

import gc
import re
import sys
from collections import defaultdict
from collections.abc import Container, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from traceback import format_exc, format_exception
from typing import TYPE_CHECKING, Any

from nipype.pipeline.plugins.multiproc import MultiProcPlugin
from nipype.pipeline.plugins.tools import report_crash

from lacuna.utils.processes import Usage, measured, start_worker

#: seconds between two looks at the jobs if none has ended
_LONGEST_WAIT = 1.0
_LOOKS_PER_FREEZE = 20

if TYPE_CHECKING:
    _Plugin = Any
else:
    _Plugin = object


@dataclass(frozen=True)
class Crash:
    """A node that failed.

    Attributes
    ----------
    node : str
        Its full name in the workflow.
    reason : str
        The message of the error.
    path : pathlib.Path or None
        File with the traceback and the inputs of the node; None if it could not be written.
    stopped : frozenset of str
        Full names of the nodes that were not finished because of it: its own, and those that depend on it.
    """

    node: str
    reason: str
    path: Path | None
    stopped: frozenset[str]


class KeepsCrashes(_Plugin):
    """For a plugin of Nipype: it keeps what failed, and what was not run because of that, in ``crashes``.

    Nipype writes it into files, and raises one of the errors at the end: which node was stopped by which can then only
    be guessed. What `run` raises is an error of the plugin itself.
    """

    crashes: list[Crash]

    def _report_crash(self, node: Any, result: dict[str, Any] | None = None) -> str:
        """Write a crash file; without room for one, the other nodes can go on all the same."""
        return str(write_crash(node, _lines(result)) or '')

    def _clean_queue(self, jobid: int, graph: Any, result: dict[str, Any] | None = None) -> Any:
        result = result or {'result': None, 'traceback': format_exc()}
        failed = super()._clean_queue(jobid, graph, result)
        self._keep_crash(failed, _lines(result))
        return failed

    def _keep_crash(self, failed: dict[str, Any], traceback: list[str]) -> None:
        path = Path(failed['crashfile']) if failed['crashfile'] else None
        stopped = frozenset(name for node in failed['dependents'] for name in self._names(node))
        name, *_ = self._names(failed['node'])
        self.crashes.append(Crash(name, crash_reason(''.join(traceback)), path, stopped))

    def _names(self, node: Any) -> list[str]:
        """Full names of what a node of the graph stands for."""
        return [node.fullname]

    def _postrun_check(self) -> None:
        super()._postrun_check()
        raise_interrupt(self._run_errors)
        self._run_errors.clear()


def write_crash(node: Any, traceback: list[str]) -> Path | None:
    """Write the record of a node that failed; None if that is not possible, on a full disk say."""
    try:
        return Path(report_crash(node, traceback=traceback))
    except OSError:
        return None


def _lines(result: dict[str, Any] | None) -> list[str]:
    """The traceback of a result: Nipype has it as lines, or as a text."""
    traceback = (result or {}).get('traceback') or format_exc()
    return traceback.splitlines(keepends=True) if isinstance(traceback, str) else list(traceback)


def crash_reason(text: str) -> str:
    r"""The message of the error that a traceback ends with, in one line.

    >>> crash_reason('Traceback (most recent call last):\n  File "x"\n\tlacuna.errors.MaskError: m.nii: not 3D\n')
    'm.nii: not 3D'
    """
    errors = list(
        re.finditer(r'^\s*(?:\w+\.)*\w*(?:Error|Exception|Interrupt|Fault)\b:?', text, re.MULTILINE)
    )
    said = text[errors[-1].end() :] if errors else text[-500:]
    return ' '.join(said.split()) or (errors[-1][0].strip() if errors else 'unknown')


class LocalPlugin(KeepsCrashes, MultiProcPlugin):
    """A plugin that runs nodes on this machine.

    Nipype's own Linear and MultiProc go through the graph in breadth: with a thousand masks, the intermediate files
    of all of them are on the disk before the first is finished. This one finishes the groups in their order.

    Parameters
    ----------
    plugin_args : dict
        As for Nipype's MultiProc.
    workers : int
        Processes to run nodes in, which end with this process however it ends; with 1, nodes run here.
    groups : sequence of str
        Full names of sub-workflows; nodes outside come first.

    Attributes
    ----------
    usage : dict
        By group, the `Usage` of its nodes so far.
    crashes : list of Crash
    """

    pool: Any

    def __init__(self, plugin_args: dict[str, Any], *, workers: int, groups: Sequence[str] = ()) -> None:
        super().__init__(plugin_args=plugin_args)
        self._workers = workers
        self._ranks = {name: rank for rank, name in enumerate(groups)}
        self.usage: dict[str, Usage] = defaultdict(Usage)
        self.crashes = []
        self._news = Event()
        self._looks = 0
        self.pool.shutdown()  # no process has been started yet
        self.pool = _new_pool(self._workers)

    def run(self, *args: Any, **options: Any) -> Any:
        # what nodes need is loaded here, once, and not in each worker
        import nibabel  # noqa: F401
        import pandas  # noqa: F401
        import scipy.ndimage  # noqa: F401

        import lacuna.streamlines.index.query  # noqa: F401

        try:
            return super().run(*args, **options)
        finally:
            gc.unfreeze()

    def kill_workers(self) -> None:
        workers = list((self.pool._processes or {}).values())
        for worker in workers:
            worker.kill()
        for worker in workers:  # none writes any more when its files are removed
            worker.join()

    def _sort_jobs(self, jobids: Any, scheduler: str = 'tsort') -> Any:  # noqa: ARG002
        return sorted(
            jobids, key=lambda job: self._ranks.get(group_of(self.procs[job].fullname, self._ranks), -1)
        )

    def _submit_job(self, node: Any, updatehash: bool = False) -> int:
        self._taskid += 1
        task: int = self._taskid
        if self._workers > 1:
            future = self._submit(node, updatehash)
            future.add_done_callback(partial(self._ended, task, node.fullname))
        else:
            result, usage = _run_node(node, updatehash)
            raise_interrupt([result['traceback']])
            self._taskresult[task] = result
            self._count(node.fullname, usage)
        self._task_obj[task] = node
        return task

    def _submit(self, *job: Any) -> Any:
        try:
            return self.pool.submit(_run_node, *job)
        except BrokenProcessPool:  # what its workers did has failed; the others can go on
            self.pool = _new_pool(self._workers)
            return self.pool.submit(_run_node, *job)

    def _count(self, node: str, usage: Usage) -> None:
        if group := group_of(node, self._ranks):
            self.usage[group].add(usage)

    def _ended(self, task: int, node: str, future: Any) -> None:
        # what is raised here nobody would hear, and the run would wait for a result for ever
        if future.cancelled():
            result = _failed(['RuntimeError: it was cancelled'])
        elif isinstance(error := future.exception(), BrokenProcessPool):
            said = 'RuntimeError: a worker process was killed; was there enough memory? (see --mem-gb)'
            result = _failed([said])
        elif error:
            result = _failed(format_exception(error))
        else:
            result, usage = future.result()
            self._count(node, usage)
        self._taskresult[task] = result
        self._news.set()

    def _send_procs_to_workers(self, *args: Any, **options: Any) -> None:
        # The base class collects garbage at each look. Going through the whole graph and all modules took 0.1 s,
        # longer than most jobs: what has survived a collection is left out of the next ones.
        if self._looks % _LOOKS_PER_FREEZE == 0:
            gc.collect()
            gc.freeze()
        self._looks += 1
        super()._send_procs_to_workers(*args, **options)
        raise_interrupt(self._run_errors)
        if self.pending_tasks and self._workers > 1:  # until a job has ended there is nothing to do
            self._news.wait(_LONGEST_WAIT)
            self._news.clear()


def raise_interrupt(errors: Sequence[object]) -> None:
    """Raise the Ctrl-C that Nipype has taken for the error of a node."""
    if any('KeyboardInterrupt' in str(error) for error in errors):
        raise KeyboardInterrupt


def _new_pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, initializer=start_worker, initargs=(str(Path.cwd()),))


def _run_node(node: Any, updatehash: bool) -> tuple[dict[str, Any], Usage]:
    """Run a node; its result as the plugin wants it, and what it has taken.

    Nipype's own function reads the result of a node that has failed, which on a full disk is not there.
    """
    with measured() as usage:
        try:
            result = {'result': node.run(updatehash=updatehash), 'traceback': None}
        except Exception:  # noqa: BLE001  goes to the crash file
            result = _failed(format_exception(*sys.exc_info()))
    return result, usage


def _failed(traceback: list[str]) -> dict[str, Any]:
    return {'result': None, 'traceback': traceback}


def group_of(node: str, groups: Container[str]) -> str:
    """The group that a node belongs to; empty outside of all.

    >>> group_of('run.space.sub_2.snm.query', ['run.space.sub_1', 'run.space.sub_2'])
    'run.space.sub_2'
    """
    name = node
    while name and name not in groups:
        name = name.rpartition('.')[0]
    return name
