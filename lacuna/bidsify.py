"""From a folder of lesion masks, or a table that lists them, to a BIDS dataset: checked, nothing overwritten."""

from __future__ import annotations

import csv
import filecmp
import gzip
import hashlib
import io
import re
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lacuna
from lacuna.bids import parse_entities
from lacuna.errors import InputError, MaskError
from lacuna.files import json_bytes, read_json, remove_leftovers, replacing, write_if_changed
from lacuna.masks import read_mask
from lacuna.processes import available_processors
from lacuna.spaces import check_space, world_space
from lacuna.tables import table_bytes

MAPPING = 'bidsify.tsv'
_COLUMNS = ('source', 'target', 'sha256')
#: not 'Lacuna': that is the mark of results, and these are input
_GENERATOR = 'Lacuna bidsify'
_BIDS_VERSION = '1.10.0'
_EXTENSION = re.compile(r'\.nii(\.gz)?$')
_LABEL = re.compile('[0-9A-Za-z]+')
#: parts of a file name that say something else than whose mask it is
_OTHER_ENTITY = re.compile('(ses|space|label)-[^_-]+')
_DEFAULT_LABEL = 'lesion'
#: threads that look at masks; each holds one in memory
_MOST_READERS = 8


@dataclass(frozen=True)
class Entry:
    """One mask and where it goes.

    Attributes
    ----------
    source, target : pathlib.Path
    shown : str
        The source, as the mapping table names it: relative to the folder, or as the table has it.
    """

    source: Path
    target: Path
    shown: str


@dataclass
class Bidsified:
    """What became of the masks.

    Attributes
    ----------
    written, kept : list of pathlib.Path
        Masks that are new, and those that were there already, the same.
    faults : list of str
        Masks that were left out, one line each.
    warnings : list of str
    """

    written: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


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
    stem = _EXTENSION.sub('', path.name)
    for name in (stem, *(parent.name for parent in path.parents)):
        if found := re.search('sub-([0-9A-Za-z]+)', name):
            return found[1]
    parts = [part for part in stem.split('_') if not _OTHER_ENTITY.fullmatch(part)]
    label = ''.join(_LABEL.findall(''.join(parts)))
    if not label:
        message = f'{path}: the name has no letters or digits for a participant; list it in a table (.csv, .tsv) instead'
        raise InputError(message)
    return label


def bidsify(
    source: Path,
    target: Path,
    *,
    space: str,
    session: str | None = None,
    label: str = _DEFAULT_LABEL,
    progress: Callable[[list[Entry], str], Iterable[Entry]] = lambda entries, _: entries,
) -> Bidsified:
    """Copy masks into a BIDS dataset.

    Parameters
    ----------
    source : pathlib.Path
        Folder of NIfTI masks, or a table (``.csv``, ``.tsv``) with the columns ``subject`` and ``path`` (relative to
        the table) and, if need be, ``session`` and ``label``.
    target : pathlib.Path
        Folder of the dataset.
    space : str
        In which all masks are.
    session, label : str, optional
        Of the masks whose name or row has none.
    progress : callable
        Wraps a list of masks; its second argument says what is done with them.

    Raises
    ------
    InputError
        If two masks would have one name, or a name is taken by another file; nothing is written then.
    """
    world_space(space)
    session = session and _checked(session.removeprefix('ses-'), 'session', '--session')
    label = _checked(label.removeprefix('label-'), 'label', '--label')
    rows = _rows_of_folder(source, target) if source.is_dir() else _rows_of_table(source)
    entries = []
    for path, shown, entities in rows:
        relative = target_path(
            entities['sub'], entities.get('ses') or session, space, entities.get('label') or label
        )
        entries.append(Entry(path, target / relative, shown))
    _check_collisions(entries)
    _check_target(target)
    found = Bidsified()
    usable = list(_usable(entries, space, found, progress))
    todo = [entry for entry in usable if not entry.target.exists()]
    found.kept += [entry.target for entry in usable if entry.target.exists()]
    if taken := [entry for entry in usable if entry.target.exists() and not _same(entry)]:
        message = (
            f'{taken[0].target} is there already and is not {taken[0].source}'
            + (f' (and {len(taken) - 1} more such files)' if len(taken) > 1 else '')
            + '; nothing was written: remove it, or choose another folder'
        )
        raise InputError(message)
    if usable:
        _write_description(target, source)
        remove_leftovers(entry.target for entry in todo)
        for entry in progress(todo, 'write'):
            _write(entry)
            found.written.append(entry.target)
        _write_mapping(target, usable)
    return found


