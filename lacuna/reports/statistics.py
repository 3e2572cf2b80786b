"""The page of an analysis of scores: participants, power, results, and accuracy of the prediction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.images.nifti import voxels
from lacuna.reports.figures import statistics as figures
from lacuna.reports.figures.brain import map_figure, statistic_figure
from lacuna.reports.figures.frame import load_template, to_frame
from lacuna.reports.figures.style import drawing, png_bytes, svg_bytes
from lacuna.reports.methods import methods_html
from lacuna.reports.page import keep_others, picture, section, whole_page
from lacuna.reports.summary import warnings_html
from lacuna.statistics.analysis import Statistics
from lacuna.statistics.design import VOLUME
from lacuna.statistics.family import Family
from lacuna.statistics.words import detectable, doubts, methods, power
from lacuna.statistics.write import significant
from lacuna.utils.files import data_text, write_if_changed

if TYPE_CHECKING:
    import pandas as pd

_TITLE = 'Lacuna: from disconnection to symptoms'
#: effect sizes: differences between affected and unaffected, in standard deviations
_SIZES = (0.5, 0.8, 1.2)
_MOST_ROWS = 25


def write_statistics_report(found: Statistics, output: Path, files: Sequence[Path] = ()) -> Path:
    """Write the page of an analysis of scores.

    Parameters
    ----------
    found : lacuna.statistics.analysis.Statistics
    output : pathlib.Path
        Path of the page.
    files : sequence of pathlib.Path
        Tables and maps to list.

    Returns
    -------
    pathlib.Path
        `output`.

    Raises
    ------
    InputError
        If `output` exists and was not written by Lacuna.
    """
    keep_others(output, _TITLE)
    with drawing():
        parts = [
            warnings_html(doubts(found)),
            section('Participants', _participants(found)),
            section('Scores', _scores(found)),
        ]
        for family in found.families:
            title = family.kind + (f', {family.atlas}' if family.atlas else '')
            parts.append(section(title.capitalize(), ''.join(_family_parts(found, family))))
    parts.append(section('Method', methods_html(methods(found), data_text('statistics.bib'))))
    if files:
        names = ''.join(
            f'<li><a href="{escape(path.name, quote=True)}">{escape(path.name)}</a></li>' for path in files
        )
        parts.append(section('Files', f'<ul>{names}</ul>'))
    write_if_changed(output, whole_page(_TITLE, ''.join(parts)).encode())
    return output


def _participants(found: Statistics) -> str:
    design, left_out = found.design, found.left_out
    covariates = ', '.join(escape(str(name)) for name in design.covariates) or 'none'
    facts = [
        ('Participants', f'{len(design.participants)}'),
        ('Left out', f'{len(left_out)}'),
        ('Outcome', escape(str(design.outcome.name)) + (' (ranks)' if design.ranked else '')),
        (
            'Covariates',
            covariates + (' (logarithm of the volume)' if design.log_volume else ''),
        ),
        ('Test', escape(found.settings.test)),
        ('Permutations', f'{found.settings.permutations:,} (seed {found.settings.seed})'),
    ]
    rows = ''.join(f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in facts)
    table = f'<table class="summary">{rows}</table>'
    if not len(left_out):
        return table
    listed = _table(['participant', 'reason'], left_out.itertuples(index=False))
    return f'{table}<details><summary>Who was left out, and why</summary>{listed}</details>'


def _scores(found: Statistics) -> str:
    design = found.design
    labels = {VOLUME: 'lesion volume (log mm³)'} if design.log_volume else {}
    figure = figures.score_figure(design.outcome, design.covariates.rename(columns=labels))
    which = 'last three covariates' if design.covariates.shape[1] > 3 else 'covariates'
    text = f'Distribution (dashed: median), and the score against the {which}.'
    return picture('Scores', text, svg_bytes(figure))


def _family_parts(found: Statistics, family: Family) -> Iterator[str]:
    design, survivors = found.design, significant(family)
    yield f'<p>{_summary(family, len(survivors))}</p>'
    yield from _power_parts(found, family)
    statistic = 't' if found.settings.test == 'ols' else 'statistic of Brunner and Munzel'
    drawn = _finite(family)
    if drawn is not family:
        yield '<p>Infinite statistics, of features that explain or separate the scores completely, are drawn as the largest finite one.</p>'
    if family.images:
        yield from _map_parts(found, drawn, statistic)
    else:
        text = (
            f'The {min(len(family.table), _MOST_ROWS)} largest statistics. Coloured: family-wise p &le; .05, beyond the '
            f'dashed line. Negative: the more is cut, the lower is {escape(str(design.outcome.name))}.'
        )
        figure = figures.bar_figure(drawn.table, family.critical, statistic)
        yield picture(f'Largest statistics of {family.kind}', text, svg_bytes(figure))
        if family.kind == 'edges':
            text = 'The statistic of each edge.'
            if family.components is not None:
                text += ' ' + _component_text(family)
            yield picture('Edges', text, svg_bytes(figures.edge_figure(drawn.table)))
        if len(survivors):
            yield _survivor_table(survivors)
    if family.prediction is not None:
        yield from _prediction_parts(design.outcome, family)


def _finite(family: Family) -> Family:
    """Return the family as it can be drawn: without infinite statistics."""
    t = family.table['t']
    if not np.isinf(t).any():
        return family
    highest = float(t[np.isfinite(t)].abs().max())
    highest = highest if highest > 0 else 1.0
    return replace(family, table=family.table.assign(t=t.clip(-highest, highest)))


def _summary(family: Family, survivors: int) -> str:
    left = [f'{family.too_few:,} affected in fewer than {family.fewest} participants']
    if family.too_many:
        left.append(f'{family.too_many:,} affected in all, or all but one')
    if family.constant:
        explained = ' or explained by the covariates' if family.covariates else ''
        left.append(f'{family.constant:,} the same for all{explained}')
    if family.without_value:
        left.append(f'{family.without_value:,} without a value')
    same = f' ({family.distinct:,} different)' if family.distinct < len(family.table) else ''
    return (
        f'{len(family.table):,} features tested{same}; left out: {", ".join(left)}. '
        f'<strong>{survivors:,} with a family-wise p of at most .05.</strong>'
    )


def _power_parts(found: Statistics, family: Family) -> Iterator[str]:
    design = found.design
    if math.isinf(family.critical):
        return
    participants = len(design.participants)
    counts = np.arange(participants + 1)
    curves = {
        name: power(counts, participants, design.degrees_of_freedom, family.critical, size)
        for name, size in zip(figures.levels(_SIZES), _SIZES, strict=True)
    }
    share = 100 * np.mean(detectable(family, design, 0.8) >= 0.8)
    text = (
        'Where could an effect be found at all? Grey: number of features affected in so many participants. Lines: how '
        'likely a feature is found with a family-wise p of .05, if the scores of affected and unaffected participants '
        'differ by so many standard deviations (after regressing out the covariates). '
        f'A difference of 0.8 would be found with a probability of 80 % or more in {share:.0f} % of the features.'
    )
    affected = family.table['n_affected'].to_numpy()
    yield picture(
        'Power', text, svg_bytes(figures.power_figure(affected, family.fewest, curves, participants))
    )


def _map_parts(found: Statistics, family: Family, statistic: str) -> Iterator[str]:
    template = load_template(family.features.space)
    maps = {name: _in_frame(family.images[name]) for name in ('t', 'pfwe')}
    tested = maps['t'] != 0
    survivors = tested & (maps['pfwe'] <= 0.05)
    text = (
        f'Blue: the more is cut, the lower is {escape(str(found.design.outcome.name))}. '
        'Black outline: family-wise p &le; .05.'
    )
    figure = statistic_figure(template, maps['t'], survivors, statistic)
    yield picture(f'Map of {family.kind}', text, png_bytes(figure))
    if family.features.grid is not None and not math.isinf(family.critical):
        chance = family.features.grid.image(100 * detectable(family, found.design, _SIZES[-1]))
        text = f'Probability of finding a difference of {_SIZES[-1]} standard deviations at each voxel that was tested.'
        figure = map_figure(template, _in_frame(chance), None, label='power (%)')
        yield picture(f'Power of {family.kind}', text, png_bytes(figure))


def _in_frame(image: Any) -> np.ndarray:
    return to_frame(voxels(image), np.asarray(image.affine, float))


def _component_text(family: Family) -> str:
    components = family.components
    beyond = f'|t| &gt; {family.edge_threshold:.2f}'
    if components is None or not len(components):
        return f'No two edges beyond {beyond} form a component.'
    first = components.iloc[0]
    found = int((components['p_fwe'] <= 0.05).sum())
    plural = '' if len(components) == 1 else 's'
    return (
        f'Network-based statistic: {len(components)} component{plural} of edges beyond {beyond}, {found} with a family-wise p of at '
        f'most .05; the largest has {int(first["size"])} edges (p = {first["p_fwe"]:.2g}).'
    )


def _survivor_table(survivors: pd.DataFrame) -> str:
    shown = survivors[:_MOST_ROWS]
    heads = [
        *(str(name or 'feature') for name in shown.index.names),
        't',
        'p',
        'p (family-wise)',
        'q',
        'affected',
        'effect',
    ]
    rows = []
    for feature, row in shown.iterrows():
        names = feature if isinstance(feature, tuple) else (feature,)
        numbers = [f'{row["t"]:.2f}', *(f'{row[name]:.2g}' for name in ('p', 'p_fwe', 'q'))]
        rows.append([*map(str, names), *numbers, f'{row["n_affected"]:.0f}', f'{row["effect"]:.2f}'])
    more = (
        f'<p class="caption">and {len(survivors) - len(shown)} more</p>'
        if len(survivors) > len(shown)
        else ''
    )
    return _table(heads, rows, sortable=True) + more


def _prediction_parts(score: pd.Series, family: Family) -> Iterator[str]:
    prediction = family.prediction
    if prediction is None:
        return
    figure = figures.prediction_figure(score, prediction.predicted, prediction.accuracy)
    text = (
        f'Prediction of participants who were not used to fit the model: {prediction.folds} folds, means of '
        f'{prediction.repeats} repeats.'
    )
    yield picture(f'Prediction by {family.kind}', text, svg_bytes(figure))
    heads = ['model', 'R²', 'r', 'mean absolute error', 'gain in R²', 'p (permuted scores)']
    rows = []
    for model, row in prediction.accuracy.iterrows():
        gain = [f'{row["gain"]:.3f}', f'{row["p"]:.2g}'] if row['gain'] == row['gain'] else ['', '']
        rows.append(
            [
                figures.model_name(str(model)),
                f'{row["r2"]:.3f}',
                f'{row["r"]:.3f}',
                f'{row["mae"]:.3g}',
                *gain,
            ]
        )
    yield _table(heads, rows)
    if prediction.comparison is not None:
        for model, row in prediction.comparison.iterrows():
            better = 'smaller' if row['difference'] > 0 else 'larger'
            yield (
                f'<p>With {family.kind} in addition to {escape(str(family.compared))}, the squared error of {figures.model_name(str(model))} '
                f'is {better} (p = {row["p"]:.2g}, corrected resampled t-test).</p>'
            )


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, sortable: bool = False) -> str:
    if sortable:
        head = ''.join(
            f'<th scope="col"><button type="button">{escape(name)}</button></th>' for name in heads
        )
    else:
        head = ''.join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = ''.join(
        '<tr>' + ''.join(f'<td>{escape(str(cell))}</td>' for cell in row) + '</tr>' for row in rows
    )
    kind = ' class="sortable"' if sortable else ''
    return (
        f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )
