"""What a lesion cuts of bundles, with numbers a reader can compute, and the published ones."""

import json
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest
from helpers.tractograms import write_trx
from scipy.stats import binomtest

import lacuna
from lacuna.errors import InputError, TractogramError
from lacuna.measures import percent_interval
from lacuna.streamlines.bundles import Groups
from lacuna.streamlines.weighting import Cut
from lacuna.testing import toy_streamlines

SPACE = 'MNI152NLin6Asym'
COLUMNS = (
    'value streamlines streamlines_disconnected low high load_pct length_mean_mm length_mean_disconnected_mm '
    'length_mean_spared_mm'
)


def write_table(toy, rows, name='_bundles.tsv'):
    path = toy.tracks.with_name(f'{toy.tracks.stem}{name}')
    path.write_text('bundle\tfirst\tcount\n' + ''.join('\t'.join(map(str, row)) + '\n' for row in rows))
    return path


@pytest.fixture
def tractogram(toy, tmp_path):
    return lacuna.Tractogram(toy.tracks, nprocs=1, cache=tmp_path / 'cache')


def test_groups(tmp_path):
    groups = Groups.of({'a b': np.array([3, 1, 1]), 'none': np.array([], int), 'c': np.array([1])}, 4)
    assert [groups[row].tolist() for row in range(3)] == [[1, 3], [], [1]]
    assert groups.count(np.array([1, 2], np.uint32)).tolist() == [1, 0, 1]
    assert groups.count(np.array([], np.uint32)).tolist() == [0, 0, 0]
    lengths = np.array([1, 2, 4, np.nan], np.float32)
    cut = Cut(np.array([0, 1]), np.array([0.5, 0.25]))
    np.testing.assert_array_equal(groups.summed(cut), [0.25, 0, 0.25])
    np.testing.assert_array_equal(groups.summed(cut, lengths), [0.5, 0, 0.5])
    some = groups.within(np.array([True, False, True, True]))
    assert [some[row].tolist() for row in range(3)] == [[3], [], []]
    assert (some.names, some.sizes.tolist()) == (groups.names, [1, 0, 0])
    np.savez(tmp_path / 'groups.npz', **groups.arrays())
    again = Groups.of_arrays(np.load(tmp_path / 'groups.npz'))
    assert (again.names, again.sha256) == (groups.names, groups.sha256)
    assert groups.sha256 != Groups.of({'a b': np.array([3]), 'none': np.array([], int)}, 4).sha256
    with pytest.raises(TractogramError, match='has the streamline 4'):
        Groups.of({'a': np.array([4])}, 4)
    assert Groups.of({}, 4).count(np.array([1])).tolist() == []


def test_a_table_whose_numbers_are_known(toy, tractogram):
    """Bundles that overlap, one of a single streamline, an empty one, and a name with blanks."""
    lesion = tractogram.disconnect(toy.mask)
    cut = set(lesion.streamlines.tolist())
    total = toy.streamlines
    first_cut = min(cut)
    left = next(number for number in range(total) if number not in cut)
    write_table(
        toy,
        [
            ('all of them', 0, total),
            ('AF left', 2, 7),
            ('cut', first_cut, 1),
            ('spared', left, 1),
            ('none', 0, 0),
        ],
    )
    table = lesion.bundles().table
    assert list(table.columns) == COLUMNS.split()
    assert list(table.index) == ['all of them', 'AF left', 'cut', 'spared', 'none']
    assert table['streamlines'].tolist() == [total, 7, 1, 1, 0]
    hit = len(cut & set(range(2, 9)))
    assert table['streamlines_disconnected'].tolist() == [toy.disconnected, hit, 1, 0, 0]
    np.testing.assert_array_equal(
        table['value'], [100 * toy.disconnected / total, 100 * hit / 7, 100, 0, np.nan]
    )
    assert table.loc['none', ['value', 'low', 'high', 'load_pct', 'length_mean_mm']].isna().all()
    interval = binomtest(hit, 7).proportion_ci(method='wilson')
    np.testing.assert_allclose(
        table.loc['AF left', ['low', 'high']].astype(float),
        [100 * interval.low, 100 * interval.high],
        rtol=1e-12,
    )
    lines = toy_streamlines()
    lengths = [np.linalg.norm(np.diff(line, axis=0), axis=1).sum() for line in lines]
    np.testing.assert_allclose(
        table['length_mean_mm'],
        [np.mean(lengths), np.mean(lengths[2:9]), lengths[first_cut], lengths[left], np.nan],
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        table['length_mean_disconnected_mm'],
        [np.mean([lengths[i] for i in cut]), np.mean([lengths[i] for i in cut if 2 <= i < 9]), lengths[first_cut], np.nan, np.nan],
        rtol=1e-6,
    )  # fmt: skip
    np.testing.assert_allclose(
        table['length_mean_spared_mm'],
        [np.mean([lengths[i] for i in range(total) if i not in cut]),
         np.mean([lengths[i] for i in range(2, 9) if i not in cut] or [np.nan]), np.nan, lengths[left], np.nan],
        rtol=1e-6,
    )  # fmt: skip
    assert table['load_pct'].tolist()[:4] == pytest.approx([load_of(lesion, np.arange(total)), load_of(lesion, np.arange(2, 9)), load_of(lesion, [first_cut]), load_of(lesion, [left])])  # fmt: skip
    assert lesion.bundles().disconnection['cut'] == 100


