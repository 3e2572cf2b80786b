"""Transforms of points between standard spaces, in the format of TemplateFlow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.errors import InputError, reason_of
from lacuna.images.spaces import find_transform

if TYPE_CHECKING:
    from lacuna.images.field import DisplacementField


@dataclass(frozen=True)
class Transform:
    """The file that moves points from one space to another."""

    path: Path
    sha256: str


def find_transform_of_points(source: str, target: str) -> Transform | None:
    """Return the transform of points from one space to another; None if both share their coordinates.

    Parameters
    ----------
    source, target : str
        Names of standard spaces.

    Returns
    -------
    Transform or None

    Raises
    ------
    InputError
        If it is not available.
    """
    if source == target:
        return None
    path = find_transform(source, target)
    with path.open('rb') as stream:
        return Transform(path, hashlib.file_digest(stream, 'sha256').hexdigest())


def check_same(found: Transform, read: PointTransform) -> None:
    """Raise InputError if a transform is not the one that was found, on which names in the cache depend."""
    if read.sha256 != found.sha256:
        message = f'{found.path} has changed since it was first read; run again'
        raise InputError(message)


_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

#: spline orders of the interpolation: 3 as in nitransforms, 1 as in ITK and MRtrix3
_ORDERS = (1, 3)

_ORDER = 3


@dataclass(frozen=True)
class _Affine:
    """Linear step of a transform: a 4 x 4 matrix in world mm (RAS+)."""

    matrix: np.ndarray

    def apply(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return points @ self.matrix[:3, :3].T + self.matrix[:3, 3], None


class PointTransform:
    """Map points of one space to another, read from an ITK composite transform.

    Displacements are interpolated with cubic splines, as in nitransforms, or linearly, as in ITK and MRtrix3. Outside
    the box of the field the displacement is zero (linear steps still apply), as in all three.

    Parameters
    ----------
    path : path
        ``.h5`` written by ITK: affine transforms and displacement fields, single or as a composite.
    order : {3, 1}
        Spline order of the interpolation.

    Attributes
    ----------
    path : pathlib.Path
    order : int
    sha256 : str
        SHA-256 of the file.

    Raises
    ------
    InputError
        If the file is unreadable, not a transform, or contains an unsupported one.
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
            message = f'cannot read the transform {self.path}: {reason_of(error, self.path)}; fetch it again'
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
        """Move points; also return which of them, (n,) bool, are outside the box of a displacement field.

        Parameters
        ----------
        points : numpy.ndarray
            (n, 3), world mm (RAS+).

        Returns
        -------
        moved : numpy.ndarray
            (n, 3) float64, world mm (RAS+).
        outside : numpy.ndarray
            (n,) bool.
        """
        moved = np.asarray(points, float).reshape(-1, 3)
        outside = np.zeros(len(moved), bool)
        for step in self._steps:
            moved, beyond = step.apply(moved)
            if beyond is not None:
                outside |= beyond
        return moved, outside


def _read_steps(path: Path, order: int) -> Iterator[_Affine | DisplacementField]:
    """Yield the steps of an ITK transform in the order of application, which is the reverse of the file's."""
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
                continue  # the composite itself
            elif kind != 'IdentityTransform':
                message = f'a {kind} is not supported'
                raise ValueError(message)


def _parameters(part: Any, name: str) -> Any:
    """Return a dataset of a transform; older versions of ITK misspelt the names."""
    return part[f'Transform{name}'] if f'Transform{name}' in part else part[f'Tranform{name}']


def _read_affine(part: Any) -> np.ndarray:
    values = np.asarray(_parameters(part, 'Parameters'), float)
    centre = np.asarray(_parameters(part, 'FixedParameters'), float)
    matrix = np.eye(4)
    matrix[:3, :3] = values[:9].reshape(3, 3)
    matrix[:3, 3] = values[9:12] + centre - matrix[:3, :3] @ centre
    return _finite(_LPS @ matrix @ _LPS)


def _read_field(part: Any, order: int) -> DisplacementField:
    from lacuna.images.field import DisplacementField  # imports numba

    fixed = np.asarray(_parameters(part, 'FixedParameters'), float)
    data = _parameters(part, 'Parameters')
    if fixed.shape != (18,) or (fixed[:3] < 2).any() or 3 * int(np.prod(fixed[:3])) != data.size:
        message = f'a displacement field of {data.size} numbers cannot have a grid of {fixed[:3].tolist()}'
        raise ValueError(message)
    shape = tuple(int(size) for size in fixed[:3])
    to_world = np.eye(4)
    to_world[:3, :3] = fixed[9:].reshape(3, 3) * fixed[6:9]
    to_world[:3, 3] = fixed[3:6]
    # vector components vary fastest, then x, y, z
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
