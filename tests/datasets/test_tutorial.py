"""``lacuna tutorial``: what it writes, and when it refuses."""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from helpers.validator import errors
from helpers.waiting import HANGS

from lacuna.bids.inputs import find_masks
from lacuna.cli.tutorial import add_parser
from lacuna.datasets.synthetic.anatomy import brain_mask
from lacuna.datasets.synthetic.cohort import PLANTED, cut_share, random_lesion, simulate_participant
from lacuna.datasets.synthetic.lesions import simulate_lesion
from lacuna.datasets.tutorial import tutorial_paths, write_tutorial
from lacuna.errors import InputError
from lacuna.images.spaces import standard_grid
from lacuna.streamlines.files.tck import scan

needs_mrtrix = pytest.mark.skipif(shutil.which('tck2connectome') is None, reason='MRtrix3 is not on the PATH')


def checksums(directory):
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob('*'))
        if path.is_file()
    }


def test_files_and_nothing_else(synthetic):
    found = set(checksums(synthetic.directory))
    masks = {str(path.relative_to(synthetic.directory)) for path in synthetic.masks}
    assert found == {
        'README.md',
        'dataset_description.json',
        'participants.json',
        'participants.tsv',
        *masks,
        *(mask.replace('.nii.gz', '.json') for mask in masks),
        'sourcedata/connectome/synthetic20k.json',
        'sourcedata/connectome/synthetic20k.tck',
        'sourcedata/connectome/synthetic20k_bundles.tsv',
        'sourcedata/parcellation/synthetic100_space-MNI152NLin6Asym_dseg.nii.gz',
        'sourcedata/parcellation/synthetic100_space-MNI152NLin6Asym_dseg.tsv',
    }
    assert len(masks) == 3
    assert not list(synthetic.directory.parent.glob('.lacuna*'))


def test_connectome_and_its_tables(synthetic):
    info = scan(synthetic.connectome)
    assert (info.count, info.empty, info.single_vertex, info.step_size) == (20_000, 0, 0, 1.0)
    assert info.spacing == pytest.approx(1.0, abs=0.003)
    sidecar = json.loads(synthetic.connectome_sidecar.read_text())
    assert (sidecar['Space'], sidecar['StreamlineCount'], sidecar['License']) == (
        'MNI152NLin6Asym',
        20_000,
        'CC0',
    )
    header, *rows = [line.split('\t') for line in synthetic.bundles.read_text().splitlines()]
    assert header == ['bundle', 'first', 'count']
    first, count = np.array([row[1:] for row in rows], int).T
    np.testing.assert_array_equal(first, np.cumsum(count) - count)
    assert count.sum() == 20_000


@pytest.mark.parametrize('number', range(3))
def test_masks_lie_on_the_standard_grid(synthetic, number):
    grid = standard_grid('MNI152NLin6Asym', 1)
    image = nib.load(synthetic.masks[number])
    assert image.shape == grid.shape
    assert image.get_data_dtype() == np.uint8
    affine, code = image.get_sform(coded=True)
    np.testing.assert_array_equal(affine, grid.affine)
    assert (code, image.get_qform(coded=True)[1]) == (4, 0)  # one position, as in results
    assert image.header.get_xyzt_units()[0] == 'mm'
    assert set(np.unique(image.dataobj)) == {0, 1}


def test_label_table_fits_the_image(synthetic):
    image = nib.load(synthetic.parcellation)
    assert image.get_data_dtype() == np.uint16
    header, *rows = [line.split('\t') for line in synthetic.labels.read_text().splitlines()]
    assert header == ['index', 'name', 'network', 'hemisphere']
    assert rows[0] == ['1', 'LH_Vis_1', 'Vis', 'L']
    np.testing.assert_array_equal(np.unique(image.dataobj), [0, *(int(row[0]) for row in rows)])


def test_bids_validator_agrees(synthetic):
    assert errors(synthetic.directory) == {}


def test_only_the_lesions_are_taken_for_masks(synthetic):
    assert find_masks(synthetic.directory) == list(synthetic.masks)


