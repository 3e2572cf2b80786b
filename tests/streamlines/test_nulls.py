"""Null lesions: the counts are those of a query for each, the errors those promised, and the arcuate is really hit."""

import nibabel as nb
import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

import lacuna
from lacuna.errors import InputError
from lacuna.images.placements import Body, turns
from lacuna.images.restrictions import lesion_frequency
from lacuna.images.spaces import standard_grid
from lacuna.significance import familywise_p, p_values, pooled_p, smallest_p
from lacuna.streamlines.index.moved import MovableBody
from lacuna.streamlines.null_lesions import null_lesions, random_numbers
from lacuna.streamlines.null_settings import NullSettings
from lacuna.streamlines.nulls import NullDisconnection, Targets
from lacuna.testing import world_coordinates, write_mask

SPACE = 'MNI152NLin6Asym'
ATLAS = 'schaefer2018parcels100networks7'


def image(voxels, first):
    """Voxels of 1 mm as an image in world coordinates."""
    affine = np.eye(4)
    affine[:3, 3] = first
    return nb.Nifti1Image(voxels.astype(np.uint8), affine)


BLOCK = image(np.ones((6, 6, 6)), (-30, 0, 10))


@pytest.fixture(scope='module')
def toy(_written_toy):
    return _written_toy


@pytest.fixture(scope='module')
def tractogram(toy, tmp_path_factory):
    table = tmp_path_factory.mktemp('nulls') / 'toy_bundles.tsv'
    table.write_text('bundle\tfirst\tcount\nall\t0\t30\none\t3\t1\nnone\t0\t0\n')
    made = lacuna.Tractogram(toy.tracks, nprocs=1, cache=table.parent)
    made.table = table
    return made


@pytest.fixture(scope='module')
def found(tractogram, toy):
    """Sixty null lesions; to find all places takes seconds."""
    return tractogram.disconnect(toy.mask).nulls(60, seed=4, bundles=tractogram.table)


def test_a_body_that_moves_is_a_mask_that_is_laid_anew(tractogram):
    """Everywhere, also at the end of the lattice: the streamlines are those of a query with the mask itself."""
    rng = np.random.default_rng(18)
    filled, among = rng.random((9, 14, 21)) < 0.3, turns(np.eye(4), mirrors=True)
    body = Body(filled, np.zeros(3, int))
    graded = Body(np.where(filled, rng.random(filled.shape), 0).astype(np.float32), body.first)
    index, moved, moved_graded = (
        tractogram.in_space().index(),
        MovableBody(body, among),
        MovableBody(graded, among),
    )
    counts = []
    for number in rng.integers(0, len(among), 60):
        first = rng.integers(-24, 12, 3)
        found = index.select_on_lattice(moved.at(number, first))
        voxels = np.pad(body.turned(among[number]), 1)
        affine = np.eye(4)
        affine[:3, 3] = first - 1
        np.testing.assert_array_equal(found, index.select(voxels, affine))
        np.testing.assert_array_equal(
            index.grades_on_lattice(moved_graded.at(number, first)),
            index.grades(np.pad(graded.turned(among[number]), 1), affine),
        )
        counts.append(len(found))
    assert min(counts) == 0
    assert max(counts) > 5
    assert len(index.select_on_lattice(moved.at(3, np.array([-128, 0, 120])))) == 0


