"""The graphs under the plugins that Nipype itself brings, and the names that their factories take."""

import json
import shutil
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest
from nipype.pipeline import engine as pe

from lacuna.errors import InputError
from lacuna.images.spaces import standard_grid
from lacuna.streamlines.bundles import BundleSet
from lacuna.streamlines.endpoints import EndpointTable
from lacuna.streamlines.files.tck import write_tck
from lacuna.streamlines.null_settings import NullSettings
from lacuna.testing import audit_graph, toy_streamlines, world_coordinates, write_mask
from lacuna.workflows.bundles import init_bundle_set_wf
from lacuna.workflows.connectivity import init_parcellation_wf
from lacuna.workflows.connectome import init_connectome_wf
from lacuna.workflows.nulls import init_null_wf
from lacuna.workflows.report import init_snm_report_wf
from lacuna.workflows.snm import init_snm_wf

SPACE = 'MNI152NLin6Asym'
ENGINES = [pytest.param('mrtrix', marks=pytest.mark.mrtrix), 'index']


@pytest.fixture
def parcels(toy, tmp_path):
    mask = nb.load(toy.mask)
    x, _, _ = world_coordinates(mask.shape, mask.affine)
    labels = np.where(x < -15, 7, np.where(x > 15, 3, 0))
    (tmp_path / 'parcels.tsv').write_text('index\tname\n3\tright\n7\tleft\n')
    return write_mask(tmp_path / 'parcels.nii.gz', labels, mask.affine, 'int16')


def study(toy, parcels, base: Path) -> pe.Workflow:
    """The graph of one mask and one atlas, as users who embed it put it together."""
    connectome = init_connectome_wf(space=SPACE)
    parcellation = init_parcellation_wf(space=SPACE, atlas='two')
    snm = init_snm_wf(atlases=['two'], most_sampled=5)
    connectome.inputs.inputnode.tracks = snm.inputs.inputnode.tracks = str(toy.tracks)
    snm.inputs.inputnode.mask = str(toy.mask)
    parcellation.inputs.inputnode.image = str(parcels)
    parcellation.inputs.inputnode.labels = str(parcels).replace('.nii.gz', '.tsv')
    workflow = pe.Workflow(name='study', base_dir=str(base))
    workflow.config['execution']['crashdump_dir'] = str(base)
    for field in ('full_tdi', 'index', 'streamlines_total'):
        workflow.connect(connectome, f'outputnode.{field}', snm, f'inputnode.{field}')
    workflow.connect(connectome, 'outputnode.index', parcellation, 'inputnode.index')
    workflow.connect(parcellation, 'outputnode.endpoints', snm, 'inputnode.endpoints_two')
    return workflow


def results(folder: Path) -> dict[str, bytes]:
    """What the nodes have written, without Nipype's own files."""
    wanted = ('.nii', '.nii.gz', '.tsv', '.json', '.npy', '.tck')
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.name.endswith(wanted) and not path.name.startswith('_0x')
    }


@pytest.mark.slow
def test_under_the_plugins_of_nipype(toy, parcels, tmp_path):
    """Linear and MultiProc give equal bytes; nobody types the number of streamlines."""
    found = {}
    for plugin, arguments in (('Linear', {}), ('MultiProc', {'n_procs': 2, 'memory_gb': 4})):
        workflow = study(toy, parcels, tmp_path / plugin)
        workflow.run(plugin=plugin, plugin_args=arguments)
        found[plugin] = results(tmp_path / plugin)
    assert found['Linear'] == found['MultiProc']
    assert len(found['Linear']) >= 12
    (summary,) = (
        json.loads(content) for name, content in found['Linear'].items() if name.endswith('summary.json')
    )
    assert summary['streamlines_total'] == toy.streamlines
    assert summary['streamlines_disconnected'] == toy.disconnected


@pytest.mark.parametrize('engine', ENGINES)
def test_the_number_of_streamlines_is_an_output(toy, tmp_path, engine):
    connectome = init_connectome_wf(space=SPACE, engine=engine)
    assert audit_graph(connectome) == []
    connectome.inputs.inputnode.tracks = str(toy.tracks)
    connectome.base_dir = str(tmp_path)
    nodes = {node.name: node for node in connectome.run().nodes()}
    counted = nodes['build' if engine == 'index' else 'count']
    assert counted.result.outputs.streamlines_total == toy.streamlines


@pytest.mark.parametrize(
    ('atlases', 'words'),
    [
        (['schaefer_100'], 'schaefer_100'),
        (['aal', 'aal3-v1'], 'aal3-v1'),
        ([''], 'letters and digits'),
        (['aal', 'yeo', 'aal'], 'aal'),
        ('aal', 'give a list'),
    ],
)
def test_names_of_atlases_are_checked_where_they_are_given(tmp_path, atlases, words):
    with pytest.raises(InputError, match=words):
        init_snm_wf(atlases=atlases)
    with pytest.raises(InputError, match=words):
        init_snm_report_wf(stem='sub-01_label-lesion', space=SPACE, output_dir=tmp_path, atlases=atlases)


def test_the_name_of_one_atlas_is_checked():
    with pytest.raises(InputError, match='a-b'):
        init_parcellation_wf(space=SPACE, atlas='a-b')


def run(workflow: pe.Workflow, base: Path) -> dict[str, pe.Node]:
    """Run in `base`; return the nodes with their results."""
    workflow.base_dir = str(base)
    workflow.config['execution']['crashdump_dir'] = str(base)
    return {node.fullname: node for node in workflow.run().nodes()}


