"""The workflows: their graphs, their numbers, and their life inside others."""

import copy
import dataclasses
import json
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest
from helpers.toys import check_toy_map
from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from lacuna.execution.cohort import init_cohort_wf
from lacuna.execution.config import ENGINES, RunConfig
from lacuna.execution.plan import make_plan
from lacuna.streamlines.files.tck import iter_blocks, read_header
from lacuna.streamlines.tractogram import Tractogram
from lacuna.testing import audit_graph, toy_streamlines, write_mask
from lacuna.workflows.connectome import init_connectome_wf
from lacuna.workflows.selection import init_selection_wf
from lacuna.workflows.snm import init_snm_wf


@pytest.fixture
def plan(toy, tmp_path):
    config = RunConfig(
        source=tmp_path / 'bids',
        output_dir=tmp_path / 'out',
        connectome_path=toy.tracks,
        work_dir=tmp_path / 'work',
        nprocs=1,
    )
    tractogram = Tractogram(toy.tracks, cache=tmp_path / 'cache')
    return make_plan(config, tractogram, engine_version='3', cache=tmp_path / 'cache')


def changed(tractogram, **values):
    """The same, with other values."""
    other = copy.copy(tractogram)
    vars(other).update(values)
    return other


def with_engine(plan, engine):
    return dataclasses.replace(plan, config=dataclasses.replace(plan.config, engine=engine))


def test_graphs_are_sound(plan, tmp_path):
    options = {'space': 'MNI152NLin6Asym', 'tck_upsample': 2}
    assert audit_graph(init_connectome_wf(**options, index_directory=tmp_path / 'index')) == []
    assert (
        audit_graph(init_connectome_wf(**options, engine='mrtrix', cached_tdi=tmp_path / 'tdi.nii.gz')) == []
    )
    for engine in ENGINES:
        for atlases in ((), ('toy',)):
            workflow = init_snm_wf(
                engine=engine, atlases=atlases, tck_upsample=2, binarize=0.5, warnings=['tiny']
            )
            assert audit_graph(workflow) == []
        assert audit_graph(init_cohort_wf(with_engine(plan, engine))) == []


def test_the_audit_sees_slips():
    workflow = init_snm_wf()
    wrong = pe.Node(niu.IdentityInterface(fields=['mask']), name='wrong')
    workflow.connect(wrong, 'mask', workflow.get_node('inputnode'), 'mask')
    plain = pe.Workflow(name='plain')
    plain.connect(wrong, 'msk', workflow, 'inputnode.tracks')
    plain.add_nodes([init_connectome_wf(space='MNI152NLin6Asym')])
    found = '\n'.join(audit_graph(plain))
    assert "wrong: no field 'msk'" in found
    outer = pe.Workflow(name='outer')
    outer.add_nodes([plain])
    assert 'plain: not a LiterateWorkflow' in '\n'.join(audit_graph(outer))


def test_a_misspelt_trait_is_seen():
    from nipype.interfaces.base import BaseInterfaceInputSpec, SimpleInterface, TraitedSpec, traits
    from niworkflows.engine.workflows import LiterateWorkflow

    class _In(BaseInterfaceInputSpec):
        a = traits.Int(mandatory=True, posision=1)

    class _Out(TraitedSpec):
        b = traits.Int()

    class Slip(SimpleInterface):
        input_spec = _In
        output_spec = _Out

    workflow = LiterateWorkflow(name='wf')
    workflow.add_nodes([pe.Node(Slip(), name='slip')])
    assert audit_graph(workflow) == [
        'wf.slip.a: mandatory, not set',
        "wf.slip.a: unknown trait metadata 'posision'",
    ]


@pytest.mark.parametrize(('engine', 'says'), [('mrtrix', '`tckedit`'), ('index', 'an index of the')])
def test_methods_text_cites_what_the_bibliography_has(plan, engine, says):
    import re
    from importlib import resources

    text = init_cohort_wf(with_engine(plan, engine)).visit_desc()
    bibliography = resources.files('lacuna').joinpath('data/boilerplate.bib').read_text()
    keys = set(re.findall(r'@([\w-]+)', text))
    assert keys
    assert all(f'{{{key},' in bibliography for key in keys)
    assert says in text


@pytest.mark.parametrize('engine', [pytest.param('mrtrix', marks=pytest.mark.mrtrix), 'index'])
def test_embedded_in_a_foreign_workflow(toy, tmp_path, engine):
    """As README shows it: two factories in a workflow of somebody else."""
    workflow = pe.Workflow(name='theirs', base_dir=str(tmp_path / 'work'))
    connectome = init_connectome_wf(space='MNI152NLin6Asym', resolution=2, engine=engine)
    snm = init_snm_wf(engine=engine)
    if engine == 'index':
        workflow.connect(connectome, 'outputnode.index', snm, 'inputnode.index')
    connectome.inputs.inputnode.tracks = snm.inputs.inputnode.tracks = str(toy.tracks)
    snm.inputs.inputnode.mask = str(toy.mask)
    workflow.connect(connectome, 'outputnode.full_tdi', snm, 'inputnode.full_tdi')
    workflow.connect(connectome, 'outputnode.streamlines_total', snm, 'inputnode.streamlines_total')
    keep = pe.Node(niu.IdentityInterface(fields=['percent', 'summary', 'full_tdi']), name='keep')
    last = pe.Node(
        niu.Function(function=_copy, input_names=['percent', 'summary', 'tdi', 'folder']), name='last'
    )
    last.inputs.folder = str(tmp_path)
    workflow.connect([
        (snm, keep, [('outputnode.disconnection_map', 'percent'), ('outputnode.summary', 'summary')]),
        (connectome, keep, [('outputnode.full_tdi', 'full_tdi')]),
        (keep, last, [('percent', 'percent'), ('summary', 'summary'), ('full_tdi', 'tdi')]),
    ])  # fmt: skip
    workflow.run()

    image = nb.load(tmp_path / 'percent.nii.gz')
    check_toy_map(image)
    full = np.asanyarray(nb.load(tmp_path / 'tdi.nii.gz').dataobj)
    assert full.dtype == np.uint32
    assert full.sum() == 15 * (21 + 6)
    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert summary['streamlines_disconnected'] == toy.disconnected
    assert summary['voxels_disconnected'] == 10 * 21
    assert summary['disconnection_mean_pct'] == pytest.approx((15 * 100 + 6 * 50) / 21)


