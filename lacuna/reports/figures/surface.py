"""Figures of parcels on the cortical surface.

The meshes never change, so the vertices behind each pixel are computed once per process; drawing a figure then only
assigns colours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from lacuna.images.cortex import hemisphere
from lacuna.reports.figures.brain import colour_bar
from lacuna.reports.figures.style import FAINT, PERCENT, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: hemisphere, visible side, and direction in which the front of the brain points
VIEWS = (('left', 'lateral', -1), ('left', 'medial', 1), ('right', 'medial', -1), ('right', 'lateral', 1))
#: pixels: width of a figure, width and height of a view, pixels per mm; each is drawn as 2 x 2
_PAGE = 1380
_WIDTH, _HEIGHT = 310, 236
_SCALE = 1.42
_FINER = 2


@dataclass(frozen=True)
class View:
    """The part of the surface that is visible in each pixel of a view.

    Attributes
    ----------
    seen : numpy.ndarray
        (rows, columns), bool: whether the pixel shows the surface.
    corners : numpy.ndarray
        (visible pixels, 3), vertices of the triangle in each pixel.
    weights : numpy.ndarray
        (visible pixels, 3), barycentric weights of these vertices, which sum to 1.
    light : numpy.ndarray
        (visible pixels,), brightness from 0 to 1.
    """

    seen: np.ndarray
    corners: np.ndarray
    weights: np.ndarray
    light: np.ndarray


@cache
def view(side: str, front: int) -> View:
    """Compute what is visible of a hemisphere from one side.

    Parameters
    ----------
    side : str
        ``left`` or ``right``.
    front : int
        -1 if the front of the brain points to the left, 1 if to the right.
    """
    mesh = hemisphere(side)
    places = mesh.inflated - (mesh.inflated.max(axis=0) + mesh.inflated.min(axis=0)) / 2
    # viewed along x, from the side on which y points to `front`
    across, up, near = front * places[:, 1], places[:, 2], front * places[:, 0]
    size = np.array([_WIDTH, _HEIGHT]) * _FINER
    points = np.stack([across, up], axis=1) * _SCALE * _FINER + size / 2
    edges = places[mesh.faces[:, 1:]] - places[mesh.faces[:, :1]]
    normals = np.cross(edges[:, 0], edges[:, 1])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    faces = np.flatnonzero(front * normals[:, 0] > 0)
    faces = faces[np.argsort(near[mesh.faces[faces]].mean(axis=1), kind='stable')]
    shown = _top_face(points[mesh.faces[faces]], size)
    seen = shown >= 0
    face = faces[shown[seen]]
    corners = mesh.faces[face]
    rows, columns = np.nonzero(seen)
    weights = _barycentric(np.stack([columns, rows], axis=1) + 0.5, points[corners])
    vertex_normals = np.zeros_like(places)
    for corner in range(3):
        np.add.at(vertex_normals, mesh.faces[:, corner], normals)
    vertex_normals /= np.linalg.norm(vertex_normals, axis=1, keepdims=True)
    towards = np.array([0.85 * front, 0.15 * front, 0.5])
    light = np.clip(vertex_normals @ (towards / np.linalg.norm(towards)), 0, 1)
    return View(seen, corners, weights, (light[corners] * weights).sum(axis=1))


def _top_face(triangles: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the index of the topmost triangle in each pixel, drawn as a colour by matplotlib; -1 where there is none."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure

    numbers = np.arange(1, len(triangles) + 1)
    colours = np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], axis=1) / 255
    figure = Figure((size[0] / 100, size[1] / 100), dpi=100, facecolor='black')
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, size[0]), ylim=(0, size[1]))
    axes.axis('off')
    axes.add_collection(
        PolyCollection(
            list(triangles), facecolors=colours, edgecolors='none', antialiaseds=False, linewidths=0
        )
    )
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[::-1].astype(int)
    return (drawn[..., 0] << 16 | drawn[..., 1] << 8 | drawn[..., 2]) - 1


def _barycentric(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    ab, ac, at = b - a, c - a, points - a
    whole = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    second = (at[:, 0] * ac[:, 1] - at[:, 1] * ac[:, 0]) / whole
    third = (ab[:, 0] * at[:, 1] - ab[:, 1] * at[:, 0]) / whole
    weights = np.clip(np.stack([1 - second - third, second, third], axis=1), 0, 1)
    return weights / weights.sum(axis=1, keepdims=True)


def surface_figure(
    percent: np.ndarray, parcels: Mapping[str, np.ndarray], *, auto: float | None = None
) -> Figure:
    """Draw percentages of parcels on the inflated cortex: both hemispheres, lateral and medial.

    Parameters
    ----------
    percent : numpy.ndarray
        (parcels,), NaN where unknown.
    parcels : mapping
        Parcel of each vertex, by hemisphere, see `lacuna.images.cortex.vertex_parcels`.
    auto : float, optional
        Upper end of the colour scale of a second row; the scale of the first row ends at 100.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scales = [100.0] + ([auto] if auto else [])
    height = _HEIGHT + 24
    figure = new_figure(_PAGE / 120, len(scales) * height / 120)
    for i, highest in enumerate(scales):
        bottom = (len(scales) - 1 - i) / len(scales)
        for column, (side, name, front) in enumerate(VIEWS):
            axes = figure.add_axes(
                (column * _WIDTH / _PAGE, bottom, _WIDTH / _PAGE, _HEIGHT / height / len(scales))
            )
            axes.axis('off')
            picture = draw_view(view(side, front), side, percent, parcels[side], highest)
            axes.imshow(picture, origin='lower', interpolation='nearest')
            figure.text(
                (column + 0.5) * _WIDTH / _PAGE,
                bottom + (height - 16) / height / len(scales),
                f'{side}, {name}',
                ha='center',
                color=FAINT,
            )
        bar = figure.add_axes((0.925, bottom + 0.32 / len(scales), 0.012, 0.55 / len(scales)))
        scale = ScalarMappable(Normalize(0, highest), cmap=PERCENT)
        colour_bar(figure, scale, bar, highest)
        note = 'white: nothing lost\ngrey: no parcel, or\nno streamline'
        figure.text(0.912, bottom + 0.02 / len(scales), note, color=FAINT, fontsize=7, linespacing=1.3)
    return figure


