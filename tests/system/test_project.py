"""What strangers see first: checks that run elsewhere, how to cite, how a version comes about."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from helpers.paths import ROOT

import lacuna


@pytest.mark.parametrize(
    ('schema', 'name'),
    [
        ('citation-file-format', 'CITATION.cff'),
        ('dependabot', '.github/dependabot.yml'),
        ('github-issue-config', '.github/ISSUE_TEMPLATE/config.yml'),
        ('github-issue-forms', '.github/ISSUE_TEMPLATE/bug.yml'),
        ('github-issue-forms', '.github/ISSUE_TEMPLATE/idea.yml'),
        ('github-workflows', '.github/workflows/ci.yml'),
        ('readthedocs', '.readthedocs.yaml'),
    ],
)
def test_files_for_services_are_valid(schema, name):
    command = [
        sys.executable,
        '-m',
        'check_jsonschema',
        '--builtin-schema',
        f'vendor.{schema}',
        str(ROOT / name),
    ]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def targets() -> set[str]:
    return set(re.findall(r'^([\w-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE))


def made(text: str) -> set[str]:
    return {word for words in re.findall(r'\bmake((?: [a-z][\w-]*)+)', text) for word in words.split()}


def test_workflows_and_ci_make_the_same():
    """What CI calls is in the workflows, too, and all of it is in the Makefile."""
    jobs = yaml.safe_load((ROOT / '.github/workflows/ci.yml').read_text())['jobs']
    commands = '\n'.join(step.get('run', '') for job in jobs.values() for step in job['steps'])
    hooks = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())['repos'][0]['hooks']
    committed = {word for hook in hooks for word in made(hook['entry'])}
    assert {'lint', 'types', 'test'} <= made((ROOT / '.ci/run').read_text()) <= made(commands) <= targets()
    assert committed == {'lint', 'types'}


def test_the_classifiers_are_what_is_tested():
    jobs = yaml.safe_load((ROOT / '.github/workflows/ci.yml').read_text())['jobs']
    named = re.findall(r'Python :: (3\.\d+)"', (ROOT / 'pyproject.toml').read_text())
    assert jobs['test']['strategy']['matrix']['python'] == named


def test_version_is_that_of_the_installation():
    assert lacuna.__version__ == version('lacuna-lnm')


def test_a_commit_that_cannot_be_released(tmp_path):
    """One line says what is missing; here a tag, and then what the tag asks for."""
    git = ['git', '-c', 'user.name=x', '-c', 'user.email=x@example.org', '-C', str(tmp_path)]
    (tmp_path / 'tools').mkdir()
    script = tmp_path / 'tools/release-check.sh'
    script.write_bytes((ROOT / 'tools/release-check.sh').read_bytes())
    (tmp_path / 'CHANGELOG.md').write_text('## 0.1.0 (not released)\n')
    subprocess.run([*git, 'init', '-q'], check=True)

    def check() -> str:
        done = subprocess.run(
            ['sh', script, sys.executable, 'dist'],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ,
        )
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        return line

    assert 'uncommitted' in check()
    subprocess.run([*git, 'add', '-A'], check=True)
    subprocess.run([*git, 'commit', '-q', '-m', 'x'], check=True)
    assert 'tag' in check()
    subprocess.run([*git, 'tag', 'v0.1.0'], check=True)
    assert 'CHANGELOG.md' in check()


def test_files_that_a_stranger_looks_for():
    for name in (
        'CODE_OF_CONDUCT.md',
        'SECURITY.md',
        'CONTRIBUTING.md',
        'LICENSE',
        '.github/pull_request_template.md',
    ):
        assert Path(ROOT / name).stat().st_size > 100, name


def test_the_recipe_for_conda_has_the_same_dependencies():
    recipe = yaml.safe_load((ROOT / 'tools/conda/recipe.yaml').read_text())
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    other = {'matplotlib-base': 'matplotlib', 'python-zlib-ng': 'zlib-ng'}
    found = {other.get(name, name): bound for name, bound in map(str.split, recipe['requirements']['run'])}
    assert found.pop('python') == project['requires-python']
    assert found == {
        name.lower(): bound.replace(' ', '')
        for name, bound in (each.split(' ', 1) for each in project['dependencies'])
    }
    commands = [f'{name} = {target}' for name, target in project['scripts'].items()]
    assert recipe['build']['python']['entry_points'] == commands
