"""Parcels and matrices: by hand, on the command line, and against plain MRtrix3 on real data."""

import csv
import json
import shutil
import subprocess

import nibabel as nb
import numpy as np
import pandas as pd
import pytest
from helpers.cohort import tree

from lacuna.cli import main
from lacuna.images.spaces import standard_grid
from lacuna.measures import connectivity, matrix_statistics, roi_disconnection
from lacuna.streamlines.endpoints import Coverage, EndpointTable
from lacuna.testing import audit_graph, world_coordinates, write_mask
from lacuna.workflows.connectivity import CONNECTIVITY_FIELDS, init_connectivity_wf, init_parcellation_wf
from lacuna.workflows.snm import init_snm_wf

SPACE = 'MNI152NLin6Asym'
PAIRS = np.array([[1, 2], [2, 1], [1, 3], [3, 3], [0, 2], [0, 0], [2, 3]])


def test_matrix_by_hand():
    assert connectivity(PAIRS, 4).tolist() == [[0, 2, 1, 0], [2, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    assert connectivity(PAIRS, 4, np.array([0, 2, 4])).tolist() == [
        [0, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0],
    ]  # fmt: skip
    assert connectivity(PAIRS, 4, np.array([], int)).sum() == 0


def test_roi_is_a_ratio_of_sums():
    full = np.array([[0, 10, 90], [10, 0, 0], [90, 0, 0]])
    cut = np.array([[0, 10, 0], [10, 0, 0], [0, 0, 0]])
    assert roi_disconnection(cut, full).tolist() == [10, 100, 0]  # the mean of the ratios would be 50


def test_roi_without_a_connection_is_not_spared():
    full = np.array([[0, 4, 0], [4, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(roi_disconnection(full, full), [100, 100, np.nan])
    empty = np.zeros((2, 2), int)
    assert np.isnan(roi_disconnection(empty, empty)).all()
    statistics = matrix_statistics(
        lesion_matrix=empty, full_matrix=empty, names='ab', streamlines_unassigned=0
    )
    assert statistics['most_affected_parcel'] is None
    first = np.array([[0, 0, 0], [0, 0, 4], [0, 4, 0]])  # the parcel without a connection comes first
    statistics = matrix_statistics(
        lesion_matrix=first, full_matrix=first, names='abc', streamlines_unassigned=0
    )
    assert statistics['most_affected_parcel'] == 'b'


def test_statistics_by_hand():
    full = np.array([[0, 4, 2, 0], [4, 0, 1, 0], [2, 1, 0, 0], [0, 0, 0, 0]])
    cut = np.array([[0, 1, 2, 0], [1, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]])
    assert matrix_statistics(
        lesion_matrix=cut, full_matrix=full, names=['a', 'b', 'c', 'd'], streamlines_unassigned=3
    ) == {
        'parcels': 4,
        'edges': 3,
        'edges_affected': 2,
        'edges_affected_pct': pytest.approx(200 / 3),
        'disconnection_mean_pct': pytest.approx((25 + 100 + 0) / 3),
        'disconnection_max_pct': 100.0,
        'degree_loss': {'a': 1, 'b': 0, 'c': 1, 'd': 0},
        'degree_loss_mean': 0.5,
        'degree_loss_max': 1,
        'most_affected_parcel': 'c',  # 2 of 3, against 3 of 6 of a
        'streamlines_unassigned': 3,
    }


def test_most_affected_of_equals_loses_most():
    full = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 5], [0, 0, 5, 0]])
    statistics = matrix_statistics(
        lesion_matrix=full, full_matrix=full, names=list('abcd'), streamlines_unassigned=0
    )
    assert statistics['most_affected_parcel'] == 'c'
    nothing = matrix_statistics(
        lesion_matrix=full * 0, full_matrix=full, names=list('abcd'), streamlines_unassigned=0
    )
    assert nothing['most_affected_parcel'] is None


def test_table_survives_the_disk(tmp_path):
    table = EndpointTable.of(PAIRS, ('a', 'b', 'ü', 'd'), np.array([[[0, 1, 2, 4]]]))
    loaded = EndpointTable.load(table.save(tmp_path / 'x.npz'))
    assert loaded.names == table.names
    np.testing.assert_array_equal(loaded.pairs, PAIRS)
    assert loaded.unassigned(np.array([0, 4, 5])) == 2
    # of 14 ends, three are in no parcel; 'ü' has no voxel, and in 'd' none ends
    for coverage in (Coverage.load(tmp_path / 'x.npz'), loaded.coverage):
        assert coverage.ends.tolist() == [3, 3, 4, 4, 0]
        assert coverage.unassigned_pct == pytest.approx(300 / 14)
        assert coverage.unreached == ['d']
        assert [
            doubt.startswith('the atlas toy: no streamline ends in 1 of its 3')
            for doubt in coverage.doubts('toy', SPACE)
        ] == [True]
    (tmp_path / 'x.npz').write_bytes(b'PK')
    assert Coverage.load(tmp_path / 'x.npz') is None
    assert Coverage.load(tmp_path / 'absent.npz') is None


def test_graphs_are_sound(tmp_path):
    assert audit_graph(init_parcellation_wf(space=SPACE, cached_endpoints=tmp_path / 'x.npz')) == []
    assert audit_graph(init_connectivity_wf()) == []
    assert audit_graph(init_snm_wf(atlases=['a', 'b'])) == []
    assert audit_graph(init_snm_wf(density=False, atlases=['a'])) == []
    assert 'tck2connectome' in init_parcellation_wf(space=SPACE).visit_desc()


@pytest.mark.shared
def test_graph_of_a_whole_run_is_sound(toy, shared, tmp_path, monkeypatch):
    """With two atlases and streamlines that have to be moved."""
    from lacuna.cli.parser import build_parser
    from lacuna.cli.run import make_config
    from lacuna.execution.cohort import init_cohort_wf, sink_name
    from lacuna.execution.plan import make_plan
    from lacuna.streamlines.tractogram import Tractogram

    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(shared / 'data/templateflow'))
    words = [
        'run',
        'snm',
        '--no-report',
        tmp_path / 'bids',
        tmp_path / 'out',
        '--connectome-path',
        toy.tracks,
    ]
    words += ['--connectome-space', 'MNI152NLin2009cAsym', *BOTH, '--parcel-atlases']
    words += [f'schaefer2018parcels{size}networks7' for size in (100, 200)]
    config = make_config(build_parser().parse_args([str(word) for word in words]))
    tractogram = Tractogram(toy.tracks, config.connectome_space, cache=tmp_path)
    plan = make_plan(config, tractogram, engine_version='3', cache=tmp_path)
    workflow = init_cohort_wf(plan)
    assert audit_graph(workflow) == []
    names = {f'{workflow.name}.{name}' for name in workflow.list_node_names()}
    assert {sink_name(workflow, job) for job in plan.todo} <= names
    assert any(name.endswith('alignment_wf.move') for name in names)


@pytest.fixture
def parcels(tmp_path):
    """Three parcels at the toy's ends and a name without a voxel; values 2, 4, 7, 9 with gaps.

    ``start`` holds x = -20 (all lines), ``low`` x = 20 at z = 0 and 4, ``high`` x = 20 at z = 8.
    """
    shape, affine = (91, 109, 91), np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = (-90, -126, -72)
    x, _, z = world_coordinates(shape, affine)
    data = np.where(abs(x + 20) < 1.5, 2, 0) + np.where((abs(x - 20) < 1.5) & (z < 6), 7, 0)
    data += np.where((abs(x - 20) < 1.5) & (z >= 6), 9, 0)
    image = write_mask(tmp_path / 'parcels.nii.gz', data, affine, 'int16')
    table = tmp_path / 'parcels.tsv'
    table.write_text('index\tname\n7\tlow\n2\tstart\n9\thigh\n4\tabsent\n')
    return ('--custom-parcellation', 'toy', image, table, SPACE)


@pytest.fixture
def run(toy, tmp_path, capsys):
    def command(*options, out='out', work='work', tracks=toy.tracks):
        args = ['run', 'snm', '--no-report', tmp_path / 'bids', tmp_path / out, '--connectome-path', tracks]
        args += ['-w', tmp_path / work, '--nprocs', '1', *options]
        code = main([str(arg) for arg in args])
        return code, *capsys.readouterr()

    return command


BOTH = ('--compute-disconnectivity-matrix', '--compute-roi-disconnection')
STEM = 'sub-01/anat/sub-01_label-lesion_method-snm'


def matrix(folder, desc):
    return pd.read_csv(
        folder / f'{STEM}_atlas-toy_desc-{desc}_connmatrix.tsv', sep='\t', header=0, index_col=0
    )


@pytest.mark.mrtrix
def test_first_the_map_then_the_matrices(run, parcels, tmp_path):
    """The second run adds what is missing, in another work folder, and touches nothing else."""
    assert run()[0] == 0
    out = tmp_path / 'out'
    first = {path: path.stat().st_mtime_ns for path in out.rglob('sub-01*') if path.is_file()}
    code, said, err = run(*parcels, *BOTH, '-v', work='elsewhere')
    assert code == 0, err
    assert {path: path.stat().st_mtime_ns for path in first} == first
    assert tree(out / 'sub-01') - {str(path.relative_to(out / 'sub-01')) for path in first} == {
        f'anat/sub-01_label-lesion_method-snm_atlas-toy_{name}'
        for name in [
            *(
                f'desc-{desc}_connmatrix.{extension}'
                for desc in (
                    'disconnectionpct',
                    'maskconnectivitymatrix',
                    'intactconnectivitymatrix',
                    'fullconnectivitymatrix',
                )
                for extension in ('tsv', 'json')
            ),
            'desc-matrixstatistics_stats.json',
            'desc-disconnectionpct_parcelstats.tsv',
            'desc-disconnectionpct_parcelstats.json',
            'desc-support_parceltable.tsv',
            'desc-support_parceltable.json',
        ]
    }
    names = ['start', 'absent', 'low', 'high']  # in the order of the values 2, 4, 7, 9
    for desc, low, high in (
        ('fullconnectivitymatrix', 10, 5),
        ('maskconnectivitymatrix', 10, 0),
        ('intactconnectivitymatrix', 0, 5),
        ('disconnectionpct', 100, 0),
    ):
        table = matrix(out, desc)
        assert list(table.index) == list(table.columns) == names
        expected = pd.DataFrame(0, names, names)
        expected.loc['start', 'low'] = expected.loc['low', 'start'] = low
        expected.loc['start', 'high'] = expected.loc['high', 'start'] = high
        assert (table == expected).all(axis=None)
    roi = pd.read_csv(out / f'{STEM}_atlas-toy_desc-disconnectionpct_parcelstats.tsv', sep='\t', index_col=0)
    assert roi.columns.tolist() == ['value']
    assert roi.index.name == 'region'
    assert roi['value'].drop('absent').to_dict() == {
        'start': pytest.approx(100 * 10 / 15),
        'low': 100,
        'high': 0,
    }
    assert roi.values.flatten().dtype == float  # what people plot
    assert np.isnan(roi.loc['absent', 'value'])
    assert (
        'absent\tn/a'
        in (out / f'{STEM}_atlas-toy_desc-disconnectionpct_parcelstats.tsv').read_text().splitlines()
    )
    statistics = json.loads((out / f'{STEM}_atlas-toy_desc-matrixstatistics_stats.json').read_text())
    assert statistics['degree_loss'] == {'start': 1, 'absent': 0, 'low': 1, 'high': 0}
    assert (statistics['edges'], statistics['edges_affected']) == (2, 1)
    assert statistics['most_affected_parcel'] == 'low'
    assert statistics['streamlines_unassigned'] == 0
    assert (
        statistics['endpoints_unassigned_pct'] == 25
    )  # the other half of the streamlines have one end in no parcel
    assert statistics['parcels_unreached'] == 0
    assert f'table: {out / STEM}_atlas-toy_desc-disconnectionpct_parcelstats.tsv' in said
    sidecar = json.loads((out / f'{STEM}_atlas-toy_desc-disconnectionpct_parcelstats.json').read_text())
    assert sidecar['Units'] == 'percent'
    assert sidecar['Atlas']['Parcels'] == 4
    links = json.loads((out / 'dataset_description.json').read_text())['DatasetLinks']
    assert set(links) == {'lesions', 'tractogram', 'atlas-toy'}


@pytest.mark.mrtrix
def test_adding_an_atlas_assigns_only_that(run, parcels, tmp_path):
    assert run(*parcels, *BOTH)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').rglob('sub-01*') if path.is_file()}
    again = (parcels[0], 'more', *parcels[2:])
    assert run(*parcels, *again, *BOTH, work='elsewhere')[0] == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list((tmp_path / 'out').rglob('*_atlas-more_*'))) == 13
    assert '1 mask done (0 now)' in run(*parcels, *again, *BOTH, work='elsewhere')[1]


