"""Make the pictures of the documentation anew: ``python docs/pictures.py`` (needs Chromium).

Nothing is drawn by hand: each picture is one that Lacuna, or the Python of a page, makes when the pages are followed.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pages import follow
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DOCS = Path(__file__).parent
FIGURES = 'derivatives/sub-01/figures/sub-01_label-lesion_method-snm_'
#: where each picture comes from, in the folder in which the tutorial was followed: an image is taken as it is
PICTURES = {
    'lesion.png': f'{FIGURES}desc-lesion_figure.png',
    'map.png': f'{FIGURES}desc-map_figure.png',
    'matrix.png': f'{FIGURES}atlas-synthetic100_desc-matrix_figure.svg',
    'viewer.png': f'{FIGURES}desc-viewer.html',
    'report.png': 'derivatives/sub-01.html',
    'group.png': 'derivatives/group.html',
    'nilearn-map.png': 'map.png',
    'nilearn-connections.png': 'connections.png',
    'cortex.png': 'notebook/one-lesion-3.png',
    # the pages that are served of them
    'explore.png': 'tutorial/sourcedata/connectome/synthetic20k.tck',
    'lesions.png': 'derivatives',
}
#: the pages whose Python draws some of them
FOLLOWED = (DOCS / 'tutorial.md', DOCS / 'howto/read-outputs.md')
NOTEBOOK = DOCS / 'tutorials/one-lesion.md'
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
WIDTH = 800  # pixels
#: how much of a page is shown, in pixels
HEIGHTS = {'report.png': 960, 'viewer.png': 600, 'group.png': 1230}


def draw(folder: Path, target: Path, chromium: Browser) -> None:
    """Make all pictures from the folder in which the pages of `FOLLOWED` were followed."""
    import notebooks

    (folder / 'notebook').mkdir()
    notebooks.run(NOTEBOOK, folder / 'notebook')
    target.mkdir(parents=True, exist_ok=True)
    for name, source in PICTURES.items():
        path = folder / source
        if path.suffix == '.tck':
            image = explored(chromium, path)
        elif path.is_dir():
            image = served(chromium, (str(path),), 'results/0/lesions/')
        elif path.suffix == '.png':
            image = Image.open(path)
        else:
            image = photograph(chromium, path, HEIGHTS.get(name))
        paper = Image.new('RGBA', image.size, 'white')
        paper.alpha_composite(image.convert('RGBA'))
        paper.thumbnail((WIDTH, paper.height), Image.Resampling.LANCZOS)
        # 256 colours: a third of the bytes
        paper.convert('RGB').quantize(256, dither=Image.Dither.NONE).save(target / name, optimize=True)


def photograph(chromium: Browser, path: Path, height: int | None) -> Image.Image:
    """What a browser shows of a file; of a drawing all."""
    page = chromium.new_page(viewport={'width': WIDTH, 'height': height or WIDTH}, color_scheme='light')
    page.goto(path.as_uri())
    if page.evaluate("typeof lacunaViewer !== 'undefined'"):
        page.locator('body[data-state=ready]').wait_for(timeout=60_000)
    page.wait_for_timeout(1500)  # textures are drawn after that
    shot = page.screenshot() if height else page.locator('svg').screenshot()
    page.close()
    return Image.open(io.BytesIO(shot))


def explored(chromium: Browser, tractogram: Path) -> Image.Image:
    """What `lacuna explore` shows of a tractogram and the atlas that comes with it."""
    stem = tractogram.parents[1] / 'parcellation/synthetic100_space-MNI152NLin6Asym_dseg'
    atlas = ('synthetic100', f'{stem}.nii.gz', f'{stem}.tsv', 'MNI152NLin6Asym')
    return served(chromium, ('--connectome-path', str(tractogram), '--custom-parcellation', *atlas))


def served(chromium: Browser, arguments: tuple[str, ...], path: str = '') -> Image.Image:
    """A page of `lacuna explore`."""
    with serving(*arguments) as (address, _):
        page = chromium.new_page(viewport={'width': 1280, 'height': 800}, color_scheme='light')
        page.goto(address + path)
        page.locator('body[data-state=ready][data-answers]').wait_for(timeout=60_000)
        page.wait_for_timeout(4000)  # the picture is drawn after the numbers
        page.evaluate("document.querySelector('#timing')?.replaceChildren()")
        shot = page.screenshot()
        page.close()
    return Image.open(io.BytesIO(shot))


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A running `lacuna explore`: its address, and its process."""
    command = [sys.executable, '-m', 'lacuna', 'explore', *arguments, '--no-browser']
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield server.stdout.readline().strip(), server
        finally:
            server.send_signal(signal.SIGINT)


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium without the network."""
    from playwright.sync_api import sync_playwright

    # root may run Chromium without its sandbox only; SwiftShader draws WebGL without a graphics card
    flags = ['--use-angle=swiftshader', '--enable-unsafe-swiftshader']
    flags += ['--no-sandbox'] if os.geteuid() == 0 else []
    with sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as home:
        # as in the tests: reports without TemplateFlow's templates, figures without windows
        os.environ |= {'TEMPLATEFLOW_HOME': f'{home}/templateflow', 'MPLBACKEND': 'agg'}
        folder = Path(home) / 'study'
        for page in FOLLOWED:
            follow(page, folder)
        with browser() as chromium:
            draw(folder, DOCS / 'images', chromium)
