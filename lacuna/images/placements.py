"""Places in the brain where a lesion of the same volume and shape fits, and random draws from them.

All images are on 1 mm voxels centred on whole millimetres, where rotations by right angles and shifts by whole voxels
keep volume and shape exactly. Places are enumerated, not tried: the correlation of a lesion with a region, by fast
Fourier transform, gives the number of voxels inside for all shifts at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from lacuna.images.overlap import covered_values
from lacuna.measures import lesion_part, world_box

#: number of voxels above which sums need double precision, to be off by less than half a voxel
_MANY = 100_000
#: relative size below which sums of a map are 0: single precision cannot resolve them
_RELATIVE_ZERO = 1e-4
#: tolerance in mm of rotated axes
_AXIS_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Body:
    """An image on 1 mm voxels with its position, such as a lesion; may consist of several pieces that move together.

    Attributes
    ----------
    voxels : numpy.ndarray
        (x, y, z) bool or float, along the world axes (RAS+).
    first : numpy.ndarray
        (3,) int64, centre of the first voxel, world mm.
    """

    voxels: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray, affine: np.ndarray) -> Body:
        """Resample a mask, (x, y, z), on any grid: 1 mm voxels whose centre is in the mask; empty for an empty mask.

        Graded masks (float) keep their values. Masks on the same voxels are unchanged; the volume is preserved for
        voxels of whole millimetres.

        Examples
        --------
        >>> body = Body.of(np.ones((1, 1, 1), bool), np.diag([-2.0, 2, 2, 1]))
        >>> body.voxels.shape, body.first
        ((2, 2, 2), array([ 0, -1, -1]))
        """
        part, part_affine = lesion_part(np.asarray(mask), affine)
        if not part.size:
            return cls(np.zeros((0, 0, 0), bool), np.zeros(3, np.int64))
        low, high = np.rint(world_box(part, part_affine)).astype(np.int64)
        shape = tuple((high - low + 3).tolist())
        grid = np.eye(4)
        grid[:3, 3] = low - 1
        inside, values = covered_values(part, part_affine, shape, grid)
        whole = np.zeros(shape, values.dtype)
        whole.reshape(-1)[inside] = values
        found, moved = lesion_part(whole, grid)
        return cls(np.ascontiguousarray(found), np.rint(moved[:3, 3]).astype(np.int64))

    @staticmethod
    def is_exact(affine: np.ndarray) -> bool:
        """Whether a grid has the voxels of a body.

        >>> Body.is_exact(np.diag([-1.0, 1, 1, 1])), Body.is_exact(np.diag([2.0, 2, 2, 1]))
        (True, False)
        """
        whole = np.allclose(affine, np.rint(affine), atol=1e-6)
        return bool(whole and (np.abs(np.rint(affine[:3, :3])).sum(axis=0) == 1).all())

    def on(self, place: Body) -> Body:
        """Return the values on the voxels of another body; 0 outside."""
        out = np.zeros(place.voxels.shape)
        low = np.maximum(self.first, place.first)
        high = np.minimum(self.first + self.voxels.shape, place.first + place.voxels.shape)
        if (high > low).all():
            own = self.voxels[tuple(map(slice, low - self.first, high - self.first))]
            out[tuple(map(slice, low - place.first, high - place.first))] = own
        return Body(out, place.first)

    def count(self, place: Body) -> int:
        """Count the voxels of another body inside this one."""
        return int(np.count_nonzero(self.on(place).voxels[place.voxels != 0]))

    def turned(self, turn: np.ndarray) -> np.ndarray:
        """Return the voxels after one of the rotations from `turns`.

        >>> Body(np.arange(6).reshape(1, 2, 3), np.zeros(3)).turned(np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])).shape
        (3, 1, 2)
        """
        order = np.abs(turn).argmax(axis=1)
        view = self.voxels.transpose(order)
        return view[tuple(slice(None, None, -1 if sum(row) < 0 else 1) for row in turn)]


def turns(affine: np.ndarray, *, mirrors: bool = False) -> list[np.ndarray]:
    """Return the rotations by right angles that keep a grid: 24 for cubes along the world axes; identity first.

    Parameters
    ----------
    affine : numpy.ndarray
        4 x 4, voxels to world mm.
    mirrors : bool
        Include mirror images, which doubles their number.

    Returns
    -------
    list of numpy.ndarray
        (3, 3) int64, signed permutations.

    Examples
    --------
    >>> len(turns(np.eye(4))), len(turns(np.eye(4), mirrors=True)), len(turns(np.diag([1, 1, 3, 1])))
    (24, 48, 8)
    """
    to_voxel, to_world = np.linalg.inv(affine[:3, :3]), affine[:3, :3]
    found = []
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        turn = np.zeros((3, 3), np.int64)
        turn[range(3), order] = signs
        if not mirrors and round(np.linalg.det(turn)) < 0:
            continue
        within = to_voxel @ turn @ to_world  # the rotation in voxels: must be a signed permutation too
        if (
            np.abs(within - np.rint(within)).max() < _AXIS_TOLERANCE
            and np.abs(within).max() < 1 + _AXIS_TOLERANCE
        ):
            found.append(turn)
    return found


@dataclass(frozen=True)
class Places:
    """Places drawn at random from all valid ones.

    Attributes
    ----------
    valid : int
        Number of valid places, including the body's own.
    turn : numpy.ndarray
        (n,) int64, index of the rotation.
    first : numpy.ndarray
        (n, 3) int64, position of the first voxel of the rotated body, world mm.
    inside : numpy.ndarray
        (n,) int64, number of voxels of the body inside the region.
    """

    valid: int
    turn: np.ndarray
    first: np.ndarray
    inside: np.ndarray

    @classmethod
    def none(cls) -> Places:
        """Return zero places."""
        return cls(0, np.empty(0, np.int64), np.empty((0, 3), np.int64), np.empty(0, np.int64))


def draw(
    body: Body,
    region: Body,
    n: int,
    rng: np.random.Generator,
    *,
    need: int,
    among: Sequence[np.ndarray],
    tissues: Sequence[tuple[Body, float]] = (),
    weight: Body | None = None,
    workers: int = 1,
) -> Places:
    """Draw from all valid places of a body except its own, without replacement.

    Parameters
    ----------
    body, region : Body
    n : int
        Number of places; fewer are returned if there are not enough.
    rng : numpy.random.Generator
    need : int
        Minimum number of voxels inside the region.
    among : sequence of numpy.ndarray
        Rotations of the body; the first is the identity.
    tissues : sequence of (Body, float)
        Maps with tolerances: the mean over the body has to be that at its own place, up to the tolerance.
    weight : Body, optional
        Map: the probability of a place is proportional to its sum over the body. By default, all are equally likely.
    workers : int
        Number of threads.
    """
    fields = [tissue for tissue, _ in tissues] + ([weight] if weight else [])
    size = int(np.count_nonzero(body.voxels))
    wanted = [(_sum(tissue, body), slack * size) for tissue, slack in tissues]
    valid, keys, kept = 0, np.empty(0), np.empty((0, 5), np.int64)
    nothing = _RELATIVE_ZERO * size * float(weight.voxels.max()) if weight else 0.0
    for turn in places(body, region, need, among, fields=fields, workers=workers):
        good = np.ones(len(turn.at), bool)
        for (own, slack), found in zip(wanted, turn.sums, strict=False):
            good &= np.abs(found - own) <= slack
        if weight:
            good &= turn.sums[-1] > nothing
        if turn.number == 0:
            own_place = np.flatnonzero(turn.at == turn.number_of(body.first))
            valid += len(own_place)
            good[own_place] = False
        taken = np.flatnonzero(good)
        valid += len(taken)
        # the smallest of exponential numbers are a weighted draw without replacement
        new = rng.standard_exponential(len(taken))
        if weight:
            new /= turn.sums[-1][taken]
        low = np.flatnonzero(new < keys[-1]) if len(keys) == n else np.arange(len(new))
        low = low[np.argpartition(new[low], n)[:n]] if len(low) > n else low
        rows = taken[low]
        columns = [np.full(len(rows), turn.number), turn.first(rows), turn.inside[rows]]
        keys, kept = np.concatenate([keys, new[low]]), np.concatenate([kept, np.column_stack(columns)])
        order = np.argsort(keys, kind='stable')[:n]
        keys, kept = keys[order], kept[order]
    kept = kept[np.argsort(kept[:, 0], kind='stable')]  # so that each rotation is computed once
    return Places(valid, kept[:, 0], kept[:, 1:4], kept[:, 4])


@dataclass(frozen=True)
class PlacesOfTurn:
    """All valid places of a body in one rotation.

    Attributes
    ----------
    number : int
        Index of the rotation.
    at : numpy.ndarray
        (m,) int64, ascending flat indices (C order) in the box of possible places.
    inside : numpy.ndarray
        (m,) int64, number of voxels of the body inside the region.
    sums : list of numpy.ndarray
        (m,) float64 for each map: its sum over the body.
    start : numpy.ndarray
        (3,) first place of the box, world mm.
    shape : tuple of int
        Shape of the box.
    """

    number: int
    at: np.ndarray
    inside: np.ndarray
    sums: list[np.ndarray]
    start: np.ndarray
    shape: tuple[int, ...]

    def first(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return the position of the first voxel of the rotated body at some places, (m, 3) int64, world mm."""
        return np.column_stack(np.unravel_index(self.at[rows], self.shape)) + self.start

    def number_of(self, first: np.ndarray) -> int:
        """Return the flat index of a place; -1 if it is outside the box."""
        at = first - self.start
        inside = (at >= 0).all() and (at < self.shape).all()
        return int(np.ravel_multi_index(tuple(at), self.shape)) if inside else -1


