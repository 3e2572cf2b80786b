"""Several sources in one output folder: each lesion stays with its own mask, and a wrong one is never used."""

from __future__ import annotations

import csv
import json
import re
import shutil

import nibabel as nb
import numpy as np
import pytest
from helpers.cohort import tree

from lacuna.bids.results import find_results
from lacuna.cli import main
from lacuna.images.masks import read_mask
from lacuna.reports.reportlets import draw_reportlets
from lacuna.testing import world_coordinates, write_mask
from lacuna.utils.names import sidecar_path

SPACE = 'MNI152NLin6Asym'


@pytest.fixture
def run(toy, tmp_path, capsys):
    """Run ``lacuna run snm`` in this process; returns the exit code and what was said."""

    def command(source, *options, out='out', report=False):
        words = [
            'run',
            'snm',
            source,
            tmp_path / out,
            '--connectome-path',
            toy.tracks,
            '-w',
            tmp_path / 'work',
        ]
        words += ['--nprocs', '1', *options, *([] if report else ['--no-report'])]
        code = main([str(word) for word in words])
        return code, capsys.readouterr()

    return command


def single_mask(toy, folder, shift):
    """A mask called ``lesion.nii.gz``, moved so many voxels along y."""
    image = nb.load(toy.mask)
    return write_mask(
        folder / 'lesion.nii.gz', np.roll(np.asanyarray(image.dataobj), shift, axis=1), image.affine
    )


def checked(capsys, root, *options):
    code = main(['check', str(root), *options])
    rows = csv.DictReader(capsys.readouterr().out.splitlines(), delimiter='\t')
    return code, {row['lesion']: row for row in rows}


@pytest.fixture
def patients(toy, tmp_path, run):
    """Two masks of the same name from two folders, in one output folder."""
    masks = {
        label: single_mask(toy, tmp_path / f'patient{label}', shift)
        for label, shift in (('01', 0), ('02', 3))
    }
    for label, mask in masks.items():
        code, said = run(mask, '--participant-label', f'P{label}', '--mask-space', SPACE)
        assert code == 0, said.err
    return masks


def test_single_masks_of_one_name_stay_apart(patients, tmp_path, capsys):
    root = tmp_path / 'out'
    links = json.loads((root / 'dataset_description.json').read_text())['DatasetLinks']
    assert {name: uri for name, uri in links.items() if name != 'tractogram'} == {
        'lesions': (tmp_path / 'patient01').as_uri(),
        'lesions2': (tmp_path / 'patient02').as_uri(),
    }
    for label, mask in patients.items():
        (lesion,) = find_results(root, f'P{label}')
        found = lesion.mask
        assert (found.path, found.problem) == (mask, '')
        assert found.mask.sha256 == read_mask(mask).sha256 == lesion.metadata['Mask']['SHA256']
    code, rows = checked(capsys, root)
    assert (code, sorted(rows)) == (0, ['sub-P01', 'sub-P02'])
    assert [(row['mask'], row['status']) for row in rows.values()] == [
        (str(mask), 'complete') for mask in patients.values()
    ]


def test_running_again_changes_nothing(patients, tmp_path, run):
    def times():
        root = tmp_path / 'out'
        return {name: (root / name).stat().st_mtime_ns for name in tree(root) if not name.startswith('logs/')}

    before = times()
    for label, mask in patients.items():
        assert run(mask, '--participant-label', f'P{label}', '--mask-space', SPACE)[0] == 0
    assert times() == before


def test_a_mask_that_differs_is_never_drawn(patients, tmp_path, capsys):
    shutil.copyfile(patients['02'], patients['01'])
    root = tmp_path / 'out'
    (lesion,) = find_results(root, 'P01')
    found = lesion.mask
    assert (found.path, found.mask) == (patients['01'], None)
    drawn = {path.name for path in draw_reportlets(lesion, tmp_path / 'figures')}
    assert not any('desc-lesion_figure' in name for name in drawn)
    code, rows = checked(capsys, root)
    assert code == 1
    assert rows['sub-P01']['status'].startswith('stale: ')
    assert rows['sub-P02']['status'] == 'complete'
    assert main(['report', str(root), '--group']) == 0
    assert main(['report', str(root), '--group', '--participant-label', '01']) == 2
    page = (root / 'group.html').read_text(encoding='utf-8')
    assert re.search(r'Number of lesions [^.]*of 1 ', page)
    assert 'sub-P01: the mask' in page


