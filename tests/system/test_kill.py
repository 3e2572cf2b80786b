"""Killed at any file and at random times, a run goes on to the same files."""

import os
import random
import subprocess
import sys

import nibabel as nb
import pytest
from helpers.cohort import write_cohort
from helpers.kill_and_resume import Trials
from helpers.waiting import settle

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


HOOK = """
import os, pathlib, signal
true = pathlib.Path.replace

def replace(self, target):
    with open(os.environ['BEGUN'], 'a') as stream:
        stream.write(str(target) + '\\n')
    if str(target) == os.environ['KILL_AT']:
        if os.environ['KILL_WHEN'] == 'after':
            true(self, target)
        os.kill(os.getpid(), signal.SIGKILL)
    return true(self, target)

if 'KILL_AT' in os.environ:
    pathlib.Path.replace = replace
"""


@pytest.mark.parametrize('when', ['before', pytest.param('after', marks=pytest.mark.soak)])
def test_killed_at_each_file(tmp_path, when):
    """By a hook in the interpreter: before a file gets its final name, and at once after that."""
    source, *options = words(tmp_path, 1)
    out, begun = tmp_path / 'out', tmp_path / 'begun'
    command = [
        sys.executable, '-m', 'lacuna', 'run', 'snm', source, str(out), *options, '--no-report', '--nprocs', '1',
    ]  # fmt: skip
    settle(options[options.index('--connectome-path') + 1])  # what is known of a new file is not kept
    (tmp_path / 'hook').mkdir()
    (tmp_path / 'hook/sitecustomize.py').write_text(HOOK)

    def run(cache, **env):
        begun.unlink(missing_ok=True)
        environment = {
            **os.environ, 'LACUNA_CACHE_DIR': str(tmp_path / cache), 'PYTHONPATH': str(tmp_path / 'hook'),
            'BEGUN': str(begun), 'KILL_WHEN': when, **env,
        }  # fmt: skip
        return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)

    def results():
        return {
            str(path.relative_to(out)): path.read_bytes()
            for path in out.rglob('*')
            if path.is_file() and 'logs' not in path.parts
        }

    assert run('first', KILL_AT='none').returncode == 0
    expected = results()
    files = [name for name in begun.read_text().splitlines() if '/logs/' not in name]
    for ending in (
        'endpoints',
        'tdi.nii.gz',
        'pct.nii.gz',
        'pct.json',
        'pct_connmatrix.tsv',
        'statistics_stats.json',
    ):
        assert any(ending in name for name in files), ending
    out.rename(tmp_path / 'out-whole')
    for name in files:  # each run goes on from what the one before has left
        target = name.replace('/first/', '/second/')
        done = run('second', KILL_AT=target)
        assert (done.returncode, begun.read_text().splitlines()[-1]) == (-9, target), done.stderr
    done = run('second')
    assert done.returncode == 0, done.stderr
    assert results() == expected
