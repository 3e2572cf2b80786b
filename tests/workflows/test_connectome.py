"""Spaces, grids and formats through whole runs: alignment never changes what a lesion is."""

import json
import subprocess

import nibabel as nb
import numpy as np
import pytest
from helpers.cohort import write_cohort
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lacuna.cli import main
from lacuna.streamlines.files.tck import iter_blocks, read_header, scan, write_tck
from lacuna.testing import audit_graph, toy_streamlines, world_coordinates, write_mask
from lacuna.utils.cache import cache_dir
from lacuna.workflows.connectome import init_alignment_wf

pytestmark = pytest.mark.mrtrix

NLIN6, C2009 = 'MNI152NLin6Asym', 'MNI152NLin2009cAsym'


def run_one(mask, tracks, folder, *options, mask_space=NLIN6, space=NLIN6):
    """Run one mask; returns its map and its summary."""
    args = [
        'run',
        'snm',
        '--no-report',
        mask,
        folder / 'out',
        '--connectome-path',
        tracks,
        '--connectome-space',
        space,
    ]
    args += [
        '--mask-space',
        mask_space,
        '-w',
        folder / 'work',
        '--participant-label',
        '1',
        '--overwrite',
        *options,
    ]
    assert main([str(arg) for arg in args]) == 0
    image = nb.load(next((folder / 'out').rglob(f'*space-{mask_space}_desc-disconnectionpct.nii.gz')))
    summary = next((folder / 'out').rglob('*_desc-summarystatistics_stats.json'))
    return image, json.loads(summary.read_text())


# ---- grids ----


def affine_of(origin, zooms):
    affine = np.diag([*zooms, 1.0])
    affine[:3, 3] = origin
    return affine


#: FSL's, SPM's, a cropped one, FSL's stored from left to right, and one of half a millimetre
GRIDS = {
    'fsl': ((182, 218, 182), affine_of((90, -126, -72), (-1, 1, 1))),
    'spm': ((181, 217, 181), affine_of((-90, -125, -71), (1, 1, 1))),
    'cropped': ((60, 70, 50), affine_of((-30, -20, -25), (1, 1, 1))),
    'lps': ((182, 218, 182), affine_of((91, 91, -72), (-1, -1, 1))),
    'fine': ((120, 140, 100), affine_of((-30.25, -20.25, -25.25), (0.5, 0.5, 0.5))),
}


def test_one_lesion_on_five_grids(tmp_path):
    """The box from -2.5 to 2.5, -2.5 to 18.5 and -2.5 to 6.5 mm is made of whole voxels on each of them."""
    write_tck(tmp_path / 'toy.tck', toy_streamlines())
    found = {}
    for name, (shape, affine) in GRIDS.items():
        x, y, z = world_coordinates(shape, affine)
        box = (abs(x) < 2.5) & (y > -2.5) & (y < 18.5) & (z > -2.5) & (z < 6.5)
        image, summary = run_one(
            write_mask(tmp_path / f'{name}.nii.gz', box, affine), tmp_path / 'toy.tck', tmp_path
        )
        assert summary['mask_volume_mm3'] == pytest.approx(5 * 21 * 9)
        found[name] = (summary['streamlines_disconnected'], image.get_fdata().tobytes())
    assert set(found.values()) == {found['fsl']}
    assert found['fsl'][0] == 10


def test_one_voxel_is_found(tmp_path):
    write_tck(tmp_path / 'toy.tck', toy_streamlines())
    shape, affine = GRIDS['fsl']
    x, y, z = world_coordinates(shape, affine)
    mask = write_mask(tmp_path / 'dot.nii.gz', (x == 5) & (y == 4) & (z == 8), affine)
    _, summary = run_one(mask, tmp_path / 'toy.tck', tmp_path)
    assert (summary['mask_voxels'], summary['streamlines_disconnected']) == (1, 1)


@st.composite
def other_storage(draw):
    """A way to store an image that leaves every voxel where it is in the world."""
    return {
        'axes': draw(st.permutations(range(3))),
        'flips': [draw(st.booleans()) for _ in range(3)],
        'pad': [(draw(st.integers(0, 4)), draw(st.integers(0, 4))) for _ in range(3)],
        'crop': [draw(st.integers(0, 2)) for _ in range(3)],
    }


