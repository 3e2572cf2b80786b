"""Label tables of parcellations: all common formats are read, but ambiguous content is refused.

Names shifted by one parcel would not be noticed in the results.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn

from lacuna.errors import InputError, reason_of, shorten

#: largest valid label
LARGEST = 2**31 - 1

#: column headings in lower case: for values, for names, and those used for both
_VALUES = ('index', 'value', 'label_index', 'label_id', 'label_value', 'idx', 'id', 'number', 'no', 'no.')
_NAMES = (
    'name',
    'label_name',
    'labelname',
    'roi_name',
    'region_name',
    'label name',
    'roi name',
    'region name',
)
#: headings for the network of a parcel
_NETWORKS = ('network', 'network_label')
_EITHER = ('label', 'roi', 'region', 'parcel', 'structure')
#: separators between the columns of a table, and after a value
_DELIMITERS = ('\t', ';', '|', ',')
_SEPARATORS = (*_DELIMITERS, ':')
#: missing values in BIDS tables
_NO_NAMES = ('', 'n/a')

_NUMBER = re.compile(r'[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?', re.IGNORECASE)
_WHOLE = re.compile(r'\d{1,15}(\.0*)?')
_HEX = re.compile(r'#[0-9a-fA-F]{3,8}')
_TOKEN = re.compile(r'"[^"]*"|\S+')

_Kind = Literal['name', 'pair', 'numbered', 'colours', 'itksnap', 'separated', 'other']
_KINDS: dict[_Kind, str] = {
    'name': 'no value',
    'pair': 'a value and a name',
    'numbered': 'a value, a name and a second value',
    'colours': 'a value, a name and a colour',
    'itksnap': 'the columns of ITK-SNAP',
    'separated': 'a value and a separator',
    'other': 'columns that no header names',
}
#: kinds of lines that cannot be read, even if all lines are of the kind
_UNREADABLE: set[_Kind] = {'separated', 'other'}


class _Line(NamedTuple):
    """A nonempty line, and its number in the file (from 1)."""

    number: int
    text: str


class _Plain(NamedTuple):
    """A line of a table without header: its values (one or two), its name, and everything after the first value."""

    kind: _Kind
    values: tuple[str, ...]
    name: str
    rest: str


class _Rows(NamedTuple):
    """A table: its lines, names, and one or more columns of values."""

    lines: list[_Line]
    names: list[str]
    values: dict[str, list[str]]
    networks: list[str] | None = None


def read_labels(path: Path, image_labels: Collection[int] = ()) -> dict[int, str]:
    """Read the names of labels by value, in ascending order; 0 is background and left out.

    Supported are tables with a header (separated by tabs, commas, semicolons, ``|`` or spaces, with a column such as
    ``index`` and one such as ``name`` or ``label``, in any order and case); tables without a header (value, name and
    optionally a colour); colour tables of FreeSurfer; label files of ITK-SNAP and of AAL (``1 Precentral_L 2001``);
    ``value name`` on each line; and one name per line, for the labels 1, 2, 3, ...

    Parameters
    ----------
    path : pathlib.Path
    image_labels : collection of int
        The labels in the image: they decide which of two columns of values is used, and whether a table with only names
        fits the image.

    Raises
    ------
    InputError
        If the file is unreadable, a line differs in format from the others, a value is not an integer from 0, a value
        or a name is duplicated, the number of names without values is not that of the labels in the image, or there
        are no labels.
    """
    present = {int(value) for value in image_labels} - {0}
    lines = _content(path)
    rows = _with_header(path, lines) or _without_header(path, lines, present)
    values = _choose_values(path, rows, present)
    labels: dict[int, str] = {}
    at: dict[object, _Line] = {}
    for line, value, found in zip(rows.lines, values, rows.names, strict=True):
        if value == 0:
            continue
        name = ' '.join(found.split())  # without line breaks and tabs
        if not name.isprintable():
            _refuse(path, line, f'the name {shorten(name)} contains characters that cannot be printed')
        if name.lower() in _NO_NAMES:
            _refuse(path, line, f'the value {value} has no name')
        for what, item in (('value', value), ('name', name)):
            if first := at.get(item):
                _refuse(path, line, f'the {what} {shorten(str(item))} is already in line {first.number}')
            at[item] = line
        labels[value] = name
    if not labels:
        message = f'the label table {path} has no labels'
        raise InputError(message)
    return dict(sorted(labels.items()))


def read_networks(path: Path, labels: Collection[int]) -> dict[int, str]:
    """Read the network of each label from a column ``network`` or ``network_label``, by value.

    Parameters
    ----------
    path : pathlib.Path
        A label table that `read_labels` can read.
    labels : collection of int
        The label values.

    Returns
    -------
    dict of int to str
        Empty without such a column; labels with an empty cell or ``n/a`` are left out.
    """
    rows = _with_header(path, _content(path))
    if rows is None or rows.networks is None:
        return {}
    networks = (' '.join(cell.split()) for cell in rows.networks)
    found = dict(zip(_choose_values(path, rows, set(labels)), networks, strict=True))
    return {value: name if name.lower() not in _NO_NAMES else '' for value, name in found.items()}


def _refuse(path: Path, line: _Line, why: str) -> NoReturn:
    message = f'the label table {path}, line {line.number}: {why}'
    raise InputError(message)


def _content(path: Path) -> list[_Line]:
    """Return the lines with content, without comments (#)."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        message = f'cannot read the label table {path}: {reason_of(error, path)}'
        raise InputError(message) from error
    try:
        text = raw.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        code = 'UTF-16' if raw.startswith((b'\xff\xfe', b'\xfe\xff')) else 'not UTF-8'
        message = f'cannot read the label table {path}: it is {code}; save it as UTF-8 text'
        raise InputError(message) from error
    if '\0' in text:
        message = f'cannot read the label table {path}: it is not text; save it as UTF-8 text'
        raise InputError(message)
    if text.lstrip().startswith(('<', '{', '[')):
        message = f'cannot read the label table {path}: it is XML or JSON; write a table with the columns index and name'
        raise InputError(message)
    numbered = [_Line(number, line) for number, line in enumerate(re.split(r'\r\n?|\n', text), start=1)]
    lines = [line for line in numbered if line.text.strip() and not line.text.lstrip().startswith('#')]
    if lines and re.fullmatch('sep=.', lines[0].text.strip()):  # written by Excel
        del lines[0]
    if not lines:
        message = f'the label table {path} has no labels'
        raise InputError(message)
    return lines


def _cells(line: str, delimiter: str | None) -> list[str]:
    """Split a line into cells, without quotes; a line with an unclosed quote is one cell."""
    if delimiter is None:
        return [token.strip('"') for token in _TOKEN.findall(line)]
    try:
        (cells,) = csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True)
    except csv.Error:
        return [line]
    return [cell.strip() for cell in cells]


