"""Query a streamline index: which streamlines a mask cuts, and how many of them visit each voxel.

Results equal those of ``tckedit -include`` and ``tckmap`` of MRtrix3 bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.errors import InputError, StreamlineIndexError
from lacuna.images.spaces import Grid
from lacuna.streamlines.index import format as index_format
from lacuna.streamlines.index.build import SELECTION, is_source
from lacuna.streamlines.index.density import add_visits, step_table
from lacuna.streamlines.index.lattice import mark_rows
from lacuna.streamlines.index.masks import MaskOnLattice, Wanted, mark_loose, mask_on_lattice
from lacuna.streamlines.index.vertices import mark_crossing, read_vertices
from lacuna.streamlines.index.voxels import voxel_lookup

#: number of streamlines of the tractogram whose factors are summed at a time
BLOCK = 2**20


@dataclass(frozen=True)
class _SelectionSegment:
    first: int
    count: int
    box: np.ndarray
    blocks: np.ndarray
    rows: np.ndarray
    loose_ids: np.ndarray
    loose_points: np.ndarray


@dataclass(frozen=True)
class _DensitySegment:
    first: int
    count: int
    starts: np.ndarray
    base: int


class Index:
    """An index on disk, open for queries; see `Index.open`.

    The arrays are memory-mapped: they are shared between processes and take no extra memory.
    """

    def __init__(self, density: Path, tractogram: Path | None, verify: bool, nprocs: int) -> None:
        #: the folder passed to `open`
        self.part = density
        self.directory = density.parent
        self.nprocs = max(1, nprocs)
        self._tractogram = tractogram
        selection = self.directory / SELECTION
        self._selection = index_format.read_manifest(selection, SELECTION)
        self._density = index_format.read_manifest(density, 'density')
        if self._density['source']['sha256'] != self._selection['source']['sha256']:
            message = f'{density} and {selection} belong to different tractograms; delete both and run again'
            raise StreamlineIndexError(message)
        if tractogram is not None and not is_source(self._selection['source'], tractogram):
            message = (
                f'the streamline index in {self.directory} does not match {tractogram}; '
                'delete the folder and run again to rebuild it'
            )
            raise StreamlineIndexError(message)
        if verify:
            index_format.verify_arrays(selection, self._selection)
            index_format.verify_arrays(density, self._density)
        try:
            self.grid = _grid(self._density['grid'])
            self.upsample: int = self._density['upsample']
            self._table = step_table(voxel_lookup(self.grid.affine, self.grid.shape))
            self._map(selection, density)
        except (KeyError, ValueError, TypeError, IndexError, OverflowError, InputError) as error:
            raise index_format.damaged(self.directory) from error

    @classmethod
    def open(
        cls,
        density: str | Path,
        *,
        tractogram: str | Path | None = None,
        verify: bool = True,
        nprocs: int = 1,
    ) -> Index:
        """Open the index for a grid.

        Parameters
        ----------
        density : path
            The part with the visited voxels for the grid, returned by `build_index`.
        tractogram : path, optional
            The source, which must be unchanged. Needed to read streamlines, and for masks that do not lie on the 1 mm
            lattice.
        verify : bool
            Compare every byte with its checksum (0.2 s per GB); otherwise only manifests and sizes are checked.
        nprocs : int
            Number of threads per query.

        Raises
        ------
        StreamlineIndexError
            If there is no index, or it is damaged, of another version, or of another tractogram.
        """
        return cls(Path(density), None if tractogram is None else Path(tractogram), verify, nprocs)

    def _map(self, selection: Path, density: Path) -> None:
        def array(name: str) -> np.ndarray:
            return index_format.map_array(selection, self._selection, name)

        self.streamlines: int = self._selection['streamlines']
        self.source_sha256: str = self._selection['source']['sha256']
        #: (streamlines, 2, 3) float32, first and last vertex, world mm; NaN for a streamline without vertices
        self.endpoints: np.ndarray = array('endpoints').reshape(-1, 2, 3)
        #: (streamlines,) float32, mm
        self.lengths: np.ndarray = array('lengths')
        #: (streamlines,) uint32, number of vertices
        self.vertices: np.ndarray = array('vertices')
        blocks, rows, loose_ids = array('blocks'), array('rows'), array('loose_ids')
        loose_points = array('loose_points').reshape(-1, 3)
        self._selections = [
            _SelectionSegment(
                segment['first'],
                segment['count'],
                np.array(segment['box'], np.int64),
                _checked_slice(blocks, segment['blocks']),
                _checked_slice(rows, segment['rows']),
                _checked_slice(loose_ids, segment['loose']),
                _checked_slice(loose_points, segment['loose']),
            )
            for segment in self._selection['segments']
        ]
        starts = index_format.map_array(density, self._density, 'starts')
        self._codes = index_format.map_array(density, self._density, 'codes')
        #: uint32 on the grid, number of streamlines that visit each voxel
        self.total_density: np.ndarray = index_format.map_array(density, self._density, 'total').reshape(
            self.grid.shape
        )
        self._densities = [
            _DensitySegment(
                segment['first'],
                segment['count'],
                _checked_slice(starts, segment['starts']),
                segment['codes'][0],
            )
            for segment in self._density['segments']
        ]
        if not self._fits():
            raise index_format.damaged(self.directory)

    def _fits(self) -> bool:
        """Whether the arrays have the lengths that compiled code assumes without checking."""
        return (
            len(self.vertices) == len(self.endpoints) == len(self.lengths) == self.streamlines
            and all(
                len(segment.box) == 6
                and (segment.box >= 0).all()
                and len(segment.blocks) == math.prod(segment.box[3:].tolist()) + 1
                for segment in self._selections
            )
            and all(
                type(segment.base) is int
                and 0 <= segment.base <= len(self._codes)
                and len(segment.starts) == segment.count + 1
                for segment in self._densities
            )
            and all(
                type(first) is int and type(count) is int and first >= 0
                for first, count in [(segment.first, segment.count) for segment in self._selections]
                + [(segment.first, segment.count) for segment in self._densities]
            )
        )

    def select(self, mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """Select the streamlines with a vertex in a mask, as ``tckedit -include`` does.

        Parameters
        ----------
        mask : numpy.ndarray
            (i, j, k) bool, on any grid.
        affine : numpy.ndarray
            (4, 4), voxel indices of the mask to world mm; for a NIfTI file see `lacuna.images.nifti.nifti_affine`.

        Returns
        -------
        numpy.ndarray
            (n,) uint32, ascending indices of the streamlines in the file, from 0.

        Raises
        ------
        MaskError
            If the mask is empty or not a volume.
        StreamlineIndexError
            If the index is damaged; or if the mask does not lie on the 1 mm lattice, and the tractogram was not given
            or has changed.
        """
        return self.select_on_lattice(mask_on_lattice(mask, affine))

    def select_on_lattice(self, mask: MaskOnLattice) -> np.ndarray:
        """Select the streamlines with a vertex in a prepared mask, see `select`."""
        return np.flatnonzero(self._values(mask) != 0).astype(np.uint32)

    def grades(self, mask: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Select the streamlines with a vertex in a graded mask, and the greatest value along each.

        Parameters
        ----------
        mask : numpy.ndarray
            (i, j, k) float, 0 or above, on any grid.
        affine : numpy.ndarray
            See `select`.

        Returns
        -------
        ids : numpy.ndarray
            (n,) uint32, result of `select` for the voxels above 0.
        grades : numpy.ndarray
            (n,) float32, above 0.

        Raises
        ------
        MaskError, StreamlineIndexError
            See `select`.
        """
        return self.grades_on_lattice(mask_on_lattice(mask, affine, graded=True))

    def grades_on_lattice(self, mask: MaskOnLattice) -> tuple[np.ndarray, np.ndarray]:
        """Select the streamlines with a vertex in a prepared graded mask, and their values, see `grades`."""
        found = self._values(mask)
        ids = np.flatnonzero(found != 0)
        return ids.astype(np.uint32), found[ids]

    def _values(self, mask: MaskOnLattice) -> np.ndarray:
        """Return the greatest value of a mask along each streamline, (streamlines,), with the mask's dtype."""
        marks = self._marks(mask.certain, mask.flat.dtype)
        self._mark_loose(mask, marks)
        if mask.possible is not None:
            doubtful = self._marks(mask.possible, np.dtype(np.uint8)).view(bool)
            if mask.flat.dtype == np.uint8:  # already the greatest value
                doubtful &= marks == 0
            self._mark_candidates(np.flatnonzero(doubtful), mask, marks)
        return marks

    def with_threads(self, nprocs: int) -> Index:
        """Return the same index with another number of threads per query."""
        other = copy(self)
        other.nprocs = max(1, nprocs)
        return other

    def _marks(self, wanted: Wanted, kind: np.dtype) -> np.ndarray:
        marks = np.zeros(self.streamlines, kind)

        def run(segment: _SelectionSegment) -> bool:
            part = marks[segment.first : segment.first + segment.count]
            return bool(
                mark_rows(
                    segment.box, segment.blocks, segment.rows, wanted.keys, wanted.voxels, wanted.grades, part
                )
            )

        if not all(self._map_threads(run, self._selections)):
            raise index_format.damaged(self.directory)
        return marks

    def _mark_loose(self, mask: MaskOnLattice, marks: np.ndarray) -> None:
        for segment in self._selections:
            part = marks[segment.first : segment.first + segment.count]
            mark_loose(segment.loose_ids, segment.loose_points, mask.lookup, mask.flat, part)

    def _mark_candidates(self, candidates: np.ndarray, mask: MaskOnLattice, marks: np.ndarray) -> None:
        """Mark the candidates with a vertex in the mask, reading their vertices from the tractogram."""
        if not len(candidates):
            return
        source = self._unchanged_tractogram(
            'this mask does not lie on the 1 mm lattice of the streamline index'
        )
        mark_crossing(source, self._first_rows, self.vertices, candidates, mask, marks, self.nprocs)

    def _unchanged_tractogram(self, why: str) -> Path:
        if self._tractogram is None:
            message = f'{why}, so the tractogram itself is needed; give its path when opening the index'
            raise StreamlineIndexError(message)
        if not is_source(self._selection['source'], self._tractogram):
            message = f'{self._tractogram} changed since its index was built; run again to rebuild it'
            raise StreamlineIndexError(message)
        return self._tractogram

    def read(self, ids: np.ndarray) -> list[np.ndarray]:
        """Read the vertices of some streamlines from the tractogram.

        Parameters
        ----------
        ids : numpy.ndarray
            (n,) indices of streamlines.

        Returns
        -------
        list of numpy.ndarray
            Each (vertices, 3) float32, world mm.

        Raises
        ------
        StreamlineIndexError
            If the tractogram was not given, or has changed.
        """
        source = self._unchanged_tractogram('the index holds no vertices')
        return read_vertices(source, self._first_rows, self.vertices, ids)

    @cached_property
    def _first_rows(self) -> np.ndarray:
        """Row of the tractogram's data at which each streamline begins, (streamlines,) int64."""
        ends = np.cumsum(self.vertices, dtype=np.int64) + np.arange(1, self.streamlines + 1)
        return ends - 1 - self.vertices

    def density(self, ids: np.ndarray, factors: np.ndarray | None = None) -> np.ndarray:
        """Count the streamlines that visit each voxel, as ``tckmap -template`` does, or sum their factors.

        Factors are summed in float64, in the order of the tractogram and in blocks of 1,048,576 of its streamlines:
        sums do not depend on the number of threads, and never exceed those of a larger selection.

        Parameters
        ----------
        ids : numpy.ndarray
            (n,) ascending indices of streamlines, from `select`.
        factors : numpy.ndarray, optional
            (n,) float, non-negative: how much each streamline counts.

        Returns
        -------
        numpy.ndarray
            On the grid; uint32 counts, or float64 sums of factors.

        Raises
        ------
        StreamlineIndexError
            If the index is damaged.
        """
        ids = np.asarray(ids, np.uint32)
        if factors is not None:
            return self._weighted_sum(ids, np.asarray(factors, np.float64))
        if 2 * len(ids) > self.streamlines:
            others = np.ones(self.streamlines, bool)
            others[ids] = False
            return self.total_density - self._count(np.flatnonzero(others).astype(np.uint32))
        return self._count(ids)

    def _count(self, ids: np.ndarray) -> np.ndarray:
        def run(share: np.ndarray) -> np.ndarray | None:
            return self._visits(share, np.ones(len(share), np.uint32))

        shares = np.array_split(ids, min(self.nprocs, 1 + len(ids) // 10_000))
        return self._sum_in_order(self._map_threads(run, shares))

    def _weighted_sum(self, ids: np.ndarray, factors: np.ndarray) -> np.ndarray:
        def run(block: slice) -> np.ndarray | None:
            return self._visits(ids[block], factors[block])

        firsts = np.arange(0, self.streamlines + BLOCK, BLOCK).astype(np.uint32)
        edges: list[int] = np.searchsorted(ids, firsts).tolist()
        blocks = [slice(first, end) for first, end in pairwise(edges) if end > first] or [slice(0)]
        # one block per thread at a time, to keep few sums in memory
        total = self._sum_in_order(self._map_threads(run, blocks[: self.nprocs]))
        for at in range(self.nprocs, len(blocks), self.nprocs):
            total = self._sum_in_order([total, *self._map_threads(run, blocks[at : at + self.nprocs])])
        return total

    def _visits(self, ids: np.ndarray, weights: np.ndarray) -> np.ndarray | None:
        """Sum the weights of the streamlines that visit each voxel, in their order; None if the index is damaged."""
        out = np.zeros(math.prod(self.grid.shape), weights.dtype)
        for segment, part in self._parts(ids):
            local = ids[part] - np.uint32(segment.first)
            code = (self._codes, segment.starts, segment.base, local, self._table)
            if not add_visits(*code, weights[part], out):
                return None
        return out

    def _sum_in_order(self, sums: Sequence[np.ndarray | None]) -> np.ndarray:
        """Add arrays in order, into the first of them."""
        found = [part.reshape(self.grid.shape) for part in sums if part is not None]
        if len(found) < len(sums):
            raise index_format.damaged(self.directory)
        for part in found[1:]:
            found[0] += part
        return found[0]

    def _parts(self, ids: np.ndarray) -> Iterator[tuple[_DensitySegment, slice]]:
        """Yield the segments that contain some of the ascending `ids`, with their slice of `ids`."""
        for segment in self._densities:
            low, high = np.searchsorted(ids, [segment.first, segment.first + segment.count]).tolist()
            if high > low:
                yield segment, slice(low, high)

    def _map_threads(self, run: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        if self.nprocs == 1 or len(items) < 2:
            return [run(item) for item in items]
        with ThreadPoolExecutor(self.nprocs) as pool:
            return list(pool.map(run, items))


def _grid(facts: dict[str, Any]) -> Grid:
    grid = Grid(facts['space'], facts['resolution'], tuple(facts['shape']), np.array(facts['affine'], float))
    if (
        not all(type(size) is int and size > 0 for size in grid.shape)
        or not (np.abs(grid.affine) < 1e6).all()
    ):
        message = 'a grid without voxels, or far from any head'
        raise ValueError(message)
    return grid


def _checked_slice(array: np.ndarray, where: list[int]) -> np.ndarray:
    first, count = where
    if not 0 <= first <= first + count <= len(array):
        message = 'a segment reaches beyond its array'
        raise ValueError(message)
    return array[first : first + count]
