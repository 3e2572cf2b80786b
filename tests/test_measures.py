"""The arithmetic, with numbers a reader can compute."""

import numpy as np
import pytest

from lacuna.measures import disconnection_percent, outside_support_percent, summary_statistics, voxel_box


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
    assert all(value == 0 for name, value in summary.items() if name != 'streamlines_total')


def test_support_on_another_grid():
    """Eight 1 mm voxels fall into 2 mm voxels by their centres, whatever the storage order."""
    mask = np.ones((4, 1, 1), bool)
    mask_affine = np.eye(4)
    mask_affine[0, 3] = -0.5  # centres at -0.5, 0.5, 1.5, 2.5 mm
    grid_affine = np.diag([-2.0, 2, 2, 1])
    grid_affine[0, 3] = 2  # centres at 2 and 0 mm, stored from right to left
    full_tdi = np.array([0, 1]).reshape(2, 1, 1)
    assert outside_support_percent(mask, mask_affine, full_tdi, grid_affine) == 50


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
