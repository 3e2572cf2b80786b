"""Masks that failed, and the table that lists them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from lacuna.utils.files import write_if_changed
from lacuna.utils.names import shown_name


@dataclass(frozen=True)
class Failure:
    """A mask that could not be used or finished, and why."""

    path: Path
    reason: str


def update_failures(root: Path, looked_at: Collection[Path], failures: Sequence[Failure]) -> Path | None:
    """Bring the table of failed masks up to date; nobody else may write it meanwhile.

    Parameters
    ----------
    root : pathlib.Path
        Of the dataset.
    looked_at : collection of pathlib.Path
        The masks of this run: what is known of others stays.
    failures : sequence of lacuna.bids.failures.Failure

    Returns
    -------
    pathlib.Path or None
        The table; None if no failure is left, and no table.
    """
    target = root / FAILURES
    seen = {Path(shown_name(path)) for path in looked_at}
    rows = [(path, reason) for path, reason in read_failures(root) if path not in seen]
    rows += [(Path(shown_name(failure.path)), ' '.join(failure.reason.split())) for failure in failures]
    if not rows:
        target.unlink(missing_ok=True)
        return None
    lines = ['mask\treason', *(f'{path}\t{reason}' for path, reason in sorted(rows))]
    write_if_changed(target, ('\n'.join(lines) + '\n').encode())
    return target


#: the table of failed masks, below the output folder
FAILURES = Path('logs', 'failed_masks.tsv')


def read_failures(root: Path) -> list[tuple[Path, str]]:
    """The masks that failed when they were last tried, and why."""
    table = root / FAILURES
    if not table.is_file():
        return []
    rows = [line.split('\t', 1) for line in table.read_text(encoding='utf-8').splitlines()[1:]]
    return [(Path(row[0]), row[1]) for row in rows if len(row) == 2]
