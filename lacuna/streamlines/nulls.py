"""Compare the disconnection by a lesion with that by null lesions.

Null lesions are drawn from all valid places, see `lacuna.images.placements`, and queried one after the other; only
counts and sums are kept. Sums are made in blocks of null lesions of fixed size, so that they do not depend on the
number of threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from lacuna.images.nifti import make
from lacuna.measures import share_percent
from lacuna.significance import (
    exceedances,
    expected_shares,
    familywise_p,
    p_values,
    percentile,
    rank_correlation,
    smallest_p,
    spread,
    standardised,
)
from lacuna.streamlines.null_lesions import NullLesions
from lacuna.streamlines.weighting import Weighting

if TYPE_CHECKING:
    import pandas as pd

    from lacuna.streamlines.bundles import Bundles
    from lacuna.streamlines.connections import Connections
    from lacuna.streamlines.index.query import Index


@dataclass
class _Sums:
    """Sums over null lesions, for each voxel or pair of parcels.

    Attributes
    ----------
    exceeding : numpy.ndarray
        Number of null lesions with at least the observed value, where that is above 0.
    total, squares : numpy.ndarray
        Sums of the values and their squares: int64 of counts, float64 of weights.
    """

    exceeding: np.ndarray
    total: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, size: int, kind: type) -> _Sums:
        return cls(np.zeros(size, np.int64), np.zeros(size, kind), np.zeros(size, kind))

    def add(self, other: _Sums) -> None:
        self.exceeding += other.exceeding
        self.total += other.total
        self.squares += other.squares


@dataclass
class _NullCounts:
    """Counts (or summed weights) of null lesions, one row each, and sums over them."""

    streamlines: np.ndarray
    weight: np.ndarray
    voxels_cut: np.ndarray
    bundles: np.ndarray
    parcels: dict[str, np.ndarray]
    voxels: _Sums
    edges: dict[str, _Sums]


@dataclass(frozen=True)
class Targets:
    """What the comparison covers, besides voxels.

    Attributes
    ----------
    bundles : lacuna.streamlines.bundles.Bundles, optional
    connections : dict
        Connections between parcels (:class:`lacuna.streamlines.connections.Connections`), by atlas.
    networks : dict
        Network of each parcel, by atlas; empty for a parcel without one.
    """

    bundles: Bundles | None = None
    connections: dict[str, Connections] = field(default_factory=dict)
    networks: dict[str, tuple[str, ...]] = field(default_factory=dict)


class NullDisconnection:
    """Comparison of a lesion with null lesions, returned by `Lesion.nulls <lacuna.streamlines.lesion.Lesion.nulls>`.

    All p values are ``(1 + b) / (1 + n)``, where b of n null lesions have at least the observed value, and 1 where the
    observed value is 0. Without null lesions, all are NaN, and `reason` says why.

    Parameters
    ----------
    index : lacuna.streamlines.index.query.Index
        Index of the tractogram, in the space of the lesion.
    lesions : lacuna.streamlines.null_lesions.NullLesions
    targets : Targets
    nprocs : int
        Number of threads.
    weighting : lacuna.streamlines.weighting.Weighting, optional
        Weights and lengths of the streamlines, and which to use; by default all, with weight 1.
    full_density : numpy.ndarray, optional
        Result of :func:`lacuna.streamlines.disconnection.full_density`, if already computed.
    """

    def __init__(
        self,
        index: Index,
        lesions: NullLesions,
        targets: Targets,
        nprocs: int = 1,
        weighting: Weighting | None = None,
        full_density: np.ndarray | None = None,
    ) -> None:
        from lacuna.streamlines.disconnection import full_density as density_of

        self._index = index.with_threads(1)
        self.lesions, self._targets, self._nprocs = lesions, targets, max(1, nprocs)
        self._weighting = weighting or Weighting()
        density = density_of(index, self._weighting) if full_density is None else full_density
        self._support = np.flatnonzero(density)
        self._total: np.ndarray = density.reshape(-1)[self._support].astype(self._kind)

    @property
    def n(self) -> int:
        """Number of null lesions."""
        return len(self.lesions)

    @property
    def reason(self) -> str | None:
        """Why there are no null lesions; None if there are."""
        return self.lesions.reason

    @property
    def bundle_names(self) -> tuple[str, ...]:
        """Names of the bundles; empty if there are none."""
        return self._targets.bundles.groups.names if self._targets.bundles else ()

    @cached_property
    def percentile(self) -> Any:
        """Percentage of null lesions that cut a smaller share of a voxel's streamlines than the lesion (image, float32).

        0 where the lesion cuts nothing; NaN without null lesions.
        """
        exceeding = np.where(self._observed_voxels > 0, self._counted.voxels.exceeding, self.n)
        return self._image(percentile(exceeding, self.n))

    @cached_property
    def z(self) -> Any:
        """Z score of each voxel's disconnection, from mean and standard deviation of the null lesions.

        nibabel image, float32. 0 where no null lesion cuts anything, and outside the tractogram; NaN without null
        lesions.
        """
        mean, sd = self._voxel_spread
        values = standardised(self._observed_voxels, mean, sd) if self.n else mean
        return self._image(values)

    @cached_property
    def mean(self) -> Any:
        """Mean of the null lesions' maps, in percent (nibabel image, float32)."""
        return self._image(100.0 * self._voxel_spread[0] / self._total)

    @property
    def bundles(self) -> pd.DataFrame:
        """Comparison of each bundle, one row each; values are percentages of its streamlines.

        ``value`` of the lesion; ``null_mean`` and ``null_sd`` of the null lesions; ``p``; ``p_min``, the smallest p
        that a lesion of this shape can reach; and ``p_fwe``, corrected for the number of bundles.
        """
        return _frame(*self.of_bundles(), 'bundle')

    def parcels(self, atlas: str) -> pd.DataFrame:
        """Return the same table for the parcels of an atlas: percentages of the streamlines to other parcels."""
        return _frame(*self.of_parcels(atlas), 'region')

    def networks(self, atlas: str) -> pd.DataFrame:
        """Return the same table for the networks of an atlas; empty if it has no networks."""
        return _frame(*self.of_networks(atlas), 'region')

    def edges(self, atlas: str) -> dict[str, pd.DataFrame]:
        """Compare each pair of parcels of an atlas; symmetric matrices.

        Returns
        -------
        dict
            ``p``, ``z`` and ``null_mean`` (percent), uncorrected for the number of pairs; pairs without streamlines
            have p 1 and z 0. ``expected`` is the percentage cut that follows from the losses of the two parcels alone,
            see :func:`lacuna.significance.expected_shares`, and ``excess`` the observed minus the expected in standard
            deviations; these two need no null lesions.
        """
        import pandas as pd

        names = pd.Index(self._targets.connections[atlas].table.names, name='region')
        matrices = self.of_edges(atlas)
        return {key: pd.DataFrame(each, index=names, columns=list(names)) for key, each in matrices.items()}

    def of_bundles(self) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
        """Names and columns of `bundles`, as arrays."""
        bundles = self._targets.bundles
        if bundles is None:
            message = 'the null lesions were made without bundles'
            raise ValueError(message)
        columns = self._columns(self._observed.bundles[0], self._counted.bundles, bundles.total)
        return bundles.groups.names, columns

    def of_parcels(self, atlas: str) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
        """Return names and columns of `parcels`, as arrays."""
        whole, observed, nulls = self._sums_of(atlas)
        return whole.table.names, self._columns(observed, nulls, whole.strength)

    def of_networks(self, atlas: str) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
        """Return names and columns of `networks`, as arrays."""
        whole, observed, nulls = self._sums_of(atlas)
        networks = self._targets.networks.get(atlas) or ('',) * len(whole.table.names)
        names = tuple(name for name in dict.fromkeys(networks) if name)
        member = np.array([[name == own for own in networks] for name in names], np.int64)
        member = member.reshape(len(names), len(networks)).T
        return names, self._columns(observed @ member, nulls @ member, whole.strength @ member)

    def of_edges(self, atlas: str) -> dict[str, np.ndarray]:
        """Return the matrices of `edges` as arrays, (parcels, parcels)."""
        connections, sums = self._targets.connections[atlas], self._counted.edges[atlas]
        full, cut = connections.full_matrix, self._matrix(atlas)
        size = len(full)
        observed, whole = (matrix[np.triu_indices(size, 1)] for matrix in (cut, full))
        mean, sd = spread(sums.total, sums.squares, self.n)
        shares = expected_shares(full, cut.sum(axis=1))
        return {
            'p': _square(p_values(sums.exceeding, self.n, observed), 1.0, size),
            'z': _square(standardised(observed, mean, sd) if self.n else mean, 0.0, size),
            'null_mean': _square(np.where(whole > 0, share_percent(mean, whole), 0.0), 0.0, size),
            'expected': 100.0 * shares,
            'excess': standardised(cut, full * shares, np.sqrt(connections.squares * shares * (1 - shares))),
        }

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """Settings, number of places, quantiles of the null lesions, and how much degree explains the results.

        ``density_correlation`` is Spearman's correlation of the map with the density of the tractogram, over all voxels
        with streamlines; ``strength_correlation``, of each atlas, that of the parcels' percentages with their numbers
        of streamlines; ``topographic_correlation`` that of the percentages of pairs of parcels with those expected from
        the losses of the parcels. ``_null_q5`` is the 5 % quantile of the null lesions, and so on.
        """
        numbers = {**self.lesions.facts, 'null_lesions': self.n, 'null_reason': self.reason}
        for name in ('streamlines', 'voxels_cut', *(['weight'] if self._kind is np.float64 else [])):
            observed, nulls = getattr(self._observed, name), getattr(self._counted, name)[:, None]
            numbers.update(_compare(_KEYS[name], observed, nulls))
        share = self._observed_voxels / self._total
        numbers['density_correlation'] = rank_correlation(share, self._total.astype(float))
        for name, whole in self._targets.connections.items():
            strength, full, cut = whole.strength, whole.full_matrix, self._matrix(name)
            lost, pairs = share_percent(cut.sum(axis=1), strength), np.triu(full > 0, 1)
            expected = expected_shares(full, cut.sum(axis=1))[pairs]
            numbers[f'strength_correlation_{name}'] = rank_correlation(lost, strength.astype(float))
            numbers[f'topographic_correlation_{name}'] = rank_correlation(cut[pairs] / full[pairs], expected)
        return numbers

    def _sums_of(self, atlas: str) -> tuple[Connections, np.ndarray, np.ndarray]:
        """Return an atlas's connections, and the sums cut of its parcels by the lesion and by the null lesions."""
        return (
            self._targets.connections[atlas],
            self._observed.parcels[atlas][0],
            self._counted.parcels[atlas],
        )

    def _matrix(self, atlas: str) -> np.ndarray:
        """Return the matrix of what the lesion cuts, (parcels, parcels)."""
        size = len(self._targets.connections[atlas].table.names)
        return _square(self._observed.edges[atlas].total, 0, size)

    @property
    def _kind(self) -> type:
        """Type of the sums over streamlines; for parcels, with the measure ``count``."""
        counted = self._weighting.weights is None and not self.lesions.graded
        return np.int64 if counted else np.float64

    @cached_property
    def _observed(self) -> _NullCounts:
        return self._count(None, None)

    @cached_property
    def _observed_voxels(self) -> np.ndarray:
        return self._observed.voxels.total

    @cached_property
    def _voxel_spread(self) -> tuple[np.ndarray, np.ndarray]:
        return spread(self._counted.voxels.total, self._counted.voxels.squares, self.n)

    @cached_property
    def _counted(self) -> _NullCounts:
        observed = self._observed
        starts = range(0, max(self.n, 1), _BLOCK)
        with ThreadPoolExecutor(self._nprocs) as pool:
            parts = pool.map(
                lambda start: self._count(np.arange(start, min(start + _BLOCK, self.n)), observed), starts
            )
            first = next(parts)
            found = [first]
            for other in parts:
                first.voxels.add(other.voxels)
                for name, sums in other.edges.items():
                    first.edges[name].add(sums)
                found.append(replace(other, voxels=first.voxels, edges=first.edges))
        return _NullCounts(
            np.concatenate([each.streamlines for each in found]),
            np.concatenate([each.weight for each in found]),
            np.concatenate([each.voxels_cut for each in found]),
            np.concatenate([each.bundles for each in found]),
            {name: np.concatenate([each.parcels[name] for each in found]) for name in first.parcels},
            first.voxels,
            first.edges,
        )

    def _count(self, numbers: np.ndarray | None, observed: _NullCounts | None) -> _NullCounts:
        """Count what some null lesions (or the lesion itself) cut, and compare it with `observed`."""
        n = 1 if numbers is None else len(numbers)
        bundles, connections, kind = self._targets.bundles, self._targets.connections, self._kind
        pairs = {name: np.triu_indices(len(each.table.names), 1) for name, each in connections.items()}
        kinds = {name: np.result_type(each.full_matrix, kind(0)).type for name, each in connections.items()}
        out = _NullCounts(
            np.zeros(n, np.int64),
            np.zeros(n, np.float64),
            np.zeros(n, np.int64),
            np.zeros((n, len(bundles.groups) if bundles else 0), kind),
            {name: np.zeros((n, len(each.table.names)), kinds[name]) for name, each in connections.items()},
            _Sums.of(len(self._support), kind),
            {name: _Sums.of(len(pairs[name][0]), kinds[name]) for name in connections},
        )
        for row in range(n):
            lesions = self.lesions
            hit = lesions.own(self._index) if numbers is None else lesions.cut(self._index, numbers[row])
            cut = self._weighting.cut(*hit)
            out.streamlines[row] = len(cut)
            if cut.factors is not None:
                out.weight[row] = cut.factors.sum()
            if bundles:
                groups = bundles.groups
                out.bundles[row] = groups.count(cut.ids) if cut.factors is None else groups.summed(cut)
            for name, whole in connections.items():
                matrix = whole.matrix(cut)
                out.parcels[name][row] = matrix.sum(axis=1)
                edges = out.edges[name]
                lost = matrix[pairs[name]]
                reference = observed.edges[name].total if observed else edges.total
                _tally(
                    lost,
                    kinds[name](1),
                    np.arange(len(lost)),
                    reference,
                    edges.exceeding,
                    edges.total,
                    edges.squares,
                )
            density = self._index.density(cut.ids, cut.factors).reshape(-1)
            reference = observed.voxels.total if observed else out.voxels.total
            sums = out.voxels
            out.voxels_cut[row] = _tally(
                density,
                kind(1),
                self._support,
                reference,
                sums.exceeding,
                sums.total,
                sums.squares,
            )
        return out

    def _columns(self, observed: np.ndarray, nulls: np.ndarray, total: np.ndarray) -> dict[str, np.ndarray]:
        value = share_percent(observed, total)
        mean, sd = spread(nulls.sum(axis=0), (nulls**2).sum(axis=0), self.n)
        return {
            'value': value,
            'null_mean': share_percent(mean, total),
            'null_sd': share_percent(sd, total),
            'p': p_values(exceedances(observed, nulls), self.n, np.where(total > 0, observed, np.nan)),
            'p_min': np.where(total > 0, smallest_p(observed, nulls), np.nan),
            'p_fwe': familywise_p(value, share_percent(nulls, np.broadcast_to(total, nulls.shape))),
        }

    def _image(self, values: np.ndarray) -> Any:
        out = np.zeros(self._index.grid.shape, np.float32)
        out.reshape(-1)[self._support] = values
        return make(out, self._index.grid.affine)


