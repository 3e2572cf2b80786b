"""A disk that is full: one clear line, nothing half-written, and the next run goes on."""

import contextlib
import os
import subprocess

import pytest
from conftest import tree, write_cohort

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
@pytest.mark.parametrize('full', ['output', 'work', 'cache'])
def test_full_disk(tmp_path, small_disk, lacuna_command, full, nprocs):
    toy = write_cohort(tmp_path, MASKS)
    ballast = small_disk / 'ballast'
    with contextlib.suppress(OSError), ballast.open('wb', buffering=0) as stream:
        while True:
            stream.write(bytes(4096))
    place = {name: tmp_path / name for name in ('output', 'work', 'cache')} | {full: small_disk / full}
    command = [
        'run', 'snm', '--no-report', tmp_path / 'bids', place['output'], '--connectome-path', toy.tracks, '-w', place['work'],
        '--nprocs', nprocs,
    ]  # fmt: skip
    done = lacuna_command(*command, LACUNA_CACHE_DIR=str(place['cache']))
    assert done.returncode in (1, 2), done.stderr
    assert 'No space left on device' in done.stderr
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
