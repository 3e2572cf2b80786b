"""Build a streamline index: one pass over the tractogram, in segments of whole streamlines."""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numba
import numpy as np

from lacuna.errors import InputError, StreamlineIndexError, TractogramError
from lacuna.images.spaces import Grid
from lacuna.streamlines.files import tck
from lacuna.streamlines.index import format as index_format
from lacuna.streamlines.index.density import pack_visits
from lacuna.streamlines.index.lattice import Rows
from lacuna.streamlines.index.lattice_build import build_rows
from lacuna.streamlines.index.voxels import VoxelLookup, voxel_lookup
from lacuna.streamlines.sample import upsampling

SELECTION = 'selection'
_SEGMENT_ROWS = 6 * 2**20  # rows of the .tck: 75 MB
_MOST_THREADS = 8  # more segments at a time would take more than 3 GB of memory
_SHARE = 0.5  # upper bound of the index's size, relative to the .tck

Packed = tuple[list[np.ndarray], np.ndarray, np.ndarray]


def density_name(grid: Grid, ratio: int) -> str:
    """Return the name of the part with the visited voxels for a grid and an upsampling factor."""
    text = repr((tuple(grid.shape), np.asarray(grid.affine, float).tolist(), ratio))
    return f'density-{grid.space}-{grid.resolution}mm-x{ratio}-{zlib.crc32(text.encode()):08x}'


def build_index(
    tractogram: str | Path,
    directory: str | Path,
    grid: Grid,
    *,
    upsample: int | None = None,
    nprocs: int = 1,
    progress: Callable[[int], object] | None = None,
    sha256: str | None = None,
) -> Path:
    """Build the index of a tractogram for a grid in `directory`; intact parts are kept.

    If two processes build the same index, the second waits for the first and uses its result. An interrupted build
    leaves no part that looks complete.

    Parameters
    ----------
    tractogram : path
        A ``.tck``.
    directory : path
        Folder of this tractogram's index; it can hold the visited voxels for several grids.
    grid : Grid
        Grid of the density maps.
    upsample : int, optional
        Points per step of a streamline; by default MRtrix3's rule (``lacuna.streamlines.sample.upsampling``).
    nprocs : int
        Number of threads.
    progress : callable, optional
        Called with the number of bytes of the tractogram read since the last call.
    sha256 : str, optional
        Checksum of the tractogram; if given, only an index of this content is used or built. By default, size and
        modification time decide whether an existing index belongs to the file, see `is_source`.

    Returns
    -------
    pathlib.Path
        The part with the visited voxels, for :meth:`lacuna.streamlines.index.query.Index.open`.

    Raises
    ------
    TractogramError
        If the tractogram is unreadable or damaged.
    StreamlineIndexError
        If `directory` cannot be written, the disk is full, or the tractogram changes during the build.
    InputError
        If `upsample` is less than 1.
    """
    if upsample is not None and upsample < 1:
        message = f'the upsampling ratio is {upsample}; it must be at least 1'
        raise InputError(message)
    header = tck.read_header(tractogram)
    lookup = voxel_lookup(grid.affine, grid.shape)
    ratio = upsampling(header.step_size, float(lookup.spacing.min()), upsample)
    directory = Path(directory)
    wanted = _parts(directory, grid, ratio)
    if not _missing(wanted, header.path, sha256):
        return wanted['density']
    needed = int(header.path.stat().st_size * _SHARE)
    with index_format.building(directory, needed):
        missing = _missing(wanted, header.path, sha256)
        job = _Job(header, grid, lookup, ratio, progress, sha256)
        try:
            for kind in missing:
                job.writers[kind] = index_format.PartWriter(wanted[kind], kind)
            if missing:
                job.run(nprocs)
        except BaseException:
            for writer in job.writers.values():
                writer.discard()
            raise
    return wanted['density']


def has_index(
    tractogram: Path, directory: Path, grid: Grid, *, upsample: int | None = None, sha256: str | None = None
) -> bool:
    """Whether `directory` holds a complete index for a grid, judged by manifests and sizes.

    Parameters
    ----------
    tractogram : pathlib.Path
    directory : pathlib.Path
        Folder of the index.
    grid : Grid
        Grid of the density maps.
    upsample : int, optional
        Points per step of a streamline; by default MRtrix3's rule.
    sha256 : str, optional
        Checksum of the tractogram, see `build_index`.
    """
    header = tck.read_header(tractogram)
    ratio = upsampling(header.step_size, float(voxel_lookup(grid.affine, grid.shape).spacing.min()), upsample)
    return not _missing(_parts(directory, grid, ratio), tractogram, sha256, verify=False)


