"""Predict a score from many features: nested, repeated cross-validation in which nothing is learned outside a fold."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.errors import InputError
from lacuna.statistics.regression import MODELS, design, fit, fit_everyone, rotate
from lacuna.statistics.univariate import in_lots, standard

if TYPE_CHECKING:
    import pandas as pd

BASELINE = 'baseline'
#: permutations of the score that are done at most
PERMUTED = 200
_LOT = 50
#: participants of the smallest fold in which a correlation is computed
_SMALLEST = 3
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Prediction:
    """Accuracy, predictions and weights of the models that predict a score.

    Attributes
    ----------
    folds, repeats, permutations : int
    accuracy : pandas.DataFrame
        A row for each model: ``r2``, ``r`` and ``mae`` (means over repeats, see
        `lacuna.statistics.prediction.accuracy`) and ``r2_sd`` (standard deviation over repeats). Models with features
        also have ``gain`` (r2 minus that of the baseline) and ``p`` (share of permuted scores with at least this gain).
    predicted : pandas.DataFrame
        (participants, models) predictions, means over repeats.
    weights : pandas.DataFrame
        (features, models) change of the score with one standard deviation of the feature, fitted to all participants.
    comparison : pandas.DataFrame or None
        With other features: ``difference`` of the squared errors on unseen participants and its ``p`` (corrected
        resampled t-test, Nadeau and Bengio 2003), without and with these features beside the others.
    """

    folds: int
    repeats: int
    permutations: int
    accuracy: pd.DataFrame
    predicted: pd.DataFrame
    weights: pd.DataFrame
    comparison: pd.DataFrame | None = None


def read_cv(text: str) -> tuple[int, int] | None:
    """Parse the folds and repeats of ``--cv``; None for ``none``.

    Raises
    ------
    InputError

    Examples
    --------
    >>> read_cv('10x5'), read_cv('none')
    ((10, 5), None)
    """
    if text == 'none':
        return None
    found = re.fullmatch(r'(\d{1,3})x(\d{1,3})', text)
    if not found or int(found[1]) < 2 or int(found[2]) < 1:
        message = f'--cv {text}: expected folds and repeats, such as 10x10, or none'
        raise InputError(message)
    return int(found[1]), int(found[2])


def cross_validate(
    seed: int, targets: np.ndarray, features: np.ndarray, covariates: np.ndarray, folds: int, share: float
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Predict each participant once, from models fitted to the others.

    Parameters
    ----------
    seed : int
        Seed of the split into folds.
    targets : numpy.ndarray
        (participants, targets) scores.
    features : numpy.ndarray
        (participants, features).
    covariates : numpy.ndarray
        (participants, covariates), without an intercept; they are not penalized.
    folds : int
    share : float
        Minimum share of the training participants that a feature must affect to be used.

    Returns
    -------
    means : numpy.ndarray
        (participants, targets) mean score of the training participants of each.
    predicted : dict
        (participants, targets) by model.
    fold : numpy.ndarray
        (participants,) number of the fold in which each was predicted.
    """
    from sklearn.model_selection import KFold

    rng = np.random.default_rng(seed)
    split = KFold(folds, shuffle=True, random_state=int(rng.integers(2**31))).split(targets)
    means = np.empty(targets.shape)
    predicted = {model: np.empty(targets.shape) for model in (BASELINE, *MODELS)}
    number = np.empty(len(targets), int)
    for fold, (train, test) in enumerate(split):
        nuisance = design(covariates, train)
        slope = np.linalg.lstsq(nuisance[train], targets[train], rcond=None)[0]
        base, rest = nuisance[test] @ slope, targets[train] - nuisance[train] @ slope
        means[test], number[test] = targets[train].mean(axis=0), fold
        for guess in predicted.values():
            guess[test] = base
        space = rotate(features, nuisance, train, test, share)
        if space.train.shape[1]:
            for model in MODELS:
                predicted[model][test] += space.test @ fit(model, space, rest, rng)
    return means, predicted, number


