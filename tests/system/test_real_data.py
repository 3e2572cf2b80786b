"""Real lesions and tractograms: the numbers are those of plain MRtrix3 commands, bit for bit."""

import csv
import json
import shutil
import subprocess

import nibabel as nb
import numpy as np
import pytest

pytestmark = [pytest.mark.mrtrix, pytest.mark.shared, pytest.mark.slow]

# of the specification, written down once more
GRIDS = {
    'MNI152NLin6Asym': ((91, 109, 91), [-2, 2, 2], (90, -126, -72)),
    'MNI152NLin2009cAsym': ((97, 115, 97), [2, 2, 2], (-96.5, -132.5, -78.5)),
}


@pytest.fixture(scope='module')
def lesions(shared):
    """Three spheres, ten LESYMAP, ten SOOP and three LQT lesions; they lie on four grids."""
    table = shared / 'data/lesions/lesions.tsv'
    with table.open() as stream:
        files = [row['file'] for row in csv.DictReader(stream, delimiter='\t')]
    chosen = [
        shared / 'data/lesions' / file
        for name, step in (('LESYMAP', 7), ('SOOP', 31), ('LQT', 1))
        for file in sorted(f for f in files if f.startswith(name))[::step][:10]
    ]
    chosen += sorted((shared / 'data/bids_spheres').rglob('*_mask.nii.gz'))
    assert len(chosen) == 26
    return chosen


@pytest.fixture
def tractogram(request, unpacked, shared, tmp_path):
    if request.param == 'wholebrain':
        path = tmp_path / 'wholebrain.tck'
        subprocess.run(['bash', shared / 'tools/make_wholebrain.sh', '20000', path], check=True)
        return path
    return unpacked(request.param)


@pytest.mark.parametrize(
    ('tractogram', 'space', 'engine'),
    [
        ('HCP842', 'MNI152NLin6Asym', 'index'),
        ('ICBM152_adult', 'MNI152NLin2009cAsym', 'mrtrix'),
        ('ICBM152_adult', 'MNI152NLin2009cAsym', 'index'),
        ('wholebrain', 'MNI152NLin2009cAsym', 'index'),
    ],
    indirect=['tractogram'],
)
def test_equal_to_plain_commands(tractogram, space, engine, lesions, tmp_path, lacuna_command):
    bids = tmp_path / 'bids'
    for number, lesion in enumerate(lesions):
        target = bids / f'sub-{number:02d}/anat/sub-{number:02d}_space-{space}_label-lesion_mask.nii.gz'
        target.parent.mkdir(parents=True)
        shutil.copy(lesion, target)
    done = lacuna_command(
        'run', 'snm', '--no-report', bids, tmp_path / 'out', '--connectome-path', tractogram, '--connectome-space', space,
        '-w', tmp_path / 'work', '--engine', engine,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    shape, zooms, origin = GRIDS[space]
    affine = np.diag([*zooms, 1.0])
    affine[:3, 3] = origin
    nb.save(nb.Nifti1Image(np.zeros(shape, 'uint8'), affine), tmp_path / 'grid.nii')
    full = plain_density(tractogram, tmp_path)
    published = nb.load(next((tmp_path / 'out/connectome').glob('*_tdi.nii.gz')))
    np.testing.assert_array_equal(np.asanyarray(published.dataobj), full)
    np.testing.assert_array_equal(published.affine, affine)

    disconnected = []
    for number, lesion in enumerate(lesions):
        found = tmp_path / f'out/sub-{number:02d}/anat'
        selected = tmp_path / 'selected.tck'
        subprocess.run(['tckedit', '-quiet', '-force', '-include', lesion, tractogram, selected], check=True)
        part = plain_density(selected, tmp_path)
        percent = nb.load(next(found.glob('*_desc-disconnectionpct.nii.gz'))).get_fdata()
        np.testing.assert_array_equal(np.rint(percent * full / 100), part)  # the counts, bit for bit
        expected = np.divide(100.0 * part, full, out=np.zeros(shape), where=full > 0)
        np.testing.assert_allclose(percent, expected, rtol=1e-6)
        summary = json.loads(next(found.glob('*_stats.json')).read_text())
        assert summary['streamlines_disconnected'] == plain_count(selected)
        assert summary['streamlines_total'] == plain_count(tractogram)
        assert summary['voxels_disconnected'] == np.count_nonzero(part)
        disconnected.append(summary['streamlines_disconnected'])
    assert np.count_nonzero(disconnected) > 20
    if tractogram.stem == 'HCP842':
        assert disconnected[-3:] == [103, 2273, 107]  # the spheres


def plain_density(tracks, folder):
    command = ['tckmap', '-quiet', '-force', '-template', folder / 'grid.nii', tracks, folder / 'plain.nii']
    subprocess.run(command, check=True)
    return np.asanyarray(nb.load(folder / 'plain.nii').dataobj).copy()


def plain_count(tracks):
    said = subprocess.run(['tckinfo', '-count', tracks], check=True, capture_output=True, text=True).stdout
    return int(said.rsplit(':', 1)[1])


def test_the_side_is_right(unpacked, shared, tmp_path, lacuna_command):
    """A right-hemisphere stroke disconnects voxels of the right, and none in a left bundle far from the midline."""
    done = lacuna_command(
        'run', 'snm', '--no-report', shared / 'data/lesions/LQT/ExampleLesion1.nii.gz', tmp_path / 'out', '--mask-space',
        'MNI152NLin6Asym', '--connectome-path', unpacked('HCP842'), '--connectome-space', 'MNI152NLin6Asym',
        '-w', tmp_path / 'work',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    image = nb.load(next((tmp_path / 'out').rglob('*_desc-disconnectionpct.nii.gz')))
    voxels = np.argwhere(image.get_fdata() > 0)
    x = voxels @ image.affine[0, :3] + image.affine[0, 3]
    assert np.mean(x > 0) > 0.9
    assert np.mean(x < -20) < 0.01
