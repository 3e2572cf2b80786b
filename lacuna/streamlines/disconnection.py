"""The streamlines that a lesion cuts, and the resulting maps and matrices, computed from an index and images.

:class:`lacuna.streamlines.lesion.Lesion`, the tasks of a run and the workflow nodes share these functions.
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
    """Select the streamlines with a vertex in a mask, and how strongly the mask cuts each.

    Parameters
    ----------
    index : lacuna.streamlines.index.query.Index
    mask : nibabel.Nifti1Image
        Binary, or float from 0 to 1 (graded), on any grid of the index's space.

    Returns
    -------
    ids : numpy.ndarray
        (n,) uint32, indices in the tractogram, from 0, ascending; none for an empty mask.
    grades : numpy.ndarray or None
        (n,) float32, greatest value of the mask along the vertices of each; None for a binary mask.

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
    """Count the streamlines cut that visit each voxel of the index's grid; an image (uint32, or float64 sums of factors).

    Parameters
    ----------
    index : lacuna.streamlines.index.query.Index
    cut : lacuna.streamlines.weighting.Cut

    Returns
    -------
    nibabel.Nifti1Image
        On the grid of the index.
    """
    return make(index.density(cut.ids, cut.factors), index.grid.affine)


def full_density(index: Index, weighting: Weighting) -> np.ndarray:
    """Count the streamlines in use that visit each voxel of the index's grid (uint32), or sum their weights (float64).

    Parameters
    ----------
    index : lacuna.streamlines.index.query.Index
    weighting : lacuna.streamlines.weighting.Weighting
        Weights of the streamlines, and which to use.

    Returns
    -------
    numpy.ndarray
        On the grid of the index.
    """
    if weighting.plain:
        return index.total_density
    everything = weighting.everything
    return index.density(everything.ids, everything.factors)


def full_counts(index: Index, weighting: Weighting) -> np.ndarray:
    """Count the streamlines in use that visit each voxel of the index's grid, without weights.

    Parameters
    ----------
    index : lacuna.streamlines.index.query.Index
    weighting : lacuna.streamlines.weighting.Weighting
        Which streamlines to use.

    Returns
    -------
    numpy.ndarray
        uint32, on the grid of the index.
    """
    return full_density(index, replace(weighting, weights=None))


def read_sample(index: Index, ids: np.ndarray, most: int) -> list[np.ndarray]:
    """Read at most `most` of the streamlines `ids`, evenly spread; each (vertices, 3) float32, world mm.

    Parameters
    ----------
    index : lacuna.streamlines.index.query.Index
    ids : numpy.ndarray
        (n,) indices of streamlines.
    most : int
        Maximum number of streamlines.

    Returns
    -------
    list of numpy.ndarray
    """
    return index.read(ids[spread(len(ids), most)]) if len(ids) else []


def assign_endpoints(
    index: Index, parcels: Any, names: Sequence[str], *, rule: str = 'radial', nprocs: int = 1
) -> EndpointTable:
    """Assign the ends of the streamlines of an index to parcels.

    Parameters
    ----------
    index : lacuna.streamlines.index.query.Index
    parcels : nibabel.Nifti1Image
        Index of the parcel in each voxel, from 1; 0 outside.
    names : sequence of str
        Names of the parcels.
    rule : str
        ``radial``: the nearest parcel within 4 mm of each end; ``end-voxels``: the parcel of the end's voxel.
    nprocs : int
        Number of threads.
    """
    from lacuna.streamlines.index.assignment import assign

    image = voxels(parcels)
    pairs = assign(index.endpoints, image, nifti_affine(parcels.header), rule=rule, nprocs=nprocs)
    return EndpointTable.of(pairs, tuple(names), image)


