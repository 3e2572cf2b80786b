"""The warning about gaps, and MRtrix3's rule for upsampling."""

import numpy as np
import pytest

from lacuna.streamlines.files import tck
from lacuna.streamlines.sample import gap_warning, sample_bytes, upsampling, write_sample


@pytest.mark.parametrize(
    ('step', 'voxel', 'requested', 'factor'),
    [(1.0, 1.0, None, 4), (1.0, 2.0, None, 2), (0.3, 1.0, None, 1), (None, 1.0, None, 1), (1.0, 1.0, 7, 7), (None, 1.0, 3, 3)],
)  # fmt: skip
def test_upsampling(step, voxel, requested, factor):
    assert upsampling(step, voxel, requested) == factor


def test_upsampling_in_single_precision():
    """As tckmap computes it."""
    assert [upsampling(step, 1.0) for step in (0.1, 0.333, 0.5, 1.0, 3.0)] == [1, 1, 2, 4, 10]
    assert [upsampling(step, 2.0) for step in (0.5, 0.7, 1.0)] == [1, 2, 2]


def info_of(tmp_path, spacing, **fields):
    tck.write_tck(tmp_path / 'a.tck', [[[i * spacing, 0, 0] for i in range(20)]], **fields)
    return tck.scan(tmp_path / 'a.tck')


@pytest.mark.parametrize(
    ('spacing', 'fields', 'voxel', 'requested', 'enough'),
    [
        (0.5, {}, 1, None, None),
        (0.6, {}, 1, None, 2),
        (1.2, {}, 2, None, 2),
        (1.2, {}, 1, 2, 4),
        (1.2, {}, 1, 4, None),
        (1.2, {'step_size': 1.2}, 1, None, None),
        (3.0, {'step_size': 0.5}, 1, None, 10),
    ],
    ids=['half', 'more', 'of 2 mm', 'not enough', 'enough', 'from the header', 'a header that lies'],
)
def test_gap_warning(tmp_path, spacing, fields, voxel, requested, enough):
    info = info_of(tmp_path, spacing, **fields)
    warning = gap_warning(info, voxel, requested)
    if enough is None:
        assert warning is None
        return
    assert f'are {spacing:.2f} mm apart' in warning
    assert f'--tck-upsample {enough} fills them' in warning
    assert ('no step_size' in warning) == (not fields)
    assert gap_warning(info, voxel, enough) is None


def test_a_sample_in_memory_is_that_of_a_file(tmp_path):
    lines = [np.cumsum(np.ones((count, 3), np.float32), axis=0) for count in (1, 2, 50)]
    for streamlines in (lines, []):
        write_sample(tmp_path / 'a.tck', streamlines)
        assert sample_bytes(streamlines) == (tmp_path / 'a.tck').read_bytes()
