"""Bundles, and lesion load, in the report of a participant."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from helpers.report_data import ATLAS, BUNDLES, PARCELS, SPACE, write_bundles, write_results

from lacuna.bids.outputs import output_name
from lacuna.bids.results import find_results
from lacuna.images.bundle_names import read_bundle
from lacuna.reports.figures.bundles import bundle_figure, bundle_rows, load_figure
from lacuna.reports.figures.style import drawing
from lacuna.reports.participant import is_current, make_report
from lacuna.testing import audit_graph
from lacuna.workflows.report import init_snm_report_wf

STEM = 'sub-01_ses-01_label-lesion'


@pytest.fixture
def dataset(tmp_path):
    root = tmp_path / 'out'
    write_results(root, tmp_path / 'in')
    write_bundles(root)
    (summary,) = root.rglob(output_name(STEM, 'summary'))
    load = pd.DataFrame({'region': PARCELS, 'value': [20.0, 0.0, 5.0, 0.0, np.nan]})
    path = summary.with_name(output_name(STEM, 'lesion_load', atlas=ATLAS))
    load.to_csv(path, sep='\t', index=False, na_rep='n/a')
    return root


@pytest.mark.parametrize(
    ('name', 'side', 'system'),
    [
        ('AF_L', 'L', 'association'),
        ('AR_R', 'R', 'projection'),
        ('LL_L', 'L', 'brainstem'),
        ('Left Uncinate fasciculus', 'L', 'association'),
        ('Association_CingulumR_FrontalParietal', 'R', 'association'),
        ('ProjectionBasalGanglia_AcousticRadiationL', 'L', 'projection'),
        ('CranialNerve_CNIIIR', 'R', 'cranial nerve'),
        ('Commissure_CorpusCallosum_ForcepsMajor', '', 'commissural'),
        ('CNIIIR', 'R', 'cranial nerve'),
        ('MCP', '', 'cerebellum'),
        # nothing is guessed
        ('FUSIFORM', '', 'other'),
        ('LGN', '', 'other'),
        ('all of them', '', 'other'),
    ],
)
def test_side_and_system_are_those_of_the_name(name, side, system):
    found = read_bundle(name)
    assert (found.side, found.system) == (side, system)


def test_both_sides_of_a_bundle_stand_together():
    values = {'X_R': 1.0, 'AF_R': 0.0, 'CST_L': 2.0, 'AF_L': 40.0, 'X-R': 3.0, 'C_L': 0.0, 'none': np.nan}
    table = pd.DataFrame({'value': values})
    assert bundle_rows(table) == [
        ('association', 'AF', {'R': 'AF_R', 'L': 'AF_L'}),
        ('projection', 'CST', {'L': 'CST_L'}),
        ('other', 'X', {'R': 'X_R'}),
        ('other', 'X-R', {'R': 'X-R'}),
    ]
    assert [short for _, short, _ in bundle_rows(table, 2)] == ['AF', 'X-R']


def test_bars_are_as_long_as_the_share(dataset):
    table = find_results(dataset)[0].bundles()
    with drawing():
        axes = bundle_figure(table).axes[0]
        empty = bundle_figure(table[table['value'] == 0]).axes[0]
    widths = [bar.get_width() for bar in axes.patches if bar.get_width() not in (0, 100)]
    assert widths == [80, 10]
    assert [label.get_text() for label in axes.get_yticklabels()] == ['AF', 'CC <b>']
    assert [tuple(line.get_xdata()) for line in axes.lines] == [(67, 88.8), (0, 11.4), (5.5, 17.4)]
    assert not empty.patches


def test_a_point_for_each_parcel():
    load = pd.Series([20.0, 0.0, 5.0, np.nan], ['lh_a', 'rh_b', 'c', 'd'])
    disconnection = pd.Series([50.0, 3.0, np.nan, 1.0], ['lh_a', 'rh_b', 'c', 'd'])
    with drawing():
        axes = load_figure(load, disconnection).axes[0]
    assert axes.collections[0].get_offsets().tolist() == [[20, 50], [0, 3]]


def test_the_page_shows_bundles_and_load(dataset):
    make_report(dataset, '01')
    page = (dataset / 'sub-01.html').read_text()
    kinds = re.findall(r'src="[^"]*_desc-([a-z]+)_figure', page)
    assert kinds.index('bundles') < kinds.index('parcels') < kinds.index('load')
    assert BUNDLES in next((dataset / 'sub-01/figures').glob('*_desc-summary_figure.html')).read_text()
    viewer = next((dataset / 'sub-01/figures').glob('*_desc-viewer.html')).read_text()
    scene = json.loads(re.search(r'id="scene">(.*?)</script>', viewer)[1])
    assert [(each['name'], each['percent'], each['rows']) for each in scene['bundles']] == [
        ('AF_L', 80, list(range(40))),
        ('CC <b>', 10, list(range(40, 50))),
    ]
    assert is_current(dataset, '01')
    # another table: drawn again
    path = next((dataset / 'sub-01').rglob('*_bundlestats.tsv'))
    path.write_text(path.read_text().replace('80.0', '70.0'))
    assert not is_current(dataset, '01')
    before = next((dataset / 'sub-01/figures').glob('*_desc-bundles_figure.svg')).read_bytes()
    make_report(dataset, '01')
    assert next((dataset / 'sub-01/figures').glob('*_desc-bundles_figure.svg')).read_bytes() != before


def test_the_workflow_draws_the_same(dataset, tmp_path):
    make_report(dataset, '01')
    lesion = find_results(dataset, '01')[0]
    workflow = init_snm_report_wf(
        stem=lesion.stem,
        space=SPACE,
        output_dir=tmp_path / 'drawn',
        atlases=[ATLAS],
        bundles=[BUNDLES],
        metadata=lesion.metadata,
    )
    node = workflow.get_node('inputnode')
    node.inputs.mask, node.inputs.support_mask = str(lesion.mask.path), str(lesion.support_mask)
    for target, path in lesion.files.items():
        setattr(node.inputs, target.field, str(path))
    assert audit_graph(workflow) == []
    workflow.base_dir = str(tmp_path / 'work')
    workflow.config['execution']['crashdump_dir'] = str(tmp_path)
    workflow.run('Linear')
    made = {path.name: path.read_bytes() for path in (tmp_path / 'drawn/sub-01/figures').iterdir()}
    assert len([name for name in made if '_figure.' in name]) == 11
    assert {name: (dataset / 'sub-01/figures' / name).read_bytes() for name in made} == made
