"""Test all features of one kind: minimum number affected, permutations, components, and prediction."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.errors import InputError
from lacuna.statistics import networks, univariate
from lacuna.statistics.design import Design
from lacuna.statistics.features import Features, distinct
from lacuna.statistics.prediction import Prediction, predict, read_cv
from lacuna.utils.progress import track

if TYPE_CHECKING:
    import pandas as pd

#: two-sided p that edges must reach to form components
EDGE_P = 0.001
#: with fewer affected or unaffected participants, p of the Brunner-Munzel test comes from permutations
_FEWEST_RANKED = 9
#: affected and unaffected participants that the Brunner-Munzel test needs at least, for their variances
_FEWEST_COMPARED = 2


@dataclass(frozen=True)
class Settings:
    """Settings of the tests.

    Attributes
    ----------
    test : str
        ``ols`` or ``brunner-munzel``.
    min_affected : str or int
        Minimum number (or percentage, ``10%``) of participants that a feature must affect.
    permutations : int
    seed : int
    tfce : bool
        Whether to apply threshold-free cluster enhancement to voxels.
    cv : str
        Folds and repeats of the cross-validation, such as ``10x10``; ``none`` for no prediction.
    """

    test: str = 'ols'
    min_affected: str | int = '10%'
    permutations: int = 10_000
    seed: int = 0
    tfce: bool = False
    cv: str = '10x10'

    def fewest(self, participants: int) -> int:
        """Return the minimum number of participants that a feature must affect.

        Raises
        ------
        InputError
            If `min_affected` is neither a number from 1 to the number of participants nor a percentage.

        Examples
        --------
        >>> Settings(min_affected='10%').fewest(184), Settings(min_affected=5).fewest(184)
        (19, 5)
        """
        text = str(self.min_affected).strip()
        try:
            value = float(text.removesuffix('%'))
        except ValueError:
            value = math.nan
        if text.endswith('%') and math.isfinite(value):
            value = math.ceil(value * participants / 100 - 1e-9)
        if not 0 <= value <= participants or value != int(value):
            message = f'--min-affected {text}: expected a number of participants (up to {participants}) or a percentage, such as 10%'
            raise InputError(message)
        return max(int(value), 1)


@dataclass(frozen=True)
class Family:
    """The features of one kind with their tests.

    Attributes
    ----------
    features : lacuna.statistics.features.Features
        The tested features of the participants in the analysis.
    table : pandas.DataFrame
        A row per feature: ``t``, ``p`` (parametric), ``p_fwe`` (from the maximum statistic of permutations), ``q``
        (false discovery rate), ``n_affected``, ``effect``, and columns of further tests.
    fewest : int
        Minimum number of participants that a feature must affect.
    too_few, too_many, constant, without_value : int
        Numbers of features left out: those that affect too few, that affect all or all but one (Brunner-Munzel test),
        that are the same for all or completely explained by the covariates, and that have missing values.
    distinct : int
        Number of distinct features among those tested.
    largest : numpy.ndarray
        (permutations,) maximum absolute statistic of each permutation.
    covariates : int
        Number of covariates.
    components : pandas.DataFrame or None
        For edges: ``size`` (number of edges) and ``p_fwe`` of each component.
    edge_threshold : float or None
        For edges: \\|t\\| above which they form components.
    prediction : lacuna.statistics.prediction.Prediction or None
        Prediction of the score from all features.
    compared : str or None
        The other features that the prediction is compared with, in words.
    """

    features: Features
    table: pd.DataFrame
    fewest: int
    too_few: int
    too_many: int
    constant: int
    without_value: int
    distinct: int
    largest: np.ndarray
    covariates: int
    components: pd.DataFrame | None = None
    edge_threshold: float | None = None
    prediction: Prediction | None = None
    compared: str | None = None

    @property
    def kind(self) -> str:
        """Kind of the features."""
        return self.features.kind

    @property
    def atlas(self) -> str | None:
        """Atlas of the features, if they have one."""
        return self.features.atlas

    @property
    def critical(self) -> float:
        """Absolute statistic above which p_fwe is below .05."""
        rank = math.ceil(0.95 * (len(self.largest) + 1)) - 1
        return float(np.sort(self.largest)[rank]) if rank < len(self.largest) else math.inf

    @cached_property
    def images(self) -> dict[str, Any]:
        """Maps of voxel-wise statistics by name, such as ``t``, ``p`` and ``pfwe`` (nibabel images).

        Outside the tested voxels, maps of p are 1 and others 0. Empty for features that are not voxels.
        """
        if self.features.grid is None:
            return {}
        return {
            name.replace('_', ''): self.features.grid.image(
                self.table[name].to_numpy(), outside=1.0 if name.startswith(('p', 'q')) else 0.0
            )
            for name in map(str, self.table)
        }


def analyse(
    features: Features,
    design: Design,
    settings: Settings,
    *,
    other: Features | None = None,
    nprocs: int = 1,
    show_progress: bool = False,
) -> Family:
    """Test all features of one kind.

    Parameters
    ----------
    features : lacuna.statistics.features.Features
        Features of the participants of the design, in the same order.
    design : lacuna.statistics.design.Design
    settings : Settings
    other : lacuna.statistics.features.Features, optional
        Other features of the same participants, which the prediction is compared with.
    nprocs : int
    show_progress : bool

    Raises
    ------
    InputError
        If no feature can be tested, or there are fewer participants than folds.
    """
    values = features.values.to_numpy(float)
    covariates = design.covariates.to_numpy(float)
    ranks = settings.test == 'brunner-munzel'
    fewest = max(settings.fewest(len(values)), _FEWEST_COMPARED if ranks else 1)
    if (cv := read_cv(settings.cv)) and cv[0] > len(values):
        message = f'--cv {settings.cv}: there are only {len(values)} participants'
        raise InputError(message)
    complete = ~np.isnan(values).any(axis=0)
    affected = (values != 0).sum(axis=0)
    frequent = complete & (affected >= fewest)
    most = len(values) - (_FEWEST_COMPARED if ranks else 0)
    comparable = frequent & (affected <= most)
    tested_columns = np.flatnonzero(comparable)
    rest = univariate.unexplained(values[:, tested_columns], covariates)
    tested_columns = tested_columns[~np.isnan(rest).any(axis=0)]
    if not len(tested_columns):
        message = (
            f'{features.kind}: none of {values.shape[1]} features can be tested: each is affected in fewer than {fewest} '
            f'of {len(values)} participants (--min-affected){f" or more than {most}" * ranks}, is the same for all, or '
            'has missing values'
        )
        raise InputError(message)
    first, inverse = distinct(values[:, tested_columns])
    tested = values[:, tested_columns[first]]
    run = _Run(design.outcome.to_numpy(float), tested, covariates, settings, nprocs, show_progress)
    found, largest = run.ranks() if ranks else run.least_squares()
    columns = {
        't': found.t,
        'p': found.p,
        'p_fwe': univariate.family_wise(found.t, largest),
        'q': np.zeros(len(first)),
        'n_affected': affected[tested_columns[first]],
        'effect': found.effect,
    }
    import pandas as pd

    here = features.values.iloc[:, tested_columns]
    table = pd.DataFrame({name: column[inverse] for name, column in columns.items()}, here.columns)
    # over all features, including equal ones
    table['q'] = univariate.false_discovery(table['p'].to_numpy())
    grid = features.grid
    family = Family(
        replace(features, values=here, grid=grid and replace(grid, numbers=grid.numbers[tested_columns])),
        table,
        fewest,
        int((complete & ~frequent).sum()),
        int((frequent & ~comparable).sum()),
        int(comparable.sum()) - len(tested_columns),
        int((~complete).sum()),
        len(first),
        largest,
        covariates.shape[1],
    )
    if features.kind == 'edges' and settings.test == 'ols':
        family = _with_components(family, run)
    if features.grid is not None and settings.tfce:
        family = _with_enhancement(family, run)
    if cv:
        prediction = predict(
            design.outcome,
            features.values,
            design.covariates,
            cv=cv,
            share=fewest / len(values),
            permutations=settings.permutations,
            seed=settings.seed,
            other=None if other is None else other.values,
            nprocs=nprocs,
        )
        weights = {
            f'weight_{name}': prediction.weights[name].to_numpy()[tested_columns]
            for name in prediction.weights
        }
        family = replace(
            family,
            table=family.table.assign(**weights),
            prediction=prediction,
            compared=other.label if other else None,
        )
    return family


@dataclass(frozen=True)
class _Run:
    """Arrays of a family, with methods that test and permute them."""

    score: np.ndarray
    features: np.ndarray
    covariates: np.ndarray
    settings: Settings
    nprocs: int
    show_progress: bool

    def in_lots(self, do: Any, *arguments: Any) -> Iterator[Any]:
        lots = univariate.seeds(self.settings.seed, self.settings.permutations)
        done = univariate.in_lots(do, lots, *arguments, nprocs=self.nprocs)
        yield from track(done, 'permutations', total=len(lots), show=self.show_progress)

    def least_squares(self) -> tuple[univariate.Tested, np.ndarray]:
        arrays = (self.score, self.features, self.covariates)
        largest = np.concatenate([*self.in_lots(univariate.permuted_maximum, *arrays)])
        return univariate.least_squares(*arrays), largest

    def ranks(self) -> tuple[univariate.Tested, np.ndarray]:
        score = self.score
        if self.covariates.shape[1]:
            # residuals of equal scores differ by rounding errors only
            score = np.round(univariate.unexplained(score, self.covariates), 10)
        affected = self.features != 0
        found = univariate.brunner_munzel(score, affected)
        count = affected.sum(axis=0)
        is_rare = np.minimum(count, len(score) - count) < _FEWEST_RANKED
        # nor is there a parametric p if all scores of one group are higher
        is_rare |= np.isinf(found.t)
        rare = np.where(is_rare, np.abs(found.t), np.nan)
        parts = [*self.in_lots(univariate.permuted_ranks, score, affected, rare)]
        reached = sum(part for _, part in parts)
        p = np.where(is_rare, (1 + reached) / (1 + self.settings.permutations), found.p)
        return replace(found, p=p), np.concatenate([largest for largest, _ in parts])


def _with_components(family: Family, run: _Run) -> Family:
    """Add the network-based statistic to a family."""
    import pandas as pd
    from scipy.stats import t as student

    threshold = float(student.isf(EDGE_P / 2, len(run.score) - family.covariates - 2))
    nodes = pd.factorize(np.concatenate([family.table.index.get_level_values(side) for side in (0, 1)]))[0]
    edges = nodes.reshape(2, -1).T
    values = family.features.values.to_numpy(float)
    parts = run.in_lots(networks.permuted_components, run.score, values, run.covariates, edges, threshold)
    largest = np.concatenate([*parts])
    label, sizes = networks.components(edges, family.table['t'].to_numpy(), threshold)
    p = univariate.family_wise(sizes.astype(float), largest)
    table = family.table.assign(
        component=pd.array(np.where(label > 0, label, 0), 'Int64'), p_component=np.append(math.nan, p)[label]
    )
    table.loc[table['component'] == 0, 'component'] = pd.NA
    components = pd.DataFrame({'size': sizes, 'p_fwe': p}, pd.RangeIndex(1, len(sizes) + 1, name='component'))
    return replace(family, table=table, components=components, edge_threshold=threshold)


def _with_enhancement(family: Family, run: _Run) -> Family:
    """Add threshold-free cluster enhancement to a family."""
    grid = family.features.grid
    if grid is None:
        return family
    values = family.features.values.to_numpy(float)
    mask = grid.image(np.ones(values.shape[1]), kind=np.uint8)
    parts = [*run.in_lots(univariate.permuted_enhancement, run.score, values, run.covariates, mask)]
    # nilearn loses perfect fits to rounding errors; the permutations are those of the largest t
    t = family.table['t'].to_numpy()
    enhanced = np.where(np.isinf(t), t, parts[0][0])
    largest = np.where(np.isinf(family.largest), np.inf, np.concatenate([part for _, part in parts]))
    columns = {'tfce': enhanced, 'p_tfce': univariate.family_wise(enhanced, largest)}
    return replace(family, table=family.table.assign(**columns))
