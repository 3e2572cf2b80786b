"""Bundles, lesion load, networks and longer paths of a run: its files, what is made again, and what is refused."""

import json
import shutil

import nibabel as nb
import numpy as np
import pandas as pd
import pytest
from helpers.cohort import tree
from helpers.tables import read_exact
from helpers.toys import write_two_networks

import lacuna
from lacuna.streamlines.files.tck import iter_blocks, read_header, write_tck
from lacuna.testing import toy_streamlines, write_mask

SPACE = 'MNI152NLin6Asym'
OPTIONS = (
    '--compute-disconnectivity-matrix', '--compute-roi-disconnection', '--lesion-load', '--compute-networks',
    '--compute-higher-order',
)  # fmt: skip
BUNDLES = [('all of them', 0, 30), ('AF_left', 2, 7), ('AF_left', 20, 3), ('none', 0, 0), ('one', 5, 1)]


def write_bundles(path, rows=BUNDLES):
    path.write_text('bundle\tfirst\tcount\n' + ''.join('\t'.join(map(str, row)) + '\n' for row in rows))
    return path


@pytest.fixture
def study(toy, tmp_path):
    """The toy with a table of its bundles, a mask without voxels, and an atlas of two networks."""
    write_bundles(toy.tracks.with_name('toy_bundles.tsv'))
    lesion = nb.load(toy.mask)
    write_mask(
        tmp_path / f'bids/sub-02/anat/sub-02_space-{SPACE}_label-lesion_mask.nii.gz',
        np.zeros(lesion.shape),
        lesion.affine,
    )
    write_two_networks(tmp_path, lesion)
    return toy


@pytest.fixture
def atlas(tmp_path):
    return ('--custom-parcellation', 'toy2', tmp_path / 'parcels.nii.gz', tmp_path / 'parcels.tsv', SPACE)


@pytest.fixture
def run(study, tmp_path, lacuna_here):
    def run(out, *options, tracks=None):
        words = ('--connectome-path', tracks or study.tracks, '--no-report', '--nprocs', 1)
        return lacuna_here(
            'run', 'snm', tmp_path / 'bids', tmp_path / out, *words, '-w', tmp_path / 'work', *options
        )

    return run


def results(folder):
    """Content of the results, without what names the program and the command."""
    found = {}
    for name in tree(folder):
        if name.startswith('sub-'):
            content = (folder / name).read_bytes()
            if name.endswith('.json'):
                facts = json.loads(content)
                content = {key: facts[key] for key in facts if key not in ('SoftwareVersions', 'CommandLine')}
            found[name] = content
    return found


def one(folder, end, subject='01'):
    (path,) = (folder / f'sub-{subject}').rglob(f'*_{end}')
    return path


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob('sub-*/**/*_*')}


