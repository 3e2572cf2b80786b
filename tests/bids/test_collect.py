"""Group tables against numbers that were put into the files by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lacuna.bids.collect import collect
from lacuna.bids.outputs import Target, output_name, outputs, parse_output_name
from lacuna.bids.sidecars import FILES, file_record
from lacuna.cli import main
from lacuna.errors import InputError
from lacuna.utils.names import sidecar_path

ATLAS = 'toy2'
SPACE = 'MNI152NLin6Asym'
PARCELS = 'group_ses-01_label-infarct_method-snm_atlas-toy2_desc-disconnectionpct_parcelstats.tsv'
SUMMARY = 'group_ses-01_label-infarct_method-snm_desc-summarystatistics_stats.tsv'
STATISTICS = 'group_ses-01_label-infarct_method-snm_atlas-toy2_desc-matrixstatistics_stats.tsv'
LOSS = 'group_ses-01_label-infarct_method-snm_atlas-toy2_desc-degreeloss_parcelstats.tsv'
LONG = 'group_method-snm_desc-long_stats.tsv'
STACK = 'group_ses-01_label-infarct_method-snm_atlas-toy2_desc-disconnectionpct_connmatrix.npz'


def write_lesion(
    root: Path,
    subject: str,
    value: float,
    *,
    session: str | None = '01',
    regions=('left', 'right'),
    tractogram='a' * 64,
    atlas='b' * 64,
) -> Path:
    """Results of one lesion: its first region has lost `value` percent, its second one percent more."""
    names = [f'sub-{subject}', *([f'ses-{session}'] if session else [])]
    folder = root.joinpath(*names, 'anat')
    folder.mkdir(parents=True, exist_ok=True)
    stem = '_'.join([*names, 'label-infarct'])
    made = {
        'Space': SPACE,
        'Tractogram': {'Name': 'toy', 'Space': SPACE, 'SHA256': tractogram, 'StreamlineCount': 10},
        'Mask': {'SHA256': subject},
        'Parameters': {'OutputResolution': 2, 'TckUpsample': 'automatic'},
    }

    def path(key):
        return folder / output_name(stem, key, space=SPACE, atlas=ATLAS)

    def write(key, text, sidecar):
        path(key).write_text(text)
        if outputs()[key].sidecar:
            sidecar_path(path(key)).write_text(json.dumps(sidecar))

    write('disconnection_map', '', made)
    write('summary', json.dumps({'mask_voxels': 7, 'disconnection_mean_pct': value}), {})
    parcels = {**made, 'Atlas': {'Name': ATLAS, 'SHA256': atlas}}
    rows = ''.join(f'{name}\t{value + number}\n' for number, name in enumerate(regions))
    write('roi_disconnection', 'region\tvalue\n' + rows, parcels)
    header = '\t'.join(['region', *regions])
    matrix = f'{header}\n{regions[0]}\t0.0\t{value}\n{regions[1]}\t{value}\t0.0\n'
    write('disconnection_matrix', matrix, parcels)
    statistics = {
        'parcels': 2,
        'degree_loss': dict(zip(regions, [0, 1], strict=True)),
        'degree_loss_max': 1,
        'most_affected_parcel': regions[1] if value else None,
    }
    write('matrix_statistics', json.dumps(statistics), {})
    return folder


@pytest.fixture
def dataset(tmp_path):
    for subject, value in (('01', 25.0), ('02', 0.0), ('10', 12.5)):
        write_lesion(tmp_path / 'out', subject, value)
    return tmp_path / 'out'


def read(path):
    return pd.read_csv(path, sep='\t')


def test_table_of_regions(dataset):
    collect(dataset)
    table = read(dataset / PARCELS)
    assert list(table) == ['participant_id', 'session_id', 'label', 'left', 'right']
    assert table['participant_id'].tolist() == ['sub-01', 'sub-02', 'sub-10']
    assert set(table['session_id']) == {'ses-01'}
    assert set(table['label']) == {'infarct'}
    assert table['left'].tolist() == [25.0, 0.0, 12.5]
    assert table['right'].tolist() == [26.0, 1.0, 13.5]


def test_sidecar_says_where_the_rows_come_from(dataset):
    collect(dataset)
    sidecar = json.loads((dataset / PARCELS).with_suffix('.json').read_text())
    name = 'sub-01_ses-01_label-infarct_method-snm_atlas-toy2_desc-disconnectionpct_parcelstats.tsv'
    assert sidecar['Sources'][0] == f'bids::sub-01/ses-01/anat/{name}'
    assert len(sidecar['Sources']) == 3
    assert sidecar['Units'] == 'percent'
    assert sidecar['Tractogram']['SHA256'] == 'a' * 64
    assert sidecar['Atlas']['SHA256'] == 'b' * 64
    assert 'Mask' not in sidecar
    assert 'LeftOut' not in sidecar


def test_statistics_are_tables(dataset):
    found = collect(dataset)
    assert {path.name for path in found.tables} == {PARCELS, SUMMARY, STATISTICS, LOSS}
    assert read(dataset / SUMMARY)['disconnection_mean_pct'].tolist() == [25.0, 0.0, 12.5]
    assert read(dataset / SUMMARY)['mask_voxels'].tolist() == [7, 7, 7]
    table = read(dataset / STATISTICS)
    assert list(table)[3:] == ['parcels', 'degree_loss_max', 'most_affected_parcel']
    assert table['most_affected_parcel'].tolist()[::2] == ['right', 'right']
    assert pd.isna(table['most_affected_parcel'][1])
    assert read(dataset / LOSS)[['left', 'right']].to_numpy().tolist() == [[0, 1]] * 3


def test_stack_of_matrices(dataset):
    collect(dataset, matrices=True)
    with np.load(dataset / STACK, allow_pickle=False) as stack:
        assert stack['matrices'].shape == (3, 2, 2)
        np.testing.assert_array_equal(stack['matrices'][2], [[0, 12.5], [12.5, 0]])
        assert stack['regions'].tolist() == ['left', 'right']
        assert stack['participant_id'].tolist() == ['sub-01', 'sub-02', 'sub-10']
        assert stack['session_id'].tolist() == ['ses-01'] * 3


def test_stack_leaves_out_what_does_not_fit(dataset):
    write_lesion(dataset, '015', 50.0, regions=('right', 'left'))
    collect(dataset, matrices=True)
    with np.load(dataset / STACK, allow_pickle=False) as stack:
        assert stack['matrices'][:, 0, 1].tolist() == [25.0, 0.0, 12.5]


def test_sessions_have_tables_of_their_own(tmp_path):
    for session in ('01', '02', None):
        write_lesion(tmp_path, '01', 1.0, session=session)
    found = collect(tmp_path, pattern='*_parcelstats.tsv')
    assert {path.name for path in found.tables} == {
        PARCELS,
        PARCELS.replace('ses-01', 'ses-02'),
        PARCELS.replace('ses-01_', ''),
    }
    table = pd.read_csv(tmp_path / PARCELS.replace('ses-01_', ''), sep='\t', keep_default_na=False)
    assert table['session_id'].tolist() == ['n/a']


def test_elsewhere_with_paths_from_there(dataset, tmp_path):
    collect(dataset, tmp_path / 'tables')
    assert not list(dataset.glob('group*'))
    source = json.loads((tmp_path / 'tables' / SUMMARY).with_suffix('.json').read_text())['Sources'][0]
    assert (tmp_path / 'tables' / source).is_file()


@pytest.mark.parametrize(
    ('change', 'expected'),
    [
        ({'regions': ('right', 'left')}, 'the same in another order'),
        ({'regions': ('left', 'middle')}, 'it lacks right and it has middle'),
        (
            {'atlas': 'c' * 64},
            'content of the atlas (sha256) is cccccccccccc, but bbbbbbbbbbbb for the others',
        ),
        ({'tractogram': 'c' * 64}, 'content of the tractogram (sha256) is cccccccccccc'),
    ],
)
def test_what_does_not_fit_is_left_out_and_named(dataset, change, expected):
    write_lesion(dataset, '03', 50.0, **change)
    found = collect(dataset, pattern='*_parcelstats.tsv')
    (fault,) = found.faults
    assert fault.startswith('left out: ')
    assert 'sub-03_' in fault
    assert expected in fault
    assert read(dataset / PARCELS)['left'].tolist() == [25.0, 0.0, 12.5]
    sidecar = json.loads((dataset / PARCELS).with_suffix('.json').read_text())
    assert [name[:6] for name in sidecar['LeftOut']] == ['sub-03']


def test_no_table_of_two_halves(tmp_path):
    write_lesion(tmp_path, '01', 1.0)
    write_lesion(tmp_path, '02', 1.0, atlas='c' * 64)
    found = collect(tmp_path, pattern='*_parcelstats.tsv')
    assert not found.tables
    assert '--pattern' in found.faults[0]
    assert 'sub-02' in found.faults[0]


def test_parcels_without_a_connection_stay_without_a_value(dataset):
    for path in dataset.glob('sub-*/**/*_parcelstats.tsv'):
        path.write_text(path.read_text().replace('right\t26.0', 'right\tn/a'))
    assert not collect(dataset, pattern='*_parcelstats.tsv').faults
    rows = [line.split('\t') for line in (dataset / PARCELS).read_text().splitlines()]
    assert rows[1][-2:] == ['25.0', 'n/a']
    right = read(dataset / PARCELS)['right']
    assert right.dtype == float
    assert right.isna().tolist() == [True, False, False]


@pytest.mark.parametrize('bad', ['nan', 'inf', '', 'x', 'NA'])
def test_number_that_is_none(dataset, bad):
    path = next(dataset.glob('sub-02/**/*_parcelstats.tsv'))
    path.write_text(path.read_text().replace('1.0', bad))
    found = collect(dataset, pattern='*_parcelstats.tsv')
    assert len(found.faults) == 1
    assert str(path) in found.faults[0]
    assert read(dataset / PARCELS)['participant_id'].tolist() == ['sub-01', 'sub-10']


def test_statistics_with_nan(dataset):
    path = next(dataset.glob('sub-02/**/*summarystatistics_stats.json'))
    path.write_text('{"mask_voxels": 7, "disconnection_mean_pct": NaN}')
    found = collect(dataset, pattern='*summarystatistics*')
    assert found.faults == [f'left out: {path}: disconnection_mean_pct is nan, not a finite number']


def test_missing_file_is_named(dataset):
    path = next(dataset.glob('sub-02/**/*_parcelstats.tsv'))
    path.unlink()
    found = collect(dataset)
    (missing,) = found.missing
    assert missing.endswith(f': {path.name}')
    assert found.faults == []
    table = read(dataset / PARCELS)
    assert table['participant_id'].tolist() == ['sub-01', 'sub-02', 'sub-10']
    assert table['left'].isna().tolist() == [False, True, False]
    assert json.loads((dataset / PARCELS).with_suffix('.json').read_text())['Missing'] == [path.name]


@pytest.mark.parametrize(
    ('removed', 'kept'), [('*_parcelstats.json', '*_parcelstats.tsv'), ('*_space-*.json', '*summary*')]
)
def test_result_of_unknown_making(dataset, removed, kept):
    next(dataset.glob(f'sub-02/**/{removed}')).unlink()
    (fault,) = collect(dataset, pattern=kept).faults
    assert 'how it was made' in fault
    assert 'sub-02' in fault


def test_result_that_is_there_twice(dataset):
    path = next(dataset.glob('sub-02/**/*_parcelstats.tsv'))
    other = dataset / 'sub-02' / path.name
    other.write_text(path.read_text())
    with pytest.raises(InputError, match='twice'):
        collect(dataset)
    assert not list(dataset.glob('group*'))


def test_region_that_is_there_twice(dataset):
    path = next(dataset.glob('sub-02/**/*_parcelstats.tsv'))
    path.write_text('region\tvalue\nleft\t1\nleft\t2\n')
    (fault,) = collect(dataset, pattern='*_parcelstats.tsv').faults
    assert "'left'" in fault


def test_names_that_need_quotes(tmp_path):
    path = next(write_lesion(tmp_path, '01', 1.0).glob('*_parcelstats.tsv'))
    pd.DataFrame({'region': ['a "b"', '01'], 'value': [1.5, 2.5]}).to_csv(path, sep='\t', index=False)
    collect(tmp_path, pattern='*_parcelstats.tsv')
    assert read(tmp_path / PARCELS)[['a "b"', '01']].to_numpy().tolist() == [[1.5, 2.5]]


def test_region_with_the_name_of_a_leading_column(tmp_path):
    write_lesion(tmp_path, '01', 1.0, regions=('left', 'label'))
    (fault,) = collect(tmp_path, pattern='*_parcelstats.tsv').faults
    assert "'label'" in fault


def test_pattern_of_a_path(dataset):
    found = collect(dataset, pattern='sub-0*/*_parcelstats.tsv')
    assert (found.files, found.participants, found.kinds) == (2, 2, 1)
    assert read(dataset / PARCELS)['participant_id'].tolist() == ['sub-01', 'sub-02']


def test_same_tables_are_left_alone(dataset):
    collect(dataset, matrices=True)
    before = {path: path.stat().st_mtime_ns for path in dataset.glob('group*')}
    assert not collect(dataset, matrices=True).written
    assert {path: path.stat().st_mtime_ns for path in dataset.glob('group*')} == before


def test_new_participants_need_no_overwrite(dataset):
    collect(dataset, matrices=True, long=True)
    write_lesion(dataset, '04', 3.0)
    found = collect(dataset, matrices=True, long=True)
    assert found.written == set(found.tables)
    assert read(dataset / PARCELS)['left'].tolist() == [25.0, 0.0, 3.0, 12.5]
    with np.load(dataset / STACK, allow_pickle=False) as stack:
        assert stack['matrices'][:, 0, 1].tolist() == [25.0, 0.0, 3.0, 12.5]
    assert not list(dataset.glob('.tmp-*'))


@pytest.mark.parametrize('name', [PARCELS, STACK, LONG])
def test_other_tables_need_overwrite(dataset, name):
    collect(dataset, matrices=True, long=True)
    before = {path: path.read_bytes() for path in dataset.glob('group*')}
    write_lesion(dataset, '02', 3.0)
    for path in before:
        if path.name not in (name, Path(name).with_suffix('.json').name):
            path.unlink()
    with pytest.raises(InputError, match='--overwrite'):
        collect(dataset, matrices=True, long=True)
    assert (dataset / name).read_bytes() == before[dataset / name]
    collect(dataset, matrices=True, long=True, overwrite=True)
    assert read(dataset / PARCELS)['left'].tolist() == [25.0, 3.0, 12.5]
    assert not list(dataset.glob('.tmp-*'))


def test_what_is_no_table_is_not_replaced(dataset):
    collect(dataset, matrices=True)
    (dataset / STACK).write_bytes(b'something else')
    with pytest.raises(InputError, match='--overwrite'):
        collect(dataset, matrices=True)


def fail(dataset, stem='sub-03_ses-01_label-infarct'):
    """As a run notes a mask that failed."""
    mask = dataset.parent / f'{stem}_mask.nii.gz'
    table = dataset / 'logs' / 'failed_masks.tsv'
    table.parent.mkdir()
    table.write_text(f'mask\treason\n{mask}\t{mask}: not binary\n')
    return mask


def test_mask_that_failed_is_a_row_without_values(dataset, capsys):
    mask = fail(dataset)
    assert main(['collect', str(dataset), '--no-report']) == 1
    assert capsys.readouterr().err == f'lacuna: failed: {mask}: not binary\n'
    for name in (PARCELS, SUMMARY, STATISTICS, LOSS):
        table = pd.read_csv(dataset / name, sep='\t', keep_default_na=False)
        assert table['participant_id'].tolist() == ['sub-01', 'sub-02', 'sub-03', 'sub-10']
        assert table.iloc[2].tolist() == ['sub-03', 'ses-01', 'infarct', *['n/a'] * (len(table.columns) - 3)]
    assert json.loads((dataset / PARCELS).with_suffix('.json').read_text())['Missing'] == [
        'sub-03_ses-01_label-infarct_method-snm_atlas-toy2_desc-disconnectionpct_parcelstats.tsv'
    ]
    assert main(['collect', str(dataset), '--no-report', '--allow-missing']) == 0
    write_lesion(dataset, '03', 50.0)  # it has been made good
    assert main(['collect', str(dataset), '--no-report']) == 0
    assert read(dataset / PARCELS)['left'].tolist() == [25.0, 0.0, 50.0, 12.5]


def test_allowing_what_is_missing_allows_nothing_else(dataset):
    fail(dataset)
    write_lesion(dataset, '04', 3.0, atlas='c' * 64)
    assert main(['collect', str(dataset), '--no-report', '--allow-missing']) == 1


def test_failed_mask_of_a_label_of_its_own_is_only_named(dataset):
    mask = fail(dataset, 'sub-03_ses-01_label-tumour')
    found = collect(dataset)
    assert found.missing == [f'failed: {mask}: not binary']
    assert read(dataset / PARCELS)['participant_id'].tolist() == ['sub-01', 'sub-02', 'sub-10']
    assert collect(dataset, pattern='*infarct*').missing == []


def test_masks_that_runs_were_asked_for(dataset):
    bids = dataset.parent / 'bids'
    for subject in ('01', '05'):
        path = (
            bids / f'sub-{subject}/ses-01/anat/sub-{subject}_ses-01_space-{SPACE}_label-infarct_mask.nii.gz'
        )
        path.parent.mkdir(parents=True)
        path.write_bytes(b'')
    settings = dataset / 'logs' / 'one' / 'settings.toml'
    settings.parent.mkdir(parents=True)
    settings.write_text(f"source = '{bids}'\n")
    found = collect(dataset)
    assert found.missing == [f'missing: {path}: no results']
    assert read(dataset / PARCELS)['participant_id'].tolist() == ['sub-01', 'sub-02', 'sub-05', 'sub-10']


def test_parcels_without_a_value(dataset):
    path = next(dataset.glob('sub-02/**/*_parcelstats.tsv'))
    path.write_text('region\tvalue\nleft\t7.5\nright\tn/a\n')
    found = collect(dataset, pattern='*_parcelstats.tsv')
    assert found.faults == found.missing == []
    table = pd.read_csv(dataset / PARCELS, sep='\t', keep_default_na=False)
    assert table['left'].tolist() == [25.0, 7.5, 12.5]
    assert table['right'].tolist() == ['26.0', 'n/a', '13.5']


def test_one_long_table(tmp_path):
    root = tmp_path / 'out'
    for subject, value in (('01', 25.0), ('02', 0.0)):
        write_lesion(root, subject, value, regions=('LH_Vis_1', 'RH_Vis_1'))
    fail(root)
    assert main(['collect', str(root), '--long', '--no-report', '--allow-missing']) == 0
    table = pd.read_csv(root / LONG, sep='\t', keep_default_na=False)
    assert list(table) == ['participant', 'session', 'label', 'run', 'hemisphere', 'feature', 'value']
    assert not table.duplicated(['participant', 'session', 'label', 'run', 'feature']).any()
    region = table[table['feature'] == f'{ATLAS}.disconnectionpct.RH_Vis_1']
    assert region.to_numpy().tolist() == [
        [f'sub-{subject}', 'ses-01', 'infarct', 'n/a', 'R', f'{ATLAS}.disconnectionpct.RH_Vis_1', value]
        for subject, value in (('01', '26.0'), ('02', '1.0'), ('03', 'n/a'))
    ]
    mean = table[table['feature'] == 'disconnection_mean_pct']
    assert mean['value'].tolist() == ['25.0', '0.0', 'n/a']
    assert set(mean['hemisphere']) == {'n/a'}
    assert 'most_affected_parcel' not in ' '.join(table['feature'])
    assert len(table) == 3 * (
        2 + 2 + 2 + 2
    )  # statistics of lesion and matrix, degrees and percent of two parcels


def test_command(dataset, capsys):
    assert main(['collect', str(dataset), '--no-report']) == 0
    printed = capsys.readouterr()
    assert 'found 9 files of 3 participants and 3 output types' in printed.out
    assert f'{PARCELS}: 3 rows, 2 columns' in printed.out
    assert printed.err == ''
    assert main(['collect', str(dataset), '-v', '--no-report']) == 0
    assert '(unchanged)' in capsys.readouterr().out
    write_lesion(dataset, '04', 3.0, atlas='c' * 64)
    assert main(['collect', str(dataset), '--overwrite', '--no-report']) == 1
    assert 'lacuna: left out: ' in capsys.readouterr().err


@pytest.mark.parametrize(('args', 'expected'), [(['nowhere'], 'no folder'), (['.'], 'nothing to collect')])
def test_nothing_there(tmp_path, monkeypatch, capsys, args, expected):
    monkeypatch.chdir(tmp_path)
    assert main(['collect', *args]) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize('key', [key for key, output in outputs().items() if output.level == 'mask'])
def test_names_are_read_as_they_are_written(key):
    name = output_name('sub-01_ses-01_label-x', key, space=SPACE, atlas=ATLAS)
    scope = {'space': SPACE, 'atlas': ATLAS, None: None}[outputs()[key].scope]
    assert parse_output_name(name) == ('sub-01_ses-01_label-x', key, scope)


@pytest.mark.parametrize(
    ('key', 'table'), [('roi_disconnection', PARCELS), ('matrix_statistics', STATISTICS)]
)
def test_files_of_another_lesion_are_left_out(dataset, key, table, capsys):
    """A file under the name of another, or edited by hand, is not the one that its sidecar records; its size may be the same."""
    paths = {}
    for folder in sorted(dataset.glob('sub-*/ses-01/anat')):
        holder = Target(key, ATLAS).recorded_with.key
        path, holder = (next(folder.glob(f'*{output_name("", each, atlas=ATLAS)}')) for each in (key, holder))
        sidecar = json.loads(sidecar_path(holder).read_text())
        sidecar_path(holder).write_text(json.dumps({**sidecar, FILES: {path.name: file_record(path)}}))
        paths[folder.parts[-3]] = path
    assert main(['collect', str(dataset)]) == 0
    content = paths['sub-02'].read_bytes()
    paths['sub-02'].write_bytes(content.replace(b'1', b'7'))
    assert main(['collect', str(dataset), '--overwrite']) == 1
    assert read(dataset / table)['participant_id'].tolist() == ['sub-01', 'sub-10']
    assert paths['sub-02'].name in capsys.readouterr().err
