"""``lacuna explore`` as it is used: the command in a process of its own, asked by HTTP and by a browser."""

import base64
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import nibabel as nb
import numpy as np
import pytest
from helpers.canvas import picture
from helpers.explorer import Explorer, unframed
from helpers.waiting import HANGS

import lacuna
from lacuna.explorer.pages import MOST_BYTES
from lacuna.explorer.session import SAMPLE
from lacuna.images.nifti import encoded, make
from lacuna.reports.figures.viewer import percent_halves

ATLAS = 'synthetic100'
pytestmark = pytest.mark.usefixtures('common_cache')


@pytest.fixture(scope='module')
def custom(synthetic):
    return (ATLAS, synthetic.parcellation, synthetic.labels, 'MNI152NLin6Asym')


@pytest.fixture(scope='module')
def explorer(synthetic, common, custom, tmp_path_factory):
    folder = tmp_path_factory.mktemp('explore')
    (folder / 'scratch').mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('LACUNA_CACHE_DIR', str(common / 'cache'))
        patch.setenv('TEMPLATEFLOW_HOME', str(folder / 'templateflow'))
        running = Explorer(
            synthetic.directory,
            '--connectome-path',
            synthetic.connectome,
            '--custom-parcellation',
            *custom,
            '--output-dir',
            folder / 'saved',
            '--report',
            'light',
            scratch=folder / 'scratch',
        )
    running.saved = folder / 'saved'
    yield running
    assert running.end() == (0, '', '')


@pytest.fixture(scope='module')
def about(explorer):
    return json.loads(explorer.ask('about')[1])


@pytest.fixture
def tractogram(synthetic):
    return lacuna.Tractogram(synthetic.connectome)


def drawing(about, centre, radius) -> np.ndarray:
    """A ball on the voxels of the page."""
    affine = np.array(about['affine'])
    points = nb.affines.apply_affine(affine, np.moveaxis(np.indices(about['shape']), 0, -1))
    return (((points - centre) ** 2).sum(axis=-1) <= radius**2).astype(np.uint8)


def on_page(image) -> np.ndarray:
    return percent_halves(np.asarray(nb.as_closest_canonical(image).dataobj)).ravel(order='F')


def check_answer(answer, lesion, custom):
    """What the page gets is what Python gives, to the last bit."""
    assert answer['summary'] == lesion.summary
    bundles = lesion.bundles().table
    assert answer['bundles']['value'] == bundles['value'].tolist()
    assert answer['bundles']['cut'] == bundles['streamlines_disconnected'].tolist()
    parcels = lesion.parcels(custom[1:])
    assert answer['atlases'][0]['value'] == [
        None if np.isnan(value) else value for value in parcels.disconnection.tolist()
    ]
    assert answer['atlases'][0]['cut'] == parcels.support['streamlines_disconnected'].tolist()
    np.testing.assert_array_equal(answer['map'], on_page(lesion.map))
    sample = lesion.sample(SAMPLE)
    assert answer['lengths'].tolist() == [len(line) for line in sample]
    np.testing.assert_array_equal(answer['positions'].reshape(-1, 3), np.concatenate(sample))


# ---------------------------------------------------------------- answers


def test_a_drawing_a_file_and_a_listed_mask(explorer, about, tractogram, synthetic, custom):
    ball = drawing(about, (-26, -10, 16), 8)
    image = make(ball, np.array(about['affine']))
    answer = explorer.answer(ball.tobytes('F'))
    check_answer(answer, tractogram.disconnect(image), custom)
    assert answer['summary']['streamlines_disconnected'] > 300

    flat = ball.ravel(order='F')
    marked = np.flatnonzero(flat)
    part = explorer.answer(flat[marked[0] : marked[-1] + 1].tobytes(), first=marked[0])
    assert {key: part[key] for key in ('summary', 'bundles', 'atlases')} == {
        key: answer[key] for key in ('summary', 'bundles', 'atlases')
    }
    assert 'mask' not in part

    same = explorer.answer(encoded(image), name='lesion.nii.gz')
    np.testing.assert_array_equal(same['mask'], ball.ravel(order='F'))
    assert np.abs(np.array(same['middle']) - (-26, -10, 16)).max() <= 1
    for key in ('summary', 'bundles', 'atlases'):
        assert same[key] == answer[key]

    for row, mask in enumerate(sorted(synthetic.masks)):
        assert about['masks'][row] == mask.name
        found = explorer.answer(row=row)
        check_answer(found, tractogram.disconnect(mask), custom)
        assert found['command'].startswith(f'lacuna run snm {mask} OUTPUT_DIR --connectome-path')
        assert found['mask'].sum() > 10