@pytest.mark.mrtrix
@pytest.mark.parametrize('rule', ['radial', 'end-voxels'])
def test_both_engines_and_python(study, run, atlas, tmp_path, rule):
    given = (*atlas, *OPTIONS, '--assignment', rule, '--spared-threshold', '40')
    assert run('index', *given).returncode == 0
    assert run('mrtrix', *given, '--engine', 'mrtrix').returncode == 0
    first = results(tmp_path / 'index')
    assert first == results(tmp_path / 'mrtrix')
    support = [next((tmp_path / each).glob('connectome/*_mask.nii.gz')) for each in ('index', 'mrtrix')]
    assert support[0].name == support[1].name
    assert support[0].read_bytes() == support[1].read_bytes()
    assert len([name for name in first if name.endswith('.tsv')]) == 2 * 13
    lesion = lacuna.Tractogram(study.tracks, nprocs=1).disconnect(study.mask)
    parcels = lesion.parcels((*atlas[2:],), assignment=rule)
    longer = parcels.higher_order(40)
    for end, wanted in (
        ('atlas-toy_desc-disconnectionpct_bundlestats.tsv', lesion.bundles().table),
        ('desc-support_parceltable.tsv', parcels.support),
        ('atlas-toy2_desc-disconnectionpct_connmatrix.tsv', parcels.matrix),
        ('seg-networks_desc-disconnectionpct_connmatrix.tsv', parcels.networks.matrix),
        ('desc-deltasspl_connmatrix.tsv', longer.delta),
        ('desc-indirectdisconnection_connmatrix.tsv', longer.indirect),
    ):
        pd.testing.assert_frame_equal(
            read_exact(one(tmp_path / 'index', end)), wanted, check_names=False, check_exact=True
        )
    for end, wanted in (
        ('desc-lesionloadpct_parcelstats.tsv', parcels.load),
        ('atlas-toy2_desc-disconnectionpct_parcelstats.tsv', parcels.disconnection),
        ('seg-networks_desc-disconnectionpct_parcelstats.tsv', parcels.networks.disconnection),
        ('desc-deltasspl_parcelstats.tsv', longer.mean),
    ):
        table = read_exact(one(tmp_path / 'index', end))
        assert list(table) == ['value']
        pd.testing.assert_series_equal(table['value'], wanted, check_names=False, check_exact=True)
    numbers = json.loads(one(tmp_path / 'index', 'desc-higherorder_stats.json').read_text())
    assert numbers == longer.statistics
    # 10 of the 15 long lines are cut; 20 of the 30 lines begin in the left parcel, and end short of another
    assert read_exact(one(tmp_path / 'index', 'bundlestats.tsv'))['value'].tolist()[:1] == [100 * 10 / 30]
    assert list(parcels.networks.disconnection.index) == ['one', 'two']
    assert (parcels.disconnection['far'] > 0) == (rule == 'radial')
    cut = read_exact(one(tmp_path / 'index', 'bundlestats.tsv', '02'))
    assert cut['streamlines_disconnected'].tolist() == [0, 0, 0, 0]
    assert cut['value'].isna().tolist() == [False, False, True, False]


def test_without_options_only_bundles_are_added(run, tmp_path):
    assert run('out').returncode == 0
    assert sorted(name.split('_method-snm_')[1] for name in tree(tmp_path / 'out/sub-01')) == [
        'atlas-toy_desc-disconnectionpct_bundlestats.json',
        'atlas-toy_desc-disconnectionpct_bundlestats.tsv',
        'desc-summarystatistics_stats.json',
        f'space-{SPACE}_desc-disconnectionpct.json',
        f'space-{SPACE}_desc-disconnectionpct.nii.gz',
    ]
    assert run('none', '--bundles', 'none').returncode == 0
    assert not list((tmp_path / 'none').rglob('*bundlestats*'))


def test_what_is_asked_for_later_is_added(run, atlas, tmp_path):
    out = tmp_path / 'out'
    assert run('out', *atlas, '--compute-roi-disconnection', '--bundles', 'none').returncode == 0
    before = times(out)
    for more, made in (
        (('--compute-higher-order',), 9),  # and the bundles
        (('--compute-higher-order', '--lesion-load'), 2),
        (('--compute-networks', '--bundles', tmp_path / 'toy_bundles.tsv', 'mine'), 6),
    ):
        assert run('out', *atlas, *more).returncode == 0
        after = times(out)
        assert {path: after[path] for path in before} == before
        assert len(after) - len(before) == 2 * made
        before = after
    done = run('out', *atlas, '--compute-networks', '--bundles', tmp_path / 'toy_bundles.tsv', 'mine')
    assert '(0 now)' in done.stdout
    assert times(out) == before
    # the ends of streamlines decide nothing of the load
    assert run('out', *atlas, '--lesion-load', '--assignment', 'end-voxels').returncode == 0
    checked = lacuna.load_results(out)[0]
    assert checked.bundle_sets == ['mine', 'toy']
    assert checked.atlases == ['toy2']


