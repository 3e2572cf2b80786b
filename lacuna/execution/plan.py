"""Plan a run: which masks are usable, and which outputs exist or are missing. Nothing is written."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from lacuna.bids.derivatives import conflicting_results, mask_outputs, missing_outputs, outdated_outputs
from lacuna.bids.failures import Failure, each_reason
from lacuna.bids.inputs import LABEL, find_masks, labels_of, only_label, refuse_labels, without_masks
from lacuna.bids.mask_files import MaskFile, check_unique, contradictions, describe_mask, mask_stem
from lacuna.bids.origins import read_links
from lacuna.bids.outputs import BASIC_TARGETS, CONNECTOME_KEYS, Target, connectome_path, names_from
from lacuna.bids.sidecars import is_stale, is_whole
from lacuna.errors import InputError, MaskError, shorten
from lacuna.execution.config import RunConfig
from lacuna.execution.nulls import null_metadata, null_settings
from lacuna.execution.regions import (
    ProbabilityAtlas,
    RunAtlases,
    check_bundles_name,
    read_atlases,
    read_bundles_of,
    wanted_targets,
)
from lacuna.execution.seen import SeenMasks
from lacuna.execution.sidecars import (
    atlas_metadata,
    bundles_metadata,
    connectome_metadata,
    mask_metadata,
    run_metadata,
)
from lacuna.images.atlases import Parcellation
from lacuna.images.masks import KnownMask
from lacuna.images.nifti import load, two_positions
from lacuna.images.plausibility import tractogram_doubt
from lacuna.images.regions import VERSION as REGIONS_VERSION
from lacuna.images.spaces import check_space, standard_grid
from lacuna.images.transforms import Transform, find_transform_of_points
from lacuna.streamlines.bundles import NamedBundles
from lacuna.streamlines.endpoints import Coverage
from lacuna.streamlines.null_settings import NullSettings
from lacuna.streamlines.placed import TractogramInSpace
from lacuna.streamlines.sample import gap_warning
from lacuna.streamlines.tractogram import Tractogram
from lacuna.utils.cache import digest, is_intact
from lacuna.utils.files import read_json
from lacuna.utils.names import few, parse_entities, sidecar_path
from lacuna.utils.processes import thread_map
from lacuna.utils.progress import track


@dataclass(frozen=True)
class MaskJob:
    """One mask with its missing outputs.

    Attributes
    ----------
    mask : lacuna.bids.mask_files.MaskFile
    packed : lacuna.images.masks.PackedMask or lacuna.images.masks.UnreadMask
        The mask as read, now or in an earlier run.
    missing : tuple of lacuna.bids.outputs.Target
        Outputs to make.
    metadata : dict
        Common content of their sidecars.
    atlases : dict
        Content of their sidecars about each atlas and the bundles.
    warnings : tuple of str
        What is suspicious about the mask and the tractogram.
    outdated : tuple of pathlib.Path
        Results to be removed, because they were made with other settings and are not made again.
    """

    mask: MaskFile
    packed: KnownMask
    missing: tuple[Target, ...]
    metadata: dict[str, Any]
    atlases: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    outdated: tuple[Path, ...] = ()

    def names_from(self, kind: str) -> list[str]:
        """Return the atlases (or sets of bundles) whose ``endpoints``, ``regions`` or ``bundles`` are needed."""
        return names_from(kind, self.missing)


@dataclass(frozen=True)
class RunPlan:
    """The work of a run.

    Attributes
    ----------
    config : lacuna.execution.config.RunConfig
    tractogram : lacuna.streamlines.tractogram.Tractogram
    engine_version : str or None
    todo : tuple of MaskJob
        Masks with missing outputs.
    done : tuple of lacuna.bids.mask_files.MaskFile
        Masks whose outputs all exist.
    failed : tuple of Failure
    skipped : tuple of Failure
        Masks skipped on request.
    warnings : tuple of str
        What is suspicious about tractogram and atlases.
    mask_warnings : mapping
        What is suspicious about masks, by path.
    masks : mapping
        Usable masks as read, by path, so that their files are not opened again:
        :class:`lacuna.images.masks.PackedMask`, or :class:`lacuna.images.masks.UnreadMask` if unchanged since an
        earlier run.
    unpublished : mapping
        Outputs of the tractogram that are missing, damaged or outdated in the dataset, by space.
    connectome_metadata : mapping
        Sidecars of the tractogram's outputs, by space and output.
    atlases : mapping
        Atlases in the settings, as :class:`lacuna.execution.regions.RunAtlases`, by space.
    bundles : lacuna.streamlines.bundles.NamedBundles or None
        Bundles of the tractogram.
    nulls : lacuna.streamlines.null_settings.NullSettings or None
        Settings of null lesions, if there are any.
    movements : mapping
        :class:`lacuna.images.transforms.Transform` by source and target space, where these differ.
    """

    config: RunConfig
    tractogram: Tractogram
    engine_version: str | None
    cache: Path
    todo: tuple[MaskJob, ...] = ()
    done: tuple[MaskFile, ...] = ()
    failed: tuple[Failure, ...] = ()
    skipped: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()
    unpublished: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    masks: Mapping[Path, KnownMask] = field(default_factory=dict)
    mask_warnings: Mapping[Path, tuple[str, ...]] = field(default_factory=dict)
    connectome_metadata: Mapping[str, Mapping[str, dict[str, Any]]] = field(default_factory=dict)
    atlases: Mapping[str, RunAtlases] = field(default_factory=dict)
    bundles: NamedBundles | None = None
    nulls: NullSettings | None = None
    movements: Mapping[tuple[str, str], Transform] = field(default_factory=dict)

    def alignment(self, space: str) -> TractogramInSpace:
        """Return the tractogram in a space."""
        return TractogramInSpace(
            self.tractogram, space, self.movements.get((self.tractogram.space, space)), self.cache
        )

    def index_directory(self, space: str) -> Path:
        """Return the folder of the streamline index for a space."""
        grid = standard_grid(space, self.config.output_resolution)
        return self.alignment(space).index_directory(grid, self.config.tck_upsample)

    def cached_tdi(self, space: str, *, counts: bool = False) -> Path:
        """Return the cached file of the tractogram's density in a space; without weights if `counts`."""
        grid = standard_grid(space, self.config.output_resolution)
        decides = [
            self.alignment(space).content,
            grid.shape,
            grid.affine.tolist(),
            self.config.tck_upsample,
            self.engine_version,
            self.tractogram.counting_key if counts else self.tractogram.weighting_key,
        ]
        return self.cache / 'tdi' / f'{digest(decides)}.nii.gz'

    def cached_endpoints(self, parcellation: Parcellation, space: str) -> Path:
        """Return the cached file of the endpoint table of an atlas in a space."""
        movement = self.movements.get((space, parcellation.atlas.space))
        engine = self.engine_version or self.config.engine
        return self.alignment(space).endpoints_path(parcellation, movement, engine, self.config.assignment)

    def cached_regions(self, regions: Parcellation | ProbabilityAtlas, space: str) -> Path:
        """Return the cached file of the voxels of an atlas in a space."""
        if isinstance(regions, ProbabilityAtlas):
            return regions.path
        movement = self.movements.get((space, regions.atlas.space))
        decides = [REGIONS_VERSION, regions.sha256, movement.sha256 if movement else None]
        return self.cache / 'regions' / f'{digest(decides)}.npz'

    def cached_bundles(self, space: str) -> Path:
        """Return the cached file of the bundles with the voxels of a space that they visit."""
        assert self.bundles  # noqa: S101
        config, engine = self.config, self.engine_version or self.config.engine
        grid = standard_grid(space, config.output_resolution)
        return self.alignment(space).bundles_path(self.bundles.groups, grid, config.tck_upsample, engine)

    def doubts_of_endpoints(self) -> list[str]:
        """Return new warnings about atlases, from endpoint tables that exist by now."""
        doubts: list[str] = []
        for space, atlases in self.atlases.items():
            for each in atlases.parcellations:
                path = self.cached_endpoints(each, space)
                if is_intact(path) and (coverage := Coverage.load(path)):
                    doubts += coverage.doubts(each.atlas.name, space)
        return [doubt for doubt in dict.fromkeys(doubts) if doubt not in self.warnings]

    def connectome_paths(self, space: str) -> dict[str, Path]:
        """Return the paths of the tractogram's outputs for a space, by key."""
        grid = self.tractogram.label, space, self.config.output_resolution
        return {key: self.config.output_dir / connectome_path(key, *grid) for key in CONNECTOME_KEYS}

    def targets(self, space: str) -> list[Target]:
        """Return all outputs of a mask in this space."""
        return wanted_targets(self.config, self.atlases[space], self.bundles)


