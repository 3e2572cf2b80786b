"""Figures of the brain: the lesion, the disconnection map, and the streamlines cut.

All functions take arrays in the common frame (`lacuna.reports.figures.frame`) and return a figure, without reading or
writing files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.reports.figures.frame import ORIGIN, SHAPE, Template
from lacuna.reports.figures.style import FAINT, LESION, PERCENT, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_AXES = 'xyz'
_CUTS = (6, 7, 7)  # per plane, to fill a row
_WIDTH = 6 * SHAPE[1] + 15  # of a row in mm
_UNSUPPORTED = '#c4c4c4'
_CONTOUR = '#00e5d4'  # does not occur in the colour map of percentages


def cut_positions(mask: np.ndarray, axis: int, count: int) -> list[int]:
    """Return the indices of `count` cuts spread over a mask, each through the mask if it is large enough.

    >>> mask = np.zeros((30, 1, 1), bool)
    >>> mask[5:26] = True
    >>> cut_positions(mask, 0, 3)
    [5, 15, 25]
    >>> mask[:] = False
    >>> mask[9] = True
    >>> cut_positions(mask, 0, 3)
    [7, 9, 11]
    """
    size = mask.shape[axis]
    hit = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
    if not len(hit):
        return np.linspace(0.2 * size, 0.8 * size, count).astype(int).tolist()
    low, high = int(hit[0]), int(hit[-1])
    if high - low < 2 * (count - 1):
        low = min(max((low + high) // 2 - (count - 1), 0), size - 2 * count + 1)
        return list(range(low, low + 2 * count, 2))
    wanted = np.linspace(low, high, count)
    return [int(hit[np.abs(hit - position).argmin()]) for position in wanted]


def lesion_figure(template: Template, lesion: np.ndarray) -> Figure:
    """Draw the lesion on the template, in three planes.

    Parameters
    ----------
    template : Template
    lesion : numpy.ndarray
        Boolean array.
    """
    figure, rows = _mosaic(template, lesion)
    for axes, row in rows:
        marked = np.ma.masked_equal(row(lesion), 0)
        axes.imshow(marked, cmap=_one_colour(LESION), alpha=0.55, vmin=0, vmax=1, **_AS_IS)
        _contour(axes, row(lesion), LESION)
        if is_small(lesion):
            _circle_small(axes, row, lesion)
    return figure


def is_small(lesion: np.ndarray) -> bool:
    """Whether a lesion is hard to find in a figure: less than a centimetre along each axis.

    >>> lesion = np.zeros(SHAPE, bool)
    >>> lesion[80:84, 80:82, 80] = True
    >>> is_small(lesion)
    True
    """
    voxels = np.argwhere(lesion)
    return bool(len(voxels)) and bool((np.ptp(voxels, axis=0) < 10).all())


def map_figure(
    template: Template,
    percent: np.ndarray,
    lesion: np.ndarray | None,
    *,
    unsupported: np.ndarray | None = None,
    highest: float = 100.0,
    label: str = 'disconnected (%)',
) -> Figure:
    """Draw a map of percentages on the template, in three planes, with the outline of the lesion.

    Parameters
    ----------
    template : Template
    percent : numpy.ndarray
    lesion : numpy.ndarray or None
        Boolean array.
    unsupported : numpy.ndarray, optional
        Boolean array; voxels of too few streamlines, which are hatched.
    highest : float
        Upper end of the colour scale; the lower end is 0.
    label : str
        Label of the colour scale.
    """
    figure, rows = _mosaic(template, _bulk(percent > 0), bar=True)
    for axes, row in rows:
        shown = np.ma.masked_less_equal(row(percent), 0)
        image = axes.imshow(shown, cmap=PERCENT, alpha=0.9, vmin=0, vmax=highest, **_AS_IS)
        if unsupported is not None:
            _hatch(axes, row(unsupported))
        if lesion is not None:
            _contour(axes, row(lesion), _CONTOUR)
    colour_bar(figure, image, figure.add_axes((0.94, 0.3, 0.012, 0.4)), highest, label)
    return figure


def statistic_figure(template: Template, values: np.ndarray, found: np.ndarray, label: str) -> Figure:
    """Draw a signed statistic on the template, in three planes, with the outline of the significant voxels.

    Parameters
    ----------
    template : Template
    values : numpy.ndarray
        The statistic; 0 where nothing was tested.
    found : numpy.ndarray
        Boolean array of significant voxels.
    label : str
        Label of the colour scale.
    """
    figure, rows = _mosaic(template, _bulk(found if found.any() else values != 0), bar=True)
    highest = float(np.abs(values).max()) or 1.0
    for axes, row in rows:
        shown = np.ma.masked_equal(row(values), 0)
        image = axes.imshow(shown, cmap='RdBu_r', alpha=0.85, vmin=-highest, vmax=highest, **_AS_IS)
        _contour(axes, row(found), 'black')
    colour_bar(figure, image, figure.add_axes((0.94, 0.3, 0.012, 0.4)), highest, label)
    return figure


def glass_figure(
    template: Template,
    percent: np.ndarray,
    lesion: np.ndarray | None,
    *,
    unsupported: np.ndarray | None = None,
    auto: float | None = None,
) -> Figure:
    """Draw the highest supported percentage along each line of sight, in a glass brain.

    Parameters
    ----------
    template : Template
    percent : numpy.ndarray
    lesion : numpy.ndarray or None
        Boolean array, drawn as outline.
    unsupported : numpy.ndarray, optional
        Boolean array; voxels of too few streamlines. Lines of sight with no other voxels are grey.
    auto : float, optional
        Upper end of the colour scale of a second row; the scale of the first row ends at 100.
    """
    scales = [100.0] + ([auto] if auto else [])
    supported = percent if unsupported is None else np.where(unsupported, 0, percent)
    figure = new_figure(11.5, 3.5 * len(scales))
    for i, highest in enumerate(scales):
        panels = _glass(figure, template, i, len(scales))
        for axis, axes in enumerate(panels):
            seen = {'extent': _extent(axis), **_AS_IS}
            if unsupported is not None:
                below = np.ma.masked_equal(unsupported.any(axis=axis).T, 0)
                axes.imshow(below, cmap=_one_colour(_UNSUPPORTED), vmin=0, vmax=1, **seen)
            projected = np.ma.masked_less_equal(supported.max(axis=axis).T, 0)
            image = axes.imshow(projected, cmap=PERCENT, vmin=0, vmax=highest, **seen)
            if lesion is not None and lesion.any():
                _outline(axes, lesion.any(axis=axis), axis, _CONTOUR, 1.4)
        bottom = (len(scales) - 1 - i) / len(scales)
        bar = figure.add_axes((0.945, bottom + 0.2 / len(scales), 0.012, 0.6 / len(scales)))
        colour_bar(figure, image, bar, highest)
    return figure


def streamline_figure(
    template: Template, streamlines: Sequence[np.ndarray], lesion: np.ndarray | None
) -> Figure:
    """Draw streamlines in a glass brain, coloured by direction (red: left-right, green: front-back, blue: up-down).

    Parameters
    ----------
    template : Template
    streamlines : sequence of numpy.ndarray
        Each (vertices, 3), world mm.
    lesion : numpy.ndarray or None
        Boolean array, drawn as outline.
    """
    from matplotlib.collections import LineCollection

    figure = new_figure(11.5, 3.5)
    segments, colours = direction_segments(streamlines)
    for axis, axes in enumerate(_glass(figure, template, 0, 1)):
        plane = [other for other in range(3) if other != axis]
        axes.add_collection(
            LineCollection(
                list(segments[..., plane]), colors=colours, linewidths=0.55, alpha=0.5, capstyle='round'
            )
        )
        if lesion is not None and lesion.any():
            _outline(axes, lesion.any(axis=axis), axis, 'black', 1.6)
            _outline(axes, lesion.any(axis=axis), axis, 'white', 0.8)
    for i, (text, colour) in enumerate((('left-right', 'red'), ('front-back', 'green'), ('up-down', 'blue'))):
        figure.text(0.95, 0.58 - 0.07 * i, text, color=colour, ha='center', fontsize=9)
    return figure


def direction_segments(streamlines: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the segments of streamlines, (segments, 2, 3), and the colour of their directions, (segments, 3).

    >>> pieces, colours = direction_segments([np.array([[0.0, 0, 0], [0, -3, 0]])])
    >>> pieces.shape, colours.tolist()
    ((1, 2, 3), [[0.0, 1.0, 0.0]])
    """
    lines = [line for line in streamlines if len(line) > 1]
    if not lines:
        return np.empty((0, 2, 3)), np.empty((0, 3))
    pieces = np.concatenate([np.stack([line[:-1], line[1:]], axis=1) for line in lines]).astype(float)
    step = np.abs(pieces[:, 1] - pieces[:, 0])
    length = np.linalg.norm(step, axis=1, keepdims=True)
    return pieces, np.divide(step, length, out=np.zeros_like(step), where=length > 0)


