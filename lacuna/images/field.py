"""Displacement fields, interpolated with splines between the grid points."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np


@dataclass(frozen=True)
class DisplacementField:
    """Displacements on a grid, prepared for interpolation.

    Attributes
    ----------
    coefficients : numpy.ndarray
        (x + 3, y + 3, z + 3, 4) float32, spline coefficients of the displacements in mm, mirrored at the borders (one
        point before the grid, two after it). The fourth component is padding, which makes the loops fast.
    to_voxel : numpy.ndarray
        4 x 4, world mm (RAS+) to voxel indices of the grid.
    order : int
        Order of the spline: 3 or 1.
    """

    coefficients: np.ndarray
    to_voxel: np.ndarray
    order: int

    @classmethod
    def from_displacements(
        cls, displacements: np.ndarray, affine: np.ndarray, order: int = 3
    ) -> DisplacementField:
        """Prepare a displacement field.

        Parameters
        ----------
        displacements : numpy.ndarray
            (3, x, y, z) float32, mm (RAS+).
        affine : numpy.ndarray
            4 x 4, voxel indices to world mm (RAS+).
        order : {3, 1}
        """
        from scipy.ndimage import spline_filter

        shape = displacements.shape[1:]
        coefficients = np.zeros((*(size + 3 for size in shape), 4), np.float32)
        for axis, component in enumerate(displacements):
            values = spline_filter(component, order, np.float32, mode='mirror') if order > 1 else component
            coefficients[..., axis] = np.pad(values, (1, 2), mode='reflect')
        return cls(coefficients, np.linalg.inv(affine), order)

    def apply(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Displace points.

        Parameters
        ----------
        points : numpy.ndarray
            (n, 3) float64, world mm.

        Returns
        -------
        moved : numpy.ndarray
            (n, 3) float64, world mm. Points outside the outermost voxel centres do not move.
        outside : numpy.ndarray
            (n,) bool, whether each point is outside.
        """
        moved = np.array(points, np.float64, order='C')
        outside = np.zeros(len(moved), np.bool_)
        _displace(self.coefficients, self.to_voxel, self.order, moved, outside)
        return moved, outside


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _weights(t: np.float32, order: int, weights: np.ndarray) -> None:
    """Compute the weights of four grid points for a point at fraction `t` between the middle two, into `weights`."""
    one = np.float32(1)
    half = np.float32(0.5)
    u = one - t
    if order == 1:
        weights[0], weights[1], weights[2], weights[3] = np.float32(0), u, t, np.float32(0)
        return
    weights[0] = u * u * u * np.float32(1 / 6)
    weights[1] = np.float32(2 / 3) - half * t * t * (one + u)
    weights[2] = np.float32(2 / 3) - half * u * u * (one + t)
    weights[3] = t * t * t * np.float32(1 / 6)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _displace(
    coefficients: np.ndarray, to_voxel: np.ndarray, order: int, points: np.ndarray, outside: np.ndarray
) -> None:
    """Add the displacement to each point, in place; flag points outside the grid.

    Voxel coordinates are computed in float64, the displacements (a few mm) in float32.
    """
    last = (coefficients.shape[0] - 4, coefficients.shape[1] - 4, coefficients.shape[2] - 4)
    along_x, along_y, along_z = np.empty(4, np.float32), np.empty(4, np.float32), np.empty(4, np.float32)
    m = to_voxel
    for n in range(len(points)):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        a = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]
        b = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]
        c = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
        if not (0 <= a <= last[0] and 0 <= b <= last[1] and 0 <= c <= last[2]):
            outside[n] = True
            continue
        i, j, k = int(a), int(b), int(c)
        _weights(np.float32(a - i), order, along_x)
        _weights(np.float32(b - j), order, along_y)
        _weights(np.float32(c - k), order, along_z)
        dx = dy = dz = np.float32(0)
        for p in range(4):
            for q in range(4):
                weight_xy = along_x[p] * along_y[q]
                for r in range(4):
                    weight = weight_xy * along_z[r]
                    dx += weight * coefficients[i + p, j + q, k + r, 0]
                    dy += weight * coefficients[i + p, j + q, k + r, 1]
                    dz += weight * coefficients[i + p, j + q, k + r, 2]
        points[n, 0], points[n, 1], points[n, 2] = x + dx, y + dy, z + dz
