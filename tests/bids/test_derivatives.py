"""Outputs under their final names."""

import hashlib
import os

import pytest

from lacuna.bids.derivatives import save_outputs
from lacuna.bids.mask_files import describe_mask
from lacuna.bids.outputs import Target
from lacuna.utils.files import read_json

MASK = 'sub-01_space-MNI152NLin6Asym_label-lesion_mask.nii.gz'
MAP, SUMMARY = Target('disconnection_map'), Target('summary')
CONTENTS = {MAP: b'a map', SUMMARY: b'{"mask_voxels": 3}\n'}


def save(root, contents):
    mask = describe_mask(root / MASK)
    return save_outputs(root, mask, contents, {'Space': mask.space, 'Sources': ['a', 'b']}, {})


def test_contents_and_files_give_the_same_dataset(tmp_path):
    one, other = tmp_path / 'one', tmp_path / 'other'
    save(one, CONTENTS)
    for number, content in enumerate(CONTENTS.values()):
        (tmp_path / str(number)).write_bytes(content)
    save(other, {target: tmp_path / str(number) for number, target in enumerate(CONTENTS)})
    files = {path.relative_to(one): path.read_bytes() for path in one.rglob('*') if path.is_file()}
    assert files == {
        path.relative_to(other): path.read_bytes() for path in other.rglob('*') if path.is_file()
    }
    assert len(files) == 3


def test_a_sidecar_has_the_checksum_of_the_content(tmp_path):
    map_path, summary = save(tmp_path, CONTENTS)
    assert read_json(map_path.with_name(map_path.name.replace('.nii.gz', '.json')))['Files'] == {
        path.name: {'Size': len(content), 'SHA256': hashlib.sha256(content).hexdigest()}
        for path, content in sorted(zip((map_path, summary), CONTENTS.values(), strict=True))
    }
    assert map_path.read_bytes() == CONTENTS[MAP]


def test_what_is_there_is_not_written_again(tmp_path):
    paths = save(tmp_path, CONTENTS)
    for path in paths:
        os.utime(path, ns=(1, 1))
    save(tmp_path, {**CONTENTS, MAP: b'A map'})  # of the same size
    assert [path.stat().st_mtime_ns == 1 for path in paths] == [False, True]
    assert paths[0].read_bytes() == b'A map'


def test_leftovers_of_a_killed_process_go_and_files_of_others_stay(tmp_path):
    map_path, _ = save(tmp_path, CONTENTS)
    left = map_path.with_name(f'.tmp-{map_path.name}-0a1b.nii.gz')
    other = map_path.with_name('.tmp-sub-02_something')
    for path in (left, other):
        path.write_bytes(b'half')
    save(tmp_path, CONTENTS)
    assert not left.exists()
    assert other.exists()


def test_permissions_are_those_of_the_user(tmp_path):
    before = os.umask(0o027)
    try:
        path, _ = save(tmp_path, CONTENTS)
    finally:
        os.umask(before)
    assert oct(path.stat().st_mode & 0o777) == '0o640'


def test_nothing_is_left_of_a_content_that_cannot_be_written(tmp_path):
    with pytest.raises(FileNotFoundError):
        save(tmp_path, {MAP: tmp_path / 'is_not_there'})
    assert not [path for path in tmp_path.rglob('*') if path.is_file()]
