"""What results were made of: the links of a dataset to its sources, and the mask of a lesion, found and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import unquote, urlparse

from lacuna.errors import MaskError
from lacuna.images.masks import Mask, PackedMask, read_mask
from lacuna.utils.files import dig, listed, read_json

#: what the links to folders of masks begin with: ``lesions``, ``lesions2``, ...
LESIONS = 'lesions'
#: the problem of a mask that is there, but not the one that the results were made of
CHANGED = 'has changed since'


def read_links(root: Path) -> dict[str, str]:
    """The ``DatasetLinks`` of a dataset."""
    links = (read_json(root / 'dataset_description.json') or {}).get('DatasetLinks')
    return {name: str(uri) for name, uri in links.items()} if isinstance(links, dict) else {}


def generated_by(root: Path) -> set[str]:
    """Names of the tools that a dataset says it was made by."""
    tools = listed(read_json(root / 'dataset_description.json') or {}, 'GeneratedBy')
    return {str(tool.get('Name')) for tool in tools if isinstance(tool, dict)}


def link_name(links: Mapping[str, str], base: str, folder: Path) -> str:
    """The name of the link to a folder: that which it has, else the first that is free.

    A link is never turned to another folder, for what was made before names it.

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
    """Whether a link is one to masks.

    >>> is_lesions_link('lesions'), is_lesions_link('lesions2'), is_lesions_link('tractogram')
    (True, True, False)
    """
    return re.fullmatch(rf'{LESIONS}[0-9]*', name) is not None


def resolve_uri(root: Path, uri: object, links: Mapping[str, Any]) -> Path | None:
    """The file that a BIDS URI names; None if the dataset that it is in is not known.

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
    """The value above which a mask was taken as lesion, from the sidecar of a result; None if it is 0 and 1."""
    value = dig(sidecar, 'Parameters', 'Binarize')
    return float(value) if isinstance(value, int | float) else None


class FoundMask(NamedTuple):
    """The mask of a lesion, or what is wrong with it.

    Attributes
    ----------
    path : pathlib.Path or None
        None if there is no such file.
    mask : lacuna.images.masks.Mask or None
        None if it cannot be used, or is not the one that the results were made of.
    problem : str
        What is wrong, to be read after 'the mask'; nothing if all is well.
    """

    path: Path | None
    mask: Mask | None
    problem: str


@dataclass(frozen=True)
class MaskSource:
    """Where the mask of results may be, and what it was.

    Attributes
    ----------
    paths : tuple of pathlib.Path
        Where it should be, and where else a file of its name might be.
    sha256 : str or None
        Checksum of the mask that the results were made of; None if the file was given, and needs no comparison.
    binarize : float or None
        Above which values it was lesion, if it is not of 0 and 1.
    """

    paths: tuple[Path, ...] = ()
    sha256: str | None = None
    binarize: float | None = None

    def read(self, known: Mapping[Path, PackedMask] = MappingProxyType({})) -> FoundMask:
        """Read the mask. Only the one that the results were made of is ever given back.

        Parameters
        ----------
        known : mapping
            What was read before, by its absolute path: these files are not opened again.
        """
        if not self.paths:
            return FoundMask(None, None, 'is not known: nothing in the dataset says where it is')
        problems: list[FoundMask] = []
        for path in self.paths:
            if not path.is_file():
                continue
            if (before := known.get(path)) and before.sha256 == self.sha256:
                return FoundMask(path, before.unpack(), '')
            try:
                mask = read_mask(path, self.binarize)
            except MaskError as error:
                reason = ' '.join(str(error).removeprefix(f'{path}: ').split())
                problems.append(FoundMask(path, None, f'cannot be used any more: {reason}'))
                continue
            if self.sha256 in (None, mask.sha256):
                return FoundMask(path, mask, '')
            problems.append(FoundMask(path, None, CHANGED))
        gone = FoundMask(None, None, f'is not where the sidecars say: {self.paths[0]}')
        return problems[0] if problems and problems[0].path == self.paths[0] else gone


def mask_source(root: Path, sidecar: Mapping[str, Any], links: Mapping[str, Any]) -> MaskSource:
    """The mask that a sidecar names.

    If its folder has moved, the mask is looked for below the other links to masks, too: its checksum tells whether it
    is the one.

    Parameters
    ----------
    root : pathlib.Path
        Of the derivative dataset.
    sidecar : mapping
    links : mapping
        Of the dataset, see `read_links`.
    """
    sha256 = str(dig(sidecar, 'Mask', 'SHA256') or '')
    for uri in map(str, listed(sidecar, 'Sources')):
        scheme, name, path = (*uri.split(':', 2), '', '')[:3]
        if scheme == 'bids' and is_lesions_link(name):
            others = [link for link in links if is_lesions_link(link) and link != name]
            places = (resolve_uri(root, f'bids:{link}:{path}', links) for link in (name, *others))
            return MaskSource(tuple(dict.fromkeys(filter(None, places))), sha256, binarized_at(sidecar))
    return MaskSource((), sha256)