def test_nothing_drawn(explorer):
    answer = explorer.answer()
    assert answer['summary']['streamlines_disconnected'] == 0
    assert not answer['map'].any()
    assert not len(answer['lengths'])
    assert not any(answer['bundles']['cut'])


def test_a_bundle_and_where_it_is(explorer, about, tractogram):
    groups = tractogram.bundles()[1]
    assert about['bundles']['names'] == list(groups.names)
    row = int(np.argmax(groups.sizes))
    found = unframed(explorer.ask(f'bundle/{row}')[1])
    points = found['positions'].reshape(-1, 3)
    assert 100 <= len(found['lengths']) <= groups.sizes[row]
    # the place to go to is on the bundle
    near = np.linalg.norm(points - about['bundles']['centres'][row], axis=1).min()
    assert near < 3
    assert explorer.ask(f'bundle/{len(groups)}')[0] == 422


def test_a_saved_mask_gives_the_same_in_a_run(explorer, about, lacuna_here, tmp_path):
    ball = drawing(about, (-26, -6, 20), 7)
    answer = explorer.answer(ball.tobytes('F'))
    status, content = explorer.ask('save?subject=07&label=sphere', ball.tobytes('F'))
    assert status == 200, content
    said = json.loads(content)
    mask = explorer.saved / 'masks/sub-07/anat/sub-07_space-MNI152NLin6Asym_label-sphere_mask.nii.gz'
    assert said['mask'] == str(mask)
    assert Path(said['report']).stat().st_size > 10_000
    image = nb.load(mask)
    np.testing.assert_array_equal(np.asarray(image.dataobj), ball)
    np.testing.assert_array_equal(image.affine, about['affine'])

    other = tmp_path / 'derivatives'
    command = said['command'].replace(said['results'], str(other)).split()
    assert lacuna_here(*command[1:], '--no-report', '--nprocs', '1').returncode == 0
    for results in (said['results'], other):
        (found,) = lacuna.load_results(results)
        assert found.summary == answer['summary']
        assert found.bundles()['value'].tolist() == answer['bundles']['value']
        values = found.parcels(ATLAS)
        assert [None if np.isnan(each) else each for each in values] == answer['atlases'][0]['value']
        np.testing.assert_array_equal(on_page(found.map), answer['map'])

    # the same again is nothing new; another mask of that name is refused, and so are labels that BIDS does not have
    assert explorer.ask('save?subject=07&label=sphere', ball.tobytes('F'))[0] == 200
    taken = explorer.ask('save?subject=07&label=sphere', drawing(about, (30, 0, 20), 5).tobytes('F'))
    odd = explorer.ask('save?subject=../07&label=sphere', ball.tobytes('F'))
    for status, content in (taken, odd):
        assert status == 422
        assert len(content.splitlines()) == 1
    assert {path.name for path in explorer.saved.iterdir()} == {'derivatives', 'masks'}


# ---------------------------------------------------------------- refusals


