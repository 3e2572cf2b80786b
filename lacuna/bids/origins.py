"""The sources of results: links of a dataset, and the mask and atlas that results were made from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import unquote, urlparse

from lacuna.errors import MaskError
from lacuna.images.atlases import Atlas
from lacuna.images.masks import KnownMask, Mask, PackedMask, read_mask
from lacuna.utils.files import dig, listed, read_json

#: prefix of links to folders of masks: ``lesions``, ``lesions2``, ...
LESIONS = 'lesions'
#: problem of a mask that is not the one the results were made from
CHANGED = 'has changed since'


def read_links(root: Path) -> dict[str, str]:
    """Return the ``DatasetLinks`` of a dataset."""
    links = (read_json(root / 'dataset_description.json') or {}).get('DatasetLinks')
    return {name: str(uri) for name, uri in links.items()} if isinstance(links, dict) else {}


def generated_by(root: Path) -> set[str]:
    """Return the names in ``GeneratedBy`` of a dataset."""
    tools = listed(read_json(root / 'dataset_description.json') or {}, 'GeneratedBy')
    return {str(tool.get('Name')) for tool in tools if isinstance(tool, dict)}


def link_name(links: Mapping[str, str], base: str, folder: Path) -> str:
    """Return the name of the link to a folder: the existing one, else the first free name.

    Existing links never change, because earlier results refer to them.

    >>> links = {'lesions': 'file:///one'}
    >>> link_name(links, 'lesions', Path('/one')), link_name(links, 'lesions', Path('/two'))
    ('lesions', 'lesions2')
    """
    number, name = 1, base
    while links.get(name, folder.as_uri()) != folder.as_uri():
        number += 1
        name = f'{base}{number}'
    return name


def is_lesions_link(name: str) -> bool:
    """Whether a link points to a folder of masks.

    >>> is_lesions_link('lesions'), is_lesions_link('lesions2'), is_lesions_link('tractogram')
    (True, True, False)
    """
    return re.fullmatch(rf'{LESIONS}[0-9]*', name) is not None


def resolve_uri(root: Path, uri: object, links: Mapping[str, Any]) -> Path | None:
    """Return the file of a BIDS URI; None if its dataset is unknown.

    >>> resolve_uri(Path('/out'), 'bids:lesions:sub-01/m.nii', {'lesions': 'file:///in'})
    PosixPath('/in/sub-01/m.nii')
    >>> resolve_uri(Path('/out'), 'bids::tdi.nii.gz', {})
    PosixPath('/out/tdi.nii.gz')
    """
    parts = str(uri).split(':', 2)
    if len(parts) != 3 or parts[0] != 'bids':
        return None
    if not parts[1]:
        return root / parts[2]
    link = urlparse(str(links.get(parts[1], '')))
    return Path(unquote(link.path), parts[2]) if link.scheme == 'file' else None


def binarized_at(sidecar: Mapping[str, Any]) -> float | None:
    """Return the threshold of a mask from the sidecar of a result; None for binary masks."""
    value = dig(sidecar, 'Parameters', 'Binarize')
    return float(value) if isinstance(value, int | float) else None


def graded_with(sidecar: Mapping[str, Any]) -> float | None:
    """Return the scale of a graded mask from the sidecar of a result; None if graded masks were refused."""
    if dig(sidecar, 'Parameters', 'GradedMasks') is None:
        return None
    value = dig(sidecar, 'Parameters', 'MaskScale')
    return float(value) if isinstance(value, int | float) and value > 0 else 1.0


class FoundMask(NamedTuple):
    """The mask of a lesion, or its problem.

    Attributes
    ----------
    path : pathlib.Path or None
        None if the file does not exist.
    mask : lacuna.images.masks.Mask or None
        None if it is unusable, or not the mask that the results were made from.
    problem : str
        The problem, as a continuation of 'the mask'; empty if there is none.
    """

    path: Path | None
    mask: Mask | None
    problem: str


@dataclass(frozen=True)
class MaskSource:
    """Where the mask of results may be, and how to recognise it.

    Attributes
    ----------
    paths : tuple of pathlib.Path
        Expected path, then other paths where a file of this name might be.
    sha256 : str or None
        Checksum of the mask that the results were made from; None if the file needs no comparison.
    binarize : float or None
        Threshold above which values were lesion; None for binary masks.
    mask_scale : float or None
        Divisor of the values, if masks may be graded.
    """

    paths: tuple[Path, ...] = ()
    sha256: str | None = None
    binarize: float | None = None
    mask_scale: float | None = None

    def read(self, known: Mapping[Path, KnownMask] = MappingProxyType({})) -> FoundMask:
        """Read the mask; only the one that the results were made from is returned.

        Parameters
        ----------
        known : mapping
            Masks already read, by absolute path; their files are not opened again.
        """
        if not self.paths:
            return FoundMask(None, None, 'is not known: nothing in the dataset gives its path')
        problems: list[FoundMask] = []
        for path in self.paths:
            if not path.is_file():
                continue
            before = known.get(path)
            if isinstance(before, PackedMask) and before.sha256 == self.sha256:
                return FoundMask(path, before.unpack(), '')
            try:
                mask = read_mask(path, self.binarize, self.mask_scale)
            except MaskError as error:
                reason = ' '.join(str(error).removeprefix(f'{path}: ').split())
                problems.append(FoundMask(path, None, f'can no longer be used: {reason}'))
                continue
            if self.sha256 in (None, mask.sha256):
                return FoundMask(path, mask, '')
            problems.append(FoundMask(path, None, CHANGED))
        gone = FoundMask(None, None, f'is not at the path in the sidecars: {self.paths[0]}')
        return problems[0] if problems and problems[0].path == self.paths[0] else gone


def mask_source(root: Path, sidecar: Mapping[str, Any], links: Mapping[str, Any]) -> MaskSource:
    """Return where the mask that a sidecar names may be.

    If its folder has moved, the mask is searched below the other links to masks, and recognised by its checksum.

    Parameters
    ----------
    root : pathlib.Path
        Root of the derivative dataset.
    sidecar : mapping
    links : mapping
        Links of the dataset, see `read_links`.
    """
    sha256 = str(dig(sidecar, 'Mask', 'SHA256') or '')
    for uri in map(str, listed(sidecar, 'Sources')):
        scheme, name, path = (*uri.split(':', 2), '', '')[:3]
        if scheme == 'bids' and is_lesions_link(name):
            others = [link for link in links if is_lesions_link(link) and link != name]
            places = (resolve_uri(root, f'bids:{link}:{path}', links) for link in (name, *others))
            paths = tuple(dict.fromkeys(filter(None, places)))
            return MaskSource(paths, sha256, binarized_at(sidecar), graded_with(sidecar))
    return MaskSource((), sha256)


def atlas_source(root: Path, sidecar: Mapping[str, Any], links: Mapping[str, Any]) -> Atlas | None:
    """Return the atlas that a sidecar names; None if it names none, or its files no longer exist.

    Parameters
    ----------
    root : pathlib.Path
        Root of the derivative dataset.
    sidecar : mapping
        Sidecar of a table or matrix.
    links : mapping
        Links of the dataset, see `read_links`.
    """
    name, space, source = (str(dig(sidecar, 'Atlas', key) or '') for key in ('Name', 'Space', 'From'))
    uris = [uri for uri in map(str, listed(sidecar, 'Sources')) if uri.startswith(f'bids:atlas-{name}')]
    paths = [path for uri in uris if (path := resolve_uri(root, uri, links)) and path.is_file()]
    return Atlas(name, paths[0], paths[1], space, source) if name and len(paths) == 2 else None
