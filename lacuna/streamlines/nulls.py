"""What lesions of the same volume and shape disconnect elsewhere in the brain, and how unusual the lesion is among them.

The null lesions are drawn from all valid places, see `lacuna.images.placements`, and answered by the index one after the
other; only counts and sums are kept. Sums are of whole numbers, so they do not depend on the number of threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from lacuna.images.nifti import make
from lacuna.measures import connectivity
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

if TYPE_CHECKING:
    import pandas as pd

    from lacuna.streamlines.bundles import Groups
    from lacuna.streamlines.endpoints import EndpointTable
    from lacuna.streamlines.index.query import Index


@dataclass
class _Sums:
    """Over null lesions, for each of many things that are counted: voxels, or pairs of parcels.

    Attributes
    ----------
    exceeding : numpy.ndarray
        Null lesions with at least the observed count, if that is above 0.
    total, squares : numpy.ndarray
        int64, of the counts.
    """

    exceeding: np.ndarray
    total: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, size: int) -> _Sums:
        return cls(*(np.zeros(size, np.int64) for _ in range(3)))

    def add(self, other: _Sums) -> None:
        self.exceeding += other.exceeding
        self.total += other.total
        self.squares += other.squares


@dataclass
class _Counted:
    """What is known of all null lesions, or of some: rows of counts, and sums."""

    streamlines: np.ndarray
    voxels_cut: np.ndarray
    bundles: np.ndarray
    parcels: dict[str, np.ndarray]
    voxels: _Sums
    edges: dict[str, _Sums]


@dataclass(frozen=True)
class Targets:
    """What null lesions are asked about.

    Attributes
    ----------
    groups : lacuna.streamlines.bundles.Groups, optional
        Bundles.
    tables : dict
        The parcels at the ends of all streamlines, by the name of the atlas
        (:class:`lacuna.streamlines.endpoints.EndpointTable`).
    networks : dict
        The network of each parcel, by the name of the atlas; empty for a parcel without one.
    """

    groups: Groups | None = None
    tables: dict[str, EndpointTable] = field(default_factory=dict)
    networks: dict[str, tuple[str, ...]] = field(default_factory=dict)


class NullDisconnection:
    """A lesion among null lesions, from `Lesion.nulls <lacuna.streamlines.lesion.Lesion.nulls>`.

    All p are ``(1 + b) / (1 + n)``, where b of n null lesions have at least the observed value, and 1 where nothing is
    observed. If there are no null lesions, all are NaN, and `reason` says why.

    Parameters
    ----------
    index : lacuna.streamlines.index.query.Index
        Index of the tractogram, in the space of the lesion.
    lesions : lacuna.streamlines.null_lesions.NullLesions
    targets : Targets
    nprocs : int
        Threads.
    """

    def __init__(self, index: Index, lesions: NullLesions, targets: Targets, nprocs: int = 1) -> None:
        self._index = index.with_threads(1)
        self.lesions, self._targets, self._nprocs = lesions, targets, max(1, nprocs)
        self._support = np.flatnonzero(index.total_density)

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
        """Names of the bundles; none, if the tractogram has none."""
        return self._targets.groups.names if self._targets.groups else ()

    @cached_property
    def percentile(self) -> Any:
        """Percent of the null lesions that cut less of a voxel's streamlines than the lesion (nibabel image, float32).

        0 where the lesion cuts nothing; NaN without null lesions.
        """
        exceeding = np.where(self._observed_voxels > 0, self._counted.voxels.exceeding, self.n)
        return self._image(percentile(exceeding, self.n))

    @cached_property
    def z(self) -> Any:
        """By how many standard deviations of the null lesions the lesion's map is above their mean (nibabel image, float32).

        0 where no null lesion cuts anything, and outside the tractogram; NaN without null lesions.
        """
        mean, sd = self._voxel_spread
        values = standardised(self._observed_voxels, mean, sd) if self.n else mean
        return self._image(values)

    @cached_property
    def mean(self) -> Any:
        """Mean of the maps of the null lesions, percent (nibabel image, float32)."""
        return self._image(100.0 * self._voxel_spread[0] / self._total)

    @property
    def bundles(self) -> pd.DataFrame:
        """A row for each bundle, by its name; percentages of its streamlines, and p.

        ``value`` of the lesion; ``null_mean`` and ``null_sd`` of the null lesions; ``p``; ``p_min``, the smallest p
        that a lesion of this shape can reach; and ``p_fwe``, corrected for the number of bundles.
        """
        return _frame(*self.of_bundles(), 'bundle')

    def parcels(self, atlas: str) -> pd.DataFrame:
        """The same for the parcels of an atlas: of the streamlines that join each parcel with others."""
        return _frame(*self.of_parcels(atlas), 'region')

    def networks(self, atlas: str) -> pd.DataFrame:
        """The same for the networks of the parcels of an atlas; without rows, if they are not known."""
        return _frame(*self.of_networks(atlas), 'region')

    def edges(self, atlas: str) -> dict[str, pd.DataFrame]:
        """Symmetric matrices for the pairs of parcels of an atlas.

        Returns
        -------
        dict
            ``p``, ``z`` and ``null_mean`` (percent) of the null lesions, not corrected for the number of pairs; pairs
            without streamlines have a p of 1 and a z of 0. ``expected`` is the percentage that would be cut if only the
            losses of the parcels mattered, see :func:`lacuna.significance.expected_shares`, and ``excess`` by how many
            standard deviations more is cut; these two need no null lesions.
        """
        import pandas as pd

        names = pd.Index(self._targets.tables[atlas].names, name='region')
        matrices = self.of_edges(atlas)
        return {key: pd.DataFrame(each, index=names, columns=list(names)) for key, each in matrices.items()}

    def of_bundles(self) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
        """Names and columns of `bundles`."""
        groups = self._targets.groups
        if groups is None:
            message = 'the null lesions were not asked about bundles'
            raise ValueError(message)
        return groups.names, self._columns(self._observed.bundles[0], self._counted.bundles, groups.sizes)

    def of_parcels(self, atlas: str) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
        """Names and columns of `parcels`."""
        table, observed, nulls = self._of(atlas)
        return table.names, self._columns(observed, nulls, table.full_matrix.sum(axis=1))

    def of_networks(self, atlas: str) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
        """Names and columns of `networks`."""
        table, observed, nulls = self._of(atlas)
        known = self._targets.networks.get(atlas) or ('',) * len(table.names)
        names = tuple(name for name in dict.fromkeys(known) if name)
        member = np.array([[name == own for own in known] for name in names], np.int64)
        member = member.reshape(len(names), len(known)).T
        total = table.full_matrix.sum(axis=1) @ member
        return names, self._columns(observed @ member, nulls @ member, total)

    def of_edges(self, atlas: str) -> dict[str, np.ndarray]:
        """(parcels, parcels) matrices of `edges`."""
        table, sums = self._targets.tables[atlas], self._counted.edges[atlas]
        full, cut = table.full_matrix, self._matrix(atlas)
        size = len(table.names)
        observed, whole = (matrix[np.triu_indices(size, 1)] for matrix in (cut, full))
        mean, sd = spread(sums.total, sums.squares, self.n)
        shares = expected_shares(full, cut.sum(axis=1))
        return {
            'p': _square(p_values(sums.exceeding, self.n, observed), 1.0, size),
            'z': _square(standardised(observed, mean, sd) if self.n else mean, 0.0, size),
            'null_mean': _square(np.where(whole > 0, _share(mean, whole), 0.0), 0.0, size),
            'expected': 100.0 * shares,
            'excess': standardised(cut, full * shares, np.sqrt(full * shares * (1 - shares))),
        }

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """Settings, number of places, the lesion's total among the null lesions, and how far degree explains the results.

        ``density_correlation`` is Spearman's correlation of the map with the density of the tractogram, over all
        voxels that it visits; ``strength_correlation`` that of the parcels' percentages with their number of
        streamlines, for each atlas; ``topographic_correlation`` that of the percentages of pairs of parcels with those
        that the losses of the parcels let expect. ``_null_q5`` is what 5 % of the null lesions do not exceed, and so on.
        """
        numbers = {**self.lesions.facts, 'null_lesions': self.n, 'null_reason': self.reason}
        for name in ('streamlines', 'voxels_cut'):
            observed, nulls = getattr(self._observed, name), getattr(self._counted, name)[:, None]
            numbers.update(_among(_KEYS[name], observed, nulls))
        share = self._observed_voxels / self._total
        numbers['density_correlation'] = rank_correlation(share, self._total.astype(float))
        for name, table in self._targets.tables.items():
            strength, full, cut = table.full_matrix.sum(axis=1), table.full_matrix, self._matrix(name)
            lost, pairs = _share(cut.sum(axis=1), strength), np.triu(full > 0, 1)
            expected = expected_shares(full, cut.sum(axis=1))[pairs]
            numbers[f'strength_correlation_{name}'] = rank_correlation(lost, strength.astype(float))
            numbers[f'topographic_correlation_{name}'] = rank_correlation(cut[pairs] / full[pairs], expected)
        return numbers

    def _of(self, atlas: str) -> tuple[EndpointTable, np.ndarray, np.ndarray]:
        """The table of an atlas, and the counts of its parcels: of the lesion, and of the null lesions."""
        return self._targets.tables[atlas], self._observed.parcels[atlas][0], self._counted.parcels[atlas]

    def _matrix(self, atlas: str) -> np.ndarray:
        """(parcels, parcels) streamlines that the lesion cuts."""
        return _square(self._observed.edges[atlas].total, 0, len(self._targets.tables[atlas].names))

    @cached_property
    def _observed(self) -> _Counted:
        return self._count(None, None)

    @cached_property
    def _observed_voxels(self) -> np.ndarray:
        return self._observed.voxels.total

    @cached_property
    def _total(self) -> np.ndarray:
        return self._index.total_density.reshape(-1)[self._support].astype(np.int64)

    @cached_property
    def _voxel_spread(self) -> tuple[np.ndarray, np.ndarray]:
        return spread(self._counted.voxels.total, self._counted.voxels.squares, self.n)

    @cached_property
    def _counted(self) -> _Counted:
        observed = self._observed
        parts = [part for part in np.array_split(np.arange(self.n), self._nprocs) if len(part)]
        with ThreadPoolExecutor(self._nprocs) as pool:
            found = list(pool.map(lambda part: self._count(part, observed), parts))
        if not found:
            return self._count(np.empty(0, int), observed)
        first = found[0]
        for other in found[1:]:
            first.voxels.add(other.voxels)
            for name, sums in other.edges.items():
                first.edges[name].add(sums)
        return _Counted(
            np.concatenate([each.streamlines for each in found]),
            np.concatenate([each.voxels_cut for each in found]),
            np.concatenate([each.bundles for each in found]),
            {name: np.concatenate([each.parcels[name] for each in found]) for name in self._targets.tables},
            first.voxels,
            first.edges,
        )

    def _count(self, numbers: np.ndarray | None, observed: _Counted | None) -> _Counted:
        """Count what some null lesions cut (or the lesion itself), and compare it with what is observed."""
        n = 1 if numbers is None else len(numbers)
        groups, tables = self._targets.groups, self._targets.tables
        pairs = {name: np.triu_indices(len(table.names), 1) for name, table in tables.items()}
        out = _Counted(
            np.zeros(n, np.int64),
            np.zeros(n, np.int64),
            np.zeros((n, len(groups) if groups else 0), np.int64),
            {name: np.zeros((n, len(table.names)), np.int64) for name, table in tables.items()},
            _Sums.of(len(self._support)),
            {name: _Sums.of(len(pairs[name][0])) for name in tables},
        )
        for row in range(n):
            lesions = self.lesions
            ids, _ = lesions.own(self._index) if numbers is None else lesions.cut(self._index, numbers[row])
            out.streamlines[row] = len(ids)
            if groups:
                out.bundles[row] = groups.count(ids)
            for name, table in tables.items():
                matrix = connectivity(table.pairs, len(table.names), ids)
                out.parcels[name][row] = matrix.sum(axis=1)
                edges = out.edges[name]
                cut = matrix[pairs[name]]
                known = observed.edges[name].total if observed else edges.total
                _tally(cut, np.arange(len(cut)), known, edges.exceeding, edges.total, edges.squares)
            density = self._index.density(ids).reshape(-1)
            known = observed.voxels.total if observed else out.voxels.total
            sums = out.voxels
            out.voxels_cut[row] = _tally(
                density, self._support, known, sums.exceeding, sums.total, sums.squares
            )
        return out

    def _columns(self, observed: np.ndarray, nulls: np.ndarray, total: np.ndarray) -> dict[str, np.ndarray]:
        value = _share(observed, total)
        mean, sd = spread(nulls.sum(axis=0), (nulls**2).sum(axis=0), self.n)
        return {
            'value': value,
            'null_mean': _share(mean, total),
            'null_sd': _share(sd, total),
            'p': p_values(exceedances(observed, nulls), self.n, np.where(total > 0, observed, np.nan)),
            'p_min': np.where(total > 0, smallest_p(observed, nulls), np.nan),
            'p_fwe': familywise_p(value, _share(nulls, total)),
        }

    def _image(self, values: np.ndarray) -> Any:
        out = np.zeros(self._index.grid.shape, np.float32)
        out.reshape(-1)[self._support] = values
        return make(out, self._index.grid.affine)


#: percent of the null lesions below which a number is written down
QUANTILES = range(0, 101, 5)
_KEYS = {'streamlines': 'streamlines_disconnected', 'voxels_cut': 'voxels_disconnected'}


def _among(key: str, observed: np.ndarray, nulls: np.ndarray) -> dict[str, Any]:
    """A number of the lesion among those of the null lesions, with the keys of the statistics file."""
    mean, sd = spread(nulls.sum(axis=0), (nulls**2).sum(axis=0), len(nulls))
    p = p_values(exceedances(observed, nulls), len(nulls), observed)
    found = {'null_mean': mean[0], 'null_sd': sd[0], 'p': p[0]}
    if len(nulls):
        found |= {
            f'null_q{percent}': np.percentile(nulls, percent, method='inverted_cdf') for percent in QUANTILES
        }
    numbers = {f'{key}_{name}': None if np.isnan(value) else float(value) for name, value in found.items()}
    return {key: int(observed[0]), **numbers}


def _frame(names: tuple[str, ...], columns: dict[str, np.ndarray], index: str) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns, index=pd.Index(names, name=index))


def _share(cut: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Percent; NaN where there are no streamlines."""
    return np.where(total > 0, 100.0 * cut / np.maximum(total, 1), np.nan)


def _square(values: np.ndarray, diagonal: float, size: int) -> np.ndarray:
    out = np.full((size, size), diagonal, np.result_type(values, diagonal))
    out[np.triu_indices(size, 1)] = values
    return np.triu(out) + np.triu(out, 1).T


@numba.njit(cache=True, nogil=True)
def _tally(counts, where, observed, exceeding, total, squares):  # type: ignore[no-untyped-def]
    """Add the counts at some places to the sums, in place; return how many are above 0."""
    some = 0
    for v in range(len(where)):
        count = np.int64(counts[where[v]])
        if count > 0:
            some += 1
            if observed[v] > 0 and count >= observed[v]:
                exceeding[v] += 1
            total[v] += count
            squares[v] += count * count
    return some
