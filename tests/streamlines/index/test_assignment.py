"""Endpoints to parcels."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.streamlines_reference import parcel_at

from lacuna.errors import InputError
from lacuna.streamlines.index.assignment import assign


@pytest.mark.parametrize(
    'linear', [np.eye(3), np.diag([-2.0, 2, 2]), [[0, -1.5, 0.2], [1, 0, 0.1], [0, 0.1, 1.2]]]
)
def test_nearest_parcel_within_reach(linear):
    rng = np.random.default_rng(2)
    labels = np.where(rng.random((12, 14, 13)) < 0.02, rng.integers(1, 9, (12, 14, 13)), 0)
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = affine[:3, :3] @ [-6, -7, -6.5]
    ends = rng.uniform(-14, 14, (300, 2, 3)).astype(np.float32)
    expected = [[parcel_at(end, labels, affine) for end in pair] for pair in ends]
    found = assign(ends, labels, affine, nprocs=2)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(assign(ends, np.asfortranarray(labels, np.uint8), affine), expected)
    assert 0 < (found > 0).mean() < 1


def test_missing_ends_and_far_ends_have_no_parcel():
    labels = np.ones((3, 3, 3), np.int16)
    ends = np.array(
        [[[np.nan] * 3, [1, 1, 1]], [[1e30, 0, 0], [6.1, 1, 1]], [[5.9, 1, 1], [-1e9, 0, 0]]], np.float32
    )
    np.testing.assert_array_equal(assign(ends, labels, np.eye(4)), [[0, 1], [0, 0], [1, 0]])
    np.testing.assert_array_equal(assign(ends[:1], labels * 0, np.eye(4)), [[0, 0]])


def test_only_the_voxel_of_the_end():
    labels = np.arange(1, 28, dtype=np.int16).reshape(3, 3, 3)
    labels[1, 1, 1] = 0
    affine = np.diag([-2.0, 2, 2, 1])
    ends = np.array(
        [
            [[0.99, 0, 0], [-0.99, 0.99, 2.9]],  # of voxels 0, 0, 0 and 0, 0, 1
            [[-2, 2, 2], [1.01, 0, 0]],  # background, with parcels all around; beside the image
            [[np.nan] * 3, [1e30, 0, 0]],
        ],
        np.float32,
    )
    np.testing.assert_array_equal(assign(ends, labels, affine, rule='end-voxels'), [[1, 2], [0, 0], [0, 0]])
    assert (assign(ends, labels, affine)[1] > 0).all()
    with pytest.raises(InputError, match='end-voxels'):
        assign(ends, labels, affine, rule='nearest')


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        (np.full((2, 2, 2), 1.5), 'not whole numbers'),
        (np.full((2, 2, 2), -1), 'negative'),
        (np.ones((2, 2, 2, 2), int), 'three dimensions'),
    ],
)
def test_bad_labels(labels, message):
    with pytest.raises(InputError, match=message):
        assign(np.zeros((1, 2, 3), np.float32), labels, np.eye(4))
