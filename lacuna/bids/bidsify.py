"""Create a BIDS dataset from a folder or a table of lesion masks; masks are checked, and nothing is overwritten."""

from __future__ import annotations

import csv
import filecmp
import gzip
import hashlib
import shutil
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lacuna.bids.description import BIDS_VERSION
from lacuna.bids.listing import checked_label, masks_of_folder, masks_of_table
from lacuna.bids.origins import generated_by
from lacuna.bids.tables import table_bytes
from lacuna.errors import InputError, MaskError
from lacuna.images.mask_values import GRADED, check_grading, check_threshold, grading
from lacuna.images.masks import Mask, read_mask
from lacuna.images.nifti import save
from lacuna.images.plausibility import inspect_mask
from lacuna.images.spaces import settle_space, space_in_name, world_space
from lacuna.utils.files import json_bytes, listed, read_json, remove_leftovers, replacing, write_if_changed
from lacuna.utils.names import NIFTI, sidecar_path
from lacuna.utils.processes import thread_map
from lacuna.utils.progress import track
from lacuna.utils.sidecars import generator, inherited_metadata

MAPPING = 'bidsify.tsv'
_COLUMNS = ('source', 'target', 'sha256')
#: not 'Lacuna', which identifies results
_GENERATOR = 'Lacuna bidsify'
_DEFAULT_LABEL = 'lesion'


@dataclass(frozen=True)
class Entry:
    """A mask and its target.

    Attributes
    ----------
    source, target : pathlib.Path
    shown : str
        The source as in the mapping table: relative to the folder, or as in the source table.
    binarize : float or None
        Threshold above which values are lesion.
    mask_scale : float or None
        Divisor of the values, if masks may be graded.
    """

    source: Path
    target: Path
    shown: str
    binarize: float | None = None
    mask_scale: float | None = None

    @property
    def is_copied(self) -> bool:
        """Whether the file is copied unchanged."""
        same = self.binarize is None and self.mask_scale in (None, 1)
        return same and not self.source.name.endswith('.img')

    def read(self) -> Mask:
        """Read the mask to be written."""
        return read_mask(self.source, self.binarize, self.mask_scale)


@dataclass
class Bidsified:
    """Result of `bidsify`.

    Attributes
    ----------
    written, kept : list of pathlib.Path
        Masks written, and identical masks that already existed.
    faults : list of str
        Masks that were left out, one line each.
    warnings : list of str
    """

    written: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def bidsify(
    source: Path,
    target: Path,
    *,
    space: str,
    session: str | None = None,
    label: str = _DEFAULT_LABEL,
    binarize: float | None = None,
    graded_masks: str = GRADED[0],
    mask_scale: float = 1.0,
    pattern: str | None = None,
    show_progress: bool = False,
) -> Bidsified:
    """Copy masks into a BIDS dataset.

    Parameters
    ----------
    source : pathlib.Path
        Folder of NIfTI masks, or a table (``.csv``, ``.tsv``) with the columns ``subject`` and ``path`` (relative to
        the table) and optionally ``session`` and ``label``.
    target : pathlib.Path
        Folder of the dataset.
    space : str
        Space of all masks.
    session, label : str, optional
        Defaults for masks whose name or row has none.
    binarize : float, optional
        Threshold above which values are lesion. The masks are then written binary, with the threshold in a sidecar.
    graded_masks, mask_scale
        See :class:`lacuna.execution.config.RunConfig`. With a scale, masks are written with values from 0 to 1, and
        the scale in a sidecar.
    pattern : str, optional
        Glob for the names of the masks (or, with a slash, for their paths below the folder or in the table).
    show_progress : bool
        Whether to show progress bars on a terminal.

    Raises
    ------
    InputError
        If two masks would have the same name, or another file has the name. Then nothing is written.
    """
    world_space(space)
    check_threshold(binarize)
    check_grading(graded_masks, mask_scale, binarize)
    session = session and checked_label(session.removeprefix('ses-'), 'session', '--session')
    label = checked_label(label.removeprefix('label-'), 'label', '--label')
    rows = masks_of_folder(source, target, pattern) if source.is_dir() else masks_of_table(source, pattern)
    entries = []
    for path, shown, entities in rows:
        relative = target_path(
            entities['sub'], entities.get('ses') or session, space, entities.get('label') or label
        )
        entries.append(Entry(path, target / relative, shown, binarize, grading(graded_masks, mask_scale)))
    _check_collisions(entries)
    _check_target(target)
    found = Bidsified()
    usable = list(_usable(entries, space, found, show_progress=show_progress))
    todo = [entry for entry in usable if not entry.target.exists()]
    found.kept += [entry.target for entry in usable if entry.target.exists()]
    if taken := [entry for entry in usable if entry.target.exists() and not _is_written(entry)]:
        message = (
            f'{taken[0].target} already exists and differs from {taken[0].source}'
            + (f' (and {len(taken) - 1} more such files)' if len(taken) > 1 else '')
            + '; nothing was written: remove the existing file, or choose another folder'
        )
        raise InputError(message)
    if usable:
        _write_description(target, source)
        remove_leftovers(entry.target for entry in todo)
        for entry in track(todo, 'write', unit=' masks', show=show_progress):
            _write(entry)
            found.written.append(entry.target)
        _write_mapping(target, usable)
    return found


