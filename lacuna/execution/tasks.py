"""The tasks of a run: inputs shared by the masks of a space are prepared once; then each mask is one task.

Functions here are called in this process, in a worker process, or by a Dask worker on another machine; they exchange
paths and small values only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.bids.outputs import SAMPLE, Target, names_from
from lacuna.execution.regions import ProbabilityAtlas
from lacuna.images.mask_values import GRADED
from lacuna.images.nifti import encoded, load, make
from lacuna.images.support import support_mask
from lacuna.measures import MIN_SUPPORT
from lacuna.streamlines.disconnection import Disconnection
from lacuna.utils.cache import cached
from lacuna.utils.files import json_bytes

if TYPE_CHECKING:
    from lacuna.execution.plan import MaskJob, RunPlan
    from lacuna.images.atlases import Parcellation
    from lacuna.images.masks import Mask
    from lacuna.images.regions import Regions
    from lacuna.streamlines.bundles import Bundles
    from lacuna.streamlines.connections import Connections
    from lacuna.streamlines.index.query import Index
    from lacuna.streamlines.null_settings import NullSettings
    from lacuna.streamlines.placed import TractogramInSpace
    from lacuna.streamlines.weighting import Weighting

#: streamlines in the sample for the report; more would only hide each other
MOST_SAMPLED = 1000


@dataclass(frozen=True)
class SpaceInputs:
    """Inputs shared by the masks of a space.

    Attributes
    ----------
    space : str
    output_dir : pathlib.Path
    folder : pathlib.Path
        Folder for work files.
    tracks : pathlib.Path
        The tractogram in the space (``.tck``).
    streamlines_total : int
        Number of streamlines in use.
    weighting : pathlib.Path
        File of the weights and lengths of the streamlines, and of which are used.
    density : pathlib.Path or None
        File of the density of the streamlines in use; None if all are used with weight 1, or with the engine
        ``mrtrix``.
    edge_measure : str
        See :class:`lacuna.execution.config.RunConfig`.
    weighted : bool
        Whether streamlines are weighted.
    index : pathlib.Path or None
        The streamline index; None with the engine ``mrtrix``.
    full_tdi : pathlib.Path or None
        Density of the tractogram, with the engine ``mrtrix``.
    counts : pathlib.Path or None
        File of the number of streamlines in use that visit each voxel; None if the index holds it.
    numbers : pathlib.Path or None
        Indices of the streamlines, with the engine ``mrtrix``.
    tracks_size_and_time : list of int or None
        Size and modification time of `tracks`, with the engine ``mrtrix``, whose commands read them for each mask.
    endpoints, regions, bundles : tuple of (str, pathlib.Path)
        Endpoint tables and voxels of atlases, by name of the atlas; voxels visited by bundles, by name of the set of
        bundles.
    networks : tuple of (str, tuple of str)
        Network of each parcel, by name of the atlas.
    spared_threshold : float
        See :class:`lacuna.execution.config.RunConfig`.
    nulls : lacuna.streamlines.null_settings.NullSettings or None
        Settings of null lesions, if there are any.
    tck_upsample, min_support, binarize, graded_masks, mask_scale
        See :class:`lacuna.execution.config.RunConfig`.
    threads : int
        Threads per mask.
    quiet : bool
        Whether to suppress the output of MRtrix3.
    """

    space: str
    output_dir: Path
    folder: Path
    tracks: Path
    streamlines_total: int
    weighting: Path
    density: Path | None = None
    edge_measure: str = 'count'
    weighted: bool = False
    index: Path | None = None
    full_tdi: Path | None = None
    counts: Path | None = None
    numbers: Path | None = None
    tracks_size_and_time: list[int] | None = None
    endpoints: tuple[tuple[str, Path], ...] = ()
    regions: tuple[tuple[str, Path], ...] = ()
    bundles: tuple[tuple[str, Path], ...] = ()
    networks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    spared_threshold: float = 50.0
    nulls: NullSettings | None = None
    tck_upsample: int | None = None
    binarize: float | None = None
    min_support: int = MIN_SUPPORT
    graded_masks: str = GRADED[0]
    mask_scale: float = 1.0
    threads: int = 1
    quiet: bool = True

    @cached_property
    def sources(self) -> Mapping[str, Any]:
        """Inputs of a mask's workflow with the engine ``mrtrix``, by field."""
        found = {
            'tracks': str(self.tracks),
            'streamlines_total': self.streamlines_total,
            'weighting': str(self.weighting),
            'full_tdi': self.full_tdi and str(self.full_tdi),
            'counts': self.counts and str(self.counts),
            'numbers': self.numbers and str(self.numbers),
            **{f'endpoints_{atlas}': str(path) for atlas, path in self.endpoints},
            **{f'regions_{atlas}': str(path) for atlas, path in self.regions},
            **{f'bundles_{name}': str(path) for name, path in self.bundles},
        }
        return {field: value for field, value in found.items() if value is not None}


