"""Read the tables and statistics of one lesion with strict checks, and write those of a group.

Without `overwrite`, an existing table is replaced only if all its rows are kept.
"""

from __future__ import annotations

import csv
import filecmp
import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.errors import InputError, reason_of, shorten
from lacuna.utils.files import json_bytes, write_if_changed
from lacuna.utils.names import sidecar_path

if TYPE_CHECKING:
    import pandas as pd

#: a missing value
NOT_AVAILABLE = 'n/a'
#: leading columns of all group tables
LEADING = ('participant_id', 'session_id', 'label')
#: maximum number of columns of a table that is not square
_MOST_COLUMNS = 20
#: the earliest date in a zip archive, for reproducible files
_NO_DATE = (1980, 1, 1, 0, 0, 0)


def read_parcels(path: Path) -> pd.Series:
    """Read the values of a table of regions; NaN where a cell is ``n/a``.

    Raises
    ------
    InputError
        If it is not such a table, a region occurs twice, or a value is neither a finite number nor ``n/a``.
    """
    import pandas as pd

    table = _read(path, dtype=object)
    if table.shape[1] != 2 or table.iloc[0].tolist() != ['region', 'value']:
        message = f'{path}: expected a table with the columns region and value'
        raise InputError(message)
    names, values = table[0].tolist()[1:], _numbers(path, table[1].tolist()[1:])
    return pd.Series(values, _unique(path, names), name='value')


def read_columns(path: Path, first: str) -> pd.DataFrame:
    """Read a table of several numeric columns, indexed by its first column; NaN where a cell is ``n/a``.

    Parameters
    ----------
    path : pathlib.Path
    first : str
        Name of the first column: ``bundle`` or ``region``.

    Raises
    ------
    InputError
        If it is not such a table, a name occurs twice, or a value is neither a finite number nor ``n/a``.
    """
    import pandas as pd

    table = _read(path, dtype=object, wide=True)
    header = table.iloc[0].tolist()
    if header[0] != first or len(header) < 2 or len(set(header)) < len(header):
        message = f'{path}: expected a table with the columns {first} and others'
        raise InputError(message)
    names = table[0].tolist()[1:]
    columns = {
        name: _numbers(path, table[number].tolist()[1:]) for number, name in enumerate(header[1:], start=1)
    }
    return pd.DataFrame(columns, pd.Index(_unique(path, names), name=first))


def read_matrix(path: Path) -> pd.DataFrame:
    """Read a square matrix of regions.

    Raises
    ------
    InputError
        If it is not a matrix, its rows and columns are different regions, or a number is not finite.
    """
    import pandas as pd

    names = _read(path, dtype=object, nrows=1).iloc[0].tolist()[1:]
    # the default of older versions of pandas is not exact
    exact: dict[str, Any] = {} if int(pd.__version__.split('.')[0]) > 2 else {'float_precision': 'round_trip'}
    table = _read(path, dtype={0: object}, skiprows=1, **exact)
    if table.shape != (len(names), len(names) + 1) or table[0].tolist() != names:
        message = f'{path}: expected a matrix with the same regions in its rows and columns'
        raise InputError(message)
    if all(kind.kind in 'fiu' for kind in table.dtypes[1:]):
        numbers = np.ascontiguousarray(table.iloc[:, 1:].to_numpy(), float)
        wrong = numbers[~np.isfinite(numbers)]
    else:
        numbers = wrong = table.loc[:, [kind.kind not in 'fiu' for kind in table.dtypes]].to_numpy()[:, 1:]
    if wrong.size:
        message = (
            f'{path}: {shorten(next(filter(_is_wrong, wrong.flat), wrong.flat[0]))} is not a finite number'
        )
        raise InputError(message)
    return pd.DataFrame(numbers, index=_unique(path, names), columns=names)