def test_label_table_in_another_folder(run, parcels, tmp_path):
    """Both folders have a link, by which the sidecars name their sources."""
    labels = tmp_path / 'tables' / 'parcels.tsv'
    labels.parent.mkdir()
    parcels[3].rename(labels)
    assert run(*parcels[:3], labels, SPACE, *BOTH)[0] == 0
    out = tmp_path / 'out'
    links = json.loads((out / 'dataset_description.json').read_text())['DatasetLinks']
    sidecar = json.loads((out / f'{STEM}_atlas-toy_desc-disconnectionpct_parcelstats.json').read_text())
    assert sidecar['Sources'][-2:] == [
        'bids:atlas-toy:parcels.nii.gz',
        'bids:atlas-toy-labels:parcels.tsv',
    ]
    assert links['atlas-toy'] == tmp_path.as_uri()
    assert links['atlas-toy-labels'] == labels.parent.as_uri()


@pytest.mark.mrtrix
def test_another_atlas_of_the_same_name_stops(run, parcels, tmp_path):
    run(*parcels, *BOTH)
    table = tmp_path / 'parcels.tsv'
    table.write_text(table.read_text().replace('low', 'lower'))
    code, _, err = run(*parcels, *BOTH)
    assert (code, 'content of the atlas' in err, '--overwrite' in err) == (2, True, True)
    assert run(*parcels, *BOTH, '--overwrite')[0] == 0
    assert 'lower' in matrix(tmp_path / 'out', 'disconnectionpct')


