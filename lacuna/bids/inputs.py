"""Find the lesion masks of a BIDS dataset, and check the labels of participants."""

from __future__ import annotations

import csv
import fnmatch
import io
import json
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from lacuna.errors import InputError, reason_of, shorten
from lacuna.images.spaces import SPACES
from lacuna.utils.names import NIFTI, few, parse_entities

#: a valid BIDS label
LABEL = re.compile('[0-9A-Za-z]+')
_MASK = r'(?:[^/]*_(?:mask|lesion)|[^/]*lesion[^/]*_roi)\.(?:nii(?:\.gz)?|img)'
_IMAGE = r'[^/]*\.(?:nii(?:\.gz)?|img)'
#: other masks in derivatives: of fMRIPrep and similar tools, and in Lacuna's own results
_OTHER_MASKS = (
    '*_desc-brain_mask.nii*',
    '*_desc-aseg*_mask.nii*',
    '*_desc-ribbon_mask.nii*',
    '*_desc-support_mask.nii*',
)
#: pattern by which pybids finds the session
_SESSION = re.compile(r'[_/\\]+ses-([a-zA-Z0-9+]+)')
#: the query in a filter file, and keys that are not entities
_QUERY, _NOT_ENTITIES = 'mask', ('regex_search',)


def find_masks(
    root: Path,
    *,
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    pattern: str | None = None,
    filter_file: Path | None = None,
) -> list[Path]:
    """Find the lesion masks of a BIDS dataset, sorted by name.

    Only the folders of the requested participants and sessions are searched.

    Parameters
    ----------
    root : pathlib.Path
    participants, sessions : sequence of str
        Labels with or without ``sub-`` and ``ses-``; all if empty.
    pattern : str, optional
        Glob for the file name (or, with a slash, for the path below `root`). By default, all names that end with
        ``_mask``, ``_lesion`` or (with ``lesion`` in the name) ``_roi`` match, except masks of the brain, of
        FreeSurfer's segmentation and of Lacuna's support. A glob selects among these, or, if none matches, among all
        other images.
    filter_file : pathlib.Path, optional
        JSON file with a pybids query, see `read_filters`.

    Raises
    ------
    InputError
        If a participant or session does not exist or has an invalid label, or no mask is found.
    """
    wanted = _labels(participants, 'sub-')
    present = {path.name.removeprefix('sub-') for path in root.glob('sub-*') if path.is_dir()}
    if unknown := [label for label in wanted if label not in present]:
        message = f'no participant {", ".join(unknown)} in {root}; found {few(sorted(present), 8)}'
        raise InputError(message)
    filters = read_filters(filter_file) if filter_file else {}

    def look(names: str) -> list[Path]:
        try:
            paths = _find_images(root, wanted, _labels(sessions, 'ses-'), names, filters)
        except ValueError as error:  # from pybids, about an unknown entity
            message = f'{filter_file}: {str(error).split(" If you", 1)[0]}'
            raise InputError(message) from error
        return [path for path in paths if _is_wanted(path, root, pattern, filters)]

    found = look(_IMAGE if 'suffix' in filters else _MASK)
    if not found and pattern:
        found = look(_IMAGE)
    if not found:
        where = (
            f'matches {pattern!r}'
            if pattern
            else f'matches the filters in {filter_file}'
            if filters
            else "is named like 'sub-01_space-MNI152NLin6Asym_label-lesion_mask.nii.gz'"
        )
        which = ' of the given participants and sessions' if wanted or sessions else ''
        message = f'no mask found in {root}: no file{which} {where}{_where_masks_are(root)}'
        raise InputError(message)
    refuse_labels((path, label) for path in found for label in labels_of(path.relative_to(root)))
    return sorted(found)


def without_masks(root: Path, participants: Sequence[str], found: Iterable[Path]) -> list[str]:
    """Return the labels of requested participants without a mask, in order."""
    folders = {path.relative_to(root.absolute()).parts[0] for path in found}
    return [label for label in dict.fromkeys(_labels(participants, 'sub-')) if f'sub-{label}' not in folders]


def _labels(given: Iterable[str], prefix: str) -> list[str]:
    return [label.removeprefix(prefix) for label in given]


def matches(path: Path, pattern: str) -> bool:
    """Whether a path below a dataset matches a glob: by name, or by the whole path if the glob has a slash."""
    return fnmatch.fnmatch(path.as_posix() if '/' in pattern else path.name, pattern)


def _is_wanted(path: Path, root: Path, pattern: str | None, filters: Mapping[str, Any]) -> bool:
    if pattern is not None:
        return matches(path.relative_to(root), pattern)
    return bool({'desc', 'suffix'}.intersection(filters)) or _may_be_lesion(path)


def _may_be_lesion(path: Path) -> bool:
    return not any(fnmatch.fnmatch(path.name, other) for other in _OTHER_MASKS)