def save_mask(image: Any, target: Path, *, subject: str, space: str, label: str = _DEFAULT_LABEL) -> Path:
    """Write a drawn mask into a BIDS dataset, with the name that `bidsify` would give it.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        The mask, binary.
    target : pathlib.Path
        Folder of the dataset.
    subject, label : str
    space : str

    Returns
    -------
    pathlib.Path
        Path of the mask; an existing identical mask is not written again.

    Raises
    ------
    InputError
        If a label is not alphanumeric, another mask has the name, or the folder contains another dataset.
    """
    subject = checked_label(subject.removeprefix('sub-'), 'subject', 'the participant')
    label = checked_label(label.removeprefix('label-'), 'label', 'the label')
    path = target / target_path(subject, None, space, label)
    _check_target(target)
    if path.exists():
        if read_mask(path).sha256 != read_mask(image).sha256:
            message = f'{path} already exists and is another mask; choose another participant or label'
            raise InputError(message)
        return path
    _write_description(target, None)
    save(image, path)
    return path


def target_path(subject: str, session: str | None, space: str, label: str) -> Path:
    """Return the path of a mask relative to the dataset.

    >>> target_path('01', None, 'MNI152NLin6Asym', 'lesion').as_posix()
    'sub-01/anat/sub-01_space-MNI152NLin6Asym_label-lesion_mask.nii.gz'
    """
    folders = [f'sub-{subject}', *([f'ses-{session}'] if session else [])]
    name = '_'.join([*folders, f'space-{space}', f'label-{label}', 'mask.nii.gz'])
    return Path(*folders, 'anat', name)


def _check_collisions(entries: Iterable[Entry]) -> None:
    seen: dict[Path, Entry] = {}
    for entry in entries:
        if (other := seen.setdefault(entry.target, entry)) is not entry:
            message = (
                f'two masks would have the same name in the dataset ({entry.target.name}): {other.source} and {entry.source}; '
                'list them in a table with different subject, session or label'
            )
            raise InputError(message)


def _check_target(target: Path) -> None:
    path = target / 'dataset_description.json'
    if path.exists() and _GENERATOR not in generated_by(target):
        message = f'the output folder {target} holds another dataset; choose another'
        raise InputError(message)


def _usable(
    entries: list[Entry],
    space: str,
    found: Bidsified,
    *,
    show_progress: bool,
) -> Iterable[Entry]:
    looks = thread_map(lambda entry: _inspect(entry, space), entries)
    shown = track(looks, 'check', total=len(entries), unit=' masks', show=show_progress)
    for entry, (fault, warning) in zip(entries, shown, strict=True):
        if fault:
            found.faults.append(fault)
            continue
        if warning:
            found.warnings.append(f'{entry.source}: {warning}')
        yield entry


