"""The page of all lesions as ``lacuna explore`` serves it: who has a place lesioned, who has it disconnected."""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import nibabel as nb
import numpy as np
import pytest
import requests
from helpers.explorer import Explorer, unframed
from helpers.report_data import SPACE, write_results

from lacuna.bids.results import load_results
from lacuna.errors import InputError
from lacuna.explorer.cohort import Cohort
from lacuna.explorer.server import prepared
from lacuna.reports.group import AT_A_PLACE, write_group_report
from lacuna.reports.participant import make_report

PLACES = {'01': (-28.0, 0.0, 20.0), '02': (-24.0, 4.0, 20.0), '03': (30.0, -20.0, 30.0)}


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp('cohort')
    root = folder / 'derivatives'
    for subject, centre in PLACES.items():
        write_results(root, folder / 'masks', f'sub-{subject}_label-lesion', centre=centre)
    make_report(root, '01')
    write_group_report(root, root / 'group.html')
    (folder / 'secret.html').write_text('secret')
    (root / 'secret.html').symlink_to(folder / 'secret.html')
    return root


@pytest.fixture(scope='module')
def explorer(results, tmp_path_factory):
    before = {path: path.stat().st_mtime_ns for path in results.rglob('*')}
    running = Explorer(results, scratch=tmp_path_factory.mktemp('scratch'))
    yield running
    assert running.end() == (0, '', '')
    assert {path: path.stat().st_mtime_ns for path in results.rglob('*')} == before


def value_at(path, mm) -> float:
    image = nb.load(path)
    voxel = np.rint(nb.affines.apply_affine(np.linalg.inv(image.affine), mm)).astype(int)
    return float(image.dataobj[tuple(voxel)])


def test_a_place_is_that_of_the_files(results):
    """Asked voxel by voxel, of the files themselves."""
    cohort = Cohort(load_results(results))
    lesions = load_results(results)
    overlap, mean = (cohort.sums[name].reshape(cohort.page.shape, order='F') for name in ('overlap', 'mean'))
    random = np.random.default_rng(0)
    places = [np.array(centre) + random.normal(0, 6, 3) for centre in PLACES.values() for _ in range(12)]
    several = 0
    for place in places:
        voxel = np.rint(nb.affines.apply_affine(np.linalg.inv(cohort.page.affine), place)).astype(int)
        mm = nb.affines.apply_affine(cohort.page.affine, voxel)
        found = cohort.at(*voxel.tolist())
        holding = [row for row, each in enumerate(lesions) if value_at(each.mask.path, mm) > 0]
        percent = [value_at(each.path('disconnection_map'), mm) for each in lesions]
        assert [row for row, held in zip(found['rows'], found['lesioned'], strict=True) if held] == holding
        assert found['rows'] == [row for row in range(3) if row in holding or percent[row] > 0]
        for row, shown in zip(found['rows'], found['percent'], strict=True):
            assert abs(shown - percent[row]) <= 0.5
        assert abs(overlap[tuple(voxel)] / 2 - 100 * len(holding) / 3) <= 0.25
        assert abs(mean[tuple(voxel)] / 2 - np.mean(percent)) <= 0.75
        several += len(holding) > 1
    assert several


def test_a_mask_that_has_changed_is_left_out_and_said(tmp_path):
    root = tmp_path / 'derivatives'
    mask = write_results(root, tmp_path / 'masks', 'sub-01_label-lesion')
    image = nb.load(mask)
    data = np.asarray(image.dataobj).copy()
    data[0, 0, 0] = 1
    nb.save(nb.Nifti1Image(data, image.affine), mask)
    cohort = Cohort(load_results(root))
    (lesion,) = cohort.about()['lesions']
    assert 'changed' in lesion['problems']['mask']
    assert not cohort.sums['overlap'].any()
    assert cohort.sums['mean'].any()


def test_a_damaged_map_is_left_out_and_said(tmp_path):
    root = tmp_path / 'derivatives'
    for subject, centre in PLACES.items():
        write_results(root, tmp_path / 'masks', f'sub-{subject}_label-lesion', centre=centre)
    alone = Cohort(load_results(root)[:1]).sums
    for subject in ('02', '03'):
        (path,) = root.rglob(f'sub-{subject}_*_desc-disconnectionpct.nii.gz')
        path.write_bytes(path.read_bytes()[:-200])
    cohort = Cohort(load_results(root))
    assert [set(each['problems']) for each in cohort.about()['lesions']] == [set(), {'map'}, {'map'}]
    np.testing.assert_array_equal(cohort.sums['mean'], alone['mean'])
    assert cohort.sums['overlap'].max() == 133  # their masks count


