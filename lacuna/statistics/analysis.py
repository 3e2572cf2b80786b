"""Explain scores by disconnection: the function behind `lacuna stats`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lacuna.bids.results import LesionResults
from lacuna.errors import InputError, check_choice
from lacuna.statistics.design import Design, make_design
from lacuna.statistics.family import Family, Settings, analyse
from lacuna.statistics.features import (
    Features,
    frame_features,
    lesion_volumes,
    read_features,
    select_lesions,
)
from lacuna.statistics.prediction import read_cv
from lacuna.statistics.settings import IMAGES, KINDS, TESTS
from lacuna.utils.processes import processors

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Statistics:
    """Results of an analysis: participants, and tests for each kind of features and atlas.

    Attributes
    ----------
    design : lacuna.statistics.design.Design
    families : tuple of Family
    settings : Settings
    stems : tuple of str
        Beginnings of the names of the participants' results, in their order; empty for a data frame of features.
    """

    design: Design
    families: tuple[Family, ...]
    settings: Settings
    stems: tuple[str, ...] = ()

    @property
    def left_out(self) -> pd.DataFrame:
        """Excluded participants with reasons."""
        return self.design.left_out

    def __getitem__(self, kind: str) -> Family:
        """Return the family of a kind of features, if there is only one."""
        found = [family for family in self.families if family.kind == kind]
        if len(found) != 1:
            have = ', '.join(f'{family.kind} ({family.atlas or "no atlas"})' for family in self.families)
            message = f'{len(found)} families of {kind!r}; there are {have}'
            raise KeyError(message)
        return found[0]


def stats(
    data: str | Path | pd.DataFrame,
    scores: str | Path | pd.DataFrame,
    outcome: str,
    *,
    covariates: str | Sequence[str] = (),
    features: str | Sequence[str] = 'parcels',
    volume: bool | Mapping[str, float] | pd.Series = True,
    rank: bool = False,
    test: str = 'ols',
    min_affected: str | int = '10%',
    permutations: int = 10_000,
    seed: int = 0,
    tfce: bool = False,
    cv: str = '10x10',
    compare: str | pd.DataFrame | None = None,
    sessions: Sequence[str] = (),
    pattern: str | None = None,
    nprocs: int = 1,
    show_progress: bool = False,
) -> Statistics:
    """Test which disconnection explains a score.

    Each feature is tested two-sided with ``score ~ feature + covariates`` and an intercept. Family-wise p come from the
    maximum \\|t\\| over features, permuted by the method of Freedman and Lane (1983).

    Parameters
    ----------
    data : path or pandas.DataFrame
        Output folder of ``lacuna run``; or a data frame, participants by features, with the ids as its index or as a
        column ``participant_id`` (as in the tables of :func:`lacuna.bids.results.load_results`).
    scores : path or pandas.DataFrame
        Table with a column ``participant_id`` and one row per participant; ids are compared as text, with or without
        ``sub-``.
    outcome : str
        Column with the score.
    covariates : str or sequence of str
        Columns with covariates.
    features : str or sequence of str
        ``voxels``, ``parcels``, ``edges``, ``networks``, ``bundles``, ``load`` (of parcels) or ``lesion``; for a data
        frame, a name. Each kind and each atlas is a family of its own.
    volume : bool, mapping or pandas.Series
        Whether the logarithm of the lesion volume is a covariate; for a data frame, volumes in mm³ by participant.
    rank : bool
        Whether to replace the scores by ranks.
    test : str
        ``ols``; or ``brunner-munzel``, which compares the scores of affected and unaffected participants by ranks,
        after regressing out the covariates.
    min_affected : str or int
        Minimum number (or percentage, such as ``10%``) of participants that a feature must affect to be tested.
    permutations : int
        Number of permutations, at least 1.
    seed : int
        Seed of the random numbers; results do not depend on `nprocs`.
    tfce : bool
        Also test voxels with threshold-free cluster enhancement, which takes about a second per permutation.
    cv : str
        Folds and repeats of the cross-validated prediction, such as ``10x10``; ``none`` for no prediction.
    compare : str or pandas.DataFrame, optional
        Other features, such as ``load``, to test whether `features` predict more than these alone.
    sessions : sequence of str
        Use only lesions of these sessions.
    pattern : str, optional
        Glob for the names of results, to select lesions and atlases.
    nprocs : int
        Number of processes; -1 for all processors.
    show_progress : bool
        Whether to show progress bars on terminals.

    Returns
    -------
    Statistics
        Tables and images: one `lacuna.statistics.family.Family` per kind of features and atlas.

    Raises
    ------
    InputError
        If settings, scores or results are invalid.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> cut = pd.DataFrame({'a': np.arange(20.0) % 5, 'b': np.arange(20.0) % 3}, index=[f'{i:02}' for i in range(20)])
    >>> nihss = pd.DataFrame({'nihss': cut['a'] + np.sin(np.arange(20))})
    >>> found = stats(cut, nihss, 'nihss', volume=False, permutations=99, cv='none')
    >>> found.families[0].table['p_fwe'].round(2).to_dict()
    {'a': 0.01, 'b': 1.0}
    """
    import pandas as pd

    kinds = [features] if isinstance(features, str) else list(dict.fromkeys(features))
    covariates = [covariates] if isinstance(covariates, str) else covariates
    settings = Settings(test, min_affected, permutations, seed, tfce, cv)
    named = compare if isinstance(compare, str) else ''
    if compare is not None and (cv == 'none' or kinds == [named]):
        lacks = 'the prediction: leave out --cv none' if cv == 'none' else 'other --features'
        message = f'--compare {named or "frame"} needs {lacks}'
        raise InputError(message)
    _check(settings, kinds, of_results=not isinstance(data, pd.DataFrame))
    lesions: Mapping[str, LesionResults] = {}
    if isinstance(data, pd.DataFrame):
        found = [frame_features(data, kinds[0])]
        others = [] if compare is None else [_comparison_features(compare)]
        volumes = None if isinstance(volume, bool) else volume
        if volume is True:
            message = 'a data frame of features has no lesion volumes: pass volume=volumes (mm³ by participant) or volume=False'
            raise InputError(message)
    else:
        lesions = select_lesions(Path(data).expanduser().absolute(), sessions=sessions, pattern=pattern)
        found = [each for kind in kinds for each in read_features(lesions, kind, pattern=pattern)]
        others = []
        if isinstance(compare, str):
            others = read_features(lesions, compare, pattern=pattern)
        elif compare is not None:
            others = [_comparison_features(compare)]
        volumes = lesion_volumes(lesions) if volume is True else None if volume is False else volume
    # one design for all families, so that they have the same participants
    everyone = set.intersection(*(set(each.values.index) for each in (*found, *others)))
    if not everyone:
        labels = ', '.join(dict.fromkeys(each.label for each in (*found, *others)))
        message = (
            f'no participant has all of the features ({labels}); choose fewer, or an atlas with --pattern'
        )
        raise InputError(message)
    reasons = {who: reason for each in (*found, *others) for who, reason in each.left_out.items()}
    design = make_design(scores, outcome, covariates, everyone, volumes=volumes, rank=rank, reasons=reasons)
    families = tuple(
        analyse(
            each.of(design.participants),
            design,
            settings,
            other=_comparison(each, others, design),
            nprocs=processors(nprocs),
            show_progress=show_progress,
        )
        for each in found
    )
    stems = tuple(lesions[who].stem for who in design.participants) if lesions else ()
    return Statistics(design, families, settings, stems)


def _check(settings: Settings, kinds: Sequence[str], *, of_results: bool) -> None:
    if unknown := [
        kind for kind in kinds if kind not in (KINDS if of_results else kinds) or not kind.isalnum()
    ]:
        message = f'unknown features {", ".join(unknown)}; choose from {", ".join(KINDS)}'
        raise InputError(message)
    if not kinds:
        message = f'no features; choose from {", ".join(KINDS)}'
        raise InputError(message)
    check_choice('test', settings.test, TESTS)
    if settings.permutations < 1:
        message = f'--permutations {settings.permutations}: at least 1 is needed'
        raise InputError(message)
    if not 0 <= settings.seed < 2**63:
        message = f'--seed {settings.seed}: expected a number from 0'
        raise InputError(message)
    settings.fewest(100)
    read_cv(settings.cv)
    if settings.tfce and (settings.test != 'ols' or not set(kinds) & set(IMAGES)):
        message = f'threshold-free cluster enhancement is for {" and ".join(IMAGES)} and the test ols'
        raise InputError(message)


def _comparison_features(frame: pd.DataFrame | str) -> Features:
    if isinstance(frame, str):
        message = (
            f'with a data frame of features, those to compare with have to be a data frame too, not {frame!r}'
        )
        raise InputError(message)
    return frame_features(frame, 'other features')


def _comparison(features: Features, others: Sequence[Features], design: Design) -> Features | None:
    """Return the other features of the same atlas, else the first ones; None if they are of the same kind."""
    if not others or features.kind == others[0].kind:
        return None
    chosen = next((each for each in others if each.atlas == features.atlas), others[0])
    return chosen.of(design.participants)
