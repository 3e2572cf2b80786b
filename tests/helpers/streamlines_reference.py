"""Slow and plain references for the streamline code, and toy tractograms."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from lacuna.streamlines.index.query import Index


def translation(shift) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    return matrix


def nearest(points, affine, shape) -> np.ndarray:
    """Voxel indices of points in an image in RAS+ orientation; (n, 3), -1 outside."""
    m = np.linalg.inv(affine).astype(np.float32)[:3]
    p = np.asarray(points, np.float32).reshape(-1, 3)
    v = ((m[:, 0] * p[:, :1] + m[:, 1] * p[:, 1:2]) + m[:, 2] * p[:, 2:]) + m[:, 3]
    v = v.astype(np.float64)
    rounded = np.trunc(v + np.copysign(0.5, v))
    inside = ((rounded >= 0) & (rounded < shape)).all(axis=1, keepdims=True)
    return np.where(inside, rounded, -1).astype(int)


def crossing(streamlines, mask, affine) -> np.ndarray:
    """Streamlines with a vertex in the mask, by the rule of ``tckedit -include``."""
    return np.flatnonzero(greatest(streamlines, mask, affine)).astype(np.uint32)


def greatest(streamlines, values, affine) -> np.ndarray:
    """Greatest value of a mask at the vertices of each streamline, in the voxels that ``tckedit -include`` finds."""
    image = nib.as_closest_canonical(nib.Nifti1Image(np.asarray(values, np.float32), affine))
    data = np.asanyarray(image.dataobj)
    first = np.maximum(np.argwhere(data).min(axis=0) - 1, 0)  # tckedit crops the mask before it looks
    data = data[tuple(slice(start, None) for start in first)]
    found = np.zeros(len(streamlines), np.float32)
    for number, points in enumerate(streamlines):
        voxels = nearest(points, image.affine @ translation(first), data.shape)
        found[number] = max((data[tuple(voxel)] for voxel in voxels if voxel[0] >= 0), default=0)
    return found


def upsampled(points, ratio) -> np.ndarray:
    """Points of a streamline as ``tckmap`` upsamples it."""
    p = np.asarray(points, np.float32).reshape(-1, 3)
    if ratio == 1 or len(p) < 2:
        return p
    f = np.float32
    t = f(0.5) * f(0.1)
    padded = np.concatenate([p[:1] + (p[:1] - p[1:2]), p, p[-1:] + (p[-1:] - p[-2:-1])])
    out = []
    for n in range(1, len(p)):
        a, b, c, d = padded[n - 1 : n + 3]
        out.append(b)
        for i in range(1, ratio):
            x = f(i / ratio)
            x2 = x * x
            x3 = x * x2
            w = (
                (f(0.5) - t) * (f(2) * x2 - x3 - x),
                f(1) + (f(1.5) + t) * x3 - (f(2.5) + t) * x2,
                (f(2) + f(2) * t) * x2 + (f(0.5) - t) * x - (f(1.5) + t) * x3,
                (f(0.5) - t) * (x3 - x2),
            )
            out.append(((w[0] * a + w[1] * b) + w[2] * c) + w[3] * d)
    return np.array([*out, p[-1]], np.float32)


def visits(streamlines, ids, affine, shape, ratio) -> np.ndarray:
    """How many of the streamlines visit each voxel, by the rule of ``tckmap``."""
    order = nib.as_closest_canonical(
        nib.Nifti1Image(np.arange(np.prod(shape), dtype=np.int32).reshape(shape), affine)
    )
    flat = np.asanyarray(order.dataobj)
    total = np.zeros(int(np.prod(shape)), np.uint32)
    for number in ids:
        voxels = nearest(upsampled(streamlines[number], ratio), order.affine, flat.shape)
        total[list({int(flat[tuple(voxel)]) for voxel in voxels if voxel[0] >= 0})] += 1
    return total.reshape(shape)


def parcel_at(point, labels, affine, radius=4.0) -> int:
    """Label of the nearest labelled voxel centre; all voxels tried (ties aside, the radial search)."""
    voxels = np.argwhere(labels)
    if not len(voxels):
        return 0
    centres = voxels @ affine[:3, :3].T + affine[:3, 3]
    distance = np.linalg.norm(centres - np.asarray(point, float), axis=1)
    best = int(np.argmin(distance))
    return int(labels[tuple(voxels[best])]) if distance[best] < radius else 0


def random_walks(count, seed=0, *, spread=15.0, steps=30, step=1.0) -> list[np.ndarray]:
    """Smooth random streamlines around the origin."""
    rng = np.random.default_rng(seed)
    walks = []
    for _ in range(count):
        direction = np.cumsum(rng.normal(size=(rng.integers(1, steps), 3)), axis=0)
        direction *= step / np.linalg.norm(direction, axis=1, keepdims=True)
        walks.append((rng.uniform(-spread, spread, 3) + np.cumsum(direction, axis=0)).astype(np.float32))
    return walks


def open_index(directory, grid, *, upsample=None, **options) -> Index:
    """Open the part of an index that `build_index` made for a grid."""
    parts = sorted(Path(directory).glob('density-*')) or [Path(directory) / 'density']
    if len(parts) > 1:
        facts = {part: json.loads((part / 'manifest.json').read_text()) for part in parts}
        parts = [
            part
            for part in parts
            if facts[part]['grid']['affine'] == grid.affine.tolist()
            and upsample in (None, facts[part]['upsample'])
        ]
    return Index.open(*parts, **options)
