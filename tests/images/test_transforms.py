"""Moving streamlines: the right way, as far as nitransforms says, in a stream."""

import shutil
import subprocess
import threading
import warnings

import h5py
import nibabel as nib
import numpy as np
import pytest
from helpers.paths import SHARED
from scipy.ndimage import map_coordinates

from lacuna.errors import InputError, TractogramError
from lacuna.images.spaces import find_transform
from lacuna.images.transforms import PointTransform
from lacuna.streamlines.files import tck
from lacuna.streamlines.move import Moved, move_blocks, move_key, move_tractogram

N6, N2009 = 'MNI152NLin6Asym', 'MNI152NLin2009cAsym'
TEMPLATEFLOW = SHARED / 'data' / 'templateflow'
LPS = np.diag([-1.0, -1, 1, 1])


def field_group(displacement, affine, kind='float'):
    """What ITK stores of a field: displacement (x, y, z, 3) and affine in RAS+."""
    to_world = LPS @ affine
    edges = np.linalg.norm(to_world[:3, :3], axis=0)
    fixed = np.concatenate(
        [displacement.shape[:3], to_world[:3, 3], edges, (to_world[:3, :3] / edges).ravel()]
    )
    vectors = displacement * (-1, -1, 1)
    return (
        f'DisplacementFieldTransform_{kind}_3_3',
        vectors.transpose(2, 1, 0, 3).ravel().astype(kind + '32' * (kind == 'float')),
        fixed,
    )


def affine_group(matrix, centre=(0, 0, 0)):
    stored = LPS @ matrix @ LPS
    offset = stored[:3, 3] - centre + stored[:3, :3] @ centre
    return (
        'AffineTransform_double_3_3',
        np.concatenate([stored[:3, :3].ravel(), offset]),
        np.array(centre, float),
    )


def write_h5(path, *groups, composite=True, spelling='Transform'):
    with h5py.File(path, 'w') as file:
        if composite:
            groups = (('CompositeTransform_double_3_3', None, None), *groups)
        for number, (kind, parameters, fixed) in enumerate(groups):
            part = file.create_group(f'TransformGroup/{number}')
            part['TransformType'] = np.array([kind.encode()])
            if parameters is not None:
                part[f'{spelling}Parameters'] = parameters
                part[f'{spelling}FixedParameters'] = fixed
    return path


def smooth_field(shape=(20, 22, 18), seed=0):
    rng = np.random.default_rng(seed)
    i, j, k = np.meshgrid(*(np.linspace(0, 3, n) for n in shape), indexing='ij')
    a = rng.uniform(0.5, 2, 9)
    return np.stack(
        [
            a[0] * np.sin(a[1] * i + a[2] * j),
            a[3] * np.cos(a[4] * j - a[5] * k),
            a[6] * np.sin(a[7] * k + a[8] * i),
        ],
        -1,
    )


FIELD_AFFINE = np.array([[-3.9, 0.2, 0, 38], [0.3, 3.8, 0.5, -40], [0.1, -0.4, 4.1, -30], [0, 0, 0, 1]])
MATRIX = np.array([[1.02, 0.05, -0.01, 3], [-0.04, 0.98, 0.02, -5], [0.03, 0.01, 1.01, 2], [0, 0, 0, 1]])


def inner_points(count, affine=FIELD_AFFINE, shape=(20, 22, 18), margin=7, seed=1):
    rng = np.random.default_rng(seed)
    voxels = rng.uniform(margin, np.array(shape) - 1 - margin, (count, 3))
    return voxels @ affine[:3, :3].T + affine[:3, 3]


def by_nitransforms(path, points):
    manip = pytest.importorskip('nitransforms.manip')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # it misses a reference image, which points do not need
        return manip.TransformChain.from_filename(path, fmt=None).map(np.asarray(points, float))


# ---------------------------------------------------------------- reading and evaluating


def test_affine_about_a_centre(tmp_path):
    path = write_h5(tmp_path / 'a.h5', affine_group(MATRIX, centre=(10.0, -20, 5)))
    points = inner_points(50)
    np.testing.assert_allclose(
        PointTransform(path).apply(points), points @ MATRIX[:3, :3].T + MATRIX[:3, 3], atol=1e-9
    )