# -- with a header


def _with_header(path: Path, lines: list[_Line]) -> _Rows | None:
    """Return the table if its first line is a header with a column of values and one of names; else None."""
    for delimiter in (*_DELIMITERS, None):
        header = [cell.casefold() for cell in _cells(lines[0].text, delimiter)]
        known = [cell for cell in header if cell in _VALUES + _NAMES + _EITHER]
        if len(known) >= 2 and not set(known) <= set(_VALUES) and not set(known) <= set(_NAMES):
            break
    else:
        return None
    if twice := next((cell for cell in known if known.count(cell) > 1), None):
        _refuse(path, lines[0], f'two columns are named {shorten(twice)}')
    rows = [(line, _row(path, line, header, delimiter)) for line in lines[1:]]
    rows = [(line, row) for line, row in rows if any(row.values())]

    def column(word: str) -> list[str]:
        return [row.get(word, '') for _, row in rows]

    # a heading used for both means values if its cells are numbers and there is another column of names
    numbers = [word for word in _EITHER if word in known and all(map(_is_number, column(word)))]
    names = [word for word in (*_NAMES, *_EITHER) if word in known and word not in numbers] or numbers[-1:]
    values = [word for word in (*_VALUES, *numbers) if word in known and word not in names]
    if not values or not names:
        _refuse(
            path,
            lines[0],
            f'it needs one column of values and one of names, index and name, but has {shorten(header)}',
        )
    networks = next((column(word) for word in _NETWORKS if word in header), None)
    return _Rows(
        [line for line, _ in rows],
        column(names[0]),
        {shorten(word): column(word) for word in values},
        networks,
    )


def _row(path: Path, line: _Line, header: Sequence[str], delimiter: str | None) -> dict[str, str]:
    cells = _cells(line.text, delimiter)
    while len(cells) > len(header) and not cells[-1]:
        cells.pop()
    if delimiter is None and header[-1] in _NAMES + _EITHER:
        cells[len(header) - 1 :] = [' '.join(cells[len(header) - 1 :])]
    if len(cells) > len(header) or (delimiter is None and len(cells) < len(header)):
        quotes = ' (a name with the separator in it needs quotes)' if len(cells) > len(header) else ''
        _refuse(path, line, f'it has {len(cells)} columns, the header has {len(header)}{quotes}')
    return dict(zip(header, cells, strict=False))


# -- without a header


def _without_header(path: Path, lines: list[_Line], present: set[int]) -> _Rows:
    delimiter = next(
        (each for each in _SEPARATORS if all(_is_split(line.text, each) for line in lines)), None
    )
    plain = [_parse_plain(line.text, delimiter) for line in lines]
    kinds = Counter(row.kind for row in plain)
    mixed = len(kinds) > 1 or len({row.name for row in plain}) < len(plain)
    if delimiter is None and set(kinds) <= {'numbered', 'pair'} and mixed:
        # a number after the name is a second value if all lines have one, as in AAL's; else it belongs to the name
        plain = [_Plain('pair', row.values[:1], row.rest, row.rest) for row in plain]
        kinds = Counter(row.kind for row in plain)
    if len(kinds) > 1 or set(kinds) <= _UNREADABLE:
        usual = max(kinds, key=lambda kind: (kinds[kind], kind != 'name'))
        line, odd = next(
            pair for pair in zip(lines, plain, strict=True) if pair[1].kind != usual or usual in _UNREADABLE
        )
        others = f', unlike the other lines, which have {_KINDS[usual]}' if len(kinds) > 1 else ''
        hint = 'give each line a value and a name, or add a header such as index and name'
        _refuse(path, line, f'{shorten(line.text.strip())} has {_KINDS[odd.kind]}{others}; {hint}')
    if 'name' in kinds:
        return _names_alone(path, lines, present)
    values = {'first': [row.values[0] for row in plain]}
    if 'numbered' in kinds:
        values['last'] = [row.values[1] for row in plain]
    return _Rows(lines, [row.name for row in plain], values)


