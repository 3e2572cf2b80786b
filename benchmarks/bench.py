"""The engine ``index`` next to plain MRtrix3 commands: one command, one table, one figure.

    python benchmarks/bench.py [--full] [--large STREAMLINES]

Needs MRtrix3 and the shared data. The small version takes 200,000 streamlines and less than ten minutes, ``--full``
one million (and up to three for the growth) and about twenty. ``--large`` adds one build and query of a tractogram of
that size. Sides that are compared take turns; figures are medians of five unless said otherwise.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from bench_cohort import SPACE, cohort, growth
from bench_index import Bench, in_turn, select_and_map

from lacuna.images.nifti import nifti_affine

REPEAT = 5
#: 0.5, 14 and 102 ml on the lattice of 1 mm, and 10 ml off it
LESIONS = (
    'SOOP/bwsrsub-1201_lesion.nii.gz',
    'SOOP/bwsrsub-1009_lesion.nii.gz',
    'LESYMAP/Subject_055.nii.gz',
    'misc/conwhat_lesion_test_file_from_jhu.nii.gz',
)


def make_tractogram(shared: Path, count: int, folder: Path) -> Path:
    path = folder / f'wholebrain{count}.tck'
    if not path.exists():
        tool = shared / 'tools/make_wholebrain.sh'
        subprocess.run(['bash', tool, str(count), path], check=True, stdout=subprocess.DEVNULL)
    return path


def by_volume(bench: Bench, tractogram: Path, lesions: list[Path]) -> dict[float, float]:
    """Milliseconds to select and map, by volume of the lesion in ml."""
    index = bench.open(tractogram, bench.part)
    found = {}
    for path in lesions:
        image = nib.load(path)
        mask, affine = np.asarray(image.dataobj) != 0, nifti_affine(image.header)
        volume = mask.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000
        times = in_turn(REPEAT, ask=partial(select_and_map, index, mask, affine))
        found[float(volume)] = 1000 * times['ask']
    return found


def draw(
    target: Path, sizes: dict[int, tuple[float, float]], volumes: dict[float, float], counts: dict[int, float]
) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3), layout='constrained')
    left, middle, right = figure.subplots(1, 3)
    millions = [count / 1e6 for count in sizes]
    left.plot(millions, [build for build, _ in sizes.values()], 'o-', label='build (s)')
    left.plot(millions, [ask / 10 for _, ask in sizes.values()], 's-', label='select and map (10 ms)')
    left.set(xlabel='million streamlines', xlim=(0, None), ylim=(0, None))
    left.legend(frameon=False)
    middle.plot(list(volumes), list(volumes.values()), 'o')
    middle.set(xlabel='lesion (ml)', ylabel='select and map (ms)', xlim=(0, None), ylim=(0, None))
    right.plot(list(counts), list(counts.values()), 'o-')
    right.set(xlabel='lesions', ylabel='whole command (s)', xlim=(0, None), ylim=(0, None))
    figure.savefig(target, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--full', action='store_true')
    parser.add_argument('--large', type=int, metavar='STREAMLINES')
    parser.add_argument('--shared', type=Path, default=Path(__file__).parents[2] / 'shared')
    parser.add_argument('--work', type=Path, help='folder for tractograms, which are kept there')
    options = parser.parse_args()
    shared = options.shared.absolute()
    if not shared.is_dir():
        parser.error(f'there is no shared data in {shared}')
    os.environ['TEMPLATEFLOW_HOME'] = str(shared / 'data/templateflow')
    lesions = [shared / 'data/lesions' / name for name in LESIONS]
    atlas = next((shared / 'data/templateflow').glob(f'tpl-{SPACE}/*res-01*100Parcels7*dseg.nii.gz'))
    count = 1_000_000 if options.full else 200_000
    shares = [100_000, 300_000, 1_000_000, 3_000_000] if options.full else [50_000, 100_000, 200_000]
    with tempfile.TemporaryDirectory(dir=options.work) as scratch:
        work = Path(scratch)
        kept = options.work or work
        values = {
            'atlas': atlas,
            'space': SPACE,
            'resolution': 2,
            'upsample': None,
            'threads': 2,
            'repeat': REPEAT,
        }
        bench = Bench(argparse.Namespace(**values), work)
        tractogram = make_tractogram(shared, count, kept)
        print(
            f'## {count:,} streamlines, {tractogram.stat().st_size / 1e6:,.0f} MB, 2 mm, 2 threads',
            flush=True,
        )
        bench.builds(tractogram, REPEAT)
        bench.queries(tractogram, lesions, REPEAT)
        print('## whole command, 200,000 streamlines', flush=True)
        small = make_tractogram(shared, 200_000, kept)
        for line in cohort(small, bench.template, atlas, shared / 'data/lesions', work, REPEAT):
            print(line)
        print('## growth', flush=True)
        sizes = bench.growth(make_tractogram(shared, max(shares), kept), lesions[1], shares, REPEAT)
        some = sorted((shared / 'data/lesions/LESYMAP').glob('*.nii.gz'))[::4]
        some += sorted((shared / 'data/lesions/SOOP').glob('*.nii.gz'))[::12]
        volumes = by_volume(bench, tractogram, some)
        counts = growth(
            small, shared / 'data/lesions', work, [10, 40, 160, 320] if options.full else [10, 20, 40]
        )
        print('whole command, lesions: seconds: ' + ', '.join(f'{n}: {t:.1f}' for n, t in counts.items()))
        name = 'bench.png' if options.full else 'bench_small.png'
        draw(Path(__file__).with_name(name), sizes, dict(sorted(volumes.items())), counts)
        if options.large:
            large = make_tractogram(shared, options.large, kept)
            print(
                f'## {options.large:,} streamlines, {large.stat().st_size / 1e9:.1f} GB, one run', flush=True
            )
            bench.large(large, lesions)


if __name__ == '__main__':
    main()
