"""What the tests share."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.paths import SHARED
from helpers.waiting import HANGS

from lacuna.cli import main
from lacuna.datasets.tutorial import TutorialPaths, tutorial_paths, write_tutorial
from lacuna.execution.environment import prepare_environment
from lacuna.testing import Toy, write_toy
from lacuna.utils.cache import cached
from lacuna.utils.files import replacing
from lacuna.utils.locks import file_lock

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


@pytest.fixture(autouse=True)
def _own_logging():
    """A command sets up its messages for the rest of its process: here other tests, or a fixture's before them."""
    logger = logging.getLogger('lacuna')
    _as_imported(logger)
    yield
    _as_imported(logger)


def _as_imported(logger: logging.Logger) -> None:
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


@pytest.fixture(scope='session')
def common(tmp_path_factory) -> Path:
    """A folder for what is made once for all processes of pytest-xdist."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if 'PYTEST_XDIST_WORKER' in os.environ else own) / 'common'
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def common_cache(_own_cache, common, monkeypatch) -> Path:
    """One cache for all tests that take an index of the shared tractograms for granted."""
    monkeypatch.setenv('LACUNA_CACHE_DIR', str(common / 'cache'))
    return common / 'cache'


@pytest.fixture(scope='session')
def _written_toy(tmp_path_factory) -> Toy:
    return write_toy(tmp_path_factory.mktemp('toy'))


@pytest.fixture
def toy(_written_toy, tmp_path) -> Toy:
    written = _written_toy.tracks.parent
    shutil.copytree(written, tmp_path, dirs_exist_ok=True, copy_function=shutil.copyfile)
    return Toy(*(tmp_path / path.relative_to(written) for path in (_written_toy.tracks, _written_toy.mask)))


@pytest.fixture
def options(toy, tmp_path) -> list[str]:
    """Options of a quick run of the toy."""
    return [
        '--connectome-path', str(toy.tracks), '-w', str(tmp_path / 'work'), '--no-report', '--nprocs', '1',
    ]  # fmt: skip


@pytest.fixture(scope='session')
def synthetic(common) -> TutorialPaths:
    """What ``lacuna tutorial`` writes; nobody writes into it."""
    paths = tutorial_paths(common / 'synthetic/tutorial')
    with file_lock(common / 'synthetic.lock'):
        if not paths.directory.exists():
            write_tutorial(paths.directory)
    return paths


@pytest.fixture(scope='session')
def browser():
    """Chromium, once in a process: a second one of Playwright would find the loop of the first running."""
    pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    import pictures

    if pictures.CHROMIUM is None:
        pytest.skip('Chromium is not on the PATH (make chromium)')
    with pictures.browser() as chromium:
        # ms: without a graphics card, on a loaded machine, a picture takes its time
        chromium.on('context', lambda context: context.set_default_timeout(120_000))
        yield chromium


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
            timeout=HANGS,
        )

    return run


@pytest.fixture
def lacuna_here(capsys, monkeypatch):
    """As `lacuna_command`, in this process: a new one takes seconds to load what it needs."""

    def run(*args, cwd=None, **env) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, str(value))
            if cwd:
                patch.chdir(cwd)
            capsys.readouterr()
            code = main([*map(str, args)])
        return subprocess.CompletedProcess(args, code, *capsys.readouterr())

    return run


@pytest.fixture(scope='session')
def unpacked(common, shared):
    """Unpack one of the shared tractograms; returns its path."""

    def unpack(name: str) -> Path:
        target = common / f'tractograms/{name}.tck'
        tool, source = shared / 'tools/tracks.py', shared / f'data/tractograms/{name}.npz'

        def make() -> None:
            with replacing(target) as temporary:
                command = [sys.executable, tool, 'unpack', source, temporary]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        cached(target, make)
        return target

    return unpack
