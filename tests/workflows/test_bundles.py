"""Bundles as workflows: both engines make the same set, and the table is that of the Python API."""

import numpy as np
import pytest

import lacuna
from lacuna.interfaces.connectivity import NumberStreamlines
from lacuna.interfaces.mrtrix import TCKMap
from lacuna.streamlines.bundles import BundleSet
from lacuna.streamlines.endpoints import EndpointTable
from lacuna.testing import audit_graph, world_coordinates, write_mask
from lacuna.workflows.bundles import init_bundle_set_wf, init_bundles_wf
from lacuna.workflows.connectivity import init_parcellation_wf

SPACE = 'MNI152NLin6Asym'


def run(workflow, folder, **inputs):
    """Run a workflow; returns the files in its work folder by the node."""
    workflow.base_dir = str(folder)
    for name, value in inputs.items():
        setattr(workflow.inputs.inputnode, name, value)
    return {node.name: node.result.outputs for node in workflow.run().nodes}


@pytest.fixture
def parts(toy, tmp_path):
    """A table of bundles of the toy, its tractogram, and what the engines need of it."""
    rows = [('all of them', 0, 30), ('AF left', 2, 7), ('AF left', 20, 3), ('none', 0, 0), ('one', 5, 1)]
    table = toy.tracks.with_name(f'{toy.tracks.stem}_bundles.tsv')
    table.write_text('bundle\tfirst\tcount\n' + ''.join('\t'.join(map(str, row)) + '\n' for row in rows))
    tractogram = lacuna.Tractogram(toy.tracks, nprocs=1, cache=tmp_path / 'cache')
    assert tractogram.streamlines_total == 30
    return table, tractogram


def test_graphs_are_sound(tmp_path):
    for engine in ('index', 'mrtrix'):
        assert audit_graph(init_bundle_set_wf(engine=engine)) == []
    assert audit_graph(init_bundle_set_wf(cached_bundles=tmp_path / 'x.npz')) == []
    assert audit_graph(init_bundles_wf()) == []
    assert 'Wilson' in init_bundles_wf().visit_desc()


@pytest.mark.mrtrix
def test_both_engines_and_python_agree(toy, parts, tmp_path):
    table, tractogram = parts
    index = str(tractogram.in_space().build_index())
    common = {'table': str(table), 'streamlines_total': 30}
    kept = tmp_path / 'kept/bundles.npz'
    by_index = run(init_bundle_set_wf(cached_bundles=kept), tmp_path / 'index', index=index, **common)
    assert by_index['make'].out_file == str(kept)
    density = tmp_path / 'tdi.nii.gz'
    lesion = tractogram.disconnect(toy.mask)
    import nibabel as nb

    nb.save(lesion.map, tmp_path / 'grid.nii.gz')
    TCKMap(in_tracks=str(toy.tracks), template=str(tmp_path / 'grid.nii.gz'), out_file=str(density)).run()
    by_mrtrix = run(
        init_bundle_set_wf(engine='mrtrix'),
        tmp_path / 'mrtrix',
        tracks=str(toy.tracks),
        full_tdi=str(density),
        **common,
    )
    sets = [BundleSet.load(found['make'].out_file) for found in (by_index, by_mrtrix)]
    first, second = ({**each.groups.arrays(), **each.visits.arrays()} for each in sets)
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)
    assert len(first['voxels']) > 0
    selected = tmp_path / 'selected.npy'
    np.save(selected, lesion.streamlines)
    for number, found in enumerate((by_index, by_mrtrix)):
        ran = run(
            init_bundles_wf(),
            tmp_path / f'table{number}',
            bundles=found['make'].out_file,
            mask=str(toy.mask),
            selected=str(selected),
            weighting=str(tractogram.weighting_path()),
        )
        wanted = lesion.bundles().table.to_csv(sep='\t', na_rep='n/a')
        with open(ran['table'].out_file, encoding='utf-8') as stream:  # noqa: PTH123
            assert stream.read() == wanted
    # what is there is used
    stamp = kept.stat().st_mtime_ns
    again = init_bundle_set_wf(cached_bundles=kept)
    assert again.get_node('make') is None
    assert kept.stat().st_mtime_ns == stamp


@pytest.mark.mrtrix
def test_both_engines_assign_by_the_voxel_of_the_end(toy, tmp_path):
    """The long lines end at -20 and 20 mm; a parcel that begins 2 mm beyond is reached by the radial search only."""
    import nibabel as nb

    mask = nb.load(toy.mask)
    x, y, _ = world_coordinates(mask.shape, mask.affine)
    image = write_mask(
        tmp_path / 'parcels.nii.gz',
        np.where(x < -15, 7, np.where(x > 21, 3, np.where((x > 15) & (y < 10), 4, 0))),
        mask.affine,
        'int16',
    )
    (tmp_path / 'parcels.tsv').write_text('index\tname\n3\tbeyond\n4\tright\n7\tleft\n')
    labels = {'image': str(image), 'labels': str(tmp_path / 'parcels.tsv')}
    tractogram = lacuna.Tractogram(toy.tracks, nprocs=1, cache=tmp_path / 'cache')
    index = str(tractogram.in_space().build_index())
    tables = {}
    for rule in ('radial', 'end-voxels'):
        ran = run(
            init_parcellation_wf(space=SPACE, assignment=rule, name=f'i{rule[0]}_wf'),
            tmp_path,
            index=index,
            **labels,
        )
        first = EndpointTable.load(ran['assign'].out_file)
        ran = run(
            init_parcellation_wf(space=SPACE, assignment=rule, engine='mrtrix', name=f'm{rule[0]}_wf'),
            tmp_path,
            tracks=str(toy.tracks),
            **labels,
        )
        np.testing.assert_array_equal(first.pairs, EndpointTable.load(ran['table'].out_file).pairs)
        tables[rule] = first.full_matrix
    assert tables['radial'][0].sum() > 0
    assert tables['end-voxels'][0].sum() == 0
    assert tables['end-voxels'][1].sum() > 0


def test_numbers_are_read_as_they_were_written(tmp_path):
    from lacuna.interfaces.connectivity import read_cut
    from lacuna.streamlines.weighting import Weighting

    found = NumberStreamlines(count=3).run(cwd=str(tmp_path))
    assert read_cut(tmp_path / found.outputs.out_file, Weighting()).ids.tolist() == [0, 1, 2]
    some = Weighting(kept=np.array([True, False, True])).save(tmp_path / 'some.npz')
    found = NumberStreamlines(count=3, weighting=str(some)).run(cwd=str(tmp_path))
    assert (tmp_path / found.outputs.out_file).read_text().split() == ['0', '-1', '2']
