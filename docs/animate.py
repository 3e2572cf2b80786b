"""Make the animated picture of the README anew: ``python docs/animate.py`` (needs Chromium).

It is a session with ``lacuna explore`` and the data of the tutorial: a sphere goes up through the left hemisphere and grows,
a bundle is pointed at, and one is gone to.
"""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import pictures
from PIL import Image

from lacuna.datasets.tutorial import write_tutorial

TARGET = Path(__file__).parent / 'animated' / 'explore.webp'
WIDTH = 840  # pixels
MOVE, STAY = 220, 1400  # ms
#: what 3D takes without a graphics card, after the hand rests
_DRAWN = 2500
_MOST = 2**20


def frames(tutorial: Path) -> tuple[list[Image.Image], list[int]]:
    """The pictures, and how long each is shown."""
    from lacuna.datasets.tutorial import tutorial_paths

    paths = tutorial_paths(tutorial)
    atlas = ('synthetic100', str(paths.parcellation), str(paths.labels), 'MNI152NLin6Asym')
    given = ('--connectome-path', str(paths.connectome), '--custom-parcellation', *atlas)
    shots, times = [], []
    with pictures.serving(*given) as (address, _), pictures.browser() as chromium:
        page = chromium.new_page(viewport={'width': 1180, 'height': 730}, color_scheme='dark')
        page.goto(address)
        page.locator('body[data-drawn]').wait_for(timeout=60_000)
        page.locator('canvas').focus()

        def shoot(shown: int) -> None:
            page.wait_for_timeout(_DRAWN)
            page.evaluate("document.getElementById('timing').textContent = ''")
            shots.append(Image.open(io.BytesIO(page.screenshot())).convert('RGB'))
            times.append(shown)

        page.evaluate('goTo([-44, -40, 24])')
        shoot(MOVE)
        for _ in range(9):  # through the hemisphere
            for key in ('ArrowUp', 'ArrowUp', 'ArrowRight'):
                page.keyboard.press(key)
            shoot(MOVE)
        for _ in range(3):
            for _ in range(3):
                page.keyboard.press('+')
            shoot(MOVE)
        times[-1] = STAY
        for row in (0, 1):
            page.locator('#bundles .row:visible').nth(row).hover()
            shoot(STAY)
        page.locator('#bundles .row:visible').nth(1).click()
        page.mouse.move(5, 5)
        shoot(STAY)
        for _ in range(6):
            page.keyboard.press('Shift+ArrowRight')
            shoot(MOVE)
        times[-1] = STAY
    return shots, times


def main() -> None:
    """Follow the session and write the picture."""
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {'TEMPLATEFLOW_HOME': f'{home}/templateflow', 'LACUNA_CACHE_DIR': f'{home}/cache'}
        write_tutorial(Path(home, 'tutorial'))
        shots, times = frames(Path(home, 'tutorial'))
    for shot in shots:
        shot.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
    TARGET.parent.mkdir(exist_ok=True)
    shots[0].save(
        TARGET, save_all=True, append_images=shots[1:], duration=times, loop=0, quality=60, method=6
    )
    size = TARGET.stat().st_size
    print(f'{TARGET}: {len(shots)} pictures, {size / 1000:.0f} kB')
    assert size < _MOST


if __name__ == '__main__':
    main()
