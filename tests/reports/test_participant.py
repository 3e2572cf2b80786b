"""Reports: what is computed for them, the figures, the pages, and the command."""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from threading import Thread

import numpy as np
import pandas as pd
import pytest
from helpers.report_data import ATLAS, PARCELS, SPACE, save, write_results

from lacuna.bids.failures import Failure
from lacuna.bids.outputs import Target
from lacuna.bids.results import LesionResults, find_results
from lacuna.bids.sidecars import FILES, file_record
from lacuna.bids.tables import read_parcels
from lacuna.cli import main
from lacuna.images.masks import read_mask
from lacuna.images.parcels import by_network, read_parcel
from lacuna.images.plausibility import measure_mask
from lacuna.reports import checks
from lacuna.reports.figures import brain as figures
from lacuna.reports.figures import connectivity as charts
from lacuna.reports.figures.frame import (
    ORIGIN,
    SHAPE,
    load_image,
    load_template,
    mask_in_frame,
    mask_to_grid,
    to_frame,
    to_grid,
)
from lacuna.reports.figures.group import by_network_means, heat_figure
from lacuna.reports.figures.style import drawing, png_bytes
from lacuna.reports.group import GroupRow, flagged, write_group_report
from lacuna.reports.participant import is_current, make_report, make_reports, write_page
from lacuna.reports.reportlets import _unsupported, draw_reportlets, publish_reportlets
from lacuna.streamlines.sample import median_spacing
from lacuna.testing import audit_graph
from lacuna.utils.names import sidecar_path
from lacuna.workflows.report import init_snm_report_wf

KINDS = {'summary', 'lesion', 'map', 'glass', 'streamlines', 'view', 'parcels', 'matrix', 'connectogram'}


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    """Results of two sessions of one participant and of another; the page of the first."""
    folder = tmp_path_factory.mktemp('reports')
    root, lesions = folder / 'out', folder / 'in'
    write_results(root, lesions)
    write_results(root, lesions, 'sub-01_ses-02_label-lesion', centre=(30.0, 0.0, 20.0))
    write_results(root, lesions, 'sub-02_label-lesion', centre=(2.0, 0.0, 20.0), sample=False)
    make_report(root, '01')
    return root


def test_who_stops_does_not_wait_for_the_other_pages(tmp_path):
    """A page that takes forever (here: a sidecar that is a pipe nobody writes into) ends with the run."""
    root = tmp_path / 'out'
    for label in ('01', '02'):
        write_results(root, tmp_path / 'in', f'sub-{label}_label-lesion')
    (sidecar,) = root.glob('sub-02/anat/*_desc-disconnectionpct.json')
    sidecar.unlink()
    os.mkfifo(sidecar)
    pages = make_reports(root, ['01', '02'], workers=2)
    subject, page = next(pages)
    assert (subject, page) == ('01', root / 'sub-01.html')
    closing = Thread(target=pages.close)
    closing.start()
    closing.join(60)
    stopped = not closing.is_alive()
    if not stopped:  # so that the test ends
        sidecar.write_text('{}')
    closing.join()
    assert stopped
    assert not (root / 'sub-02.html').exists()


def fragment(root: Path, stem: str) -> str:
    path = root / 'sub-01/figures' / f'{stem}_method-snm_desc-summary_figure.html'
    return path.read_text(encoding='utf-8')


def box(size, corner, shape=(20, 20, 20), voxel=1.0):
    """A mask with a cube of voxels, whose first corner has its centre at a world position."""
    mask = np.zeros(shape, bool)
    mask[:size, :size, :size] = True
    affine = np.diag([voxel, voxel, voxel, 1.0])
    affine[:3, 3] = corner
    return mask, affine


@pytest.mark.parametrize(
    ('x', 'side', 'left'),
    [(-10, 'left', 100), (1, 'right', 0), (-2, 'both', 62.5), (0, 'both', 12.5), (-3, 'both', 87.5)],
)
def test_the_side_is_where_the_volume_is(x, side, left):
    facts = measure_mask(*box(4, (x, 0, 0)))
    assert (facts.side, facts.left_percent) == (side, left)
    assert facts.volume_ml == pytest.approx(0.064)


