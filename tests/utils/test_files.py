"""Files are written whole or not at all."""

import contextlib
import os
import pwd
import subprocess
import sys
import tempfile

import pytest

from lacuna.errors import InputError
from lacuna.execution.environment import prepare_environment
from lacuna.utils.cache import cache_dir, user_cache_dir
from lacuna.utils.files import json_bytes, read_json, replacing, write_if_changed
from lacuna.utils.locks import file_lock


def test_replacing(tmp_path):
    target = tmp_path / 'deep' / 'a.nii.gz'
    with replacing(target) as temporary:
        temporary.write_text('new')
        assert not target.exists()
        assert temporary.name.endswith('.nii.gz')
    assert target.read_text() == 'new'
    assert [path.name for path in target.parent.iterdir()] == ['a.nii.gz']


def test_an_error_leaves_the_old_file(tmp_path):
    target = tmp_path / 'a.txt'
    target.write_text('old')
    with contextlib.suppress(RuntimeError), replacing(target) as temporary:
        temporary.write_text('half')
        raise RuntimeError
    assert target.read_text() == 'old'
    assert [path.name for path in tmp_path.iterdir()] == ['a.txt']


def test_the_same_content_is_not_written_again(tmp_path):
    target = tmp_path / 'a.json'
    assert write_if_changed(target, b'1')
    before = target.stat().st_mtime_ns
    assert not write_if_changed(target, b'1')
    assert target.stat().st_mtime_ns == before
    assert write_if_changed(target, b'2')


def test_json_has_no_nan():
    with pytest.raises(ValueError, match='JSON'):
        json_bytes({'a': float('nan')})


@pytest.mark.parametrize('content', ['', '[1]', '{"a": ', '\x00'])
def test_json_that_is_none(tmp_path, content):
    path = tmp_path / 'a.json'
    path.write_text(content)
    assert read_json(path) is None
    assert read_json(tmp_path / 'absent.json') is None


def test_made_once_by_many_processes(tmp_path):
    script = """
import sys, time
from pathlib import Path
from lacuna.utils.cache import cached
from lacuna.utils.files import replacing
target = Path(sys.argv[1], 'deep', 'a.tck')
def make():
    Path(sys.argv[1], f'made-by-{sys.argv[2]}').touch()
    while len(list(Path(sys.argv[1]).glob('begun-*'))) < 3:
        time.sleep(0.01)
    with replacing(target) as temporary:
        temporary.write_text('x')
Path(sys.argv[1], f'begun-{sys.argv[2]}').touch()
cached(target, make)
assert target.read_text() == 'x'
"""
    makers = [subprocess.Popen([sys.executable, '-c', script, tmp_path, str(n)]) for n in range(3)]
    assert [maker.wait() for maker in makers] == [0, 0, 0]
    assert len(list(tmp_path.glob('made-by-*'))) == 1


def test_a_lock_ends_with_its_process(tmp_path):
    lock = tmp_path / 'x.lock'
    script = f"""
from pathlib import Path
from lacuna.utils.locks import file_lock
with file_lock(Path({str(lock)!r})):
    print('locked', flush=True)
    input()
"""
    holder = subprocess.Popen(
        [sys.executable, '-c', script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == 'locked\n'
    with pytest.raises(BlockingIOError), file_lock(lock, wait=False):
        pass
    holder.kill()
    holder.communicate()
    with file_lock(lock, wait=False):
        assert lock.exists()  # and is locked again


@pytest.fixture
def no_home(monkeypatch, tmp_path):
    """A user without a home, as in many a container; returns the folder that is left for caches."""
    for name in ('LACUNA_CACHE_DIR', 'XDG_CACHE_HOME', 'NUMBA_CACHE_DIR', 'MPLCONFIGDIR'):
        monkeypatch.setenv(name, '')  # so that it is put back, whether it was there or not
        monkeypatch.delenv(name)
    monkeypatch.setenv('HOME', '/dev/null/nobody')
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    return tmp_path / f'lacuna-{os.getuid()}'


def test_caches_without_a_home(no_home):
    assert user_cache_dir() is None
    assert cache_dir() == no_home
    assert no_home.stat().st_mode & 0o777 == 0o700
    assert cache_dir() == no_home  # again the same
    prepare_environment()
    assert os.environ['NUMBA_CACHE_DIR'] == f'{no_home}/numba-{os.geteuid()}'
    assert os.environ['MPLCONFIGDIR'] == f'{no_home}/matplotlib'


def test_home_is_always_set(monkeypatch):
    """MRtrix3 and pybids refuse to start without one."""
    monkeypatch.delenv('HOME')
    prepare_environment()
    assert os.environ['HOME'] == pwd.getpwuid(os.getuid()).pw_dir


def test_a_cache_that_is_given_and_cannot_be_written(no_home, monkeypatch):
    monkeypatch.setenv('LACUNA_CACHE_DIR', '/dev/null/cache')
    assert str(cache_dir()) == '/dev/null/cache'  # what is wrong with it is said by who writes there
    prepare_environment()
    assert os.environ['NUMBA_CACHE_DIR'] == f'{no_home}/numba-{os.geteuid()}'


def test_the_place_of_compiled_code_can_be_given(no_home, monkeypatch, tmp_path):
    monkeypatch.setenv('NUMBA_CACHE_DIR', str(tmp_path / 'given'))
    prepare_environment()
    assert os.environ['NUMBA_CACHE_DIR'] == str(tmp_path / 'given')
    monkeypatch.setenv('NUMBA_CACHE_DIR', '/dev/null/numba')  # numba would end with a traceback
    prepare_environment()
    assert os.environ['NUMBA_CACHE_DIR'] == f'{no_home}/numba-{os.geteuid()}'


@pytest.mark.parametrize('theirs', ['open', 'link', 'file'])
def test_no_cache_that_others_can_write_to(no_home, tmp_path, theirs):
    if theirs == 'open':
        no_home.mkdir()
        no_home.chmod(0o777)
    elif theirs == 'link':
        (tmp_path / 'elsewhere').mkdir()
        no_home.symlink_to(tmp_path / 'elsewhere')
    else:
        no_home.touch(mode=0o600)
    with pytest.raises(
        InputError, match=r'lacuna-\d+ is not a folder that only you can write to; remove it, or set'
    ):
        cache_dir()


def test_the_usual_cache(monkeypatch, tmp_path):
    monkeypatch.delenv('LACUNA_CACHE_DIR')
    monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
    monkeypatch.setenv('HOME', str(tmp_path))
    assert cache_dir() == tmp_path / '.cache' / 'lacuna'
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'x'))
    assert cache_dir() == tmp_path / 'x' / 'lacuna'