def make_plan(
    config: RunConfig,
    tractogram: Tractogram,
    *,
    engine_version: str | None,
    cache: Path,
    show_progress: bool = False,
    lock: Callable[[set[str]], object] | None = None,
    paths: Sequence[Path] | None = None,
) -> RunPlan:
    """Check all masks, and compare with the results in the output folder.

    Parameters
    ----------
    config : lacuna.execution.config.RunConfig
    tractogram : lacuna.streamlines.tractogram.Tractogram
    engine_version : str or None
        Version of MRtrix3, if it is the engine.
    cache : pathlib.Path
        Cache folder.
    show_progress : bool
        Whether to show a progress bar on terminals while masks are checked.
    lock : callable, optional
        Called with the participants before their results are examined, to lock them.
    paths : sequence of pathlib.Path, optional
        Result of `mask_paths`, if already computed.

    Raises
    ------
    InputError
        If no mask is usable, two masks have the same names of results, or existing results were made with other
        settings (unless ``overwrite``).
    """
    seen = SeenMasks(config.output_dir, config.chunk)
    paths = mask_paths(config) if paths is None else paths
    masks = _inspect_masks(config, paths, seen, show_progress=show_progress)
    # other chunks may have usable masks
    if masks.failed and not masks.usable and not masks.skipped and not config.chunk:
        raise InputError('\n'.join(each_reason(masks.failed)))
    spaces = sorted({mask.space for mask in masks.usable})
    atlases = {space: read_atlases(config, space, cache) for space in spaces}
    bundles = read_bundles_of(config, tractogram)
    for each in atlases.values():
        check_bundles_name(bundles, each)
    plan = RunPlan(
        config,
        tractogram,
        engine_version,
        cache,
        failed=masks.failed,
        skipped=masks.skipped,
        masks={mask.path: packed for mask, packed in masks.usable.items()},
        mask_warnings=masks.doubts,
        atlases=atlases,
        bundles=bundles,
        nulls=null_settings(config),
        movements=_find_transforms(tractogram, atlases),
    )
    misplaced = tractogram_doubt(tractogram.info.brain_pct)
    warnings = [*_tractogram_warnings(plan, misplaced), *masks.contradictions, *_atlas_warnings(plan)]
    if config.source.is_dir() and not config.chunk:  # another chunk may have their masks
        absent = without_masks(config.source, config.participants, paths)
        warnings += [f'no mask found of participant {label} in {config.source}' for label in absent]
    plan = replace(plan, warnings=(*warnings, *plan.doubts_of_endpoints()))
    if lock:
        lock({mask.subject for mask in masks.usable})
    plan = _compare_with_results(plan, masks.usable, misplaced)
    if lock:
        seen.save()
    return plan


