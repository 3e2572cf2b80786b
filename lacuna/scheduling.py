"""Nipype's MultiProc, made for a cohort: many short jobs, one mask after the other."""

from __future__ import annotations

import gc
import sys
from collections import defaultdict
from collections.abc import Container, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from threading import Event
from traceback import format_exception
from typing import Any

from lacuna.processes import Usage, measured, start_worker

#: seconds between two looks at the jobs if none has ended
_LONGEST_WAIT = 1.0
_LOOKS_PER_FREEZE = 20


def local_plugin(plugin_args: dict[str, Any], *, workers: int, groups: Sequence[str] = ()) -> Any:
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

    Returns
    -------
    plugin
        With an attribute ``usage``: by group, the `Usage` of its nodes so far.
    """
    from nipype.pipeline.plugins.multiproc import MultiProcPlugin

    ranks = {name: rank for rank, name in enumerate(groups)}

    class LocalPlugin(MultiProcPlugin):
        pool: Any

        def __init__(self) -> None:
            super().__init__(plugin_args=plugin_args)
            self.usage: dict[str, Usage] = defaultdict(Usage)
            self._news = Event()
            self._looks = 0
            self.pool.shutdown()  # no process has been started yet
            self.pool = _new_pool(workers)

        def run(self, *args: Any, **options: Any) -> Any:
            # what nodes need is loaded here, once, and not in each worker
            import nibabel  # noqa: F401
            import pandas  # noqa: F401
            import scipy.ndimage  # noqa: F401

            import lacuna.streamlines.index  # noqa: F401

            try:
                return super().run(*args, **options)
            finally:
                gc.unfreeze()

        def kill_workers(self) -> None:
            for worker in self.pool._processes.values():
                worker.kill()

        def _sort_jobs(self, jobids: Any, scheduler: str = 'tsort') -> Any:  # noqa: ARG002
            return sorted(jobids, key=lambda job: ranks.get(group_of(self.procs[job].fullname, ranks), -1))

        def _submit_job(self, node: Any, updatehash: bool = False) -> int:
            self._taskid += 1
            task: int = self._taskid
            if workers > 1:
                future = self._submit(node, updatehash, task)
                future.add_done_callback(partial(self._ended, task, node.fullname))
            else:
                with measured() as usage:
                    try:
                        result = {'result': node.run(updatehash=updatehash), 'traceback': None}
                    except Exception as error:  # noqa: BLE001  goes to the crash file
                        raise_interrupt([error])
                        result = {'result': node.result, 'traceback': format_exception(*sys.exc_info())}
                self._taskresult[task] = {**result, 'taskid': task}
                self._count(node.fullname, usage)
            self._task_obj[task] = node
            return task

        def _submit(self, *job: Any) -> Any:
            try:
                return self.pool.submit(_run_node, *job)
            except BrokenProcessPool:  # what its workers did has failed; the others can go on
                self.pool = _new_pool(workers)
                return self.pool.submit(_run_node, *job)

        def _count(self, node: str, usage: Usage) -> None:
            if group := group_of(node, ranks):
                self.usage[group].add(usage)

        def _ended(self, task: int, node: str, future: Any) -> None:
            if future.cancelled():
                return
            if isinstance(future.exception(), BrokenProcessPool):
                said = ['RuntimeError: a worker process was killed; was there enough memory? (see --mem-gb)']
                self._taskresult[task] = {'result': None, 'traceback': said, 'taskid': task}
            else:
                self._taskresult[task], usage = future.result()
                self._count(node, usage)
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
            if self.pending_tasks and workers > 1:  # until a job has ended there is nothing to do
                self._news.wait(_LONGEST_WAIT)
                self._news.clear()

    return LocalPlugin()


def raise_interrupt(errors: Sequence[object]) -> None:
    """Raise the Ctrl-C that Nipype has taken for the error of a node."""
    if any('KeyboardInterrupt' in str(error) for error in errors):
        raise KeyboardInterrupt


def _new_pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, initializer=start_worker, initargs=(str(Path.cwd()),))


def _run_node(node: Any, updatehash: bool, task: int) -> tuple[dict[str, Any], Usage]:
    """Run a node in a worker; its result as the plugin wants it, and what it has taken."""
    from nipype.pipeline.plugins.multiproc import run_node

    with measured() as usage:
        result = run_node(node, updatehash, task)
    return result, usage


def group_of(node: str, groups: Container[str]) -> str:
    """The group that a node belongs to; empty outside of all.

    >>> group_of('run.space.sub_2.snm.query', ['run.space.sub_1', 'run.space.sub_2'])
    'run.space.sub_2'
    """
    name = node
    while name and name not in groups:
        name = name.rpartition('.')[0]
    return name