def _is_split(text: str, delimiter: str) -> bool:
    """Whether the first cell before a delimiter is a value."""
    cells = _cells(text, delimiter)
    return len(cells) > 1 and _is_number(cells[0])


def _parse_plain(text: str, delimiter: str | None) -> _Plain:
    value, *rest = _cells(text, delimiter)
    while rest and not rest[-1]:
        rest.pop()
    if not _is_number(value):
        separated = any(_is_split(text, each) for each in _SEPARATORS)
        return _Plain('separated' if separated else 'name', (), text.strip(), '')
    if delimiter is None and len(rest) == 7 and all(map(_is_number, rest[:6])):
        return _Plain('itksnap', (value,), rest[6], '')
    if not rest or (len(rest) > 1 and _is_number(rest[0])):
        return _Plain('other', (value,), '', '')
    # with spaces as separators, some may belong to the name
    behind = (
        len(rest) - 1
        if delimiter
        else _count_trailing(rest[1:], lambda cell: _is_number(cell) or bool(_HEX.fullmatch(cell)))
    )
    name, extra = ' '.join(rest[: len(rest) - behind]), rest[len(rest) - behind :]
    whole = ' '.join(rest)
    if not extra:
        return _Plain('pair', (value,), name, whole)
    if _is_colour(extra):
        return _Plain('colours', (value,), name, whole)
    if len(extra) == 1 and len(rest) == 2 and _is_number(extra[0]):
        return _Plain('numbered', (value, extra[0]), name, whole)
    return _Plain('other' if delimiter else 'pair', (value,), whole, whole)


def _count_trailing(cells: Sequence[str], fits: Callable[[str], bool]) -> int:
    """Count the last cells that fit."""
    return next((count for count, cell in enumerate(reversed(cells)) if not fits(cell)), len(cells))


def _is_colour(cells: Sequence[str]) -> bool:
    if len(cells) == 1:
        return bool(_HEX.fullmatch(cells[0]))
    return len(cells) in (3, 4) and all(_is_number(cell) and 0 <= float(cell) <= 255 for cell in cells)


def _names_alone(path: Path, lines: list[_Line], present: set[int]) -> _Rows:
    names = [line.text.strip().strip('"') for line in lines]
    if names[0].casefold() in _VALUES + _NAMES + _EITHER:
        _refuse(
            path,
            lines[0],
            f'the header {shorten(names[0])} has no column of values; add one named index',
        )
    for delimiter in _DELIMITERS:
        columns = {len(_cells(line.text, delimiter)) for line in lines}
        if len(columns) == 1 and columns != {1}:
            _refuse(path, lines[0], 'no column of values; add one, and a header such as index and name')
    if present != set(range(1, len(names) + 1)):
        holds = f'holds {len(present)}, up to {max(present)}' if present else 'is not known to hold any'
        message = (
            f'the label table {path} has {len(names)} names without values: they can only belong to the labels 1 to '
            f'{len(names)}, but the image {holds}; write the value before each name'
        )
        raise InputError(message)
    return _Rows(lines, names, {'': [str(value) for value in range(1, len(names) + 1)]})


# -- values


def _is_number(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text))


def _choose_values(path: Path, rows: _Rows, present: set[int]) -> list[int]:
    """Return the label values: of two columns, those that match the image; else the first."""
    (first, cells), *others = rows.values.items()
    for line, cell in zip(rows.lines, cells, strict=True):
        if not _is_label(cell):
            _refuse(
                path,
                line,
                f'the value {shorten(cell)} is not a label; labels are whole numbers from 0 to {LARGEST}',
            )
    possible = {first: _whole_numbers(cells)}
    for word, more in others:
        if all(map(_is_label, more)) and len(set(more)) == len(more):
            possible[word] = _whole_numbers(more)
    fitting = {word: values for word, values in possible.items() if present <= set(values)}
    if present and len({tuple(values) for values in fitting.values()}) > 1:
        message = (
            f'the label table {path} has more than one column of values that could hold the labels of the image '
            f'({", ".join(fitting)}), and they differ; keep only one'
        )
        raise InputError(message)
    return next(iter((fitting or possible).values()))


def _is_label(text: str) -> bool:
    return bool(_WHOLE.fullmatch(text)) and int(text.partition('.')[0]) <= LARGEST


def _whole_numbers(cells: Sequence[str]) -> list[int]:
    return [int(cell.partition('.')[0]) for cell in cells]