def test_other_bundles_threshold_or_rule(run, atlas, study, tmp_path):
    given = (*atlas, '--compute-higher-order')
    assert run('out', *given).returncode == 0
    before = results(tmp_path / 'out')
    for other, said in (
        (('--spared-threshold', '20'), 'spared'),
        (('--assignment', 'end-voxels'), 'rule for the ends'),
    ):
        done = run('out', *given, *other)
        assert (done.returncode, done.stdout) == (2, '')
        assert said in done.stderr
    write_bundles(study.tracks.with_name('toy_bundles.tsv'), BUNDLES[:3])
    done = run('out', *given)
    assert done.returncode == 2
    assert 'content of the atlas' in done.stderr
    assert results(tmp_path / 'out') == before
    assert run('out', *given, '--overwrite').returncode == 0
    assert len(read_exact(one(tmp_path / 'out', 'bundlestats.tsv'))) == 2
    changed = {name for name, content in results(tmp_path / 'out').items() if content != before[name]}
    assert {name.split('atlas-')[-1] for name in changed} == {
        'toy_desc-disconnectionpct_bundlestats.tsv', 'toy_desc-disconnectionpct_bundlestats.json',
    }  # fmt: skip


def test_a_probability_atlas(run, study, tmp_path):
    mask = nb.load(study.mask)
    random = np.random.default_rng(0)
    data = random.random((20, 20, 20, 2)) * (random.random((20, 20, 20, 2)) < 0.5)
    affine = np.array([[2.0, 0, 0, -20], [0, 2, 0, -10], [0, 0, 2, -20], [0, 0, 0, 1]])
    nb.save(nb.Nifti1Image(data.astype('f4'), affine), tmp_path / 'prob.nii.gz')
    (tmp_path / 'prob.tsv').write_text('index\tname\n1\tAF L\n2\tCST\n')
    custom = ('--custom-parcellation', 'prob', tmp_path / 'prob.nii.gz', tmp_path / 'prob.tsv')
    assert run('out', *custom, SPACE, '--lesion-load').returncode == 0
    world = np.indices((20, 20, 20)).reshape(3, -1) * 2.0 + affine[:3, 3:]
    at = np.rint(np.linalg.inv(mask.affine)[:3, :3] @ (world - mask.affine[:3, 3:])).astype(int)
    inside = np.asarray(mask.dataobj)[tuple(at)] > 0
    assert inside.sum() > 50
    flat = data.astype('f4').reshape(-1, 2).astype(float)
    load = read_exact(one(tmp_path / 'out', 'atlas-prob_desc-lesionloadpct_parcelstats.tsv'))['value']
    np.testing.assert_allclose(load, 100 * flat[inside].sum(0) / flat.sum(0), rtol=1e-12)
    largest = read_exact(one(tmp_path / 'out', 'atlas-prob_desc-lesionprobmaxpct_parcelstats.tsv'))['value']
    np.testing.assert_allclose(largest, 100 * flat[inside].max(0), rtol=1e-12)
    done = run('out', *custom, SPACE, '--lesion-load', '--compute-roi-disconnection')
    assert (done.returncode, done.stderr.count('\n')) == (2, 1)
    assert '--compute-roi-disconnection' in done.stderr
    done = run('out', *custom, 'MNI152NLin2009cAsym', '--lesion-load')
    assert (done.returncode, done.stderr.count('\n')) == (2, 1)
    assert 'MNI152NLin2009cAsym' in done.stderr


