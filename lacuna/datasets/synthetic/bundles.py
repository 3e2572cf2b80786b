"""Synthetic streamlines: smooth curves around landmarks that fan out into the cortex."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage
from scipy.interpolate import CubicSpline, make_interp_spline

from lacuna.datasets.synthetic.anatomy import voxel_indices, world_coordinates
from lacuna.datasets.synthetic.landmarks import Landmarks, bundles
from lacuna.images.spaces import Grid

SHORT_FIBRES = 1260  # per hemisphere
_SAMPLES = 150  # per curve, before resampling
_LONGEST_REACH = 30  # mm by which an end may be extended to reach the cortex
_DEPTH = 2.0  # mm, minimum depth of vertices below the surface of the brain
_SHORTEST = 12.0  # mm
_SHARPEST = np.cos(np.deg2rad(30))  # maximum turn from one step to the next
_MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Bundle:
    """The streamlines of one bundle.

    Attributes
    ----------
    name : str
    streamlines : list of numpy.ndarray
        Each (vertices, 3) float32, world mm.
    """

    name: str
    streamlines: list[np.ndarray]


class _Surroundings:
    """The surroundings of a growing streamline: depth in the brain, and the nearest cortex."""

    def __init__(self, grid: Grid, brain: np.ndarray, cortex: np.ndarray) -> None:
        self.grid = grid
        self.cortex = cortex
        self._depth = ndimage.distance_transform_edt(brain, sampling=grid.resolution)
        self._nearest = ndimage.distance_transform_edt(~cortex, return_distances=False, return_indices=True)

    def inside(self, points: np.ndarray) -> np.ndarray:
        return self._depth[tuple(voxel_indices(self.grid, points).T)] > _DEPTH

    def in_cortex(self, points: np.ndarray) -> np.ndarray:
        return self.cortex[tuple(voxel_indices(self.grid, points).T)]

    def towards_cortex(self, points: np.ndarray) -> np.ndarray:
        index = (slice(None), *voxel_indices(self.grid, points).T)
        return _unit(world_coordinates(self.grid, self._nearest[index].T) - points)


def simulate_bundles(
    rng: np.random.Generator,
    grid: Grid,
    brain: np.ndarray,
    cortex: np.ndarray,
    *,
    step: float = 1.0,
) -> Iterator[Bundle]:
    """Simulate the streamlines of all bundles; left and right twins follow each other.

    Parameters
    ----------
    rng : numpy.random.Generator
        The same state gives the same streamlines.
    grid : Grid
        Grid of `brain` and `cortex`.
    brain, cortex : numpy.ndarray
        Boolean. All vertices are inside the brain; cortical ends of bundles grow into the cortex.
    step : float
        Distance between vertices along the streamline, mm.

    Yields
    ------
    Bundle
    """
    around = _Surroundings(grid, brain, cortex)
    for landmarks in bundles():
        for name, side in _sides(landmarks):
            curves = _curves(rng, landmarks)
            yield _finish(rng, name, curves, side, landmarks, around, step)
    for name, side in (('ShortFibres_L', -1), ('ShortFibres_R', 1)):
        yield Bundle(name, _short_fibres(rng, side, around, step))


def _sides(landmarks: Landmarks) -> tuple[tuple[str, int], ...]:
    if landmarks.course == 'commissure':
        return ((landmarks.name, 0),)
    return ((f'{landmarks.name}_L', -1), (f'{landmarks.name}_R', 1))


def _curves(rng: np.random.Generator, landmarks: Landmarks) -> np.ndarray:
    """Draw curves of a bundle in the left hemisphere, (streamlines, samples, 3), half as many again as needed."""
    spines = np.array(landmarks.spines, float)
    spread = np.array(landmarks.spread)
    crosses = landmarks.course == 'commissure'
    if crosses:
        spines = np.concatenate([spines, spines[:, -2::-1] * _MIRROR], axis=1)
        spread = np.concatenate([spread, spread[-2::-1]])
    count = landmarks.count + landmarks.count // 2
    if len(spines) > 1:
        sheet = make_interp_spline(np.arange(len(spines)), spines, k=min(3, len(spines) - 1))
        controls = sheet(rng.uniform(0, len(spines) - 1, count))
    else:
        controls = np.repeat(spines, count, axis=0)

    # neighbouring fibres stay neighbours (common), but diverge towards the ends (first, last)
    common, first, last = _bell(rng, (3, count, 1, 3))
    along = np.linspace(0, 1, len(spread))[:, None]
    offset = spread[:, None] * (0.75 * common + 0.65 * ((1 - along) * first + along * last))
    if crosses:  # homotopic: ends that are more lateral on one side are so on the other
        offset[..., 0] *= np.sign(0.5 - along[:, 0])
    controls = controls + offset

    knots = np.linalg.norm(np.diff(controls.mean(axis=0), axis=0), axis=1).cumsum()
    knots = np.concatenate([[0.0], knots]) / knots[-1]
    time = np.linspace(0, 1, _SAMPLES)[:, None]
    curves = CubicSpline(knots, controls, axis=1)(time[:, 0])
    for waves in (2, 3, 5):  # real fibres are less straight than a spline
        amplitude = rng.normal(0, 0.3 * spread.mean() / waves, (count, 1, 3))
        curves += amplitude * np.sin(np.pi * waves * time + rng.uniform(0, np.pi, (count, 1, 1)))
    return curves


def _bell(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw nearly normal numbers without outliers: within 3 standard deviations."""
    return 2.0 * (rng.random((3, *shape)).sum(axis=0) - 1.5)