def test_an_atlas_with_two_positions_is_doubtful(run, parcels):
    _, _, path, *_ = parcels
    image = nb.load(path)
    flipped = np.diag([-1.0, 1, 1, 1]) @ image.affine
    two = nb.Nifti1Image(np.asarray(image.dataobj), image.affine)
    two.set_qform(flipped, code=1)
    nb.save(two, path)
    code, _, err = run(*parcels, *BOTH, '--dry-run')
    assert code == 0, err
    (line,) = (line for line in err.splitlines() if 'qform' in line)
    assert str(path) in line


@pytest.mark.parametrize('change', ['measure', 'labels'])
def test_outputs_of_an_atlas_are_made_with_one_setting(run, parcels, tmp_path, change):
    """The matrices of one run and the parcels of a later one would be taken for those of the same."""
    matrices, rois = BOTH
    run(*parcels, matrices)
    options = ('--edge-measure', 'invlength') if change == 'measure' else ()
    if change == 'labels':
        table = tmp_path / 'parcels.tsv'
        table.write_text(table.read_text().replace('low', 'lower'))
    code, _, err = run(*parcels, rois, *options)
    assert (code, '--overwrite' in err) == (2, True)
    assert ('count on disk, invlength now' if options else 'content of the atlas') in err
    code, _, err = run(*parcels, rois, *options, '--overwrite')
    assert (code, 'removed' in err) == (0, True)
    left = {path.name.partition('toy_')[2] for path in (tmp_path / 'out/sub-01/anat').glob('*_atlas-toy_*')}
    assert left == {
        f'desc-{which}.{extension}'
        for which in ('disconnectionpct_parcelstats', 'support_parceltable')
        for extension in ('tsv', 'json')
    }
    assert run(*parcels, rois, *options)[::2] == (0, '')


