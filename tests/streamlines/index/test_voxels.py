"""Affines, lookups and rounding."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from lacuna.errors import InputError
from lacuna.images.nifti import nifti_affine
from lacuna.images.spaces import standard_grid
from lacuna.streamlines.index.density import upsample_weights
from lacuna.streamlines.index.voxels import flat_voxel, voxel_lookup


def flat_voxels(lookup, points):
    at = lookup.to_voxel, lookup.shape, lookup.strides, lookup.start
    return [flat_voxel(*at, *point) for point in np.asarray(points, np.float32)]


@pytest.mark.parametrize('space', ['MNI152NLin6Asym', 'MNI152NLin2009cAsym'])
@pytest.mark.parametrize('resolution', [1, 2])
def test_centres_of_standard_grids_are_their_own_voxels(space, resolution):
    grid = standard_grid(space, resolution)
    voxels = np.argwhere(np.random.default_rng(0).random(grid.shape) < 1e-4)
    points = voxels @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    expected = np.ravel_multi_index(tuple(voxels.T), grid.shape)
    np.testing.assert_array_equal(flat_voxels(voxel_lookup(grid.affine, grid.shape), points), expected)
    fortran = voxel_lookup(grid.affine, grid.shape, order='F')
    expected = np.ravel_multi_index(tuple(voxels.T), grid.shape, order='F')
    np.testing.assert_array_equal(flat_voxels(fortran, points), expected)


def test_halves_go_away_from_zero_in_the_ras_image():
    lookup = voxel_lookup(np.diag([-1.0, 1, 1, 1]), (4, 4, 4))  # x of the voxels: 0, -1, -2, -3
    points = [
        [-0.5, 0, 0],
        [-1.5, 0, 0],
        [0.5, 0, 0],
        [-3.5, 0, 0],
        [-3.49, 0, 0],
        [np.nan, 0, 0],
        [0, -0.4999, 0],
    ]
    voxels = flat_voxels(lookup, np.array(points, np.float32))
    np.testing.assert_array_equal(voxels, [0, 16, -1, -1, 48, -1, 0])


def header(**fields) -> nib.Nifti1Header:
    made = nib.Nifti1Header()
    made.set_data_shape((5, 6, 7))
    for name, value in fields.items():
        made[name] = value
    return made


def test_affine_of_headers():
    rows = {'srow_x': [-2, 0, 0, 9], 'srow_y': [0, 2, 0, 8], 'srow_z': [0, 0, 2, 7]}
    sform = np.array([*rows.values(), [0, 0, 0, 1]], float)
    np.testing.assert_array_equal(
        nifti_affine(header(sform_code=1, pixdim=[1, 2, 2, 2, 0, 0, 0, 0], **rows)), sform
    )
    near = np.float32(2 + 1e-6)  # the header's voxel sizes count when they agree to 1e-5
    scaled = nifti_affine(header(sform_code=1, pixdim=[1, near, 2, 2, 0, 0, 0, 0], **rows))
    assert scaled[0, 0] == -float(near)
    np.testing.assert_array_equal(
        nifti_affine(header(sform_code=1, pixdim=[1, 3, 2, 2, 0, 0, 0, 0], **rows)), sform
    )
    qform = header(qform_code=1, pixdim=[-1, 1, 2, 3, 0, 0, 0, 0], quatern_b=0.1, quatern_c=-0.3, qoffset_x=4)
    np.testing.assert_allclose(nifti_affine(qform), qform.get_qform(), atol=1e-6)
    none = nifti_affine(header(pixdim=[1, 1, 2, 3, 0, 0, 0, 0]))
    np.testing.assert_array_equal(none @ [2, 2.5, 3, 1], [0, 0, 0, 1])


def test_singular_affine_is_refused():
    with pytest.raises(InputError, match='singular'):
        voxel_lookup(np.diag([1.0, 1, 0, 1]), (3, 3, 3))
    with pytest.raises(InputError, match='not finite'):
        voxel_lookup(np.full((4, 4), np.nan), (3, 3, 3))


def test_weights_of_upsampling():
    weights = upsample_weights(4)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-6)
    assert upsample_weights(1).shape == (0, 4)
