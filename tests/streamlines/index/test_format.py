"""What goes wrong with an index: kills, full disks, damage, replaced tractograms, two builders."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers.streamlines_reference import open_index, random_walks

from lacuna.errors import StreamlineIndexError, TractogramError
from lacuna.images.spaces import Grid
from lacuna.streamlines.files.tck import write_tck
from lacuna.streamlines.index import build as index_build
from lacuna.streamlines.index import format as index_format
from lacuna.streamlines.index.build import build_index

AFFINE = np.array([[-2.0, 0, 0, 25], [0, 2, 0, -25], [0, 0, 2, -25], [0, 0, 0, 1]])
GRID = Grid('MNI152NLin6Asym', 2, (26, 26, 26), AFFINE)
MASK = np.zeros((20, 20, 20), bool)
MASK[8:12, 8:12, 8:12] = True
MASK_AFFINE = np.array([[1.0, 0, 0, -10], [0, 1, 0, -10], [0, 0, 1, -10], [0, 0, 0, 1]])


@pytest.fixture
def tractogram(tmp_path):
    path = tmp_path / 'toy.tck'
    write_tck(path, random_walks(2000, seed=5), step_size=1)
    return path


@pytest.fixture
def directory(tractogram, tmp_path):
    build_index(tractogram, tmp_path / 'index', GRID)
    return tmp_path / 'index'


def answer(directory: Path, tractogram: Path | None = None) -> tuple[bytes, bytes]:
    index = open_index(directory, GRID, tractogram=tractogram)
    ids = index.select(MASK, MASK_AFFINE)
    assert len(ids) > 10
    return ids.tobytes(), index.density(ids).tobytes()


_KILLED = """
import os, signal, sys
import numpy as np
from lacuna.images.spaces import Grid
from lacuna.streamlines.index import build as index_build, format as index_format

tractogram, directory, moment = sys.argv[1:]
index_build._SEGMENT_ROWS = 5000

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

reads = []
def progress(size):
    reads.append(size)
    if len(reads) == 5 and moment == 'reading':
        die()

finish = index_format.PartWriter.finish
def finish_or_die(writer, facts):
    if moment == 'before ' + writer.kind:
        die()
    if moment == 'within ' + writer.kind:
        index_format.json.dump = die
    finish(writer, facts)
