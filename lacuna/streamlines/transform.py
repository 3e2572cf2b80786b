"""Move streamlines from one standard space into another with an ITK transform (TemplateFlow's ``_xfm.h5``).

A transform file that *resamples images* of space B onto template A maps *points* of A to B: for each voxel of A it
says where in B to look. So the points of a tractogram in A are moved into B by the file ``from-B_mode-image`` of A's
template (`lacuna.spaces.transform_name`).
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.errors import InputError
from lacuna.streamlines import tck
from lacuna.streamlines._files import Progress, replacing_tractogram
from lacuna.streamlines.field import DisplacementField

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: spline orders of the interpolation: 3 as nitransforms does it, 1 as ITK and MRtrix3 do
_ORDERS = (1, 3)
_ORDER = 3
#: changes when moved points would: part of `move_key`
_VERSION = 1
_BLOCK_ROWS = 2**18


@dataclass(frozen=True)
class _Affine:
    """Linear step: a 4 x 4 matrix in world mm (RAS+)."""

    matrix: np.ndarray

    def apply(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return points @ self.matrix[:3, :3].T + self.matrix[:3, 3], None


class PointTransform:
    """Maps points of one space to another, read from an ITK composite transform.

    Displacements are interpolated by cubic splines, as nitransforms does, or linearly, as ITK and MRtrix3 do. Outside
    the field's box the displacement is zero (only linear steps act), as in all three.

    Parameters
    ----------
    path : path
        ``.h5`` as ITK writes it: affine transforms and displacement fields, alone or as a composite.
    order : {3, 1}
        Spline order of the interpolation.

    Attributes
    ----------
    path : pathlib.Path
    order : int
    sha256 : str
        Checksum of the file's bytes.

    Raises
    ------
    InputError
        If the file cannot be read, is no transform, or holds one that is not supported.
    """

    def __init__(self, path: str | Path, *, order: int = _ORDER) -> None:
        if order not in _ORDERS:
            message = f'order {order} is not supported; choose from {_ORDERS}'
            raise ValueError(message)
        self.path = Path(path)
        self.order = order
        try:
            with self.path.open('rb') as stream:
                self.sha256 = hashlib.file_digest(stream, 'sha256').hexdigest()
            self._steps = list(_read_steps(self.path, order))
        except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
            message = f'cannot read the transform {self.path}: {error}; get it again'
            raise InputError(message) from error

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Move points.

        Parameters
        ----------
        points : numpy.ndarray
            (n, 3), world mm (RAS+).

        Returns
        -------
        numpy.ndarray
            (n, 3) float64, world mm (RAS+).
        """
        return self.apply_and_flag(points)[0]

    def apply_and_flag(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Move points; also tell which (n,) lay outside the box of a displacement field."""
        moved = np.asarray(points, float).reshape(-1, 3)
        outside = np.zeros(len(moved), bool)
        for step in self._steps:
            moved, beyond = step.apply(moved)
            if beyond is not None:
                outside |= beyond
        return moved, outside


def _read_steps(path: Path, order: int) -> Iterator[_Affine | DisplacementField]:
    """Steps of an ITK transform file in the order in which they act: that of the file, backwards."""
    import h5py

    with h5py.File(path) as file:
        group = file['TransformGroup']
        parts = [group[key] for key in sorted(group, key=int)]
        kinds = [part['TransformType'][0].decode().partition('_')[0] for part in parts]
        for part, kind in zip(reversed(parts), reversed(kinds), strict=True):
            if kind in ('AffineTransform', 'MatrixOffsetTransformBase'):
                yield _Affine(_read_affine(part))
            elif kind == 'DisplacementFieldTransform':
                yield _read_field(part, order)
            elif kind == 'CompositeTransform' and part is parts[0] and len(parts) > 1:
                continue  # the list itself
            elif kind != 'IdentityTransform':
                message = f'a {kind} is not supported'
                raise ValueError(message)


def _parameters(part: Any, name: str) -> Any:
    """A dataset of a transform; older ITK spelt the names without the second s."""
    return part[f'Transform{name}'] if f'Transform{name}' in part else part[f'Tranform{name}']


def _read_affine(part: Any) -> np.ndarray:
    values = np.asarray(_parameters(part, 'Parameters'), float)
    centre = np.asarray(_parameters(part, 'FixedParameters'), float)
    matrix = np.eye(4)
    matrix[:3, :3] = values[:9].reshape(3, 3)
    matrix[:3, 3] = values[9:12] + centre - matrix[:3, :3] @ centre
    return _finite(_LPS @ matrix @ _LPS)


def _read_field(part: Any, order: int) -> DisplacementField:
    fixed = np.asarray(_parameters(part, 'FixedParameters'), float)
    data = _parameters(part, 'Parameters')
    if fixed.shape != (18,) or (fixed[:3] < 2).any() or 3 * int(np.prod(fixed[:3])) != data.size:
        message = f'a displacement field of {data.size} numbers is said to be a grid of {fixed[:3].tolist()}'
        raise ValueError(message)
    shape = tuple(int(size) for size in fixed[:3])
    to_world = np.eye(4)
    to_world[:3, :3] = fixed[9:].reshape(3, 3) * fixed[6:9]
    to_world[:3, 3] = fixed[3:6]
    # stored with the vector's component varying fastest, then x, y, z
    values = np.asarray(data, np.float32).reshape(*shape[::-1], 3)
    displacements = np.empty((3, *shape), np.float32)
    for axis, sign in enumerate((-1, -1, 1)):
        displacements[axis] = sign * _finite(values[..., axis].T)
    return DisplacementField.from_displacements(displacements, _finite(_LPS @ to_world), order)


def _finite(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        message = 'it holds numbers that are not finite'
        raise ValueError(message)
    return values


@dataclass(frozen=True)
class Moved:
    """What was moved.

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
    """What stands for a moved tractogram: depends on content of tractogram and transform, and on how points are moved."""
    text = f'{_VERSION} {tractogram_sha256} {transform_sha256} {order}'
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def move_blocks(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]], transform: PointTransform, *, threads: int = 1
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Move blocks of streamlines, in their order.

    Parameters
    ----------
    blocks : iterable of (numpy.ndarray, numpy.ndarray)
        As `lacuna.streamlines.formats.iter_blocks` yields them.
    transform : PointTransform
    threads : int
        Blocks to work on at the same time; each takes about 100 bytes for a vertex.

    Yields
    ------
    points : numpy.ndarray
        (vertices, 3) float32, world mm of the new space.
    lengths : numpy.ndarray
        (streamlines,) unchanged.
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

    The file is read in a stream: memory does not depend on its size. Streamlines and vertices stay as many as they
    were, in their order. All header fields stay, ``step_size`` too, by which MRtrix3 chooses how finely to sample a
    streamline for density maps: between two standard spaces the distance of vertices changes by some percent, and
    without the field there would be no upsampling at all.

    Parameters
    ----------
    source, target : path
        ``.tck``; `target` appears when it is complete, and replaces a file of this name.
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