def _parts(directory: Path, grid: Grid, ratio: int) -> dict[str, Path]:
    """Return the folders of the parts of an index."""
    return {SELECTION: directory / SELECTION, 'density': directory / density_name(grid, ratio)}


def _missing(
    wanted: dict[str, Path], tractogram: Path, sha256: str | None, *, verify: bool = True
) -> list[str]:
    """Return the parts that are missing, incomplete or of another tractogram; all, if the selection is."""
    missing = []
    source = None
    for kind, folder in wanted.items():
        try:
            manifest = index_format.read_manifest(folder, kind)
            if verify:
                index_format.verify_arrays(folder, manifest)
        except StreamlineIndexError:
            missing.append(kind)
            continue
        found = manifest['source']
        source = source or found
        belongs = is_source(found, tractogram) if sha256 is None else found['sha256'] == sha256
        if not belongs or found['sha256'] != source['sha256']:
            missing.append(kind)
    return missing


def is_source(source: dict[str, Any], tractogram: Path) -> bool:
    """Whether an index was built from this tractogram.

    Decided by size and modification time; by the checksum if only the time differs.
    """
    try:
        stat = tractogram.stat()
        if stat.st_size != source['size']:
            return False
        if stat.st_mtime_ns == source['mtime_ns']:
            return True
        with tractogram.open('rb') as stream:
            return bool(hashlib.file_digest(stream, 'sha256').hexdigest() == source['sha256'])
    except OSError:
        return False


@dataclass
class _Segment:
    first: int
    points: np.ndarray
    lengths: np.ndarray
    rows: Future[Rows] | None = None
    visits: Future[Packed] | None = None


