"""Tests of single features against other programs, and family-wise error where nothing is to be found."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats as st
from sklearn.utils import check_random_state

from lacuna.statistics import univariate


@pytest.fixture
def arrays():
    """Scores, percentages of 12 features, and age and volume, of 50 participants."""
    rng = np.random.default_rng(3)
    covariates = np.column_stack([rng.normal(65, 12, 50), rng.normal(9, 1.5, 50)])
    features = np.where(rng.random((50, 12)) < 0.5, 0, rng.uniform(0, 100, (50, 12)))
    score = 0.1 * covariates[:, 0] + 0.05 * features[:, 4] + rng.normal(size=50)
    return score, features, covariates


@pytest.mark.parametrize('columns', [0, 1, 2])
def test_least_squares_are_those_of_statsmodels_and_numpy(arrays, columns):
    score, features, covariates = arrays[0], arrays[1], arrays[2][:, :columns]
    found = univariate.least_squares(score, features, covariates)
    for j, feature in enumerate(features.T):
        design = np.column_stack([feature, covariates, np.ones(50)])
        fit = sm.OLS(score, design).fit()
        assert found.t[j] == pytest.approx(fit.tvalues[0], abs=1e-10)
        assert found.p[j] == pytest.approx(fit.pvalues[0], abs=1e-10)
        beta, rss, *_ = np.linalg.lstsq(design, score, rcond=None)
        error = np.sqrt(rss[0] / (50 - columns - 2) * np.linalg.inv(design.T @ design)[0, 0])
        assert found.t[j] == pytest.approx(beta[0] / error, abs=1e-10)
        others = np.column_stack([covariates, np.ones(50)])
        left = [each - others @ np.linalg.lstsq(others, each, rcond=None)[0] for each in (feature, score)]
        assert found.effect[j] == pytest.approx(np.corrcoef(left)[0, 1], abs=1e-12)


def test_a_feature_that_covariates_explain_has_no_t(arrays):
    score, features, covariates = arrays
    features[:, 0] = 3 * covariates[:, 1] - 2
    found = univariate.least_squares(score, features, covariates)
    assert np.isnan(found.t[0])
    assert np.isfinite(found.t[1:]).all()


def test_permutations_are_those_of_freedman_and_lane(arrays):
    """Against a loop over permutations of the features' residuals, with the orders that nilearn draws."""
    score, features, covariates = arrays
    rng = check_random_state(check_random_state(7).randint(1, np.iinfo(np.int32).max - 1))
    orders, order = [], np.arange(50)
    for _ in range(20):
        order = order[rng.permutation(50)]
        orders.append(order)
    basis = np.column_stack([covariates, np.ones(50)])
    hat = basis @ np.linalg.pinv(basis)
    expected = []
    for order in orders:
        permuted = hat @ features
        permuted[order] += features - hat @ features  # back to where the score of that place came from
        fits = [sm.OLS(feature, np.column_stack([score, basis])).fit().tvalues[0] for feature in permuted.T]
        expected.append(np.abs(fits).max())
    found = univariate.permuted_maximum(20, 7, score, features, covariates)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    t = univariate.permuted_t(np.array(orders), score, features, covariates)
    np.testing.assert_allclose(np.abs(t).max(axis=1), found, rtol=1e-9)


def test_a_perfect_fit_is_the_largest_statistic_whatever_the_rounding():
    """Binary scores and features: some permutations fit some feature perfectly."""
    rng = np.random.default_rng(0)
    score = (np.arange(12) < 2).astype(float)
    features = np.column_stack([score, 30 * score + 0.1, *(rng.random((5, 12)) < 0.5)])
    covariates = np.empty((12, 0))
    found = univariate.least_squares(score, features, covariates)
    assert np.isinf(found.t).tolist() == [True] * 2 + [False] * 5
    largest = univariate.permuted_maximum(2000, 1, score, features, covariates)
    # the two are two again in one of 66 permutations
    assert np.isinf(largest).mean() == pytest.approx(1 / 66, abs=0.006)
    assert np.isfinite(univariate.permuted_maximum(500, 1, score, features[:, 2:], covariates)).all()


def test_covariates_that_explain_a_feature_in_a_permutation():
    sex = np.repeat([0.0, 1.0], 6)
    other = np.tile([0.0, 1.0], 6)  # unrelated to sex
    order = np.arange(12).reshape(2, 6).T.reshape(1, 12)
    np.testing.assert_array_equal(sex[order[0]], other)
    features = np.column_stack([other, np.arange(12.0)])
    t = univariate.permuted_t(order, np.arange(12.0) ** 2, features, sex[:, None])
    assert t[0, 0] == 0
    assert np.isfinite(t[0, 1])


