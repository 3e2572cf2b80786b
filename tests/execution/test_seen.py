"""A mask whose file was not touched since an earlier run is not read again; one that was, is."""

import json
import os
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest
from helpers.waiting import settle

from lacuna.bids.mask_files import describe_mask
from lacuna.cli import main
from lacuna.errors import MaskError
from lacuna.execution.seen import SeenMasks
from lacuna.images.masks import PackedMask, UnreadMask
from lacuna.testing import write_mask

NAME = 'sub-01_space-MNI152NLin6Asym_label-lesion_mask.nii'
AFFINE = np.array([[2.0, 0, 0, -20], [0, 2, 0, -40], [0, 0, 2, 0], [0, 0, 0, 1]])


@pytest.fixture
def mask(tmp_path):
    """A mask that nobody has touched for a while."""
    path = write_mask(tmp_path / NAME, block(3), AFFINE)
    settle(path)
    return describe_mask(Path(path))


def block(size):
    data = np.zeros((20, 20, 20))
    data[:size, :1, :2] = 1
    return data


def looked(root, mask, binarize=None):
    seen = SeenMasks(root)
    look = seen.look(mask, binarize)
    seen.save()
    return look


def test_a_mask_that_was_seen_is_not_read_again(tmp_path, mask):
    first, second = (looked(tmp_path, mask) for _ in range(2))
    assert isinstance(first.mask, PackedMask)
    assert isinstance(second.mask, UnreadMask)
    assert first[1:] == second[1:]
    assert first.doubts  # so that they are known again
    assert first.mask.sha256 == second.mask.sha256
    assert (first.mask.unpack().data == second.mask.unpack().data).all()


def test_a_mask_that_changes_in_place_is_seen(tmp_path, mask):
    """Of the same size, and with the time of change that it had: the file system keeps another time of its own."""
    before = looked(tmp_path, mask)
    times = mask.path.stat().st_mtime_ns
    content = mask.path.read_bytes()
    with mask.path.open('r+b') as stream:  # not another file in its place
        image = nb.Nifti1Image.from_bytes(content)
        stream.seek(0)
        stream.write(nb.Nifti1Image(block(4).astype(np.uint8), image.affine, image.header).to_bytes())
    os.utime(mask.path, ns=(times, times))
    assert mask.path.stat().st_size == len(content)
    assert mask.path.stat().st_mtime_ns == times
    after = looked(tmp_path, mask)
    assert (before.voxels, after.voxels) == (6, 8)
    assert after.mask.sha256 != before.mask.sha256


def test_what_was_asked_counts(tmp_path, mask):
    looked(tmp_path, mask)
    for other in (
        looked(tmp_path, mask, 0.5),
        looked(tmp_path, describe_mask(mask.path, space='MNI152NLin2009cAsym')),
    ):
        assert isinstance(other.mask, PackedMask)


def test_a_file_that_may_still_change_is_read_each_time(tmp_path):
    path = Path(write_mask(tmp_path / NAME, block(3), AFFINE))
    for _ in range(2):
        assert isinstance(looked(tmp_path, describe_mask(path)).mask, PackedMask)
    assert not (tmp_path / 'logs').exists()


def test_what_is_kept_may_be_damaged(tmp_path, mask):
    looked(tmp_path, mask)
    path = tmp_path / 'logs/seen.json'
    content = json.loads(path.read_text())
    entry = content['masks'][str(mask.path)]
    for damaged in (
        '',
        '[1]',
        json.dumps({**content, 'by': 'another version'}),
        json.dumps({**content, 'masks': [1]}),
        json.dumps({**content, 'masks': {str(mask.path): 3}}),
        json.dumps({**content, 'masks': {str(mask.path): {**entry, 'voxels': None}}}),
    ):
        path.write_text(damaged)
        assert isinstance(looked(tmp_path, mask).mask, PackedMask)
        assert isinstance(looked(tmp_path, mask).mask, UnreadMask)  # it is right again


def test_a_mask_that_cannot_be_read_is_tried_each_time(tmp_path, mask):
    mask.path.write_bytes(b'no image')
    settle(mask.path)
    for _ in range(2):
        look = looked(tmp_path, mask)
        assert look.mask is None
        assert str(mask.path) in look.failure
    assert not (tmp_path / 'logs').exists()


def test_a_mask_that_changes_after_it_was_looked_at(tmp_path, mask):
    looked(tmp_path, mask)
    unread = looked(tmp_path, mask).mask
    write_mask(mask.path, block(5), AFFINE)
    with pytest.raises(MaskError, match='has changed'):
        unread.unpack()


def test_chunks_keep_files_of_their_own(tmp_path, mask):
    seen = SeenMasks(tmp_path, '2/3')
    seen.look(mask, None)
    seen.save()
    assert [path.name for path in (tmp_path / 'logs').iterdir()] == ['seen-2-of-3.json']


def test_a_run_sees_that_a_mask_has_changed(toy, tmp_path, capsys):
    out = tmp_path / 'out'
    words = [
        'run',
        'snm',
        toy.mask.parents[2],
        out,
        '--connectome-path',
        toy.tracks,
        '--no-report',
        '--nprocs',
        1,
    ]
    words = [str(word) for word in words]
    settle(toy.mask)
    assert main([*words, '--dry-run']) == 0
    assert not out.exists()
    assert main(words) == 0
    assert (out / 'logs/seen.json').is_file()
    capsys.readouterr()
    assert main(words) == 0
    assert '(0 now)' in capsys.readouterr().out
    data = np.asanyarray(nb.load(toy.mask).dataobj).copy()
    filled = np.argwhere(data)
    data[tuple(filled[0])] = 0
    write_mask(toy.mask, data, nb.load(toy.mask).affine)
    assert main(words) == 2
    assert 'content of the mask' in capsys.readouterr().err
    assert main([*words, '--overwrite']) == 0