def test_what_is_not_made_again_is_removed_if_it_differs(run, parcels, toy, tmp_path):
    other = ('--custom-parcellation', 'other', *parcels[2:])
    nulls = ('--null-lesions', '9', '--null-inside', '0.01')
    code, _, err = run(*parcels, *other, *BOTH, *nulls)
    assert code == 0, err
    folder = tmp_path / 'out/sub-01/anat'
    before = {path: path.read_bytes() for path in folder.iterdir()}
    # the same settings: all of it is still right
    assert run('--overwrite')[::2] == (0, '')
    assert {path: path.read_bytes() for path in folder.iterdir()}.keys() == before.keys()
    # of these null lesions, nothing is left of the others
    code, _, err = run('--overwrite', *nulls, '--null-seed', '3', '--dry-run')
    assert (code, 'removed' in err) == (0, True)
    assert set(folder.iterdir()) == before.keys()
    assert run('--overwrite', *nulls, '--null-seed', '3')[0] == 0
    gone = {path.name for path in before if not path.exists()}
    assert gone
    assert all('null' in name for name in gone)
    # another mask: whatever is left is about it
    data = np.roll(nb.load(toy.mask).get_fdata(), 1, axis=1)
    write_mask(toy.mask, data, nb.load(toy.mask).affine)
    assert run('--overwrite')[0] == 0
    kept = {path.name.partition('_method-snm_')[2] for path in folder.iterdir()}
    assert kept == {
        'desc-summarystatistics_stats.json',
        f'space-{SPACE}_desc-disconnectionpct.nii.gz',
        f'space-{SPACE}_desc-disconnectionpct.json',
    }
    assert main(['check', str(tmp_path / 'out')]) == 0


