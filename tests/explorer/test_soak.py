"""Ten minutes of moving: neither the server nor the page grows."""

import os
import time

import psutil
import pytest
from helpers.explorer import Explorer

MINUTES = float(os.environ.get('LACUNA_SOAK_MINUTES', '10'))
#: bytes: of the first minute, the allocator and the pages of the index have all they need
_GROWTH = 32 * 2**20
pytestmark = [pytest.mark.usefixtures('common_cache'), pytest.mark.soak]


def test_ten_minutes_of_moving_without_growth(browser, synthetic, tmp_path):
    running = Explorer('--connectome-path', synthetic.connectome, scratch=tmp_path)
    try:
        server = psutil.Process(running.process.pid)
        page = browser.new_page()
        page.goto(running.address)  # at the rim of the brain, a lesion is refused now and then
        page.locator('body[data-answers]').wait_for()
        devtools = page.context.new_cdp_session(page)

        def memory() -> tuple[int, int]:
            """Of the server, and what the page holds after its garbage is collected."""
            devtools.send('HeapProfiler.collectGarbage')
            used = devtools.send('Runtime.getHeapUsage')
            return server.memory_info().rss, used['usedSize'] + used.get('backingStorageSize', 0)

        box = page.locator('canvas').bounding_box()
        begun = page.evaluate('lacunaExplorer.answers')
        start, seen, step = time.monotonic(), [], 0
        tools, views = ('sphere', 'brush', 'eraser', 'sphere'), ('0', '3')
        while (elapsed := time.monotonic() - start) < 60 * MINUTES:
            if step % 200 == 0:  # everything that one can do, again and again
                page.locator(f'[data-tool={tools[step // 200 % 4]}]').click()
                page.locator('#view').select_option(views[step // 200 % 2])
                page.locator('#bundles .row:visible').first.hover()
                page.mouse.up()
            x = box['x'] + box['width'] * (0.1 + 0.3 * (step % 37) / 37)
            y = box['y'] + box['height'] * (0.1 + 0.3 * (step % 23) / 23)
            page.mouse.move(x, y)
            if step % 20 == 0:  # a new stroke, and a step that can be undone
                page.mouse.up()
                page.mouse.down()
            step += 1
            if elapsed >= 60 * len(seen):
                seen.append(memory())
                print(
                    f'{elapsed:.0f} s, {page.evaluate("lacunaExplorer.answers")} answers, MB:',
                    *(each / 1e6 for each in seen[-1]),
                )
        seen.append(memory())
        print('MB, server and page, each minute:', [[round(each / 1e6) for each in pair] for pair in seen])
        answers = page.evaluate('lacunaExplorer.answers')
        print(answers, 'answers')
        assert answers > begun  # how many depends on the machine
        settled = seen[min(1, len(seen) - 2)]
        for before, after in zip(settled, seen[-1], strict=True):
            assert after - before < _GROWTH
    finally:
        ended = running.end()
    assert ended == (0, '', '')
