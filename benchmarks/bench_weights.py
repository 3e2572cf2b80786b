"""What weights and limits of length cost: the same lesions with and without, in turn.

    python benchmarks/bench_weights.py TRACTOGRAM.tck SPACE MASK.nii.gz ...

For each mask, the query of a run (selection, density, map, matrices of Schaefer's 100 parcels) of the plain tractogram, of
the same with random heavy-tailed weights, and of the streamlines of 40 to 130 mm, each from the same index. The table has
the fastest of the rounds, and what it is of the plain one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

import lacuna
from lacuna.images.atlases import Atlas, read_parcellation
from lacuna.images.masks import Mask, read_mask
from lacuna.streamlines.connections import Connections, CutConnections
from lacuna.streamlines.disconnection import Disconnection, assign_endpoints
from lacuna.streamlines.weighting import Weighting

KINDS = ('plain', 'weights', '40 to 130 mm')


def querying(
    tractogram: lacuna.Tractogram, space: str, weighting: Weighting, whole: Connections
) -> Callable[[Mask], float]:
    """Return what times the query of a mask."""
    placed = tractogram.in_space(space)
    index, full = placed.index(), placed.full_density()

    def run(mask: Mask) -> float:
        start = time.perf_counter()
        found = Disconnection(index, mask, (), weighting, index.total_density if full is None else full)
        _ = found.map
        _ = CutConnections(whole, found.cut).percent
        return time.perf_counter() - start

    return run


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('tractogram', type=Path)
    parser.add_argument('space')
    parser.add_argument('masks', nargs='+', type=Path)
    parser.add_argument('--shared', type=Path, default=Path(__file__).parents[2] / 'shared')
    parser.add_argument('--rounds', type=int, default=15)
    args = parser.parse_args()
    folder = args.shared / f'data/templateflow/tpl-{args.space}'
    name = f'tpl-{args.space}_res-01_atlas-Schaefer2018_desc-100Parcels7Networks_dseg.nii.gz'
    labels = next(folder.glob('*desc-100Parcels7Networks_dseg.tsv'))
    parcels = read_parcellation(Atlas('schaefer', folder / name, labels, args.space, 'given'))
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch, 'cache')
        plain = lacuna.Tractogram(args.tractogram, args.space, nprocs=1, cache=cache)
        weights = np.random.default_rng(0).lognormal(0, 1.5, plain.info.count)
        weights_file = Path(scratch, 'weights.txt')
        weights_file.write_text('\n'.join(map(repr, weights.tolist())))
        options = ({}, {'weights': weights_file}, {'min_length': 40, 'max_length': 130})
        table = assign_endpoints(plain.in_space(args.space).index(), parcels.image(), parcels.names)
        queries = []
        for given in options:
            each = lacuna.Tractogram(args.tractogram, args.space, nprocs=1, cache=cache, **given)
            whole = Connections(table, each.weighting)
            _ = whole.full_matrix
            queries.append(querying(each, args.space, each.weighting, whole))
        print(f'{args.tractogram.name}: {plain.info.count} streamlines; {args.rounds} rounds in turn\n')
        print('| mask, ml | ' + ' | '.join(KINDS) + ' | of plain |\n|---|---|---|---|---|')
        for path in args.masks:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                mask = read_mask(path)
            times = [[query(mask) for query in queries] for _ in range(args.rounds + 1)][1:]
            best = np.min(times, axis=0)
            volume = mask.data.sum() * abs(np.linalg.det(mask.affine[:3, :3])) / 1000
            shares = ', '.join(f'{value:.2f}' for value in best[1:] / best[0])
            cells = ' | '.join(f'{1000 * value:.1f} ms' for value in best)
            print(f'| {volume:.1f} | {cells} | {shares} |')


if __name__ == '__main__':
    main()
