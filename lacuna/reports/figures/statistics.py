"""Figures of an analysis of scores: participants, power, results, and accuracy of the prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lacuna.images.parcels import by_network, labelled, read_parcel
from lacuna.reports.figures.connectivity import name_axes
from lacuna.reports.figures.style import FAINT, INK, LEFT, LESION, MIDDLE, RIGHT, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

#: colour map for signed statistics: blue below 0, red above
SIGNED = 'RdBu_r'
_MOST_BARS = 25
_NAMES = {'baseline': 'covariates alone', 'ridge': 'ridge regression', 'pls': 'partial least squares'}


def score_figure(score: pd.Series, covariates: pd.DataFrame) -> Figure:
    """Draw the distribution of the scores, and the scores against up to three covariates."""
    from matplotlib.ticker import MaxNLocator

    shown = list(covariates)[-3:]
    figure = new_figure(3.2 * (1 + max(len(shown), 1)), 2.9)
    panels = 1 + max(len(shown), 1)
    axes = figure.add_subplot(1, panels, 1)
    values = score.to_numpy(float)
    bins = int(np.clip(2 * np.sqrt(len(values)), 6, 30))
    axes.hist(values, bins, color=LESION, alpha=0.35, linewidth=0)
    highest = np.histogram(values, bins)[0].max()
    axes.plot(values, np.full(len(values), -0.06 * highest), '|', color=LESION, markersize=7)
    axes.axvline(float(np.median(values)), color=INK, linewidth=0.9, linestyle='--')
    axes.set(xlabel=str(score.name), ylabel='participants')
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    for i, name in enumerate(shown):
        axes = figure.add_subplot(1, panels, 2 + i)
        known = covariates[name].to_numpy(float)
        axes.plot(known, values, 'o', color=LEFT, alpha=0.5, markersize=4, markeredgewidth=0)
        slope, start = np.polyfit(known, values, 1)
        ends = np.array([known.min(), known.max()])
        axes.plot(ends, start + slope * ends, color=INK, linewidth=0.9)
        r = np.corrcoef(known, values)[0, 1]
        axes.set(xlabel=str(name), ylabel=str(score.name), title=f'r = {r:.2f}')
    figure.tight_layout()
    return figure


def power_figure(
    affected: np.ndarray, fewest: int, curves: Mapping[str, np.ndarray], participants: int
) -> Figure:
    """Draw how many participants the features affect, and the power to find effects of some sizes there.

    Parameters
    ----------
    affected : numpy.ndarray
        Number of participants that each tested feature affects.
    fewest : int
        Minimum number of participants that a feature must affect.
    curves : mapping
        Power for 0, 1, ... affected participants (0 to 1), by name of the effect size.
    participants : int
    """
    figure = new_figure(9.5, 3.1)
    axes = figure.add_subplot()
    step = max(1, -(-participants // 40))
    axes.hist(
        affected,
        list(np.arange(0, participants + step + 1, step) - 0.5),
        color=MIDDLE,
        alpha=0.4,
        linewidth=0,
    )
    axes.axvline(fewest - 0.5, color=FAINT, linewidth=0.8, linestyle=':')
    axes.set(
        xlabel='participants in whom a feature is affected', ylabel='features tested', xlim=(0, participants)
    )
    right = axes.twinx()
    for (name, curve), colour in zip(curves.items(), (LEFT, RIGHT, LESION), strict=False):
        right.plot(np.arange(len(curve)), 100 * curve, color=colour, linewidth=1.6, label=name)
    right.axhline(80, color=FAINT, linewidth=0.6, linestyle='--')
    right.set(ylabel='probability of finding an effect (%)', ylim=(0, 102))
    right.spines['right'].set_visible(True)
    figure.legend(
        *right.get_legend_handles_labels(), loc='outside upper center', ncols=3, frameon=False, fontsize=8
    )
    figure.subplots_adjust(left=0.08, right=0.92, bottom=0.16, top=0.9)
    return figure


def bar_figure(table: pd.DataFrame, critical: float, what: str) -> Figure:
    """Draw the largest statistics as bars, coloured if the family-wise p is at most .05.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``t`` and ``p_fwe`` by feature; edges are indexed by two names.
    critical : float
        Critical value of the statistic.
    what : str
        Name of the statistic.
    """
    top = table.sort_values('t', key=abs, ascending=False, kind='stable')[:_MOST_BARS]
    names = [_name(each) for each in top.index]
    figure = new_figure(8.2, 1.0 + 0.23 * max(len(top), 3))
    axes = figure.add_subplot()
    rows = np.arange(len(top))
    colours = [LESION if found else MIDDLE for found in top['p_fwe'] <= 0.05]
    axes.barh(rows, top['t'], color=colours, height=0.72, alpha=0.9, linewidth=0)
    reach = 1.08 * max(float(top['t'].abs().max()), critical if np.isfinite(critical) else 0.0)
    for sign in (-1, 1):
        if np.isfinite(critical):
            axes.axvline(sign * critical, color=INK, linewidth=0.8, linestyle='--')
    axes.axvline(0, color=FAINT, linewidth=0.8)
    ends = (
        -reach if (top['t'] < 0).any() else -0.02 * reach,
        reach if (top['t'] > 0).any() else 0.02 * reach,
    )
    axes.set(xlim=ends, ylim=(len(top) - 0.4, -0.6), xlabel=what)
    axes.set_yticks(rows, names)
    axes.tick_params(axis='y', length=0)
    axes.spines['left'].set_visible(False)
    figure.tight_layout()
    return figure


def _name(feature: object) -> str:
    if isinstance(feature, tuple):
        return ' \u2013 '.join(labelled(read_parcel(str(each))) for each in feature)
    return labelled(read_parcel(str(feature)))


def edge_figure(table: pd.DataFrame) -> Figure:
    """Draw the statistics of all edges as a matrix; below the diagonal, only the significant ones.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``t`` and ``p_fwe`` by pair of parcels.
    """
    import pandas as pd

    pairs = pd.MultiIndex.from_tuples(list(table.index))
    names = list(dict.fromkeys([*pairs.get_level_values(0), *pairs.get_level_values(1)]))
    parcels = [read_parcel(str(name)) for name in names]
    place = np.argsort(by_network(parcels))
    at = {name: int(place[i]) for i, name in enumerate(names)}
    values = np.full((len(names), len(names)), np.nan)
    for (one, other), t, p in zip(table.index, table['t'], table['p_fwe'], strict=True):
        low, high = sorted((at[one], at[other]))
        values[low, high] = t
        if p <= 0.05:
            values[high, low] = t
    figure = new_figure(8.2, 7.2)
    axes = figure.add_axes((0.2, 0.17, 0.68, 0.78))
    highest = float(np.nanmax(np.abs(values)))
    image = axes.imshow(values, cmap=SIGNED, vmin=-highest, vmax=highest, interpolation='nearest')
    name_axes(axes, [parcels[i] for i in by_network(parcels)])
    axes.plot([-0.5, len(names) - 0.5], [-0.5, len(names) - 0.5], color=FAINT, linewidth=0.6)
    bar = figure.colorbar(image, cax=figure.add_axes((0.905, 0.3, 0.018, 0.4)))
    bar.outline.set_visible(False)
    bar.set_label('t')
    figure.text(
        0.54,
        0.965,
        'above the diagonal: all edges tested; below: family-wise p \u2264 .05',
        ha='center',
        color=FAINT,
        fontsize=8,
    )
    return figure


def prediction_figure(score: pd.Series, predicted: pd.DataFrame, accuracy: pd.DataFrame) -> Figure:
    """Draw predicted against observed scores of each model, for participants not used to fit it."""
    models = [str(model) for model in predicted]
    figure = new_figure(3.2 * len(models), 3.3)
    low = min(float(score.min()), float(predicted.to_numpy().min()))
    high = max(float(score.max()), float(predicted.to_numpy().max()))
    room = 0.04 * (high - low)
    for i, model in enumerate(models):
        axes = figure.add_subplot(1, len(models), i + 1)
        axes.plot([low, high], [low, high], color=FAINT, linewidth=0.8, linestyle='--')
        colour = MIDDLE if model == 'baseline' else LEFT
        axes.plot(score, predicted[model], 'o', color=colour, alpha=0.55, markersize=4, markeredgewidth=0)
        axes.set(
            xlim=(low - room, high + room),
            ylim=(low - room, high + room),
            aspect='equal',
            xlabel=f'{score.name}, observed',
            ylabel='predicted' if i == 0 else '',
            title=f'{_NAMES.get(model, model)}: R² = {float(accuracy["r2"].loc[model]):.2f}',
        )
    figure.tight_layout()
    return figure


def model_name(model: str) -> str:
    """Return the display name of a model.

    >>> model_name('both_ridge')
    'both together, ridge regression'
    """
    first, _, rest = model.partition('_')
    groups = {'other': 'compared features alone', 'both': 'both together'}
    return (
        f'{groups[first]}, {_NAMES.get(rest, rest)}' if first in groups and rest else _NAMES.get(model, model)
    )


def levels(sizes: Sequence[float]) -> list[str]:
    """Return the display names of effect sizes.

    >>> levels([0.5])
    ['difference of 0.5 SD']
    """
    return [f'difference of {size:g} SD' for size in sizes]
