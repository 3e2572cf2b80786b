"""One run: check everything, do what is missing, write down what happened."""

from __future__ import annotations

import logging
import sys
import zlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lacuna.errors import EXIT_FAILED, INTERRUPTED, InputError
from lacuna.execution.config import RunConfig
from lacuna.execution.lock import OutputLock
from lacuna.execution.messages import log_doubts, log_failures, log_plan, log_tractogram, print_result
from lacuna.execution.plugins.file import PluginChoice, read_plugin
from lacuna.execution.reasons import Reasons
from lacuna.utils.cache import cache_dir
from lacuna.utils.progress import counted, progress_bar

if TYPE_CHECKING:
    from lacuna.bids.failures import Failure
    from lacuna.execution.plan import RunPlan
    from lacuna.execution.record import RunRecord
    from lacuna.utils.processes import Usage

_LOGGER = logging.getLogger('lacuna')


def prepare(config: RunConfig, lock: OutputLock | None = None) -> RunPlan:
    """Check everything that can be checked before any work; what is to be written is locked."""
    from lacuna.bids.derivatives import check_output_dir
    from lacuna.execution.plan import make_plan, mask_paths
    from lacuna.execution.plugins.batch import check_programs
    from lacuna.interfaces.mrtrix import missing_commands, mrtrix_version
    from lacuna.streamlines.tractogram import Tractogram

    if config.engine == 'mrtrix' and (missing := missing_commands()):
        message = (
            f'--engine mrtrix needs MRtrix3, and {", ".join(missing)} is not on the PATH; install it (Debian: '
            "'apt-get install mrtrix3'), or leave out --engine: the default needs no MRtrix3"
        )
        raise InputError(message)
    if plugin := _plugin(config):
        check_programs(plugin.name)
    check_output_dir(config.output_dir, config.source)
    paths = mask_paths(config)  # before the tractogram is read, which may take minutes
    tractogram = Tractogram(config.connectome_path, config.connectome_space, progress=True)
    log_tractogram(tractogram)

    version = mrtrix_version() if config.engine == 'mrtrix' else None
    return make_plan(
        config,
        tractogram,
        engine_version=version,
        cache=cache_dir(),
        progress=partial(counted, 'checking masks'),
        paths=paths,
        **({'lock': lambda subjects: lock.take(subjects, config.settings())} if lock else {}),
    )


def execute(plan: RunPlan, lock: OutputLock) -> int:
    """Do what the plan says is missing; returns the exit code."""
    from lacuna.bids.failures import update_failures
    from lacuna.execution.sidecars import write_description
    from lacuna.execution.workfolders import remove_of_dead_runs

    config = plan.config
    remove_of_dead_runs(config.output_dir)
    write_description(
        config.output_dir,
        config,
        plan.tractogram,
        engine_version=plan.engine_version,
        atlases=[each.atlas for found in plan.parcellations.values() for each in found],
    )
    if plan.todo or plan.unpublished:
        failures, faults = _run_recorded(plan)
    else:
        log_plan(plan)
        log_failures(failures := plan.failed)
        faults = []
    looked_at = {mask.path for mask in (*plan.done, *(job.mask for job in plan.todo))}
    looked_at |= {each.path for each in (*plan.skipped, *plan.failed)}
    with lock.tables():
        table = update_failures(config.output_dir, looked_at, failures)
    finished = len(plan.done) + len(plan.todo) - (len(failures) - len(plan.failed))
    if failures:
        print(
            f'lacuna: {len(failures)} of {finished + len(failures)} masks failed; see {table}',
            file=sys.stderr,
        )
    if config.report != 'none':
        _make_reports(plan, failures)
    print_result(plan, finished)
    return 1 if failures or faults else 0


