"""The streamlines that a lesion cuts, and the effect on maps and parcels, computed from an index and images.

:class:`lacuna.streamlines.lesion.Lesion`, the tasks of a run and the nodes of the workflows all use these functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.images.atlases import check_networks
from lacuna.images.load import parcel_load
from lacuna.images.maps import disconnection_map, lesion_summary
from lacuna.images.nifti import make, nifti_affine, voxels
from lacuna.measures import MIN_SUPPORT
from lacuna.streamlines.bundles import BundleDisconnection, Bundles
from lacuna.streamlines.connections import Connections, CutConnections
from lacuna.streamlines.endpoints import EndpointTable
from lacuna.streamlines.sample import spread
from lacuna.streamlines.weighting import NOTHING, Cut, Selection, Weighting

if TYPE_CHECKING:
    import pandas as pd

    from lacuna.images.atlases import Parcellation
    from lacuna.images.masks import Mask
    from lacuna.streamlines.index.query import Index


def select_streamlines(index: Index, mask: Any) -> Selection:
    """Return the streamlines with a vertex in a mask, and how strongly it cuts each.

    Parameters
    ----------
    index : lacuna.streamlines.index.query.Index
    mask : nibabel.Nifti1Image
        0 and 1, or float values between them (graded), on any grid of the index's space.

    Returns
    -------
    ids : numpy.ndarray
        (n,) uint32, their numbers in the tractogram, from 0, ascending; none for an empty mask.
    grades : numpy.ndarray or None
        (n,) float32, the greatest value of the mask along the vertices of each; None if the mask holds 0 and 1 only.

    Raises
    ------
    lacuna.errors.StreamlineIndexError
        If the index is damaged, or the tractogram has changed since it was built.
    """
    values = voxels(mask)
    inside, affine = values > 0, nifti_affine(mask.header)
    if not inside.any():
        return NOTHING
    if values.dtype.kind == 'f' and (values[inside] != 1).any():
        return index.grades(values, affine)
    return index.select(inside, affine), None


def density_map(index: Index, cut: Cut) -> Any:
    """Return how many of some streamlines visit each voxel of the index's grid (uint32, or float64 sums), as an image."""
    return make(index.density(cut.ids, cut.factors), index.grid.affine)


def full_density(index: Index, weighting: Weighting) -> np.ndarray:
    """How many streamlines visit each voxel of the index's grid, of those that are looked at; uint32, or float64 sums."""
    if weighting.plain:
        return index.total_density
    everything = weighting.everything
    return index.density(everything.ids, everything.factors)


def full_counts(index: Index, weighting: Weighting) -> np.ndarray:
    """How many of the streamlines that are looked at visit each voxel of the index's grid, whatever each counts."""
    return full_density(index, replace(weighting, weights=None))


def read_sample(index: Index, ids: np.ndarray, most: int) -> list[np.ndarray]:
    """Return at most `most` of some streamlines, evenly spread over their order; each (vertices, 3) float32, world mm."""
    return index.read(ids[spread(len(ids), most)]) if len(ids) else []


def assign_endpoints(
    index: Index, parcels: Any, names: Sequence[str], *, rule: str = 'radial', nprocs: int = 1
) -> EndpointTable:
    """The parcels that the streamlines of an index join.

    Parameters
    ----------
    index : lacuna.streamlines.index.query.Index
    parcels : nibabel.Nifti1Image
        Number of the parcel in each voxel, from 1; 0 outside.
    names : sequence of str
        Of the parcels.
    rule : str
        ``radial``: the nearest parcel within 4 mm of each end; ``end-voxels``: the parcel of the voxel of the end.
    nprocs : int
        Threads.
    """
    from lacuna.streamlines.index.assignment import assign

    image = voxels(parcels)
    pairs = assign(index.endpoints, image, nifti_affine(parcels.header), rule=rule, nprocs=nprocs)
    return EndpointTable.of(pairs, tuple(names), image)


