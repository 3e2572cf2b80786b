"""A browser for the pages of ``lacuna explore``."""

import pytest


@pytest.fixture
def opened(browser):
    """Open a page; what it says, and asks of others, is kept."""
    contexts, faults, others = [], [], []

    def open_page(address, *, width=1280, height=800, touch=False, prepare=lambda _: None, **appearance):
        context = browser.new_context(
            viewport={'width': width, 'height': height}, has_touch=touch, **appearance
        )
        contexts.append(context)
        page = context.new_page()
        page.on('console', lambda said: faults.append(said.text) if said.type == 'error' else None)
        page.on('pageerror', lambda error: faults.append(str(error)))
        ours = (*(address.split('results')[0],), 'data:', 'blob:')
        page.on('request', lambda asked: None if asked.url.startswith(ours) else others.append(asked.url))
        prepare(page)
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
    assert others == []
