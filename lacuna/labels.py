"""Label tables of parcellations, in the forms in which they are found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from lacuna.errors import InputError, brief

#: the largest value of a label
LARGEST = 2**31 - 1
_COLOURS = re.compile(r'(\s+\d+){3,4}$')  # of a FreeSurfer look-up table


def read_labels(path: Path) -> dict[int, str]:
    """Names of the labels, by value, in ascending order; 0 is background and left out.

    Understands tables with a header (tab separated, columns ``index`` and ``name`` or ``label``), text with
    ``value name`` on each line, and text with one name a line for the labels 1, 2, 3, ...

    Raises
    ------
    InputError
        If the file cannot be read, a value or a name is there twice, or there are no labels.
    """
    try:
        text = path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        message = f'cannot read the label table {path}: {error}'
        raise InputError(message) from error
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and not line.startswith('#')]
    rows = (
        _table_rows(path, lines) if path.suffix == '.tsv' or _has_header(lines) else _text_rows(path, lines)
    )
    labels = [(value, name) for value, name in rows if value != 0]
    if not labels:
        message = f'the label table {path} holds no labels'
        raise InputError(message)
    _refuse_repeated(path, 'value', (value for value, _ in labels))
    _refuse_repeated(path, 'name', (name for _, name in labels))
    return dict(sorted(labels))


def _has_header(lines: list[str]) -> bool:
    return bool(lines) and 'index' in lines[0].split('\t')


def _table_rows(path: Path, lines: list[str]) -> list[tuple[int, str]]:
    columns = lines[0].split('\t') if lines else []
    name = next((column for column in ('name', 'label') if column in columns), None)
    if 'index' not in columns or name is None:
        message = f"the label table {path} needs the columns 'index' and 'name' (or 'label'); it has {brief(columns)}"
        raise InputError(message)
    rows = []
    for line in lines[1:]:
        row = dict(zip(columns, line.split('\t'), strict=False))
        value, text = row.get('index', '').strip(), row.get(name, '').strip()
        if not re.fullmatch(r'\d+(\.0+)?', value) or not text:
            message = f'the label table {path} has a row with index {brief(value)} and name {brief(text)}'
            raise InputError(message)
        rows.append((_label_value(path, value.partition('.')[0]), text))
    return rows


def _text_rows(path: Path, lines: list[str]) -> list[tuple[int, str]]:
    pairs = [re.fullmatch(r'\s*(\d+)[\s,;:]+(\S.*)', line) for line in lines]
    if all(pairs):
        return [(_label_value(path, pair[1]), _COLOURS.sub('', pair[2]).strip()) for pair in pairs if pair]
    return [(value, line.strip()) for value, line in enumerate(lines, start=1)]


def _label_value(path: Path, text: str) -> int:
    if len(text) > 15 or int(text) > LARGEST:
        message = (
            f'the label table {path} has the value {brief(text)}; labels are whole numbers up to {LARGEST}'
        )
        raise InputError(message)
    return int(text)


def _refuse_repeated(path: Path, what: str, items: Iterable[object]) -> None:
    if repeated := [str(item) for item, times in Counter(items).items() if times > 1]:
        message = f'the label table {path} has a {what} more than once: {", ".join(item[:60] for item in repeated[:5])}'
        raise InputError(message)
