"""Files are written whole or not at all."""

import contextlib

import pytest

from lacuna.files import json_bytes, read_json, replacing, write_if_changed


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
