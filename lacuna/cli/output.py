"""Printed output of commands; for ``lacuna run``: the plan of a dry run, failures, and the final table."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lacuna.bids.outputs import Target
from lacuna.execution.messages import log_warnings, target_names

if TYPE_CHECKING:
    from lacuna.execution.plan import RunPlan
    from lacuna.execution.result import RunResult

_LOGGER = logging.getLogger('lacuna')

#: lines of one kind printed without -v
_MOST_LINES = 10

#: lesions in the final table of a run
_MOST_ROWS = 20

#: outputs whose paths are printed with -v, with their names
_SHOWN = {
    'disconnection_map': 'map',
    'summary': 'summary',
    'disconnection_matrix': 'matrix',
    'roi_disconnection': 'table',
    'mean_map': 'mean map',
    'sd_map': 'map of standard deviations',
    'spread_statistics': 'summary',
    'spread_parcels': 'table',
    'spread_bundles': 'bundles',
}


def set_up_logging(verbose: int) -> None:
    """Send Lacuna's messages, and only these, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter('%(message)s'))
    handler.setLevel(logging.INFO if verbose else logging.WARNING)
    _LOGGER.handlers[:] = [handler]
    _LOGGER.propagate = False
    _LOGGER.setLevel(logging.INFO)  # so that the log file has all messages


def warn(lines: Sequence[str], *, everything: bool) -> None:
    """Print lines on standard error: all if `everything`, else the first few and the number of others."""
    shown = lines if everything else lines[:_MOST_LINES]
    for line in shown:
        print(f'lacuna: {line}', file=sys.stderr)
    if len(shown) < len(lines):
        print(f'lacuna: and {len(lines) - len(shown)} more; -v lists all', file=sys.stderr)


def print_plan(plan: RunPlan) -> None:
    """Print the plan of a run, one line per mask, and its warnings."""
    log_warnings(plan)
    rows = [(str(job.mask.path), f'would make: {target_names(job.missing)}') for job in plan.todo]
    rows += [
        (path.relative_to(plan.config.output_dir).as_posix(), f'would make: {key}')
        for space, keys in plan.unpublished.items()
        for key, path in plan.connectome_paths(space).items()
        if key in keys and not any(job.mask.space == space for job in plan.todo)
    ]
    rows += [(str(mask.path), 'done') for mask in plan.done]
    rows += [(str(skipped.path), 'would be skipped: empty') for skipped in plan.skipped]
    rows += [(str(failure.path), f'would fail: {failure.reason}') for failure in plan.failed]
    for path, what in sorted(rows):
        print(f'{path}\t{what}')
    print(
        f'{len(plan.todo)} to do, {len(plan.done)} done, {len(plan.skipped)} skipped, {len(plan.failed)} unusable'
    )


def print_result(result: RunResult, *, verbose: int = 0) -> None:
    """Print failures, a table of the lesions, and the paths of the results; with `verbose`, all paths."""
    finished, failed, paths = result.finished, len(result.failures), result.paths
    for label, each in result.tractograms.items():
        for subject, reason in each.missing_reports.items():
            print(f'lacuna: {label}: sub-{subject}: no report: {reason}', file=sys.stderr)
        print(f'with {label}: {_done(each)}')
    if failed:
        see = f'; see {paths.failures}' if paths.failures else ''
        print(f'lacuna: {failed} of {len(finished) + failed} masks failed{see}', file=sys.stderr)
    for subject, reason in result.missing_reports.items():
        print(f'lacuna: sub-{subject}: no report: {reason}', file=sys.stderr)
    _print_table(result)
    if verbose:
        for mask in finished:
            for target, path in mask.outputs.items():
                if target.key in _SHOWN and path.is_file():
                    print(f'{_SHOWN[target.key]}: {path}')
        for page in paths.reports:
            print(f'report: {page}')
    elif paths.reports:
        print(f'reports: {paths.output_dir}/sub-*.html')
    over = f'over {len(result.tractograms)} tractograms: ' if result.tractograms else ''
    print(f'{over}{_done(result)}')


def _done(result: RunResult) -> str:
    finished, new = len(result.finished), sum(mask.is_new for mask in result.finished)
    plural = 's' if finished != 1 else ''
    return f'{finished} mask{plural} done ({new} now); results in {result.paths.output_dir}'


def _print_table(result: RunResult) -> None:
    """Print the finished lesions with their main statistics; with several tractograms, the last column is the spread."""
    from lacuna.bids.results import cut_percent
    from lacuna.utils.files import read_json

    rows, several = [], bool(result.tractograms)
    ends = ('_mean', '_sd') if several else ('',)
    for mask in result.finished:
        if summary := read_json(mask.outputs[Target('spread_statistics' if several else 'summary')]):
            volume = summary.get('mask_volume_mm3')
            percents = [cut_percent(summary, end) for end in ends]
            numbers = (volume / 1000 if volume is not None else None, *percents)
            shown = ['n/a' if number is None else f'{number:.2f}' for number in numbers]
            rows.append((mask.stem, *shown, str(len(mask.warnings))))
    if not rows:
        return
    head = ('lesion', 'ml', '% cut', *(['sd'] if several else []), 'warnings')
    shown_rows = [head, *rows[:_MOST_ROWS]]
    widths = [max(map(len, column)) for column in zip(*shown_rows, strict=True)]
    for name, *cells in shown_rows:
        print('  '.join([f'{name:{widths[0]}}', *(map(str.rjust, cells, widths[1:]))]))
    if len(rows) > _MOST_ROWS:
        print(f'and {len(rows) - _MOST_ROWS} more')
