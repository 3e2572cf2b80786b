"""The tutorial and the how-to pages: what they tell their reader to type is typed, and what they print is compared."""

import re
import shlex
import shutil
import socket
import time
from pathlib import Path

import animate
import numpy as np
import pages
import pandas as pd
import pictures
import pytest
from helpers.paths import ROOT
from helpers.waiting import HANGS
from PIL import Image
from sybil.example import SybilFailure

from lacuna.cli.parser import build_parser
from lacuna.execution.plugins.file import read_plugin

DOCS = ROOT / 'docs'
HOWTO = {path.stem: path for path in sorted((DOCS / 'howto').glob('*.md')) if path.stem != 'index'}
#: pages that continue the tutorial
CONTINUED = {**HOWTO, 'collect': DOCS / 'collect.md'}
PAGES = [DOCS / 'tutorial.md', *CONTINUED.values()]
#: pages of commands and Python that is run where the files have the names of the page
STRANGERS = [ROOT / 'README.md', DOCS / 'index.md', DOCS / 'usage.md']
ALL = [ROOT / 'README.md', *sorted(DOCS.rglob('*.md'))]
#: how-to pages whose commands cannot be run here; all others have some that are
READ_ONLY = {'from-other-tools', 'my-file'}


def wait_for_port(port: int) -> None:
    """Another run of these tests on this machine may have its server there."""
    for _ in range(120):
        with socket.socket() as probe:
            if probe.connect_ex(('127.0.0.1', port)):
                return
        time.sleep(1)
    pytest.fail(f'another program listens at port {port}, which the tutorial uses')


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """The folder of somebody who has just installed Lacuna, and is set in the environment."""
    folder = tmp_path_factory.mktemp('home')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('LACUNA_CACHE_DIR', str(folder / 'cache'))
        patch.setenv('TEMPLATEFLOW_HOME', str(folder / 'templateflow'))
        patch.setenv('MPLBACKEND', 'agg')
        yield folder


@pytest.fixture(scope='module')
def tutorial(home):
    """The folder of a reader who has followed the tutorial to its end."""
    wait_for_port(8642)
    pages.follow(DOCS / 'tutorial.md', home / 'tutorial')
    return home / 'tutorial'


@pytest.fixture(scope='module')
def follow(tutorial, home):
    """Follow a how-to page, from where the tutorial ended; returns the folder."""

    def run(name: str) -> Path:
        folder = home / name
        if not folder.exists():
            shutil.copytree(tutorial, folder)
            pages.follow(CONTINUED[name], folder)
        return folder

    return run


@pytest.mark.slow
def test_the_tutorial_prints_what_it_says(tutorial):
    assert len(list(tutorial.glob('derivatives/sub-*.html'))) == 3


@pytest.mark.slow
@pytest.mark.parametrize('name', sorted(set(CONTINUED) - READ_ONLY))
def test_a_howto_page_prints_what_it_says(follow, name):
    follow(name)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_pages_have_commands_that_are_run(page):
    blocks = re.findall(r'^```(\w+)$', page.read_text(), flags=re.MULTILINE)
    assert (not {'console', 'python'} & set(blocks)) == (page.stem in READ_ONLY)


def shell_commands(page):
    """The commands of Lacuna in blocks that are not run as they are: those with placeholders, or for another machine."""
    blocks = re.findall(r'^ *```sh\n(.*?)^ *```$', page.read_text(), flags=re.DOTALL | re.MULTILINE)
    lines = '\n'.join(blocks).replace('\\\n', ' ').splitlines()
    return [words[1:] for line in lines if (words := shlex.split(line, comments=True))[:1] == ['lacuna']]


@pytest.mark.parametrize(
    ('page', 'words'),
    [(page, words) for page in ALL for words in shell_commands(page)],
    ids=lambda value: getattr(value, 'stem', None),
)
def test_commands_have_only_arguments_that_there_are(page, words):
    assert build_parser().parse_args(words).run, page


def test_every_block_of_code_is_of_a_kind_that_is_run():
    kinds = {
        (page.relative_to(ROOT).as_posix(), kind)
        for page in ALL
        for kind in re.findall(r'^ *```(\w+|\{code-cell\})', page.read_text(), flags=re.MULTILINE)
    }
    followed = {page.relative_to(ROOT).as_posix() for page in [*PAGES, *STRANGERS]}
    other = {(page, kind) for page, kind in kinds if kind != 'sh' and page not in followed}
    assert {(page, kind) for page, kind in other if not page.startswith('docs/tutorials/')} == {
        ('docs/cluster-plugins.md', 'yaml')
    }
    assert {kind for page, kind in other if page.startswith('docs/tutorials/')} == {'{code-cell}'}
    assert {kind for page, kind in kinds if page in followed} <= {'sh', 'console', 'python', 'r'}


def test_the_settings_of_a_cluster_are_read(tmp_path):
    (block,) = re.findall(r'```yaml\n(.*?)```', (DOCS / 'cluster-plugins.md').read_text(), flags=re.DOTALL)
    (tmp_path / 'slurm.yml').write_text(block)
    read_plugin(tmp_path / 'slurm.yml')


