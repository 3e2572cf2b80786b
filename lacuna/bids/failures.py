"""Masks without results: those that failed, the table that lists them, and other masks of runs."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lacuna.bids.inputs import find_masks, only_label
from lacuna.bids.mask_files import mask_stem, name_mask
from lacuna.errors import InputError, MaskError
from lacuna.images.masks import read_mask
from lacuna.utils.files import listed, write_if_changed
from lacuna.utils.names import shown_name

#: the table of failed masks, below the output folder
FAILURES = Path('logs', 'failed_masks.tsv')


@dataclass(frozen=True)
class Failure:
    """A mask that could not be used or finished.

    Attributes
    ----------
    path : pathlib.Path
    reason : str
        In words, with a crash file as ``(details: PATH)``.
    label : str or None
        Label of the participant, for a mask whose name has none.
    """

    path: Path
    reason: str
    label: str | None = None

    @property
    def stem(self) -> str:
        """The stem that its results would have."""
        return name_mask(self.path, self.label)[0]

    @property
    def subject(self) -> str:
        """Label, without ``sub-``.

        >>> Failure(Path('sub-01_mask.nii.gz'), 'empty').subject, Failure(Path('my_lesion.nii'), 'empty').subject
        ('01', 'mylesion')
        """
        return name_mask(self.path, self.label)[1]


def update_failures(root: Path, looked_at: Collection[Path], failures: Sequence[Failure]) -> Path | None:
    """Update the table of failed masks; no other process may write it at the same time.

    Parameters
    ----------
    root : pathlib.Path
        Root of the dataset.
    looked_at : collection of pathlib.Path
        The masks of this run: rows of other masks are kept.
    failures : sequence of Failure

    Returns
    -------
    pathlib.Path or None
        The table; None if there are no failures, and hence no table.
    """
    target = root / FAILURES
    seen = {Path(shown_name(path)) for path in looked_at}
    rows = [(each.path, each.reason) for each in read_failures(root) if each.path not in seen]
    rows += [(Path(shown_name(failure.path)), ' '.join(failure.reason.split())) for failure in failures]
    if not rows:
        target.unlink(missing_ok=True)
        return None
    lines = ['mask\treason', *(f'{path}\t{reason}' for path, reason in sorted(rows))]
    write_if_changed(target, ('\n'.join(lines) + '\n').encode())
    return target


def read_failures(root: Path) -> list[Failure]:
    """Return the masks that failed when they were last tried."""
    table = root / FAILURES
    if not table.is_file():
        return []
    rows = [line.split('\t', 1) for line in table.read_text(encoding='utf-8').splitlines()[1:]]
    return [Failure(Path(row[0]), row[1]) for row in rows if len(row) == 2]


def each_reason(failures: Iterable[Failure]) -> list[str]:
    """Why masks failed, each reason once: with the first of them, and how many more there are.

    >>> each_reason([Failure(Path('a.nii'), 'a.nii: empty'), Failure(Path('b.nii'), 'b.nii: empty')])
    ['a.nii: empty (and 1 more mask)']
    """
    having: dict[str, list[Failure]] = {}
    for failure in failures:
        having.setdefault(failure.reason.removeprefix(f'{failure.path}: '), []).append(failure)
    more = {1: '', 2: ' (and 1 more mask)'}
    return [
        found[0].reason + more.get(len(found), f' (and {len(found) - 1} more masks)')
        for found in having.values()
    ]


class Absent(NamedTuple):
    """A mask of a run without results.

    Attributes
    ----------
    stem : str
        The stem that its results would have.
    path : pathlib.Path or None
    status : str
        Why it has none, as far as known.
    fails : bool
        Whether this is a fault: an empty mask may be left out on purpose.
    """

    stem: str
    path: Path | None
    status: str
    fails: bool = True


class _Asked(NamedTuple):
    """A mask that was part of a run."""

    path: Path
    skip_empty: bool
    binarize: float | None
    mask_scale: float | None


@dataclass(frozen=True)
class Wanted:
    """The masks that were part of runs, and those that failed, by the stem of their results.

    Attributes
    ----------
    asked : mapping
    failures : mapping
        `Failure` objects; the reason is one line, without the path.
    notes : list of str
        What could not be determined.
    """

    asked: Mapping[str, _Asked]
    failures: Mapping[str, Failure]
    notes: list[str]

    @property
    def stems(self) -> set[str]:
        """The stems of all of them."""
        return {*self.asked, *self.failures}

    def reason(self, stem: str) -> str:
        """Return why a mask failed when it was last tried; empty if it did not fail."""
        return self.failures[stem].reason if stem in self.failures else ''

    def absent(self, stem: str) -> Absent:
        """Return why a mask has no results."""
        asked, failure = self.asked.get(stem), self.failures.get(stem)
        path = failure.path if failure else asked.path if asked else None
        if failure and failure.reason:
            return Absent(stem, path, f'failed: {failure.reason}')
        if asked:
            try:
                if (
                    asked.skip_empty
                    and not read_mask(asked.path, asked.binarize, asked.mask_scale).data.any()
                ):
                    return Absent(stem, path, 'left out: the mask is empty', fails=False)
            except MaskError as error:
                return Absent(stem, path, f'missing: {one_line(str(error), asked.path)}')
        return Absent(stem, path, 'missing: no results')

    def lacking(self, stems: Iterable[str]) -> list[Absent]:
        """The masks that should have results and have none; `stems` lead the names of the results that exist."""
        absent = map(self.absent, sorted(self.stems.difference(stems)))
        return [each for each in absent if each.fails]


def find_wanted(root: Path) -> Wanted:
    """Return the masks of runs according to the settings in ``logs/``, and those that failed."""
    notes: list[str] = []
    asked = _find_asked(root, notes)
    stems = {each.path: stem for stem, each in asked.items()}
    failures = {
        stems.get(each.path) or each.stem: Failure(each.path, one_line(each.reason, each.path))
        for each in read_failures(root)
    }
    return Wanted(asked, failures, notes)


def one_line(reason: str, path: Path) -> str:
    """Return a reason without the leading path, which has its own column."""
    return ' '.join(reason.removeprefix(f'{path}: ').split())


def _find_asked(root: Path, notes: list[str]) -> dict[str, _Asked]:
    """Return the masks of the runs, by the stem of their results."""
    asked: dict[str, _Asked] = {}
    seen = set()
    for path in sorted((root / 'logs').glob('*/settings.toml')):
        try:
            settings = tomllib.loads(path.read_text(encoding='utf-8'))
            source = Path(settings['source'])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            notes.append(f'{path}: the settings cannot be read, so the masks of this run are unknown')
            continue
        choice: dict[str, Any] = {
            key: [label for label in listed(settings, key) if isinstance(label, str)]
            for key in ('participants', 'sessions')
        }
        choice['pattern'] = pattern if isinstance(pattern := settings.get('pattern'), str) else None
        filters = settings.get('bids_filter_file')
        choice['filter_file'] = Path(filters) if isinstance(filters, str) else None
        skip_empty = settings.get('on_empty') == 'skip'
        binarize = float(at) if isinstance(at := settings.get('binarize'), int | float) else None
        by = settings.get('mask_scale')
        mask_scale = (
            float(by) if settings.get('graded_masks') == 'max' and isinstance(by, int | float) else None
        )
        if (key := repr((source, choice, skip_empty))) in seen:
            continue
        seen.add(key)
        try:
            masks = _asked_masks(source, choice)
        except InputError as error:
            notes.append(f'the masks of a run are unknown: {error}')
            continue
        subject = only_label(choice['participants'])
        asked.update(
            (name_mask(mask, subject)[0], _Asked(mask, skip_empty, binarize, mask_scale)) for mask in masks
        )
    return asked


def _asked_masks(source: Path, choice: Mapping[str, Any]) -> Iterable[Path]:
    if source.is_dir():
        return find_masks(source, **choice)
    try:
        mask_stem(source)
    except MaskError:
        message = f'the folder {source} no longer exists'
        raise InputError(message) from None
    return [source]
