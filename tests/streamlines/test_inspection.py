"""What is kept about a file is of this content, and of no other."""

import os
import time

import numpy as np
import pytest
from helpers.waiting import settle

from lacuna.errors import TractogramError
from lacuna.streamlines.files.tck import write_tck
from lacuna.streamlines.inspection import checksum, inspect


def write(path, first, count=3):
    """Lines that begin at x = `first`; files of the same count have the same size."""
    write_tck(path, [np.array([[first, y, 0], [20, y, 0]], np.float32) for y in range(count)])


def box(path, cache, progress=None):
    return inspect(path, cache, progress).box[0][0]


def test_replaced_while_it_is_read(tmp_path):
    path, other = tmp_path / 'a.tck', tmp_path / 'b.tck'
    write(path, 1)
    write(other, 2)
    settle(other)
    with pytest.raises(TractogramError):
        inspect(path, tmp_path, lambda _: other.exists() and other.replace(path))
    assert box(path, tmp_path) == 2


@pytest.mark.parametrize('how', ['edited', 'replaced'])
def test_same_size_and_time(tmp_path, how):
    path, other = tmp_path / 'a.tck', tmp_path / 'b.tck'
    write(path, 1)
    settle(path)
    assert box(path, tmp_path) == 1
    before, status = checksum(path, tmp_path), path.stat()
    if how == 'edited':
        write(path, 2)
    else:
        write(other, 2)
        other.replace(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert box(path, tmp_path) == 2
    assert checksum(path, tmp_path) != before


def test_a_new_file_may_change_unseen(tmp_path, monkeypatch):
    """On a file system with coarse times, a change soon after another leaves the same times."""
    path = tmp_path / 'a.tck'
    monkeypatch.setattr(
        'lacuna.streamlines.inspection.stamp',
        lambda path: [path.stat().st_size, time.time_ns() // 10**9 * 10**9, 0, 0],
    )
    for first in (1, 2, 3):
        write(path, first)
        assert box(path, tmp_path) == first


def test_damage_of_what_is_kept(tmp_path):
    path = tmp_path / 'a.tck'
    write(path, 1)
    settle(path)
    found = inspect(path, tmp_path, None)
    (kept,) = (tmp_path / 'tractograms').glob('*.json')
    whole = kept.read_bytes()
    for at in range(0, len(whole), 3):
        kept.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert inspect(path, tmp_path, None) == found
        assert checksum(path, tmp_path) == found.sha256