@pytest.mark.parametrize('engine', [pytest.param('mrtrix', marks=pytest.mark.mrtrix), 'index'])
def test_a_sample_of_the_cut_streamlines(toy, tmp_path, engine):
    """Four of the ten, evenly: the first, fourth, seventh and tenth, with a vertex every 4 mm."""
    workflow = pe.Workflow(name='theirs', base_dir=str(tmp_path / 'work'))
    selection = init_selection_wf(engine=engine, density=False, most_sampled=4)
    selection.inputs.inputnode.tracks, selection.inputs.inputnode.mask = str(toy.tracks), str(toy.mask)
    workflow.add_nodes([selection])
    if engine == 'index':
        connectome = init_connectome_wf(space='MNI152NLin6Asym')
        connectome.inputs.inputnode.tracks = str(toy.tracks)
        workflow.connect(connectome, 'outputnode.index', selection, 'inputnode.index')
    keep = pe.Node(niu.Function(function=_copy_one, input_names=['sample', 'target']), name='keep')
    keep.inputs.target = str(tmp_path / 'kept.tck')
    workflow.connect(selection, 'outputnode.sample', keep, 'sample')
    workflow.run()
    (points, lengths), *_ = iter_blocks(read_header(tmp_path / 'kept.tck'))
    cut = [line for line in toy_streamlines() if len(line) == 41 and line[0, 2] < 8]
    assert len(cut) == 10
    assert lengths.tolist() == [11] * 4
    np.testing.assert_array_equal(points, np.concatenate([cut[n][::4] for n in (0, 3, 6, 9)]))


def _copy_one(sample, target):
    import shutil

    shutil.copy(sample, target)


def _copy(percent, summary, tdi, folder):
    import shutil

    shutil.copy(percent, f'{folder}/percent.nii.gz')
    shutil.copy(summary, f'{folder}/summary.json')
    shutil.copy(tdi, f'{folder}/tdi.nii.gz')


@pytest.mark.mrtrix
def test_a_resumed_workflow_does_nothing_twice(toy, tmp_path):
    snm = init_snm_wf(engine='mrtrix')
    connectome = init_connectome_wf(
        space='MNI152NLin6Asym', engine='mrtrix', cached_tdi=tmp_path / 'tdi.nii.gz'
    )
    workflow = pe.Workflow(name='theirs', base_dir=str(tmp_path / 'work'))
    connectome.inputs.inputnode.tracks = snm.inputs.inputnode.tracks = str(toy.tracks)
    snm.inputs.inputnode.mask = str(toy.mask)
    workflow.connect(connectome, 'outputnode.full_tdi', snm, 'inputnode.full_tdi')
    workflow.connect(connectome, 'outputnode.streamlines_total', snm, 'inputnode.streamlines_total')
    workflow.run()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / 'work').rglob('*.nii.gz')}
    assert len(times) == 5
    workflow.run()
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_density_in_the_cache_is_used(tmp_path):
    write_mask(tmp_path / 'tdi.nii.gz', np.zeros((2, 2, 2)), np.eye(4))
    workflow = init_connectome_wf(
        space='MNI152NLin6Asym', engine='mrtrix', cached_tdi=tmp_path / 'tdi.nii.gz', streamlines_total=30
    )
    assert sorted(workflow.list_node_names()) == ['inputnode', 'outputnode', 'support']


def test_the_cache_tells_contents_apart(plan):
    """Tractogram, grid, upsampling and the version of MRtrix3 decide; the path does not."""
    other = [
        dataclasses.replace(plan, config=dataclasses.replace(plan.config, output_resolution=1)),
        dataclasses.replace(plan, config=dataclasses.replace(plan.config, tck_upsample=3)),
        dataclasses.replace(plan, engine_version='4'),
        dataclasses.replace(
            plan,
            tractogram=changed(
                plan.tractogram, info=dataclasses.replace(plan.tractogram.info, sha256='0' * 64)
            ),
        ),
    ]
    names = {each.cached_tdi('MNI152NLin6Asym') for each in [plan, *other]}
    assert len(names) == 5
    moved = changed(plan.tractogram, path=Path('/elsewhere/toy.tck'))
    assert dataclasses.replace(plan, tractogram=moved).cached_tdi('MNI152NLin6Asym') in names


def test_toy_is_what_it_says():
    assert len(toy_streamlines()) == 30