def _finish(
    rng: np.random.Generator,
    name: str,
    curves: np.ndarray,
    side: int,
    landmarks: Landmarks,
    around: _Surroundings,
    step: float,
) -> Bundle:
    """Extend the ends into the cortex, keep curves in the brain and hemisphere, resample, and keep `count` of them."""
    if side > 0:
        curves = curves * _MIRROR
    head = _reach(rng, curves[:, 0], curves[:, 0] - curves[:, 3], around) if landmarks.cortical[0] else None
    tail = (
        _reach(rng, curves[:, -1], curves[:, -1] - curves[:, -4], around) if landmarks.cortical[1] else None
    )
    grown = [
        np.concatenate(
            [part for part in (head and head[i][::-1], curve, tail and tail[i]) if part is not None]
        )
        for i, curve in enumerate(curves)
    ]
    points = np.concatenate(grown)
    if landmarks.course == 'pair':
        points = _keep_side(points, side)
    inside = around.inside(points)
    stops = np.cumsum([len(curve) for curve in grown])
    streamlines: list[np.ndarray] = []
    for start, stop in pairwise([0, *stops.tolist()]):
        streamline = resample(points[start:stop][_longest_run(inside[start:stop])], step)
        crossings = np.count_nonzero(np.diff(np.signbit(streamline[:, 0])))
        if _is_plausible(streamline, step) and crossings == (landmarks.course != 'pair'):
            streamlines.append(streamline.astype(np.float32))
        if len(streamlines) == landmarks.count:
            break
    return Bundle(name, streamlines)


def _reach(
    rng: np.random.Generator, points: np.ndarray, direction: np.ndarray, around: _Surroundings
) -> list[np.ndarray]:
    """Extend each end by steps of 1 mm, bending towards the cortex, until it is 1 to 4 mm inside."""
    direction = _unit(direction)
    left = rng.integers(1, 5, len(points))  # mm left to grow inside the cortex
    path = np.empty((len(points), _LONGEST_REACH, 3))
    steps = np.zeros(len(points), int)
    points = points.copy()
    going = np.flatnonzero(left > 0)
    for i in range(_LONGEST_REACH):
        in_cortex = around.in_cortex(points[going])
        left[going[in_cortex]] -= 1
        turned = _unit(0.8 * direction[going] + 0.2 * around.towards_cortex(points[going]))
        direction[going] = np.where(in_cortex[:, None], direction[going], turned)
        going = going[left[going] > 0]
        points[going] += direction[going]
        path[going, i] = points[going]
        steps[going] += 1
    return [row[:n] for row, n in zip(path, steps, strict=True)]