def test_another_tractogram_in_a_kept_index_folder_is_noticed(toy, parcels, tmp_path):
    """The folder of the index keeps its name when its content changes, and so do the work folders of Nipype."""
    (tmp_path / 'bundles.tsv').write_text('bundle\tfirst\tcount\nfirst\t0\t1\n')

    def ends(base: Path) -> tuple[np.ndarray, np.ndarray]:
        connectome = init_connectome_wf(space=SPACE, index_directory=tmp_path / 'index')
        parcellation = init_parcellation_wf(space=SPACE, atlas='two')
        bundles = init_bundle_set_wf()
        connectome.inputs.inputnode.tracks = str(toy.tracks)
        bundles.inputs.inputnode.table = str(tmp_path / 'bundles.tsv')
        parcellation.inputs.inputnode.image = str(parcels)
        parcellation.inputs.inputnode.labels = str(parcels).replace('.nii.gz', '.tsv')
        workflow = pe.Workflow(name='study')
        workflow.connect(connectome, 'outputnode.index', parcellation, 'inputnode.index')
        workflow.connect(connectome, 'outputnode.index', bundles, 'inputnode.index')
        workflow.connect(connectome, 'outputnode.streamlines_total', bundles, 'inputnode.streamlines_total')
        nodes = run(workflow, base)
        table = nodes['study.parcellation_wf.assign'].result.outputs.out_file
        voxels = nodes['study.bundle_set_wf.make'].result.outputs.out_file
        return EndpointTable.load(table).pairs, BundleSet.load(voxels).visits.voxels

    before = ends(tmp_path / 'work')
    write_tck(toy.tracks, toy_streamlines()[::-1])
    after, fresh = ends(tmp_path / 'work'), ends(tmp_path / 'fresh')
    for old, new, wanted in zip(before, after, fresh, strict=True):
        assert not np.array_equal(old, new)
        np.testing.assert_array_equal(new, wanted)


def test_a_changed_reference_of_null_lesions_is_noticed(tmp_path):
    """Settings are an object, of which Nipype sees paths only."""
    reference = tmp_path / 'reference.nii.gz'
    hashes = []
    for voxel in (45, 46):
        data = np.zeros((91, 109, 91))
        data[voxel] = 1
        write_mask(reference, data, standard_grid(SPACE, 2).affine)
        nulls = init_null_wf(space=SPACE, settings=NullSettings(within='reference', reference=(reference,)))
        hashes.append(nulls.get_node('nulls').inputs.get_hashval('content')[1])
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize('engine', ENGINES)
def test_relative_paths_of_factories_are_those_of_the_program(toy, parcels, tmp_path, monkeypatch, engine):
    """Nodes work in folders of their own, where a relative path would silently be another file."""
    monkeypatch.chdir(tmp_path)
    kept = {'index_directory': Path('index')} if engine == 'index' else {'cached_tdi': Path('tdi.nii.gz')}
    connectome = init_connectome_wf(space=SPACE, engine=engine, **kept)
    parcellation = init_parcellation_wf(
        space=SPACE, atlas='two', engine=engine, cached_endpoints=Path('ends.npz')
    )
    report = init_snm_report_wf(stem='sub-01', space=SPACE, output_dir='out', viewer=False)
    connectome.inputs.inputnode.tracks = str(toy.tracks)
    parcellation.inputs.inputnode.image = str(parcels)
    parcellation.inputs.inputnode.labels = str(parcels).replace('.nii.gz', '.tsv')
    report.inputs.inputnode.mask = str(toy.mask)
    workflow = pe.Workflow(name='study')
    workflow.connect(connectome, 'outputnode.support_mask', report, 'inputnode.support_mask')
    if engine == 'index':
        workflow.connect(connectome, 'outputnode.index', parcellation, 'inputnode.index')
    else:
        workflow.add_nodes([parcellation])
        parcellation.inputs.inputnode.tracks = str(toy.tracks)
    run(workflow, tmp_path / 'work')
    assert Path(*kept.values()).exists()
    assert len(EndpointTable.load(Path('ends.npz')).pairs) == toy.streamlines
    assert list(Path('out/sub-01/figures').iterdir())


@pytest.mark.parametrize('engine', ENGINES)
def test_what_was_removed_from_folders_outside_is_made_again(toy, parcels, tmp_path, engine):
    """Caches and figures are not in the work folders, whose results Nipype takes for complete."""
    kept = (
        {'index_directory': tmp_path / 'index'}
        if engine == 'index'
        else {'cached_tdi': tmp_path / 'tdi.nii.gz'}
    )
    outside = [*kept.values(), tmp_path / 'ends.npz', tmp_path / 'out']

    def made() -> list[int]:
        connectome = init_connectome_wf(space=SPACE, engine=engine, **kept)
        parcellation = init_parcellation_wf(
            space=SPACE, atlas='two', engine=engine, cached_endpoints=tmp_path / 'ends.npz'
        )
        report = init_snm_report_wf(stem='sub-01', space=SPACE, output_dir=tmp_path / 'out', viewer=False)
        connectome.inputs.inputnode.tracks = str(toy.tracks)
        parcellation.inputs.inputnode.image = str(parcels)
        parcellation.inputs.inputnode.labels = str(parcels).replace('.nii.gz', '.tsv')
        report.inputs.inputnode.mask = str(toy.mask)
        workflow = pe.Workflow(name='study')
        if engine == 'index':
            workflow.connect(connectome, 'outputnode.index', parcellation, 'inputnode.index')
        else:
            workflow.add_nodes([connectome, parcellation])
            parcellation.inputs.inputnode.tracks = str(toy.tracks)
        workflow.add_nodes([report])
        run(workflow, tmp_path / 'work')
        return [len(list(path.rglob('*.*'))) if path.is_dir() else path.stat().st_size for path in outside]

    first = made()
    assert all(first)
    for path in outside:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert made() == first
