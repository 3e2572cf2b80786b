"""The synthetic anatomy: counts, places and shapes."""

import numpy as np
import pytest
from scipy import ndimage

from lacuna.datasets.synthetic.anatomy import brain_mask, gray_matter, voxel_indices, world_coordinates
from lacuna.datasets.synthetic.bundles import SHORT_FIBRES, resample, simulate_bundles
from lacuna.datasets.synthetic.landmarks import Landmarks
from lacuna.datasets.synthetic.landmarks import bundles as all_landmarks
from lacuna.datasets.synthetic.lesions import lesions, simulate_lesion
from lacuna.datasets.synthetic.parcels import simulate_parcels
from lacuna.images.spaces import standard_grid

GRID = standard_grid('MNI152NLin6Asym', 2)
EXPECTED = {
    name: landmarks.count
    for landmarks in all_landmarks()
    for name in (
        [landmarks.name]
        if landmarks.course == 'commissure'
        else [f'{landmarks.name}_L', f'{landmarks.name}_R']
    )
} | {'ShortFibres_L': SHORT_FIBRES, 'ShortFibres_R': SHORT_FIBRES}
# they start on the side of their name and cross the midline
CROSSING = ('SuperiorCerebellarPeduncle',)


@pytest.fixture(scope='module')
def brain():
    return brain_mask(GRID)


@pytest.fixture(scope='module')
def parcellation(brain):
    return simulate_parcels(GRID, brain, gray_matter(GRID))


@pytest.fixture(scope='module')
def bundles(brain, parcellation):
    made = simulate_bundles(np.random.default_rng(0), GRID, brain, parcellation.cortex)
    return {bundle.name: bundle.streamlines for bundle in made}


def test_brain_is_where_it_should_be(brain):
    volume = brain.sum() * 8 / 1e6  # litres, with ventricles and fissures
    assert 1.7 < volume < 2.0
    centre = world_coordinates(GRID, np.argwhere(brain)).mean(axis=0)
    np.testing.assert_allclose(centre, [0, -21, 9], atol=4)
    assert ndimage.label(brain)[1] == 1


def test_voxels_and_world_agree():
    voxels = np.array([[0, 0, 0], [90, 108, 90], [45, 63, 36]])
    world = world_coordinates(GRID, voxels)
    np.testing.assert_array_equal(world, [[90, -126, -72], [-90, 90, 108], [0, 0, 0]])
    np.testing.assert_array_equal(voxel_indices(GRID, world + 0.4), voxels)
    np.testing.assert_array_equal(voxel_indices(GRID, np.array([[500.0, 0, 0]])), [[0, 63, 36]])


def test_counts(bundles):
    assert {name: len(streamlines) for name, streamlines in bundles.items()} == EXPECTED
    assert sum(EXPECTED.values()) == 20_000


def test_every_vertex_is_inside_the_brain(bundles, brain):
    for name, streamlines in bundles.items():
        points = np.concatenate(streamlines)
        assert points.dtype == np.float32
        assert brain[tuple(voxel_indices(GRID, points).T)].all(), name


def test_bundles_keep_their_side_and_mirror_their_twin(bundles):
    pairs = [name[:-2] for name in bundles if name.endswith('_L')]
    assert len(pairs) > 20
    for name in pairs:
        left, right = (np.concatenate(bundles[f'{name}_{letter}']) for letter in 'LR')
        if name not in CROSSING:
            assert left[:, 0].max() < 0, name
            assert right[:, 0].min() > 0, name
        np.testing.assert_allclose(left.mean(axis=0) * (-1, 1, 1), right.mean(axis=0), atol=2, err_msg=name)


@pytest.mark.parametrize(
    'name', [landmarks.name for landmarks in all_landmarks() if landmarks.course == 'commissure']
)
def test_commissures_join_the_hemispheres(bundles, name):
    for streamline in bundles[name]:
        assert streamline[0, 0] < 0 < streamline[-1, 0]
        assert np.count_nonzero(np.diff(np.signbit(streamline[:, 0]))) == 1


def test_steps_are_one_millimetre(bundles):
    for streamlines in bundles.values():
        steps = np.concatenate([np.linalg.norm(np.diff(s, axis=0), axis=1) for s in streamlines])
        # along the curve it is 1 mm: the chord is a little shorter in a bend
        assert steps.max() < 1.0001
        assert steps.min() > 0.93
        assert steps.mean() > 0.998