def test_the_tables_of_all_lesions(run, atlas, lacuna_here, tmp_path):
    out = tmp_path / 'out'
    assert run('out', *atlas, *OPTIONS).returncode == 0
    assert lacuna_here('collect', out, '--no-report').returncode == 0
    for end, key, scope in (
        ('atlas-toy_desc-disconnectionpct_bundlestats', 'bundles', 'toy'),
        ('atlas-toy2_desc-lesionloadpct_parcelstats', 'load', 'toy2'),
        ('atlas-toy2_seg-networks_desc-disconnectionpct_parcelstats', 'networks', 'toy2'),
        ('atlas-toy2_desc-deltasspl_parcelstats', 'deltasspl', 'toy2'),
    ):
        table = read_exact(out / f'group_label-lesion_method-snm_{end}.tsv')
        own = read_exact(one(out, f'{end}.tsv'))['value']
        np.testing.assert_array_equal(table.loc['sub-01', list(own.index)].astype(float), own)
        read = lacuna.load_results(out).table(key)
        np.testing.assert_array_equal(read.loc[0, list(own.index)].astype(float), own)
        assert len(read) == len(table) == 2
        sidecar = json.loads((out / f'group_label-lesion_method-snm_{end}.json').read_text())
        assert sidecar['Atlas']['Name'] == scope
    lesion = lacuna.load_results(out)[0]
    pd.testing.assert_frame_equal(
        lesion.bundles(), read_exact(one(out, 'bundlestats.tsv')), check_dtype=False
    )
    pd.testing.assert_frame_equal(
        lesion.support('toy2'), read_exact(one(out, 'parceltable.tsv')), check_dtype=False
    )
    one(out, 'desc-support_parceltable.tsv', '02').unlink()
    one(out, 'bundlestats.tsv', '02').unlink()
    done = lacuna_here('check', out)
    assert done.returncode == 1
    assert 'bundlestats.tsv' in done.stdout
    assert 'parceltable.tsv' in done.stdout
    assert run('out', *atlas, *OPTIONS).returncode == 0
    assert lacuna_here('check', out).returncode == 0


def test_a_folder_of_bundles(run, tmp_path):
    """One tractogram a bundle, joined in the order of their names."""
    lines = toy_streamlines()
    folder = tmp_path / 'atlas of tracts'
    folder.mkdir()
    for name, part in (('b', lines[:12]), ('a c', lines[12:30:2]), ('z', lines[13:30:2])):
        write_tck(folder / f'{name}.tck', part)
    assert run('out', '--connectome-space', SPACE, tracks=folder).returncode == 0
    table = read_exact(one(tmp_path / 'out', 'atlas-atlasoftracts_desc-disconnectionpct_bundlestats.tsv'))
    assert table['streamlines'].to_dict() == {'a c': 9, 'b': 12, 'z': 9}
    joined = [*lines[12:30:2], *lines[:12], *lines[13:30:2]]
    write_tck(tmp_path / 'joined.tck', joined)
    lesion = lacuna.Tractogram(tmp_path / 'joined.tck', SPACE, nprocs=1).disconnect(
        next((tmp_path / 'bids/sub-01').rglob('*.nii.gz'))
    )
    cut = lesion.streamlines
    assert table['streamlines_disconnected'].tolist() == [
        (cut < 9).sum(), ((cut >= 9) & (cut < 21)).sum(), (cut >= 21).sum()
    ]  # fmt: skip


