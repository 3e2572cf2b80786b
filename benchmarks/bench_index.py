"""The streamline index and plain MRtrix3, side by side: time to build, time to answer, growth with size.

Every figure is a median; the two sides take turns, so that other work on the machine hits both. MRtrix3 reads its input
from the page cache; the index answers in this process, warm. ``bench.py`` runs it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np

from lacuna.images.nifti import nifti_affine
from lacuna.images.spaces import standard_grid
from lacuna.measures import connectivity
from lacuna.streamlines.index.assignment import assign
from lacuna.streamlines.index.build import build_index
from lacuna.streamlines.index.masks import mask_on_lattice
from lacuna.streamlines.index.query import Index

_PEAK = """
import resource, sys
from lacuna.images.spaces import standard_grid
from lacuna.streamlines.index.build import build_index
build_index(sys.argv[1], sys.argv[2], standard_grid(sys.argv[3], int(sys.argv[4])), nprocs=int(sys.argv[5]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def in_turn(repeat: int, **sides: Callable[[], object]) -> dict[str, float]:
    """Median seconds of each side; the sides take turns."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeat):
        for name, run in sides.items():
            times[name].append(seconds(run))
    return {name: float(np.median(values)) for name, values in times.items()}


class Bench:
    def __init__(self, arguments: argparse.Namespace, work: Path) -> None:
        self.arguments, self.work = arguments, work
        self.grid = standard_grid(arguments.space, arguments.resolution)
        self.template = work / 'template.nii'
        nib.save(nib.Nifti1Image(np.zeros(self.grid.shape, np.uint8), self.grid.affine), self.template)
        atlas = nib.load(arguments.atlas)
        values, labels = np.unique(np.asarray(atlas.dataobj), return_inverse=True)
        self.labels, self.parcels = labels.reshape(atlas.shape).astype(np.int32), len(values) - 1
        self.affine = nifti_affine(atlas.header)

    def mrtrix(self, *command: object) -> None:
        threads = ('-nthreads', self.arguments.threads, '-quiet', '-force')
        subprocess.run([str(word) for word in (*command, *threads)], check=True)

    def tckmap(self, tractogram: Path) -> None:
        upsample = () if self.arguments.upsample is None else ('-upsample', self.arguments.upsample)
        self.mrtrix('tckmap', '-template', self.template, *upsample, tractogram, self.work / 'map.nii')

    def build(self, tractogram: Path, directory: Path) -> Path:
        shutil.rmtree(directory, ignore_errors=True)
        return build_index(
            tractogram, directory, self.grid, upsample=self.arguments.upsample, nprocs=self.arguments.threads
        )

    def open(self, tractogram: Path, part: Path) -> Index:
        return Index.open(part, tractogram=tractogram, nprocs=self.arguments.threads)

    def builds(self, tractogram: Path, repeat: int) -> None:
        directory = self.work / 'index'
        self.part = self.build(tractogram, directory)  # compiles
        times = in_turn(
            repeat, tckmap=lambda: self.tckmap(tractogram), index=lambda: self.build(tractogram, directory)
        )
        print(
            f'build: tckmap {times["tckmap"]:.2f} s, index {times["index"]:.2f} s, '
            f'ratio {times["index"] / times["tckmap"]:.2f}; '
            f'size {share(directory, tractogram):.2f} of the .tck; peak memory {self.peak(tractogram):.2f} GB'
        )

    def peak(self, tractogram: Path) -> float:
        """Peak memory of a process that builds, in GB; the index stays in ``peak``."""
        shutil.rmtree(self.work / 'peak', ignore_errors=True)
        where = (self.arguments.space, self.arguments.resolution, self.arguments.threads)
        command = [sys.executable, '-c', _PEAK, tractogram, self.work / 'peak', *where]
        done = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
        return int(done.stdout) / 1e6

    def large(self, tractogram: Path, lesions: list[Path]) -> None:
        """One build, and the answers to some lesions."""
        took = seconds(lambda: print(f'build: peak memory {self.peak(tractogram):.2f} GB'))
        part = next((self.work / 'peak').glob('density-*'))
        print(f'build: {took:.0f} s, size {share(part.parent, tractogram):.2f} of the .tck')
        index = self.open(tractogram, part)
        for path in lesions:
            image = nib.load(path)
            mask, affine = np.asarray(image.dataobj) != 0, nifti_affine(image.header)
            times = in_turn(self.arguments.repeat, ask=partial(select_and_map, index, mask, affine))
            print(f'{path.name[:32]:32s} select and map {1000 * times["ask"]:.0f} ms')

    def queries(self, tractogram: Path, lesions: list[Path], repeat: int) -> None:
        index = self.open(tractogram, self.part)
        pairs = assign(index.endpoints, self.labels, self.affine, nprocs=self.arguments.threads)
        full = connectivity(pairs, self.parcels)
        print(
            f'{"lesion":32s} {"ml":>7s} {"hits":>9s} {"MRtrix3 s":>10s} {"index ms":>9s} {"times":>7s} {"of gather":>9s}'
        )
        for path in lesions:
            image = nib.load(path)
            mask = np.asarray(image.dataobj) != 0
            affine = nifti_affine(image.header)
            ids = index.select(mask, affine)

            times = in_turn(
                repeat,
                mrtrix=partial(self.ask_mrtrix, tractogram, path),
                index=partial(answer, index, mask, affine, pairs, full),
                gather=touch(index, mask, affine, ids),
            )
            volume = mask.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000
            print(
                f'{path.name[:32]:32s} {volume:7.1f} {len(ids):9d} {times["mrtrix"]:10.2f} '
                f'{1000 * times["index"]:9.1f} {times["mrtrix"] / times["index"]:7.0f} '
                f'{times["index"] / times["gather"]:9.2f}'
            )
        masks = [
            (np.asarray(nib.load(path).dataobj) != 0, nifti_affine(nib.load(path).header)) for path in lesions
        ]
        for count in (1, 10, 100):
            start = time.perf_counter()
            for n in range(count):
                answer(index, *masks[n % len(masks)], pairs, full)
            print(f'{count} lesions: {time.perf_counter() - start:.2f} s')

    def ask_mrtrix(self, tractogram: Path, lesion: Path) -> None:
        chosen = self.work / 'chosen.tck'
        self.mrtrix('tckedit', '-include', lesion, tractogram, chosen)
        self.tckmap(chosen)
        matrix = self.work / 'matrix.csv'
        self.mrtrix('tck2connectome', '-symmetric', '-zero_diagonal', chosen, self.arguments.atlas, matrix)

    def growth(
        self, tractogram: Path, lesion: Path, shares: list[int], repeat: int
    ) -> dict[int, tuple[float, float]]:
        """Seconds to build and milliseconds to answer, for parts of the tractogram."""
        found = {}
        image = nib.load(lesion)
        mask, affine = np.asarray(image.dataobj) != 0, nifti_affine(image.header)
        for count in shares:
            part, directory = self.work / 'part.tck', self.work / 'part'
            self.mrtrix('tckedit', '-number', count, tractogram, part)
            builds = in_turn(repeat, build=partial(self.build, part, directory))
            index = self.open(part, next(directory.glob('density-*')))
            asks = in_turn(repeat + 1, ask=partial(select_and_map, index, mask, affine))
            found[count] = builds['build'], 1000 * asks['ask']
            print(
                f'{count:9d} streamlines: build {found[count][0]:6.2f} s, '
                f'select and map {found[count][1]:6.1f} ms'
            )
        return found


def share(directory: Path, tractogram: Path) -> float:
    """Size of an index as a share of its tractogram."""
    size = sum(path.stat().st_size for path in directory.rglob('*') if path.is_file())
    return size / tractogram.stat().st_size


def answer(index: Index, mask: np.ndarray, affine: np.ndarray, pairs: np.ndarray, full: np.ndarray) -> None:
    """A map in percent, four matrices and the loss of each parcel."""
    ids = index.select(mask, affine)
    whole = index.total_density
    np.divide(100.0 * index.density(ids), whole, out=np.zeros(whole.shape), where=whole > 0)
    cut = connectivity(pairs, len(full), ids)
    intact = full - cut
    assert (intact >= 0).all()
    np.divide(100.0 * cut, full, out=np.zeros(full.shape), where=full > 0)
    total = full.sum(axis=1)
    np.divide(100.0 * cut.sum(axis=1), total, out=np.zeros(len(total)), where=total > 0)


def select_and_map(index: Index, mask: np.ndarray, affine: np.ndarray) -> None:
    index.density(index.select(mask, affine))


def touch(index: Index, mask: np.ndarray, affine: np.ndarray, ids: np.ndarray) -> Callable[[], None]:
    """One numpy gather-and-add over the bytes of the index that the answer reads."""
    words, codes = [], []
    wanted = mask_on_lattice(mask, affine).certain.keys
    for segment in index._selections:
        x, y, layer = wanted // 4096, wanted // 16 % 256, wanted % 16
        box = segment.box
        local = np.column_stack([x - box[0], y - box[1], layer - box[2]])
        local = local[((local >= 0) & (local < box[3:])).all(axis=1)]
        block = (local[:, 0] * box[4] + local[:, 1]) * box[5] + local[:, 2]
        words.append((segment.rows, spans(segment.blocks[block], segment.blocks[block + 1])))
    rest = np.setdiff1d(np.arange(index.streamlines), ids) if 2 * len(ids) > index.streamlines else ids
    for segment, local in index._local(rest.astype(np.uint32)):
        base = np.int64(segment.base)
        codes.append((index._codes, spans(base + segment.starts[local], base + segment.starts[local + 1])))

    def run() -> None:
        for array, places in (*words, *codes):
            np.bincount(array[places], minlength=65536)

    return run


def spans(begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    begins, counts = begins.astype(np.int64), (ends - begins).astype(np.int64)
    return np.repeat(begins - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
