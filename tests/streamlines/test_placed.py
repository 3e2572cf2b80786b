"""What is computed once and kept is of the tractogram, atlas and transform that its name says."""

import os
import shutil

import nibabel as nb
import numpy as np
import pytest
from helpers.toys import OTHER, SPACE, write_shift

import lacuna
from lacuna.errors import InputError, StreamlineIndexError, TractogramError
from lacuna.images.atlases import Atlas, read_parcellation
from lacuna.streamlines.endpoints import EndpointTable
from lacuna.streamlines.files.tck import iter_blocks, read_header, write_blocks
from lacuna.streamlines.placed import index_beside


def shift(path, mm):
    """Rewrite a tractogram with its streamlines moved along y: the size stays."""
    header = read_header(path)
    blocks = [(points + np.float32([0, mm, 0]), lengths) for points, lengths in iter_blocks(header)]
    write_blocks(path, blocks, header.fields)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(tmp_path / 'home'))
    write_shift(tmp_path / 'home', 4)
    return tmp_path / 'home'


def make_index(tractogram):
    return tractogram.in_space().index().endpoints


def make_moved(tractogram):
    placed = tractogram.in_space(OTHER)
    placed.move()
    return np.concatenate([points for points, _ in iter_blocks(read_header(placed.tracks))])


def make_lengths(tractogram):
    return tractogram.weighting.known_lengths


@pytest.mark.usefixtures('home')
@pytest.mark.parametrize('make', [make_index, make_moved, make_lengths])
def test_a_tractogram_that_is_replaced_after_it_was_opened(toy, tmp_path, make):
    """It is said, and nothing of the new one is kept for the old one."""
    shutil.copyfile(toy.tracks, tmp_path / 'kept.tck')
    old = lacuna.Tractogram(toy.tracks, SPACE)
    status = toy.tracks.stat()
    shift(toy.tracks, 4)
    os.utime(toy.tracks, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert toy.tracks.stat().st_size == status.st_size
    with pytest.raises((TractogramError, StreamlineIndexError)):
        make(old)
    found = make(lacuna.Tractogram(tmp_path / 'kept.tck', SPACE))
    expected = make(lacuna.Tractogram(tmp_path / 'kept.tck', SPACE, cache=tmp_path / 'fresh'))
    np.testing.assert_array_equal(found, expected)


def test_a_tractogram_that_is_replaced_while_it_is_converted(toy, tmp_path, monkeypatch):
    from lacuna.streamlines import tractogram as module

    for name in ('a.trk', 'b.trk'):
        nb.streamlines.save(nb.streamlines.load(toy.tracks).tractogram, str(tmp_path / name))
        shift(toy.tracks, 4)
    shutil.copyfile(tmp_path / 'a.trk', tmp_path / 'kept.trk')
    convert = module.convert

    def late(*args, **options):
        (tmp_path / 'b.trk').replace(tmp_path / 'a.trk')
        return convert(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, 'convert', late)
        with pytest.raises(TractogramError):
            lacuna.Tractogram(tmp_path / 'a.trk', SPACE)
    opened = lacuna.Tractogram(tmp_path / 'kept.trk', SPACE)
    assert opened.info == lacuna.Tractogram(tmp_path / 'kept.trk', SPACE, cache=tmp_path / 'fresh').info


@pytest.mark.parametrize('writable', [True, False])
def test_an_index_beside_another_tractogram_of_the_same_size_and_time(toy, writable, monkeypatch):
    lacuna.Tractogram(toy.tracks, SPACE).in_space().build_index(beside=True)
    if not writable:
        monkeypatch.setattr('lacuna.streamlines.placed.os.access', lambda *_: False)
    status = toy.tracks.stat()
    shift(toy.tracks, 4)
    os.utime(toy.tracks, ns=(status.st_atime_ns, status.st_mtime_ns))
    opened = lacuna.Tractogram(toy.tracks, SPACE)
    index = opened.in_space().index()
    assert (index.part.parent == index_beside(toy.tracks)) == writable
    # four mm further, the lesion cuts two lines fewer
    assert opened.disconnect(toy.mask).summary['streamlines_disconnected'] == toy.disconnected - 2
    assert index.source_sha256 == opened.sha256


def test_a_transform_that_is_replaced_after_it_was_found(toy, home):
    placed = lacuna.Tractogram(toy.tracks, SPACE).in_space(OTHER)
    write_shift(home, 8)
    with pytest.raises(InputError):
        placed.move()
    assert not placed.tracks.exists()


def test_an_atlas_that_is_edited_after_it_was_read(toy, tmp_path):
    """The table that is kept is of the atlas as it was read."""
    image, labels = tmp_path / 'atlas.nii.gz', tmp_path / 'atlas.tsv'
    lesion = nb.load(toy.mask)
    labels.write_text('index\tname\n1\tall\n')
    data = np.ones(lesion.shape, np.int16)
    nb.save(nb.Nifti1Image(data, lesion.affine), image)
    parcellation = read_parcellation(Atlas('mine', image, labels, SPACE, 'given'))
    nb.save(nb.Nifti1Image(np.where(np.arange(182)[:, None, None] > 90, data, 0), lesion.affine), image)
    placed = lacuna.Tractogram(toy.tracks, SPACE).in_space()
    table = EndpointTable.load(placed.endpoints_file(parcellation))
    assert (table.pairs == 1).all()
    assert table.voxels.tolist() == [lesion.shape[0] * lesion.shape[1] * lesion.shape[2]]


def test_damage_of_what_was_converted(toy, tmp_path):
    for name in ('a', 'b'):
        nb.streamlines.save(nb.streamlines.load(toy.tracks).tractogram, str(tmp_path / f'{name}.trk'))
        (tmp_path / 'folder').mkdir(exist_ok=True)
        shutil.copyfile(tmp_path / f'{name}.trk', tmp_path / 'folder' / f'{name}.trk')
        shift(toy.tracks, 4)
    for path in (tmp_path / 'a.trk', tmp_path / 'folder'):
        opened = lacuna.Tractogram(path, SPACE, cache=tmp_path / path.stem)
        groups = path.is_dir() and opened.bundles()[1].sha256
        for kept in (tmp_path / path.stem / 'converted').glob('*.t??'):
            whole = kept.read_bytes()
            for content in (b'', whole[:-10], whole[:-10] + bytes([whole[-10] ^ 1]) + whole[-9:]):
                kept.write_bytes(content)
                again = lacuna.Tractogram(path, SPACE, cache=tmp_path / path.stem)
                assert again.info == opened.info
                assert groups == (path.is_dir() and again.bundles()[1].sha256)