@pytest.mark.mrtrix
def test_empty_mask_has_matrices_of_zeros(run, toy, parcels, tmp_path):
    image = nb.load(toy.mask)
    write_mask(toy.mask, np.zeros(image.shape), image.affine)
    assert run(*parcels, *BOTH)[0] == 0
    assert matrix(tmp_path / 'out', 'maskconnectivitymatrix').to_numpy().sum() == 0
    assert matrix(tmp_path / 'out', 'fullconnectivitymatrix').to_numpy().sum() == 30


@pytest.mark.mrtrix
@pytest.mark.parametrize(
    ('options', 'says'),
    [
        (BOTH, 'need an atlas: name one'),
        (('--parcel-atlases', 'aal'), 'nothing is computed from the atlas'),
        (('--parcel-atlases', 'aal', *BOTH), "'aal'"),
        (('--custom-parcellation', 'x', 'absent.nii', 'absent.tsv', SPACE, *BOTH), 'absent.nii'),
        (('--atlas-dir', 'absent', '--parcel-atlases', 'aal', *BOTH), 'absent'),
    ],
)
def test_bad_atlases_stop_the_run(run, tmp_path, monkeypatch, options, says):
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(tmp_path / 'nowhere'))
    code, _, err = run(*options)
    assert (code, says in err, err.count('\n')) == (2, True, 1), err
    assert not (tmp_path / 'out').exists()


@pytest.mark.mrtrix
def test_atlas_in_another_space_without_a_transform(run, parcels, tmp_path, monkeypatch):
    (tmp_path / 'empty/tpl-MNI152NLin6Asym').mkdir(parents=True)  # else TemplateFlow fills it with stubs
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(tmp_path / 'empty'))
    code, _, err = run(*parcels[:4], 'MNI152NLin2009cAsym', *BOTH)
    assert (code, 'no transform to move streamlines from MNI152NLin6Asym to MNI152NLin2009cAsym' in err) == (
        2,
        True,
    )
    assert not (tmp_path / 'out').exists()


def warnings_of_last_run(out):
    return json.loads(max(out.glob('logs/*/run.json')).read_text())['warnings']


