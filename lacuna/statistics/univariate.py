"""Mass-univariate tests: least squares with covariates, or the Brunner-Munzel test, with permutations."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lacuna.statistics.features import blocks

#: permutations per lot, which has its own seed, so that results do not depend on the number of processes
LOT = 100
#: features tested at once; the values of some hundred participants fit into a processor's cache
_BLOCK = 1_000
#: relative tolerance within which permuted and observed values are equal
_TOLERANCE = 1e-9
#: unexplained share of the variance below which a fit is perfect
_PERFECT = 1e-12


@dataclass(frozen=True)
class Tested:
    """Test results of all features.

    Attributes
    ----------
    t : numpy.ndarray
        (features,) test statistic: t, or that of Brunner and Munzel.
    p : numpy.ndarray
        (features,) two-sided p, uncorrected.
    effect : numpy.ndarray
        (features,) partial correlation, or P(X < Y) + P(X = Y) / 2 - 1/2 for affected Y and unaffected X.
    """

    t: np.ndarray
    p: np.ndarray
    effect: np.ndarray


def residuals(values: np.ndarray, covariates: np.ndarray) -> np.ndarray:
    """Return the residuals of each column after covariates and an intercept.

    Parameters
    ----------
    values : numpy.ndarray
        (participants,) or (participants, columns).
    covariates : numpy.ndarray
        (participants, covariates), without intercept.
    """
    basis = orthonormal(covariates)
    return np.asarray(values - basis @ (basis.T @ values))


def orthonormal(covariates: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of covariates and intercept, (participants, covariates + 1)."""
    centred = covariates - covariates.mean(axis=0)
    centred = centred / np.linalg.norm(centred, axis=0)
    return np.linalg.qr(np.column_stack([np.ones(len(covariates)), centred]))[0]


def least_squares(score: np.ndarray, features: np.ndarray, covariates: np.ndarray) -> Tested:
    """Fit ``score ~ feature + covariates + 1`` for each feature.

    Parameters
    ----------
    score : numpy.ndarray
        (participants,).
    features : numpy.ndarray
        (participants, features).
    covariates : numpy.ndarray
        (participants, covariates), without intercept.

    Returns
    -------
    Tested
        t of the feature's coefficient; infinite where the fit is perfect, NaN where covariates explain the feature
        completely.

    Examples
    --------
    >>> found = least_squares(np.array([1.0, 2, 4, 5]), np.array([[0.0], [1], [2], [3]]), np.empty((4, 0)))
    >>> found.t.round(3).tolist(), found.effect.round(3).tolist()
    ([9.899], [0.99])
    """
    from scipy.stats import t as student

    freedom = len(score) - covariates.shape[1] - 2
    left = unexplained(unexplained(score, covariates), covariates)  # the second time removes rounding errors
    effect = np.empty(features.shape[1])
    remaining = np.empty(features.shape[1])
    for part in blocks(features.shape[1], _BLOCK):
        rest = unexplained(features[:, part], covariates)
        effect[part] = left @ rest
        # 1 - r² as a sum of squared residuals, which is exact for r near 1
        remaining[part] = ((left[:, None] - effect[part] * rest) ** 2).sum(axis=0)
    t = _t_of(effect, remaining, freedom)
    return Tested(t, 2 * student.sf(np.abs(t), freedom), effect)


def _t_of(r: np.ndarray, remaining: np.ndarray, freedom: int) -> np.ndarray:
    """Return t of correlations, and of what remains of 1 after their squares; infinite if only rounding errors remain."""
    with np.errstate(divide='ignore'):
        return np.asarray(r * np.sqrt(freedom / np.where(remaining > _PERFECT, remaining, 0.0)))


def unexplained(values: np.ndarray, covariates: np.ndarray) -> np.ndarray:
    """Return `residuals` of unit length, whatever the unit of the values; NaN where only rounding errors remain."""
    rest = residuals(standard(values), covariates)
    length = np.linalg.norm(rest, axis=0)
    return np.asarray(rest / np.where(length > 1e-10, length, np.nan))


