"""Regions that may overlap, stored as the regions and weights of each voxel of a grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Memberships:
    """Regions on a grid, stored by voxel, so that the load of all regions is computed from a lesion's voxels alone.

    Attributes
    ----------
    shape : tuple of int
    affine : numpy.ndarray
        4 x 4, voxels to world mm.
    voxels : numpy.ndarray
        (v,) int64, ascending flat indices (C order) of the voxels in at least one region.
    starts : numpy.ndarray
        (v + 1,) int64, where the entries of each voxel begin in `regions` and `weights`.
    regions : numpy.ndarray
        (m,) int32, index of the region, from 0.
    weights : numpy.ndarray
        (m,) float32, weight in the region, above 0.
    totals : numpy.ndarray
        (regions,) float64, sum of the weights of each region.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    voxels: np.ndarray
    starts: np.ndarray
    regions: np.ndarray
    weights: np.ndarray
    totals: np.ndarray

    @classmethod
    def of(
        cls,
        parts: Iterable[tuple[np.ndarray, np.ndarray | None]],
        shape: tuple[int, ...],
        affine: np.ndarray,
    ) -> Memberships:
        """Create from the voxels (flat indices in C order) and weights (1 if None) of each region.

        Examples
        --------
        >>> both = Memberships.of([(np.array([0, 1]), None), (np.array([1, 2]), None)], (3, 1, 1), np.eye(4))
        >>> both.voxels, both.starts, both.regions
        (array([0, 1, 2]), array([0, 1, 3, 4]), array([0, 0, 1, 1], dtype=int32))
        >>> both.mean(np.array([2]), np.array([1.0]))
        array([0. , 0.5])
        """
        numbers, regions, weights, totals = [], [], [], []
        for region, (voxels, given) in enumerate(parts):
            weight = np.ones(len(voxels), np.float32) if given is None else np.asarray(given, np.float32)
            numbers.append(np.asarray(voxels, np.int64))
            regions.append(np.full(len(voxels), region, np.int32))
            weights.append(weight)
            totals.append(weight.sum(dtype=np.float64))
        number = np.concatenate([np.empty(0, np.int64), *numbers])
        order = np.argsort(number, kind='stable')
        found, starts = np.unique(number[order], return_index=True)
        return cls(
            tuple(map(int, shape)),
            np.asarray(affine, float),
            found,
            np.append(starts, len(number)).astype(np.int64),
            np.concatenate([np.empty(0, np.int32), *regions])[order],
            np.concatenate([np.empty(0, np.float32), *weights])[order],
            np.array(totals, float),
        )

    def mean(self, voxels: np.ndarray, share: np.ndarray | None = None) -> np.ndarray:
        """Compute the weighted mean over each region of values that are 0 except at some voxels.

        Parameters
        ----------
        voxels : numpy.ndarray
            (n,) unique flat indices.
        share : numpy.ndarray, optional
            (n,) value at each voxel; 1 by default.

        Returns
        -------
        numpy.ndarray
            (regions,) float64; NaN for an empty region.
        """
        at, repeated = self._entries(voxels)
        values = self.weights[at].astype(np.float64)
        if share is not None:
            values *= share[repeated]
        sums = np.bincount(self.regions[at], values, minlength=len(self.totals))
        return np.divide(sums, self.totals, out=np.full(len(sums), np.nan), where=self.totals > 0)

    def largest(self, voxels: np.ndarray) -> np.ndarray:
        """Return the largest weight of each region among some voxels.

        Returns
        -------
        numpy.ndarray
            (regions,) float64; 0 for a region without any of the voxels, NaN for an empty region.
        """
        at, _ = self._entries(voxels)
        found = np.where(self.totals > 0, 0.0, np.nan)
        np.maximum.at(found, self.regions[at], self.weights[at].astype(np.float64))
        return found

    def _entries(self, voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of the entries of these voxels, and the index of the voxel of each entry."""
        row = np.searchsorted(self.voxels, voxels)
        row[row == len(self.voxels)] = 0
        found = np.flatnonzero(self.voxels[row] == voxels) if len(self.voxels) else np.empty(0, np.int64)
        first, last = self.starts[row[found]], self.starts[row[found] + 1]
        counts = last - first
        repeated = np.repeat(found, counts)
        ends = np.cumsum(counts)
        at = np.arange(len(repeated)) + np.repeat(first - (ends - counts), counts)
        return at, repeated

    def arrays(self) -> dict[str, Any]:
        """Return the content as arrays, for a ``.npz``."""
        return {**vars(self), 'shape': np.array(self.shape)}

    @classmethod
    def of_arrays(cls, content: Mapping[str, np.ndarray]) -> Memberships:
        """Create memberships from the result of `arrays`."""
        fields: dict[str, Any] = {name: content[name] for name in cls.__dataclass_fields__}
        return cls(**{**fields, 'shape': tuple(fields['shape'].tolist())})