@pytest.mark.mrtrix
@pytest.mark.parametrize('engine', ['index', 'mrtrix'])
def test_atlas_that_the_streamlines_do_not_reach(run, parcels, tmp_path, engine):
    """Said when the endpoints are assigned, before the next run, in its log, and with the statistics."""
    image = nb.load(parcels[2])
    data = np.asanyarray(image.dataobj).copy()
    data[data > 2] = 0
    data[2:4, 2:4, 2:4] = 4  # far from all streamlines
    write_mask(parcels[2], data, image.affine, 'int16')
    code, _, err = run(*parcels, *BOTH, '--engine', engine)
    assert code == 0, err
    doubts = [line.removeprefix('lacuna: ') for line in err.splitlines() if 'the atlas toy' in line]
    assert len(doubts) == 2
    assert '50 %' in doubts[0]
    assert '1 of its 2 parcels (absent)' in doubts[1]
    assert [doubt for doubt in warnings_of_last_run(tmp_path / 'out') if 'the atlas toy' in doubt] == doubts
    statistics = json.loads(
        (tmp_path / 'out' / f'{STEM}_atlas-toy_desc-matrixstatistics_stats.json').read_text()
    )
    assert (statistics['endpoints_unassigned_pct'], statistics['parcels_unreached']) == (50, 1)

    _, _, err = run(*parcels, *BOTH, '--engine', engine, '--dry-run', out='other')
    assert [line for line in err.splitlines() if 'the atlas toy' in line] == [
        f'lacuna: {doubt}' for doubt in doubts
    ]
    code, _, err = run(*parcels, *BOTH, '--engine', engine, out='other')
    assert (code, err.count('the atlas toy')) == (0, 2)


def test_atlas_of_another_grid_is_said_once(run, tmp_path):
    grid = standard_grid('MNI152NLin2009cAsym', 2)
    image = write_mask(tmp_path / 'atlas.nii.gz', np.ones(grid.shape), grid.affine, 'int16')
    (tmp_path / 'atlas.tsv').write_text('index\tname\n1\tall\n')
    atlas = ('--custom-parcellation', 'mine', image, tmp_path / 'atlas.tsv')
    code, _, err = run(*atlas, SPACE, *BOTH)
    assert code == 0, err
    assert err.count('are a grid of MNI152NLin2009cAsym') == 1
    assert any(str(image) in doubt for doubt in warnings_of_last_run(tmp_path / 'out'))


def test_atlas_that_lies_nowhere_stops_the_run(run, tmp_path):
    for number, (data, affine) in enumerate(
        [(np.ones((9, 9, 9)), np.eye(4)), (np.zeros((9, 9, 9)), np.diag([2.0, 2, 2, 1]))]
    ):
        image = write_mask(tmp_path / f'atlas{number}.nii.gz', data, affine, 'int16')
        (tmp_path / 'atlas.tsv').write_text('index\tname\n1\tall\n')
        code, _, err = run('--custom-parcellation', 'mine', image, tmp_path / 'atlas.tsv', SPACE, *BOTH)
        assert (code, str(image) in err, err.count('\n')) == (2, True, 1)
        assert not (tmp_path / 'out').exists()


def test_what_is_kept_is_named_after_how_it_is_made(toy, parcels, tmp_path, monkeypatch):
    """Endpoint tables and moved streamlines of another version of Lacuna are not taken."""
    from lacuna.cli.parser import build_parser
    from lacuna.cli.run import make_config
    from lacuna.execution.plan import make_plan
    from lacuna.images.transforms import Transform
    from lacuna.streamlines.placed import TractogramInSpace
    from lacuna.streamlines.tractogram import Tractogram

    words = [
        'run',
        'snm',
        tmp_path / 'bids',
        tmp_path / 'out',
        '--connectome-path',
        toy.tracks,
        *parcels,
        *BOTH,
    ]
    config = make_config(build_parser().parse_args([str(word) for word in words]))
    tractogram = Tractogram(toy.tracks, config.connectome_space, cache=tmp_path)
    plan = make_plan(config, tractogram, engine_version=None, cache=tmp_path)
    moved = TractogramInSpace(
        tractogram, 'MNI152NLin2009cAsym', Transform(tmp_path / 'x.h5', 'a' * 64), tmp_path
    )
    before = plan.cached_endpoints(plan.atlases[SPACE].parcellations[0], SPACE), moved.tracks, moved.content
    monkeypatch.setattr('lacuna.streamlines.endpoints.VERSION', 0)
    monkeypatch.setattr('lacuna.streamlines.move._VERSION', 0)
    after = plan.cached_endpoints(plan.atlases[SPACE].parcellations[0], SPACE), moved.tracks, moved.content
    assert all(old != new for old, new in zip(before, after, strict=True))


