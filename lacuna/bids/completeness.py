"""What of the results of each mask is there, and still right. Nothing is written."""

from __future__ import annotations

import fnmatch
import os
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import lacuna
from lacuna.bids.check import Check, Row, each_row, one_line
from lacuna.bids.derivatives import mask_outputs
from lacuna.bids.failures import read_failures
from lacuna.bids.inputs import find_masks, only_label, refuse_results, written_label
from lacuna.bids.lesions import check_dataset
from lacuna.bids.mask_files import MaskFile, describe_mask, mask_stem
from lacuna.bids.origins import CHANGED, MaskSource, is_lesions_link, mask_source, read_links, resolve_uri
from lacuna.bids.outputs import BASIC_TARGETS, SAMPLE, Target, outputs, parse_output_name
from lacuna.bids.saving import damage
from lacuna.errors import InputError, MaskError
from lacuna.images.masks import read_mask
from lacuna.images.plausibility import check_tractogram, mask_doubts
from lacuna.images.spaces import SPACES
from lacuna.utils.files import listed, read_json
from lacuna.utils.names import parse_entities, sidecar_path

COMPLETE = 'complete'
_MISSING = 'missing'
_HEADER = ('lesion', 'mask', 'outputs', 'expected', 'version', 'status', 'warnings')


def holds_results(root: Path) -> bool:
    """Whether a folder is an output folder of ``lacuna run``."""
    try:
        check_dataset(root)
    except InputError:
        return False
    # the masks of the tutorial are made by Lacuna, too; only results say which masks they are of
    return any(map(is_lesions_link, read_links(root)))


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


class Absent(NamedTuple):
    """A mask that a run was asked for, or that has failed, and of which there is no result.

    Attributes
    ----------
    stem : str
        What would lead the names of its results.
    path : pathlib.Path or None
    status : str
        Why, as far as it is known.
    fails : bool
        Whether that is not as it should be: an empty mask may be left out on purpose.
    """

    stem: str
    path: Path | None
    status: str
    fails: bool = True


def check_results(
    root: Path, *, pattern: str | None = None, verify: bool = False, show_progress: bool = False
) -> Check:
    """What of the results of each mask is complete, missing, damaged, stale or of another version.

    What is expected of a mask is what there is of any other. The masks that runs were asked for are looked up by the
    settings in ``logs/``.

    Parameters
    ----------
    root : pathlib.Path
    pattern : str, optional
        Glob on what leads the names of the results.
    verify : bool
        Whether to compare the checksums of all files, too, and not only their sizes.
    show_progress : bool
        Whether a bar is shown on a terminal.

    Raises
    ------
    InputError
        If there is no result.
    """
    found = Check(_HEADER)
    lesions = _find_lesions(root)
    asked = _find_asked(root, found.notes)
    failures = _read_failures(root, asked)
    stems = sorted({*lesions, *asked, *failures})
    stems = [stem for stem in stems if pattern is None or fnmatch.fnmatch(stem, pattern)]
    if not stems:
        message = f'no result found in {root}' + (f' that matches {pattern!r}' if pattern else '')
        raise InputError(message)
    links = read_links(root)
    expected = {*BASIC_TARGETS, *(target for lesion in lesions.values() for target in lesion.found)}
    densities = _check_densities(root, lesions.values(), links, verify)
    look_at = partial(_result_row, root, sorted(expected, key=str), links, densities, verify)

    def look(stem: str) -> Row:
        if stem in lesions:
            return look_at(lesions[stem], failures.get(stem, (None, ''))[1])
        absent = _absent(stem, asked.get(stem), failures.get(stem))
        path = str(absent.path) if absent.path else None
        return Row((stem, path, 0, len(expected), None, absent.status, None), absent.fails)

    found.rows = each_row(look, stems, show_progress=show_progress)
    # once, and not for each mask
    doubts = (check_tractogram(each) for lesion in lesions.values() for each in lesion.sidecars.values())
    found.notes += dict.fromkeys(doubt for found_of_one in doubts for doubt in found_of_one)
    return found


def find_absent(root: Path, stems: Collection[str]) -> tuple[list[Absent], list[str]]:
    """The masks of which there is no result: those that failed, and what else runs were asked for.

    Parameters
    ----------
    root : pathlib.Path
    stems : collection of str
        What leads the names of the results that there are.

    Returns
    -------
    absent : list of Absent
        In the order of their names.
    notes : list of str
        What could not be found out.
    """
    notes: list[str] = []
    asked = _find_asked(root, notes)
    failures = _read_failures(root, asked)
    names = sorted({*asked, *failures} - set(stems))
    return [_absent(stem, asked.get(stem), failures.get(stem)) for stem in names], notes


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


def _find_asked(root: Path, notes: list[str]) -> dict[str, _Asked]:
    """Masks that the runs were asked for, by what leads the names of their results."""
    asked: dict[str, _Asked] = {}
    seen = set()
    for path in sorted((root / 'logs').glob('*/settings.toml')):
        try:
            settings = tomllib.loads(path.read_text(encoding='utf-8'))
            source = Path(settings['source'])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            notes.append(f'{path}: the settings cannot be read; what this run was asked for is not known')
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
            masks = _asked_masks(source, choice)
        except InputError as error:
            notes.append(f'what a run was asked for is not known: {error}')
            continue
        subject = only_label(choice['participants'])
        asked.update((_stem(mask, subject), _Asked(mask, skip_empty, binarize)) for mask in masks)
    return asked


