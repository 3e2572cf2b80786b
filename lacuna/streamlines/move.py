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

#: part of `move_key`; changes whenever moved points would
_VERSION = 1

_BLOCK_ROWS = 2**18


@dataclass(frozen=True)
class Moved:
    """Numbers of moved streamlines and vertices.

    Attributes
    ----------
    count, vertices : int
        Streamlines and vertices.
    outside : int
        Vertices outside the box of a displacement field: these were not displaced.
    """

    count: int
    vertices: int
    outside: int


def move_key(tractogram_sha256: str, transform_sha256: str, order: int = _ORDER) -> str:
    """Return the key of a moved tractogram: depends on the content of tractogram and transform, and on how points are moved."""
    text = f'{_VERSION} {tractogram_sha256} {transform_sha256} {order}'
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def move_blocks(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]], transform: PointTransform, *, threads: int = 1
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Move blocks of streamlines, in their order.

    Parameters
    ----------
    blocks : iterable of (numpy.ndarray, numpy.ndarray)
        As `lacuna.streamlines.files.formats.iter_blocks` yields them.
    transform : PointTransform
    threads : int
        Blocks to work on at the same time; each takes about 100 bytes per vertex.

    Yields
    ------
    points : numpy.ndarray
        (vertices, 3) float32, world mm of the new space.
    lengths : numpy.ndarray
        (streamlines,), unchanged.
    outside : int
        Vertices outside the box of a displacement field.
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
    """Write a ``.tck`` with the streamlines of another one, moved by a transform.

    The file is read in a stream: memory does not depend on its size. The numbers and the order of streamlines and
    vertices stay the same, and so do all header fields. This includes ``step_size``, from which MRtrix3 computes how
    finely to sample streamlines for density maps: between two standard spaces the distance of vertices changes by a few
    percent, and without the field there would be no upsampling at all.

    Parameters
    ----------
    source, target : path
        ``.tck``; `target` appears when it is complete, and replaces an existing file.
    transform : PointTransform
    threads : int, optional
        By default, one for each processor that this process may use, at most 8.
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
