"""The result of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lacuna.bids.failures import Failure
from lacuna.bids.outputs import Target
from lacuna.errors import EXIT_DONE, EXIT_FAILED


@dataclass(frozen=True)
class FinishedMask:
    """A mask with all its results.

    Attributes
    ----------
    path : pathlib.Path
        The mask.
    stem : str
        Common beginning of the names of its results.
    subject : str
        Participant label, without ``sub-``.
    space : str
    outputs : mapping
        Paths of the results, by :class:`lacuna.bids.outputs.Target`.
    warnings : tuple of str
        What is suspicious about the mask.
    is_new : bool
        Whether this run made any of the results.
    """

    path: Path
    stem: str
    subject: str
    space: str
    outputs: Mapping[Target, Path]
    warnings: tuple[str, ...] = ()
    is_new: bool = True


@dataclass(frozen=True)
class RunPaths:
    """Paths of a run's files that do not belong to a single mask.

    Attributes
    ----------
    output_dir : pathlib.Path
    log_dir : pathlib.Path or None
        Folder with settings, log, methods text and ``run.json``; None if there was nothing to do.
    failures : pathlib.Path or None
        Table of masks that failed in this run or an earlier one; None if there are none, or no space for it.
    reports : tuple of pathlib.Path
        Report of each participant of the run.
    """

    output_dir: Path
    log_dir: Path | None = None
    failures: Path | None = None
    reports: tuple[Path, ...] = ()


@dataclass(frozen=True)
class RunResult:
    """The result of a run.

    Attributes
    ----------
    finished : tuple of FinishedMask
        Masks with all their results, including those of earlier runs.
    failures : tuple of lacuna.bids.failures.Failure
        Masks that failed, with reasons.
    skipped : tuple of lacuna.bids.failures.Failure
        Empty masks that were skipped on request.
    planned : tuple of pathlib.Path
        Masks with missing outputs, with ``dry_run``.
    faults : tuple of str
        Other failures, although all masks are finished.
    missing_reports : mapping
        Why a report could not be drawn, by participant label.
    warnings : tuple of str
        What is suspicious about the tractogram and the atlases.
    paths : RunPaths
    seconds : float
    tractograms : mapping
        Over several tractograms: the result with each, by label. All other attributes are then over all tractograms.
    """

    finished: tuple[FinishedMask, ...]
    failures: tuple[Failure, ...]
    paths: RunPaths
    seconds: float
    skipped: tuple[Failure, ...] = ()
    planned: tuple[Path, ...] = ()
    faults: tuple[str, ...] = ()
    missing_reports: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    tractograms: Mapping[str, RunResult] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 if everything succeeded, 1 otherwise; also the exit code of the command."""
        return EXIT_FAILED if self.failures or self.faults else EXIT_DONE
