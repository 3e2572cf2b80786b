"""A run over several tractograms: one run with each, then the combination of their results."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lacuna.bids.outputs import tractogram_dir, tractogram_dirs
from lacuna.errors import InputError, LacunaError
from lacuna.execution.config import NO_BUNDLES, RunConfig
from lacuna.execution.execute import execute, open_tractogram, prepare, run_config
from lacuna.execution.lock import OutputLock, locking
from lacuna.execution.messages import log_failures, speaking_of
from lacuna.execution.pools import Pools
from lacuna.execution.result import FinishedMask, RunPaths, RunResult
from lacuna.execution.settings import config_of
from lacuna.streamlines.files.bundle_tables import OWN_GROUPS
from lacuna.streamlines.tractogram import tractogram_label
from lacuna.utils.cache import cache_dir
from lacuna.utils.cache_contents import using
from lacuna.utils.files import read_json, write_if_changed
from lacuna.utils.names import parse_entities
from lacuna.utils.processes import processors
from lacuna.utils.progress import track

if TYPE_CHECKING:
    from lacuna.bids.failures import Failure
    from lacuna.bids.mask_files import MaskFile
    from lacuna.execution.plan import RunPlan

_LOGGER = logging.getLogger('lacuna')

#: number of lesions combined at the same time
_MOST_CONCURRENT = 4


@dataclass(frozen=True)
class SeveralConfig:
    """Settings of a run over several tractograms.

    Attributes
    ----------
    output_dir : pathlib.Path
        Folder of the combined results.
    runs : mapping
        Settings of the run with each tractogram, by its label and sorted by label, so that the order on the command
        line does not matter.
    """

    output_dir: Path
    runs: Mapping[str, RunConfig]

    @property
    def common(self) -> RunConfig:
        """Settings of the run with the first tractogram."""
        return replace(next(iter(self.runs.values())), output_dir=self.output_dir)

    @property
    def mem_gb(self) -> float | None:
        """Memory in GB; None for what is available."""
        return self.common.mem_gb

    def command_line(self, participant: str | None = None) -> str:
        """Return the command that reproduces the results, as `RunConfig.command_line`."""
        words = shlex.split(self.common.command_line(participant))
        at = words.index('--connectome-path')
        paths = (('--connectome-path', str(run.connectome_path)) for run in self.runs.values())
        return shlex.join([*words[:at], *(word for pair in paths for word in pair), *words[at + 2 :]])

    def to_toml(self) -> str:
        """Return the settings as TOML."""
        import tomli_w

        paths = [str(run.connectome_path) for run in self.runs.values()]
        return tomli_w.dumps(self.common.to_dict() | {'connectome_path': paths})


def any_config(values: Mapping[str, Any]) -> RunConfig | SeveralConfig:
    """Create the settings from plain values; ``connectome_path`` may be a sequence of tractograms.

    Raises
    ------
    InputError
        See `config_of`; also if two tractograms have the same name, or a setting applies to one tractogram only.
    """
    given = values['connectome_path']
    paths = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    if wrong := [each for each in paths if not isinstance(each, (str, Path))]:
        message = f'connectome_path is {wrong[0]!r}; expected the path or the name of a tractogram'
        raise InputError(message)
    if not paths:
        message = 'name the tractogram with --connectome-path'
        raise InputError(message)
    if len(paths) == 1:
        return config_of({**values, 'connectome_path': paths[0]})
    bundles, weights = values.get('bundles') or (), values.get('connectome_weights')
    source = str(bundles if isinstance(bundles, (str, Path)) else bundles[0]) if bundles else NO_BUNDLES
    for option, is_given in (
        ('--bundles TABLE', source not in (OWN_GROUPS, NO_BUNDLES)),
        # the name of weights in a .trx may apply to all
        ('--connectome-weights FILE', weights is not None and Path(weights).expanduser().is_file()),
    ):
        if is_given:
            message = (
                f'{option} belongs to one tractogram, but {len(paths)} are given; run that one separately'
            )
            raise InputError(message)
    runs: dict[str, RunConfig] = {}
    for path in paths:
        config = config_of({**values, 'connectome_path': path})
        label = tractogram_label(config.connectome_path)
        if other := runs.get(label):
            message = (
                f'the results with {other.connectome_path} and {config.connectome_path} would both be in '
                f'tractogram-{label}; rename one of them'
            )
            raise InputError(message)
        runs[label] = replace(config, output_dir=tractogram_dir(config.output_dir, label))
    return SeveralConfig(config.output_dir, dict(sorted(runs.items())))


def run_several(several: SeveralConfig, *, show: bool = False) -> RunResult:
    """Run with each tractogram, and combine the results of each lesion.

    Parameters
    ----------
    several : SeveralConfig
    show : bool
        Whether to show progress bars.

    Returns
    -------
    lacuna.execution.result.RunResult
        Result over all tractograms; ``tractograms`` has the result with each.
    """
    from lacuna.execution.record import new_log_dir

    started = time.monotonic()
    check_several_dir(several.output_dir)
    if several.common.dry_run:
        results = {label: run_config(config, show=show) for label, config in several.runs.items()}
        return replace(_merge_results(several, results), seconds=time.monotonic() - started)
    with using(cache_dir()), ExitStack() as locks:
        _check_inputs(several, show=show)
        # check everything before any work, which may take hours
        planned = {
            label: _make_locked_plan(config, locks, show=show) for label, config in several.runs.items()
        }
        lock = locks.enter_context(locking(several.output_dir))
        lock.take(_subjects(plan for plan, _ in planned.values()), several.command_line())
        log_dir = None
        if any(plan.todo or plan.unpublished for plan, _ in planned.values()):
            log_dir = new_log_dir(several.output_dir, several.to_toml())
        results = {}
        for number, (label, (plan, own_lock)) in enumerate(planned.items(), start=1):
            _LOGGER.info('tractogram %d of %d: %s', number, len(planned), label)
            with speaking_of(label), Pools(plan.config) as pools:
                results[label] = execute(plan, pools, own_lock, started=time.monotonic(), show=show)
        result = _combine(several, results, lock, log_dir, show=show)
    return replace(result, seconds=time.monotonic() - started)


def check_several_dir(root: Path) -> None:
    """Raise an error if an output folder has results of a run with a single tractogram.

    Raises
    ------
    InputError
    """
    if read_json(root / 'dataset_description.json') is not None and not tractogram_dirs(root):
        message = f'the output folder {root} holds something other than a run over several tractograms; choose another folder'
        raise InputError(message)


def _check_inputs(several: SeveralConfig, *, show: bool) -> None:
    """Check masks and tractograms as far as possible without writing."""
    from lacuna.bids.derivatives import check_output_dir
    from lacuna.execution.plan import mask_paths

    check_output_dir(several.output_dir, several.common.source)
    mask_paths(several.common)
    for config in several.runs.values():
        with Pools(config) as pools:
            open_tractogram(config, pools, show=show)


def _make_locked_plan(config: RunConfig, locks: ExitStack, *, show: bool) -> tuple[RunPlan, OutputLock]:
    """Plan one run, and lock its results until all runs have finished."""
    lock = locks.enter_context(locking(config.output_dir))
    with Pools(config) as pools:
        return prepare(config, pools, lock, show=show), lock


def _subjects(plans: Iterable[RunPlan]) -> set[str]:
    return {mask.subject for plan in plans for mask in (*plan.done, *(job.mask for job in plan.todo))}


def _merge_results(several: SeveralConfig, results: Mapping[str, RunResult]) -> RunResult:
    """Merge the results of the runs; a mask that failed with any tractogram has failed."""
    failures = _failures(results)
    failed = {failure.path for failure in failures}
    first = next(iter(results.values()))
    return RunResult(
        finished=tuple(mask for mask in first.finished if mask.path not in failed),
        failures=tuple(failures),
        paths=RunPaths(several.output_dir),
        seconds=0.0,
        skipped=first.skipped,
        planned=tuple(dict.fromkeys(path for result in results.values() for path in result.planned)),
        faults=tuple(f'{label}: {fault}' for label, result in results.items() for fault in result.faults),
        warnings=tuple(dict.fromkeys(each for result in results.values() for each in result.warnings)),
        tractograms=dict(results),
    )


def _failures(results: Mapping[str, RunResult]) -> list[Failure]:
    """Return the masks that failed with any tractogram, which have no combined results."""
    from lacuna.bids.failures import Failure, one_line

    having: dict[Path, dict[str, Failure]] = {}
    for label, result in results.items():
        for failure in result.failures:
            having.setdefault(failure.path, {})[label] = failure
    found = []
    for path, by_label in having.items():
        reasons = {one_line(failure.reason, path) for failure in by_label.values()}
        of_mask = len(by_label) == len(results) and len(reasons) == 1  # the tractogram is not the cause
        each = (f'with {label}: {one_line(failure.reason, path)}' for label, failure in by_label.items())
        reason = reasons.pop() if of_mask else f'not combined, because it failed {"; ".join(each)}'
        found.append(Failure(path, f'{path}: {reason}', next(iter(by_label.values())).label))
    return found


def _combine(
    several: SeveralConfig,
    results: Mapping[str, RunResult],
    lock: OutputLock,
    log_dir: Path | None,
    *,
    show: bool,
) -> RunResult:
    """Write the combined results, the table of failures and the reports."""
    from lacuna.bids.combination import combine, write_description_of_several
    from lacuna.bids.failures import Failure, update_failures
    from lacuna.execution.record import new_log_dir

    joined, root = _merge_results(several, results), several.output_dir
    files = {label: {mask.path: mask for mask in result.finished} for label, result in results.items()}
    with lock.tables():
        write_description_of_several(root, {label: run.output_dir for label, run in several.runs.items()})

    def work(mask: FinishedMask) -> FinishedMask | Failure:
        of_each = {label: by_path[mask.path].outputs for label, by_path in files.items()}
        command, overwrite = several.command_line(mask.subject), several.common.overwrite
        try:
            paths, is_new = combine(root, _to_mask_file(mask), of_each, command=command, overwrite=overwrite)
        except LacunaError as error:
            return Failure(mask.path, str(error), mask.subject)
        return replace(mask, outputs=paths, is_new=is_new)

    # each thread holds the maps of all tractograms
    with ThreadPoolExecutor(min(processors(several.common.nprocs), _MOST_CONCURRENT)) as pool:
        looks = pool.map(work, joined.finished)
        made = list(track(looks, 'combining', total=len(joined.finished), show=show))
    finished = [mask for mask in made if isinstance(mask, FinishedMask)]
    failures = [*joined.failures, *(mask for mask in made if isinstance(mask, Failure))]
    log_failures(failures)
    if any(mask.is_new for mask in finished):
        log_dir = log_dir or new_log_dir(root, several.to_toml())
        _write_methods(several, log_dir)
    looked_at = {mask.path for result in results.values() for mask in result.finished}
    looked_at |= {each.path for each in (*joined.skipped, *failures)}
    with lock.tables():
        table = update_failures(root, looked_at, failures)
    subjects = sorted({mask.subject for mask in finished} | {failure.subject for failure in failures})
    pages, missing = _make_reports(several, subjects, failures, show=show)
    return replace(
        joined,
        finished=tuple(finished),
        failures=tuple(failures),
        paths=RunPaths(root, log_dir, table, pages),
        missing_reports=missing,
    )


def _to_mask_file(mask: FinishedMask) -> MaskFile:
    from lacuna.bids.mask_files import MaskFile

    session = parse_entities(mask.stem).get('ses')
    return MaskFile(mask.path, mask.stem, mask.subject, session, mask.space, space_from='')


def _write_methods(several: SeveralConfig, log_dir: Path) -> None:
    """Write the methods text: that of one tractogram, and how several were combined."""
    from lacuna.reports.methods import newest_methods

    written = [newest_methods(run.output_dir) for run in several.runs.values()]
    text, bibliography = next(filter(None, written), ('', ''))
    text += (
        f'\nThis was done with each of {len(several.runs)} tractograms ({", ".join(several.runs)}). Maps and percentages '
        'are means over the tractograms, and their standard deviations (n - 1) describe how much the tractograms differ.\n'
    )
    write_if_changed(log_dir / 'CITATION.md', text.encode())
    write_if_changed(log_dir / 'CITATION.bib', bibliography.encode())


def _make_reports(
    several: SeveralConfig, subjects: Sequence[str], failures: Sequence[Failure], *, show: bool
) -> tuple[tuple[Path, ...], dict[str, str]]:
    """Draw outdated reports of participants; return their paths, and errors by participant."""
    if several.common.report == 'none':
        return (), {}
    from lacuna.reports.participant import is_current, make_reports

    root, viewer = several.output_dir, several.common.report == 'full'
    failing = {failure.subject for failure in failures}
    stale = [each for each in subjects if each in failing or not is_current(root, each, viewer=viewer)]
    workers = processors(several.common.nprocs)
    made = make_reports(root, stale, failures=failures, viewer=viewer, workers=workers)
    missing = {
        subject: page
        for subject, page in track(made, 'reports', total=len(stale), show=show)
        if isinstance(page, str)
    }
    pages = (root / f'sub-{subject}.html' for subject in subjects)
    return tuple(page for page in pages if page.is_file()), missing
