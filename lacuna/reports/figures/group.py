"""Figures of all lesions of a dataset: distributions, and the parcels that each lesion disconnects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lacuna.images.parcels import by_network, labelled, read_parcel
from lacuna.reports.figures.style import FAINT, INK, LEFT, LESION, PERCENT, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

#: more columns cannot be labelled; parcels are then averaged by network
_MOST_COLUMNS = 60
_MOST_ROWS = 80
_OUTLIER = 3.5


def robust_z(values: np.ndarray) -> np.ndarray:
    """Return the distance of each value from the median in robust standard deviations; 0 if these are 0.

    >>> robust_z(np.array([1.0, 2, 3, 4, 100])).round(2).tolist()
    [-1.35, -0.67, 0.0, 0.67, 65.43]
    """
    values = np.asarray(values, float)
    distance = values - np.median(values)
    spread = np.median(np.abs(distance))
    return 0.6745 * distance / spread if spread > 0 else np.zeros(values.shape)


def outliers(values: np.ndarray) -> np.ndarray:
    """Find values far from the others (robust z above 3.5); none if there are fewer than five values.

    >>> outliers(np.array([1.0, 2, 3, 4, 100])).tolist()
    [False, False, False, False, True]
    """
    if len(values) < 5:
        return np.zeros(len(values), bool)
    return np.abs(robust_z(values)) > _OUTLIER


def distribution_figure(volumes: Sequence[float], cut: Sequence[float]) -> Figure:
    """Draw the distributions of volume (ml, logarithmic) and percentage of streamlines cut, one dot per lesion."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(9.5, 2.9)
    panels = (
        (np.asarray(volumes, float), 'volume (ml)', LESION, True),
        (np.asarray(cut, float), 'streamlines cut (%)', LEFT, False),
    )
    for i, (values, label, colour, logarithmic) in enumerate(panels):
        axes = figure.add_subplot(1, 2, i + 1)
        values = values[values > 0] if logarithmic else values
        axes.set(xlabel=label, ylabel='lesions')
        if not len(values):
            continue
        if logarithmic:
            low, high = np.log10(values.min()), np.log10(values.max())
            edges = list(np.logspace(low - 0.05, high + 0.05, _bins(len(values))))
            axes.set_xscale('log')
        else:
            edges = list(np.linspace(0, max(float(values.max()) * 1.02, 1e-3), _bins(len(values))))
        counts, _ = np.histogram(values, edges)
        axes.hist(values, bins=edges, color=colour, alpha=0.35, linewidth=0)
        axes.plot(values, np.full(len(values), -0.06 * counts.max()), '|', color=colour, markersize=7)
        axes.axvline(float(np.median(values)), color=INK, linewidth=0.9, linestyle='--')
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    figure.tight_layout()
    return figure


def _bins(count: int) -> int:
    return int(np.clip(2 * np.sqrt(count), 6, 30)) + 1


def by_network_means(table: pd.DataFrame) -> pd.DataFrame:
    """Average parcels by network and hemisphere; return the table itself if its names contain no networks.

    Missing values (NaN) are ignored.

    >>> import pandas as pd
    >>> by_network_means(pd.DataFrame([[10.0, 20.0, 5.0]], columns=['LH_Vis_1', 'LH_Vis_2', 'RH_Vis_1']))
       Visual (L)  Visual (R)
    0        15.0         5.0
    """
    parcels = [read_parcel(str(name)) for name in table.columns]
    if not any(parcel.network for parcel in parcels):
        return table
    order = by_network(parcels)
    names = [
        f'{parcels[i].network} ({parcels[i].hemisphere})' if parcels[i].network else 'other' for i in order
    ]
    return table.iloc[:, order].T.groupby(names, sort=False).mean().T


def heat_figure(table: pd.DataFrame) -> Figure:
    """Draw the disconnection of each parcel (or network, if there are many parcels) by each lesion, in percent.

    Parameters
    ----------
    table : pandas.DataFrame
        Lesions in rows, parcels in columns; missing values (NaN) are grey.
    """
    averaged = len(table.columns) > _MOST_COLUMNS
    shown = by_network_means(table) if averaged else table
    width = 9.5
    figure = new_figure(width, 1.9 + 0.2 * min(max(len(shown), 4), _MOST_ROWS))
    axes = figure.add_subplot()
    numbers = shown.to_numpy(float)
    values = np.ma.masked_invalid(np.ma.masked_equal(numbers, 0))
    unknown = np.ma.masked_array(np.ones(numbers.shape), ~np.isnan(numbers))
    axes.imshow(unknown, cmap='Greys', vmin=-1, vmax=9, aspect='auto', interpolation='nearest')
    image = axes.imshow(values, cmap=PERCENT, vmin=0, vmax=100, aspect='auto', interpolation='nearest')
    names = [name if averaged else labelled(read_parcel(str(name))) for name in shown.columns]
    every = -(-len(names) // _MOST_COLUMNS)
    axes.set_xticks(range(0, len(names), every), names[::every], rotation=90, fontsize=7)
    every = -(-len(shown) // _MOST_ROWS)
    axes.set_yticks(range(0, len(shown), every), list(map(str, shown.index))[::every], fontsize=7)
    axes.tick_params(length=2)
    bar = figure.colorbar(image, ax=axes, fraction=0.025, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label('disconnected (%)', color=FAINT)
    figure.tight_layout()
    return figure
