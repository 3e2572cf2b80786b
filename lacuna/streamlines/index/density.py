"""The voxels that streamlines visit, as ``tckmap`` counts them, packed into about one byte per voxel.

Each streamline is upsampled (``upsample_weights``); then each voxel that contains one of its points counts once. Voxels
are stored in the order of the first visit: one byte for a step of up to two voxels along each axis, five bytes for a
longer step and for the first voxel.

The loops below are not split into helper functions: numba counts references to array arguments at each call, which
made them ten times slower.
"""

from __future__ import annotations

import numba
import numpy as np

from lacuna.streamlines.index.voxels import VoxelLookup, nearest_index, rounded_index

_TENSION = 0.1

_LONGEST = 5  # bytes
_CHUNK_BYTES = 2**23


def upsample_weights(ratio: int) -> np.ndarray:
    """Compute the weights of four successive vertices for points between the inner two.

    Hermite interpolation with tension 0.1 in single precision, with MRtrix3's order of operations
    (``core/math/hermite.h``).

    Parameters
    ----------
    ratio : int
        Upsampling factor, at least 1.

    Returns
    -------
    numpy.ndarray
        (ratio - 1, 4) float32.
    """
    one = np.float32
    t = one(0.5) * one(_TENSION)
    weights = np.empty((ratio - 1, 4), np.float32)
    for i in range(ratio - 1):
        p = one((i + 1.0) / float(ratio))
        p2 = p * p
        p3 = p * p2
        weights[i, 0] = (one(0.5) - t) * (one(2.0) * p2 - p3 - p)
        weights[i, 1] = one(1.0) + (one(1.5) + t) * p3 - (one(2.5) + t) * p2
        weights[i, 2] = (one(2.0) + one(2.0) * t) * p2 + (one(0.5) - t) * p - (one(1.5) + t) * p3
        weights[i, 3] = (one(0.5) - t) * (p3 - p2)
    return weights


