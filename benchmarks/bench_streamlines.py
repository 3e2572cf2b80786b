"""How many streamlines are enough: results of random parts of a tractogram against those of the whole.

    python benchmarks/bench_streamlines.py TRACTOGRAM.tck --space SPACE [--shared ../shared] [--lesions 40]

For each part, the percent of streamlines that real lesions cut and the disconnection of the parcels of Schaefer 100 are
compared with the whole, in percentage points. With `--plot FILE` the table is drawn, too.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from bench_cohort import ATLAS, choose_lesions

PARTS = (5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000)
DRAWS = 5


def parcel_percent(pairs: np.ndarray, cut: np.ndarray, part: np.ndarray, parcels: int) -> np.ndarray:
    """Percent of each parcel's streamlines to others that are cut, from those of a part."""
    joins = (pairs > 0).all(axis=1) & (pairs[:, 0] != pairs[:, 1])
    full, lost = (
        np.bincount(pairs[chosen & joins].ravel(), minlength=parcels + 1)[1:] for chosen in (part, part & cut)
    )
    with np.errstate(invalid='ignore'):
        return 100 * lost / full


def differences(tracks: Path, space: str, masks: list[Path]) -> dict[int, tuple[float, float, float]]:
    """By size of the part: 95th percentile for parcels, the same for the whole lesion, and parcels without a streamline (%)."""
    import lacuna

    tractogram = lacuna.Tractogram(tracks, space=space)
    random = np.random.default_rng(0)
    found: dict[int, list[np.ndarray]] = {size: [] for size in PARTS}
    shares: dict[int, list[float]] = {size: [] for size in PARTS}
    for mask in masks:
        lesion = tractogram.disconnect(mask)
        table = lesion.parcels(ATLAS).table
        total = len(table.pairs)
        cut = np.zeros(total, bool)
        cut[lesion.streamlines] = True
        whole = parcel_percent(table.pairs, cut, np.ones(total, bool), len(table.names))
        for size in PARTS:
            if size >= total:
                continue
            for _ in range(DRAWS):
                part = np.zeros(total, bool)
                part[random.choice(total, size, replace=False)] = True
                found[size].append(parcel_percent(table.pairs, cut, part, len(table.names)) - whole)
                shares[size].append(100 * (cut[part].mean() - cut.mean()))
    result = {}
    for size, values in found.items():
        if values:
            every = np.abs(np.concatenate(values))
            result[size] = (
                float(np.nanpercentile(every, 95)),
                float(np.percentile(np.abs(shares[size]), 95)),
                100 * float(np.isnan(every).mean()),
            )
    return result


def draw(found: dict[int, tuple[float, float, float]], target: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), layout='constrained')
    axes = figure.subplots()
    sizes = list(found)
    axes.loglog(sizes, [row[0] for row in found.values()], 'o-', label='disconnection of a parcel')
    axes.loglog(sizes, [row[1] for row in found.values()], 's-', label='share of all streamlines cut')
    ticks = [0.1, 0.3, 1, 3, 10, 30]
    axes.set_yticks(ticks, [f'{tick:g}' for tick in ticks])
    axes.set_xticks(sizes, [f'{size // 1000}k' for size in sizes])
    axes.minorticks_off()
    axes.set(xlabel='streamlines drawn', ylabel='95 % of differences below\n(percentage points)')
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(target, dpi=120)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('tractogram', type=Path)
    parser.add_argument('--space', required=True)
    parser.add_argument('--shared', type=Path, default=Path(__file__).parents[2] / 'shared')
    parser.add_argument('--lesions', type=int, default=40)
    parser.add_argument('--plot', type=Path)
    args = parser.parse_args()
    os.environ.setdefault('TEMPLATEFLOW_HOME', str(args.shared.absolute() / 'data/templateflow'))
    lesions = args.shared / 'data/lesions'
    found = differences(args.tractogram, args.space, choose_lesions(lesions, args.lesions))
    print(
        '| streamlines | parcels, points | share cut, points | parcels without a streamline |\n|---|---|---|---|'
    )
    for size, (parcels, share, empty) in found.items():
        print(f'| {size:,} | {parcels:.1f} | {share:.2f} | {empty:.1f} % |')
    if args.plot:
        draw(found, args.plot)


if __name__ == '__main__':
    main()
