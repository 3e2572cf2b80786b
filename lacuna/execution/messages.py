"""Log messages of a run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lacuna.bids.failures import Failure
    from lacuna.bids.outputs import Target
    from lacuna.execution.plan import RunPlan
    from lacuna.streamlines.tractogram import Tractogram

_LOGGER = logging.getLogger('lacuna')

_STEPS = {
    'index': 'once: build an index of the tractogram, or use that of an earlier run, and find the parcels at the '
    'ends of its streamlines; for each mask: look up the streamlines with a vertex in the mask and their '
    'density, divide by the density of the whole tractogram, summarise; count the streamlines by parcel and '
    'bundle, and the lesion load of parcels',
    'mrtrix': 'once: map the whole tractogram (tckmap), find the parcels at the ends of its streamlines '
    '(tck2connectome); for each mask: select the streamlines with a vertex in it (tckedit), map them (tckmap), '
    'divide by the density of the whole tractogram, summarise; count the streamlines by parcel and bundle, '
    'and the lesion load of parcels',
}


class _CallerHandler(logging.Handler):
    """Handler that passes records to the caller's handlers at the levels set before `passing_to_callers`."""

    def __init__(self) -> None:
        super().__init__(_LOGGER.getEffectiveLevel())
        self._handlers = list(_LOGGER.handlers)
        self._above = _LOGGER.parent if _LOGGER.propagate else None

    def emit(self, record: logging.LogRecord) -> None:
        for handler in self._handlers:
            if record.levelno >= handler.level:
                handler.handle(record)
        if self._above and self._above.hasHandlers():  # otherwise Python would print the message
            self._above.callHandlers(record)


@contextmanager
def passing_to_callers() -> Iterator[None]:
    """Let the log of a run receive all messages, and the caller's handlers only those at their own level."""
    handlers, level, propagates = list(_LOGGER.handlers), _LOGGER.level, _LOGGER.propagate
    _LOGGER.handlers[:] = [_CallerHandler()]
    _LOGGER.propagate = False
    _LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        _LOGGER.handlers[:] = handlers
        _LOGGER.propagate = propagates
        _LOGGER.setLevel(level)


@contextmanager
def speaking_of(label: str) -> Iterator[None]:
    """Prefix messages with the label of one of several tractograms."""

    def name(record: logging.LogRecord) -> bool:
        if isinstance(record.msg, str) and record.msg.startswith('lacuna: '):
            record.msg = f'lacuna: {label}: {record.msg.removeprefix("lacuna: ")}'
        return True

    _LOGGER.addFilter(name)
    try:
        yield
    finally:
        _LOGGER.removeFilter(name)


def log_tractogram(tractogram: Tractogram) -> None:
    """Log the content of the tractogram."""
    info = tractogram.info
    _LOGGER.info('tractogram: %s, %d streamlines in %s', tractogram.path, info.count, tractogram.space)
    short = [
        f'{count} {what}'
        for count, what in ((info.empty, 'without a vertex'), (info.single_vertex, 'with only one'))
        if count
    ]
    if short:
        _LOGGER.info('the tractogram has very short streamlines: %s; they are kept', ', '.join(short))


def log_warnings(plan: RunPlan) -> None:
    """Log the warnings of a plan."""
    for warning in plan.warnings:
        _LOGGER.warning('lacuna: %s', warning)
    for path, found in plan.mask_warnings.items():
        _LOGGER.warning('lacuna: %s: %s', path, '; '.join(found))


def log_doubts(doubts: Iterable[str]) -> None:
    """Log warnings that are found during the work."""
    for doubt in doubts:
        _LOGGER.warning('lacuna: %s', doubt)


def log_plan(plan: RunPlan) -> None:
    """Log the warnings of a plan and, with -v, the outputs to be made for each mask."""
    log_warnings(plan)
    for skipped in plan.skipped:
        _LOGGER.warning('lacuna: %s; skipped', skipped.reason)
    for mask in plan.done:
        _LOGGER.info('%s: all results are there', mask.path)
    for job in plan.todo:
        _LOGGER.info('%s: %s (%s)', job.mask.path, target_names(job.missing), job.mask.space)
    if plan.todo:
        _LOGGER.info('%s', _STEPS[plan.config.engine])


def log_failures(failures: Iterable[Failure]) -> None:
    """Log why masks failed, one line per reason."""
    from lacuna.bids.failures import each_reason

    for reason in each_reason(failures):
        _LOGGER.error('lacuna: %s', reason)


def target_names(targets: Iterable[Target]) -> str:
    """List outputs in words, grouped by atlas."""
    by_atlas: dict[str | None, list[str]] = {}
    for key, atlas in targets:
        by_atlas.setdefault(atlas, []).append(key)
    return '; '.join((f'{atlas}: ' if atlas else '') + ', '.join(keys) for atlas, keys in by_atlas.items())