_AS_IS: dict[str, Any] = {'origin': 'lower', 'interpolation': 'nearest', 'rasterized': True}


def _mosaic(
    template: Template, shown: np.ndarray, bar: bool = False
) -> tuple[Figure, list[tuple[Axes, Any]]]:
    """Draw three rows of cuts through the shown voxels; return the axes, with functions that cut images."""
    right = 0.93 if bar else 1.0
    heights = [SHAPE[2], SHAPE[2], SHAPE[1]]
    gap = 14  # below each row, for its labels
    total = sum(heights) + 3 * gap
    width = 11.5
    figure = new_figure(width, width * right * total / _WIDTH)
    rows, bottom = [], total
    for axis, height in enumerate(heights):
        bottom -= height + gap
        axes = figure.add_axes((0, bottom / total, right, (height + gap) / total))
        axes.axis('off')
        positions = cut_positions(shown, axis, _CUTS[axis])
        row = _Row(axis, positions)
        values = row(template.t1w)
        axes.imshow(
            np.ma.masked_array(values, row(template.brain) == 0), cmap='gray', vmin=-0.15, vmax=1.25, **_AS_IS
        )
        for i, position in enumerate(positions):
            axes.text(row.centre(i), -3, f'{_AXES[axis]} = {position + ORIGIN[axis]}', ha='center', va='top')
            if axis:
                axes.text(row.centre(i) - 45, -3, 'L', ha='center', va='top', color=FAINT)
                axes.text(row.centre(i) + 45, -3, 'R', ha='center', va='top', color=FAINT)
        axes.set(xlim=(0, _WIDTH), ylim=(-gap, height))
        rows.append((axes, row))
    return figure, rows