def _asked_masks(source: Path, choice: Mapping[str, Any]) -> list[Path]:
    if source.is_dir():
        return find_masks(source, **choice)
    try:
        mask_stem(source)
    except MaskError:
        message = f'there is no folder {source} any more'
        raise InputError(message) from None
    return [source]


def _stem(path: Path, subject: str | None = None) -> str:
    try:
        # the space plays no part in the stem: any will do
        return describe_mask(path, space=SPACES[0], subject=subject).stem
    except MaskError:
        return path.name


def _read_failures(root: Path, asked: Mapping[str, _Asked]) -> dict[str, tuple[Path | None, str]]:
    """Path and reason of the masks that failed when they were last tried."""
    stems = {each.path: stem for stem, each in asked.items()}
    return {
        stems.get(path) or _stem(path): (path, one_line(reason, path)) for path, reason in read_failures(root)
    }


def _check_densities(
    root: Path, lesions: Iterable[_Lesion], links: Mapping[str, Any], verify: bool
) -> dict[str, str]:
    """What is wrong with the densities that results were divided by, by their URIs."""
    sidecars = (sidecar for lesion in lesions for sidecar in lesion.sidecars.values())
    problems = {}
    for uri in sorted({str(sidecar['Denominator']) for sidecar in sidecars if sidecar.get('Denominator')}):
        path = resolve_uri(root, uri, links)
        if path is None or not path.is_file():
            problems[uri] = _MISSING
        elif found := damage(path, read_json(sidecar_path(path)) or {}, verify=verify):
            problems[uri] = found
    return problems


def _result_row(
    root: Path,
    expected: list[Target],
    links: Mapping[str, Any],
    densities: Mapping[str, str],
    verify: bool,
    lesion: _Lesion,
    failure: str,
) -> Row:
    paths = mask_outputs(_as_mask(lesion), expected)
    missing = [path.name for target, path in paths.items() if target not in lesion.found]
    damaged = {}
    for target, path in lesion.found.items():
        if problem := damage(path, lesion.sidecars.get(target.recorded_with, {}), verify=verify):
            damaged[target] = f'{path.name} ({problem})'
    broken = [damaged[target] for target in expected if target in damaged]
    for uri in dict.fromkeys(str(sidecar.get('Denominator')) for sidecar in lesion.sidecars.values()):
        if problem := densities.get(uri):
            (missing if problem == _MISSING else broken).append(
                uri if problem == _MISSING else f'{uri} ({problem})'
            )
    mask, stale, doubts = _compare_with_mask(root, links, lesion)
    versions = sorted({str(_dig(each, 'SoftwareVersions', 'Lacuna')) for each in lesion.sidecars.values()})
    other = [version for version in versions if version != lacuna.__version__]
    warnings = list(doubts)
    if other:
        warnings.append(f'made with Lacuna {", ".join(other)}; this is {lacuna.__version__}')
    problems = [f'missing: {", ".join(missing)}'] if missing else []
    problems += [f'damaged: {", ".join(broken)}'] if broken else []
    problems += [f'stale: {stale}'] if stale else []
    # what failed once may have been made since
    problems += [f'failed: {failure}'] if failure and problems else []
    cells = (
        lesion.stem,
        str(mask) if mask else None,
        sum(target in lesion.found and target not in damaged for target in expected),
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
    sources: dict[MaskSource, list[str]] = {}
    for target, sidecar in sorted(lesion.sidecars.items(), key=str):
        sources.setdefault(mask_source(root, sidecar, links), []).append(target.field)
    found = [(source.read(), made) for source, made in sources.items()] or [(MaskSource().read(), [])]
    path = next((mask.path for mask, _ in found if mask.path), None)
    stale = []
    for mask, made in found:
        if mask.path and mask.problem:
            since = f' {", ".join(made)}' if mask.problem == CHANGED else ''
            stale.append(f'the mask {mask.problem}{since}')
    gone = dict.fromkeys(f'the mask {mask.problem}' for mask, _ in found if mask.path is None)
    usable = next((mask.mask for mask, _ in found if mask.mask), None)
    doubts = mask_doubts(usable, str(lesion.space)) if usable and lesion.space in SPACES else ()
    return path, '; '.join(stale) or None, (*gone, *doubts)


def _absent(stem: str, asked: _Asked | None, failure: tuple[Path | None, str] | None) -> Absent:
    path, reason = failure or (asked.path if asked else None, '')
    if asked and not reason:
        try:
            if asked.skip_empty and not read_mask(asked.path, asked.binarize).data.any():
                return Absent(stem, path, 'left out: the mask is empty', fails=False)
        except MaskError as error:
            return Absent(stem, path, f'missing: {one_line(str(error), asked.path)}')
    return Absent(stem, path, f'failed: {reason}' if reason else 'missing: no results')


def _dig(content: Any, *keys: str) -> Any:
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content
