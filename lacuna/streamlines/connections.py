"""The connections between parcels that a lesion cuts, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lacuna.measures import (
    disconnection_percent,
    higher_order,
    higher_order_statistics,
    matrix_statistics,
    network_disconnection,
    percent_interval,
    roi_disconnection,
)
from lacuna.streamlines.endpoints import EndpointTable


@dataclass(frozen=True)
class LongerPaths:
    """By how much a lesion lengthens the shortest paths between parcels.

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
        """(parcels,) float64, mean of `delta` over the other parcels."""
        return np.asarray(self.delta.sum(axis=1) / max(len(self.delta) - 1, 1))


@dataclass(frozen=True)
class CutConnections:
    """The connections between the parcels of an atlas that a lesion cuts; all are computed on first access, once.

    Attributes
    ----------
    table : lacuna.streamlines.endpoints.EndpointTable
        The parcels at the ends of all streamlines.
    streamlines : numpy.ndarray
        (n,) numbers of the streamlines cut.
    networks : tuple of str
        Network of each parcel; empty for a parcel without one.
    spared_threshold : float
        Percent of a connection that has to be spared for a path to lead along it.
    """

    table: EndpointTable
    streamlines: np.ndarray
    networks: tuple[str, ...] = ()
    spared_threshold: float = 50.0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parcels, in the order of the label table."""
        return self.table.names

    @cached_property
    def lesion_matrix(self) -> np.ndarray:
        """(parcels, parcels) int64, streamlines between each pair that are cut."""
        return self.table.lesion_matrix(self.streamlines)

    @property
    def full_matrix(self) -> np.ndarray:
        """(parcels, parcels) int64, all streamlines between each pair."""
        return self.table.full_matrix

    @cached_property
    def percent(self) -> np.ndarray:
        """(parcels, parcels) float64, share of the streamlines of each pair that are cut; 0 where there are none."""
        return disconnection_percent(self.lesion_matrix, self.full_matrix)

    @cached_property
    def roi(self) -> np.ndarray:
        """(parcels,) float64, percent of each parcel's streamlines that are cut; NaN where there are none."""
        return roi_disconnection(self.lesion_matrix, self.full_matrix)

    @cached_property
    def support(self) -> dict[str, np.ndarray]:
        """The counts behind `roi`, and Wilson's interval of 95 % in percent, each (parcels,)."""
        total, cut = self.full_matrix.sum(axis=1), self.lesion_matrix.sum(axis=1)
        low, high = percent_interval(cut, total)
        return {
            'streamlines': total,
            'streamlines_disconnected': cut,
            'low': low,
            'high': high,
        }

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """The content of the statistics file of an atlas."""
        numbers = matrix_statistics(
            lesion_matrix=self.lesion_matrix,
            full_matrix=self.full_matrix,
            names=self.names,
            streamlines_unassigned=self.table.unassigned(self.streamlines),
        )
        return {**numbers, **self.table.coverage.statistics()}

    @cached_property
    def by_network(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """What :func:`lacuna.measures.network_disconnection` returns."""
        return network_disconnection(self.lesion_matrix, self.full_matrix, self.networks)

    @cached_property
    def longer_paths(self) -> LongerPaths:
        """By how much the shortest paths get longer."""
        threshold, paths = self.spared_threshold, self.table.path_lengths
        delta, indirect = higher_order(self.full_matrix, 100.0 - self.percent, threshold, paths=paths)
        numbers = higher_order_statistics(paths, self.lesion_matrix, delta, indirect, threshold)
        return LongerPaths(delta, indirect, numbers)