def test_a_small_share_beyond_the_midline_is_no_second_side():
    mask = np.zeros((100, 1, 1), bool)
    mask[:] = True
    affine = np.eye(4)
    affine[0, 3] = -95.5
    assert measure_mask(mask, affine).side == 'left'  # 4 of 100 voxels on the right
    affine[0, 3] = -94.5
    assert measure_mask(mask, affine).side == 'both'  # 5


def test_the_side_does_not_depend_on_the_storage():
    mask, affine = box(4, (-10, 0, 0))
    flipped = affine @ np.array([[-1, 0, 0, 19], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    assert measure_mask(mask[::-1], flipped).side == 'left'


def test_checks_of_the_numbers():
    assert checks.check_summary({'mask_outside_support_pct': 4.9, 'streamlines_disconnected': 1}) == []
    found = checks.check_summary({'mask_outside_support_pct': 26.1, 'streamlines_disconnected': 0})
    assert found == [
        '26 % of the mask lies where the tractogram has no streamline.',
        'No streamline has a vertex in the mask: nothing is disconnected.',
    ]
    assert checks.check_summary({'mask_components': 9, 'streamlines_disconnected': 1}) == []
    found = checks.check_summary({'mask_components': 10, 'streamlines_disconnected': 1})
    assert found[0].startswith('The mask consists of 10 pieces')
    numbers = {'min_support': 4, 'voxels_disconnected': 100}
    assert checks.check_support({**numbers, 'voxels_supported': 91}) == []
    assert '12 %' in checks.check_support({**numbers, 'voxels_supported': 88})[0]
    assert '10 %' in checks.check_support({**numbers, 'voxels_supported': 90})[0]
    assert checks.check_support(numbers) == []


def test_a_guessed_space_is_said():
    assert checks.check_space_of(SPACE, {'Mask': {'SpaceFrom': '--mask-space'}}) == []
    found = checks.check_space_of(SPACE, {'Mask': {'SpaceFrom': 'its grid'}})
    assert found == [f'The space of the mask ({SPACE}) was guessed (its grid).']


def test_sparse_vertices_are_said():
    line = np.column_stack([np.arange(0, 30, 3.0), np.zeros(10), np.zeros(10)])
    assert checks.check_spacing(median_spacing([line]), np.eye(4))
    assert checks.check_spacing(median_spacing([line]), np.diag([2.0, 2, 2, 1])) == []
    assert checks.check_spacing(median_spacing([]), np.eye(4)) == []


def test_images_of_any_grid_meet_in_the_frame():
    point = np.array([-31, 14, 22])
    for resolution, sign in ((1, -1), (2, 1)):
        affine = np.diag([sign * resolution, resolution, resolution, 1.0])
        affine[:3, 3] = point - affine[:3, :3] @ [5, 6, 7]
        image = np.zeros((12, 12, 12), np.float32)
        image[5, 6, 7] = 3
        assert to_frame(image, affine)[tuple(point - ORIGIN)] == 3
        assert mask_in_frame(image > 0, affine)[tuple(point - ORIGIN)]


def test_a_mask_on_another_grid_is_as_if_all_of_it_were_looked_at():
    random = np.random.default_rng(1)
    for _ in range(20):
        mask = random.random((12, 9, 7)) > 0.6
        mask[:4] = mask[:, 7:] = False
        affine, target = np.eye(4), np.diag([*random.choice([-1, 1], 3) * 2.0, 1])
        affine[:3, :3] += random.normal(0, 0.2, (3, 3))
        affine[:3, 3] = random.normal(0, 6, 3)
        # the mask is in its middle, and in part outside
        target[:3, 3] = affine[:3] @ (7, 4, 3, 1) - target[:3, :3] @ random.integers(0, 9, 3)
        whole = to_grid(mask.view(np.uint8), affine, (9, 9, 9), target, 0)
        np.testing.assert_array_equal(mask_to_grid(mask, affine, (9, 9, 9), target), whole > 0)
        assert whole.any()


def test_voxels_smaller_than_the_frames_are_not_lost():
    mask, affine = box(1, (-30.4, 10.4, 20.4), voxel=0.2)
    assert mask_in_frame(mask, affine).sum() == 1


def test_the_template_is_there_without_templateflow(monkeypatch, tmp_path):
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(tmp_path))
    load_template.cache_clear()
    template = load_template(SPACE)
    assert template.source == 'ICBM 2009a (nilearn)'
    assert 1.6e6 < template.brain.sum() < 2.1e6  # mm3
    home = tmp_path / f'tpl-{SPACE}'
    brain = np.zeros((20, 20, 20), np.uint8)
    brain[5:15, 5:15, 5:15] = 1
    save(
        home / f'tpl-{SPACE}_res-02_T1w.nii.gz',
        brain * np.arange(20, dtype=np.float32),
        np.diag([2.0, 2, 2, 1]),
    )
    save(home / f'tpl-{SPACE}_res-02_desc-brain_mask.nii.gz', brain, np.diag([2.0, 2, 2, 1]))
    (home / f'tpl-{SPACE}_res-01_T1w.nii.gz').touch()  # stands for a file not yet downloaded
    (home / f'tpl-{SPACE}_res-01_desc-brain_mask.nii.gz').touch()
    load_template.cache_clear()
    assert load_template(SPACE).source == f'{SPACE} (TemplateFlow)'
    load_template.cache_clear()


def test_cuts_go_through_the_lesion():
    mask = np.zeros(SHAPE, bool)
    mask[20:60, 90:93, 40] = True
    for axis, count in enumerate((6, 7, 7)):
        positions = figures.cut_positions(mask, axis, count)
        assert len(set(positions)) == count
        assert all(0 <= position < SHAPE[axis] for position in positions)
    assert all(mask[position].any() for position in figures.cut_positions(mask, 0, 6))
    edge = np.zeros(SHAPE, bool)
    edge[SHAPE[0] - 1] = edge[:, 0] = True
    assert max(figures.cut_positions(edge[-1:] & True, 0, 1)) == 0
    last = np.zeros(SHAPE, bool)
    last[SHAPE[0] - 1, 0, 0] = True
    assert max(figures.cut_positions(last, 0, 6)) <= SHAPE[0] - 1
    assert min(figures.cut_positions(last, 1, 7)) >= 0


def test_colours_of_streamlines_are_their_directions():
    lines = [np.array([[0.0, 0, 0], [10, 0, 0]]), np.array([[0.0, 0, 0], [0, 0, -4]]), np.zeros((1, 3))]
    pieces, colours = figures.direction_segments(lines)
    assert pieces.shape == (2, 2, 3)
    assert colours.tolist() == [[1, 0, 0], [0, 0, 1]]


def test_what_too_few_streamlines_visit_is_marked(dataset):
    """Hatched in the slices; in the glass brain it does not hide what is supported, and is grey where nothing else is."""
    (lesion, *_) = find_results(dataset, '01')
    percent, few = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, bool)
    percent[60:70, 90:100, 80:90] = 30
    percent[70:80, 90:100, 80:90] = 90
    few[70:80] = True
    few &= percent > 0
    template = load_template(SPACE)
    with drawing():
        plain, marked = (
            figures.map_figure(template, percent, None, unsupported=given) for given in (None, few)
        )
        glass = figures.glass_figure(template, percent, None, unsupported=few)
    hatched = [sum(bool(getattr(each, 'hatches', None)) for axes in figure.axes for each in axes.collections)
               for figure in (plain, marked)]  # fmt: skip
    assert hatched == [0, 3]
    side, front, top = ([image.get_array() for image in axes.images[1:]] for axes in glass.axes[:3])
    assert side[1].max() == front[1].max() == top[1].max() == 30
    assert side[0].sum() == 100  # behind the supported voxels
    assert front[0].sum() == top[0].sum() == 100
    assert not front[1].mask.all()
    below = _unsupported(lesion, load_image(lesion.path('disconnection_map'))[0])
    summary = lesion.summary
    assert below.sum() == summary['voxels_disconnected'] - summary['voxels_supported'] > 0
    assert not below[load_image(lesion.support_mask)[0] > 0].any()
    text = fragment(dataset, lesion.stem)
    assert f'{summary["voxels_supported"]:,} voxels' in text
    assert f'{summary["disconnection_mean_supported_pct"]:.1f} %' in text


