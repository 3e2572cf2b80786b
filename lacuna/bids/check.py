"""Check the masks of a BIDS dataset before a run, and its results afterwards; nothing is written."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from nibabel.affines import voxel_sizes

import lacuna
from lacuna.bids.combination import changed_sources
from lacuna.bids.derivatives import mask_outputs
from lacuna.bids.failures import find_wanted, one_line
from lacuna.bids.inputs import find_masks, refuse_results, written_label
from lacuna.bids.mask_files import MaskFile, check_unique, contradictions, describe_mask, mask_stem
from lacuna.bids.origins import (
    CHANGED,
    MaskSource,
    generated_by,
    is_lesions_link,
    mask_source,
    read_links,
    resolve_uri,
)
from lacuna.bids.outputs import BASIC_TARGETS, COMBINED_TARGETS, Target, outputs, tractogram_dirs
from lacuna.bids.results import LesionResults, find_results
from lacuna.bids.sidecars import damage
from lacuna.errors import InputError, MaskError
from lacuna.images.mask_values import GRADED, check_grading, check_threshold, grading
from lacuna.images.plausibility import InspectedMask, check_tractogram, inspect_mask, mask_doubts
from lacuna.images.spaces import SPACES, world_space
from lacuna.utils.files import dig, read_json
from lacuna.utils.names import sidecar_path
from lacuna.utils.processes import thread_map
from lacuna.utils.progress import track

_OK = 'ok'
_MASK_COLUMNS = (
    'path', 'space', 'space_from', 'shape', 'voxel_mm', 'voxels', 'volume_ml', 'status', 'warnings',
)  # fmt: skip
_COMPLETE = 'complete'
_MISSING = 'missing'
_RESULT_COLUMNS = ('lesion', 'mask', 'outputs', 'expected', 'version', 'status', 'warnings')

_Item = TypeVar('_Item')


class Row(NamedTuple):
    """The row of one mask: its cells, and whether it has a problem."""

    cells: tuple[str | int | None, ...]
    fails: bool
    warnings: tuple[str, ...] = ()


@dataclass
class Check:
    """A table with one row per mask.

    Attributes
    ----------
    header : tuple of str
    rows : list of Row
    notes : list of str
        What could not be checked, and warnings about several rows.
    """

    header: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def failing(self) -> int:
        """Number of masks that would fail, or whose results have a problem."""
        return sum(row.fails for row in self.rows)


def _each_row(look: Callable[[_Item], Row], items: list[_Item], *, show_progress: bool) -> list[Row]:
    """Return the rows of the items, in order."""
    rows = thread_map(look, items)
    return list(track(rows, 'check', total=len(items), unit=' masks', show=show_progress))


def check_masks(
    root: Path,
    *,
    mask_space: str | None = None,
    pattern: str | None = None,
    binarize: float | None = None,
    graded_masks: str = GRADED[0],
    mask_scale: float = 1.0,
    show_progress: bool = False,
) -> Check:
    """Check which masks of a BIDS dataset could be run, without the tractogram.

    Parameters
    ----------
    root : pathlib.Path
    mask_space : str, optional
        Space of the masks; overrides sidecars and names.
    pattern : str, optional
        Glob for the names of the masks.
    binarize : float, optional
        Threshold above which values are lesion.
    graded_masks, mask_scale
        See :class:`lacuna.execution.config.RunConfig`.
    show_progress : bool
        Whether to show a progress bar on a terminal.

    Raises
    ------
    InputError
        If no mask is found, or the space is not supported.
    """
    check_threshold(binarize)
    check_grading(graded_masks, mask_scale, binarize)
    inspect = partial(inspect_mask, binarize=binarize, mask_scale=grading(graded_masks, mask_scale))
    if mask_space:
        world_space(mask_space)
    described: dict[Path, MaskFile] = {}
    reasons: dict[Path, str] = {}
    paths = find_masks(root, pattern=pattern)
    for path in paths:
        try:
            described[path] = describe_mask(path, space=mask_space)
        except MaskError as error:
            reasons[path] = str(error)
    same_name: dict[str, list[MaskFile]] = {}
    for mask in described.values():
        same_name.setdefault(mask.stem, []).append(mask)
    for masks in same_name.values():
        try:
            check_unique(masks)
        except InputError as error:
            reasons.update((mask.path, str(error)) for mask in masks)

    in_standard_space = {mask_stem(path) for path in described}

    def look(path: Path) -> Row:
        if path not in described and mask_stem(path) in in_standard_space:
            # some pipelines put such files beside the mask in standard space; a run ignores them too
            reason = 'left out: the same mask exists in a standard space'
            return _mask_row(root, path, None, reason, inspect, fails=False)
        return _mask_row(root, path, described.get(path), reasons.get(path), inspect)

    return Check(
        _MASK_COLUMNS, _each_row(look, paths, show_progress=show_progress), contradictions(described.values())
    )


def _mask_row(
    root: Path,
    path: Path,
    described: MaskFile | None,
    reason: str | None,
    inspect: Callable[..., InspectedMask],
    *,
    fails: bool = True,
) -> Row:
    space = (described.space, described.space_from) if described else (None, None)
    grid: tuple[str | int | None, ...] = (None,) * 4
    warnings: tuple[str, ...] = ()
    seen = inspect(path, described.space if described and fails else None)
    reason = reason or seen.failure
    if seen.mask and seen.facts:
        sizes = voxel_sizes(seen.mask.affine)
        grid = (_times(seen.mask.shape), _times(sizes), seen.facts.voxels, f'{seen.facts.volume_ml:.6g}')
        if described and fails:
            contradiction = (described.contradiction,) if described.contradiction else ()
            warnings = (*seen.doubts, *contradiction)
    status = one_line(reason, path) if reason else _OK
    cells = (path.relative_to(root).as_posix(), *space, *grid, status, '; '.join(warnings) or None)
    return Row(cells, bool(reason) and fails, warnings)


def _times(values: Iterable[float]) -> str:
    return 'x'.join(f'{value:.4g}' for value in values)


def holds_results(root: Path) -> bool:
    """Whether a folder is an output folder of ``lacuna run``."""
    # the tutorial's masks are also generated by Lacuna, but only results link to masks
    return 'Lacuna' in generated_by(root) and any(map(is_lesions_link, read_links(root)))


class _Lesion:
    """The results of a lesion with a sidecar; those without are computed again by a run."""

    def __init__(self, files: LesionResults) -> None:
        self.files = files
        self.sidecars = files.sidecars()
        self.found = {
            target: path
            for target, path in files.files.items()
            if target in self.sidecars or not outputs()[target.key].sidecar
        }


def check_results(
    root: Path, *, pattern: str | None = None, verify: bool = False, show_progress: bool = False
) -> Check:
    """Check whether the results of all masks are complete, undamaged, up to date and of one version.

    Each mask should have the outputs that any other mask has. Masks of earlier runs are found with the settings in
    ``logs/``.

    Parameters
    ----------
    root : pathlib.Path
    pattern : str, optional
        Glob for the stem of the results.
    verify : bool
        Compare the checksums of all files, not only their sizes.
    show_progress : bool
        Whether to show a progress bar on a terminal.

    Raises
    ------
    InputError
        If there are no results.
    """
    found = Check(_RESULT_COLUMNS)
    results = find_results(root)
    refuse_results(filter(None, (written_label(lesion.stem) for lesion in results)), root)
    lesions = {lesion.stem: _Lesion(lesion) for lesion in results}
    wanted = find_wanted(root)
    found.notes += wanted.notes
    stems = sorted(wanted.stems.union(lesions))
    stems = [stem for stem in stems if pattern is None or fnmatch.fnmatch(stem, pattern)]
    if not stems:
        message = f'no results found in {root}' + (f' that matches {pattern!r}' if pattern else '')
        raise InputError(message)
    basic = COMBINED_TARGETS if tractogram_dirs(root) else BASIC_TARGETS
    expected = {*basic, *(target for lesion in lesions.values() for target in lesion.found)}
    densities = _check_densities(root, lesions.values(), read_links(root), verify)
    look_at = partial(_result_row, sorted(expected, key=str), densities, verify)

    def look(stem: str) -> Row:
        if stem in lesions:
            return look_at(lesions[stem], wanted.reason(stem))
        absent = wanted.absent(stem)
        path = str(absent.path) if absent.path else None
        return Row((stem, path, 0, len(expected), None, absent.status, None), absent.fails)

    found.rows = _each_row(look, stems, show_progress=show_progress)
    # once for the dataset
    doubts = (check_tractogram(each) for lesion in lesions.values() for each in lesion.sidecars.values())
    found.notes += dict.fromkeys(doubt for found_of_one in doubts for doubt in found_of_one)
    return found


def check_all_results(root: Path, **options: Any) -> Check:
    """Check the results in a folder, including those of several tractograms below it.

    Parameters
    ----------
    root : pathlib.Path
    **options
        Options of `check_results`.
    """
    found = check_results(root, **options)
    for folder in tractogram_dirs(root).values():
        part = check_results(folder, **options)
        found.notes += (note for note in part.notes if note not in found.notes)
        for row in part.rows:
            found.rows.append(row._replace(cells=(f'{folder.name}/{row.cells[0]}', *row.cells[1:])))
    return found


def _check_densities(
    root: Path, lesions: Iterable[_Lesion], links: Mapping[str, Any], verify: bool
) -> dict[str, str]:
    """Return problems of the densities and support masks that results depend on, by URI."""
    sidecars = (sidecar for lesion in lesions for sidecar in lesion.sidecars.values())
    problems = {}
    for uri in sorted({uri for sidecar in sidecars for uri in _of_connectome(sidecar)}):
        path = resolve_uri(root, uri, links)
        if path is None or not path.is_file():
            problems[uri] = _MISSING
        elif found := damage(path, read_json(sidecar_path(path)) or {}, verify=verify):
            problems[uri] = found
    return problems


def _of_connectome(sidecar: Mapping[str, Any]) -> list[str]:
    """Return the URIs of the tractogram's outputs that a result depends on."""
    return [str(sidecar[key]) for key in ('Denominator', 'Support') if sidecar.get(key)]


