"""The tutorial and the how-to pages: what they tell their reader to type is typed, and what they print is compared."""

import re
import shutil
import socket
import time
from pathlib import Path

import animate
import numpy as np
import pages
import pictures
import pytest
from helpers.paths import ROOT
from PIL import Image
from sybil.example import SybilFailure

DOCS = ROOT / 'docs'
HOWTO = sorted(path.stem for path in (DOCS / 'howto').glob('*.md') if path.stem != 'index')
PAGES = [DOCS / 'tutorial.md', *(DOCS / f'howto/{name}.md' for name in HOWTO)]
#: how-to pages whose commands cannot be run here; all others have some that are
READ_ONLY = {'explore', 'from-other-tools', 'my-file'}


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
            pages.follow(DOCS / f'howto/{name}.md', folder)
        return folder

    return run


@pytest.mark.slow
def test_the_tutorial_prints_what_it_says(tutorial):
    assert len(list(tutorial.glob('derivatives/sub-*.html'))) == 3


@pytest.mark.slow
@pytest.mark.parametrize('name', sorted(set(HOWTO) - READ_ONLY))
def test_a_howto_page_prints_what_it_says(follow, name):
    follow(name)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_pages_have_commands_that_are_run(page):
    blocks = re.findall(r'^```(\w+)$', page.read_text(), flags=re.MULTILINE)
    assert (not {'console', 'python'} & set(blocks)) == (page.stem in READ_ONLY)


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
@pytest.mark.skipif(pictures.CHROMIUM is None, reason='Chromium is not on the PATH (make chromium)')
def test_the_pictures_are_those_of_this_run(follow, tmp_path):
    pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    pytest.importorskip('myst_nb', reason='myst-nb is not installed')
    import notebooks

    folder = follow('read-outputs')
    notebooks.run(pictures.NOTEBOOK, folder)
    pictures.draw(folder, tmp_path)
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
        '$ ls nothing 2> /dev/null\n$ echo $?\n2\n$ sleep 600 &\n```\n'
        "```python\n>>> from pathlib import Path\n>>> number / 7, Path('a/file').read_text()\n(0.857..., 'b c\\n')\n```\n"
        '```sh\nnot-run\n```\n'
    )
    start = time.monotonic()
    pages.follow(page, tmp_path / 'folder')
    assert time.monotonic() - start < 60  # what it left in the background has ended with it