def test_who_is_not_answered(explorer):
    token = explorer.path.strip('/')
    origin = f'http://{explorer.host}'
    port = explorer.host.split(':')[1]
    cases = [
        (404, {'root': '/'}),
        (404, {'root': '/about'}),
        (404, {'root': f'/{token[:-1]}x/', 'path': 'about'}),
        (403, {'path': 'about', 'headers': {'Host': f'lesions.example:{port}'}}),
        (403, {'path': 'about', 'headers': {'Host': '127.0.0.1'}}),
        (403, {'path': 'about', 'headers': {'Origin': 'https://lesions.example'}}),
        (403, {'path': 'answer', 'body': b'', 'headers': {'Origin': 'null'}}),
        (403, {'path': 'answer', 'method': 'POST', 'body': b'', 'headers': {'Origin': f'{origin}.example'}}),
        (403, {'path': 'about', 'method': 'OPTIONS', 'headers': {'Origin': 'https://lesions.example'}}),
        *(
            (404, {'path': path})
            for path in (
                '../../../../../etc/passwd',
                '..%2f..%2f..%2fetc%2fpasswd',
                '/etc/passwd',
                'masks',
                'bundle/..%2f1',
                'session.py',
            )
        ),
        (405, {'path': 'answer'}),
        (422, {'path': 'answer', 'body': bytes(3 * 2**20)}),
        (422, {'path': 'answer?first=902629', 'body': bytes(1)}),
        (422, {'path': 'answer?first=-1', 'body': bytes(1)}),
        (422, {'path': f'answer?first={"9" * 5000}', 'body': bytes(1)}),
        (422, {'path': 'answer?row=99', 'body': b''}),
        (422, {'path': 'answer?row=-1', 'body': b''}),
        (422, {'path': 'answer?row=../x', 'body': b''}),
        (422, {'path': 'answer?name=a.nii.gz', 'body': b'\x1f\x8bbroken'}),
        (422, {'path': 'answer?name=../../../../tmp/a.nii', 'body': b'broken'}),
        (422, {'path': 'answer?name=..', 'body': b'broken'}),
        (422, {'path': 'answer?name=a%00b.nii', 'body': b'broken'}),
        (422, {'path': f'answer?name={"a" * 300}.nii', 'body': b'broken'}),
    ]
    for status, asked in cases:
        found, content = explorer.ask(**asked)
        assert found == status, (asked, content)
        assert len(content.splitlines()) == 1, asked
        assert b'root:' not in content
    assert explorer.ask('about')[0] == 200
    assert explorer.process.poll() is None
    assert list(explorer.scratch.glob('lacuna-explore-*')) == []


def test_a_mask_of_another_space_is_refused_before_a_transform_is_fetched(explorer, about):
    image = encoded(make(drawing(about, (-26, -10, 16), 8), np.array(about['affine'])))
    status, content = explorer.ask('answer?name=a_space-MNI152NLin2009cAsym_mask.nii.gz', image)
    assert status == 422
    assert b'--mask-space' in content


def test_a_graded_mask_is_refused_with_what_there_is_to_do(explorer, about):
    """The page has no options for it, so none is advised."""
    graded = 0.5 * drawing(about, (-26, -10, 16), 8).astype(np.float32)
    status, content = explorer.ask(
        'answer?name=graded.nii.gz', encoded(make(graded, np.array(about['affine'])))
    )
    assert status == 422
    assert len(content.splitlines()) == 1
    for word in (b'graded.nii.gz', b'0.5', b'lacuna bidsify --binarize'):
        assert word in content
    assert b'--graded-masks' not in content


def test_two_pages_at_once(explorer, about, tractogram):
    """Each gets the answers to its own questions."""
    balls = [drawing(about, centre, 8) for centre in ((-26, -10, 16), (26, -10, 16))]
    cut = [
        tractogram.disconnect(make(ball, np.array(about['affine']))).summary['streamlines_disconnected']
        for ball in balls
    ]
    assert cut[0] != cut[1]
    asked = [0, 1] * 8
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda which: explorer.answer(balls[which].tobytes('F')), asked)
    assert [each['summary']['streamlines_disconnected'] for each in answers] == [
        cut[which] for which in asked
    ]


def test_uploads_have_a_limit(explorer):
    """Said to be two gigabytes, and sent in pieces without saying how many there will be."""
    status, content = explorer.ask('answer?name=a.nii', b'', headers={'Content-Length': str(2 * 2**30)})
    assert (status, len(content.splitlines())) == (422, 1)
    piece = bytes(2**22)

    def pieces():
        for _ in range(MOST_BYTES // len(piece) + 8):
            yield piece

    try:
        status, content = explorer.ask(
            'answer?name=a.nii', pieces(), headers={'Transfer-Encoding': 'chunked'}
        )
    except (BrokenPipeError, ConnectionResetError):
        status = 422  # it has hung up
    assert status == 422
    assert explorer.ask('about')[0] == 200


def test_the_page_is_told_to_load_nothing_else(explorer):
    with urlopen(explorer.address, timeout=HANGS) as response:  # noqa: S310
        page, headers = response.read().decode(), response.headers
    assert "default-src 'none'" in headers['Content-Security-Policy']
    assert 'http' not in headers['Content-Security-Policy']
    assert headers['Referrer-Policy'] == 'no-referrer'
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]*//', page)


