"""Reading masks, and refusing what is none."""

import gzip
import hashlib

import nibabel as nb
import numpy as np
import pytest

from lacuna.errors import MaskError
from lacuna.images.masks import Mask, PackedMask, check_touches, read_mask
from lacuna.measures import voxel_box
from lacuna.testing import write_mask

AFFINE = np.diag([1.0, 1, 1, 1])


def block(shape=(4, 5, 6)):
    data = np.zeros(shape)
    data[1:3, 1:3, 1:3] = 1
    return data


@pytest.mark.parametrize('dtype', ['uint8', 'int16', 'float32', 'float64'])
def test_read(tmp_path, dtype):
    mask = read_mask(write_mask(tmp_path / 'm.nii.gz', block(), AFFINE, dtype))
    assert mask.data.dtype == bool
    assert mask.data.sum() == 8


def test_checksum_is_of_the_content(tmp_path):
    same = {
        read_mask(write_mask(tmp_path / f'{dtype}.nii', block(), AFFINE, dtype)).sha256
        for dtype in ('uint8', 'float32')
    }
    other = block()
    other[0, 0, 0] = 1
    assert len(same) == 1
    assert read_mask(write_mask(tmp_path / 'other.nii', other, AFFINE)).sha256 not in same
    assert read_mask(write_mask(tmp_path / 'moved.nii', block(), 2 * AFFINE)).sha256 not in same


def test_a_fourth_axis_of_one_is_dropped(tmp_path):
    assert read_mask(write_mask(tmp_path / 'm.nii', block()[..., None], AFFINE)).data.shape == (4, 5, 6)


@pytest.mark.parametrize(
    ('data', 'dtype', 'says'),
    [
        (np.stack([block(), block()], axis=-1), 'uint8', '4 dimensions'),
        (block() * 2, 'uint8', 'not binary: it holds 2'),
        (block() * 0.3, 'float32', 'not binary: it holds 0.3'),
        (np.where(block() > 0, np.nan, 0), 'float32', 'not finite'),
    ],
)
def test_bad_values(tmp_path, data, dtype, says):
    path = write_mask(tmp_path / 'm.nii.gz', data, AFFINE, dtype)
    with pytest.raises(MaskError, match=says) as caught:
        read_mask(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    'affine', [np.diag([0.0, 1, 1, 1]), np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])]
)
def test_singular_affine(tmp_path, affine):
    path = write_mask(tmp_path / 'm.nii', block(), AFFINE)
    content = bytearray(path.read_bytes())
    content[280:328] = affine[:3].astype('<f4').tobytes()  # srow_x, srow_y, srow_z
    path.write_bytes(content)
    with pytest.raises(MaskError, match='zero or singular'):
        read_mask(path)


def test_no_position(tmp_path):
    image = nb.Nifti1Image(block().astype('uint8'), None)
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    nb.save(image, tmp_path / 'm.nii')
    with pytest.raises(MaskError, match='sform and qform'):
        read_mask(tmp_path / 'm.nii')


@pytest.mark.parametrize(
    ('qform', 'code', 'away'),
    [
        (AFFINE, 1, None),
        (np.diag([1.0, 1, 1, 1]) + np.eye(4, k=3) * 0.3, 1, None),
        (np.diag([1.0, 1, 1, 1]) + np.eye(4, k=3) * 10, 1, '10 mm'),
        (np.diag([-1.0, 1, 1, 1]), 4, '6 mm'),  # left is right
        (np.diag([-1.0, 1, 1, 1]), 0, None),  # not in use
    ],
)
def test_two_positions(tmp_path, qform, code, away):
    """Programs that use the qform would see the lesion elsewhere."""
    image = nb.Nifti1Image(block().astype('uint8'), AFFINE)
    image.set_qform(qform, code)
    nb.save(image, tmp_path / 'm.nii')
    mask = read_mask(tmp_path / 'm.nii')
    assert np.array_equal(mask.affine, AFFINE)
    assert len(mask.notes) == (away is not None)
    assert away is None or (away in mask.notes[0] and 'sform' in mask.notes[0])
    assert read_mask(image).notes == mask.notes


@pytest.mark.parametrize('keep', [0.1, 0.6, 0.95])
def test_truncated_gzip(tmp_path, keep):
    rng = np.random.default_rng(0)
    path = write_mask(tmp_path / 'm.nii.gz', rng.random((20, 20, 20)) > 0.5, AFFINE)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(MaskError, match='cannot be read'):
        read_mask(path)


def test_no_image(tmp_path):
    path = tmp_path / 'm.nii.gz'
    path.write_bytes(gzip.compress(b'no image at all'))
    with pytest.raises(MaskError, match='cannot be read'):
        read_mask(path)
    with pytest.raises(MaskError, match='cannot be read'):
        read_mask(tmp_path / 'absent.nii.gz')