def _bulk(shown: np.ndarray) -> np.ndarray:
    """Trim the outermost percent of the voxels along each axis, where cuts would be almost empty."""
    voxels = np.argwhere(shown)
    kept = np.zeros_like(shown)
    if len(voxels):
        low, high = np.percentile(voxels, (1, 99), axis=0).astype(int)
        box = tuple(slice(first, last + 1) for first, last in zip(low, high, strict=True))
        kept[box] = shown[box]
    return kept


class _Row:
    """Cut images at some positions, and place the cuts side by side."""

    def __init__(self, axis: int, positions: Sequence[int]) -> None:
        self.axis, self.positions = axis, positions
        self._size = SHAPE[1] if axis == 0 else SHAPE[0]
        self._starts = np.linspace(0, _WIDTH - self._size, len(positions)).astype(int)

    def centre(self, i: int) -> float:
        return float(self._starts[i] + self._size / 2)

    def left(self, i: int) -> int:
        return int(self._starts[i])

    def __call__(self, image: np.ndarray) -> np.ndarray:
        row = np.zeros((SHAPE[1] if self.axis == 2 else SHAPE[2], _WIDTH), np.float32)
        for start, position in zip(self._starts, self.positions, strict=True):
            cut = image.take(position, axis=self.axis).T
            row[:, start : start + self._size] = np.where(cut != 0, cut, row[:, start : start + self._size])
        return row


