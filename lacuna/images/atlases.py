"""Parcellations: find them by name, and read label images with their names."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.errors import InputError
from lacuna.images.labels import LARGEST, read_labels, read_networks
from lacuna.images.masks import read_image
from lacuna.images.nifti import is_usable, make
from lacuna.images.parcels import schaefer_network
from lacuna.images.spaces import SPACES, Grid, world_space
from lacuna.images.templateflow import fetched, has_content, listed_templateflow_home
from lacuna.utils.names import few, parse_entities

if TYPE_CHECKING:
    from lacuna.images.transforms import PointTransform

_TEMPLATES = tuple(name for name in SPACES if name == world_space(name))


@dataclass(frozen=True)
class Atlas:
    """Where a parcellation is stored.

    Attributes
    ----------
    name : str
        Lower-case letters and digits, as in file names.
    image, labels : pathlib.Path
        Label image and label table.
    space : str
        Standard space of the image.
    source : str
        Origin of the atlas, in words.
    """

    name: str
    image: Path
    labels: Path
    space: str
    source: str

    @property
    def is_here(self) -> bool:
        """Whether the files have content; TemplateFlow has empty placeholders for files not fetched yet."""
        return has_content(self.image) and has_content(self.labels)


@dataclass(frozen=True)
class Parcellation:
    """A parcellation whose image and names match.

    Attributes
    ----------
    atlas : Atlas
    index : numpy.ndarray
        (x, y, z) int32, row of the label table, from 1; 0 outside.
    affine : numpy.ndarray
        4 x 4, voxels to world mm.
    names : tuple of str
        Names of the parcels in the order of the label values, including labels missing in the image.
    sha256 : str
        Checksum of voxels, affine, labels, and networks in the label table.
    networks : tuple of str
        Network of each parcel, from the label table or Schaefer's names; empty where unknown.
    """

    atlas: Atlas
    index: np.ndarray
    affine: np.ndarray
    names: tuple[str, ...]
    sha256: str
    networks: tuple[str, ...] = ()

    @cached_property
    def sizes(self) -> np.ndarray:
        """Number of voxels of each parcel, (parcels,) int64."""
        return np.bincount(self.index.reshape(-1), minlength=len(self.names) + 1)[1:]

    def image(self) -> Any:
        """Return a NIfTI image (int32) with the row of the parcel in each voxel, from 1."""
        return make(self.index, self.affine)


def find_atlases(
    names: Sequence[str],
    space: str,
    *,
    custom: Iterable[Atlas] = (),
    folder: Path | None = None,
) -> list[Atlas]:
    """Find atlases by name, in this space if available, and add the custom ones.

    Parameters
    ----------
    names : sequence of str
    space : str
        Space of the masks.
    custom : iterable of Atlas
        Atlases that the user passed as files.
    folder : pathlib.Path, optional
        A BIDS-Atlas folder to search before TemplateFlow.

    Raises
    ------
    InputError
        If a name is unknown (with near matches), or used twice.
    """
    available = list_atlases(folder) if names or folder else []
    found = [_choose(name, available, space) for name in dict.fromkeys(names)]
    for atlas in custom:
        if atlas.name in {other.name for other in found}:
            message = f'two atlases are named {atlas.name}; give the custom one another name'
            raise InputError(message)
        found.append(atlas)
    return found


def _choose(name: str, available: Sequence[Atlas], space: str) -> Atlas:
    candidates = [atlas for atlas in available if atlas.name == name]
    if not candidates:
        matches = difflib.get_close_matches(
            name, sorted({atlas.name for atlas in available}), n=4, cutoff=0.5
        )
        hint = f'did you mean {", ".join(matches)}?' if matches else "see 'lacuna info atlases'"
        message = f"no atlas '{name}'; {hint}"
        raise InputError(message)
    return max(candidates, key=lambda atlas: (atlas.space == space, atlas.is_here))


def custom_atlas(name: str, image: str, labels: str, space: str) -> Atlas:
    """Create the atlas from the four arguments of ``--custom-parcellation``.

    Parameters
    ----------
    name : str
        Name of the atlas in file names.
    image, labels : str
        Paths of the label image and the label table.
    space : str
        Standard space of the image.

    Returns
    -------
    Atlas

    Raises
    ------
    InputError
        If the name is not lower-case letters and digits, a file is missing, or the space is not supported.
    """
    if not re.fullmatch('[a-z0-9]+', name):
        message = f"the name '{name}' of the custom parcellation may only have lower-case letters and digits"
        raise InputError(message)
    image_path, labels_path = (Path(path).expanduser().absolute() for path in (image, labels))
    atlas = Atlas(name, image_path, labels_path, world_space(space), 'given')
    for path in (atlas.image, atlas.labels):
        if not path.is_file():
            message = f'the custom parcellation {name}: no file {path}'
            raise InputError(message)
    return atlas


def list_atlases(folder: Path | None = None) -> list[Atlas]:
    """List the label images with a label table in `folder` and TemplateFlow, including those not fetched yet.

    Each atlas is listed at its finest resolution.

    Parameters
    ----------
    folder : pathlib.Path, optional
        A BIDS-Atlas folder.

    Returns
    -------
    list of Atlas

    Raises
    ------
    InputError
        If `folder` is not a directory.
    """
    found: dict[tuple[str, str, str], Atlas] = {}
    if folder is not None and not folder.is_dir():
        message = f'no atlas folder {folder}'
        raise InputError(message)
    places = [(folder, f'folder {folder}', '**')] if folder else []
    home = listed_templateflow_home()
    places += [(home, 'TemplateFlow', f'tpl-{space}') for space in _TEMPLATES]
    for root, source, below in places:
        for image in sorted(root.glob(f'{below}/*_dseg.nii*')):
            if (atlas := _from_name(image, source)) is not None:
                found.setdefault((source, atlas.name, atlas.space), atlas)
    return sorted(found.values(), key=lambda atlas: (atlas.name, atlas.space))


def _from_name(image: Path, source: str) -> Atlas | None:
    entities = parse_entities(image.name)
    space = entities.get('space') or entities.get('tpl')
    labels = _label_table(image)
    if 'atlas' not in entities or space not in SPACES or labels is None:
        return None
    return Atlas(
        atlas_name(entities['atlas'], entities.get('desc', '')), image, labels, world_space(space), source
    )


def _label_table(image: Path) -> Path | None:
    """Return the table beside an image: with the same name, or without resolution and space."""
    stem = image.name.split('.')[0]
    without = re.sub(r'_(res|space)-[^_]+', '', stem)
    for name in dict.fromkeys((stem, re.sub(r'_res-[^_]+', '', stem), without)):
        for extension in ('.tsv', '.txt'):
            if (path := image.with_name(name + extension)).is_file():
                return path
    return None


def atlas_name(atlas: str, desc: str = '') -> str:
    """Return the file-name label of a TemplateFlow or BIDS atlas: numbers follow their words.

    >>> atlas_name('Schaefer2018', '100Parcels7Networks')
    'schaefer2018parcels100networks7'
    """
    parts = re.findall(r'(\d+)([A-Za-z]+)', desc)
    whole = ''.join(number + word for number, word in parts) == desc
    words = ''.join(word + number for number, word in parts) if whole else desc
    return re.sub('[^0-9a-z]', '', f'{atlas}{words}'.lower())


def fetch(atlas: Atlas) -> Atlas:
    """Fetch the missing files of an atlas from TemplateFlow.

    Parameters
    ----------
    atlas : Atlas

    Returns
    -------
    Atlas
        The same atlas, whose files exist.

    Raises
    ------
    InputError
        If a file cannot be fetched.
    """
    if atlas.is_here:  # for example in a folder of your own
        return atlas
    for path in (atlas.image, atlas.labels):
        entities = parse_entities(path.name)
        query = {
            'atlas': entities['atlas'],
            'desc': entities.get('desc'),
            'resolution': entities.get('res'),
            'suffix': 'dseg',
            'extension': ''.join(path.suffixes),
        }
        fetched(path, query, f'the atlas {atlas.name} is not on this machine', 'use --custom-parcellation')
    return atlas


def read_parcellation(atlas: Atlas) -> Parcellation:
    """Read an atlas and check that image and names match.

    Parameters
    ----------
    atlas : Atlas

    Returns
    -------
    Parcellation

    Raises
    ------
    InputError
        If a file is unreadable, or the image is not 3D, has no usable affine, is 0 everywhere, or contains values that
        are not labels, or labels without a name.
    """
    data, affine = _read_image(atlas.image)
    labelled = data != 0  # about a tenth of the voxels; the rest is background
    inside = data[labelled]
    present = np.unique(inside)
    if not len(present):
        message = f'the atlas image {atlas.image} holds no label: it is 0 everywhere'
        raise InputError(message)
    right = (present >= 0) & (present <= LARGEST) & (present == np.rint(present))  # False for NaN
    if not right.all():
        message = f'the atlas image {atlas.image} holds {present[~right][0]:g}; labels are whole numbers from 0 to {LARGEST}'
        raise InputError(message)
    labels = read_labels(atlas.labels, present.astype(np.int64).tolist())
    values = np.array(list(labels), np.int64)
    unnamed = sorted(set(present.astype(np.int64).tolist()) - set(values.tolist()))
    if unnamed:
        message = f'labels of {atlas.image} have no name in {atlas.labels}: {few(list(map(str, unnamed)), 8)}'
        raise InputError(message)
    index = np.zeros(data.shape, np.int32)
    index[labelled] = np.searchsorted(values, inside) + 1
    names = tuple(labels.values())
    digest = hashlib.sha256(repr((index.shape, affine.round(6).tolist(), list(labels.items()))).encode())
    digest.update(index.tobytes())
    by_label = read_networks(atlas.labels, labels)
    if by_label:
        digest.update(repr(list(by_label.items())).encode())
    networks = tuple(
        by_label.get(value, '') if by_label else schaefer_network(name) for value, name in labels.items()
    )
    return Parcellation(atlas, index, affine, names, digest.hexdigest(), networks)


def check_networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    """Return the networks of the parcels if at least one is known.

    Raises
    ------
    InputError
        If none is known; networks are never guessed.
    """
    if not any(networks):
        message = (
            'the networks of the parcels are unknown: the label table has no column network, '
            'and the names are not those of the Schaefer atlas'
        )
        raise InputError(message)
    return networks


def move_parcellation(parcellation: Parcellation, grid: Grid, transform: PointTransform) -> Parcellation:
    """Resample a parcellation to another space: each voxel of `grid` gets the label at its centre.

    Parameters
    ----------
    parcellation : Parcellation
    grid : lacuna.images.spaces.Grid
        Grid in the other space.
    transform : lacuna.images.transforms.PointTransform
        Moves points from the space of `grid` to that of the atlas.
    """
    moved = np.zeros(grid.shape, np.int32)
    to_voxels = np.linalg.inv(parcellation.affine)
    shape = np.array(parcellation.index.shape)
    plane = np.indices(grid.shape[:2]).reshape(2, -1)
    for z in range(grid.shape[2]):  # slice by slice: the points of a whole 1 mm grid take a gigabyte
        voxels = np.vstack([plane, np.full((1, plane.shape[1]), z)])
        points = transform.apply((grid.affine[:3, :3] @ voxels + grid.affine[:3, 3:]).T)
        at = np.rint(points @ to_voxels[:3, :3].T + to_voxels[:3, 3]).astype(int)
        inside = ((at >= 0) & (at < shape)).all(axis=1)
        labels = np.zeros(len(at), np.int32)
        labels[inside] = parcellation.index[tuple(at[inside].T)]
        moved[:, :, z] = labels.reshape(grid.shape[:2])
    return dataclasses.replace(parcellation, index=moved, affine=grid.affine)


def _read_image(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        data, image = read_image(path)
    except ValueError as error:
        message = f'the atlas image {path} cannot be read ({error})'
        raise InputError(message) from error
    if data.ndim != 3:
        message = f'the atlas image {path} has {data.ndim} dimensions {data.shape}; a label image has three'
        raise InputError(message)
    affine = np.asarray(image.affine, float)
    if not is_usable(affine):
        message = f'the affine of the atlas image {path} is zero or singular, or places it far from any head'
        raise InputError(message)
    header = image.header
    unsaid = 'sform_code' in header and header['sform_code'] == 0 and header['qform_code'] == 0
    if unsaid or np.allclose(affine, np.eye(4)):
        why = 'sform and qform codes are 0' if unsaid else 'its affine is the identity'
        message = f'the position of the atlas image {path} is unknown ({why}); save it again with the correct affine'
        raise InputError(message)
    return data, affine
