"""Run tasks on many machines: with an existing Dask scheduler, or Dask workers submitted to a batch system."""

from __future__ import annotations

import logging
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from lacuna.errors import InputError, reason_of
from lacuna.execution.plugins.local import Numbered, Outcome, attempt

_LOGGER = logging.getLogger('lacuna')

#: tasks submitted per worker thread: one running and one waiting
_AHEAD = 2
#: minimum number of submitted tasks, while no worker has started
_FEWEST = 8
#: seconds to wait for the outcome of a finished task
_PATIENCE = 20
#: default number of jobs
_JOBS = 4
_CORES, _MEMORY = 1, '4GB'


class DaskPool:
    """Run tasks with a Dask scheduler.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function on a worker, and return its result."""
        future = self._client.submit(_call_prepared, function, arguments, pure=False)
        try:
            return future.result()
        finally:
            future.cancel()

    def run(self, function: Callable[..., object], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Outcome]:
        """Call a function with each tuple of arguments; yield outcomes as tasks end.

        Arguments are taken when workers are free. The scheduler repeats tasks whose worker is lost. Tasks that it gives
        up are repeated alone at the end, because another task may have killed their worker.
        """
        killed: list[Numbered] = []
        for task, outcome in self._run_tasks(function, enumerate(tasks)):
            if outcome:
                yield outcome
            else:
                killed.append(task)
        for each in killed:
            for task, outcome in self._run_tasks(function, iter([each])):
                reason = 'its worker was killed again and again; was there enough memory?'
                yield outcome or Outcome(task[0], reason=reason)

    def _run_tasks(
        self, function: Callable[..., object], tasks: Iterator[Numbered]
    ) -> Iterator[tuple[Numbered, Outcome | None]]:
        """Yield tasks with their outcomes; None if the worker was killed, perhaps by another task."""
        from distributed import KilledWorker, as_completed

        submitted: dict[str, Numbered] = {}
        ended = as_completed()

        def submit(task: Numbered) -> None:
            future = self._client.submit(_attempt, *task, function, key=f'lacuna-{uuid4().hex}', pure=False)
            submitted[future.key] = task
            ended.add(future)

        def submit_more() -> None:
            most = max(_FEWEST, _AHEAD * sum(self._client.nthreads().values()))
            while len(submitted) < most and (task := next(tasks, None)):
                submit(task)

        submit_more()
        for future in ended:
            task, outcome = submitted.pop(future.key), None
            try:
                outcome = future.result(timeout=_PATIENCE)
            except KilledWorker:
                pass
            except (TimeoutError, CancelledError):  # its worker is lost
                future.cancel()
                submit(task)
                continue
            except Exception as error:  # noqa: BLE001  an error of Dask itself; errors of tasks are in their outcome
                outcome = Outcome(task[0], reason=f'Dask did not finish it: {reason_of(error)}')
            yield task, outcome
            submit_more()


def _attempt(number: int, arguments: tuple[Any, ...], function: Callable[..., object]) -> Outcome:
    return attempt(number, _call_prepared, (function, arguments))


