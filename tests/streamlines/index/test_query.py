"""The index against slow references: random toy tractograms, masks on any grid."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from helpers.streamlines_reference import crossing, greatest, open_index, random_walks, visits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lacuna.errors import InputError, MaskError, StreamlineIndexError, TractogramError
from lacuna.images.spaces import Grid
from lacuna.streamlines.files.tck import write_tck
from lacuna.streamlines.index import build as index_build
from lacuna.streamlines.index.build import build_index
from lacuna.streamlines.index.masks import mask_on_lattice


def affine_of(linear, origin) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = origin
    return affine


OBLIQUE = np.array([[0.99, 0.1, -0.05], [-0.1, 0.98, 0.12], [0.06, -0.11, 1.0]])
#: name: shape, affine, whether the selection needs no vertices
GRIDS = {
    'ras': ((25, 27, 24), affine_of(np.eye(3), [-12, -13, -11]), True),
    'las': ((25, 27, 24), affine_of(np.diag([-1, 1, 1]), [12, -13, -11]), True),
    'axes_swapped': ((24, 25, 27), affine_of([[0, -1, 0], [0, 0, 1], [1, 0, 0]], [12, -13, -11]), True),
    'half_mm_off': ((25, 27, 24), affine_of(np.eye(3), [-12.5, -13.5, -11.5]), False),
    'two_mm': ((13, 14, 13), affine_of(np.diag([-2, 2, 2]), [12, -13, -11]), False),
    'two_mm_off': ((13, 14, 13), affine_of(np.diag([2, 2, 2]), [-12.5, -13.5, -11.5]), False),
    'half_mm': ((50, 50, 50), affine_of(np.diag([0.5, 0.5, 0.5]), [-12, -13, -11]), False),
    'oblique': ((25, 27, 24), affine_of(OBLIQUE @ np.diag([1.1, -0.9, 1]), [-12, 13, -11]), False),
}
GRID = Grid('MNI152NLin6Asym', 2, (14, 14, 13), affine_of(np.diag([-2, 2, 2]), [13, -13, -12]))

_tie = st.builds(
    lambda whole, part, ulps: float(np.float32(whole + part) + ulps * np.spacing(np.float32(whole + part))),
    st.integers(-12, 12),
    st.sampled_from([0.0, 0.5]),
    st.integers(-2, 2),
)
_coordinate = st.one_of(
    st.floats(-12, 12, width=32), _tie, st.sampled_from([-128.0, 127.0, 127.5, 300.0, -1e5, 3e30])
)
_point = st.tuples(_coordinate, _coordinate, _coordinate)
_streamline = st.lists(_point, max_size=6)
_tractogram = st.lists(_streamline, min_size=1, max_size=8).map(
    lambda lines: [*lines, *lines[:2], [(1, 2, 3)]]
)


def make(folder: Path, streamlines, *, grid=GRID, step_size=1.0, **options) -> Path:
    """Write the tractogram and build its index beside it."""
    tractogram = folder / 'toy.tck'
    write_tck(tractogram, streamlines, step_size=step_size)
    build_index(tractogram, folder / 'index', grid, **options)
    return tractogram


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    streamlines=_tractogram,
    name=st.sampled_from(sorted(GRIDS)),
    seed=st.integers(0, 2**32 - 1),
    share=st.sampled_from([0.01, 0.3, 1.0]),
    step_size=st.sampled_from([0.5, 1.0, 3.0]),
    rows=st.sampled_from([5, 10**6]),
)
def test_equals_brute_force(streamlines, name, seed, share, step_size, rows):
    shape, affine, _ = GRIDS[name]
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < share
    mask[3, 3, 3] = True
    graded = np.where(mask, rng.random(shape), 0).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_build, '_SEGMENT_ROWS', rows)
        tractogram = make(Path(folder), streamlines, step_size=step_size)
        index = open_index(Path(folder, 'index'), GRID, tractogram=tractogram)
        wanted = crossing(streamlines, mask, affine)
        np.testing.assert_array_equal(index.select(mask, affine), wanted)
        np.testing.assert_array_equal(index.select(np.asfortranarray(mask), affine), wanted)
        for each in (graded, np.asfortranarray(graded)):
            ids, grades = index.grades(each, affine)
            np.testing.assert_array_equal(ids, wanted)
            np.testing.assert_array_equal(grades, greatest(streamlines, graded, affine)[wanted])
        expected = visits(streamlines, wanted, GRID.affine, GRID.shape, index.upsample)
        np.testing.assert_array_equal(index.density(wanted), expected)
        whole = visits(streamlines, range(len(streamlines)), GRID.affine, GRID.shape, index.upsample)
        np.testing.assert_array_equal(index.total_density, whole)


@pytest.fixture(scope='module')
def walks():
    return [*random_walks(400, seed=3), np.empty((0, 3)), [[0, 0, 0]], [[500, 0, 0]]]


@pytest.fixture(scope='module')
def built(walks, tmp_path_factory):
    folder = tmp_path_factory.mktemp('walks')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_build, '_SEGMENT_ROWS', 1000)
        return make(folder, walks, nprocs=2)


@pytest.mark.parametrize('name', GRIDS)
def test_selection_of_smooth_streamlines(walks, built, name):
    shape, affine, simple = GRIDS[name]
    index = open_index(built.parent / 'index', GRID, tractogram=built, nprocs=2)
    rng = np.random.default_rng(1)
    middle = np.linalg.solve(affine[:3, :3], -affine[:3, 3])
    distance = np.linalg.norm((np.indices(shape).T - middle).T.reshape(3, -1), axis=0).reshape(shape)
    for mask in (distance < 5, distance < 2, (distance < 8) & (rng.random(shape) < 0.7)):
        np.testing.assert_array_equal(index.select(mask, affine), crossing(walks, mask, affine))
        assert (mask_on_lattice(mask, affine).possible is None) == simple


@pytest.mark.parametrize('name', GRIDS)
def test_a_grade_is_the_mean_over_all_thresholds(built, name):
    shape, affine, _ = GRIDS[name]
    index = open_index(built.parent / 'index', GRID, tractogram=built, nprocs=2)
    values = np.random.default_rng(2).integers(-80, 9, shape).clip(0) * np.float32(1 / 8)
    binary = np.zeros((8, index.streamlines))
    for number, row in enumerate(binary):
        row[index.select(values > number / 8, affine)] = 1
    ids, grades = index.grades(values, affine)
    assert len(np.unique(grades)) == 8
    found = np.zeros(index.streamlines)
    found[ids] = grades
    np.testing.assert_array_equal(found, binary.mean(axis=0))


def test_density_of_any_selection(walks, built):
    index = open_index(built.parent / 'index', GRID, nprocs=2)
    weights = np.random.default_rng(0).random(len(walks))
    for count in (0, 1, 100, 300, len(walks)):  # more than half: what is left is subtracted from the whole
        ids = np.sort(np.random.default_rng(count).permutation(len(walks))[:count]).astype(np.uint32)
        np.testing.assert_array_equal(
            index.density(ids), visits(walks, ids, GRID.affine, GRID.shape, index.upsample)
        )
        summed = sum(
            (weights[i] * visits(walks, [i], GRID.affine, GRID.shape, index.upsample) for i in ids),
            start=np.zeros(GRID.shape),
        )
        np.testing.assert_allclose(index.density(ids, weights[ids]), summed, rtol=1e-12)


def test_ends_and_lengths(walks, built):
    index = open_index(built.parent / 'index', GRID)
    assert index.streamlines == len(walks)
    np.testing.assert_array_equal(index.vertices, [len(walk) for walk in walks])
    np.testing.assert_array_equal(index.endpoints[7], [walks[7][0], walks[7][-1]])
    assert np.isnan(index.endpoints[400]).all()
    length = np.linalg.norm(np.diff(walks[7].astype(float), axis=0), axis=1).sum()
    np.testing.assert_allclose(index.lengths[7], length, rtol=1e-6)


def test_upsampling_can_be_chosen(walks, tmp_path):
    tractogram = make(tmp_path, walks, upsample=5)
    index = open_index(tmp_path / 'index', GRID, upsample=5, tractogram=tractogram)
    np.testing.assert_array_equal(
        index.total_density, visits(walks, range(len(walks)), GRID.affine, GRID.shape, 5)
    )
    with pytest.raises(InputError, match='at least 1'):
        build_index(tractogram, tmp_path / 'index', GRID, upsample=0)


def test_second_grid_shares_the_selection(walks, tmp_path):
    tractogram = make(tmp_path, walks)
    selection = (tmp_path / 'index' / 'selection' / 'manifest.json').stat().st_mtime_ns
    fine = Grid('MNI152NLin6Asym', 1, (26, 26, 26), affine_of(np.diag([-1, 1, 1]), [13, -13, -12]))
    read = []
    build_index(tractogram, tmp_path / 'index', fine, progress=read.append)
    assert sum(read) > 0
    assert (tmp_path / 'index' / 'selection' / 'manifest.json').stat().st_mtime_ns == selection
    for grid in (GRID, fine):
        index = open_index(tmp_path / 'index', grid, tractogram=tractogram)
        expected = visits(walks, range(len(walks)), grid.affine, grid.shape, index.upsample)
        np.testing.assert_array_equal(index.total_density, expected)
    read.clear()
    build_index(tractogram, tmp_path / 'index', fine, progress=read.append)
    assert not read


@settings(max_examples=15, deadline=None)
@given(streamlines=_tractogram, value=st.sampled_from([np.nan, np.inf]), axis=st.integers(0, 2))
def test_vertex_that_is_not_finite_is_refused(streamlines, value, axis):
    bad = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    bad[1, axis] = value
    with tempfile.TemporaryDirectory() as folder:
        tractogram = Path(folder, 'toy.tck')
        write_tck(tractogram, [*streamlines, bad, [[1, 1, 1]]])
        with pytest.raises(TractogramError, match=f'streamline {len(streamlines)} .* not finite'):
            build_index(tractogram, Path(folder, 'index'), GRID)
        assert [path.name for path in Path(folder, 'index').iterdir()] == ['.lock']


def test_bad_masks(built):
    index = open_index(built.parent / 'index', GRID)
    with pytest.raises(MaskError, match='no voxel'):
        index.select(np.zeros((3, 3, 3), bool), np.eye(4))
    with pytest.raises(MaskError, match='three dimensions'):
        index.select(np.ones((3, 3, 3, 1), bool), np.eye(4))
    with pytest.raises(InputError, match='singular'):
        index.select(np.ones((3, 3, 3), bool), np.zeros((4, 4)))
    with pytest.raises(StreamlineIndexError, match='give its path'):
        index.select(np.ones((3, 3, 3), bool), np.diag([2.0, 2, 2, 1]))


def test_mask_far_away_selects_nothing(built):
    index = open_index(built.parent / 'index', GRID, tractogram=built)
    for step in (1, 2):
        affine = affine_of(np.eye(3) * step, [900, 0, 0])
        assert not len(index.select(np.ones((5, 5, 5), bool), affine))


@pytest.mark.parametrize(
    ('name', 'dtype'), [('Float64LE', '<f8'), ('Float32BE', '>f4'), ('Float64BE', '>f8')]
)
def test_other_number_types(walks, tmp_path, name, dtype):
    tractogram = tmp_path / 'other.tck'
    rows = [np.concatenate([np.reshape(walk, (-1, 3)), [[np.nan] * 3]]) for walk in walks]
    data = np.concatenate([*rows, [[np.inf] * 3]]).astype(dtype)
    start = f'mrtrix tracks\ndatatype: {name}\ncount: {len(walks)}\nstep_size: 1\nfile: . 100\nEND\n'
    tractogram.write_bytes(start.encode().ljust(100, b'\n') + data.tobytes())
    build_index(tractogram, tmp_path / 'index', GRID)
    index = open_index(tmp_path / 'index', GRID, tractogram=tractogram)
    shape, affine, _ = GRIDS['oblique']
    mask = np.zeros(shape, bool)
    mask[8:16, 9:17, 7:15] = True
    np.testing.assert_array_equal(index.select(mask, affine), crossing(walks, mask, affine))