def _inspect(entry: Entry, space: str) -> tuple[str | None, str | None]:
    """Return why a mask is left out, and what is suspicious about it."""
    if not NIFTI.search(entry.source.name):
        return (
            f'{entry.source}: a mask is a NIfTI file (.nii, .nii.gz, or the .img of a pair with .hdr)',
            None,
        )
    claims = [
        (space, '--space'),
        (inherited_metadata(entry.source).get('Space'), 'its sidecar'),
        (space_in_name(entry.source), 'its name'),
    ]
    settled = settle_space(claims)
    if settled and settled.contradiction:
        return f'{entry.source}: {settled.contradiction}; convert this mask separately', None
    seen = inspect_mask(entry.source, space, binarize=entry.binarize, mask_scale=entry.mask_scale)
    return seen.failure, '; '.join(seen.doubts)


def _is_written(entry: Entry) -> bool:
    """Whether the existing file has the content to be written."""
    if not entry.is_copied:
        try:
            scale = None if entry.mask_scale is None else 1.0
            return read_mask(entry.target, mask_scale=scale).sha256 == entry.read().sha256
        except MaskError:
            return False
    if entry.source.name.endswith('.gz'):
        return filecmp.cmp(entry.source, entry.target, shallow=False)
    try:
        # decompressed, because compressed bytes depend on the version of zlib
        return gzip.decompress(entry.target.read_bytes()) == entry.source.read_bytes()
    except (OSError, EOFError, zlib.error):
        return False


def _write(entry: Entry) -> None:
    if entry.binarize is not None:
        about = {
            'Description': f'Lesion mask: values above {entry.binarize:g} of {entry.shown}.',
            'Threshold': entry.binarize,
        }
        write_if_changed(sidecar_path(entry.target), json_bytes(about))
    elif entry.mask_scale not in (None, 1):
        about = {
            'Description': f'Graded lesion mask: values of {entry.shown} divided by {entry.mask_scale:g}.',
            'Scale': entry.mask_scale,
        }
        write_if_changed(sidecar_path(entry.target), json_bytes(about))
    with replacing(entry.target) as temporary:
        if entry.is_copied and entry.source.name.endswith('.gz'):
            shutil.copyfile(entry.source, temporary)
            return
        with (
            temporary.open('wb') as raw,
            # without name and time in the header, for reproducible files
            gzip.GzipFile(filename='', mode='wb', fileobj=raw, mtime=0) as packed,
        ):
            if not entry.is_copied:
                packed.write(entry.read().image().to_bytes())
                return
            with entry.source.open('rb') as plain:
                shutil.copyfileobj(plain, packed)


def _write_description(target: Path, source: Path | None) -> None:
    """Describe the dataset, keeping what an earlier call wrote, including its sources; drawn masks have no source."""
    path = target / 'dataset_description.json'
    description: dict[str, Any] = read_json(path) or {
        'Name': 'Lesion masks',
        'BIDSVersion': BIDS_VERSION,
        'DatasetType': 'derivative',
        'GeneratedBy': [generator(name=_GENERATOR)],
    }
    sources = listed(description, 'SourceDatasets')
    if source is not None:
        new = {'URL': (source if source.is_dir() else source.parent).absolute().as_uri()}
        description['SourceDatasets'] = [*sources, *([] if new in sources else [new])]
    try:
        content = json_bytes(description)
    except ValueError as error:
        message = f'{path} is not valid JSON ({error}); correct or remove it'
        raise InputError(message) from error
    write_if_changed(path, content)
    if not (ignored := target / '.bidsignore').exists():
        write_if_changed(ignored, f'{MAPPING}\n'.encode())


def _write_mapping(target: Path, entries: Iterable[Entry]) -> None:
    """Add masks to the mapping table."""
    path = target / MAPPING
    rows: dict[str, tuple[str, ...]] = {}
    if path.is_file():
        try:
            with path.open(newline='', encoding='utf-8') as file:
                for row in csv.DictReader(file, delimiter='\t'):
                    rows[row['target']] = tuple(row[column] for column in _COLUMNS)
        except (ValueError, KeyError, csv.Error) as error:
            message = f'{path}: not a table of bidsify ({error}); remove it'
            raise InputError(message) from error
    for entry in entries:
        name = entry.target.relative_to(target).as_posix()
        with entry.target.open('rb') as file:
            rows[name] = (entry.shown, name, hashlib.file_digest(file, 'sha256').hexdigest())
    write_if_changed(path, table_bytes(_COLUMNS, (rows[name] for name in sorted(rows))))
