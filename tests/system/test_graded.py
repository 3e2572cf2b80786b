"""Graded masks: everything is the mean over all thresholds of the binary answer, in Python and in the files of a run."""

import json

import nibabel as nb
import numpy as np
import pandas as pd
import pytest
from helpers.tables import read_exact
from helpers.toys import write_two_networks

import lacuna
from lacuna.errors import InputError, MaskError
from lacuna.streamlines.files.tck import write_tck
from lacuna.testing import toy_streamlines, world_coordinates, write_mask

SPACE = 'MNI152NLin6Asym'
THRESHOLDS = (0, 0.25, 0.5, 0.75)
OPTIONS = (
    '--compute-disconnectivity-matrix', '--compute-roi-disconnection', '--lesion-load', '--compute-networks',
)  # fmt: skip


@pytest.fixture
def graded(toy, tmp_path):
    """The lesion of the toy with values from a quarter to 1, and a rim of a quarter; and its atlas and bundles."""
    image = nb.load(toy.mask)
    x, y, z = world_coordinates(image.shape, image.affine)
    values = np.where(np.asarray(image.dataobj) > 0, np.clip(np.floor((y + 6) / 4), 1, 4) / 4, 0)
    values[(x >= -12) & (x < -2) & (y >= -2) & (y <= 18) & (z >= -2) & (z <= 10)] = 0.25
    write_mask(toy.mask, values, image.affine, 'float32')
    write_two_networks(tmp_path, image)
    toy.tracks.with_name('toy_bundles.tsv').write_text('bundle\tfirst\tcount\nall\t0\t30\none\t7\t1\n')
    return values.astype(np.float32), image.affine


@pytest.fixture
def atlas(tmp_path):
    return tmp_path / 'parcels.nii.gz', tmp_path / 'parcels.tsv', SPACE


def numbers(lesion, atlas):
    """All that is a ratio of sums, or a sum, over streamlines or voxels."""
    parcels, bundles = lesion.parcels(atlas), lesion.bundles()
    return {
        'density': lesion.density.get_fdata(),
        'map': lesion.map.get_fdata(),
        'mask_matrix': parcels.lesion_matrix.to_numpy(),
        'intact_matrix': parcels.intact_matrix.to_numpy(),
        'matrix': parcels.matrix.to_numpy(),
        'parcels': parcels.disconnection.to_numpy(),
        'load': parcels.load.to_numpy(),
        'networks': parcels.networks.disconnection.to_numpy(),
        'network matrix': parcels.networks.matrix.to_numpy(),
        'bundles': bundles.disconnection.to_numpy(),
        'load of bundles': bundles.table['load_pct'].to_numpy(),
        'volume': lesion.summary['mask_volume_mm3'],
    }


def test_the_mean_over_all_thresholds(toy, graded, atlas, tmp_path):
    values, affine = graded
    tractogram = lacuna.Tractogram(toy.tracks, nprocs=1)
    lesion = tractogram.disconnect(toy.mask, graded_masks='max')
    binary = [
        tractogram.disconnect(write_mask(tmp_path / f'{t}.nii.gz', values > t, affine), SPACE)
        for t in THRESHOLDS
    ]
    found, each = numbers(lesion, atlas), [numbers(one, atlas) for one in binary]
    for name, value in found.items():
        expected = np.mean([one[name] for one in each], axis=0)
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-6, err_msg=name)
    assert len(np.unique(found['map'])) > 5
    strengths = np.mean([np.isin(np.arange(30), one.streamlines) for one in binary], axis=0)
    np.testing.assert_array_equal(lesion.cut.factors, strengths[strengths > 0])
    np.testing.assert_array_equal(lesion.streamlines, binary[0].streamlines)
    summary = lesion.summary
    assert summary['streamlines_disconnected'] == len(binary[0].streamlines)
    assert summary['weight_disconnected_pct'] == pytest.approx(100 * strengths.mean())
    assert summary['mask_voxels'] == np.count_nonzero(values)
    assert summary['mask_volume_mm3'] == pytest.approx(values.sum(dtype=float))
    with pytest.raises(MaskError, match='--graded-masks max'):
        tractogram.disconnect(toy.mask)
    with pytest.raises(InputError, match='--mask-scale'):
        tractogram.disconnect(toy.mask, mask_scale=100)


