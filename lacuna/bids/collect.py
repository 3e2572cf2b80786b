"""Group tables: the results of all lesions of a dataset, one row per lesion."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lacuna.bids.failures import find_wanted
from lacuna.bids.groups import (
    LONG_HEADER,
    Member,
    Row,
    find_missing,
    group_members,
    leading_cells,
    long_rows,
    read_group,
    wide_rows,
)
from lacuna.bids.inputs import matches
from lacuna.bids.outputs import outputs
from lacuna.bids.results import find_results
from lacuna.bids.tables import LEADING, GroupTable, table_bytes, write_stack, write_tables
from lacuna.errors import InputError
from lacuna.utils.progress import counting
from lacuna.utils.sidecars import generator

_LONG = 'group_method-snm_desc-long_stats.tsv'


@dataclass
class Collection:
    """Result of `collect`.

    Attributes
    ----------
    files, participants, kinds : int
        Numbers of files, participants and output types (session, label, atlas, output).
    tables : dict
        Numbers of rows and columns of each table, by path.
    written : set of pathlib.Path
        Tables that are new or changed.
    missing : list of str
        One line per mask without results, and per missing file that other lesions have; these are rows of ``n/a``.
    faults : list of str
        One line per file that was left out.
    notes : list of str
        What could not be determined.
    """

    files: int
    participants: int
    kinds: int
    tables: dict[Path, tuple[int, int]] = field(default_factory=dict)
    written: set[Path] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


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

    Masks that failed or have no result get a row of ``n/a``. Results that do not match the others of their table (other
    regions, tractogram, atlas or parameters, or a number that is not finite) are left out and reported. Nothing is
    written if an existing table differs by more than new rows.

    Parameters
    ----------
    root : pathlib.Path
        The derivative dataset.
    output_dir : pathlib.Path, optional
        Folder of the tables; by default `root`.
    pattern : str, optional
        Glob for the names of the results (or, with a slash, for their paths below `root`).
    overwrite : bool
        Replace tables that differ.
    matrices : bool
        Also stack the matrices (``.npz``).
    long : bool
        Also write everything into one long table.
    show_progress : bool
        Whether to show a progress bar on a terminal.

    Returns
    -------
    Collection

    Raises
    ------
    InputError
        If there is nothing to collect, a result exists twice, or an existing table differs.
    """
    if not root.is_dir():
        message = f'no folder {root}'
        raise InputError(message)
    there = find_results(root)
    there.check_names()
    members = [
        member
        for lesion in there
        for member in lesion.members()
        if (matrices or not member.is_matrix)
        and (not pattern or matches(member.path.relative_to(root), pattern))
    ]
    if not members:
        matching = f' that matches {pattern!r}' if pattern else ''
        message = f'nothing to collect in {root}: no table or statistics of a lesion{matching}'
        raise InputError(message)
    groups = group_members(members)
    wanted = find_wanted(root)
    absent = wanted.lacking(lesion.stem for lesion in there)
    missing = find_missing(groups, (each.stem for each in absent), pattern)
    found = Collection(
        len(members), len({member.participant for member in members}), len(groups), notes=wanted.notes
    )
    lacking = set().union(*missing.values())
    for each in absent:
        if each.stem in lacking or not pattern:
            kind, _, reason = each.status.partition(': ')
            found.missing.append(f'{kind}: {each.path or each.stem}' + (f': {reason}' if reason else ''))
    without = {each.stem for each in absent}
    target = output_dir or root
    target.mkdir(parents=True, exist_ok=True)
    tables: list[GroupTable] = []
    with (
        tempfile.TemporaryDirectory(prefix='.tmp-collect-', dir=target) as folder,
        counting('collect', len(members), unit=' files', show=show_progress) as advance,
    ):
        for group, members in groups.items():
            found.missing += [
                f'missing, although other lesions have it: {name}'
                for stem, name in missing[group].items()
                if stem not in without
            ]
            stack = Path(folder, group)
            with stack.open('wb') as stream:
                rows = read_group(group, members, found.faults, stream, advance)
            if rows:
                tables += _tables(members, rows, missing[group], root, target, stack, long=long)
        if long and (table := _long_table(tables, target, Path(folder))):
            tables.append(table)
        found.written = write_tables(tables, overwrite=overwrite)
        found.tables = {table.path: table.shape for table in tables}
    return found