@pytest.mark.parametrize('order', [1, 3])
def test_constant_displacement_has_its_sign(tmp_path, order):
    """+1, +2, +3 mm in RAS+ are stored as -1, -2, +3."""
    kind, parameters, fixed = field_group(np.broadcast_to([1.0, 2, 3], (9, 10, 11, 3)), np.eye(4))
    assert parameters[:3].tolist() == [-1, -2, 3]
    transform = PointTransform(write_h5(tmp_path / 'a.h5', (kind, parameters, fixed)), order=order)
    np.testing.assert_allclose(
        transform.apply([[4, 4, 4], [0, 0, 0], [8, 9, 10]]), [[5, 6, 7], [1, 2, 3], [9, 11, 13]], atol=1e-5
    )


def test_axes_are_not_mixed_up(tmp_path):
    displacement = np.zeros((9, 10, 11, 3))
    displacement[..., 0] = 0.1 * np.arange(10)[None, :, None]  # x grows with y
    displacement[..., 2] = 0.2 * np.arange(9)[:, None, None]  # z grows with x
    transform = PointTransform(write_h5(tmp_path / 'a.h5', field_group(displacement, np.eye(4))), order=1)
    np.testing.assert_allclose(transform.apply([[3, 5.5, 7]]), [[3.55, 5.5, 7.6]], atol=1e-6)


def test_order_of_a_composite(tmp_path):
    """The transform that is stored last acts first, as in ITK."""
    shift = np.eye(4)
    shift[0, 3] = 10
    path = write_h5(tmp_path / 'a.h5', affine_group(np.diag([2.0, 2, 2, 1])), affine_group(shift))
    assert PointTransform(path).apply([[1.0, 1, 1]]).tolist() == [[22, 2, 2]]
    np.testing.assert_allclose(by_nitransforms(path, [[1.0, 1, 1]]), [[22, 2, 2]])


@pytest.mark.parametrize('kind', ['float', 'double'])
@pytest.mark.parametrize('affine_first', [True, False])
def test_composite_equals_nitransforms(tmp_path, kind, affine_first):
    groups = [affine_group(MATRIX, (1.0, 2, 3)), field_group(smooth_field(), FIELD_AFFINE, kind)]
    path = write_h5(tmp_path / 'a.h5', *(groups if affine_first else groups[::-1]), spelling='Tranform')
    points = inner_points(2000, margin=8)
    assert np.abs(PointTransform(path).apply(points) - by_nitransforms(path, points)).max() < 1e-3


def test_linear_interpolation_is_that_of_itk(tmp_path):
    """Checked against trilinear weights written out."""
    displacement = smooth_field()
    transform = PointTransform(write_h5(tmp_path / 'a.h5', field_group(displacement, FIELD_AFFINE)), order=1)
    points = inner_points(500, margin=0.1)
    voxels = (points - FIELD_AFFINE[:3, 3]) @ np.linalg.inv(FIELD_AFFINE[:3, :3]).T
    low = np.floor(voxels).astype(int)
    part = voxels - low
    expected = points.copy()
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, part, 1 - part), axis=1)
        expected += weight[:, None] * displacement[tuple((low + corner).T)]
    np.testing.assert_allclose(transform.apply(points), expected, atol=2e-5)


def test_cubic_interpolation_up_to_the_edge(tmp_path):
    """Displacements are continued by mirroring, as scipy does."""
    displacement = smooth_field()
    transform = PointTransform(write_h5(tmp_path / 'a.h5', field_group(displacement, FIELD_AFFINE)))
    points = inner_points(500, margin=0)
    voxels = ((points - FIELD_AFFINE[:3, 3]) @ np.linalg.inv(FIELD_AFFINE[:3, :3]).T).T
    expected = points + np.stack(
        [map_coordinates(displacement[..., i], voxels, order=3, mode='mirror') for i in range(3)], 1
    )
    np.testing.assert_allclose(transform.apply(points), expected, atol=2e-5)


def test_outside_the_field_only_the_affine_acts(tmp_path):
    path = write_h5(tmp_path / 'a.h5', affine_group(MATRIX), field_group(smooth_field(), FIELD_AFFINE))
    points = np.concatenate([inner_points(5), [[500, 0, 0], [0, -500, 0], [0, 0, 1e9]]])
    moved, outside = PointTransform(path).apply_and_flag(points)
    assert outside.tolist() == [False] * 5 + [True] * 3
    np.testing.assert_allclose(moved[5:], (points @ MATRIX[:3, :3].T + MATRIX[:3, 3])[5:])
    np.testing.assert_allclose(moved[5:], by_nitransforms(path, points)[5:])


