"""``tractogram.explore()``: the page in a frame of a notebook, served by this process until it is closed."""

import http.server
import json
import shlex
import threading
from contextlib import contextmanager

import nibabel as nb
import numpy as np
import pytest
import requests
from helpers.explorer import unframed
from helpers.waiting import HANGS, wait_for
from IPython.core.formatters import DisplayFormatter

import lacuna
from lacuna.errors import InputError
from lacuna.images.nifti import encoded

pytestmark = pytest.mark.usefixtures('common_cache')


@pytest.fixture
def tractogram(synthetic):
    return lacuna.Tractogram(synthetic.connectome, nprocs=1)


@contextmanager
def notebook(content):
    """A page of another server, as a notebook is one, that holds what a cell shows."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header('Content-Type', 'text/html')
            self.end_headers()
            self.wfile.write(f'<link rel="icon" href="data:,">{content}'.encode())

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(('127.0.0.1', 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://localhost:{server.server_port}/'
        server.shutdown()


def started_by_the_server(before):
    return [
        each
        for each in threading.enumerate()
        if each not in before and each.name.startswith(('lacuna', 'AnyIO', 'asyncio'))
    ]


def test_the_page_answers_as_python_does_until_it_is_closed(tractogram, synthetic):
    mask = min(synthetic.masks)
    atlas = (synthetic.parcellation, synthetic.labels, 'MNI152NLin6Asym')
    threads = set(threading.enumerate())
    with tractogram.explore(mask, atlases=[atlas]) as page:
        origin = '/'.join(page.address.split('/')[:3])
        about = requests.get(f'{page.address}about', timeout=HANGS).json()
        assert about['masks'] == [mask.name]
        assert about['saving'] is None
        for parameters, body in (({'row': 0}, b''), ({'name': mask.name}, encoded(nb.load(mask)))):
            answer = requests.post(
                f'{page.address}answer', body, params=parameters, headers={'Origin': origin}, timeout=HANGS
            )
            found, lesion = unframed(answer.content), tractogram.disconnect(mask)
            assert found['summary'] == lesion.summary
            assert found['bundles']['value'] == lesion.bundles().disconnection.tolist()
            values = lesion.parcels(atlas).disconnection.tolist()
            assert found['atlases'][0]['value'] == [None if np.isnan(each) else each for each in values]
        assert requests.get(f'{origin}/', timeout=HANGS).status_code == 404
        shown = DisplayFormatter().format(page)[0]
        assert f'src="{page.address}"' in shown['text/html']
    with pytest.raises(requests.ConnectionError):
        requests.get(f'{page.address}about', timeout=HANGS)
    page.close()
    assert page.address not in DisplayFormatter().format(page)[0]['text/html']
    # all but those of others, such as progress bars, have ended or end now
    wait_for(lambda: not started_by_the_server(threads))


def test_what_it_refuses(tractogram, tmp_path):
    threads = set(threading.enumerate())
    for wrong in ({'masks': tmp_path / 'none.nii'}, {'atlases': ['no-such-atlas']}, {'space': 'talairach'}):
        with pytest.raises(InputError):
            tractogram.explore(**wrong)
    assert not started_by_the_server(threads)


@pytest.mark.slow
def test_a_notebook_shows_it(tractogram, browser):
    with tractogram.explore() as page, notebook(page._repr_html_()) as address:
        opened = browser.new_page()
        faults = []
        opened.on('console', lambda said: faults.append(said.text) if said.type == 'error' else None)
        opened.goto(address)
        frame = opened.frame_locator('iframe')
        frame.locator('body[data-state=ready][data-answers]').wait_for()
        assert frame.locator('#bundles .row').first.text_content()
        answer = opened.frames[1].evaluate('JSON.stringify(lacunaExplorer.answer.summary)')
        assert json.loads(answer)['streamlines_disconnected'] > 100
        assert faults == []
        opened.close()


def test_what_is_computed_and_saved_has_the_weights_of_the_tractogram(synthetic, tmp_path):
    weights = tmp_path / 'weights.txt'
    weights.write_text('\n'.join(str(1 + number % 7) for number in range(20_000)))
    tractogram = lacuna.Tractogram(synthetic.connectome, nprocs=1, weights=weights, max_length=90)
    with tractogram.explore(min(synthetic.masks), output_dir=tmp_path / 'out') as page:
        command = requests.get(f'{page.address}about', timeout=HANGS).json()['command']
    words = shlex.split(command)
    assert words[words.index('--connectome-weights') + 1] == str(weights)
    assert float(words[words.index('--max-length') + 1]) == 90
    assert '--min-length' not in words