def test_a_binary_mask_stays_binary(toy, graded, tmp_path):
    values, affine = graded
    mask = write_mask(tmp_path / 'binary.nii.gz', values > 0, affine, 'float32')
    tractogram = lacuna.Tractogram(toy.tracks, nprocs=1)
    plain, same = (tractogram.disconnect(mask, graded_masks=each) for each in ('error', 'max'))
    assert same.cut.factors is None
    assert same.density.get_data_dtype() == plain.density.get_data_dtype()
    assert same.summary == plain.summary


@pytest.mark.usefixtures('graded')
def test_null_lesions_keep_their_values(toy):
    tractogram = lacuna.Tractogram(toy.tracks, nprocs=1)
    lesion = tractogram.disconnect(toy.mask, graded_masks='max')
    nulls = lesion.nulls(30, seed=1)
    lesions, index = nulls.lesions, tractogram.in_space().index()
    np.testing.assert_array_equal(lesions.own(index)[1], lesion.cut.factors)
    sums = np.array([lesions.cut(index, number)[1].sum(dtype=float) for number in range(30)])
    assert nulls.statistics['weight_disconnected_null_mean'] == pytest.approx(sums.mean())
    assert nulls.statistics['lesion_volume_mm3'] == pytest.approx(lesion.summary['mask_volume_mm3'])
    expected = (1 + (sums >= lesion.cut.factors.sum()).sum()) / 31
    bundles = nulls.bundles
    assert bundles.loc['all', 'p'] == pytest.approx(expected)
    assert bundles.loc['all', 'null_mean'] == pytest.approx(100 * sums.mean() / 30)


@pytest.fixture
def run(toy, atlas, tmp_path, lacuna_here):
    def run(out, *options):
        words = ('--connectome-path', toy.tracks, '--nprocs', 1, '-w', tmp_path / 'work')
        words += ('--custom-parcellation', 'toy2', *atlas)
        return lacuna_here('run', 'snm', tmp_path / 'bids', tmp_path / out, *words, *OPTIONS, *options)

    return run


def one(folder, end):
    (path,) = (folder / 'sub-01').rglob(f'*_{end}')
    return path


def test_the_files_of_a_run(toy, graded, run, atlas, tmp_path, lacuna_here):
    done = run('out')
    assert done.returncode == 2
    assert '--graded-masks max' in done.stderr
    assert run('out', '--graded-masks', 'max').returncode == 0
    out = tmp_path / 'out'
    lesion = lacuna.Tractogram(toy.tracks, nprocs=1).disconnect(toy.mask, graded_masks='max')
    parcels = lesion.parcels(atlas)
    image = nb.load(one(out, 'desc-disconnectionpct.nii.gz'))
    np.testing.assert_array_equal(image.get_fdata(), lesion.map.get_fdata())
    assert json.loads(one(out, 'desc-summarystatistics_stats.json').read_text()) == lesion.summary
    for end, wanted in (
        ('atlas-toy2_desc-disconnectionpct_connmatrix.tsv', parcels.matrix),
        ('atlas-toy2_desc-maskconnectivitymatrix_connmatrix.tsv', parcels.lesion_matrix),
        ('desc-support_parceltable.tsv', parcels.support),
        ('atlas-toy_desc-disconnectionpct_bundlestats.tsv', lesion.bundles().table),
    ):
        table = read_exact(one(out, end))
        pd.testing.assert_frame_equal(table, wanted, check_names=False, check_exact=True)
    load = read_exact(one(out, 'desc-lesionloadpct_parcelstats.tsv'))['value']
    pd.testing.assert_series_equal(load, parcels.load, check_names=False, check_exact=True)
    sidecar = json.loads(one(out, 'desc-disconnectionpct.json').read_text())
    assert sidecar['Parameters']['GradedMasks'] == 'max'
    assert sidecar['Parameters']['MaskScale'] == 1
    assert sidecar['Mask']['Kind'] == 'graded'
    assert '--graded-masks max' in sidecar['CommandLine']
    (page,) = out.glob('sub-01.html')
    assert 'graded' in page.read_text()
    assert '(0 now)' in run('out', '--graded-masks', 'max').stdout
    assert lacuna_here('check', out).returncode == 0
    # other settings, or another value of one voxel, would give other numbers
    done = run('out', '--graded-masks', 'max', '--mask-scale', '2')
    assert (done.returncode, 'scale' in done.stderr) == (2, True)
    values, affine = graded
    values[values == 1] = 0.9
    write_mask(toy.mask, values, affine, 'float32')
    assert lacuna_here('check', out).returncode == 1
    done = run('out', '--graded-masks', 'max')
    assert (done.returncode, 'content of the mask' in done.stderr) == (2, True)


