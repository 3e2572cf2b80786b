"""How long ``lacuna collect`` takes on many synthetic participants, and how much memory.

python benchmarks/bench_collect.py [--participants 2000] [--regions 100] [--matrices]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from lacuna.bids.outputs import output_name, outputs
from lacuna.utils.names import sidecar_path

SPACE = 'MNI152NLin6Asym'


def write_participant(
    root: Path, name: str, regions: list[str], rng: np.random.Generator, matrix: bool
) -> None:
    """Results of one lesion with random numbers."""
    folder = root / f'sub-{name}' / 'ses-01' / 'anat'
    folder.mkdir(parents=True)
    made = {
        'Space': SPACE,
        'Tractogram': {'SHA256': 'a' * 64, 'Space': SPACE},
        'Mask': {'SHA256': name},
        'Parameters': {'OutputResolution': 2, 'TckUpsample': 'automatic'},
        'CommandLine': 'lacuna run snm ' + 'x' * 400,
        'Atlas': {'SHA256': 'b' * 64},
    }
    percent = (100 * rng.random(len(regions))).tolist()
    texts = {
        'map': '',
        'summary': json.dumps({f'statistic_{number}': rng.random() for number in range(10)}),
        'roi_disconnection': 'region\tvalue\n'
        + ''.join(f'{region}\t{value}\n' for region, value in zip(regions, percent, strict=True)),
        'matrix_statistics': json.dumps({'edges': 9, 'degree_loss': dict.fromkeys(regions, 1)}),
    }
    if matrix:
        cells = np.where(rng.random((len(regions), len(regions))) < 0.1, 100 * rng.random(len(regions)), 0.0)
        rows = (
            '\t'.join(map(str, [region, *row])) for region, row in zip(regions, cells.tolist(), strict=True)
        )
        texts['disconnection_matrix'] = '\n'.join(['\t'.join(['region', *regions]), *rows]) + '\n'
    for key, text in texts.items():
        path = folder / output_name(f'sub-{name}_ses-01_label-lesion', key, space=SPACE, atlas='synthetic')
        path.write_text(text)
        if outputs()[key].sidecar:
            sidecar_path(path).write_text(json.dumps(made, indent=2))


def main() -> None:
    """Run the benchmark and print its line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--participants', type=int, default=2000)
    parser.add_argument('--regions', type=int, default=100)
    parser.add_argument('--matrices', action='store_true')
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    regions = [f'region_{number}' for number in range(args.regions)]
    with tempfile.TemporaryDirectory() as folder:
        for number in range(args.participants):
            write_participant(Path(folder), f'{number:05d}', regions, rng, args.matrices)
        command = [sys.executable, '-m', 'lacuna', 'collect', folder, *['--matrices'] * args.matrices]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(
            f'{args.participants} participants, {args.regions} regions{", matrices" * args.matrices}: {seconds:.1f} s, '
            f'{args.participants / seconds:.0f} participants a second, {memory:.0f} MB'
        )


if __name__ == '__main__':
    main()
