"""Null lesions of a run: its files, what is made again, and what is refused."""

import json
import shutil

import nibabel as nb
import numpy as np
import pandas as pd
import pytest
from helpers.cohort import tree
from helpers.toys import write_two_networks

import lacuna
from lacuna.bids.outputs import Target
from lacuna.reports.figures.nulls import _density
from lacuna.reports.participant import is_current, make_report
from lacuna.reports.similarity import correlation, similarities
from lacuna.streamlines.null_settings import NullSettings
from lacuna.testing import audit_graph, write_mask
from lacuna.workflows.nulls import NULL_TARGETS, init_null_wf

SPACE = 'MNI152NLin6Asym'
NULLS = ('--null-lesions', 40, '--null-seed', 4)


@pytest.fixture(scope='module')
def folder(_written_toy, tmp_path_factory):
    """The toy with bundles, an atlas of two networks, and its results with null lesions."""
    folder = tmp_path_factory.mktemp('nulls')
    shutil.copytree(_written_toy.tracks.parent, folder, dirs_exist_ok=True)
    (folder / 'toy_bundles.tsv').write_text('bundle\tfirst\tcount\nall\t0\t30\none\t3\t1\nnone\t0\t0\n')
    lesion = nb.load(next(folder.rglob('*_mask.nii.gz')))
    write_two_networks(folder, lesion)
    return folder


@pytest.fixture
def run(folder, lacuna_here):
    atlas = ('--custom-parcellation', 'toy2', folder / 'parcels.nii.gz', folder / 'parcels.tsv', SPACE)
    asked = ('--compute-roi-disconnection', '--compute-networks', '--compute-disconnectivity-matrix')

    def run(out, *options):
        words = ('--connectome-path', folder / 'toy.tck', '--no-report', '--nprocs', 1, *atlas, *asked)
        return lacuna_here('run', 'snm', folder / 'bids', folder / out, *words, *options)

    return run


def files(out):
    return {name: (out / name).read_bytes() for name in tree(out) if name.startswith('sub-')}


def one(out, end):
    (path,) = (out / 'sub-01').rglob(f'*_{end}')
    return path


def test_null_lesions_are_added_to_results(run, folder):
    """Own files beside those of before, which stay as they are; the numbers are those of Python; a graph gives the same."""
    assert run('out').returncode == 0
    before = files(folder / 'out')
    done = run('out', *NULLS)
    assert (done.returncode, '1 now' in done.stdout) == (0, True)
    after = files(folder / 'out')
    assert {name: after[name] for name in before} == before
    ends = {name.rpartition('desc-')[2] for name in after.keys() - before.keys()}
    assert ends == {
        'nullpercentile.nii.gz', 'nullpercentile.json', 'nullz.nii.gz', 'nullz.json', 'nulls_stats.json',
        'null_bundlestats.tsv', 'null_bundlestats.json', 'null_parceltable.tsv', 'null_parceltable.json',
        'nullp_connmatrix.tsv', 'nullp_connmatrix.json', 'nullexpected_connmatrix.tsv', 'nullexpected_connmatrix.json',
    }  # fmt: skip

    mask = next((folder / 'bids').rglob('*_mask.nii.gz'))
    lesion = lacuna.Tractogram(folder / 'toy.tck').disconnect(mask)
    atlas = (folder / 'parcels.nii.gz', folder / 'parcels.tsv', SPACE)
    found = lesion.nulls(40, seed=4, atlases=[atlas])
    out = folder / 'out'
    for name, wanted in (
        ('desc-null_bundlestats.tsv', found.bundles),
        ('atlas-toy2_desc-null_parceltable.tsv', found.parcels('custom')),
        ('seg-networks_desc-null_parceltable.tsv', found.networks('custom')),
    ):
        table = pd.read_csv(one(out, name), sep='\t', index_col=0, na_values='n/a')
        pd.testing.assert_frame_equal(table, wanted)
    p = pd.read_csv(one(out, 'desc-nullp_connmatrix.tsv'), sep='\t', index_col=0)
    np.testing.assert_allclose(p, found.edges('custom')['p'])
    z = nb.load(one(out, 'desc-nullz.nii.gz'))
    np.testing.assert_array_equal(np.asanyarray(z.dataobj), np.asanyarray(found.z.dataobj))
    statistics = json.loads(one(out, 'desc-nulls_stats.json').read_text())
    assert statistics == {key.replace('custom', 'toy2'): value for key, value in found.statistics.items()}
    sidecar = json.loads(one(out, 'desc-nullz.json').read_text())
    assert sidecar['NullLesions'] == {
        'Count': 40,
        'Seed': 4,
        'Inside': 0.95,
        'Within': 'brain',
        'Mirrors': False,
    }
    assert (
        one(out, 'desc-nulls_stats.json').name
        in json.loads(one(out, 'desc-nullpercentile.json').read_text())['Files']
    )

    again = run('out', *NULLS)
    assert (again.returncode, '0 now' in again.stdout) == (0, True)
    other = run('out', '--null-lesions', 40)
    assert other.returncode == 2
    assert 'seed of null lesions: 4 on disk, 0 now' in other.stderr
    assert run('out').returncode == 0  # without null lesions, those that are there do no harm

    lesion = lacuna.load_results(out)[0]
    pd.testing.assert_frame_equal(lesion.null_bundles(), found.bundles)
    assert lesion.null_statistics == statistics

    current = is_current(out, '01', viewer=False)
    page = make_report(out, '01', viewer=False).read_text()
    assert (current, is_current(out, '01', viewer=False)) == (False, True)
    drawn = {path.name.rpartition('desc-')[2] for path in (out / 'sub-01/figures').iterdir()}
    assert {'nullsummary_figure.html', 'nulls_figure.svg', 'nullbundles_figure.svg'} <= drawn
    assert f'{statistics["null_places"]:,} places' in page

    (folder / 'plugin.yml').write_text('plugin: Linear\n')
    assert run('graph', *NULLS, '--use-plugin', folder / 'plugin.yml').returncode == 0
    graph = files(folder / 'graph')
    assert graph.keys() == after.keys()
    assert all(graph[name] == after[name] for name in after if not name.endswith('.json'))
    assert (
        graph[next(name for name in graph if name.endswith('nulls_stats.json'))]
        == after[next(name for name in after if name.endswith('nulls_stats.json'))]
    )
    assert 'null lesions' in next((folder / 'graph/logs').rglob('CITATION.md')).read_text()