def test_parcels_that_lose_most_come_first():
    values = pd.Series({'a': 1.0, 'b': 90.0, 'c': 0.0, 'd': 90.0})
    assert list(charts.top_parcels(values, 3).index) == ['b', 'd', 'a']
    with drawing():
        axes = charts.parcel_figure(values).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ['b', 'd', 'a']
    assert axes.get_xlim() == (0, 100)
    assert not axes.lines
    support = pd.DataFrame(
        {'streamlines': [500, 10, 7, 30], 'low': [0.5, 60, 0, 70], 'high': [2, 98, 35, 97]}, list('abcd')
    )
    with drawing():
        axes = charts.parcel_figure(values, support, 3).axes[0]
    assert [tuple(line.get_xdata()) for line in axes.lines] == [(60, 98), (70, 97), (0.5, 2)]


def test_the_matrix_is_ordered_by_network():
    order = by_network([read_parcel(name) for name in PARCELS])
    assert [PARCELS[i] for i in order] == [PARCELS[i] for i in (0, 2, 1, 3, 4)]
    percent = pd.DataFrame(np.arange(25.0).reshape(5, 5), PARCELS, PARCELS)
    with drawing():
        axes = charts.matrix_figure(percent, None).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ['Visual', 'Default', 'other']
    shown = axes.images[-1].get_array()
    assert shown[0, 1] == percent.iloc[0, 2]


