"""What ``lacuna run`` says: on the terminal and in its log, before, while and after it works."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lacuna.bids import Target
    from lacuna.connectomes import Tractogram
    from lacuna.plan import Failure, RunPlan

_LOGGER = logging.getLogger('lacuna')
#: the outputs whose paths are printed at the end of a run, and how they are called
_SHOWN = {'map': 'map', 'summary': 'summary', 'disconnection_matrix': 'matrix', 'roi_disconnection': 'table'}

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


def say_tractogram(tractogram: Tractogram) -> None:
    """What the tractogram holds."""
    info = tractogram.info
    _LOGGER.info('tractogram: %s, %d streamlines in %s', tractogram.path, info.count, tractogram.space)
    if info.empty or info.single_vertex:
        _LOGGER.warning(
            'lacuna: the tractogram %s has %d streamlines without a vertex and %d with only one; they are kept',
            tractogram.path.name,
            info.empty,
            info.single_vertex,
        )


def say_warnings(plan: RunPlan) -> None:
    """What is doubtful."""
    for warning in plan.warnings:
        _LOGGER.warning('lacuna: %s', warning)


def say_doubts(plan: RunPlan) -> None:
    """What is doubtful only after the work is done; it is added to the warnings of the plan."""
    for doubt in (doubts := plan.doubts_of_endpoints()):
        _LOGGER.warning('lacuna: %s', doubt)
    plan.warnings.extend(doubts)


def say_plan(plan: RunPlan) -> None:
    """Warnings, and with -v what is to do for each mask."""
    say_warnings(plan)
    for skipped in plan.skipped:
        _LOGGER.warning('lacuna: %s; skipped', skipped.reason)
    for mask in plan.done:
        _LOGGER.info('%s: all results are there', mask.path)
    for job in plan.todo:
        _LOGGER.info('%s: %s (%s)', job.mask.path, _names(job.missing), job.mask.space)
    if plan.todo:
        _LOGGER.info('%s', _STEPS[plan.config.engine])


def say_failures(failures: Iterable[Failure]) -> None:
    """Why masks failed."""
    for failure in failures:
        _LOGGER.error('lacuna: %s', failure.reason)


def _names(targets: Iterable[Target]) -> str:
    """The outputs in words: those of an atlas behind its name."""
    by_atlas: dict[str | None, list[str]] = {}
    for key, atlas in targets:
        by_atlas.setdefault(atlas, []).append(key)
    return '; '.join((f'{atlas}: ' if atlas else '') + ', '.join(keys) for atlas, keys in by_atlas.items())


def print_plan(plan: RunPlan) -> None:
    """What a run would do, one mask a line, and what is doubtful."""
    say_warnings(plan)
    rows = [(str(job.mask.path), f'would make: {_names(job.missing)}') for job in plan.todo]
    rows += [(str(mask.path), 'done') for mask in plan.done]
    rows += [(str(skipped.path), 'would be skipped: empty') for skipped in plan.skipped]
    rows += [(str(failure.path), f'would fail: {failure.reason}') for failure in plan.failed]
    for path, what in sorted(rows):
        print(f'{path}\t{what}')
    print(
        f'{len(plan.todo)} to do, {len(plan.done)} done, {len(plan.skipped)} skipped, {len(plan.failed)} unusable'
    )


def print_result(plan: RunPlan, finished: int) -> None:
    """Where the results are; each path for a few masks."""
    from lacuna.derivatives import mask_outputs

    masks = [*plan.done, *(job.mask for job in plan.todo)]
    if len(masks) <= 3:
        for mask in masks:
            for target, path in mask_outputs(mask, plan.targets(mask.space)).items():
                if target.key in _SHOWN and (plan.config.output_dir / path).is_file():
                    print(f'{_SHOWN[target.key]}: {plan.config.output_dir / path}')
        for subject in dict.fromkeys(mask.subject for mask in masks):
            if (
                page := plan.config.output_dir / f'sub-{subject}.html'
            ).is_file() and plan.config.report != 'none':
                print(f'report: {page}')
    elif plan.config.report != 'none':
        print(f'reports: {plan.config.output_dir}/sub-*.html')
    print(
        f'{finished} mask{"s" if finished != 1 else ""} done ({finished - len(plan.done)} now); results in {plan.config.output_dir}'
    )
