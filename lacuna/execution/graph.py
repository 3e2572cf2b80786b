"""The workflow of a run: built, and run with Nipype's settings, resources and progress."""

from __future__ import annotations

import logging
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lacuna.errors import InputError
from lacuna.execution.plugins.file import PluginChoice
from lacuna.execution.plugins.local import Crash, LocalPlugin, group_of
from lacuna.utils.cache import make_private_dir
from lacuna.utils.processes import Usage, processors
from lacuna.utils.progress import counting

if TYPE_CHECKING:
    from nipype.pipeline.engine import Workflow

    from lacuna.bids.failures import Failure
    from lacuna.execution.config import RunConfig
    from lacuna.execution.plan import RunPlan
    from lacuna.execution.record import RunRecord

_LOGGER = logging.getLogger('lacuna')


def stream_commands(workflow: Workflow) -> None:
    """Let the MRtrix3 commands of a workflow show what they print, with their progress."""
    from lacuna.interfaces.mrtrix import MRtrixCommand

    for name in workflow.list_node_names():
        interface = workflow.get_node(name).interface
        if isinstance(interface, MRtrixCommand):
            interface.inputs.quiet = False


def choose_workers(engine: str, nprocs: int, masks: int, tractogram_bytes: int) -> int:
    """How many masks to work on at a time; the nodes of each share the processors that are left.

    A few masks are done, with all processors for each, before workers would have started: an index answers in a
    fraction of a second, and MRtrix3 reads a small tractogram in one.

    >>> choose_workers('index', 8, 3, 15 * 10**9), choose_workers('index', 8, 40, 10**8)
    (1, 8)
    >>> choose_workers('mrtrix', 8, 3, 15 * 10**9), choose_workers('mrtrix', 8, 3, 10**8)
    (3, 1)
    """
    pays = masks >= 10 if engine == 'index' else masks >= 2 * nprocs or tractogram_bytes > 10**9
    return min(nprocs, masks) if pays else 1


