"""What is read back from the results of a run: the same numbers as are in the files and in the group tables."""

from __future__ import annotations

import json
import subprocess
import sys

import nibabel as nb
import numpy as np
import pandas as pd
import pytest
from helpers.report_data import ATLAS, PARCELS, SPACE, write_results
from helpers.waiting import HANGS

from lacuna import load_results
from lacuna.bids.collect import collect
from lacuna.bids.outputs import Target, output_name
from lacuna.bids.tables import read_matrix, read_parcels
from lacuna.errors import InputError
from lacuna.images.masks import read_mask
from lacuna.utils.names import sidecar_path

STEM = 'sub-01_ses-01_label-lesion'
LEADING = ['participant_id', 'session_id', 'label']


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """Results of three lesions, and the masks by what leads the names of the results."""
    root = tmp_path_factory.mktemp('results') / 'out'
    stems = (STEM, 'sub-01_ses-02_label-lesion', 'sub-02_ses-01_label-lesion')
    masks = {
        stem: write_results(root, root.parent / 'in', stem, radius=4.0 + i) for i, stem in enumerate(stems)
    }
    atlas = {'Space': SPACE, 'Atlas': {'Name': ATLAS}, 'Parameters': {}}
    for path in root.glob(f'sub-*/**/*_atlas-{ATLAS}_*.tsv'):
        sidecar_path(path).write_text(json.dumps(atlas))
    for stem, mask in masks.items():
        statistics = {'parcels': 5, 'degree_loss': dict.fromkeys(PARCELS, 1)}
        folder = root / mask.parent.relative_to(root.parent / 'in')
        (folder / output_name(stem, 'matrix_statistics', atlas=ATLAS)).write_text(json.dumps(statistics))
    return root, masks


def test_a_lesion_has_what_its_files_hold(written):
    root, masks = written
    results = load_results(root)
    assert [lesion.stem for lesion in results] == sorted(masks)
    lesion = results[0]
    assert (lesion.subject, lesion.session, lesion.space, lesion.atlases) == ('01', '01', SPACE, [ATLAS])
    folder = root / 'sub-01/ses-01/anat'
    path = folder / output_name(STEM, 'disconnection_map', space=SPACE)
    assert lesion.files[Target('disconnection_map')] == path
    np.testing.assert_array_equal(lesion.map.get_fdata(), nb.load(path).get_fdata())
    assert lesion.metadata == json.loads(sidecar_path(path).read_text())
    assert lesion.summary == json.loads((folder / output_name(STEM, 'summary')).read_text())
    assert lesion.mask.path == masks[STEM]
    assert lesion.mask.mask.sha256 == read_mask(masks[STEM]).sha256
    assert lesion.parcels(ATLAS).to_dict() == dict(zip(PARCELS, [30.0, 17.5, 5.0, 0.0, 0.0], strict=True))
    assert lesion.matrix(ATLAS).loc[PARCELS[0], PARCELS[1]] == 70
    assert lesion.matrix(ATLAS, 'mask_matrix').loc[PARCELS[2], PARCELS[0]] == 2
    with pytest.raises(InputError, match='intact_matrix'):
        lesion.matrix(ATLAS, 'intact_matrix')


@pytest.mark.parametrize(
    ('name', 'file'),
    [
        ('parcels', f'atlas-{ATLAS}_desc-disconnectionpct_parcelstats'),
        ('summary', 'desc-summarystatistics_stats'),
        ('matrixstatistics', f'atlas-{ATLAS}_desc-matrixstatistics_stats'),
        ('degreeloss', f'atlas-{ATLAS}_desc-degreeloss_parcelstats'),
    ],
)
def test_tables_are_those_of_collect(written, tmp_path, name, file):
    root = written[0]
    failures = root / 'logs/failed_masks.tsv'
    failures.parent.mkdir(exist_ok=True)
    failures.write_text('mask\treason\n/in/sub-03_ses-01_label-lesion_mask.nii.gz\tempty\n')
    collect(root, tmp_path)
    found = pd.concat(
        pd.read_csv(
            tmp_path / f'group_ses-{session}_label-lesion_method-snm_{file}.tsv',
            sep='\t',
            dtype={'participant_id': str},
        )
        for session in ('01', '02')
    ).sort_values(LEADING, ignore_index=True)
    table = load_results(root).table(name)
    assert table[LEADING].values.tolist() == found[LEADING].values.tolist()
    assert 'sub-03' in set(table['participant_id'])
    pd.testing.assert_frame_equal(table, found, check_dtype=False)
    assert len(load_results(root)[:2].table(name)) == 2


