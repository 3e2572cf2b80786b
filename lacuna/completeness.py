"""What of the results of each mask is there, and still right. Nothing is written."""

from __future__ import annotations

import fnmatch
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import lacuna
from lacuna.bids import (
    MaskFile,
    Target,
    describe_mask,
    outputs,
    parse_entities,
    parse_output_name,
    sidecar_path,
)
from lacuna.check import Check, Progress, Row, each_row, no_progress, one_line
from lacuna.derivatives import binarized_at, mask_outputs, read_failures
from lacuna.errors import InputError, MaskError
from lacuna.files import listed, read_json
from lacuna.inputs import find_masks, refuse_results, written_label
from lacuna.masks import read_mask
from lacuna.plan import BASIC_TARGETS, SAMPLE
from lacuna.plausibility import mask_doubts
from lacuna.reports.checks import check_tractogram
from lacuna.reports.results import check_dataset, resolve_uri
from lacuna.spaces import SPACES

COMPLETE = 'complete'
_HEADER = ('lesion', 'mask', 'outputs', 'expected', 'version', 'status', 'warnings')


def holds_results(root: Path) -> bool:
    """Whether a folder is an output folder of ``lacuna run``."""
    try:
        check_dataset(root)
    except InputError:
        return False
    # the masks of the tutorial are made by Lacuna, too; only results say which masks they are of
    return 'lesions' in _links(root)


@dataclass
class _Lesion:
    """What is on disk of one lesion."""

    stem: str
    found: dict[Target, Path] = field(default_factory=dict)
    sidecars: dict[Target, dict[str, Any]] = field(default_factory=dict)
    space: str | None = None


class _Asked(NamedTuple):
    """A mask that a run was asked for."""

    path: Path
    skip_empty: bool
    binarize: float | None


def check_results(root: Path, *, pattern: str | None = None, progress: Progress = no_progress) -> Check:
    """What of the results of each mask is complete, missing, stale or of another version.

    What is expected of a mask is what there is of any other. The masks that runs were asked for are looked up by the
    settings in ``logs/``.

    Parameters
    ----------
    root : pathlib.Path
    pattern : str, optional
        Glob on what leads the names of the results.
    progress : callable
        Wraps what is looked at; its second argument is how many there are.

    Raises
    ------
    InputError
        If there is no result.
    """
    found = Check(_HEADER)
    lesions = _find_lesions(root)
    asked = _find_asked(root, found)
    failures = _read_failures(root)
    stems = sorted({*lesions, *asked, *failures})
    stems = [stem for stem in stems if pattern is None or fnmatch.fnmatch(stem, pattern)]
    if not stems:
        message = f'no result found in {root}' + (f' that matches {pattern!r}' if pattern else '')
        raise InputError(message)
    expected = {*BASIC_TARGETS, *(target for lesion in lesions.values() for target in lesion.found)}
    look_at = partial(_result_row, root, sorted(expected, key=str), _links(root))

    def look(stem: str) -> Row:
        if stem in lesions:
            return look_at(lesions[stem], failures.get(stem, (None, ''))[1])
        return _without_results(stem, len(expected), asked.get(stem), failures.get(stem))

    found.rows = each_row(look, stems, progress)
    # once, and not for each mask
    doubts = (check_tractogram(each) for lesion in lesions.values() for each in lesion.sidecars.values())
    found.notes += dict.fromkeys(doubt for found_of_one in doubts for doubt in found_of_one)
    return found


def _links(root: Path) -> dict[str, Any]:
    links = (read_json(root / 'dataset_description.json') or {}).get('DatasetLinks')
    return links if isinstance(links, dict) else {}


def _find_lesions(root: Path) -> dict[str, _Lesion]:
    lesions: dict[str, _Lesion] = {}
    for folder in sorted(root.glob('sub-*/')):
        for parent, _, names in os.walk(folder):
            for name in names:
                about = parse_output_name(name) if '_method-snm_' in name else None
                if about:
                    stem, key, scope = about
                    target = Target(key, scope if outputs()[key].scope == 'atlas' else None)
                    _add(lesions.setdefault(stem, _Lesion(stem)), target, Path(parent, name))
    refuse_results(filter(None, map(written_label, lesions)), root)
    # where nothing of a lesion says its space, it is that of the others
    spaces = [lesion.space for lesion in lesions.values() if lesion.space]
    for lesion in lesions.values():
        lesion.space = lesion.space or (spaces[0] if spaces else SPACES[0])
        sample = root / mask_outputs(_as_mask(lesion), [SAMPLE])[SAMPLE]
        if sample.is_file():
            lesion.found[SAMPLE] = sample
    return lesions


def _add(lesion: _Lesion, target: Target, path: Path) -> None:
    if outputs()[target.key].sidecar:
        sidecar = read_json(sidecar_path(path))
        if sidecar is None:  # a run makes a result without its sidecar again
            return
        lesion.sidecars[target] = sidecar
        lesion.space = str(sidecar['Space']) if 'Space' in sidecar else lesion.space
    lesion.found[target] = path


def _as_mask(lesion: _Lesion) -> MaskFile:
    entities = parse_entities(lesion.stem)
    return MaskFile(
        path=Path(),
        stem=lesion.stem,
        subject=entities.get('sub', ''),
        session=entities.get('ses'),
        space=str(lesion.space),
        space_from='',
    )