def _compare_with_results(plan: RunPlan, usable: Iterable[MaskFile], misplaced: str | None) -> RunPlan:
    """Add to a plan what is missing in the output folder."""
    config, tractogram = plan.config, plan.tractogram
    links = read_links(config.output_dir)
    common: dict[str, dict[str, Any]] = {}
    for space in plan.atlases:
        common[space] = run_metadata(
            config,
            tractogram,
            space,
            engine_version=plan.engine_version,
            movement=plan.movements.get((tractogram.space, space)),
        )
    atlases = {
        space: {
            **{
                each.atlas.name: atlas_metadata(
                    each, config, links, plan.movements.get((space, each.atlas.space))
                )
                for each in found.all
            },
            **bundles_metadata(plan.bundles, tractogram, links),
        }
        for space, found in plan.atlases.items()
    }
    nulls = null_metadata(plan.nulls, plan.cache)
    todo, done = [], []
    conflicts: dict[str, list[str]] = {}
    own_sidecars = set()
    for mask in usable:
        packed = plan.masks[mask.path]
        metadata = mask_metadata(config, tractogram, mask, packed, common[mask.space], links) | nulls
        targets = plan.targets(mask.space)
        missing, differing = missing_outputs(config.output_dir, mask, targets, metadata, atlases[mask.space])
        own_sidecars.add(
            sidecar_path(config.output_dir / mask_outputs(mask, BASIC_TARGETS)[Target('disconnection_map')])
        )
        others = outdated_outputs(config.output_dir, mask, targets, metadata, atlases[mask.space])
        if config.overwrite:
            missing = targets
        elif differing := list(dict.fromkeys([*differing, *itertools.chain(*others.values())])):
            conflicts[mask.path.name] = differing
        if missing:
            warnings = filter(None, (*plan.mask_warnings.get(mask.path, ()), mask.contradiction, misplaced))
            todo.append(
                MaskJob(
                    mask,
                    packed,
                    tuple(missing),
                    metadata,
                    atlases[mask.space],
                    tuple(warnings),
                    tuple(others),
                )
            )
        else:
            done.append(mask)
    if not config.overwrite:
        conflicts |= conflicting_results(config.output_dir, common, own_sidecars)
        if conflicts:
            raise InputError(_conflict_message(conflicts))
    metadata = {
        space: connectome_metadata(config, tractogram, about, links) for space, about in common.items()
    }
    unpublished = {space: _unpublished(plan, space, sidecars) for space, sidecars in metadata.items()}
    outdated_names = [path.name for job in todo for path in job.outdated]
    removed = f'results made with other settings, which this run does not make again, are removed: {few(outdated_names, 2)}'
    return replace(
        plan,
        todo=tuple(todo),
        done=tuple(done),
        warnings=(*plan.warnings, removed) if outdated_names else plan.warnings,
        unpublished={space: keys for space, keys in unpublished.items() if keys},
        connectome_metadata=metadata,
    )


