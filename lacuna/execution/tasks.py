"""What a run consists of: what the masks of a space share is made once, and then each mask is one task.

Every function here is called in this process, in a worker process, or by a worker of Dask on another machine; what they
hand to each other are paths and small values.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lacuna.bids.outputs import SAMPLE, Target, connectome_tdi_path
from lacuna.images.nifti import save as save_image
from lacuna.streamlines.disconnection import Disconnection, full_density_map, write_connectivity
from lacuna.utils.files import json_bytes

if TYPE_CHECKING:
    from lacuna.execution.plan import MaskJob, RunPlan
    from lacuna.streamlines.endpoints import EndpointTable
    from lacuna.streamlines.index.query import Index

#: streamlines of the sample that a report shows; more would only cover each other
MOST_SAMPLED = 1000


@dataclass(frozen=True)
class SpaceInputs:
    """What the masks of a space share, ready for each of them.

    Attributes
    ----------
    space : str
    output_dir : pathlib.Path
    folder : pathlib.Path
        For work files.
    tracks : pathlib.Path
        The tractogram in the space (``.tck``).
    streamlines_total : int
    index : pathlib.Path or None
        Its index; None with the engine ``mrtrix``.
    full_tdi : pathlib.Path or None
        Its density, with the engine ``mrtrix``.
    numbers : pathlib.Path or None
        The numbers of its streamlines, with the engine ``mrtrix`` and atlases.
    endpoints : tuple of (str, pathlib.Path)
        By the name of the atlas, the table of the parcels at the ends of the streamlines.
    tck_upsample, binarize
        See :class:`lacuna.execution.config.RunConfig`.
    threads : int
        For each mask.
    quiet : bool
        Whether MRtrix3 keeps what it has to say.
    """

    space: str
    output_dir: Path
    folder: Path
    tracks: Path
    streamlines_total: int
    index: Path | None = None
    full_tdi: Path | None = None
    numbers: Path | None = None
    endpoints: tuple[tuple[str, Path], ...] = ()
    tck_upsample: int | None = None
    binarize: float | None = None
    threads: int = 1
    quiet: bool = True

    @cached_property
    def sources(self) -> Mapping[str, Any]:
        """The inputs of the workflow of a mask, by field."""
        found = {
            'tracks': str(self.tracks),
            'streamlines_total': self.streamlines_total,
            'full_tdi': self.full_tdi and str(self.full_tdi),
            'index': self.index and str(self.index),
            'numbers': self.numbers and str(self.numbers),
            **{f'endpoints_{atlas}': str(path) for atlas, path in self.endpoints},
        }
        return {field: value for field, value in found.items() if value is not None}


def prepare_space(
    plan: RunPlan, space: str, atlases: Sequence[str], folder: Path, threads: int = 1, quiet: bool = True
) -> SpaceInputs:
    """Make what the masks of a space share, as far as it is not there.

    That is the tractogram in this space, its index or its density, and the ends of its streamlines in the atlases.

    Parameters
    ----------
    plan : lacuna.execution.plan.RunPlan
        Nothing is read of its masks.
    space : str
    atlases : sequence of str
        Names of those that are needed.
    folder : pathlib.Path
        For work files.
    threads : int
        For each mask.
    quiet : bool
        Whether MRtrix3 keeps what it has to say.
    """
    config, placed = plan.config, plan.alignment(space)
    used = [each for each in plan.parcellations[space] if each.atlas.name in atlases]
    inputs = SpaceInputs(
        space=space,
        output_dir=config.output_dir,
        folder=folder / space,
        tracks=placed.tracks,
        streamlines_total=plan.tractogram.streamlines_total,
        endpoints=tuple((each.atlas.name, plan.cached_endpoints(each, space)) for each in used),
        tck_upsample=config.tck_upsample,
        binarize=config.binarize,
        threads=threads,
        quiet=quiet,
    )
    inputs.folder.mkdir(parents=True, exist_ok=True)
    if config.engine == 'mrtrix':
        from lacuna.execution.plugins.nipype import prepare_by_graph

        return prepare_by_graph(plan, inputs, atlases)
    index = plan.tractogram.index(space)
    for each in used:
        plan.tractogram.endpoints_path(each.atlas, space)
    return replace(inputs, index=index.part)


def publish_density(plan: RunPlan, inputs: SpaceInputs) -> None:
    """Put the density of the tractogram into the dataset: the denominator of the maps."""
    from lacuna.bids.sidecars import save

    source = inputs.full_tdi
    if inputs.index:
        source = Path(save_image(full_density_map(_opened(inputs)[0]), inputs.folder / 'tdi.nii.gz'))
    name = connectome_tdi_path(plan.tractogram.label, inputs.space, plan.config.output_resolution)
    save(str(source), inputs.output_dir / name, plan.connectome_metadata[inputs.space])


def run_mask(job: MaskJob, inputs: SpaceInputs) -> None:
    """Make what is missing of one mask, from its voxels to files under their final names."""
    if not inputs.index:
        from lacuna.execution.plugins.nipype import run_mask_by_graph

        run_mask_by_graph(job, inputs)
        return
    from lacuna.bids.derivatives import save_outputs

    folder = inputs.folder / job.mask.stem
    folder.mkdir(parents=True, exist_ok=True)
    try:
        index, tables = _opened(inputs)
        found = Disconnection(index, job.packed.unpack(), job.warnings)
        files = write_outputs(found, tables, job.missing, folder)
        save_outputs(inputs.output_dir, job.mask, files, job.metadata, job.atlases)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_outputs(
    found: Disconnection, tables: Mapping[str, EndpointTable], targets: Iterable[Target], folder: Path
) -> dict[Target, Path]:
    """Write outputs of a mask into a folder, as the nodes of `init_snm_wf` do; returns their paths."""
    from lacuna.streamlines.sample import write_sample

    paths = {}
    by_atlas: dict[str, dict[str, str]] = {}
    for target in targets:
        path = folder / target.field
        if target.atlas:
            if target.atlas not in by_atlas:
                own = folder / target.atlas
                own.mkdir()
                by_atlas[target.atlas] = write_connectivity(found.parcels(tables[target.atlas]), own)
            path = Path(by_atlas[target.atlas][target.key])
        elif target.key == 'summary':
            path.write_bytes(json_bytes(found.summary))
        elif target == SAMPLE:
            path = path.with_suffix('.tck')
            write_sample(path, found.sample(MOST_SAMPLED))
        else:
            path = Path(save_image(found.map, path.with_suffix('.nii.gz')))
        paths[target] = path
    return paths


@lru_cache(maxsize=2)
def _opened(inputs: SpaceInputs) -> tuple[Index, dict[str, EndpointTable]]:
    """Index and endpoint tables: opened once in a process, for all its masks."""
    from lacuna.streamlines.endpoints import EndpointTable
    from lacuna.streamlines.index.query import Index

    assert inputs.index  # noqa: S101
    # every byte was compared when the index was built, or found
    index = Index.open(inputs.index, tractogram=inputs.tracks, verify=False, nprocs=inputs.threads)
    return index, {atlas: EndpointTable.load(path) for atlas, path in inputs.endpoints}
