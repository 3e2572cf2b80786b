"""What a run says in its log while it goes on."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lacuna.bids.outputs import connectome_tdi_path

if TYPE_CHECKING:
    from pathlib import Path

    from lacuna.bids.failures import Failure
    from lacuna.bids.mask_files import MaskFile
    from lacuna.bids.outputs import Target
    from lacuna.execution.plan import RunPlan
    from lacuna.streamlines.tractogram import Tractogram

_LOGGER = logging.getLogger('lacuna')

#: lesions in the table at the end of a run
_MOST_ROWS = 20

#: the outputs whose paths are printed at the end of a run with -v, and how they are called
_SHOWN = {
    'disconnection_map': 'map',
    'summary': 'summary',
    'disconnection_matrix': 'matrix',
    'roi_disconnection': 'table',
}

_STEPS = {
    'index': 'once: build an index of the tractogram, or take that of an earlier run, and find the parcels at the '
    'ends of its streamlines; for each mask: ask it for the streamlines with a vertex in the mask and for their '
    'density, divide by the density of the whole tractogram, summarise; join the streamlines with the parcels',
    'mrtrix': 'once: map the whole tractogram (tckmap), find the parcels at the ends of its streamlines '
    '(tck2connectome); for each mask: select the streamlines with a vertex in it (tckedit), map them (tckmap), '
    'divide by the density of the whole tractogram, summarise; join the streamlines with the parcels',
}


def set_up_logging(verbose: int) -> None:
    """Messages go to standard error, those of Lacuna only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter('%(message)s'))
    handler.setLevel(logging.INFO if verbose else logging.WARNING)
    _LOGGER.handlers[:] = [handler]
    _LOGGER.propagate = False
    _LOGGER.setLevel(logging.INFO)  # the log of a run holds all


def log_tractogram(tractogram: Tractogram) -> None:
    """What the tractogram holds."""
    info = tractogram.info
    _LOGGER.info('tractogram: %s, %d streamlines in %s', tractogram.path, info.count, tractogram.space)
    short = [
        f'{count} {what}'
        for count, what in ((info.empty, 'without a vertex'), (info.single_vertex, 'with only one'))
        if count
    ]
    if short:
        _LOGGER.info('it has streamlines that are short: %s; they are kept', ', '.join(short))


def log_warnings(plan: RunPlan) -> None:
    """What is doubtful."""
    for warning in plan.warnings:
        _LOGGER.warning('lacuna: %s', warning)
    for path, found in plan.mask_warnings.items():
        _LOGGER.warning('lacuna: %s: %s', path, '; '.join(found))


def log_doubts(plan: RunPlan) -> None:
    """What is doubtful only after the work is done; it is added to the warnings of the plan."""
    for doubt in (doubts := plan.doubts_of_endpoints()):
        _LOGGER.warning('lacuna: %s', doubt)
    plan.warnings.extend(doubts)


def log_plan(plan: RunPlan) -> None:
    """Warnings, and with -v what is to do for each mask."""
    log_warnings(plan)
    for skipped in plan.skipped:
        _LOGGER.warning('lacuna: %s; skipped', skipped.reason)
    for mask in plan.done:
        _LOGGER.info('%s: all results are there', mask.path)
    for job in plan.todo:
        _LOGGER.info('%s: %s (%s)', job.mask.path, _names(job.missing), job.mask.space)
    if plan.todo:
        _LOGGER.info('%s', _STEPS[plan.config.engine])


def log_failures(failures: Iterable[Failure]) -> None:
    """Why masks failed; one line for those with the same cause."""
    by_cause: dict[str, list[Failure]] = {}
    for failure in failures:
        by_cause.setdefault(failure.reason.removeprefix(f'{failure.path}: '), []).append(failure)
    for cause, those in by_cause.items():
        if len(those) == 1:
            _LOGGER.error('lacuna: %s', those[0].reason)
        else:
            _LOGGER.error('lacuna: %s and %d more: %s', those[0].path, len(those) - 1, cause)


