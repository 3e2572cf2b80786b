"""Observed values among those of null lesions: the errors that were promised, and no more."""

import numpy as np
import pytest
from scipy.stats import kstest, spearmanr

from lacuna.significance import (
    exceedances,
    expected_shares,
    familywise_p,
    p_values,
    pooled_p,
    rank_correlation,
    smallest_p,
    spread,
)


@pytest.fixture
def rng():
    return np.random.default_rng(18)


def test_p_by_hand():
    observed, nulls = np.array([5.0, 0, 2, np.nan]), np.array([[5, 3, 1, 0], [6, 0, 0, 0], [0, 0, 1, 0.0]])
    b = exceedances(observed, nulls)
    assert b.tolist()[:3] == [2, 3, 0]
    np.testing.assert_array_equal(p_values(b, 3, observed), [0.75, 1, 0.25, np.nan])
    assert smallest_p(observed[:3], nulls[:, :3]).tolist() == [0.5, 0.5, 0.25]


def test_no_null_lesions():
    none = np.empty((0, 2))
    for found in (
        familywise_p(np.ones(2), none),
        smallest_p(np.ones(2), none),
        *spread(np.zeros(2), np.zeros(2), 0),
    ):
        assert np.isnan(found).all()


def test_familywise_is_the_single_step_of_westfall_and_young(rng):
    """Written out in loops."""
    nulls, observed = rng.poisson(0.7, (60, 5)), np.array([0, 1, 2, 3, 6])
    pool = [observed, *nulls]

    def p(values, item):
        return sum(other[item] >= values[item] for other in pool) / 61 if values[item] > 0 else 1

    smallest = [min(p(values, item) for item in range(5)) for values in pool]
    wanted = [sum(each <= p(observed, item) for each in smallest) / 61 for item in range(5)]
    np.testing.assert_allclose(familywise_p(observed, nulls), wanted)


@pytest.mark.parametrize('rate', [0.05, 0.5, 50])
def test_false_alarms(rng, rate):
    """Every row of a pool in turn is the patient: correlated values, from nearly all 0 to hardly any tie."""
    common = rng.gamma(1, 1, (500, 1))
    pool = rng.poisson(rate * common * rng.gamma(1, 1, 30))
    alone = pooled_p(pool)
    for row in (0, 17, 499):
        nulls = np.delete(pool, row, axis=0)
        np.testing.assert_allclose(alone[row], p_values(exceedances(pool[row], nulls), 499, pool[row]))
    for alpha in (0.01, 0.05, 0.1):
        assert ((alone <= alpha).mean(axis=0) <= alpha + 1 / 500).all()
    family = np.array(
        [familywise_p(pool[row], np.delete(pool, row, axis=0)).min() for row in range(0, 500, 5)]
    )
    whole = alone.min(axis=1)
    np.testing.assert_allclose(family, [(whole <= each).mean() for each in whole[::5]])
    assert (np.array([(whole <= each).mean() for each in whole]) <= 0.05).mean() <= 0.05 + 1 / 500
    broken = pooled_p(pool + 1 + 1e-6 * rng.random(pool.shape))
    assert min(kstest(column, 'uniform').pvalue for column in broken.T) > 0.01 / 30


def test_spread_and_correlation(rng):
    values = rng.integers(0, 50, (40, 6))
    values[:, 0] = 7
    mean, sd = spread(values.sum(axis=0), (values**2).sum(axis=0), 40)
    np.testing.assert_allclose(mean, values.mean(axis=0))
    np.testing.assert_allclose(sd, values.std(axis=0, ddof=1), atol=1e-9)
    assert sd[0] == 0
    x, y = rng.integers(0, 5, 50), rng.random(50)
    y[3] = np.nan
    known = ~np.isnan(y)
    assert rank_correlation(x, y) == pytest.approx(spearmanr(x[known], y[known]).statistic)
    assert rank_correlation(np.ones(9), np.arange(9)) is None


@pytest.mark.parametrize('rate', [0.5, 3, 30])
def test_expected_shares_keep_the_margins(rng, rate):
    """Also where parcels lose all or nothing; chances are products of odds, so each ring of four multiplies to 1."""
    for _ in range(20):
        n = int(rng.integers(4, 12))
        full = np.triu(rng.poisson(rate, (n, n)), 1)
        cut = rng.binomial(full, rng.random() ** 3)
        full, cut = full + full.T, cut + cut.T
        shares = expected_shares(full, cut.sum(axis=1))
        assert ((shares >= 0) & (shares <= 1)).all()
        assert (shares[full == 0] == 0).all()
        np.testing.assert_array_equal(shares, shares.T)
        np.testing.assert_allclose((shares * full).sum(axis=1), cut.sum(axis=1), atol=2e-3)
        inner = (shares > 0.01) & (shares < 0.99)
        odds = np.divide(shares, 1 - shares, out=np.ones(shares.shape), where=inner)
        a, b, c, d = rng.permutation(n)[:4]
        if inner[a, b] and inner[b, c] and inner[c, d] and inner[d, a]:
            assert odds[a, b] * odds[c, d] == pytest.approx(odds[b, c] * odds[d, a], rel=1e-3)


def test_a_loss_that_is_spread_evenly_is_expected():
    full = 40 * (1 - np.eye(5, dtype=int))
    np.testing.assert_allclose(
        expected_shares(full, full.sum(axis=1) // 4), np.where(full, 0.25, 0), atol=1e-6
    )