def places(
    body: Body,
    region: Body,
    need: int,
    among: Sequence[np.ndarray],
    *,
    fields: Sequence[Body] = (),
    workers: int = 1,
) -> Iterator[PlacesOfTurn]:
    """Find all places of a body with at least `need` (1 or more) voxels inside a region, one rotation at a time.

    Parameters
    ----------
    body, region : Body
    need : int
    among : sequence of numpy.ndarray
        Rotations, see `turns`.
    fields : sequence of Body
        Maps to be summed over the body at each place.
    workers : int
        Number of threads.
    """
    from scipy import fft

    if not body.voxels.size or not region.voxels.size:
        return
    kind = np.float64 if np.count_nonzero(body.voxels) > _MANY else np.float32
    # a body with enough voxels inside extends at most this far outside, so that the FFT does not wrap around
    beyond = max(_removable_planes(body.voxels, need))
    room = Body(np.empty(np.array(region.voxels.shape) + 2 * beyond, bool), region.first - beyond)
    shape = [fft.next_fast_len(size, real=True) for size in room.voxels.shape]
    spectra = [
        fft.rfftn(field.on(room).voxels.astype(kind), shape, workers=workers) for field in (region, *fields)
    ]
    for number, turn in enumerate(among):
        turned = body.turned(turn)
        box = tuple(size - extent + 1 for size, extent in zip(room.voxels.shape, turned.shape, strict=True))
        if min(box) < 1:
            continue
        spectrum = np.conj(fft.rfftn((turned != 0).astype(kind), shape, workers=workers))
        inside, *sums = (
            fft.irfftn(spectrum * other, shape, workers=workers, overwrite_x=True)[tuple(map(slice, box))]
            for other in spectra
        )
        hit = inside > need - 0.5
        count = np.rint(inside[hit]).astype(np.int64)
        yield PlacesOfTurn(number, np.flatnonzero(hit), count, [each[hit] for each in sums], room.first, box)


def _removable_planes(voxels: np.ndarray, need: int) -> Iterator[int]:
    """Return how many planes can be cut off each end of a body that keeps `need` voxels."""
    for axis in range(3):
        planes = np.count_nonzero(voxels, axis=tuple({0, 1, 2} - {axis}))
        for each in (planes, planes[::-1]):
            left = int(each.sum()) - np.cumsum(each)
            yield int(np.count_nonzero(left >= need))


def _sum(field: Body, body: Body) -> float:
    return float(field.on(body).voxels[body.voxels != 0].sum())