def test_names_without_networks_stay_in_the_order_of_the_table():
    assert by_network([read_parcel(name) for name in ('lh.b', 'rh.a', 'lh.c')]).tolist() == [0, 1, 2]
    assert read_parcel('Left-Thalamus').hemisphere == 'L'
    assert read_parcel('Thalamus_R').short == 'Thalamus'
    assert read_parcel('Rolandic').hemisphere == ''
    assert read_parcel('17Networks_RH_DefaultA_PFCd_1').network == 'Default'


def test_hemispheres_are_on_their_sides_of_the_circle():
    parcels = [read_parcel(name) for name in PARCELS]
    x = np.cos(charts.circle_angles(parcels))
    assert (x[[0, 1]] < 0).all()
    assert (x[[2, 3]] > 0).all()
    assert len(np.unique(charts.circle_angles(parcels).round(6))) == 5


def test_means_of_networks():
    table = pd.DataFrame([[10.0, 20.0, 30.0, 40.0, 7.0]], columns=PARCELS)
    assert by_network_means(table).iloc[0].to_dict() == {
        'Visual (L)': 10, 'Visual (R)': 30, 'Default (L)': 20, 'Default (R)': 40, 'other': 7,
    }  # fmt: skip


def test_no_value_is_not_zero(tmp_path):
    path = tmp_path / 'x.tsv'
    path.write_text('region\tvalue\nNA\t5.0\nb\tn/a\nc\t0.0\n')
    values = read_parcels(path)
    assert values.index.tolist() == ['NA', 'b', 'c']
    assert values.isna().tolist() == [False, True, False]
    assert list(charts.top_parcels(values).index) == ['NA']
    table = pd.DataFrame([[10.0, np.nan, np.nan, np.nan, 7.0]], columns=PARCELS)
    means = by_network_means(table).iloc[0]
    assert means['Visual (L)'] == 10
    assert means[['Visual (R)', 'Default (L)']].isna().all()
    with drawing():
        unknown, known = heat_figure(pd.DataFrame([values, values * 2])).axes[0].images
    # grey where there is no value, white where nothing is lost
    assert (~np.ma.getmaskarray(unknown.get_array())).tolist() == [[False, True, False]] * 2
    assert np.ma.getmaskarray(known.get_array()).tolist() == [[False, True, True]] * 2


def test_figures_are_the_same_when_made_again(dataset, tmp_path, monkeypatch):
    lesion = find_results(dataset, '01')[0]
    first = {path.name: path.read_bytes() for path in draw_reportlets(lesion, tmp_path / 'a')}
    import matplotlib as mpl

    monkeypatch.setitem(mpl.rcParams, 'font.size', 31)  # the user's own settings
    second = {path.name: path.read_bytes() for path in draw_reportlets(lesion, tmp_path / 'b')}
    assert first == second
    folders = (dataset / 'sub-01/figures', dataset / 'assets')
    on_disk = {path.name: path.read_bytes() for folder in folders for path in folder.iterdir()}
    assert 'matplotlib.pyplot' not in sys.modules or not sys.modules['matplotlib.pyplot'].get_fignums()
    assert {name: on_disk[name] for name in first} == first  # also after nireports has had them in hand


