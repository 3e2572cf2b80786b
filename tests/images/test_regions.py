"""The voxels of an atlas in a file, and the workflow that computes lesion load from it."""

import nibabel as nb
import numpy as np
import pytest
from helpers.tables import read_exact

from lacuna.images.atlases import Atlas, move_parcellation, read_parcellation
from lacuna.images.load import read_probabilities
from lacuna.images.regions import load_regions, read_regions, region_load, save_regions
from lacuna.images.spaces import standard_grid
from lacuna.images.transforms import PointTransform
from lacuna.interfaces.images import PrepareRegions
from lacuna.testing import audit_graph
from lacuna.workflows.load import init_load_wf

SPACE = 'MNI152NLin6Asym'
GRID = np.array([[2.0, 0, 0, -20], [0, 2, 0, -30], [0, 0, 2, -10], [0, 0, 0, 1]])


def write_atlas(folder, data, rows):
    nb.save(nb.Nifti1Image(data, GRID), folder / 'atlas.nii.gz')
    (folder / 'atlas.tsv').write_text('\n'.join(rows) + '\n')
    return Atlas('toy', folder / 'atlas.nii.gz', folder / 'atlas.tsv', SPACE, 'given')


@pytest.fixture
def labels(tmp_path):
    data = np.random.default_rng(0).integers(0, 300, (10, 12, 8)).astype(np.int16)
    rows = ['index\tname\tnetwork', *(f'{value}\tp{value}\tnet{value % 3}' for value in range(1, 302))]
    return write_atlas(tmp_path, data, rows)


@pytest.fixture
def probabilities(tmp_path):
    data = np.random.default_rng(1).random((10, 12, 8, 3)).astype(np.float32)
    return write_atlas(tmp_path, data, ['index\tname', '1\ta', '2\tb c', '3\td'])


def test_labels_survive_the_disk(labels, tmp_path):
    known = read_parcellation(labels)
    read = load_regions(save_regions(read_regions(labels, SPACE), tmp_path / 'x/regions.npz'))
    assert (read.atlas, read.names, read.networks) == (labels, known.names, known.networks)
    assert read.sha256 == known.sha256
    np.testing.assert_array_equal(read.index, known.index)
    np.testing.assert_array_equal(read.affine, known.affine)


def test_probabilities_survive_the_disk(probabilities, tmp_path):
    known = read_probabilities(probabilities)
    read = load_regions(save_regions(read_regions(probabilities, SPACE), tmp_path / 'regions.npz'))
    assert (read.names, read.sha256) == (known.names, known.sha256)
    for name, array in known.memberships.arrays().items():
        np.testing.assert_array_equal(read.memberships.arrays()[name], array, err_msg=name)


@pytest.mark.shared
def test_labels_of_another_space(labels, shared):
    transform = next((shared / 'data/templateflow/tpl-MNI152NLin6Asym').glob('*from-MNI152NLin2009cAsym*.h5'))
    found = read_regions(labels, 'MNI152NLin2009cAsym', transform)
    grid = standard_grid('MNI152NLin2009cAsym', 1)
    wanted = move_parcellation(read_parcellation(labels), grid, PointTransform(transform))
    assert found.index.shape == grid.shape
    assert found.index.any()
    np.testing.assert_array_equal(found.index, wanted.index)


@pytest.mark.parametrize('kind', ['labels', 'probabilities'])
def test_the_workflow_gives_the_same(kind, request, tmp_path):
    atlas = request.getfixturevalue(kind)
    mask = np.random.default_rng(2).random((10, 12, 8)) < 0.3
    nb.save(nb.Nifti1Image(mask.astype('u1'), GRID), tmp_path / 'mask.nii.gz')
    kept = tmp_path / 'cache/regions.npz'
    node = PrepareRegions(image=atlas.image, labels=atlas.labels, space=SPACE, out_file=kept)
    assert node.run(cwd=str(tmp_path)).outputs.out_file == str(kept)
    stamp = kept.stat().st_mtime_ns
    node.run(cwd=str(tmp_path))
    assert kept.stat().st_mtime_ns == stamp
    workflow = init_load_wf()
    assert audit_graph(workflow) == []
    workflow.base_dir = str(tmp_path)
    workflow.inputs.inputnode.mask, workflow.inputs.inputnode.regions = str(tmp_path / 'mask.nii.gz'), kept
    (made,) = (each.result.outputs for each in workflow.run().nodes if each.name == 'load')
    wanted = region_load(nb.load(tmp_path / 'mask.nii.gz'), load_regions(kept))
    assert set(wanted) == {'lesion_load'} | ({'lesion_probability'} if kind == 'probabilities' else set())
    for key, values in wanted.items():
        table = read_exact(getattr(made, key))['value']
        np.testing.assert_array_equal(table, values)
