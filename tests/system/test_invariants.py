"""What holds for any tractogram and mask, through the real commands."""

import subprocess

import nibabel as nb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lacuna.measures import disconnection_percent
from lacuna.streamlines.files.tck import write_tck
from lacuna.testing import world_coordinates, write_mask

pytestmark = pytest.mark.mrtrix

SHAPE = (12, 12, 12)
AFFINE = np.diag([2.0, 2, 2, 1])
AFFINE[:3, 3] = -11  # voxel centres at -11, -9, ..., 11 mm: as many left as right of the midline
some = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def tractograms(draw):
    """One to six wandering lines inside the grid (some of one vertex)."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lines = []
    for _ in range(draw(st.integers(1, 6))):
        steps = rng.normal(0, 1, (draw(st.integers(1, 30)), 3))
        lines.append(
            np.clip(rng.uniform(-8, 8, 3) + np.cumsum(steps, axis=0), -11.5, 11.5).astype(np.float32)
        )
    return lines


@st.composite
def boxes(draw):
    """A box of voxels, as two corners."""
    low = [draw(st.integers(0, 10)) for _ in range(3)]
    return low, [draw(st.integers(start + 1, 11)) for start in low]


def mask_of(box):
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(*ends) for ends in zip(*box, strict=True))] = True
    return mask


def densities(folder, lines, mask):
    """Full and lesion density by the plain commands."""
    write_tck(folder / 'all.tck', lines)
    write_mask(folder / 'mask.nii', mask, AFFINE)
    subprocess.run(
        [
            'tckedit',
            '-quiet',
            '-force',
            '-include',
            folder / 'mask.nii',
            folder / 'all.tck',
            folder / 'cut.tck',
        ],
        check=True,
    )
    found = []
    for name in ('all', 'cut'):
        command = ['tckmap', '-quiet', '-force', '-template', folder / 'mask.nii', folder / f'{name}.tck']
        subprocess.run([*command, folder / 'tdi.nii'], check=True)
        found.append(np.asanyarray(nb.load(folder / 'tdi.nii').dataobj).astype(int))
    return found


@some
@given(lines=tractograms())
def test_a_mask_of_everything_gives_100(tmp_path, lines):
    full, cut = densities(tmp_path, lines, np.ones(SHAPE, bool))
    assert (disconnection_percent(cut, full)[full > 0] == 100).all()


@some
@given(lines=tractograms(), box=boxes(), seed=st.integers(0, 100))
def test_order_and_size(tmp_path, lines, box, seed):
    """The order of the streamlines changes nothing; the disconnected are a part; a larger mask never cuts less."""
    mask = mask_of(box)
    full, cut = densities(tmp_path, lines, mask)
    assert (cut <= full).all()
    order = np.random.default_rng(seed).permutation(len(lines))
    np.testing.assert_array_equal(densities(tmp_path, [lines[i] for i in order], mask), [full, cut])
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    assert (densities(tmp_path, lines, grown)[1] >= cut).all()


@some
@given(lines=tractograms(), box=boxes())
def test_mirror(tmp_path, lines, box):
    mask = mask_of(box)
    full, cut = densities(tmp_path, lines, mask)
    mirrored = densities(tmp_path, [line * np.float32([-1, 1, 1]) for line in lines], mask[::-1])
    np.testing.assert_array_equal(mirrored, [full[::-1], cut[::-1]])


def test_the_grid_is_symmetric():
    np.testing.assert_array_equal(
        world_coordinates(SHAPE, AFFINE)[0], -world_coordinates(SHAPE, AFFINE)[0][::-1]
    )
