"""The features of an analysis, participants by features: from a data frame, or from the results of a run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from lacuna.bids.groups import Member, Row, leading_cells, read_group
from lacuna.bids.inputs import matches
from lacuna.bids.outputs import Target
from lacuna.bids.results import LesionResults, load_results
from lacuna.bids.tables import LEADING
from lacuna.errors import InputError
from lacuna.images.nifti import load, make, voxels
from lacuna.images.overlap import covered_values
from lacuna.statistics.settings import IMAGES, KINDS
from lacuna.utils.names import few, parse_entities, sidecar_path
from lacuna.utils.processes import thread_map

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class VoxelSet:
    """The voxels that features belong to.

    Attributes
    ----------
    shape : tuple of int
    affine : numpy.ndarray
        (4, 4), voxel indices to world mm.
    numbers : numpy.ndarray
        (voxels,) ascending flat indices in C order, one per feature.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    numbers: np.ndarray

    def image(self, values: np.ndarray, *, outside: float = 0.0, kind: type = np.float32) -> Any:
        """Return an image (nibabel) with one value per feature, and `outside` elsewhere."""
        data: np.ndarray = np.full(self.shape, outside, kind)
        data.reshape(-1)[self.numbers] = values
        return make(data, self.affine)


@dataclass(frozen=True)
class Features:
    """Values of features for each participant.

    Attributes
    ----------
    kind : str
        A kind of ``lacuna stats --features``; for a data frame, any alphanumeric word.
    values : pandas.DataFrame
        (participants, features) float, indexed by ids with ``sub-``. A participant is affected where the value is not 0.
    atlas : str or None
    stem : str
        Beginning of the file names: ``group`` and the entities shared by all lesions.
    space : str
        Standard space; empty for features without position.
    grid : VoxelSet or None
        Voxels of the features, if they are voxels.
    left_out : mapping
        Reasons for exclusion, by participant.
    about : mapping
        Common content of the sidecars of all results.
    """

    kind: str
    values: pd.DataFrame
    atlas: str | None = None
    stem: str = 'group'
    space: str = ''
    grid: VoxelSet | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Kind and atlas in words."""
        return f'{self.kind} of {self.atlas}' if self.atlas else self.kind

    def of(self, participants: Sequence[str]) -> Features:
        """Select participants, in this order."""
        return replace(self, values=self.values.loc[list(participants)])


def frame_features(frame: pd.DataFrame, kind: str) -> Features:
    """Create features from a data frame; participants without any value are left out.

    Raises
    ------
    InputError
        If a participant or feature occurs twice, or a value is not a number, or infinite.
    """
    import pandas as pd

    from lacuna.statistics.design import participant_id

    if LEADING[0] in frame:
        frame = frame.set_index(LEADING[0]).drop(columns=list(LEADING[1:]), errors='ignore')
    try:
        values = frame.astype(float)
    except (TypeError, ValueError) as error:
        message = f'the features have to be numbers ({error})'
        raise InputError(message) from error
    values.index = pd.Index(map(participant_id, frame.index), name='participant_id')
    for names, what in ((values.index, 'participant'), (values.columns, 'feature')):
        if twice := list(map(str, names[names.duplicated()].unique())):
            message = f'the {what} {few(twice)} is listed more than once in the table of features'
            raise InputError(message)
    if infinite := [str(name) for name, column in values.items() if np.isinf(column).any()]:
        message = f'the feature {few(infinite)} is infinite for some participants'
        raise InputError(message)
    # such as the rows of lesions that failed, in tables of results
    empty = values.isna().all(axis=1)
    return Features(
        kind, values[~empty], left_out=dict.fromkeys(values.index[empty], 'no value of any feature')
    )


def select_lesions(
    derivatives: Path, *, sessions: Sequence[str] = (), pattern: str | None = None
) -> dict[str, LesionResults]:
    """Return the results of one lesion per participant.

    Parameters
    ----------
    derivatives : pathlib.Path
        Output folder of ``lacuna run``.
    sessions : sequence of str
        Labels with or without ``ses-``; all if empty.
    pattern : str, optional
        Glob: use only lesions with a result whose name (or, with a slash, path) matches.

    Raises
    ------
    InputError
        If there are no results, or several lesions of a participant.
    """
    wanted = {session.removeprefix('ses-') for session in sessions}
    found: dict[str, list[LesionResults]] = {}
    results = load_results(derivatives)
    for lesion in results:
        if wanted and lesion.session not in wanted:
            continue
        if pattern and not any(
            matches(path.relative_to(results.root), pattern) for path in lesion.files.values()
        ):
            continue
        found.setdefault(leading_cells(lesion.stem)[0], []).append(lesion)
    if not found:
        chosen = ' of these sessions, or that match the pattern' if wanted or pattern else ''
        message = f'{derivatives}: no results{chosen}'
        raise InputError(message)
    if several := [lesions for lesions in found.values() if len(lesions) > 1]:
        names = few([lesion.stem for lesions in several for lesion in lesions], 4)
        message = f'{len(several)} participants have several lesions ({names}); choose with --session-id or --pattern'
        raise InputError(message)
    return {participant: lesions[0] for participant, lesions in sorted(found.items())}


def lesion_volumes(lesions: Mapping[str, LesionResults]) -> dict[str, float]:
    """Return the volumes of the masks in mm³ by participant."""
    return {
        participant: float(lesion.summary.get('mask_volume_mm3') or 0)
        for participant, lesion in lesions.items()
    }


def read_features(
    lesions: Mapping[str, LesionResults], kind: str, *, pattern: str | None = None
) -> list[Features]:
    """Read the features of one kind, for each atlas in the results.

    Parameters
    ----------
    lesions : mapping
        Results by participant.
    kind : str
        One of `KINDS`.
    pattern : str, optional
        Glob for the names of the files, if any of them matches; selects an atlas.

    Raises
    ------
    InputError
        If there are no such results, or they do not match each other.
    """
    if kind in IMAGES:
        return [_voxel_features(lesions, kind)]
    key = KINDS[kind]
    members = [
        (participant, member)
        for participant, lesion in lesions.items()
        for member in lesion.members()
        if member.target.key == lesion.key_of(key)
    ]
    if pattern:
        root = next(iter(lesions.values())).root
        chosen = [each for each in members if matches(each[1].path.relative_to(root), pattern)]
        members = chosen or members
    if not members:
        have = sorted({target.key for lesion in lesions.values() for target in lesion.files})
        message = (
            f'no results for the features {kind!r}: no {key} of any lesion (there are {", ".join(have)})'
        )
        raise InputError(message)
    atlases = sorted({member.target.atlas or '' for _, member in members})
    return [
        _table_features(
            lesions, kind, {who: each for who, each in members if (each.target.atlas or '') == atlas}
        )
        for atlas in atlases
    ]


def _common_stem(lesions: Mapping[str, LesionResults]) -> str:
    """Return ``group`` and the entities shared by all lesions."""
    entities = [parse_entities(lesion.stem) for lesion in lesions.values()]
    shared = [
        f'{key}-{value}'
        for key, value in entities[0].items()
        if key not in ('sub', 'space') and all(each.get(key) == value for each in entities)
    ]
    return '_'.join(['group', *shared])


def _table_features(
    lesions: Mapping[str, LesionResults], kind: str, members: Mapping[str, Member]
) -> Features:
    import pandas as pd

    first = next(iter(members.values()))
    with tempfile.TemporaryFile() as stack:
        rows, unlike = _comparable(kind, members, stack)
        names: Any = rows[0].parts[''].names
        if first.is_matrix:
            upper = np.triu_indices(len(names), 1)
            values = np.array([_matrix(row, len(names), stack)[upper] for row in rows])
            names = pd.MultiIndex.from_arrays(
                [np.array(names, object)[side] for side in upper], names=['from', 'to']
            )
        else:
            values = np.array([row.parts[''].values for row in rows], float)
            names = pd.Index(names, name='bundle' if kind == 'bundles' else 'region')
    absent = f'no {first.output.key} of {first.target.atlas or "it"}'
    left_out = {who: absent for who in lesions if who not in members} | unlike
    index = pd.Index([row.member.participant for row in rows], name='participant_id')
    return Features(
        kind,
        pd.DataFrame(values, index, names),
        first.target.atlas,
        _common_stem(lesions),
        str(rows[0].common.get('Space', '')),
        left_out=left_out,
        about=rows[0].common,
    )


def _comparable(
    kind: str, members: Mapping[str, Member], stack: BinaryIO | None = None
) -> tuple[list[Row], dict[str, str]]:
    """Return the results that match most of the others, and why other participants are left out."""
    faults: list[str] = []
    rows = read_group(f'of {kind}', members.values(), faults, stack)
    if not rows:
        raise InputError(faults[-1])  # the last is about all, those before about single results
    there = {row.member.participant for row in rows}
    reasons = [fault.removeprefix('left out: ') for fault in faults]
    return rows, {
        who: next((reason for reason in reasons if str(member.path) in reason), 'does not match the others')
        for who, member in members.items()
        if who not in there
    }


def _matrix(row: Row, size: int, stack: Any) -> np.ndarray:
    stack.seek(row.parts[''].values[0])
    return np.frombuffer(stack.read(size * size * 8), float).reshape(size, size)


def _voxel_features(lesions: Mapping[str, LesionResults], kind: str) -> Features:
    """Return the values of all maps (or binary masks) at voxels where any of them is not 0."""
    import pandas as pd

    spaces = {lesion.space for lesion in lesions.values()}
    if len(spaces) > 1:
        message = f'the maps are in several spaces ({", ".join(sorted(spaces))}); choose one with --pattern'
        raise InputError(message)
    members = {
        who: Member(path, Target(lesion.key_of(KINDS['voxels'])), lesion.stem, sidecar_path(path))
        for who, lesion in lesions.items()
        if (path := lesion.map_path)
    }
    if not members:
        message = f'no results for the features {kind!r}: no lesion has a disconnection map'
        raise InputError(message)
    kept, unlike = _comparable(kind, members)
    grids = {row.member.participant: load(row.member.path) for row in kept}
    like = next(iter(grids.values()))
    for who, image in grids.items():
        if image.shape != like.shape or not np.allclose(image.affine, like.affine, atol=1e-4):
            message = f'the maps of {next(iter(grids))} and {who} lie on different grids'
            raise InputError(message)
    left_out = {who: 'no disconnection map' for who in lesions if who not in members} | unlike
    look = _map_voxels if kind == 'voxels' else _mask_voxels
    places, rows = {}, {}
    for who, found in zip(grids, thread_map(lambda who: look(lesions[who], grids[who]), grids), strict=True):
        if isinstance(found, str):
            left_out[who] = found
        else:
            places[who], rows[who] = found
    union = np.zeros(int(np.prod(like.shape)), bool)
    for where in places.values():
        union[where] = True
    numbers = np.flatnonzero(union)
    values = np.zeros((len(rows), len(numbers)))
    for i, who in enumerate(rows):
        values[i, np.searchsorted(numbers, places[who])] = rows[who]
    return Features(
        kind,
        pd.DataFrame(values, pd.Index(rows, name='participant_id')),
        stem=_common_stem(lesions),
        space=spaces.pop(),
        grid=VoxelSet(like.shape, np.asarray(like.affine, float), numbers),
        left_out=left_out,
        about=kept[0].common,
    )


def _map_voxels(_: LesionResults, image: Any) -> tuple[np.ndarray, np.ndarray]:
    data = voxels(image).reshape(-1)
    where = np.flatnonzero(data)
    return where, data[where]


def _mask_voxels(lesion: LesionResults, image: Any) -> tuple[np.ndarray, np.ndarray] | str:
    """Return the voxels of the maps' grid whose centre is in the mask, and the mask's values there (1 if binary)."""
    _, mask, problem = lesion.mask
    if mask is None:
        return f'the mask {problem}'
    where, values = covered_values(*mask.valued_part, image.shape, np.asarray(image.affine, float))
    return where, values.astype(np.float64)


def distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find equal columns, which are tested once.

    Parameters
    ----------
    values : numpy.ndarray
        (participants, features).

    Returns
    -------
    first, inverse : numpy.ndarray
        Indices of the distinct columns, and for each column the distinct one that it equals.

    Examples
    --------
    >>> first, inverse = distinct(np.array([[0.0, 1.0, 0.0], [2.0, 3.0, 2.0]]))
    >>> first.tolist(), inverse.tolist()
    ([0, 1], [0, 1, 0])
    """
    rows = np.ascontiguousarray(values.T, np.float64) + 0.0  # turns -0.0 into 0.0
    keys = rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse.ravel()]


def blocks(count: int, size: int) -> Iterator[slice]:
    """Yield slices that cover `count` columns, `size` at a time."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