def prepare_space(
    plan: RunPlan,
    space: str,
    targets: Sequence[Target],
    folder: Path,
    threads: int = 1,
    quiet: bool = True,
) -> SpaceInputs:
    """Prepare the inputs shared by the masks of a space, as far as they are missing.

    These are the tractogram in this space, its index or density, the endpoint tables and voxels of the atlases, and the
    voxels that bundles visit.

    Parameters
    ----------
    plan : lacuna.execution.plan.RunPlan
        The plan; its masks are not used.
    space : str
    targets : sequence of lacuna.bids.outputs.Target
        Outputs missing for any mask.
    folder : pathlib.Path
        Folder for work files.
    threads : int
        Threads per mask.
    quiet : bool
        Whether to suppress the output of MRtrix3.
    """
    config, placed = plan.config, plan.alignment(space)
    needed = {kind: names_from(kind, targets) for kind in ('endpoints', 'regions', 'bundles')}
    atlases = plan.atlases[space]
    used = [each for each in atlases.parcellations if each.atlas.name in needed['endpoints']]
    loaded = [each for each in atlases.all if each.atlas.name in needed['regions']]
    inputs = SpaceInputs(
        space=space,
        output_dir=config.output_dir,
        folder=folder / space,
        tracks=placed.tracks,
        streamlines_total=plan.tractogram.streamlines_total,
        weighting=plan.tractogram.weighting_path(),
        edge_measure=config.edge_measure,
        weighted=plan.tractogram.weights is not None,
        endpoints=tuple((each.atlas.name, plan.cached_endpoints(each, space)) for each in used),
        regions=tuple((each.atlas.name, plan.cached_regions(each, space)) for each in loaded),
        bundles=tuple((name, plan.cached_bundles(space)) for name in needed['bundles']),
        networks=tuple((each.atlas.name, each.networks) for each in used),
        spared_threshold=config.spared_threshold,
        nulls=plan.nulls,
        tck_upsample=config.tck_upsample,
        binarize=config.binarize,
        min_support=config.min_support,
        graded_masks=config.graded_masks,
        mask_scale=config.mask_scale,
        threads=threads,
        quiet=quiet,
    )
    inputs.folder.mkdir(parents=True, exist_ok=True)
    if config.engine == 'mrtrix':
        from lacuna.execution.plugins.nipype import prepare_by_graph

        return prepare_by_graph(plan, inputs, targets)
    placed = plan.tractogram.in_space(space)
    for each in used:
        placed.endpoints_file(each, config.assignment)
    for atlas in loaded:
        _cache_regions(placed, atlas, plan.cached_regions(atlas, space))
    if needed['bundles'] and plan.bundles:
        placed.bundles_file(plan.bundles.groups)
    density, counts = (placed.density_file(counts=each) for each in (False, True))
    return replace(inputs, index=placed.index().part, density=density, counts=counts)


def _cache_regions(placed: TractogramInSpace, regions: Parcellation | ProbabilityAtlas, path: Path) -> None:
    """Write the voxels of an atlas to the cache if missing."""
    from lacuna.images.regions import save_regions

    if not isinstance(regions, ProbabilityAtlas):  # otherwise written when it was read
        cached(path, lambda: save_regions(placed.moved_parcellation(regions), path))


def publish_density(plan: RunPlan, inputs: SpaceInputs) -> None:
    """Write the density of the tractogram (the denominator of the maps) and its support mask into the dataset."""
    from lacuna.bids.sidecars import save

    if inputs.index:
        shared = _open_shared(inputs)
        affine = shared.index.grid.affine
        counts = make(shared.counts, affine)
        content: bytes | Path = encoded(make(shared.full_density, affine))
    else:
        assert inputs.full_tdi  # noqa: S101
        assert inputs.counts  # noqa: S101
        counts, content = load(inputs.counts), inputs.full_tdi
    contents: dict[str, bytes | Path] = {
        'full_tdi': content,
        'support_mask': encoded(support_mask(counts, inputs.min_support)),
    }
    for key, path in plan.connectome_paths(inputs.space).items():
        save(contents[key], path, plan.connectome_metadata[inputs.space][key])


def run_mask(job: MaskJob, inputs: SpaceInputs) -> None:
    """Make the missing outputs of one mask, from its voxels to the final files."""
    if not inputs.index:
        from lacuna.execution.plugins.nipype import run_mask_by_graph

        run_mask_by_graph(job, inputs)
        return
    from lacuna.bids.derivatives import save_outputs

    shared = _open_shared(inputs)
    mask = job.packed.unpack()
    found = Disconnection(
        shared.index,
        mask,
        job.warnings,
        shared.weighting,
        shared.full_density,
        shared.counts,
        inputs.min_support,
    )
    contents = outputs_of(found, shared, [target for target in job.missing if not target.nulls])
    if (asked := [target for target in job.missing if target.nulls]) and inputs.nulls:
        contents |= nulls_of(mask, inputs, shared, asked)
    save_outputs(inputs.output_dir, job.mask, contents, job.metadata, job.atlases)