def test_off_the_brain(tmp_path):
    """The box of the brain ends at x = 75 mm; voxels 1 and 2 of the mask are 0.5 to 2.5 mm from its origin."""
    affine = AFFINE.copy()
    affine[0, 3] = 74
    check_touches('m.nii', read_mask(write_mask(tmp_path / 'm.nii', block(), affine)))
    affine[0, 3] = 75
    mask = read_mask(write_mask(tmp_path / 'm.nii', block(), affine))
    with pytest.raises(MaskError, match=r'\(76, 0, 0\) to \(78, 2, 2\) mm, the brain at \(-75, -109, -73\)'):
        check_touches('m.nii', mask)


@pytest.mark.parametrize('high', [0.9995, 1.0005, 1.0000000591])
def test_values_that_nearly_are_0_and_1(tmp_path, high):
    data = np.where(block() > 0, high, 0.0004)
    mask = read_mask(write_mask(tmp_path / 'm.nii', data, AFFINE, 'float64'))
    assert np.array_equal(mask.data, block() > 0)
    assert mask.sha256 == read_mask(write_mask(tmp_path / 'plain.nii', block(), AFFINE)).sha256
    assert '0 and 1' in mask.notes[0]
    assert read_mask(tmp_path / 'plain.nii').notes == ()


def test_spm_writes_a_factor(tmp_path):
    """As SPM does: bytes up to 255, and a slope of 1/255 in the header."""
    image = nb.Nifti1Image(block().astype('uint8') * 255, AFFINE)
    image.header.set_slope_inter(1 / 255, 0)
    image.set_sform(AFFINE, code=2)
    image.to_filename(tmp_path / 'm.nii')
    content = bytearray((tmp_path / 'm.nii').read_bytes())
    content[112:116] = np.float32(1 / 255).tobytes()
    content[352:] = (block().astype('uint8') * 255).tobytes('F')
    (tmp_path / 'm.nii').write_bytes(content)
    assert read_mask(tmp_path / 'm.nii').data.sum() == 8


def test_nan_outside_the_brain_is_0(tmp_path):
    affine = np.diag([10.0, 10, 10, 1])
    affine[:3, 3] = -120
    data = np.zeros((25, 25, 25))
    data[12, 12, 12] = 1
    data[:, :, 0] = np.nan  # z = -120 mm
    mask = read_mask(write_mask(tmp_path / 'm.nii', data, affine, 'float32'))
    assert mask.data.sum() == 1
    (note,) = mask.notes
    assert '625 voxels' in note
    assert 'NaN' in note
    data[12, 11, 12] = np.nan
    with pytest.raises(MaskError, match='NaN in the brain'):
        read_mask(write_mask(tmp_path / 'm.nii', data, affine, 'float32'))


@pytest.mark.parametrize(('threshold', 'voxels'), [(0, 4), (0.5, 2), (0.75, 1), (1, 0), (-1, 120)])
def test_binarize(tmp_path, threshold, voxels):
    """A value is lesion if it is above the threshold."""
    data = np.zeros((4, 5, 6))
    data[0, 0, :4] = 0.25, 0.5, 0.75, 1
    path = write_mask(tmp_path / 'm.nii', data, AFFINE, 'float32')
    with pytest.raises(MaskError, match='--binarize'):
        read_mask(path)
    assert read_mask(path, threshold).data.sum() == voxels


def test_pair_of_files(tmp_path):
    image = nb.Nifti1Pair(block().astype('uint8'), AFFINE)
    image.set_sform(AFFINE, code=2)
    nb.save(image, tmp_path / 'm.img')
    expected = read_mask(write_mask(tmp_path / 'm.nii', block(), AFFINE)).sha256
    assert read_mask(tmp_path / 'm.img').sha256 == expected
    (tmp_path / 'm.hdr').unlink()
    with pytest.raises(MaskError, match=r'm\.hdr'):
        read_mask(tmp_path / 'm.img')


def test_analyze_does_not_say_which_side_is_left(tmp_path):
    nb.save(nb.AnalyzeImage(block().astype('uint8'), AFFINE), tmp_path / 'm.img')
    with pytest.raises(MaskError, match='NIfTI'):
        read_mask(tmp_path / 'm.img')


@pytest.mark.shared
def test_real_masks(shared):
    """Number of voxels and of components of one lesion of each set, as its table says."""
    from lacuna.measures import count_components

    lines = (shared / 'data/lesions/lesions.tsv').read_text().splitlines()
    rows = [dict(zip(lines[0].split('\t'), line.split('\t'), strict=True)) for line in lines[1:]]
    for row in rows[::24]:
        if row['values'] == '[0.0, 1.0]':
            mask = read_mask(shared / 'data/lesions' / row['file'])
            assert mask.data.sum() == int(row['voxels'])
            assert count_components(mask.data) == int(row['components'])


