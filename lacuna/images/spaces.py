"""The standard spaces, their grids, and the transforms between them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lacuna.errors import InputError, check_choice
from lacuna.images.nifti import is_usable
from lacuna.images.templateflow import fetched, templateflow_home
from lacuna.utils.names import parse_entities
from lacuna.utils.sidecars import inherited_metadata

# 2009a, 2009b and 2009c Asym were averaged from the same alignment: they differ in contrast and sampling, but not in
# coordinates.
_WORLD_SPACE = {
    'MNI152NLin6Asym': 'MNI152NLin6Asym',
    'MNI152NLin2009aAsym': 'MNI152NLin2009cAsym',
    'MNI152NLin2009bAsym': 'MNI152NLin2009cAsym',
    'MNI152NLin2009cAsym': 'MNI152NLin2009cAsym',
}

#: names that ``--mask-space`` and ``--connectome-space`` accept
SPACES = tuple(_WORLD_SPACE)

# Ambiguous names of spaces, in lower case and without separators.
_AMBIGUOUS = re.compile(
    '(fsl|spm|icbm)?(mni|mni152|icbm|icbm152|fsl|spm|spm8|spm12|mnispace|mni152lin|mni152nlin)(1mm|2mm)?'
)
_WHICH = (
    f"may be either of two spaces; choose '{SPACES[0]}' (the templates of FSL and SPM; grids of 182 x 218 x 182, "
    "91 x 109 x 91 or 181 x 217 x 181 voxels) or 'MNI152NLin2009cAsym' (the template of fMRIPrep, and of ICBM since 2009; "
    '193 x 229 x 193, 97 x 115 x 97 or 197 x 233 x 189 voxels). Find out to which template the images were normalised, '
    "or look at their grid ('lacuna check' shows it for masks)"
)
_SYMMETRIC = re.compile('MNI152NLin(2009[abc]|6)Sym', re.IGNORECASE)
_NO_WAY_FROM = (
    'is symmetric, and TemplateFlow has no transform from it to a supported space. Move the images to '
    'MNI152NLin2009cAsym with your own transform, or by registering that template to the one of MNI152NLin2009cAsym '
    '(antsRegistration; then antsApplyTransforms -n NearestNeighbor), and name that space'
)

RESOLUTIONS = (1, 2)

# (space, resolution): shape, stored direction of the first axis, world position of the first voxel's centre (mm)
_GRIDS = {
    ('MNI152NLin6Asym', 1): ((182, 218, 182), -1, (90.0, -126.0, -72.0)),
    ('MNI152NLin6Asym', 2): ((91, 109, 91), -1, (90.0, -126.0, -72.0)),
    ('MNI152NLin2009cAsym', 1): ((193, 229, 193), 1, (-96.0, -132.0, -78.0)),
    ('MNI152NLin2009cAsym', 2): ((97, 115, 97), 1, (-96.5, -132.5, -78.5)),
}

# Grids that identify the space of a file, in any storage orientation: (voxel size, shape along x, y, z) ->
# (world space, owner of the grid). Each occurs in only one of the two spaces.
_KNOWN_GRIDS = {
    (1.0, (182, 218, 182)): ('MNI152NLin6Asym', 'FSL'),
    (2.0, (91, 109, 91)): ('MNI152NLin6Asym', 'FSL'),
    (0.5, (364, 436, 364)): ('MNI152NLin6Asym', 'FSL'),
    (1.0, (181, 217, 181)): ('MNI152NLin6Asym', 'SPM'),
    (1.0, (193, 229, 193)): ('MNI152NLin2009cAsym', 'TemplateFlow'),
    (2.0, (97, 115, 97)): ('MNI152NLin2009cAsym', 'TemplateFlow'),
    (1.0, (197, 233, 189)): ('MNI152NLin2009cAsym', 'MNI'),
    (2.0, (99, 117, 95)): ('MNI152NLin2009cAsym', 'nilearn'),
    (0.5, (394, 466, 378)): ('MNI152NLin2009cAsym', 'MNI'),
}

# Bounding box of the brain in world mm; valid for all spaces to within a few millimetres.
_BRAIN = np.array([[-72.0, -107.0, -71.0], [72.0, 74.0, 82.0]])


# Voxels with larger ratios of their edges come from scans in slices.
_LONGEST_TO_SHORTEST = 1.6


@dataclass(frozen=True)
class Grid:
    """A voxel grid in world millimetres (RAS+).

    Attributes
    ----------
    space : str
        Name of the standard space.
    resolution : int
        Voxel size in mm.
    shape : tuple of int
        Number of voxels along each stored axis.
    affine : numpy.ndarray
        4 x 4, voxel indices to world mm.
    """

    space: str
    resolution: int
    shape: tuple[int, int, int]
    affine: np.ndarray


def world_space(name: str, what: str = 'space') -> str:
    """Return the supported space that shares its coordinates with space `name`.

    Parameters
    ----------
    name : str
        Name of a standard space.
    what : str
        Name of the setting in error messages.

    Raises
    ------
    InputError
        If `name` is not a supported space, or is ambiguous.

    Examples
    --------
    >>> world_space('MNI152NLin2009aAsym')
    'MNI152NLin2009cAsym'
    """
    if name in _WORLD_SPACE:
        return _WORLD_SPACE[name]
    if is_ambiguous(name):
        message = f"{what} '{name}' {_WHICH}"
    elif _SYMMETRIC.fullmatch(name):
        message = f"{what} '{name}' {_NO_WAY_FROM}"
    else:
        match = next((space for space in SPACES if space.casefold() == name.casefold()), None)
        choice = f"did you mean '{match}'?" if match else f'choose from {", ".join(SPACES)}'
        message = f"{what} '{name}' is not supported; {choice}"
    raise InputError(message)


def is_ambiguous(name: str) -> bool:
    """Whether a name is used for more than one space.

    >>> [is_ambiguous(name) for name in ('MNI152', 'mni', 'SPM12', 'ICBM 152', 'MNI152NLin6Asym', 'MNI305')]
    [True, True, True, True, False, False]
    """
    return bool(_AMBIGUOUS.fullmatch(re.sub('[^0-9a-z]', '', name.casefold())))


def space_in_name(path: Path) -> str | None:
    """Return the space entity of a file name.

    >>> space_in_name(Path('sub-01_space-MNI152NLin6Asym_label-lesion_mask.nii.gz'))
    'MNI152NLin6Asym'
    """
    found = re.findall('(?:^|_)space-([^_.-]+)', path.name)
    return found[-1] if found else None


class Settled(NamedTuple):
    """The space of a file, and where it was stated.

    Attributes
    ----------
    space : str
        Supported space of the coordinates.
    source : str
        Where the space was stated, in words.
    contradiction : str or None
        What another source states, if sources disagree.
    """

    space: str
    source: str
    contradiction: str | None


def settle_space(claims: Iterable[tuple[object, str]]) -> Settled | None:
    """Return the space that the first of several sources states, and whether the others agree; None if none does.

    Parameters
    ----------
    claims : iterable of tuple
        Space that each source states (or None, or not a string), and the source in words, by descending priority.

    Raises
    ------
    InputError
        If the first space is not supported.

    Examples
    --------
    >>> claims = [('MNI152NLin6Asym', '--mask-space'), (None, 'the sidecar'), ('MNI152NLin2009cAsym', 'the name')]
    >>> settle_space(claims).contradiction
    '--mask-space says MNI152NLin6Asym, the name MNI152NLin2009cAsym'
    """
    named = [(name, source) for name, source in claims if isinstance(name, str) and name]
    if not named:
        return None
    (first, source), *others = named
    try:
        space = world_space(first)
    except InputError as error:
        message = f'{error} ({source})'
        raise InputError(message) from error
    against = [
        f'{other_source} {name}'
        for name, other_source in others
        # an ambiguous name agrees with all spaces that it may mean
        if _WORLD_SPACE.get(name, name) != space and not is_ambiguous(name)
    ]
    contradiction = f'{source} says {first}, {" and ".join(against)}' if against else None
    return Settled(space, source, contradiction)


def stated_spaces(path: Path) -> list[tuple[object, str]]:
    """Return the space stated by the JSON files and the name of an image, for `settle_space`, by descending priority."""
    sidecar = inherited_metadata(path)
    return [
        (sidecar.get('Space'), "the sidecar's Space"),
        (sidecar.get('SpatialReference'), "the sidecar's SpatialReference"),
        (parse_entities(path.name).get('space'), "the name's space entity"),
    ]


def standard_grid(space: str, resolution: int) -> Grid:
    """Return the grid of results in `space` with isotropic voxels of `resolution` mm.

    Parameters
    ----------
    space : str
        Name of a standard space.
    resolution : int
        Voxel size in mm: 1 or 2.

    Returns
    -------
    Grid

    Examples
    --------
    >>> standard_grid('MNI152NLin6Asym', 2).shape
    (91, 109, 91)

    Raises
    ------
    InputError
        If there is no such grid.
    """
    space = world_space(space)
    check_choice('resolution', resolution, RESOLUTIONS)
    shape, x_direction, origin = _GRIDS[space, resolution]
    affine = np.diag([x_direction * resolution, resolution, resolution, 1.0])
    affine[:3, 3] = origin
    return Grid(space, resolution, shape, affine)


def check_space(name: str, shape: tuple[int, ...], affine: np.ndarray) -> str | None:
    """Check the declared space of an image against the position of its grid.

    Storage orientation does not matter. A grid that is not specific to a space (cropped, oblique, of unusual size) is
    only compared with the position of the brain.

    Parameters
    ----------
    name : str
        Declared space.
    shape : tuple of int
        Number of voxels along the first three stored axes.
    affine : numpy.ndarray
        4 x 4, voxel indices to world mm (RAS+).

    Returns
    -------
    str or None
        The contradiction (declared space, space of the grid) in words; None if they agree.

    Raises
    ------
    InputError
        If `name` is not a supported space.

    Examples
    --------
    >>> grid = standard_grid('MNI152NLin2009cAsym', 1)
    >>> print(check_space('MNI152NLin6Asym', grid.shape, grid.affine))
    declared as MNI152NLin6Asym, but 193 x 229 x 193 voxels of 1 mm from (-96, -132, -78) are a grid of MNI152NLin2009cAsym (TemplateFlow's)
    >>> check_space('MNI152NLin2009aAsym', grid.shape, grid.affine)
    """
    declared = world_space(name)
    affine = np.asarray(affine, float)
    if not is_usable(affine):
        return f'declared as {name}, but its affine is zero, singular or not finite: it has no position'
    sizes = tuple(int(size) for size in shape[:3])
    owner = _recognise(sizes, affine)
    if owner and owner[0] != declared:
        return f"declared as {name}, but {_describe(sizes, affine)} are a grid of {owner[0]} ({owner[1]}'s)"
    low, high = _box(sizes, affine)
    shared = np.clip(np.minimum(high, _BRAIN[1]) - np.maximum(low, _BRAIN[0]), 0, None).prod()
    share = shared / min((high - low).prod(), (_BRAIN[1] - _BRAIN[0]).prod())
    if share < 0.5:
        place = 'outside the brain' if share == 0 else 'mostly off the brain'
        box = ' to '.join(
            f'({", ".join(f"{value:g}" for value in corner)})' for corner in np.round((low, high), 1)
        )
        return f'declared as {name}, but its world box {box} mm lies {place}'
    return None


def looks_native(shape: tuple[int, ...], affine: np.ndarray) -> str | None:
    """Return why a grid looks like that of a native scan; None if it does not.

    Parameters
    ----------
    shape : tuple of int
        Number of voxels along the first three stored axes.
    affine : numpy.ndarray
        4 x 4, voxel indices to world mm (RAS+).

    Examples
    --------
    >>> looks_native((256, 256, 30), np.diag([0.9, 0.9, 5, 1]))
    'voxels of 0.9 x 0.9 x 5 mm'
    >>> looks_native((91, 109, 91), standard_grid('MNI152NLin6Asym', 2).affine)
    """
    axes = _axes(affine)
    if axes is None:
        return 'it is oblique'
    edges = np.abs(affine[range(3), axes])
    if edges.max() > _LONGEST_TO_SHORTEST * edges.min():
        return f'voxels of {" x ".join(f"{edge:.3g}" for edge in edges)} mm'
    # grids of standard spaces start at whole, half or quarter millimetres
    first = affine[:3, 3]
    if np.abs(4 * first - np.rint(4 * first)).max() > 0.04 and _recognise(shape[:3], affine) is None:
        return f'its first voxel lies at ({", ".join(f"{value:.5g}" for value in first)}) mm'
    return None


def _axes(affine: np.ndarray) -> np.ndarray | None:
    """Return the stored axes along x, y and z; None if the grid is oblique or sheared."""
    matrix = np.abs(affine[:3, :3])
    axes = matrix.argmax(axis=1)
    off_axis = matrix.sum() - matrix[range(3), axes].sum()
    return axes if sorted(axes) == [0, 1, 2] and off_axis < 1e-3 * matrix.max() else None


def _recognise(shape: tuple[int, ...], affine: np.ndarray) -> tuple[str, str] | None:
    """Return the world space and the owner of a standard grid; None for other grids."""
    axes = _axes(affine)
    if axes is None:
        return None
    edges = np.abs(affine[range(3), axes])
    along = tuple(shape[axis] for axis in axes)
    for (edge, owner_shape), found in _KNOWN_GRIDS.items():
        if along == owner_shape and np.allclose(edges, edge, atol=1e-3):
            return found
    return None


def _box(shape: tuple[int, ...], affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and largest world coordinates of a grid, to the outer faces of its voxels."""
    corners = np.array(np.meshgrid(*((-0.5, size - 0.5) for size in shape), indexing='ij')).reshape(3, -1)
    world = affine[:3, :3] @ corners + affine[:3, 3:]
    return world.min(axis=1), world.max(axis=1)


def _describe(shape: tuple[int, ...], affine: np.ndarray) -> str:
    """Describe a grid along the world axes, in the order x, y, z."""
    axes = np.abs(affine[:3, :3]).argmax(axis=1)
    edges = np.abs(affine[range(3), axes])
    first = ', '.join(f'{value:g}' for value in np.round(_box(shape, affine)[0] + edges / 2, 2))
    return f'{" x ".join(str(shape[axis]) for axis in axes)} voxels of {edges[0]:g} mm from ({first})'


def transform_name(source_space: str, target_space: str) -> str:
    """Return the TemplateFlow file that moves **points** from one space to another, relative to TemplateFlow's home.

    ``from-A`` in ``tpl-B`` resamples images of A onto B: it maps each point of B to a point of A, and so moves the
    points of a tractogram in B to A.

    Parameters
    ----------
    source_space, target_space : str
        Names of standard spaces.

    Raises
    ------
    InputError
        If a space is not supported.
    ValueError
        If both share their coordinates, so that nothing has to be moved.

    Examples
    --------
    >>> transform_name('MNI152NLin2009aAsym', 'MNI152NLin6Asym')
    'tpl-MNI152NLin2009cAsym/tpl-MNI152NLin2009cAsym_from-MNI152NLin6Asym_mode-image_xfm.h5'
    """
    source, target = world_space(source_space), world_space(target_space)
    if source == target:
        message = f'{source_space} and {target_space} share their world coordinates: nothing to move'
        raise ValueError(message)
    return f'tpl-{source}/tpl-{source}_from-{target}_mode-image_xfm.h5'


def find_transform(source_space: str, target_space: str, home: str | Path | None = None) -> Path:
    """Find the file that moves points from one space to another; download it if it is missing.

    Parameters
    ----------
    source_space, target_space : str
        Spaces of the tractogram and of the masks.
    home : path, optional
        TemplateFlow's folder; by default ``TEMPLATEFLOW_HOME`` from the environment, else TemplateFlow's default.

    Returns
    -------
    pathlib.Path
        File with content: TemplateFlow's placeholders of 0 bytes count as missing.

    Raises
    ------
    InputError
        If a space is not supported, or the file is missing and cannot be downloaded.
    ValueError
        If both share their coordinates.
    """
    path = Path(home or templateflow_home()).absolute() / transform_name(source_space, target_space)
    query = {'from': world_space(target_space), 'suffix': 'xfm', 'mode': 'image', 'extension': '.h5'}
    return fetched(
        path,
        query,
        f'no transform to move streamlines from {source_space} to {target_space}',
        'use a tractogram in the space of the masks',
    )