def test_no_points(tmp_path):
    path = write_h5(tmp_path / 'a.h5', affine_group(MATRIX), field_group(smooth_field(), FIELD_AFFINE))
    assert PointTransform(path).apply(np.empty((0, 3))).shape == (0, 3)


def test_a_transform_that_is_no_composite(tmp_path):
    path = write_h5(tmp_path / 'a.h5', affine_group(np.diag([2.0, 3, 4, 1])), composite=False)
    assert PointTransform(path).apply([[1, 1, 1]]).tolist() == [[2, 3, 4]]


@pytest.mark.parametrize(
    ('make', 'fault'),
    [
        (lambda path: path.unlink(missing_ok=True), 'No such file'),
        (lambda path: path.write_bytes(b''), 'cannot read the transform'),
        (lambda path: path.write_bytes(b'no HDF5'), 'cannot read the transform'),
        (lambda path: h5py.File(path, 'w').close(), 'TransformGroup'),
        (lambda path: write_h5(path, ('BSplineTransform_double_3_3', np.zeros(3), np.zeros(3))), 'a BSplineTransform is not supported'),
        (lambda path: write_h5(path, affine_group(MATRIX * np.nan)), 'not finite'),
        (lambda path: write_h5(path, field_group(smooth_field() + np.inf, FIELD_AFFINE)), 'not finite'),
        (lambda path: write_h5(path, (field_group(smooth_field(), np.eye(4))[0], np.zeros(30), np.full(18, 1e6))), '30 numbers'),
        (lambda path: write_h5(path, ('DisplacementFieldTransform_float_3_3', np.zeros(81), np.array([3.0] * 3 + [0.0] * 15))), 'cannot read'),
    ],
)  # fmt: skip
def test_broken_transforms(tmp_path, make, fault):
    make(tmp_path / 'a.h5')
    with pytest.raises(InputError, match=fault) as caught:
        PointTransform(tmp_path / 'a.h5')
    assert str(tmp_path / 'a.h5') in str(caught.value)
    assert '\n' not in str(caught.value)


def test_truncated_transform(tmp_path):
    path = write_h5(tmp_path / 'a.h5', field_group(smooth_field(), FIELD_AFFINE))
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(InputError, match='cannot read the transform'):
        PointTransform(path)


# ---------------------------------------------------------------- tractograms


@pytest.fixture
def transform(tmp_path):
    return PointTransform(
        write_h5(tmp_path / 'xfm.h5', affine_group(MATRIX), field_group(smooth_field(), FIELD_AFFINE))
    )


def make_tractogram(path, count=300, **fields):
    rng = np.random.default_rng(3)
    streamlines = [
        rng.uniform(-60, 60, 3) + np.cumsum(rng.normal(size=(n, 3)), 0) for n in rng.integers(0, 40, count)
    ]
    tck.write_tck(path, streamlines, **fields)
    return [np.asarray(one, 'f4').reshape(-1, 3) for one in streamlines]


def read(path):
    blocks = list(tck.iter_blocks(tck.read_header(path)))
    return np.concatenate([points for points, _ in blocks]), np.concatenate(
        [lengths for _, lengths in blocks]
    )


@pytest.mark.parametrize('threads', [1, 3, None])
def test_move_tractogram(tmp_path, transform, monkeypatch, threads):
    """Many small blocks by several threads: the same streamlines in the same order, moved."""
    monkeypatch.setattr('lacuna.streamlines.move._BLOCK_ROWS', 100)
    streamlines = make_tractogram(tmp_path / 'a.tck', step_size=1.25, roi='seed x')
    told = []
    moved = move_tractogram(
        tmp_path / 'a.tck', tmp_path / 'b.tck', transform, threads=threads, progress=told.append
    )
    points, lengths = read(tmp_path / 'b.tck')
    assert lengths.tolist() == [len(one) for one in streamlines]
    assert np.array_equal(points, transform.apply(np.concatenate(streamlines)).astype('f4'))
    outside = transform.apply_and_flag(np.concatenate(streamlines))[1].sum()
    assert moved == Moved(300, len(points), outside)
    assert 0 < outside < len(points)
    header = tck.read_header(tmp_path / 'b.tck')
    assert (header.count, header.step_size, header.fields['roi']) == (300, 1.25, 'seed x')
    assert sum(told) == (tmp_path / 'a.tck').stat().st_size - tck.read_header(tmp_path / 'a.tck').offset