@pytest.mark.parametrize('dtype', ['uint8', 'int16', 'float32', '>f4', 'float64'])
@pytest.mark.parametrize('binarize', [None, 0.3, -1.0])
@pytest.mark.parametrize('corner', [(0, 0, 0), (3, 1, 2), (5, 7, 9)])
def test_the_checksum_is_that_of_all_voxels(tmp_path, dtype, binarize, corner):
    """The identity of a mask in sidecars: it may not depend on how much of it is looked at."""
    data = np.zeros((7, 9, 11))
    data[tuple(slice(start, start + 2) for start in corner)] = 1
    path = tmp_path / 'm.nii.gz'
    image = nb.Nifti1Image(data.astype(dtype), AFFINE)
    image.header.set_sform(AFFINE, code=4)
    nb.save(image, path)
    mask = read_mask(path, binarize)
    whole = data > (0.5 if binarize is None else binarize)
    digest = hashlib.sha256(repr((whole.shape, AFFINE.tolist())).encode())
    digest.update(np.packbits(whole).tobytes())
    assert mask.sha256 == digest.hexdigest()
    assert (mask.data == whole).all()
    assert mask.box == voxel_box(whole)
    assert mask.data[mask.box].sum() == whole.sum()


def test_a_mask_is_packed_and_unpacked():
    for data in (np.zeros((3, 4, 5), bool), np.ones((3, 4, 5), bool), block((4, 5, 6)) > 0):
        mask = PackedMask.of(Mask(data, AFFINE, 'abc')).unpack()
        assert (mask.data == data).all()
        assert (mask.image().get_fdata() == data).all()


def test_graded(tmp_path):
    """From 0 to 1 after scaling; the checksum covers the values; what is binary stays so."""
    data = np.zeros((4, 5, 6), np.float32)
    data[1, 1:4, 2] = 0.25, 0.5, 1
    path = write_mask(tmp_path / 'm.nii', data, AFFINE, 'float32')
    mask = read_mask(path, mask_scale=1)
    assert mask.data.sum() == 3
    assert mask.values.tolist() == [[[0.25], [0.5], [1]]]
    np.testing.assert_array_equal(mask.image().dataobj, data)
    np.testing.assert_array_equal(mask.part_image().dataobj, mask.values)
    unpacked = PackedMask.of(mask).unpack()
    np.testing.assert_array_equal(unpacked.values, mask.values)
    assert (unpacked.data == mask.data).all()
    percent = read_mask(write_mask(tmp_path / 'pct.nii', 100 * data, AFFINE, 'uint8'), mask_scale=100)
    assert percent.sha256 == mask.sha256
    data[1, 1, 2] = 0.3
    other = read_mask(write_mask(tmp_path / 'other.nii', data, AFFINE, 'float32'), mask_scale=1)
    assert other.sha256 != mask.sha256
    assert (other.data == mask.data).all()
    plain = read_mask(write_mask(tmp_path / 'plain.nii', data > 0, AFFINE))
    assert plain.sha256 != mask.sha256
    for scaled in (data > 0, (data > 0) * 0.9995, (data > 0) * 255):
        scale = 255 if scaled.max() > 1 else 1
        same = read_mask(write_mask(tmp_path / 'same.nii', scaled, AFFINE, 'float32'), mask_scale=scale)
        assert same.sha256 == plain.sha256
        assert same.values is None


@pytest.mark.parametrize(
    ('name', 'data', 'scale', 'says'),
    [
        ('m.nii', block() * 0.3, None, '--graded-masks max'),
        ('m.nii', block() * 30.5, 1, '--mask-scale'),
        ('m.nii', block() * 300, 255, r'up to 1.17647 after division by 255.*--mask-scale'),
        ('m.nii', block() * -0.3, 1, 'negative'),
        ('m.nii', block() * 2, 2.5, 'labels .whole numbers up to 2'),
        ('sub-01_dseg.nii', block() * 0.3, 1, 'labels .*_dseg'),
    ],
)
def test_no_graded_mask(tmp_path, name, data, scale, says):
    path = write_mask(tmp_path / name, data, AFFINE, 'float32')
    with pytest.raises(MaskError, match=says) as caught:
        read_mask(path, mask_scale=scale)
    assert str(caught.value).startswith(f'{path}: ')


def test_a_label_image_by_its_header(tmp_path):
    image = nb.load(write_mask(tmp_path / 'm.nii', block() * 0.3, AFFINE, 'float32'))
    image.header.set_intent('label')
    nb.save(image, tmp_path / 'labels.nii')
    with pytest.raises(MaskError, match='labels'):
        read_mask(tmp_path / 'labels.nii', mask_scale=1)


def test_noise_around_a_graded_mask(tmp_path):
    """What resampling leaves: values just below 0 and above 1."""
    data = np.zeros((4, 5, 6))
    data[1, :, 2] = -1e-6, 0.5, 1 + 1e-7, 1e-9, 1e-60
    mask = read_mask(write_mask(tmp_path / 'm.nii', data, AFFINE, 'float64'), mask_scale=1)
    np.testing.assert_array_equal(mask.values.ravel(), np.float32([0.5, 1, 1e-9]))
    assert 'read as 0' in mask.notes[0]
