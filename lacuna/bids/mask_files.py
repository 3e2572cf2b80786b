"""Lesion masks as files: the meaning of their names, and their space."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lacuna.errors import InputError, MaskError
from lacuna.images.spaces import SPACES, Settled, settle_space, stated_spaces
from lacuna.utils.names import check_name, parse_entities

_MASK_NAME = re.compile(r'(?P<stem>.+?)(_(?P<suffix>mask|roi|lesion))?\.(nii(\.gz)?|img)', re.DOTALL)


@dataclass(frozen=True)
class MaskFile:
    """A lesion mask with the information in its name.

    Attributes
    ----------
    path : pathlib.Path
    stem : str
        Common beginning of the names of its outputs: the file name without ``space``, ``desc`` and suffix.
    subject : str
        Participant label, without ``sub-``.
    session : str or None
        Session label, without ``ses-``.
    space : str
        Supported space of its coordinates.
    space_from : str
        Where the space was stated, in words.
    contradiction : str or None
        How option, sidecar and name disagree about the space, if they do.
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
        """Folder of the outputs, relative to the dataset."""
        session = f'ses-{self.session}' if self.session else ''
        return Path(f'sub-{self.subject}', session, 'anat')


def mask_stem(path: Path) -> str:
    """Return the name of a mask without ``space``, suffix and extension; it is the same in all spaces.

    >>> mask_stem(Path('sub-01_space-MNI152NLin6Asym_label-lesion_mask.nii.gz'))
    'sub-01_label-lesion'
    >>> mask_stem(Path('sub-01_label-lesion_roi.nii.gz')), mask_stem(Path('P1_lesion.nii'))
    ('sub-01_label-lesion', 'P1_lesion')

    Raises
    ------
    MaskError
        If it is not a NIfTI file.
    """
    matched = _MASK_NAME.fullmatch(path.name)
    if not matched:
        message = f'{path}: a mask is a NIfTI file (.nii, .nii.gz, or the .img of a pair with .hdr)'
        raise MaskError(message)
    stem = matched['stem']
    # names without a participant are used completely, except for this suffix
    if matched['suffix'] not in (None, 'mask') and 'sub' not in parse_entities(path.name):
        stem = f'{stem}_{matched["suffix"]}'
    return '_'.join(part for part in stem.split('_') if not part.startswith('space-'))


def describe_mask(path: Path, *, space: str | None = None, subject: str | None = None) -> MaskFile:
    """Describe a mask by its name and the JSON files that apply to it.

    Parameters
    ----------
    path : pathlib.Path
    space : str, optional
        Space of the mask; overrides files and name.
    subject : str, optional
        Participant label for a mask whose name has none; by default derived from the name.

    Raises
    ------
    MaskError
        If the space is unknown or not supported, the name has line breaks, or the mask is in the folder of another
        participant or session.
    """
    try:
        check_name(path)
    except InputError as error:
        raise MaskError(str(error)) from error
    entities = parse_entities(path.name)
    _check_folders(path, entities)
    stem, subject = _stem_and_subject(path, subject)
    settled = _mask_space(path, space)
    return MaskFile(
        path=path,
        stem=stem,
        subject=subject,
        session=entities.get('ses'),
        space=settled.space,
        space_from=settled.source,
        contradiction=settled.contradiction,
    )


def _check_folders(path: Path, entities: Mapping[str, str]) -> None:
    """Raise an error if the name and the folders of a mask contradict each other, as in a copied participant's folder."""
    folders = [parent.name for parent in path.parents]
    participant = next((number for number, name in enumerate(folders) if name.startswith('sub-')), -1)
    for folder in folders[participant::-1] if participant >= 0 else ():
        entity = folder.partition('-')[0]
        if entity in ('sub', 'ses') and entity in entities and folder != f'{entity}-{entities[entity]}':
            message = (
                f'{path}: the mask is named {entity}-{entities[entity]}, but lies in a folder {folder}; '
                'rename one of them'
            )
            raise MaskError(message)


def name_mask(path: Path, subject: str | None = None) -> tuple[str, str]:
    """Return the stem of a mask's results and its participant's label, whatever its name.

    >>> name_mask(Path('my_lesion.nii')), name_mask(Path('my_lesion.nii'), '01')
    (('sub-mylesion', 'mylesion'), ('sub-01', '01'))
    """
    try:
        check_name(path)
        return _stem_and_subject(path, subject)
    except (InputError, MaskError):
        return path.name, _alphanumeric(path.name)


def _stem_and_subject(path: Path, subject: str | None) -> tuple[str, str]:
    entities, stem = parse_entities(path.name), mask_stem(path)
    if 'sub' in entities:
        # outputs have their own desc-
        return '_'.join(part for part in stem.split('_') if not part.startswith('desc-')), entities['sub']
    subject = subject or _alphanumeric(stem)
    return f'sub-{subject}', subject


def _alphanumeric(name: str) -> str:
    return re.sub('[^0-9A-Za-z]', '', name) or 'lesion'


def _mask_space(path: Path, given: str | None) -> Settled:
    try:
        settled = settle_space([(given, '--mask-space'), *stated_spaces(path)])
    except InputError as error:
        message = f'{path}: {error}'
        raise MaskError(message) from error
    if settled is None:
        message = (
            f'{path}: the space of the mask is not known; give it with --mask-space ({", ".join(SPACES)})'
        )
        raise MaskError(message)
    return settled


def contradictions(masks: Iterable[MaskFile]) -> list[str]:
    """Return each contradiction about the space of masks once, with the number of masks and an example."""
    having: dict[str, list[MaskFile]] = {}
    for mask in masks:
        if mask.contradiction:
            having.setdefault(mask.contradiction, []).append(mask)
    return [
        f'{what}: {found[0].space} is used ({len(found)} mask{"" if len(found) == 1 else "s"}, such as {found[0].path})'
        for what, found in having.items()
    ]


def check_unique(masks: Iterable[MaskFile]) -> None:
    """Raise an error if the outputs of two masks would have the same names.

    Raises
    ------
    InputError
    """
    seen: dict[str, MaskFile] = {}
    for mask in masks:
        if (other := seen.setdefault(mask.stem, mask)) is not mask:
            one, two = (parse_entities(each.path.name).get('desc') for each in (other, mask))
            choose = f"such as --pattern '*desc-{one or two}_*'" if one != two else 'or rename one of them'
            first, second = (
                (each.path if other.path.name == mask.path.name else each.path.name) for each in (other, mask)
            )
            message = (
                f'two masks have the same name for their results ({mask.stem}): {first} and {second}; '
                f'select one with --pattern, {choose}'
                + (
                    ", or give them different label- entities ('desc-' is reserved for results)"
                    if one != two
                    else ''
                )
            )
            raise InputError(message)