def _names(targets: Iterable[Target]) -> str:
    """The outputs in words: those of an atlas behind its name."""
    by_atlas: dict[str | None, list[str]] = {}
    for key, atlas in targets:
        by_atlas.setdefault(atlas, []).append(key)
    return '; '.join((f'{atlas}: ' if atlas else '') + ', '.join(keys) for atlas, keys in by_atlas.items())


def print_plan(plan: RunPlan) -> None:
    """What a run would do, one mask a line, and what is doubtful."""
    log_warnings(plan)
    rows = [(str(job.mask.path), f'would make: {_names(job.missing)}') for job in plan.todo]
    tractogram, resolution = plan.tractogram.label, plan.config.output_resolution
    rows += [
        (connectome_tdi_path(tractogram, space, resolution).as_posix(), 'would make: full_tdi')
        for space in plan.unpublished
        if not any(job.mask.space == space for job in plan.todo)
    ]
    rows += [(str(mask.path), 'done') for mask in plan.done]
    rows += [(str(skipped.path), 'would be skipped: empty') for skipped in plan.skipped]
    rows += [(str(failure.path), f'would fail: {failure.reason}') for failure in plan.failed]
    for path, what in sorted(rows):
        print(f'{path}\t{what}')
    print(
        f'{len(plan.todo)} to do, {len(plan.done)} done, {len(plan.skipped)} skipped, {len(plan.failed)} unusable'
    )


def print_result(plan: RunPlan, finished: int) -> None:
    """What was found, one lesion a line, and where the results are; with -v each path."""
    from lacuna.bids.derivatives import mask_outputs

    root = plan.config.output_dir
    masks = [*plan.done, *(job.mask for job in plan.todo)]
    outputs = {mask: mask_outputs(mask, plan.targets(mask.space)) for mask in masks}
    _print_table(plan, {mask: {target.key: path for target, path in outputs[mask].items()} for mask in masks})
    if plan.config.verbose:
        for mask in masks:
            for target, path in outputs[mask].items():
                if target.key in _SHOWN and (root / path).is_file():
                    print(f'{_SHOWN[target.key]}: {root / path}')
        for subject in dict.fromkeys(mask.subject for mask in masks):
            page = root / f'sub-{subject}.html'
            if page.is_file() and plan.config.report != 'none':
                print(f'report: {page}')
    elif plan.config.report != 'none' and masks:
        print(f'reports: {root}/sub-*.html')
    print(
        f'{finished} mask{"s" if finished != 1 else ""} done ({finished - len(plan.done)} now); results in {root}'
    )


def _print_table(plan: RunPlan, outputs: Mapping[MaskFile, Mapping[str, Path]]) -> None:
    """The lesions that are finished, with their numbers from the summaries."""
    from lacuna.utils.files import read_json

    rows = []
    for mask, paths in outputs.items():
        if summary := read_json(plan.config.output_dir / paths['summary']):
            volume, cut = summary.get('mask_volume_mm3'), summary.get('streamlines_disconnected_pct')
            numbers = (volume / 1000 if volume is not None else None, cut)
            shown = ['n/a' if number is None else f'{number:.2f}' for number in numbers]
            rows.append((mask.stem, *shown, str(len(plan.mask_warnings.get(mask.path, ())))))
    if not rows:
        return
    head = ('lesion', 'ml', '% cut', 'warnings')
    shown_rows = [head, *rows[:_MOST_ROWS]]
    widths = [max(map(len, column)) for column in zip(*shown_rows, strict=True)]
    for name, *cells in shown_rows:
        print('  '.join([f'{name:{widths[0]}}', *(map(str.rjust, cells, widths[1:]))]))
    if len(rows) > _MOST_ROWS:
        print(f'and {len(rows) - _MOST_ROWS} more')