def test_lesions_over_another_tractogram_are_said(results, tmp_path):
    root = shutil.copytree(results, tmp_path / 'derivatives')
    (sidecar,) = root.rglob('sub-03_*_desc-disconnectionpct.json')
    facts = json.loads(sidecar.read_text())
    facts['Tractogram']['SHA256'] = '0' * 64
    sidecar.write_text(json.dumps(facts))
    assert Cohort(load_results(results)).about()['doubts'] == []
    (said,) = Cohort(load_results(root)).about()['doubts']
    assert 'sub-03' in said
    assert 'tractogram' in said


def test_lesions_are_read_once_whoever_asks_and_no_more_when_it_ends(results, monkeypatch):
    looked, look = [], Cohort._read

    def counted(self, lesion):
        looked.append(lesion.stem)
        return look(self, lesion)

    monkeypatch.setattr(Cohort, '_read', counted)
    cohort = Cohort(load_results(results))
    assert cohort.progress == (0, 3)
    with ThreadPoolExecutor(4) as pool:
        sums = list(pool.map(lambda _: cohort.sums['overlap'].tolist(), range(4)))
    assert sums[1:] == sums[:-1]
    assert sorted(looked) == [each.stem for each in cohort.lesions]
    assert cohort.progress == (3, 3)
    ended = Cohort(load_results(results))
    ended.close()
    with pytest.raises(InputError):
        ended.about()
    assert ended.progress == (0, 3)


def test_it_ends_quietly_while_an_answer_is_awaited(results, monkeypatch, capfd, caplog):
    """As with Ctrl-C; that something breaks is said, and that it breaks off is not."""
    asked, goes_on = threading.Event(), threading.Event()

    def waiting(_):
        asked.set()
        goes_on.wait()

    monkeypatch.setattr(Cohort, 'about', waiting)
    monkeypatch.setattr(Cohort, 'sums', property(lambda _: {}['broken']))
    page = prepared(None, [Cohort(load_results(results))])
    with page as (server, listening, address), ThreadPoolExecutor() as pool:
        served = pool.submit(server.run, sockets=[listening])
        failed = pool.submit(requests.get, f'{address}results/0/lesions/sums', timeout=60)
        answer = pool.submit(requests.get, f'{address}results/0/lesions/about', timeout=60)
        try:
            assert failed.result().status_code == 500
            assert asked.wait(60)
        finally:
            server.should_exit = True
            served.result()
            goes_on.set()
    assert answer.exception() or answer.result().status_code >= 500
    (said,) = caplog.records
    assert said.exc_info[0] is KeyError
    assert capfd.readouterr() == ('', '')


def test_what_is_served_of_a_folder_and_what_not(explorer, results):
    status, content = explorer.ask('results/0/group.html')
    assert status == 200
    assert b'<iframe src="lesions/"' in content
    assert AT_A_PLACE.encode() not in content
    assert AT_A_PLACE in (results / 'group.html').read_text()
    assert explorer.ask('results/0/sub-01.html')[0] == 200
    figure = next(results.rglob('*_figure.png')).relative_to(results)
    assert explorer.ask(f'results/0/{figure}')[1] == (results / figure).read_bytes()
    map_file = next(results.rglob('sub-*.nii.gz')).relative_to(results)
    wrong = [
        (404, 'results/0/secret.html'),
        (404, 'results/0/../../secret.html'),
        (404, 'results/0/..%2f..%2fsecret.html'),
        (404, 'results/0/dataset_description.json'),
        (404, f'results/0/{map_file}'),
        (404, 'results/0/sub-01/'),
        (404, 'results/1/group.html'),
        (404, 'about'),
        (404, 'results/0/lesions/one/-1'),
        (422, 'results/0/lesions/one/3'),
        (422, 'results/0/lesions/at'),
        (422, 'results/0/lesions/at?x=91&y=0&z=0'),
        (422, 'results/0/lesions/at?x=-1&y=0&z=0'),
        (422, f'results/0/lesions/at?x={"9" * 5000}&y=0&z=0'),
    ]
    for status, path in wrong:
        found, content = explorer.ask(path)
        assert (found, len(content.splitlines())) == (status, 1), path
        assert b'secret' not in content
    # without the origin of the page nothing is asked: that of a report is none
    for path in ('results/0/lesions/about', 'results/0/lesions/sums'):
        assert explorer.ask(path, headers={'Origin': 'null'})[0] == 403
        assert explorer.ask(path)[0] == 200
    assert unframed(explorer.ask('results/0/lesions/sums')[1])['overlap'].max() == 133


