"""Figures of the comparison with null lesions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.reports.figures.style import FAINT, INK, LEFT, LESION, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: statistics that are drawn, with their labels
_NUMBERS = {'streamlines_disconnected': 'streamlines cut', 'voxels_disconnected': 'voxels disconnected'}
_MOST_ROWS = 20
#: significance level
ALPHA = 0.05


def null_figure(statistics: Mapping[str, Any]) -> Figure:
    """Draw the numbers of streamlines and voxels that null lesions disconnect, and those of the lesion.

    Parameters
    ----------
    statistics : mapping
        Content of the statistics file about null lesions.
    """
    figure = new_figure(7.6, 2.6)
    for column, (key, name) in enumerate(_NUMBERS.items()):
        axes = figure.add_subplot(1, 2, column + 1)
        heights, edges = _density(statistics, f'{key}_null_q')
        axes.stairs(heights, edges, fill=True, color='#d9d9d9')
        own, p = float(statistics[key]), float(statistics[f'{key}_p'])
        axes.axvline(own, color=LESION, linewidth=1.8)
        axes.set(xlabel=name, yticks=[], xlim=(0, 1.05 * max(own, edges[-1], 1)))
        axes.spines['left'].set_visible(False)
        axes.set_title(f'the lesion: {own:,.0f} (p {_p_text(p)})', color=LESION, loc='left', fontsize=9)
    figure.axes[0].text(
        0.98,
        0.9,
        'grey: null lesions',
        transform=figure.axes[0].transAxes,
        ha='right',
        color=FAINT,
        fontsize=8,
    )
    figure.tight_layout()
    return figure


def null_table_figure(table: pd.DataFrame) -> Figure:
    """Draw the bundles (or parcels) that the lesion cuts, most unusual first, with the null lesions.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns of the table about null lesions.
    """
    rows = table[table['value'] > 0].sort_values(['p', 'value'], ascending=[True, False]).head(_MOST_ROWS)
    figure = new_figure(7.6, 1.2 + 0.26 * max(len(rows), 3))
    axes = figure.add_subplot()
    at = np.arange(len(rows))
    mean, sd = rows['null_mean'].to_numpy(), rows['null_sd'].to_numpy()
    left, right = np.clip(mean - sd, 0, 100), np.clip(mean + sd, 0, 100)
    axes.barh(at, right - left, left=left, color='#d9d9d9', height=0.55, label='null lesions: mean, one SD')
    axes.plot(mean, at, '|', color=FAINT, markersize=8)
    possible = rows['p_min'].to_numpy() <= ALPHA
    value = rows['value'].to_numpy()
    axes.plot(value[possible], at[possible], 'o', color=LESION, clip_on=False)
    axes.plot(value[~possible], at[~possible], 'o', color=LESION, fillstyle='none', clip_on=False)
    for row, (p, corrected) in enumerate(zip(rows['p'], rows['p_fwe'], strict=True)):
        axes.text(103, row, _p_text(p), va='center', fontsize=8, color=LEFT if p <= ALPHA else INK)
        axes.text(
            116, row, _p_text(corrected), va='center', fontsize=8, color=LEFT if corrected <= ALPHA else INK
        )
    _heads(axes)
    axes.set_yticks(at, [str(name) for name in rows.index])
    axes.set(xlim=(0, 100), ylim=(max(len(rows), 3) - 0.4, -0.6), xlabel='streamlines disconnected (%)')
    axes.tick_params(axis='y', length=0)
    axes.spines['left'].set_visible(False)
    figure.tight_layout(rect=(0, 0, 0.9, 1))
    return figure


def _heads(axes: Axes) -> None:
    for x, name in ((103, 'p'), (116, 'corrected')):
        axes.text(x, -0.9, name, fontsize=8, color=FAINT)


def _density(statistics: Mapping[str, Any], prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """Return heights and edges of a density: steps between distinct quantiles."""
    known: dict[float, int] = {}
    for share in sorted(int(key.removeprefix(prefix)) for key in statistics if key.startswith(prefix)):
        known[float(statistics[f'{prefix}{share}'])] = share  # the last of equal quantiles
    edges, below = np.array(list(known)), np.array([0, *list(known.values())[1:]])
    if len(edges) == 1:
        return np.array([1.0]), np.array([edges[0] - 0.5, edges[0] + 0.5])
    return np.diff(below) / np.diff(edges), edges


def _p_text(p: float) -> str:
    """Format a p value.

    >>> _p_text(0.0123), _p_text(0.0004), _p_text(1.0), _p_text(float('nan'))
    ('.012', '.0004', '1', 'n/a')
    """
    if np.isnan(p):
        return 'n/a'
    text = f'{p:.3f}' if p >= 0.001 else f'{p:.1g}'
    return text.rstrip('0').rstrip('.').removeprefix('0') if p < 1 else '1'
