"""What an atlas costs per lesion, next to what plain MRtrix3 commands need for the same matrices.

Plain: ``tck2connectome`` of the disconnected streamlines, ``tckedit -exclude`` and ``tck2connectome`` of the intact ones.
Lacuna: the join of the selection with the table of endpoints, and writing all six files. Both are measured in turn, in
one process, on the same selection; what is done once for a tractogram (assignment, full matrix) is in neither.

    python benchmarks/bench_atlas.py TRACTOGRAM.tck LESION.nii.gz PARCELS.nii.gz LABELS [--runs 5]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from lacuna.images.atlases import Atlas, read_parcellation
from lacuna.images.nifti import save
from lacuna.interfaces.connectivity import write_connectivity
from lacuna.streamlines.endpoints import EndpointTable
from lacuna.streamlines.files.tck import scan


def seconds(*commands: list[str | Path]) -> float:
    """Time that commands take one after the other."""
    start = time.perf_counter()
    for command in commands:
        subprocess.run(command, check=True)
    return time.perf_counter() - start


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ('tracks', 'lesion', 'image', 'labels'):
        parser.add_argument(name, type=Path)
    parser.add_argument('--runs', type=int, default=5)
    args = parser.parse_args()

    times: dict[str, list[float]] = {'lacuna': [], 'plain': []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        parcellation = read_parcellation(Atlas('bench', args.image, args.labels, 'MNI152NLin6Asym', 'given'))
        parcels = save(parcellation.image(), folder / 'parcels.nii.gz')
        numbers = folder / 'numbers.txt'
        numbers.write_text(' '.join(map(str, range(scan(args.tracks).count))))
        connectome = ['tck2connectome', '-quiet', '-force', '-symmetric', '-zero_diagonal']
        assignments = folder / 'assignments.txt'
        once = seconds(
            [*connectome, args.tracks, parcels, folder / 'full.csv', '-out_assignments', assignments]
        )
        pairs = np.loadtxt(assignments, dtype=np.int32, comments='#')
        table = EndpointTable.of(pairs, parcellation.names, parcellation.index)
        cut = folder / 'cut.tck'
        weights = ['-tck_weights_in', numbers, '-tck_weights_out', folder / 'cut.txt']
        subprocess.run(['tckedit', '-quiet', '-include', args.lesion, args.tracks, cut, *weights], check=True)
        selected = np.array((folder / 'cut.txt').read_text().split(), np.int64)
        for run in range(args.runs + 1):
            start = time.perf_counter()
            write_connectivity(table, selected, folder)
            ours = time.perf_counter() - start
            plain = seconds(
                [*connectome, cut, parcels, folder / 'cut.csv'],
                ['tckedit', '-quiet', '-force', '-exclude', args.lesion, args.tracks, folder / 'intact.tck'],
                [*connectome, folder / 'intact.tck', parcels, folder / 'intact.csv'],
            )
            if run:  # the first one warms the page cache
                times['lacuna'].append(ours)
                times['plain'].append(plain)
        reference = np.loadtxt(folder / 'intact.csv', delimiter=',')
        intact = table.full_matrix - table.matrix(selected)
        equal = np.array_equal(intact[: len(reference), : len(reference)], reference)
    print(
        f'{args.tracks.name}, {len(selected)} streamlines cut, {len(table.names)} parcels, {args.runs} runs in turn'
    )
    print('| per lesion | median (s) | min | max |\n|---|---|---|---|')
    for name, values in times.items():
        print(f'| {name} | {statistics.median(values):.3f} | {min(values):.3f} | {max(values):.3f} |')
    ratios = [b / a for a, b in zip(times['lacuna'], times['plain'], strict=True)]
    print(
        f'plain / lacuna: {statistics.median(ratios):.0f}; assignment, once: {once:.2f} s; intact equal: {equal}'
    )


if __name__ == '__main__':
    main()