def accuracy(
    targets: np.ndarray, means: np.ndarray, guess: np.ndarray, fold: np.ndarray
) -> dict[str, np.ndarray]:
    """Compute r2, r and the mean absolute error of each target, (targets,).

    r2 compares the errors with those of the mean of the training participants, which as a prediction has r2 0. r is the
    mean of the correlations within folds, which is 0 on average for features without information. (Over all participants
    together it is not: those with a high score are predicted from others with a lower mean, and models that overfit
    weigh more.) If a fold has fewer than three participants, r is computed over all participants.

    Parameters
    ----------
    targets, means, guess : numpy.ndarray
        (participants, targets).
    fold : numpy.ndarray
        (participants,).
    """
    observed, predicted = targets - means, guess - means
    # rounding errors of a model that predicts the mean would correlate
    predicted = np.where(np.abs(predicted) > _TOLERANCE * np.abs(targets).max(axis=0), predicted, 0.0)
    groups = [fold == each for each in np.unique(fold)]
    if min(map(np.count_nonzero, groups)) < _SMALLEST:
        groups = [np.ones(len(fold), bool)]
    return {
        'r2': 1 - ((targets - guess) ** 2).sum(axis=0) / (observed**2).sum(axis=0),
        'r': np.mean([_correlation(observed[group], predicted[group]) for group in groups], axis=0),
        'mae': np.abs(targets - guess).mean(axis=0),
    }


