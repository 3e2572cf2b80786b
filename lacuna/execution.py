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

from lacuna.files import cache_dir
from lacuna.processes import start_worker

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
    # compiled code is kept where we may write, also in containers and read-only installations
    os.environ.setdefault('NUMBA_CACHE_DIR', str(cache_dir() / 'numba'))


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
            interface.inputs.quiet = False


def available_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def worthwhile_workers(nprocs: int, masks: int, tractogram_bytes: int) -> int:
    """How many masks to work on at a time; the commands of each share the processors that are left.

    A few masks on a tractogram that is read in a second are done, with all processors for each command, before
    workers would have started.

    >>> worthwhile_workers(8, 3, 15 * 10**9), worthwhile_workers(8, 3, 10**8), worthwhile_workers(2, 40, 10**8)
    (3, 1, 2)
    """
    return min(nprocs, masks) if masks >= 2 * nprocs or tractogram_bytes > 10**9 else 1


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

    linear = nprocs == 1
    started = set()

    def callback(node: Any, status: str) -> None:
        if status == 'start':
            started.add(node.fullname)
        # Linear says 'end', but never 'start', of the nodes that it leaves out after a failure; MultiProc says no
        # 'start' of nodes that it runs itself.
        elif status == 'end' and on_finished and (not linear or node.fullname in started):
            on_finished(node.fullname)

    configure(workflow, crash_dir)
    workflow.base_dir = str(work_dir)
    plugin_args: dict[str, Any] = {'status_callback': callback, 'n_procs': nprocs}
    if mem_gb is not None:
        plugin_args['memory_gb'] = mem_gb
    known = set(crash_dir.glob('crash-*.txt')) if crash_dir.is_dir() else set()
    failure: Exception | None = None
    pool_plugin = None if linear else _multiproc(plugin_args)
    try:
        workflow.run(pool_plugin or 'Linear', plugin_args=plugin_args)
    except Exception as error:  # noqa: BLE001  each node's own error is in its crash file
        failure = error
    except BaseException:
        for worker in pool_plugin.pool._processes.values() if pool_plugin else ():
            worker.kill()  # else the interpreter would wait for them
        raise
    crashes = [read_crash(path) for path in sorted(set(crash_dir.glob('crash-*.txt')) - known)]
    return crashes, failure


def _multiproc(plugin_args: dict[str, Any]) -> Any:
    """Nipype's MultiProc, whose workers end with this process, however it ends."""
    from concurrent.futures import ProcessPoolExecutor

    from nipype.pipeline.plugins import MultiProcPlugin

    plugin = MultiProcPlugin(plugin_args=plugin_args)
    plugin.pool.shutdown()  # no process has been started yet
    plugin.pool = ProcessPoolExecutor(
        max_workers=plugin.processors, initializer=start_worker, initargs=(str(Path.cwd()),)
    )
    return plugin


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
    r"""The message of the error that a traceback ends with, in one line.

    >>> crash_reason('Traceback (most recent call last):\n  File "x"\n\tlacuna.errors.MaskError: m.nii: not 3D\n')
    'm.nii: not 3D'
    """
    errors = list(
        re.finditer(r'^\s*(?:\w+\.)*\w*(?:Error|Exception|Interrupt|Fault)\b:?', text, re.MULTILINE)
    )
    said = text[errors[-1].end() :] if errors else text[-500:]
    return ' '.join(said.split()) or (errors[-1][0].strip() if errors else 'unknown')


def remove_finished(folder: Path) -> None:
    """Remove the working files of what is finished: selected streamlines are large, and nothing needs them again."""
    shutil.rmtree(folder, ignore_errors=True)
