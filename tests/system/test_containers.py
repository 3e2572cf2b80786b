"""The images: what can be said of them without a container engine, and a build and runs in a chroot."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from helpers.paths import ROOT, SHARED
from helpers.waiting import HANGS
from spython.main.parse.parsers import get_parser

FOLDER = ROOT / 'singularity'
DEFINITION = FOLDER / 'lacuna.def'
DOCKERFILE = FOLDER / 'Dockerfile'
BIN = Path(sys.executable).parent


@pytest.fixture(scope='module')
def recipe():
    parser = get_parser('singularity')(str(DEFINITION))
    return next(iter(parser.recipe.values()))


@pytest.fixture(scope='module')
def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, each with its continued lines in one."""
    text = re.sub(r'\\\n\s*', '', DOCKERFILE.read_text())
    return [tuple(line.split(' ', 1)) for line in text.splitlines() if line and not line.startswith('#')]


def files(recipe) -> list[str]:
    """What is copied into the image, from the root of the checkout."""
    return [line.split()[0] for line in recipe.files]


def test_hadolint():
    done = subprocess.run([BIN / 'hadolint', DOCKERFILE], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_spython(recipe):
    done = subprocess.run(
        [BIN / 'spython', 'recipe', '--parser', 'singularity', DEFINITION],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert 'ENV LC_ALL=C.UTF-8\n' in done.stdout
    assert recipe.cmd == 'exec lacuna-snm "$@"'
    assert all((ROOT / source).exists() for source in files(recipe))


def test_both_images_are_made_alike(recipe, instructions):
    assert ('FROM', recipe.fromHeader) in instructions
    install = 'sh /opt/source/singularity/install.sh /opt/source'
    assert recipe.install[0] == install
    assert any(name == 'RUN' and what.startswith(install) for name, what in instructions)
    assert ('ENTRYPOINT', '["lacuna-snm"]') in instructions
    # the same environment, and the same files
    (env,) = [what for name, what in instructions if name == 'ENV']
    exported = re.findall(r'export (\S+=\S+)', DEFINITION.read_text())
    assert sorted(env.split()) == sorted(exported)
    (labels,) = [what for name, what in instructions if name == 'LABEL']
    assert dict(re.findall(r'(\S+?)="(.*?)"', labels)) == dict(line.split(' ', 1) for line in recipe.labels)
    ignored = (ROOT / '.dockerignore').read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith('!')} == set(files(recipe))


def test_templates_from_a_folder(tmp_path, toy):
    """A small home is made from another one; what is missing is left out when TemplateFlow cannot be reached."""
    given, home = tmp_path / 'given', tmp_path / 'home'
    name = 'tpl-MNI152NLin6Asym/tpl-MNI152NLin6Asym_res-01_desc-brain_mask.nii.gz'
    (given / name).parent.mkdir(parents=True)
    shutil.copy(toy.mask, given / name)
    (given / 'tpl-MNI152NLin6Asym/tpl-MNI152NLin6Asym_res-01_T1w.nii.gz').write_text('not used')
    nowhere = {'http_proxy': 'http://localhost:1', 'https_proxy': 'http://localhost:1'}
    done = subprocess.run(
        [sys.executable, FOLDER / 'templates.py', home, given],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **nowhere, 'PYTHONPATH': str(ROOT)},
        timeout=HANGS,
    )
    assert done.returncode == 0, done.stderr
    assert f'TemplateFlow: {Path(name).name}\n' in done.stdout
    assert done.stdout.count(' is left out\n') == 5
    assert 'TemplateFlow could not be reached (' in done.stdout
    described = {f'tpl-MNI152NLin{space}Asym/template_description.json' for space in ('6', '2009c')}
    assert {str(path.relative_to(home)) for path in home.rglob('*') if path.is_file()} == {name, *described}
    assert (home / name).read_bytes() == toy.mask.read_bytes()
    assert {json.loads((home / each).read_text())['Identifier'] for each in described} == {
        'MNI152NLin6Asym',
        'MNI152NLin2009cAsym',
    }


@pytest.mark.slow
@pytest.mark.mrtrix
def test_what_the_image_is_tested_with(tmp_path):
    """The image's own test passes with this installation, in an empty environment without a home folder."""
    environment = {'PATH': f'{BIN}:/usr/bin:/bin', 'TMPDIR': str(tmp_path), 'PYTHONPATH': str(ROOT)}
    environment |= {name: os.environ[name] for name in ('NUMBA_CACHE_DIR',) if name in os.environ}
    done = subprocess.run(
        ['sh', FOLDER / 'test.sh'], check=False, capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith('the image works\n')


@pytest.mark.slow
@pytest.mark.soak
def test_build_and_run_in_a_chroot(tmp_path):
    if os.getuid() != 0 or subprocess.run(['unshare', '--mount', 'true'], check=False).returncode:
        pytest.skip('needs root that may mount')
    if shutil.which('debootstrap') is None:
        pytest.skip('needs debootstrap')
    env = dict(os.environ)
    if (SHARED / 'data/templateflow').is_dir():
        env['TEMPLATEFLOW_HOME'] = str(SHARED / 'data/templateflow')
    done = subprocess.run(
        [FOLDER / 'try-in-chroot.sh', tmp_path],
        check=False,
        capture_output=True,
        text=True,
        env=env,
        timeout=1500,
    )
    said = done.stdout[-4000:] + done.stderr[-4000:]
    assert done.returncode == 0, said
    assert 'the image works\n' in done.stdout, said  # the end of %test
    assert 'Warning' not in done.stderr
    assert not (tmp_path / 'root').exists()
    assert str(tmp_path) not in Path('/proc/mounts').read_text()
    results = tmp_path / 'results/derivatives'
    table = next(results.glob('group_*_desc-disconnectionpct_parcelstats.tsv'))
    assert list(pd.read_csv(table, sep='\t')['participant_id']) == ['sub-01', 'sub-02', 'sub-03']
    assert {path.stat().st_uid for path in results.rglob('*')} == {12345}
    assert (results / 'group.html').is_file()