@dataclass(frozen=True)
class Shared:
    """Inputs shared by the masks of a space, opened.

    Attributes
    ----------
    index : lacuna.streamlines.index.query.Index
    weighting : lacuna.streamlines.weighting.Weighting
        Weights and lengths of the streamlines, and which are used.
    full_density : numpy.ndarray
        Density of the streamlines in use.
    counts : numpy.ndarray
        Number of streamlines in use that visit each voxel.
    connections : mapping
        Connections between the parcels, by name of the atlas.
    regions : mapping
        Voxels of the regions, by name of the atlas.
    bundles : mapping
        Bundles, by name of the set.
    networks : mapping
        Network of each parcel, by name of the atlas.
    spared_threshold : float
    """

    index: Index
    weighting: Weighting
    full_density: np.ndarray
    counts: np.ndarray
    connections: Mapping[str, Connections] = field(default_factory=dict)
    regions: Mapping[str, Regions] = field(default_factory=dict)
    bundles: Mapping[str, Bundles] = field(default_factory=dict)
    networks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    spared_threshold: float = 50.0


def outputs_of(found: Disconnection, shared: Shared, targets: Iterable[Target]) -> dict[Target, bytes]:
    """Return the contents of a mask's files, as the nodes of `init_snm_wf` write them.

    Parameters
    ----------
    found : lacuna.streamlines.disconnection.Disconnection
    shared : Shared
    targets : iterable of lacuna.bids.outputs.Target
    """
    from lacuna.bids.matrices import bundles_bytes, connection_file, parcels_bytes
    from lacuna.images.regions import region_load
    from lacuna.streamlines.connections import CutConnections
    from lacuna.streamlines.files.bundle_tables import bundles_bytes as members_bytes
    from lacuna.streamlines.sample import sample_bytes

    @cache
    def connections(atlas: str) -> CutConnections:
        networks = shared.networks.get(atlas, ())
        return CutConnections(shared.connections[atlas], found.cut, networks, shared.spared_threshold)

    @cache
    def load(atlas: str) -> dict[str, np.ndarray]:
        return region_load(found.part, shared.regions[atlas])

    contents: dict[Target, bytes] = {}
    for target in targets:
        name = target.atlas or ''
        if target.made_from == 'endpoints':
            contents[target] = connection_file(target.key, connections(name))
        elif target.made_from == 'regions':
            contents[target] = parcels_bytes(shared.regions[name].names, load(name)[target.key])
        elif target.made_from == 'bundles':
            bundles = found.bundles(shared.bundles[name])
            if target.key == 'sample_bundles':
                contents[target] = members_bytes(bundles.of_sample(MOST_SAMPLED))
            else:
                contents[target] = bundles_bytes(bundles.bundles.groups.names, bundles.columns)
        elif target.key == 'summary':
            contents[target] = json_bytes(found.summary)
        elif target == SAMPLE:
            contents[target] = sample_bytes(found.sample(MOST_SAMPLED))
        else:
            contents[target] = encoded(found.map)
    return contents


def nulls_of(
    mask: Mask, inputs: SpaceInputs, shared: Shared, targets: Sequence[Target]
) -> dict[Target, bytes]:
    """Return the contents of the files about a mask's null lesions."""
    from lacuna.bids.null_files import null_file
    from lacuna.streamlines.null_lesions import null_lesions
    from lacuna.streamlines.nulls import NullDisconnection, Targets

    assert inputs.nulls  # noqa: S101
    endpoints, bundles = names_from('endpoints', targets), names_from('bundles', targets)
    asked = Targets(
        next((shared.bundles[name] for name in bundles), None),
        {name: shared.connections[name] for name in endpoints},
        {name: shared.networks.get(name, ()) for name in endpoints},
    )
    lesions = null_lesions(mask, inputs.space, inputs.nulls, workers=inputs.threads)
    found = NullDisconnection(
        shared.index, lesions, asked, inputs.threads, shared.weighting, shared.full_density
    )
    return {target: null_file(target.key, target.atlas, found) for target in targets}


@lru_cache(maxsize=2)
def _open_shared(inputs: SpaceInputs) -> Shared:
    """Open index and tables, once per process for all masks."""
    from lacuna.images.regions import load_regions
    from lacuna.streamlines.bundles import Bundles, BundleSet
    from lacuna.streamlines.connections import Connections
    from lacuna.streamlines.endpoints import EndpointTable
    from lacuna.streamlines.index.query import Index
    from lacuna.streamlines.weighting import Weighting

    assert inputs.index  # noqa: S101
    # every byte was verified when the index was built or found
    index = Index.open(inputs.index, tractogram=inputs.tracks, verify=False, nprocs=inputs.threads)
    weighting = Weighting.load(inputs.weighting)

    def density(path: Path | None) -> np.ndarray:
        return np.load(path, mmap_mode='r', allow_pickle=False) if path else index.total_density

    return Shared(
        index,
        weighting,
        density(inputs.density),
        density(inputs.counts),
        {
            atlas: Connections(EndpointTable.load(path), weighting, inputs.edge_measure)
            for atlas, path in inputs.endpoints
        },
        {atlas: load_regions(path) for atlas, path in inputs.regions},
        {name: Bundles(BundleSet.load(path), weighting) for name, path in inputs.bundles},
        dict(inputs.networks),
        inputs.spared_threshold,
    )
