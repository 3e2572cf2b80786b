"""What a cohort costs beside its answers: the whole command next to a shell loop, its start, its parent, its scheduler.

    python benchmarks/bench_engine.py [--shared ../shared] [--rounds 5]

Needs MRtrix3, the extra ``cluster`` and the shared data. Sides that are compared take turns, and figures are medians.
Sixteen workers are simulated: their tasks do nothing, so that the parent's own processor time is what is left.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench import make_tractogram
from bench_cohort import CUT, INTACT, ONCE, SPACE, run_lacuna, run_shell, write_dataset
from bench_mask import steps_of
from bench_run import inputs, timed

from lacuna.execution.plugins.local import LocalPool

Row = tuple[str, str, str]


def medians(rounds: int, **sides: Callable[[], float]) -> dict[str, float]:
    """The median of what each side returns, in turn."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            found[name].append(side())
    return {name: statistics.median(values) for name, values in found.items()}


@contextmanager
def children_time() -> Iterator[list[float]]:
    """Seconds of processor time of the commands in the block."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent: list[float] = []
    yield spent
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def cohorts(tracks: Path, shared: Path, atlas: Path, grid: Path, work: Path, rounds: int) -> Iterator[Row]:
    """Forty and 320 lesions in turn with the loop on one lesion, which is multiplied."""
    plain = {'TRACKS': tracks, 'GRID': grid, 'ATLAS': atlas}
    masks: dict[int, list[Path]] = {
        count: write_dataset(shared / 'data/lesions', work / f'lesions{count}', count) for count in (40, 320)
    }
    turn = iter(masks[40][:: max(1, 40 // rounds)] * 2)

    def one_by_shell() -> float:
        mask = next(turn)
        return run_shell(CUT + INTACT, work / 'plain', MASK=mask, **plain)

    def by_lacuna(count: int) -> float:
        return run_lacuna(work / f'lesions{count}', tracks, work / 'lacuna')

    by_lacuna(40)  # compiles, and reads everything once
    found = medians(
        rounds,
        once=lambda: run_shell(ONCE, work / 'plain', **plain),
        shell=one_by_shell,
        forty=lambda: by_lacuna(40),
    )
    with children_time() as spent:
        found |= medians(rounds, many=lambda: by_lacuna(320))
    for count, seconds, goal in (
        (40, found['forty'], '<= 0.11 s, >= 40 times'),
        (320, found['many'], '<= 18 s, >= 75 times'),
    ):
        loop = found['once'] + count * found['shell']
        yield (
            f'{count} lesions, whole command',
            f'{seconds:.1f} s, {seconds / count:.3f} s each, {loop / seconds:.0f} times faster than the loop',
            goal,
        )
    needed = 320 * sum(steps_of(tracks, masks[40], shared, work / 'steps').values()) / 40
    yield 'share that is not reading, asking, writing', f'{1 - needed * rounds / spent[0]:.2f}', '<= 0.3'

    again = medians(
        rounds, again=lambda: run_lacuna(work / 'lesions320', tracks, work / 'lacuna', fresh=False)
    )
    yield 'nothing to do, 320 lesions', f'{again["again"]:.2f} s', '<= 2 s'
    write_dataset(shared / 'data/lesions', work / 'lesions1', 1)

    def one() -> float:
        shutil.rmtree(work / 'lacuna/out')
        return run_lacuna(work / 'lesions1', tracks, work / 'lacuna', fresh=False)

    one()
    yield 'one lesion, index there', f'{medians(rounds, one=one)["one"]:.2f} s', '<= 1.5 s'


def first_run(shared: Path, work: Path, rounds: int) -> Row:
    """Nothing compiled, no cache."""
    bids, tracks = inputs(shared, work)

    def first() -> float:
        shutil.rmtree(work / 'first', ignore_errors=True)
        (work / 'first').mkdir()
        command = [
            sys.executable, '-m', 'lacuna', 'run', 'snm', '--no-report', bids, work / 'first/out', '--connectome-path', tracks,
            '--connectome-space', SPACE,
        ]  # fmt: skip
        return timed(command, work / 'first')

    return (
        'first run of all, three spheres on HCP842',
        f'{medians(rounds, first=first)["first"]:.1f} s',
        '<= 6 s',
    )


def nothing(*_: object) -> None:
    """A task without work."""


def peak_memory() -> float:
    """MB of this process; `getrusage` would tell that of the process which has started it."""
    status = Path('/proc/self/status').read_text(encoding='ascii')
    return int(status.partition('VmHWM:')[2].split()[0]) / 1024


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a process of its own, whose memory is not that of what was measured before."""
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as own:
        return own.submit(function, *arguments).result()


