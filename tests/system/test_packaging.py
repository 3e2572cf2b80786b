"""What is in the wheel and in the source distribution: what git keeps, and nothing else."""

import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from helpers.paths import ROOT


def tracked(*places: str) -> set[str]:
    """Files below these places that git keeps, or would: all but those that it ignores."""
    if not (ROOT / '.git').exists():
        pytest.skip('not a git checkout')
    done = subprocess.run(
        ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard', '--', *places],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return {name for name in done.stdout.split('\0') if name and (ROOT / name).exists()}


@pytest.fixture(autouse=True)
def _known_version(monkeypatch):
    """As a release; the history of a shallow clone gives no version, and a warning."""
    monkeypatch.setenv('SETUPTOOLS_SCM_PRETEND_VERSION', '0.1.0')


def test_wheel(tmp_path):
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=['standard'])
    assert Path(path).name.startswith('lacuna_lnm-0.1.0-')
    names = set(zipfile.ZipFile(path).namelist())
    own = {name for name in names if name.startswith('lacuna/')}
    assert own == tracked('lacuna')
    info = {name.split('/', 1)[1] for name in names - own}
    assert info == {
        'METADATA',
        'WHEEL',
        'entry_points.txt',
        'licenses/LICENSE',
        'licenses/lacuna/data/niivue.LICENSE',
        'licenses/lacuna/data/brain.LICENSE',
        'RECORD',
    }


def test_source_distribution(tmp_path):
    (path,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=['standard'])
    with tarfile.open(path) as archive:
        names = {name.split('/', 1)[1] for name in archive.getnames()}
    assert names == tracked(
        '.gitignore',
        '*.md',
        'LICENSE',
        'benchmarks/*.png',
        'docs',
        'lacuna',
        'pyproject.toml',
        'singularity',
        'tests',
    ) | {'PKG-INFO'}