def store(data, affine, how):
    """The same voxels, permuted, flipped, padded and cropped; with the affine that says so."""
    order = list(how['axes'])
    data, matrix = data.transpose(order), affine.copy()
    matrix[:, :3] = affine[:, order]
    for axis, flip in enumerate(how['flips']):
        if flip:
            matrix[:, 3] += matrix[:, axis] * (data.shape[axis] - 1)
            matrix[:, axis] *= -1
            data = np.flip(data, axis)
    data = np.pad(data, how['pad'])
    for axis, (before, _) in enumerate(how['pad']):
        matrix[:, 3] -= matrix[:, axis] * before
    for axis, cut in enumerate(how['crop']):
        if cut and not data.take(range(cut), axis).any():
            data = data.take(range(cut, data.shape[axis]), axis)
            matrix[:, 3] += matrix[:, axis] * cut
    return data, matrix


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    how=other_storage(), shear=st.floats(-0.2, 0.2), angle=st.floats(-0.5, 0.5), seed=st.integers(0, 10**6)
)
def test_storage_plays_no_part(tmp_path, how, shear, angle, seed):
    """Oblique, sheared, flipped, padded and cropped: what is prepared for tckedit selects the same streamlines."""
    from lacuna.images.masks import read_mask
    from lacuna.images.nifti import save

    rng = np.random.default_rng(seed)
    affine = np.array([
        [np.cos(angle), -np.sin(angle) + shear, 0, -8.3],
        [np.sin(angle), np.cos(angle), 0, -7.7],
        [0, 0, 1.1, -6.1],
        [0, 0, 0, 1],
    ])  # fmt: skip
    data = np.zeros((14, 15, 12), bool)
    data[3:9, 4:10, 3:8] = rng.random((6, 6, 5)) > 0.6
    write_tck(tmp_path / 'all.tck', rng.uniform(-9, 9, (60, 8, 3)))
    selections = set()
    for voxels, matrix in ((data, affine), store(data, affine, how)):
        write_mask(tmp_path / 'given.nii', voxels, matrix)
        mask = read_mask(tmp_path / 'given.nii')
        save(mask.image(), tmp_path / 'mask.nii')
        if not data.any():
            return
        command = ['tckedit', '-quiet', '-force', '-include', tmp_path / 'mask.nii', tmp_path / 'all.tck']
        subprocess.run([*command, tmp_path / 'cut.tck'], check=True)
        blocks = list(iter_blocks(read_header(tmp_path / 'cut.tck')))
        selections.add(b''.join(points.tobytes() for points, _ in blocks))
    assert len(selections) == 1


# ---- formats ----


def test_all_formats_give_the_same(tmp_path):
    from nibabel.streamlines import Tractogram, save

    lines = toy_streamlines()
    write_tck(tmp_path / 'a.tck', lines)
    header = {
        'voxel_to_rasmm': np.diag([1.0, 1, 1, 1]),
        'dimensions': np.array([50, 50, 50], 'int16'),
        'voxel_sizes': np.ones(3, 'float32'),
        'voxel_order': b'RAS',
    }
    save(Tractogram(lines, affine_to_rasmm=np.eye(4)), str(tmp_path / 'b.trk'), header=header)
    shape, affine = GRIDS['fsl']
    x, y, z = world_coordinates(shape, affine)
    mask = write_mask(tmp_path / 'm.nii.gz', (abs(x) < 3) & (abs(y) < 6) & (abs(z) < 6), affine)
    first, summary = run_one(mask, tmp_path / 'a.tck', tmp_path)
    again, other = run_one(mask, tmp_path / 'b.trk', tmp_path)
    assert summary == other
    np.testing.assert_array_equal(first.get_fdata(), again.get_fdata())
    sidecar = json.loads(next((tmp_path / 'out').rglob('*_desc-disconnectionpct.json')).read_text())
    checksum = subprocess.run(
        ['sha256sum', tmp_path / 'b.trk'], capture_output=True, text=True, check=True
    ).stdout
    assert sidecar['Tractogram']['SHA256'] == checksum.split()[0]