def test_counts_are_those_of_each_null_lesion(tractogram, toy, found):
    """Bundles, maps and totals, from selections one by one."""
    lesion, lesions = tractogram.disconnect(toy.mask), found.lesions
    body, among = Body.of(np.asanyarray(lesion.mask.dataobj), lesion.mask.affine), turns(np.eye(4))
    ids = [lesions.cut(tractogram.in_space().index(), i)[0] for i in range(60)]
    assert len(lesions) == found.n == 60
    assert (lesions.own(tractogram.in_space().index())[0] == lesion.streamlines).all()
    maps = np.array([tractogram.in_space().index().density(each) for each in ids]).astype(float)
    full = tractogram.in_space().index().total_density
    own = np.asanyarray(lesion.density.dataobj)
    support = full > 0
    below = 100 * np.where(own > 0, (maps < own).mean(axis=0), 0)
    np.testing.assert_allclose(found.percentile.get_fdata()[support], below[support], rtol=1e-6)
    sd = maps.std(axis=0, ddof=1)
    z = np.divide(own - maps.mean(axis=0), sd, out=np.zeros(own.shape), where=sd > 0)
    np.testing.assert_allclose(found.z.get_fdata(), z, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        found.mean.get_fdata()[support],
        100 * maps.mean(axis=0)[support] / full[support],
        rtol=1e-5,
        atol=1e-6,
    )
    table = found.bundles
    assert list(table.columns) == ['value', 'null_mean', 'null_sd', 'p', 'p_min', 'p_fwe']
    cut = np.array([len(each) for each in ids])
    total = len(tractogram.in_space().index().lengths)
    assert table.loc['all', 'null_mean'] == pytest.approx(100 * cut.mean() / total)
    assert table.loc['all', 'p'] == (1 + (cut >= len(lesion.streamlines)).sum()) / 61
    assert table.loc['one', 'null_mean'] == pytest.approx(100 * np.mean([3 in each for each in ids]))
    assert table.loc['none'].isna().all()
    statistics = found.statistics
    assert statistics['streamlines_disconnected'] == lesion.summary['streamlines_disconnected']
    assert statistics['streamlines_disconnected_p'] == table.loc['all', 'p']
    assert statistics['voxels_disconnected'] == lesion.summary['voxels_disconnected']
    assert statistics['voxels_disconnected_null_mean'] == pytest.approx((maps > 0).sum(axis=(1, 2, 3)).mean())
    assert statistics['null_turns'] == len(among)
    assert statistics['lesion_volume_mm3'] == body.voxels.sum()


def test_threads(tractogram, toy, found):
    """The numbers are the same with any number of threads."""
    lesions = null_lesions(
        tractogram.disconnect(toy.mask)._mask, SPACE, NullSettings(n=60, seed=4), workers=2
    )
    other = NullDisconnection(
        tractogram.in_space().index(),
        lesions,
        Targets(tractogram.in_space().bundle_set(tractogram.bundles(tractogram.table)[1])),
        3,
    )
    np.testing.assert_array_equal(found.z.get_fdata(), other.z.get_fdata())
    np.testing.assert_array_equal(found.percentile.get_fdata(), other.percentile.get_fdata())
    pd.testing.assert_frame_equal(found.bundles, other.bundles)
    assert found.statistics == other.statistics


def test_random_numbers_come_from_seed_and_mask(tractogram, toy):
    mask, other = (tractogram.disconnect(each, SPACE)._mask for each in (toy.mask, BLOCK))
    first = random_numbers(0, mask).random(4).tolist()
    assert first == random_numbers(0, mask).random(4).tolist()
    assert first != random_numbers(1, mask).random(4).tolist()
    assert first != random_numbers(0, other).random(4).tolist()


def test_a_hemisphere(tractogram):
    """Each null lesion is on the lesion's side, and is somewhere else."""
    lesion = tractogram.disconnect(BLOCK, space=SPACE)
    places = null_lesions(lesion._mask, SPACE, NullSettings(n=200, within='hemisphere', inside=1.0)).places
    x = places.first[:, 0]
    assert x.max() + 5 < 0
    assert x.min() < -50
    assert len(np.unique(places.first, axis=0)) > 190


