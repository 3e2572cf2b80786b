"""Lesion load of parcels and of probability atlases, and the published numbers."""

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from lacuna.errors import InputError
from lacuna.images.atlases import Atlas, Parcellation, read_parcellation
from lacuna.images.load import is_probability_atlas, parcel_load, probability_load, read_probabilities
from lacuna.images.overlap import covered_voxels

SPACE = 'MNI152NLin6Asym'
GRID = np.array([[2.0, 0, 0, -20], [0, 2, 0, -30], [0, 0, 2, -10], [0, 0, 0, 1]])


def write_atlas(folder, data, text, affine=GRID):
    nb.save(nb.Nifti1Image(data, affine), folder / 'atlas.nii.gz')
    (folder / 'atlas.tsv').write_text(text)
    return Atlas('toy', folder / 'atlas.nii.gz', folder / 'atlas.tsv', SPACE, 'given')


def test_parcels_are_counted_on_their_own_voxels(tmp_path):
    """Whatever the grid of the mask is: what is divided by stays the same."""
    data = np.zeros((10, 12, 8), np.int16)
    data[1:4, 2:5, 1:7], data[5:9, 2:8, 3:5] = 4, 9
    atlas = write_atlas(tmp_path, data, 'index\tname\n4\tfour\n7\tseven\n9\tnine\n')
    parcels = read_parcellation(atlas)
    fine = GRID.copy()
    fine[:3, :3] = [[0, -0.5, 0], [0.5, 0, 0], [0, 0, 1]]
    fine[:3, 3] = [0, -30, -10]
    mask = np.random.default_rng(0).random((24, 40, 20)) < 0.5
    found = parcel_load(nb.Nifti1Image(mask.astype('u1'), fine), parcels)
    whole = np.bincount(data.ravel(), minlength=10)
    inside = 0
    part = np.zeros(10)
    for voxel in np.argwhere(data):
        world = GRID[:3, :3] @ voxel + GRID[:3, 3]
        at = np.floor(np.linalg.inv(fine[:3, :3]) @ (world - fine[:3, 3]) + 0.5).astype(int)
        if (at >= 0).all() and (at < mask.shape).all():
            inside += 1
            part[data[tuple(voxel)]] += mask[tuple(at)]
    assert 0 < inside < whole[1:].sum()
    np.testing.assert_array_equal(found, [100 * part[4] / whole[4], np.nan, 100 * part[9] / whole[9]])


def test_a_probability_atlas(tmp_path):
    data = np.zeros((10, 12, 8, 3), np.float32)
    data[2, 3, 4] = [0.2, 0.7, 0]
    data[2, 3, 5] = [0.6, 0.1, 0]
    atlas = write_atlas(tmp_path, data, 'index\tname\n1\tAF L\n2\tCST\n3\tnone\n')
    assert is_probability_atlas(atlas.image)
    for scale in (1, 100):
        nb.save(nb.Nifti1Image(data * scale, GRID), atlas.image)
        regions = read_probabilities(atlas)
        assert regions.names == ('AF L', 'CST', 'none')
        mask = np.zeros((10, 12, 8), 'u1')
        mask[2, 3, 4] = mask[8, 8, 1] = 1
        load, largest = probability_load(nb.Nifti1Image(mask, GRID), regions)
        np.testing.assert_allclose(load, [25, 87.5, np.nan], rtol=1e-6)
        np.testing.assert_allclose(largest, [20, 70, np.nan], rtol=1e-6)
    with pytest.raises(InputError, match='4 dimensions'):  # no matrices of it
        read_parcellation(atlas)


@pytest.mark.parametrize(
    ('change', 'text', 'words'),
    [
        (lambda data: data - 2, 'index\tname\n1\ta\n2\tb\n', 'negative'),
        (lambda data: data * np.nan, 'index\tname\n1\ta\n2\tb\n', 'NaN'),
        (lambda data: data * 255, 'index\tname\n1\ta\n2\tb\n', 'up to 255'),
        (lambda data: data * 0, 'index\tname\n1\ta\n2\tb\n', 'up to 0'),
        (lambda data: data, 'index\tname\n1\ta\n3\tb\n', 'has 2 volumes'),
        (lambda data: data[..., 0], 'index\tname\n1\ta\n2\tb\n', 'cannot be read'),
    ],
)
def test_what_is_no_probability_atlas(tmp_path, change, text, words):
    atlas = write_atlas(tmp_path, change(np.ones((4, 4, 4, 2), np.float32)), text)
    with pytest.raises(InputError, match=words) as caught:
        read_probabilities(atlas)
    assert str(atlas.image) in str(caught.value)


