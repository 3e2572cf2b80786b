"""Masks in a folder or in a table, and whose they are."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from lacuna.bids import parse_entities
from lacuna.errors import InputError, brief

#: the end of the name of a mask
NIFTI = re.compile(r'\.(nii(\.gz)?|img)$')
_LABEL = re.compile('[0-9A-Za-z]+')
#: parts of a file name that say something else than whose mask it is
_OTHER_ENTITY = re.compile('(ses|space|label)-[^_-]+')


class Listed(NamedTuple):
    """A mask, how the folder or the table names it, and its entities ``sub``, ``ses`` and ``label``."""

    path: Path
    shown: str
    entities: dict[str, str]


def subject_label(path: Path) -> str:
    """Label of a participant, from the path of a mask below the folder that is converted.

    An explicit ``sub-XXX`` in the file name wins, then one in the name of a folder, the nearest first; else all
    letters and digits of the file name, without its entities ``ses``, ``space`` and ``label``.

    Examples
    --------
    >>> subject_label(Path('bwsrsub-1087_lesion.nii.gz'))
    '1087'
    >>> subject_label(Path('sub-07/lesion.nii'))
    '07'
    >>> subject_label(Path('Subject_003.nii.gz'))
    'Subject003'

    Raises
    ------
    InputError
        If the name has neither letters nor digits.
    """
    stem = NIFTI.sub('', path.name)
    for name in (stem, *(parent.name for parent in path.parents)):
        if found := re.search('sub-([0-9A-Za-z]+)', name):
            return found[1]
    parts = [part for part in stem.split('_') if not _OTHER_ENTITY.fullmatch(part)]
    label = ''.join(_LABEL.findall(''.join(parts)))
    if not label:
        message = f'{path}: the name has no letters or digits for a participant; list it in a table (.csv, .tsv) instead'
        raise InputError(message)
    return label


def checked_label(value: str, what: str, where: str) -> str:
    """The label, if it is one.

    Raises
    ------
    InputError
    """
    if not _LABEL.fullmatch(value):
        message = f'{where}: the {what} {brief(value)} has to be letters and digits'
        raise InputError(message)
    return value


def masks_of_folder(source: Path, target: Path) -> list[Listed]:
    """The NIfTI files below a folder, but those in the folder that they go to.

    Raises
    ------
    InputError
        If there are none, or a name gives no label.
    """
    if target.exists() and source.samefile(target):
        message = f'the output folder {target} is the input folder; choose another'
        raise InputError(message)
    inside = target.resolve()
    paths = sorted(
        path
        for path in source.rglob('*')
        if NIFTI.search(path.name)
        and not any(part.startswith('.') for part in path.relative_to(source).parts)
        and inside not in path.resolve().parents
        and path.is_file()
    )
    if not paths:
        message = f'no mask found in {source}: no file ends with .nii or .nii.gz'
        raise InputError(message)
    rows = []
    for path in paths:
        relative = path.relative_to(source)
        entities = parse_entities(path.name) | {'sub': subject_label(relative)}
        for key in ('ses', 'label'):
            if key in entities:
                checked_label(entities[key], key, str(path))
        rows.append(Listed(path, relative.as_posix(), entities))
    return rows


def masks_of_table(source: Path) -> list[Listed]:
    """The rows of a table with the columns ``subject`` and ``path`` and, if need be, ``session`` and ``label``.

    Raises
    ------
    InputError
        If a column, a path or a label is missing or wrong.
    """
    if source.suffix.lower() not in ('.csv', '.tsv') or not source.is_file():
        message = f'{source}: give a folder of masks, or a table (.csv or .tsv)'
        raise InputError(message)
    try:
        text = source.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        message = f'{source}: the table is no UTF-8 text; save it again as such'
        raise InputError(message) from error
    head = text.partition('\n')[0]
    # spreadsheets write semicolons where the comma is the decimal point
    delimiter = '\t' if source.suffix.lower() == '.tsv' else ';' if ',' not in head and ';' in head else ','
    try:
        reader = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter)
        lines = [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        message = f'{source}: the table cannot be read ({error})'
        raise InputError(message) from error
    columns = [name.strip().lower() for name in (lines[0][1] if lines else [])]
    if missing := {'subject', 'path'} - set(columns):
        message = f'{source}: the table has no column {" and ".join(sorted(missing))}; it has {", ".join(repr(name)[1:-1] for name in columns)[:200]}'
        raise InputError(message)
    rows = []
    for number, cells in lines[1:]:
        row = {name: cell.strip() for name, cell in zip(columns, cells, strict=False)}
        if any(row.values()):
            rows.append(_row(source, f'{source}, line {number}', row))
    if not rows:
        message = f'{source}: the table lists no mask'
        raise InputError(message)
    return rows


def _row(source: Path, where: str, row: Mapping[str, str]) -> Listed:
    if not row.get('path'):
        message = f'{where}: the row has no path'
        raise InputError(message)
    entities = {}
    for column, key in (('subject', 'sub'), ('session', 'ses'), ('label', 'label')):
        value = row.get(column, '').removeprefix(f'{key}-')
        if key == 'sub' or value not in ('', 'n/a'):
            entities[key] = checked_label(value, column, where)
    return Listed(source.parent / row['path'], row['path'], entities)
