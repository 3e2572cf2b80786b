"""Tables of the bundles of a tractogram: all common formats can be read, one is written.

The written format has one row per run of streamlines, with the columns ``bundle``, ``first`` and ``count``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

import numpy as np

from lacuna.errors import InputError, TractogramError, reason_of, shorten
from lacuna.utils.files import replacing

_NAME = ('bundle', 'name')
_FIRST = ('first', 'first_index')
_INDEX = ('index', 'cluster')
#: value instead of a table, for the bundles stored in the tractogram
OWN_GROUPS = 'groups'
#: upper bound for the number of streamlines
_MOST_STREAMLINES = 2**28
#: labels of streamlines without a bundle
_NONE = ('', 'n/a')

Row = dict[str, str]


def bundles_label(name: str) -> str:
    """Return the name of a set of bundles, from the name of its file: lower-case letters and digits.

    >>> bundles_label('ICBM152_adult'), bundles_label('HCP-842_bundles')
    ('icbm152adult', 'hcp842')
    """
    return re.sub('[^0-9a-z]', '', name.lower().removesuffix('_bundles')) or 'bundles'


def check_bundles_label(name: str) -> str:
    """Return a name of a set of bundles if it is valid in file names; raise an error otherwise.

    Raises
    ------
    lacuna.errors.InputError
    """
    if not re.fullmatch('[0-9a-z]+', name):
        message = f"the name '{name}' of the bundles may only have lower-case letters and digits"
        raise InputError(message)
    return name


def write_bundles(path: str | Path, bundles: Mapping[str, np.ndarray]) -> None:
    """Write the streamlines of each bundle as a table of runs.

    Columns: ``bundle``, ``first`` (index of the run's first streamline, from 0) and ``count``. A bundle whose
    streamlines are not consecutive has several rows; an empty bundle has one row with a count of 0.

    Parameters
    ----------
    path : path
    bundles : mapping of str to numpy.ndarray
        Sorted indices of the streamlines of each bundle.
    """
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(bundles_bytes(bundles))


def bundles_bytes(bundles: Mapping[str, np.ndarray]) -> bytes:
    """Return the content that `write_bundles` writes."""
    stream = StringIO(newline='')
    table = csv.writer(stream, delimiter='\t', lineterminator='\n')
    table.writerow(('bundle', 'first', 'count'))
    for name, indices in bundles.items():
        runs = np.split(indices, np.flatnonzero(np.diff(indices) != 1) + 1)
        table.writerows((name, int(run[0]) if len(run) else 0, len(run)) for run in runs)
    return stream.getvalue().encode()


def read_bundles(path: str | Path, streamlines: int | None = None) -> dict[str, np.ndarray]:
    """Read the streamlines of each bundle.

    Parameters
    ----------
    path : path
        One of

        * a table of runs with the columns ``bundle`` or ``name``, ``first`` or ``first_index``, and ``count``; other
          columns are ignored, and a bundle may have several rows;
        * a text file with the bundle of each streamline, one per line (empty or ``n/a``: none). If all are integers,
          their names are read from a table ``X.tsv`` beside ``X.txt`` (or ``X_clusters.txt``) with the columns
          ``index`` (or ``cluster``) and ``name`` (or ``bundle``);
        * such a table ``X.tsv``, with the integers beside it.
    streamlines : int, optional
        Number of streamlines of the tractogram, to be checked.

    Returns
    -------
    dict of str to numpy.ndarray
        Indices of each bundle's streamlines, from 0 (int64, ascending, unique).

    Raises
    ------
    TractogramError
        If the file cannot be read, or does not fit the number of streamlines.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding='utf-8-sig').splitlines()
        header, rows = _table(lines)
        if not header:
            bundles = _of_labels(path, _check_labels(lines, streamlines))
        elif set(header) & set(_INDEX):
            numbers = _numbers_beside(path).read_text(encoding='utf-8-sig').splitlines()
            bundles = _of_numbers(
                np.array(_check_labels(numbers, streamlines), np.int64), _names(header, rows)
            )
        else:
            bundles = _of_runs(header, rows, streamlines)
        for name in bundles:
            if name in _NONE or not name.isprintable():
                message = f'{shorten(repr(name))} cannot be the name of a bundle'
                raise ValueError(message)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, csv.Error) as error:
        message = (
            f'cannot read the bundles of {path}: {reason_of(error, path)}; expected the columns bundle, first and count, '
            'or the bundle of each streamline, one per line'
        )
        raise TractogramError(message) from error
    return bundles