@pytest.mark.shared
@pytest.mark.parametrize(
    ('name', 'says'),
    [
        ('nibabel/empty.trk', 'streamlines'),
        ('niivue_colby.trk', 'vox'),
        ('niivue_TR_S_R.tt.gz', '.trx'),
        ('niivue_tract.FAT_R.vtk', '.trx'),
    ],
)
def test_unusable_formats_are_refused(shared, tmp_path, capsys, name, says):
    tracks = shared / 'data/tractograms/formats' / name
    mask = next((shared / 'data/bids_spheres').rglob('*_mask.nii.gz'))
    args = [
        'run',
        'snm',
        '--no-report',
        mask,
        tmp_path / 'out',
        '--connectome-path',
        tracks,
        '--connectome-space',
        NLIN6,
    ]
    assert main([str(arg) for arg in args]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count('\n') == 1
    assert not (tmp_path / 'out').exists()


# ---- spaces ----


@pytest.fixture
def home(shared, monkeypatch):
    folder = shared / 'data/templateflow'
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(folder))
    return folder


def test_graph_is_sound(tmp_path):
    (tmp_path / 'x.h5').touch()
    wf = init_alignment_wf(source_space=C2009, target_space=NLIN6, transform=tmp_path / 'x.h5')
    assert audit_graph(wf) == []


@pytest.mark.shared
def test_the_streamlines_are_moved_once(shared, unpacked, home, tmp_path, lacuna_here):
    """A mask in NLin6, streamlines in 2009a: equal to plain commands on what nitransforms moves."""
    from nitransforms.manip import load

    tracks = unpacked('ICBM152_adult')
    mask = shared / 'data/lesions/LQT/ExampleLesion1.nii.gz'
    command = [
        'run', 'snm', '--no-report', mask, tmp_path / 'out', '--connectome-path', tracks, '--connectome-space', 'MNI152NLin2009aAsym',
        '--mask-space', NLIN6, '-w', tmp_path / 'work', '--participant-label', '1',
    ]  # fmt: skip
    env = {'TEMPLATEFLOW_HOME': str(home), 'LACUNA_CACHE_DIR': str(tmp_path / 'cache')}
    done = lacuna_here(*command, **env)
    assert done.returncode == 0, done.stderr
    moved = next((tmp_path / 'cache/moved').glob('*.tck'))
    made = moved.stat().st_mtime_ns

    points = np.concatenate([block for block, _ in iter_blocks(read_header(tracks))])
    ours = np.concatenate([block for block, _ in iter_blocks(read_header(moved))])
    assert scan(moved).count == scan(tracks).count == 10403
    some = np.random.default_rng(0).choice(len(points), 20000, replace=False)
    xfm = home / f'tpl-{C2009}' / f'tpl-{C2009}_from-{NLIN6}_mode-image_xfm.h5'
    np.testing.assert_allclose(ours[some], load(xfm, fmt='itk').map(points[some]), atol=1e-3)

    selected = tmp_path / 'selected.tck'
    subprocess.run(['tckedit', '-quiet', '-include', mask, moved, selected], check=True)
    summary = json.loads(next((tmp_path / 'out').rglob('*_stats.json')).read_text())
    assert summary['streamlines_disconnected'] == scan(selected).count > 100
    image = nb.load(next((tmp_path / 'out').rglob(f'*space-{NLIN6}_desc-disconnectionpct.nii.gz')))
    assert image.shape == (91, 109, 91)
    sidecar = json.loads(next((tmp_path / 'out').rglob('*_desc-disconnectionpct.json')).read_text())
    assert sidecar['Tractogram']['Space'] == C2009
    assert sidecar['Tractogram']['MovedWith']['File'] == xfm.name

    (tmp_path / 'cache/index').rename(tmp_path / 'elsewhere')
    assert lacuna_here(*command, '--overwrite', **env).returncode == 0
    assert moved.stat().st_mtime_ns == made


