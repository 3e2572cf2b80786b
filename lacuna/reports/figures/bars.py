"""Bars of percentages with intervals, of bundles or parcels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.reports.figures.style import FAINT, INK, LEFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def percent_bar(axes: Axes, at: float, row: Mapping[Any, Any], colour: str, *, height: float = 0.8) -> None:
    """Draw a horizontal bar from 0 to 100 percent.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    at : float
        Position of the bar.
    row : mapping
        ``value`` (NaN for none) and optionally ``low`` and ``high``, the ends of its interval, and ``streamlines``, its
        denominator, or ``text`` to write instead.
    colour : str
    height : float
    """
    value = row['value']
    if np.isnan(value):
        axes.text(1, at, 'no streamline', va='center', color=FAINT, fontsize=7)
        return
    axes.barh(at, 100, color='#f1f1f1', height=height)
    axes.barh(at, value, color=colour, height=height)
    low, high = row.get('low', value), row.get('high', value)
    if high > low:
        axes.plot([low, high], [at, at], color=INK, linewidth=0.9, solid_capstyle='butt')
    left = high > 78
    text = f'{value:.1f}' + (f' of {int(row["streamlines"]):,}' if 'streamlines' in row else '')
    axes.text(
        (min(low, value) if left else max(high, value)) + (-1 if left else 1),
        at,
        row.get('text', text),
        va='center',
        ha='right' if left else 'left',
        color='white' if left and colour == LEFT else INK,
        fontsize=7,
    )
