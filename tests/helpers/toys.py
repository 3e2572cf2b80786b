"""What is known of the toy."""

import h5py
import numpy as np

from lacuna.testing import world_coordinates, write_mask

SPACE, OTHER = 'MNI152NLin6Asym', 'MNI152NLin2009cAsym'


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


def write_shift(home, mm, source=SPACE, target=OTHER):
    """In a folder of TemplateFlow, a transform of points from one space to another that moves them along y."""
    path = home / f'tpl-{source}' / f'tpl-{source}_from-{target}_mode-image_xfm.h5'
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, 'w') as file:
        for number, kind in enumerate(('CompositeTransform', 'AffineTransform')):
            part = file.create_group(f'TransformGroup/{number}')
            part['TransformType'] = np.array([f'{kind}_double_3_3'.encode()])
        part['TransformParameters'] = np.array([*np.eye(3).ravel(), 0, -mm, 0])
        part['TransformFixedParameters'] = np.zeros(3)
    return path