def test_a_page_that_may_not_write(synthetic, tmp_path):
    scratch = tmp_path / 'scratch'
    scratch.mkdir()
    running = Explorer('--connectome-path', synthetic.connectome, '--bundles', 'none', scratch=scratch)
    try:
        about = json.loads(running.ask('about')[1])
        ball = drawing(about, (-26, -10, 16), 6).tobytes('F')
        assert (about['saving'], about['bundles'], about['atlases']) == (None, None, [])
        assert running.answer(ball)['bundles'] is None
        assert running.ask('save?subject=01&label=lesion', ball)[0] == 422
    finally:
        ended = running.end()
    assert ended == (0, '', '')


def test_an_atlas_that_is_edited_meanwhile(synthetic, tmp_path):
    """Numbers never stand beside the names of other parcels."""
    (scratch := tmp_path / 'scratch').mkdir()
    lines = synthetic.labels.read_text().splitlines(keepends=True)
    (tmp_path / 'labels.tsv').write_text(''.join(lines))
    atlas = (ATLAS, synthetic.parcellation, tmp_path / 'labels.tsv', 'MNI152NLin6Asym')
    running = Explorer(
        '--connectome-path', synthetic.connectome, '--custom-parcellation', *atlas, scratch=scratch
    )
    try:
        ball = drawing(json.loads(running.ask('about')[1]), (-26, -10, 16), 6).tobytes('F')
        before = running.answer(ball)['atlases']
        value, rest = lines[1].split('\t', 1)
        other, ending = lines[2].split('\t', 1)
        (tmp_path / 'labels.tsv').write_text(
            ''.join([lines[0], f'{value}\t{ending}', f'{other}\t{rest}', *lines[3:]])
        )
        assert running.ask('answer', ball)[0] == 422
        (tmp_path / 'labels.tsv').write_text(''.join(lines))
        assert running.answer(ball)['atlases'] == before
    finally:
        ended = running.end()
    assert ended == (0, '', '')


def test_what_stops_it_before_it_starts(lacuna_here, synthetic, tmp_path):
    given = ('explore', '--connectome-path', synthetic.connectome, '--no-browser')
    for wrong in ((tmp_path / 'nothing',), ('--port', '99999'), ('--mask-space', 'talairach')):
        done = lacuna_here(*given, *wrong)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1


# ---------------------------------------------------------------- in a browser


@pytest.fixture(scope='module')
def page(browser, explorer):
    """The page, ready; what it says, and asks of others, is kept."""
    faults, others = [], []
    context = browser.new_context(viewport={'width': 1280, 'height': 800}, color_scheme='dark')
    opened = context.new_page()
    opened.on('console', lambda said: faults.append(said.text) if said.type == 'error' else None)
    opened.on('pageerror', lambda error: faults.append(str(error)))
    ours = (explorer.address, 'data:', 'blob:')
    opened.on('request', lambda asked: None if asked.url.startswith(ours) else others.append(asked.url))
    opened.goto(explorer.address)
    opened.locator('body[data-state]').wait_for()
    assert opened.evaluate('lacunaExplorer.error') is None
    yield opened
    context.close()
    assert faults == []
    assert others == []


def after(page, act):
    """Do something and wait for the answer to it; returns that, without arrays."""
    before = page.evaluate('lacunaExplorer.answers')
    act()
    page.wait_for_function(
        'before => lacunaExplorer.answers !== before && !lacunaExplorer.busy()', arg=before
    )
    assert page.evaluate('lacunaExplorer.fault') in ('', None)
    return page.evaluate('({...lacunaExplorer.answer, map: 0, mask: 0, positions: 0, lengths: 0})')


