"""Run the masks: as tasks of a pool of processes or machines, or as one graph for a Nipype plugin."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from traceback import format_exc
from typing import TYPE_CHECKING

from lacuna.bids.failures import Failure
from lacuna.errors import reason_of
from lacuna.execution.reasons import Reasons
from lacuna.execution.record import keep_crash, write_crash, write_methods
from lacuna.execution.tasks import prepare_space, publish_density, run_mask
from lacuna.execution.workfolders import make_work_folder, remove_finished
from lacuna.utils.processes import Usage, processors
from lacuna.utils.progress import counting
from lacuna.workflows.methods import methods_text

if TYPE_CHECKING:
    from lacuna.execution.config import RunConfig
    from lacuna.execution.plan import MaskJob, RunPlan
    from lacuna.execution.pools import Pool
    from lacuna.execution.record import RunRecord
    from lacuna.execution.tasks import SpaceInputs

_LOGGER = logging.getLogger('lacuna')


def run_masks(
    plan: RunPlan,
    pool: Pool | None,
    work_dir: Path,
    log_dir: Path,
    record: RunRecord,
    *,
    threads: int = 1,
    show: bool = False,
) -> tuple[list[Failure], list[str]]:
    """Make the missing outputs of the masks, and the inputs that they share.

    Parameters
    ----------
    plan : lacuna.execution.plan.RunPlan
    pool : Pool or None
        The pool that runs the tasks; None for the Nipype plugin in the settings.
    work_dir : pathlib.Path
        Folder for unfinished results.
    log_dir : pathlib.Path
        Folder for crash files.
    record : lacuna.execution.record.RunRecord
    threads : int
        Threads per mask.
    show : bool
        See `lacuna.execution.execute.run_config`.

    Returns
    -------
    failures : list of Failure
        The masks that failed.
    faults : list of str
        Other failures, although all masks are finished.
    """
    config = plan.config
    spaces = sorted({*plan.unpublished, *(job.mask.space for job in plan.todo)})
    text = methods_text(
        spaces,
        tractogram_space=plan.tractogram.space,
        moved_to=[space for space in spaces if plan.alignment(space).transform],
        resolution=config.output_resolution,
        engine=config.engine,
        targets=dict.fromkeys(target for job in plan.todo for target in job.missing),
        assignment=config.assignment,
        spared_threshold=config.spared_threshold,
        edge_measure=config.edge_measure,
        weights=None if plan.tractogram.weights is None else Path(str(config.connectome_weights)).name,
        limits=(config.min_length, config.max_length),
        graded=config.grading is not None,
        null_lesions=config.null_lesions,
        null_within=config.null_within,
    )
    write_methods(log_dir, text)
    folder = make_work_folder(work_dir / work_name(config))
    with counting('masks', len(plan.todo), unit='mask', show=show) as advance:
        results = _Results(plan, record, Reasons(plan, work_dir), log_dir, advance)
        if pool is None:
            _run_graph(plan, results, work_dir, log_dir, threads)
        else:
            ready = _prepare(
                plan, pool, results, folder, spaces, threads=threads, quiet=not (show and config.verbose > 1)
            )
            jobs = [job for job in plan.todo if job.mask.space in ready]
            tasks = ((job, ready[job.mask.space]) for job in jobs)
            for outcome in pool.run(run_mask, tasks):
                if outcome.reason is None:
                    results.done(jobs[outcome.number], outcome.usage)
                else:
                    results.failed([jobs[outcome.number]], outcome.reason, outcome.traceback)
    if not results.failures:
        remove_finished(folder)
    return results.failures, results.faults


class _Results:
    """Record the outcome of each mask as it finishes."""

    def __init__(
        self,
        plan: RunPlan,
        record: RunRecord,
        reasons: Reasons,
        log_dir: Path,
        advance: Callable[[int], object],
    ) -> None:
        self._config, self._record, self._reasons = plan.config, record, reasons
        self._log_dir, self._advance = log_dir, advance
        self.failures: list[Failure] = []
        self.faults: list[str] = []

    def done(self, job: MaskJob, usage: Usage | None = None) -> None:
        path = job.mask.path
        self._record.mask(path, 'done', usage)
        self._record.write_now_and_then()
        took = f', {usage.seconds:.2f} s, {usage.peak_memory / 1e6:.0f} MB' if usage else ''
        _LOGGER.info('%s: done%s', path, took)
        self._advance(1)

    def failed(
        self, jobs: Sequence[MaskJob], reason: str, traceback: str = '', crash: Path | None = None
    ) -> None:
        """Record masks that failed for the same reason; without masks, another failure."""
        if traceback:
            crash = write_crash(self._log_dir, traceback)
        if crash and len(jobs) == 1:
            again = f'{self._config.command_line(jobs[0].mask.subject)} --nprocs 1 -vv'
            crash = keep_crash(crash, jobs[0].mask.stem, again)
        text = self._reasons.of(reason, crash)
        for job in jobs:
            path = job.mask.path
            failure = Failure(path, f'{path}: {text}', job.mask.subject)
            self._record.mask(path, 'failed', reason=failure.reason)
            self.failures.append(failure)
        if not jobs:
            self.faults.append(text)


def _prepare(
    plan: RunPlan,
    pool: Pool,
    results: _Results,
    folder: Path,
    spaces: Sequence[str],
    *,
    threads: int,
    quiet: bool,
) -> dict[str, SpaceInputs]:
    """Prepare the shared inputs of the masks of each space; if that fails, its masks fail."""
    # keep what is sent to other processes small
    shared = replace(plan, todo=(), done=(), failed=(), skipped=(), masks={}, mask_warnings={})
    ready = {}
    for space in spaces:
        jobs = [job for job in plan.todo if job.mask.space == space]
        targets = list(dict.fromkeys(target for job in jobs for target in job.missing))
        try:
            ready[space] = pool.call(prepare_space, shared, space, targets, folder, threads, quiet)
        except Exception as error:  # noqa: BLE001  recorded
            results.failed(jobs, reason_of(error), format_exc())
            continue
        try:
            pool.call(publish_density, shared, ready[space])
        except Exception as error:  # noqa: BLE001  recorded; the masks do not depend on it
            results.failed([], reason_of(error), format_exc())
    return ready


def _run_graph(plan: RunPlan, results: _Results, work_dir: Path, log_dir: Path, threads: int) -> None:
    """Run all masks as one graph with a Nipype plugin."""
    from lacuna.execution.cohort import init_cohort_wf, sink_name
    from lacuna.execution.plugins.nipype import run_by_plugin

    config = plan.config
    assert config.use_plugin  # noqa: S101
    workflow = init_cohort_wf(
        plan, nprocs=processors(config.nprocs), omp_nthreads=threads, name=work_name(config)
    )
    waiting = {sink_name(workflow, job): job for job in plan.todo}
    groups = {sink.removesuffix('sink'): job for sink, job in waiting.items()}

    def on_finished(node: str) -> None:
        if job := waiting.pop(node, None):
            results.done(job)

    crashes, error = run_by_plugin(
        workflow,
        config.use_plugin.name,
        dict(config.use_plugin.args),
        work_dir=work_dir,
        crash_dir=log_dir,
        on_finished=on_finished,
    )
    own = {group: crash for crash in crashes for group in groups if crash.node.startswith(group)}
    shared = [crash for crash in crashes if crash not in own.values()]
    for sink, job in waiting.items():
        here = [each for each in shared if each.node.startswith(f'{workflow.name}.{job.mask.space}_wf.')]
        cause = own.get(sink.removesuffix('sink')) or next(iter(here), None)
        if cause:
            results.failed([job], cause.reason, crash=cause.path)
        else:
            results.failed([job], str(error or 'it was not finished'))
    if not waiting:
        for crash in shared:
            results.failed([], crash.reason, crash=crash.path)


def work_name(config: RunConfig) -> str:
    """Return the name of a run's work folder, so that concurrent runs can share its parent.

    It is the same for the same command, which resumes the work of a killed run.
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