def parent(tracks: Path, lesion: Path, work: Path, masks: int) -> list[Row]:
    """What the process costs that plans, hands out and records, with workers that do nothing."""
    import lacuna.execution.masks as module
    from lacuna.execution.environment import prepare_environment
    from lacuna.execution.execute import prepare
    from lacuna.execution.pools import Pools
    from lacuna.execution.record import RunRecord
    from lacuna.execution.settings import config_of

    prepare_environment()
    for number in range(masks):
        name = f'sub-{number:05d}/anat/sub-{number:05d}_space-{SPACE}_label-lesion_mask.nii.gz'
        (work / 'many' / name).parent.mkdir(parents=True)
        os.link(lesion, work / 'many' / name)
    settings = {
        'source': work / 'many', 'output_dir': work / 'planned', 'connectome_path': tracks, 'connectome_space': SPACE,
        'work_dir': work / 'work',
    }  # fmt: skip
    config = config_of(settings)
    (work / 'planned/logs').mkdir(parents=True)
    with Pools(config) as pools:
        plan = prepare(config, pools)
    peak = peak_memory()
    record = RunRecord(work / 'planned/logs', plan)
    real, module.run_mask = module.run_mask, nothing  # type: ignore[assignment]
    try:
        begin = time.process_time()
        module.run_masks(plan, LocalPool(16), work / 'work', work / 'planned/logs', record)
        spent = time.process_time() - begin
    finally:
        module.run_mask = real
    return [
        (f'peak memory of the parent, {masks:,} masks planned', f'{peak:.0f} MB', '<= 500 MB'),
        ('sixteen workers: time of the parent for a mask', f'{1000 * spent / masks:.2f} ms', '<= 3 ms'),
    ]


def scheduler(tasks: int) -> Row:
    """Tiny tasks through a real scheduler of Dask with two workers."""
    from distributed import Client, LocalCluster

    from lacuna.execution.plugins.dask import DaskPool

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        begin = time.perf_counter()
        done = sum(
            outcome.reason is None
            for outcome in DaskPool(client).run(nothing, ((each,) for each in range(tasks)))
        )
        seconds = time.perf_counter() - begin
    peak = peak_memory()
    return (
        f'{tasks:,} tasks through a scheduler of Dask',
        f'{done:,} done, {tasks / seconds:.0f} a second, {1000 * seconds / tasks:.2f} ms each, peak {peak:.0f} MB',
        '-',
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--shared', type=Path, default=Path(__file__).parents[2] / 'shared')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--masks', type=int, default=10_000, help='planned')
    parser.add_argument('--tasks', type=int, default=20_000, help='for the scheduler')
    args = parser.parse_args()
    shared = args.shared.absolute()
    os.environ['TEMPLATEFLOW_HOME'] = str(shared / 'data/templateflow')
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        os.environ['LACUNA_CACHE_DIR'] = str(work / 'cache')
        print('| what | found | goal |\n|---|---|---|')

        def show(row: Row) -> None:
            print('| ' + ' | '.join(row) + ' |', flush=True)

        tracks = make_tractogram(shared, 200_000, work)
        folder = shared / f'data/templateflow/tpl-{SPACE}'
        atlas = next(folder.glob('*res-01*100Parcels7*dseg.nii.gz'))
        grid = next(folder.glob('*res-02*.nii.gz'))
        for row in cohorts(tracks, shared, atlas, grid, work, args.rounds):
            show(row)
        show(first_run(shared, work, args.rounds))
        lesion = next((shared / 'data/lesions/SOOP').glob('*.nii.gz'))
        shutil.copy(lesion, work / 'lesion.nii.gz')
        for row in alone(parent, tracks, work / 'lesion.nii.gz', work, args.masks):
            show(row)
        show(alone(scheduler, args.tasks))


if __name__ == '__main__':
    main()