def _correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlate columns; 0 if one is constant."""
    scale = np.linalg.norm(one, axis=0) * np.linalg.norm(other, axis=0)
    one, other = one - one.mean(axis=0), other - other.mean(axis=0)
    lengths = np.linalg.norm(one, axis=0) * np.linalg.norm(other, axis=0)
    varying = lengths > _TOLERANCE * scale
    return np.asarray(np.where(varying, (one * other).sum(axis=0) / np.where(varying, lengths, 1), 0.0))


def predict(
    score: pd.Series,
    features: pd.DataFrame,
    covariates: pd.DataFrame,
    *,
    cv: tuple[int, int],
    share: float,
    permutations: int,
    seed: int,
    other: pd.DataFrame | None = None,
    nprocs: int = 1,
) -> Prediction:
    """Predict a score from features and covariates, with ridge regression and partial least squares.

    Parameters
    ----------
    score : pandas.Series
    features, covariates : pandas.DataFrame
        (participants, columns). Features with missing values are left out.
    cv : tuple of int
        Folds and repeats.
    share : float
        Minimum share of the training participants that a feature must affect to be used.
    permutations : int
        Number of permutations of the score; at most `PERMUTED` are done.
    seed : int
    other : pandas.DataFrame, optional
        Other features, to test whether `features` explain more than these alone.
    nprocs : int
    """
    import pandas as pd

    folds, repeats = cv
    truth, nuisance = score.to_numpy(float)[:, None], standard(covariates.to_numpy(float))
    values = _as_array(features)
    seeds = np.random.SeedSequence([seed, 1]).generate_state(repeats).tolist()
    arguments = (nuisance, folds, share)
    done = _repeats(seeds, truth, values, *arguments, nprocs=nprocs)
    rows = {model: _mean_accuracy(truth, done, model) for model in (BASELINE, *MODELS)}
    count = min(permutations, PERMUTED)
    gains = _permuted_gains(count, seed, truth, values, *arguments, nprocs=nprocs)
    for model in MODELS:
        gain = rows[model]['r2'] - rows[BASELINE]['r2']
        rows[model] |= {'gain': gain, 'p': (1 + np.sum(gains[model] >= gain)) / (1 + count)}
    predicted = {model: np.mean([found[model][:, 0] for _, found, _ in done], axis=0) for model in rows}
    comparison = None
    if other is not None:
        alone = _repeats(seeds, truth, _as_array(other), *arguments, nprocs=nprocs)
        both = np.column_stack([_as_array(other), values])
        together = _repeats(seeds, truth, both, *arguments, nprocs=nprocs)
        rows |= {f'other_{model}': _mean_accuracy(truth, alone, model) for model in MODELS}
        rows |= {f'both_{model}': _mean_accuracy(truth, together, model) for model in MODELS}
        compared = {model: _compare(truth, alone, together, model, folds) for model in MODELS}
        comparison = pd.DataFrame(compared).T.rename_axis('model')
    return Prediction(
        folds,
        repeats,
        count,
        pd.DataFrame(rows).T.rename_axis('model'),
        pd.DataFrame(predicted, score.index),
        pd.DataFrame(fit_everyone(truth, values, nuisance, share, seed), features.columns),
        comparison,
    )


_Repeats = Sequence[tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]]


def _as_array(features: pd.DataFrame) -> np.ndarray:
    """Return features as an array; those with missing values become 0, so that every fold leaves them out."""
    values = features.to_numpy(float)
    return np.where(np.isnan(values).any(axis=0), 0.0, values)


def _repeats(seeds: Sequence[int], *arguments: Any, nprocs: int) -> _Repeats:
    return [*in_lots(_repeat, [(1, int(seed)) for seed in seeds], *arguments, nprocs=nprocs)]


def _repeat(_: int, seed: int, *arguments: Any) -> Any:
    return cross_validate(seed, *arguments)


def _permuted_gains(count: int, seed: int, *arguments: Any, nprocs: int) -> dict[str, np.ndarray]:
    """Return the gain in r2 over the baseline for each permuted score, by model."""
    lots = [_LOT] * (count // _LOT) + ([count % _LOT] if count % _LOT else [])
    seeds = np.random.SeedSequence([seed, 2]).generate_state(len(lots))
    parts = [*in_lots(_permuted, [*zip(lots, map(int, seeds), strict=True)], *arguments, nprocs=nprocs)]
    return {model: np.concatenate([part[model] for part in parts]) for model in MODELS}


def _permuted(
    count: int,
    seed: int,
    truth: np.ndarray,
    features: np.ndarray,
    covariates: np.ndarray,
    folds: int,
    share: float,
) -> dict[str, np.ndarray]:
    """Cross-validate scores whose residuals, after the covariates, are permuted (Freedman and Lane 1983)."""
    rng = np.random.default_rng(seed)
    nuisance = design(covariates, np.arange(len(covariates)))
    fitted = nuisance @ np.linalg.lstsq(nuisance, truth, rcond=None)[0]
    targets = np.column_stack([fitted + rng.permutation(truth - fitted) for _ in range(count)])
    means, predicted, fold = cross_validate(seed, targets, features, covariates, folds, share)
    r2 = {model: accuracy(targets, means, guess, fold)['r2'] for model, guess in predicted.items()}
    return {model: r2[model] - r2[BASELINE] for model in MODELS}


def _mean_accuracy(truth: np.ndarray, done: _Repeats, model: str) -> dict[str, float]:
    each = [accuracy(truth, means, predicted[model], fold) for means, predicted, fold in done]
    found = {name: float(np.mean([one[name] for one in each])) for name in ('r2', 'r', 'mae')}
    return found | {'r2_sd': float(np.std([one['r2'] for one in each]))}


def _compare(truth: np.ndarray, one: _Repeats, other: _Repeats, model: str, folds: int) -> dict[str, float]:
    """Compare squared errors in the same folds with the corrected t-test: folds share training participants."""
    from scipy.stats import t as student

    differences = []
    for (_, first, number), (_, second, _) in zip(one, other, strict=True):
        reduction = (first[model] - truth)[:, 0] ** 2 - (second[model] - truth)[:, 0] ** 2
        differences += [reduction[number == fold].mean() for fold in range(folds)]
    mean, variance = float(np.mean(differences)), float(np.var(differences, ddof=1))
    error = math.sqrt(variance * (1 / len(differences) + 1 / (folds - 1)))
    t = mean / error if error else 0.0
    return {'difference': mean, 't': t, 'p': float(2 * student.sf(abs(t), len(differences) - 1))}