def run_masks(
    plan: RunPlan, work_dir: Path, log_dir: Path, record: RunRecord, *, show: bool
) -> tuple[list[Failure], list[str]]:
    """Build the workflow of the masks with missing results and run it; `show`: see `run_config`.

    Returns the masks that failed, and what failed besides although all masks are finished.
    """
    from lacuna.execution.cohort import init_cohort_wf, sink_nodes
    from lacuna.execution.environment import quiet_nipype
    from lacuna.execution.reasons import Reasons
    from lacuna.execution.record import write_methods

    config = plan.config
    nprocs = processors(config.nprocs)
    plugin = config.use_plugin
    masks = max(len(plan.todo), 1)  # none if only the density has to be made again
    workers = choose_workers(config.engine, nprocs, masks, config.connectome_path.stat().st_size)
    if plugin and plugin.is_cluster:  # a mask is a job: the index answers on one processor, MRtrix3 uses all
        workers = nprocs if config.engine == 'index' else 1
    workflow = init_cohort_wf(
        plan,
        nprocs=nprocs,
        omp_nthreads=max(1, nprocs // workers),
        show_progress=show,
        name=workflow_name(config),
    )
    write_methods(log_dir, workflow.visit_desc())
    if show and config.verbose > 1:
        stream_commands(workflow)
    else:
        quiet_nipype()

    sinks = dict(zip(sink_nodes(plan, workflow), plan.todo, strict=True))
    finished = set()
    with counting('masks', len(plan.todo), unit='mask', show=show) as advance:

        def on_finished(node: str, usage: Usage) -> None:
            if node in sinks:
                finished.add(node)
                remove_finished(work_dir / Path(*node.split('.')[:-1]))
                path = sinks[node].mask.path
                record.mask(path, 'done', usage)
                record.write_now_and_then()
                _LOGGER.info('%s: done, %.2f s, %.0f MB', path, usage.seconds, usage.peak_memory / 1e6)
                advance(1)

        crashes, error = run_workflow(
            workflow,
            nprocs=nprocs,
            workers=workers,
            groups=[sink.removesuffix('.sink') for sink in sinks],
            mem_gb=config.mem_gb,
            work_dir=work_dir,
            crash_dir=log_dir,
            on_finished=on_finished,
            plugin=plugin,
        )
    if len(finished) == len(sinks):
        remove_finished(work_dir / workflow.name)

    reasons, failures = Reasons(plan, work_dir), []
    for sink, job in sinks.items():
        if sink not in finished:
            cause = next((crash for crash in crashes if sink in crash.stopped), None)
            failure = reasons.of_mask(job, sink.removesuffix('sink'), cause or error)
            record.mask(job.mask.path, 'failed', reason=failure.reason)
            failures.append(failure)
    besides = [reasons.of_crash(crash, crash.path) for crash in crashes if crash.stopped.isdisjoint(sinks)]
    return failures, [each for each in besides if not any(each in failure.reason for failure in failures)]


def workflow_name(config: RunConfig) -> str:
    """Name of the workflow, and of its folder: runs at the same time may share a work folder.

    The same command finds what it left there when it was killed.
    """
    which = [
        config.output_dir,
        config.source,
        config.participants,
        config.sessions,
        config.pattern,
        config.bids_filter_file,
        config.chunk,
    ]
    return f'lacuna_{zlib.crc32(repr(which).encode()):08x}_wf'


def run_workflow(
    workflow: Workflow,
    *,
    nprocs: int,
    workers: int,
    groups: Sequence[str] = (),
    mem_gb: float | None,
    work_dir: Path,
    crash_dir: Path,
    on_finished: Callable[[str, Usage], Any] | None = None,
    plugin: PluginChoice | None = None,
) -> tuple[list[Crash], Exception | None]:
    """Run all nodes; a failure stops only what depends on it.

    Parameters
    ----------
    workflow : nipype.pipeline.engine.Workflow
    nprocs : int
        Processors that the scheduler may hand out.
    workers : int
        Processes to work in; 1 for this one.
    groups : sequence of str
        Full names of sub-workflows, to be finished in this order; on a cluster, each is one job.
    mem_gb : float or None
        Memory that the scheduler may hand out; on a cluster, that of each job.
    work_dir : pathlib.Path
        For unfinished results; a run of the same name goes on from there.
    crash_dir : pathlib.Path
        For the records of failures.
    on_finished : callable, optional
        Called with the full name of each node that has ended well, and what its group has taken so far.
    plugin : lacuna.execution.plugins.file.PluginChoice, optional
        If that is a cluster, where jobs are submitted instead.

    Returns
    -------
    crashes : list of Crash
        The nodes that failed.
    error : Exception or None
        What the plugin itself raised: the run has ended before its time.

    Raises
    ------
    InputError
        If somebody else could have put something into the folder of the workflow.
    """

    def callback(node: Any, status: str) -> None:
        if status == 'end' and on_finished:
            on_finished(node.fullname, runner.usage[group_of(node.fullname, known_groups)])

    known_groups = frozenset(groups)
    if not make_private_dir(folder := work_dir / workflow.name):
        # Nipype unpickles what it finds there, and a pickle can run anything
        message = (
            f'the work folder {folder} belongs to somebody else, or others can write there; '
            'remove it, or name another with --work-dir'
        )
        raise InputError(message)
    configure(workflow, crash_dir, most_gb=mem_gb)
    workflow.base_dir = str(work_dir)
    failure: Exception | None = None
    if plugin is not None and plugin.is_cluster:
        from lacuna.execution.plugins.cluster import ClusterPlugin

        runner: Any = ClusterPlugin(plugin, groups=groups, memory_gb=mem_gb, on_status=callback)
    else:
        plugin_args: dict[str, Any] = {'status_callback': callback, 'n_procs': nprocs}
        if mem_gb is not None:
            plugin_args['memory_gb'] = mem_gb
        runner = LocalPlugin(plugin_args, workers=workers, groups=groups)
    try:
        workflow.run(runner)
    except Exception as error:  # noqa: BLE001  not of a node: those are in the crashes
        runner.kill_workers()
        failure = error
    except BaseException:
        runner.kill_workers()  # else the interpreter would wait for them
        raise
    return runner.crashes, failure


def configure(workflow: Workflow, crash_dir: Path, *, most_gb: float | None = None) -> None:
    """Set Nipype up for this workflow and its nodes only; a node that wants more memory than `most_gb` runs alone."""
    settings = {
        'crashdump_dir': str(crash_dir),
        'crashfile_format': 'txt',
        'stop_on_first_crash': 'false',
        'poll_sleep_duration': '0',
        'check_version': 'false',
        'remove_unnecessary_outputs': 'false',
    }
    workflow.config['execution'].update(settings)
    for name in workflow.list_node_names():
        node = workflow.get_node(name)
        if most_gb is not None:
            node._mem_gb = min(node._mem_gb, most_gb)
        node.config = {
            **(node.config or {}),
            'execution': {**(node.config or {}).get('execution', {}), **settings},
        }


def remove_finished(folder: Path) -> None:
    """Remove the working files of what is finished: selected streamlines are large, and nothing needs them again."""
    shutil.rmtree(folder, ignore_errors=True)
