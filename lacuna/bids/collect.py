"""Group tables: what was found for each lesion of a dataset, one row each."""

from __future__ import annotations

import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import lacuna
from lacuna.bids import long_table as longtable
from lacuna.bids.completeness import Absent, find_absent
from lacuna.bids.group_table import LEADING, GroupTable, write_tables
from lacuna.bids.long_table import long_rows
from lacuna.bids.outputs import outputs
from lacuna.bids.results import Result, find_results, is_matrix, leading_cells, matches
from lacuna.bids.sidecars import identity
from lacuna.bids.tables import (
    NOT_AVAILABLE,
    Values,
    read_matrix,
    read_statistics,
    read_values,
    table_bytes,
    write_stack,
)
from lacuna.errors import InputError
from lacuna.utils.files import read_json
from lacuna.utils.names import few
from lacuna.utils.progress import counting

#: what the sidecars of all rows have in common, and that of the table repeats
_COMMON = ('Space', 'Tractogram', 'Atlas', 'Parameters')


@dataclass
class Collection:
    """What was collected.

    Attributes
    ----------
    files, participants, kinds : int
        Number of files, of participants they belong to, and of output types (session, label, atlas, output).
    tables : dict
        Number of rows and of columns of each table, by its path.
    written : set of pathlib.Path
        The tables that were not there before, or not like this.
    missing : list of str
        One line for each mask without results, and for each file that others have; rows of ``n/a`` in the tables.
    faults : list of str
        One line for each file that was left out.
    notes : list of str
        What could not be found out.
    """

    files: int
    participants: int
    kinds: int
    tables: dict[Path, tuple[int, int]] = field(default_factory=dict)
    written: set[Path] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Row:
    """What one result gives: the columns and values of its table, and of those made of its parts by region.

    Of a matrix, the only value is where it starts in the file of all matrices: a cohort's may not fit into memory.
    """

    result: Result
    parts: Mapping[str, Values]
    identity: Mapping[str, str]
    common: Mapping[str, Any]

    @property
    def columns(self) -> tuple[Hashable, ...]:
        return tuple((part, values.names) for part, values in self.parts.items())


def collect(
    root: Path,
    output_dir: Path | None = None,
    *,
    pattern: str | None = None,
    overwrite: bool = False,
    matrices: bool = False,
    long: bool = False,
    show_progress: bool = False,
) -> Collection:
    """Write one table for each session, label, atlas and output of a derivative dataset.

    A mask that failed, or that has no result for another reason, is a row of ``n/a``. A result that does not fit the
    others of its table (other regions, another tractogram, atlas or parameters, a number that is not finite) is left
    out and named. Nothing is written if a table that is there differs by more than new rows.

    Parameters
    ----------
    root : pathlib.Path
        The derivative dataset.
    output_dir : pathlib.Path, optional
        Folder of the tables; by default `root`.
    pattern : str, optional
        Glob on the names of the results (or, with a slash, on their paths below `root`).
    overwrite : bool
        Whether tables that differ may be replaced.
    matrices : bool
        Whether the matrices are stacked, too (``.npz``).
    long : bool
        Whether all is written into one long table, too.
    show_progress : bool
        Whether a bar is shown on a terminal.

    Returns
    -------
    Collection

    Raises
    ------
    InputError
        If there is nothing to collect, a result is there twice, or a table that is there differs.
    """
    there = find_results(root)
    results = [
        result
        for result in there
        if (matrices or not is_matrix(result.output))
        and (not pattern or matches(result.path.relative_to(root), pattern))
    ]
    if not results:
        matching = f' that matches {pattern!r}' if pattern else ''
        message = f'nothing to collect in {root}: no table or statistics of a lesion{matching}'
        raise InputError(message)
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        groups[result.group].append(result)
    found = Collection(len(results), len({result.participant for result in results}), len(groups))
    absent, found.notes = find_absent(root, {result.stem for result in there})
    absent = [each for each in absent if each.fails]
    named = [each.stem for each in absent if each.stem.startswith('sub-')]
    missing = _missing(groups, named, pattern)
    wanted = set().union(*missing.values())
    found.missing += [
        f'{each.status.partition(":")[0]}: {each.path or each.stem}{_reason(each)}'
        for each in absent
        if each.stem in wanted or not pattern
    ]
    without = {each.stem for each in absent}
    target = output_dir or root
    target.mkdir(parents=True, exist_ok=True)
    tables: list[GroupTable] = []
    with (
        tempfile.TemporaryDirectory(prefix='.tmp-collect-', dir=target) as folder,
        counting('collect', len(results), unit=' files', show=show_progress) as advance,
    ):
        for group, members in groups.items():
            names = _file_names(group, members[0], missing[group])
            found.missing += [
                f'missing, though others have theirs: {name}'
                for stem, name in names.items()
                if stem not in without
            ]
            stack = Path(folder, group)
            rows = []
            with stack.open('wb') as stream:
                for result in members:
                    try:
                        rows.append(_read(result, stream))
                    except InputError as error:
                        found.faults.append(f'left out: {error}')
                    advance(1)
            if rows := _agreeing(group, rows, found.faults):
                tables += _tables(members, rows, names, root, target, stack, long=long)
        if long and (table := _long_table(tables, target, Path(folder))):
            tables.append(table)
        found.written = write_tables(tables, overwrite=overwrite)
        found.tables = {table.path: table.shape for table in tables}
    return found