@pytest.mark.shared
def test_a_mask_is_told_what_stopped_it(home, tmp_path, lacuna_here):
    """Of two spaces, the index of one cannot be made, nor the streamlines of the other be moved."""
    toy = write_cohort(tmp_path, 2)
    other = tmp_path / f'bids/sub-02/anat/sub-02_space-{NLIN6}_label-lesion_mask.nii.gz'
    other = other.rename(other.with_name(other.name.replace(NLIN6, C2009)))
    for name in ('index', 'moved'):
        (tmp_path / 'cache').mkdir(exist_ok=True)
        (tmp_path / 'cache' / name).write_text('in the way of the folder')
    done = lacuna_here(
        'run', 'snm', '--no-report', tmp_path / 'bids', tmp_path / 'out', '--connectome-path', toy.tracks, '--nprocs', 1,
        TEMPLATEFLOW_HOME=str(home), LACUNA_CACHE_DIR=str(tmp_path / 'cache'),
    )  # fmt: skip
    assert done.returncode == 1
    reasons = dict(
        line.split('\t') for line in (tmp_path / 'out/logs/failed_masks.tsv').read_text().splitlines()[1:]
    )
    assert f'{tmp_path}/cache/index' in reasons[str(toy.mask)]
    assert f'{tmp_path}/cache/moved' in reasons[str(other)]


@pytest.mark.shared
@pytest.mark.usefixtures('common_cache')
def test_an_atlas_of_another_space_is_brought_over(shared, unpacked, home, tmp_path, lacuna_here):
    """CerebrA (2009c) for masks and streamlines in NLin6: most endpoints keep a parcel of the right side."""
    import pandas as pd

    atlases = shared / 'data/atlases'
    done = lacuna_here(
        'run', 'snm', '--no-report', shared / 'data/lesions/LQT/ExampleLesion1.nii.gz', tmp_path / 'out', '--mask-space', NLIN6,
        '--connectome-path', unpacked('HCP842'), '--connectome-space', NLIN6, '-w', tmp_path / 'work',
        '--custom-parcellation', 'cerebra', atlases / 'CerebrA.nii.gz', atlases / 'CerebrA.txt', C2009,
        '--compute-roi-disconnection', TEMPLATEFLOW_HOME=str(home),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    roi = pd.read_csv(next((tmp_path / 'out').rglob('*_parcelstats.tsv')), sep='\t', index_col=0)['value']
    assert len(roi) == 102
    left, right = (roi[roi.index.str.startswith(side)] for side in ('Left', 'Right'))
    assert right.max() > 30
    assert right.mean() > 10 * left.mean()


@pytest.mark.shared
@pytest.mark.usefixtures('home')
def test_bundles_of_the_other_hemisphere_are_spared(shared, unpacked, tmp_path):
    """A right-hemisphere stroke, streamlines in 2009a: no left association bundle loses a streamline."""
    tracks = unpacked('ICBM152_adult')
    _, summary = run_one(
        shared / 'data/lesions/LQT/ExampleLesion1.nii.gz', tracks, tmp_path, space='MNI152NLin2009aAsym'
    )
    assert summary['streamlines_disconnected'] > 100
    moved = next((cache_dir() / 'moved').glob('*.tck'))
    numbers = tmp_path / 'numbers.txt'
    numbers.write_text(' '.join(map(str, range(10403))))
    command = ['tckedit', '-quiet', '-include', shared / 'data/lesions/LQT/ExampleLesion1.nii.gz', moved]
    command += [tmp_path / 'cut.tck', '-tck_weights_in', numbers, '-tck_weights_out', tmp_path / 'cut.txt']
    subprocess.run(command, check=True)
    cut = np.array((tmp_path / 'cut.txt').read_text().split(), int)
    assert len(cut) == summary['streamlines_disconnected']
    folder = shared / 'data/tractograms'
    rows = [line.split('\t') for line in (folder / 'ICBM152_adult.tsv').read_text().splitlines()[1:]]
    cluster = np.loadtxt(folder / 'ICBM152_adult_clusters.txt', dtype=int)
    bundles = {name: int(np.count_nonzero(cluster[cut] == int(number))) for number, name, *_ in rows}
    left = {
        name: hits for name, hits in bundles.items() if name.startswith('Association') and name.endswith('L')
    }
    right = {
        name: hits for name, hits in bundles.items() if name.startswith('Association') and name.endswith('R')
    }
    assert len(left) > 5
    assert sum(left.values()) == 0
    assert sum(right.values()) > 100
