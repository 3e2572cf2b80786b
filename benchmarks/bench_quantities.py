"""What bundles, lesion load, networks and longer paths add to the cost of a lesion, in one process.

    python benchmarks/bench_quantities.py TRACTOGRAM.tck BUNDLES.tsv [--shared ../shared] [--lesions 40] [--rounds 5]

The streamlines that each real lesion cuts are known, and so are the matrices, as in a run that makes these too; the
table has milliseconds of processor time a lesion on top of that, the fastest of the rounds, with the files written.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from bench_cohort import ATLAS, SPACE, write_dataset

from lacuna.bids.derivatives import save_outputs
from lacuna.bids.mask_files import describe_mask
from lacuna.bids.outputs import BASIC_TARGETS, Target
from lacuna.execution.tasks import Shared, outputs_of
from lacuna.images.atlases import Atlas, read_parcellation
from lacuna.images.masks import read_mask
from lacuna.images.spaces import standard_grid
from lacuna.streamlines.bundles import Bundles, BundleSet, Groups
from lacuna.streamlines.connections import Connections
from lacuna.streamlines.disconnection import Disconnection, assign_endpoints
from lacuna.streamlines.files.bundle_tables import read_bundles
from lacuna.streamlines.index.build import build_index
from lacuna.streamlines.index.query import Index
from lacuna.streamlines.lengths import measure_lengths
from lacuna.streamlines.weighting import Weighting

BUNDLES = 'bundles'
PLAIN = [Target(key, ATLAS) for key in (
    'disconnection_matrix', 'mask_matrix', 'intact_matrix', 'full_matrix', 'matrix_statistics', 'roi_disconnection'
)]  # fmt: skip
ADDED = {
    'bundles': [Target('bundle_disconnection', BUNDLES)],
    'lesion load': [Target('lesion_load', ATLAS)],
    'support of parcels': [Target('parcel_support', ATLAS)],
    'networks': [Target('network_disconnection', ATLAS), Target('network_matrix', ATLAS)],
    'longer paths': [
        Target(key, ATLAS)
        for key in ('delta_sspl', 'indirect_disconnection', 'parcel_delta_sspl', 'higher_order_statistics')
    ],
}


def make_shared(tractogram: Path, bundles: Path, shared: Path, work: Path) -> Shared:
    """What all lesions share."""
    folder = shared / 'data/templateflow/tpl-MNI152NLin6Asym'
    name = 'tpl-MNI152NLin6Asym_res-01_atlas-Schaefer2018_desc-100Parcels7Networks_dseg'
    table = next(folder.glob('*desc-100Parcels7Networks_dseg.tsv'))
    part = build_index(tractogram, work / 'index', standard_grid(SPACE, 2), nprocs=2)
    index = Index.open(part, tractogram=tractogram, verify=False)
    parcels = read_parcellation(Atlas('schaefer', folder / f'{name}.nii.gz', table, SPACE, 'given'))
    groups = Groups.of(read_bundles(bundles, index.streamlines), index.streamlines)
    weighting = Weighting(measure_lengths(tractogram))
    return Shared(
        index,
        weighting,
        index.total_density,
        {ATLAS: Connections(assign_endpoints(index, parcels.image(), parcels.names, nprocs=2), weighting)},
        {ATLAS: parcels},
        {BUNDLES: Bundles(BundleSet.from_index(groups, index), weighting)},
        {ATLAS: parcels.networks},
    )


def seconds_of(shared: Shared, masks: list[Path], root: Path) -> dict[str, float]:
    """Seconds of processor time of all lesions, by quantity."""
    seconds: dict[str, float] = defaultdict(float)
    added = [target for targets in ADDED.values() for target in targets]
    atlases = {name: {'Sources': []} for name in (ATLAS, BUNDLES)}
    metadata = {'Sources': ['a', 'b'], 'Space': SPACE}

    def timed(name: str, found: Disconnection, targets: list[Target], path: Path) -> None:
        start = time.process_time()
        contents = outputs_of(found, shared, targets)
        save_outputs(root, describe_mask(path), contents, metadata, atlases)
        seconds[name] += time.process_time() - start

    for path in masks:
        found = Disconnection(shared.index, read_mask(path), (), shared.weighting)
        timed('as before: map, summary, matrices', found, [*BASIC_TARGETS, *PLAIN], path)
        for name, targets in ADDED.items():
            timed(name, found, targets, path)
        shutil.rmtree(root)
        again = Disconnection(shared.index, read_mask(path), (), shared.weighting)
        timed('as before', again, [*BASIC_TARGETS, *PLAIN], path)
        shutil.rmtree(root)
        again = Disconnection(shared.index, read_mask(path), (), shared.weighting)
        timed('everything', again, [*BASIC_TARGETS, *PLAIN, *added], path)
        shutil.rmtree(root)
    seconds['all of it in one run'] = seconds.pop('everything') - seconds.pop('as before')
    return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('tractogram', type=Path)
    parser.add_argument('bundles', type=Path)
    parser.add_argument('--shared', type=Path, default=Path(__file__).parents[2] / 'shared')
    parser.add_argument('--lesions', type=int, default=40)
    parser.add_argument('--rounds', type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        masks = write_dataset(args.shared / 'data/lesions', work / 'bids', args.lesions)
        shared = make_shared(args.tractogram, args.bundles, args.shared, work)
        seconds_of(shared, masks[:2], work / 'out')  # compiles, and warms the page cache
        rounds = [seconds_of(shared, masks, work / 'out') for _ in range(args.rounds)]
    names = len(shared.bundles[BUNDLES].groups)
    print(f'{len(masks)} lesions on {args.tractogram.name}, {names} bundles, {ATLAS}\n')
    print('| quantity | ms a lesion |\n|---|---|')
    for key in rounds[0]:
        print(f'| {key} | {1000 * min(each[key] for each in rounds) / len(masks):.1f} |')


if __name__ == '__main__':
    main()
