"""Real lesions and tractograms: the numbers are those of plain MRtrix3 commands, bit for bit."""

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import nibabel as nb
import numpy as np
import pytest

pytestmark = [
    pytest.mark.mrtrix,
    pytest.mark.shared,
    pytest.mark.slow,
    pytest.mark.usefixtures('common_cache'),
]

# of the specification, written down once more
GRIDS = {
    'MNI152NLin6Asym': ((91, 109, 91), [-2, 2, 2], (90, -126, -72)),
    'MNI152NLin2009cAsym': ((97, 115, 97), [2, 2, 2], (-96.5, -132.5, -78.5)),
}

#: the last of the lesions
SPHERES = (23, 24, 25)


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


@pytest.fixture(scope='module')
def plain(lesions, unpacked, shared, tmp_path_factory):
    """What plain commands find in a tractogram, on the grid of a space."""

    @cache
    def find(name, space):
        folder = tmp_path_factory.mktemp(name)
        if name == 'wholebrain':
            tracks = folder / 'wholebrain.tck'
            subprocess.run(['bash', shared / 'tools/make_wholebrain.sh', '20000', tracks], check=True)
        else:
            tracks = unpacked(name)
        shape, zooms, origin = GRIDS[space]
        affine = np.diag([*zooms, 1.0])
        affine[:3, 3] = origin
        nb.save(nb.Nifti1Image(np.zeros(shape, 'uint8'), affine), folder / 'grid.nii')

        @cache
        def cut(number):
            selected = folder / 'selected.tck'
            command = ['tckedit', '-quiet', '-force', '-include', lesions[number], tracks, selected]
            subprocess.run(command, check=True)
            return plain_count(selected), plain_density(selected, folder)

        return Plain(tracks, affine, plain_count(tracks), plain_density(tracks, folder), cut)

    return find


class Plain(NamedTuple):
    """A tractogram and its density; `cut` counts what a lesion cuts of it, and gives the density of that."""

    tracks: Path
    affine: np.ndarray
    count: int
    density: np.ndarray
    cut: Callable[[int], tuple[int, np.ndarray]]


def some(*values):
    """Every third lesion and the spheres; all of them when there is time."""
    return [pytest.param(*values, 3), pytest.param(*values, 1, marks=pytest.mark.soak)]


@pytest.mark.parametrize(
    ('tractogram', 'space', 'engine', 'step'),
    [
        ('ICBM152_adult', 'MNI152NLin2009cAsym', 'index', 1),
        *some('HCP842', 'MNI152NLin6Asym', 'index'),
        *some('ICBM152_adult', 'MNI152NLin2009cAsym', 'mrtrix'),
        *some('wholebrain', 'MNI152NLin2009cAsym', 'index'),
    ],
)
def test_equal_to_plain_commands(tractogram, space, engine, step, plain, lesions, tmp_path, lacuna_here):
    expected = plain(tractogram, space)
    bids = tmp_path / 'bids'
    numbers = [*range(0, 23, step), *SPHERES]
    for number in numbers:
        target = bids / f'sub-{number:02d}/anat/sub-{number:02d}_space-{space}_label-lesion_mask.nii.gz'
        target.parent.mkdir(parents=True)
        shutil.copy(lesions[number], target)
    done = lacuna_here(
        'run', 'snm', '--no-report', bids, tmp_path / 'out', '--connectome-path', expected.tracks, '--connectome-space', space,
        '-w', tmp_path / 'work', '--engine', engine, '--nprocs', '1',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    published = nb.load(next((tmp_path / 'out/connectome').glob('*_tdi.nii.gz')))
    full = expected.density
    np.testing.assert_array_equal(np.asanyarray(published.dataobj), full)
    np.testing.assert_array_equal(published.affine, expected.affine)

    disconnected = {}
    for number in numbers:
        count, part = expected.cut(number)
        found = tmp_path / f'out/sub-{number:02d}/anat'
        percent = nb.load(next(found.glob('*_desc-disconnectionpct.nii.gz'))).get_fdata()
        np.testing.assert_array_equal(np.rint(percent * full / 100), part)  # the counts, bit for bit
        right = np.divide(100.0 * part, full, out=np.zeros(full.shape), where=full > 0)
        np.testing.assert_allclose(percent, right, rtol=1e-6)
        summary = json.loads(next(found.glob('*_stats.json')).read_text())
        assert summary['streamlines_disconnected'] == count
        assert summary['streamlines_total'] == expected.count
        assert summary['voxels_disconnected'] == np.count_nonzero(part)
        disconnected[number] = count
    assert np.count_nonzero(list(disconnected.values())) > 0.75 * len(numbers)
    if tractogram == 'HCP842':
        assert [disconnected[number] for number in SPHERES] == [103, 2273, 107]


def plain_density(tracks, folder):
    command = ['tckmap', '-quiet', '-force', '-template', folder / 'grid.nii', tracks, folder / 'plain.nii']
    subprocess.run(command, check=True)
    return np.asanyarray(nb.load(folder / 'plain.nii').dataobj).copy()


def plain_count(tracks):
    said = subprocess.run(['tckinfo', '-count', tracks], check=True, capture_output=True, text=True).stdout
    return int(said.rsplit(':', 1)[1])


def test_the_side_is_right(unpacked, shared, tmp_path, lacuna_here):
    """A right-hemisphere stroke disconnects voxels of the right, and none in a left bundle far from the midline."""
    done = lacuna_here(
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
