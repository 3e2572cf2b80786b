"""Check which masks of a BIDS dataset would run, without writing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from nibabel.affines import voxel_sizes

from lacuna.bids.failures import one_line
from lacuna.bids.inputs import find_masks
from lacuna.bids.mask_files import MaskFile, check_unique, contradictions, describe_mask, mask_stem
from lacuna.errors import InputError, MaskError
from lacuna.images.masks import check_threshold
from lacuna.images.plausibility import inspect_mask
from lacuna.images.spaces import world_space
from lacuna.utils.processes import thread_map
from lacuna.utils.progress import track

OK = 'ok'
_HEADER = (
    'path', 'space', 'space_from', 'shape', 'voxel_mm', 'voxels', 'volume_ml', 'status', 'warnings',
)  # fmt: skip

T = TypeVar('T')


class Row(NamedTuple):
    """The row of one mask: its cells, and whether something has to be done about it."""

    cells: tuple[str | int | None, ...]
    fails: bool
    warnings: tuple[str, ...] = ()


@dataclass
class Check:
    """A table, a row for each mask.

    Attributes
    ----------
    header : tuple of str
    rows : list of Row
    notes : list of str
        What could not be checked, and warnings that concern several rows.
    """

    header: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def failing(self) -> int:
        """Number of masks that would fail, or whose results are not in order."""
        return sum(row.fails for row in self.rows)


def each_row(look: Callable[[T], Row], items: list[T], *, show_progress: bool) -> list[Row]:
    """Return the rows of the items, in their order."""
    rows = thread_map(look, items)
    return list(track(rows, 'check', total=len(items), unit=' masks', show=show_progress))


def check_masks(
    root: Path,
    *,
    mask_space: str | None = None,
    pattern: str | None = None,
    binarize: float | None = None,
    show_progress: bool = False,
) -> Check:
    """Check which masks of a BIDS dataset would run, as far as possible without the tractogram.

    Parameters
    ----------
    root : pathlib.Path
    mask_space : str, optional
        Space of the masks, overriding sidecars and names.
    pattern : str, optional
        Glob on the names of the masks.
    binarize : float, optional
        Values above this are lesion.
    show_progress : bool
        Whether to show a progress bar on a terminal.

    Raises
    ------
    InputError
        If no mask is found, or the space is not supported.
    """
    check_threshold(binarize)
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
            # pipelines leave these beside the mask in standard space; a run ignores them too
            reason = 'left out: the same mask exists in a standard space'
            return _mask_row(root, path, None, reason, binarize, fails=False)
        return _mask_row(root, path, described.get(path), reasons.get(path), binarize)

    return Check(
        _HEADER, each_row(look, paths, show_progress=show_progress), contradictions(described.values())
    )


def _mask_row(
    root: Path,
    path: Path,
    described: MaskFile | None,
    reason: str | None,
    binarize: float | None,
    *,
    fails: bool = True,
) -> Row:
    space = (described.space, described.space_from) if described else (None, None)
    grid: tuple[str | int | None, ...] = (None,) * 4
    warnings: tuple[str, ...] = ()
    seen = inspect_mask(path, described.space if described and fails else None, binarize=binarize)
    reason = reason or seen.failure
    if seen.mask and seen.facts:
        sizes = voxel_sizes(seen.mask.affine)
        grid = (_by(seen.mask.shape), _by(sizes), seen.facts.voxels, f'{seen.facts.volume_ml:.6g}')
        if described and fails:
            contradiction = (described.contradiction,) if described.contradiction else ()
            warnings = (*seen.doubts, *contradiction)
    status = one_line(reason, path) if reason else OK
    cells = (path.relative_to(root).as_posix(), *space, *grid, status, '; '.join(warnings) or None)
    return Row(cells, bool(reason) and fails, warnings)


def _by(values: Iterable[float]) -> str:
    return 'x'.join(f'{value:.4g}' for value in values)
