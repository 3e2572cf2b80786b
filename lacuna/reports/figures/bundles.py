"""Figures of bundles, and of lesion load against disconnection.

All functions take tables (`pandas`) and return a figure, without reading or writing files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lacuna.images.bundle_names import SYSTEMS, read_bundle
from lacuna.images.parcels import labelled, read_parcel
from lacuna.reports.figures.bars import percent_bar
from lacuna.reports.figures.style import FAINT, LEFT, MIDDLE, RIGHT, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIDES = {'L': ('left', LEFT), 'R': ('right', RIGHT), '': ('no side', MIDDLE)}
#: gap above each system, in rows
_GAP = 0.7
#: number of parcels named in the figure of load and disconnection
_NAMED = 8
#: size of a name in it, in percent
_WIDE, _HIGH = 25.0, 2.5


def bundle_rows(table: pd.DataFrame, count: int = 30) -> list[tuple[str, str, dict[str, str]]]:
    """Return the most affected bundles as rows of a figure: system, short name, and the name in the table by side.

    Both sides of a bundle are in one row if either is among the most affected; unaffected bundles are left out. The
    order of systems and bundles is fixed, so that figures can be compared.

    >>> import pandas as pd
    >>> values = {'AF_L': 40.0, 'AF_R': 0.0, 'CST_L': 2.0, 'CC': 0.0}
    >>> bundle_rows(pd.DataFrame({'value': values}))
    [('association', 'AF', {'L': 'AF_L', 'R': 'AF_R'}), ('projection', 'CST', {'L': 'CST_L'})]
    """
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for name in map(str, table.index):
        bundle = read_bundle(name)
        key = (bundle.system, bundle.short)
        # bundles with the same short name and side get rows of their own
        while bundle.side in rows.get(key, {}):
            key = (bundle.system, name)
        rows.setdefault(key, {})[bundle.side] = name
    most = {key: max(table['value'].fillna(0)[list(sides.values())]) for key, sides in rows.items()}
    shown = sorted((key for key in rows if most[key] > 0), key=lambda key: -most[key])[:count]
    return [
        (system, short, sides)
        for wanted in SYSTEMS
        for (system, short), sides in rows.items()
        if system == wanted and (system, short) in shown
    ]


def bundle_figure(table: pd.DataFrame, count: int = 30) -> Figure:
    """Draw bars of the most affected bundles, by system and side, with intervals.

    Parameters
    ----------
    table : pandas.DataFrame
        ``value``, ``low`` and ``high`` in percent, and ``streamlines``, by bundle.
    count : int
        Number of bundles to draw, both sides counting as one.
    """
    rows = bundle_rows(table, count)
    bars = sum(len(sides) for _, _, sides in rows)
    systems = len({system for system, _, _ in rows})
    figure = new_figure(7.2, 1.1 + 0.19 * max(bars + 0.5 * len(rows) + 1.5 * systems, 4))
    axes = figure.add_subplot()
    if not rows:
        axes.axis('off')
        axes.text(
            0.5, 0.5, 'no bundle loses a streamline', ha='center', color=FAINT, transform=axes.transAxes
        )
        return figure
    values = {str(name): row for name, row in table.to_dict('index').items()}
    at, ticks, names, seen, before = 0.0, [], [], set(), ''
    for system, short, sides in rows:
        if system != before:
            axes.text(0, at + _GAP - 0.15, system, color=FAINT, fontsize=8, va='center')
            at, before = at + 1 + _GAP, system
        places = []
        for side in sorted(sides, key='LR'.find):
            percent_bar(axes, at, values[sides[side]], _SIDES[side][1])
            seen.add(side)
            places.append(at)
            at += 1
        ticks.append(float(np.mean(places)))
        names.append(short)
        at += 0.5
    axes.set_yticks(ticks, names)
    axes.set(xlim=(0, 100), ylim=(at, -0.2), xlabel='streamlines of the bundle disconnected (%)')
    axes.tick_params(axis='y', length=0)
    axes.spines['left'].set_visible(False)
    _legend(axes, seen)
    figure.tight_layout()
    return figure


def load_figure(load: pd.Series, disconnection: pd.Series) -> Figure:
    """Draw disconnection against lesion load, one point per parcel.

    Parameters
    ----------
    load, disconnection : pandas.Series
        Percentages by parcel; parcels without both values are left out.
    """
    known = load.notna() & disconnection.reindex(load.index).notna()
    load, disconnection = load[known], disconnection.reindex(load.index)[known]
    parcels = [read_parcel(str(name)) for name in load.index]
    figure = new_figure(6.2, 5.2)
    axes = figure.add_subplot()
    axes.plot([0, 100], [0, 100], color='#dddddd', linewidth=0.8, zorder=0)
    colours = [_SIDES[parcel.hemisphere][1] for parcel in parcels]
    axes.scatter(load, disconnection, c=colours, s=18, alpha=0.8, linewidths=0)
    axes.set(
        xlim=(-2, 102),
        ylim=(-2, 102),
        xlabel='lesion load of the parcel (%)',
        ylabel='streamlines of the parcel disconnected (%)',
    )
    total = load.to_numpy() + disconnection.to_numpy()
    taken: list[tuple[float, float]] = []
    for row in np.argsort(-total, kind='stable'):
        x, y = float(load.iloc[row]), float(disconnection.iloc[row])
        free = all(abs(x - other) > _WIDE or abs(y - beside) > _HIGH for other, beside in taken)
        if total[row] > 0 and free and len(taken) < _NAMED:
            taken.append((x, y))
            axes.annotate(
                labelled(parcels[row]),
                (x, y),
                xytext=(-4 if x > 60 else 4, 3),
                textcoords='offset points',
                ha='right' if x > 60 else 'left',
                fontsize=7,
            )
    _legend(axes, {parcel.hemisphere for parcel in parcels})
    figure.tight_layout()
    return figure


def _legend(axes: Axes, seen: set[str]) -> None:
    from matplotlib.patches import Patch

    if seen - {''}:
        handles = [Patch(color=colour, label=name) for side, (name, colour) in _SIDES.items() if side in seen]
        axes.legend(
            handles=handles, loc='lower right', bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=8
        )
