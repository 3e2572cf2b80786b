"""What became of a run."""

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
        What the names of its results begin with.
    subject : str
        Label of the participant, without ``sub-``.
    space : str
    outputs : mapping
        Paths of the results by :class:`lacuna.bids.outputs.Target`.
    warnings : tuple of str
        What is doubtful about the mask.
    is_new : bool
        Whether this run has made any of the results.
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
    """Where a run has written what is not of one mask.

    Attributes
    ----------
    output_dir : pathlib.Path
    log_dir : pathlib.Path or None
        Settings, log, methods text and ``run.json``; None if there was nothing to do.
    failures : pathlib.Path or None
        Table of the masks that failed, in this run or an earlier one; None if there are none, or no room for it.
    reports : tuple of pathlib.Path
        Page of each participant of the run.
    """

    output_dir: Path
    log_dir: Path | None = None
    failures: Path | None = None
    reports: tuple[Path, ...] = ()


@dataclass(frozen=True)
class RunResult:
    """What became of a run.

    Attributes
    ----------
    finished : tuple of FinishedMask
        Those with all their results, those of earlier runs included.
    failures : tuple of lacuna.bids.failures.Failure
        Path of each mask that failed, and why.
    skipped : tuple of lacuna.bids.failures.Failure
        Empty masks, if they were to be left out.
    planned : tuple of pathlib.Path
        Masks with results to make, if the run was not to make them (``dry_run``).
    faults : tuple of str
        What failed besides, although all masks are finished.
    missing_reports : mapping
        Why a page could not be drawn, by the label of the participant.
    warnings : tuple of str
        What is doubtful about the tractogram and the atlases.
    paths : RunPaths
    seconds : float
    tractograms : mapping
        Of a run over several tractograms, the result with each, by its label; everything else is then over all of them.
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
        """0 if all is done, 1 if anything failed; the command returns the same."""
        return EXIT_FAILED if self.failures or self.faults else EXIT_DONE
