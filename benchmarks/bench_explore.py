"""How long ``lacuna explore`` takes from a movement of the sphere until its numbers, and its picture, are on the page.

Milliseconds, in a headless Chromium that draws without a graphics card, from the time that the browser gives the event.
``numbers``: tables, bars, and the data of map and streamlines are in the page; ``picture``: the next frame shows them. The
sphere goes by steps, one in two seconds, and is then dragged with the mouse, 30 events a second. ``asked`` is an answer of the
server alone. Without a graphics card, the picture is that of the slices: 3D follows when there is rest. Goals for the numbers: 150 ms with 200,000 streamlines, 400 ms with a million.

With ``--results``, of the page of all lesions of a folder: the start of the command, its memory, and a click.

    PYTHONPATH=docs python benchmarks/bench_explore.py TRACTOGRAM.tck ... [--space S] [--atlas NAME]
    PYTHONPATH=docs python benchmarks/bench_explore.py --results DERIVATIVES
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pictures
import psutil
import requests

STEPS, DRAGS, CLICKS = 12, 90, 12
VIEWS = {'slices and 3D': '3', 'axial': '0'}
#: every answer, as soon as it is there
_WATCH = """() => {
  window.seen = [];
  new MutationObserver(() => seen.push({...lacunaExplorer.timing})).observe(document.body, {attributeFilter: ['data-drawn']});
}"""

#: from a click until the list of lesions is there
_CLICKED = """() => {
  window.clicked = [];
  let pressed = 0;
  document.addEventListener('mousedown', (event) => { pressed = event.timeStamp; }, true);
  new MutationObserver(() => {
    if (pressed) clicked.push(performance.now() - pressed);
    pressed = 0;
  }).observe(document.body, {attributeFilter: ['data-answers']});
}"""


def by_steps(page: Any) -> None:
    """Press a key, and wait until what it changes is drawn."""
    for step in range(STEPS):
        before = page.evaluate('seen.length')
        page.keyboard.press(('ArrowUp', 'ArrowUp', 'PageUp', 'ArrowDown', 'ArrowDown', 'PageDown')[step % 6])
        page.wait_for_function('before => seen.length > before && !lacunaExplorer.busy()', arg=before)
        page.wait_for_timeout(2000)


def dragged(page: Any) -> None:
    """Drag through a slice, 30 events a second."""
    box = page.locator('canvas').bounding_box()
    x, y = box['x'] + box['width'] * 0.2, box['y'] + box['height'] * 0.25
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(DRAGS):
        page.mouse.move(x + 60 * (step % 20) / 20, y + 30 * (step % 7) / 7)
        page.wait_for_timeout(33)
    page.mouse.up()
    page.wait_for_function('() => !lacunaExplorer.busy()')


def alone(address: str, times: int = 9) -> list[float]:
    """Milliseconds of the server for a ball of 10 mm."""
    import numpy as np
    from nibabel.affines import apply_affine

    about = requests.get(f'{address}about', timeout=60).json()
    points = apply_affine(np.array(about['affine']), np.moveaxis(np.indices(about['shape']), 0, -1))
    ball = (((points - (-26, -10, 16)) ** 2).sum(axis=-1) <= 100).astype(np.uint8).tobytes('F')
    taken, origin = [], '/'.join(address.split('/')[:3])
    for _ in range(times):
        start = time.perf_counter()
        requests.post(f'{address}answer', ball, headers={'Origin': origin}, timeout=60)
        taken.append(1000 * (time.perf_counter() - start))
    return taken


def of_all_lesions(results: Path) -> None:
    """Print how long the page of all lesions takes to be ready, and a click until its list is there."""
    began = time.perf_counter()
    with pictures.serving(str(results)) as (address, server), pictures.browser() as chromium:
        started = time.perf_counter() - began
        process = psutil.Process(server.pid)
        memory, used = process.memory_info().rss / 1e6, process.cpu_times()
        page = chromium.new_page(viewport={'width': 1280, 'height': 800})
        began = time.perf_counter()
        page.goto(f'{address}results/0/group.html')
        frame = page.frame_locator('iframe')
        frame.locator('body[data-state=ready][data-answers]').wait_for(timeout=120_000)
        ready = time.perf_counter() - began
        inside, canvas = page.frames[1], frame.locator('canvas')
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        inside.evaluate(_CLICKED)
        for click in range(CLICKS):
            page.mouse.click(box['x'] + box['width'] * (0.18 + 0.01 * click), box['y'] + box['height'] * 0.3)
            inside.wait_for_function('done => clicked.length > done', arg=click)
        taken = sorted(inside.evaluate('clicked'))
        print(
            f'{inside.evaluate("about.lesions.length")} lesions; load {os.getloadavg()[0]:.1f}; start {started:.1f} s '
            f'({used.user + used.system:.1f} s of processors), {memory:.0f} MB; page ready {ready:.1f} s later; '
            f'click: median {statistics.median(taken):.0f} ms, most {taken[-1]:.0f} ms'
        )


def row(what: str, values: list[dict[str, float]]) -> str:
    """A line of the table."""
    cells = [what, str(len(values))]
    for key in ('answer', 'drawn'):
        ordered = sorted(each[key] for each in values)
        cells += [f'{statistics.median(ordered):.0f}', f'{ordered[int(0.95 * (len(ordered) - 1))]:.0f}']
    return f'| {" | ".join(cells)} |'


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('tracks', type=Path, nargs='*')
    parser.add_argument('--results', type=Path)
    parser.add_argument('--space', default='MNI152NLin2009cAsym')
    parser.add_argument('--atlas', nargs='*', default=[])
    args = parser.parse_args()

    if args.results:
        of_all_lesions(args.results)
    ways: dict[str, Callable[[Any], None]] = {'by steps': by_steps, 'dragged': dragged}
    for tracks in args.tracks:
        arguments = ['--connectome-path', str(tracks), '--connectome-space', args.space]
        arguments += ['--parcel-atlases', *args.atlas] if args.atlas else []
        with pictures.serving(*arguments) as (address, _), pictures.browser() as chromium:
            asked = alone(address)
            page = chromium.new_page(viewport={'width': 1280, 'height': 800})
            page.goto(address)
            page.locator('body[data-drawn]').wait_for(timeout=60_000)
            total = page.evaluate("document.getElementById('cut').textContent")
            print(
                f'\n{tracks.name}, atlases: {", ".join(args.atlas) or "none"}; the first sphere cuts {total}; load '
                f'{os.getloadavg()[0]:.1f}; asked: {statistics.median(asked):.0f} ms'
            )
            print(
                '| what | answers | numbers, median | 95 % | picture, median | 95 % |\n|---|---|---|---|---|---|'
            )
            page.evaluate(_WATCH)
            for view, value in VIEWS.items():
                page.locator('#view').select_option(value)
                page.locator('canvas').focus()
                page.wait_for_timeout(3000)
                for way, move in ways.items():
                    page.evaluate('seen.length = 0')
                    move(page)
                    print(row(f'{view}, {way}', page.evaluate('seen')), flush=True)


if __name__ == '__main__':
    main()