def test_blocks_of_features_share_their_permutations(arrays, monkeypatch):
    whole = univariate.permuted_maximum(10, 5, *arrays)
    monkeypatch.setattr(univariate, '_BLOCK', 5)
    np.testing.assert_allclose(univariate.permuted_maximum(10, 5, *arrays), whole, rtol=1e-12)


def test_brunner_munzel_is_that_of_scipy(arrays):
    score, features, _ = arrays
    affected = features > 60
    found = univariate.brunner_munzel(score.round(), affected)  # with ties
    for j, who in enumerate(affected.T):
        expected = st.brunnermunzel(score.round()[~who], score.round()[who])
        assert found.t[j] == pytest.approx(expected.statistic, abs=1e-10)
        assert found.p[j] == pytest.approx(expected.pvalue, abs=1e-10)
        pairs = np.subtract.outer(score.round()[who], score.round()[~who])
        assert found.effect[j] == pytest.approx((np.sign(pairs).mean()) / 2, abs=1e-12)


def test_permuted_ranks_are_those_of_all_permutations():
    """Three of eight affected: the exact distribution has 56 orders."""
    from itertools import combinations

    score = np.array([1.0, 2, 3, 4, 5, 6, 7, 9])
    affected = np.zeros((8, 1), bool)
    affected[[4, 6, 7]] = True
    observed = abs(univariate.brunner_munzel(score, affected).t)
    reached = 0
    for chosen in combinations(range(8), 3):
        other = np.zeros((8, 1), bool)
        other[list(chosen)] = True
        reached += abs(univariate.brunner_munzel(score, other).t[0]) >= observed[0] * (1 - 1e-9)
    _, count = univariate.permuted_ranks(4000, 1, score, affected, observed)
    assert count[0] / 4000 == pytest.approx(reached / 56, abs=0.02)


def test_family_wise_p_counts_permutations():
    largest = np.array([2.0, 1.0, 3.0, 5.0])
    p = univariate.family_wise(np.array([-3.0, 6.0, 0.5, np.nan]), largest)
    np.testing.assert_array_equal(p, [3 / 5, 1 / 5, 1.0, np.nan])


def test_false_discovery_is_that_of_statsmodels():
    from statsmodels.stats.multitest import fdrcorrection

    p = np.array([0.001, 0.2, 0.03, 0.04, 0.9])
    found = univariate.false_discovery(np.insert(p, 2, np.nan))
    assert np.isnan(found[2])
    np.testing.assert_allclose(np.delete(found, 2), fdrcorrection(p)[1])


@pytest.mark.parametrize('permutations', [1, 99, 250])
def test_any_number_of_processes_gives_the_same_numbers(arrays, permutations):
    lots = univariate.seeds(11, permutations)
    one, two = (
        np.concatenate([*univariate.in_lots(univariate.permuted_maximum, lots, *arrays, nprocs=nprocs)])
        for nprocs in (1, 2)
    )
    assert len(one) == permutations
    np.testing.assert_array_equal(one, two)


def _errors(cohorts: int, participants: int, permutations: int) -> tuple[float, float]:
    """How often something is found: where nothing is, and at the right place where there is an effect."""
    rng = np.random.default_rng(99)
    wrong = right = 0
    for cohort in range(cohorts):
        covariates = rng.normal(size=(participants, 2))
        common = rng.normal(size=(participants, 1))
        # features depend on each other and on a covariate, as parcels and the volume do
        features = np.maximum(0, 0.7 * common + 0.5 * covariates[:, :1] + rng.normal(size=(participants, 20)))
        score = covariates @ [1.0, 0.5] + rng.standard_exponential(participants)
        largest = univariate.permuted_maximum(permutations, cohort, score, features, covariates)
        found = univariate.least_squares(score, features, covariates)
        wrong += univariate.family_wise(found.t, largest).min() <= 0.05
        found = univariate.least_squares(score + 2.0 * features[:, 6], features, covariates)
        p = univariate.family_wise(found.t, largest)
        right += np.nanargmax(np.abs(found.t)) == 6 and p[6] <= 0.05
    return wrong / cohorts, right / cohorts


def test_family_wise_error_and_planted_effects():
    wrong, right = _errors(100, 40, 199)
    assert wrong <= 0.12  # 5 % of 100: 12 or more in 0.4 % of such trials
    assert right >= 0.95


@pytest.mark.soak
def test_family_wise_error_of_a_thousand_cohorts():
    wrong, right = _errors(1000, 40, 499)
    assert 0.03 <= wrong <= 0.07
    assert right >= 0.95