@dataclass(frozen=True)
class ParcelDisconnection:
    """The disconnection of the parcels of an atlas, and of the connections between them, by a lesion.

    Tables list all parcels in the order of the label table; matrices are symmetric with a zero diagonal. All are
    computed on first access. Counts of streamlines are int; with weights or a measure other than ``count``, sums are
    float.

    Attributes
    ----------
    whole : lacuna.streamlines.connections.Connections
        The connections of the whole tractogram.
    cut : lacuna.streamlines.weighting.Cut
        The disconnected streamlines.
    read_parcels : callable, optional
        Returns the parcels in the space of the mask (:class:`lacuna.images.atlases.Parcellation`), for `load` and
        `networks`.
    mask : nibabel.Nifti1Image, optional
        The lesion, binary, for `load`.
    """

    whole: Connections
    cut: Cut
    read_parcels: Callable[[], Parcellation] | None = field(default=None, repr=False)
    mask: Any = field(default=None, repr=False)

    @cached_property
    def connections(self) -> CutConnections:
        """The connections as arrays without names."""
        return CutConnections(self.whole, self.cut)

    @cached_property
    def matrix(self) -> pd.DataFrame:
        """Percentage of the connection between each pair of parcels that the lesion cuts (float); 0 where there is none."""
        return self._frame(self.connections.percent)

    @cached_property
    def lesion_matrix(self) -> pd.DataFrame:
        """Number of streamlines cut between each pair of parcels, or the sum of the measure."""
        return self._frame(self.connections.lesion_matrix)

    @cached_property
    def intact_matrix(self) -> pd.DataFrame:
        """Number of streamlines spared between each pair of parcels, or the sum of the measure."""
        return self._frame(self.whole.full_matrix - self.connections.lesion_matrix)

    @cached_property
    def full_matrix(self) -> pd.DataFrame:
        """Number of all streamlines between each pair of parcels, or the sum of the measure."""
        return self._frame(self.whole.full_matrix)

    @cached_property
    def disconnection(self) -> pd.Series:
        """Percentage of each parcel's connections to other parcels that the lesion cuts (float), by name.

        NaN for a parcel without connections.
        """
        return self._series(self.connections.roi)

    @property
    def statistics(self) -> dict[str, Any]:
        """Numbers of parcels, edges and lost connections, with the keys of the atlas's statistics file."""
        return self.connections.statistics

    @cached_property
    def support(self) -> pd.DataFrame:
        """Counts behind each percentage of `disconnection`, and its 95 % Wilson interval, one row per parcel.

        ``streamlines`` to other parcels, ``streamlines_disconnected`` (int), and the interval from ``low`` to ``high``;
        NaN for a parcel without streamlines. With weights, also ``weight_total`` and ``weight_disconnected_pct``.
        """
        import pandas as pd

        return pd.DataFrame(self.connections.support, index=self._names)

    @cached_property
    def mean_lengths(self) -> dict[str, pd.DataFrame]:
        """Mean length in mm of the streamlines between each pair of parcels, in the tractogram's own space.

        A matrix each for ``all``, ``cut`` and ``spared`` streamlines; NaN where there are none.
        """
        keys = ('all', 'cut', 'spared')
        return {key: self._frame(each) for key, each in zip(keys, self.connections.mean_lengths, strict=True)}

    @cached_property
    def load(self) -> pd.Series:
        """Percentage of each parcel's volume that is lesion (float), by name; NaN for a parcel missing in the image.

        Raises
        ------
        ValueError
            If there are no parcels or no mask.
        """
        if self.read_parcels is None or self.mask is None:
            message = 'lesion load needs the parcels and the mask'
            raise ValueError(message)
        return self._series(parcel_load(self.mask, self.read_parcels()))

    @cached_property
    def networks(self) -> NetworkDisconnection:
        """The disconnection of the networks that the parcels belong to.

        Raises
        ------
        lacuna.errors.InputError
            If neither label table nor names of parcels define the networks.
        """
        import pandas as pd

        networks = check_networks(self.read_parcels().networks if self.read_parcels else ())
        names, total, pairs = replace(self.connections, networks=networks).by_network
        rows = pd.Index(names, name='region')
        return NetworkDisconnection(
            pd.Series(total, index=rows, name='value'), pd.DataFrame(pairs, index=rows, columns=names)
        )

    def higher_order(self, threshold: float = 50) -> HigherOrderDisconnection:
        """Compute how much the lesion lengthens the shortest paths between parcels.

        See :func:`lacuna.measures.higher_order`.

        Parameters
        ----------
        threshold : float
            Minimum percentage of a connection that must be spared for paths to use it.
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

        return pd.Series(values, index=self._names, name='value', copy=True)

    def _frame(self, matrix: np.ndarray) -> pd.DataFrame:
        import pandas as pd

        # what a user changes in a table must not change the arrays, which all lesions share
        return pd.DataFrame(matrix, index=self._names, columns=list(self.whole.table.names), copy=True)


@dataclass(frozen=True)
class NetworkDisconnection:
    """The disconnection of networks of parcels by a lesion.

    Attributes
    ----------
    disconnection : pandas.Series
        Percentage of the streamlines ending in each network's parcels that the lesion cuts (float), by name.
    matrix : pandas.DataFrame
        Percentage cut of the streamlines between two networks, or within one (float); 0 where there are none.
    """

    disconnection: pd.Series
    matrix: pd.DataFrame


@dataclass(frozen=True)
class HigherOrderDisconnection:
    """How much a lesion lengthens the shortest paths between parcels.

    Attributes
    ----------
    delta : pandas.DataFrame
        Additional steps of the shortest path between each pair, compared with the whole tractogram (int).
    indirect : pandas.DataFrame
        `delta` of the pairs whose direct connection, if any, is not cut; 0 for others (int).
    statistics : dict
        Content of the file ``desc-higherorder_stats.json``.
    mean : pandas.Series
        Mean of `delta` over the other parcels (float), by name.
    """

    delta: pd.DataFrame
    indirect: pd.DataFrame
    statistics: dict[str, Any]
    mean: pd.Series


class Disconnection:
    """The disconnection by a mask, computed from the index of a tractogram.

    Each value is computed once, on first access.

    Parameters
    ----------
    index : lacuna.streamlines.index.query.Index
        Index of the tractogram, in the space of the mask.
    mask : lacuna.images.masks.Mask
    warnings : sequence of str
        Warnings about mask and tractogram, included in the summary.
    weighting : lacuna.streamlines.weighting.Weighting, optional
        Weights and lengths of the streamlines, and which to use; by default all, with weight 1.
    full_density : numpy.ndarray, optional
        Result of the function `full_density`, if already computed.
    counts : numpy.ndarray, optional
        Result of `full_counts`, if already computed.
    min_support : int
        Number of streamlines from which the percentage of a voxel counts as supported, in the summary.
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
        """The mask on its own grid (nibabel image), binary (uint8) or graded from 0 to 1 (float32)."""
        return self._mask.image()

    @cached_property
    def cut(self) -> Cut:
        """The streamlines with a vertex in the mask, and how much each counts."""
        return self.weighting.cut(*select_streamlines(self._index, self.mask))

    @property
    def streamlines(self) -> np.ndarray:
        """Indices of the disconnected streamlines, from 0, ascending; (n,) uint32, read-only."""
        ids = self.cut.ids.view()
        ids.flags.writeable = False  # maps and matrices are computed from them
        return ids

    @cached_property
    def density(self) -> Any:
        """Number of disconnected streamlines that visit each voxel (nibabel image, uint32), or sums of weights (float64)."""
        return density_map(self._index, self.cut)

    @cached_property
    def full_density(self) -> Any:
        """Number of all streamlines that visit each voxel, or sums of weights (nibabel image)."""
        computed = self._full_density
        return make(
            full_density(self._index, self.weighting) if computed is None else computed,
            self._index.grid.affine,
        )

    @cached_property
    def counts(self) -> Any:
        """Number of all streamlines that visit each voxel, without weights (nibabel image)."""
        if self.weighting.weights is None:
            return self.full_density
        computed = self._counts
        return make(
            full_counts(self._index, self.weighting) if computed is None else computed,
            self._index.grid.affine,
        )

    @cached_property
    def map(self) -> Any:
        """Percentage of each voxel's streamlines that are cut, 0 to 100 (nibabel image, float32)."""
        return disconnection_map(self.density, self.full_density)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Volume of the mask, number of streamlines cut and extent of the map, with the keys of the statistics file."""
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
        """Read at most `count` of the streamlines cut, evenly spread; each (vertices, 3) float32, world mm."""
        return read_sample(self._index, self.cut.ids, count)

    def parcels(
        self, whole: Connections, read_parcels: Callable[[], Parcellation] | None = None
    ) -> ParcelDisconnection:
        """Compute the disconnection of parcels; `read_parcels` is needed for their load and networks."""
        return ParcelDisconnection(whole, self.cut, read_parcels, self.part)

    def bundles(self, bundles: Bundles) -> BundleDisconnection:
        """Compute the disconnection of each bundle."""
        return BundleDisconnection(bundles, self.cut, self.part)

    @cached_property
    def part(self) -> Any:
        """The mask, cropped to its voxels (nibabel image)."""
        return self._mask.part_image()