def voxels_drawn(page) -> np.ndarray:
    return np.array(page.evaluate('[...lacunaExplorer.nv.drawBitmap]'), np.uint8)


def pixels(page) -> np.ndarray:
    return picture(page, 'redraw({now: true, all: true})')


@pytest.mark.slow
def test_the_sphere_goes_along_and_is_seen(page, about, tractogram):
    rows = page.locator('#bundles .row:visible')
    sphere = after(page, page.locator('[data-tool=sphere]').click)
    first = rows.all_text_contents()
    everything = pixels(page)
    assert (everything.max(axis=2) > 40).mean() > 0.1
    page.locator('#show-streamlines').uncheck()
    assert (np.abs(pixels(page) - everything).max(axis=2) > 8).mean() > 0.0005

    page.locator('#view').select_option('0')  # without a graphics card, 3D takes nearly all of the time
    moved = after(page, lambda: [page.keyboard.press(key) for key in ('ArrowUp', 'ArrowUp', 'PageUp', '+')])
    assert moved['summary'] != sphere['summary']
    assert rows.all_text_contents() != first
    lesion = tractogram.disconnect(
        make(voxels_drawn(page).reshape(about['shape'], order='F'), np.array(about['affine']))
    )
    assert moved['summary'] == lesion.summary
    assert moved['bundles']['value'] == lesion.bundles().disconnection.tolist()


_DROPPED = """content => {
  const carried = new DataTransfer();
  carried.items.add(new File([Uint8Array.from(atob(content), (each) => each.charCodeAt(0))], 'mine.nii.gz'));
  return carried;
}"""


@pytest.mark.slow
def test_a_file_is_used_as_it_is_until_it_is_drawn_on(page, tractogram, tmp_path):
    block, affine = np.zeros((60, 60, 60), np.uint8), np.diag([1.5, 1.5, 1.5, 1])
    block[20:34, 24:40, 20:34], affine[:3, 3] = 1, (-70, -60, -20)
    nb.save(make(block, affine), tmp_path / 'mine.nii.gz')
    content = base64.b64encode((tmp_path / 'mine.nii.gz').read_bytes()).decode()
    dropped = page.evaluate_handle(_DROPPED, content)
    opened = after(page, lambda: page.locator('canvas').dispatch_event('drop', {'dataTransfer': dropped}))
    assert opened['summary'] == tractogram.disconnect(tmp_path / 'mine.nii.gz').summary
    assert page.locator('#title').text_content() == 'mine.nii.gz'
    shown = voxels_drawn(page)
    page.locator('[data-tool=eraser]').click()
    erased = after(page, lambda: page.locator('canvas').press(' '))
    assert erased['summary']['mask_voxels'] < shown.sum()
    undone = after(page, page.locator('#undo').click)
    assert undone['summary']['mask_voxels'] == shown.sum()


@pytest.mark.slow
def test_a_line_drawn_with_the_mouse(page):
    cleared = after(page, page.locator('#clear').click)
    assert cleared['summary']['mask_voxels'] == 0
    page.locator('[data-tool=brush]').click()
    box = page.locator('canvas').bounding_box()
    middle = box['x'] + box['width'] / 2, box['y'] + box['height'] / 2

    def draw():
        page.mouse.move(middle[0] - 100, middle[1])
        page.mouse.down()
        page.mouse.move(middle[0] + 100, middle[1], steps=4)
        page.mouse.up()

    drawn = after(page, draw)
    assert drawn['summary']['mask_voxels'] > 20
    assert drawn['summary']['streamlines_disconnected'] > 0
    erased = after(page, page.locator('#undo').click)
    assert erased['summary']['mask_voxels'] == 0


def where(page) -> np.ndarray:
    return np.array(page.evaluate('crosshair().mm'))


