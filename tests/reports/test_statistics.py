"""The page of an analysis of scores."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.score_results import ATLAS, REGIONS, percentages, write_cohort_results

import lacuna
from lacuna.errors import InputError
from lacuna.reports.figures import statistics as figures
from lacuna.reports.figures.style import drawing
from lacuna.reports.statistics import write_statistics_report


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    root, values = tmp_path_factory.mktemp('page') / 'out', percentages(40)
    facts = write_cohort_results(root, values)
    facts['motor<b>'] = 0.1 * values['LH_SomMot_1'] + np.random.default_rng(5).normal(size=40)
    facts['age'] = np.arange(40) % 13 + 50
    facts.loc['03', 'motor<b>'] = np.nan
    return lacuna.stats(
        root, facts, 'motor<b>', covariates=['age'], features=['parcels', 'edges', 'voxels'], permutations=99,
        cv='5x1', compare='edges',
    )  # fmt: skip


def test_all_parts_are_there(found, tmp_path):
    page = write_statistics_report(found, tmp_path / 'stats.html', [tmp_path / 'a.tsv']).read_text()
    sections = re.findall('<section id="([^"]+)"', page)
    assert sections == [
        'Participants',
        'Scores',
        f'Parcels-{ATLAS}',
        f'Edges-{ATLAS}',
        'Voxels',
        'Method',
        'Files',
    ]
    # scores, three of power, two of bars, matrix, two maps, three predictions
    assert len(re.findall('<img ', page)) == 12
    assert '<b>' not in page
    assert 'sub-03' in page
    row = found['parcels'].table.loc['LH_SomMot_1']
    cells = ''.join(f'<td>{cell}</td>' for cell in ('LH_SomMot_1', f'{row["t"]:.2f}'))
    assert cells in page
    assert f'<td>{found["parcels"].prediction.accuracy.loc["ridge", "r2"]:.3f}</td>' in page
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


def test_the_same_analysis_gives_the_same_page(found, tmp_path):
    parcels = replace(found, families=found.families[:1])
    one, two = (
        write_statistics_report(parcels, tmp_path / name).read_bytes() for name in ('a.html', 'b.html')
    )
    assert one == two


def test_a_page_of_somebody_else_is_kept(found, tmp_path):
    (tmp_path / 'stats.html').write_text('mine')
    with pytest.raises(InputError, match=r'stats\.html'):
        write_statistics_report(found, tmp_path / 'stats.html')
    assert (tmp_path / 'stats.html').read_text() == 'mine'


def test_bars_show_the_largest_in_colour_where_they_are_found(found):
    family = found['parcels']
    with drawing():
        axes = figures.bar_figure(family.table, family.critical, 't').axes[0]
    bars = sorted(axes.patches, key=lambda bar: bar.get_y())
    order = family.table['t'].abs().sort_values(ascending=False).index
    np.testing.assert_allclose([bar.get_width() for bar in bars], family.table.loc[order, 't'])
    colours = [bar.get_facecolor()[:3] for bar in bars]
    assert [colour == colours[0] for colour in colours] == (family.table.loc[order, 'p_fwe'] <= 0.05).tolist()
    assert axes.get_yticklabels()[0].get_text() == 'SomMot 1 (L)'


def test_edges_are_above_the_diagonal_and_those_found_below():
    table = pd.DataFrame(
        {'t': [-5.0, 1.0], 'p_fwe': [0.01, 0.9]},
        pd.MultiIndex.from_tuples([(REGIONS[0], REGIONS[3]), (REGIONS[1], REGIONS[2])]),
    )
    with drawing():
        (image,) = figures.edge_figure(table).axes[0].images
    shown = np.asarray(image.get_array().filled(np.nan))
    assert np.isfinite(shown).sum() == 3
    (above,) = np.argwhere(shown == -5)[:1]
    assert above[0] < above[1]
    assert shown[above[1], above[0]] == -5
    assert (np.argwhere(shown == 1)[:, 0] < np.argwhere(shown == 1)[:, 1]).all()


def test_infinite_statistics_are_drawn(found, tmp_path):
    """Of scores that a feature separates completely (Brunner and Munzel)."""
    parcels = found['parcels']
    table = parcels.table.assign(t=[np.inf, -np.inf, 2.0, -3.0, 1.0])
    apart = replace(found, families=(replace(parcels, table=table),))
    page = write_statistics_report(apart, tmp_path / 'stats.html').read_text()
    assert len(re.findall('<img ', page)) == 4


def test_a_point_for_each_participant(found):
    prediction = found['voxels'].prediction
    with drawing():
        axes = figures.prediction_figure(found.design.outcome, prediction.predicted, prediction.accuracy).axes
    for panel, model in zip(axes, ('baseline', 'ridge', 'pls'), strict=True):
        points = panel.lines[1]
        np.testing.assert_array_equal(points.get_xdata(), found.design.outcome)
        np.testing.assert_array_equal(points.get_ydata(), prediction.predicted[model])
