"""Nodes that write results under their final names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Directory,
    DynamicTraitedSpec,
    File,
    OutputMultiObject,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)
from nipype.interfaces.io import add_traits

from lacuna.bids.derivatives import save_outputs
from lacuna.bids.mask_files import describe_mask
from lacuna.bids.outputs import Target
from lacuna.bids.sidecars import save
from lacuna.utils.cache import seal


def _value_or_none(value: Any) -> Any:
    return value if isdefined(value) else None


class _DerivativesDataSinkInputSpec(DynamicTraitedSpec, BaseInterfaceInputSpec):
    base_directory = Directory(mandatory=True, desc='root of the derivative dataset')
    source_file = File(
        exists=True, mandatory=True, desc='lesion mask; the names of the outputs begin with its name'
    )
    space = traits.Str(mandatory=True, desc='standard space of the outputs')
    subject = traits.Str(desc='participant label, for a mask whose name has none')
    metadata = traits.Dict(traits.Str, traits.Any, desc='common content of the sidecars')
    atlases = traits.Dict(traits.Str, traits.Any, desc='content of the sidecars for each atlas')


class _DerivativesDataSinkOutputSpec(TraitedSpec):
    out_files = OutputMultiObject(File(exists=True), desc='the files, in the order of the targets')


class DerivativesDataSink(SimpleInterface):
    """Write the outputs of one mask atomically, with sidecars.

    One node writes all outputs of a mask, because a node per file would take longer than computing many results.
    Identical existing files are not changed.

    Parameters
    ----------
    targets : sequence of lacuna.bids.outputs.Target
        Outputs to write; ``Target.field`` is the input field of each.

    Examples
    --------
    >>> sink = DerivativesDataSink(targets=[Target('roi_disconnection', 'aal')], space='MNI152NLin6Asym')
    >>> 'roi_disconnection_aal' in sink.inputs.traits()
    True
    """

    input_spec = _DerivativesDataSinkInputSpec
    output_spec = _DerivativesDataSinkOutputSpec
    _always_run = True

    def __init__(self, targets: Sequence[Target] = (), **inputs: Any) -> None:
        super().__init__(**inputs)
        self._targets = tuple(targets)
        add_traits(self.inputs, [target.field for target in self._targets], File(exists=True, mandatory=True))

    def _run_interface(self, runtime: Any) -> Any:
        inputs = self.inputs
        mask = describe_mask(
            Path(inputs.source_file), space=inputs.space, subject=_value_or_none(inputs.subject)
        )
        metadata, atlases = _value_or_none(inputs.metadata) or {}, _value_or_none(inputs.atlases) or {}
        files = {target: getattr(inputs, target.field) for target in self._targets}
        paths = save_outputs(Path(inputs.base_directory), mask, files, metadata, atlases)
        self._results['out_files'] = [str(path) for path in paths]
        return runtime


class _SaveFileInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='file to copy')
    out_path = File(mandatory=True, desc='final name of the file')
    metadata = traits.Dict(traits.Str, traits.Any, desc='sidecar')
    sealed = traits.Bool(
        False, usedefault=True, desc='whether it is a cached file, whose checksum is recorded'
    )


class _SaveFileOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='the file under its final name')


class SaveFile(SimpleInterface):
    """Write one file atomically under its final name, with a sidecar if metadata is given."""

    input_spec = _SaveFileInputSpec
    output_spec = _SaveFileOutputSpec
    _always_run = True  # the file may have been removed or damaged since

    def _run_interface(self, runtime: Any) -> Any:
        target = save(self.inputs.in_file, Path(self.inputs.out_path), _value_or_none(self.inputs.metadata))
        if self.inputs.sealed:
            seal(target)
        self._results['out_file'] = str(target)
        return runtime
