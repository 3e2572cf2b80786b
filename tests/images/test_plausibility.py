"""What is doubtful about inputs is said once: on the terminal, by ``check``, in ``run.json``, in the group table."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from lacuna.cli import main
from lacuna.images.brain import brain
from lacuna.images.masks import Mask, read_mask
from lacuna.images.plausibility import check_tractogram, mask_doubts, measure_mask, tractogram_doubt
from lacuna.images.spaces import standard_grid
from lacuna.streamlines.files.tck import iter_blocks, read_header, scan, write_tck
from lacuna.testing import write_mask

SPACE = 'MNI152NLin6Asym'
OTHER = 'MNI152NLin2009cAsym'


def ball(grid, centre, radius):
    world = np.moveaxis(np.indices(grid.shape), 0, -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return np.linalg.norm(world - centre, axis=-1) <= radius


def doubts(data, affine, space=SPACE):
    return mask_doubts(Mask(data, affine, ''), space)


# the brain


def test_the_brain_is_that_of_the_template():
    """As its description says: nilearn's, one voxel wider."""
    from nilearn.datasets import load_mni152_brain_mask
    from scipy import ndimage

    image = load_mni152_brain_mask(resolution=2)
    expected = ndimage.binary_dilation(np.asanyarray(image.dataobj) > 0)
    assert np.array_equal(brain().affine, image.affine)
    assert np.mean(brain().data != expected) < 0.001  # other versions resample a little differently


def test_points_in_the_brain():
    assert brain().holds(np.array([[0, -20, 10], [0, -20, 90], [1e9, 0, 0]])).tolist() == [True, False, False]


# masks


def test_facts_of_a_mask():
    grid = standard_grid(SPACE, 2)
    facts = measure_mask(ball(grid, (-30, 0, 20), 10), grid.affine)
    assert facts.volume_ml == pytest.approx(4 / 3 * np.pi, rel=0.03)
    assert (facts.side, facts.outside_brain_percent) == ('left', 0)
    assert facts.brain_percent == pytest.approx(100 * facts.volume_ml / 2030, rel=0.01)
    half = measure_mask(ball(grid, (-30, 0, 82), 10), grid.affine)
    assert 50 < half.outside_brain_percent < 100
    assert measure_mask(np.zeros(grid.shape, bool), grid.affine).side == 'none'


def test_a_plausible_mask_has_no_doubts():
    for space, resolution in ((SPACE, 1), (SPACE, 2), (OTHER, 2)):
        grid = standard_grid(space, resolution)
        assert doubts(ball(grid, (-30, 0, 20), 10), grid.affine, space) == ()


@pytest.mark.parametrize(
    ('change', 'says'),
    [
        (lambda mask: ~mask, 'is it inverted'),
        (lambda mask: np.ones_like(mask), 'is it inverted'),
        (lambda mask: mask & False, 'the mask is empty'),
        (lambda mask: mask & (np.cumsum(mask).reshape(mask.shape) == 1), 'only 1 voxel'),
    ],
)
def test_what_is_doubtful_about_voxels(change, says):
    grid = standard_grid(SPACE, 2)
    (found,) = doubts(change(ball(grid, (-30, 0, 20), 10)), grid.affine)
    assert says in found


def test_a_mask_beside_the_brain():
    grid = standard_grid(SPACE, 2)
    (found,) = doubts(ball(grid, (-30, 0, 82), 10), grid.affine)
    assert 'of the mask lies outside the brain' in found