def test_refused(run, atlas, study, tmp_path):
    (tmp_path / 'plain.tsv').write_text('index\tname\n3\tright\n4\tfar\n7\tleft\n')
    plain = ('--custom-parcellation', 'plain', tmp_path / 'parcels.nii.gz', tmp_path / 'plain.tsv', SPACE)
    far = write_bundles(tmp_path / 'far.tsv', [('x', 25, 6)])
    (tmp_path / 'labels.txt').write_text('a\n' * 29)
    (tmp_path / 'no.tsv').write_text('bundle\tfirst\tcount\n')
    for words, named in (
        ((*plain, '--compute-networks'), 'plain.tsv'),
        ((*atlas, '--lesion-load', '--bundles', tmp_path / 'toy_bundles.tsv', 'toy2'), 'toy2'),
        (('--bundles', far), 'far.tsv'),
        (('--bundles', tmp_path / 'labels.txt'), 'labels.txt'),
        (('--bundles', tmp_path / 'no.tsv'), 'no.tsv'),
        (('--bundles', tmp_path / 'missing.tsv'), 'missing.tsv'),
        (('--bundles', 'groups'), 'toy.tck'),
        (('--bundles', far, 'A B'), 'A B'),
        (('--bundles', far, 'a', 'b'), 'bundles'),
        (('--spared-threshold', '0'), 'spared_threshold'),
        (('--lesion-load',), '--custom-parcellation'),
        (atlas, '--compute-networks'),
    ):
        done = run('out', *words)
        assert done.returncode == 2, words
        assert done.stderr.startswith('lacuna: ')
        assert done.stderr.count('\n') == 1, done.stderr
        assert named in done.stderr
    assert not (tmp_path / 'out').exists() or not results(tmp_path / 'out')
    study.tracks.with_name('toy_bundles.tsv').write_text('bundle\tfirst\tcount\nx\t0\tmany\n')
    assert run('out').returncode == 2
    assert run('out', '--bundles', 'none').returncode == 0


def test_settings_are_kept(run, atlas, tmp_path):
    """In Python, in the file of settings, and in the command of the sidecars."""
    assert run('out', *atlas, '--compute-higher-order', '--spared-threshold', '30').returncode == 0
    sidecar = json.loads(one(tmp_path / 'out', 'desc-deltasspl_connmatrix.json').read_text())
    assert sidecar['Parameters']['SparedThreshold'] == 30
    assert '--spared-threshold 30' in sidecar['CommandLine']
    result = lacuna.run(
        tmp_path / 'bids',
        tmp_path / 'out',
        connectome_path=tmp_path / 'toy.tck',
        custom_parcellations=[atlas[1:]],
        compute_higher_order=True,
        spared_threshold=30,
        bundles=tmp_path / 'toy_bundles.tsv',
        report='none',
        nprocs=1,
    )
    assert (result.exit_code, [mask.is_new for mask in result.finished]) == (0, [False, False])
    for path in (tmp_path / 'out').glob('logs/*/settings.toml'):
        shutil.copy(path, tmp_path / 'settings.toml')
    assert '(0 now)' in run('out', '--config', tmp_path / 'settings.toml').stdout


@pytest.mark.mrtrix
@pytest.mark.shared
def test_a_real_lesion(shared, unpacked, lacuna_here, tmp_path):
    """Some bundles of HCP842, a file each, and a lesion of LQT: both engines, and the published numbers."""
    published = pd.read_csv(shared / 'data/reference/lqt_bundle_disconnection.tsv', sep='\t')
    published = published[published['lesion'] == 'ExampleLesion2'].set_index('bundle')
    source = pd.read_csv(shared / 'data/tractograms/HCP842.tsv', sep='\t', index_col='bundle')
    lines = []
    for points, lengths in iter_blocks(read_header(unpacked('HCP842'))):
        lines += np.split(points, np.cumsum(lengths)[:-1])
    names = ['ICP_R', 'MCP', 'V', 'OR_R']
    folder = tmp_path / 'hcp'
    folder.mkdir()
    for name in names:
        first, count = source.loc[name, ['first_index', 'count']]
        write_tck(folder / f'{name}.tck', lines[first : first + count])
    mask = tmp_path / f'sub-01_space-{SPACE}_label-lesion_mask.nii.gz'
    shutil.copyfile(shared / 'data/lesions/LQT/ExampleLesion2.nii.gz', mask)
    words = ('--connectome-path', folder, '--connectome-space', SPACE, '--no-report', '--nprocs', 1)
    words += ('--parcel-atlases', 'schaefer2018parcels100networks7', *OPTIONS, '-w', tmp_path / 'work')
    home = {'TEMPLATEFLOW_HOME': str(shared / 'data/templateflow')}
    for engine in ('index', 'mrtrix'):
        done = lacuna_here('run', 'snm', mask, tmp_path / engine, *words, '--engine', engine, **home)
        assert done.returncode == 0, done.stderr
    found = results(tmp_path / 'index')
    assert len(found) > 25
    assert found == results(tmp_path / 'mrtrix')
    table = read_exact(one(tmp_path / 'index', 'atlas-hcp_desc-disconnectionpct_bundlestats.tsv'))
    assert list(table.index) == sorted(names)
    np.testing.assert_allclose(
        table.loc[names, 'value'], published.loc[names, 'lqt_percent'].astype(float), atol=5e-9
    )
    assert (table['value'] > 0).sum() == 3