def test_every_lesion_has_all_its_figures(dataset):
    lesions = find_results(dataset, '01')
    assert [lesion.stem for lesion in lesions] == ['sub-01_ses-01_label-lesion', 'sub-01_ses-02_label-lesion']
    for lesion in lesions:
        found = {path.name for path in (dataset / 'sub-01/figures').glob(f'{lesion.stem}_*_figure.*')}
        assert {re.search('_desc-([a-z]+)_', name)[1] for name in found} == KINDS
        viewer = dataset / f'sub-01/figures/{lesion.stem}_method-snm_desc-viewer.html'
        assert 2e4 < viewer.stat().st_size < 5e5


def test_numbers_in_the_summary(dataset):
    text = fragment(dataset, 'sub-01_ses-01_label-lesion')
    rows = dict(re.findall('<th scope="row">(.*?)</th><td>(.*?)</td>', text))
    voxels = int(find_results(dataset, '01')[0].mask.mask.data.sum())
    assert rows['Volume'] == f'{voxels * 8 / 1000:.3g} ml ({voxels:,} voxels, in one piece)'
    assert rows['Side'] == 'left'
    assert rows['Streamlines cut'] == '50 of 1,000 (5.00 %)'
    assert rows['Tractogram'] == f'toy ({SPACE})'
    assert rows['Atlas'] == ATLAS
    assert rows['Software'] == 'Lacuna 1.2.3, MRtrix3 3.0.4'
    assert 'class="box good"' in text
    assert '<td>right</td>' in fragment(dataset, 'sub-01_ses-02_label-lesion')


def test_the_page_holds_each_lesion_and_its_pictures(dataset):
    page = (dataset / 'sub-01.html').read_text(encoding='utf-8')
    assert page.count('<table class="summary">') == 2
    assert page.count('<img ') == 2 * (len(KINDS) - 2)
    pictures = re.findall(r'<img [^>]*alt="([^"]+)" src="([^"]+)"', page)
    assert len(pictures) == page.count('<img ')
    assert all((dataset / source).is_file() for _, source in pictures)
    assert not re.search(r'(src|href)="(https?:)?//', page)
    assert 'session <span class="bids-entity">02</span>' in page


def test_what_is_missing_is_said(dataset, tmp_path):
    lesion = find_results(dataset, '02')[0]
    assert lesion.path('sample') is None
    paths = {path.name for path in draw_reportlets(lesion, tmp_path / 'figures')}
    assert not any('desc-streamlines' in name for name in paths)
    text = (tmp_path / 'figures/sub-02_label-lesion_method-snm_desc-summary_figure.html').read_text()
    assert '<th scope="row">Sample of streamlines</th>' in text
    assert 'crosses the midline' in text
    bare = LesionResults(
        lesion.stem,
        lesion.space,
        {Target('disconnection_map'): lesion.path('disconnection_map')},
        given={},
    )
    draw_reportlets(bare, tmp_path / 'bare')
    text = (tmp_path / 'bare/sub-02_label-lesion_method-snm_desc-summary_figure.html').read_text()
    assert 'The mask is not known' in text


def test_a_file_of_another_lesion_is_seen(tmp_path):
    root = tmp_path / 'out'
    write_results(root, tmp_path / 'in')
    (lesion,) = find_results(root)
    path, holder = lesion.path('summary'), sidecar_path(lesion.map_path)
    holder.write_text(json.dumps({**lesion.metadata, FILES: {path.name: file_record(path)}}))
    assert lesion.damaged() == {}
    path.write_bytes(path.read_bytes().replace(b'1', b'2'))
    assert list(lesion.damaged()) == [Target('summary')]
    assert lesion.damaged(verify=False) == {}  # the size is the same
    drawn = draw_reportlets(lesion, tmp_path / 'figures')
    assert drawn
    assert path.name in next((tmp_path / 'figures').glob('*desc-summary*')).read_text()


