"""Run Nipype graphs: that of one mask in this process, or that of a whole run with a Nipype plugin."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nipype.pipeline.engine.nodes import NodeExecutionError
from nipype.pipeline.engine.utils import topological_sort
from nipype.pipeline.plugins.base import PluginBase

from lacuna.errors import InputError, TractogramError
from lacuna.execution.environment import quiet_nipype
from lacuna.images.atlases import read_parcellation
from lacuna.utils.files import stamp

if TYPE_CHECKING:
    from nipype.pipeline.engine import Workflow

    from lacuna.bids.outputs import Target
    from lacuna.execution.plan import MaskJob, RunPlan
    from lacuna.execution.tasks import SpaceInputs


class InOrder(PluginBase):
    """Nipype plugin that runs the nodes of a graph in this process and raises the first error unchanged."""

    def run(self, graph: Any, config: Any, updatehash: bool = False) -> None:  # noqa: ARG002
        nodes, _ = topological_sort(graph)
        for node in nodes:
            try:
                node.run(updatehash=updatehash)
            except NodeExecutionError as error:  # its text is long and ends with the reason
                raise RuntimeError(crash_reason(str(error))) from error


def run_in_order(workflow: Workflow, folder: Path, *, quiet: bool = True) -> None:
    """Run all nodes of a workflow in this process, resuming from the same folder after a killed run."""
    if quiet:
        quiet_nipype()
    else:
        _stream_commands(workflow)
    configure(workflow, folder, folder)
    workflow.run(InOrder())


def prepare_by_graph(plan: RunPlan, inputs: SpaceInputs, targets: Sequence[Target]) -> SpaceInputs:
    """Prepare the shared inputs of a space with the engine ``mrtrix``; see `lacuna.execution.tasks.prepare_space`."""
    from lacuna.execution.cohort import init_space_wf
    from lacuna.interfaces.connectivity import NumberStreamlines
    from lacuna.utils.processes import processors
    from lacuna.workflows.resources import of_streamlines

    workflow = init_space_wf(
        plan,
        (),
        space=inputs.space,
        targets=targets,
        nprocs=processors(plan.config.nprocs),
        omp_nthreads=1,
        mem_gb=of_streamlines(inputs.streamlines_total),
        name='shared_wf',
    )
    full_tdi, counts = (plan.cached_tdi(inputs.space, counts=each) for each in (False, True))
    made = (full_tdi, counts, *(path for _, path in (*inputs.endpoints, *inputs.regions, *inputs.bundles)))
    with plan.tractogram.unchanged(*made):  # the commands read tractogram and atlases again
        run_in_order(workflow, inputs.folder, quiet=inputs.quiet)
        size_and_time = stamp(inputs.tracks)[:2]
    for each in plan.atlases[inputs.space].parcellations:
        if read_parcellation(each.atlas).sha256 != each.sha256:
            for path in made:
                path.unlink(missing_ok=True)
            message = f'the atlas {each.atlas.image} or {each.atlas.labels} changed during the run; run again'
            raise InputError(message)
    node = NumberStreamlines(count=plan.tractogram.info.count, weighting=str(inputs.weighting))
    numbers = Path(node.run(cwd=str(inputs.folder)).outputs.out_file)
    return replace(
        inputs, full_tdi=full_tdi, counts=counts, numbers=numbers, tracks_size_and_time=size_and_time
    )


def run_mask_by_graph(job: MaskJob, inputs: SpaceInputs) -> None:
    """Run one mask with the engine ``mrtrix``; see `lacuna.execution.tasks.run_mask`."""
    from lacuna.bids.derivatives import mask_outputs
    from lacuna.execution.cohort import init_mask_wf, job_name
    from lacuna.execution.workfolders import remove_finished

    workflow = init_mask_wf(
        job,
        output_dir=inputs.output_dir,
        engine='mrtrix',
        tck_upsample=inputs.tck_upsample,
        binarize=inputs.binarize,
        graded_masks=inputs.graded_masks,
        mask_scale=inputs.mask_scale,
        networks=dict(inputs.networks),
        spared_threshold=inputs.spared_threshold,
        min_support=inputs.min_support,
        edge_measure=inputs.edge_measure,
        weighted=inputs.weighted,
        omp_nthreads=inputs.threads,
        name=job_name(job),
    )
    node = workflow.get_node('inputnode')
    for field in node.inputs.copyable_trait_names():
        setattr(node.inputs, field, inputs.sources[field])
    run_in_order(workflow, inputs.folder, quiet=inputs.quiet)
    remove_finished(inputs.folder / workflow.name)
    if stamp(inputs.tracks)[:2] != inputs.tracks_size_and_time:  # tckedit may have read another one
        for path in mask_outputs(job.mask, job.missing).values():
            (inputs.output_dir / path).unlink(missing_ok=True)
        message = f'{inputs.tracks} changed during the run; run again'
        raise TractogramError(message)


@dataclass(frozen=True)
class Crash:
    """A node that failed in a Nipype plugin.

    Attributes
    ----------
    node : str
        Full name of the node in the workflow.
    reason : str
        Message of the error.
    path : pathlib.Path
        Crash file with the traceback and the inputs of the node.
    """

    node: str
    reason: str
    path: Path


def run_by_plugin(
    workflow: Workflow,
    name: str,
    args: dict[str, Any],
    *,
    work_dir: Path,
    crash_dir: Path,
    on_finished: Callable[[str], object],
) -> tuple[list[Crash], Exception | None]:
    """Run a workflow with one of Nipype's own plugins.

    Parameters
    ----------
    workflow : nipype.pipeline.engine.Workflow
    name : str
        ``Linear`` or ``MultiProc``.
    args : dict
        Its ``plugin_args``.
    work_dir : pathlib.Path
        Folder for unfinished results, which a run of the same name resumes.
    crash_dir : pathlib.Path
        Folder for crash files.
    on_finished : callable
        Called with the full name of each node that finishes.

    Returns
    -------
    crashes : list of Crash
        Nodes that failed.
    error : Exception or None
        Exception raised by the plugin at the end.

    """
    quiet_nipype()
    started = set()

    def callback(node: Any, status: str) -> None:
        if status == 'start':
            started.add(node.fullname)
        elif status == 'end' and node.fullname in started:  # Linear also reports nodes that it skips
            on_finished(node.fullname)

    configure(workflow, work_dir, crash_dir)
    known, error = set(crash_dir.glob('crash-*')), None
    try:
        workflow.run(plugin=name, plugin_args={**args, 'status_callback': callback})
    except Exception as raised:
        if 'KeyboardInterrupt' in str(raised):  # Nipype reports Ctrl-C as an error of the node
            raise KeyboardInterrupt from raised
        error = raised
    return [_read_crash(path) for path in sorted(set(crash_dir.glob('crash-*')) - known)], error


def configure(workflow: Workflow, work_dir: Path, crash_dir: Path) -> None:
    """Configure Nipype for this workflow and its nodes only."""
    settings = {
        'crashdump_dir': str(crash_dir),
        'crashfile_format': 'txt',
        'stop_on_first_crash': 'false',
        'poll_sleep_duration': '0.1',
        'check_version': 'false',
        'remove_unnecessary_outputs': 'false',
    }
    workflow.base_dir = str(work_dir)
    workflow.config['execution'].update(settings)
    for name in workflow.list_node_names():
        node = workflow.get_node(name)
        node.config = {
            **(node.config or {}),
            'execution': {**(node.config or {}).get('execution', {}), **settings},
        }


def _stream_commands(workflow: Workflow) -> None:
    """Let MRtrix3 commands of a workflow print their output and progress."""
    from lacuna.interfaces.mrtrix import MRtrixCommand

    for name in workflow.list_node_names():
        interface = workflow.get_node(name).interface
        if isinstance(interface, MRtrixCommand):
            interface.inputs.quiet = False


def _read_crash(path: Path) -> Crash:
    text = path.read_text(encoding='utf-8', errors='replace')
    node = re.search(r'^Node: (\S+)', text, re.MULTILINE)
    return Crash(node[1] if node else '', crash_reason(text), path)


def crash_reason(text: str) -> str:
    r"""Return the message of the error at the end of a traceback, in one line.

    >>> crash_reason('Traceback (most recent call last):\n  File "x"\n\tlacuna.errors.MaskError: m.nii: not 3D\n')
    'm.nii: not 3D'
    """
    errors = list(
        re.finditer(r'^\s*(?:\w+\.)*\w*(?:Error|Exception|Interrupt|Fault)\b:?', text, re.MULTILINE)
    )
    said = text[errors[-1].end() :] if errors else text[-500:]
    return ' '.join(said.split()) or (errors[-1][0].strip() if errors else 'unknown')
