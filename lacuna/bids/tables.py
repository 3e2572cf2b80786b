"""Read the tables and statistics of one lesion, and write those of a group: fast, and strict about what they hold."""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lacuna.errors import InputError, shorten

#: a cell without a value
NOT_AVAILABLE = 'n/a'
#: the earliest that a zip archive knows: the same content gives the same file
_NO_DATE = (1980, 1, 1, 0, 0, 0)


class Values(NamedTuple):
    """Named values, in their order."""

    names: tuple[str, ...]
    values: Sequence[Any]


def read_values(path: Path) -> Values:
    """The regions and values of a table of parcels; NaN where a cell is ``n/a``.

    Raises
    ------
    InputError
        If it is no such table, a region is there twice, or a value is neither a finite number nor ``n/a``.
    """
    rows = _rows(path)
    if not rows or rows[0] != ['region', 'value'] or any(len(row) != 2 for row in rows):
        message = f'{path}: expected a table with the columns region and value'
        raise InputError(message)
    names = tuple(row[0] for row in rows[1:])
    cells = [row[1] for row in rows[1:]]
    numbers = _numbers(path, ('0' if cell == NOT_AVAILABLE else cell for cell in cells))
    for place, cell in enumerate(cells):
        if cell == NOT_AVAILABLE:
            numbers[place] = math.nan
    return Values(_unique(path, names), numbers)


def read_matrix(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """The regions and the numbers of a square matrix.

    Raises
    ------
    InputError
        If it is none, its rows and columns are not the same regions, or a number is not finite.
    """
    rows = _rows(path)
    names = tuple(rows[0][1:]) if rows else ()
    if any(len(row) != len(names) + 1 for row in rows) or tuple(row[0] for row in rows[1:]) != names:
        message = f'{path}: expected a matrix with the same regions in its rows and columns'
        raise InputError(message)
    numbers = _numbers(path, chain.from_iterable(row[1:] for row in rows[1:]))
    return _unique(path, names), np.frombuffer(numbers).reshape(len(names), len(names))


def read_statistics(path: Path) -> dict[str, Values]:
    """The statistics in a JSON file: single values under '', and by their key those that are there for each region.

    Raises
    ------
    InputError
        If it holds no object, or a number in it is not finite.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        message = f'{path}: cannot be read as JSON ({error})'
        raise InputError(message) from error
    if not isinstance(content, dict):
        message = f'{path}: expected statistics by name'
        raise InputError(message)
    nested = {key: value for key, value in content.items() if isinstance(value, dict)}
    for part in (content, *nested.values()):
        for key, value in part.items():
            if isinstance(value, float) and not math.isfinite(value):
                message = f'{path}: {key} is {value}, not a finite number'
                raise InputError(message)
    single = {key: value for key, value in content.items() if key not in nested}
    return {key: Values(tuple(part), list(part.values())) for key, part in {'': single, **nested}.items()}


def _rows(path: Path) -> list[list[str]]:
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        message = f'{path}: cannot be read ({error})'
        raise InputError(message) from error
    if '"' in text:
        try:
            return list(csv.reader(io.StringIO(text, newline=''), delimiter='\t'))
        except csv.Error as error:
            message = f'{path}: cannot be read ({error})'
            raise InputError(message) from error
    return [line.split('\t') for line in text.splitlines()]


def _numbers(path: Path, cells: Iterable[str]) -> array[float]:
    try:
        numbers = array('d', map(float, cells))
    except ValueError as error:
        message = f'{path}: {error}'
        raise InputError(message) from error
    if not (finite := np.isfinite(np.frombuffer(numbers))).all():
        place = int(np.argmin(finite))
        message = f'{path}: number {place + 1} is {numbers[place]}, not a finite number'
        raise InputError(message)
    return numbers


def _unique(path: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        message = f'{path}: the region {shorten(twice)} is there more than once'
        raise InputError(message)
    return names


def table_bytes(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A tab-separated table; what is not there (None, NaN) is ``n/a``.

    >>> table_bytes(['participant_id', 'value'], [['sub-01', 2.5], ['sub-02', None]])
    b'participant_id\\tvalue\\nsub-01\\t2.5\\nsub-02\\tn/a\\n'
    """
    stream = io.StringIO(newline='')
    table = csv.writer(stream, delimiter='\t', lineterminator='\n')
    table.writerow(header)
    table.writerows([NOT_AVAILABLE if _is_missing(cell) else cell for cell in row] for row in rows)
    return stream.getvalue().encode()


def _is_missing(cell: object) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def write_stack(
    path: Path,
    name: str,
    matrices: Iterable[np.ndarray],
    shape: tuple[int, int, int],
    labels: Mapping[str, Any],
) -> None:
    """Write matrices of one shape as an ``.npz`` without holding more than one of them.

    Parameters
    ----------
    path : pathlib.Path
    name : str
        Of the array of the matrices.
    matrices : iterable of numpy.ndarray
    shape : tuple of int
        Number of matrices, rows and columns.
    labels : mapping
        More arrays of text, by name.
    """
    header = {'descr': '<f8', 'fortran_order': False, 'shape': shape}
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for label, texts in labels.items():
            with archive.open(_entry(label), 'w') as stream:
                np.lib.format.write_array(stream, np.array(texts, np.str_), allow_pickle=False)
        with archive.open(_entry(name), 'w', force_zip64=True) as stream:
            np.lib.format.write_array_header_2_0(stream, header)
            for matrix in matrices:
                stream.write(np.ascontiguousarray(matrix, '<f8').data)


#: a row of a table or stack: what tells whose it is, and what it holds
Item = tuple[tuple[str, ...], Any]


def table_items(lines: Iterable[str], leading: int) -> Iterator[Item]:
    """The rows of a table by their leading cells, the header first."""
    rows = (line.rstrip('\n').split('\t') for line in lines)
    yield (), next(rows, [])
    for row in rows:
        yield tuple(row[:leading]), row[leading:]


def stack_items(path: Path, name: str, leading: Sequence[str], common: str) -> Iterator[Item]:
    """The matrices that `write_stack` wrote by their labels, one after the other; first what they have in common."""
    with zipfile.ZipFile(path) as archive:
        texts = {}
        for label in (*leading, common):
            with archive.open(f'{label}.npy') as stream:
                texts[label] = np.lib.format.read_array(stream, allow_pickle=False).tolist()
        yield (), texts[common]
        with archive.open(f'{name}.npy') as stream:
            np.lib.format.read_magic(stream)
            shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
            size = math.prod(shape[1:]) * dtype.itemsize
            for key in zip(*(texts[label] for label in leading), strict=True):
                yield key, stream.read(size)


def only_adds(old: Iterable[Item], new: Iterable[Item]) -> bool:
    """Whether all rows of a table are in another, in the same order and with the same values.

    A row without any value may have got some.

    >>> old = [((), ['a']), (('sub-01',), ['1']), (('sub-03',), ['n/a'])]
    >>> only_adds(old, [*old[:2], (('sub-02',), ['2']), (('sub-03',), ['3'])])
    True
    >>> only_adds(old, [*old[:1], (('sub-01',), ['2']), old[2]])
    False
    """
    rest = iter(new)
    for key, values in old:
        now = next((found for other, found in rest if other == key), None)
        blank = isinstance(values, list) and key and not set(values) - {NOT_AVAILABLE}
        if now is None or (now != values and not blank):
            return False
    return True


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(f'{name}.npy', _NO_DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