def test_a_changed_mask_is_seen(tmp_path):
    mask = write_results(tmp_path / 'out', tmp_path / 'in', sample=False)
    image = read_mask(mask)
    changed = image.data.copy()
    changed[0, 0, 0] = True
    save(mask, changed.astype(np.uint8), image.affine)
    drawn = draw_reportlets(find_results(tmp_path / 'out', '01')[0], tmp_path / 'figures')
    assert not any('desc-lesion_' in path.name for path in drawn)
    text = next((tmp_path / 'figures').glob('*desc-summary*')).read_text()
    assert 'The mask has changed' in text


def test_an_empty_lesion_can_be_drawn():
    template = load_template(SPACE)
    nothing = np.zeros(SHAPE, np.float32)
    with drawing():
        for figure in (
            figures.lesion_figure(template, nothing > 0),
            figures.map_figure(template, nothing, nothing > 0),
            figures.glass_figure(template, nothing, nothing > 0),
        ):
            assert png_bytes(figure).startswith(b'\x89PNG')


def test_names_from_files_cannot_break_the_page(tmp_path):
    root = tmp_path / 'out'
    write_results(root, tmp_path / 'in', sample=False)
    sidecar = next(root.glob('sub-01/**/*_desc-disconnectionpct.json'))
    metadata = json.loads(sidecar.read_text())
    metadata['Tractogram']['Name'] = '</td><script>alert(1)</script>'
    sidecar.write_text(json.dumps(metadata))
    failure = Failure(tmp_path / 'a<b>.nii.gz', 'because <img src=x onerror=alert(1)>', '01')
    page = make_report(root, '01', failures=[failure]).read_text(encoding='utf-8')
    assert '<script>alert' not in page
    assert '<img src=x' not in page
    assert 'a&lt;b&gt;.nii.gz' in page


def test_a_participant_without_results_gets_a_page_that_says_why(tmp_path):
    crash = tmp_path / 'crash-1.txt'
    crash.write_text('Traceback <module>\nMaskError: no')
    failure = Failure(tmp_path / 'sub-07_mask.nii.gz', f'no (details: {crash})', '07')
    page = make_report(tmp_path / 'out', '07', failures=[failure]).read_text(encoding='utf-8')
    assert '<strong>sub-07_mask.nii.gz</strong>' in page
    assert 'Traceback &lt;module&gt;' in page
    other = make_report(tmp_path / 'out', '08', failures=[failure]).read_text(encoding='utf-8')
    assert 'class="box bad"' in other
    assert 'sub-07' not in other


def test_methods_and_their_references_are_in_the_page(dataset):
    run = dataset / 'logs/20250101-000000_x'
    run.mkdir(parents=True)
    (run / 'CITATION.md').write_text('Mapped with *MRtrix3* [@mrtrix3].\n')
    (run / 'CITATION.bib').write_text(
        '@article{mrtrix3,\n  author = {A and B},\n  title = {On {T}},\n  year = {2019}\n}'
    )
    page = write_page(dataset, '01').read_text(encoding='utf-8')
    assert 'Mapped with <em>MRtrix3</em> [<a href="#ref-mrtrix3">1</a>]' in page
    assert '<li id="ref-mrtrix3">A, B. On T. 2019.</li>' in page


def test_figures_no_longer_made_are_removed(tmp_path):
    folder = tmp_path / 'figures'
    folder.mkdir()
    old = folder / 'sub-01_method-snm_desc-mapscaled_figure.png'
    other = folder / 'sub-01_run-2_method-snm_desc-mapscaled_figure.png'
    sample = folder / 'sub-01_method-snm_space-x_desc-disconnected_tractogram.tck'
    for path in (old, other, sample):
        path.touch()
    new = tmp_path / 'sub-01_method-snm_desc-map_figure.png'
    new.write_bytes(b'x')
    publish_reportlets([new], folder)
    assert {path.name for path in folder.iterdir()} == {new.name, other.name, sample.name}


def test_the_spec_has_only_keys_that_nireports_knows():
    import yaml

    import lacuna

    spec = yaml.safe_load((Path(lacuna.__file__).parent / 'data/reports-spec.yml').read_text())
    known = {'bids', 'subtitle', 'caption'}
    assert [
        set(part) - known
        for section in spec['sections']
        for part in section['reportlets']
        if set(part) - known
    ] == []