@dataclass
class _Job:
    """One pass over the tractogram, which writes the missing parts of its index."""

    header: tck.TckHeader
    grid: Grid
    lookup: VoxelLookup
    ratio: int
    progress: Callable[[int], object] | None
    sha256: str | None = None
    writers: dict[str, index_format.PartWriter] = field(default_factory=dict)
    segments: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {SELECTION: [], 'density': []})
    total: np.ndarray | None = None
    streamlines: int = 0
    vertices: int = 0
    at: dict[str, int] = field(default_factory=dict)

    def run(self, nprocs: int) -> None:
        before = self.header.path.stat()
        digest = hashlib.sha256()
        with self.header.path.open('rb') as stream:
            digest.update(stream.read(self.header.offset))
        threads = min(max(1, nprocs), _MOST_THREADS)
        pending: deque[_Segment] = deque()
        with ThreadPoolExecutor(threads) as pool:
            try:
                for segment in self._read(digest):
                    self._submit(pool, segment)
                    pending.append(segment)
                    while len(pending) > -(
                        -threads // len(self.writers)
                    ):  # each segment is one task per part
                        self._write(pending.popleft())
                while pending:
                    self._write(pending.popleft())
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        after = self.header.path.stat()
        is_same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
        if not is_same or self.sha256 not in (None, digest.hexdigest()):
            message = (
                f'{self.header.path} changed while its index was built; run again when the file is complete'
            )
            raise StreamlineIndexError(message)
        if not self.vertices:
            message = f'{self.header.path} has no streamlines'
            raise TractogramError(message)
        self._finish(
            {
                'name': self.header.path.name,
                'size': before.st_size,
                'mtime_ns': before.st_mtime_ns,
                'sha256': digest.hexdigest(),
            }
        )

    def _read(self, digest: Any) -> Iterator[_Segment]:
        def on_bytes(chunk: bytes) -> None:
            digest.update(chunk)
            if self.progress:
                self.progress(len(chunk))

        for points, lengths in tck.iter_blocks(self.header, rows=_SEGMENT_ROWS, on_bytes=on_bytes):
            yield _Segment(self.streamlines, points, lengths)
            self.streamlines += len(lengths)
            self.vertices += len(points)

    def _submit(self, pool: ThreadPoolExecutor, segment: _Segment) -> None:
        if SELECTION in self.writers:
            segment.rows = pool.submit(build_rows, segment.points, segment.lengths)
        if 'density' in self.writers:
            segment.visits = pool.submit(
                pack_visits, segment.points, segment.lengths, self.lookup, self.ratio
            )

    def _write(self, segment: _Segment) -> None:
        about: dict[str, Any] = {'first': segment.first, 'count': len(segment.lengths)}
        if segment.rows:
            rows = segment.rows.result()
            writer = self.writers[SELECTION]
            endpoints, millimetres = endpoints_of(segment.points, segment.lengths)
            writer.append('endpoints', endpoints)
            writer.append('lengths', millimetres)
            writer.append('vertices', segment.lengths.astype(np.uint32))
            where = {
                'blocks': self._append(writer, 'blocks', rows.blocks),
                'rows': self._append(writer, 'rows', rows.data),
                'loose': self._append(writer, 'loose_ids', rows.loose_ids),
            }
            writer.append('loose_points', rows.loose_points)
            self.segments[SELECTION].append({**about, 'box': rows.box, **where})
        if segment.visits:
            codes, starts, total = segment.visits.result()
            writer = self.writers['density']
            where = {'starts': self._append(writer, 'starts', starts), 'codes': [self.at.get('codes', 0), 0]}
            for chunk in codes or [np.empty(0, np.uint8)]:
                where['codes'][1] += self._append(writer, 'codes', chunk)[1]
            self.total = total if self.total is None else self.total + total
            self.segments['density'].append({**about, **where})

    def _append(self, writer: index_format.PartWriter, name: str, array: np.ndarray) -> list[int]:
        """Append an array to a part; return its offset in the file, in elements, and its length."""
        at = self.at.get(name, 0)
        self.at[name] = at + len(array)
        writer.append(name, array)
        return [at, len(array)]

    def _finish(self, source: dict[str, Any]) -> None:
        common = {'source': source, 'streamlines': self.streamlines, 'vertices': self.vertices}
        if SELECTION in self.writers:
            self.writers[SELECTION].finish(
                {**common, 'step_size': self.header.step_size, 'segments': self.segments[SELECTION]}
            )
        if 'density' in self.writers:
            assert self.total is not None  # noqa: S101
            self.writers['density'].append('total', self.total)
            where = {
                'space': self.grid.space,
                'resolution': self.grid.resolution,
                'shape': list(self.grid.shape),
                'affine': np.asarray(self.grid.affine, float).tolist(),
            }
            facts = {'grid': where, 'upsample': self.ratio, 'segments': self.segments['density']}
            self.writers['density'].finish({**common, **facts})


def endpoints_of(points: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and last vertex and the length of each streamline.

    Parameters
    ----------
    points : numpy.ndarray
        (vertices, 3) float32, world mm.
    lengths : numpy.ndarray
        (streamlines,) number of vertices of each streamline.

    Returns
    -------
    endpoints : numpy.ndarray
        (streamlines, 2, 3) float32, world mm; NaN for a streamline without vertices.
    millimetres : numpy.ndarray
        (streamlines,) float32.
    """
    endpoints = np.full((len(lengths), 2, 3), np.nan, np.float32)
    millimetres = np.zeros(len(lengths), np.float32)
    _endpoints(points, lengths, endpoints, millimetres)
    return endpoints, millimetres


@numba.njit(cache=True, nogil=True)
def _endpoints(points, lengths, endpoints, millimetres):  # type: ignore[no-untyped-def]
    row = 0
    for n in range(len(lengths)):
        if lengths[n]:
            last = row + lengths[n] - 1
            for axis in range(3):
                endpoints[n, 0, axis] = points[row, axis]
                endpoints[n, 1, axis] = points[last, axis]
            length = 0.0
            for p in range(row, last):
                x = np.float64(points[p + 1, 0]) - np.float64(points[p, 0])
                y = np.float64(points[p + 1, 1]) - np.float64(points[p, 1])
                z = np.float64(points[p + 1, 2]) - np.float64(points[p, 2])
                length += np.sqrt(x * x + y * y + z * z)
            millimetres[n] = length
        row += lengths[n]
