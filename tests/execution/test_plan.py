"""What a run knows of its masks, and how often it opens their files."""

import subprocess
import sys

import numpy as np
import pytest

from lacuna.images.masks import PackedMask, read_mask

_OPENS = """
import sys
from lacuna.cli import main
mask, *words = sys.argv[1:]
opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == 'open' and str(args[0]) == mask else None)
code = main(words)
print('opened', len(opened))
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.parametrize('report', ['none', 'full'])
def test_the_file_of_a_mask_is_opened_once(toy, tmp_path, report):
    """By the plan; the node that prepares it, its results and the reports take what was read then."""
    words = ['run', 'snm', toy.mask.parents[2], tmp_path / 'out', '--connectome-path', toy.tracks]
    words += ['--nprocs', 1, '--report', report, '-w', tmp_path / 'work']
    code = [sys.executable, '-c', _OPENS, toy.mask, *words]
    done = subprocess.run([str(word) for word in code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, 'opened 1'), done.stderr
    if report == 'full':
        assert list((tmp_path / 'out').rglob('*_desc-lesion_figure.png'))


@pytest.mark.shared
def test_what_is_kept_of_masks_is_small(shared):
    """10 000 such masks take less than 100 MB, and each comes back as it was."""
    paths = sorted((shared / 'data/lesions').glob('*/*.nii.gz'))[::12]
    kept = []
    for path in paths:
        mask = read_mask(path, 0)
        packed = PackedMask.of(mask)
        kept.append(len(packed.bits))
        np.testing.assert_array_equal(packed.unpack().data, mask.data)
        assert packed.sha256 == mask.sha256
    assert len(kept) > 10
    assert np.mean(kept) < 10_000
