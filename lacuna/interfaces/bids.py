"""Nodes that put results under their final names."""

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

from lacuna.bids import describe_mask, outputs
from lacuna.derivatives import mask_outputs, save, sidecar_for


def _given(value: Any) -> Any:
    return value if isdefined(value) else None


class _DerivativesDataSinkInputSpec(DynamicTraitedSpec, BaseInterfaceInputSpec):
    base_directory = Directory(mandatory=True, desc='root of the derivative dataset')
    source_file = File(exists=True, mandatory=True, desc='lesion mask, whose name leads those of the outputs')
    space = traits.Str(mandatory=True, desc='standard space of the outputs')
    subject = traits.Str(desc='label of a mask whose name has none')
    metadata = traits.Dict(traits.Str, traits.Any, desc='what the sidecars have in common')


class _DerivativesDataSinkOutputSpec(TraitedSpec):
    out_files = OutputMultiObject(File(exists=True), desc='the files, in the order of the keys')


class DerivativesDataSink(SimpleInterface):
    """Write the outputs of one mask, each whole or not at all, with their sidecars.

    One node writes all outputs of a mask: a node a file would cost more time than many a result. A file that is
    already there and the same is not touched.

    Parameters
    ----------
    keys : sequence of str
        Outputs to write, by their keys in ``lacuna/data/outputs.json``; each is an input field.

    Examples
    --------
    >>> sink = DerivativesDataSink(keys=['map'], space='MNI152NLin6Asym')
    >>> 'map' in sink.inputs.traits()
    True
    """

    input_spec = _DerivativesDataSinkInputSpec
    output_spec = _DerivativesDataSinkOutputSpec
    _always_run = True

    def __init__(self, keys: Sequence[str] = (), **inputs: Any) -> None:
        super().__init__(**inputs)
        self._keys = tuple(keys)
        add_traits(self.inputs, self._keys, File(exists=True, mandatory=True))

    def _run_interface(self, runtime: Any) -> Any:
        inputs = self.inputs
        mask = describe_mask(Path(inputs.source_file), space=inputs.space, subject=_given(inputs.subject))
        targets = mask_outputs(mask, self._keys)
        self._results['out_files'] = [
            str(
                save(
                    getattr(inputs, key),
                    Path(inputs.base_directory, targets[key]),
                    sidecar_for(key, _given(inputs.metadata) or {}) if outputs()[key].sidecar else None,
                )
            )
            for key in self._keys
        ]
        return runtime


class _SaveFileInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='file to keep')
    out_path = File(mandatory=True, desc='its final name')
    metadata = traits.Dict(traits.Str, traits.Any, desc='sidecar')


class _SaveFileOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='the file under its final name')


class SaveFile(SimpleInterface):
    """Put one file, and its sidecar if metadata is given, under a final name: whole or not at all."""

    input_spec = _SaveFileInputSpec
    output_spec = _SaveFileOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        target = save(self.inputs.in_file, Path(self.inputs.out_path), _given(self.inputs.metadata))
        self._results['out_file'] = str(target)
        return runtime