# ---- real tractograms, lesions and atlases against plain commands ----


def real_parcellations(shared, folder):
    """Label image, label table and its values in order, of five atlases (AAL3's table by value, as it should be)."""
    atlases, templateflow = shared / 'data/atlases', shared / 'data/templateflow' / f'tpl-{SPACE}'
    aal3 = atlases / 'nemo_AAL3v1_MNI152_1mm_182x218x182.nii.gz'
    values = np.unique(np.asanyarray(nb.load(aal3).dataobj))[1:]
    names = [
        line.split('\t')[1]
        for line in (atlases / 'nemo_atlas-aal3_scale-166_dseg.tsv').read_text().splitlines()
    ]
    table = folder / 'aal3.txt'
    table.write_text('\n'.join(f'{value} {name}' for value, name in zip(values, names[1:], strict=True)))
    prefix = f'tpl-{SPACE}'
    found = {
        f'schaefer{size}': (
            templateflow / f'{prefix}_res-01_atlas-Schaefer2018_desc-{size}Parcels7Networks_dseg.nii.gz',
            templateflow / f'{prefix}_atlas-Schaefer2018_desc-{size}Parcels7Networks_dseg.tsv',
        )
        for size in (100, 400)
    }
    return found | {
        'aal3': (aal3, table),
        'fs86': (atlases / 'nemo_fs86_allsubj_mode.nii.gz', atlases / 'nemo_atlas-fs86_dseg.tsv'),
        'aicha': (atlases / 'pynets_AICHAJoliot2015.nii.gz', atlases / 'pynets_AICHAJoliot2015.txt'),
        'cerebra': (atlases / 'CerebrA.nii.gz', atlases / 'CerebrA.txt'),
    }


