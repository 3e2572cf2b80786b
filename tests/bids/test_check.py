"""``lacuna check``: rows that can be worked out by hand."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

import lacuna
from lacuna.bids.mask_files import describe_mask
from lacuna.bids.outputs import output_name, outputs
from lacuna.cli import main
from lacuna.images.masks import read_mask
from lacuna.images.spaces import standard_grid
from lacuna.testing import write_mask
from lacuna.utils.files import write_if_changed
from lacuna.utils.names import parse_entities, sidecar_path

SPACE = 'MNI152NLin6Asym'
OTHER = 'MNI152NLin2009cAsym'
#: no standard grid; in the middle of the brain
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])
END = f'space-{SPACE}_label-lesion_mask.nii.gz'


def write(root, name, *, voxels=20, value=1, affine=AFFINE, shape=(30, 4, 5)):
    data = np.zeros(shape)
    data.ravel()[:voxels] = value
    entities = parse_entities(name)
    return write_mask(root / f'sub-{entities["sub"]}' / 'anat' / name, data, affine)


def checked(capsys, *arguments):
    """Exit code, and the rows by their first column."""
    code = main(['check', *map(str, arguments)])
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines(), delimiter='\t'))
    return code, {next(iter(row.values())).rsplit('/', 1)[-1]: row for row in rows}


# masks


def test_row_of_a_mask(tmp_path, capsys):
    write(tmp_path, f'sub-01_{END}')
    code, rows = checked(capsys, tmp_path, '--output-file', tmp_path / 'table.tsv')
    assert code == 0
    assert rows[f'sub-01_{END}'] == {
        'path': f'sub-01/anat/sub-01_{END}',
        'space': SPACE,
        'space_from': "the name's space entity",
        'shape': '30x4x5',
        'voxel_mm': '2x2x3',
        'voxels': '20',
        'volume_ml': '0.24',  # 20 x 12 mm3
        'status': 'ok',
        'warnings': 'n/a',
    }
    with (tmp_path / 'table.tsv').open(newline='') as file:
        assert list(csv.DictReader(file, delimiter='\t')) == list(rows.values())


def test_what_would_fail(tmp_path, capsys):
    write(tmp_path, f'sub-01_{END}')
    write(tmp_path, f'sub-02_{END}', value=3)
    write(tmp_path, 'sub-03_label-lesion_mask.nii.gz')
    write(tmp_path, 'sub-04_space-T1w_label-lesion_mask.nii.gz')
    write(tmp_path, f'sub-05_{END}').write_bytes(b'no image')
    code, rows = checked(capsys, tmp_path)
    status = {name[:6]: row['status'] for name, row in rows.items()}
    assert code == 1
    assert status['sub-01'] == 'ok'
    assert status['sub-02'].startswith('the mask is not binary: it holds 3; make it 0 and 1')
    assert status['sub-03'].startswith('the space of the mask is not known')
    assert status['sub-04'].startswith("space 'T1w' is not supported")
    assert status['sub-05'].startswith('the mask cannot be read')
    # the grid is told where the mask can be read
    assert rows['sub-03_label-lesion_mask.nii.gz']['voxels'] == '20'
    assert rows[f'sub-05_{END}']['voxels'] == 'n/a'

    code, rows = checked(capsys, tmp_path, '--mask-space', SPACE, '--pattern', 'sub-0[134]_*')
    assert code == 0
    assert [row['space_from'] for row in rows.values()] == ['--mask-space'] * 3

    code, rows = checked(capsys, tmp_path, '--binarize', '2', '--pattern', 'sub-02_*')
    assert (code, rows[f'sub-02_{END}']['voxels']) == (0, '20')
    assert main(['check', str(tmp_path), '--binarize', 'nan']) == 2


def test_warnings_are_no_failures(tmp_path, capsys):
    write(tmp_path, f'sub-01_{END}', voxels=9)
    write(tmp_path, f'sub-02_{END}', voxels=1)
    write(tmp_path, f'sub-03_{END}', voxels=0)
    grid = standard_grid(OTHER, 2)
    data = np.zeros(grid.shape)
    data[40:45, 40:45, 40] = 1
    write_mask(tmp_path / 'sub-04' / 'anat' / f'sub-04_{END}', data, grid.affine)
    write(tmp_path, f'sub-05_{END}', voxels=10)
    code, rows = checked(capsys, tmp_path)
    warnings = [row['warnings'] for row in rows.values()]
    assert code == 0
    assert 'only 9 voxels' in warnings[0]
    assert 'only 1 voxel:' in warnings[1]
    assert warnings[2].startswith('the mask is empty')
    assert warnings[3].startswith(f'declared as {SPACE}, but 97 x 115 x 97 voxels')
    assert warnings[4] == 'n/a'


def test_duplicates_name_each_other(tmp_path, capsys):
    for name in (f'sub-01_{END}', f'sub-01_space-{OTHER}_label-lesion_mask.nii.gz', f'sub-02_{END}'):
        write(tmp_path, name)
    code, rows = checked(capsys, tmp_path)
    status = [row['status'] for row in rows.values()]
    assert code == 1
    assert status[0] == status[1]
    assert f'sub-01_{END}' in status[0]
    assert f'space-{OTHER}_' in status[0]
    assert status[2] == 'ok'


def test_native_mask_beside_the_one_in_standard_space(tmp_path, capsys):
    write(tmp_path, f'sub-01_{END}')
    write(tmp_path, 'sub-01_space-T1w_label-lesion_mask.nii.gz')
    code, rows = checked(capsys, tmp_path)
    assert code == 0
    assert sorted(row['status'] for row in rows.values()) == [
        'left out: the same mask exists in a standard space',
        'ok',
    ]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['gone'], 'gone'),
        (['.'], 'no mask'),
        (['.', '--mask-space', 'MNI305'], 'MNI305'),
    ],
)
def test_nothing_to_check(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(['check', *arguments]) == 2
    assert message in capsys.readouterr().err


def test_masks_that_lacuna_has_made(tmp_path, capsys):
    write(tmp_path, f'sub-01_{END}')
    (tmp_path / 'dataset_description.json').write_text('{"GeneratedBy": [{"Name": "Lacuna"}]}')
    code, rows = checked(capsys, tmp_path)
    assert (code, rows[f'sub-01_{END}']['status']) == (0, 'ok')


# results

KEYS = ('disconnection_map', 'summary', 'disconnection_matrix')


@pytest.fixture
def dataset(tmp_path):
    """Results of two masks, and settings of the run that has made them."""
    root, bids = tmp_path / 'out', tmp_path / 'bids'
    links = {'lesions': bids.as_uri()}
    content = {'GeneratedBy': [{'Name': 'Lacuna'}], 'DatasetLinks': links}
    write_if_changed(root / 'dataset_description.json', json.dumps(content).encode())
    write_if_changed(root / 'logs' / 'one' / 'settings.toml', f"source = '{bids}'\n".encode())
    write_if_changed(root / 'connectome' / 'tdi.nii.gz', b'density')
    for subject in ('01', '02'):
        results(root, write(bids, f'sub-{subject}_{END}'))
    return root


def results(root, path, version=lacuna.__version__):
    mask = describe_mask(path)
    sidecar = {
        'Sources': [f'bids:lesions:{path.relative_to(path.parents[2]).as_posix()}'],
        'Space': mask.space,
        'Mask': {'SHA256': read_mask(path).sha256},
        'Denominator': 'bids::connectome/tdi.nii.gz',
        'SoftwareVersions': {'Lacuna': version},
    }
    for key in KEYS:
        target = root / mask.folder / output_name(mask.stem, key, space=mask.space, atlas='toy')
        write_if_changed(target, b'result')
        if outputs()[key].sidecar:
            write_if_changed(sidecar_path(target), json.dumps(sidecar).encode())


def mask_of(dataset, subject):
    return dataset.parent / 'bids' / f'sub-{subject}' / 'anat' / f'sub-{subject}_{END}'


def result_of(dataset, subject, key):
    name = output_name(f'sub-{subject}_label-lesion', key, space=SPACE, atlas='toy')
    return dataset / f'sub-{subject}' / 'anat' / name


def test_complete_results(dataset, capsys):
    code, rows = checked(capsys, dataset)
    assert code == 0
    assert rows['sub-01_label-lesion'] == {
        'lesion': 'sub-01_label-lesion',
        'mask': str(mask_of(dataset, '01')),
        'outputs': '3',
        'expected': '3',
        'version': lacuna.__version__,
        'status': 'complete',
        'warnings': 'n/a',
    }


@pytest.mark.parametrize('key', KEYS)
def test_missing_result(dataset, capsys, key):
    path = result_of(dataset, '02', key)
    path.unlink()
    code, rows = checked(capsys, dataset)
    assert code == 1
    assert rows['sub-01_label-lesion']['status'] == 'complete'
    assert rows['sub-02_label-lesion']['status'] == f'missing: {path.name}'
    assert rows['sub-02_label-lesion']['outputs'] == '2'


def test_missing_sidecar_sample_and_denominator(dataset, capsys):
    sidecar_path(result_of(dataset, '02', 'disconnection_matrix')).unlink()
    sample = output_name('sub-01_label-lesion', 'sample', space=SPACE)
    write_if_changed(dataset / 'sub-01' / 'figures' / sample, b'sample')
    (dataset / 'connectome' / 'tdi.nii.gz').unlink()
    code, rows = checked(capsys, dataset)
    assert code == 1
    assert rows['sub-01_label-lesion']['status'] == 'missing: bids::connectome/tdi.nii.gz'
    missing = rows['sub-02_label-lesion']['status']
    assert '_connmatrix.tsv' in missing
    assert sample.replace('sub-01', 'sub-02') in missing
    assert rows['sub-02_label-lesion']['outputs'] == '2'
    assert rows['sub-02_label-lesion']['expected'] == '4'


def test_changed_mask(dataset, capsys):
    write(dataset.parent / 'bids', f'sub-01_{END}', voxels=21)
    code, rows = checked(capsys, dataset)
    assert code == 1
    assert rows['sub-01_label-lesion']['status'] == (
        'stale: the mask has changed since disconnection_map, disconnection_matrix_toy'
    )
    assert rows['sub-02_label-lesion']['status'] == 'complete'


def test_mask_that_is_gone_is_only_said(dataset, capsys):
    mask_of(dataset, '01').unlink()
    code, rows = checked(capsys, dataset)
    assert code == 0
    assert rows['sub-01_label-lesion']['warnings'] == (
        f'the mask is not at the path in the sidecars: {mask_of(dataset, "01")}'
    )


def test_other_version(dataset, capsys):
    for key in ('disconnection_map', 'disconnection_matrix'):
        sidecar_path(result_of(dataset, '01', key)).unlink()
    results(dataset, mask_of(dataset, '01'), version='0.0.1')
    code, rows = checked(capsys, dataset)
    row = rows['sub-01_label-lesion']
    assert code == 0
    assert (row['version'], row['status']) == ('0.0.1', 'complete')
    assert row['warnings'] == f'made with Lacuna 0.0.1; this is {lacuna.__version__}'


def test_masks_without_results(dataset, capsys):
    bids = dataset.parent / 'bids'
    write(bids, f'sub-03_{END}')
    broken = write(bids, f'sub-04_{END}', value=2)
    table = f'mask\treason\n{broken}\t{broken}: the mask is not binary\n'
    write_if_changed(dataset / 'logs' / 'failed_masks.tsv', table.encode())
    code, rows = checked(capsys, dataset)
    assert code == 1
    assert [row['status'] for row in rows.values()] == [
        'complete',
        'complete',
        'missing: no results',
        'failed: the mask is not binary',
    ]


def test_failure_that_was_made_good(dataset, capsys):
    mask = mask_of(dataset, '01')
    write_if_changed(dataset / 'logs' / 'failed_masks.tsv', f'mask\treason\n{mask}\tdisk full\n'.encode())
    assert checked(capsys, dataset)[0] == 0
    result_of(dataset, '01', 'summary').unlink()
    _, rows = checked(capsys, dataset)
    assert rows['sub-01_label-lesion']['status'].endswith('; failed: disk full')


def test_empty_masks_that_were_skipped(dataset, capsys):
    bids = dataset.parent / 'bids'
    write(bids, f'sub-03_{END}', voxels=0)
    settings = f"source = '{bids}'\non_empty = 'skip'\n"
    write_if_changed(dataset / 'logs' / 'one' / 'settings.toml', settings.encode())
    code, rows = checked(capsys, dataset)
    assert code == 0
    assert rows['sub-03_label-lesion']['status'] == 'left out: the mask is empty'


def test_only_what_runs_were_asked_for(dataset, capsys):
    bids = dataset.parent / 'bids'
    write(bids, f'sub-03_{END}')
    settings = f"source = '{bids}'\nparticipants = ['01', '02']\n"
    write_if_changed(dataset / 'logs' / 'one' / 'settings.toml', settings.encode())
    write_if_changed(dataset / 'logs' / 'two' / 'settings.toml', b'source = [')
    assert main(['check', str(dataset)]) == 0
    said = capsys.readouterr()
    assert 'sub-03' not in said.out
    assert 'settings' in said.err
    code, rows = checked(capsys, dataset, '--pattern', 'sub-02*')
    assert (code, list(rows)) == (0, ['sub-02_label-lesion'])
