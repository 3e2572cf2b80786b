"""Regression on many features of few participants: ridge and partial least squares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from lacuna.statistics.features import blocks

MODELS = ('ridge', 'pls')
#: features processed at once; they fit into the processor's cache
_BLOCK = 1_000
_COMPONENTS = 10
#: penalties, as multiples of the mean square of the participants' features
_PENALTIES = np.logspace(-3, 3, 13)
_INNER = 5
_TOLERANCE = 1e-10


def design(covariates: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return an intercept and the covariates, centred and scaled by the training participants."""
    centre, spread = covariates[train].mean(axis=0), covariates[train].std(axis=0)
    return np.column_stack(
        [np.ones(len(covariates)), (covariates - centre) / np.where(spread > 0, spread, 1)]
    )


@dataclass(frozen=True)
class RotatedFeatures:
    """Features of training and test participants, rotated onto at most as many axes as training participants.

    Covariates are regressed out, and features are scaled, by the training participants alone. Ridge and PLS predict the
    same from the rotated features as from the features themselves.
    """

    train: np.ndarray
    test: np.ndarray
    #: (training participants, axes); scaled features' weights are the transposed features times this
    rotation: np.ndarray
    penalties: np.ndarray


def _scaled(
    features: np.ndarray, covariates: np.ndarray, train: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Scale features by the training participants and clip them to their range; also return which features remain."""
    kept = (features[train] != 0).sum(axis=0) >= max(math.ceil(share * len(train) - 1e-9), 1)
    values = features[:, kept] - features[np.ix_(train, kept)].mean(axis=0)
    values = values - covariates @ np.linalg.lstsq(covariates[train], values[train], rcond=None)[0]
    spread = values[train].std(axis=0)
    usable = spread > _TOLERANCE * np.abs(features[:, kept]).max(axis=0, initial=0)
    kept[kept] = usable
    values = values[:, usable] / spread[usable]
    # else a parcel that almost no training participant has lost would dominate the predictions of those who have
    return values.clip(values[train].min(axis=0), values[train].max(axis=0)), kept


def rotate(
    features: np.ndarray, covariates: np.ndarray, train: np.ndarray, test: np.ndarray, share: float
) -> RotatedFeatures:
    """Rotate the features that affect a large enough share of the training participants."""
    everyone = np.concatenate([train, test])
    products = np.zeros((len(everyone), len(train)))
    for part in blocks(features.shape[1], _BLOCK):
        values, _ = _scaled(features[:, part], covariates, train, share)
        products += values[everyone] @ values[train].T
    squares, axes = np.linalg.eigh(products[: len(train)])
    usable = squares > _TOLERANCE * max(squares.max(initial=0.0), _TOLERANCE)
    rotation = axes[:, usable] / np.sqrt(squares[usable])
    return RotatedFeatures(
        products[: len(train)] @ rotation,
        products[len(train) :] @ rotation,
        rotation,
        _PENALTIES * max(squares.sum() / len(train), _TOLERANCE),
    )


def fit(model: str, space: RotatedFeatures, targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Fit a model to each target; return the coefficients, (axes, targets).

    The penalty or number of components is chosen by cross-validation among the training participants.
    """
    from sklearn.model_selection import KFold

    if model == 'ridge':
        paths = partial(ridge_paths, penalties=space.penalties)
    else:
        most = min(_COMPONENTS, space.train.shape[1], len(space.train) // _INNER)
        paths = partial(pls_paths, components=most)
    inner = KFold(_INNER, shuffle=True, random_state=int(rng.integers(2**31)))
    errors: Any = 0.0
    for fit, check in inner.split(space.train):
        offset, centre = targets[fit].mean(axis=0), space.train[fit].mean(axis=0)
        found = paths(space.train[fit] - centre, targets[fit] - offset)
        guess = np.tensordot(found, space.train[check] - centre, (1, 1)).transpose(0, 2, 1) + offset
        errors = errors + ((targets[check] - guess) ** 2).sum(axis=1)
    return paths(space.train, targets)[errors.argmin(axis=0), :, np.arange(targets.shape[1])].T


def ridge_paths(values: np.ndarray, targets: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """Compute the coefficients of ridge regression with each penalty, for many targets at once.

    Equal to those of `sklearn.linear_model.Ridge`, from one singular value decomposition.

    Parameters
    ----------
    values : numpy.ndarray
        (participants, axes), centred.
    targets : numpy.ndarray
        (participants, targets), centred.
    penalties : numpy.ndarray
        (penalties,).

    Returns
    -------
    numpy.ndarray
        (penalties, axes, targets).
    """
    left, size, right = np.linalg.svd(values, full_matrices=False)
    shrunk = size / (size**2 + penalties[:, None])
    return np.asarray(right.T @ (shrunk[..., None] * (left.T @ targets)))


def pls_paths(values: np.ndarray, targets: np.ndarray, components: int) -> np.ndarray:
    """Compute the coefficients of partial least squares with 1, 2, ... components, for many targets at once.

    Equal to those of `sklearn.cross_decomposition.PLSRegression` of each target alone, but computed in the Krylov space
    of the covariance (Helland 1988), in a thousandth of the time.

    Parameters
    ----------
    values : numpy.ndarray
        (participants, axes), centred.
    targets : numpy.ndarray
        (participants, targets), centred.
    components : int

    Returns
    -------
    numpy.ndarray
        (components, axes, targets).
    """
    square, start = values.T @ values, values.T @ targets
    basis = np.zeros((components, *start.shape))
    images, found = np.zeros(basis.shape), np.zeros(basis.shape)
    vector = start
    for k in range(components):
        before = np.linalg.norm(vector, axis=0)
        for _ in range(2):  # the second time removes rounding errors
            shares = np.einsum('iat,at->it', basis[:k], vector)
            vector = vector - np.einsum('iat,it->at', basis[:k], shares)
        length = np.linalg.norm(vector, axis=0)
        new = length > _TOLERANCE * before
        basis[k] = vector / np.where(new, length, np.inf)
        vector = images[k] = square @ basis[k]
        inner = np.einsum('iat,jat->tij', basis[: k + 1], images[: k + 1])
        aim = np.einsum('iat,at->ti', basis[: k + 1], start)
        weight = (np.linalg.pinv(inner, hermitian=True) @ aim[..., None])[..., 0]
        found[k] = np.einsum('iat,ti->at', basis[: k + 1], weight)
    return found


def fit_everyone(
    truth: np.ndarray, features: np.ndarray, covariates: np.ndarray, share: float, seed: int
) -> dict[str, np.ndarray]:
    """Fit the models to all participants; return the weights of the features by model, 0 for features left out."""
    everyone = np.arange(len(truth))
    nuisance = design(covariates, everyone)
    rest = truth - nuisance @ np.linalg.lstsq(nuisance, truth, rcond=None)[0]
    space = rotate(features, nuisance, everyone, everyone[:0], share)
    rng = np.random.default_rng(seed)
    slopes = np.column_stack([fit(model, space, rest, rng) for model in MODELS])
    found = np.zeros((features.shape[1], len(MODELS)))
    for part in blocks(features.shape[1], _BLOCK):
        values, kept = _scaled(features[:, part], nuisance, everyone, share)
        found[np.arange(features.shape[1])[part][kept]] = values.T @ (space.rotation @ slopes)
    return dict(zip(MODELS, found.T, strict=True))
