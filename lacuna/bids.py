"""Find lesion masks in BIDS datasets, and name what is made from them."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from lacuna.errors import InputError, MaskError
from lacuna.files import check_name, read_json
from lacuna.spaces import SPACES, world_space

_MASK_NAME = re.compile(r'(?P<stem>.+?)(_mask)?\.(nii(\.gz)?|img)', re.DOTALL)
_ENTITY = re.compile(r'([a-zA-Z]+)-([^_-]+)')
#: what the derivatives of fMRIPrep and its like also call a mask
_NO_LESION = ('*_desc-brain_mask.nii*', '*_desc-aseg*_mask.nii*', '*_desc-ribbon_mask.nii*')


@dataclass(frozen=True)
class Output:
    """One kind of file that Lacuna writes; see ``data/outputs.json``.

    Attributes
    ----------
    key : str
    level : str
        ``mask`` (one for each lesion), ``figure`` (the same, among the figures) or ``connectome`` (one for each
        tractogram).
    scope : str or None
        The entity that tells its variants apart: ``space``, ``atlas`` or none.
    desc, suffix : str or None
    extension : str
    sidecar : bool
        Whether a JSON file of the same name goes with it.
    units : str or None
    about : str
    """

    key: str
    level: str
    scope: str | None
    desc: str | None
    suffix: str | None
    extension: str
    sidecar: bool
    units: str | None
    about: str


@cache
def outputs() -> Mapping[str, Output]:
    """The table of all outputs, by key."""
    text = resources.files('lacuna').joinpath('data/outputs.json').read_text(encoding='utf-8')
    return {key: Output(key=key, **row) for key, row in json.loads(text).items()}


class Target(NamedTuple):
    """One file to make of a mask: the key of the output, and the atlas if it belongs to one."""

    key: str
    atlas: str | None = None

    @property
    def field(self) -> str:
        """Its name as a field of a node."""
        return f'{self.key}_{self.atlas}' if self.atlas else self.key


@dataclass(frozen=True)
class MaskFile:
    """A lesion mask and what its name says.

    Attributes
    ----------
    path : pathlib.Path
    stem : str
        The name that leads all outputs: that of the file without ``space`` and suffix.
    subject : str
        Label, without ``sub-``.
    session : str or None
        Label, without ``ses-``.
    space : str
        The supported space of its coordinates.
    space_from : str
        Where that comes from, in words.
    """

    path: Path
    stem: str
    subject: str
    session: str | None
    space: str
    space_from: str

    @property
    def folder(self) -> Path:
        """Folder of the outputs, relative to that of the dataset."""
        session = f'ses-{self.session}' if self.session else ''
        return Path(f'sub-{self.subject}', session, 'anat')


def parse_entities(name: str) -> dict[str, str]:
    """Entities of a BIDS file name; of a repeated one the last counts.

    >>> parse_entities('sub-01_label-lesion_mask.nii.gz')
    {'sub': '01', 'label': 'lesion'}
    """
    parts = (_ENTITY.fullmatch(part) for part in name.split('.', 1)[0].split('_'))
    return {part[1]: part[2] for part in parts if part}


def output_name(stem: str, key: str, **entities: str) -> str:
    """File name of one output of a mask.

    Parameters
    ----------
    stem : str
        Of the mask, see `MaskFile`.
    key : str
        In the table of outputs.
    **entities : str
        The entity that the output's scope asks for.

    Examples
    --------
    >>> output_name('sub-01_label-lesion', 'map', space='MNI152NLin6Asym')
    'sub-01_label-lesion_method-snm_space-MNI152NLin6Asym_desc-disconnectionpct.nii.gz'
    """
    output = outputs()[key]
    parts = [stem, 'method-snm']
    if output.scope:
        parts.append(f'{output.scope}-{entities[output.scope]}')
    if output.desc:
        parts.append(f'desc-{output.desc}')
    if output.suffix:
        parts.append(output.suffix)
    return '_'.join(parts) + output.extension


def parse_output_name(name: str) -> tuple[str, str, str | None] | None:
    """Stem, key and value of the scope of an output of a mask, from its file name; None for any other file.

    >>> parse_output_name('sub-01_label-lesion_method-snm_space-MNI152NLin6Asym_desc-disconnectionpct.nii.gz')
    ('sub-01_label-lesion', 'map', 'MNI152NLin6Asym')
    """
    for key, pattern in _output_patterns().items():
        if matched := pattern.fullmatch(name):
            return matched['stem'], key, matched.groupdict().get('scope')
    return None


@cache
def _output_patterns() -> dict[str, re.Pattern[str]]:
    patterns = {}
    for key, output in outputs().items():
        if output.level == 'mask':
            name = output_name('STEM', key, **({output.scope: 'SCOPE'} if output.scope else {}))
            pattern = re.escape(name).replace('STEM', '(?P<stem>.+)').replace('SCOPE', '(?P<scope>[^_]+)')
            patterns[key] = re.compile(pattern)
    return patterns


def connectome_tdi_path(label: str, space: str, resolution: int) -> Path:
    """Where in the dataset the full density of a tractogram lies."""
    return Path('connectome', f'tractogram-{label}_space-{space}_res-{resolution}_tdi.nii.gz')


def sidecar_path(path: Path) -> Path:
    """The JSON file that goes with an image or a table."""
    return path.with_name(path.name.split('.', 1)[0] + '.json')


def find_masks(
    root: Path,
    *,
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    pattern: str | None = None,
) -> list[Path]:
    """Lesion masks of a BIDS dataset, in the order of their names.

    Only the folders asked for are looked into.

    Parameters
    ----------
    root : pathlib.Path
    participants, sessions : sequence of str
        Labels, with or without ``sub-`` and ``ses-``; all if empty.
    pattern : str, optional
        Glob on the file name (or, with a slash, on the path below `root`). Without it, all masks but those of the
        brain and of FreeSurfer's segmentation.

    Raises
    ------
    InputError
        If a participant or session does not exist, or no mask is found.
    """
    wanted = _labels(participants, 'sub-')
    present = {path.name.removeprefix('sub-') for path in root.glob('sub-*') if path.is_dir()}
    if unknown := [label for label in wanted if label not in present]:
        message = f'there is no participant {", ".join(unknown)} in {root}; it has {_few(sorted(present))}'
        raise InputError(message)

    found = [
        path
        for path in _indexed_masks(root, wanted, _labels(sessions, 'ses-'))
        if _matches(path, root, pattern)
    ]
    if not found:
        where = (
            f'matches {pattern!r}'
            if pattern
            else "is named like 'sub-01_space-MNI152NLin6Asym_label-lesion_mask.nii.gz'"
        )
        which = ' of the participants and sessions asked for' if wanted or sessions else ''
        message = f'no mask found in {root}: no file{which} {where}'
        raise InputError(message)
    return sorted(found)


def _labels(given: Iterable[str], prefix: str) -> list[str]:
    return [label.removeprefix(prefix) for label in given]


def _few(names: Sequence[str]) -> str:
    return (
        ', '.join(names[:8]) + (f', ... ({len(names)} in all)' if len(names) > 8 else '') if names else 'none'
    )


def _matches(path: Path, root: Path, pattern: str | None) -> bool:
    if pattern is None:
        return not any(fnmatch.fnmatch(path.name, other) for other in _NO_LESION)
    return fnmatch.fnmatch(str(path.relative_to(root)) if '/' in pattern else path.name, pattern)


def _indexed_masks(root: Path, participants: Sequence[str], sessions: Sequence[str]) -> list[Path]:
    """Masks that pybids finds when it is kept from reading anything else."""
    from bids import BIDSLayout, BIDSLayoutIndexer

    ignore = [
        re.compile(r'^/(code|sourcedata|derivatives|stimuli|models)(/|$)'),
        re.compile(r'/\.'),
        re.compile(r'^(?!.*_mask\.(nii(\.gz)?|img)$).*\.[^/]*$'),  # every file but the masks
    ]
    if participants:
        ignore.append(re.compile(rf'^/(?!sub-({"|".join(map(re.escape, participants))})(/|$))'))
    if sessions:
        ignore.append(re.compile(rf'^/[^/]*/ses-(?!({"|".join(map(re.escape, sessions))})(/|$))'))
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=ignore)
    layout = BIDSLayout(root, validate=False, indexer=indexer)
    query = {'session': list(sessions)} if sessions else {}
    return [Path(path) for path in layout.get(suffix='mask', return_type='filename', **query)]


def mask_stem(path: Path) -> str:
    """Name of a mask without ``space``, suffix and extension.

    >>> mask_stem(Path('sub-01_space-MNI152NLin6Asym_label-lesion_mask.nii.gz'))
    'sub-01_label-lesion'

    Raises
    ------
    MaskError
        If it is no NIfTI file.
    """
    matched = _MASK_NAME.fullmatch(path.name)
    if not matched:
        message = f'{path}: a mask is a NIfTI file (.nii, .nii.gz, or the .img of a pair with .hdr)'
        raise MaskError(message)
    return '_'.join(part for part in matched['stem'].split('_') if not part.startswith('space-'))


def describe_mask(path: Path, *, space: str | None = None, subject: str | None = None) -> MaskFile:
    """What the name of a mask and the JSON file beside it say.

    Parameters
    ----------
    path : pathlib.Path
    space : str, optional
        Overrides what file and name say.
    subject : str, optional
        Label of a mask whose name has none; by default made from the name.

    Raises
    ------
    MaskError
        If the space is not known or not supported, or the name cannot stand in a line of text.
    """
    try:
        check_name(path)
    except InputError as error:
        raise MaskError(str(error)) from error
    entities = parse_entities(path.name)
    stem = mask_stem(path)
    if 'sub' not in entities:
        subject = subject or re.sub('[^0-9A-Za-z]', '', stem) or 'lesion'
        stem = f'sub-{subject}'
    space, source = _mask_space(path, entities, space)
    return MaskFile(
        path=path,
        stem=stem,
        subject=entities.get('sub') or str(subject),
        session=entities.get('ses'),
        space=space,
        space_from=source,
    )


def _mask_space(path: Path, entities: Mapping[str, str], given: str | None) -> tuple[str, str]:
    sidecar = read_json(sidecar_path(path)) or {}
    candidates = [
        (given, '--mask-space'),
        (sidecar.get('Space'), "the sidecar's Space"),
        (sidecar.get('SpatialReference'), "the sidecar's SpatialReference"),
        (entities.get('space'), "the name's space entity"),
    ]
    for name, source in candidates:
        if isinstance(name, str) and name:
            try:
                return world_space(name), source
            except InputError as error:
                message = f'{path}: {error} ({source})'
                raise MaskError(message) from error
    message = f'{path}: the space of the mask is not known; name it with --mask-space ({", ".join(SPACES)})'
    raise MaskError(message)


def check_unique(masks: Iterable[MaskFile]) -> None:
    """Refuse masks whose outputs would have the same names.

    Raises
    ------
    InputError
    """
    seen: dict[str, MaskFile] = {}
    for mask in masks:
        if (other := seen.setdefault(mask.stem, mask)) is not mask:
            message = (
                f'two masks have one name for their results ({mask.stem}): {other.path.name} and {mask.path.name}; '
                'choose one with --pattern'
            )
            raise InputError(message)