def test_the_workflow_is_sound_and_draws(dataset, tmp_path):
    lesion = find_results(dataset, '01')[0]
    workflow = init_snm_report_wf(
        stem=lesion.stem, space=SPACE, output_dir=tmp_path / 'out', atlases=[ATLAS], metadata=lesion.metadata
    )
    node = workflow.get_node('inputnode')
    node.inputs.mask = str(lesion.mask.path)
    node.inputs.support_mask = str(lesion.support_mask)
    for name in ('disconnection_map', 'summary', 'sample'):
        setattr(node.inputs, name, str(lesion.path(name)))
    for name in ('disconnection_matrix', 'mask_matrix', 'full_matrix', 'roi_disconnection'):
        setattr(node.inputs, f'{name}_{ATLAS}', str(lesion.path(name, ATLAS)))
    assert audit_graph(workflow) == []
    workflow.base_dir = str(tmp_path / 'work')
    workflow.config['execution']['crashdump_dir'] = str(tmp_path)
    workflow.run('Linear')
    made = {path.name: path.read_bytes() for path in (tmp_path / 'out/sub-01/figures').iterdir()}
    assert {name: (dataset / 'sub-01/figures' / name).read_bytes() for name in made} == made


def test_report_command(dataset, capsys):
    (dataset / 'sub-02.html').unlink(missing_ok=True)
    assert main(['report', str(dataset), '--participant-label', 'sub-02']) == 0
    assert capsys.readouterr().out.split() == [str(dataset / 'sub-02.html')]
    assert (dataset / 'sub-02.html').is_file()


def test_report_command_refuses_what_it_cannot_use(dataset, tmp_path, capsys):
    assert main(['report', str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert main(['report', str(dataset), '--nprocs', '0']) == 2
    assert '--nprocs 0' in capsys.readouterr().err
    assert main(['report', str(dataset), '--participant-label', '99']) == 2
    assert 'participant 99' in capsys.readouterr().err


def test_a_broken_file_costs_one_report_only(tmp_path, capsys):
    root = tmp_path / 'out'
    mask = write_results(root, tmp_path / 'in', 'sub-01_label-lesion', sample=False)
    mask.write_bytes(b'no image')
    write_results(root, tmp_path / 'in', 'sub-02_label-lesion', sample=False)
    next(root.glob('sub-02/**/*_stats.json')).unlink()
    next(root.glob('sub-02/**/*_desc-disconnectionpct.nii.gz')).write_bytes(b'no image')
    assert main(['report', str(root), '--nprocs', '2']) == 1
    said = capsys.readouterr()
    assert said.out.split() == [str(root / 'sub-01.html')]
    assert 'sub-02: no report: ' in said.err
    assert 'can no longer be used' in (root / 'sub-01.html').read_text(encoding='utf-8')


def test_figures_of_other_results_are_drawn_again(tmp_path):
    """Whatever the clock said: the results may be older than their figures, and yet others."""
    root = tmp_path / 'out'
    write_results(root, tmp_path / 'in', 'sub-01_label-lesion', sample=False)
    make_report(root, '01')
    assert is_current(root, '01')
    figure = root / 'sub-01/figures/sub-01_label-lesion_method-snm_desc-map_figure.png'
    figure.unlink()
    make_report(root, '01')
    assert not figure.exists()  # nothing has changed
    os.utime(next(root.glob('sub-01/**/*_stats.json')), (1, 1))
    assert not is_current(root, '01')
    make_report(root, '01')
    assert figure.exists()
    assert is_current(root, '01')


def test_outliers_are_flagged():
    volumes = [10.0, 12, 9, 11, 10.5, 4000]
    rows = [
        GroupRow(LesionResults(f'sub-{i}', SPACE, {}), volume, 5.0 + i / 10, 50.0, 'left')
        for i, volume in enumerate(volumes)
    ]
    assert flagged(rows) == [[], [], [], [], [], ['volume']]
    assert flagged(rows[-2:]) == [[], []]  # too few to say


def test_the_group_page(dataset):
    page = write_group_report(dataset, dataset / 'group.html').read_text(encoding='utf-8')
    assert '<p>3 lesions.</p>' in page
    assert page.count('<tr') == 4
    assert '<a href="sub-01.html">sub-01_ses-01_label-lesion</a>' in page
    assert page.count('src="data:image/') == 4  # distributions, overlap, mean, parcels


def test_a_damaged_table_is_left_out_of_the_group_page(dataset, tmp_path):
    root = tmp_path / 'out'
    shutil.copytree(dataset, root)
    (table,) = root.rglob('sub-02_*_desc-disconnectionpct_parcelstats.tsv')
    table.write_bytes(table.read_bytes()[:40])
    page = write_group_report(root, root / 'group.html').read_text(encoding='utf-8')
    assert page.count('src="data:image/') == 4
    caption = page.split('<h2>Parcels</h2>')[1].partition('</p>')[0]
    assert 'sub-02_label-lesion' in caption
    assert 'sub-01' not in caption


def test_a_damaged_map_is_left_out_of_the_group_page(dataset, tmp_path):
    root = tmp_path / 'out'
    shutil.copytree(dataset, root)
    (path,) = root.rglob('sub-02_*_desc-disconnectionpct.nii.gz')
    path.write_bytes(path.read_bytes()[:-200])
    page = write_group_report(root, root / 'group.html').read_text(encoding='utf-8')
    (said,) = re.findall(r'<li>(.*map cannot be read.*?)</li>', page)
    assert 'sub-02_label-lesion' in said
    assert page.count('<tr') == 4
    assert 'Mean of 2 disconnection maps' in page


def test_the_group_page_says_which_lesions_are_not_comparable(dataset, tmp_path):
    root = tmp_path / 'out'
    shutil.copytree(dataset, root)
    (path,) = root.rglob('sub-02_*_desc-disconnectionpct.json')
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, 'Tractogram': {**about['Tractogram'], 'SHA256': 'f' * 64}}))
    page = write_group_report(root, root / 'group.html').read_text(encoding='utf-8')
    (said,) = re.findall(r'<li>(.*tractogram.*?)</li>', page)
    assert 'sub-02_label-lesion' in said
    assert 'sub-01' not in said
    assert '<li>' not in write_group_report(dataset, dataset / 'group.html').read_text(encoding='utf-8')


