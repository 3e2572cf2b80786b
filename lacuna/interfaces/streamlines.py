"""Nodes for tractogram files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from lacuna.images.transforms import PointTransform
from lacuna.interfaces.cached import FileInCache
from lacuna.interfaces.connectivity import read_cut, read_weighting, save_selection
from lacuna.streamlines.move import move_tractogram
from lacuna.streamlines.sample import sample_tck
from lacuna.streamlines.tractogram import Tractogram
from lacuna.utils.cache import cached_or_local


class _CountStreamlinesInputSpec(BaseInterfaceInputSpec):
    in_tracks = File(exists=True, mandatory=True, desc='tractogram (.tck)')
    space = traits.Str(mandatory=True, desc='standard space of the tractogram')


class _CountStreamlinesOutputSpec(TraitedSpec):
    streamlines_total = traits.Int(desc='number of streamlines in the file, whatever its header says')


class CountStreamlines(SimpleInterface):
    """Count the streamlines of a tractogram; the count of an unchanged file is cached.

    Raises
    ------
    lacuna.errors.TractogramError
        If the tractogram is unreadable.
    """

    input_spec = _CountStreamlinesInputSpec
    output_spec = _CountStreamlinesOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        self._results['streamlines_total'] = Tractogram(
            self.inputs.in_tracks, self.inputs.space
        ).streamlines_total
        return runtime


class _WeighStreamlinesInputSpec(BaseInterfaceInputSpec):
    in_tracks = File(exists=True, mandatory=True, desc='tractogram, in its own space')
    space = traits.Str(mandatory=True, desc='standard space of the tractogram')
    weights = traits.Str(desc='text file with one weight per streamline, or the name of values in a .trx')
    min_length = traits.Range(low=0.0, desc='leave out shorter streamlines, mm')
    max_length = traits.Range(low=0.0, desc='leave out longer streamlines, mm')


class _WeighStreamlinesOutputSpec(TraitedSpec):
    weighting = File(exists=True, desc='weights and lengths of the streamlines, and which to use (.npz)')


class WeighStreamlines(SimpleInterface):
    """Measure the streamlines of a tractogram, read their weights, and apply length limits; the result is cached.

    Raises
    ------
    lacuna.errors.InputError
        If the weights are invalid, see :func:`lacuna.streamlines.weighting.read_weights`.
    """

    input_spec = _WeighStreamlinesInputSpec
    output_spec = _WeighStreamlinesOutputSpec
    _always_run = True  # the file is in the cache, which may have been emptied

    def _run_interface(self, runtime: Any) -> Any:
        given = {name: getattr(self.inputs, name) for name in ('weights', 'min_length', 'max_length')}
        options = {name: value for name, value in given.items() if isdefined(value)}
        tractogram = Tractogram(self.inputs.in_tracks, self.inputs.space, **options)
        self._results['weighting'] = str(tractogram.weighting_path())
        return runtime


class _WriteWeightsInputSpec(BaseInterfaceInputSpec):
    selected = File(exists=True, desc='indices of streamlines (.npy, or text); by default, all in use')
    weighting = File(exists=True, desc='weights of the streamlines, from WeighStreamlines')


class _WriteWeightsOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='one weight per streamline (text)')


class WriteWeights(SimpleInterface):
    """Write the factors of selected streamlines as weights for MRtrix3."""

    input_spec = _WriteWeightsInputSpec
    output_spec = _WriteWeightsOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        weighting = read_weighting(self.inputs.weighting)
        chosen = self.inputs.selected
        cut = read_cut(chosen, weighting) if isdefined(chosen) else weighting.everything
        target = Path(runtime.cwd, 'weights.txt')
        target.write_text('\n'.join(map(str, cut.values.astype(np.float32).tolist())))
        self._results['out_file'] = str(target)
        return runtime


class _GradeStreamlinesInputSpec(BaseInterfaceInputSpec):
    selected = File(exists=True, mandatory=True, desc='indices of the selected streamlines (text)')
    samples = File(
        exists=True,
        mandatory=True,
        desc='greatest value of the mask along each selected streamline, from tcksample',
    )


class _GradeStreamlinesOutputSpec(TraitedSpec):
    selected = File(
        exists=True, desc='indices, with how strongly the mask cuts each (.npz; .npy if all are cut fully)'
    )


class GradeStreamlines(SimpleInterface):
    """Combine the streamlines that a graded mask cuts with how strongly it cuts each."""

    input_spec = _GradeStreamlinesInputSpec
    output_spec = _GradeStreamlinesOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        ids = np.array(Path(self.inputs.selected).read_text().split(), np.int64)
        lines = Path(self.inputs.samples).read_text().splitlines()
        values = ' '.join(line for line in lines if not line.startswith('#')).split()
        grades = np.nan_to_num(np.array(values, np.float32))
        whole = bool((grades == 1).all())
        self._results['selected'] = str(save_selection(ids, None if whole else grades, Path(runtime.cwd)))
        return runtime


class _MoveStreamlinesInputSpec(BaseInterfaceInputSpec):
    in_tracks = File(exists=True, mandatory=True, desc='tractogram (.tck)')
    transform = File(exists=True, mandatory=True, desc='transform of points (ITK composite, .h5)')
    out_tracks = File(
        'moved.tck',
        usedefault=True,
        desc='moved tractogram; with an absolute path, an existing file is used',
    )
    num_threads = traits.Int(
        1, usedefault=True, nohash=True, desc='number of threads; kept equal to the n_procs of the node'
    )


class _MoveStreamlinesOutputSpec(TraitedSpec):
    out_tracks = File(exists=True, desc='tractogram in the target space')
    outside = traits.Int(
        desc='number of vertices outside the displacement field, if the tractogram was moved in this run'
    )


class MoveStreamlines(FileInCache, SimpleInterface):
    """Move the streamlines of a tractogram into another space."""

    input_spec = _MoveStreamlinesInputSpec
    output_spec = _MoveStreamlinesOutputSpec
    _cached = 'out_tracks'

    def _run_interface(self, runtime: Any) -> Any:
        def move(target: Path) -> None:
            moved = move_tractogram(
                Path(self.inputs.in_tracks),
                target,
                PointTransform(self.inputs.transform),
                threads=self.inputs.num_threads,
            )
            self._results['outside'] = moved.outside

        self._results['out_tracks'] = str(cached_or_local(runtime.cwd, self.inputs.out_tracks, move))
        return runtime


class _SampleStreamlinesInputSpec(BaseInterfaceInputSpec):
    in_tracks = File(exists=True, mandatory=True, desc='tractogram (.tck)')
    most = traits.Range(low=1, mandatory=True, desc='maximum number of streamlines')


class _SampleStreamlinesOutputSpec(TraitedSpec):
    sample = File(exists=True, desc='sample of the streamlines, evenly spread (.tck)')


class SampleStreamlines(SimpleInterface):
    """Write a sample of a tractogram's streamlines for display."""

    input_spec = _SampleStreamlinesInputSpec
    output_spec = _SampleStreamlinesOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        target = Path(runtime.cwd, 'sample.tck')
        sample_tck(self.inputs.in_tracks, target, self.inputs.most)
        self._results['sample'] = str(target)
        return runtime