def test_known_anatomy(bundles):
    callosum = [s for name, group in bundles.items() if name.startswith('CC_') for s in group]
    midline = np.array([s[np.argmax(s[:, 0] > 0)] for s in callosum])  # where they cross it
    body = midline[np.abs(midline[:, 1] + 10) < 5]
    front = midline[midline[:, 1] > 25]
    assert 22 < body[:, 2].mean() < 30  # the arch of the C
    assert front[:, 2].mean() < 15
    assert midline[:, 1].min() > -48
    assert midline[:, 1].max() < 35

    corticospinal = bundles['CorticospinalTract_L']
    stem, cortex = (np.array([s[i] for s in corticospinal]) for i in (5, -1))
    assert stem.std(axis=0).max() < 4 < cortex.std(axis=0).max()  # tight below, a fan above
    assert stem[:, 2].max() < -35
    assert cortex[:, 2].mean() > 45

    # Meyer's loop: from the geniculate body forward around the temporal horn, then back to the calcarine cortex
    loop = min(bundles['OpticRadiation_L'], key=lambda s: -s[:, 1].max())
    assert loop[0, 1] < loop[:, 1].max() - 10
    assert loop[-1, 1] < -75


def test_seed_decides(brain, parcellation):
    def first(seed):
        made = simulate_bundles(np.random.default_rng(seed), GRID, brain, parcellation.cortex)
        return np.concatenate(next(made).streamlines)

    np.testing.assert_array_equal(first(1), first(1))
    assert not np.array_equal(first(1)[:100], first(2)[:100])


def test_resample_cuts_the_rest():
    corner = np.array([[0.0, 0, 0], [1.5, 0, 0], [1.5, 1.2, 0]])
    np.testing.assert_allclose(resample(corner, 1.0), [[0, 0, 0], [1, 0, 0], [1.5, 0.5, 0]])
    assert len(resample(np.zeros((1, 3)), 1.0)) == 1


def test_landmarks_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match='unequal'):
        Landmarks('Odd', 1, (((0, 0, 0), (1, 1, 1)),), (1.0, 1.0, 1.0))


def test_parcels_have_all_labels(parcellation, brain):
    assert [parcel.index for parcel in parcellation.parcels] == list(range(1, 101))
    assert len({parcel.name for parcel in parcellation.parcels}) == 100
    sizes = np.bincount(parcellation.labels.ravel(), minlength=101)[1:] * 8 / 1000
    assert len(sizes) == 100
    assert sizes.min() > 0.5  # ml
    assert sizes[:84].max() < 20
    assert not (parcellation.labels[~brain]).any()
    assert parcellation.labels.dtype == np.uint16


def test_parcels_are_where_their_names_say(parcellation):
    centres = {
        parcel.name: world_coordinates(GRID, np.argwhere(parcellation.labels == parcel.index)).mean(axis=0)
        for parcel in parcellation.parcels
    }
    for parcel in parcellation.parcels:
        if parcel.hemisphere == 'B':
            assert abs(centres[parcel.name][0]) < 1
            continue
        x = world_coordinates(GRID, np.argwhere(parcellation.labels == parcel.index))[:, 0]
        assert (x < 0).all() if parcel.hemisphere == 'L' else (x > 0).all()
        if parcel.hemisphere == 'L':
            twin = centres[parcel.name.replace('LH_', 'RH_')]
            np.testing.assert_allclose(centres[parcel.name] * (-1, 1, 1), twin, atol=0.01)
    assert all(centre[1] < -50 for name, centre in centres.items() if '_Vis_' in name)
    assert centres['LH_SomMot_2'][2] > 50
    assert centres['LH_Limbic_2'][2] < -25
    assert centres['Brainstem'][2] < -20
    networks = {parcel.network for parcel in parcellation.parcels}
    assert networks == {
        'Vis', 'SomMot', 'DorsAttn', 'SalVentAttn', 'Limbic', 'Cont', 'Default', 'Subcortical',
    }  # fmt: skip


@pytest.mark.parametrize(
    ('number', 'side', 'least', 'most', 'centre'),
    [
        (0, -1, 10_000, 20_000, (-30, -12, 18)),
        (1, 1, 6_000, 12_000, (16, -74, 0)),
        (2, -1, 400, 2_000, (-18, -17, 7)),
    ],
)
def test_lesions(number, side, least, most, centre):
    grid = standard_grid('MNI152NLin6Asym', 1)
    brain = brain_mask(grid)
    mask = simulate_lesion(np.random.default_rng(number), grid, brain, lesions()[number])
    points = world_coordinates(grid, np.argwhere(mask))
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 1}
    assert least < mask.sum() < most  # mm3
    assert brain[mask > 0].all()
    assert (points[:, 0] * side > 0).all()
    assert ndimage.label(mask)[1] == 1
    np.testing.assert_allclose(points.mean(axis=0), centre, atol=5)
    # more faces than a ball of that volume has (those of a ball of voxels are 1.5 times its surface)
    faces = sum(np.abs(np.diff(mask.astype(int), axis=axis)).sum() for axis in range(3))
    assert faces > 1.1 * 6 * np.pi * (3 * mask.sum() / (4 * np.pi)) ** (2 / 3)
