#!/usr/bin/env python3
"""Time and memory of moving and converting a tractogram, next to MRtrix3's tcktransform and to nibabel.

    bench_transform.py TRACTOGRAM.tck TRANSFORM.h5 [--repeat N]

Every command runs in a process of its own; the best of N counts. ``tcktransform`` reads a warp image made of the same
displacement field on the field's own grid, and interpolates linearly. Times are seconds for a million streamlines.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from subprocess import run

import nibabel as nib
import numpy as np

from lacuna.images.transforms import PointTransform
from lacuna.streamlines.files import tck

MOVE = """
import sys
from lacuna.images.transforms import PointTransform
from lacuna.streamlines.move import move_tractogram
source, target, path, order, threads = sys.argv[1:]
move_tractogram(source, target, PointTransform(path, order=int(order)), threads=int(threads))
"""
CONVERT = """
import sys
from lacuna.streamlines.files.formats import convert
convert(sys.argv[1], sys.argv[2], overwrite=True)
"""
NIBABEL = """
import sys, nibabel
lazy = nibabel.streamlines.load(sys.argv[1], lazy_load=True)
nibabel.streamlines.save(lazy.tractogram, sys.argv[2])
"""


# a process that starts another one lends it its own peak memory: this one is small
LAUNCH = """
import os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(time.perf_counter() - start, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status))
"""


def measure(command: list[object]) -> tuple[float, float]:
    """Wall time (s) and peak memory (MB) of a command."""
    words = [sys.executable, '-S', '-c', LAUNCH, *map(str, command)]
    seconds, memory, code = map(float, run(words, capture_output=True, text=True, check=True).stdout.split())
    if code:
        sys.exit(f'failed: {command}')
    return seconds, memory


def write_warp(transform: PointTransform, path: Path) -> None:
    """Image of the positions to which the field's grid points move, for tcktransform."""
    (field,) = transform._steps
    affine = np.linalg.inv(field.to_voxel)
    shape = tuple(size - 3 for size in field.coefficients.shape[:3])
    grid = nib.affines.apply_affine(affine, np.argwhere(np.ones(shape, bool)))
    nib.Nifti1Image(transform.apply(grid).reshape(*shape, 3).astype('f4'), affine).to_filename(path)


def write_forms(source: Path, folder: Path) -> dict[str, Path]:
    """The tractogram as .trk, .trk.gz and .trx."""
    header = tck.read_header(source)
    blocks = list(tck.iter_blocks(header))
    lengths = np.concatenate([counts for _, counts in blocks])
    names = {ending: folder / f'forms{ending}' for ending in ('.trk', '.trk.gz', '.trx')}
    head = np.zeros((), nib.streamlines.trk.header_2_dtype)
    for key, value in {
        'magic_number': b'TRACK', 'dimensions': (182, 218, 182), 'voxel_sizes': 1, 'voxel_to_rasmm': np.eye(4),
        'voxel_order': b'RAS', 'nb_streamlines': len(lengths), 'version': 2, 'hdr_size': 1000,
    }.items():  # fmt: skip
        head[key] = value
    with names['.trk'].open('wb') as stream:
        stream.write(head.tobytes())
        for points, counts in blocks:
            words = np.empty(3 * len(points) + len(counts), '<f4')
            is_point = np.ones(len(words), bool)
            is_point[3 * (np.cumsum(counts) - counts) + np.arange(len(counts))] = False
            words[~is_point] = counts.astype('<i4').view('<f4')
            words[is_point] = (points + 0.5).ravel()
            stream.write(words.tobytes())
    with names['.trk'].open('rb') as plain, gzip.open(names['.trk.gz'], 'wb', compresslevel=1) as packed:
        shutil.copyfileobj(plain, packed, 2**24)
    with zipfile.ZipFile(names['.trx'], 'w') as archive:
        facts = f'{{"NB_VERTICES": {lengths.sum()}, "NB_STREAMLINES": {len(lengths)}}}'
        archive.writestr('header.json', facts)
        with archive.open('positions.3.float32', 'w', force_zip64=True) as stream:
            for points, _ in blocks:
                stream.write(points.tobytes())
        archive.writestr('offsets.uint64', np.concatenate([[0], np.cumsum(lengths)]).astype('<u8').tobytes())
    return names


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('tractogram', type=Path)
    parser.add_argument('transform', type=Path)
    parser.add_argument('--repeat', type=int, default=3)
    args = parser.parse_args()
    info = tck.scan(args.tractogram)
    millions = info.count / 1e6
    print(f'{info.count} streamlines, {info.vertices} vertices, {len(os.sched_getaffinity(0))} processors\n')
    with tempfile.TemporaryDirectory(dir=args.tractogram.parent) as name:
        folder = Path(name)
        write_warp(PointTransform(args.transform, order=1), folder / 'warp.nii')
        out = folder / 'out.tck'
        two = len(os.sched_getaffinity(0))
        rows: list[tuple[str, list[object], str]] = [
            (f'tcktransform, linear, -nthreads {two}',
             ['tcktransform', '-quiet', '-force', '-nthreads', two, args.tractogram, folder / 'warp.nii', out], 'move'),
        ]  # fmt: skip
        rows += [
            (f'lacuna, {kind}, {threads} thread{"s" * (threads > 1)}',
             [sys.executable, '-c', MOVE, args.tractogram, out, args.transform, order, threads], 'move')
            for kind, order in (('linear', 1), ('cubic', 3)) for threads in sorted({1, two})
        ]  # fmt: skip
        forms = write_forms(args.tractogram, folder)
        save = [sys.executable, '-c', NIBABEL, forms['.trk'], out]
        rows.append(('nibabel, .trk to .tck, lazily', save, 'convert'))
        rows += [
            (f'lacuna convert, {ending} to .tck', [sys.executable, '-c', CONVERT, path, out], 'convert')
            for ending, path in forms.items()
        ]
        # all commands in turn, several times: what else the machine does falls on all of them
        found = [[measure(command) for _, command, _ in rows] for _ in range(args.repeat)]
        print('| what | s per million streamlines | ratio to the first of its kind | peak memory (MB) |')
        print('|---|---|---|---|')
        first: dict[str, float] = {}
        for row, (label, _, kind) in enumerate(rows):
            seconds = min(turn[row][0] for turn in found)
            base = first.setdefault(kind, seconds)
            memory = max(turn[row][1] for turn in found)
            print(f'| {label} | {seconds / millions:.1f} | {seconds / base:.2f} | {memory:.0f} |')


if __name__ == '__main__':
    main()