def _reason(absent: Absent) -> str:
    reason = absent.status.partition(': ')[2]
    return f': {reason}' if reason else ''


def _missing(
    groups: Mapping[str, Sequence[Result]], without: Iterable[str], pattern: str | None
) -> dict[str, list[str]]:
    """By group, what leads the names of the results that it lacks.

    Those are of lesions with other results of the same session and label, and of masks without any.
    """
    lesions: dict[str, set[str]] = defaultdict(set)
    for members in groups.values():
        for result in members:
            lesions[result.lesion].add(result.stem)
    for stem in without:
        lesions[stem.removeprefix(leading_cells(stem)[0])].add(stem)
    missing = {}
    for group, members in groups.items():
        lacking = sorted(lesions[members[0].lesion] - {result.stem for result in members})
        names = _file_names(group, members[0], lacking)
        missing[group] = [
            stem for stem, name in names.items() if not pattern or matches(_folder(stem) / name, pattern)
        ]
    return missing


def _file_names(group: str, member: Result, stems: Iterable[str]) -> dict[str, str]:
    """Names of the files that a group lacks, by what leads them."""
    end = group.removeprefix('group' + member.lesion) + member.output.extension
    return {stem: stem + end for stem in stems}


def _folder(stem: str) -> Path:
    participant, session, _ = leading_cells(stem)
    return Path(participant, session if session != NOT_AVAILABLE else '', 'anat')


def _read(result: Result, stream: BinaryIO) -> _Row:
    """Read one result; a matrix goes to the end of `stream`."""
    path = result.path
    sidecar = read_json(result.made_by) if result.made_by else None
    if sidecar is None:
        message = f'{path}: no JSON file beside it says how it was made; run it again'
        raise InputError(message)
    if is_matrix(result.output):
        names, matrix = read_matrix(path)
        parts = {'': Values(names, (stream.tell(),))}
        stream.write(matrix.data)
    elif result.output.extension == '.tsv':
        parts = {'': read_values(path)}
    else:
        parts = read_statistics(path)
    for values in parts.values():
        if clash := set(LEADING).intersection(values.names):
            message = f'{path}: a column would be called {clash.pop()!r} like one of the leading columns'
            raise InputError(message)
    return _Row(
        result,
        parts,
        {name: str(value) for name, value in identity(sidecar).items()},
        {key: sidecar[key] for key in _COMMON if key in sidecar},
    )


def _agreeing(group: str, rows: list[_Row], faults: list[str]) -> list[_Row]:
    """The rows that have the columns and the provenance of most; the others are added to `faults`."""
    rows = _like_most(group, rows, lambda row: row.columns, _other_columns, faults)
    return _like_most(group, rows, lambda row: tuple(row.identity.items()), _other_identity, faults)


def _like_most(
    group: str,
    rows: list[_Row],
    key: Callable[[_Row], Hashable],
    describe: Callable[[_Row, _Row], str],
    faults: list[str],
) -> list[_Row]:
    counts = Counter(map(key, rows))
    if len(counts) < 2:
        return rows
    usual, times = counts.most_common(1)[0]
    typical = next(row for row in rows if key(row) == usual)
    others = [row for row in rows if key(row) != usual]
    if 2 * times <= len(rows):
        path, rest = others[0].result.path, len(rows) - times
        faults.append(
            f'no table {group}: {times} results and {rest} others do not go together '
            f'({path}: {describe(others[0], typical)}); choose with --pattern'
        )
        return []
    faults += [f'left out: {row.result.path}: {describe(row, typical)}' for row in others]
    return [row for row in rows if key(row) == usual]


def _other_columns(row: _Row, typical: _Row) -> str:
    own, usual = (
        dict.fromkeys(name for values in one.parts.values() for name in values.names)
        for one in (row, typical)
    )
    lacks, has = [name for name in usual if name not in own], [name for name in own if name not in usual]
    found = [f'it lacks {few(lacks, 3)}'] * bool(lacks) + [f'it has {few(has, 3)}'] * bool(has)
    how = ' and '.join(found) or 'the same in another order'
    return f'other columns than the others ({how}); was it made with another label table?'