@pytest.mark.slow
def test_click_a_voxel_in_the_page_of_all_lesions(explorer, opened):
    page = opened(f'{explorer.address}results/0/group.html')
    frame = page.frame_locator('iframe')
    frame.locator('body[data-state=ready][data-answers]').wait_for()
    inside = page.frames[1]
    # it begins where most lesions are
    assert inside.evaluate('lacunaExplorer.here.lesioned') == [0, 1]
    assert frame.locator('#lesioned').text_content() == '2 of 3'
    before = inside.evaluate('lacunaExplorer.answers')
    canvas = frame.locator('canvas')
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.click(box['x'] + box['width'] * 0.3, box['y'] + box['height'] * 0.3)
    inside.wait_for_function('before => lacunaExplorer.answers > before', arg=before)
    at = inside.evaluate('crosshair()')
    asked = json.loads(explorer.ask('results/0/lesions/at?x={}&y={}&z={}'.format(*at['voxel']))[1])
    lesioned = [row for row, held in zip(asked['rows'], asked['lesioned'], strict=True) if held]
    assert inside.evaluate('lacunaExplorer.here.lesioned') == lesioned
    # back by keys, with all that a keyboard needs
    inside.evaluate('lookAt([-28, 0, 20]); moved()')
    canvas.press('ArrowRight')
    frame.locator('.row.lesioned').nth(1).wait_for()
    row = frame.locator('.row[data-row="1"]')
    row.focus()
    inside.evaluate('tell()')  # as an answer that comes meanwhile
    assert inside.evaluate('document.activeElement.dataset.row') == '1'
    row.press('Enter')
    inside.wait_for_function('() => lacunaExplorer.nv.drawBitmap.some(Boolean)')
    shown = unframed(explorer.ask('results/0/lesions/one/1')[1])
    assert inside.evaluate('[...lacunaExplorer.nv.drawBitmap]') == shown['mask'].tolist()
    canvas.press('a')
    assert not inside.evaluate('lacunaExplorer.nv.drawBitmap.some(Boolean)')
    # the table of the page is sorted by its own script, and a report opens with its viewer
    page.locator('th button').nth(2).click()
    assert page.locator('th[aria-sort]').count() == 1
    page.locator('table.sortable a').first.click()
    page.wait_for_url('**/sub-01.html')
    assert page.evaluate('origin') == 'null'


@pytest.mark.slow
def test_the_page_counts_the_lesions_that_are_read(explorer, opened):
    held = []
    page = opened(
        f'{explorer.address}results/0/lesions/',
        prepare=lambda page: page.route('**/lesions/about', lambda route: held.append(route)),
    )
    page.get_by_text('3 of 3').wait_for()
    held[0].continue_()
    page.locator('body[data-state=ready][data-answers]').wait_for()
    assert '3 of 3' not in page.locator('#title').text_content()


@pytest.mark.slow
def test_the_page_on_disk_says_how_to_ask(results, browser):
    page = browser.new_page()
    page.goto((results / 'group.html').as_uri())
    assert 'lacuna explore' in page.locator('#At-a-place').text_content()
    assert page.locator('iframe').count() == 0
    page.close()


def test_a_tractogram_is_needed_for_all_but_results(lacuna_here, tmp_path):
    nb.save(
        nb.Nifti1Image(np.ones((3, 3, 3), np.uint8), np.eye(4)), tmp_path / f'a_space-{SPACE}_mask.nii.gz'
    )
    for given in ((), (tmp_path,), (tmp_path / f'a_space-{SPACE}_mask.nii.gz',)):
        done = lacuna_here('explore', *given, '--no-browser')
        assert done.returncode == 2
        assert '--connectome-path' in done.stderr or 'mask' in done.stderr
        assert len(done.stderr.splitlines()) == 1