def _find_asked(root: Path, found: Check) -> dict[str, _Asked]:
    """Masks that the runs were asked for, by what leads the names of their results."""
    asked: dict[str, _Asked] = {}
    seen = set()
    for path in sorted((root / 'logs').glob('*/settings.toml')):
        try:
            settings = tomllib.loads(path.read_text(encoding='utf-8'))
            source = Path(settings['source'])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            found.notes.append(
                f'{path}: the settings cannot be read; what this run was asked for is not known'
            )
            continue
        choice: dict[str, Any] = {
            key: [label for label in listed(settings, key) if isinstance(label, str)]
            for key in ('participants', 'sessions')
        }
        choice['pattern'] = pattern if isinstance(pattern := settings.get('pattern'), str) else None
        filters = settings.get('bids_filter_file')
        choice['filter_file'] = Path(filters) if isinstance(filters, str) else None
        skip_empty = settings.get('on_empty') == 'skip'
        binarize = float(at) if isinstance(at := settings.get('binarize'), int | float) else None
        if (key := repr((source, choice, skip_empty))) in seen:
            continue
        seen.add(key)
        try:
            masks = [source] if not source.is_dir() else find_masks(source, **choice)
        except InputError as error:
            found.notes.append(f'what a run was asked for is not known: {error}')
            continue
        asked.update((_stem(mask), _Asked(mask, skip_empty, binarize)) for mask in masks)
    return asked


def _stem(path: Path) -> str:
    try:
        # the space plays no part in the stem: any will do
        return describe_mask(path, space=SPACES[0]).stem
    except MaskError:
        return path.name


def _read_failures(root: Path) -> dict[str, tuple[Path | None, str]]:
    """Path and reason of the masks that failed in the last run with failures."""
    return {_stem(path): (path, one_line(reason, path)) for path, reason in read_failures(root)}


def _result_row(
    root: Path, expected: list[Target], links: Mapping[str, Any], lesion: _Lesion, failure: str
) -> Row:
    paths = mask_outputs(_as_mask(lesion), expected)
    missing = [path.name for target, path in paths.items() if target not in lesion.found]
    missing += [
        str(uri)
        for uri in dict.fromkeys(sidecar.get('Denominator') for sidecar in lesion.sidecars.values())
        if uri and not ((path := resolve_uri(root, uri, links)) and path.is_file())
    ]
    mask, stale, doubts = _compare_with_mask(root, links, lesion)
    versions = sorted({str(_dig(each, 'SoftwareVersions', 'Lacuna')) for each in lesion.sidecars.values()})
    other = [version for version in versions if version != lacuna.__version__]
    warnings = list(doubts)
    if other:
        warnings.append(f'made with Lacuna {", ".join(other)}; this is {lacuna.__version__}')
    problems = [f'missing: {", ".join(missing)}'] if missing else []
    problems += [f'stale: {stale}'] if stale else []
    # what failed once may have been made since
    problems += [f'failed: {failure}'] if failure and problems else []
    cells = (
        lesion.stem,
        str(mask) if mask else None,
        sum(target in lesion.found for target in expected),
        len(expected),
        ', '.join(versions) or None,
        '; '.join(problems) or COMPLETE,
        '; '.join(warnings) or None,
    )
    return Row(cells, bool(problems), tuple(warnings))


def _compare_with_mask(
    root: Path, links: Mapping[str, Any], lesion: _Lesion
) -> tuple[Path | None, str | None, tuple[str, ...]]:
    """The mask that results were made of, in what they are stale, and what is doubtful about it."""
    sources = (source for each in lesion.sidecars.values() for source in each.get('Sources') or ())
    uri = next((source for source in sources if str(source).startswith('bids:lesions:')), None)
    path = resolve_uri(root, uri, links)
    if path is None or not path.is_file():
        where = (
            f'is not where the sidecars say: {path or uri}' if uri else 'is not known: no sidecar names it'
        )
        return None, None, (f'the mask {where}',)
    try:
        mask = read_mask(
            path,
            next((at for each in lesion.sidecars.values() if (at := binarized_at(each)) is not None), None),
        )
    except MaskError as error:
        return path, f'the mask cannot be used any more: {one_line(str(error), path)}', ()
    stale = [
        target.field
        for target, sidecar in sorted(lesion.sidecars.items(), key=str)
        if _dig(sidecar, 'Mask', 'SHA256') != mask.sha256
    ]
    doubts = mask_doubts(mask, str(lesion.space)) if lesion.space in SPACES else ()
    return path, f'the mask has changed since {", ".join(stale)}' if stale else None, doubts


def _without_results(
    stem: str, expected: int, asked: _Asked | None, failure: tuple[Path | None, str] | None
) -> Row:
    path, reason = failure or (asked.path if asked else None, '')
    status, fails = f'failed: {reason}' if reason else 'missing: no results', True
    if asked and not reason:
        try:
            if asked.skip_empty and not read_mask(asked.path, asked.binarize).data.any():
                status, fails = 'left out: the mask is empty', False
        except MaskError as error:
            status = f'missing: {one_line(str(error), asked.path)}'
    return Row((stem, str(path) if path else None, 0, expected, None, status, None), fails)


def _dig(content: Any, *keys: str) -> Any:
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content
