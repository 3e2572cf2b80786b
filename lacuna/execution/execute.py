"""Execute a run: check everything, compute what is missing, and record what happened."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lacuna.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, InputError
from lacuna.execution.config import RunConfig
from lacuna.execution.lock import OutputLock, locking
from lacuna.execution.messages import (
    log_doubts,
    log_failures,
    log_plan,
    log_tractogram,
)
from lacuna.execution.pools import Pools
from lacuna.execution.result import FinishedMask, RunPaths, RunResult
from lacuna.utils.cache import cache_dir
from lacuna.utils.cache_contents import using
from lacuna.utils.progress import track

if TYPE_CHECKING:
    from lacuna.bids.failures import Failure
    from lacuna.execution.plan import MaskJob, RunPlan
    from lacuna.images.masks import KnownMask
    from lacuna.streamlines.tractogram import Tractogram

_LOGGER = logging.getLogger('lacuna')


def run_config(config: RunConfig, *, show: bool = False) -> RunResult:
    """Run with these settings; `show` enables progress bars and, with ``verbose``, the output of MRtrix3."""
    started = time.monotonic()
    with using(cache_dir()), Pools(config) as pools:
        if config.dry_run:
            plan = prepare(config, pools, show=show)
            log_plan(plan)
            return RunResult(
                finished=_finished(plan, made=()),
                failures=plan.failed,
                paths=RunPaths(config.output_dir),
                seconds=time.monotonic() - started,
                skipped=plan.skipped,
                planned=tuple(job.mask.path for job in plan.todo),
                warnings=plan.warnings,
            )
        with locking(config.output_dir) as lock:
            return execute(prepare(config, pools, lock, show=show), pools, lock, started=started, show=show)


def prepare(
    config: RunConfig, pools: Pools, lock: OutputLock | None = None, *, show: bool = False
) -> RunPlan:
    """Check everything before any work, lock the results, and return the plan."""
    from lacuna.bids.derivatives import check_one_tractogram, check_output_dir
    from lacuna.execution.plan import make_plan, mask_paths

    version = _mrtrix_version() if config.engine == 'mrtrix' else None
    for note in config.use_plugin.notes if config.use_plugin else ():
        _LOGGER.warning('lacuna: %s', note)
    check_output_dir(config.output_dir, config.source)
    check_one_tractogram(config.output_dir)
    paths = mask_paths(config)  # before reading the tractogram, which may take minutes
    tractogram = open_tractogram(config, pools, show=show)
    log_tractogram(tractogram)

    settings = config.settings()
    return make_plan(
        config,
        tractogram,
        engine_version=version,
        cache=cache_dir(),
        show_progress=show,
        lock=(lambda subjects: lock.take(subjects, settings)) if lock else None,
        paths=paths,
    )


def _mrtrix_version() -> str | None:
    """Return the version of MRtrix3.

    Raises
    ------
    InputError
        If MRtrix3 is not installed.
    """
    from lacuna.interfaces.mrtrix import missing_commands, mrtrix_version

    if missing := missing_commands():
        message = (
            f'--engine mrtrix needs MRtrix3, and {", ".join(missing)} is not on the PATH; install it (Debian: '
            "'apt-get install mrtrix3'), or remove --engine: the default does not need MRtrix3"
        )
        raise InputError(message)
    return mrtrix_version()


def open_tractogram(config: RunConfig, pools: Pools, *, show: bool) -> Tractogram:
    """Open the tractogram; one that was never read is scanned where the tasks are executed."""
    from lacuna.streamlines.inspection import was_read
    from lacuna.streamlines.tractogram import Tractogram

    remote = pools.is_remote and not was_read(config.connectome_path, cache_dir())
    make = partial(
        Tractogram,
        config.connectome_path,
        config.connectome_space,
        resolution=config.output_resolution,
        upsample=config.tck_upsample,
        nprocs=config.nprocs,
        progress=show and not pools.is_remote,
        weights=config.connectome_weights,
        min_length=config.min_length,
        max_length=config.max_length,
    )
    return cast('Tractogram', pools.dask().call(make)) if remote else make()


def execute(
    plan: RunPlan, pools: Pools, lock: OutputLock, *, started: float, show: bool = False
) -> RunResult:
    """Make the outputs that are missing in the plan, and update the table of failures and the reports."""
    from lacuna.bids.failures import update_failures
    from lacuna.execution.reasons import is_full
    from lacuna.execution.sidecars import write_description
    from lacuna.execution.workfolders import remove_of_dead_runs

    config = plan.config
    remove_of_dead_runs(config.output_dir)
    write_description(
        config.output_dir,
        config,
        plan.tractogram,
        engine_version=plan.engine_version,
        atlases=[each.atlas for found in plan.atlases.values() for each in found.all],
        bundles=plan.bundles,
    )
    log_dir = None
    faults: list[str] = []
    failures = list(plan.failed)
    doubts: list[str] = []
    if plan.todo or plan.unpublished:
        from lacuna.execution.record import new_log_dir

        log_dir = new_log_dir(config.output_dir, config.to_toml())
        failures, faults, doubts = _run_recorded(plan, pools, log_dir, show=show)
    else:
        log_plan(plan)
        log_failures(failures)
    looked_at = {mask.path for mask in (*plan.done, *(job.mask for job in plan.todo))}
    looked_at |= {each.path for each in (*plan.skipped, *plan.failed)}
    failed = {failure.path for failure in failures}
    try:
        with lock.tables():
            table = update_failures(config.output_dir, looked_at, failures)
    except OSError as error:
        if not is_full(error) or not failures:  # otherwise the failures already report the full disk
            raise
        table = None
    pages, missing = _make_reports(plan, failures, show=show) if config.report != 'none' else ((), {})
    return RunResult(
        finished=_finished(plan, [job for job in plan.todo if job.mask.path not in failed]),
        failures=tuple(failures),
        paths=RunPaths(config.output_dir, log_dir, table, pages),
        seconds=time.monotonic() - started,
        skipped=plan.skipped,
        faults=tuple(faults),
        missing_reports=missing,
        warnings=(*plan.warnings, *doubts),
    )


def _finished(plan: RunPlan, made: Sequence[MaskJob]) -> tuple[FinishedMask, ...]:
    """Return the masks finished before and in this run."""
    from lacuna.bids.derivatives import mask_outputs

    masks = [*((mask, False) for mask in plan.done), *((job.mask, True) for job in made)]
    root = plan.config.output_dir
    return tuple(
        FinishedMask(
            mask.path,
            mask.stem,
            mask.subject,
            mask.space,
            {target: root / path for target, path in mask_outputs(mask, plan.targets(mask.space)).items()},
            tuple(plan.mask_warnings.get(mask.path, ())),
            is_new,
        )
        for mask, is_new in masks
    )


def _run_recorded(
    plan: RunPlan, pools: Pools, log_dir: Path, *, show: bool
) -> tuple[list[Failure], list[str], list[str]]:
    """Make the missing outputs, with a record in `log_dir`; return failed masks, other faults, and new warnings."""
    from lacuna.bids.derivatives import remove_unused_connectomes
    from lacuna.execution.masks import run_masks, work_name
    from lacuna.execution.record import RunRecord, logging_to
    from lacuna.execution.workfolders import hidden_below, temporary_folder, work_folder

    config = plan.config
    with logging_to(log_dir / 'run.log'):
        record = RunRecord(log_dir, plan)
        log_plan(plan)
        status, code = 'error', EXIT_FAILED
        try:
            large = config.engine == 'mrtrix' or pools.is_remote
            base = config.work_dir or (hidden_below(config.output_dir) if large else temporary_folder())
            with work_folder(base, work_name(config), keep=config.work_dir is not None):
                for path in (path for job in plan.todo for path in job.outdated):
                    path.unlink(missing_ok=True)
                pool, threads = pools.for_masks(len(plan.todo))
                unfinished, faults = run_masks(plan, pool, base, log_dir, record, threads=threads, show=show)
            log_failures(failures := [*plan.failed, *unfinished])
            log_doubts(doubts := plan.doubts_of_endpoints())
            record.warn(doubts)
            for fault in faults:
                _LOGGER.error('lacuna: %s', fault)
            if failures:
                status = 'some masks failed'
            elif faults:
                status = 'something besides the masks failed'
            else:
                status, code = 'done', EXIT_DONE
        except KeyboardInterrupt:
            status, code = 'interrupted', EXIT_INTERRUPTED
            raise
        finally:
            _LOGGER.info('%s', status)
            unrecorded = record.finish(status, code)
        if unrecorded and not failures:
            faults.append(unrecorded)
            _LOGGER.error('lacuna: %s', unrecorded)
        if config.overwrite:
            remove_unused_connectomes(config.output_dir)
    return failures, faults, doubts


def _make_reports(
    plan: RunPlan, failures: Sequence[Failure], *, show: bool
) -> tuple[tuple[Path, ...], dict[str, str]]:
    """Draw the reports of participants with new results or failures; errors do not affect results.

    Returns the reports of all participants of the run, and errors by participant.
    """
    from lacuna.reports.participant import is_current, make_reports
    from lacuna.utils.processes import processors

    known = {mask.subject for mask in (*plan.done, *(job.mask for job in plan.todo))}
    root, viewer = plan.config.output_dir, plan.config.report == 'full'
    stale = {subject for subject in known if not is_current(root, subject, viewer=viewer)}
    subjects = sorted(stale | {failure.subject for failure in failures})
    masks: dict[str, dict[Path, KnownMask]] = {}
    for mask in (*plan.done, *(job.mask for job in plan.todo)):
        masks.setdefault(mask.subject, {})[mask.path.absolute()] = plan.masks[mask.path]
    workers = processors(plan.config.nprocs)
    made = make_reports(root, subjects, failures=failures, viewer=viewer, masks=masks, workers=workers)
    missing = {
        subject: page
        for subject, page in track(made, 'reports', total=len(subjects), show=show)
        if isinstance(page, str)
    }
    pages = (root / f'sub-{subject}.html' for subject in sorted(known | set(subjects)))
    return tuple(page for page in pages if page.is_file()), missing
