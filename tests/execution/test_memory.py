"""What bounds the memory of a run: an index may be larger than memory."""

import os
import subprocess
import sys
import uuid
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path

import pytest
from helpers.waiting import wait_for

from lacuna.images.spaces import standard_grid
from lacuna.streamlines.files.tck import iter_blocks, read_header, write_blocks
from lacuna.streamlines.index.build import build_index

_CGROUPS = Path('/sys/fs/cgroup/memory')  # version 1
_ASK = """
import hashlib, os, sys
os.environ['NUMBA_NUM_THREADS'] = '1'
import numpy as np
from lacuna.images.spaces import standard_grid
from lacuna.streamlines.index.query import Index

index = Index.open(sys.argv[1], tractogram=sys.argv[2], verify=False)
grid = standard_grid('MNI152NLin6Asym', 1)
mask = np.zeros(grid.shape, bool)
mask[:91] = True  # half of the world
for _ in range(2):
    ids = index.select(mask, grid.affine)
    print(len(ids), hashlib.sha256(index.density(ids).tobytes()).hexdigest())
"""


@pytest.fixture
def limited():
    """Run a command with so many bytes of memory, its pages of files among them; returns what it printed and its peak."""
    folder = _CGROUPS / f'lacuna-{uuid.uuid4().hex}'
    try:
        folder.mkdir()
    except OSError:
        pytest.skip('needs the right to make a control group of memory (version 1)')

    def run(*command, limit=-1):
        (folder / 'memory.limit_in_bytes').write_text(str(limit))
        (folder / 'memory.force_empty').write_text('0')
        (folder / 'memory.max_usage_in_bytes').write_text('0')
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            preexec_fn=lambda: (folder / 'cgroup.procs').write_text(str(os.getpid())),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, int((folder / 'memory.max_usage_in_bytes').read_text())

    def removed():  # the kernel lets go of it a little later
        with suppress(OSError):
            folder.rmdir()
        return not folder.exists()

    yield run
    wait_for(removed)


@pytest.mark.shared
@pytest.mark.slow
def test_an_index_larger_than_memory(tmp_path, unpacked, limited):
    header = read_header(unpacked('HCP842'))
    large, small = tmp_path / 'large.tck', unpacked('HCP842')
    write_blocks(large, chain.from_iterable(map(iter_blocks, repeat(header, 8))))
    grid = standard_grid('MNI152NLin6Asym', 2)
    parts = {
        path: build_index(path, tmp_path / f'{path.stem}.index', grid, nprocs=2) for path in (large, small)
    }
    size = sum(path.stat().st_size for path in (tmp_path / 'large.index').rglob('*.bin'))
    command = [sys.executable, '-c', _ASK]
    _, base = limited(*command, parts[small], small)
    _forget(tmp_path)
    expected, needed = limited(*command, parts[large], large)
    assert needed > base + size // 2  # the pages of the index count
    _forget(tmp_path)
    limit = base + size // 4
    found, peak = limited(*command, parts[large], large, limit=limit)
    assert found == expected
    assert limit // 2 < peak <= limit
    print(
        f'index {size / 1e6:.0f} MB; {needed / 1e6:.0f} MB used without a limit, {peak / 1e6:.0f} MB with it'
    )


def _forget(folder):
    """Let the system forget what it holds of files: pages that others have read do not count."""
    for path in folder.rglob('*'):
        if path.is_file():
            with path.open('rb') as stream:
                os.fsync(stream.fileno())
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