def brunner_munzel(score: np.ndarray, affected: np.ndarray) -> Tested:
    """Compare the scores of affected and unaffected participants by ranks, for each feature (Brunner and Munzel 2000).

    Parameters
    ----------
    score : numpy.ndarray
        (participants,).
    affected : numpy.ndarray
        (participants, features) bool.

    Returns
    -------
    Tested
        The statistic of `scipy.stats.brunnermunzel` of unaffected and affected, and its p from the t distribution. The
        effect is the probability that an affected participant has the higher score, minus one half.
    """
    from scipy.stats import t as student

    more = (score[:, None] > score) + 0.5 * (score[:, None] == score)
    one = affected.astype(float)
    counts = one.sum(axis=0), len(score) - one.sum(axis=0)
    # for each participant: number of lower scores in the other group
    below = more @ (1 - one), more @ one
    groups = (one, 1 - one)
    with np.errstate(divide='ignore', invalid='ignore'):
        means = [(g * b).sum(axis=0) / n for g, b, n in zip(groups, below, counts, strict=True)]
        variances = [
            (g * (b - m) ** 2).sum(axis=0) / (n - 1)
            for g, b, m, n in zip(groups, below, means, counts, strict=True)
        ]
        terms = [variances[0] / counts[1] ** 2 / counts[0], variances[1] / counts[0] ** 2 / counts[1]]
        chance = means[0] / counts[1]
        t = (chance - 0.5) / np.sqrt(terms[0] + terms[1])
        freedom = (terms[0] + terms[1]) ** 2 / (
            terms[0] ** 2 / (counts[0] - 1) + terms[1] ** 2 / (counts[1] - 1)
        )
        p = 2 * student.sf(np.abs(t), freedom)
    return Tested(t, np.where(np.isinf(t), 0.0, p), chance - 0.5)


