"""List the masks in a folder or a table, with their participants."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from lacuna.bids.inputs import LABEL, file_label, matches, refuse_labels, written_label
from lacuna.errors import InputError, shorten
from lacuna.utils.names import NIFTI, parse_entities
from lacuna.utils.tables import read_table

#: entities in a file name that do not identify the participant
_OTHER_ENTITY = re.compile('(ses|space|label)-[^_-]+')
_FOLDER_OF_SESSION = re.compile('ses-([0-9A-Za-z]+)')
#: names of folders that do not identify the participant
_NO_PARTICIPANT = re.compile('ses-.*|anat|dwi|func|perf')


class Listed(NamedTuple):
    """A mask, its name as listed, and its entities ``sub``, ``ses`` and ``label``."""

    path: Path
    shown: str
    entities: dict[str, str]


def subject_label(path: Path) -> str:
    """Derive the label of a participant from the path of a mask below the source folder.

    The label is an explicit ``sub-XXX`` in the file name, as written; else one in the name of the nearest folder that
    has it; else all letters and digits of the file name without its entities ``ses``, ``space`` and ``label``.

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
    if explicit := _explicit_label(path):
        return explicit
    stem = NIFTI.sub('', path.name)
    parts = [part for part in stem.split('_') if not _OTHER_ENTITY.fullmatch(part)]
    label = ''.join(LABEL.findall(''.join(parts)))
    if not label:
        message = f'{path}: the name has no letters or digits for a participant; list it in a table (.csv, .tsv) instead'
        raise InputError(message)
    return label


def _explicit_label(path: Path) -> str | None:
    """Return the label after ``sub-`` in the name of the file, or of the nearest folder that has one."""
    if label := file_label(path):
        return label
    for parent in path.parents:
        if found := re.search('sub-.+', parent.name):
            return found[0].removeprefix('sub-') if found.start() == 0 else written_label(found[0])
    return None


def checked_label(value: str, what: str, where: str) -> str:
    """Return a label, or raise InputError if it is invalid.

    Raises
    ------
    InputError
    """
    if not LABEL.fullmatch(value):
        message = f'{where}: the {what} {shorten(value)} may only have letters and digits'
        raise InputError(message)
    return value


def masks_of_folder(source: Path, target: Path, pattern: str | None = None) -> list[Listed]:
    """List the NIfTI files below a folder, except those in the target folder.

    If several share a name, as ``P01/lesion.nii.gz`` and ``P02/lesion.nii.gz``, the folders determine the participants.

    Parameters
    ----------
    source, target : pathlib.Path
    pattern : str, optional
        Glob for the names (or, with a slash, for the paths below `source`).

    Raises
    ------
    InputError
        If there are none, or a name has no valid label.
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
        and (pattern is None or matches(path.relative_to(source), pattern))
        and path.is_file()
    )
    if not paths:
        which = f' that matches {pattern!r}' if pattern else ''
        message = f'no mask found in {source}: no file{which} ends with .nii or .nii.gz'
        raise InputError(message)
    explicit = [(path, _explicit_label(path.relative_to(source))) for path in paths]
    refuse_labels((path, label) for path, label in explicit if label)
    by_folder = _labels_of_folders([path.relative_to(source) for path, label in explicit if not label])
    rows = []
    for path in paths:
        relative = path.relative_to(source)
        entities = _session_of_folder(relative) | parse_entities(path.name)
        entities['sub'] = by_folder.get(relative) or subject_label(relative)
        for key in ('ses', 'label'):
            if key in entities:
                checked_label(entities[key], key, str(path))
        rows.append(Listed(path, relative.as_posix(), entities))
    return rows


def _labels_of_folders(paths: Iterable[Path]) -> dict[Path, str]:
    """Return labels for files that share a name: letters and digits of the folders that differ.

    >>> {str(path): label for path, label in _labels_of_folders(map(Path, ('x/P-1/a.nii', 'x/P-2/a.nii', 'x/b.nii'))).items()}
    {'x/P-1/a.nii': 'P1', 'x/P-2/a.nii': 'P2'}
    """
    sharing: dict[str, list[Path]] = {}
    for path in paths:
        sharing.setdefault(path.name, []).append(path)
    labels = {}
    for same in sharing.values():
        folders = {
            path: [part for part in path.parts[:-1] if not _NO_PARTICIPANT.fullmatch(part)] for path in same
        }
        levels = [set(level) for level in zip_longest(*folders.values())]
        for path, parts in folders.items() if len(same) > 1 else ():
            differing = [part for part, level in zip(parts, levels, strict=False) if len(level) > 1]
            labels[path] = ''.join(LABEL.findall(''.join(differing or parts)))
    return {path: label for path, label in labels.items() if label}


def _session_of_folder(path: Path) -> dict[str, str]:
    found = (_FOLDER_OF_SESSION.fullmatch(parent.name) for parent in path.parents)
    return next(({'ses': session[1]} for session in found if session), {})


def masks_of_table(source: Path, pattern: str | None = None) -> list[Listed]:
    """List the rows of a table with the columns ``subject`` and ``path``, and optionally ``session`` and ``label``.

    Parameters
    ----------
    source : pathlib.Path
    pattern : str, optional
        Glob for the names (or, with a slash, for the paths in the table).

    Raises
    ------
    InputError
        If a column, a path or a label is missing or wrong.
    """
    if source.suffix.lower() not in ('.csv', '.tsv') or not source.is_file():
        message = f'{source}: give a folder of masks, or a table (.csv or .tsv)'
        raise InputError(message)
    columns, lines = read_table(source)
    names = {name.lower(): name for name in columns}
    if missing := {'subject', 'path'} - set(names):
        message = f'{source}: the table has no column {" and ".join(sorted(missing))}; its columns are {", ".join(repr(name)[1:-1] for name in columns)[:200]}'
        raise InputError(message)
    rows = [
        _row(source, f'{source}, line {number}', {name: cells[column] for name, column in names.items()})
        for number, cells in lines
    ]
    rows = [row for row in rows if pattern is None or matches(Path(row.shown), pattern)]
    if not rows:
        message = f'{source}: the table lists no mask' + (f' that matches {pattern!r}' if pattern else '')
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
