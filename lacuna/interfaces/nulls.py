"""Node that compares a lesion with null lesions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    DynamicTraitedSpec,
    File,
    InputMultiPath,
    SimpleInterface,
    isdefined,
    traits,
)
from nipype.interfaces.io import add_traits

from lacuna.bids.null_files import null_file
from lacuna.bids.outputs import Target, outputs
from lacuna.images.masks import read_mask
from lacuna.interfaces.connectivity import read_weighting
from lacuna.interfaces.index import IndexPart, open_index
from lacuna.streamlines.endpoints import EDGE_MEASURES


class _CompareWithNullsInputSpec(BaseInterfaceInputSpec):
    in_mask = File(exists=True, mandatory=True, desc='lesion mask, binary or graded, on any grid')
    packed = traits.Any(nohash=True, desc='content of in_mask, if already read (PackedMask)')
    space = traits.Str(mandatory=True, desc='standard space of the mask')
    settings = traits.Any(mandatory=True, desc='settings of null lesions (NullSettings)')
    images = InputMultiPath(
        File(exists=True), desc='the images of the settings, so that Nipype notices their changes'
    )
    index = IndexPart(exists=True, mandatory=True, desc='from BuildIndex')
    weighting = File(exists=True, desc='weights of the streamlines, from WeighStreamlines')
    edge_measure = traits.Enum(
        *EDGE_MEASURES, usedefault=True, desc='what is summed over the streamlines of a connection'
    )
    bundles = File(exists=True, desc='set of bundles, from MakeBundleSet')
    atlases = traits.List(traits.Str, desc='names of the atlases')
    endpoints = InputMultiPath(File(exists=True), desc='endpoint table of each atlas, from AssignEndpoints')
    networks = traits.Dict(traits.Str, traits.Any, desc='network of each parcel, by name of the atlas')
    num_threads = traits.Int(1, usedefault=True, nohash=True, desc='threads')


class CompareWithNulls(SimpleInterface):
    """Compare the disconnection by a lesion with that by null lesions of the same volume and shape.

    Parameters
    ----------
    targets : sequence of lacuna.bids.outputs.Target
        Outputs about null lesions; ``Target.field`` is the output field of each.
    """

    input_spec = _CompareWithNullsInputSpec
    output_spec = DynamicTraitedSpec

    def __init__(self, targets: Sequence[Target] = (), **inputs: Any) -> None:
        super().__init__(**inputs)
        self._targets = tuple(targets)

    def _outputs(self) -> Any:
        return add_traits(super()._outputs(), [target.field for target in self._targets], File(exists=True))

    def _run_interface(self, runtime: Any) -> Any:
        from lacuna.streamlines.bundles import Bundles, BundleSet
        from lacuna.streamlines.connections import Connections
        from lacuna.streamlines.endpoints import EndpointTable
        from lacuna.streamlines.null_lesions import null_lesions
        from lacuna.streamlines.nulls import NullDisconnection, Targets

        inputs = self.inputs
        mask = (
            inputs.packed.unpack() if isdefined(inputs.packed) else read_mask(inputs.in_mask, mask_scale=1.0)
        )
        names = inputs.atlases if isdefined(inputs.atlases) else []
        tables = inputs.endpoints if isdefined(inputs.endpoints) else []
        networks = inputs.networks if isdefined(inputs.networks) else {}
        weighting = read_weighting(inputs.weighting)
        scope = Targets(
            Bundles(BundleSet.load(inputs.bundles), weighting) if isdefined(inputs.bundles) else None,
            {
                name: Connections(EndpointTable.load(path), weighting, inputs.edge_measure)
                for name, path in zip(names, tables, strict=True)
            },
            {name: tuple(networks.get(name, ())) for name in names},
        )
        lesions = null_lesions(mask, inputs.space, inputs.settings, workers=inputs.num_threads)
        index = open_index(inputs.index)
        found = NullDisconnection(index, lesions, scope, inputs.num_threads, weighting)
        for target in self._targets:
            path = Path(runtime.cwd, target.field + outputs()[target.key].extension)
            path.write_bytes(null_file(target.key, target.atlas, found))
            self._results[target.field] = str(path)
        return runtime