@dataclass(frozen=True)
class ParcelDisconnection:
    """The effect of a lesion on the connections between the parcels of an atlas.

    Each table has the names of all parcels of the label table, in its order; matrices are symmetric, with 0 on the
    diagonal. All are computed on first access. Numbers of streamlines are whole; with weights or another measure than
    ``count``, sums are float.

    Attributes
    ----------
    whole : lacuna.streamlines.connections.Connections
        The connections of the whole tractogram.
    cut : lacuna.streamlines.weighting.Cut
        The streamlines cut.
    read_parcels : callable, optional
        Gives the parcels themselves, in the space of the mask (:class:`lacuna.images.atlases.Parcellation`), for
        `load` and `networks`.
    mask : nibabel.Nifti1Image, optional
        The lesion, 0 and 1, for `load`.
    """

    whole: Connections
    cut: Cut
    read_parcels: Callable[[], Parcellation] | None = field(default=None, repr=False)
    mask: Any = field(default=None, repr=False)

    @cached_property
    def connections(self) -> CutConnections:
        """The same as arrays without names."""
        return CutConnections(self.whole, self.cut)

    @cached_property
    def matrix(self) -> pd.DataFrame:
        """Percent of the connection of each pair of parcels that the lesion cuts (float); 0 where there is none."""
        return self._frame(self.connections.percent)

    @cached_property
    def lesion_matrix(self) -> pd.DataFrame:
        """Number of streamlines between each pair of parcels that the lesion cuts, or the sum of what is measured."""
        return self._frame(self.connections.lesion_matrix)

    @cached_property
    def intact_matrix(self) -> pd.DataFrame:
        """The same of those that the lesion leaves intact."""
        return self._frame(self.whole.full_matrix - self.connections.lesion_matrix)

    @cached_property
    def full_matrix(self) -> pd.DataFrame:
        """The same of the whole tractogram."""
        return self._frame(self.whole.full_matrix)

    @cached_property
    def disconnection(self) -> pd.Series:
        """Percent of each parcel's connections to other parcels that the lesion cuts (float), by name.

        NaN for a parcel that no streamline joins to another.
        """
        return self._series(self.connections.roi)

    @property
    def statistics(self) -> dict[str, Any]:
        """Numbers of parcels, edges and lost connections, with the keys of the statistics file of an atlas."""
        return self.connections.statistics

    @cached_property
    def support(self) -> pd.DataFrame:
        """How many streamlines each percentage of `disconnection` is of, by the name of the parcel.

        ``streamlines`` to other parcels, ``streamlines_disconnected`` (int), and Wilson's interval of 95 % of the
        percentage, from ``low`` to ``high``; NaN for a parcel without streamlines. With weights, ``weight_total`` and
        ``weight_disconnected_pct`` too.
        """
        import pandas as pd

        return pd.DataFrame(self.connections.support, index=self._names)

    @cached_property
    def mean_lengths(self) -> dict[str, pd.DataFrame]:
        """Mean length in mm of the streamlines between each pair of parcels, in the space of the tractogram itself.

        ``all``, those ``cut``, and those ``spared``; NaN where there are none.
        """
        keys = ('all', 'cut', 'spared')
        return {key: self._frame(each) for key, each in zip(keys, self.connections.mean_lengths, strict=True)}

    @cached_property
    def load(self) -> pd.Series:
        """Percent of each parcel that is lesion (float), by its name; NaN for a parcel that the image does not hold.

        Raises
        ------
        ValueError
            If the parcels or the mask were not given.
        """
        if self.read_parcels is None or self.mask is None:
            message = 'lesion load needs the parcels and the mask'
            raise ValueError(message)
        return self._series(parcel_load(self.mask, self.read_parcels()))

    @cached_property
    def networks(self) -> NetworkDisconnection:
        """What the lesion does to the networks of the parcels.

        Raises
        ------
        lacuna.errors.InputError
            If neither the label table nor the names of the parcels say which network each belongs to.
        """
        import pandas as pd

        known = check_networks(self.read_parcels().networks if self.read_parcels else ())
        names, total, pairs = replace(self.connections, networks=known).by_network
        rows = pd.Index(names, name='region')
        return NetworkDisconnection(
            pd.Series(total, index=rows, name='value'), pd.DataFrame(pairs, index=rows, columns=names)
        )

    def higher_order(self, threshold: float = 50) -> HigherOrderDisconnection:
        """By how much the lesion lengthens the ways between parcels, see :func:`lacuna.measures.higher_order`.

        Parameters
        ----------
        threshold : float
            Percent of the streamlines of a pair that have to be spared for a way to lead along it.
        """
        found = replace(self.connections, spared_threshold=threshold).longer_paths
        return HigherOrderDisconnection(
            self._frame(found.delta), self._frame(found.indirect), found.statistics, self._series(found.mean)
        )

    @property
    def _names(self) -> pd.Index:
        import pandas as pd

        return pd.Index(self.whole.table.names, name='region')

    def _series(self, values: np.ndarray) -> pd.Series:
        import pandas as pd

        return pd.Series(values, index=self._names, name='value')

    def _frame(self, matrix: np.ndarray) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(matrix, index=self._names, columns=list(self.whole.table.names))


@dataclass(frozen=True)
class NetworkDisconnection:
    """What a lesion does to the networks to which parcels belong.

    Attributes
    ----------
    disconnection : pandas.Series
        Percent of the streamlines that end in a network's parcels that the lesion cuts (float), by its name.
    matrix : pandas.DataFrame
        Percent of the streamlines between two networks, or within one (float); 0 where there are none.
    """

    disconnection: pd.Series
    matrix: pd.DataFrame


