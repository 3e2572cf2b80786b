"""Killed at any node and at random times, a run goes on to the same files."""

import os
import random
import subprocess
import sys
import textwrap

import nibabel as nb
import pytest
from helpers.cohort import write_cohort
from helpers.kill_and_resume import Trials

from lacuna.testing import world_coordinates, write_mask

pytestmark = pytest.mark.slow


def words(folder, masks):
    """A cohort with matrices of four quarters of the toy."""
    toy = write_cohort(folder, masks)
    image = nb.load(toy.mask)
    x, y, _ = world_coordinates(image.shape, image.affine)
    parcels = 1 + (x > 0).astype(int) + 2 * (y > 10)
    atlas = write_mask(folder / 'atlas.nii.gz', parcels, image.affine)
    (folder / 'atlas.txt').write_text('1 a\n2 b\n3 c\n4 d\n')
    return [
        str(folder / 'bids'), '--connectome-path', str(toy.tracks), '--compute-disconnectivity-matrix',
        '--compute-roi-disconnection', '--custom-parcellation', 'quarters', str(atlas), str(folder / 'atlas.txt'),
        'MNI152NLin6Asym',
    ]  # fmt: skip


@pytest.mark.parametrize('kills', [8, pytest.param(50, marks=pytest.mark.soak)])
def test_killed_at_random_times(tmp_path, kills):
    trials = Trials(tmp_path, words(tmp_path, 10), random.Random(os.environ.get('PYTEST_XDIST_TESTRUNUID')))
    while trials.kills < kills:
        trials.until_finished()
    assert trials.finished >= 1


@pytest.mark.parametrize('when', ['before', pytest.param('after', marks=pytest.mark.soak)])
def test_killed_at_each_node(tmp_path, when):
    """By a hook in the interpreter: before a node runs, and after it has run but before that is noted."""
    base = [
        sys.executable,
        '-m',
        'lacuna',
        'run',
        'snm',
        '--no-report',
        '--nprocs',
        '1',
        '-w',
        str(tmp_path / 'work'),
    ]
    source, *options = words(tmp_path, 1)
    (tmp_path / 'hook').mkdir()
    (tmp_path / 'hook/sitecustomize.py').write_text(
        textwrap.dedent("""
            import os, signal, sys

            class Finder:
                def find_spec(self, name, path, target=None):
                    if name == 'lacuna.execution.plugins.local':
                        sys.meta_path.remove(self)
                        from nipype.pipeline.engine import nodes
                        true = nodes.Node.run
                        def die(*_, **__):
                            os.kill(os.getpid(), signal.SIGKILL)
                        def run(self, *args, **options):
                            with open(os.environ['BEGUN'], 'a') as stream:
                                stream.write(self.fullname + '\\n')
                            if self.fullname == os.environ['KILL_AT']:
                                if os.environ['KILL_WHEN'] == 'before':
                                    die()
                                nodes._save_resultfile = die
                            return true(self, *args, **options)
                        nodes.Node.run = run

            if 'KILL_AT' in os.environ:
                sys.meta_path.insert(0, Finder())
        """)
    )
    begun = tmp_path / 'begun'

    def run(cache, **env):
        begun.unlink(missing_ok=True)
        environment = {
            **os.environ, 'LACUNA_CACHE_DIR': str(tmp_path / cache), 'PYTHONPATH': str(tmp_path / 'hook'),
            'BEGUN': str(begun), **env,
        }  # fmt: skip
        command = [*base, source, str(tmp_path / 'out'), *options]
        return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)

    def results():
        out = tmp_path / 'out'
        return {
            str(path.relative_to(out)): path.read_bytes()
            for path in out.rglob('*')
            if path.is_file() and 'logs' not in path.parts
        }

    assert run('first', KILL_AT='none').returncode == 0
    expected = results()
    nodes = begun.read_text().split()
    assert {node.rpartition('.')[2] for node in nodes} >= {
        'build', 'publish', 'assign', 'prepare', 'query', 'ratio', 'summary', 'join', 'sink',
    }  # fmt: skip
    (tmp_path / 'out').rename(tmp_path / 'out-whole')
    for node in nodes:  # each run goes on from what the one before has left
        done = run('second', KILL_AT=node, KILL_WHEN=when)
        assert (done.returncode, begun.read_text().split()[-1]) == (-9, node), done.stderr
    done = run('second')
    assert done.returncode == 0, done.stderr
    assert results() == expected
