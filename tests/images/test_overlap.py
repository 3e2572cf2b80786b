"""A mask of one grid on the voxels of another, against counting voxel by voxel."""

import numpy as np
import pytest

from lacuna.images.overlap import covered_share, covered_values, covered_voxels

SHAPE = (9, 8, 7)


def random_affine(rng, reach, turned=False):
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3) * rng.choice([0.5, 0.7, 1, 2], 3)
    if turned:
        affine[:3, :3] += rng.uniform(-0.2, 0.2, (3, 3))
    affine[:3, 3] = rng.uniform(-reach, reach, 3)
    return affine


@pytest.mark.parametrize('turned', [False, True])
@pytest.mark.parametrize('seed', range(8))
def test_at_the_centres(seed, turned):
    rng = np.random.default_rng(seed)
    mask, own, grid = rng.random((6, 7, 8)) < 0.4, random_affine(rng, 3), random_affine(rng, 6, turned)
    graded = np.where(mask, rng.random(mask.shape), 0)
    at = np.indices(SHAPE).reshape(3, -1)
    world = grid[:3, :3] @ at + grid[:3, 3:]
    at = np.floor(np.linalg.inv(own[:3, :3]) @ (world - own[:3, 3:]) + 0.5).astype(int)
    inside = ((at >= 0) & (at < np.array(mask.shape)[:, None])).all(axis=0)
    hit = np.zeros(at.shape[1], bool)
    hit[inside] = mask[tuple(at[:, inside])]
    np.testing.assert_array_equal(covered_voxels(mask, own, SHAPE, grid), np.flatnonzero(hit))
    at = at[:, hit]
    voxels, values = covered_values(graded, own, SHAPE, grid)
    np.testing.assert_array_equal(voxels, np.flatnonzero(hit))
    np.testing.assert_array_equal(values, graded[tuple(at)])


@pytest.mark.parametrize('seed', range(8))
def test_by_volume(seed):
    rng = np.random.default_rng(seed)
    mask, own, grid = rng.random((6, 7, 8)) < 0.4, random_affine(rng, 3), random_affine(rng, 6)
    to_grid = np.linalg.inv(grid) @ own
    wanted = np.zeros(SHAPE)
    for voxel in np.argwhere(mask):
        middle = to_grid[:3, :3] @ voxel + to_grid[:3, 3]
        reach = np.abs(to_grid[:3, :3]).sum(axis=1) / 2
        lengths = []
        for axis in range(3):
            cells = np.arange(SHAPE[axis])
            high = np.minimum(middle[axis] + reach[axis], cells + 0.5)
            lengths.append(np.maximum(high - np.maximum(middle[axis] - reach[axis], cells - 0.5), 0))
        wanted += np.einsum('i,j,k', *lengths)
    voxels, share = covered_share(mask, own, SHAPE, grid)
    found = np.zeros(wanted.size)
    found[voxels] = share
    np.testing.assert_allclose(found.reshape(SHAPE), wanted, atol=2e-5)
    assert (np.diff(voxels) > 0).all()


@pytest.mark.parametrize('turned', [False, True])
def test_a_graded_mask_is_the_mean_over_thresholds(turned):
    rng = np.random.default_rng(9)
    graded, own, grid = (
        rng.integers(0, 5, (6, 7, 8)) / 4,
        random_affine(rng, 3),
        random_affine(rng, 2, turned),
    )
    expected = np.zeros(SHAPE)
    for threshold in range(4):
        voxels, share = covered_share(graded > threshold / 4, own, SHAPE, grid)
        expected.reshape(-1)[voxels] += share / 4
    found = np.zeros(SHAPE)
    voxels, share = covered_share(graded, own, SHAPE, grid)
    found.reshape(-1)[voxels] = share
    assert len(np.unique(share)) > 10
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_turned_by_volume():
    """Of a mask that fills the grid, all is covered; of one inside, the volume is kept but for the sampling."""
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]]
    turn[:3, 3] = [-20, -20, -20]
    voxels, share = covered_share(np.ones((80, 80, 60), bool), turn, (5, 5, 5), np.eye(4))
    assert len(voxels) == 125
    np.testing.assert_array_equal(share, 1)
    ball = np.zeros((12, 12, 12), bool)
    ball[3:9, 3:9, 3:9] = True
    turn[:3, 3] = 0
    _, share = covered_share(
        ball, turn, (40, 40, 40), np.array([[1, 0, 0, -20], [0, 1, 0, -20], [0, 0, 1, -20], [0, 0, 0, 1.0]])
    )
    assert share.sum() == pytest.approx(ball.sum(), rel=0.01)
    assert share.max() == 1


def test_nothing():
    empty = np.zeros((3, 3, 3), bool)
    away = np.diag([1.0, 1, 1, 1])
    away[:3, 3] = 1000
    for mask, affine in ((empty, np.eye(4)), (~empty, away)):
        assert len(covered_voxels(mask, affine, SHAPE, np.eye(4))) == 0
        assert len(covered_share(mask, affine, SHAPE, np.eye(4))[0]) == 0
