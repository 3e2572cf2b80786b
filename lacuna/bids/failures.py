"""Masks without results: failed masks, the table that lists them, and other masks of earlier runs."""

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

#: table of failed masks, relative to the output folder
FAILURES = Path('logs', 'failed_masks.tsv')


@dataclass(frozen=True)
class Failure:
    """A mask that could not be used or processed.

    Attributes
    ----------
    path : pathlib.Path
    reason : str
        The reason in words, with a crash file as ``(details: PATH)``.
    label : str or None
        Participant label, for a mask whose name has none.
    """

    path: Path
    reason: str
    label: str | None = None

    @property
    def stem(self) -> str:
        """Stem that its results would have."""
        return name_mask(self.path, self.label)[0]

    @property
    def subject(self) -> str:
        """Participant label, without ``sub-``.

        >>> Failure(Path('sub-01_mask.nii.gz'), 'empty').subject, Failure(Path('my_lesion.nii'), 'empty').subject
        ('01', 'mylesion')
        """
        return name_mask(self.path, self.label)[1]


def update_failures(root: Path, looked_at: Collection[Path], failures: Sequence[Failure]) -> Path | None:
    """Update the table of failed masks, which no other process may write at the same time.

    Parameters
    ----------
    root : pathlib.Path
        Root of the dataset.
    looked_at : collection of pathlib.Path
        The masks of this run; rows of other masks are kept.
    failures : sequence of Failure

    Returns
    -------
    pathlib.Path or None
        Path of the table; None if there are no failures and thus no table.
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
    """Return the masks that failed on the last attempt."""
    table = root / FAILURES
    if not table.is_file():
        return []
    rows = [line.split('\t', 1) for line in table.read_text(encoding='utf-8').splitlines()[1:]]
    return [Failure(Path(row[0]), row[1]) for row in rows if len(row) == 2]


def each_reason(failures: Iterable[Failure]) -> list[str]:
    """Return each reason for failures once, with the first mask and the number of others.

    >>> each_reason([Failure(Path('a.nii'), 'a.nii: empty'), Failure(Path('b.nii'), 'b.nii: empty')])
    ['a.nii: empty (and 1 more mask)']
    """
    by_reason: dict[str, list[Failure]] = {}
    for failure in failures:
        by_reason.setdefault(failure.reason.removeprefix(f'{failure.path}: '), []).append(failure)
    more = {1: '', 2: ' (and 1 more mask)'}
    return [
        found[0].reason + more.get(len(found), f' (and {len(found) - 1} more masks)')
        for found in by_reason.values()
    ]


class Absent(NamedTuple):
    """A mask of an earlier run without results.

    Attributes
    ----------
    stem : str
        Stem that its results would have.
    path : pathlib.Path or None
    status : str
        Why it has no results, if known.
    fails : bool
        Whether this is an error; empty masks may be skipped on purpose.
    """

    stem: str
    path: Path | None
    status: str
    fails: bool = True


class _RunMask(NamedTuple):
    """A mask of an earlier run, with the settings for reading it."""

    path: Path
    skip_empty: bool
    binarize: float | None
    mask_scale: float | None


@dataclass(frozen=True)
class Wanted:
    """The masks of earlier runs, and those that failed, by the stem of their results.

    Attributes
    ----------
    asked : mapping
    failures : mapping
        Failures, with one-line reasons without the path.
    notes : list of str
        What could not be determined.
    """

    asked: Mapping[str, _RunMask]
    failures: Mapping[str, Failure]
    notes: list[str]

    @property
    def stems(self) -> set[str]:
        """Stems of all these masks."""
        return {*self.asked, *self.failures}

    def reason(self, stem: str) -> str:
        """Return why a mask failed on the last attempt; empty if it did not fail."""
        return self.failures[stem].reason if stem in self.failures else ''

    def absent(self, stem: str) -> Absent:
        """Describe why a mask has no results."""
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
        """Return the masks without results; `stems` are those with results."""
        absent = map(self.absent, sorted(self.stems.difference(stems)))
        return [each for each in absent if each.fails]


def find_wanted(root: Path) -> Wanted:
    """Find the masks of earlier runs from the settings in ``logs/``, and the failed masks."""
    notes: list[str] = []
    asked = _find_run_masks(root, notes)
    stems = {each.path: stem for stem, each in asked.items()}
    failures = {
        stems.get(each.path) or each.stem: Failure(each.path, one_line(each.reason, each.path))
        for each in read_failures(root)
    }
    return Wanted(asked, failures, notes)


def one_line(reason: str, path: Path) -> str:
    """Return a reason without the leading path, which has a column of its own."""
    return ' '.join(reason.removeprefix(f'{path}: ').split())


def _find_run_masks(root: Path, notes: list[str]) -> dict[str, _RunMask]:
    """Find the masks of earlier runs, by the stem of their results."""
    asked: dict[str, _RunMask] = {}
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
            masks = _masks_of_run(source, choice)
        except InputError as error:
            notes.append(f'the masks of a run are unknown: {error}')
            continue
        subject = only_label(choice['participants'])
        asked.update(
            (name_mask(mask, subject)[0], _RunMask(mask, skip_empty, binarize, mask_scale)) for mask in masks
        )
    return asked


def _masks_of_run(source: Path, choice: Mapping[str, Any]) -> Iterable[Path]:
    if source.is_dir():
        return find_masks(source, **choice)
    try:
        mask_stem(source)
    except MaskError:
        message = f'the folder {source} no longer exists'
        raise InputError(message) from None
    return [source]