@pytest.mark.slow
def test_pointing_going_there_and_comparing(page, about):
    first = after(page, page.locator('[data-tool=sphere]').click)
    page.locator('#hold').click()
    page.locator('#view').select_option('4')
    row = page.locator('#bundles .row:visible').first
    which = int(row.get_attribute('data-row'))
    before = pixels(page)
    with page.expect_response('**/bundle/*'):
        row.hover()
    assert page.evaluate('which => bundleMeshes.get(which)?.visible !== false', which)
    page.wait_for_function('which => bundleMeshes.get(which)?.visible', arg=which)
    shown = pixels(page)
    white = (shown.min(axis=2) > 200) & (before.min(axis=2) <= 200)
    assert white.mean() > 0.002  # its streamlines
    gone = after(page, row.click)
    assert np.abs(where(page) - about['bundles']['centres'][which]).max() < 0.01
    assert gone['bundles']['cut'][which] > 0

    # beside the numbers there are those that were held
    held = page.locator('.tiles .held').all_text_contents()
    assert held[1] == f'held: {first["summary"]["streamlines_disconnected"]:,}'
    best = int(page.locator('#bundles .row:visible').first.get_attribute('data-row'))
    mark = page.locator('#bundles .row:visible .mark').first.evaluate('mark => parseFloat(mark.style.left)')
    assert abs(mark - first['bundles']['value'][best]) < 0.01
    parcel = page.locator('#parcels .row:visible').first
    number = int(parcel.get_attribute('data-row'))
    after(page, lambda: parcel.press('Enter'))
    assert np.abs(where(page) - about['atlases'][0]['centres'][number]).max() < 0.01
    page.locator('#hold').click()
    assert page.locator('.tiles .held').all_text_contents() == ['', '', '']
    page.locator('#view').select_option('0')


@pytest.mark.slow
def test_what_one_does_meanwhile_is_kept(page):
    """An answer that comes late changes nothing that was done since it was asked for."""
    held = []
    page.route('**/answer?row=0', lambda route: held.append(route))
    after(page, page.locator('#clear').click)
    with page.expect_request('**/answer?row=0'):
        page.locator('#masks').select_option('0')
    page.locator('[data-tool=brush]').click()
    page.locator('canvas').press(' ')
    drawn = voxels_drawn(page)
    assert drawn.any()
    shown = after(page, lambda: held[0].continue_())
    np.testing.assert_array_equal(voxels_drawn(page), drawn)
    assert shown['summary']['mask_voxels'] == drawn.sum()
    page.unroute('**/answer?row=0')

    # a bundle that one points at again before it is there is drawn once
    before = page.evaluate('lacunaExplorer.nv.meshes.length')
    page.evaluate('() => { bundleMeshes.clear(); point(0); point(null); point(0); }')
    page.wait_for_function('() => bundleMeshes.get(0)?.visible')
    page.evaluate('() => point(1)')
    page.wait_for_function('() => bundleMeshes.get(1)?.visible')
    assert page.evaluate('lacunaExplorer.nv.meshes.length') == before + 2
    assert not page.evaluate('bundleMeshes.get(0).visible')
    page.evaluate('() => point(null)')


@pytest.mark.slow
def test_all_by_keys(page):
    page.locator('canvas').focus()
    after(page, lambda: page.keyboard.press('s'))
    page.keyboard.press('l')
    start = where(page)
    page.keyboard.press('b')
    for key, direction in (
        ('ArrowRight', (1, 0, 0)),
        ('ArrowUp', (0, 1, 0)),
        ('PageUp', (0, 0, 1)),
        ('ArrowLeft', (-1, 0, 0)),
        ('ArrowDown', (0, -1, 0)),
        ('PageDown', (0, 0, -1)),
    ):
        page.keyboard.press(key)
        np.testing.assert_allclose(where(page) - start, 2 * np.array(direction), atol=0.01)
        start = where(page)
    cleared = after(page, lambda: page.keyboard.press('Delete'))
    assert cleared['summary']['mask_voxels'] == 0
    page.keyboard.press('+')
    drawn = after(page, lambda: page.keyboard.press(' '))
    assert drawn['summary']['mask_voxels'] > 3
    assert after(page, lambda: page.keyboard.press('Control+z'))['summary']['mask_voxels'] == 0
    turned = page.evaluate('lacunaExplorer.nv.scene.renderAzimuth')
    page.keyboard.press('Shift+ArrowRight')
    assert page.evaluate('lacunaExplorer.nv.scene.renderAzimuth') == (turned + 10) % 360
    for key, box in (('n', '#show-lesion'), ('m', '#show-map'), ('t', '#show-streamlines')):
        before = page.locator(box).is_checked()
        for checked in (not before, before):
            page.keyboard.press(key)
            assert page.locator(box).is_checked() == checked
    page.keyboard.press('v')
    assert page.locator('#view').input_value() != '0'
    page.keyboard.press('?')
    assert page.locator('#help-page').is_visible()
    page.keyboard.press('Escape')
    assert not page.locator('#help-page').is_visible()
    page.locator('#view').select_option('0')