def test_a_fault_leaves_what_was_there(tmp_path, transform):
    make_tractogram(tmp_path / 'a.tck')
    data = (tmp_path / 'a.tck').read_bytes()
    (tmp_path / 'a.tck').write_bytes(data[:-30])
    (tmp_path / 'b.tck').write_text('before')
    with pytest.raises(TractogramError, match='truncated'):
        move_tractogram(tmp_path / 'a.tck', tmp_path / 'b.tck', transform)
    assert (tmp_path / 'b.tck').read_text() == 'before'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.tck', 'b.tck', 'xfm.h5']


def test_blocks_are_read_as_they_are_used(transform):
    """No more blocks are in memory than threads at work and one."""
    read_blocks = []
    before = set(threading.enumerate())

    def blocks():
        for number in range(20):
            read_blocks.append(number)
            yield np.zeros((5, 3), 'f4'), np.array([5])

    moved = move_blocks(blocks(), transform, threads=2)
    for number in range(5):
        next(moved)
        assert len(read_blocks) <= number + 3
    moved.close()
    assert set(threading.enumerate()) <= before


def test_key_depends_on_content_only(tmp_path, transform):
    copy = shutil.copy(transform.path, tmp_path / 'other.h5')
    key = move_key('abc', transform.sha256)
    assert key == move_key('abc', PointTransform(copy).sha256)
    other = PointTransform(write_h5(tmp_path / 'c.h5', affine_group(MATRIX)))
    assert (
        len(
            {
                key,
                move_key('abd', transform.sha256),
                move_key('abc', other.sha256),
                move_key('abc', transform.sha256, order=1),
            }
        )
        == 4
    )


# ---------------------------------------------------------------- real transforms and templates


def transforms():
    return {
        (N2009, N6): PointTransform(find_transform(N2009, N6, TEMPLATEFLOW)),
        (N6, N2009): PointTransform(find_transform(N6, N2009, TEMPLATEFLOW)),
    }


def template(space, kind):
    return nib.load(TEMPLATEFLOW / f'tpl-{space}' / f'tpl-{space}_res-01_desc-brain_{kind}.nii.gz')


def sample(image, points, order):
    voxels = nib.affines.apply_affine(np.linalg.inv(image.affine), points).T
    return map_coordinates(np.asarray(image.dataobj, np.float32), voxels, order=order)


def vertices_of(path, every=1):
    return read(path)[0][::every]


@pytest.mark.shared
def test_direction_by_images():
    """Moved points of 2009c find in NLin6's T1w what is at home in 2009c's; the other direction makes it worse."""
    both = transforms()
    brain = np.argwhere(np.ones(template(N2009, 'mask').shape, bool))[::5]
    points = nib.affines.apply_affine(template(N2009, 'mask').affine, brain)
    inside = (sample(template(N2009, 'mask'), points, 0) > 0) | (sample(template(N6, 'mask'), points, 0) > 0)
    points = points[inside]
    here = sample(template(N2009, 'T1w'), points, 1)

    def correlation(moved):
        return np.corrcoef(here, sample(template(N6, 'T1w'), moved, 1))[0, 1]

    right, wrong = both[N2009, N6].apply(points), both[N6, N2009].apply(points)
    assert correlation(points) == pytest.approx(0.81, abs=0.01)
    assert correlation(right) == pytest.approx(0.89, abs=0.01)
    assert correlation(wrong) == pytest.approx(0.70, abs=0.01)
    assert np.linalg.norm(right - points, axis=1).mean() == pytest.approx(2.6, abs=0.1)


LANDMARKS = {
    'genu of the corpus callosum': (0, 28, 4),
    'left frontal horn': (-14, 26, 6),
    'right frontal horn': (14, 26, 6),
    'left atrium': (-26, -46, 10),
    'pons': (0, -18, -30),
    'cerebellum': (0, -60, -20),
}


