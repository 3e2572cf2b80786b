"""No number comes from the wrong thing: damaged caches are made again, and what results were made from is known in full."""

import hashlib
import json

import nibabel as nb
import numpy as np
import pytest
from helpers.toys import OTHER, SPACE, write_shift, write_two_networks
from helpers.waiting import settle

from lacuna.streamlines.files.tck import write_tck
from lacuna.testing import toy_streamlines
from lacuna.utils.cache import cache_dir
from lacuna.utils.cache_contents import entries

ALL = (
    '--compute-disconnectivity-matrix',
    '--compute-roi-disconnection',
    '--compute-networks',
    '--lesion-load',
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(tmp_path / 'home'))
    write_shift(tmp_path / 'home', 2)
    write_shift(tmp_path / 'home', -2, OTHER, SPACE)
    return tmp_path / 'home'


@pytest.fixture
def run(toy, options, tmp_path, lacuna_here, home):  # noqa: ARG001
    """Run the toy with its two networks, and return the exit code and the checksums of its results."""
    write_two_networks(tmp_path, nb.load(toy.mask))
    (tmp_path / 'weights.txt').write_text(' '.join(str(1 + n % 3) for n in range(toy.streamlines)))

    def go(*words, out='out', space=SPACE):
        atlas = ('--custom-parcellation', 'two', tmp_path / 'parcels.nii.gz', tmp_path / 'parcels.tsv', space)
        done = lacuna_here('run', 'snm', tmp_path / 'bids', tmp_path / out, *options, *atlas, *ALL, *words)
        found = {}
        for path in sorted((tmp_path / out).glob('sub-*/**/*')):
            if path.is_file():
                content = path.read_bytes()
                if path.suffix == '.json':
                    content = json.dumps({**json.loads(content), 'CommandLine': ''}).encode()
                found[path.name] = hashlib.sha256(content).hexdigest()
        return done.returncode, found

    return go


@pytest.mark.parametrize(
    'kind', ['moved', 'endpoints', 'bundles', 'lengths', 'density', 'regions', 'tractograms']
)
def test_damaged_caches(run, toy, tmp_path, kind):
    """A file of the cache may be damaged in any way: it is made again."""
    toy.mask.rename(toy.mask.with_name(toy.mask.name.replace(SPACE, OTHER)))
    (tmp_path / 'toy_bundles.tsv').write_text('bundle\tfirst\tcount\none\t0\t10\ntwo\t5\t25\n')
    words = ('--connectome-weights', tmp_path / 'weights.txt', '--min-length', 15)
    settle(toy.tracks)
    code, expected = run(*words)
    assert code == 0
    assert len(expected) > 20
    files = [entry.path for entry in entries(cache_dir(), kind)]
    assert files
    for path in files:
        whole = path.read_bytes()
        at = len(whole) * 2 // 3
        for number, content in enumerate(
            (b'', whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        ):
            path.write_bytes(content)
            assert run(*words, out=f'{path.stem}-{number}') == (0, expected)


def edit_networks(folder):
    labels = folder / 'parcels.tsv'
    labels.write_text(labels.read_text().replace('right\tone', 'right\ttwo'))


def edit_image(folder):
    image = nb.load(folder / 'parcels.nii.gz')
    data = np.asarray(image.dataobj).copy()
    data[data == 3] = 4
    nb.save(nb.Nifti1Image(data, image.affine, image.header), folder / 'parcels.nii.gz')


def edit_weights(folder):
    path = folder / 'weights.txt'
    path.write_text(path.read_text()[::-1])


def edit_transform(folder):
    write_shift(folder / 'home', 8)


@pytest.mark.parametrize(
    ('edit', 'space'),
    [
        (edit_networks, SPACE),
        (edit_image, SPACE),
        (edit_weights, SPACE),
        (edit_transform, OTHER),
        (None, OTHER),
    ],
)
def test_results_of_other_files_are_not_taken(run, tmp_path, edit, space):
    """What has changed since is said; with --overwrite, the numbers are those of an empty cache and folder."""
    words = ('--connectome-weights', tmp_path / 'weights.txt')
    before = run(*words, space=space if edit else SPACE)
    assert before[0] == 0
    assert run(*words, space=space if edit else SPACE) == before
    if edit:
        edit(tmp_path)
    assert run(*words, space=space) == (2, before[1])
    code, found = run(*words, '--overwrite', space=space)
    assert code == 0
    assert found != before[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('LACUNA_CACHE_DIR', str(tmp_path / 'empty'))
        assert run(*words, space=space, out='fresh') == (0, found)


@pytest.mark.mrtrix
@pytest.mark.parametrize('moment', ['before', 'after'])
def test_a_tractogram_that_is_replaced_while_mrtrix_reads_it(run, toy, tmp_path, monkeypatch, moment):
    """No result is left, and nothing is kept for later runs."""
    from lacuna.execution.plugins import nipype as plugin

    assert run('--engine', 'mrtrix', out='expected')[0] == 0
    monkeypatch.setenv('LACUNA_CACHE_DIR', str(tmp_path / 'empty'))
    original = toy.tracks.read_bytes()
    in_order = plugin.run_in_order

    def late(workflow, *args, **options):
        # `before` or `after` what all masks share is made
        if (workflow.name == 'shared_wf') == (moment == 'before'):
            write_tck(toy.tracks, toy_streamlines()[:20])
        in_order(workflow, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(plugin, 'run_in_order', late)
        code, found = run('--engine', 'mrtrix')
    assert code == 1
    assert not [name for name in found if not name.endswith('.json')]
    toy.tracks.write_bytes(original)
    assert run('--engine', 'mrtrix') == run('--engine', 'mrtrix', out='expected')