@dataclass(frozen=True)
class HigherOrderDisconnection:
    """By how much a lesion lengthens the shortest ways between parcels.

    Attributes
    ----------
    delta : pandas.DataFrame
        Steps that each pair needs more than in the whole tractogram (int).
    indirect : pandas.DataFrame
        The same for pairs without a direct connection that is cut; 0 for others (int).
    statistics : dict
        What the file ``desc-higherorder_stats.json`` holds.
    mean : pandas.Series
        Mean of `delta` over the other parcels (float), by the name of the parcel.
    """

    delta: pd.DataFrame
    indirect: pd.DataFrame
    statistics: dict[str, Any]
    mean: pd.Series


class Disconnection:
    """What a mask disconnects, computed from the index of a tractogram.

    Each value is computed on first access, and kept.

    Parameters
    ----------
    index : lacuna.streamlines.index.query.Index
        Index of the tractogram, in the space of the mask.
    mask : lacuna.images.masks.Mask
    warnings : sequence of str
        Warnings about mask and tractogram, for the summary.
    weighting : lacuna.streamlines.weighting.Weighting, optional
        Which streamlines are looked at, and how much each counts; by default all, and 1.
    full_density : numpy.ndarray, optional
        What `full_density` returns, if it is known.
    counts : numpy.ndarray, optional
        The same of the streamlines without their weights, if it is known.
    min_support : int
        Voxels that as many streamlines of the tractogram visit are supported, for the summary.
    """

    def __init__(
        self,
        index: Index,
        mask: Mask,
        warnings: Sequence[str] = (),
        weighting: Weighting | None = None,
        full_density: np.ndarray | None = None,
        counts: np.ndarray | None = None,
        min_support: int = MIN_SUPPORT,
    ) -> None:
        self._index, self._mask, self._warnings = index, mask, warnings
        self.weighting = weighting or Weighting()
        self._full_density, self._counts, self._min_support = full_density, counts, min_support

    @cached_property
    def mask(self) -> Any:
        """The mask on its own grid (nibabel image), 0 and 1 (uint8), or from 0 to 1 (float32) if it is graded."""
        return self._mask.image()

    @cached_property
    def cut(self) -> Cut:
        """The streamlines with a vertex in the mask, and how much each counts."""
        return self.weighting.cut(*select_streamlines(self._index, self.mask))

    @property
    def streamlines(self) -> np.ndarray:
        """Their numbers, from 0, ascending; (n,) uint32."""
        return self.cut.ids

    @cached_property
    def density(self) -> Any:
        """Number of the streamlines cut that visit each voxel (nibabel image, uint32), or float64 sums of weights."""
        return density_map(self._index, self.cut)

    @cached_property
    def full_density(self) -> Any:
        """The same of the whole tractogram."""
        known = self._full_density
        return make(
            full_density(self._index, self.weighting) if known is None else known, self._index.grid.affine
        )

    @cached_property
    def counts(self) -> Any:
        """Number of all streamlines that visit each voxel, whatever their weights (nibabel image)."""
        if self.weighting.weights is None:
            return self.full_density
        known = self._counts
        return make(
            full_counts(self._index, self.weighting) if known is None else known, self._index.grid.affine
        )

    @cached_property
    def map(self) -> Any:
        """Percent of each voxel's streamlines that are cut, 0 to 100 (nibabel image, float32)."""
        return disconnection_map(self.density, self.full_density)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Volume of the mask, streamlines cut, and extent of the map, with the keys of the statistics file."""
        numbers = lesion_summary(
            self.mask,
            self.map,
            self.full_density,
            streamlines_total=self.weighting.count(self._index.streamlines),
            streamlines_disconnected=len(self.cut),
            support=self.counts,
            min_support=self._min_support,
        )
        about_cut = self.weighting.summary(self.cut)
        return {**numbers, **about_cut, 'warnings': '; '.join(self._warnings) or None}

    def sample(self, count: int) -> list[np.ndarray]:
        """Return at most `count` of the streamlines cut, evenly over their order; each (vertices, 3) float32, world mm."""
        return read_sample(self._index, self.streamlines, count)

    def parcels(
        self, whole: Connections, read_parcels: Callable[[], Parcellation] | None = None
    ) -> ParcelDisconnection:
        """What is cut between the parcels of an atlas; for their load and networks, they are read."""
        return ParcelDisconnection(whole, self.cut, read_parcels, self.part)

    def bundles(self, bundles: Bundles) -> BundleDisconnection:
        """What is cut of each bundle."""
        return BundleDisconnection(bundles, self.cut, self.part)

    @cached_property
    def part(self) -> Any:
        """The box around the voxels of the mask (nibabel image), which is all that is needed of it on other grids."""
        return self._mask.part_image()