def _short_fibres(
    rng: np.random.Generator, side: int, around: _Surroundings, step: float
) -> list[np.ndarray]:
    """Simulate U-fibres between points of the cortex that are 12 to 40 mm apart."""
    cortex = world_coordinates(around.grid, np.argwhere(around.cortex))
    cortex = cortex[cortex[:, 0] * side > 2]
    first, last = cortex[rng.integers(0, len(cortex), (2, 60 * SHORT_FIBRES))]
    distance = np.linalg.norm(last - first, axis=1)
    near = np.flatnonzero((distance > 12) & (distance < 40))
    first, last, distance = first[near], last[near], distance[near, None]
    # the white matter of a hemisphere surrounds this line from the frontal to the occipital lobe
    middle = (first + last) / 2
    core = np.stack(
        [np.full(len(near), 27.0 * side), np.clip(middle[:, 1], -75, 45), 18 - 0.1 * middle[:, 1]], 1
    )
    core[:, 2] = np.where(middle[:, 2] < -8, -14, core[:, 2])  # line of the temporal lobe
    inward = _unit(core - middle)
    bend = middle + inward * (0.25 * distance + 4)
    jitter = _bell(rng, (len(near), 1, 3))
    controls = np.stack(
        [first, (first + 2 * bend) / 3 + inward, (last + 2 * bend) / 3 + inward, last], axis=1
    )
    controls[:, 1:3] += jitter
    curves = CubicSpline([0, 0.32, 0.68, 1], controls, axis=1)(np.linspace(0, 1, 60))
    streamlines: list[np.ndarray] = []
    for curve in curves:
        streamline = _keep_side(curve, side)
        # U-fibres do not cross a sulcus, or grey matter midway
        if around.in_cortex(streamline[12:-12]).mean() > 0.35 or not around.inside(streamline[6:-6]).all():
            continue
        streamline = resample(streamline[_longest_run(around.inside(streamline))], step)
        if _is_plausible(streamline, step):
            streamlines.append(streamline.astype(np.float32))
        if len(streamlines) == SHORT_FIBRES:
            break
    return streamlines


def _keep_side(points: np.ndarray, side: int) -> np.ndarray:
    """Bend curves that would cross the midline smoothly back into their hemisphere."""
    x = side * points[:, :1]
    return np.concatenate([side * (0.5 * (x + np.sqrt(x**2 + 1.0)) + 0.3), points[:, 1:]], axis=1)


def _is_plausible(points: np.ndarray, step: float) -> bool:
    """Whether a resampled streamline is long enough and has no sharp corner, as at the wall of a sulcus."""
    if step * (len(points) - 1) < _SHORTEST:
        return False
    steps = _unit(np.diff(points, axis=0))
    return bool((np.einsum('ij,ij->i', steps[1:], steps[:-1]) > _SHARPEST).all())


def _longest_run(inside: np.ndarray) -> slice:
    """Return the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    if not len(edges):
        return slice(0, 0)
    starts, stops = edges[::2], edges[1::2]
    longest = int(np.argmax(stops - starts))
    return slice(int(starts[longest]), int(stops[longest]))


def resample(points: np.ndarray, step: float) -> np.ndarray:
    """Resample a curve to points every `step` mm; a shorter remainder is cut off.

    >>> resample(np.array([[0.0, 0, 0], [2.5, 0, 0]]), 1.0)[:, 0]
    array([0., 1., 2.])
    """
    if len(points) < 2:
        return points
    length = np.concatenate([[0.0], np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum()])
    at = step * np.arange(int(length[-1] / step) + 1)
    return np.stack([np.interp(at, length, axis) for axis in points.T], axis=1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