def target_path(subject: str, session: str | None, space: str, label: str) -> Path:
    """Where in the dataset a mask goes.

    >>> target_path('01', None, 'MNI152NLin6Asym', 'lesion').as_posix()
    'sub-01/anat/sub-01_space-MNI152NLin6Asym_label-lesion_mask.nii.gz'
    """
    folders = [f'sub-{subject}', *([f'ses-{session}'] if session else [])]
    name = '_'.join([*folders, f'space-{space}', f'label-{label}', 'mask.nii.gz'])
    return Path(*folders, 'anat', name)


def _checked(value: str, what: str, where: str) -> str:
    if not _LABEL.fullmatch(value):
        message = f'{where}: the {what} {value!r} has to be letters and digits'
        raise InputError(message)
    return value


def _rows_of_folder(source: Path, target: Path) -> list[tuple[Path, str, dict[str, str]]]:
    if target.exists() and source.samefile(target):
        message = f'the output folder {target} is the input folder; choose another'
        raise InputError(message)
    inside = target.resolve()
    paths = sorted(
        path
        for path in source.rglob('*')
        if _EXTENSION.search(path.name)
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
                _checked(entities[key], key, str(path))
        rows.append((path, relative.as_posix(), entities))
    return rows


def _rows_of_table(source: Path) -> list[tuple[Path, str, dict[str, str]]]:
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
    lines = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter)
    columns = [name.strip().lower() for name in next(lines, [])]
    if missing := {'subject', 'path'} - set(columns):
        message = (
            f'{source}: the table has no column {" and ".join(sorted(missing))}; it has {", ".join(columns)}'
        )
        raise InputError(message)
    rows = []
    for cells in lines:
        row = {name: cell.strip() for name, cell in zip(columns, cells, strict=False)}
        if any(row.values()):
            rows.append(_row(source, f'{source}, line {lines.line_num}', row))
    if not rows:
        message = f'{source}: the table lists no mask'
        raise InputError(message)
    return rows


def _row(source: Path, where: str, row: Mapping[str, str]) -> tuple[Path, str, dict[str, str]]:
    if not row.get('path'):
        message = f'{where}: the row has no path'
        raise InputError(message)
    entities = {}
    for column, key in (('subject', 'sub'), ('session', 'ses'), ('label', 'label')):
        value = row.get(column, '').removeprefix(f'{key}-')
        if key == 'sub' or value not in ('', 'n/a'):
            entities[key] = _checked(value, column, where)
    return source.parent / row['path'], row['path'], entities


def _check_collisions(entries: Iterable[Entry]) -> None:
    seen: dict[Path, Entry] = {}
    for entry in entries:
        if (other := seen.setdefault(entry.target, entry)) is not entry:
            message = (
                f'two masks have one name in the dataset ({entry.target.name}): {other.source} and {entry.source}; '
                'list them in a table with different subject, session or label'
            )
            raise InputError(message)


def _check_target(target: Path) -> None:
    path = target / 'dataset_description.json'
    tools = (read_json(path) or {}).get('GeneratedBy') or []
    ours = any(isinstance(tool, dict) and tool.get('Name') == _GENERATOR for tool in tools)
    if path.exists() and not ours:
        message = f'the output folder {target} holds another dataset; choose another'
        raise InputError(message)