@pytest.mark.mrtrix
@pytest.mark.usefixtures('graded')
def test_both_engines(toy, run, tmp_path):
    """Also with weights (powers of 2: all sums are exact), and with limits of length."""
    weights = tmp_path / 'weights.txt'
    weights.write_text(' '.join(str(2.0 ** (n % 4)) for n in range(toy.streamlines)))
    limits = ('--min-length', '15')
    for options in ((), ('--connectome-weights', weights, *limits)):
        found = []
        for engine in ('index', 'mrtrix'):
            out = f'{engine}{len(options)}'
            done = run(out, '--graded-masks', 'max', '--no-report', '--engine', engine, *options)
            assert done.returncode == 0, done.stderr
            content = {}
            for path in (tmp_path / out / 'sub-01').rglob('*_*'):
                if path.suffix == '.json':
                    facts = json.loads(path.read_text())
                    facts.pop('SoftwareVersions', None)
                    facts.pop('CommandLine', None)
                    content[path.name] = facts
                else:
                    content[path.name] = path.read_bytes()
            found.append(content)
        assert len(found[0]) > 15
        assert found[0] == found[1]


def test_over_two_tractograms(toy, graded, lacuna_here, tmp_path):
    """The terminal shows what is cut by weight, also where it is a mean."""
    values, _ = graded
    other = tmp_path / 'other.tck'
    write_tck(other, toy_streamlines()[::2])  # without the short ones
    other.with_suffix('.json').write_text(f'{{"Space": "{SPACE}"}}')
    words = (
        '--connectome-path',
        toy.tracks,
        '--connectome-path',
        other,
        '--nprocs',
        1,
        '-w',
        tmp_path / 'work',
    )
    options = ('--graded-masks', 'max', '--no-report', '--bundles', 'none')
    done = lacuna_here('run', 'snm', tmp_path / 'bids', tmp_path / 'out', *words, *options)
    assert done.returncode == 0
    cut = []
    for each in ('toy', 'other'):
        path = one(tmp_path / f'out/tractogram-{each}', 'desc-summarystatistics_stats.json')
        cut.append(json.loads(path.read_text())['weight_disconnected_pct'])
    (row,) = (line.split() for line in done.stdout.splitlines() if line.startswith('sub-01_label-lesion '))
    assert row[1:4] == [f'{values.sum() / 1000:.2f}', f'{np.mean(cut):.2f}', f'{np.std(cut, ddof=1):.2f}']


def test_percent_and_refused(toy, graded, run, tmp_path, lacuna_here):
    values, affine = graded
    write_mask(toy.mask, 100 * values, affine, 'uint8')
    bids = tmp_path / 'bids'
    for options, code, said in (
        ((), 1, '--graded-masks max'),
        (('--graded-masks', 'max'), 1, '--mask-scale'),
        (('--graded-masks', 'max', '--mask-scale', '100'), 0, ''),
        (('--graded-masks', 'max', '--binarize', '50'), 2, '--binarize'),
        (('--mask-scale', '100'), 2, '--graded-masks max'),
        (('--graded-masks', 'max', '--mask-scale', '0'), 2, '--mask-scale'),
    ):
        checked = lacuna_here('check', bids, *options)
        assert (checked.returncode, said in checked.stdout + checked.stderr) == (code, True)
        if code:
            done = run('out', '--no-report', *options)
            assert (done.returncode, said in done.stderr) == (2, True)  # no mask can be used
    copied = lacuna_here(
        'bidsify', bids / 'sub-01/anat', tmp_path / 'copied', '--space', SPACE,
        '--graded-masks', 'max', '--mask-scale', '100',
    )  # fmt: skip
    assert copied.returncode == 0
    (path,) = (tmp_path / 'copied').rglob('*_mask.nii.gz')
    np.testing.assert_array_equal(nb.load(path).get_fdata(dtype=np.float32), values)