def seeds(seed: int, permutations: int) -> list[tuple[int, int]]:
    """Split permutations into lots; return the size and seed of each.

    >>> [count for count, _ in seeds(1, 250)]
    [100, 100, 50]
    """
    counts = [LOT] * (permutations // LOT) + ([permutations % LOT] if permutations % LOT else [])
    children = np.random.SeedSequence(seed).spawn(len(counts))
    return [(count, int(child.generate_state(1)[0])) for count, child in zip(counts, children, strict=True)]


def in_lots(
    do: Callable[..., Any], lots: Sequence[tuple[int, int]], *arguments: Any, nprocs: int = 1
) -> Iterable[Any]:
    """Call ``do(count, seed, *arguments)`` for each lot, in processes; results are in the order of the lots."""
    from joblib import Parallel, delayed

    return Parallel(n_jobs=min(nprocs, len(lots)) or 1, return_as='generator')(
        delayed(_one_thread)(do, count, seed, *arguments) for count, seed in lots
    )


def _one_thread(do: Callable[..., Any], *arguments: Any) -> Any:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return do(*arguments)


def permuted_maximum(
    count: int, seed: int, score: np.ndarray, features: np.ndarray, covariates: np.ndarray
) -> np.ndarray:
    """Return the maximum \\|t\\| over features in each of some permutations, see `permuted_t`.

    Equal to that of `nilearn.mass_univariate.permuted_ols`, with the score as tested variable and the features as
    targets. But there, a perfect fit may be lost to rounding errors; with binary scores and features, many permutations
    have one.

    Parameters
    ----------
    count, seed : int
        Number of permutations, and seed.
    score, features, covariates : numpy.ndarray
        See `least_squares`.

    Returns
    -------
    numpy.ndarray
        (count,).
    """
    orders, largest = _orders(count, seed, len(score)), np.zeros(count)
    for part in blocks(features.shape[1], _BLOCK):
        t = permuted_t(orders, score, features[:, part], covariates)
        np.maximum(largest, np.abs(t).max(axis=1), out=largest)
    return largest


def _orders(count: int, seed: int, participants: int) -> np.ndarray:
    """Return random orders of the participants, (permutations, participants): those of nilearn with this seed."""
    rng = np.random.RandomState(np.random.RandomState(seed).randint(1, np.iinfo(np.int32).max - 1))
    orders = np.empty((count, participants), int)
    order = np.arange(participants)
    for i in range(count):
        orders[i] = order = order[rng.permutation(participants)]
    return orders


def permuted_t(
    orders: np.ndarray, score: np.ndarray, features: np.ndarray, covariates: np.ndarray
) -> np.ndarray:
    """Compute t of each feature in each permutation, by the method of Freedman and Lane (1983).

    Parameters
    ----------
    orders : numpy.ndarray
        (permutations, participants) permuted indices of the participants.
    score, features, covariates : numpy.ndarray
        See `least_squares`.

    Returns
    -------
    numpy.ndarray
        (permutations, features); 0 where the permuted covariates explain a feature completely.
    """
    basis = orthonormal(covariates)
    freedom = len(score) - basis.shape[1] - 1
    rest, left = unexplained(features, covariates), unexplained(score, covariates)
    unrelated = 1 - sum((column[orders] @ rest) ** 2 for column in basis.T)
    r = left[orders] @ rest / np.sqrt(np.where(unrelated > _PERFECT, unrelated, np.inf))
    return _t_of(r, 1 - r**2, freedom)


def standard(values: np.ndarray) -> np.ndarray:
    """Centre columns, and scale them to unit standard deviation unless it is 0."""
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    return np.asarray(centred / np.where(spread > 0, spread, 1.0))


def permuted_ranks(
    count: int, seed: int, score: np.ndarray, affected: np.ndarray, rare: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the maximum Brunner-Munzel statistic in each of some permutations.

    Parameters
    ----------
    count, seed : int
    score, affected : numpy.ndarray
        See `brunner_munzel`.
    rare : numpy.ndarray
        (features,) absolute observed statistics for which p comes from permutations; NaN for others.

    Returns
    -------
    largest : numpy.ndarray
        (count,).
    reached : numpy.ndarray
        (features,) number of permutations in which the statistic reaches the observed one.
    """
    rng = np.random.default_rng(seed)
    largest, reached = np.zeros(count), np.zeros(affected.shape[1], int)
    for i in range(count):
        permuted = rng.permutation(score)
        for part in blocks(affected.shape[1], _BLOCK):
            t = np.abs(brunner_munzel(permuted, affected[:, part]).t)
            largest[i] = max(largest[i], np.nanmax(t, initial=0.0))
            reached[part] += t >= rare[part] * (1 - _TOLERANCE)
    return largest, reached


def permuted_enhancement(
    count: int, seed: int, score: np.ndarray, features: np.ndarray, covariates: np.ndarray, mask: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return threshold-free cluster enhancement of the data, and its maximum in each of some permutations.

    Parameters
    ----------
    count, seed : int
    score, features, covariates : numpy.ndarray
        See `least_squares`; one feature per voxel of the mask.
    mask : nibabel.Nifti1Image
        Mask of the tested voxels.

    Returns
    -------
    enhanced : numpy.ndarray
        (features,).
    largest : numpy.ndarray
        (count,).
    """
    from nilearn.maskers import NiftiMasker
    from nilearn.mass_univariate import permuted_ols

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        found = permuted_ols(
            standard(score[:, None]),
            standard(features),
            # without an intercept here, because nilearn would then flip signs instead of permuting
            standard(covariates) if covariates.shape[1] else None,
            model_intercept=True,
            n_perm=count,
            random_state=seed,
            two_sided_test=True,
            output_type='dict',
            masker=NiftiMasker(mask).fit(),
            tfce=True,
        )
    return found['tfce'][0], found['h0_max_tfce'][0]


def family_wise(statistic: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Return family-wise p: the share of maxima, including the observed one, that reach each statistic.

    >>> family_wise(np.array([3.0, -5.0]), np.array([1.0, 2.0, 3.0, 4.0])).tolist()
    [0.6, 0.2]
    """
    reach = np.abs(statistic) * (1 - _TOLERANCE)
    above = len(largest) - np.searchsorted(np.sort(largest), reach)
    return np.where(np.isnan(statistic), np.nan, (1 + above) / (1 + len(largest)))


def false_discovery(p: np.ndarray) -> np.ndarray:
    """Return the false discovery rate (q) of each feature (Benjamini and Hochberg 1995); NaN stays NaN."""
    from scipy.stats import false_discovery_control

    q = np.full(p.shape, np.nan)
    valid = ~np.isnan(p)
    if valid.any():
        q[valid] = false_discovery_control(p[valid])
    return q