def _usable(
    entries: list[Entry],
    space: str,
    found: Bidsified,
    progress: Callable[[list[Entry], str], Iterable[Entry]],
) -> Iterable[Entry]:
    # most of the time goes into unpacking, which threads do side by side
    with ThreadPoolExecutor(min(_MOST_READERS, available_processors())) as pool:
        looks = pool.map(lambda entry: _look(entry, space), entries)
        for entry, (fault, warning) in zip(progress(entries, 'check'), looks, strict=True):
            if fault:
                found.faults.append(fault)
                continue
            if warning:
                found.warnings.append(f'{entry.source}: {warning}')
            yield entry


def _look(entry: Entry, space: str) -> tuple[str | None, str | None]:
    """What keeps a mask out, and what is doubtful about it."""
    if not _EXTENSION.search(entry.source.name):
        return f'{entry.source}: a mask is a NIfTI file (.nii or .nii.gz)', None
    named = parse_entities(entry.source.name).get('space')
    try:
        if named and world_space(named) != world_space(space):
            return f'{entry.source}: its name says {named}, --space {space}; convert it on its own', None
    except InputError as error:
        return f'{entry.source}: {error} (in its name)', None
    try:
        mask = read_mask(entry.source)
    except MaskError as error:
        return str(error), None
    empty = None if mask.data.any() else 'the mask is empty'
    doubt = check_space(space, mask.data.shape, mask.affine)
    return None, '; '.join(filter(None, (empty, doubt)))


def _same(entry: Entry) -> bool:
    """Whether the file that is there holds what would be written."""
    if entry.source.name.endswith('.gz'):
        return filecmp.cmp(entry.source, entry.target, shallow=False)
    try:
        # the content, not the compressed bytes: those depend on the version of zlib
        return gzip.decompress(entry.target.read_bytes()) == entry.source.read_bytes()
    except (OSError, EOFError, zlib.error):
        return False


def _write(entry: Entry) -> None:
    with replacing(entry.target) as temporary:
        if entry.source.name.endswith('.gz'):
            shutil.copyfile(entry.source, temporary)
            return
        with (
            entry.source.open('rb') as plain,
            temporary.open('wb') as raw,
            # neither name nor time in the header: the same mask gives the same file
            gzip.GzipFile(filename='', mode='wb', fileobj=raw, mtime=0) as packed,
        ):
            shutil.copyfileobj(plain, packed)


def _write_description(target: Path, source: Path) -> None:
    """Describe the dataset; what an earlier call wrote is kept, its sources as well."""
    path = target / 'dataset_description.json'
    description: dict[str, Any] = read_json(path) or {
        'Name': 'Lesion masks',
        'BIDSVersion': _BIDS_VERSION,
        'DatasetType': 'derivative',
        'GeneratedBy': [{'Name': _GENERATOR, 'Version': lacuna.__version__}],
    }
    sources = description.get('SourceDatasets') or []
    new = {'URL': (source if source.is_dir() else source.parent).absolute().as_uri()}
    write_if_changed(
        path, json_bytes({**description, 'SourceDatasets': [*sources, *([] if new in sources else [new])]})
    )
    if not (ignored := target / '.bidsignore').exists():
        write_if_changed(ignored, f'{MAPPING}\n'.encode())


def _write_mapping(target: Path, entries: Iterable[Entry]) -> None:
    """Add to the table what is not in it yet."""
    path = target / MAPPING
    rows: dict[str, tuple[str, ...]] = {}
    if path.is_file():
        with path.open(newline='', encoding='utf-8') as file:
            for row in csv.DictReader(file, delimiter='\t'):
                rows[row['target']] = tuple(row[column] for column in _COLUMNS)
    for entry in entries:
        name = entry.target.relative_to(target).as_posix()
        with entry.target.open('rb') as file:
            rows[name] = (entry.shown, name, hashlib.file_digest(file, 'sha256').hexdigest())
    write_if_changed(path, table_bytes(_COLUMNS, (rows[name] for name in sorted(rows))))
