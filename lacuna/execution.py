"""Run a workflow: Nipype's settings, resources, progress, and what became of each mask."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nipype.pipeline.engine import Workflow

#: seconds between two looks of MultiProc at its jobs; its default of 2 s is longer than most of them
_POLL = 0.02


@dataclass(frozen=True)
class Crash:
    """A node that failed.

    Attributes
    ----------
    node : str
        Its full name in the workflow.
    reason : str
        The message of the error.
    path : pathlib.Path
        File with the traceback and the inputs of the node.
    """

    node: str
    reason: str
    path: Path


def quiet_environment() -> None:
    """Keep nipype and TemplateFlow from asking the network; call before they are imported."""
    os.environ.setdefault('NO_ET', '1')
    os.environ.setdefault('NIPYPE_NO_ET', '1')
    os.environ.setdefault('TEMPLATEFLOW_AUTOUPDATE', 'off')


def quiet_nipype() -> None:
    """Keep nipype's own loggers silent; importing nipype has set them up before."""
    import nipype  # noqa: F401

    for name in ('nipype', 'nipype.workflow', 'nipype.utils', 'nipype.interface', 'nipype.filemanip'):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def stream_commands(workflow: Workflow) -> None:
    """Let the MRtrix3 commands of a workflow show what they print, with their progress."""
    from lacuna.interfaces.mrtrix import MRtrixCommand

    for name in workflow.list_node_names():
        interface = workflow.get_node(name).interface
        if isinstance(interface, MRtrixCommand):
            interface.terminal_output = 'stream'
            interface.inputs.quiet = False


def available_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def share_threads(nprocs: int, masks: int) -> int:
    """Threads for each command, so that a few masks use all processors as many do.

    >>> share_threads(8, 2), share_threads(2, 40)
    (4, 1)
    """
    return max(1, nprocs // max(1, masks))


def run_workflow(
    workflow: Workflow,
    *,
    nprocs: int,
    mem_gb: float | None,
    work_dir: Path,
    crash_dir: Path,
    on_finished: Callable[[str], Any] | None = None,
) -> tuple[list[Crash], Exception | None]:
    """Run all nodes; a failure stops only what depends on it.

    Parameters
    ----------
    workflow : nipype.pipeline.engine.Workflow
    nprocs : int
        Linear for 1, else MultiProc.
    mem_gb : float or None
        Memory that the scheduler may hand out.
    work_dir : pathlib.Path
        For unfinished results; a killed run goes on from there.
    crash_dir : pathlib.Path
        For the records of failures.
    on_finished : callable, optional
        Called with the full name of each node that has ended well.

    Returns
    -------
    crashes : list of Crash
        The nodes that failed.
    error : Exception or None
        What the plugin itself raised.
    """

    def callback(node: Any, status: str) -> None:
        if status == 'end' and on_finished:
            on_finished(node.fullname)

    configure(workflow, crash_dir)
    workflow.base_dir = str(work_dir)
    plugin_args: dict[str, Any] = {'status_callback': callback, 'n_procs': nprocs}
    if mem_gb is not None:
        plugin_args['memory_gb'] = mem_gb
    known = set(crash_dir.glob('crash-*.txt')) if crash_dir.is_dir() else set()
    failure: Exception | None = None
    try:
        workflow.run('MultiProc' if nprocs > 1 else 'Linear', plugin_args=plugin_args)
    except Exception as error:  # noqa: BLE001  each node's own error is in its crash file
        failure = error
    crashes = [read_crash(path) for path in sorted(set(crash_dir.glob('crash-*.txt')) - known)]
    return crashes, failure


def configure(workflow: Workflow, crash_dir: Path) -> None:
    """Set Nipype up for this workflow and its nodes only."""
    settings = {
        'crashdump_dir': str(crash_dir),
        'crashfile_format': 'txt',
        'stop_on_first_crash': 'false',
        'poll_sleep_duration': str(_POLL),
        'check_version': 'false',
        'remove_unnecessary_outputs': 'false',
    }
    workflow.config['execution'].update(settings)
    for name in workflow.list_node_names():
        node = workflow.get_node(name)
        node.config = {
            **(node.config or {}),
            'execution': {**(node.config or {}).get('execution', {}), **settings},
        }


def read_crash(path: Path) -> Crash:
    """What a crash file says, in one line."""
    text = path.read_text(encoding='utf-8', errors='replace')
    node = re.search(r'^Node: (\S+)', text, re.MULTILINE)
    return Crash(node[1] if node else path.stem, crash_reason(text), path)


def crash_reason(text: str) -> str:
    r"""The message of the error that a traceback ends with.

    >>> crash_reason('Traceback (most recent call last):\n  File "x"\nlacuna.errors.MaskError: m.nii: not 3D\n')
    'm.nii: not 3D'
    """
    errors = re.findall(r'^(?:[\w.]+(?:Error|Exception|Interrupt|Fault)): ?(.*)$', text, re.MULTILINE)
    lines = [line for line in text.splitlines() if line.strip()]
    return next((error for error in reversed(errors) if error), lines[-1].strip() if lines else 'unknown')


def remove_finished(folder: Path) -> None:
    """Remove the working files of what is finished: selected streamlines are large, and nothing needs them again."""
    shutil.rmtree(folder, ignore_errors=True)
