"""Disks that are full, read-only or slow, clocks that are wrong: one clear line, nothing half-written, and the next run goes on."""

import contextlib
import os
import shutil
import subprocess
import sys

import nibabel as nb
import numpy as np
import pytest
from helpers.cohort import find, tree, write_cohort
from helpers.waiting import HANGS, wait_for

MASKS = 10  # enough for workers


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 150 kB, to be filled to the last byte."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    command = ['mount', '-t', 'tmpfs', '-o', 'size=150k', 'tmpfs', folder]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip('needs the right to mount a small file system')
    yield folder
    subprocess.run(['umount', folder], check=True)


@pytest.mark.parametrize('nprocs', [1, 2])
@pytest.mark.parametrize(
    ('full', 'engine'),
    [('output', 'index'), ('cache', 'index'), pytest.param('work', 'mrtrix', marks=pytest.mark.mrtrix)],
)
def test_full_disk(tmp_path, small_disk, lacuna_command, full, engine, nprocs):
    toy = write_cohort(tmp_path, MASKS)
    ballast = small_disk / 'ballast'
    with contextlib.suppress(OSError), ballast.open('wb', buffering=0) as stream:
        while True:
            stream.write(bytes(4096))
    place = {name: tmp_path / name for name in ('output', 'work', 'cache')} | {full: small_disk / full}
    command = [
        'run', 'snm', '--no-report', tmp_path / 'bids', place['output'], '--connectome-path', toy.tracks, '-w', place['work'],
        '--nprocs', nprocs, '--engine', engine,
    ]  # fmt: skip
    done = lacuna_command(*command, LACUNA_CACHE_DIR=str(place['cache']))
    assert done.returncode in (1, 2), done.stderr
    assert 'no space left' in done.stderr.lower()
    assert 'Traceback' not in done.stderr
    if place['output'].exists():
        names = tree(place['output'])
        assert not [name for name in names if name.endswith('.nii.gz') and '/.tmp-' in name]

    ballast.unlink()
    subprocess.run(['mount', '-o', 'remount,size=100m', small_disk], check=True)
    done = lacuna_command(*command, LACUNA_CACHE_DIR=str(place['cache']))
    assert done.returncode == 0, done.stderr
    assert f'{MASKS} masks done' in done.stdout
    assert len(list(place['output'].rglob('*_desc-disconnectionpct.nii.gz'))) == MASKS


@pytest.mark.mrtrix
@pytest.mark.parametrize('nprocs', [1, 2])
def test_disk_that_fills_up_during_a_run(tmp_path, small_disk, nprocs):
    """It ends by itself, with one line for all masks that are not finished, and goes on when there is room."""
    toy = write_cohort(tmp_path, MASKS)
    subprocess.run(['mount', '-o', 'remount,size=60m', small_disk], check=True)
    words = [
        sys.executable, '-m', 'lacuna', 'run', 'snm', '--no-report', tmp_path / 'bids', tmp_path / 'out', '--connectome-path',
        toy.tracks, '-w', small_disk / 'work', '--nprocs', str(nprocs), '--engine', 'mrtrix',
    ]  # fmt: skip
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: find(tmp_path / 'out', '*_stats.json'), process)
    ballast = small_disk / 'ballast'
    with ballast.open('wb', buffering=0) as stream:
        while process.poll() is None:  # what the run removes makes room again
            try:
                stream.write(bytes(2**20))
            except OSError:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.01)
    out, err = process.communicate(timeout=HANGS)
    assert process.returncode == 1, err
    assert err.lower().count('no space left') == 1, err
    (line,) = [line for line in err.splitlines() if 'no space left' in line.lower()]
    assert f'the work folder {small_disk}/work' in line
    assert len(err.splitlines()) == 2  # that, and how many have failed
    made = len(list((tmp_path / 'out').rglob('*_desc-disconnectionpct.nii.gz')))
    assert 1 <= made < MASKS
    assert f'{made} mask' in out

    ballast.unlink()
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=HANGS)
    assert (done.returncode, f'{MASKS} masks done ({MASKS - made} now)' in done.stdout) == (0, True), (
        done.stderr
    )


@pytest.mark.parametrize(
    'share', [pytest.param(n / 11, marks=[] if n in (2, 6, 10) else pytest.mark.soak) for n in range(1, 11)]
)
def test_disk_that_is_too_small(tmp_path, small_disk, share):
    """It holds a part of the results: the run ends, says so in one line, and the next one finishes."""
    toy = write_cohort(tmp_path, MASKS)
    out = small_disk / 'out'
    words = [
        sys.executable, '-m', 'lacuna', 'run', 'snm', '--no-report', tmp_path / 'bids', out, '--connectome-path', toy.tracks,
        '-w', tmp_path / 'work', '--nprocs', '2',
    ]  # fmt: skip

    def run(size):
        subprocess.run(['mount', '-o', f'remount,size={size}', small_disk], check=True)
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=HANGS)

    assert run('100m').returncode == 0
    expected = results(out)
    used = shutil.disk_usage(small_disk).used
    shutil.rmtree(out)

    done = run(int(share * used))
    assert done.returncode in (1, 2), done.stderr
    assert done.stderr.lower().count('no space left') == 1, done.stderr
    assert 'Traceback' not in done.stderr
    assert results(out).items() <= expected.items()  # nothing half-written

    again = run('100m')
    assert again.returncode == 0, again.stderr
    assert results(out) == expected