def test_dataset_of_the_earlier_version(patients, tmp_path, capsys):
    """One link, turned to the last folder: the mask of the other is not known, and not mistaken."""
    root = tmp_path / 'out'
    path = root / 'dataset_description.json'
    description = json.loads(path.read_text())
    description['DatasetLinks'] = {'lesions': (tmp_path / 'patient02').as_uri()}
    path.write_text(json.dumps(description))
    for sidecar in root.glob('sub-*/anat/*.json'):
        content = json.loads(sidecar.read_text())
        if 'Sources' in content:
            content['Sources'] = [
                uri.replace('bids:lesions2:', 'bids:lesions:') for uri in content['Sources']
            ]
            del content['Files']
            sidecar.write_text(json.dumps(content))
    assert find_results(root, 'P01')[0].mask.mask is None
    assert find_results(root, 'P02')[0].mask.path == patients['02']
    code, rows = checked(capsys, root)
    assert (code, rows['sub-P02']['status']) == (1, 'complete')


def test_dataset_of_masks_that_has_moved(toy, tmp_path, run, capsys):
    """The checksum tells that a mask in a new place is the one; links stay what they were."""
    assert run(tmp_path / 'bids')[0] == 0
    (tmp_path / 'bids').rename(tmp_path / 'moved')
    code, rows = checked(capsys, tmp_path / 'out')
    assert (code, rows['sub-01_label-lesion']['mask']) == (0, 'n/a')
    assert run(tmp_path / 'moved')[0] == 0
    mask = tmp_path / 'moved' / toy.mask.relative_to(tmp_path / 'bids')
    assert find_results(tmp_path / 'out', '01')[0].mask.path == mask
    links = json.loads((tmp_path / 'out/dataset_description.json').read_text())['DatasetLinks']
    assert (links['lesions'], links['lesions2']) == (
        (tmp_path / 'bids').as_uri(),
        (tmp_path / 'moved').as_uri(),
    )


def test_files_of_the_user_are_kept(tmp_path, run, capsys):
    root = tmp_path / 'out'
    root.mkdir()
    mine = {'README.md': '# My study\n', '.bidsignore': 'mine\n', 'group.html': '<p>My own page</p>'}
    for name, text in mine.items():
        (root / name).write_text(text)
    assert run(tmp_path / 'bids')[0] == 0
    assert not (root / 'README').exists()
    path = root / 'dataset_description.json'
    description = {**json.loads(path.read_text()), 'Name': 'My study', 'Authors': ['Me']}
    path.write_text(json.dumps(description))
    assert run(tmp_path / 'bids')[0] == 0
    assert main(['collect', str(root)]) == 0
    assert str(root / 'group.html') in capsys.readouterr().err
    assert main(['report', str(root), '--group']) == 2
    assert {name: (root / name).read_text() for name in mine} == mine
    kept = json.loads(path.read_text())
    assert (kept['Name'], kept['Authors']) == ('My study', ['Me'])


def test_readme_that_was_edited(tmp_path, run):
    root = tmp_path / 'out'
    assert run(tmp_path / 'bids')[0] == 0
    for name in ('README', '.bidsignore'):
        (root / name).write_text((root / name).read_text() + 'more\n')
    before = {name: (root / name).read_bytes() for name in ('README', '.bidsignore')}
    assert run(tmp_path / 'bids')[0] == 0
    assert {name: (root / name).read_bytes() for name in before} == before


# damaged results

MAP = f'sub-01/anat/sub-01_label-lesion_method-snm_space-{SPACE}_desc-disconnectionpct.nii.gz'
SUMMARY = 'sub-01/anat/sub-01_label-lesion_method-snm_desc-summarystatistics_stats.json'
TDI = f'connectome/tractogram-toy_space-{SPACE}_res-2_tdi.nii.gz'
TABLES = [
    f'sub-01/anat/sub-01_label-lesion_method-snm_atlas-toy_{end}'
    for end in ('desc-disconnectionpct_parcelstats.tsv', 'desc-matrixstatistics_stats.json')
]


