"""Nodes that build and query a streamline index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Directory,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from lacuna.images.nifti import load, make, save
from lacuna.images.spaces import standard_grid
from lacuna.interfaces.cached import FileInCache
from lacuna.interfaces.connectivity import read_weighting, save_selection
from lacuna.streamlines import disconnection
from lacuna.streamlines.endpoints import RULES
from lacuna.streamlines.index.format import MANIFEST
from lacuna.streamlines.tractogram import Tractogram
from lacuna.utils.cache import cached_or_local
from lacuna.utils.progress import counting

if TYPE_CHECKING:
    from lacuna.streamlines.index.query import Index


class IndexPart(File):
    """Trait of the part of an index for a grid: its manifest, also if its folder is given.

    Nipype knows folders by their paths only: a rebuilt index would look like the old one.
    """

    def validate(self, objekt: Any, name: str, value: Any, return_pathlike: bool = False) -> Any:
        if isinstance(value, str | Path) and Path(value).is_dir():
            value = Path(value) / MANIFEST
        return super().validate(objekt, name, value, return_pathlike=return_pathlike)


def open_index(manifest: str | Path, **options: Any) -> Index:
    """Open an index that BuildIndex has built or found, whose every byte it verified."""
    from lacuna.streamlines.index.query import Index

    return Index.open(Path(manifest).parent, verify=False, **options)


class _BuildIndexInputSpec(BaseInterfaceInputSpec):
    in_tracks = File(exists=True, mandatory=True, desc='tractogram (.tck)')
    directory = Directory(
        desc='folder of the index, whose intact parts are kept; by default, beside the tractogram or in the cache'
    )
    space = traits.Str(mandatory=True, desc='standard space of the tractogram')
    resolution = traits.Int(mandatory=True, desc='voxel size of the densities in mm')
    upsample = traits.Range(low=1, desc='upsampling factor; by default, from the step size')
    weighting = File(exists=True, desc='weights of the streamlines, from WeighStreamlines')
    show_progress = traits.Bool(False, usedefault=True, nohash=True, desc='show a progress bar on a terminal')
    num_threads = traits.Int(
        1, usedefault=True, nohash=True, desc='number of threads; kept equal to the n_procs of the node'
    )


class _BuildIndexOutputSpec(TraitedSpec):
    index = IndexPart(exists=True, desc='the part of the index for this grid, for QueryIndex')
    full_tdi = File(exists=True, desc='number (or summed weights) of streamlines that visit each voxel')
    counts = File(exists=True, desc='number of streamlines that visit each voxel')
    streamlines_total = traits.Int(desc='number of streamlines in use')


class BuildIndex(SimpleInterface):
    """Build the index of a tractogram for a standard grid, unless it exists; write its density as an image.

    The node is never cached by Nipype: only the index itself shows whether it is complete and of this tractogram.

    Raises
    ------
    lacuna.errors.TractogramError
        If the tractogram is unreadable.
    lacuna.errors.StreamlineIndexError
        If the folder is not writable, or the disk is full.
    """

    input_spec = _BuildIndexInputSpec
    output_spec = _BuildIndexOutputSpec
    _always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        from lacuna.streamlines.index.build import build_index

        inputs = self.inputs
        tracks, grid = Path(inputs.in_tracks), standard_grid(inputs.space, inputs.resolution)
        upsample = inputs.upsample if isdefined(inputs.upsample) else None
        # not in the folder of the node, where Nipype removes everything but outputs
        if isdefined(inputs.directory):
            directory = Path(inputs.directory)
        else:
            directory = Tractogram(tracks, inputs.space).in_space().index_directory(grid, upsample)
        size = tracks.stat().st_size
        with counting('indexing the tractogram', size, show=inputs.show_progress) as progress:
            part = build_index(
                tracks,
                directory,
                grid,
                upsample=upsample,
                nprocs=inputs.num_threads,
                progress=progress,
            )
        self._results['index'] = str(part)
        index = open_index(part / MANIFEST)
        weighting = read_weighting(inputs.weighting)
        density = make(disconnection.full_density(index, weighting), index.grid.affine)
        self._results['full_tdi'] = self._results['counts'] = save(density, Path(runtime.cwd, 'tdi.nii.gz'))
        if weighting.weights is not None:
            counts = make(disconnection.full_counts(index, weighting), index.grid.affine)
            self._results['counts'] = save(counts, Path(runtime.cwd, 'counts.nii.gz'))
        self._results['streamlines_total'] = weighting.count(index.streamlines)
        return runtime


class _QueryIndexInputSpec(BaseInterfaceInputSpec):
    in_mask = File(exists=True, mandatory=True, desc='lesion mask, binary or graded, on any grid')
    index = IndexPart(exists=True, mandatory=True, desc='from BuildIndex')
    in_tracks = File(
        exists=True,
        mandatory=True,
        desc='tractogram; read for masks off the 1 mm lattice, and for the sample',
    )
    weighting = File(exists=True, desc='weights of the streamlines, from WeighStreamlines')
    density = traits.Bool(True, usedefault=True, desc='whether to compute the density')
    most_sampled = traits.Range(
        low=0, value=0, usedefault=True, desc='number of streamlines in the sample; 0 for none'
    )
    num_threads = traits.Int(
        1, usedefault=True, nohash=True, desc='number of threads; kept equal to the n_procs of the node'
    )


class _QueryIndexOutputSpec(TraitedSpec):
    selected = File(
        exists=True,
        desc='indices of the streamlines with a vertex in the mask, from 0 (.npy; .npz if the mask is graded)',
    )
    count = traits.Int(desc='number of selected streamlines')
    out_file = File(exists=True, desc='density of the selected streamlines')
    sample = File(exists=True, desc='sample of the selected streamlines, evenly spread (.tck)')


class QueryIndex(SimpleInterface):
    """Find the streamlines with a vertex in a mask, and their density; none for an empty mask.

    Raises
    ------
    lacuna.errors.StreamlineIndexError
        If the index is damaged, or of another tractogram.
    """

    input_spec = _QueryIndexInputSpec
    output_spec = _QueryIndexOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        from lacuna.streamlines.sample import write_sample

        inputs = self.inputs
        index = open_index(inputs.index, tractogram=inputs.in_tracks, nprocs=inputs.num_threads)
        weighting = read_weighting(inputs.weighting)
        ids, grades = disconnection.select_streamlines(index, load(inputs.in_mask))
        cut = weighting.cut(ids, grades)
        target = save_selection(ids, grades, Path(runtime.cwd))
        self._results.update(selected=str(target), count=len(cut))
        if inputs.density:
            self._results['out_file'] = save(
                disconnection.density_map(index, cut), Path(runtime.cwd, 'tdi.nii')
            )
        if inputs.most_sampled:
            sample = Path(runtime.cwd, 'sample.tck')
            write_sample(sample, disconnection.read_sample(index, cut.ids, inputs.most_sampled))
            self._results['sample'] = str(sample)
        return runtime


class _AssignEndpointsInputSpec(BaseInterfaceInputSpec):
    index = IndexPart(exists=True, mandatory=True, desc='from BuildIndex')
    in_parcels = File(exists=True, mandatory=True, desc='index of the parcel in each voxel, from 1')
    names = File(exists=True, mandatory=True, desc='names of the parcels (JSON list)')
    assignment = traits.Enum(*RULES, usedefault=True, desc='rule for assigning ends to parcels')
    out_file = File(
        'endpoints.npz',
        usedefault=True,
        desc='table to write; with an absolute path, an existing file is used',
    )
    num_threads = traits.Int(
        1, usedefault=True, nohash=True, desc='number of threads; kept equal to the n_procs of the node'
    )


class _AssignEndpointsOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='endpoint table (.npz)')


class AssignEndpoints(FileInCache, SimpleInterface):
    """Create the endpoint table of an atlas for the streamlines of an index.

    Ends are assigned to the nearest parcel within 4 mm (``radial``), or to that of their voxel (``end-voxels``).
    """

    input_spec = _AssignEndpointsInputSpec
    output_spec = _AssignEndpointsOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        inputs = self.inputs

        def make(target: Path) -> None:
            index = open_index(inputs.index)
            names = json.loads(Path(inputs.names).read_text(encoding='utf-8'))
            table = disconnection.assign_endpoints(
                index,
                load(inputs.in_parcels),
                names,
                rule=inputs.assignment,
                nprocs=inputs.num_threads,
            )
            table.save(target)

        self._results['out_file'] = str(cached_or_local(runtime.cwd, inputs.out_file, make))
        return runtime