def test_networks_of_parcels(tmp_path):
    """From a column of the label table; else from names of the Schaefer atlas; else they are not known."""
    data = np.zeros((4, 4, 4), np.int16)
    data[0, 0, :3] = [1, 2, 5]
    for text, wanted in (
        ('index\tname\tnetwork\n1\ta\tVis\n2\tb\tn/a\n5\tc\tDefault A\n', ('Vis', '', 'Default A')),
        ('network_label,index,name\nVis,5,c\nCont,1,a\n,2,b\n', ('Cont', '', 'Vis')),
        ('1 7Networks_LH_Vis_1\n2 17Networks_RH_DefaultA_PFCm_1\n5 Stem\n', ('Vis', 'DefaultA', '')),
        ('1 LH_Vis_1\n2 Vis\n5 Default_left\n', ('', '', '')),
    ):
        assert read_parcellation(write_atlas(tmp_path, data, text)).networks == wanted


# ---- published ----


@pytest.mark.shared
@pytest.mark.parametrize('lesion', [1, 2, 4])
def test_parcel_damage_as_published(shared, lesion):
    """LQT's percent damage, with the parcels of LQT's own image: every row to 1e-9."""
    start = shared / f'data/reference/lqt_lesion{lesion}'
    image = nb.load(start / f'Subject{lesion}_Yeo.100.7_percent_damage.nii.gz')
    rows = pd.read_csv(start / f'Subject{lesion}_Yeo.100.7_percent_damage.csv')['PercentDamage']
    # the image holds the damage of a parcel in each of its voxels
    values, parcels = np.unique(np.asanyarray(image.dataobj), return_inverse=True)
    index = parcels.reshape(image.shape).astype(np.int32)
    names = tuple(map(str, values[1:]))
    own = Parcellation(None, index, image.affine, names, '')
    mask = nb.load(shared / f'data/lesions/LQT/ExampleLesion{lesion}.nii.gz')
    found = np.sort(parcel_load(mask, own))
    damaged = np.sort(rows[rows > 0])
    assert len(found) == len(damaged) == {1: 19, 2: 11, 4: 7}[lesion]
    np.testing.assert_allclose(found, damaged, rtol=0, atol=1e-9)


@pytest.mark.shared
def test_arterial_territories_as_published(shared):
    """31 territories and the volume of 290 masks: every cell."""
    folder = shared / 'data/reference/soop'
    table = pd.read_csv(folder / 'artery.tsv', sep='\t', index_col='participant_id')
    image = nb.load(folder / 'ArterialAtlas136.nii.gz')
    index = np.asanyarray(image.dataobj).astype(np.int32)
    names = tuple(map(str, range(1, int(index.max()) + 1)))
    territories = Parcellation(None, index, image.affine, names, '')
    shares, volumes = [], []
    for participant in table.index:
        mask = nb.load(shared / f'data/lesions/SOOP/bwsr{participant}_lesion.nii.gz')
        shares.append(parcel_load(mask, territories)[:31] / 100)
        volumes.append(
            len(covered_voxels(np.asanyarray(mask.dataobj) > 0, mask.affine, index.shape, image.affine))
        )
    assert len(shares) == 290
    np.testing.assert_allclose(shares, table.iloc[:, 1:].to_numpy(), rtol=1e-12)
    np.testing.assert_array_equal(volumes, table['lesion_volume'])


@pytest.mark.shared
@pytest.mark.slow
def test_a_real_probability_atlas(shared):
    image = next((shared / 'data/atlases').glob('*HCP1065*probseg.nii.gz'))
    atlas = Atlas('hcp1065', image, image.with_name(image.name.replace('.nii.gz', '.txt')), SPACE, 'given')
    regions = read_probabilities(atlas)
    assert len(regions.names) == 64
    mask = nb.load(shared / 'data/lesions/LQT/ExampleLesion1.nii.gz')
    load, largest = probability_load(mask, regions)
    inside = np.asanyarray(mask.dataobj) > 0  # both on one grid
    volumes = nb.load(image)
    for number in (0, 1, 40):
        volume = np.asanyarray(volumes.dataobj[..., number])
        assert load[number] == pytest.approx(100 * volume[inside].sum() / volume.sum(), rel=1e-6)
        assert largest[number] == 100 * volume[inside].max()
    assert load[1] > 0  # arcuate fasciculus right
