"""Runs into one output folder: side by side if they share nothing, else refused; what they leave in logs/."""

import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
from datetime import datetime
from pathlib import Path

import pytest
from helpers.cohort import tree, write_cohort
from helpers.waiting import HANGS, wait_for

from lacuna.errors import InputError
from lacuna.execution.lock import locking
from lacuna.execution.plan import chunk_of

MASKS = 12  # enough for workers


@pytest.fixture
def cohort(tmp_path):
    return write_cohort(tmp_path, MASKS)


@pytest.fixture
def command(cohort, tmp_path, lacuna_command):
    """``lacuna run snm`` on the cohort, in a process of its own."""

    def run(*options, out='out'):
        return lacuna_command(
            'run', 'snm', '--no-report', tmp_path / 'bids', tmp_path / out, '--connectome-path', cohort.tracks,
            '-w', tmp_path / 'work', '--nprocs', 1, *options,
        )  # fmt: skip

    return run


@pytest.fixture
def other_run(tmp_path):
    """A process that has locked participants; ends with the test, or by a signal."""
    processes = []

    def start(subjects, settings):
        script = f"""
            import sys
            from pathlib import Path
            from lacuna.execution.lock import locking
            with locking(Path({str(tmp_path / 'out')!r})) as lock:
                lock.take({subjects!r}, {settings!r})
                print('taken', flush=True)
                sys.stdin.read()
        """
        process = subprocess.Popen(
            [sys.executable, '-c', textwrap.dedent(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout.readline() == 'taken\n'
        return process

    yield start
    for process in processes:
        process.communicate()


def settings_of(done_folder):
    return (done_folder / 'logs/.lock').read_text()


def results(folder):
    return {
        name: (folder / name).read_bytes()
        for name in tree(folder)
        if name.endswith(('.nii.gz', 'stats.json', 'failed_masks.tsv'))
    }


def record(folder):
    (path,) = folder.glob('logs/*/run.json')
    return json.loads(path.read_text())


def test_a_participant_is_locked_once(tmp_path, other_run):
    other_run(['01', '02'], 'the same')
    with locking(tmp_path / 'out') as lock:
        lock.take(['03'], 'the same')
    with (
        locking(tmp_path / 'out') as lock,
        pytest.raises(InputError, match=r'the results of sub-02; start'),
    ):
        lock.take(['02', '03'], 'the same')
    with (
        locking(tmp_path / 'out') as lock,
        pytest.raises(InputError, match='with other settings: the same;'),
    ):
        lock.take(['03'], 'different')


def test_a_lock_ends_with_its_process(tmp_path, other_run):
    process = other_run(['01'], 'theirs')
    process.kill()
    process.wait()
    with locking(tmp_path / 'out') as lock:
        lock.take(['01'], 'mine')
    assert settings_of(tmp_path / 'out') == 'mine'


def test_what_a_dead_run_of_another_host_has_left_is_no_lock(tmp_path):
    lock = tmp_path / 'out/logs/.lock'
    lock.parent.mkdir(parents=True)
    lock.write_text('lacuna run snm elsewhere, process 1 of node17')
    with locking(tmp_path / 'out') as lock:
        lock.take(['01'], 'mine')


def test_a_second_run_of_the_same_masks_is_refused(command, tmp_path, other_run):
    assert command('--participant-label', '02').returncode == 0
    settings = settings_of(tmp_path / 'out')
    other = other_run(['03'], settings)
    before = tree(tmp_path / 'out')
    done = command()
    assert done.returncode == 2
    assert f'another run is writing into {tmp_path / "out"}, with the results of sub-03;' in done.stderr
    assert done.stderr.count('\n') == 1
    done = command('--output-resolution', '1', '--participant-label', '04')
    assert (done.returncode, 'other settings: lacuna run snm' in done.stderr) == (2, True)
    assert tree(tmp_path / 'out') == before
    assert command('--participant-label', '01', '02').returncode == 0
    other.kill()
    other.wait()
    done = command()
    assert done.returncode == 0, done.stderr
    assert f'{MASKS} masks done ({MASKS - 2} now)' in done.stdout


def test_two_runs_started_together_make_what_one_makes(command, tmp_path, cohort):
    """Whichever comes second stops, or finds the results of the first; nothing is mixed."""
    assert command(out='alone').returncode == 0
    words = [
        sys.executable, '-m', 'lacuna', 'run', 'snm', '--no-report', tmp_path / 'bids', tmp_path / 'out',
        '--connectome-path', cohort.tracks, '-w', tmp_path / 'work', '--nprocs', '1',
    ]  # fmt: skip
    runs = [subprocess.Popen(list(map(str, words)), stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ends = [(run.communicate()[1], run.returncode)[::-1] for run in runs]
    assert 0 in [code for code, _ in ends]
    assert all(code == 0 or (code == 2 and 'another run is writing' in said) for code, said in ends), ends
    assert results(tmp_path / 'out') == results(tmp_path / 'alone')


def test_chunks_are_the_whole():
    paths = [Path(f'sub-{label:02d}_ses-{session}_mask.nii.gz') for label in range(7) for session in (1, 2)]
    for of in (1, 2, 3, 7, 9):
        chunks = [chunk_of(paths, f'{number}/{of}') for number in range(1, of + 1)]
        assert sorted(path for chunk in chunks for path in chunk) == paths
        owners = [{path.name[:6] for path in chunk} for chunk in chunks]
        assert sum(map(len, owners)) == 7  # no participant is in two
        assert max(map(len, owners)) - min(map(len, owners)) <= 1


def test_chunks_at_the_same_time(command, tmp_path, cohort):
    """They share a cold cache and a work folder, and make what one run makes; a bad mask is in one table."""
    bad = tmp_path / 'bids/sub-03/anat/sub-03_space-MNI152NLin6Asym_label-lesion_mask.nii.gz'
    bad.write_bytes(b'no image')
    assert (
        command(
            out='alone',
        ).returncode
        == 1
    )
    words = [
        sys.executable, '-m', 'lacuna', 'run', 'snm', '--no-report', tmp_path / 'bids', tmp_path / 'out',
        '--connectome-path', cohort.tracks, '-w', tmp_path / 'work', '--nprocs', '1',
    ]  # fmt: skip
    cold = {**os.environ, 'LACUNA_CACHE_DIR': str(tmp_path / 'cold')}
    runs = [
        subprocess.Popen(
            [*map(str, words), '--chunk', f'{number}/3'],
            env=cold,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2, 3)
    ]
    said = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 1], said
    assert results(tmp_path / 'out') == results(tmp_path / 'alone')
    assert len(list((tmp_path / 'cold/index').iterdir())) == 1
    # mended, and only that chunk run again: nothing has failed any more
    good = tmp_path / 'bids/sub-02/anat/sub-02_space-MNI152NLin6Asym_label-lesion_mask.nii.gz'
    bad.write_bytes(good.read_bytes())
    done = command('--chunk', '3/3')
    assert (done.returncode, '4 masks done (1 now)' in done.stdout) == (0, True), done.stderr
    assert not (tmp_path / 'out/logs/failed_masks.tsv').exists()


def test_a_chunk_without_participants_is_done(command):
    done = command('--chunk', f'{MASKS + 1}/{MASKS + 1}')
    assert (done.returncode, '0 masks done' in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize('chunk', ['0/2', '3/2', '1', 'a/b', '1/2/3'])
def test_no_chunk(command, chunk):
    done = command('--chunk', chunk)
    assert (done.returncode, 'give I/N' in done.stderr, done.stderr.count('\n')) == (2, True, 1)


@pytest.mark.parametrize('nprocs', ['1', '2'])
def test_the_record_of_a_run(command, tmp_path, nprocs):
    bad = tmp_path / 'bids/sub-03/anat/sub-03_space-MNI152NLin6Asym_label-lesion_mask.nii.gz'
    bad.write_bytes(b'no image')
    assert command('--participant-label', '01').returncode == 0
    for log in (tmp_path / 'out/logs').glob('*/'):
        log.rename(tmp_path / 'earlier')
    done = command('--nprocs', nprocs)
    assert done.returncode == 1
    found = record(tmp_path / 'out')
    assert (found['status'], found['exit_code']) == ('some masks failed', 1)
    assert datetime.fromisoformat(found['started']) < datetime.fromisoformat(found['finished'])
    by_status = {}
    for mask in found['masks']:
        by_status.setdefault(mask['status'], []).append(mask)
    assert {status: len(masks) for status, masks in by_status.items()} == {
        'done': 10, 'failed': 1, 'done before': 1,
    }  # fmt: skip
    assert by_status['failed'][0]['mask'] == str(bad)
    assert str(bad) in by_status['failed'][0]['reason']
    for mask in by_status['done']:
        assert 0 < mask['seconds'] < 60
        assert 20 < mask['peak_memory_mb'] < 4000
    (log,) = (tmp_path / 'out').glob('logs/*/run.log')
    lines = log.read_text().splitlines()
    assert sum(': done, ' in line for line in lines) == 10
    assert sum(line.split(' ')[2] == 'ERROR' and str(bad) in line for line in lines) == 1
    assert lines[-1].endswith('some masks failed')


def test_the_record_of_an_interrupted_run(tmp_path, cohort):
    process = subprocess.Popen(
        [
            sys.executable, '-m', 'lacuna', 'run', 'snm', '--no-report', tmp_path / 'bids', tmp_path / 'out',
            '--connectome-path', cohort.tracks, '-w', tmp_path / 'work', '--nprocs', '1',
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )  # fmt: skip
    wait_for(lambda: list(tmp_path.glob('out/sub-01/anat/*stats.json')), process)
    assert record(tmp_path / 'out')['status'] == 'running'
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=HANGS)
    found = record(tmp_path / 'out')
    assert (found['status'], found['exit_code']) == ('interrupted', process.returncode)
    assert found['masks'][-1]['status'] == 'not finished'


def test_a_crash_is_named_after_its_mask_and_says_how_to_see_it_again(command, tmp_path):
    """None of the files of one mask can be written."""
    assert command().returncode == 0
    sitecustomize = tmp_path / 'patch/sitecustomize.py'
    sitecustomize.parent.mkdir()
    sitecustomize.write_text(
        textwrap.dedent("""
            import pathlib
            true = pathlib.Path.replace
            def replace(self, target):
                if '/sub-02_' in str(target):
                    raise OSError('the disk is broken')
                return true(self, target)
            pathlib.Path.replace = replace
        """)
    )
    os.environ['PYTHONPATH'] = str(sitecustomize.parent)
    try:
        done = command(out='broken')
    finally:
        del os.environ['PYTHONPATH']
    assert done.returncode == 1
    assert 'the disk is broken' in done.stderr
    (crash,) = (tmp_path / 'broken').glob('logs/*/crash-*.txt')
    assert crash.name.startswith('crash-sub-02_label-lesion-')
    again = crash.read_text().splitlines()[-1]
    assert '--participant-label 02' in again
    assert str(crash) in (tmp_path / 'broken/logs/failed_masks.tsv').read_text()
    done = subprocess.run(
        [sys.executable, '-m', *shlex.split(again)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr  # the disk is mended
