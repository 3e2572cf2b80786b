"""What one mask costs, by step: a loop of the plain functions over real lesions, in one process.

    python benchmarks/bench_mask.py TRACTOGRAM.tck [--shared ../shared] [--lesions 40] [--rounds 3]

Each lesion takes the steps of a run in their order: read, query, map, summary, tables of one atlas, files under their
final names. The table has milliseconds of processor time per lesion, the fastest of the rounds; the index is warm.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench_cohort import ATLAS, SPACE, write_dataset

from lacuna.bids.derivatives import save_outputs
from lacuna.bids.mask_files import describe_mask
from lacuna.bids.matrices import connection_file
from lacuna.bids.outputs import Target
from lacuna.images.atlases import Atlas, read_parcellation
from lacuna.images.maps import disconnection_map, lesion_summary
from lacuna.images.nifti import encoded, make
from lacuna.images.plausibility import inspect_mask
from lacuna.images.spaces import standard_grid
from lacuna.streamlines.connections import Connections, CutConnections
from lacuna.streamlines.disconnection import (
    assign_endpoints,
    density_map,
    full_density,
    select_streamlines,
)
from lacuna.streamlines.index.build import build_index
from lacuna.streamlines.index.query import Index
from lacuna.streamlines.weighting import Cut, Weighting
from lacuna.utils.files import json_bytes

KEYS = (
    'disconnection_matrix', 'mask_matrix', 'intact_matrix', 'full_matrix', 'matrix_statistics', 'roi_disconnection'
)  # fmt: skip


class Steps:
    """Processor time by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.seconds[name] += time.process_time() - start


def one_mask(path: Path, index: Index, full: Any, whole: Connections, root: Path, steps: Steps) -> None:
    """All that a run computes and writes of one mask but the page."""
    step = steps.step
    with step('read, check, pack'):
        look = inspect_mask(path, SPACE)
    with step('unpack'):
        assert look.mask is not None
        image = look.mask.unpack().image()
    with step('select'):
        ids = select_streamlines(index, image)
    with step('density'):
        cut = Cut(ids)
        density = density_map(index, cut)
    with step('ratio'):
        percent = disconnection_map(density, full)
    with step('summary'):
        summary = lesion_summary(
            image, percent, full, streamlines_total=index.streamlines, streamlines_disconnected=len(ids)
        )
    with step('compress the map'):
        outputs: dict[Target, bytes] = {Target('disconnection_map'): encoded(percent)}
    outputs[Target('summary')] = json_bytes(summary)
    with step('matrices and tables'):
        found = CutConnections(whole, cut)
        outputs |= {Target(key, ATLAS): connection_file(key, found) for key in KEYS}
    with step('write'):
        metadata = {'Sources': ['a', 'b'], 'Space': SPACE}
        save_outputs(root, describe_mask(path), outputs, metadata, {ATLAS: {'Sources': []}})


def steps_of(
    tractogram: Path, masks: list[Path], shared: Path, work: Path, rounds: int = 3
) -> dict[str, float]:
    """Seconds of processor time of all masks by step, the fastest of the rounds."""
    folder = shared / 'data/templateflow/tpl-MNI152NLin6Asym'
    name = 'tpl-MNI152NLin6Asym_res-01_atlas-Schaefer2018_desc-100Parcels7Networks_dseg'
    tables = sorted(folder.glob('*desc-100Parcels7Networks_dseg.tsv'))
    part = build_index(tractogram, work / 'index', standard_grid(SPACE, 2), nprocs=2)
    index = Index.open(part, tractogram=tractogram, verify=False)
    atlas = read_parcellation(Atlas('schaefer', folder / f'{name}.nii.gz', tables[0], SPACE, 'given'))
    whole = Connections(assign_endpoints(index, atlas.image(), atlas.names, nprocs=2))
    full = make(full_density(index, Weighting()), index.grid.affine)
    best: dict[str, float] = {}
    for number in range(rounds + 1):
        shutil.rmtree(work / 'out', ignore_errors=True)
        steps = Steps()
        for mask in masks:
            one_mask(mask, index, full, whole, work / 'out', steps)
        if number:  # the first one compiles, and warms the page cache
            best = {key: min(value, best.get(key, value)) for key, value in steps.seconds.items()}
    return best


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('tractogram', type=Path)
    parser.add_argument('--shared', type=Path, default=Path(__file__).parents[2] / 'shared')
    parser.add_argument('--lesions', type=int, default=40)
    parser.add_argument('--rounds', type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        masks = write_dataset(args.shared / 'data/lesions', Path(scratch) / 'bids', args.lesions)
        best = steps_of(args.tractogram, masks, args.shared, Path(scratch), args.rounds)
    print(f'{len(masks)} lesions on {args.tractogram.name}, one atlas\n')
    print('| step | ms a lesion |\n|---|---|')
    for key, value in [*best.items(), ('all', sum(best.values()))]:
        print(f'| {key} | {1000 * value / len(masks):.1f} |')


if __name__ == '__main__':
    main()
