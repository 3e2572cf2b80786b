"""Peak memory of each kind of node: every node of a run in a worker process of its own, one after the other.

    python benchmarks/bench_memory.py TRACTOGRAM MASK [--space MNI152NLin6Asym] [--atlas NAME] [--engine index]

``anonymous`` is what cannot be given back (the greatest of samples every few milliseconds); ``resident`` also counts pages of
the index and the tractogram, which the system takes back when it needs them. A worker that does nothing is the last line.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lacuna.cli.parser import build_parser
from lacuna.cli.run import make_config
from lacuna.execution.environment import prepare_environment, quiet_nipype
from lacuna.execution.plan import make_plan
from lacuna.execution.plugins.nipype import configure
from lacuna.streamlines.tractogram import Tractogram


@contextmanager
def sampled() -> Iterator[dict[str, float]]:
    """The greatest anonymous and resident memory (MB) in the block, of this process and its children."""
    peak = {'anonymous': 0.0, 'resident': 0.0}
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.003):
            sums = {'anonymous': 0, 'resident': 0}
            for process in (os.getpid(), *children()):
                try:
                    status = Path(f'/proc/{process}/status').read_text(encoding='ascii')
                except OSError:
                    continue
                values = dict(line.split(':', 1) for line in status.splitlines() if ':' in line)
                sums['anonymous'] += int(values.get('RssAnon', '0').split()[0])
                sums['resident'] += int(values.get('VmRSS', '0').split()[0])
            for name, value in sums.items():
                peak[name] = max(peak[name], value / 1024)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def children() -> list[int]:
    me = os.getpid()
    return [int(pid) for pid in Path(f'/proc/self/task/{me}/children').read_text(encoding='ascii').split()]


def run_node(node: object, answer: object) -> None:
    prepare_environment()
    quiet_nipype()
    import lacuna.streamlines.index.query  # noqa: F401  a worker has loaded it

    with sampled() as peak:
        began = time.perf_counter()
        if node is None:
            time.sleep(0.05)
        else:
            node.run()
        seconds = time.perf_counter() - began
    answer.put((peak, seconds))


def in_worker(node: object) -> tuple[dict[str, float], float]:
    context = multiprocessing.get_context('spawn')
    answer = context.SimpleQueue()
    worker = context.Process(target=run_node, args=(node, answer))
    worker.start()
    found = answer.get()
    worker.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('tractogram', type=Path)
    parser.add_argument('mask', type=Path)
    parser.add_argument('--space', default='MNI152NLin6Asym')
    parser.add_argument('--atlas', default='schaefer2018parcels100networks7')
    parser.add_argument('--engine', default='index')
    args = parser.parse_args()
    prepare_environment()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = [
            'run', 'snm', args.mask, folder / 'out', '--connectome-path', args.tractogram, '--mask-space', args.space,
            '--connectome-space', args.space, '-w', folder / 'work', '--parcel-atlases', args.atlas,
            '--compute-disconnectivity-matrix', '--compute-roi-disconnection', '--engine', args.engine,
        ]  # fmt: skip
        config = make_config(build_parser().parse_args([str(word) for word in words]))
        tractogram = Tractogram(args.tractogram, args.space, cache=folder / 'cache')
        version = '3' if args.engine == 'mrtrix' else None
        plan = make_plan(config, tractogram, engine_version=version, cache=folder / 'cache')
        print(
            f'{tractogram.info.count:,} streamlines, {args.tractogram.stat().st_size / 1e9:.2f} GB; {args.engine}'
        )
        print(f'{"node":24} {"anonymous MB":>12} {"resident MB":>12} {"seconds":>8}')
        for node in nodes_of(plan, folder):
            peak, seconds = in_worker(node)
            label = f'{node.fullname.rpartition(".")[2]} ({type(node.interface).__name__})'
            print(f'{label:40} {peak["anonymous"]:8.0f} {peak["resident"]:12.0f} {seconds:8.2f}', flush=True)
        peak, _ = in_worker(None)
        print(f'{"(a worker that does nothing)":40} {peak["anonymous"]:8.0f} {peak["resident"]:12.0f}')


def nodes_of(plan: object, folder: Path) -> Iterator[object]:
    """The nodes of a run in the order in which they can run."""
    import networkx as nx
    from nipype.pipeline.engine.utils import generate_expanded_graph

    from lacuna.execution.cohort import init_cohort_wf

    quiet_nipype()
    workflow = init_cohort_wf(plan, nprocs=2, omp_nthreads=2)
    configure(workflow, folder / 'work', folder)
    flat = workflow._create_flat_graph()
    workflow._set_needed_outputs(flat)
    graph = generate_expanded_graph(flat)
    workflow._configure_exec_nodes(graph)
    for node in nx.topological_sort(graph):
        node.config = workflow.config | (node.config or {})
        yield node


if __name__ == '__main__':
    main()
