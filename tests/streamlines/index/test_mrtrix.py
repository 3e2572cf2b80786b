"""Equality with plain MRtrix3: every difference is a failure."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers.paths import SHARED
from helpers.streamlines_reference import open_index
from scipy import ndimage

from lacuna.images.nifti import nifti_affine
from lacuna.images.spaces import standard_grid
from lacuna.measures import connectivity
from lacuna.streamlines.files.tck import read_header, write_tck
from lacuna.streamlines.index.assignment import assign
from lacuna.streamlines.index.build import build_index

pytestmark = [
    pytest.mark.mrtrix,
    pytest.mark.skipif(shutil.which('tckedit') is None, reason='MRtrix3 is not on the PATH'),
]
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason='the shared test data are not beside the checkout'
)
SPACE = 'MNI152NLin6Asym'


def mrtrix(*command) -> None:
    subprocess.run([str(word) for word in (*command, '-quiet', '-force')], check=True)


class Both:
    """The same question to the index and to MRtrix3."""

    def __init__(self, tractogram: Path, folder: Path, resolutions=(1, 2), space=SPACE) -> None:
        self.tractogram, self.folder = tractogram, folder
        self.indices = {}
        self.templates = {}
        for resolution in resolutions:
            grid = standard_grid(space, resolution)
            build_index(tractogram, folder / 'index', grid, nprocs=2)
            self.indices[resolution] = open_index(folder / 'index', grid, tractogram=tractogram, nprocs=2)
            self.templates[resolution] = folder / f'template{resolution}.nii'
            nib.save(nib.Nifti1Image(np.zeros(grid.shape, np.uint8), grid.affine), self.templates[resolution])
        self.any = self.indices[resolutions[0]]
        np.savetxt(folder / 'numbers.txt', np.arange(self.any.streamlines), fmt='%d')
        self.plain = [] if read_header(tractogram).step_size else ['-upsample', 1]

    def ids(self, mask: Path) -> np.ndarray:
        image = nib.load(mask)
        return self.any.select(np.asarray(image.dataobj) != 0, nifti_affine(image.header))

    def mrtrix_ids(self, mask: Path) -> np.ndarray:
        chosen = self.folder / 'chosen.txt'
        numbers = ['-tck_weights_in', self.folder / 'numbers.txt', '-tck_weights_out', chosen]
        mrtrix('tckedit', '-include', mask, *numbers, self.tractogram, self.folder / 'chosen.tck')
        return np.array(chosen.read_text().split(), float).astype(int)

    def grades(self, mask: Path) -> np.ndarray:
        image = nib.load(mask)
        found = np.zeros(self.any.streamlines, np.float32)
        ids, grades = self.any.grades(np.asarray(image.dataobj, np.float32), nifti_affine(image.header))
        found[ids] = grades
        return found

    def mrtrix_grades(self, mask: Path) -> np.ndarray:
        out = self.folder / 'grades.txt'
        mrtrix('tcksample', '-nointerp', '-stat_tck', 'max', self.tractogram, mask, out)
        return np.nan_to_num(np.loadtxt(out, ndmin=2).astype(np.float32).ravel())

    def mrtrix_density(self, resolution: int, tractogram: Path) -> np.ndarray:
        out = self.folder / 'density.nii'
        mrtrix('tckmap', '-template', self.templates[resolution], *self.plain, tractogram, out)
        return np.asarray(nib.load(out).dataobj)

    def check(self, mask: Path) -> int:
        ids = self.ids(mask)
        np.testing.assert_array_equal(ids, self.mrtrix_ids(mask), err_msg=str(mask))
        if len(ids):
            for resolution, index in self.indices.items():
                expected = self.mrtrix_density(resolution, self.folder / 'chosen.tck')
                np.testing.assert_array_equal(index.density(ids), expected, err_msg=str(mask))
        return len(ids)


def near_ties(count: int) -> np.ndarray:
    """Vertices on the faces of voxels, and a few roundings beside them."""
    rng = np.random.default_rng(0)
    points = rng.integers(-15, 15, (count, 3)).astype(np.float32)
    points += rng.choice(np.array([0, 0.5, -0.5, 0.5, 0.25], np.float32), (count, 3))
    for _ in range(3):
        towards = np.float32(np.inf) * rng.choice(np.array([-1, 1], np.float32), (count, 3))
        points = np.where(rng.random((count, 3)) < 0.5, np.nextafter(points, towards), points)
    return points


_OBLIQUE = np.array([[0.99, 0.1, -0.05], [-0.1, 0.98, 0.12], [0.06, -0.11, 1.0]])
_MASKS = {
    'fsl': ((182, 218, 182), np.diag([-1, 1, 1]), [90, -126, -72]),
    'spm': ((181, 217, 181), np.eye(3), [-90, -125, -71]),
    'axes_swapped': ((182, 182, 218), [[0, -1, 0], [0, 0, 1], [1, 0, 0]], [90, -126, -72]),
    'two_mm': ((91, 109, 91), np.diag([-2, 2, 2]), [90, -126, -72]),
    'two_mm_off': ((97, 115, 97), np.diag([2, 2, 2]), [-96.5, -132.5, -78.5]),
    'half_mm': ((200, 200, 200), np.diag([0.5, 0.5, 0.5]), [-50, -50, -50]),
    'oblique': ((100, 110, 90), _OBLIQUE @ np.diag([1.1, -0.9, 1]), [-50, 50, -45]),
    'small': ((21, 19, 22), np.diag([-1, 1, 1]), [10, -9, -11]),
    'not_quite_1_mm': ((181, 217, 181), np.eye(3) * (1 + 1e-6), [-90, -125, -71]),
}


@pytest.fixture(scope='module')
def ties(tmp_path_factory):
    folder = tmp_path_factory.mktemp('ties')
    points = near_ties(20_000)
    lines = [points[n : n + 1 + n % 3] for n in range(len(points) - 2)]
    write_tck(folder / 'ties.tck', lines, step_size=1.0)
    return Both(folder / 'ties.tck', folder)


@pytest.mark.parametrize('name', _MASKS)
def test_vertices_on_faces(ties, tmp_path, name):
    shape, linear, origin = _MASKS[name]
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = origin
    rng = np.random.default_rng(len(name))
    for radius in (2, 6):
        voxels = np.indices(shape).reshape(3, -1).T
        distance = np.linalg.norm(voxels @ affine[:3, :3].T + affine[:3, 3] - [3, -2, 1], axis=1).reshape(
            shape
        )
        mask = (distance < radius) & (rng.random(shape) < 0.6)
        if name == 'small':
            mask |= rng.random(shape) < 0.1  # reaches the faces of the image
        image = nib.Nifti1Image(mask.astype(np.uint8), affine)
        image.set_sform(affine, 1)
        nib.save(image, tmp_path / 'mask.nii')
        assert ties.check(tmp_path / 'mask.nii') > 0


def test_density_of_vertices_on_faces(ties):
    for resolution, index in ties.indices.items():
        expected = ties.mrtrix_density(resolution, ties.tractogram)
        np.testing.assert_array_equal(index.total_density, expected)


def test_affine_of_odd_headers(ties, tmp_path):
    mask = np.zeros((30, 32, 28), np.uint8)
    mask[10:20, 12:19, 9:17] = 1
    oblique = np.eye(4)
    oblique[:3, :3] = np.linalg.qr(_OBLIQUE)[0] @ np.diag([-1, -1.5, -1])
    oblique[:3, 3] = -oblique[:3, :3] @ [15, 15, 13]
    sform = np.diag([1.5, 1, 1, 1])
    sform[:3, 3] = -20, -15, -13
    for codes in ((1, 0), (0, 1), (0, 0), (1, 1)):
        image = nib.Nifti1Image(mask, None)
        image.header.set_qform(oblique, code=codes[1])
        image.header.set_sform(sform, code=codes[0])
        if codes == (1, 1):
            image.header['pixdim'][1:4] = 1.5 * (1 + 5e-6), 1, 1
        nib.save(image, tmp_path / 'mask.nii')
        assert ties.check(tmp_path / 'mask.nii') > 0


@pytest.fixture(scope='module', params=['hcp842', 'icbm', 'wholebrain'])
def real(request, tmp_path_factory, unpacked):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == 'wholebrain':
        tractogram = folder / 'real.tck'
        make = SHARED / 'tools' / 'make_wholebrain.sh'
        subprocess.run(['bash', str(make), '50000', str(tractogram)], check=True)
    else:
        tractogram = unpacked({'hcp842': 'HCP842', 'icbm': 'ICBM152_adult'}[request.param])
    return Both(tractogram, folder)


def lesions(share: slice) -> list[Path]:
    """Real lesions of every set, ordered so that a slice holds all sizes; probabilistic and 4D ones left out."""
    folder = SHARED / 'data' / 'lesions'
    paths = sorted(folder.glob('*/*.nii.gz'))
    chosen = [path for path in paths if path.parent.name in ('LQT', 'misc')]
    chosen += [path for path in paths if path not in chosen][share]
    binary = []
    for path in chosen:
        values = np.asarray(nib.load(path).dataobj)
        if values.ndim == 3 and values.any() and np.isin(values, (0, 1)).all():
            binary.append(path)
    return binary


@needs_shared
@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize('step', [30, pytest.param(3, marks=pytest.mark.soak)])
def test_real_lesions(real, step):
    chosen = lesions(slice(None, None, step))
    assert len(chosen) > 300 // step
    assert sum(real.check(path) > 0 for path in chosen) > 0.9 * len(chosen)


def graded_lesions(folder: Path) -> list[Path]:
    """The probabilistic mask, and binary ones of 1 mm, 2 mm and an oblique grid, smoothed."""
    shared = SHARED / 'data' / 'lesions'
    paths = [shared / 'misc' / 'conwhat_test_lesionmask_rs1mm.nii.gz']
    for name in (
        'LQT/ExampleLesion2',
        'LQT/ExampleLesion4',
        'misc/conwhat_lesion_test_file_from_jhu',
        'misc/niivue_lesion',
    ):
        image = nib.load(shared / f'{name}.nii.gz')
        values = ndimage.gaussian_filter((np.asarray(image.dataobj) > 0).astype(np.float32), 1.5)
        paths.append(folder / f'graded{len(paths)}.nii')
        nib.save(nib.Nifti1Image(values, image.affine), paths[-1])
    return paths


@needs_shared
@pytest.mark.shared
@pytest.mark.slow
def test_graded_lesions(real, tmp_path):
    """``tcksample`` rounds in double precision: streamlines with a vertex just on a face may have another value."""
    for path in graded_lesions(tmp_path):
        found, expected = real.grades(path), real.mrtrix_grades(path)
        assert (found > 0).sum() > 100
        other = np.flatnonzero(found != expected)
        image = nib.load(path)
        inverse = np.linalg.inv(nifti_affine(image.header))
        for points in real.any.read(other):
            at = points.astype(float) @ inverse[:3, :3].T + inverse[:3, 3]
            assert np.abs(np.abs(at - np.rint(at)) - 0.5).min() < 2e-5
        assert len(other) <= 2


@needs_shared
@pytest.mark.shared
@pytest.mark.slow
def test_whole_densities(real):
    for resolution, index in real.indices.items():
        np.testing.assert_array_equal(index.total_density, real.mrtrix_density(resolution, real.tractogram))


@needs_shared
@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(('rule', 'options'), [('radial', ()), ('end-voxels', ('-assignment_end_voxels',))])
@pytest.mark.parametrize('atlas', ['templateflow/**/*res-01*dseg.nii.gz', 'atlases/*.nii.gz'])
@pytest.mark.parametrize('step', [3, pytest.param(1, marks=pytest.mark.soak)])
def test_assignments(real, atlas, rule, options, step):
    paths = [path for path in sorted((SHARED / 'data').glob(atlas)) if nib.load(path).ndim == 3][::step]
    assert len(paths) > 1
    for path in paths:
        image = nib.load(path)
        labels, affine = np.asarray(image.dataobj), nifti_affine(image.header)
        found = assign(real.any.endpoints, labels, affine, rule=rule, nprocs=2)
        out = real.folder / 'assignments.txt', real.folder / 'matrix.csv'
        command = ('tck2connectome', *options, '-symmetric', '-zero_diagonal', '-out_assignments', out[0])
        mrtrix(*command, real.tractogram, path, out[1])
        np.testing.assert_array_equal(found, np.loadtxt(out[0], int, comments='#'), err_msg=str(path))
        matrix = np.loadtxt(out[1], delimiter=',')
        np.testing.assert_array_equal(connectivity(found, len(matrix)), matrix, err_msg=str(path))
