"""A cached file that is no longer as it was written is made again."""

import os
import shutil

import pytest

from lacuna.utils import cache as cache_module
from lacuna.utils.cache import cached, is_intact
from lacuna.utils.cache_contents import entries, remove


@pytest.fixture
def make(tmp_path):
    """Make ``tmp_path/cache/bundles/x.npz`` unless it is there; the names of the files made are kept."""
    made = []

    def keep(name='x.npz', root=tmp_path / 'cache'):
        target = root / 'bundles' / name

        def write():
            made.append(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(bytes(range(256)))

        cached(target, write)
        assert target.read_bytes() == bytes(range(256))
        return target

    keep.made = made
    return keep


@pytest.mark.parametrize('name', ['x.npz', 'x.tck'])
def test_damaged_files_are_made_again(make, name):
    path = make(name)
    whole = path.read_bytes()
    damaged = [
        b'',
        whole[:100],
        whole + b'x',
        *(whole[:at] + b'\xff' + whole[at + 1 :] for at in (0, 7, 100)),
    ]
    for number, content in enumerate(damaged, 1):
        path.write_bytes(content)
        assert not is_intact(path)
        make(name)
        assert len(make.made) == 1 + number
    make(name)
    assert len(make.made) == 1 + len(damaged)


def test_a_copy_of_the_cache_is_used(make, tmp_path, monkeypatch):
    make('x.tck')
    shutil.copytree(tmp_path / 'cache', tmp_path / 'copy', copy_function=shutil.copyfile)
    make('x.tck', tmp_path / 'copy')
    assert make.made == ['x.tck']
    monkeypatch.setattr(cache_module, 'crc32_of', None)  # a tractogram with known times is not read again
    make('x.tck', tmp_path / 'copy')


def test_a_tractogram_with_the_old_size_and_time_is_not_believed(make):
    path = make('x.tck')
    status = path.stat()
    path.write_bytes(bytes(256))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not is_intact(path)


def test_records_are_removed_with_their_file(make, tmp_path):
    path = make()
    (entry,) = entries(tmp_path / 'cache', 'bundles')
    remove(entry)
    assert not list(path.parent.iterdir())