def _result_row(
    expected: list[Target],
    densities: Mapping[str, str],
    verify: bool,
    lesion: _Lesion,
    failure: str,
) -> Row:
    paths = mask_outputs(_as_mask(lesion.files), expected)
    missing = [path.name for target, path in paths.items() if target not in lesion.found]
    damaged = {
        target: f'{lesion.found[target].name} ({problem})'
        for target, problem in lesion.files.damaged(lesion.sidecars, verify=verify).items()
        if target in lesion.found
    }
    broken = [damaged[target] for target in expected if target in damaged]
    for uri in dict.fromkeys(uri for each in lesion.sidecars.values() for uri in _of_connectome(each)):
        if problem := densities.get(uri):
            (missing if problem == _MISSING else broken).append(
                uri if problem == _MISSING else f'{uri} ({problem})'
            )
    mask, stale, doubts = _compare_with_mask(lesion)
    changed = [name for each in lesion.sidecars.values() for name in changed_sources(lesion.files.root, each)]
    if changed:
        since = f'changed since, or missing: {", ".join(dict.fromkeys(changed))}'
        stale = f'{stale}; {since}' if stale else since
    versions = sorted({str(dig(each, 'SoftwareVersions', 'Lacuna')) for each in lesion.sidecars.values()})
    other = [version for version in versions if version != lacuna.__version__]
    warnings = list(doubts)
    if other:
        warnings.append(f'made with Lacuna {", ".join(other)}; this is {lacuna.__version__}')
    problems = [f'missing: {", ".join(missing)}'] if missing else []
    problems += [f'damaged: {", ".join(broken)}'] if broken else []
    problems += [f'stale: {stale}'] if stale else []
    # a mask that failed once may have results now
    problems += [f'failed: {failure}'] if failure and problems else []
    cells = (
        lesion.files.stem,
        str(mask) if mask else None,
        sum(target in lesion.found and target not in damaged for target in expected),
        len(expected),
        ', '.join(versions) or None,
        '; '.join(problems) or _COMPLETE,
        '; '.join(warnings) or None,
    )
    return Row(cells, bool(problems), tuple(warnings))


