"""Images in memory and in files."""

import gzip
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from lacuna.images.nifti import encoded, make, opened, save

AFFINE = np.array([[0, -2.0, 0, 90], [2, 0, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])


@pytest.mark.parametrize('order', ['C', 'F'])
@pytest.mark.parametrize('dtype', ['uint8', 'uint32', 'int32', 'float32'])
def test_the_file_of_an_image_is_the_one_that_nibabel_writes(tmp_path, dtype, order):
    data = np.asarray((np.random.default_rng(1).random((5, 6, 7)) * 9).astype(dtype), order=order)
    image = make(data, AFFINE)
    assert encoded(image, compress=False) == image.to_bytes()
    assert gzip.decompress(encoded(image)) == image.to_bytes()
    save(image, tmp_path / 'a.nii.gz')
    save(image, tmp_path / 'a.nii')
    for name in ('a.nii.gz', 'a.nii'):
        with opened(tmp_path / name) as read:
            assert np.asanyarray(read.dataobj).dtype == dtype
            assert (np.asanyarray(read.dataobj) == data).all()
        assert (nb.load(tmp_path / name).affine == image.affine).all()


def test_a_packed_file_has_neither_name_nor_time(tmp_path):
    image = make(np.ones((3, 3, 3), np.uint8), np.eye(4))
    first, second = (Path(save(image, tmp_path / f'{name}.nii.gz')) for name in 'ab')
    assert first.read_bytes() == second.read_bytes() == encoded(image)