def pack_visits(
    points: np.ndarray, lengths: np.ndarray, lookup: VoxelLookup, ratio: int
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Find and pack the voxels that each streamline visits.

    Parameters
    ----------
    points : numpy.ndarray
        (vertices, 3) float32, world mm.
    lengths : numpy.ndarray
        (streamlines,) int64, number of vertices of each streamline.
    lookup : VoxelLookup
        Voxel lookup for the grid.
    ratio : int
        Upsampling factor, see `lacuna.streamlines.sample.upsampling`.

    Returns
    -------
    codes : list of numpy.ndarray
        uint8 arrays to be concatenated: the packed voxels.
    starts : numpy.ndarray
        (streamlines + 1,) uint32, offset of each streamline in `codes`, and the end.
    total : numpy.ndarray
        uint32, number of visits of each voxel, flat in the stored order of the grid.
    """
    voxels = int(np.prod(lookup.shape))
    weights = upsample_weights(ratio)
    stamp = np.full(voxels, -1, np.int32)
    total = np.zeros(voxels, np.uint32)
    starts = np.zeros(len(lengths) + 1, np.uint32)
    codes: list[np.ndarray] = []
    at, row, done = 0, 0, 0
    while at < len(lengths):
        room = max(_CHUNK_BYTES, int(lengths[at]) * ratio * _LONGEST)
        out = np.empty(room, np.uint8)
        before = at
        at, row, used = _pack(
            points, lengths, at, row,
            lookup.to_voxel, lookup.shape, lookup.strides, lookup.start, weights,
            stamp, total, out, starts,
        )  # fmt: skip
        starts[before + 1 : at + 1] += np.uint32(done)
        done += used
        codes.append(out[:used].copy())
    return codes, starts, total


def step_table(lookup: VoxelLookup) -> np.ndarray:
    """Return the change of the flat voxel index that each one-byte code stands for; (256,) int64."""
    table = np.zeros(256, np.int64)
    for code in range(125):
        step = np.array([code // 25 - 2, code // 5 % 5 - 2, code % 5 - 2])
        table[code] = int(step @ lookup.strides)
    return table


@numba.njit(cache=True, nogil=True)
def _pack(  # type: ignore[no-untyped-def]
    points, lengths, first, row, to_voxel, shape, strides, start, weights, stamp, total, out, starts
):
    """Pack streamlines from `first` on, until `out` may be too short for the next one."""
    ratio = len(weights) + 1
    used = 0
    mx, my, mz = to_voxel[0], to_voxel[1], to_voxel[2]
    nx, ny, nz = shape[0], shape[1], shape[2]
    straight = mx[1] == 0 and mx[2] == 0 and my[0] == 0 and my[2] == 0 and mz[0] == 0 and mz[1] == 0
    for n in range(first, len(lengths)):
        count = lengths[n]
        if used + count * ratio * 5 > len(out):
            return n, row, used
        a = b = c = np.int64(-1000)  # the previous voxel
        last = row + count - 1
        for p in range(row, row + count):
            inner = ratio if p < last else 1
            x, y, z = points[p, 0], points[p, 1], points[p, 2]
            if inner > 1:
                x2, y2, z2 = points[p + 1, 0], points[p + 1, 1], points[p + 1, 2]
                if p > row:
                    x0, y0, z0 = points[p - 1, 0], points[p - 1, 1], points[p - 1, 2]
                else:
                    x0, y0, z0 = x + (x - x2), y + (y - y2), z + (z - z2)
                if p + 1 < last:
                    x3, y3, z3 = points[p + 2, 0], points[p + 2, 1], points[p + 2, 2]
                else:
                    x3, y3, z3 = x2 + (x2 - x), y2 + (y2 - y), z2 + (z2 - z)
            for q in range(inner):
                if q == 0:
                    u, v, w = x, y, z
                else:
                    w0, w1, w2, w3 = (
                        weights[q - 1, 0],
                        weights[q - 1, 1],
                        weights[q - 1, 2],
                        weights[q - 1, 3],
                    )
                    u = ((w0 * x0 + w1 * x) + w2 * x2) + w3 * x3
                    v = ((w0 * y0 + w1 * y) + w2 * y2) + w3 * y3
                    w = ((w0 * z0 + w1 * z) + w2 * z2) + w3 * z3
                if straight:
                    i = rounded_index(mx[0] * u + mx[3], nx)
                    j = rounded_index(my[1] * v + my[3], ny)
                    k = rounded_index(mz[2] * w + mz[3], nz)
                else:
                    i = nearest_index(mx, nx, u, v, w)
                    j = nearest_index(my, ny, u, v, w)
                    k = nearest_index(mz, nz, u, v, w)
                if i < 0 or j < 0 or k < 0 or (i == a and j == b and k == c):
                    continue
                flat = start + i * strides[0] + j * strides[1] + k * strides[2]
                if stamp[flat] == n:
                    continue
                stamp[flat] = n
                total[flat] += np.uint32(1)
                di, dj, dk = i - a + 2, j - b + 2, k - c + 2
                if 0 <= di <= 4 and 0 <= dj <= 4 and 0 <= dk <= 4:
                    out[used] = di * 25 + dj * 5 + dk
                    used += 1
                else:
                    out[used] = 255
                    out[used + 1] = flat & 255
                    out[used + 2] = (flat >> 8) & 255
                    out[used + 3] = (flat >> 16) & 255
                    out[used + 4] = (flat >> 24) & 255
                    used += 5
                a, b, c = i, j, k
        row += count
        starts[n + 1] = used
    return len(lengths), row, used


@numba.njit(cache=True, nogil=True)
def add_visits(codes, starts, base, ids, table, weights, density):  # type: ignore[no-untyped-def]
    """Add its weight to `density` at each voxel that a streamline visits; return False if the codes are invalid.

    Parameters
    ----------
    codes, starts : numpy.ndarray
        Results of `pack_visits` for one segment; offsets in `codes` are relative to `base`.
    base : int
    ids : numpy.ndarray
        (n,) uint32, indices of streamlines within the segment.
    table : numpy.ndarray
        Result of `step_table`.
    weights : numpy.ndarray
        (n,) weight of each of them.
    density : numpy.ndarray
        (voxels,) of the data type of the weights; changed in place.
    """
    voxels = len(density)
    for n in range(len(ids)):
        at = base + np.int64(starts[ids[n]])
        end = base + np.int64(starts[ids[n] + 1])
        if at < 0 or end > len(codes):
            return False
        weight = weights[n]
        flat = np.int64(-1)
        while at < end:
            code = codes[at]
            if code == 255:
                if at + 5 > end:
                    return False
                flat = (
                    np.int64(codes[at + 1])
                    | (np.int64(codes[at + 2]) << 8)
                    | (np.int64(codes[at + 3]) << 16)
                    | (np.int64(codes[at + 4]) << 24)
                )
                at += 5
            else:
                flat += table[code]
                at += 1
            if flat < 0 or flat >= voxels:
                return False
            density[flat] += weight
    return True
