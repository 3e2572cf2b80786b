"""What a run consists of: what the masks of a space share is made once, and then each mask is one task.

Every function here is called in this process, in a worker process, or by a worker of Dask on another machine; what they
hand to each other are paths and small values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lacuna.bids.outputs import SAMPLE, Target, connectome_tdi_path
from lacuna.images.nifti import encoded
from lacuna.streamlines.disconnection import Disconnection, full_density_map
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
        """The inputs of the workflow of a mask with the engine ``mrtrix``, by field."""
        found = {
            'tracks': str(self.tracks),
            'streamlines_total': self.streamlines_total,
            'full_tdi': self.full_tdi and str(self.full_tdi),
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
        plan.tractogram.endpoints_path(each, space)
    return replace(inputs, index=index.part)


def publish_density(plan: RunPlan, inputs: SpaceInputs) -> None:
    """Put the density of the tractogram into the dataset: the denominator of the maps."""
    from lacuna.bids.sidecars import save

    content: bytes | Path | None = inputs.full_tdi
    if inputs.index:
        content = encoded(full_density_map(_opened(inputs)[0]))
    assert content  # noqa: S101
    name = connectome_tdi_path(plan.tractogram.label, inputs.space, plan.config.output_resolution)
    save(content, inputs.output_dir / name, plan.connectome_metadata[inputs.space])


def run_mask(job: MaskJob, inputs: SpaceInputs) -> None:
    """Make what is missing of one mask, from its voxels to files under their final names."""
    if not inputs.index:
        from lacuna.execution.plugins.nipype import run_mask_by_graph

        run_mask_by_graph(job, inputs)
        return
    from lacuna.bids.derivatives import save_outputs

    index, tables = _opened(inputs)
    found = Disconnection(index, job.packed.unpack(), job.warnings)
    contents = outputs_of(found, tables, job.missing)
    save_outputs(inputs.output_dir, job.mask, contents, job.metadata, job.atlases)


def outputs_of(
    found: Disconnection, tables: Mapping[str, EndpointTable], targets: Iterable[Target]
) -> dict[Target, bytes]:
    """What the files of a mask hold, as the nodes of `init_snm_wf` write them.

    Parameters
    ----------
    found : lacuna.streamlines.disconnection.Disconnection
    tables : mapping
        By the name of the atlas, the ends of the streamlines.
    targets : iterable of lacuna.bids.outputs.Target
    """
    from lacuna.bids.matrices import connectivity_files
    from lacuna.streamlines.sample import sample_bytes

    contents: dict[Target, bytes] = {}
    of_atlases: dict[str, dict[str, bytes]] = {}
    for target in targets:
        if atlas := target.atlas:
            if atlas not in of_atlases:
                parcels = found.parcels(tables[atlas])
                of_atlases[atlas] = connectivity_files(*parcels.counts, parcels.statistics)
            contents[target] = of_atlases[atlas][target.key]
        elif target.key == 'summary':
            contents[target] = json_bytes(found.summary)
        elif target == SAMPLE:
            contents[target] = sample_bytes(found.sample(MOST_SAMPLED))
        else:
            contents[target] = encoded(found.map)
    return contents


@lru_cache(maxsize=2)
def _opened(inputs: SpaceInputs) -> tuple[Index, dict[str, EndpointTable]]:
    """Index and endpoint tables: opened once in a process, for all its masks."""
    from lacuna.streamlines.endpoints import EndpointTable
    from lacuna.streamlines.index.query import Index

    assert inputs.index  # noqa: S101
    # every byte was compared when the index was built, or found
    index = Index.open(inputs.index, tractogram=inputs.tracks, verify=False, nprocs=inputs.threads)
    return index, {atlas: EndpointTable.load(path) for atlas, path in inputs.endpoints}
