"""Read tables written by users, with spreadsheets, statistics programs or by hand."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from itertools import zip_longest
from pathlib import Path

from lacuna.errors import InputError, reason_of
from lacuna.utils.names import few

_DECIMAL_COMMA = re.compile(r'^([+-]?\d+),(\d+)$')


def read_table(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Read a table as text: the columns, and line number and cells of each nonblank row.

    The separator (tab, comma or semicolon) is detected from the header. With semicolons, which spreadsheets write where
    the comma is the decimal separator, `0,5` is read as `0.5`. Columns without a name are left out.

    Raises
    ------
    InputError
        If it is not such a table, a column occurs twice, a row has more cells than the header, or a quote is not closed.
    """
    try:
        text = path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        message = f'{path}: the table is not UTF-8 text; save it as UTF-8'
        raise InputError(message) from error
    except OSError as error:
        message = f'{path}: the table cannot be read ({reason_of(error, path)})'
        raise InputError(message) from error
    delimiter = max('\t,;', key=text.partition('\n')[0].count)
    reader = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter, strict=True)
    try:
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        message = f'{path}, line {reader.line_num}: the table cannot be read ({reason_of(error)}); is a quote not closed?'
        raise InputError(message) from error
    header = lines[0][1] if lines else []
    columns = [name for name in header if name]
    if twice := sorted(name for name, times in Counter(columns).items() if times > 1):
        message = f'{path}: the column {few(twice)} is there more than once'
        raise InputError(message)
    rows = []
    for number, cells in lines[1:]:
        if any(cells[len(header) :]):
            message = f'{path}, line {number}: {len(cells)} cells, but the header has {len(header)}'
            raise InputError(message)
        if any(cells):
            if delimiter == ';':
                cells = [_DECIMAL_COMMA.sub(r'\1.\2', cell) for cell in cells]
            filled = zip_longest(header, cells, fillvalue='')
            rows.append((number, {name: cell for name, cell in filled if name}))
    return columns, rows
