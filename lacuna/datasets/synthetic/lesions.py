"""Synthetic lesions: ellipsoids with an uneven surface, like those of a stroke."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lacuna.datasets.synthetic.anatomy import voxel_indices, world_coordinates
from lacuna.datasets.synthetic.landmarks import Point, table
from lacuna.images.spaces import Grid


@dataclass(frozen=True)
class Ellipsoid:
    """Centre in world mm, half axes in mm, and rotation of the long axis in the axial plane in degrees."""

    centre: Point
    radii: Point
    turn: float = 0.0


@dataclass(frozen=True)
class Lesion:
    """The specification of one lesion: ellipsoids that merge.

    Attributes
    ----------
    side, territory : str
        Location in words.
    parts : tuple of Ellipsoid
    roughness : float
        Standard deviation of the surface, as a share of the radius.
    grain : float
        Size of the surface's bumps, mm.
    """

    side: str
    territory: str
    parts: tuple[Ellipsoid, ...]
    roughness: float
    grain: float


def lesions() -> list[Lesion]:
    """Return the three lesions of the tutorial, for sub-01 to sub-03."""
    return [
        Lesion(**{**row, 'parts': tuple(Ellipsoid(**part) for part in row['parts'])})
        for row in table()['lesions']
    ]


def simulate_lesion(rng: np.random.Generator, grid: Grid, brain: np.ndarray, lesion: Lesion) -> np.ndarray:
    """Simulate the voxels of a lesion, in one piece.

    Parameters
    ----------
    rng : numpy.random.Generator
        The same state gives the same surface.
    grid : Grid
        Grid in an MNI152 space.
    brain : numpy.ndarray
        Boolean; the lesion stays inside it, and on one side of the midline.
    lesion : Lesion

    Returns
    -------
    numpy.ndarray
        uint8, 0 or 1, with the grid's shape.
    """
    reach = [np.add(part.centre, sign * 2 * max(part.radii)) for part in lesion.parts for sign in (-1, 1)]
    corners = voxel_indices(grid, np.array([np.min(reach, axis=0), np.max(reach, axis=0)]))
    low, high = corners.min(axis=0), corners.max(axis=0) + 1
    points = world_coordinates(grid, low + np.moveaxis(np.indices(high - low), 0, -1))
    box = tuple(map(slice, low, high))

    bumps = ndimage.gaussian_filter(rng.standard_normal(high - low), lesion.grain / grid.resolution)
    bumps *= lesion.roughness / bumps.std()
    radius = np.min([_relative_radius(points, part) for part in lesion.parts], axis=0)
    side = np.sign(lesion.parts[0].centre[0])
    inside = (radius + bumps < 1) & brain[box] & (points[..., 0] * side > 1)
    pieces, _ = ndimage.label(inside)
    mask = np.zeros(grid.shape, np.uint8)
    mask[box] = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    return mask


def _relative_radius(points: np.ndarray, part: Ellipsoid) -> np.ndarray:
    """Return the distance from the centre relative to the half axes: 1 on the surface."""
    angle = np.deg2rad(part.turn)
    turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return np.linalg.norm((points - part.centre) @ turn.T / part.radii, axis=-1)