@pytest.fixture
def cohort_command(tmp_path, lacuna_command):
    """``lacuna run snm`` on a small cohort."""
    toy = write_cohort(tmp_path, 3)

    def run(out='out', work='work', **env):
        return lacuna_command(
            'run', 'snm', tmp_path / 'bids', tmp_path / out, '--connectome-path', toy.tracks, '-w', tmp_path / work,
            '--nprocs', 1, '--no-report', **env,
        )  # fmt: skip

    return run


def results(folder):
    return {
        name: (folder / name).read_bytes()
        for name in tree(folder)
        if not name.startswith('logs/') and not name.endswith('.json')
    }


def times(folder):
    return {name: (folder / name).stat().st_mtime_ns for name in results(folder)}


def test_read_only_disk(small_disk, cohort_command):
    """Also for root, who may write where nobody may."""
    (small_disk / 'out').mkdir()
    subprocess.run(['mount', '-o', 'remount,ro', small_disk], check=True)
    done = cohort_command(out='disk/out')
    assert (done.returncode, done.stderr.count('\n')) == (2, 1), done.stderr
    assert f'{small_disk}/out' in done.stderr


def test_work_folder_removed_between_runs(tmp_path, cohort_command):
    """What is done is known from the results."""
    assert cohort_command().returncode == 0
    before = times(tmp_path / 'out')
    broken = next((tmp_path / 'out').rglob('sub-02*_desc-disconnectionpct.nii.gz'))
    content = broken.read_bytes()
    broken.unlink()
    shutil.rmtree(tmp_path / 'work')
    done = cohort_command()
    assert '3 masks done (1 now)' in done.stdout, done.stderr
    assert broken.read_bytes() == content
    del before[str(broken.relative_to(tmp_path / 'out'))]
    assert before.items() <= times(tmp_path / 'out').items()


CLOCK = """
import os, time
shift = float(os.environ['CLOCK_SHIFT'])
true = time.time
time.time = lambda: true() + shift
"""
SLOW_RENAME = """
import os, time
for name in ('rename', 'replace'):
    def slow(*args, true=getattr(os, name), **options):
        time.sleep(0.2)
        true(*args, **options)
        time.sleep(0.2)
    setattr(os, name, slow)
"""


@pytest.fixture
def hook(tmp_path):
    """Environment in which Python first runs this."""

    def make(code):
        folder = tmp_path / 'hook'
        folder.mkdir()
        (folder / 'sitecustomize.py').write_text(code)
        return {'PYTHONPATH': str(folder)}

    return make


@pytest.mark.parametrize('days', [-400, 400])
def test_clock_moved(tmp_path, cohort_command, hook, days):
    """Files of the future and of the past: nothing is done again, and what has changed is seen."""
    assert cohort_command().returncode == 0
    before = times(tmp_path / 'out')
    for path in (tmp_path / 'out').rglob('*'):  # as if these were written when the clock was wrong
        then = path.stat().st_mtime + 86400 * days
        os.utime(path, (then, then))
    moved = times(tmp_path / 'out')
    assert moved != before
    done = cohort_command(CLOCK_SHIFT=str(-86400 * days), **hook(CLOCK))
    assert '3 masks done (0 now)' in done.stdout, done.stderr
    assert times(tmp_path / 'out') == moved
    mask = next((tmp_path / 'bids').rglob('sub-02*_mask.nii.gz'))
    image = nb.load(mask)
    data = np.asanyarray(image.dataobj).copy()
    data[tuple(np.argwhere(data)[0])] = 0
    nb.save(nb.Nifti1Image(data, image.affine, image.header), mask)
    os.utime(mask, (1, 1))
    done = cohort_command()
    assert done.returncode == 2
    assert 'content of the mask' in done.stderr


def test_slow_rename(tmp_path, cohort_command, hook):
    """Names appear late, as on some network disks; killed meanwhile, nothing half-written has a final name."""
    assert cohort_command(out='quick').returncode == 0
    expected = results(tmp_path / 'quick')
    slow = hook(SLOW_RENAME)
    process = subprocess.Popen(
        [
            sys.executable, '-m', 'lacuna', 'run', 'snm', tmp_path / 'bids', tmp_path / 'out', '--connectome-path',
            tmp_path / 'toy.tck', '-w', tmp_path / 'work', '--nprocs', '1', '--no-report',
        ],
        env={**os.environ, **slow},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: find(tmp_path / 'out/sub-01', '.tmp-*'), process)
    process.kill()
    process.wait()
    assert results(tmp_path / 'out').items() <= {**expected, **_temporary(tmp_path / 'out')}.items()
    done = cohort_command(**slow)
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / 'out') == expected


def _temporary(folder):
    return {name: content for name, content in results(folder).items() if '.tmp-' in name}


def test_processes_that_start_from_a_server(tmp_path, hook, lacuna_command):
    """As they do by default from Python 3.14 on."""
    toy = write_cohort(tmp_path, MASKS)
    start = 'import multiprocessing\nmultiprocessing.set_start_method("forkserver")'
    for out, method in (('here', {}), ('there', hook(start))):
        done = lacuna_command(
            'run', 'snm', tmp_path / 'bids', tmp_path / out, '--connectome-path', toy.tracks, '--nprocs', 2, '--no-report', **method
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert results(tmp_path / 'there') == results(tmp_path / 'here')
    assert len(results(tmp_path / 'there')) > MASKS
