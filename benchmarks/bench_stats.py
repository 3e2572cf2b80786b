"""How long ``lacuna stats`` takes, and how much memory of all its processes together.

python benchmarks/bench_stats.py [--participants 200] [--nprocs 2]
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import psutil

import lacuna


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds, and the largest memory in GB of this process and its children (shared pages once)."""
    stop, most = threading.Event(), [0.0]

    def look() -> None:
        own = psutil.Process()
        while not stop.wait(0.5):
            total = 0
            for process in (own, *own.children(recursive=True)):
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:  # it has ended
                    continue
            most[0] = max(most[0], total / 1e9)

    watcher = threading.Thread(target=look)
    watcher.start()
    start = time.perf_counter()
    try:
        work()
    finally:
        seconds = time.perf_counter() - start
        stop.set()
        watcher.join()
    return seconds, most[0]


def main() -> None:
    """Run the benchmarks and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--participants', type=int, default=200)
    parser.add_argument('--nprocs', type=int, default=2)
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    ids = [f'{number:03d}' for number in range(args.participants)]
    scores = pd.DataFrame({'score': rng.normal(size=len(ids)), 'age': rng.normal(65, 10, len(ids))}, ids)
    volumes = pd.Series(np.exp(rng.normal(9, 1, len(ids))), [f'sub-{each}' for each in ids])
    for features, permutations, cv in (
        (100, 10_000, 'none'),
        (200_000, 1_000, 'none'),
        (100, 1, '10x10'),
        (200_000, 1, '10x1'),
    ):
        shape = (len(ids), features)
        cut = np.where(rng.random(shape, np.float32) < 0.6, 0, 100 * rng.random(shape, np.float32))
        frame = pd.DataFrame(cut, ids)
        seconds, memory = measured(
            lambda frame=frame, permutations=permutations, cv=cv: lacuna.stats(
                frame, scores, 'score', covariates=['age'], volume=volumes, permutations=permutations,
                cv=cv, nprocs=args.nprocs,
            )
        )  # fmt: skip
        what = f'{permutations:,} permutations' if cv == 'none' else f'prediction {cv}'
        print(
            f'{len(ids)} participants, {features:,} features, {what}, {args.nprocs} processes: {seconds:.1f} s, {memory:.1f} GB',
            flush=True,
        )


if __name__ == '__main__':
    main()