def _table(lines: Sequence[str]) -> tuple[list[str], list[Row]]:
    """Return columns (lower case) and rows of a table; empty for text without columns."""
    separator = next((each for each in '\t,' if lines and each in lines[0]), None)
    header = [cell.strip().casefold() for cell in lines[0].split(separator)] if separator else []
    # labels may contain commas; a tab always separates columns
    if separator != '\t' and not set(header) & {*_FIRST, *_INDEX}:
        return [], []
    reader = csv.DictReader(lines[1:], fieldnames=header, delimiter=separator or '\t')
    return header, list(reader)


def _column(header: Sequence[str], names: Sequence[str]) -> str:
    found = next((name for name in names if name in header), None)
    if found is None:
        message = f'no column {" or ".join(names)}'
        raise ValueError(message)
    return found


def _of_runs(header: Sequence[str], rows: Sequence[Row], streamlines: int | None) -> dict[str, np.ndarray]:
    name, first, count_ = (_column(header, words) for words in (_NAME, _FIRST, ('count',)))
    runs: dict[str, list[np.ndarray]] = {}
    total = _MOST_STREAMLINES if streamlines is None else streamlines
    left = _MOST_STREAMLINES
    for row in rows:
        start, count = int(row[first]), int(row[count_])
        left -= count
        if not 0 <= start <= start + count <= total or left < 0:
            message = f'a run of {count} streamlines from {start}' + (
                f', but the tractogram has {streamlines}' if streamlines is not None else ''
            )
            raise ValueError(message)
        runs.setdefault(row[name].strip(), []).append(np.arange(start, start + count))
    return {bundle: _ascending(parts) for bundle, parts in runs.items()}


def _ascending(parts: Sequence[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts))


def _check_labels(lines: Sequence[str], streamlines: int | None) -> list[str]:
    """Return the label of each streamline."""
    labels = [line.strip() for line in lines]
    if labels and streamlines == len(labels) - 1 and labels[0].casefold() in _NAME:
        del labels[0]
    if streamlines is not None and len(labels) != streamlines:
        message = f'it has {len(labels)} lines, but the tractogram has {streamlines} streamlines'
        raise ValueError(message)
    return labels


def _of_labels(path: Path, labels: list[str]) -> dict[str, np.ndarray]:
    if labels and all(map(_is_number, labels)) and (beside := _names_beside(path)):
        header, rows = _table(beside.read_text(encoding='utf-8-sig').splitlines())
        return _of_numbers(np.array(labels, np.int64), _names(header, rows))
    bundles = [label for label in dict.fromkeys(labels) if label not in _NONE]
    if all(map(_is_number, bundles)):
        bundles.sort(key=int)
    row = {label: number for number, label in enumerate(bundles)}
    return _group_streamlines(bundles, np.array([row.get(label, -1) for label in labels], np.int64))


def _names_beside(path: Path) -> Path | None:
    """Return the table with the names of the integers in a text file."""
    stems = dict.fromkeys((path.stem, path.stem.removesuffix('_clusters')))
    found = (path.with_name(f'{stem}.tsv') for stem in stems)
    return next((table for table in found if table != path and table.is_file()), None)


def _numbers_beside(path: Path) -> Path:
    """Return the text file with the integers that a table names."""
    plain, clusters = path.with_suffix('.txt'), path.with_name(f'{path.stem}_clusters.txt')
    return clusters if clusters.is_file() and not plain.is_file() else plain


def _is_number(label: str) -> bool:
    return label.isascii() and label.removeprefix('-').isdigit() and len(label) < 16


def _names(header: Sequence[str], rows: Sequence[Row]) -> dict[int, str]:
    index, name = _column(header, _INDEX), _column(header, _NAME)
    names = {int(row[index]): row[name].strip() for row in rows}
    if len(set(names.values())) < len(rows):
        message = 'a number or a name is listed twice'
        raise ValueError(message)
    return names


def _of_numbers(labels: np.ndarray, names: Mapping[int, str]) -> dict[str, np.ndarray]:
    row = {value: number for number, value in enumerate(names)}
    found, at = np.unique(labels, return_inverse=True)
    return _group_streamlines(
        list(names.values()), np.array([row.get(int(value), -1) for value in found])[at]
    )


def _group_streamlines(bundles: Sequence[str], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return the streamlines of each bundle, from the bundle index of each streamline (-1 for none)."""
    order = np.argsort(rows, kind='stable')
    ends = np.searchsorted(rows[order], np.arange(len(bundles) + 1))
    return {name: order[ends[number] : ends[number + 1]] for number, name in enumerate(bundles)}
