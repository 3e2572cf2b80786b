"""Nodes that find the voxels of bundles, and their disconnection by a lesion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiPath,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from lacuna.bids.matrices import bundles_bytes
from lacuna.images.nifti import load
from lacuna.interfaces.cached import FileInCache
from lacuna.interfaces.connectivity import read_cut, read_weighting
from lacuna.interfaces.index import IndexPart, open_index
from lacuna.streamlines.bundles import BundleDisconnection, Bundles, BundleSet, Groups
from lacuna.streamlines.files.bundle_tables import read_bundles, write_bundles
from lacuna.utils.cache import cached_or_local


class _MakeBundleSetInputSpec(BaseInterfaceInputSpec):
    table = File(exists=True, mandatory=True, desc='table of the streamlines of each bundle')
    streamlines_total = traits.Int(mandatory=True, desc='number of all streamlines of the tractogram')
    index = IndexPart(exists=True, xor=['in_densities'], desc='from BuildIndex')
    in_densities = InputMultiPath(
        File(exists=True),
        xor=['index'],
        desc='density of each bundle',
    )
    weighting = File(exists=True, desc='which streamlines to use, from WeighStreamlines')
    out_file = File(
        'bundles.npz',
        usedefault=True,
        desc='set of bundles to write; with an absolute path, an existing file is used',
    )


class _MakeBundleSetOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='set of bundles (.npz)')


class MakeBundleSet(FileInCache, SimpleInterface):
    """Find the voxels that each bundle of a tractogram visits, from its index or from densities.

    Raises
    ------
    lacuna.errors.TractogramError
        If the table is unreadable, or does not fit the number of streamlines.
    """

    input_spec = _MakeBundleSetInputSpec
    output_spec = _MakeBundleSetOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        inputs = self.inputs
        total = inputs.streamlines_total

        def make(target: Path) -> None:
            kept = read_weighting(inputs.weighting).kept
            groups = Groups.of(read_bundles(inputs.table, total), total).within(kept)
            if isdefined(inputs.index):
                found = BundleSet.from_index(groups, open_index(inputs.index))
            else:
                images = [load(path) for path in inputs.in_densities]
                found = BundleSet.from_densities(groups, images)
            found.save(target)

        self._results['out_file'] = str(cached_or_local(runtime.cwd, inputs.out_file, make))
        return runtime


class _SplitBundlesInputSpec(BaseInterfaceInputSpec):
    table = File(exists=True, mandatory=True, desc='table of the streamlines of each bundle')
    streamlines_total = traits.Int(mandatory=True, desc='number of all streamlines of the tractogram')
    weighting = File(exists=True, desc='which streamlines to use, from WeighStreamlines')


class _SplitBundlesOutputSpec(TraitedSpec):
    out_files = InputMultiPath(
        File(exists=True), desc='weights of 0 or 1 per streamline, one file per bundle'
    )


class SplitBundles(SimpleInterface):
    """Write the members of each bundle as weights, from which MRtrix3 computes the density of the bundle."""

    input_spec = _SplitBundlesInputSpec
    output_spec = _SplitBundlesOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        paths = []
        total = self.inputs.streamlines_total
        kept = read_weighting(self.inputs.weighting).kept
        for number, members in enumerate(read_bundles(self.inputs.table, total).values()):
            weights = np.zeros(total, int)
            weights[members] = 1 if kept is None else kept[members]
            path = Path(runtime.cwd, f'bundle_{number}.txt')
            path.write_text('\n'.join(map(str, weights.tolist())))
            paths.append(str(path))
        self._results['out_files'] = paths
        return runtime


class _BundleTableInputSpec(BaseInterfaceInputSpec):
    bundles = File(exists=True, mandatory=True, desc='set of bundles, from MakeBundleSet')
    mask = File(exists=True, mandatory=True, desc='lesion mask, binary or graded, on any grid')
    selected = File(
        exists=True, mandatory=True, desc='indices of the disconnected streamlines (.npy, or text)'
    )
    weighting = File(exists=True, desc='weights of the streamlines, from WeighStreamlines')
    most_sampled = traits.Range(
        low=0, value=0, usedefault=True, desc='number of streamlines in the sample; 0 for none'
    )


class _BundleTableOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='disconnection of each bundle (.tsv)')
    sample = File(desc='bundles of the streamlines in the sample (.tsv)')


class BundleTable(SimpleInterface):
    """Write the table of the disconnection of bundles by one lesion."""

    input_spec = _BundleTableInputSpec
    output_spec = _BundleTableOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        inputs = self.inputs
        weighting = read_weighting(inputs.weighting)
        bundles = Bundles(BundleSet.load(inputs.bundles), weighting)
        found = BundleDisconnection(bundles, read_cut(inputs.selected, weighting), load(inputs.mask))
        target = Path(runtime.cwd, 'bundles.tsv')
        target.write_bytes(bundles_bytes(bundles.groups.names, found.columns))
        self._results['out_file'] = str(target)
        if inputs.most_sampled:
            self._results['sample'] = str(Path(runtime.cwd, 'sample_bundles.tsv'))
            write_bundles(self._results['sample'], found.of_sample(inputs.most_sampled))
        return runtime