def _find_images(
    root: Path,
    participants: Sequence[str],
    sessions: Sequence[str],
    names: str,
    filters: Mapping[str, Any],
) -> list[Path]:
    """Return the images whose names match; pybids, which takes a second to import, is used only with filters."""
    ignore = [
        re.compile(r'^/(code|sourcedata|derivatives|stimuli|models)(/|$)'),
        re.compile(r'/\.'),
        # all files but these; folders may have a dot in their name too
        re.compile(rf'^(?!.*/{names}$)(?!/sub-[^/]*(/ses-[^/]*)?$).*\.[^/]*$'),
    ]
    if participants:
        ignore.append(re.compile(rf'^/(?!sub-({"|".join(map(re.escape, participants))})(/|$))'))
    if sessions:
        ignore.append(re.compile(rf'^/[^/]*/ses-(?!({"|".join(map(re.escape, sessions))})(/|$))'))
    found = _query_pybids(root, ignore, filters) if filters else _walk(root.absolute(), '', ignore)
    return [
        path
        for path in found
        if re.fullmatch(names, path.name) and (not sessions or _session(path, root.absolute()) in sessions)
    ]


def _session(path: Path, root: Path) -> str | None:
    """Return the session of a mask, ignoring the names of folders above the dataset."""
    found = _SESSION.search(f'/{path.relative_to(root).as_posix()}')
    return found[1] if found else None


def _walk(folder: Path, below: str, ignore: Sequence[re.Pattern[str]]) -> Iterator[Path]:
    """Iterate over the files below a folder that are not ignored, following links as pybids does."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        path = f'{below}/{entry.name}'
        if any(pattern.search(path) for pattern in ignore):
            continue
        if entry.is_dir():
            yield from _walk(folder / entry.name, path, ignore)
        else:
            yield folder / entry.name


def _query_pybids(root: Path, ignore: Sequence[re.Pattern[str]], filters: Mapping[str, Any]) -> list[Path]:
    """Return the files that pybids finds, with its index restricted to the necessary files."""
    from bids import BIDSLayout, BIDSLayoutIndexer

    indexer = BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=list(ignore))
    layout = BIDSLayout(root, validate=False, indexer=indexer, config=['bids', 'derivatives'])
    try:
        return [Path(name) for name in layout.get(return_type='filename', **filters)]
    finally:  # pybids leaves its database open, of which Python 3.13 warns
        layout.session.close()
        layout.connection_manager.engine.dispose()


def read_filters(path: Path) -> dict[str, Any]:
    """Read the pybids query of a filter file, as in fMRIPrep: ``{"mask": {"session": "01", "desc": "lesion"}}``.

    ``null`` means that the entity is absent, ``"*"`` that it is present.

    Raises
    ------
    InputError
        If the file is unreadable, not of this form, or has another query.
    """
    from bids.layout import Query

    try:
        content = json.loads(path.read_text(encoding='utf-8-sig'))
    except (OSError, ValueError, RecursionError) as error:
        message = f'the filters {path} cannot be read: {reason_of(error, path)}'
        raise InputError(message) from error
    example = f'{{"{_QUERY}": {{"session": "01", "desc": "lesion"}}}}'
    if not isinstance(content, dict) or not isinstance(content.get(_QUERY, {}), dict):
        message = f'{path}: expected an object such as {example}'
        raise InputError(message)
    if other := [name for name in content if name != _QUERY]:
        message = f'{path}: unknown query {shorten(other[0])}; only "{_QUERY}" is known, such as {example}'
        raise InputError(message)

    def value(entity: str, given: object) -> object:
        if isinstance(given, list) and given:
            return [value(entity, each) for each in given]
        if given is None:
            return Query.NONE
        if not isinstance(given, str | int | float):
            message = (
                f'{path}: {entity} is {shorten(given)}; expected text, a number, null, or a list of these'
            )
            raise InputError(message)
        return Query.REQUIRED if given == '*' else given

    filters = content.get(_QUERY, {})
    for name in filters:
        if name in ('return_type', 'target', 'scope', 'absolute_paths', 'invalid_filters'):
            message = f"{path}: '{name}' is not a recognized entity."
            raise InputError(message)
    return {name: given if name in _NOT_ENTITIES else value(name, given) for name, given in filters.items()}


def _where_masks_are(root: Path) -> str:
    """Suggest where masks are if the dataset has none: in its derivatives, or not in BIDS format."""
    datasets: dict[Path, int] = {}
    for path in (root / 'derivatives').rglob('*.nii*'):
        if re.fullmatch(_MASK, path.name) and _may_be_lesion(path):
            parts = path.relative_to(root).parts
            depth = next((i for i, part in enumerate(parts) if part.startswith('sub-')), 2)
            folder = root.joinpath(*parts[:depth])
            datasets[folder] = datasets.get(folder, 0) + 1
    if datasets:
        holds = ', '.join(f'{folder.relative_to(root)} ({count})' for folder, count in datasets.items())
        words = shlex.join(['lacuna', 'run', 'snm', str(max(datasets, key=lambda folder: datasets[folder]))])
        return f'; masks are in {holds}: name that folder, {words} OUTPUT_DIR ...'
    if not any(root.glob('sub-*')) and any(NIFTI.search(path.name) for path in root.rglob('*.nii*')):
        return f'; its images have no BIDS names: {shlex.join(["lacuna", "bidsify", str(root)])} NEW_DIR --space SPACE makes a dataset of them'
    return '; --pattern selects any other name'


def written_label(stem: str, folder: str = '') -> str | None:
    """Return the participant's label as written in a name, including invalid characters; None if there is none.

    In a BIDS name nothing precedes an entity, so words before one belong to the label. Words after the last entity,
    such as the suffix, begin with a letter.

    Parameters
    ----------
    stem : str
        File name from ``sub-`` on, without extension.
    folder : str
        The ``sub-`` folder of the file, which resolves ambiguities.

    Examples
    --------
    >>> written_label('sub-P_01_space-MNI152NLin6Asym_label-lesion_mask')
    'P_01'
    >>> written_label('sub-01_final_lesion'), written_label('sub-P_01_lesion'), written_label('Subject_003')
    ('01', 'P_01', None)
    >>> written_label('sub-01_2020_lesion'), written_label('sub-01_2020_lesion', 'sub-01')
    ('01_2020', '01')
    """
    first, *rest = stem.split('_')
    if not first.startswith('sub-'):
        return None
    entity = next((number for number, part in enumerate(rest) if re.match('[A-Za-z]+-', part)), None)
    if entity is not None:
        extra = rest[:entity]
    elif folder and (stem == folder or stem.startswith((f'{folder}_', f'{folder}.'))):
        return folder.removeprefix('sub-')
    else:
        extra = list(takewhile(lambda part: part[:1].isdigit(), rest))
    return '_'.join([first, *extra]).removeprefix('sub-')


def file_label(path: Path) -> str | None:
    """Return the participant's label as written after ``sub-``, anywhere in a file name."""
    found = re.search('sub-.+', NIFTI.sub('', path.name))
    return written_label(found[0], _folder(path)) if found else None


