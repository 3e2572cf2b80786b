"""Killed in the middle and started again."""

import signal
import subprocess
import sys

import pytest
from helpers.cohort import find, tree, write_cohort
from helpers.waiting import HANGS, wait_for

pytestmark = pytest.mark.slow

MASKS = 12


def command(folder, toy, out, nprocs):
    return [
        sys.executable, '-m', 'lacuna', 'run', 'snm', '--no-report', str(folder / 'bids'), str(out), '--connectome-path',
        str(toy.tracks), '-w', f'{out}-work', '--nprocs', str(nprocs),
    ]  # fmt: skip


def results(folder):
    """Everything but logs and what names the folder itself."""
    return {
        name: (folder / name).read_bytes()
        for name in tree(folder)
        if not name.startswith('logs/') and name.endswith(('.nii.gz', 'stats.json'))
    }


@pytest.fixture(scope='module')
def cohort(tmp_path_factory):
    """A cohort large enough for workers, and the results of a run that nobody stops."""
    folder = tmp_path_factory.mktemp('cohort')
    toy = write_cohort(folder, MASKS)
    subprocess.run(command(folder, toy, folder / 'whole', 1), check=True, capture_output=True)
    expected = results(folder / 'whole')
    assert len(expected) == 2 * MASKS + 2
    return folder, toy, expected


@pytest.mark.parametrize('nprocs', [1, 2])
@pytest.mark.parametrize('stop', [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle(cohort, tmp_path, nprocs, stop):
    folder, toy, expected = cohort
    out = tmp_path / 'stopped'
    process = subprocess.Popen(
        command(folder, toy, out, nprocs),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that runs the tests in the background has them ignore SIGINT
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    wait_for(lambda: len(find(out, '*stats.json')) >= 2, process)
    process.send_signal(stop)
    _, said = process.communicate(timeout=HANGS)  # no child keeps the pipes open
    assert process.returncode != 0
    if stop != signal.SIGKILL:
        assert 'lacuna: interrupted' in said
        assert 'Traceback' not in said
    kept = {
        path: path.stat().st_mtime_ns
        for path in out.rglob('sub-*/**/*')
        if path.is_file() and path.name[0] != '.'
    }
    assert 2 <= len(list(out.rglob('*stats.json'))) < MASKS
    for name, content in results(out).items():
        assert expected[name] == content  # nothing half-written has a final name

    done = subprocess.run(command(folder, toy, out, nprocs), check=True, capture_output=True, text=True)
    assert results(out) == expected
    assert {path: path.stat().st_mtime_ns for path in kept} == kept  # what was done is not done again
    assert f'{MASKS} masks done' in done.stdout
    assert not list(out.rglob('sub-*/**/.tmp-*'))
