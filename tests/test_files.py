"""Files are written whole or not at all."""

import contextlib
import subprocess
import sys

import pytest

from lacuna.files import json_bytes, only_one, read_json, replacing, write_if_changed


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
from lacuna.files import make_once, replacing
target = Path(sys.argv[1], 'deep', 'a.tck')
def make():
    Path(sys.argv[1], f'made-by-{sys.argv[2]}').touch()
    time.sleep(0.5)
    with replacing(target) as temporary:
        temporary.write_text('x')
make_once(target, make)
assert target.read_text() == 'x'
"""
    makers = [subprocess.Popen([sys.executable, '-c', script, tmp_path, str(n)]) for n in range(3)]
    assert [maker.wait() for maker in makers] == [0, 0, 0]
    assert len(list(tmp_path.glob('made-by-*'))) == 1


def test_a_lock_ends_with_its_process(tmp_path):
    lock = tmp_path / 'x.lock'
    script = f"""
from pathlib import Path
from lacuna.files import only_one
with only_one(Path({str(lock)!r})):
    print('locked', flush=True)
    input()
"""
    holder = subprocess.Popen(
        [sys.executable, '-c', script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == 'locked\n'
    with pytest.raises(BlockingIOError), only_one(lock, wait=False):
        pass
    holder.kill()
    holder.communicate()
    with only_one(lock, wait=False):
        assert lock.exists()  # and is locked again