@pytest.mark.shared
@pytest.mark.parametrize('point', LANDMARKS.values(), ids=LANDMARKS)
def test_direction_by_a_landmark(point):
    """Where a cube of 13 mm around a point of 2009c is found in NLin6, to 1 mm, by the images alone."""
    both = transforms()
    point = np.array(point, float)
    cube = np.argwhere(np.ones((13, 13, 13))) - 6.0
    shifts = np.argwhere(np.ones((9, 9, 9))) - 4.0
    here = sample(template(N2009, 'T1w'), point + cube, 1)
    around = sample(template(N6, 'T1w'), point + np.argwhere(np.ones((21, 21, 21))) - 10, 1).reshape(
        21, 21, 21
    )
    windows = np.lib.stride_tricks.sliding_window_view(around, (13, 13, 13)).reshape(len(shifts), -1)
    scores = [np.corrcoef(here, window)[0, 1] for window in windows]
    there = point + shifts[np.argmax(scores)]
    assert max(scores) > 0.85
    right, stay, wrong = (
        np.linalg.norm(there - moved)
        for moved in (both[N2009, N6].apply(point)[0], point, both[N6, N2009].apply(point)[0])
    )
    assert right < 0.8
    assert stay >= 1
    assert wrong > 1.5


@pytest.mark.shared
@pytest.mark.parametrize(('source', 'target', 'name'), [(N2009, N6, 'ICBM152_adult'), (N6, N2009, 'HCP842')])
def test_vertices_equal_nitransforms(unpacked, source, target, name):
    transform = transforms()[source, target]
    vertices = vertices_of(unpacked(name))
    vertices = vertices[np.random.default_rng(0).choice(len(vertices), 100_000, replace=False)]
    assert np.abs(transform.apply(vertices) - by_nitransforms(transform.path, vertices)).max() < 1e-4


@pytest.mark.shared
@pytest.mark.parametrize(('source', 'target', 'name'), [(N2009, N6, 'ICBM152_adult'), (N6, N2009, 'HCP842')])
def test_there_and_back(unpacked, source, target, name):
    """The two transforms are inverse to each other to some hundredths of a mm, but for few vertices."""
    both = transforms()
    vertices = vertices_of(unpacked(name), every=20)
    there = both[source, target].apply(vertices)
    residual = np.linalg.norm(both[target, source].apply(there) - vertices, axis=1)
    assert residual.mean() < 0.02
    assert np.percentile(residual, 99) < 0.1
    assert np.mean(residual > 1) < 1e-3


@pytest.mark.shared
@pytest.mark.parametrize(
    ('source', 'target', 'name', 'before', 'after'),
    [(N2009, N6, 'ICBM152_adult', 99.98, 99.99), (N6, N2009, 'HCP842', 99.27, 99.18)],
)
def test_bundles_stay_inside_the_brain(unpacked, source, target, name, before, after):
    """Share of the vertices inside the brain mask of the target, unmoved and moved (percent)."""
    vertices = vertices_of(unpacked(name), every=7)
    mask = template(target, 'mask')
    moved = transforms()[source, target].apply(vertices)
    found = [100 * np.mean(sample(mask, points, 0) > 0) for points in (vertices, moved)]
    assert found == pytest.approx([before, after], abs=0.03)


@pytest.mark.shared
@pytest.mark.mrtrix
def test_linear_equals_tcktransform(unpacked, tmp_path):
    """MRtrix3 with a warp image that holds the same field, at the field's own resolution."""
    transform = PointTransform(find_transform(N2009, N6, TEMPLATEFLOW), order=1)
    with h5py.File(transform.path) as file:
        fixed = np.asarray(file['TransformGroup/1/TransformFixedParameters'])
    shape = tuple(fixed[:3].astype(int))
    affine = np.eye(4)
    affine[:3, :3] = fixed[9:].reshape(3, 3) * fixed[6:9]
    affine[:3, 3] = fixed[3:6]
    affine = LPS @ affine
    grid = nib.affines.apply_affine(affine, np.argwhere(np.ones(shape, bool)))
    warp = transform.apply(grid).reshape(*shape, 3).astype('f4')
    nib.Nifti1Image(warp, affine).to_filename(tmp_path / 'warp.nii')
    source = unpacked('ICBM152_adult')
    subprocess.run(
        ['tcktransform', '-quiet', source, tmp_path / 'warp.nii', tmp_path / 'theirs.tck'], check=True
    )
    move_tractogram(source, tmp_path / 'ours.tck', transform)
    theirs, their_lengths = read(tmp_path / 'theirs.tck')
    ours, our_lengths = read(tmp_path / 'ours.tck')
    assert np.array_equal(our_lengths, their_lengths)
    assert np.abs(ours - theirs).max() < 1e-3
