"""The standard spaces and their grids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lacuna.errors import InputError

# 2009a, 2009b and 2009c Asym are averages of the same alignment: they differ in contrast and sampling, not in
# where a point lies.
_WORLD_SPACE = {
    'MNI152NLin6Asym': 'MNI152NLin6Asym',
    'MNI152NLin2009aAsym': 'MNI152NLin2009cAsym',
    'MNI152NLin2009bAsym': 'MNI152NLin2009cAsym',
    'MNI152NLin2009cAsym': 'MNI152NLin2009cAsym',
}

#: names that ``--mask-space`` and ``--connectome-space`` take
SPACES = tuple(_WORLD_SPACE)

RESOLUTIONS = (1, 2)

# (space, resolution): shape, stored direction of the first axis, world position of the first voxel's centre (mm)
_GRIDS = {
    ('MNI152NLin6Asym', 1): ((182, 218, 182), -1, (90.0, -126.0, -72.0)),
    ('MNI152NLin6Asym', 2): ((91, 109, 91), -1, (90.0, -126.0, -72.0)),
    ('MNI152NLin2009cAsym', 1): ((193, 229, 193), 1, (-96.0, -132.0, -78.0)),
    ('MNI152NLin2009cAsym', 2): ((97, 115, 97), 1, (-96.5, -132.5, -78.5)),
}


@dataclass(frozen=True)
class Grid:
    """A voxel grid in world millimetres (RAS+).

    Attributes
    ----------
    space : str
        Name of the standard space.
    resolution : int
        Edge of the voxels in mm.
    shape : tuple of int
        Number of voxels along each stored axis.
    affine : numpy.ndarray
        4 x 4, from voxel indices to world mm.
    """

    space: str
    resolution: int
    shape: tuple[int, int, int]
    affine: np.ndarray


def world_space(name: str) -> str:
    """Name of the supported space in which coordinates of space `name` are valid.

    >>> world_space('MNI152NLin2009aAsym')
    'MNI152NLin2009cAsym'

    Raises
    ------
    InputError
        If `name` is no supported space.
    """
    try:
        return _WORLD_SPACE[name]
    except KeyError:
        message = f"space '{name}' is not supported; choose from {', '.join(SPACES)}"
        raise InputError(message) from None


def standard_grid(space: str, resolution: int) -> Grid:
    """Grid on which the results in `space` lie, with isotropic voxels of `resolution` mm.

    >>> standard_grid('MNI152NLin6Asym', 2).shape
    (91, 109, 91)

    Raises
    ------
    InputError
        If there is no such grid.
    """
    space = world_space(space)
    if (space, resolution) not in _GRIDS:
        message = f'resolution {resolution} mm is not supported; choose from {RESOLUTIONS}'
        raise InputError(message)
    shape, x_direction, origin = _GRIDS[space, resolution]
    affine = np.diag([x_direction * resolution, resolution, resolution, 1.0])
    affine[:3, 3] = origin
    return Grid(space, resolution, shape, affine)