def labels_of(path: Path) -> set[str]:
    """Return the labels in a path below a dataset: of the folder and of the file."""
    stem = NIFTI.sub('', path.name)
    return {
        label for label in (_folder(path).removeprefix('sub-'), written_label(stem, _folder(path))) if label
    }


def _folder(path: Path) -> str:
    return next((parent.name for parent in path.parents if parent.name.startswith('sub-')), '')


def refuse_labels(labelled: Iterable[tuple[Path, str]]) -> None:
    """Raise an error if labels of participants are not only letters and digits: they would be merged or renamed.

    Raises
    ------
    InputError
        Lists all of them, with a table for ``lacuna bidsify`` that renames them.
    """
    taken = set()
    bad: dict[str, list[Path]] = {}
    for path, label in sorted(labelled):
        if LABEL.fullmatch(label):
            taken.add(label)
        else:
            bad.setdefault(label, []).append(path)
    if not bad:
        return
    others = ' You can run the other participants with --participant-label.' if taken else ''
    rows: list[tuple[str, ...]] = []
    spaces = set()
    for label, masks in bad.items():
        new = _free_label(label, taken)
        entities = {path: parse_entities(NIFTI.sub('', path.name).replace('.', '')) for path in masks}
        standard = [path for path in masks if entities[path].get('space') in SPACES]
        for path in standard or masks:  # masks in native space beside standard ones are not used
            names = entities[path]
            spaces.add(names.get('space', 'SPACE'))
            rows.append(
                (new, names.get('ses', ''), names.get('label') or names.get('desc', ''), str(path.absolute()))
            )
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows([('subject', 'session', 'label', 'path'), *rows])
    message = (
        f'{_invalid_labels(bad)}.{others} Save these lines as rename.csv, change the names if you like, and use the dataset that '
        f"'lacuna bidsify rename.csv NEW_DIR --space {spaces.pop() if len(spaces) == 1 else 'SPACE'}' makes:\n"
        f'{text.getvalue().rstrip()}'
    )
    raise InputError(message)


def refuse_results(labels: Iterable[str], root: Path) -> None:
    """Raise an error if labels of participants in results are not only letters and digits.

    Raises
    ------
    InputError
    """
    if bad := sorted({label for label in labels if not LABEL.fullmatch(label)}):
        message = (
            f"{root}: {_invalid_labels(bad)}. Rename their masks ('lacuna check BIDS_DIR' prints a table for 'lacuna bidsify'), "
            'remove these results, and run them again'
        )
        raise InputError(message)


def _invalid_labels(labels: Iterable[str]) -> str:
    names = [f'sub-{label}' for label in labels]
    return (
        f'{len(names)} participant{"" if len(names) == 1 else "s"} with a label that is not only letters and digits, which '
        f'could be confused with another: {", ".join(names)}'
    )


def _free_label(label: str, taken: set[str]) -> str:
    """Return the letters and digits of a label, made unique with a number, and add it to `taken`."""
    plain = new = ''.join(LABEL.findall(label)) or 'participant'
    number = 2
    while new in taken:
        new = f'{plain}x{number}'
        number += 1
    taken.add(new)
    return new


def only_label(participants: Sequence[str]) -> str | None:
    """Return the requested participant, for a single mask whose name has none."""
    if len(participants) != 1:
        return None
    return participants[0].removeprefix('sub-')
