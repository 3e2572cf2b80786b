"""Reports in a real browser: nothing is asked of the network, pictures load, and the viewer draws what it should."""

import shutil

import numpy as np
import pytest
from helpers.canvas import picture
from helpers.report_data import write_bundles, write_results

from lacuna.bids.results import find_results
from lacuna.reports.group import write_group_report
from lacuna.reports.participant import make_report

pytestmark = pytest.mark.slow
STEM = 'sub-01_ses-01_label-lesion'


@pytest.fixture(scope='module')
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pages')
    root = folder / 'out'
    write_results(root, folder / 'in')
    make_report(root, '01')
    write_results(root, folder / 'in', 'sub-02_label-lesion', radius=5.0, sample=False)
    write_group_report(root, root / 'group.html')
    return root


@pytest.fixture
def opened(browser):
    """Open a page; what it says, and asks of others, is kept."""
    contexts, faults, asked = [], [], []

    def open_page(path, *, width=1280, dark=False):
        context = browser.new_context(
            viewport={'width': width, 'height': 800}, color_scheme='dark' if dark else 'light', offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on('console', lambda said: faults.append(said.text) if said.type == 'error' else None)
        page.on('pageerror', lambda error: faults.append(str(error)))
        page.on('request', lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
    assert [url[:80] for url in asked if not url.startswith(('file:', 'data:', 'blob:'))] == []


def pixels(page) -> np.ndarray:
    return picture(page, 'lacunaViewer.shown')


def natural_sizes(page) -> list[int]:
    return page.evaluate('[...document.images].map((image) => image.naturalWidth * image.complete)')


@pytest.mark.parametrize(('width', 'dark'), [(1280, False), (390, True)])
def test_a_report_shows_its_pictures(opened, pages, width, dark):
    page = opened(pages / 'sub-01.html', width=width, dark=dark)
    sizes = natural_sizes(page)
    assert len(sizes) == 7
    assert min(sizes) > 0
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    paper = page.evaluate('getComputedStyle(document.body).backgroundColor')
    assert (max(map(int, paper[4:-1].split(','))) < 60) == dark


def test_the_viewer_opens_in_the_report(opened, pages):
    page = opened(pages / 'sub-01.html')
    page.get_by_role('button', name='Open the viewer here').click()
    frame = page.frame_locator('iframe')
    frame.locator('body[data-state=ready]').wait_for()
    page.get_by_role('button', name='Close the viewer').click()
    assert page.locator('iframe').count() == 0


def test_the_viewer_draws_and_obeys(opened, pages):
    page = opened(pages / f'sub-01/figures/{STEM}_method-snm_desc-viewer.html')
    page.wait_for_function('lacunaViewer.ready || lacunaViewer.error')
    assert page.evaluate('lacunaViewer.error') is None
    everything = pixels(page)
    assert (everything.max(axis=2) > 40).mean() > 0.1
    shown = {}
    for name in ('streamlines', 'map', 'lesion', 'template'):
        box = page.locator(f'#show-{name}')
        box.uncheck()
        shown[name] = np.abs(pixels(page) - everything).max(axis=2)
        box.check()
        assert (np.abs(pixels(page) - everything).max(axis=2) > 8).mean() < 0.001, name
    changed = {name: (difference > 8).mean() for name, difference in shown.items()}
    assert min(changed.values()) > 0.0005, changed
    assert changed['template'] == max(changed.values())
    page.locator('#view').select_option('4')
    assert (np.abs(pixels(page) - everything).max(axis=2) > 8).mean() > 0.05
    # the lesion of this dataset is on the left
    assert page.evaluate('lacunaViewer.nv.frac2mm(lacunaViewer.nv.scene.crosshairPos)[0]') < -20


def test_the_viewer_hides_what_few_streamlines_support(opened, pages):
    (lesion,) = find_results(pages, '01')
    page = opened(pages / f'sub-01/figures/{STEM}_method-snm_desc-viewer.html')
    page.wait_for_function('lacunaViewer.ready || lacunaViewer.error')
    assert page.evaluate('lacunaViewer.error') is None
    page.locator('#show-streamlines').uncheck()
    page.locator('#show-lesion').uncheck()
    everything = pixels(page)

    def voxels():
        return page.evaluate('lacunaViewer.nv.volumes[1].img.reduce((sum, value) => sum + (value > 0), 0)')

    assert voxels() == lesion.summary['voxels_disconnected']
    page.locator('#supported').check()
    assert voxels() == lesion.summary['voxels_supported'] < lesion.summary['voxels_disconnected']
    assert (np.abs(pixels(page) - everything).max(axis=2) > 8).mean() > 0.0001
    page.locator('#supported').uncheck()
    assert (np.abs(pixels(page) - everything).max(axis=2) > 8).mean() < 0.0001


def test_bundles_can_be_chosen_in_the_viewer(opened, tmp_path):
    write_results(tmp_path / 'out', tmp_path / 'in')
    write_bundles(tmp_path / 'out')
    make_report(tmp_path / 'out', '01')
    page = opened(tmp_path / f'out/sub-01/figures/{STEM}_method-snm_desc-viewer.html')
    page.wait_for_function('lacunaViewer.ready || lacunaViewer.error')
    assert page.evaluate('lacunaViewer.error') is None
    page.locator('#view').select_option('4')
    names = page.locator('#bundle option').all_inner_texts()
    assert names[2:] == ['AF_L (80 %)', 'CC <b> (10 %)']
    for each in ('template', 'map', 'lesion'):
        page.locator(f'#show-{each}').uncheck()
    page.evaluate(
        'lacunaViewer.nv.setRenderAzimuthElevation(160, 60)'
    )  # from the side, lines across are dots
    pictures = {'direction': pixels(page)}
    visible = 'lacunaViewer.nv.meshes.filter((mesh) => mesh.visible).map((mesh) => mesh.offsetPt0.length - 1)'
    lines = {}
    for choice in ('all', '0', '1'):
        page.locator('#bundle').select_option(choice)
        pictures[choice] = pixels(page)
        lines[choice] = page.evaluate(visible)
    assert lines == {'all': [40, 10], '0': [40], '1': [10]}
    assert 'CC <b>: 10 %' in page.locator('#said').inner_text()
    # the crosshair is grey
    coloured = {name: picture[np.ptp(picture, axis=2) > 40] for name, picture in pictures.items()}
    drawn = {name: len(found) for name, found in coloured.items()}
    assert drawn['all'] > drawn['0'] > drawn['1'] > 0
    assert drawn['direction'] == pytest.approx(drawn['all'], rel=0.2)
    # a high share is orange, a low one blue, as in the map
    red, _, blue = coloured['0'].mean(axis=0).tolist()
    assert red > 1.5 * blue
    red, _, blue = coloured['1'].mean(axis=0).tolist()
    assert blue > 1.5 * red
    page.locator('#show-streamlines').uncheck()
    page.evaluate('lacunaViewer.shown')
    assert page.evaluate(visible) == []
    page.locator('#show-streamlines').check()
    page.locator('#bundle').select_option('')
    page.evaluate('lacunaViewer.shown')
    assert page.evaluate(visible) == [50]


def test_results_can_be_moved_and_what_is_left_behind_is_said(opened, pages, tmp_path):
    """A copy of the folder works, without the original; a page copied with its figures only shows all but the viewer."""
    moved = tmp_path / 'somewhere else' / 'résultats #1'
    shutil.copytree(pages, moved)
    page = opened(moved / 'sub-01.html')
    assert min(natural_sizes(page)) > 0
    page.get_by_role('button', name='Open the viewer here').click()
    page.frame_locator('iframe').locator('body[data-state=ready]').wait_for()
    scripts = page.frames[1].evaluate('[...document.scripts].map((script) => script.src).filter(Boolean)')
    assert len(scripts) == 2
    assert all(script.startswith((moved / 'assets').as_uri()) for script in scripts)


def test_a_page_with_its_figures_only(browser, pages, tmp_path):
    shutil.copy(pages / 'sub-01.html', tmp_path)
    shutil.copytree(pages / 'sub-01/figures', tmp_path / 'sub-01/figures')
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto((tmp_path / 'sub-01.html').as_uri())
    assert min(natural_sizes(page)) > 0
    page.goto((tmp_path / f'sub-01/figures/{STEM}_method-snm_desc-viewer.html').as_uri())
    page.wait_for_function('lacunaViewer.ready || lacunaViewer.error')
    assert '"assets"' in page.locator('#said').text_content()
    context.close()


def test_where_the_viewer_puts_things(opened, pages):
    """The percentages that the browser reads at places of the map, and the extent of the streamlines."""
    page = opened(pages / f'sub-01/figures/{STEM}_method-snm_desc-viewer.html')
    page.wait_for_function('lacunaViewer.ready || lacunaViewer.error')
    read = """([x, y, z]) => {
      const volume = lacunaViewer.nv.volumes.find((each) => each.name.startsWith('map'));
      const voxel = volume.mm2vox([x, y, z]);
      return volume.getValue(...voxel);
    }"""
    assert page.evaluate(read, [-28, 0, 20]) == 100  # the centre of the lesion
    assert page.evaluate(read, [-8, 0, 20]) == pytest.approx(45, abs=0.5)  # 11 mm from its edge
    assert page.evaluate(read, [28, 0, 20]) == 0
    x = page.evaluate('[...lacunaViewer.nv.meshes[0].pts].filter((_, i) => i % 3 === 0)')
    assert (min(x), max(x)) == pytest.approx((-30, 20), abs=0.01)


def test_the_table_of_the_group_can_be_sorted(opened, pages):
    page = opened(pages / 'group.html', width=390)
    assert min(natural_sizes(page)) > 0
    head, first = page.get_by_role('button', name='Volume (ml)'), page.locator('tbody tr td').first
    head.click()
    assert first.text_content() == 'sub-02_label-lesion'
    head.click()
    assert first.text_content() == STEM
    page.get_by_role('link', name=STEM).click()
    page.wait_for_url('**/sub-01.html')