def _compare_with_mask(lesion: _Lesion) -> tuple[Path | None, str | None, tuple[str, ...]]:
    """Return the mask of results, why they are outdated, and what is suspicious about the mask."""
    sources: dict[MaskSource, list[str]] = {}
    for target, sidecar in sorted(lesion.sidecars.items(), key=str):
        sources.setdefault(mask_source(lesion.files.root, sidecar, lesion.files.links), []).append(
            target.field
        )
    found = [(source.read(), made) for source, made in sources.items()] or [(MaskSource().read(), [])]
    path = next((mask.path for mask, _ in found if mask.path), None)
    stale = []
    for mask, made in found:
        if mask.path and mask.problem:
            since = f' {", ".join(made)}' if mask.problem == CHANGED else ''
            stale.append(f'the mask {mask.problem}{since}')
    gone = dict.fromkeys(f'the mask {mask.problem}' for mask, _ in found if mask.path is None)
    usable = next((mask.mask for mask, _ in found if mask.mask), None)
    doubts = mask_doubts(usable, lesion.files.space) if usable and lesion.files.space in SPACES else ()
    return path, '; '.join(stale) or None, (*gone, *doubts)


def _as_mask(lesion: LesionResults) -> MaskFile:
    return MaskFile(Path(), lesion.stem, lesion.subject, lesion.session, lesion.space, space_from='')