index_format.PartWriter.finish = finish_or_die
affine = np.array([[-2.0, 0, 0, 25], [0, 2, 0, -25], [0, 0, 2, -25], [0, 0, 0, 1]])
index_build.build_index(tractogram, directory, Grid('MNI152NLin6Asym', 2, (26, 26, 26), affine), progress=progress)
"""


@pytest.mark.parametrize('moment', ['reading', 'before selection', 'within selection', 'before density'])
def test_killed_build_leaves_nothing_that_looks_finished(tractogram, tmp_path, moment):
    directory = tmp_path / 'index'
    run = subprocess.run([sys.executable, '-c', _KILLED, tractogram, directory, moment], check=False)
    assert run.returncode < 0
    with pytest.raises(StreamlineIndexError, match='no finished streamline index'):
        open_index(directory, GRID)
    build_index(tractogram, directory, GRID)
    build_index(tractogram, tmp_path / 'fresh', GRID)
    assert answer(directory, tractogram) == answer(tmp_path / 'fresh')
    assert not list(directory.glob('.building*'))


@pytest.mark.slow
@pytest.mark.parametrize('kills', [5, pytest.param(50, marks=pytest.mark.soak)])
def test_build_killed_at_random_moments(tractogram, tmp_path, kills):
    build_index(tractogram, tmp_path / 'fresh', GRID)
    right = answer(tmp_path / 'fresh')
    rng = np.random.default_rng()
    for _ in range(kills):
        directory = tmp_path / 'index'
        command = [sys.executable, '-c', _KILLED, tractogram, directory, 'at any time']
        build = subprocess.Popen(command)
        with contextlib.suppress(subprocess.TimeoutExpired):
            build.wait(rng.uniform(0.3, 2.0))
        build.kill()
        build.wait()
        with contextlib.suppress(StreamlineIndexError):  # either whole or refused
            assert answer(directory) == right
        build_index(tractogram, directory, GRID)
        assert answer(directory) == right
        shutil.rmtree(directory)


def test_every_damaged_file_is_refused_and_mended(tractogram, directory):
    right = answer(directory)
    files = [path for path in directory.rglob('*') if path.is_file() and path.stat().st_size]
    assert len(files) > 10
    rng = np.random.default_rng(0)
    for path in files:
        content = path.read_bytes()
        flipped = bytearray(content)
        flipped[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        for damage in (content[:-1], b'', bytes(flipped), None):
            path.unlink() if damage is None else path.write_bytes(damage)
            with pytest.raises(StreamlineIndexError, match='build') as caught:
                open_index(directory, GRID)
            assert '\n' not in str(caught.value)
            assert str(directory) in str(caught.value)
            path.write_bytes(content)
        path.write_bytes(flipped)
        build_index(tractogram, directory, GRID)
        assert answer(directory) == right


def test_unverified_damage_does_not_crash(directory):
    rng = np.random.default_rng(1)
    for name in ('codes', 'starts', 'blocks', 'rows', 'loose_ids'):
        path = next(directory.rglob(f'{name}.bin'))
        content = np.fromfile(path, np.uint8)
        for _ in range(20):
            damaged = content.copy()
            damaged[rng.integers(len(damaged), size=5)] = rng.integers(256, size=5)
            damaged.tofile(path)
            index = open_index(directory, GRID, verify=False)
            with contextlib.suppress(StreamlineIndexError):
                index.density(index.select(MASK, MASK_AFFINE))
        content.tofile(path)


def test_other_versions_and_other_files_are_refused(directory):
    manifest = directory / 'selection' / index_format.MANIFEST
    text = manifest.read_text()
    manifest.write_text(text.replace('"version": 1', '"version": 99'))
    with pytest.raises(StreamlineIndexError, match=r'version 99.* 1'):
        open_index(directory, GRID)
    manifest.write_text('{"format": "something else"}')
    with pytest.raises(StreamlineIndexError, match='streamline index'):
        open_index(directory, GRID)
    manifest.write_text('not json')
    with pytest.raises(StreamlineIndexError, match='cannot be read'):
        open_index(directory, GRID)


def test_replaced_tractogram(tractogram, directory):
    first = answer(directory, tractogram)
    later = tractogram.stat().st_mtime_ns + 10**9
    os.utime(tractogram, ns=(later, later))
    assert answer(directory, tractogram) == first  # touched, the same content
    index = open_index(directory, GRID, tractogram=tractogram)
    content = bytearray(tractogram.read_bytes())
    content[1000] ^= 1
    tractogram.write_bytes(content)
    with pytest.raises(StreamlineIndexError, match='changed since its index was built'):
        index.select(np.ones((9, 9, 9), bool), np.diag([2.0, 2, 2, 1]))
    with pytest.raises(StreamlineIndexError, match='does not match'):
        open_index(directory, GRID, tractogram=tractogram)
    write_tck(tractogram, random_walks(300, seed=9), step_size=1)
    build_index(tractogram, directory, GRID)
    assert open_index(directory, GRID, tractogram=tractogram).streamlines == 300


def test_parts_of_different_tractograms(tractogram, directory, tmp_path):
    write_tck(tractogram, random_walks(300, seed=9), step_size=1)
    build_index(tractogram, tmp_path / 'other', GRID)
    shutil.rmtree(directory / 'selection')
    shutil.copytree(tmp_path / 'other' / 'selection', directory / 'selection')
    with pytest.raises(StreamlineIndexError, match='different tractograms'):
        open_index(directory, GRID)


def test_tractogram_that_changes_during_the_build(tractogram, tmp_path):
    def touch(_):
        os.utime(tractogram, ns=(1, 1))

    with pytest.raises(StreamlineIndexError, match='changed while its index was built'):
        build_index(tractogram, tmp_path / 'index', GRID, progress=touch)
    assert [path.name for path in (tmp_path / 'index').iterdir()] == ['.lock']


def test_empty_and_truncated_tractograms(tractogram, tmp_path):
    write_tck(tmp_path / 'none.tck', [])
    with pytest.raises(TractogramError, match='no streamlines'):
        build_index(tmp_path / 'none.tck', tmp_path / 'index', GRID)
    tractogram.write_bytes(tractogram.read_bytes()[:-5000])
    with pytest.raises(TractogramError, match='truncated'):
        build_index(tractogram, tmp_path / 'index', GRID)
    assert [path.name for path in (tmp_path / 'index').iterdir()] == ['.lock']


def test_full_disk(tractogram, tmp_path, monkeypatch):
    appended = []

    def append(_writer, name, _array):
        appended.append(name)
        if len(appended) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(index_format.PartWriter, 'append', append)
    with pytest.raises(StreamlineIndexError, match=r'no space left .* may take .* MB'):
        build_index(tractogram, tmp_path / 'index', GRID)
    assert [path.name for path in (tmp_path / 'index').iterdir()] == ['.lock']


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 300 kB; needs root."""
    folder = tmp_path / 'small'
    folder.mkdir()
    options = ['-t', 'tmpfs', '-o', 'size=300k', 'tmpfs', str(folder)]
    if (
        shutil.which('mount') is None
        or subprocess.run(['mount', *options], check=False, capture_output=True).returncode
    ):
        pytest.skip('a tmpfs cannot be mounted here')
    yield folder
    subprocess.run(['umount', '-l', str(folder)], check=True)


def test_really_full_disk(tractogram, small_disk):
    with pytest.raises(StreamlineIndexError, match='no space left') as caught:
        build_index(tractogram, small_disk / 'index', GRID)
    assert str(small_disk) in str(caught.value)
    assert [path.name for path in (small_disk / 'index').iterdir()] == ['.lock']


def test_read_only_cache(tractogram, directory, small_disk):
    subprocess.run(['mount', '-o', 'remount,size=8m', str(small_disk)], check=True)
    shutil.copytree(directory / 'selection', small_disk / 'index' / 'selection')
    subprocess.run(['mount', '-o', 'remount,ro', str(small_disk)], check=True)
    with pytest.raises(StreamlineIndexError, match='cannot write the streamline index'):
        build_index(tractogram, small_disk / 'index', GRID)
    subprocess.run(['mount', '-o', 'remount,rw', str(small_disk)], check=True)
    density = next(directory.glob('density*'))
    shutil.copytree(density, small_disk / 'index' / density.name)
    subprocess.run(['mount', '-o', 'remount,ro', str(small_disk)], check=True)
    build_index(tractogram, small_disk / 'index', GRID)  # finished: nothing to write
    assert answer(small_disk / 'index', tractogram) == answer(directory)


def test_two_builders_at_once_build_once(tractogram, tmp_path, monkeypatch):
    monkeypatch.setattr(index_build, '_SEGMENT_ROWS', 2000)
    made, errors = [], []
    make = index_format.PartWriter.__init__

    def counted(writer, folder, kind):
        made.append(kind)
        make(writer, folder, kind)

    monkeypatch.setattr(index_format.PartWriter, '__init__', counted)

    def run():
        try:
            build_index(tractogram, tmp_path / 'index', GRID, nprocs=2)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sorted(made) == ['density', 'selection']
    answer(tmp_path / 'index', tractogram)
