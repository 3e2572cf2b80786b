"""Read the tables and statistics of one lesion, and write those of a group, with strict checks of their content."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.errors import InputError, shorten

if TYPE_CHECKING:
    import pandas as pd

#: a cell without a value
NOT_AVAILABLE = 'n/a'


def read_parcels(path: Path) -> pd.Series:
    """Read the values of a table of parcels by region, in its order; NaN where a cell is ``n/a``.

    Raises
    ------
    InputError
        If it is not such a table, a region is listed twice, or a value is neither a finite number nor ``n/a``.
    """
    import pandas as pd

    table = _read(path, dtype=object)
    if table.shape[1] != 2 or table.iloc[0].tolist() != ['region', 'value']:
        message = f'{path}: expected a table with the columns region and value'
        raise InputError(message)
    names, cells = table[0].tolist()[1:], table[1].tolist()[1:]
    try:
        values = np.array([math.nan if cell == NOT_AVAILABLE else _finite(cell) for cell in cells], float)
    except ValueError as error:
        message = f'{path}: {error}'
        raise InputError(message) from error
    return pd.Series(values, _unique(path, names), name='value')


def read_matrix(path: Path) -> pd.DataFrame:
    """Read the numbers of a square matrix by region, in its order.

    Raises
    ------
    InputError
        If it is not a matrix, its rows and columns are not the same regions, or a number is not finite.
    """
    import pandas as pd

    names = _read(path, dtype=object, nrows=1).iloc[0].tolist()[1:]
    # the default of older versions is not exact
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
    """Read the statistics in a JSON file: single values under '', and those by region under their key.

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
    return {'': {key: value for key, value in content.items() if key not in nested}, **nested}


def _read(path: Path, **options: Any) -> pd.DataFrame:
    """Read all cells of a table, including the header: pandas would rename duplicates in a header."""
    import pandas as pd

    try:
        content = path.read_bytes()
        # a table of two columns or of regions by regions is never wider than long; pandas uses a few kB per column
        if content.partition(b'\n')[0].count(b'\t') > max(1, content.count(b'\n')):
            message = f'{path}: expected as many rows as columns'
            raise InputError(message)
        return pd.read_csv(
            io.BytesIO(content), sep='\t', header=None, na_filter=False, skip_blank_lines=False, **options
        )
    except (OSError, ValueError) as error:
        message = f'{path}: cannot be read ({" ".join(str(error).split())})'
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
    """Return a tab-separated table; missing values (None, NaN) are ``n/a``.

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
