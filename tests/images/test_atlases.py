"""Parcellations: found by name, read, and refused where image and names do not fit."""

import gzip

import nibabel as nb
import numpy as np
import pytest

from lacuna.cli import main
from lacuna.errors import InputError
from lacuna.images.atlases import (
    Atlas,
    Parcellation,
    atlas_name,
    custom_atlas,
    find_atlases,
    list_atlases,
    move_parcellation,
    read_parcellation,
)
from lacuna.images.spaces import standard_grid
from lacuna.testing import world_coordinates, write_mask

SPACE = 'MNI152NLin6Asym'
AFFINE = np.diag([2.0, 2, 2, 1])


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A TemplateFlow home with one atlas that is there and one that could be fetched."""
    root = tmp_path / 'templateflow'
    folder = root / f'tpl-{SPACE}'
    folder.mkdir(parents=True)
    data = np.arange(8).reshape(2, 2, 2) % 3
    for resolution in ('01', '02'):
        write_mask(
            folder / f'tpl-{SPACE}_res-{resolution}_atlas-Toy2_desc-2Parcels_dseg.nii.gz', data, AFFINE
        )
    (folder / f'tpl-{SPACE}_atlas-Toy2_desc-2Parcels_dseg.tsv').write_text('index\tname\n1\ta\n2\tb\n')
    (folder / f'tpl-{SPACE}_res-01_atlas-Stub_dseg.nii.gz').touch()
    (folder / f'tpl-{SPACE}_atlas-Stub_dseg.tsv').touch()
    (folder / f'tpl-{SPACE}_res-01_atlas-Nameless_dseg.nii.gz').touch()
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(root))
    return root


def image_of(tmp_path, data, labels='1 a\n2 b\n', dtype='int16', name='custom'):
    image = write_mask(tmp_path / f'{name}.nii.gz', np.asarray(data), AFFINE, dtype)
    table = tmp_path / f'{name}.txt'
    table.write_text(labels)
    return Atlas(name, image, table, SPACE, 'given')


@pytest.mark.parametrize(
    ('atlas', 'desc', 'name'),
    [
        ('Schaefer2018', '100Parcels7Networks', 'schaefer2018parcels100networks7'),
        ('Schaefer2018', '400Parcels17Networks', 'schaefer2018parcels400networks17'),
        ('HOCPA', 'th25', 'hocpath25'),
        ('AAL', '', 'aal'),
    ],
)
def test_names(atlas, desc, name):
    assert atlas_name(atlas, desc) == name


@pytest.mark.usefixtures('home')
def test_list(capsys):
    found = {atlas.name: atlas for atlas in list_atlases()}
    assert set(found) == {'toy2parcels2', 'stub'}
    assert found['toy2parcels2'].image.name.startswith(f'tpl-{SPACE}_res-01')
    assert (found['toy2parcels2'].is_here, found['stub'].is_here) == (True, False)
    assert main(['info', 'atlases']) == 0
    said = capsys.readouterr().out
    assert (
        said.index('available:')
        < said.index('toy2parcels2')
        < said.index('can be fetched')
        < said.index('stub')
    )


def test_a_machine_that_has_never_used_templateflow(tmp_path, monkeypatch, capsys):
    """Its atlases are known by name, as TemplateFlow itself knows them, before anything is fetched."""
    home = tmp_path / 'new' / 'templateflow'
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(home))
    assert find_atlases([], SPACE) == []
    assert not home.exists()
    (atlas,) = find_atlases(['schaefer2018parcels100networks7'], SPACE)
    assert (atlas.space, atlas.is_here, atlas.image.stat().st_size) == (SPACE, False, 0)
    assert len(atlas.labels.read_text().splitlines()) == 101
    assert [path.name for path in home.parent.iterdir()] == ['templateflow']
    assert main(['info', 'atlases']) == 0
    assert 'schaefer2018parcels100networks7' in capsys.readouterr().out


def test_no_home(tmp_path, monkeypatch, capsys):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(tmp_path / 'file' / 'nowhere'))
    assert main(['info', 'atlases']) == 0
    assert '--custom-parcellation' in capsys.readouterr().out
    with pytest.raises(InputError, match="no atlas 'aal'; see 'lacuna info atlases'"):
        find_atlases(['aal'], SPACE)


@pytest.mark.usefixtures('home')
def test_unknown_name_gets_near_matches():
    with pytest.raises(InputError, match="no atlas 'toy2parcel'; did you mean toy2parcels2"):
        find_atlases(['toy2parcel'], SPACE)


@pytest.mark.usefixtures('home')
def test_another_space_is_better_than_none():
    assert find_atlases(['toy2parcels2'], 'MNI152NLin2009cAsym')[0].space == SPACE


def test_labels_move_with_the_points():
    """A transform that moves points 4 mm to the right brings the labels 4 mm to the left."""

    class Shift:
        def apply(self, points):
            return points + np.array([4, 0, 0])

    source = standard_grid(SPACE, 2)
    x, y, z = world_coordinates(source.shape, source.affine)
    index = np.where((abs(x - 20) < 3) & (abs(y) < 3) & (abs(z) < 3), 5, 0).astype(np.int32)
    given = Parcellation(None, index, source.affine, ('a',), '')
    moved = move_parcellation(given, source, Shift())
    x, y, z = world_coordinates(source.shape, source.affine)[:, moved.index == 5]
    assert (x.min(), x.max()) == (14, 18)
    assert (y.min(), y.max(), z.min(), z.max()) == (-2, 2, -2, 2)
    assert len(x) == 27


@pytest.mark.usefixtures('home')
def test_folder_of_ones_own(tmp_path):
    folder = tmp_path / 'mine' / 'atlas-Mine'
    write_mask(folder / f'atlas-Mine_space-{SPACE}_res-2_dseg.nii.gz', np.ones((2, 2, 2)), AFFINE)
    (folder / 'atlas-Mine_dseg.tsv').write_text('index\tlabel\n1\tall\n')
    found = find_atlases(['mine', 'toy2parcels2'], SPACE, folder=tmp_path / 'mine')
    assert [atlas.source for atlas in found] == [f'folder {tmp_path / "mine"}', 'TemplateFlow']
    assert read_parcellation(found[0]).names == ('all',)
    with pytest.raises(InputError, match=str(tmp_path / 'absent')):
        list_atlases(tmp_path / 'absent')


def test_custom(tmp_path):
    atlas = image_of(tmp_path, np.ones((2, 2, 2)))
    words = (str(atlas.image), str(atlas.labels), SPACE)
    assert custom_atlas('mine', *words).image == atlas.image
    with pytest.raises(InputError, match='My-Atlas'):
        custom_atlas('My-Atlas', *words)
    with pytest.raises(InputError, match=r'absent\.nii'):
        custom_atlas('mine', str(tmp_path / 'absent.nii'), *words[1:])
    with pytest.raises(InputError, match="space 'T1w' is not supported"):
        custom_atlas('mine', *words[:2], 'T1w')
    with pytest.raises(InputError, match='mine'):
        find_atlases([], SPACE, custom=[custom_atlas('mine', *words)] * 2)


def test_gaps_stay_gaps(tmp_path):
    """Label 5 is the second row of the table, and 3 is in the table only."""
    data = np.array([0, 1, 5, 9]).reshape(4, 1, 1)
    found = read_parcellation(image_of(tmp_path, data, '9 nine\n1 one\n5 five\n3 three\n'))
    assert found.names == ('one', 'three', 'five', 'nine')
    assert found.index.ravel().tolist() == [0, 1, 3, 4]


def test_checksum_is_of_image_and_names(tmp_path):
    data = np.ones((2, 2, 2))
    first = read_parcellation(image_of(tmp_path, data, name='a')).sha256
    assert read_parcellation(image_of(tmp_path, data, dtype='float32', name='b')).sha256 == first
    assert read_parcellation(image_of(tmp_path, data, '1 a\n2 c\n', name='c')).sha256 != first
    assert read_parcellation(image_of(tmp_path, data * 2, name='d')).sha256 != first


@pytest.mark.parametrize(
    ('data', 'dtype', 'says'),
    [
        (np.full((2, 2, 2), 3), 'int16', 'no name in .*: 3'),
        (np.full((2, 2, 2), 0.5), 'float32', 'holds 0.5; labels are whole numbers'),
        (np.full((2, 2, 2), -1), 'int16', 'holds -1'),
        (np.full((2, 2, 2), np.nan), 'float32', 'holds nan'),
        (np.ones((2, 2, 2, 3)), 'int16', 'has 4 dimensions'),
    ],
)
def test_refused(tmp_path, data, dtype, says):
    with pytest.raises(InputError, match=says):
        read_parcellation(image_of(tmp_path, data, dtype=dtype))


@pytest.mark.parametrize(
    ('data', 'affine', 'says'),
    [(0, AFFINE, 'it is 0 everywhere'), (1, np.eye(4), 'its affine is the identity')],
)
def test_empty_or_nowhere(tmp_path, data, affine, says):
    image = write_mask(tmp_path / 'a.nii.gz', np.full((2, 2, 2), data), affine, 'int16')
    table = tmp_path / 'a.txt'
    table.write_text('1 a\n')
    with pytest.raises(InputError, match=says) as caught:
        read_parcellation(Atlas('a', image, table, SPACE, 'given'))
    assert str(image) in str(caught.value)


def test_codes_of_zero_are_refused(tmp_path):
    atlas = image_of(tmp_path, np.ones((2, 2, 2)))
    image = nb.load(atlas.image)
    image.header['sform_code'] = image.header['qform_code'] = 0
    nb.save(nb.Nifti1Image(np.asanyarray(image.dataobj), None, image.header), atlas.image)
    with pytest.raises(InputError, match='sform and qform codes are 0'):
        read_parcellation(atlas)


def test_unreadable(tmp_path):
    atlas = image_of(tmp_path, np.ones((2, 2, 2)))
    atlas.image.write_bytes(gzip.compress(b'nothing'))
    with pytest.raises(InputError, match='cannot be read'):
        read_parcellation(atlas)


@pytest.mark.shared
def test_real_home(shared, monkeypatch):
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(shared / 'data/templateflow'))
    (atlas,) = find_atlases(['schaefer2018parcels400networks17'], SPACE)
    found = read_parcellation(atlas)
    assert len(found.names) == 400
    assert found.names[0] == '17Networks_LH_VisCent_ExStr_1'
    assert found.index.max() == 400
