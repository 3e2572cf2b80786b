"""Nodes that draw the figures of a lesion and write them under their final names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Directory,
    DynamicTraitedSpec,
    File,
    InputMultiObject,
    OutputMultiObject,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)
from nipype.interfaces.io import add_traits

from lacuna.bids.outputs import Target, figures_dir
from lacuna.bids.results import LesionResults
from lacuna.reports.reportlets import BUNDLE_TABLES, REPORT_TABLES, draw_reportlets, publish_reportlets

_FILES = ('disconnection_map', 'support_mask', 'summary', 'sample', 'null_statistics')


class _DrawReportletsInputSpec(DynamicTraitedSpec, BaseInterfaceInputSpec):
    stem = traits.Str(mandatory=True, desc="common beginning of the names of the mask's outputs")
    space = traits.Str(mandatory=True, desc='standard space of the map')
    mask = File(exists=True, mandatory=True, desc='lesion mask, on any grid of the space')
    disconnection_map = File(exists=True, desc='disconnection map, in percent')
    support_mask = File(exists=True, desc='voxels with enough streamlines, on the grid of the map')
    summary = File(exists=True, desc='statistics (JSON)')
    sample = File(exists=True, desc='sample of the streamlines cut (.tck)')
    null_statistics = File(exists=True, desc='statistics of null lesions (JSON)')
    viewer = traits.Bool(True, usedefault=True, desc='whether to write the viewer')
    metadata = traits.Dict(traits.Str, traits.Any, desc='common content of the sidecars of the mask')


class _ReportletsOutputSpec(TraitedSpec):
    out_files = OutputMultiObject(File(exists=True), desc='figures and viewer, under their final names')


class DrawReportlets(SimpleInterface):
    """Draw all figures of a lesion, and write its viewer.

    Parameters
    ----------
    atlases : sequence of str
        Names of the atlases; each adds the inputs ``<table>_<atlas>`` for ``REPORT_TABLES``.
    bundles : sequence of str
        Names of the sets of bundles; each adds the inputs ``<table>_<name>`` for ``BUNDLE_TABLES``.

    Examples
    --------
    >>> 'mask_matrix_aal' in DrawReportlets(atlases=['aal']).inputs.traits()
    True
    """

    input_spec = _DrawReportletsInputSpec
    output_spec = _ReportletsOutputSpec

    def __init__(self, *, atlases: Sequence[str] = (), bundles: Sequence[str] = (), **inputs: Any) -> None:
        super().__init__(**inputs)
        self._tables = [Target(table, atlas) for atlas in atlases for table in REPORT_TABLES]
        self._tables += [Target(table, name) for name in bundles for table in BUNDLE_TABLES]
        add_traits(self.inputs, [target.field for target in self._tables])

    def _run_interface(self, runtime: Any) -> Any:
        inputs = self.inputs
        targets = [*map(Target, _FILES), *self._tables]
        values = {target: getattr(inputs, target.field) for target in targets}
        lesion = LesionResults(
            stem=inputs.stem,
            space=inputs.space,
            files={target: Path(value) for target, value in values.items() if isdefined(value)},
            given=inputs.metadata if isdefined(inputs.metadata) else {},
            given_mask=Path(inputs.mask),
        )
        paths = draw_reportlets(lesion, Path(runtime.cwd), viewer=inputs.viewer)
        self._results['out_files'] = [str(path) for path in paths]
        return runtime


class _ReportletSinkInputSpec(BaseInterfaceInputSpec):
    in_files = InputMultiObject(File(exists=True), mandatory=True, desc='figures under their final names')
    base_directory = Directory(mandatory=True, desc='root of the derivative dataset')
    subject = traits.Str(mandatory=True, desc='label, without sub-')


class ReportletSink(SimpleInterface):
    """Write the figures of a lesion to ``sub-<label>/figures``, each atomically."""

    input_spec = _ReportletSinkInputSpec
    output_spec = _ReportletsOutputSpec
    _always_run = True  # figures may have been removed since

    def _run_interface(self, runtime: Any) -> Any:
        folder = figures_dir(Path(self.inputs.base_directory), self.inputs.subject)
        paths = publish_reportlets(map(Path, self.inputs.in_files), folder)
        self._results['out_files'] = [str(path) for path in paths]
        return runtime
