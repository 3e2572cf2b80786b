"""Features as they are read from results: the numbers in the files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.score_results import ATLAS, REGIONS, SHAPE, percentages, write_cohort_results

from lacuna.bids.outputs import output_name
from lacuna.errors import InputError
from lacuna.statistics.features import (
    distinct,
    frame_features,
    lesion_volumes,
    read_features,
    select_lesions,
)
from lacuna.utils.names import sidecar_path


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    root, values = tmp_path_factory.mktemp('features') / 'out', percentages(4)
    return root, values, write_cohort_results(root, values)


def test_tables_matrices_and_maps(written):
    root, values, volumes = written
    lesions = select_lesions(root)
    assert list(lesions) == ['sub-01', 'sub-02', 'sub-03', 'sub-04']
    assert list(lesion_volumes(lesions).values()) == volumes['volume'].tolist()
    (parcels,) = read_features(lesions, 'parcels')
    assert (parcels.atlas, parcels.stem) == (ATLAS, 'group_ses-01_label-lesion')
    np.testing.assert_array_equal(parcels.values, values)
    assert tuple(parcels.values) == REGIONS
    (edges,) = read_features(lesions, 'edges')
    assert edges.values.shape == (4, 10)
    for one, other in edges.values:
        np.testing.assert_allclose(edges.values[one, other], values[[one, other]].mean(axis=1))
    (maps,) = read_features(lesions, 'voxels')
    assert maps.grid.shape == SHAPE
    used = np.flatnonzero((values > 0).any())
    assert maps.grid.numbers.tolist() == used.tolist()
    np.testing.assert_array_equal(maps.values, values.iloc[:, used].astype(np.float32))
    image = maps.grid.image(np.arange(1, len(used) + 1), outside=9)
    assert image.get_fdata().flat[used].tolist() == list(range(1, len(used) + 1))
    assert (image.get_fdata() == 9).sum() == np.prod(SHAPE) - len(used)


def test_several_lesions_of_a_participant_have_to_be_chosen(tmp_path):
    write_cohort_results(tmp_path, percentages(3), sessions=('01', '02'))
    with pytest.raises(InputError, match=r'sub-01_ses-02_label-lesion.*--session-id'):
        select_lesions(tmp_path)
    for options in ({'sessions': ['ses-02']}, {'sessions': ['02']}, {'pattern': '*_ses-02_*'}):
        lesions = select_lesions(tmp_path, **options)
        assert [lesion.session for lesion in lesions.values()] == ['02'] * 3
    with pytest.raises(InputError, match='no results'):
        select_lesions(tmp_path, sessions=['03'])


def test_results_that_do_not_match_are_left_out(tmp_path):
    write_cohort_results(tmp_path, percentages(4))
    (table,) = tmp_path.glob('sub-03/**/*_parcelstats.tsv')
    table.write_text(table.read_text().replace('LH_Vis_1', 'LH_Other_1'))
    (table,) = tmp_path.glob('sub-04/**/*_parcelstats.tsv')
    table.unlink()
    (found,) = read_features(select_lesions(tmp_path), 'parcels')
    assert list(found.values.index) == ['sub-01', 'sub-02']
    assert 'LH_Vis_1' in found.left_out['sub-03']
    assert found.left_out.keys() == {'sub-03', 'sub-04'}
    for table in tmp_path.glob('sub-02/**/*_parcelstats.tsv'):
        table.write_text(table.read_text().replace('LH_Vis_1', 'LH_Third_1'))
    with pytest.raises(InputError, match='do not match'):
        read_features(select_lesions(tmp_path), 'parcels')


def test_maps_of_another_tractogram_are_left_out(tmp_path):
    """As tables are."""
    values = percentages(4)
    write_cohort_results(tmp_path, values)
    (sidecar,) = tmp_path.glob('sub-03/**/*_space-*_desc-disconnectionpct.json')
    sidecar.write_text(sidecar.read_text().replace('a' * 64, 'c' * 64))
    (found,) = read_features(select_lesions(tmp_path), 'voxels')
    others = values.drop(index='03')
    assert list(found.values.index) == [f'sub-{each}' for each in others.index]
    np.testing.assert_array_equal(found.values, others.loc[:, (others > 0).any()].astype(np.float32))
    assert list(found.left_out) == ['sub-03']
    assert 'tractogram' in found.left_out['sub-03']
    assert found.about['Tractogram']['SHA256'] == 'a' * 64
    for sidecar in tmp_path.glob('sub-04/**/*_space-*_desc-disconnectionpct.json'):
        sidecar.write_text(sidecar.read_text().replace('a' * 64, 'd' * 64))
    with pytest.raises(InputError, match='do not match'):
        read_features(select_lesions(tmp_path), 'voxels')


def test_bundles_load_and_networks_have_tables_of_their_own(tmp_path):
    """Each output has a name of its own among those of a lesion."""
    values = percentages(3)
    write_cohort_results(tmp_path, values)
    for kind, key in (
        ('load', 'lesion_load'),
        ('networks', 'network_disconnection'),
        ('bundles', 'bundle_disconnection'),
    ):
        for source in tmp_path.glob('sub-*/**/*_parcelstats.tsv'):
            if source.name.endswith(f'_atlas-{ATLAS}_desc-disconnectionpct_parcelstats.tsv'):
                target = source.with_name(output_name(source.name.split('_method')[0], key, atlas=ATLAS))
                text = source.read_text()
                target.write_text(text.replace('region', 'bundle') if kind == 'bundles' else text)
                sidecar_path(target).write_text(sidecar_path(source).read_text())
        (found,) = read_features(select_lesions(tmp_path), kind)
        assert (found.kind, found.atlas) == (kind, ATLAS)
        np.testing.assert_array_equal(found.values, values)


def test_results_that_are_not_there(written):
    with pytest.raises(InputError, match=r'bundles.*roi_disconnection'):
        read_features(select_lesions(written[0]), 'bundles')


def test_masks_whose_file_is_gone_are_left_out(written):
    (found,) = read_features(select_lesions(written[0]), 'lesion')
    assert list(found.left_out) == ['sub-01', 'sub-02', 'sub-03', 'sub-04']


@pytest.mark.parametrize(
    'frame',
    [
        pd.DataFrame({'a': ['x', 'y']}, index=['1', '2']),
        pd.DataFrame({'a': [1.0, 2.0]}, index=['1', 'sub-1']),
        pd.DataFrame([[1.0, 2.0]], index=['1'], columns=['a', 'a']),
        pd.DataFrame({'a': [1.0, np.inf]}, index=['1', '2']),
    ],
)
def test_frames_that_are_refused(frame):
    with pytest.raises(InputError):
        frame_features(frame, 'parcels')


def test_frames_with_ids_in_a_column():
    """As `Results.table` returns them."""
    frame = pd.DataFrame(
        {'participant_id': ['sub-1', '2'], 'session_id': '01', 'label': 'lesion', 'a': [1.0, 0.0]}
    )
    values = frame_features(frame, 'parcels').values
    assert list(values.index) == ['sub-1', 'sub-2']
    assert values.to_dict('list') == {'a': [1.0, 0.0]}


def test_rows_without_any_value_are_left_out_of_a_frame():
    """As `Results.table` returns them for lesions that failed."""
    frame = pd.DataFrame({'a': [1.0, np.nan, 0.0], 'b': [2.0, np.nan, np.nan]}, ['1', '2', '3'])
    features = frame_features(frame, 'parcels')
    assert list(features.values.index) == ['sub-1', 'sub-3']
    assert list(features.left_out) == ['sub-2']


def test_equal_features_are_found():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2, (3, 40)).astype(float)
    first, inverse = distinct(values)
    assert len(first) == len({tuple(column) for column in values.T})
    np.testing.assert_array_equal(values[:, first][:, inverse], values)
    assert (np.diff(first) > 0).all()
    assert distinct(np.array([[0.0, -0.0]]))[1].tolist() == [0, 0]