def _circle_small(axes: Axes, row: _Row, lesion: np.ndarray) -> None:
    from matplotlib.patches import Circle

    for i, position in enumerate(row.positions):
        cut = lesion.take(position, axis=row.axis)
        if cut.any():
            across, up = np.argwhere(cut).mean(axis=0)
            place = (row.left(i) + across, up)
            axes.add_patch(Circle(place, 9, fill=False, edgecolor=LESION, linewidth=1.2))


def _hatch(axes: Axes, row: np.ndarray) -> None:
    if row.any():
        axes.contourf(row, levels=[0.5, 1.5], colors='none', hatches=['/' * 9])


def _contour(axes: Axes, row: np.ndarray, colour: str) -> None:
    if row.any():
        axes.contour(row, levels=[0.5], colors=colour, linewidths=1.0)


def _glass(figure: Figure, template: Template, row: int, rows: int) -> list[Axes]:
    """Draw side, front and top views of a glass brain."""
    widths = [SHAPE[1], SHAPE[0], SHAPE[0]]
    tallest, left, panels = SHAPE[1], 0.0, []
    unit = 0.92 / (sum(widths) + 30)
    for axis, width in enumerate(widths):
        box = (left, (rows - 1 - row) / rows, width * unit, 1 / rows)
        axes = figure.add_axes(box)
        axes.axis('off')
        axes.set_aspect('equal')
        depth = template.brain.sum(axis=axis)
        seen = template.t1w.sum(axis=axis) / np.maximum(depth, 25)
        shade = np.ma.masked_array(seen.T, depth.T == 0)
        axes.imshow(shade, cmap='gray', vmin=-2.6, vmax=0.95, extent=_extent(axis), **_AS_IS)
        _outline(axes, template.brain.any(axis=axis), axis, '#555555', 0.9)
        low, high = np.array(ORIGIN), np.array(ORIGIN) + SHAPE
        across, up = (other for other in range(3) if other != axis)
        middle = (low[up] + high[up]) / 2
        axes.set(
            xlim=(low[across] - 3, high[across] + 3),
            ylim=(middle - tallest / 2 - 3, middle + tallest / 2 + 3),
        )
        if axis:
            axes.text(low[across] + 2, middle + SHAPE[up] / 2 - 10, 'L', color=FAINT)
            axes.text(high[across] - 10, middle + SHAPE[up] / 2 - 10, 'R', color=FAINT)
        panels.append(axes)
        left += (width + 15) * unit
    return panels


def _extent(axis: int) -> tuple[float, float, float, float]:
    across, up = (other for other in range(3) if other != axis)
    return (
        ORIGIN[across] - 0.5,
        ORIGIN[across] + SHAPE[across] - 0.5,
        ORIGIN[up] - 0.5,
        ORIGIN[up] + SHAPE[up] - 0.5,
    )


def _outline(axes: Axes, flat: Any, axis: int, colour: str, width: float) -> None:
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(flat.T.astype(np.float32), 0.7)
    axes.contour(smooth, levels=[0.45], colors=colour, linewidths=width, extent=_extent(axis), origin='lower')


def colour_bar(
    figure: Figure, image: Any, axes: Axes, highest: float, label: str = 'disconnected (%)'
) -> None:
    from matplotlib.ticker import MaxNLocator

    ticks = np.linspace(0, 100, 5) if highest == 100 else MaxNLocator(4, integer='number' in label)
    bar = figure.colorbar(image, cax=axes, ticks=ticks)
    bar.outline.set_visible(False)
    axes.tick_params(length=2, labelsize=8)
    axes.set_ylabel(label, fontsize=8)


def _one_colour(colour: str) -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap([colour])
