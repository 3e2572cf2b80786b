"""The arithmetic, with numbers a reader can compute."""

import numpy as np
import pytest

from lacuna.measures import (
    MIN_SUPPORT,
    disconnection_percent,
    effective_number,
    higher_order,
    higher_order_statistics,
    network_disconnection,
    outside_support_percent,
    path_lengths,
    percent_interval,
    roi_disconnection,
    summary_statistics,
    voxel_box,
    wilson_interval,
)


def test_percent():
    percent = disconnection_percent(np.array([0, 1, 3, 0], 'uint32'), np.array([0, 4, 3, 7], 'uint32'))
    np.testing.assert_array_equal(percent, [0, 25, 100, 0])


def test_percent_of_counts_beyond_32_bit():
    assert disconnection_percent(np.array([2**31], 'uint32'), np.array([2**32 - 1], 'uint32'))[
        0
    ] == pytest.approx(50)


def test_more_disconnected_than_there_are():
    with pytest.raises(ValueError, match='different tractograms'):
        disconnection_percent(np.array([2]), np.array([1]))
    with pytest.raises(ValueError, match='different shapes'):
        disconnection_percent(np.zeros(2), np.zeros(3))


def test_summary():
    mask = np.zeros((4, 4, 4), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[3, 3, 3] = True  # two that share a corner, and one apart
    full_tdi = np.zeros((2, 2, 2))
    full_tdi[0, 0, 0], full_tdi[1, 1, 1] = 4, 2
    percent = np.zeros((2, 2, 2))
    percent[0, 0, 0], percent[1, 1, 1] = 25, 75
    summary = summary_statistics(
        mask=mask,
        mask_affine=np.diag([1.0, 1, -3, 1]),
        percent=percent,
        full_tdi=full_tdi,
        grid_affine=np.diag([1.0, 1, -3, 1]),
        brain=np.ones((2, 2, 2), bool),
        brain_affine=np.diag([1.0, 1, -3, 1]),
        streamlines_total=8,
        streamlines_disconnected=2,
        min_support=3,
    )
    assert summary == {
        'mask_voxels': 3,
        'mask_volume_mm3': 9.0,
        'mask_components': 2,
        'mask_outside_brain_pct': pytest.approx(100 / 3),
        'mask_outside_support_pct': pytest.approx(100 / 3),
        'streamlines_total': 8,
        'streamlines_disconnected': 2,
        'streamlines_disconnected_pct': 25.0,
        'voxels_disconnected': 2,
        'disconnection_mean_pct': 50.0,
        'disconnection_max_pct': 75.0,
        'min_support': 3,
        'voxels_supported': 1,
        'disconnection_mean_supported_pct': 25.0,
        'disconnection_max_supported_pct': 25.0,
    }


def test_summary_of_nothing():
    empty = np.zeros((2, 2, 2), bool)
    summary = summary_statistics(
        mask=empty,
        mask_affine=np.eye(4),
        percent=np.zeros((2, 2, 2)),
        full_tdi=np.ones((2, 2, 2)),
        grid_affine=np.eye(4),
        brain=np.ones((2, 2, 2), bool),
        brain_affine=np.eye(4),
        streamlines_total=8,
        streamlines_disconnected=0,
    )
    assert all(
        value == 0 for name, value in summary.items() if name not in ('streamlines_total', 'min_support')
    )
    assert summary['min_support'] == MIN_SUPPORT


def test_support_on_another_grid():
    """Eight 1 mm voxels fall into 2 mm voxels by their centres, whatever the storage order."""
    mask = np.ones((4, 1, 1), bool)
    mask_affine = np.eye(4)
    mask_affine[0, 3] = -0.5  # centres at -0.5, 0.5, 1.5, 2.5 mm
    grid_affine = np.diag([-2.0, 2, 2, 1])
    grid_affine[0, 3] = 2  # centres at 2 and 0 mm, stored from right to left
    full_tdi = np.array([0, 1]).reshape(2, 1, 1)
    assert outside_support_percent(mask, mask_affine, full_tdi, grid_affine) == 50


def test_wilson_is_that_of_scipy():
    from scipy.stats import binomtest

    cases = [(0, 1), (1, 1), (0, 30), (30, 30), (1, 3), (5, 17), (38, 2921), (2920, 2921), (1, 2**31)]
    hits, totals = (np.array(column) for column in zip(*cases, strict=True))
    for confidence in (0.95, 0.9):
        low, high = wilson_interval(hits, totals, confidence)
        wanted = [binomtest(k, n).proportion_ci(confidence, method='wilson') for k, n in cases]
        np.testing.assert_allclose(low, [each.low for each in wanted], rtol=0, atol=1e-14)
        np.testing.assert_allclose(high, [each.high for each in wanted], rtol=0, atol=1e-14)
    assert np.isnan(wilson_interval(np.array([0]), np.array([0]))).all()


def test_the_interval_of_weights_is_that_of_their_effective_number():
    from statsmodels.stats.proportion import proportion_confint

    random = np.random.default_rng(0)
    weights = [random.lognormal(sigma=2, size=size).astype('f4').astype(float) for size in (1, 3, 50, 4000)]
    cut = [random.random(len(each)) < share for each, share in zip(weights, (1, 0.5, 0, 0.2), strict=True)]
    parts = np.array([each[hit].sum() for each, hit in zip(weights, cut, strict=True)] + [0.0])
    total = np.array([each.sum() for each in weights] + [0.0])
    squares = np.array([(each**2).sum() for each in weights] + [0.0])
    number = effective_number(total, squares)
    assert number[[0, 4]].tolist() == [1, 0]
    assert (number[1:4] < [3, 50, 4000]).all()
    found = np.stack(percent_interval(parts, total, squares))
    for row in range(4):
        share = parts[row] / total[row]
        wanted = proportion_confint(share * number[row], number[row], method='wilson')
        np.testing.assert_allclose(found[:, row], 100 * np.array(wanted), rtol=0, atol=1e-10)
    assert np.isnan(found[:, 4]).all()
    # equal weights, whichever they are, are counts
    hits, counts = np.array([0, 3, 7]), np.array([5, 8, 7])
    np.testing.assert_allclose(
        percent_interval(0.3 * hits, 0.3 * counts, 0.09 * counts), percent_interval(hits, counts), atol=1e-10
    )


def test_the_interval_covers():
    """Averaged over all shares: the integral of a binomial probability over an interval is a beta function."""
    from scipy.special import betainc

    covered = []
    for number in range(1, 1001):
        hits = np.arange(number + 1)
        low, high = wilson_interval(hits, np.full(number + 1, number))
        parts = betainc(hits + 1, number - hits + 1, [low, high])
        covered.append((parts[1] - parts[0]).mean())
    assert min(covered) >= 0.945
    assert max(covered) <= 0.96


def symmetric(rng, parcels, largest):
    upper = np.triu(rng.integers(0, largest, (parcels, parcels)), k=1)
    return upper + upper.T


def test_networks():
    rng = np.random.default_rng(0)
    full = symmetric(rng, 12, 5)
    cut = np.minimum(full, symmetric(rng, 12, 5))
    total, everything = cut.sum(), full.sum()
    # one network of all parcels: the share of all connections; each parcel its own: the tables of the parcels
    names, whole, pairs = network_disconnection(cut, full, ['all'] * 12)
    assert names == ['all']
    np.testing.assert_allclose([whole[0], pairs[0, 0]], 100 * total / everything, rtol=1e-14)
    own = [f'n{i}' for i in range(12)]
    names, whole, pairs = network_disconnection(cut, full, own)
    assert names == own
    np.testing.assert_array_equal(whole, roi_disconnection(cut, full))
    np.testing.assert_array_equal(pairs, disconnection_percent(cut, full))
    # two of them, counted one connection at a time; the parcels of none are ends, but no network
    which = ['b', 'a', '', 'b', 'a', 'a', '', 'b', 'b', 'a', 'b', '']
    names, whole, pairs = network_disconnection(cut, full, which)
    assert names == ['b', 'a']
    for row, first in enumerate(names):
        inside = [i for i in range(12) if which[i] == first]
        assert whole[row] == pytest.approx(100 * cut[inside].sum() / full[inside].sum(), rel=1e-14)
        for column, second in enumerate(names):
            edges = {
                (min(i, j), max(i, j)) for i in inside for j in range(12) if which[j] == second and i != j
            }
            taken, there = (sum(matrix[edge] for edge in edges) for matrix in (cut, full))
            assert pairs[row, column] == pytest.approx(100 * taken / there, rel=1e-14)


def test_networks_without_connections():
    names, whole, pairs = network_disconnection(np.zeros((2, 2), int), np.zeros((2, 2), int), ['a', ''])
    assert names == ['a']
    assert np.isnan(whole).all()
    assert pairs.tolist() == [[0]]
    assert network_disconnection(np.zeros((1, 1)), np.zeros((1, 1)), [''])[0] == []


def test_higher_order_of_a_chain():
    """0-1-2-3, and 4 apart: what the patient cannot join has the longest way of the whole and one step more."""
    full = np.zeros((5, 5), int)
    for i in range(3):
        full[i, i + 1] = full[i + 1, i] = 10
    spared = np.where(full > 0, 100.0, 0.0)
    spared[1, 2] = spared[2, 1] = 49.9
    delta, indirect = higher_order(full, spared)
    assert delta.dtype.kind == 'i'
    assert delta[:4, :4].tolist() == [[0, 0, 2, 1], [0, 0, 3, 2], [2, 3, 0, 0], [1, 2, 0, 0]]
    assert not delta[4].any()
    assert (indirect[1, 2], indirect[0, 2]) == (0, 2)
    assert not higher_order(full, spared, threshold=49.9)[0].any()
    assert not higher_order(full, 0 * spared, threshold=0)[0].any()
    paths = path_lengths(full)
    np.testing.assert_array_equal(higher_order(full, spared, paths=paths)[0], delta)
    numbers = higher_order_statistics(paths, np.where(spared == 49.9, 6, 0), delta, indirect, 50)
    assert numbers == {
        'spared_threshold_pct': 50.0,
        'pairs': 6,
        'pairs_directly_disconnected': 1,
        'pairs_directly_disconnected_pct': pytest.approx(100 / 6),
        'pairs_indirectly_disconnected': 3,
        'pairs_indirectly_disconnected_pct': 50.0,
        'pairs_with_longer_path': 4,
        'delta_sspl_max': 3,
        'path_length_cap': 4,
    }


@pytest.mark.shared
@pytest.mark.parametrize('lesion', [1, 2, 4])
def test_higher_order_as_published(shared, lesion):
    """LQT's own matrices give LQT's published path lengths: none of 18,225 entries differs."""
    start = f'{shared}/data/reference/lqt_lesion{lesion}/Subject{lesion}_Yeo.100.7_'
    cut, spared, wanted_delta, wanted_indirect = (
        np.loadtxt(start + name)
        for name in (
            'percent_parcel_SDC.edge',
            'percent_parcel_spared_SC.edge',
            'delta_SSPL.edge',
            'indirect_SDC_edge',
        )
    )
    delta, indirect = higher_order(cut + spared, spared, 50)
    assert delta.size == 18225
    np.testing.assert_array_equal(delta, wanted_delta)
    np.testing.assert_array_equal(indirect, wanted_indirect)


def test_the_box_of_a_mask_in_any_order_of_memory():
    data = np.zeros((6, 7, 8), np.int16)
    data[2:4, 1, 3:8] = -3
    for image in (data, np.asfortranarray(data), data != 0, np.asfortranarray(data)[:, ::-1][:, ::-1]):
        assert voxel_box(image) == (slice(2, 4), slice(1, 2), slice(3, 8))
    assert voxel_box(np.zeros((2, 3, 4), bool)) == (slice(0, 0),) * 3


@pytest.mark.parametrize('order', [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_support_along_the_axes_is_that_of_each_voxel(order):
    """Grids whose axes run along those of the mask are looked up by planes; a tiny rotation takes the long way."""
    random = np.random.default_rng(3)
    mask, density = random.random((9, 10, 11)) > 0.6, random.integers(0, 2, (6, 7, 5))
    grid = np.diag([2.0, 2, 2, 1])[[*order, 3]]
    grid[:3, 3] = -3.3, 2.1, 0.4
    mask_affine = np.diag([-1.0, 1, 1, 1])
    mask_affine[:3, 3] = 6.6, 1.2, -2.9  # no centre half-way between two voxels
    tilted = mask_affine.copy()
    tilted[0, 1] = tilted[1, 2] = 1e-9
    assert outside_support_percent(mask, mask_affine, density, grid) == outside_support_percent(
        mask, tilted, density, grid
    )