def test_support(study, run, tmp_path, atlas):
    """The voxels that enough streamlines visit, and the numbers over them; another K makes what depends on it again."""
    out = tmp_path / 'out'
    given = (*atlas, '--compute-roi-disconnection')
    assert run('out', *given).returncode == 0
    (density,) = out.glob('connectome/*_tdi.nii.gz')
    (mask,) = out.glob('connectome/*_desc-support_mask.nii.gz')
    counts = np.asarray(nb.load(density).dataobj)

    def check(needed):
        support = nb.load(mask)
        assert support.get_data_dtype() == np.uint8
        np.testing.assert_array_equal(support.get_fdata(), counts >= needed)
        np.testing.assert_array_equal(support.affine, nb.load(density).affine)
        image = one(out, 'desc-disconnectionpct.nii.gz')
        for path in (mask, image):
            about = json.loads(path.with_name(path.name.replace('.nii.gz', '.json')).read_text())
            assert about['Parameters']['MinSupport'] == needed
        assert about['Support'] == f'bids::{mask.relative_to(out).as_posix()}'
        percent = np.asarray(nb.load(image).dataobj)
        values = percent[(percent > 0) & (counts >= needed)]
        summary = json.loads(one(out, 'desc-summarystatistics_stats.json').read_text())
        found = [summary[key] for key in ('min_support', 'voxels_disconnected', 'voxels_supported')]
        assert found == [needed, (percent > 0).sum(), len(values)]
        assert summary['disconnection_mean_supported_pct'] == pytest.approx(
            values.mean() if len(values) else 0, rel=1e-6
        )
        assert summary['disconnection_max_supported_pct'] == values.max(initial=0)
        lesion = lacuna.Tractogram(study.tracks, nprocs=1).disconnect(study.mask, min_support=needed)
        assert {key: summary[key] for key in lesion.summary} == lesion.summary
        return len(values) / (percent > 0).sum()

    assert check(10) == 0
    stamps = times(out)
    assert run('out', *given, '--min-support', '2').returncode == 0
    assert 0 < check(2) < 1
    changed = {
        path.name.partition('_method-snm_')[2] for path, stamp in times(out).items() if stamp != stamps[path]
    }
    assert changed == {f'space-{SPACE}_desc-disconnectionpct.json', 'desc-summarystatistics_stats.json'}
    about = json.loads(density.with_name(density.name.replace('.nii.gz', '.json')).read_text())
    assert 'MinSupport' not in about['Parameters']
    # the others would not fit the mask, of which there is one
    refused = run('out', *given, '--participant-label', '01')
    assert refused.returncode == 2
    assert 'sub-02' in refused.stderr
    assert '2 on disk, 10 now' in refused.stderr
    # results of a version that did not have it
    for path in (mask, mask.with_name(mask.name.replace('.nii.gz', '.json'))):
        path.unlink()
    for subject in ('01', '02'):
        path = one(out, f'space-{SPACE}_desc-disconnectionpct.json', subject)
        about = json.loads(path.read_text())
        del about['Support'], about['Parameters']['MinSupport']
        path.write_text(json.dumps(about))
    assert run('out', *given).returncode == 0
    assert check(10) == 0
    assert run('out', *given, '--min-support', '0').returncode == 2