@pytest.mark.mrtrix
@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.usefixtures('common_cache')
@pytest.mark.parametrize(
    ('tractogram', 'space'), [('HCP842', SPACE), ('ICBM152_adult', 'MNI152NLin2009cAsym')]
)
def test_equal_to_plain_commands(tractogram, space, unpacked, shared, tmp_path, lacuna_here):
    tracks = unpacked(tractogram)
    with (shared / 'data/lesions/lesions.tsv').open() as stream:
        files = [row['file'] for row in csv.DictReader(stream, delimiter='\t')]
    lesions = [
        shared / 'data/lesions' / file
        for start in ('LQT', 'LESYMAP')
        for file in files
        if file.startswith(start)
    ]
    lesions = lesions[:4]
    for number, lesion in enumerate(lesions):
        target = tmp_path / f'bids/sub-{number}/anat/sub-{number}_space-{space}_label-lesion_mask.nii.gz'
        target.parent.mkdir(parents=True)
        shutil.copy(lesion, target)
    atlases = real_parcellations(shared, tmp_path)
    options = [
        word for name, files in atlases.items() for word in ('--custom-parcellation', name, *files, space)
    ]
    done = lacuna_here(
        'run', 'snm', '--no-report', tmp_path / 'bids', tmp_path / 'out', '--connectome-path', tracks, '--connectome-space', space,
        '-w', tmp_path / 'work', '--nprocs', '1', *options, *BOTH,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    selected = [tmp_path / f'selected-{number}.tck' for number in range(len(lesions))]
    for lesion, cut in zip(lesions, selected, strict=True):
        subprocess.run(['tckedit', '-quiet', '-include', lesion, tracks, cut], check=True)
    for name, (image, _) in atlases.items():
        labels = np.unique(np.asanyarray(nb.load(image).dataobj)).astype(int)[1:] - 1
        full = plain_connectome(tracks, image, tmp_path)[np.ix_(labels, labels)]
        for number in range(len(lesions)):
            cut = plain_connectome(selected[number], image, tmp_path)[np.ix_(labels, labels)]
            stem = tmp_path / f'out/sub-{number}/anat/sub-{number}_label-lesion_method-snm_atlas-{name}_desc-'
            ours = {
                desc: pd.read_csv(f'{stem}{desc}_connmatrix.tsv', sep='\t', header=0, index_col=0).to_numpy()
                for desc in ('fullconnectivitymatrix', 'maskconnectivitymatrix', 'intactconnectivitymatrix')
            }
            np.testing.assert_array_equal(ours['fullconnectivitymatrix'], full)
            np.testing.assert_array_equal(ours['maskconnectivitymatrix'], cut)
            np.testing.assert_array_equal(ours['intactconnectivitymatrix'], full - cut)
            percent = pd.read_csv(f'{stem}disconnectionpct_connmatrix.tsv', sep='\t', header=0, index_col=0)
            expected = np.divide(100 * cut, full, out=np.zeros_like(full), where=full > 0)
            np.testing.assert_allclose(percent, expected, rtol=1e-6)
            roi = pd.read_csv(f'{stem}disconnectionpct_parcelstats.tsv', sep='\t', index_col=0)['value']
            sums = full.sum(axis=1)
            expected = np.divide(100 * cut.sum(axis=1), sums, out=np.full(sums.shape, np.nan), where=sums > 0)
            np.testing.assert_allclose(roi, expected, rtol=1e-6)
            statistics = json.loads((tmp_path / f'{stem}matrixstatistics_stats.json').read_text())
            loss = (full > 0).sum(axis=1) - (full - cut > 0).sum(axis=1)
            assert list(statistics['degree_loss'].values()) == loss.tolist()


def plain_connectome(tracks, image, folder):
    """The matrix of the plain command, with MRtrix3's gaps of zeros for labels that are not there."""
    command = ['tck2connectome', '-quiet', '-force', '-symmetric', '-zero_diagonal', tracks, image]
    subprocess.run([*command, folder / 'plain.csv'], check=True)
    return np.loadtxt(folder / 'plain.csv', delimiter=',')


@pytest.mark.mrtrix
def test_embedded(toy, parcels, tmp_path):
    """Both factories in a workflow of somebody else."""
    from nipype.pipeline import engine as pe

    from lacuna.interfaces.connectivity import NumberStreamlines
    from lacuna.workflows.connectome import init_connectome_wf

    workflow = pe.Workflow(name='theirs', base_dir=str(tmp_path / 'work'))
    snm = init_snm_wf(engine='mrtrix', atlases=['toy'])
    once = init_parcellation_wf(engine='mrtrix', space=SPACE)
    connectome = init_connectome_wf(engine='mrtrix', space=SPACE)
    for part in (snm, once, connectome):
        part.inputs.inputnode.tracks = str(toy.tracks)
    once.inputs.inputnode.image, once.inputs.inputnode.labels = map(str, parcels[2:4])
    snm.inputs.inputnode.mask, snm.inputs.inputnode.streamlines_total = str(toy.mask), 30
    workflow.connect([
        (pe.Node(NumberStreamlines(count=30), name='numbers'), snm, [('out_file', 'inputnode.numbers')]),
        (connectome, snm, [('outputnode.full_tdi', 'inputnode.full_tdi')]),
        (once, snm, [('outputnode.endpoints', 'inputnode.endpoints_toy')]),
    ])  # fmt: skip
    workflow.run()
    made = {path.stem for path in (tmp_path / 'work').rglob('connectivity_toy_wf/join/*.tsv')}
    assert made == set(CONNECTIVITY_FIELDS) - {'matrix_statistics'}
    cut = pd.read_csv(next((tmp_path / 'work').rglob('mask_matrix.tsv')), sep='\t', index_col=0)
    assert cut.loc['start', 'low'] == 10
