"""Figures of parcels and of the connections between them.

All functions take tables (`pandas`, indexed by the names of the parcels) and return a figure, without reading or
writing files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.images.parcels import Parcel, by_network, labelled, read_parcel, runs
from lacuna.reports.figures.bars import percent_bar
from lacuna.reports.figures.style import FAINT, LEFT, MIDDLE, NETWORKS, PERCENT, RIGHT, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEMISPHERES = {'L': ('left', LEFT), 'R': ('right', RIGHT), '': ('no side', MIDDLE)}
#: more names on one axis are illegible
_MOST_NAMES = 60


def top_parcels(percent: pd.Series, count: int = 20) -> pd.Series:
    """Return the most affected parcels in descending order; unaffected parcels are left out.

    >>> import pandas as pd
    >>> top_parcels(pd.Series({'a': 0.0, 'b': 5.0, 'c': 50.0})).to_dict()
    {'c': 50.0, 'b': 5.0}
    """
    return percent[percent > 0].sort_values(ascending=False, kind='stable').head(count)


def parcel_figure(percent: pd.Series, support: pd.DataFrame | None = None, count: int = 20) -> Figure:
    """Draw bars of the most affected parcels, from 0 to 100 percent, coloured by hemisphere, with intervals.

    Parameters
    ----------
    percent : pandas.Series
        Percentage by parcel.
    support : pandas.DataFrame, optional
        ``low`` and ``high`` in percent, and ``streamlines``, by parcel.
    count : int
        Number of parcels to draw.
    """
    top = top_parcels(percent, count)
    figure = new_figure(7.2, 1.1 + 0.24 * max(len(top), 3))
    axes = figure.add_subplot()
    if top.empty:
        return _nothing(figure, axes, 'no parcel loses a streamline')
    parcels = [read_parcel(str(name)) for name in top.index]
    rows = top.to_frame('value') if support is None else support.reindex(top.index).assign(value=top)
    for at, (parcel, row) in enumerate(zip(parcels, rows.to_dict('records'), strict=True)):
        percent_bar(axes, at, row, _HEMISPHERES[parcel.hemisphere][1], height=0.72)
    axes.set_yticks(range(len(top)), [labelled(parcel) for parcel in parcels])
    axes.set(xlim=(0, 100), ylim=(len(top) - 0.4, -0.6), xlabel='streamlines of the parcel disconnected (%)')
    axes.tick_params(axis='y', length=0)
    axes.spines['left'].set_visible(False)
    _hemisphere_legend(axes, parcels)
    figure.tight_layout()
    return figure


def matrix_figure(percent: pd.DataFrame, full: pd.DataFrame | None) -> Figure:
    """Draw the disconnection matrix, with parcels grouped by network.

    Parameters
    ----------
    percent : pandas.DataFrame
        Square matrix of percentages.
    full : pandas.DataFrame or None
        Streamlines of the whole tractogram; pairs without any are grey.
    """
    parcels = [read_parcel(str(name)) for name in percent.index]
    order = by_network(parcels)
    parcels = [parcels[i] for i in order]
    values = np.ma.masked_equal(percent.to_numpy(float)[np.ix_(order, order)], 0)
    figure = new_figure(8.2, 7.2)
    axes = figure.add_axes((0.2, 0.17, 0.68, 0.78))
    axes.set_facecolor('#ffffff')
    if full is not None:
        none = np.ma.masked_greater(full.to_numpy(float)[np.ix_(order, order)], 0)
        axes.imshow(none, cmap='Greys', vmin=-1, vmax=9, interpolation='nearest')
    image = axes.imshow(values, cmap=PERCENT, vmin=0, vmax=100, interpolation='nearest')
    name_axes(axes, parcels)
    bar = figure.colorbar(image, cax=figure.add_axes((0.905, 0.3, 0.018, 0.4)))
    bar.outline.set_visible(False)
    bar.set_label('connection disconnected (%)')
    note = 'white: nothing lost' + ('; grey: no streamline in the tractogram' if full is not None else '')
    figure.text(0.54, 0.965, note, ha='center', color=FAINT, fontsize=8)
    return figure


def name_axes(axes: Axes, parcels: list[Parcel]) -> None:
    """Label networks (with lines between them) if there are any, else parcels if legible."""
    for spine in axes.spines.values():
        spine.set_visible(True)
    groups = runs([parcel.network for parcel in parcels])
    if any(parcel.network for parcel in parcels):
        ticks = [(first + last - 1) / 2 for _, first, last in groups]
        names = [name or 'other' for name, _, _ in groups]
        for _, first, _ in groups[1:]:
            axes.axhline(first - 0.5, color=FAINT, linewidth=0.6)
            axes.axvline(first - 0.5, color=FAINT, linewidth=0.6)
        for _, first, _ in runs([f'{parcel.network}{parcel.hemisphere}' for parcel in parcels])[1:]:
            axes.axhline(first - 0.5, color=FAINT, linewidth=0.3, linestyle=':')
            axes.axvline(first - 0.5, color=FAINT, linewidth=0.3, linestyle=':')
        size = 9
    else:
        every = -(-len(parcels) // _MOST_NAMES)
        ticks = list(range(0, len(parcels), every))
        names = [labelled(parcels[int(tick)]) for tick in ticks]
        size = 6 if len(ticks) > 30 else 8
    axes.set_xticks(ticks, names, rotation=40 if size == 9 else 90, ha='right' if size == 9 else 'center')
    axes.set_yticks(ticks, names)
    axes.tick_params(length=2, labelsize=size)


def top_edges(
    mask: pd.DataFrame, percent: pd.DataFrame, count: int = 60
) -> list[tuple[int, int, float, float]]:
    """Return the connections with most streamlines cut, in descending order: parcels (indices), number, percentage.

    >>> import pandas as pd
    >>> cut = pd.DataFrame([[0, 2, 7], [2, 0, 0], [7, 0, 0]])
    >>> top_edges(cut, cut * 10.0)
    [(0, 2, 7.0, 70.0), (0, 1, 2.0, 20.0)]
    """
    first, second = np.triu_indices(len(mask), k=1)
    cut, share = mask.to_numpy(float)[first, second], percent.to_numpy(float)[first, second]
    order = [i for i in np.argsort(-cut, kind='stable')[:count] if cut[i] > 0]
    return [(int(first[i]), int(second[i]), float(cut[i]), float(share[i])) for i in order]


def circle_angles(parcels: list[Parcel]) -> np.ndarray:
    """Return the angle of each parcel on a circle (radians, 0 on the right): left hemisphere left, right one mirrored.

    Parcels without a side are at the bottom.
    """
    order = [int(i) for i in by_network(parcels)]
    sides = {side: [i for i in order if parcels[i].hemisphere == side] for side in ('L', 'R', '')}
    angles = np.zeros(len(parcels))
    if not sides['L'] and not sides['R']:
        angles[order] = np.pi / 2 + 0.1 + np.linspace(0, 2 * np.pi - 0.2, len(order))
        return angles
    free = 0.08
    bottom = min(0.9, 0.09 * len(sides['']))
    reach = np.pi - free - bottom / 2 - (free if sides[''] else 0)
    for side, sign in (('L', 1), ('R', -1)):
        members = sides[side]
        angles[members] = np.pi / 2 + sign * np.linspace(free, reach, max(len(members), 1))[: len(members)]
    middle = sides['']
    angles[middle] = -np.pi / 2 + np.linspace(-bottom / 2, bottom / 2, max(len(middle), 2))[: len(middle)]
    return angles


def connectogram_figure(mask: pd.DataFrame, percent: pd.DataFrame, count: int = 60) -> Figure:
    """Draw the connections with most streamlines cut, on a circle of parcels.

    Parameters
    ----------
    mask, percent : pandas.DataFrame
        Number of streamlines cut, and percentage of the connection.
    count : int
        Number of connections to draw.
    """
    import matplotlib as mpl
    from matplotlib.cm import ScalarMappable
    from matplotlib.patches import PathPatch, Wedge
    from matplotlib.path import Path

    parcels = [read_parcel(str(name)) for name in mask.index]
    edges = top_edges(mask, percent, count)
    figure = new_figure(8.2, 6.6)
    axes = figure.add_axes((0.02, 0.02, 0.86, 0.96))
    axes.set(xlim=(-1.7, 1.7), ylim=(-1.55, 1.55), aspect='equal')
    axes.axis('off')
    angles = circle_angles(parcels)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    networks = list(dict.fromkeys(parcel.network for parcel in parcels if parcel.network))
    half = np.degrees(np.pi / max(len(parcels), 1)) * 0.9
    for parcel, angle in zip(parcels, np.degrees(angles), strict=True):
        colour = (
            NETWORKS[networks.index(parcel.network) % len(NETWORKS)]
            if parcel.network
            else _HEMISPHERES['' if networks else parcel.hemisphere][1]
        )
        axes.add_patch(
            Wedge((0, 0), 1.06, angle - half, angle + half, width=0.045, color=colour, linewidth=0)
        )
    colours = mpl.colormaps[PERCENT]
    most = max((cut for _, _, cut, _ in edges), default=1)
    for one, other, cut, share in reversed(edges):
        path = Path([points[one], points[one] * 0.25, points[other] * 0.25, points[other]], [1, 4, 4, 4])
        width = 0.5 + 3.0 * np.sqrt(cut / most)
        axes.add_patch(
            PathPatch(path, fill=False, edgecolor=colours(share / 100), linewidth=width, alpha=0.85)
        )
    _name_points(axes, parcels, angles, sorted({parcel for edge in edges for parcel in edge[:2]}))
    for sign, text in ((-1, 'left'), (1, 'right')):
        if any(parcel.hemisphere for parcel in parcels):
            axes.text(1.35 * sign, 1.4, text, ha='center', color=FAINT, fontsize=10)
    if not edges:
        axes.text(0, 0, 'no connection loses a streamline', ha='center', va='center', color=FAINT)
    scale = ScalarMappable(mpl.colors.Normalize(0, 100), cmap=PERCENT)
    bar = figure.colorbar(scale, cax=figure.add_axes((0.905, 0.55, 0.018, 0.32)))
    bar.outline.set_visible(False)
    bar.set_label('connection disconnected (%)')
    for i, network in enumerate(networks):
        y = 0.42 - 0.028 * i
        figure.text(0.845, y, '\u25a0', color=NETWORKS[i % len(NETWORKS)], fontsize=9)
        figure.text(0.865, y, network, fontsize=8)
    return figure


def _name_points(axes: Axes, parcels: list[Parcel], angles: np.ndarray, named: list[int]) -> None:
    """Write the names of connected parcels along the radius, if there is room beside the previous name."""
    taken: list[float] = []
    for i in sorted(named, key=lambda i: angles[i]):
        angle = angles[i]
        if any(abs((angle - other + np.pi) % (2 * np.pi) - np.pi) < 0.035 for other in taken):
            continue
        taken.append(angle)
        left = np.cos(angle) < 0
        axes.text(
            1.09 * np.cos(angle),
            1.09 * np.sin(angle),
            parcels[i].short,
            rotation=np.degrees(angle) + (180 if left else 0),
            rotation_mode='anchor',
            ha='right' if left else 'left',
            va='center',
            fontsize=7,
        )


def _hemisphere_legend(axes: Axes, parcels: list[Parcel]) -> None:
    from matplotlib.patches import Patch

    seen = {parcel.hemisphere for parcel in parcels}
    if seen != {''}:
        handles: list[Any] = [
            Patch(color=colour, label=name) for side, (name, colour) in _HEMISPHERES.items() if side in seen
        ]
        axes.legend(
            handles=handles, loc='lower right', bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=8
        )


def _nothing(figure: Figure, axes: Axes, text: str) -> Figure:
    axes.axis('off')
    axes.text(0.5, 0.5, text, ha='center', va='center', color=FAINT, transform=axes.transAxes)
    return figure