def _tables(
    members: Sequence[Member],
    rows: Sequence[Row],
    missing: Mapping[str, str],
    root: Path,
    target: Path,
    stack: Path,
    *,
    long: bool,
) -> Iterator[GroupTable]:
    """Yield the table of a group, and one for each of its parts by region."""
    output, used = members[0].output, {row.member for row in rows}
    here, there = target.resolve(), root.resolve()
    left_out = [member.path.name for member in members if member not in used]
    sidecar = {
        'Sources': [_source(row.member.path.relative_to(root), there, here) for row in rows],
        **rows[0].common,
        **({'Missing': list(missing.values())} if missing else {}),
        **({'LeftOut': left_out} if left_out else {}),
        'GeneratedBy': [generator()],
    }
    for part, (names, _) in rows[0].parts.items():
        about = {'Description': f'{output.about} One row for each lesion.'}
        if part:
            about = {'Description': f'{part} of each region; one row for each lesion.'}
        elif output.units:
            about['Units'] = output.units
        path = target / _file_name(members[0], part)
        if members[0].is_matrix:
            yield GroupTable(
                path, (len(rows), len(names)), _stacked(rows, names, stack), {**about, **sidecar}
            )
            continue
        lesions = wide_rows(rows, missing, part)
        nothing = [None] * len(names)
        cells = ((*leading_cells(stem), *(nothing if values is None else values)) for stem, values in lesions)
        content = stack.with_name(path.name)
        content.write_bytes(table_bytes((*LEADING, *names), cells))
        if long:
            lines = long_rows(members[0], part, names, lesions)
            stack.with_name(f'{path.name}.long').write_bytes(table_bytes((), lines).partition(b'\n')[2])
        yield GroupTable(path, (len(lesions), len(names)), content, {**about, **sidecar})


def _long_table(tables: Sequence[GroupTable], target: Path, folder: Path) -> GroupTable | None:
    """Concatenate the parts of the long table that were written for each group."""
    parts = sorted(folder.glob('*.long'))
    if not parts:
        return None
    content, lines = folder / _LONG, 0
    with content.open('wb') as stream:
        stream.write(table_bytes(LONG_HEADER, ()))
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
        'GeneratedBy': [generator()],
    }
    shape = (lines, len(LONG_HEADER))
    return GroupTable(target / _LONG, shape, content, sidecar, len(LONG_HEADER) - 1)


def _file_name(member: Member, part: str) -> str:
    output = member.output
    if member.is_matrix:
        return f'{member.group}.npz'
    if not part:
        return f'{member.group}.tsv'
    by_region = f'desc-{part.replace("_", "")}_{outputs()["roi_disconnection"].suffix}.tsv'
    return member.group.removesuffix(f'desc-{output.desc}_{output.suffix}') + by_region


def _source(path: Path, root: Path, target: Path) -> str:
    """Return a BIDS URI for a file in the dataset, else the path relative to the table."""
    if target == root:
        return f'bids::{path.as_posix()}'
    return Path(os.path.relpath(root / path, target)).as_posix()


def _stacked(rows: Sequence[Row], names: Sequence[str], stack: Path) -> Path:
    size = len(names)

    def matrices() -> Iterator[np.ndarray]:
        with stack.open('rb') as stream:
            for row in rows:
                stream.seek(row.parts[''].values[0])
                yield np.fromfile(stream, float, size * size)

    packed = stack.with_name(f'{stack.name}.npz')
    cells = zip(*(row.member.row for row in rows), strict=True)
    labels = {'regions': names, **dict(zip(LEADING, cells, strict=True))}
    write_stack(packed, 'matrices', matrices(), (len(rows), size, size), labels)
    return packed