def test_the_graph_has_no_faults():
    targets = (
        *NULL_TARGETS,
        Target('null_bundles', 'toy'),
        Target('null_parcels', 'a'),
        Target('null_networks', 'b'),
    )
    workflow = init_null_wf(
        space=SPACE, settings=NullSettings(), targets=targets, networks={'b': ['one', '']}
    )
    entry = workflow.get_node('inputnode').inputs
    for field in entry.copyable_trait_names():
        setattr(entry, field, '/')
    assert {'mask', 'index', 'weighting', 'endpoints_a', 'endpoints_b', 'bundles_toy'} == set(
        entry.copyable_trait_names()
    )
    assert audit_graph(workflow) == []


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        (('--null-seed', 3), '--null-lesions'),
        (('--null-lesions', '--null-within', 'reference'), '--null-reference'),
        (('--null-lesions', '--null-reference', '/nowhere'), '--null-within'),
        (('--null-lesions', '--null-tissues', 'a.nii', 'b.nii'), '--null-within tissue'),
        (('--null-lesions', '--engine', 'mrtrix'), '--engine mrtrix'),
        (('--null-lesions', '--null-within', 'lesions', '--null-reference', '/nowhere'), '/nowhere'),
        (('--null-lesions', '--null-inside', 2), '2'),
    ],
)
def test_settings_that_do_not_fit(run, options, named):
    done = run('refused', *options)
    assert done.returncode == 2
    assert named in done.stderr


def test_steps_of_a_distribution_have_the_area_of_their_share():
    values = np.sort(np.random.default_rng(18).poisson(3, 500))
    quantiles = {
        f'n_q{at}': float(np.percentile(values, at, method='inverted_cdf')) for at in range(0, 101, 5)
    }
    heights, edges = _density(quantiles, 'n_q')
    assert (edges[0], edges[-1]) == (values[0], values[-1])
    below = np.cumsum(heights * np.diff(edges))
    highest = {edge: max(at for at in range(0, 101, 5) if quantiles[f'n_q{at}'] == edge) for edge in edges}
    np.testing.assert_allclose(below[-1] - below, [100 - highest[edge] for edge in edges[1:]], atol=1e-9)
    assert _density({'n_q0': 4.0, 'n_q100': 4.0}, 'n_q')[0].tolist() == [1.0]


@pytest.mark.slow
def test_similarity_of_the_maps_of_a_cohort(folder, lacuna_here):
    """Each with the mean of the others, computed anew; the page shows them. The cohort is the reference of its null lesions."""
    lesion = nb.load(next((folder / 'bids').rglob('sub-01*_mask.nii.gz')))
    for number, shift in ((1, 0), (2, 6), (3, -8)):
        mask = np.roll(np.asanyarray(lesion.dataobj), shift, axis=1)
        write_mask(
            folder / f'three/sub-0{number}_space-{SPACE}_label-lesion_mask.nii.gz', mask, lesion.affine
        )
    words = (
        '--connectome-path',
        folder / 'toy.tck',
        '--no-report',
        '--bundles',
        'none',
        '--null-lesions',
        100,
    )
    words += ('--null-within', 'reference', '--null-reference', folder / 'cohort')  # where they hit something
    assert lacuna_here('bidsify', folder / 'three', folder / 'cohort', '--space', SPACE).returncode == 0
    assert lacuna_here('run', 'snm', folder / 'cohort', folder / 'all', *words).returncode == 0
    results = lacuna.load_results(folder / 'all')
    support = nb.load(next((folder / 'all/connectome').glob('*_tdi.nii.gz'))).get_fdata() > 0
    maps, z = (
        np.array([nb.load(each.path(key)).get_fdata()[support] for each in results])
        for key in ('disconnection_map', 'null_z')
    )
    found = list(similarities(results))
    assert [row.lesion.stem for row in found] == [each.stem for each in results]
    for row, each in enumerate(found):
        others = np.arange(3) != row
        assert each.before == pytest.approx(np.corrcoef(maps[row], maps[others].mean(axis=0))[0, 1])
        assert each.after == pytest.approx(np.corrcoef(z[row], z[others].mean(axis=0))[0, 1])
        assert each.degree == pytest.approx(100 * each.lesion.null_statistics['density_correlation'] ** 2)
    table = results.table('nulls')
    assert table['density_correlation'].tolist() == [
        each.null_statistics['density_correlation'] for each in results
    ]
    assert np.isnan(correlation(np.ones(3), np.arange(3.0)))
    assert lacuna_here('collect', folder / 'all').returncode == 0
    assert 'id="Specificity"' in (folder / 'all/group.html').read_text()
    table = pd.read_csv(next((folder / 'all').glob('group_*desc-nulls_stats.tsv')), sep='\t')
    assert table['density_correlation'].tolist() == [
        each.null_statistics['density_correlation'] for each in results
    ]
