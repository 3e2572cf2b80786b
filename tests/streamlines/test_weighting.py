"""Weights, lengths and measures of connections: by hand, and against plain MRtrix3 commands on a real tractogram."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest
from helpers.tractograms import write_trx

import lacuna
from lacuna.cli import main
from lacuna.errors import InputError
from lacuna.images.nifti import voxels
from lacuna.measures import effective_number
from lacuna.streamlines.connections import Connections, CutConnections
from lacuna.streamlines.endpoints import EndpointTable
from lacuna.streamlines.files import tck
from lacuna.streamlines.index.density import add_visits
from lacuna.streamlines.lengths import measure_lengths
from lacuna.streamlines.weighting import Weighting, read_weights
from lacuna.testing import toy_streamlines, world_coordinates, write_mask

SPACE = 'MNI152NLin6Asym'
STEM = 'data/templateflow/tpl-MNI152NLin6Asym/tpl-MNI152NLin6Asym'


def plain(*words, **options) -> str:
    done = subprocess.run(
        [str(word) for word in words], check=True, capture_output=True, text=True, **options
    )
    return done.stdout


def write_numbers(path: Path, numbers) -> Path:
    path.write_text('# weights\n' + '\n'.join(str(float(number)) for number in numbers))
    return path


def heavy_tailed(count: int) -> np.ndarray:
    """As those of SIFT2: most near 1, some a hundred times as much, some 0."""
    rng = np.random.default_rng(5)
    weights = rng.lognormal(0, 1.5, count).astype(np.float32)
    weights[rng.random(count) < 0.05] = 0
    return weights


# weights


@pytest.mark.parametrize(
    'text',
    ['1 2 0.5', '1\n2\n\n.5\n', '\ufeff1\r\n2\r\n0.5\r\n', '# of tcksift2\n1, 2 # two\n5e-1', '1;2;0.5'],
)
def test_text_as_mrtrix_reads_it(text, tmp_path):
    path = tmp_path / 'weights.csv'
    path.write_text(text, encoding='utf-8')
    weights = read_weights(path, Path('some.tck'), 3)
    assert (weights.dtype, weights.tolist()) == (np.float32, [1, 2, 0.5])


@pytest.mark.parametrize(
    ('text', 'told'),
    [
        ('1 2', '2 weights'),
        ('1 2 3 4', '4 weights'),
        ('1 -2 3', 'streamline 1 .*-2'),
        ('1 2 nan', 'streamline 2 .*nan'),
        ('1 1e40 3', 'streamline 1 .*inf'),
        ('0 0 0', 'all weights are 0'),
        ('1 two 3', 'numbers'),
        ('', '0 weights'),
    ],
)
def test_weights_that_are_refused(text, told, tmp_path):
    path = tmp_path / 'weights.txt'
    path.write_text(text)
    with pytest.raises(InputError, match=told) as caught:
        read_weights(path, Path('some.tck'), 3)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


def test_weights_that_are_no_text(tmp_path):
    path = tmp_path / 'weights.bin'
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(InputError, match='text file'):
        read_weights(path, Path('some.tck'), 3)
    with pytest.raises(InputError, match='no weights'):
        read_weights(tmp_path / 'none.txt', path, 3)


def test_weights_of_a_trx(toy, tmp_path):
    lines = toy_streamlines()
    given = np.arange(1, len(lines) + 1, dtype=np.float32)
    write_trx(tmp_path / 'some.trx', lines, per_streamline={'sift2': given})
    cache = tmp_path / 'cache'
    tractogram = lacuna.Tractogram(tmp_path / 'some.trx', SPACE, cache=cache, weights='sift2')
    np.testing.assert_array_equal(tractogram.weights, given)
    by_file = lacuna.Tractogram(
        toy.tracks, cache=cache, weights=write_numbers(tmp_path / 'weights.txt', given)
    )
    first, second = (each.disconnect(toy.mask).summary for each in (tractogram, by_file))
    assert first['weight_disconnected_pct'] == second['weight_disconnected_pct'] != 0
    with pytest.raises(InputError, match='sift2'):
        lacuna.Tractogram(tmp_path / 'some.trx', SPACE, cache=cache, weights='sift')


# by hand


def test_a_lesion_by_hand(toy, tmp_path):
    """Sums of weights where there were numbers; the numbers stay."""
    lines = toy_streamlines()
    weights = np.arange(len(lines), dtype=np.float32) / 4
    path = write_numbers(tmp_path / 'weights.txt', weights)
    plain_one = lacuna.Tractogram(toy.tracks, cache=tmp_path / 'cache').disconnect(toy.mask)
    lesion = lacuna.Tractogram(toy.tracks, cache=tmp_path / 'cache', weights=path).disconnect(toy.mask)
    cut = plain_one.streamlines
    np.testing.assert_array_equal(lesion.streamlines, cut)
    summary = lesion.summary
    assert (summary['streamlines_disconnected'], summary['streamlines_total']) == (
        toy.disconnected,
        len(lines),
    )
    assert summary['weight_total'] == weights.sum()
    assert summary['weight_disconnected_pct'] == pytest.approx(100 * weights[cut].sum() / weights.sum())
    assert 'weight_total' not in plain_one.summary
    lengths = np.array([np.linalg.norm(np.diff(line, axis=0), axis=1).sum() for line in lines])
    spared = np.setdiff1d(np.arange(len(lines)), cut)
    for key, chosen in (('', slice(None)), ('_disconnected', cut), ('_spared', spared)):
        for found, factors in ((summary, weights), (plain_one.summary, np.ones(len(lines)))):
            mean = np.average(lengths[chosen], weights=factors[chosen])
            assert found[f'length_mean{key}_mm'] == pytest.approx(mean, rel=1e-6)
    # every toy streamline has a voxel of its own somewhere on the grid: what is summed there is its weight
    density = voxels(lesion.density)
    assert density.dtype == np.float64
    assert density.max() <= weights[cut].sum()


def test_equal_weights_are_no_weights(toy, tmp_path):
    path = write_numbers(tmp_path / 'weights.txt', np.full(toy.streamlines, 0.25))
    first, second = (
        lacuna.Tractogram(toy.tracks, cache=tmp_path / 'cache', weights=weights).disconnect(toy.mask)
        for weights in (None, path)
    )
    np.testing.assert_array_equal(voxels(first.map), voxels(second.map))
    np.testing.assert_array_equal(0.25 * voxels(first.density), voxels(second.density))
    assert second.summary['weight_disconnected_pct'] == first.summary['streamlines_disconnected_pct']


PAIRS = np.array([[1, 2], [2, 1], [1, 3], [3, 3], [0, 2], [2, 3]])


def of_three(weighting, measure='count'):
    image = np.array([0, 1, 2, 2, 3, 3, 3, 3])
    return Connections(EndpointTable.of(PAIRS, ('a', 'b', 'c'), image), weighting, measure)


def test_connections_by_hand():
    weights = np.array([1, 2, 4, 8, 16, 32], np.float32)
    lengths = np.array([10, 20, 40, 5, 5, 80], np.float32)
    weighting = Weighting(lengths, weights)
    whole = of_three(weighting)
    assert whole.counts.tolist() == [[0, 2, 1], [2, 0, 1], [1, 1, 0]]
    assert whole.full_matrix.tolist() == [[0, 3, 4], [3, 0, 32], [4, 32, 0]]
    assert whole.squares.sum(axis=1).tolist() == [21, 5 + 32**2, 16 + 32**2]
    found = CutConnections(whole, weighting.cut(np.array([0, 5])))
    assert found.lesion_matrix.tolist() == [[0, 1, 0], [1, 0, 32], [0, 32, 0]]
    assert found.roi.tolist() == pytest.approx([100 / 7, 100 * 33 / 35, 100 * 32 / 36])
    assert found.support['streamlines_disconnected'].tolist() == [1, 2, 1]
    assert found.support['weight_total'].tolist() == [7, 35, 36]
    of_all, of_cut, of_spared = found.mean_lengths
    assert of_all[0].tolist() == pytest.approx([np.nan, 50 / 3, 40], nan_ok=True)
    assert of_cut[1].tolist() == pytest.approx([10, np.nan, 80], nan_ok=True)
    assert of_spared[1].tolist() == pytest.approx([20, np.nan, np.nan], nan_ok=True)
    by_length = of_three(weighting, 'invlength').full_matrix
    assert by_length[0].tolist() == pytest.approx([0, 1 / 10 + 2 / 20, 4 / 40])
    by_volume = of_three(weighting, 'invnodevol').full_matrix
    assert by_volume[0].tolist() == pytest.approx([0, 3 * 2 / 3, 4 * 2 / 5])
    # a percentage of one pair does not depend on its volumes, and one of a parcel does
    other = CutConnections(of_three(weighting, 'invnodevol'), weighting.cut(np.array([0, 5])))
    assert other.percent == pytest.approx(found.percent)
    assert other.roi[0] == pytest.approx(100 * (1 * 2 / 3) / (3 * 2 / 3 + 4 * 2 / 5))


def test_how_strongly_it_is_cut():
    """A streamline that is half cut counts half, with weights and without."""
    weighting = Weighting(np.full(6, 10, np.float32))
    cut = weighting.cut(np.array([0, 1]), np.array([0.5, 1], np.float32))
    found = CutConnections(of_three(weighting), cut)
    assert found.lesion_matrix[0].tolist() == [0, 1.5, 0]
    assert found.support['streamlines_disconnected'].tolist() == [2, 2, 0]
    assert found.roi[0] == pytest.approx(50)
    doubled = Weighting(weighting.lengths, np.full(6, 2, np.float32))
    assert doubled.cut(cut.ids, np.array([0.5, 1], np.float32)).factors.tolist() == [1, 2]


def test_the_interval_is_that_of_the_effective_number():
    weights = np.array([3, 1, 1, 1, 1, 1], float)
    assert effective_number(weights.sum(), (weights**2).sum()) == pytest.approx(64 / 14)
    weighting = Weighting(None, np.array([1, 1, 4, 1, 1, 1], np.float32))
    support = CutConnections(of_three(weighting), weighting.cut(np.array([0]))).support
    n, share, z = 36 / 18, 1 / 6, 1.959963984540054
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert [support['low'][0], support['high'][0]] == pytest.approx(
        [100 * (middle - reach), 100 * (middle + reach)]
    )


def test_sums_do_not_depend_on_threads(synthetic, tmp_path):
    weights = write_numbers(tmp_path / 'weights.txt', heavy_tailed(20_000))
    one, two = (
        lacuna.Tractogram(
            synthetic.connectome, cache=tmp_path / 'cache', weights=weights, nprocs=n
        ).disconnect(synthetic.masks[0])
        for n in (1, 2)
    )
    assert voxels(one.density).tobytes() == voxels(two.density).tobytes()
    assert one.summary == two.summary
    nulls = [lesion.nulls(40, seed=1) for lesion in (one, two)]
    assert nulls[0].statistics == nulls[1].statistics
    assert 'weight_disconnected_p' in nulls[0].statistics
    pd.testing.assert_frame_equal(nulls[0].bundles, nulls[1].bundles)
    np.testing.assert_array_equal(voxels(nulls[0].z), voxels(nulls[1].z))


def test_null_lesions_of_equal_weights(synthetic, tmp_path):
    weights = write_numbers(tmp_path / 'weights.txt', np.full(20_000, 0.5))
    found = [
        lacuna.Tractogram(synthetic.connectome, cache=tmp_path / 'cache', weights=each)
        .disconnect(synthetic.masks[0])
        .nulls(40, seed=1)
        for each in (None, weights)
    ]
    pd.testing.assert_frame_equal(found[0].bundles, found[1].bundles, rtol=1e-10)
    np.testing.assert_allclose(voxels(found[0].z), voxels(found[1].z), rtol=1e-5, atol=1e-5)


# limits of length


@pytest.mark.mrtrix
@pytest.mark.parametrize(
    'fields', [{}, {'step_size': 1.0}, {'step_size': 2.5, 'downsample_factor': 5}], ids=['', 'step', 'kept']
)
def test_as_tckedit_chooses(fields, tmp_path):
    """Lengths on the limits and beside them, a streamline of one vertex, and one without any."""
    lines = [np.array([[0, 0, 0], [length, 0, 0]], np.float32) for length in np.arange(5.0, 12.0, 0.05)]
    lines += [np.zeros((1, 3), np.float32), np.empty((0, 3), np.float32)]
    path = tmp_path / 'some.tck'
    tck.write_tck(path, lines, **fields)
    numbers = write_numbers(tmp_path / 'numbers.txt', range(len(lines)))
    for shortest, longest in ((0, None), (7, None), (None, 9.3), (6.5, 10.1), (8, 8)):
        options = ['-minlength', shortest] if shortest is not None else []
        options += ['-maxlength', longest] if longest is not None else []
        plain(
            'tckedit', path, tmp_path / 'out.tck', '-force', '-quiet', *options,
            '-tck_weights_in', numbers, '-tck_weights_out', tmp_path / 'kept.txt',
        )  # fmt: skip
        kept = [int(float(word)) for word in (tmp_path / 'kept.txt').read_text().split()]
        tractogram = lacuna.Tractogram(
            path, SPACE, cache=tmp_path / 'cache', min_length=shortest, max_length=longest
        )
        assert np.flatnonzero(tractogram.weighting.kept).tolist() == kept, (shortest, longest)
        assert tractogram.streamlines_total == len(kept)


def test_what_is_left_out_is_in_no_denominator(toy, tmp_path):
    lines = toy_streamlines()
    lengths = measure_lengths(toy.tracks)
    limit = float(np.median(lengths))
    some = [line for line, length in zip(lines, lengths, strict=True) if length <= limit]
    assert 0 < len(some) < len(lines)
    tck.write_tck(tmp_path / 'some.tck', some)
    cache = tmp_path / 'cache'
    limited = lacuna.Tractogram(toy.tracks, cache=cache, max_length=limit)
    alone = lacuna.Tractogram(tmp_path / 'some.tck', SPACE, cache=cache)
    first, second = limited.disconnect(toy.mask), alone.disconnect(toy.mask)
    np.testing.assert_array_equal(voxels(first.map), voxels(second.map))
    assert voxels(first.density).dtype == np.uint32
    assert first.summary == second.summary
    mask = nb.load(toy.mask)
    x, _, _ = world_coordinates(mask.shape, mask.affine)
    image = write_mask(tmp_path / 'p.nii.gz', np.where(x < -15, 1, np.where(x > 15, 2, 0)), mask.affine)
    (tmp_path / 'p.tsv').write_text('index\tname\n1\tleft\n2\tright\n')
    tables = [lesion.parcels((image, tmp_path / 'p.tsv', SPACE)) for lesion in (first, second)]
    for name in ('matrix', 'full_matrix', 'lesion_matrix', 'support'):
        pd.testing.assert_frame_equal(getattr(tables[0], name), getattr(tables[1], name))
    kept = np.flatnonzero(limited.weighting.kept)
    (tmp_path / 'all.tsv').write_text(f'name\tfirst_index\tcount\nall\t0\t{len(lines)}\n')
    bundle = first.bundles(tmp_path / 'all.tsv').table.loc['all']
    assert (bundle['streamlines'], bundle['value']) == (
        len(kept),
        second.summary['streamlines_disconnected_pct'],
    )
    # the index was built once
    assert len(list((cache / 'index').iterdir())) == 2


@pytest.mark.parametrize(('shortest', 'longest'), [(-1, None), (None, float('inf')), (20, 10)])
def test_limits_that_are_refused(shortest, longest, toy):
    with pytest.raises(InputError, match='length'):
        lacuna.Tractogram(toy.tracks, min_length=shortest, max_length=longest)


@pytest.mark.parametrize('limits', [{'min_length': 5000}, {'min_length': 1, 'max_length': 1.5}])
def test_limits_that_leave_nothing(limits, toy, tmp_path):
    """Not a map of 0 percent."""
    lengths = measure_lengths(toy.tracks)
    with pytest.raises(InputError, match=f'{lengths.min():.1f} to {lengths.max():.1f} mm') as caught:
        lacuna.Tractogram(toy.tracks, **limits)
    assert str(toy.tracks) in str(caught.value)
    options = [f'--{name.replace("_", "-")}={value}' for name, value in limits.items()]
    words = ['run', 'snm', tmp_path / 'bids', tmp_path / 'out', '--connectome-path', toy.tracks, *options]
    assert main([str(word) for word in words]) == 2
    assert not (tmp_path / 'out').exists()


def test_weights_and_limits_that_leave_nothing_together(toy, tmp_path):
    lengths = measure_lengths(toy.tracks)
    limit = float(np.median(lengths))
    weights = write_numbers(tmp_path / 'weights.txt', lengths <= limit)
    assert lacuna.Tractogram(toy.tracks, weights=weights, max_length=limit).streamlines_total
    with pytest.raises(InputError, match='weights'):
        lacuna.Tractogram(toy.tracks, weights=weights, min_length=limit + 1)


# real data


def in_single_precision(tractogram, ids):
    """The density of weighted streamlines as tckmap adds it: in float32, one streamline after the other."""
    index = tractogram.in_space(SPACE).index()
    out = np.zeros(np.prod(index.grid.shape), np.float32)
    for segment, part in index._parts(ids):
        local, factors = ids[part] - segment.first, tractogram.weights[ids[part]]
        assert add_visits(index._codes, segment.starts, segment.base, local, index._table, factors, out)
    return out.reshape(index.grid.shape)


@pytest.mark.mrtrix
@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.usefixtures('common_cache')
def test_equal_to_plain_commands(unpacked, shared, tmp_path):
    tracks = unpacked('HCP842')
    mask = shared / 'data/lesions/LESYMAP/Subject_003.nii.gz'
    image = Path(f'{shared / STEM}_res-01_atlas-Schaefer2018_desc-100Parcels7Networks_dseg.nii.gz')
    labels = Path(f'{shared / STEM}_atlas-Schaefer2018_desc-100Parcels7Networks_dseg.tsv')
    count = tck.read_header(tracks).count
    weights = write_numbers(tmp_path / 'w.txt', heavy_tailed(count))
    selected, own = tmp_path / 'selected.tck', tmp_path / 'selected.txt'
    limits = ('-minlength', 40, '-maxlength', 130)
    everything, of_all = tmp_path / 'kept.tck', tmp_path / 'kept.txt'
    plain('tckedit', '-quiet', *limits, '-tck_weights_in', weights, '-tck_weights_out', of_all, tracks, everything)  # fmt: skip
    plain('tckedit', '-quiet', '-include', mask, '-tck_weights_in', of_all, '-tck_weights_out', own, everything, selected)  # fmt: skip
    tractogram = lacuna.Tractogram(tracks, SPACE, weights=weights, min_length=40, max_length=130)
    lesion = tractogram.disconnect(mask)
    assert tractogram.streamlines_total == tck.read_header(everything).count
    assert lesion.summary['streamlines_disconnected'] == tck.read_header(selected).count
    total, lost = (np.loadtxt(path, dtype=np.float32).astype(float).sum() for path in (of_all, own))
    assert lesion.summary['weight_disconnected_pct'] == pytest.approx(100 * lost / total, rel=1e-12)

    nb.save(lesion.map, tmp_path / 'grid.nii.gz')
    for tracks_of, weights_of, ours in (
        (selected, own, voxels(lesion.density)),
        (everything, of_all, tractogram.in_space(SPACE).full_density()),
    ):
        words = ('-template', tmp_path / 'grid.nii.gz', '-tck_weights_in', weights_of, '-nthreads', 0)
        plain('tckmap', '-quiet', '-force', *words, tracks_of, tmp_path / 'tdi.nii')
        theirs = voxels(nb.load(tmp_path / 'tdi.nii'))
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-30)
        # the difference is the single precision of tckmap: with it, the sums are its own, bit for bit
        ids = np.arange(count)[tractogram.weighting.kept] if tracks_of == everything else lesion.streamlines
        np.testing.assert_array_equal(in_single_precision(tractogram, ids), theirs)

    def connectome(tracks_of, weights_of, *options):
        words = ('-tck_weights_in', weights_of, '-symmetric', '-zero_diagonal', *options)
        plain('tck2connectome', '-quiet', '-force', *words, tracks_of, image, tmp_path / 'c.csv')
        return np.loadtxt(tmp_path / 'c.csv', delimiter=',')

    for measure, option in (('count', ()), ('invlength', ('-scale_invlength',)), ('invnodevol', ('-scale_invnodevol',))):  # fmt: skip
        parcels = lesion.parcels((image, labels, SPACE), edge_measure=measure)
        full, cut = connectome(everything, of_all, *option), connectome(selected, own, *option)
        np.testing.assert_allclose(parcels.full_matrix, full, rtol=1e-12)
        np.testing.assert_allclose(parcels.lesion_matrix, cut, rtol=1e-12)
        np.testing.assert_allclose(parcels.intact_matrix, full - cut, rtol=1e-12, atol=1e-12 * full.max())
        expected = np.divide(100 * cut, full, out=np.zeros_like(full), where=full > 0)
        np.testing.assert_allclose(parcels.matrix, expected, rtol=1e-12)
        some = full.sum(axis=1) > 0
        roi = 100 * cut.sum(axis=1)[some] / full.sum(axis=1)[some]
        np.testing.assert_allclose(parcels.disconnection[some], roi, rtol=1e-12)
    means = parcels.mean_lengths
    for name, tracks_of, weights_of in (('all', everything, of_all), ('cut', selected, own)):
        found = connectome(tracks_of, weights_of, '-scale_length', '-stat_edge', 'mean')
        some = means[name].notna().to_numpy()
        assert some.sum() > 100
        np.testing.assert_allclose(means[name].to_numpy()[some], found[some], rtol=1e-12)
        assert not np.nan_to_num(found[~some]).any()


# a run


OPTIONS = ('--compute-disconnectivity-matrix', '--compute-roi-disconnection', '--compute-mean-lengths')


@pytest.fixture
def weighted(toy, tmp_path):
    """Options of a run with weights, limits, a measure, parcels and bundles."""
    mask = nb.load(toy.mask)
    x, _, _ = world_coordinates(mask.shape, mask.affine)
    image = write_mask(tmp_path / 'p.nii.gz', np.where(x < -15, 1, np.where(x > 15, 2, 0)), mask.affine)
    (tmp_path / 'p.tsv').write_text('index\tname\n1\tleft\n2\tright\n')
    stem = toy.tracks.with_suffix('')
    stem.with_name(f'{stem.name}_bundles.tsv').write_text(
        'name\tfirst_index\tcount\nfirst\t0\t20\nlast\t15\t15\n'
    )
    weights = write_numbers(tmp_path / 'weights.txt', heavy_tailed(toy.streamlines) + 0.5)
    limit = str(float(np.quantile(measure_lengths(toy.tracks), 0.8)))
    return (
        '--connectome-path', toy.tracks, '--connectome-weights', weights, '--max-length', limit,
        '--custom-parcellation', 'two', image, tmp_path / 'p.tsv', SPACE, *OPTIONS, '--edge-measure', 'invlength',
    )  # fmt: skip


@pytest.mark.mrtrix
def test_both_engines_write_the_same(toy, weighted, tmp_path, lacuna_here):
    for engine in ('index', 'mrtrix'):
        done = lacuna_here(
            'run', 'snm', toy.mask, tmp_path / engine, *weighted, '--engine', engine, '--no-report', '--nprocs', '1',
            '--min-support', '2',
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    ours, theirs = (
        {path.name: path for path in (tmp_path / engine).rglob('*') if path.parent.name == 'anat'}
        for engine in ('index', 'mrtrix')
    )
    assert set(ours) == set(theirs)
    assert sum(name.endswith('connmatrix.tsv') for name in ours) == 7
    for name, path in ours.items():
        if name.endswith('.nii.gz'):
            first, second = (voxels(nb.load(each)) for each in (path, theirs[name]))
            np.testing.assert_allclose(first, second, rtol=1e-6)
        elif name.endswith('.tsv'):
            assert path.read_bytes() == theirs[name].read_bytes(), name
    # support counts streamlines, whatever they weigh
    found = [next((tmp_path / engine).glob('connectome/*_mask.nii.gz')) for engine in ('index', 'mrtrix')]
    assert found[0].read_bytes() == found[1].read_bytes()
    kept, counts = tmp_path / 'kept.tck', tmp_path / 'counts.nii'
    plain('tckedit', toy.tracks, '-maxlength', weighted[weighted.index('--max-length') + 1], kept)
    plain('tckmap', kept, '-template', found[0], counts)
    enough = voxels(nb.load(counts)) >= 2
    np.testing.assert_array_equal(voxels(nb.load(found[0])), enough)
    percent = voxels(nb.load(next(path for name, path in ours.items() if name.endswith('pct.nii.gz'))))
    name = next(name for name in ours if name.endswith('desc-summarystatistics_stats.json'))
    for path in (ours[name], theirs[name]):
        assert json.loads(path.read_text())['voxels_supported'] == (percent[enough] > 0).sum() > 0


def test_what_a_run_writes_is_what_python_says(toy, weighted, tmp_path, lacuna_here):
    done = lacuna_here('run', 'snm', toy.mask, tmp_path / 'out', *weighted, '--nprocs', '1')
    assert done.returncode == 0, done.stderr
    (result,) = lacuna.load_results(tmp_path / 'out')
    options = dict(zip(weighted[::2], weighted[1::2], strict=False))
    lesion = lacuna.Tractogram(
        toy.tracks,
        weights=options['--connectome-weights'],
        max_length=float(options['--max-length']),
    ).disconnect(toy.mask)
    assert {**result.summary, 'warnings': None} == {**lesion.summary, 'warnings': None}
    parcels = lesion.parcels((tmp_path / 'p.nii.gz', tmp_path / 'p.tsv', SPACE), edge_measure='invlength')
    pd.testing.assert_frame_equal(
        result.matrix('two', 'full_matrix'), parcels.full_matrix, check_names=False, check_exact=True
    )
    np.testing.assert_array_equal(voxels(nb.load(result.path('disconnection_map'))), voxels(lesion.map))
    sidecar = result.sidecars()
    about = next(each for each in sidecar.values() if each.get('Atlas', {}).get('Name') == 'two')
    assert about['Tractogram']['Weights']['Name'] == 'weights.txt'
    assert about['Parameters']['MaxLength'] == float(options['--max-length'])
    page = (tmp_path / 'out/sub-01.html').read_text(encoding='utf-8')
    rows = dict(re.findall('<th scope="row">(.*?)</th><td>(.*?)</td>', page))
    assert rows['Weights'] == 'weights.txt'
    assert rows['Summed weights cut'] == f'{lesion.summary["weight_disconnected_pct"]:.2f} %'
    assert rows['Only streamlines'] == f'up to {float(options["--max-length"]):g} mm'


def test_other_weights_are_other_results(toy, weighted, tmp_path, lacuna_here):
    words = ('run', 'snm', toy.mask, tmp_path / 'out', *weighted, '--nprocs', '1', '--no-report')
    assert lacuna_here(*words).returncode == 0
    shutil.copy(tmp_path / 'weights.txt', tmp_path / 'same.txt')
    moved = [tmp_path / 'same.txt' if word == tmp_path / 'weights.txt' else word for word in words]
    assert lacuna_here(*moved).returncode == 0
    write_numbers(tmp_path / 'weights.txt', np.ones(toy.streamlines))
    done = lacuna_here(*words)
    assert done.returncode == 2
    assert 'weights of the streamlines' in done.stderr
    other = [word if word != 'invlength' else 'count' for word in moved]
    done = lacuna_here(*other)
    assert done.returncode == 2
    assert 'measure of connections: invlength on disk, count now' in done.stderr
    without = [word for word in moved if word not in ('--max-length', moved[moved.index('--max-length') + 1])]
    assert lacuna_here(*without).returncode == 2