@pytest.mark.shared
@pytest.mark.slow
def test_a_stranger_types_what_the_first_pages_say(tmp_path, lacuna_here, shared, monkeypatch):
    """With a study whose files have the names that these pages give them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(shared / 'data/templateflow'))
    assert lacuna_here('tutorial', 'BIDS_DIR', '--cohort', 12).returncode == 0
    scores = pd.read_csv('BIDS_DIR/participants.tsv', sep='\t').rename(columns={'motor': 'nihss'})
    scores.to_csv('participants.tsv', sep='\t', index=False, na_rep='n/a')
    for name in ('TRACTOGRAM.tck', 'tractogram.tck'):
        shutil.copyfile('BIDS_DIR/sourcedata/connectome/synthetic20k.tck', name)
    shutil.copyfile(next(Path('BIDS_DIR').rglob('sub-01*_mask.nii.gz')), 'lesion_mask.nii.gz')
    quicker = {'run': ['--no-report'], 'stats': ['--permutations', '100', '--cv', 'none']}
    for page in STRANGERS:
        for words in shell_commands(page):
            if words[0] not in ('explore', 'fetch', 'bidsify'):  # a server, the network, other files
                done = lacuna_here(*words, *quicker.get(words[0], ()))
                assert done.returncode == 0, (page.name, words, done.stderr)
        pages.follow(page, tmp_path)  # the Python
    assert len(list(Path('OUTPUT_DIR').rglob('*_desc-disconnectionpct_parcelstats.tsv'))) == 12 + 1
    assert Path('STATS_DIR/stats.html').is_file()


def test_links_to_pages_and_pictures_lead_somewhere():
    for page in [*PAGES, DOCS / 'howto/index.md']:
        for target in re.findall(r'\]\(([^)#]+)[^)]*\)', page.read_text()):
            if '://' not in target:
                assert (page.parent / target).is_file(), f'{page.name}: {target}'


def test_every_picture_is_shown_and_made_by_the_script():
    shown = {
        Path(target).name
        for page in DOCS.rglob('*.md')
        for target in re.findall(r'!\[[^\]]+\]\(((?:\.\./)*images/[^)]+)\)', page.read_text())
    }
    there = {path.name: path.stat().st_size for path in (DOCS / 'images').iterdir()}
    assert shown == set(there) == set(pictures.PICTURES)
    assert max(there.values()) < 150_000
    assert sum(there.values()) < 1_000_000


def test_the_picture_of_the_readme_moves():
    path = animate.TARGET
    assert str(path.relative_to(ROOT)) in (ROOT / 'README.md').read_text()
    assert path.stat().st_size < 2**20
    with Image.open(path) as image:
        assert image.n_frames > 15


@pytest.mark.slow
def test_the_pictures_are_those_of_this_run(follow, browser, tmp_path):
    pytest.importorskip('myst_nb', reason='myst-nb is not installed')
    folder = follow('read-outputs')
    pictures.draw(folder, tmp_path, browser)
    for name in pictures.PICTURES:
        ours, theirs = (small(folder / name) for folder in (DOCS / 'images', tmp_path))
        assert ours.shape == theirs.shape, name
        assert np.abs(ours - theirs).mean() < 2, f'{name} shows something else: python docs/pictures.py'


def small(path: Path) -> np.ndarray:
    """A picture without what fonts and the smoothing of edges change; levels of grey."""
    image = Image.open(path).convert('L')
    return np.asarray(image.resize((100, 100), Image.Resampling.BOX), float)


@pytest.mark.parametrize(
    'wrong',
    [
        '```console\n$ echo a\nb\n```\n',
        '```console\n$ echo a\na\na\n```\n',
        '```console\n$ echo a; echo b\n...\n```\n',
        '```console\n$ false\n```\n',
        '```console\n$ false\n$ true\n```\n',
        '```python\n>>> 1 + 1\n3\n```\n',
        '```python\nassert False\n```\n',
    ],
)
def test_a_page_that_is_wrong_fails(tmp_path, wrong):
    page = tmp_path / 'page.md'
    page.write_text(wrong)
    with pytest.raises((SybilFailure, AssertionError)):
        pages.follow(page, tmp_path / 'folder')


def test_a_page_keeps_one_shell_and_one_python(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(
        '```console\n$ mkdir a\n$ cd a\n$ word=b\n```\n```python\nnumber = 6\n```\n'
        '```console\n$ echo $word \\\n>    c > file\n$ cat ../a/file\nb c\n$ pwd\n/.../folder/a\n'
        '$ ls nothing 2> /dev/null\n$ echo $?\n2\n$ sleep 3600 &\n```\n'
        "```python\n>>> from pathlib import Path\n>>> number / 7, Path('a/file').read_text()\n(0.857..., 'b c\\n')\n```\n"
        '```sh\nnot-run\n```\n'
    )
    start = time.monotonic()
    pages.follow(page, tmp_path / 'folder')
    assert time.monotonic() - start < HANGS  # what it left in the background has ended with it
