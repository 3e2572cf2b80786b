"""The design of an analysis: scores and covariates of the participants, and reasons for exclusion."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.bids.tables import NOT_AVAILABLE
from lacuna.errors import InputError, shorten
from lacuna.utils.names import few
from lacuna.utils.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

#: the default covariate: natural logarithm of the lesion volume in mm³
VOLUME = 'lesionvolume'
_ID = 'participant_id'
_FEWEST = 10
#: singular values of standardised covariates below this, per participant, count as 0
_DEPENDENT = 1e-9


@dataclass(frozen=True)
class Design:
    """Scores and covariates of the participants of an analysis, in the order of their ids.

    Attributes
    ----------
    outcome : pandas.Series
        (participants,) float64, named after the score, indexed by ``participant_id`` with ``sub-``. Ranks if `ranked`.
    covariates : pandas.DataFrame
        (participants, covariates) float64, without an intercept.
    left_out : pandas.DataFrame
        Excluded participants: columns ``participant_id`` and ``reason``.
    ranked : bool
        Whether the scores were replaced by their ranks.
    log_volume: bool
        Whether ``lesionvolume`` is among the covariates as computed, and not as a column of the table of scores.
    """

    outcome: pd.Series
    covariates: pd.DataFrame
    left_out: pd.DataFrame
    ranked: bool = False
    log_volume: bool = False

    @property
    def participants(self) -> list[str]:
        """Ids of the participants, with ``sub-``."""
        return list(self.outcome.index)

    @property
    def degrees_of_freedom(self) -> int:
        """Residual degrees of freedom of a model with one feature, the covariates and an intercept."""
        return len(self.outcome) - self.covariates.shape[1] - 2


def participant_id(label: object) -> str:
    """Return a participant's id with ``sub-``; ids are text.

    >>> participant_id('007'), participant_id('sub-007')
    ('sub-007', 'sub-007')
    """
    return 'sub-' + str(label).strip().removeprefix('sub-')


def read_scores(scores: str | Path | pd.DataFrame) -> pd.DataFrame:
    """Read a table of scores; cells stay text.

    Parameters
    ----------
    scores : path or pandas.DataFrame
        With a column ``participant_id``; see `lacuna.utils.tables.read_table`. A frame may have the ids in its index.

    Returns
    -------
    pandas.DataFrame
        Indexed by ids with ``sub-``.

    Raises
    ------
    InputError
        If it is unreadable, has no column ``participant_id``, or contains a participant or a column twice.
    """
    import pandas as pd

    if isinstance(scores, pd.DataFrame):
        name, table = 'the table of scores', scores.copy()
        if _ID not in table:
            table[_ID] = table.index
    else:
        name = str(scores)
        columns, rows = read_table(Path(scores))
        if _ID not in columns:
            message = f'{name}: no column {_ID} (it has {few([shorten(each) for each in columns])})'
            raise InputError(message)
        if blank := [number for number, cells in rows if not cells[_ID]]:
            message = f'{name}, line {blank[0]}: no {_ID}'
            raise InputError(message)
        table = pd.DataFrame([cells for _, cells in rows], columns=columns, dtype=str)
    if twice := table.columns[table.columns.duplicated()].unique().tolist():
        message = f'{name}: the column {few(list(map(str, twice)))} is there more than once'
        raise InputError(message)
    table.index = pd.Index([participant_id(label) for label in table.pop(_ID)], name=_ID)
    if twice := table.index[table.index.duplicated()].unique().tolist():
        message = f'{name}: {few(twice)} listed more than once; one row for each participant is needed'
        raise InputError(message)
    return table


def make_design(
    scores: str | Path | pd.DataFrame,
    outcome: str,
    covariates: Sequence[str],
    participants: Collection[str],
    *,
    volumes: Mapping[str, float] | pd.Series | None = None,
    rank: bool = False,
    reasons: Mapping[str, str] | None = None,
) -> Design:
    """Join scores, covariates and results by participant.

    Parameters
    ----------
    scores : path or pandas.DataFrame
        Table of scores, see `read_scores`.
    outcome : str
        Column with the score.
    covariates : sequence of str
        Columns with covariates. `VOLUME` is computed from `volumes` unless the table has such a column.
    participants : collection of str
        Participants with results.
    volumes : mapping or pandas.Series, optional
        Lesion volumes in mm³ by participant; their natural logarithm is the covariate `VOLUME`. None to leave it out.
    rank : bool
        Whether to replace the scores by ranks.
    reasons : mapping, optional
        Why other participants have no results, in words.

    Raises
    ------
    InputError
        If a column is missing or has no numbers, no participant is in both tables, fewer than ten remain, the score is
        constant, or covariates are constant, linearly dependent, or explain the score completely.
    """
    import pandas as pd
    from scipy.stats import rankdata

    table = read_scores(scores)
    names = list(dict.fromkeys(name for name in covariates if name != VOLUME or name in table))
    if outcome in names:
        message = f'{outcome} is both the outcome and a covariate'
        raise InputError(message)
    if VOLUME in covariates and VOLUME not in table and volumes is None:
        message = f'{VOLUME} is listed as a covariate, but also left out'
        raise InputError(message)
    for name in (outcome, *names):
        if name not in table:
            message = f'the table of scores has no column {name} (it has {few(list(map(str, table)), 12)})'
            raise InputError(message)
    ids = sorted(set(participants) & set(table.index))
    if not ids:
        here, there = sorted(participants), list(table.index)
        message = (
            'no participant is in both the results and the table of scores '
            f'(results: {few(here, 3)}; scores: {few(there, 3)})'
        )
        raise InputError(message)
    left_out = {id_: 'no results' for id_ in table.index if id_ not in set(participants)} | {
        id_: reason for id_, reason in (reasons or {}).items() if id_ in table.index
    }
    left_out |= {id_: 'not in the table of scores' for id_ in participants if id_ not in table.index}
    columns = {}
    for name in (outcome, *names):
        numbers = np.array([_number(cell) for cell in table.loc[ids, name]])
        if np.isnan(numbers).all():
            cells = list(map(str, table.loc[ids, name]))
            cell = shorten(next((each for each in cells if each not in ('', NOT_AVAILABLE)), cells[0]))
            remedy = 'write decimals with a point' if ',' in cell else 'code it as numbers'
            message = f'the column {name} holds no numbers (but {cell} and the like); {remedy}'
            raise InputError(message)
        for at in np.flatnonzero(np.isnan(numbers)):
            left_out.setdefault(ids[at], f'{name} is {shorten(str(table.loc[ids[at], name]))}')
        columns[name] = numbers
    log_volume = volumes is not None and VOLUME not in columns
    if volumes is not None and log_volume:
        of_ids = {participant_id(label): float(size) for label, size in volumes.items()}
        sizes = np.array([of_ids.get(id_, math.nan) for id_ in ids])
        for at in np.flatnonzero(~(sizes > 0)):
            left_out.setdefault(ids[at], 'the lesion volume is unknown or 0')
        columns[VOLUME] = np.log(np.where(sizes > 0, sizes, math.nan))
    joined = pd.DataFrame(columns, index=pd.Index(ids, name=_ID))
    joined = joined[[id_ not in left_out for id_ in ids]]
    _check(joined, outcome, len(left_out))
    score = joined.pop(outcome)
    if rank:
        score = pd.Series(rankdata(score), score.index, name=outcome)
    rows = sorted(left_out.items())
    return Design(score, joined, pd.DataFrame(rows, columns=[_ID, 'reason']), rank, log_volume)


def _number(cell: Any) -> float:
    """Return the number in a cell; NaN if it has none."""
    if isinstance(cell, str) and '_' in cell:  # Python would read 1_0 as 10
        return math.nan
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return math.nan
    return value if math.isfinite(value) else math.nan


def _check(joined: pd.DataFrame, outcome: str, left_out: int) -> None:
    if len(joined) < _FEWEST:
        message = f'{len(joined)} participants have results and all values; at least {_FEWEST} are needed ({left_out} are left out)'
        raise InputError(message)
    for name in joined:
        if joined[name].nunique() == 1:
            what = 'the score' if name == outcome else 'the covariate'
            message = f'{what} {name} is {joined[name].iloc[0]:g} for all {len(joined)} participants'
            raise InputError(message)
    standard = (joined - joined.mean()) / joined.std()
    covariates = standard.drop(columns=outcome)
    likeness = np.abs(covariates.to_numpy().T @ standard[outcome].to_numpy()) / (len(joined) - 1)
    for name, correlation in zip(covariates, likeness, strict=True):
        if correlation > 1 - _DEPENDENT:
            message = f'the covariate {name} equals the outcome {outcome}'
            raise InputError(message)
    if np.linalg.matrix_rank(covariates, _DEPENDENT * len(joined)) < covariates.shape[1]:
        message = f'the covariates {", ".join(map(str, covariates))} depend on each other; leave one out'
        raise InputError(message)
    if np.linalg.matrix_rank(standard, _DEPENDENT * len(joined)) < standard.shape[1]:
        message = f'the covariates {", ".join(map(str, covariates))} explain the outcome {outcome} completely; leave one out'
        raise InputError(message)
    if len(joined) - covariates.shape[1] - 2 < 1:
        message = f'{len(joined)} participants are too few for {covariates.shape[1]} covariates'
        raise InputError(message)
