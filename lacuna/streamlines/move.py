"""Move streamlines from one standard space to another."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lacuna.images.transforms import _ORDER, PointTransform
from lacuna.streamlines.files import tck
from lacuna.streamlines.files.arrays import Progress, replacing_tractogram

#: part of `move_key`; raise it when moved points change
_VERSION = 1

_BLOCK_ROWS = 2**18


@dataclass(frozen=True)
class Moved:
    """Numbers of streamlines and vertices moved.

    Attributes
    ----------
    count, vertices : int
        Numbers of streamlines and vertices.
    outside : int
        Number of vertices outside the box of a displacement field, which were not displaced.
    """

    count: int
    vertices: int
    outside: int


def move_key(tractogram_sha256: str, transform_sha256: str, order: int = _ORDER) -> str:
    """Return the cache key of a moved tractogram, from the content of tractogram and transform."""
    text = f'{_VERSION} {tractogram_sha256} {transform_sha256} {order}'
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def move_blocks(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]], transform: PointTransform, *, threads: int = 1
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Move blocks of streamlines, in order.

    Parameters
    ----------
    blocks : iterable of (numpy.ndarray, numpy.ndarray)
        As `lacuna.streamlines.files.formats.iter_blocks` yields them.
    transform : PointTransform
    threads : int
        Number of blocks moved at the same time; each takes about 100 bytes per vertex.

    Yields
    ------
    points : numpy.ndarray
        (vertices, 3) float32, world mm of the new space.
    lengths : numpy.ndarray
        (streamlines,), unchanged.
    outside : int
        Number of vertices outside the box of a displacement field.
    """

    def move(points: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        moved, outside = transform.apply_and_flag(points)
        return moved.astype(np.float32), lengths, int(np.count_nonzero(outside))

    waiting: deque[Future[tuple[np.ndarray, np.ndarray, int]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for points, lengths in blocks:
            waiting.append(pool.submit(move, points, lengths))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def move_tractogram(
    source: str | Path,
    target: str | Path,
    transform: PointTransform,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Moved:
    """Move the streamlines of a ``.tck`` with a transform, and write them to another.

    The file is read as a stream, so memory does not depend on its size. Number and order of streamlines and vertices
    and all header fields are kept. This includes ``step_size``, from which MRtrix3 computes the upsampling for density
    maps: between standard spaces, distances of vertices change by a few percent only, while without the field there
    would be no upsampling at all.

    Parameters
    ----------
    source, target : path
        ``.tck`` files; `target` is written atomically and replaces an existing file.
    transform : PointTransform
    threads : int, optional
        By default, the number of available processors, at most 8.
    progress : callable, optional
        Called with the number of bytes of the source read since the last call.

    Raises
    ------
    TractogramError
        If the source cannot be read, or the target cannot be written.
    """
    header = tck.read_header(source)
    if threads is None:
        threads = min(len(os.sched_getaffinity(0)), 8)
    vertices = outside = 0

    def moved() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        nonlocal vertices, outside
        on_bytes = None if progress is None else lambda chunk: progress(len(chunk))
        blocks = tck.iter_blocks(header, rows=_BLOCK_ROWS, on_bytes=on_bytes)
        for points, lengths, beyond in move_blocks(blocks, transform, threads=threads):
            vertices += len(points)
            outside += beyond
            yield points, lengths

    with replacing_tractogram(Path(target)) as temporary:
        count = tck.write_blocks(temporary, moved(), header.fields)
    return Moved(count, vertices, outside)