def read_statistics(path: Path) -> dict[str, dict[str, Any]]:
    """Read the statistics in a JSON file: single values under '', and values by region under their key.

    Raises
    ------
    InputError
        If it is not a JSON object, or contains a number that is not finite.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        message = f'{path}: cannot be read as JSON ({reason_of(error, path)})'
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
    return {'': {key: value for key, value in content.items() if key not in nested}, **nested}


def _numbers(path: Path, cells: Iterable[str]) -> np.ndarray:
    try:
        return np.array([math.nan if cell == NOT_AVAILABLE else _finite(cell) for cell in cells], float)
    except ValueError as error:
        message = f'{path}: {error}'
        raise InputError(message) from error


def _read(path: Path, *, wide: bool = False, **options: Any) -> pd.DataFrame:
    """Read all cells of a table, including the header, in which pandas would rename duplicates.

    `wide`: the table may have a few more columns than rows.
    """
    import pandas as pd

    try:
        content = path.read_bytes()
        # other tables are never wider than long; refuse them early, because pandas needs a few kB per column
        if content.partition(b'\n')[0].count(b'\t') > max(_MOST_COLUMNS if wide else 1, content.count(b'\n')):
            message = f'{path}: expected as many rows as columns'
            raise InputError(message)
        return pd.read_csv(
            io.BytesIO(content), sep='\t', header=None, na_filter=False, skip_blank_lines=False, **options
        )
    except (OSError, ValueError) as error:
        message = f'{path}: cannot be read ({reason_of(error, path)})'
        raise InputError(message) from error


def _finite(cell: str) -> float:
    if not math.isfinite(value := float(cell)):
        message = f'{value} is not a finite number'
        raise ValueError(message)
    return value


def _is_wrong(cell: object) -> bool:
    try:
        _finite(str(cell))
    except ValueError:
        return True
    return False


def _unique(path: Path, names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        message = f'{path}: the region {shorten(twice)} is listed more than once'
        raise InputError(message)
    return names


def table_bytes(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Return a tab-separated table as bytes; missing values (None, NaN) are ``n/a``.

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


@dataclass(frozen=True)
class GroupTable:
    """A table that is ready to be written.

    Attributes
    ----------
    path : pathlib.Path
    shape : tuple of int
        Numbers of rows and columns.
    content : pathlib.Path
        File with the content, which is moved to `path`.
    sidecar : mapping
    leading : int
        Number of leading cells of a row, which identify the lesion.
    """

    path: Path
    shape: tuple[int, int]
    content: Path
    sidecar: Mapping[str, Any]
    leading: int = len(LEADING)

    def is_there(self) -> bool:
        """Whether the file exists with exactly this content."""
        return self.path.is_file() and filecmp.cmp(self.path, self.content, shallow=False)

    def only_adds(self) -> bool:
        """Whether the existing table's rows are all in this one, unchanged."""
        try:
            return only_adds(self._items(self.path), self._items(self.content))
        # the existing file is something else
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            return False

    def _items(self, path: Path) -> Iterator[Item]:
        if self.path.suffix == '.npz':
            return stack_items(path, 'matrices', LEADING, 'regions')
        return table_items(path, self.leading)


def write_tables(tables: Sequence[GroupTable], *, overwrite: bool) -> set[Path]:
    """Write tables and their sidecars.

    Returns
    -------
    set of pathlib.Path
        Paths that are new or changed.

    Raises
    ------
    InputError
        If an existing table differs by more than new rows (unless `overwrite`). Then nothing is written.
    """
    new = [table for table in tables if not table.is_there()]
    differing = [
        table.path for table in new if table.path.exists() and not overwrite and not table.only_adds()
    ]
    if differing:
        message = (
            f'{differing[0]} already exists and differs from the new table by more than new rows'
            f'{f" ({len(differing)} tables in all)" if len(differing) > 1 else ""}; '
            'choose another --output-dir, or add --overwrite to replace it'
        )
        raise InputError(message)
    for table in tables:
        # sidecar first, so that no table lacks it
        write_if_changed(sidecar_path(table.path), json_bytes(table.sidecar))
    for table in new:
        table.content.replace(table.path)
    return {table.path for table in new}


def write_stack(
    path: Path,
    name: str,
    matrices: Iterable[np.ndarray],
    shape: tuple[int, int, int],
    labels: Mapping[str, Any],
) -> None:
    """Write matrices of one shape as an ``.npz``, holding one in memory at a time.

    Parameters
    ----------
    path : pathlib.Path
    name : str
        Name of the array.
    matrices : iterable of numpy.ndarray
    shape : tuple of int
        Number of matrices, rows and columns.
    labels : mapping
        Additional arrays of text by name.
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


#: a row of a table or stack: the cells that identify the lesion, and its values
Item = tuple[tuple[str, ...], Any]


def table_items(path: Path, leading: int) -> Iterator[Item]:
    """Yield the rows of a table split into leading cells and values, the header first."""
    with path.open(encoding='utf-8', newline='\n') as lines:
        rows = (line.rstrip('\n').split('\t') for line in lines)
        yield (), next(rows, [])
        for row in rows:
            yield tuple(row[:leading]), row[leading:]


def stack_items(path: Path, name: str, leading: Sequence[str], common: str) -> Iterator[Item]:
    """Yield what the matrices of `write_stack` have in common, then each matrix with its labels."""
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
    """Whether all rows of one table are in another, in the same order and with the same values.

    Rows without any value may have gained values.

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
