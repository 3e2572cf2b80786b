"""Whole ``lacuna run snm`` against a shell loop of the plain MRtrix3 commands, in turn, on three lesions.

The loop does what a user would type: one ``tckmap`` of the tractogram, then ``tckedit``, ``tckmap`` and ``mrcalc`` for
each lesion, each with all threads. Both start cold: no cache, no work folder, no output.

    python benchmarks/bench_run.py [--shared ../shared] [--runs 5]

Without the shared data it takes the tutorial's. The goal is 1.3 times the loop plus 4 s of start-up.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

START_UP = 4.0
FACTOR = 1.3
SPACE = 'MNI152NLin6Asym'


def inputs(shared: Path, folder: Path) -> tuple[Path, Path]:
    """Dataset and tractogram."""
    if shared.is_dir():
        tracks = folder / 'HCP842.tck'
        packed = shared / 'data/tractograms/HCP842.npz'
        subprocess.run(
            [sys.executable, shared / 'tools/tracks.py', 'unpack', packed, tracks],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return shared / 'data/bids_spheres', tracks
    from lacuna.datasets.tutorial import write_tutorial

    paths = write_tutorial(folder / 'tutorial')
    return paths.directory, paths.connectome


def timed(command: list[str | Path], folder: Path) -> float:
    """Seconds that a command takes, with a cache of its own."""
    environment = {**os.environ, 'LACUNA_CACHE_DIR': str(folder / 'cache')}
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def plain_loop(masks: list[Path], tracks: Path, template: Path) -> str:
    """The shell script of the plain commands."""
    q = shlex.quote
    lines = ['set -e', f'tckmap -quiet -template {q(str(template))} {q(str(tracks))} full.nii.gz']
    for number, mask in enumerate(masks):
        lines += [
            f'tckedit -quiet -include {q(str(mask))} {q(str(tracks))} {number}.tck',
            f'tckmap -quiet -template {q(str(template))} {number}.tck {number}.nii.gz',
            f'mrcalc -quiet {number}.nii.gz full.nii.gz -div 100 -mult pct{number}.nii.gz',
        ]
    return '\n'.join(lines)


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--shared', type=Path, default=Path(__file__).parents[2] / 'shared')
    parser.add_argument('--runs', type=int, default=5)
    args = parser.parse_args()

    import nibabel as nb
    import numpy as np

    from lacuna.images.spaces import standard_grid

    times: dict[str, list[float]] = {'lacuna': [], 'plain': []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bids, tracks = inputs(args.shared.absolute(), folder)
        grid = standard_grid(SPACE, 2)
        nb.save(nb.Nifti1Image(np.zeros(grid.shape, 'uint8'), grid.affine), folder / 'grid.nii.gz')
        script = plain_loop(sorted(bids.rglob('*_mask.nii.gz')), tracks, folder / 'grid.nii.gz')
        lacuna = [
            sys.executable,
            '-m',
            'lacuna',
            'run',
            'snm',
            '--no-report',
            bids,
            'out',
            '--connectome-path',
            tracks,
        ]
        for run in range(args.runs + 1):
            for name, command in (
                ('lacuna', [*lacuna, '--connectome-space', SPACE]),
                ('plain', ['sh', '-c', script]),
            ):
                own = folder / f'{name}{run}'
                own.mkdir()
                seconds = timed(command, own)
                if run:  # the first one warms the page cache
                    times[name].append(seconds)
    ours, plain = (statistics.median(times[name]) for name in ('lacuna', 'plain'))
    print(f'tractogram {tracks.name}, three lesions, map only, whole process, {args.runs} runs each in turn')
    print('| what | median | min | max |\n|---|---|---|---|')
    for name, values in times.items():
        print(f'| {name} (s) | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |')
    ratios = [a / b for a, b in zip(times['lacuna'], times['plain'], strict=True)]
    print(
        f'| ratio, pair by pair | {statistics.median(ratios):.2f} | {min(ratios):.2f} | {max(ratios):.2f} |'
    )
    goal = FACTOR * plain + START_UP
    print(
        f'goal: {FACTOR} x {plain:.2f} + {START_UP} = {goal:.2f} s; {"reached" if ours <= goal else "missed"}'
    )


if __name__ == '__main__':
    main()