#: percentages of the quantiles that are written
QUANTILES = range(0, 101, 5)
_KEYS = {
    'streamlines': 'streamlines_disconnected',
    'voxels_cut': 'voxels_disconnected',
    'weight': 'weight_disconnected',
}
#: null lesions summed at a time
_BLOCK = 32


def _compare(key: str, observed: np.ndarray, nulls: np.ndarray) -> dict[str, Any]:
    """Compare a number of the lesion with those of the null lesions, with the keys of the statistics file."""
    mean, sd = spread(nulls.sum(axis=0), (nulls**2).sum(axis=0), len(nulls))
    p = p_values(exceedances(observed, nulls), len(nulls), observed)
    found = {'null_mean': mean[0], 'null_sd': sd[0], 'p': p[0]}
    if len(nulls):
        found |= {
            f'null_q{percent}': np.percentile(nulls, percent, method='inverted_cdf') for percent in QUANTILES
        }
    numbers = {f'{key}_{name}': None if np.isnan(value) else float(value) for name, value in found.items()}
    return {key: observed[0].item(), **numbers}


def _frame(names: tuple[str, ...], columns: dict[str, np.ndarray], index: str) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns, index=pd.Index(names, name=index))


def _square(values: np.ndarray, diagonal: float, size: int) -> np.ndarray:
    out = np.full((size, size), diagonal, np.result_type(values, diagonal))
    out[np.triu_indices(size, 1)] = values
    return np.triu(out) + np.triu(out, 1).T


@numba.njit(cache=True, nogil=True)
def _tally(counts, one, where, observed, exceeding, total, squares):  # type: ignore[no-untyped-def]
    """Add counts to the sums at the places `where`, in place; return how many are above 0.

    `one` is 1 in the dtype of the sums.
    """
    positive = 0
    for v in range(len(where)):
        count = counts[where[v]] * one
        if count > 0:
            positive += 1
            if observed[v] > 0 and count >= observed[v]:
                exceeding[v] += 1
            total[v] += count
            squares[v] += count * count
    return positive