def test_the_group_page_leads_to_its_sections(dataset):
    page = write_group_report(dataset, dataset / 'group.html').read_text(encoding='utf-8')
    linked = re.findall(r'<a href="#(.*?)">', page)
    assert linked == re.findall(r'<section id="(.*?)">', page)
    assert 'At-a-place' in linked


@pytest.mark.mrtrix
def test_behind_the_workflow_that_computes(toy, tmp_path):
    from niworkflows.engine.workflows import LiterateWorkflow

    from lacuna.workflows.connectome import init_connectome_wf
    from lacuna.workflows.snm import init_snm_wf

    workflow = LiterateWorkflow(name='study', base_dir=str(tmp_path / 'work'))
    workflow.config['execution']['crashdump_dir'] = str(tmp_path)
    connectome, snm = init_connectome_wf(space=SPACE), init_snm_wf(most_sampled=1000)
    report = init_snm_report_wf(stem='sub-01_label-lesion', space=SPACE, output_dir=tmp_path / 'out')
    connectome.inputs.inputnode.tracks = snm.inputs.inputnode.tracks = str(toy.tracks)
    report.inputs.inputnode.mask = snm.inputs.inputnode.mask = str(toy.mask)
    workflow.connect(connectome, 'outputnode.full_tdi', snm, 'inputnode.full_tdi')
    workflow.connect(connectome, 'outputnode.streamlines_total', snm, 'inputnode.streamlines_total')
    workflow.connect(connectome, 'outputnode.index', snm, 'inputnode.index')
    workflow.connect(connectome, 'outputnode.support_mask', report, 'inputnode.support_mask')
    for field in ('disconnection_map', 'summary', 'sample'):
        workflow.connect(snm, f'outputnode.{field}', report, f'inputnode.{field}')
    assert audit_graph(workflow) == []
    workflow.run()
    page = write_page(tmp_path / 'out', '01').read_text(encoding='utf-8')
    assert '<td>10 of 30 (33.33 %)</td>' in page
    assert '<td>both (50 % left)</td>' in page
    assert 'crosses the midline (50 % of it on the smaller side)' in page
    assert page.count('<img ') == 4  # lesion, map, glass brain, streamlines