def _unpublished(plan: RunPlan, space: str, sidecars: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the tractogram's outputs for a space that are missing, damaged or outdated in the dataset."""
    return tuple(
        key
        for key, path in plan.connectome_paths(space).items()
        if not is_whole(path) or is_stale(read_json(sidecar_path(path)) or {}, sidecars[key])
    )


def _find_transforms(
    tractogram: Tractogram, atlases: Mapping[str, RunAtlases]
) -> dict[tuple[str, str], Transform]:
    """Return the transforms of points that a run needs: for the streamlines, and to the atlases."""
    pairs = [(tractogram.space, space) for space in atlases]
    pairs += [(space, each.atlas.space) for space, found in atlases.items() for each in found.parcellations]
    return {pair: movement for pair in dict.fromkeys(pairs) if (movement := find_transform_of_points(*pair))}


def _tractogram_warnings(plan: RunPlan, misplaced: str | None) -> list[str]:
    """Return what is suspicious about the tractogram."""
    config, tractogram = plan.config, plan.tractogram
    found = [gap_warning(tractogram.info, config.output_resolution, config.tck_upsample)]
    found += [f'{tractogram.path}: {misplaced}'] if misplaced else []
    found += [f'{tractogram.contradiction}: {tractogram.space} is used'] if tractogram.contradiction else []
    return [each for each in found if each]


def _atlas_warnings(plan: RunPlan) -> list[str]:
    """Return what is suspicious about the atlases, once for all spaces of masks."""
    return list(
        dict.fromkeys(
            f'the atlas {each.atlas.name} ({each.atlas.image}): {doubt}'
            for found in plan.atlases.values()
            for each in found.parcellations
            for doubt in (
                check_space(each.atlas.space, each.index.shape, each.affine),
                two_positions(load(each.atlas.image)),
            )
            if doubt
        )
    )


class _Masks(NamedTuple):
    """The masks of a run after inspection."""

    usable: dict[MaskFile, KnownMask]
    failed: tuple[Failure, ...]
    skipped: tuple[Failure, ...]
    doubts: dict[Path, tuple[str, ...]]
    contradictions: list[str]


def _inspect_masks(
    config: RunConfig, paths: Sequence[Path], seen: SeenMasks, *, show_progress: bool
) -> _Masks:
    described: list[MaskFile] = []
    failed: list[Failure] = []
    subject = only_label(config.participants)
    if subject is not None and not config.source.is_dir() and not LABEL.fullmatch(subject):
        message = f'the participant label {shorten(subject)} may only have letters and digits'
        raise InputError(message)
    for path in paths:
        try:
            described.append(describe_mask(path, space=config.mask_space, subject=subject))
        except MaskError as error:
            failed.append(Failure(path, str(error), subject))
    # pipelines leave masks in native space beside the same ones in MNI space: not an error
    in_standard_space = {mask_stem(mask.path) for mask in described}
    failed = [failure for failure in failed if mask_stem(failure.path) not in in_standard_space]
    check_unique(described)
    found = _Masks({}, (), (), {}, contradictions(described))
    skipped = []
    looks = thread_map(lambda mask: seen.look(mask, config.binarize, config.grading), described)
    shown = track(looks, 'checking masks', total=len(described), show=show_progress)
    for mask, look in zip(described, shown, strict=True):
        empty = Failure(mask.path, f'{mask.path}: the mask is empty', mask.subject)
        if look.mask is None or look.failure:
            failed.append(Failure(mask.path, str(look.failure), mask.subject))
        elif not look.voxels and config.on_empty == 'error':
            failed.append(empty)
        elif not look.voxels and config.on_empty == 'skip':
            skipped.append(empty)
        else:
            found.usable[mask] = look.mask
            if look.doubts:
                found.doubts[mask.path] = look.doubts
    return found._replace(failed=tuple(failed), skipped=tuple(skipped))


def mask_paths(config: RunConfig) -> list[Path]:
    """Find the masks of a run.

    Parameters
    ----------
    config : lacuna.execution.config.RunConfig

    Returns
    -------
    list of pathlib.Path

    Raises
    ------
    InputError
        If there are none, or a participant's label is invalid.
    """
    if config.source.is_dir():
        masks = find_masks(
            config.source,
            participants=config.participants,
            sessions=config.sessions,
            pattern=config.pattern,
            filter_file=config.bids_filter_file,
        )
        return chunk_of(masks, config.chunk) if config.chunk else masks
    if not config.source.exists():
        message = f'no file or folder {config.source}: give a BIDS dataset or a mask (.nii.gz)'
        raise InputError(message)
    refuse_labels((config.source, label) for label in labels_of(Path(config.source.name)))
    return [config.source]


def chunk_of(masks: Sequence[Path], chunk: str) -> list[Path]:
    """Return the masks of every N-th participant, from the I-th on, for chunk ``I/N`` of a dataset.

    Parameters
    ----------
    masks : sequence of pathlib.Path
    chunk : str
        ``I/N``, with I from 1 to N.

    Examples
    --------
    >>> [path.name for path in chunk_of([Path(f'sub-{label}_mask.nii.gz') for label in 'aabcd'], '1/3')]
    ['sub-a_mask.nii.gz', 'sub-a_mask.nii.gz', 'sub-d_mask.nii.gz']
    """
    number, of = map(int, chunk.split('/'))
    labels = [parse_entities(path.name).get('sub', path.name) for path in masks]
    mine = set(sorted(set(labels))[number - 1 :: of])
    return [path for path, label in zip(masks, labels, strict=True) if label in mine]


def _conflict_message(conflicts: dict[str, list[str]]) -> str:
    lines = [f'  {name}: {"; ".join(found)}' for name, found in list(conflicts.items())[:10]]
    if len(conflicts) > 10:
        lines.append(f'  ... and {len(conflicts) - 10} more')
    head = 'the results in the output folder were made with other settings; choose another folder, or add --overwrite:'
    return '\n'.join([head, *lines])