@pytest.fixture
def atlas(toy, tmp_path):
    """Options for an atlas of two parcels, left and right."""
    image = nb.load(toy.mask)
    x = world_coordinates(image.shape, image.affine)[0]
    path = write_mask(tmp_path / 'parcels.nii.gz', 1 + (x > 0), image.affine)
    (tmp_path / 'parcels.tsv').write_text('index\tname\n1\tleft\n2\tright\n')
    return [
        '--custom-parcellation', 'toy', path, tmp_path / 'parcels.tsv', SPACE,
        '--compute-roi-disconnection', '--compute-disconnectivity-matrix',
    ]  # fmt: skip


def contents(root):
    return {
        name: (root / name).read_bytes() for name in tree(root) if name.startswith(('sub-', 'connectome'))
    }


def damage(path, how):
    content = path.read_bytes()
    changed = {'truncated': content[: len(content) // 2], 'empty': b'', 'longer': content + b'\n'}
    path.write_bytes(changed[how])


def test_damaged_results_are_seen_and_made_again(tmp_path, run, atlas, capsys):
    root = tmp_path / 'out'
    assert run(tmp_path / 'bids', *atlas, report=True)[0] == 0
    sample = next(name for name in tree(root) if name.endswith('.tck'))
    before = {name: content for name, content in contents(root).items() if not name.endswith('.html')}
    assert checked(capsys, root, '--verify')[0] == 0
    files = [MAP, SUMMARY, sample, *TABLES]
    for name, how in zip(
        [*files, TDI], ['truncated', 'empty', 'truncated', 'longer', 'empty', 'truncated'], strict=True
    ):
        damage(root / name, how)
    code, rows = checked(capsys, root)
    row = rows['sub-01_label-lesion']
    assert code == 1
    assert int(row['expected']) - int(row['outputs']) == len(files)
    assert all(name.rsplit('/', 1)[-1] in row['status'] for name in [*files, TDI])
    assert run(tmp_path / 'bids', *atlas, report=True)[0] == 0
    assert {name: content for name, content in contents(root).items() if not name.endswith('.html')} == before
    assert checked(capsys, root, '--verify')[0] == 0


def test_density_alone_is_made_again(tmp_path, run):
    root = tmp_path / 'out'
    assert run(tmp_path / 'bids')[0] == 0
    before = contents(root)
    damage(root / TDI, 'truncated')
    _, said = run(tmp_path / 'bids', '--dry-run')
    assert TDI in said.out
    assert run(tmp_path / 'bids')[0] == 0
    assert contents(root) == before


def test_checksum_is_compared_on_demand(tmp_path, run, capsys):
    root = tmp_path / 'out'
    assert run(tmp_path / 'bids')[0] == 0
    content = bytearray((root / MAP).read_bytes())
    content[-9] ^= 1
    (root / MAP).write_bytes(content)
    assert checked(capsys, root)[0] == 0
    code, rows = checked(capsys, root, '--verify')
    assert (code, rows['sub-01_label-lesion']['outputs']) == (1, '1')
    assert f'damaged: {MAP.rsplit("/", 1)[-1]}' in rows['sub-01_label-lesion']['status']


def test_sizes_are_those_of_the_files(tmp_path, run, atlas):
    """An atlas that is added later records its files, and touches no other."""
    root = tmp_path / 'out'
    assert run(tmp_path / 'bids')[0] == 0
    before = {name: (root / name).stat().st_mtime_ns for name in tree(root) if name.startswith('sub-')}
    assert run(tmp_path / 'bids', *atlas)[0] == 0
    assert {name: (root / name).stat().st_mtime_ns for name in before} == before
    recorded = {}
    for path in root.rglob('sub-01/anat/*.json'):
        recorded |= json.loads(path.read_text()).get('Files', {})
    files = {path.name: path for path in root.glob('sub-01/anat/*') if path.name not in _sidecars(root)}
    assert {name: about['Size'] for name, about in recorded.items()} == {
        name: path.stat().st_size for name, path in files.items()
    }


def _sidecars(root):
    return {sidecar_path(path).name for path in root.glob('sub-01/anat/*') if path.suffix != '.json'}