_NO_PARCEL, _NOTHING = (0.7, 0.7, 0.7), (0.97, 0.97, 0.97)


def draw_view(view: View, side: str, percent: np.ndarray, parcels: np.ndarray, highest: float) -> np.ndarray:
    """Return a view as an RGB image, (rows, columns, 3) from 0 to 1, bottom row first.

    Parameters
    ----------
    view : View
    side : str
    percent : numpy.ndarray
        (parcels,), percentages.
    parcels : numpy.ndarray
        (vertices,), index of the parcel, from 1.
    highest : float
        Upper end of the colour scale.
    """
    import matplotlib as mpl

    shown = pixel_parcels(view, parcels)
    colours = np.array(mpl.colormaps[PERCENT](np.clip(percent / highest, 0, 1)))[:, :3]
    colours[percent == 0] = _NOTHING
    colours[np.isnan(percent)] = _NO_PARCEL
    table = np.vstack([_NO_PARCEL, colours])
    sulcus = (hemisphere(side).depth[view.corners] * view.weights).sum(axis=1) > 0
    pale = ~(np.concatenate([[0], np.nan_to_num(percent)]) > 0)[shown]
    light = (0.72 + 0.28 * view.light) * np.where(sulcus & pale, 0.93, 1)
    numbers = np.full(view.seen.shape, -1)
    numbers[view.seen] = shown
    border = np.zeros(view.seen.shape, bool)
    border[:, 1:] |= numbers[:, 1:] != numbers[:, :-1]
    border[1:] |= numbers[1:] != numbers[:-1]
    picture = np.ones((*view.seen.shape, 3))
    picture[view.seen] = table[shown] * np.where(border[view.seen], 0.45, light)[:, None]
    rows, columns = (length // _FINER for length in view.seen.shape)
    return picture.reshape(rows, _FINER, columns, _FINER, 3).mean(axis=(1, 3))


def pixel_parcels(view: View, parcels: np.ndarray) -> np.ndarray:
    """Return the parcel of each visible pixel: the one with the largest sum of weights among its vertices."""
    around = parcels[view.corners]
    shares = sum((around == around[:, [corner]]) * view.weights[:, [corner]] for corner in range(3))
    return around[np.arange(len(around)), np.argmax(shares, axis=1)]