@pytest.mark.slow
def test_saved_from_the_page(page, explorer):
    after(page, page.locator('[data-tool=sphere]').click)
    answer = after(page, lambda: page.keyboard.press('ArrowUp'))
    shown = np.array(page.evaluate('[...lacunaExplorer.answer.map]'))
    page.keyboard.press('w')
    page.locator('#subject').fill('09')
    with page.expect_response('**/save?*'):
        page.locator('#save-now').click()
    page.locator('#save-files').wait_for()
    page.keyboard.press('Escape')
    (found,) = (each for each in lacuna.load_results(explorer.saved / 'derivatives') if each.subject == '09')
    assert found.summary == answer['summary']
    assert found.bundles()['value'].tolist() == answer['bundles']['value']
    values = found.parcels(ATLAS)
    assert [None if np.isnan(each) else each for each in values] == answer['atlases'][0]['value']
    np.testing.assert_array_equal(on_page(found.map), shown)

    # and the command for it
    page.keyboard.press('c')
    page.context.grant_permissions(['clipboard-read', 'clipboard-write'])
    page.locator('#copy').click()
    copied = page.evaluate('navigator.clipboard.readText()')
    page.keyboard.press('Escape')
    assert copied == page.evaluate('lacunaExplorer.saved.command')
    assert copied.split()[3] == str(found.mask.path)


@pytest.mark.slow
def test_two_browsers_at_once(page, opened, explorer, about, tractogram):
    other = opened(explorer.address)
    other.locator('body[data-answers]').wait_for()
    pages = (page, other)
    for each, place in zip(pages, ('[-26, -10, 16]', '[26, -10, 16]'), strict=True):
        each.locator('#view').select_option('0')
        after(each, each.locator('[data-tool=sphere]').click)
        each.evaluate(f'goTo({place})')
    for key in ('ArrowUp', 'PageUp', 'ArrowUp'):
        for each in pages:
            each.keyboard.press(key)
    for each in pages:
        shown = after(each, lambda each=each: each.keyboard.press('PageDown'))
        drawn = voxels_drawn(each).reshape(about['shape'], order='F')
        assert shown['summary'] == tractogram.disconnect(make(drawn, np.array(about['affine']))).summary


@pytest.mark.slow
def test_on_a_tablet(opened, explorer):
    tablet = opened(explorer.address, width=1024, height=768, touch=True)
    tablet.locator('body[data-answers]').wait_for()
    tablet.locator('#view').select_option('0')
    box = tablet.locator('canvas').bounding_box()
    middle = box['x'] + box['width'] / 2, box['y'] + box['height'] / 2
    tablet.locator('[data-tool=look]').click()
    tablet.touchscreen.tap(middle[0] + 60, middle[1])
    assert where(tablet)[0] > 0
    tablet.touchscreen.tap(middle[0] - 60, middle[1])
    assert where(tablet)[0] < 0
    after(tablet, tablet.locator('#clear').click)
    tablet.locator('[data-tool=brush]').click()
    drawn = after(tablet, lambda: tablet.touchscreen.tap(middle[0] - 60, middle[1]))
    assert drawn['summary']['mask_voxels'] > 0
    assert tablet.evaluate('document.documentElement.scrollWidth') <= 1024


@pytest.mark.slow
def test_it_fits_and_is_light_or_dark(page):
    def paper():
        return max(
            map(int, page.evaluate('getComputedStyle(document.body).backgroundColor')[4:-1].split(','))
        )

    assert paper() < 60
    page.keyboard.press('d')
    assert paper() > 200
    for width in (1280, 1024, 800):
        page.set_viewport_size({'width': width, 'height': 900})
        assert page.evaluate('document.documentElement.scrollWidth') <= width