def _call_prepared(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call a function in a process that was started by others, after preparing its environment."""
    from lacuna.execution.environment import prepare_environment

    prepare_environment()
    return function(*arguments)


@contextmanager
def at_scheduler(address: str, *, one_thread: bool = False) -> Iterator[DaskPool]:
    """Yield the pool of an existing scheduler.

    Parameters
    ----------
    address : str
        For example ``tcp://10.0.0.1:8786``.
    one_thread : bool
        Whether workers must have one thread each, because Nipype changes the working directory of the process.

    Raises
    ------
    InputError
        If the scheduler does not answer, or workers have more threads.
    """
    _import_dask()
    from distributed import Client

    try:
        client = Client(address, timeout='20s')
    except (OSError, TimeoutError, ValueError) as error:
        message = f'--dask-scheduler {address}: no Dask scheduler answers there ({reason_of(error)})'
        raise InputError(message) from error
    try:
        if one_thread and max(client.nthreads().values(), default=1) > 1:
            message = (
                f'--dask-scheduler {address}: its workers have several threads, but --engine mrtrix needs one per '
                'process; start them with --nthreads 1'
            )
            raise InputError(message)
        if not client.nthreads():
            _LOGGER.warning('lacuna: the scheduler %s has no workers yet; waiting for the first', address)
        yield DaskPool(client)
    finally:
        client.close()


@contextmanager
def on_cluster(settings: Mapping[str, Any], logs: Path) -> Iterator[DaskPool]:
    """Yield the pool of workers that Dask starts here or submits to a batch system; they end with the block.

    Parameters
    ----------
    settings : mapping
        ``cluster``: a class of dask-jobqueue such as ``SLURMCluster``, or ``LocalCluster``; ``jobs``: number of jobs,
        or ``minimum`` and ``maximum``; ``options``: options of the class.
    logs : pathlib.Path
        Folder for the output of jobs, unless set in the options.

    Raises
    ------
    InputError
        If the cluster cannot be started.
    """
    _import_dask()
    import dask
    from distributed import Client

    name = settings['cluster']
    # Dask would count the pages of an index, which the system can drop at any time
    limits = ('target', 'spill', 'pause', 'terminate')
    changes: dict[str, Any] = {f'distributed.worker.memory.{key}': False for key in limits}
    # submit no more than one task per worker, so that a killed worker loses only one
    changes['distributed.scheduler.worker-saturation'] = 1.0
    changes['distributed.scheduler.allowed-failures'] = 1  # tasks are repeated at the end
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(changes))
        try:
            cluster = _start_cluster(name, settings, logs)
        except Exception as error:  # any error of the batch system, its options or the network
            # for failed commands, their stderr
            said = ' '.join(str(error).rpartition('stderr:')[2].split()) or type(error).__name__
            message = f'{name} cannot be started: {said}'
            raise InputError(message) from error
        # not as context managers, which swallow Ctrl-C
        stack.callback(cluster.close)
        client = Client(cluster)
        stack.callback(client.close)
        _LOGGER.info('Dask: %s', cluster)
        yield DaskPool(client)


def _start_cluster(name: str, settings: Mapping[str, Any], logs: Path) -> Any:
    least = settings.get('minimum', settings.get('jobs', 0 if 'maximum' in settings else _JOBS))
    most = max(least, settings.get('maximum', settings.get('jobs', least)))
    options = dict(settings.get('options', {}))
    scheduler = {'dashboard_address': ':0', **options.pop('scheduler_options', {})}
    if name == 'LocalCluster':
        from distributed import LocalCluster

        usual = {'threads_per_worker': 1, 'memory_limit': 0, 'dashboard_address': ':0'}
        return LocalCluster(n_workers=most, **{**usual, **options})
    import dask_jobqueue

    kind = getattr(dask_jobqueue, name)
    submit = kind.job_cls.submit_command.split()[0]
    if not shutil.which(submit):
        message = f'{submit} is not on the PATH'
        raise RuntimeError(message)
    usual = {'cores': _CORES, 'memory': _MEMORY, 'processes': 1, 'python': sys.executable}
    if not re.search(r'\s', str(logs)):  # not quoted in job scripts
        usual['log_directory'] = str(logs)
    # leave memory limits to the batch system
    extra = ['--memory-limit', '0', *options.pop('worker_extra_args', [])]
    cluster = kind(**{**usual, **options}, worker_extra_args=extra, scheduler_options=scheduler)
    try:
        # submit the first job here: scale() and adapt() would not raise the batch system's error
        cluster.worker_spec.update(cluster.new_worker_spec())
        cluster.sync(cluster._correct_state)
    except BaseException:
        cluster.workers.clear()
        with suppress(Exception):
            cluster.close()
        raise
    # not scale(), which would not replace cancelled jobs
    cluster.adapt(minimum_jobs=least, maximum_jobs=most)
    return cluster


def _import_dask() -> None:
    # importing dask-jobqueue installs a Ctrl-C handler that ends the process silently
    install = signal.signal
    signal.signal = lambda *_: None
    try:
        import dask_jobqueue  # noqa: F401
        import distributed  # noqa: F401
    except ImportError as error:
        message = "running on Dask needs more packages: pip install 'lacuna-lnm[cluster]'"
        raise InputError(message) from error
    finally:
        signal.signal = install