def test_too_few_places(tractogram):
    """A beam as long as the brain: it fits in ten places in each of 8 turns, so nothing can be said."""
    rod = image(np.ones((10, 184, 10)), (-17, -109, -3))
    found = tractogram.disconnect(rod, space=SPACE).nulls(50, inside=1.0, bundles=tractogram.table)
    assert found.n == 0
    assert found.statistics['null_places'] == 80
    assert str(found.statistics['null_places']) in found.reason
    assert found.bundles[['p', 'p_min', 'p_fwe', 'null_mean']].isna().all(axis=None)
    assert found.bundles.loc['one', 'value'] == 100
    assert np.isnan(found.z.get_fdata()).any()
    assert found.statistics['streamlines_disconnected_p'] is None


def nowhere_but(path, grid, inside):
    """Write a map that is 1 where a function of x, y and z says so."""
    write_mask(path, inside(*world_coordinates(grid.shape, grid.affine)), grid.affine)
    return path


def test_where_lesions_are_frequent(tractogram, tmp_path):
    """A cohort with all of its lesions in a slab: there, each null lesion has some of its voxels."""
    grid = standard_grid(SPACE, 1)
    cohort = nowhere_but(
        tmp_path / 'frequency.nii.gz', grid, lambda x, y, z: (z >= 30) & (z <= 36) & (x + y < 999)
    )
    settings = NullSettings(n=200, within='reference', reference=(cohort,))
    lesion = tractogram.disconnect(BLOCK, space=SPACE)
    z = null_lesions(lesion._mask, SPACE, settings).places.first[:, 2]
    assert ((z + 5 >= 30) & (z <= 36)).all()
    deep = np.bincount(z - z.min())
    assert deep[len(deep) // 2] > 2 * deep[0]  # more likely, the more of it is in the slab


def test_frequency_is_the_mean_of_masks(tmp_path):
    like = Body(np.ones((5, 1, 1), bool), np.zeros(3, int))
    paths = [tmp_path / f'sub-{number}_mask.nii.gz' for number in range(4)]
    for number, path in enumerate(paths):
        nb.save(image(np.ones((2, 1, 1)), (number, 0, 0)), path)
    assert lesion_frequency(paths, SPACE, like).voxels.ravel().tolist() == [0.25, 0.5, 0.5, 0.5, 0.25]
    with pytest.raises(InputError, match='no lesion in the brain'):
        lesion_frequency(paths[:2], SPACE, Body(like.voxels, np.array([40, 0, 0])))
    elsewhere = tmp_path / 'sub-9_space-MNI152NLin2009cAsym_mask.nii.gz'
    paths[0].rename(elsewhere)
    with pytest.raises(InputError, match='2009c'):
        lesion_frequency([elsewhere, paths[1]], SPACE, like)


def test_the_same_tissues(tractogram, tmp_path):
    """Grey matter on the left, white on the right: a lesion astride has null lesions astride."""
    grid = standard_grid(SPACE, 1)
    grey = nowhere_but(tmp_path / 'grey.nii.gz', grid, lambda x, y, z: (x <= 0) & (y < 999) & (z < 999))
    white = nowhere_but(tmp_path / 'white.nii.gz', grid, lambda x, y, z: (x > 0) & (y < 999) & (z < 999))
    lesion = tractogram.disconnect(
        image(np.ones((10, 2, 2)), (-6, 0, 10)), space=SPACE
    )  # -6 to 3: 7 of 10 grey
    settings = NullSettings(n=300, within='tissue', tissues=(grey, white))
    places = null_lesions(lesion._mask, SPACE, settings).places
    along = [turn for turn, each in enumerate(turns(np.eye(4))) if each[0, 0]]
    for turn, first in zip(places.turn, places.first[:, 0], strict=True):
        assert turn in along
        assert first == -6
    with pytest.raises(InputError, match='MNI152NLin2009cAsym'):
        null_lesions(lesion._mask, SPACE, NullSettings(within='tissue'))


def test_a_mask_of_2_mm(tractogram, tmp_path):
    """Its volume is kept, and the lesion and its null lesions are of one shape."""
    grid = standard_grid(SPACE, 2)
    mask = nowhere_but(
        tmp_path / 'mask.nii.gz', grid, lambda x, y, z: (abs(x) <= 4) & (abs(y - 8) <= 6) & (abs(z - 4) <= 4)
    )
    lesion = tractogram.disconnect(mask, SPACE)
    lesions = null_lesions(lesion._mask, SPACE, NullSettings(n=20))
    assert (
        lesions.facts['lesion_volume_mm3'] == lesion.summary['mask_volume_mm3'] == lesions.body.voxels.sum()
    )
    assert lesions.facts['lesion_shape_exact'] is False
    own, cut = set(lesions.own(tractogram.in_space().index())[0].tolist()), set(lesion.streamlines.tolist())
    assert len(own & cut) > 0.8 * len(own | cut)


@pytest.mark.shared
@pytest.mark.filterwarnings('ignore::UserWarning')
def test_lesions_of_others(tractogram, shared):
    """Real lesions of half to twice the volume, and not the lesion itself."""
    masks = tuple(sorted((shared / 'data/lesions/LESYMAP').glob('*.nii.gz')))[:46]
    volumes = np.array([np.count_nonzero(np.asanyarray(nb.load(path).dataobj)) for path in masks])
    row = int(np.argsort(volumes)[23])
    lesion = tractogram.disconnect(masks[row], space=SPACE)
    found = lesion.nulls(within='lesions', reference=masks, bundles=tractogram.table)
    similar = (volumes >= volumes[row] / 2) & (volumes <= 2 * volumes[row])
    assert found.n == found.statistics['null_similar_lesions'] == similar.sum() - 1 > 19
    cut = [len(tractogram.disconnect(masks[each], SPACE).streamlines) for each in np.flatnonzero(similar)]
    b = sum(each >= len(lesion.streamlines) for each in cut) - 1
    assert found.statistics['streamlines_disconnected_p'] == (1 + b) / (1 + found.n)
    assert len(null_lesions(lesion._mask, SPACE, NullSettings(n=20, within='lesions', reference=masks))) == 20
    few = lesion.nulls(within='lesions', reference=masks[:9], bundles=tractogram.table)
    assert few.n == 0
    assert '19' in few.reason


@pytest.mark.parametrize(
    'options',
    [{'n': 0}, {'seed': -1}, {'inside': 0}, {'inside': 1.1}, {'within': 'lobe'}, {'within': 'lesions'},
     {'within': 'reference', 'reference': 'absent.nii.gz'}],
)  # fmt: skip
def test_settings_that_are_not_valid(tractogram, toy, options):
    with pytest.raises(InputError):
        tractogram.disconnect(toy.mask).nulls(**options)


@pytest.fixture(scope='module')
def hcp842(unpacked, shared, common):
    tracks = unpacked('HCP842')
    table = pd.read_csv(shared / 'data/tractograms/HCP842.tsv', sep='\t')
    rows = table[['bundle', 'first_index', 'count']].rename(columns={'first_index': 'first'})
    rows.to_csv(tracks.with_name('HCP842_bundles.tsv'), sep='\t', index=False)
    return lacuna.Tractogram(tracks, space=SPACE, nprocs=2, cache=common / 'cache')


@pytest.fixture
def home(shared, monkeypatch):
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(shared / 'data/templateflow'))


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.usefixtures('home')
def test_a_real_lesion_at_two_places(hcp842, shared):
    """In the middle of the arcuate, the shape of lesion 4 cuts it whole; where it is, more than one in twenty does as much."""
    mask = nb.load(shared / 'data/lesions/LQT/ExampleLesion4.nii.gz')
    body = Body.of(np.asanyarray(mask.dataobj), mask.affine)
    lesion = hcp842.disconnect(mask)
    found = lesion.nulls(500, atlases=[ATLAS])
    own = found.bundles.loc['AF_L']
    assert own['value'] == pytest.approx(lesion.bundles().table.loc['AF_L', 'value'])
    assert round(own['value']) == 38
    assert 0.04 < own['p'] < 0.09
    assert 20e6 < found.statistics['null_places'] < 35e6
    parcels = found.parcels(ATLAS)
    np.testing.assert_allclose(parcels['value'], lesion.parcels(ATLAS).disconnection, equal_nan=True)
    np.testing.assert_allclose(found.networks(ATLAS)['value'], lesion.parcels(ATLAS).networks.disconnection)
    p = found.edges(ATLAS)['p'].to_numpy()
    cut = lesion.parcels(ATLAS).lesion_matrix.to_numpy()
    assert ((p < 1) <= (cut > 0)).all()
    assert (p == p.T).all()

    topographic = found.edges(ATLAS)
    full = lesion.parcels(ATLAS).full_matrix.to_numpy()
    np.testing.assert_allclose((topographic['expected'] * full / 100).sum(axis=1), cut.sum(axis=1), atol=0.01)
    z = topographic['excess'].to_numpy()
    assert np.abs(z).max() > 5
    assert ((z > 0) <= (cut > full * topographic['expected'].to_numpy() / 100 - 1e-6)).all()
    assert 0.5 < found.statistics[f'topographic_correlation_{ATLAS}'] < 1

    middle = np.argwhere(body.voxels).mean(axis=0)
    moved = image(body.voxels, np.rint(np.array([-36, -44, 20]) - middle))
    there = hcp842.disconnect(moved, space=SPACE).nulls(500).bundles.loc['AF_L']
    assert there['value'] > 95
    assert there['p'] < 0.05
    assert there['p_min'] <= there['p']


