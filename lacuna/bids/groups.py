"""Group results by session, label, atlas and kind: read and compare them, and find missing ones."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from lacuna.bids.inputs import matches, written_label
from lacuna.bids.outputs import Output, Target, outputs
from lacuna.bids.sidecars import damage, identity
from lacuna.bids.tables import (
    LEADING,
    NOT_AVAILABLE,
    read_columns,
    read_matrix,
    read_parcels,
    read_statistics,
)
from lacuna.errors import InputError, reason_of
from lacuna.images.parcels import read_parcel
from lacuna.utils.files import read_json
from lacuna.utils.names import few, parse_entities

LONG_HEADER = ('participant', 'session', 'label', 'run', 'hemisphere', 'feature', 'value')
#: entities with a column in the long table
_COLUMNS = {'sub', 'ses', 'label', 'run'}
#: sidecar fields shared by all rows, which the sidecar of the table repeats
_COMMON = ('Space', 'Tractogram', 'Tractograms', 'Atlas', 'Parameters')


@dataclass(frozen=True)
class Member:
    """One table, matrix, statistics file or map of one lesion.

    Attributes
    ----------
    path : pathlib.Path
    target : lacuna.bids.outputs.Target
    stem : str
        Common beginning of the names of the lesion's outputs.
    made_by : pathlib.Path or None
        Sidecar that records how it was made: its own, or that of another result of the same run.
    """

    path: Path
    target: Target
    stem: str
    made_by: Path | None

    @property
    def output(self) -> Output:
        """Entry in the table of outputs."""
        return outputs()[self.target.key]

    @property
    def row(self) -> tuple[str, str, str]:
        """Leading cells of its row."""
        return leading_cells(self.stem)

    @property
    def participant(self) -> str:
        """Label with ``sub-``."""
        return self.row[0]

    @property
    def lesion(self) -> str:
        """Stem without the participant, the same for all lesions of this session and label."""
        return self.stem.removeprefix(self.participant)

    @property
    def group(self) -> str:
        """Name of the group table, without its extension."""
        return 'group' + self.path.name.removeprefix(self.participant).removesuffix(self.output.extension)

    @property
    def is_matrix(self) -> bool:
        """Whether it is a matrix of regions."""
        return self.output.suffix == outputs()['disconnection_matrix'].suffix


class Values(NamedTuple):
    """Named values in order."""

    names: tuple[str, ...]
    values: Sequence[Any]


@dataclass(frozen=True)
class Row:
    """The content of one result: columns and values of its table, and of the tables made from its parts by region.

    For a matrix, the only value is its offset in the file of all matrices, which may not fit into memory.
    """

    member: Member
    parts: Mapping[str, Values]
    identity: Mapping[str, str]
    common: Mapping[str, Any]

    @property
    def columns(self) -> tuple[Hashable, ...]:
        """What the rows of a table must have in common."""
        return tuple((part, values.names) for part, values in self.parts.items())


def leading_cells(stem: str) -> tuple[str, str, str]:
    """Return participant, session and label of a lesion; ``n/a`` where its name has none.

    >>> leading_cells('sub-01_label-lesion')
    ('sub-01', 'n/a', 'lesion')
    """
    entities = parse_entities(stem)
    session = f'ses-{entities["ses"]}' if 'ses' in entities else NOT_AVAILABLE
    return f'sub-{written_label(stem)}', session, entities.get('label', NOT_AVAILABLE)


def group_members(members: Iterable[Member]) -> dict[str, list[Member]]:
    """Group members by the name of their table, in the order of participants and names."""
    groups: dict[str, list[Member]] = defaultdict(list)
    for member in sorted(members, key=lambda member: (member.row, member.path.name)):
        groups[member.group].append(member)
    return groups


def find_missing(
    groups: Mapping[str, Sequence[Member]], absent: Iterable[str], pattern: str | None = None
) -> dict[str, dict[str, str]]:
    """Return the names of missing files, by group and stem.

    These are files of lesions with other results of the same session and label, and of masks without any results.
    """
    lesions: dict[str, set[str]] = defaultdict(set)
    for members in groups.values():
        for member in members:
            lesions[member.lesion].add(member.stem)
    for stem in absent:
        if stem.startswith('sub-'):
            lesions[stem.removeprefix(leading_cells(stem)[0])].add(stem)
    missing = {}
    for group, members in groups.items():
        end = group.removeprefix('group' + members[0].lesion) + members[0].output.extension
        lacking = sorted(lesions[members[0].lesion] - {member.stem for member in members})
        names = {stem: stem + end for stem in lacking}
        missing[group] = {
            stem: name
            for stem, name in names.items()
            if not pattern or matches(_folder(stem) / name, pattern)
        }
    return missing


def _folder(stem: str) -> Path:
    participant, session, _ = leading_cells(stem)
    return Path(participant, session if session != NOT_AVAILABLE else '', 'anat')


def read_member(member: Member, stream: BinaryIO | None = None) -> Row:
    """Read one result; a matrix is appended to `stream`.

    Raises
    ------
    InputError
        If it is unreadable, or not the file whose checksum is in the sidecar that records how it was made.
    """
    path = member.path
    sidecar = read_json(member.made_by) if member.made_by else None
    if sidecar is None:
        message = f'{path}: the JSON file that records how it was made is missing; run it again'
        raise InputError(message)
    try:
        problem = damage(path, sidecar, verify=True)
    except OSError as error:
        problem = reason_of(error, path)
    if problem:
        message = f'{path}: this is not the file that its JSON file describes ({problem}); run it again'
        raise InputError(message)
    if member.is_matrix and stream:
        matrix = read_matrix(path)
        parts = {'': Values(tuple(matrix.index), (stream.tell(),))}
        stream.write(matrix.to_numpy().tobytes())
    elif member.output.extension == '.nii.gz':
        parts = {}  # whoever compares maps reads them
    elif member.output.made_from == 'bundles':
        bundles = read_columns(path, 'bundle').iloc[:, 0]  # `value` or `mean`
        parts = {'': Values(tuple(bundles.index), bundles.tolist())}
    elif member.output.extension == '.tsv':
        parcels = read_parcels(path)
        parts = {'': Values(tuple(parcels.index), parcels.tolist())}
    else:
        found = read_statistics(path)
        parts = {part: Values(tuple(values), list(values.values())) for part, values in found.items()}
    for values in parts.values():
        if clash := set(LEADING).intersection(values.names):
            message = f'{path}: the column {clash.pop()!r} has the name of one of the leading columns'
            raise InputError(message)
    return Row(
        member,
        parts,
        {name: str(value) for name, value in identity(sidecar).items()},
        {key: sidecar[key] for key in _COMMON if key in sidecar},
    )


def read_group(
    group: str,
    members: Iterable[Member],
    faults: list[str],
    stream: BinaryIO | None = None,
    advance: Callable[[int], object] | None = None,
) -> list[Row]:
    """Return the rows of a group with the most common columns and provenance; add the others to `faults`."""
    rows = []
    for member in members:
        try:
            rows.append(read_member(member, stream))
        except InputError as error:
            faults.append(f'left out: {error}')
        if advance:
            advance(1)
    rows = _keep_majority(group, rows, lambda row: row.columns, _column_difference, faults)
    return _keep_majority(group, rows, lambda row: tuple(row.identity.items()), _identity_difference, faults)


def _keep_majority(
    group: str,
    rows: list[Row],
    key: Callable[[Row], Hashable],
    describe: Callable[[Row, Row], str],
    faults: list[str],
) -> list[Row]:
    counts = Counter(map(key, rows))
    if len(counts) < 2:
        return rows
    usual, times = counts.most_common(1)[0]
    typical = next(row for row in rows if key(row) == usual)
    others = [row for row in rows if key(row) != usual]
    if 2 * times <= len(rows):
        path, rest = others[0].member.path, len(rows) - times
        faults.append(
            f'table {group} not written: {times} results and {rest} others do not match '
            f'({path}: {describe(others[0], typical)}); select with --pattern'
        )
        return []
    faults += [f'left out: {row.member.path}: {describe(row, typical)}' for row in others]
    return [row for row in rows if key(row) == usual]


def _column_difference(row: Row, typical: Row) -> str:
    own, usual = (
        dict.fromkeys(name for values in one.parts.values() for name in values.names)
        for one in (row, typical)
    )
    lacks, has = [name for name in usual if name not in own], [name for name in own if name not in usual]
    found = [f'it lacks {few(lacks, 3)}'] * bool(lacks) + [f'it has {few(has, 3)}'] * bool(has)
    how = ' and '.join(found) or 'the same in another order'
    return f'its columns differ from the others ({how}); was it made with another label table?'


def _identity_difference(row: Row, typical: Row) -> str:
    return '; '.join(
        f'{name} is {value[:12]}, but {typical.identity[name][:12]} for the others'
        for name, value in row.identity.items()
        if value != typical.identity[name]
    )


def wide_rows(
    rows: Sequence[Row], missing: Iterable[str], part: str = ''
) -> list[tuple[str, Sequence[Any] | None]]:
    """Return stem and values of the lesions of a table in order; values are None if missing."""
    lesions: list[tuple[str, Sequence[Any] | None]] = [
        *((row.member.stem, row.parts[part].values) for row in rows),
        *((stem, None) for stem in missing),
    ]
    return sorted(lesions, key=lambda lesion: leading_cells(lesion[0]))


def long_rows(
    member: Member, part: str, names: Sequence[str], lesions: Sequence[tuple[str, Sequence[Any] | None]]
) -> Iterator[tuple[Any, ...]]:
    """Return the rows of one group table for the long table; columns of text are left out.

    Parameters
    ----------
    member : Member
        Any member of the group.
    part : str
        A part by region; empty for the table itself.
    names : sequence of str
        Names of regions or statistics.
    lesions : sequence of tuple
        Result of `wide_rows`.
    """
    of_regions = bool(part) or member.output.extension == '.tsv'
    kind = (part.replace('_', '') or member.output.desc) if of_regions else None
    # entities without a column distinguish lesions that are otherwise equal
    scope = [f'{key}-{value}' for key, value in parse_entities(member.lesion).items() if key not in _COLUMNS]
    lead = '.'.join(
        filter(None, (*scope, parse_entities(member.group).get('atlas'), member.output.seg, kind))
    )
    sides = [(read_parcel(name).hemisphere if of_regions else '') or NOT_AVAILABLE for name in names]
    features = [f'{lead}.{name}' if lead else name for name in names]
    known = [values for _, values in lesions if values is not None]
    numeric = [
        any(isinstance(values[column], (int, float)) for values in known) for column in range(len(names))
    ]
    for stem, values in lesions:
        run = parse_entities(stem).get('run')
        row = (*leading_cells(stem), f'run-{run}' if run else NOT_AVAILABLE)
        for column, is_number in enumerate(numeric):
            if is_number:
                value = None if values is None else values[column]
                yield (*row, sides[column], features[column], value)