def test_a_table_that_there_is_not(written):
    results = load_results(written[0])
    with pytest.raises(InputError, match='parcels, summary'):
        results.table('nothing')
    with pytest.raises(InputError, match=f'aal.*{results[0].atlases[0]}'):
        results.table('parcels', atlas='aal')
    with pytest.raises(InputError, match='no table load') as caught:  # these were not asked for
        results.table('load')
    assert 'load' not in str(caught.value).partition('(available')[2]


def test_results_are_shown_in_a_line(written):
    shown = repr(load_results(written[0])[0])
    assert 'sub-' in shown
    assert len(shown.splitlines()) == 1
    assert '.nii.gz' not in shown


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        load_results(tmp_path)


def test_a_result_that_is_there_twice(tmp_path):
    write_results(tmp_path / 'out', tmp_path / 'in', 'sub-01_label-lesion')
    name = output_name('sub-01_label-lesion', 'summary')
    (tmp_path / 'out/sub-01' / name).write_text('{}')
    with pytest.raises(InputError, match=name):
        load_results(tmp_path / 'out')


def test_reading_results_needs_no_nipype():
    code = 'import sys; from lacuna import load_results; sys.exit("nipype" in sys.modules or "pandas" in sys.modules)'
    subprocess.run([sys.executable, '-c', code], check=True, timeout=HANGS)


@pytest.mark.parametrize('bad', ['nan', 'inf', '', 'x', 'True', 'n/a', '1e999', '1\t2'])
def test_matrix_with_what_is_no_number(tmp_path, bad):
    path = tmp_path / 'm.tsv'
    path.write_text(f'region\ta\tb\na\t0.1\t{bad}\nb\t2\t3\n')
    with pytest.raises(InputError, match=r'm\.tsv'):
        read_matrix(path)


@pytest.mark.parametrize(
    'text',
    ['', 'region\n', 'region\ta\ta\na\t1\t2\na\t3\t4\n', 'region\ta\nb\t1\n', 'region\ta\n\na\t1\n', '"'],
)
def test_what_is_no_matrix(tmp_path, text):
    path = tmp_path / 'm.tsv'
    path.write_text(text)
    with pytest.raises(InputError, match=r'm\.tsv'):
        read_matrix(path)
    with pytest.raises(InputError, match=r'm\.tsv'):
        read_parcels(path)


def test_numbers_are_exact(tmp_path):
    numbers = np.random.default_rng(0).random((50, 50)) * 100
    names = ['NA', 'null', '01', 'a "b"', *(f'r{i}' for i in range(46))]
    path = tmp_path / 'm.tsv'
    pd.DataFrame(numbers, index=names, columns=names).to_csv(path, sep='\t', index_label='region')
    found = read_matrix(path)
    assert found.index.tolist() == found.columns.tolist() == names
    assert (found.to_numpy() == numbers).all()
    pd.DataFrame({'region': names, 'value': numbers[0]}).to_csv(path, sep='\t', index=False)
    assert (read_parcels(path).to_numpy() == numbers[0]).all()


def test_of_several_sets_of_bundles_one_has_to_be_named(tmp_path):
    root = tmp_path / 'out'
    write_results(root, tmp_path / 'in')
    (folder,) = root.glob('sub-01/**/anat')
    stem = next(iter(load_results(root))).stem
    for name, value in (('half', 5), ('all', 7)):
        path = folder / output_name(stem, 'bundle_disconnection', atlas=name)
        path.write_text(f'bundle\tvalue\nCST_L\t{value}\n')
        found = next(iter(load_results(root)))
        assert found.bundles(name)['value'].tolist() == [value]
        if name == 'half':
            assert found.bundles()['value'].tolist() == [5]
    for read in (found.bundles, found.null_bundles):
        with pytest.raises(InputError, match='all, half'):
            read()
