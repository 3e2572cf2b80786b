"""Connections between parcels, and their disconnection by a lesion, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from lacuna.measures import (
    disconnection_percent,
    higher_order,
    higher_order_statistics,
    matrix_statistics,
    mean_of,
    network_disconnection,
    path_lengths,
    percent_interval,
    roi_disconnection,
    share_percent,
)
from lacuna.streamlines.endpoints import EDGE_MEASURES, EndpointTable
from lacuna.streamlines.weighting import Cut, Weighting


@dataclass(frozen=True)
class LongerPaths:
    """How much a lesion lengthens the shortest paths between parcels.

    Attributes
    ----------
    delta, indirect : numpy.ndarray
        (parcels, parcels) int64, see :func:`lacuna.measures.higher_order`.
    statistics : dict
        See :func:`lacuna.measures.higher_order_statistics`.
    """

    delta: np.ndarray
    indirect: np.ndarray
    statistics: dict[str, Any]

    @property
    def mean(self) -> np.ndarray:
        """Mean of `delta` over the other parcels, (parcels,) float64."""
        return np.asarray(self.delta.sum(axis=1) / max(len(self.delta) - 1, 1))


@dataclass(frozen=True)
class Connections:
    """The connections between the parcels of an atlas in the whole tractogram; computed once, on first access.

    Attributes
    ----------
    table : lacuna.streamlines.endpoints.EndpointTable
        The parcels at the ends of all streamlines.
    weighting : lacuna.streamlines.weighting.Weighting
        Weights and lengths of the streamlines, and which of them to use.
    measure : str
        What is summed over the streamlines between two parcels. ``count``: their weights, by default 1; ``invlength``:
        weights divided by lengths, as ``tck2connectome -scale_invlength``; ``invnodevol``: weights divided by the mean
        number of voxels of the two parcels, as ``-scale_invnodevol``.
    """

    table: EndpointTable
    weighting: Weighting = field(default_factory=Weighting)
    measure: str = EDGE_MEASURES[0]

    @property
    def counted(self) -> bool:
        """Whether the matrices are counts of streamlines."""
        return self.weighting.weights is None and self.measure == EDGE_MEASURES[0]

    @cached_property
    def counts(self) -> np.ndarray:
        """Number of streamlines between each pair of parcels, (parcels, parcels) int64."""
        whole = self.weighting.kept is None
        return self.table.full_matrix if whole else self.table.matrix(self.weighting.ids)

    @cached_property
    def full_matrix(self) -> np.ndarray:
        """Sum of `measure` over the streamlines between each pair, (parcels, parcels)."""
        return self.counts if self.counted else self.matrix(self.weighting.everything)

    @cached_property
    def strength(self) -> np.ndarray:
        """Sum of `full_matrix` over the other parcels, (parcels,)."""
        return np.asarray(self.full_matrix.sum(axis=1))

    @cached_property
    def weight_matrix(self) -> np.ndarray:
        """Sum of weights between each pair, independent of `measure`, (parcels, parcels)."""
        if self.measure == EDGE_MEASURES[0]:
            return self.full_matrix
        return self.summed(self.weighting.everything)

    @cached_property
    def squares(self) -> np.ndarray:
        """Sum of the squared terms of `full_matrix`, (parcels, parcels)."""
        if self.counted:
            return self.full_matrix
        everything = self._factors(self.weighting.everything)
        return self.table.matrix(everything.ids, np.square(everything.values)) * self._edge_factors**2

    @cached_property
    def path_lengths(self) -> np.ndarray:
        """Length of the shortest path between each pair, in steps; see :func:`lacuna.measures.path_lengths`."""
        return path_lengths(self.full_matrix)

    @cached_property
    def length_matrix(self) -> np.ndarray:
        """Sum of length times weight over the streamlines between each pair, (parcels, parcels) float64, in mm."""
        return self.summed(self.weighting.everything, self.lengths)

    @property
    def lengths(self) -> np.ndarray:
        """Length of each streamline, (streamlines,), in mm."""
        return self.weighting.known_lengths

    def matrix(self, cut: Cut) -> np.ndarray:
        """Sum `measure` over the streamlines in `cut`, for each pair, (parcels, parcels); int64 if these are counts."""
        if self.measure == EDGE_MEASURES[0]:
            return self.summed(cut)
        return self.summed(self._factors(cut)) * self._edge_factors

    def summed(self, cut: Cut, values: np.ndarray | None = None) -> np.ndarray:
        """Sum the factors of the streamlines in `cut`, times `values` (streamlines,), for each pair, (parcels, parcels)."""
        factors = cut.factors
        if values is not None:
            factors = values[cut.ids].astype(np.float64) * cut.values
        return self.table.matrix(cut.ids, factors)

    def _factors(self, cut: Cut) -> Cut:
        """Apply the part of `measure` that depends on the streamline."""
        if self.measure != 'invlength':
            return cut
        lengths = self.lengths[cut.ids]
        inverse = np.divide(np.float32(1), lengths, out=np.zeros_like(lengths), where=lengths > 0)
        return Cut(cut.ids, inverse.astype(np.float64) * cut.values)

    @cached_property
    def _edge_factors(self) -> np.ndarray | float:
        """Return the part of `measure` that depends on the pair of parcels, (parcels, parcels)."""
        if self.measure != 'invnodevol':
            return 1.0
        both = np.add.outer(self.table.voxels, self.table.voxels)
        factors = np.divide(2.0, both, out=np.zeros(both.shape), where=both > 0)
        return factors.astype(np.float32).astype(np.float64)  # MRtrix3's precision


@dataclass(frozen=True)
class CutConnections:
    """The connections between the parcels of an atlas that a lesion cuts; computed once, on first access.

    Attributes
    ----------
    whole : Connections
        The connections of the whole tractogram.
    cut : lacuna.streamlines.weighting.Cut
        The disconnected streamlines.
    networks : tuple of str
        Network of each parcel; empty for a parcel without one.
    spared_threshold : float
        Minimum percentage of a connection that must be spared for paths to use it.
    """

    whole: Connections
    cut: Cut
    networks: tuple[str, ...] = ()
    spared_threshold: float = 50.0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parcels, in the order of the label table."""
        return self.whole.table.names

    @cached_property
    def lesion_counts(self) -> np.ndarray:
        """Number of streamlines cut between each pair, (parcels, parcels) int64."""
        return self.whole.table.matrix(self.cut.ids)

    @cached_property
    def lesion_matrix(self) -> np.ndarray:
        """Sum of the measure over the streamlines cut between each pair, (parcels, parcels); int64 if these are counts."""
        plain = self.whole.counted and self.cut.factors is None
        return self.lesion_counts if plain else self.whole.matrix(self.cut)

    @cached_property
    def lesion_weights(self) -> np.ndarray:
        """Sum of the factors of the streamlines cut between each pair, independent of the measure, (parcels, parcels)."""
        if self.whole.measure == EDGE_MEASURES[0]:
            return self.lesion_matrix
        return self.whole.summed(self.cut)

    @property
    def full_matrix(self) -> np.ndarray:
        """Sum of the measure over all streamlines between each pair, (parcels, parcels)."""
        return self.whole.full_matrix

    @cached_property
    def percent(self) -> np.ndarray:
        """Percentage of each connection that is cut, (parcels, parcels) float64; 0 where there is no connection."""
        return disconnection_percent(self.lesion_matrix, self.full_matrix)

    @cached_property
    def roi(self) -> np.ndarray:
        """Percentage of each parcel's connections that are cut, (parcels,) float64; NaN where there are none."""
        return roi_disconnection(self.lesion_matrix, self.full_matrix)

    @cached_property
    def support(self) -> dict[str, np.ndarray]:
        """The counts behind `roi` and its 95 % Wilson interval in percent, each (parcels,).

        With weights, sums are included beside the counts, and the interval uses the effective number of streamlines.
        """
        found = {
            'streamlines': self.whole.counts.sum(axis=1),
            'streamlines_disconnected': self.lesion_counts.sum(axis=1),
        }
        if self.cut.factors is not None:
            total = self.whole.weight_matrix.sum(axis=1)
            weight = self.lesion_weights.sum(axis=1)
            found |= {'weight_total': total, 'weight_disconnected_pct': share_percent(weight, total)}
        lost = self.lesion_matrix.sum(axis=1)
        squares = None if self.whole.counted else self.whole.squares.sum(axis=1)
        low, high = percent_interval(lost, self.whole.strength, squares)
        return {**found, 'low': low, 'high': high}

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """Content of the statistics file of an atlas."""
        numbers = matrix_statistics(
            lesion_matrix=self.lesion_matrix,
            full_matrix=self.full_matrix,
            names=self.names,
            streamlines_unassigned=self.whole.table.unassigned(self.cut.ids),
        )
        return {**numbers, **self.whole.table.coverage.statistics()}

    @cached_property
    def by_network(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Result of :func:`lacuna.measures.network_disconnection`."""
        return network_disconnection(self.lesion_matrix, self.full_matrix, self.networks)

    @cached_property
    def longer_paths(self) -> LongerPaths:
        """How much the shortest paths become longer."""
        threshold, paths = self.spared_threshold, self.whole.path_lengths
        delta, indirect = higher_order(self.full_matrix, 100.0 - self.percent, threshold, paths=paths)
        numbers = higher_order_statistics(paths, self.lesion_matrix, delta, indirect, threshold)
        return LongerPaths(delta, indirect, numbers)

    @cached_property
    def mean_lengths(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean lengths in mm of all, cut and spared streamlines between each pair, each (parcels, parcels) float64.

        Streamlines are weighted by their weights and by how strongly they are cut or spared; NaN where there are none.
        The means of all streamlines equal those of ``tck2connectome -scale_length -stat_edge mean``.
        """
        whole = self.whole
        weight, length = whole.weight_matrix, whole.length_matrix
        cut_weight, cut_length = self.lesion_weights, whole.summed(self.cut, whole.lengths)
        spared = whole.counts > self.lesion_counts if self.cut.factors is None else weight > cut_weight
        return (
            mean_of(length, weight),
            mean_of(cut_length, cut_weight),
            mean_of(length - cut_length, np.where(spared, weight - cut_weight, 0)),
        )