def _other_identity(row: _Row, typical: _Row) -> str:
    return '; '.join(
        f'{name} is {value[:12]}, but {typical.identity[name][:12]} for the others'
        for name, value in row.identity.items()
        if value != typical.identity[name]
    )


def _tables(
    members: Sequence[Result],
    rows: Sequence[_Row],
    missing: Mapping[str, str],
    root: Path,
    target: Path,
    stack: Path,
    *,
    long: bool,
) -> Iterator[GroupTable]:
    """The table of a group, and one more for each of its parts by region."""
    output, used = members[0].output, {row.result for row in rows}
    here, there = target.resolve(), root.resolve()
    left_out = [result.path.name for result in members if result not in used]
    sidecar = {
        'Sources': [_source(row.result.path.relative_to(root), there, here) for row in rows],
        **rows[0].common,
        **({'Missing': list(missing.values())} if missing else {}),
        **({'LeftOut': left_out} if left_out else {}),
        'GeneratedBy': [{'Name': 'Lacuna', 'Version': lacuna.__version__}],
    }
    for part, (names, _) in rows[0].parts.items():
        about = {'Description': f'{output.about} One row for each lesion.'}
        if part:
            about = {'Description': f'{part} of each region; one row for each lesion.'}
        elif output.units:
            about['Units'] = output.units
        path = target / _file_name(members[0], part)
        if is_matrix(output):
            yield GroupTable(
                path, (len(rows), len(names)), _stacked(rows, names, stack), {**about, **sidecar}
            )
            continue
        lesions: list[tuple[str, Sequence[Any] | None]] = [
            *((row.result.stem, row.parts[part].values) for row in rows),
            *((stem, None) for stem in missing),
        ]
        lesions.sort(key=lambda lesion: leading_cells(lesion[0]))
        nothing = [None] * len(names)
        content = table_bytes(
            (*LEADING, *names),
            ((*leading_cells(stem), *(nothing if values is None else values)) for stem, values in lesions),
        )
        if long:
            lines = long_rows(members[0], part, names, lesions)
            stack.with_name(f'{path.name}.long').write_bytes(table_bytes((), lines).partition(b'\n')[2])
        yield GroupTable(path, (len(lesions), len(names)), content, {**about, **sidecar})


def _long_table(tables: Sequence[GroupTable], target: Path, folder: Path) -> GroupTable | None:
    """All tables in one, from the parts that were written for each."""
    parts = sorted(folder.glob('*.long'))
    if not parts:
        return None
    content, lines = folder / longtable.NAME, 0
    with content.open('wb') as stream:
        stream.write(table_bytes(longtable.HEADER, ()))
        for part in parts:
            text = part.read_bytes()
            lines += text.count(b'\n')
            stream.write(text)
    wide = sorted(
        (table for table in tables if table.path.suffix == '.tsv'), key=lambda table: table.path.name
    )
    sidecar = {
        'Description': 'All numbers of the group tables: a row for each lesion and feature.',
        'Sources': [table.path.name for table in wide],
        'GeneratedBy': [{'Name': 'Lacuna', 'Version': lacuna.__version__}],
    }
    shape = (lines, len(longtable.HEADER))
    return GroupTable(target / longtable.NAME, shape, content, sidecar, len(longtable.HEADER) - 1)


def _file_name(result: Result, part: str) -> str:
    output = result.output
    if is_matrix(output):
        return f'{result.group}.npz'
    if not part:
        return f'{result.group}.tsv'
    by_region = f'desc-{part.replace("_", "")}_{outputs()["roi_disconnection"].suffix}.tsv'
    return result.group.removesuffix(f'desc-{output.desc}_{output.suffix}') + by_region


def _source(path: Path, root: Path, target: Path) -> str:
    """A BIDS URI if the table lies in the dataset itself, else the path from the table."""
    if target == root:
        return f'bids::{path.as_posix()}'
    return Path(os.path.relpath(root / path, target)).as_posix()


def _stacked(rows: Sequence[_Row], names: Sequence[str], stack: Path) -> Path:
    size = len(names)

    def matrices() -> Iterator[np.ndarray]:
        with stack.open('rb') as stream:
            for row in rows:
                stream.seek(row.parts[''].values[0])
                yield np.fromfile(stream, float, size * size)

    packed = stack.with_name(f'{stack.name}.npz')
    cells = zip(*(row.result.row for row in rows), strict=True)
    labels = {'regions': names, **dict(zip(LEADING, cells, strict=True))}
    write_stack(packed, 'matrices', matrices(), (len(rows), size, size), labels)
    return packed