def load_of(lesion, numbers):
    """Load of a bundle, voxel by voxel: the mask has 1 mm voxels, each in one voxel of the map, or in two along an axis."""
    index = lesion.tractogram.in_space(lesion.space).index()
    visited = np.argwhere(index.density(np.asarray(numbers, np.uint32)) > 0)
    mask = np.asarray(lesion.mask.dataobj) > 0
    to_mask = np.linalg.inv(lesion.mask.affine)
    shares = []
    for voxel in visited:
        world = index.grid.affine[:3, :3] @ voxel + index.grid.affine[:3, 3]
        inside = 0
        for step in np.ndindex(4, 4, 4):  # eighths of a millimetre never lie on an edge
            at = to_mask[:3, :3] @ (world + (np.array(step) - 1.5) / 2) + to_mask[:3, 3]
            at = np.floor(at + 0.5).astype(int)
            inside += (at >= 0).all() and (at < mask.shape).all() and mask[tuple(at)]
        shares.append(inside / 64)
    return 100 * np.mean(shares)


@pytest.mark.filterwarnings('ignore:.*empty')
def test_an_empty_mask_cuts_nothing(toy, tractogram):
    write_table(toy, [('AF', 0, 20), ('none', 0, 0)])
    image = nb.load(toy.mask)
    lesion = tractogram.disconnect(nb.Nifti1Image(np.zeros(image.shape, 'u1'), image.affine))
    table = lesion.bundles().table
    assert table.loc['AF', ['value', 'streamlines_disconnected', 'low', 'load_pct']].tolist() == [0, 0, 0, 0]
    assert np.isnan(table.loc['AF', 'length_mean_disconnected_mm'])
    assert np.isnan(table.loc['none', 'value'])


def test_sources_and_names(toy, tractogram, tmp_path):
    assert tractogram.bundles() is None
    with pytest.raises(TractogramError, match='bundles are unknown'):
        tractogram.disconnect(toy.mask).bundles()
    with pytest.raises(TractogramError, match='no groups'):
        tractogram.bundles('groups')
    beside = write_table(toy, [('AF', 0, 2)])
    assert tractogram.bundles()[0] == tractogram.label.lower()
    other = write_table(toy, [('AF', 0, 2), ('SLF', 1, 3)], '_My-Bundles2.tsv')
    name, groups = tractogram.bundles(other)
    assert (name, groups.names) == (f'{tractogram.label.lower()}mybundles2', ('AF', 'SLF'))
    assert tractogram.bundles(other, 'mine')[0] == 'mine'
    with pytest.raises(InputError, match='My Own'):
        tractogram.bundles(other, 'My Own')
    beside.write_text('bundle\tfirst\tcount\nAF\t0\t1000\n')
    with pytest.raises(TractogramError, match='run of 1000'):
        tractogram.bundles()
    with pytest.raises(TractogramError, match=r'missing\.tsv'):
        tractogram.bundles(tmp_path / 'missing.tsv')
    beside.write_text('')
    with pytest.raises(TractogramError, match='0 lines'):
        tractogram.bundles()


