"""What the name of a lesion mask and the files beside it say, and how what is made from it is named."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from lacuna.errors import InputError, MaskError
from lacuna.files import check_name, read_json
from lacuna.spaces import SPACES, Settled, settle_space

_MASK_NAME = re.compile(r'(?P<stem>.+?)(_(?P<suffix>mask|roi|lesion))?\.(nii(\.gz)?|img)', re.DOTALL)
#: the end of the name of an image; an .img has a .hdr beside it
NIFTI = re.compile(r'\.(nii(\.gz)?|img)$')
_ENTITY = re.compile(r'([a-zA-Z]+)-([^_-]+)')


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
        The name that leads all outputs: that of the file without ``space``, ``desc`` and suffix.
    subject : str
        Label, without ``sub-``.
    session : str or None
        Label, without ``ses-``.
    space : str
        The supported space of its coordinates.
    space_from : str
        Where that comes from, in words.
    contradiction : str or None
        What option, sidecar and name say of the space, if they do not agree.
    """

    path: Path
    stem: str
    subject: str
    session: str | None
    space: str
    space_from: str
    contradiction: str | None = None

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


def mask_stem(path: Path) -> str:
    """Name of a mask without ``space``, suffix and extension: that of the same mask in any space.

    >>> mask_stem(Path('sub-01_space-MNI152NLin6Asym_label-lesion_mask.nii.gz'))
    'sub-01_label-lesion'
    >>> mask_stem(Path('sub-01_label-lesion_roi.nii.gz')), mask_stem(Path('P1_lesion.nii'))
    ('sub-01_label-lesion', 'P1_lesion')

    Raises
    ------
    MaskError
        If it is no NIfTI file.
    """
    matched = _MASK_NAME.fullmatch(path.name)
    if not matched:
        message = f'{path}: a mask is a NIfTI file (.nii, .nii.gz, or the .img of a pair with .hdr)'
        raise MaskError(message)
    stem = matched['stem']
    # in a name of no participant, all but this makes one
    if matched['suffix'] not in (None, 'mask') and 'sub' not in parse_entities(path.name):
        stem = f'{stem}_{matched["suffix"]}'
    return '_'.join(part for part in stem.split('_') if not part.startswith('space-'))


def describe_mask(path: Path, *, space: str | None = None, subject: str | None = None) -> MaskFile:
    """What the name of a mask and the JSON files that go with it say.

    Parameters
    ----------
    path : pathlib.Path
    space : str, optional
        Overrides what files and name say.
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
    if 'sub' in entities:
        # that of the outputs says what they are
        stem = '_'.join(part for part in stem.split('_') if not part.startswith('desc-'))
    else:
        subject = subject or re.sub('[^0-9A-Za-z]', '', stem) or 'lesion'
        stem = f'sub-{subject}'
    settled = _mask_space(path, entities, space)
    return MaskFile(
        path=path,
        stem=stem,
        subject=entities.get('sub') or str(subject),
        session=entities.get('ses'),
        space=settled.space,
        space_from=settled.source,
        contradiction=settled.contradiction,
    )


def _mask_space(path: Path, entities: Mapping[str, str], given: str | None) -> Settled:
    sidecar = mask_sidecar(path)
    try:
        settled = settle_space(
            [
                (given, '--mask-space'),
                (sidecar.get('Space'), "the sidecar's Space"),
                (sidecar.get('SpatialReference'), "the sidecar's SpatialReference"),
                (entities.get('space'), "the name's space entity"),
            ]
        )
    except InputError as error:
        message = f'{path}: {error}'
        raise MaskError(message) from error
    if settled is None:
        message = (
            f'{path}: the space of the mask is not known; name it with --mask-space ({", ".join(SPACES)})'
        )
        raise MaskError(message)
    return settled


def mask_sidecar(path: Path) -> dict[str, Any]:
    """What the JSON files say that go with a mask by the inheritance principle of BIDS.

    They lie in the folder of the mask or in one above it, up to that of the dataset, and have no entity that the mask
    lacks: ``mask.json``, ``space-MNI152NLin6Asym_mask.json``, ``sub-01/sub-01_mask.json``. What is nearer wins.
    """
    folders = [path.parent]
    if participant := next((each for each in path.parents if each.name.startswith('sub-')), None):
        folders = [*reversed(path.relative_to(participant.parent).parents)]
        folders = [participant.parent / folder for folder in folders]
    own, wanted = sidecar_path(path), parse_entities(path.name).items()
    suffix = NIFTI.sub('', path.name).rpartition('_')[2]
    found: dict[str, Any] = {}
    for folder in folders:
        general = [
            each
            for pattern in (f'{glob.escape(suffix)}.json', f'*_{glob.escape(suffix)}.json')
            for each in folder.glob(pattern)
            if each != own and parse_entities(each.name).items() <= wanted
        ]
        for each in sorted(general, key=lambda other: len(parse_entities(other.name))):
            found |= read_json(each) or {}
    return found | (read_json(own) or {})


def contradictions(masks: Iterable[MaskFile]) -> list[str]:
    """Each contradiction about the space of masks once: how many masks have it, and one of them."""
    having: dict[str, list[MaskFile]] = {}
    for mask in masks:
        if mask.contradiction:
            having.setdefault(mask.contradiction, []).append(mask)
    return [
        f'{what}: {found[0].space} is used ({len(found)} mask{"" if len(found) == 1 else "s"}, such as {found[0].path})'
        for what, found in having.items()
    ]


def check_unique(masks: Iterable[MaskFile]) -> None:
    """Refuse masks whose outputs would have the same names.

    Raises
    ------
    InputError
    """
    seen: dict[str, MaskFile] = {}
    for mask in masks:
        if (other := seen.setdefault(mask.stem, mask)) is not mask:
            one, two = (parse_entities(each.path.name).get('desc') for each in (other, mask))
            choose = f"such as --pattern '*desc-{one or two}_*'" if one != two else 'or rename one of them'
            message = (
                f'two masks have one name for their results ({mask.stem}): {other.path.name} and {mask.path.name}; '
                f'choose one with --pattern, {choose}'
                + (
                    ", or tell them apart by label- ('desc-' names what is made of a mask)"
                    if one != two
                    else ''
                )
            )
            raise InputError(message)
