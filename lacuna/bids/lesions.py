"""The files of one lesion, found on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lacuna.bids.derivatives import figures_dir
from lacuna.bids.origins import MaskSource, mask_source, read_links, resolve_uri
from lacuna.bids.outputs import output_name
from lacuna.errors import InputError
from lacuna.utils.files import read_json
from lacuna.utils.names import parse_entities, sidecar_path

_MAP_END = '_desc-disconnectionpct.nii.gz'


@dataclass(frozen=True)
class AtlasTables:
    """The tables of one lesion and one atlas; None for each that was not asked for.

    Attributes
    ----------
    name : str
    disconnection_matrix, mask_matrix, full_matrix, roi_disconnection : pathlib.Path or None
        See the table of outputs.
    """

    name: str
    disconnection_matrix: Path | None = None
    mask_matrix: Path | None = None
    full_matrix: Path | None = None
    roi_disconnection: Path | None = None


@dataclass(frozen=True)
class Lesion:
    """The files of one lesion.

    Attributes
    ----------
    stem : str
        The name that leads all outputs.
    space : str
        Of the map, the sample and (by its sidecar) the mask.
    mask : lacuna.bids.origins.MaskSource
        Reads the mask, and gives back only that which the map was made of.
    disconnection_map, full_tdi, summary, sample : pathlib.Path or None
        Map in percent, its denominator, statistics, and streamlines (``.tck``) of those cut.
    atlases : tuple of AtlasTables
    metadata : mapping
        The sidecar of the map.
    """

    stem: str
    space: str
    mask: MaskSource = field(default_factory=MaskSource)
    disconnection_map: Path | None = None
    full_tdi: Path | None = None
    summary: Path | None = None
    sample: Path | None = None
    atlases: tuple[AtlasTables, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """Label, without ``sub-``."""
        return parse_entities(self.stem)['sub']


def participants(root: Path) -> list[str]:
    """Labels of the participants that have a folder in a derivative dataset, in order."""
    return sorted(path.name.removeprefix('sub-') for path in root.glob('sub-*') if path.is_dir())


def find_lesions(root: Path, subject: str) -> list[Lesion]:
    """The lesions of a participant whose map is on disk, in the order of their names.

    Parameters
    ----------
    root : pathlib.Path
        Of the derivative dataset.
    subject : str
        Label, without ``sub-``.
    """
    links = read_links(root)
    folder = root / f'sub-{subject}'
    maps = [path for path in folder.rglob(f'*_method-snm_space-*{_MAP_END}') if path.is_file()]
    return sorted(
        (_lesion(root, path, links) for path in maps),
        key=lambda lesion: lesion.stem,
    )


def _lesion(root: Path, path: Path, links: Mapping[str, Any]) -> Lesion:
    stem = path.name.split('_method-snm_', 1)[0]
    space = parse_entities(path.name)['space']
    metadata = read_json(sidecar_path(path)) or {}
    names = {
        parse_entities(table.name).get('atlas')
        for table in path.parent.glob(f'{stem}_method-snm_atlas-*.tsv')
    }
    return Lesion(
        stem=stem,
        space=space,
        mask=mask_source(root, metadata, links),
        disconnection_map=path,
        full_tdi=_existing(resolve_uri(root, metadata.get('Denominator'), links)),
        summary=_existing(path.with_name(output_name(stem, 'summary'))),
        sample=_existing(
            figures_dir(root, parse_entities(stem)['sub']) / output_name(stem, 'sample', space=space)
        ),
        atlases=tuple(_tables(path.parent, stem, name) for name in sorted(filter(None, names))),
        metadata=metadata,
    )


def _tables(folder: Path, stem: str, atlas: str) -> AtlasTables:
    keys = ('disconnection_matrix', 'mask_matrix', 'full_matrix', 'roi_disconnection')
    return AtlasTables(
        atlas, **{key: _existing(folder / output_name(stem, key, atlas=atlas)) for key in keys}
    )


def _existing(path: Path | None) -> Path | None:
    return path if path is not None and path.is_file() else None


def check_dataset(root: Path) -> None:
    """Refuse a folder that holds no results of Lacuna.

    Raises
    ------
    InputError
    """
    description = read_json(root / 'dataset_description.json') or {}
    tools = description.get('GeneratedBy')
    names = [tool.get('Name') for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    if 'Lacuna' not in names:
        message = f'{root} is no folder of results of Lacuna: its dataset_description.json does not name it'
        raise InputError(message)


def results_stamp(lesions: Iterable[Lesion], *, viewer: bool = True) -> str:
    """A comment that stands for the results of lesions as they are now, and for pages with or without a viewer.

    Not by when they were written: clocks go wrong, and archives keep the times of what they unpack.
    """
    paths = []
    for lesion in lesions:
        paths += [lesion.disconnection_map, lesion.summary, lesion.sample]
        for atlas in lesion.atlases:
            paths += [
                atlas.disconnection_matrix,
                atlas.mask_matrix,
                atlas.full_matrix,
                atlas.roi_disconnection,
            ]
    known = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths if path]
    known += [] if viewer else [('no viewer', 0, 0)]
    return f'<!-- of {hashlib.sha256(repr(known).encode()).hexdigest()} -->\n'
