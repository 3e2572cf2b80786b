"""Whole ``lacuna run snm`` on many lesions against a shell loop of MRtrix3 commands with the same outputs."""

from __future__ import annotations

import csv
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

SPACE = 'MNI152NLin6Asym'
ATLAS = 'schaefer2018parcels100networks7'

#: once: density and matrix of the whole tractogram
ONCE = """
tckmap -quiet -force -template $GRID $TRACKS full.nii.gz
tck2connectome -quiet -force -symmetric -zero_diagonal $TRACKS $ATLAS full.csv
"""
#: for each lesion: map in percent, and the matrix of what is cut
CUT = """
tckedit -quiet -force -include $MASK $TRACKS cut.tck
tckmap -quiet -force -template $GRID cut.tck cut.nii.gz
mrcalc -quiet -force cut.nii.gz full.nii.gz -div 100 -mult percent.nii.gz
tck2connectome -quiet -force -symmetric -zero_diagonal cut.tck $ATLAS cut.csv
"""
#: and the matrix of what is left, which no MRtrix3 command subtracts
INTACT = """
tckedit -quiet -force -exclude $MASK $TRACKS intact.tck
tck2connectome -quiet -force -symmetric -zero_diagonal intact.tck $ATLAS intact.csv
"""


def choose_lesions(lesions: Path, count: int) -> list[Path]:
    """The files of `count` of the real lesions, evenly over their table."""
    with (lesions / 'lesions.tsv').open() as table:
        rows = [row for row in csv.DictReader(table, delimiter='\t') if row['set'] in ('LESYMAP', 'SOOP')]
    return [lesions / rows[number * len(rows) // count]['file'] for number in range(count)]


def write_dataset(lesions: Path, folder: Path, count: int) -> list[Path]:
    """A BIDS dataset of `count` of the real lesions; the paths of the masks."""
    masks = []
    for number, lesion in enumerate(choose_lesions(lesions, count)):
        name = f'sub-{number:03d}/anat/sub-{number:03d}_space-{SPACE}_label-lesion_mask.nii.gz'
        target = folder / name
        target.parent.mkdir(parents=True)
        shutil.copy(lesion, target)
        masks.append(target)
    (folder / 'dataset_description.json').write_text(
        '{"Name": "lesions", "BIDSVersion": "1.10.0", "DatasetType": "derivative", '
        '"GeneratedBy": [{"Name": "by hand"}]}'
    )
    return masks


def run_lacuna(dataset: Path, tracks: Path, folder: Path, *, fresh: bool = True) -> float:
    """Seconds of a run; a fresh one starts without index, work folder or output. Compiled code is kept."""
    for name in ('cache/index', 'cache/endpoints', 'out', 'work') if fresh else ():
        shutil.rmtree(folder / name, ignore_errors=True)
    command = [
        sys.executable, '-m', 'lacuna', 'run', 'snm', '--no-report', dataset, folder / 'out', '--connectome-path', tracks,
        '--connectome-space', SPACE, '-w', folder / 'work', '--parcel-atlases', ATLAS,
        '--compute-disconnectivity-matrix', '--compute-roi-disconnection',
    ]  # fmt: skip
    return _timed(command, folder, {'LACUNA_CACHE_DIR': str(folder / 'cache')})


def run_shell(script: str, folder: Path, **variables: Path) -> float:
    """Seconds of plain commands."""
    return _timed(['sh', '-ec', script], folder, {name: str(path) for name, path in variables.items()})


def _timed(command: list[str | Path], folder: Path, environment: dict[str, str]) -> float:
    folder.mkdir(exist_ok=True)
    start = time.perf_counter()
    subprocess.run(
        command,
        check=True,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def cohort(tracks: Path, grid: Path, atlas: Path, lesions: Path, work: Path, rounds: int) -> list[str]:
    """The table: forty lesions by Lacuna, in turn with the loop on a share of them."""
    masks = write_dataset(lesions, work / 'forty', 40)
    plain = {'TRACKS': tracks, 'GRID': grid, 'ATLAS': atlas}
    run_lacuna(work / 'forty', tracks, work / 'lacuna')  # compiles, and reads everything once
    ours, once, cut, intact = [], [], [], []
    for number in range(rounds):
        ours.append(run_lacuna(work / 'forty', tracks, work / 'lacuna'))
        once.append(run_shell(ONCE, work / 'plain', **plain))
        for mask in masks[number::rounds]:
            cut.append(run_shell(CUT, work / 'plain', MASK=mask, **plain))
            intact.append(run_shell(INTACT, work / 'plain', MASK=mask, **plain))
    mine = statistics.median(ours) / 40
    shared = statistics.median(once) / 40
    bare = statistics.fmean(cut) + shared
    whole = bare + statistics.fmean(intact)
    return [
        f'40 lesions, all outputs of one atlas, whole command, median of {rounds}: {mine:.2f} s per lesion',
        (
            f'shell loop, every lesion once: {whole:.2f} s per lesion, {whole / mine:.1f} times as long '
            f'(without the intact matrix: {bare:.2f} s, {bare / mine:.1f} times)'
        ),
    ]


def growth(tracks: Path, lesions: Path, work: Path, counts: list[int]) -> dict[int, float]:
    """Seconds of the whole command by number of lesions."""
    times = {}
    for count in counts:
        dataset = work / f'lesions{count}'
        write_dataset(lesions, dataset, count)
        times[count] = run_lacuna(dataset, tracks, work / 'lacuna')
    return times
