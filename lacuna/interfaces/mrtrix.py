"""The MRtrix3 commands that Lacuna runs, one interface each.

Paths are quoted, so that names may contain spaces, quotes and semicolons. If a command fails, MRtrix3's own message is
raised.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    CommandLine,
    CommandLineInputSpec,
    File,
    InputMultiObject,
    TraitedSpec,
    isdefined,
    traits,
)

from lacuna.images.nifti import load, voxels
from lacuna.streamlines.files.tck import read_header, write_tck
from lacuna.utils.processes import die_with_parent

_ESCAPE = re.compile(r'\x1b\[[0-9;?]*[A-Za-z]')
_COMMANDS = ('tckedit', 'tckmap', 'tck2connectome', 'tckinfo', 'tckstats')


class MRtrixError(RuntimeError):
    """Error of an MRtrix3 command; the message is that of the command, without escape codes."""


def missing_commands() -> list[str]:
    """Return the MRtrix3 commands that are not on the PATH."""
    return [command for command in _COMMANDS if shutil.which(command) is None]


def mrtrix_version() -> str | None:
    """Return the version of MRtrix3 on the PATH, such as ``'3.0.4'``; None without one."""
    if (path := shutil.which('tckedit')) is None:
        return None
    done = subprocess.run([path, '-version'], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.search(r'tckedit (\S+)', clean_message(done.stdout))
    return found.group(1) if found else 'unknown'


def clean_message(text: str) -> str:
    r"""Return the output of an MRtrix3 command without escape codes, progress bars and empty lines.

    >>> clean_message('\x1b[31mtckedit: [ERROR] no such file\x1b[0m\n\n')
    'tckedit: [ERROR] no such file'
    """
    lines = (line.rsplit('\r', 1)[-1].strip() for line in _ESCAPE.sub('', text).splitlines())
    return '\n'.join(line for line in lines if line)


class _MRtrixInputSpec(CommandLineInputSpec):
    num_threads = traits.Int(
        1,
        usedefault=True,
        nohash=True,
        argstr='-nthreads %d',
        desc='number of threads; kept equal to the n_procs of the node',
    )
    quiet = traits.Bool(
        True,
        usedefault=True,
        nohash=True,
        argstr='-quiet',
        desc='keep the output of the command; otherwise it goes to the terminal',
    )


class _WritingInputSpec(_MRtrixInputSpec):
    force = traits.Bool(
        True, usedefault=True, nohash=True, argstr='-force', desc='overwrite what a killed run left behind'
    )


class MRtrixCommand(CommandLine):
    """Base class of the MRtrix3 commands: quotes paths, raises clear errors, and checks that outputs exist."""

    def _format_arg(self, name: str, spec: Any, value: Any) -> str:
        if name == 'num_threads' and value <= 1:
            value = 0  # MRtrix3's threads are in addition to the main one
        if isinstance(value, str):  # versions of nipype quote differently
            return spec.argstr % shlex.quote(value)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return ' '.join(spec.argstr.removesuffix('...') % shlex.quote(item) for item in value)
        return super()._format_arg(name, spec, value)

    def _run_interface(self, runtime: Any, correct_return_codes: tuple[int, ...] = (0,)) -> Any:
        """Run the command without a shell, as a process that ends with this one."""
        runtime.cmdline, runtime.success_codes = self.cmdline, correct_return_codes
        done = subprocess.run(  # noqa: S603  without a shell, with quoted paths
            shlex.split(runtime.cmdline),
            cwd=runtime.cwd,
            capture_output=self.inputs.quiet,
            text=True,
            errors='replace',
            check=False,
            preexec_fn=die_with_parent,
        )
        runtime.stdout, runtime.stderr = clean_message(done.stdout or ''), clean_message(done.stderr or '')
        runtime.returncode = done.returncode
        if done.returncode not in correct_return_codes:
            reason = (
                f'{runtime.stderr}\n{runtime.stdout}'.strip()
                or f'{self.cmd} ended with code {done.returncode}'
            )
            message = f'{reason} (command: {runtime.cmdline})'
            raise MRtrixError(message)
        return runtime

    def _list_outputs(self) -> dict[str, Any]:
        """Return the outputs that were named as inputs."""
        named = {name: getattr(self.inputs, name, None) for name in self.output_spec().copyable_trait_names()}
        return {
            name: str(Path(given).absolute()) for name, given in named.items() if given and isdefined(given)
        }

    @property
    def version(self) -> str | None:
        """Version of MRtrix3, for the record of the run."""
        return mrtrix_version()


class _TCKEditInputSpec(_WritingInputSpec):
    in_tracks = InputMultiObject(
        File(exists=True), mandatory=True, argstr='%s', position=-2, desc='tractogram(s)'
    )
    out_tracks = File('selected.tck', usedefault=True, argstr='%s', position=-1, desc='output tractogram')
    include = InputMultiObject(
        File(exists=True),
        argstr='-include %s...',
        desc='keep the streamlines with a vertex in each of these masks',
    )
    exclude = InputMultiObject(
        File(exists=True),
        argstr='-exclude %s...',
        desc='drop the streamlines with a vertex in any of these masks',
    )
    in_weights = File(exists=True, argstr='-tck_weights_in %s', desc='one weight per streamline')
    min_weight = traits.Float(argstr='-minweight %g', desc='drop streamlines with a smaller weight')
    out_weights = File(
        argstr='-tck_weights_out %s', desc='weights of the streamlines kept; with `in_weights` only'
    )


class _TCKEditOutputSpec(TraitedSpec):
    out_tracks = File(exists=True, desc='the streamlines kept')
    out_weights = File(exists=True, desc='weights of the streamlines kept')
    count = traits.Int(desc='number of streamlines kept')


class TCKEdit(MRtrixCommand):
    """Select streamlines with ``tckedit``. An empty selection is a valid result.

    >>> edit = TCKEdit(out_tracks='lesion tracks.tck')
    >>> edit._format_arg('out_tracks', edit.inputs.trait('out_tracks'), 'lesion tracks.tck')
    "'lesion tracks.tck'"
    """

    _cmd = 'tckedit'
    input_spec = _TCKEditInputSpec
    output_spec = _TCKEditOutputSpec

    def _parse_inputs(self, skip: Any = None) -> list[str]:
        of_weights = () if isdefined(self.inputs.in_weights) else ('out_weights', 'min_weight')
        return super()._parse_inputs(skip=[*(skip or ()), *of_weights])

    def _list_outputs(self) -> dict[str, Any]:
        outputs = super()._list_outputs()
        if not isdefined(self.inputs.in_weights):
            outputs.pop('out_weights', None)
        return {**outputs, 'count': read_header(outputs['out_tracks']).count or 0}


class SelectStreamlines(TCKEdit):
    """Select the streamlines with a vertex in each mask; none for empty masks, which ``tckedit`` refuses."""

    def _run_interface(self, runtime: Any, correct_return_codes: tuple[int, ...] = (0,)) -> Any:
        if all(voxels(load(mask)).any() for mask in self.inputs.include):
            return super()._run_interface(runtime, correct_return_codes)
        step_size = read_header(self.inputs.in_tracks[0]).step_size
        fields = {'step_size': step_size} if step_size else {}
        write_tck(Path(runtime.cwd, self.inputs.out_tracks), [], **fields)
        if isdefined(self.inputs.out_weights) and isdefined(self.inputs.in_weights):
            Path(runtime.cwd, self.inputs.out_weights).touch()
        return runtime


class _TCKMapInputSpec(_WritingInputSpec):
    in_tracks = File(exists=True, mandatory=True, argstr='%s', position=-2, desc='tractogram')
    out_file = File('tdi.nii.gz', usedefault=True, argstr='%s', position=-1, desc='output image')
    template = File(exists=True, argstr='-template %s', desc='image that defines the grid of the output')
    upsample = traits.Range(
        low=1, argstr='-upsample %d', desc='upsampling factor; by default, from the step size'
    )
    in_weights = File(exists=True, argstr='-tck_weights_in %s', desc='one weight per streamline')


class _TCKMapOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='number (or summed weight) of streamlines that visit each voxel')


class TCKMap(MRtrixCommand):
    """Compute a track density image with ``tckmap``."""

    _cmd = 'tckmap'
    input_spec = _TCKMapInputSpec
    output_spec = _TCKMapOutputSpec


class _TCK2ConnectomeInputSpec(_WritingInputSpec):
    in_tracks = File(exists=True, mandatory=True, argstr='%s', position=-3, desc='tractogram')
    in_parcels = File(exists=True, mandatory=True, argstr='%s', position=-2, desc='label image')
    out_file = File('connectome.csv', usedefault=True, argstr='%s', position=-1, desc='output matrix')
    out_assignments = File(argstr='-out_assignments %s', desc='the two nodes of each streamline')
    in_weights = File(exists=True, argstr='-tck_weights_in %s', desc='one weight per streamline')
    search_radius = traits.Float(
        argstr='-assignment_radial_search %g', xor=['end_voxels'], desc='mm; 4 by default'
    )
    end_voxels = traits.Bool(
        argstr='-assignment_end_voxels', xor=['search_radius'], desc='assign ends by their voxel only'
    )
    symmetric = traits.Bool(True, usedefault=True, argstr='-symmetric', desc='both triangles')
    zero_diagonal = traits.Bool(True, usedefault=True, argstr='-zero_diagonal', desc='no self-connections')


class _TCK2ConnectomeOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='matrix of counts (or summed weights), comma separated')
    out_assignments = File(exists=True, desc='the two nodes of each streamline')


class TCK2Connectome(MRtrixCommand):
    """Compute the connections between the parcels of a label image with ``tck2connectome``."""

    _cmd = 'tck2connectome'
    input_spec = _TCK2ConnectomeInputSpec
    output_spec = _TCK2ConnectomeOutputSpec


class _TCKInfoInputSpec(_MRtrixInputSpec):
    in_tracks = File(exists=True, mandatory=True, argstr='%s', position=-1, desc='tractogram')
    count = traits.Bool(True, usedefault=True, argstr='-count', desc='count the streamlines in the file')


class _TCKInfoOutputSpec(TraitedSpec):
    header = traits.Dict(traits.Str, traits.Str, desc='the fields of the header')
    count = traits.Int(desc='number of streamlines found in the file')


class TCKInfo(MRtrixCommand):
    """Read the header of a tractogram, and count its streamlines, with ``tckinfo``."""

    _cmd = 'tckinfo'
    input_spec = _TCKInfoInputSpec
    output_spec = _TCKInfoOutputSpec

    def _run_interface(self, runtime: Any, correct_return_codes: tuple[int, ...] = (0,)) -> Any:
        runtime = super()._run_interface(runtime, correct_return_codes)
        pairs = (line.strip().partition(':') for line in runtime.stdout.splitlines())
        self._header = {name: value.strip() for name, colon, value in pairs if colon}
        return runtime

    def _list_outputs(self) -> dict[str, Any]:
        outputs: dict[str, Any] = {'header': self._header}
        if self.inputs.count:
            outputs['count'] = int(self._header['actual count in file'])
        return outputs


class _TCKSampleInputSpec(_WritingInputSpec):
    in_tracks = File(exists=True, mandatory=True, argstr='%s', position=-3, desc='tractogram')
    in_file = File(exists=True, mandatory=True, argstr='%s', position=-2, desc='image')
    out_file = File('samples.txt', usedefault=True, argstr='%s', position=-1, desc='output values')
    statistic = traits.Enum(
        'mean', 'median', 'min', 'max', argstr='-stat_tck %s', desc='one value for each streamline'
    )
    nearest = traits.Bool(argstr='-nointerp', desc='values of the nearest voxel, not interpolated')


class _TCKSampleOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='values along the streamlines')


class TCKSample(MRtrixCommand):
    """Sample an image along streamlines with ``tcksample``, which is not run without streamlines, because it would crash."""

    _cmd = 'tcksample'
    input_spec = _TCKSampleInputSpec
    output_spec = _TCKSampleOutputSpec

    def _run_interface(self, runtime: Any, correct_return_codes: tuple[int, ...] = (0,)) -> Any:
        if read_header(self.inputs.in_tracks).count != 0:
            return super()._run_interface(runtime, correct_return_codes)
        Path(runtime.cwd, self.inputs.out_file).touch()
        return runtime


_STATISTICS = ('mean', 'median', 'std', 'min', 'max', 'count')


class _TCKStatsInputSpec(_MRtrixInputSpec):
    in_tracks = File(exists=True, mandatory=True, argstr='%s', position=-1, desc='tractogram')
    in_weights = File(exists=True, argstr='-tck_weights_in %s', desc='one weight per streamline')


class _TCKStatsOutputSpec(TraitedSpec):
    mean = traits.Float(desc='mean length (mm)')
    median = traits.Float(desc='median length (mm)')
    std = traits.Float(desc='standard deviation of the lengths (mm)')
    min = traits.Float(desc='smallest length (mm)')
    max = traits.Float(desc='largest length (mm)')
    count = traits.Int(desc='number of streamlines')


class TCKStats(MRtrixCommand):
    """Compute statistics of the lengths of streamlines with ``tckstats``."""

    _cmd = 'tckstats'
    input_spec = _TCKStatsInputSpec
    output_spec = _TCKStatsOutputSpec

    def _parse_inputs(self, skip: Any = None) -> list[str]:
        return [f'-output {name}' for name in _STATISTICS] + super()._parse_inputs(skip=skip)

    def _run_interface(self, runtime: Any, correct_return_codes: tuple[int, ...] = (0,)) -> Any:
        runtime = super()._run_interface(runtime, correct_return_codes)
        self._values = runtime.stdout.split()
        return runtime

    def _list_outputs(self) -> dict[str, Any]:
        return {
            name: int(value) if name == 'count' else float(value)
            for name, value in zip(_STATISTICS, self._values, strict=True)
        }