@pytest.mark.parametrize(
    ('affine', 'says'),
    [
        (np.diag([0.9, 0.9, 5.0, 1]), 'voxels of 0.9 x 0.9 x 5 mm'),
        (np.array([[1, 0.1, 0, 0], [-0.1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), 'oblique'),
        (np.array([[1, 0, 0, -0.37], [0, 1, 0, 0.11], [0, 0, 1, 0], [0, 0, 0, 1.0]]), 'first voxel'),
    ],
)
def test_a_grid_of_a_scan(affine, says):
    affine = affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [-30, -30, -10]
    (found,) = doubts(np.pad(np.ones((20, 20, 5), bool), 20), affine)
    assert 'looks like that of a scan' in found
    assert says in found


@pytest.mark.shared
def test_real_lesions_are_plausible(shared):
    """Few of the real lesions are doubtful, and none for its grid."""
    files = sorted((shared / 'data/lesions/LESYMAP').glob('*.gz'))[::11]
    files += sorted((shared / 'data/lesions/SOOP').glob('*.gz'))[::29]
    found = [doubt for file in files for doubt in mask_doubts(read_mask(file), SPACE)]
    assert len(found) <= 2
    assert not [doubt for doubt in found if 'grid' in doubt or 'inverted' in doubt]
    native = read_mask(shared / 'data/lesions/misc/niivue_lesion.nii.gz', 0)
    assert 'looks like that of a scan' in ' '.join(mask_doubts(native, SPACE))


# tractograms


def test_share_of_a_tractogram_in_the_brain(tmp_path):
    write_tck(tmp_path / 't.tck', [[[0, 0, 0], [0, 0, 10], [0, 0, 20]], [[0, 0, 200]]])
    assert scan(tmp_path / 't.tck').brain_pct == 75
    assert tractogram_doubt(95) is None
    assert tractogram_doubt(99.8) is None
    assert all(word in tractogram_doubt(94.9) for word in ('LPS', 'voxel', 'mirrored', 'scaled'))


@pytest.mark.shared
def test_real_tractograms_lie_in_the_brain(unpacked, tmp_path):
    for name in ('HCP842', 'ICBM152_adult'):
        assert scan(unpacked(name)).brain_pct > 99.5
    lines = []
    for points, lengths in iter_blocks(read_header(unpacked('ICBM152_adult'))):
        lines += np.split(points, np.cumsum(lengths)[:-1])
    mistakes = {
        'lps': lambda line: line * [-1, -1, 1],
        'voxels': lambda line: (line - [-90, -126, -72]) / 2,
        'scaled': lambda line: line * 2,
        'back to front': lambda line: line * [1, -1, 1],
    }
    for name, change in mistakes.items():
        write_tck(tmp_path / 'wrong.tck', [change(line) for line in lines[::10]])
        assert tractogram_doubt(scan(tmp_path / 'wrong.tck').brain_pct), name


# where it is said


def run(toy, folder, *more):
    return main([
        'run', 'snm', str(toy.mask.parents[2]), str(folder / 'out'), '--connectome-path', str(toy.tracks),
        '-w', str(folder / 'work'), '--nprocs', '1', *more,
    ])  # fmt: skip


def test_each_doubt_is_said_once_and_everywhere(toy, tmp_path, capsys):
    """A mask of a single voxel and a tractogram that lies beside the brain."""
    points, lengths = next(iter_blocks(read_header(toy.tracks)))
    lines = np.split(points, np.cumsum(lengths)[:-1])
    write_tck(toy.tracks, [lines[0], *(line + np.float32(200) for line in lines[1:])])
    grid = standard_grid(SPACE, 1)
    data = np.zeros(grid.shape)
    data[90, 126, 72] = 1
    write_mask(toy.mask, data, grid.affine)
    assert run(toy, tmp_path, '--no-report') == 0
    said = capsys.readouterr().err
    assert said.count('only 1 voxel') == 1
    assert said.count('of the vertices of the tractogram lie outside') == 1

    (record,) = (tmp_path / 'out').glob('logs/*/run.json')
    content = json.loads(record.read_text())
    assert 'of the vertices' in content['warnings'][0]
    (mask,) = content['masks']
    assert 'only 1 voxel' in mask['warnings'][0]

    assert main(['check', str(tmp_path / 'out')]) == 0
    checked = capsys.readouterr()
    assert checked.out.count('only 1 voxel') == 1
    assert checked.err.count('of the vertices of the tractogram') == 1

    assert main(['collect', str(tmp_path / 'out')]) == 0
    (table,) = (tmp_path / 'out').glob('group_*_stats.tsv')
    with table.open(newline='') as file:
        (row,) = csv.DictReader(file, delimiter='\t')
    assert row['mask_outside_brain_pct'] == '0.0'
    assert 'only 1 voxel' in row['warnings']
    assert 'of the vertices' in row['warnings']
    sidecar = json.loads(table.with_suffix('.json').read_text())
    assert check_tractogram(sidecar) == [
        tractogram_doubt(sidecar['Tractogram']['VerticesInsideBrainPercent'])
    ]

    # nothing is measured again, and it is said in each run
    assert run(toy, tmp_path, '--no-report') == 0
    assert capsys.readouterr().err.count('of the vertices of the tractogram lie outside') == 1


def test_binarize_is_recorded(toy, tmp_path, capsys):
    """Another threshold is another setting, also where it gives the same voxels."""
    grid = standard_grid(SPACE, 1)
    data = read_mask(toy.mask).data * 0.6
    write_mask(toy.mask, data, grid.affine, 'float32')
    assert run(toy, tmp_path) == 2
    assert '--binarize' in capsys.readouterr().err
    assert run(toy, tmp_path, '--binarize', '0.5') == 0
    (sidecar,) = (tmp_path / 'out').glob('sub-01/**/*_desc-disconnectionpct.json')
    content = json.loads(sidecar.read_text())
    assert content['Parameters']['Binarize'] == 0.5
    assert '--binarize 0.5' in content['CommandLine']
    (settings,) = (tmp_path / 'out').glob('logs/*/settings.toml')
    assert 'binarize = 0.5' in settings.read_text()
    assert list(
        (tmp_path / 'out/sub-01/figures').glob('*_desc-lesion_figure.png')
    )  # the mask is read as it was
    assert main(['check', str(tmp_path / 'out')]) == 0
    capsys.readouterr()
    assert run(toy, tmp_path, '--binarize', '0.5') == 0
    assert run(toy, tmp_path, '--binarize', '0.4') == 2
    assert 'value above which a mask is lesion: 0.5 on disk, 0.4 now' in capsys.readouterr().err
    assert run(toy, tmp_path, '--binarize', 'nan') == 2


def test_bidsify_binarizes_and_reads_pairs(tmp_path):
    import nibabel as nb

    grid = standard_grid(SPACE, 2)
    data = ball(grid, (-30, 0, 20), 10)
    write_mask(tmp_path / 'in' / 'one.nii.gz', data * 0.6, grid.affine, 'float32')
    image = nb.Nifti1Pair(data.astype('uint8'), grid.affine)
    image.set_sform(grid.affine, code=2)
    nb.save(image, tmp_path / 'in' / 'two.img')
    command = ['bidsify', str(tmp_path / 'in'), str(tmp_path / 'out'), '--space', SPACE]
    assert main([*command, '--binarize', '0.5']) == 0
    masks = sorted((tmp_path / 'out').rglob('*_mask.nii.gz'))
    assert [path.parts[-3] for path in masks] == ['sub-one', 'sub-two']
    assert all(np.array_equal(read_mask(path).data, data) for path in masks)
    sidecar = json.loads(masks[0].with_name(masks[0].name.replace('.nii.gz', '.json')).read_text())
    assert sidecar['Threshold'] == 0.5
    before = [path.read_bytes() for path in masks]
    assert main([*command, '--binarize', '0.5']) == 0
    assert [path.read_bytes() for path in masks] == before
    assert main([*command, '--binarize', '0.7']) == 2
    assert main(['check', str(tmp_path / 'out')]) == 0


@pytest.mark.shared
def test_real_lesions_beside_a_tractogram(unpacked, shared, tmp_path, capsys):
    """With the left corticospinal tract, lesions of the other side are results of 0, not failures."""
    with (shared / 'data/tractograms/HCP842.tsv').open() as file:
        bundle = next(row for row in csv.DictReader(file, delimiter='\t') if row['bundle'] == 'CST_L')
    lines = []
    for points, lengths in iter_blocks(read_header(unpacked('HCP842'))):
        lines += np.split(points, np.cumsum(lengths)[:-1])
    first = int(bundle['first_index'])
    write_tck(tmp_path / 'cst.tck', lines[first : first + int(bundle['count'])])
    box = scan(tmp_path / 'cst.tck').box
    bids = tmp_path / 'bids'
    inside = {}
    for file in [
        *sorted((shared / 'data/lesions/LESYMAP').glob('*.gz'))[::30],
        *sorted((shared / 'data/lesions/SOOP').glob('*.gz'))[::60],
    ]:
        label = ''.join(filter(str.isalnum, file.name.split('.')[0]))
        target = bids / f'sub-{label}/anat/sub-{label}_space-{SPACE}_label-lesion_mask.nii.gz'
        target.parent.mkdir(parents=True)
        target.write_bytes(file.read_bytes())
        mask = read_mask(file)
        world = np.argwhere(mask.data) @ mask.affine[:3, :3].T + mask.affine[:3, 3]
        inside[label] = bool(((world >= box[0]) & (world <= box[1])).all(axis=1).any())
    assert not all(inside.values())
    code = main([
        'run', 'snm', str(bids), str(tmp_path / 'out'), '--connectome-path', str(tmp_path / 'cst.tck'),
        '--connectome-space', SPACE, '-w', str(tmp_path / 'work'), '--no-report',
    ])  # fmt: skip
    assert code == 0, capsys.readouterr().err
    for label, touches in inside.items():
        (path,) = (tmp_path / 'out').glob(f'sub-{label}/anat/*_desc-summarystatistics_stats.json')
        summary = json.loads(path.read_text())
        if not touches:
            assert summary['streamlines_disconnected'] == summary['voxels_disconnected'] == 0
