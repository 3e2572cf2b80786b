"""The graphs under the plugins that Nipype itself brings, and the names that their factories take."""

import json
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest
from nipype.pipeline import engine as pe

from lacuna.errors import InputError
from lacuna.testing import audit_graph, world_coordinates, write_mask
from lacuna.workflows.connectivity import init_parcellation_wf
from lacuna.workflows.connectome import init_connectome_wf
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