def test_groups_of_a_trx(toy, tmp_path):
    """They are found without being asked for, unless a table lies beside the file."""
    lines = toy_streamlines()
    write_trx(tmp_path / 'some.trx', lines, groups={'AF left': [2, 0, 1], 'SLF': [1]})
    tractogram = lacuna.Tractogram(tmp_path / 'some.trx', SPACE, cache=tmp_path / 'cache')
    name, groups = tractogram.bundles()
    assert (name, dict(zip(groups.names, groups.sizes.tolist(), strict=True))) == (
        'some',
        {'AF left': 3, 'SLF': 1},
    )
    (tmp_path / 'some_bundles.tsv').write_text('name\tfirst_index\tcount\nCST\t0\t1\n')
    assert tractogram.bundles()[1].names == ('CST',)
    assert set(tractogram.bundles('groups')[1].names) == {'AF left', 'SLF'}
    assert tractogram.disconnect(toy.mask).bundles('groups').table.loc['AF left', 'streamlines'] == 3


def test_a_set_of_bundles_is_kept_by_content(toy, tractogram):
    write_table(toy, [('AF', 0, 20), ('SLF', 10, 20)])
    lesion = tractogram.disconnect(toy.mask)
    first = lesion.bundles().table
    (kept,) = (tractogram.cache / 'bundles').glob('*.npz')
    stamp = kept.stat().st_mtime_ns
    again = lacuna.Tractogram(toy.tracks, nprocs=1, cache=tractogram.cache).disconnect(toy.mask)
    pd.testing.assert_frame_equal(again.bundles().table, first)
    assert kept.stat().st_mtime_ns == stamp
    write_table(toy, [('AF', 0, 20), ('SLF', 10, 19)])
    again.bundles().table  # noqa: B018
    assert len(list((tractogram.cache / 'bundles').glob('*.npz'))) == 2


def test_the_synthetic_connectome_has_55(tmp_path):
    from lacuna.datasets.tutorial import write_tutorial

    data = write_tutorial(tmp_path / 'tutorial')
    tractogram = lacuna.Tractogram(data.connectome, cache=tmp_path / 'cache')
    name, groups = tractogram.bundles()
    assert (name, len(groups), int(groups.sizes.sum())) == ('synthetic20k', 55, 20000)
    assert json.loads(data.connectome_sidecar.read_text())['Bundles'] == 'synthetic20k_bundles.tsv'
    lesion = tractogram.disconnect(data.masks[0])
    table = lesion.bundles().table
    assert table['streamlines_disconnected'].sum() == len(lesion.streamlines)
    assert ((table['low'] <= table['value']) & (table['value'] <= table['high'])).all()


# ---- published ----


@pytest.fixture(scope='module')
def hcp842(unpacked, shared, tmp_path_factory):
    """HCP842 with its table beside it."""
    tracks = unpacked('HCP842')
    folder = tmp_path_factory.mktemp('hcp842')
    (folder / 'HCP842.tck').symlink_to(tracks)
    (folder / 'HCP842_bundles.tsv').write_text((shared / 'data/tractograms/HCP842.tsv').read_text())
    return lacuna.Tractogram(folder / 'HCP842.tck', SPACE, nprocs=2, cache=folder / 'cache')