def test_same_bytes_on_every_run(synthetic, tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    (tmp_path / 'sub-01').mkdir()
    (tmp_path / 'participants.tsv').write_text('old')
    (tmp_path / 'sub-01' / 'extra.txt').write_text('mine')
    write_tutorial(tmp_path, force=True, show_progress=True)
    again = checksums(tmp_path)
    assert again.pop('notes.txt') == again.pop('sub-01/extra.txt') == hashlib.sha256(b'mine').hexdigest()
    assert again == checksums(synthetic.directory)


def test_refuses_a_folder_that_is_not_empty(tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    with pytest.raises(InputError, match=r'is not empty.*--force'):
        write_tutorial(tmp_path)
    assert list(checksums(tmp_path)) == ['notes.txt']


def test_refuses_a_file(tmp_path):
    (tmp_path / 'file').write_text('mine')
    with pytest.raises(InputError, match='is a file'):
        write_tutorial(tmp_path / 'file', force=True)
    with pytest.raises(InputError, match='cannot write the tutorial'):
        write_tutorial(tmp_path / 'file' / 'below')


@pytest.mark.parametrize('exists', [False, True])
def test_a_failure_leaves_nothing(tmp_path, monkeypatch, exists):
    def fail(*_args, **_kwargs):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('lacuna.datasets.tutorial.write_tck', fail)
    monkeypatch.setattr('lacuna.datasets.tutorial._write_parcellation', lambda *_: None)
    monkeypatch.setattr('lacuna.datasets.tutorial.simulate_parcels', lambda *_: SimpleNamespace(cortex=None))
    target = tmp_path / 'deep' / 'tutorial'
    if exists:
        target.mkdir(parents=True)
    with pytest.raises(InputError, match='No space left'):
        write_tutorial(target)
    assert target.exists() == exists
    assert not [path for path in tmp_path.rglob('*') if path not in (target, target.parent)]


def test_command_says_what_to_type_next(tmp_path, monkeypatch, capsys):
    calls = []

    def fake(directory, *, cohort, force, show_progress):
        assert show_progress
        assert cohort is None
        calls.append((directory, force))
        return tutorial_paths(directory)

    monkeypatch.setattr('lacuna.datasets.tutorial.write_tutorial', fake)
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    target = tmp_path / 'my data'
    args = parser.parse_args(['tutorial', str(target), '--force'])
    args.run(args)
    assert calls == [(target, True)]
    assert parser.parse_args(['tutorial']).directory == Path('lacuna_tutorial')
    last = capsys.readouterr().out.splitlines()[-1]
    assert (
        last.split()
        == (
            f"lacuna run snm '{target}' '{target}/derivatives/lacuna'"
            f" --connectome-path '{target}/sourcedata/connectome/synthetic20k.tck'"
        ).split()
    )


def test_command_line_module_is_light():
    code = "import sys, lacuna.cli.tutorial; sys.exit(bool({'nibabel', 'nilearn', 'scipy', 'nipype'} & set(sys.modules)))"
    subprocess.run([sys.executable, '-c', code], check=True, timeout=HANGS)


@pytest.mark.mrtrix
@needs_mrtrix
def test_mrtrix_counts_the_streamlines(synthetic):
    result = subprocess.run(
        ['tckinfo', '-count', synthetic.connectome, '-quiet'], capture_output=True, text=True, check=True
    )
    assert 'actual count in file: 20000' in result.stdout


@pytest.mark.mrtrix
@needs_mrtrix
def test_mrtrix_assigns_the_ends(synthetic, tmp_path):
    command = ['tck2connectome', synthetic.connectome, synthetic.parcellation, tmp_path / 'c.csv', '-quiet']
    subprocess.run([*command, '-nthreads', '1', '-out_assignments', tmp_path / 'ends.txt'], check=True)
    ends = np.loadtxt(tmp_path / 'ends.txt', dtype=int)
    assigned = (ends > 0).all(axis=1)
    assert len(ends) == 20_000
    assert 0.95 < assigned.mean() < 1  # the fornix ends in no parcel
    assert (ends[:, 0] == ends[:, 1]).mean() < 0.05
    reached = np.bincount(ends[assigned].ravel(), minlength=101)[1:]
    assert (reached > 0).mean() > 0.9
    # left and right have like numbers of ends
    left, right = reached[:42], reached[42:84]
    assert np.corrcoef(left, right)[0, 1] > 0.9
    # a commissure joins homologous parcels
    table = {row[0]: slice(int(row[1]), int(row[1]) + int(row[2]))
             for row in (line.split('\t') for line in synthetic.bundles.read_text().splitlines()[1:])}  # fmt: skip
    genu = ends[table['CC_Genu']]
    assert (genu[:, 0] <= 42).all()
    assert ((genu[:, 1] > 42) & (genu[:, 1] <= 84)).all()
    assert (genu[:, 1] - genu[:, 0] == 42).mean() > 0.3


@pytest.fixture(scope='module')
def cohort(tmp_path_factory):
    return write_tutorial(tmp_path_factory.mktemp('cohort') / 'tutorial', cohort=12)


def test_a_cohort_has_a_lesion_and_scores_for_each(cohort):
    assert len(find_masks(cohort.directory)) == len(cohort.masks) == 12
    table = pd.read_csv(cohort.directory / 'participants.tsv', sep='\t', dtype={'participant_id': str})
    assert list(table) == ['participant_id', 'age', 'lesion_side', 'motor', 'mood']
    assert list(table['participant_id']) == [f'sub-{i:02d}' for i in range(1, 13)]
    assert table['motor'].isna().sum() == 1
    assert table['age'].between(28, 94).all()
    about = json.loads((cohort.directory / 'participants.json').read_text())
    assert about.keys() == set(table)
    grid = standard_grid('MNI152NLin6Asym', 1)
    x = nib.affines.apply_affine(grid.affine, np.argwhere(np.asarray(nib.load(cohort.masks[0]).dataobj)))[
        :, 0
    ]
    assert (x < 0).all() == (table['lesion_side'][0] == 'left')


def test_the_planted_bundle_is_what_lowers_the_score(cohort, synthetic):
    """The share that the score is made from, against the vertices of the bundle in the file."""
    assert cohort.connectome.read_bytes() == synthetic.connectome.read_bytes()
    rows = [line.split('\t') for line in cohort.bundles.read_text().splitlines()]
    (first, count) = next(map(int, row[1:]) for row in rows if row[0] == PLANTED)
    streamlines = [*nib.streamlines.load(cohort.connectome).streamlines[first : first + count]]
    grid = standard_grid('MNI152NLin6Asym', 1)
    for i, path in enumerate(cohort.masks):
        image = nib.load(path)
        mask = np.asarray(image.dataobj)
        hit = [
            mask[
                tuple(np.rint(nib.affines.apply_affine(np.linalg.inv(image.affine), points)).astype(int).T)
            ].any()
            for points in streamlines
        ]
        assert cut_share(streamlines, mask, grid) == np.mean(hit)
        rng = np.random.default_rng([1909, 3, i])
        plan = random_lesion(rng)
        np.testing.assert_array_equal(simulate_lesion(rng, grid, brain_mask(grid), plan), mask)
        motor = simulate_participant(rng, np.mean(hit)).motor
        written = (cohort.directory / 'participants.tsv').read_text().splitlines()[1 + i].split('\t')[3]
        assert written == ('n/a' if i == 6 else str(motor))


def test_the_validator_agrees_with_a_cohort(cohort):
    validator = Path(sys.executable).with_name('bids-validator-deno')
    if not validator.exists():
        pytest.skip('bids-validator-deno is not installed beside Python')
    done = subprocess.run(
        [validator, cohort.directory], check=False, capture_output=True, text=True, timeout=HANGS
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize('count', [0, 9, 1000, -3])
def test_cohorts_of_other_sizes_are_refused(tmp_path, count):
    with pytest.raises(InputError, match=str(count)):
        write_tutorial(tmp_path / 'tutorial', cohort=count)
    assert not (tmp_path / 'tutorial').exists()
