"""What is known of the toy."""

import numpy as np

from lacuna.testing import world_coordinates, write_mask


def check_toy_map(image):
    """The ten cut lines have 50 percent beside their twins and 100 percent where they are alone."""
    assert image.shape == (91, 109, 91)
    assert image.get_data_dtype() == np.float32
    percent = image.get_fdata()
    x, y, z = world_coordinates(image.shape, image.affine)
    cut = np.isin(y, (0, 4, 8, 12, 16)) & np.isin(z, (0, 4)) & (x >= -20) & (x <= 20)
    expected = np.where(cut, np.where(x <= -10, 50.0, 100.0), 0.0)
    # MRtrix3 rounds a vertex at -20 and 20 mm to the voxels there; at -9 mm, half way, away from zero
    undecided = cut & np.isin(x, (-8, -10))
    np.testing.assert_array_equal(percent[~undecided], expected[~undecided])


def write_two_networks(folder, lesion):
    """``parcels.nii.gz`` and ``parcels.tsv``: an atlas of two networks on the grid of the toy's mask, with a gap in its values."""
    x, y, _ = world_coordinates(lesion.shape, lesion.affine)
    parcels = np.where(x < -15, 7, np.where((x > 15) & (y < 10), 3, np.where(x > 22, 4, 0)))
    write_mask(folder / 'parcels.nii.gz', parcels, lesion.affine, 'int16')
    rows = ('index\tname\tnetwork', '3\tright\tone', '4\tfar\ttwo', '7\tleft\tone', '9\tnowhere\tn/a')
    (folder / 'parcels.tsv').write_text('\n'.join(rows) + '\n')
