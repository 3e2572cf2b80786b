"""What the tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.paths import SHARED

from lacuna.datasets.tutorial import TutorialPaths, write_tutorial
from lacuna.execution.environment import prepare_environment
from lacuna.testing import Toy, write_toy

prepare_environment()  # numba's cache stays what it is here: compiling anew for each test would take minutes


def pytest_collection_modifyitems(items):
    # files with slow tests first: each stays in one process, and the last should not be a long one
    slow = {item.path for item in items if item.get_closest_marker('slow')}
    items.sort(key=lambda item: item.path not in slow)
    no_slurm = _why_no_slurm()
    for item in items:
        if no_slurm and item.get_closest_marker('slurm'):
            item.add_marker(pytest.mark.skip(reason=no_slurm))
        if item.get_closest_marker('soak') and not os.environ.get('LACUNA_SOAK'):
            item.add_marker(pytest.mark.skip(reason='takes minutes: make soak'))
        if item.get_closest_marker('mrtrix') and shutil.which('tckedit') is None:
            item.add_marker(pytest.mark.skip(reason='MRtrix3 is not on the PATH'))
        if item.get_closest_marker('shared') and not SHARED.is_dir():
            item.add_marker(pytest.mark.skip(reason='the shared test data is not beside the checkout'))


def _why_no_slurm() -> str:
    path = f'{os.environ["PATH"]}:/usr/sbin:/sbin'
    missing = [
        each for each in ('sbatch', 'slurmctld', 'slurmd', 'munged') if not shutil.which(each, path=path)
    ]
    if missing:
        return f'{", ".join(missing)} not found: SLURM is not installed'
    return 'only root can start a SLURM' if os.geteuid() else ''


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """No test sees the user's caches or another test's."""
    monkeypatch.setenv('LACUNA_CACHE_DIR', str(tmp_path_factory.mktemp('cache')))


@pytest.fixture(scope='session')
def _common_cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('common-cache')


@pytest.fixture
def common_cache(_own_cache, _common_cache, monkeypatch) -> Path:
    """One cache for all tests that take an index of the shared tractograms for granted."""
    monkeypatch.setenv('LACUNA_CACHE_DIR', str(_common_cache))
    return _common_cache


@pytest.fixture(scope='session')
def _written_toy(tmp_path_factory) -> Toy:
    return write_toy(tmp_path_factory.mktemp('toy'))


@pytest.fixture
def toy(_written_toy, tmp_path) -> Toy:
    written = _written_toy.tracks.parent
    shutil.copytree(written, tmp_path, dirs_exist_ok=True, copy_function=shutil.copyfile)
    return Toy(*(tmp_path / path.relative_to(written) for path in (_written_toy.tracks, _written_toy.mask)))


@pytest.fixture(scope='session')
def synthetic(tmp_path_factory) -> TutorialPaths:
    """What ``lacuna tutorial`` writes; nobody writes into it."""
    return write_tutorial(tmp_path_factory.mktemp('synthetic') / 'tutorial')


@pytest.fixture(scope='session')
def shared() -> Path:
    return SHARED


@pytest.fixture(scope='session')
def lacuna_command():
    """Run ``lacuna`` as a user does, in a process of its own."""

    def run(*args, cwd=None, **env) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, '-m', 'lacuna', *map(str, args)],
            check=False,
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, **env},
            timeout=600,
        )

    return run


@pytest.fixture(scope='session')
def unpacked(tmp_path_factory, shared):
    """Unpack one of the shared tractograms; returns its path."""
    folder = tmp_path_factory.mktemp('tractograms')

    def unpack(name: str) -> Path:
        target = folder / f'{name}.tck'
        if not target.exists():
            tool, source = shared / 'tools/tracks.py', shared / f'data/tractograms/{name}.npz'
            subprocess.run(
                [sys.executable, tool, 'unpack', source, target], check=True, stdout=subprocess.DEVNULL
            )
        return target

    return unpack
