"""Prediction: the models are those of scikit-learn, and nothing leaks from those who are predicted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import KFold
from threadpoolctl import threadpool_limits

from lacuna.errors import InputError
from lacuna.statistics import regression
from lacuna.statistics.prediction import accuracy, cross_validate, predict, read_cv
from lacuna.statistics.regression import pls_paths, ridge_paths


@pytest.fixture(autouse=True)
def _one_thread():
    """The matrices are small: more threads would wait for each other."""
    with threadpool_limits(1):
        yield


def test_paths_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    values, targets = rng.normal(size=(40, 12)) * np.arange(1, 13), rng.normal(size=(40, 3))
    values, targets = values - values.mean(axis=0), targets - targets.mean(axis=0)
    paths = pls_paths(values, targets, 9)
    for components in range(1, 10):
        for column in range(3):
            fit = PLSRegression(components, scale=False).fit(values, targets[:, column])
            np.testing.assert_allclose(paths[components - 1, :, column], fit.coef_.ravel(), atol=1e-12)
    for penalty, path in zip((0.1, 50.0), ridge_paths(values, targets, np.array([0.1, 50.0])), strict=True):
        np.testing.assert_allclose(path, Ridge(penalty).fit(values, targets).coef_.T, atol=1e-12)
    # no more components than axes
    np.testing.assert_allclose(
        pls_paths(values[:, :2], targets, 5)[4], pls_paths(values[:, :2], targets, 2)[1], atol=1e-9
    )


@pytest.mark.parametrize('columns', [8, 120])
def test_ridge_is_that_of_the_features_themselves(monkeypatch, columns):
    """Against scikit-learn on scaled features without the turn to fewer axes; also in blocks of features."""
    rng = np.random.default_rng(1)
    features = np.where(rng.random((30, columns)) < 0.4, 0, rng.uniform(0, 100, (30, columns)))
    covariates = rng.normal(size=(30, 2))
    score = (features[:, :1] / 20 + covariates[:, :1] + rng.normal(size=(30, 1))) * 3
    monkeypatch.setattr(regression, '_PENALTIES', np.array([0.5]))
    monkeypatch.setattr(regression, '_BLOCK', 50)
    means, guess, fold = cross_validate(4, score, features, covariates, 5, 0.3)
    seed = int(np.random.default_rng(4).integers(2**31))
    for number, (train, test) in enumerate(KFold(5, shuffle=True, random_state=seed).split(score)):
        assert (fold[test] == number).all()
        base = LinearRegression().fit(covariates[train], score[train])
        np.testing.assert_allclose(guess['baseline'][test], base.predict(covariates[test]))
        kept = (features[train] > 0).mean(axis=0) >= 0.3
        assert 0 < kept.sum() <= columns
        regress = LinearRegression().fit(covariates[train], features[train][:, kept])
        left = features[:, kept] - regress.predict(covariates)
        left /= left[train].std(axis=0)
        left = left.clip(left[train].min(axis=0), left[train].max(axis=0))
        ridge = Ridge(0.5 * kept.sum(), fit_intercept=False)
        ridge.fit(left[train], score[train] - base.predict(covariates[train]))
        expected = base.predict(covariates[test])[:, 0] + ridge.predict(left[test]).ravel()
        np.testing.assert_allclose(guess['ridge'][test, 0], expected, rtol=1e-8)
        np.testing.assert_allclose(means[test], score[train].mean())


def test_those_who_are_predicted_decide_nothing():
    """Whatever the scores of a fold are, its predictions stay the same."""
    rng = np.random.default_rng(2)
    features, covariates, score = rng.random((24, 40)), rng.normal(size=(24, 1)), rng.normal(size=(24, 1))
    _, before, fold = cross_validate(9, score, features, covariates, 4, 0.1)
    changed = score.copy()
    changed[fold == 2] = 1000
    _, after, _ = cross_validate(9, changed, features, covariates, 4, 0.1)
    for model, guess in before.items():
        np.testing.assert_array_equal(guess[fold == 2], after[model][fold == 2])
        assert (guess[fold != 2] != after[model][fold != 2]).all()


def test_random_features_predict_nothing():
    rng = np.random.default_rng(1)
    found = []
    for draw in range(100):
        score, features = rng.normal(size=(40, 1)), rng.random((40, 50))
        means, guess, fold = cross_validate(draw, score, features, np.empty((40, 0)), 5, 0.1)
        found.append(
            [accuracy(score, means, guess[model], fold)['r'][0] for model in ('baseline', 'ridge', 'pls')]
        )
    assert np.abs(np.mean(found, axis=0)).max() < 0.05


def test_a_planted_effect_is_predicted_and_found_in_the_weights():
    rng = np.random.default_rng(3)
    ids = [f'sub-{i:02d}' for i in range(60)]
    cut = pd.DataFrame(rng.uniform(0, 100, (60, 20)), ids, [f'p{i}' for i in range(20)])
    age = pd.DataFrame({'age': rng.normal(60, 9, 60)}, ids)
    score = pd.Series(0.1 * cut['p3'] + 0.1 * age['age'] + rng.normal(size=60), ids, name='score')
    found = predict(score, cut, age, cv=(5, 2), share=0.1, permutations=99, seed=1, other=cut[['p0', 'p1']])
    assert found.accuracy.loc['ridge', 'r2'] > 0.6
    assert found.accuracy.loc['baseline', 'r2'] < 0.4
    assert found.accuracy.loc[['ridge', 'pls'], 'p'].tolist() == [0.01, 0.01]
    assert found.accuracy.loc['ridge', 'gain'] == pytest.approx(
        found.accuracy.loc['ridge', 'r2'] - found.accuracy.loc['baseline', 'r2']
    )
    assert (found.weights.abs().idxmax() == 'p3').all()
    assert found.weights.loc['p3', 'ridge'] == pytest.approx(0.1 * cut['p3'].std(), rel=0.2)
    # more than two features that say nothing
    assert found.comparison.loc['ridge', 'difference'] > 0
    assert found.comparison.loc['ridge', 'p'] < 0.01
    assert found.accuracy.loc['other_ridge', 'r2'] < 0.4
    again = predict(score, cut, age, cv=(5, 2), share=0.1, permutations=99, seed=1, nprocs=2)
    pd.testing.assert_frame_equal(found.accuracy.loc[again.accuracy.index], again.accuracy, check_exact=True)


def test_the_same_features_explain_no_more():
    rng = np.random.default_rng(4)
    ids = [f'sub-{i:02d}' for i in range(30)]
    cut = pd.DataFrame(rng.uniform(0, 100, (30, 5)), ids)
    score = pd.Series(cut[0] / 20 + rng.normal(size=30), ids)
    found = predict(score, cut, cut[[]], cv=(5, 2), share=0.1, permutations=9, seed=1, other=cut)
    assert found.comparison.loc['ridge', 'p'] > 0.05
    assert found.accuracy.loc['baseline', 'r'] == 0
    assert found.accuracy.loc['baseline', 'r2'] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize('text', ['10', '1x5', '10x0', 'tenxten', '', '-3x3'])
def test_cross_validations_that_there_are_not(text):
    with pytest.raises(InputError, match='10x10'):
        read_cv(text)


def test_accuracy_by_hand():
    truth, fold = np.array([[0.0], [1], [2], [3], [7], [5]]), np.array([0, 0, 0, 1, 1, 1])
    means = np.array([[5.0]] * 3 + [[1.0]] * 3)
    guess = np.array([[0.5], [1], [3], [4], [6], [6]])
    found = accuracy(truth, means, guess, fold)
    assert found['r2'][0] == pytest.approx(1 - 4.25 / (25 + 16 + 9 + 4 + 36 + 16))
    assert found['mae'][0] == pytest.approx(4.5 / 6)
    within = [np.corrcoef(truth[fold == each, 0], guess[fold == each, 0])[0, 1] for each in (0, 1)]
    assert found['r'][0] == pytest.approx(np.mean(within))
    alone = accuracy(truth, means, guess, np.arange(6))
    assert alone['r'][0] == pytest.approx(np.corrcoef((truth - means)[:, 0], (guess - means)[:, 0])[0, 1])
    assert accuracy(truth, means, means, fold)['r'][0] == 0


@pytest.mark.parametrize('participants', [11, 25, 60])
def test_the_mean_alone_has_no_correlation(participants):
    """Without covariates, the baseline predicts the mean, up to rounding errors."""
    rng = np.random.default_rng(0)
    score = pd.Series(rng.normal(50, 9, participants))
    features = pd.DataFrame(rng.normal(size=(participants, 3)))
    none = pd.DataFrame(index=score.index)
    found = predict(score, features, none, cv=(10, 3), share=0.1, permutations=1, seed=0).accuracy
    assert found.loc['baseline', ['r2', 'r']].tolist() == pytest.approx([0, 0], abs=1e-12)
    assert found.loc['ridge', 'r'] != 0