def _run_recorded(plan: RunPlan) -> tuple[list[Failure], list[str]]:
    """Do what is missing, and keep a record of it in ``logs/``; returns what `_run_jobs` does."""
    from lacuna.bids.derivatives import remove_unused_connectomes
    from lacuna.execution.record import RunRecord, logging_to, new_log_dir
    from lacuna.execution.workfolders import hidden_below, temporary_folder, work_folder

    log_dir = new_log_dir(plan.config)
    with logging_to(log_dir / 'run.log'):
        record = RunRecord(log_dir, plan)
        log_plan(plan)
        status, code = 'error', EXIT_FAILED
        try:
            name = _workflow_name(plan.config)
            plugin = _plugin(plan.config)
            large = plan.config.engine == 'mrtrix' or (plugin is not None and plugin.is_cluster)
            base = plan.config.work_dir or (
                hidden_below(plan.config.output_dir) if large else temporary_folder()
            )
            with work_folder(base, name, keep=plan.config.work_dir is not None):
                unfinished, faults = _run_jobs(plan, base, log_dir, record)
            log_failures(failures := [*plan.failed, *unfinished])
            log_doubts(plan)
            for fault in faults:
                _LOGGER.error('lacuna: %s', fault)
            if failures:
                status = 'some masks failed'
            elif faults:
                status = 'something besides the masks failed'
            else:
                status, code = 'done', 0
        except KeyboardInterrupt:
            status, code = 'interrupted', INTERRUPTED
            raise
        finally:
            _LOGGER.info('%s', status)
            record.finish(status, code)
        if plan.config.overwrite:
            remove_unused_connectomes(plan.config.output_dir)
    return failures, faults


def _run_jobs(
    plan: RunPlan, work_dir: Path, log_dir: Path, record: RunRecord
) -> tuple[list[Failure], list[str]]:
    """Build the workflow of the masks with missing results and run it.

    Returns the masks that failed, and what failed besides although all masks are finished.
    """
    from lacuna.execution.cohort import init_cohort_wf, sink_nodes
    from lacuna.execution.environment import quiet_nipype
    from lacuna.execution.graph import choose_workers, remove_finished, run_workflow, stream_commands
    from lacuna.execution.record import write_methods
    from lacuna.utils.processes import processors

    config = plan.config
    nprocs = processors(config.nprocs)
    plugin = _plugin(config)
    masks = max(len(plan.todo), 1)  # none if only the density has to be made again
    workers = choose_workers(config.engine, nprocs, masks, config.connectome_path.stat().st_size)
    if plugin and plugin.is_cluster:  # a mask is a job: the index answers on one processor, MRtrix3 uses all
        workers = nprocs if config.engine == 'index' else 1
    workflow = init_cohort_wf(
        plan,
        nprocs=nprocs,
        omp_nthreads=max(1, nprocs // workers),
        show_progress=True,
        name=_workflow_name(config),
    )
    write_methods(log_dir, workflow.visit_desc())
    if config.verbose > 1:
        stream_commands(workflow)
    else:
        quiet_nipype()

    sinks = dict(zip(sink_nodes(plan, workflow), plan.todo, strict=True))
    finished = set()
    with progress_bar('masks', total=len(plan.todo), unit='mask') as bar:

        def on_finished(node: str, usage: Usage) -> None:
            if node in sinks:
                finished.add(node)
                remove_finished(work_dir / Path(*node.split('.')[:-1]))
                path = sinks[node].mask.path
                record.mask(path, 'done', usage)
                record.write_now_and_then()
                _LOGGER.info('%s: done, %.2f s, %.0f MB', path, usage.seconds, usage.peak_memory / 1e6)
                bar.update(1)

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


def _plugin(config: RunConfig) -> PluginChoice | None:
    return read_plugin(config.use_plugin) if config.use_plugin else None


def _workflow_name(config: RunConfig) -> str:
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


def _make_reports(plan: RunPlan, failures: list[Failure]) -> None:
    """The page of each participant whose results have changed, or who has failures; one that cannot be drawn costs no result."""
    from lacuna.reports.participant import is_current, make_reports
    from lacuna.utils.processes import processors

    known = {mask.subject for mask in (*plan.done, *(job.mask for job in plan.todo))}
    root, viewer = plan.config.output_dir, plan.config.report == 'full'
    stale = {subject for subject in known if not is_current(root, subject, viewer=viewer)}
    subjects = sorted(stale | {failure.subject for failure in failures})
    workers = processors(plan.config.nprocs)
    with progress_bar('reports', total=len(subjects)) as bar:
        for subject, made in make_reports(root, subjects, failures=failures, viewer=viewer, workers=workers):
            bar.update(1)
            if isinstance(made, str):
                print(f'lacuna: sub-{subject}: no report: {made}', file=sys.stderr)
