"""What null lesions cost: placing the lesion, the counts of all null lesions, and the tables, with bundles and an atlas.

The index and the parcels at the ends of the streamlines are made before and are not in the times.

    python benchmarks/bench_nulls.py TRACTOGRAM.tck LESION.nii.gz [--space MNI152NLin6Asym] [--bundles TABLE.tsv]
        [--atlas schaefer2018parcels100networks7] [--n 1000] [--nprocs 2]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import lacuna
from lacuna.utils.processes import measured


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('tracks', type=Path)
    parser.add_argument('lesion', type=Path)
    parser.add_argument('--space', default='MNI152NLin6Asym')
    parser.add_argument('--bundles', type=Path)
    parser.add_argument('--atlas', default='schaefer2018parcels100networks7')
    parser.add_argument('--n', type=int, default=1000)
    parser.add_argument('--nprocs', type=int, default=2)
    args = parser.parse_args()

    tractogram = lacuna.Tractogram(args.tracks, args.space, nprocs=args.nprocs)
    lesion = tractogram.disconnect(args.lesion, args.space)
    asked = {'bundles': args.bundles, 'atlases': [args.atlas]}
    lesion.parcels(args.atlas).table  # noqa: B018  made once for a tractogram
    lesion.nulls(20, **asked).statistics  # noqa: B018  compiles what is not yet
    with measured() as usage:
        start = time.perf_counter()
        found = lesion.nulls(args.n, **asked)
        placed = time.perf_counter()
        found.z, found.percentile, found.statistics  # noqa: B018
        found.parcels(args.atlas), found.networks(args.atlas), found.edges(args.atlas)
        if len(found.bundle_names):
            found.bundles  # noqa: B018
        end = time.perf_counter()
    print(
        f'{args.tracks.name}: {tractogram.streamlines_total} streamlines, {len(found.bundle_names)} bundles, {args.atlas}\n'
        f'{args.lesion.name}: {len(lesion.streamlines)} streamlines cut, {found.statistics["null_places"]} places, '
        f'{found.n} null lesions, {args.nprocs} processors'
    )
    print(
        '| find the places (s) | count (s) | a null lesion (ms) | together (s) | peak memory (GB) |\n|---|---|---|---|---|'
    )
    each = 1000 * (end - placed) / max(found.n, 1)
    print(
        f'| {placed - start:.1f} | {end - placed:.1f} | {each:.1f} | {end - start:.1f} | {usage.peak_memory / 1e9:.2f} |'
    )


if __name__ == '__main__':
    main()
