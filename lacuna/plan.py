"""What a run has to do: which masks are usable, which results are there, which are missing. Nothing is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.atlases import Parcellation, custom_atlas, fetch, find_atlases, read_parcellation
from lacuna.bids import MaskFile, Target, check_unique, describe_mask, find_masks, mask_stem, sidecar_path
from lacuna.config import RunConfig
from lacuna.connectomes import Tractogram
from lacuna.derivatives import (
    atlas_metadata,
    conflicting_results,
    connectome_metadata,
    mask_metadata,
    mask_outputs,
    missing_outputs,
    run_metadata,
)
from lacuna.errors import InputError, MaskError
from lacuna.masks import check_touches, read_mask
from lacuna.spaces import check_space, find_transform, standard_grid
from lacuna.streamlines.spacing import gap_warning

#: what every run makes of a mask
BASIC_TARGETS = (Target('map'), Target('summary'))
#: no point of the brain is moved farther than this between standard spaces (mm)
_MOVES_AT_MOST = 20.0
_MATRICES = ('disconnection_matrix', 'mask_matrix', 'intact_matrix', 'full_matrix', 'matrix_statistics')


@dataclass(frozen=True)
class MaskJob:
    """One mask and what is to be made of it.

    Attributes
    ----------
    mask : lacuna.bids.MaskFile
    missing : tuple of lacuna.bids.Target
        The outputs to make.
    metadata : dict
        What their sidecars have in common.
    atlases : dict
        What their sidecars say of each atlas.
    """

    mask: MaskFile
    missing: tuple[Target, ...]
    metadata: dict[str, Any]
    atlases: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A mask that could not be used or finished, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Movement:
    """The transform that moves points from one space to another."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class RunPlan:
    """What a run has to do.

    Attributes
    ----------
    config : lacuna.config.RunConfig
    tractogram : lacuna.connectomes.Tractogram
    engine_version : str or None
    todo : list of MaskJob
        Masks with outputs to make.
    done : list of lacuna.bids.MaskFile
        Masks whose outputs are all there.
    failed : list of Failure
    skipped : list of Failure
        Masks left out on purpose.
    warnings : list of str
    connectome_metadata : dict
        By space.
    parcellations : dict
        By space, a list of the atlases asked for.
    movements : dict
        By source and target space, for those that differ: a `Movement`.
    """

    config: RunConfig
    tractogram: Tractogram
    engine_version: str | None
    cache: Path
    todo: list[MaskJob] = field(default_factory=list)
    done: list[MaskFile] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    skipped: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    connectome_metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    parcellations: dict[str, list[Parcellation]] = field(default_factory=dict)
    movements: dict[tuple[str, str], Movement] = field(default_factory=dict)

    def content(self, space: str) -> list[str]:
        """What stands for the streamlines in a space: checksums of the tractogram and of what has moved it."""
        movement = self.movements.get((self.tractogram.space, space))
        return [self.tractogram.info.sha256, *([movement.sha256] if movement else [])]

    def cached_tracks(self, space: str) -> Path:
        """Where the tractogram moved into a space is kept."""
        return self.cache / 'moved' / f'{_digest(self.content(space))}.tck'

    def box(self, space: str) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Smallest and greatest coordinates (mm) that the streamlines can have in a space."""
        margin = _MOVES_AT_MOST if space != self.tractogram.space else 0.0
        (x0, y0, z0), (x1, y1, z1) = self.tractogram.info.box
        return (x0 - margin, y0 - margin, z0 - margin), (x1 + margin, y1 + margin, z1 + margin)

    def cached_tdi(self, space: str) -> Path:
        """Where the full density for a space is kept, by all that decides its content."""
        grid = standard_grid(space, self.config.output_resolution)
        decides = [
            self.content(space),
            grid.shape,
            grid.affine.tolist(),
            self.config.tck_upsample,
            self.engine_version,
        ]
        return self.cache / 'tdi' / f'{_digest(decides)}.nii.gz'

    def cached_endpoints(self, parcellation: Parcellation, space: str) -> Path:
        """Where the endpoint table of an atlas in a space is kept, by all that decides its content."""
        movement = self.movements.get((space, parcellation.atlas.space))
        moved = movement.sha256 if movement else None
        decides = [self.content(space), parcellation.sha256, moved, self.engine_version]
        return self.cache / 'endpoints' / f'{_digest(decides)}.npz'

    def targets(self, space: str) -> list[Target]:
        """All outputs of a mask of this space."""
        config = self.config
        keys = [*(_MATRICES if config.compute_disconnectivity_matrix else ())]
        keys += ['roi_disconnection'] if config.compute_roi_disconnection else []
        return [
            *BASIC_TARGETS,
            *(Target(key, each.atlas.name) for each in self.parcellations[space] for key in keys),
        ]


def _digest(decides: list[Any]) -> str:
    return hashlib.sha256(repr(decides).encode()).hexdigest()[:32]


def make_plan(
    config: RunConfig,
    tractogram: Tractogram,
    *,
    engine_version: str | None,
    cache: Path,
    progress: Callable[[list[Path]], Any] = iter,
) -> RunPlan:
    """Find the masks, check each, and compare with what is in the output folder.

    Parameters
    ----------
    config : lacuna.config.RunConfig
    tractogram : lacuna.connectomes.Tractogram
    engine_version : str or None
        Version of MRtrix3.
    cache : pathlib.Path
        Folder of the caches.
    progress : callable
        Wraps the list of masks, as ``tqdm`` does.

    Raises
    ------
    InputError
        If no mask can be used, two have the same name for their results, or the results on disk were made with
        other settings (unless ``overwrite``).
    """
    plan = RunPlan(config, tractogram, engine_version, cache)
    if gaps := gap_warning(tractogram.info, config.output_resolution, config.tck_upsample):
        plan.warnings.append(gaps)
    usable = _usable_masks(plan, progress)
    if plan.failed and not usable and not plan.skipped:
        raise InputError('\n'.join(failure.reason for failure in plan.failed))
    conflicts: dict[str, list[str]] = {}
    common: dict[str, dict[str, Any]] = {}
    atlases: dict[str, dict[str, dict[str, Any]]] = {}
    own_sidecars = set()
    for mask, sha256 in usable:
        if mask.space not in common:
            movement = _find_movement(plan, tractogram.space, mask.space)
            common[mask.space] = run_metadata(
                config,
                tractogram,
                mask.space,
                engine_version=engine_version,
                moved_with={'File': movement.path.name, 'SHA256': movement.sha256} if movement else None,
            )
            plan.connectome_metadata[mask.space] = connectome_metadata(config, tractogram, common[mask.space])
            plan.parcellations[mask.space] = _parcellations(plan, mask.space)
            atlases[mask.space] = {
                each.atlas.name: atlas_metadata(each) for each in plan.parcellations[mask.space]
            }
        metadata = mask_metadata(config, tractogram, mask, sha256, common[mask.space])
        targets = plan.targets(mask.space)
        missing, differing = missing_outputs(config.output_dir, mask, targets, metadata, atlases[mask.space])
        own_sidecars.add(sidecar_path(config.output_dir / mask_outputs(mask, BASIC_TARGETS)[Target('map')]))
        if config.overwrite:
            missing = targets
        elif differing:
            conflicts[mask.path.name] = differing
        if missing:
            plan.todo.append(MaskJob(mask, tuple(missing), metadata, atlases[mask.space]))
        else:
            plan.done.append(mask)
    if not config.overwrite:
        conflicts |= conflicting_results(config.output_dir, common, own_sidecars)
        if conflicts:
            raise InputError(_conflict_message(conflicts))
    return plan


def _find_movement(plan: RunPlan, source: str, target: str) -> Movement | None:
    """The transform of points from one space to another, noted in the plan; None within one space."""
    if source == target:
        return None
    if (source, target) not in plan.movements:
        path = find_transform(source, target)
        with path.open('rb') as stream:
            checksum = hashlib.file_digest(stream, 'sha256').hexdigest()
        plan.movements[source, target] = Movement(path, checksum)
    return plan.movements[source, target]


def _parcellations(plan: RunPlan, space: str) -> list[Parcellation]:
    """The atlases asked for, read and checked."""
    config = plan.config
    if not (config.parcel_atlases or config.custom_parcellations):
        return []
    custom = [custom_atlas(*words) for words in config.custom_parcellations]
    found = find_atlases(config.parcel_atlases, space, custom=custom, folder=config.atlas_dir)
    for atlas in found:
        _find_movement(plan, space, atlas.space)
    return [read_parcellation(fetch(atlas)) for atlas in found]


def _usable_masks(plan: RunPlan, progress: Callable[[list[Path]], Any]) -> list[tuple[MaskFile, str]]:
    config = plan.config
    described: list[MaskFile] = []
    for path in _mask_paths(config):
        try:
            described.append(describe_mask(path, space=config.mask_space, subject=_only_label(config)))
        except MaskError as error:
            plan.failed.append(Failure(path, str(error)))
    # a mask in the native space beside the same one in MNI space is what pipelines leave: no failure
    in_standard_space = {mask.stem for mask in described}
    plan.failed[:] = [failure for failure in plan.failed if mask_stem(failure.path) not in in_standard_space]
    check_unique(described)
    by_path = {mask.path: mask for mask in described}
    usable = []
    for path in progress(list(by_path)):
        try:
            mask = read_mask(path)
            check_touches(path, mask, np.array(plan.box(by_path[path].space)))
            if not mask.data.any() and _skip_empty(plan, path):
                continue
        except MaskError as error:
            plan.failed.append(Failure(path, str(error)))
        else:
            usable.append((by_path[path], mask.sha256))
            if doubt := check_space(by_path[path].space, mask.data.shape, mask.affine):
                plan.warnings.append(f'{path}: {doubt} (space from {by_path[path].space_from})')
    return usable


def _mask_paths(config: RunConfig) -> list[Path]:
    if config.source.is_dir():
        return find_masks(
            config.source,
            participants=config.participants,
            sessions=config.sessions,
            pattern=config.pattern,
        )
    if not config.source.exists():
        message = f'there is no {config.source}: give a BIDS dataset or a mask (.nii.gz)'
        raise InputError(message)
    return [config.source]


def _only_label(config: RunConfig) -> str | None:
    """The participant asked for, for a single mask whose name has none."""
    return config.participants[0].removeprefix('sub-') if len(config.participants) == 1 else None


def _skip_empty(plan: RunPlan, path: Path) -> bool:
    message = f'{path}: the mask is empty'
    if plan.config.on_empty == 'error':
        raise MaskError(message)
    if plan.config.on_empty == 'skip':
        plan.skipped.append(Failure(path, message))
        return True
    plan.warnings.append(f'{message}: its map is 0 everywhere')
    return False


def _conflict_message(conflicts: dict[str, list[str]]) -> str:
    lines = [f'  {name}: {"; ".join(found)}' for name, found in list(conflicts.items())[:10]]
    if len(conflicts) > 10:
        lines.append(f'  ... and {len(conflicts) - 10} more')
    head = 'the results in the output folder were made with other settings; choose another folder, or --overwrite:'
    return '\n'.join([head, *lines])
