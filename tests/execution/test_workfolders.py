"""Work files: where they lie, and that nothing is left of them."""

import os
import signal
import subprocess
import sys

import pytest
from helpers.cohort import find, tree, write_cohort
from helpers.waiting import HANGS, wait_for

from lacuna.execution.workfolders import remove_of_dead_runs
from lacuna.utils.locks import file_lock

MASKS = 12


@pytest.fixture
def cohort(tmp_path):
    (tmp_path / 'tmp').mkdir()
    (tmp_path / 'here').mkdir()
    return write_cohort(tmp_path, MASKS)


@pytest.fixture
def start(tmp_path, cohort):
    """Start ``lacuna run snm`` in a folder of its own, with a TMPDIR of its own."""
    started = []

    def begin(*options):
        words = [
            'run',
            'snm',
            '--no-report',
            tmp_path / 'bids',
            tmp_path / 'out',
            '--connectome-path',
            cohort.tracks,
        ]
        process = subprocess.Popen(
            [sys.executable, '-m', 'lacuna', *map(str, words), '--nprocs', '1', *options],
            cwd=tmp_path / 'here',
            env={**os.environ, 'TMPDIR': str(tmp_path / 'tmp')},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def work_files(folder):
    return find(folder, 'lacuna_*_wf*')


def until_first(process, folder):
    wait_for(lambda: find(folder, '*_stats.json'), process)


@pytest.mark.parametrize('engine', ['index', pytest.param('mrtrix', marks=pytest.mark.mrtrix)])
@pytest.mark.parametrize('stop', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left(tmp_path, start, engine, stop):
    """Of a run that is stopped, and of one that was killed when the next has ended, which is another command."""
    process = start('--engine', engine)
    until_first(process, tmp_path / 'out')
    place, other = (tmp_path / 'tmp', tmp_path / 'out')[:: 1 if engine == 'index' else -1]
    assert work_files(place)
    assert not work_files(other)
    process.send_signal(stop)
    process.communicate(timeout=HANGS)
    assert bool(work_files(place)) == (stop == signal.SIGKILL)
    if stop != signal.SIGKILL:
        return
    process = start('--participant-label', '02')
    _, err = process.communicate(timeout=HANGS)
    assert process.returncode == 0, err
    assert not work_files(tmp_path / 'tmp')
    assert not (tmp_path / 'out/.work').exists()
    assert not list((tmp_path / 'here').iterdir())


def test_what_was_asked_for_is_kept(tmp_path, start):
    process = start('-w', tmp_path / 'work')
    until_first(process, tmp_path / 'out')
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=HANGS)
    assert next(path.name for path in (tmp_path / 'work').iterdir()).endswith('_wf')
    assert not work_files(tmp_path / 'tmp')
    process = start('-w', tmp_path / 'work')
    assert f'{MASKS} masks done' in process.communicate(timeout=HANGS)[0]
    assert not list((tmp_path / 'work').iterdir())


def test_that_of_a_living_run_stays(tmp_path):
    dead, living = (tmp_path / f'.work/lacuna_{name}_wf' for name in ('dead', 'living'))
    for folder in (dead, living):
        folder.mkdir(parents=True)
        (folder / 'file').touch()
        folder.with_name(f'{folder.name}.lock').touch()
    with file_lock(living.with_name(f'{living.name}.lock')):
        remove_of_dead_runs(tmp_path)
        assert tree(tmp_path / '.work') == {'lacuna_living_wf/file', 'lacuna_living_wf.lock'}
    remove_of_dead_runs(tmp_path)
    assert not (tmp_path / '.work').exists()