def published(shared: Path, lesion: int) -> pd.Series:
    name = f'Subject{lesion}_percent_discon_tracts{"_orig" if lesion == 1 else ""}.csv'
    return pd.read_csv(shared / f'data/reference/lqt_lesion{lesion}' / name, index_col='Tract')['Discon']


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(('lesion', 'other'), [(1, None), (2, 'SCP'), (4, 'CS_L')])
@pytest.mark.filterwarnings('ignore:.*vertices of the tractogram')
def test_bundle_percents_as_published(hcp842, shared, lesion, other):
    """Equal to 1e-8 but for one bundle, and all to 1e-12 by the rule of DSI Studio, which never tests a single vertex."""
    cut = hcp842.disconnect(shared / f'data/lesions/LQT/ExampleLesion{lesion}.nii.gz')
    found = cut.bundles()
    wanted = published(shared, lesion)
    both = found.table.index.intersection(wanted.index)
    assert len(both) == 61
    value = found.table['value'][both]
    same = both.drop(other) if other else both
    np.testing.assert_allclose(value[same], wanted[same], rtol=0, atol=1e-8)
    groups, single = found.bundles.groups, np.flatnonzero(hcp842.in_space().index().vertices == 1)
    assert len(single) == 37
    percent = {}
    for row, name in enumerate(groups.names):
        hit = np.isin(groups[row], cut.streamlines)
        hit |= hit.any() & np.isin(groups[row], single)
        percent[name] = 100 * hit.sum() / len(hit)
    np.testing.assert_allclose([percent[name] for name in both], wanted[both], rtol=0, atol=1e-12)
    if other:
        assert percent[other] > value[other]


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.filterwarnings('ignore:.*vertices of the tractogram')
def test_the_interval_is_that_of_a_bootstrap(hcp842, shared):
    """Bundles drawn again, a Poisson number of each streamline, vary as the closed form says, which the interval is of."""
    lesion = hcp842.disconnect(shared / 'data/lesions/LQT/ExampleLesion4.nii.gz')
    random, draws = np.random.default_rng(1), 1000
    cut = np.zeros(hcp842.info.count)
    cut[lesion.streamlines] = 1
    groups = lesion.bundles().bundles.groups
    compared = 0
    for weights in (np.ones(len(cut)), random.lognormal(sigma=0.7, size=len(cut))):
        for row in range(len(groups)):
            hit, weight = cut[groups[row]], weights[groups[row]]
            if min(hit.sum(), (1 - hit).sum()) < 50:
                continue
            total, part, squares = weight.sum(), (weight * hit).sum(), (weight**2).sum()
            drawn = random.poisson(1, (draws, len(hit))).astype('f4')
            spread = ((drawn @ (weight * hit)) / (drawn @ weight)).std(ddof=1)
            closed = np.sqrt((weight**2 * (hit - part / total) ** 2).sum()) / total
            # four standard errors of a standard deviation
            assert spread == pytest.approx(closed, rel=4 / np.sqrt(2 * draws))
            low, high = percent_interval(part, total, squares)
            assert high - low == pytest.approx(2 * 1.96 * 100 * closed, rel=0.1)
            compared += 1
    assert compared == 12


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize('lesion', [1, 2, 4])
@pytest.mark.filterwarnings('ignore:.*vertices of the tractogram')
def test_cut_streamlines_as_published(hcp842, shared, lesion, monkeypatch):
    """Never more than LQT's between any two parcels; equal wherever our tractogram has all of theirs."""
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(shared / 'data/templateflow'))
    mask = shared / f'data/lesions/LQT/ExampleLesion{lesion}.nii.gz'
    found = hcp842.disconnect(mask).parcels('schaefer2018parcels100networks7', assignment='end-voxels')
    folder = shared / 'data/reference'
    theirs, known = (
        pd.read_csv(path, sep='\t').to_numpy()[:100, :100]
        for path in (
            folder / f'lqt_lesion{lesion}/Subject{lesion}_cut_streamlines.tsv',
            folder / 'lqt_atlas_streamlines_known.tsv',
        )
    )
    ours, full = found.lesion_matrix.to_numpy(), found.full_matrix.to_numpy()
    assert (ours <= theirs).all()
    whole = np.triu((full == known) & (known > 0), k=1)
    assert whole.sum() == 159
    np.testing.assert_array_equal(ours[whole], theirs[whole])
    assert list(found.networks.matrix) == [
        'Vis',
        'SomMot',
        'DorsAttn',
        'SalVentAttn',
        'Limbic',
        'Cont',
        'Default',
    ]