def calibrate(hcp842, shared, name, pool):
    """Counts of bundles and parcels in a pool of places of a lesion."""
    mask = shared / f'data/lesions/{name}'
    lesion = hcp842.disconnect(mask, space=SPACE)
    found = lesion.nulls(pool, atlases=[ATLAS])
    counted = found._counted
    return np.column_stack([counted.bundles, counted.parcels[ATLAS]])


SHAPES = ('LQT/ExampleLesion4.nii.gz', 'LQT/ExampleLesion1.nii.gz', 'LESYMAP/Subject_006.nii.gz')


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.usefixtures('home')
@pytest.mark.filterwarnings('ignore::UserWarning')
@pytest.mark.parametrize(
    ('name', 'size'),
    [(SHAPES[0], 200), *(pytest.param(name, 2000, marks=pytest.mark.soak) for name in SHAPES)],
)
def test_false_alarms_in_a_pool_of_places(hcp842, shared, name, size):
    """Each place in turn is the patient, the others are its null lesions."""
    pool = calibrate(hcp842, shared, name, size)
    alone = pooled_p(pool)
    for alpha in (0.01, 0.05, 0.1):
        assert ((alone <= alpha).mean(axis=0) <= alpha + 1 / size).all()
    for row in range(0, size, size // 5):
        nulls = np.delete(pool, row, axis=0)
        p = p_values((nulls >= pool[row]).sum(axis=0), size - 1, pool[row])
        np.testing.assert_allclose(alone[row], p)
        assert (smallest_p(pool[row], nulls) <= p).all()
    family = np.array(
        [familywise_p(pool[row], np.delete(pool, row, axis=0)).min() for row in range(0, size, 10)]
    )
    assert (family <= 0.05).mean() <= 0.05 + 20 / size
    smallest = np.sort(alone.min(axis=1))
    whole = np.searchsorted(smallest, alone.min(axis=1), side='right') / size
    np.testing.assert_allclose(family, whole[::10])
    assert (whole <= 0.05).mean() <= 0.05 + 1 / size
    rng = np.random.default_rng(18)
    broken = pooled_p(pool + 1 + 0.5 * rng.random(pool.shape))
    assert min(kstest(column, 'uniform').pvalue for column in broken.T) > 0.01 / pool.shape[1]
