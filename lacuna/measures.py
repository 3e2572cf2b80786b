"""The quantities of structural disconnection, computed from numpy arrays; no files, no Nipype.

Notation: ``TDI(v)`` is the number of streamlines that visit voxel ``v``; ``TDI_L(v)`` counts those of them that have
a vertex in the lesion ``L``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

#: number of streamlines from which the percentage of a voxel counts as supported, by default
MIN_SUPPORT = 10
#: voxels are neighbours if they share a face, an edge or a corner
_NEIGHBOURS = np.ones((3, 3, 3), bool)


def disconnection_percent(lesion_tdi: np.ndarray, full_tdi: np.ndarray) -> np.ndarray:
    """Compute the percentage of each voxel's streamlines that the lesion disconnects; 0 where there are no streamlines.

    Parameters
    ----------
    lesion_tdi, full_tdi : numpy.ndarray
        Counts (or summed weights) of the disconnected and of all streamlines, of one shape.

    Returns
    -------
    numpy.ndarray
        float64, 0 to 100.

    Raises
    ------
    ValueError
        If a voxel has more disconnected streamlines than streamlines, or if the shapes differ.

    Examples
    --------
    >>> disconnection_percent(np.array([1, 0, 0]), np.array([4, 4, 0]))
    array([25.,  0.,  0.])
    """
    if lesion_tdi.shape != full_tdi.shape:
        message = f'the densities have different shapes: {lesion_tdi.shape} and {full_tdi.shape}'
        raise ValueError(message)
    # the lesion's streamlines visit few voxels: compute those only
    cut_in = np.flatnonzero(lesion_tdi.ravel() != 0)
    cut, whole = lesion_tdi.ravel()[cut_in], full_tdi.ravel()[cut_in]
    if (cut > whole).any():
        message = (
            'more disconnected streamlines than streamlines: the densities belong to different tractograms'
        )
        raise ValueError(message)
    percent = np.zeros(full_tdi.shape)
    percent.reshape(-1)[cut_in] = 100.0 * cut / whole
    return percent


def summary_statistics(
    *,
    mask: np.ndarray,
    mask_affine: np.ndarray,
    percent: np.ndarray,
    full_tdi: np.ndarray,
    grid_affine: np.ndarray,
    brain: np.ndarray,
    brain_affine: np.ndarray,
    streamlines_total: int,
    streamlines_disconnected: int,
    support: np.ndarray | None = None,
    min_support: int = MIN_SUPPORT,
) -> dict[str, Any]:
    """Summarise one lesion, with the keys of the statistics file.

    Parameters
    ----------
    mask : numpy.ndarray
        (x, y, z) on its own grid: bool, or float from 0 to 1 if it is graded.
    mask_affine : numpy.ndarray
        4 x 4, mask voxels to world mm.
    percent : numpy.ndarray
        Voxel-wise disconnection in percent.
    full_tdi : numpy.ndarray
        Density of the whole tractogram, on the grid of `percent`.
    grid_affine : numpy.ndarray
        4 x 4, voxels of `percent` to world mm.
    brain : numpy.ndarray
        (x, y, z) bool.
    brain_affine : numpy.ndarray
        4 x 4, voxels of `brain` to world mm.
    streamlines_total, streamlines_disconnected : int
    support : numpy.ndarray, optional
        Number of streamlines that visit each voxel, in the whole tractogram; by default `full_tdi`, which must then
        be unweighted.
    min_support : int
        A voxel is supported if at least this many streamlines visit it.

    Returns
    -------
    dict
        ``mask_volume_mm3`` of a graded mask is the sum of its values times the volume of a voxel; all other values
        refer to its voxels above 0. ``mask_components`` counts groups of voxels that share a face, an edge or a corner;
        ``mask_outside_support_pct`` is the percentage of the mask's voxels whose centre no streamline visits.
    """
    mask, mask_affine = lesion_part(mask, mask_affine)
    filled = float(mask.sum(dtype=np.float64))
    mask = mask > 0
    voxels = int(np.count_nonzero(mask))
    values = percent.ravel()
    affected_in = np.flatnonzero(values > 0)
    affected = values[affected_in]
    visits = (full_tdi if support is None else support).ravel()[affected_in]
    supported = affected[visits >= min_support]
    return {
        'mask_voxels': voxels,
        'mask_volume_mm3': filled * round(float(abs(np.linalg.det(mask_affine[:3, :3]))), 9),
        'mask_components': count_components(mask),
        'mask_outside_brain_pct': outside_support_percent(mask, mask_affine, brain, brain_affine),
        'mask_outside_support_pct': outside_support_percent(mask, mask_affine, full_tdi, grid_affine),
        'streamlines_total': streamlines_total,
        'streamlines_disconnected': streamlines_disconnected,
        'streamlines_disconnected_pct': _percent(streamlines_disconnected, streamlines_total),
        'voxels_disconnected': int(affected.size),
        'disconnection_mean_pct': float(affected.mean()) if affected.size else 0.0,
        'disconnection_max_pct': float(affected.max()) if affected.size else 0.0,
        'min_support': min_support,
        'voxels_supported': int(supported.size),
        'disconnection_mean_supported_pct': float(supported.mean()) if supported.size else 0.0,
        'disconnection_max_supported_pct': float(supported.max()) if supported.size else 0.0,
    }


def count_components(mask: np.ndarray) -> int:
    """Count the groups of voxels that share a face, an edge or a corner.

    Parameters
    ----------
    mask : numpy.ndarray
        (x, y, z) bool.

    Examples
    --------
    >>> count_components(np.array([[[1, 0, 0, 1]]], bool))
    2
    """
    from scipy import ndimage

    return int(ndimage.label(mask, structure=_NEIGHBOURS)[1])


def outside_support_percent(
    mask: np.ndarray, mask_affine: np.ndarray, full_tdi: np.ndarray, grid_affine: np.ndarray
) -> float:
    """Compute the percentage of the mask's voxels whose centre no streamline visits; 0 for an empty mask.

    Parameters
    ----------
    mask : numpy.ndarray
        (x, y, z) bool.
    mask_affine, grid_affine : numpy.ndarray
        4 x 4, voxels of `mask` and of `full_tdi` to world mm.
    full_tdi : numpy.ndarray
        Density of the whole tractogram.
    """
    voxels = int(np.count_nonzero(mask))
    to_grid = np.linalg.inv(grid_affine) @ mask_affine
    if np.count_nonzero(to_grid[:3, :3]) == 3:  # the axes are parallel, as in all standard grids
        supported = _supported_along_axes(mask, to_grid, full_tdi)
    else:
        index = np.rint(np.argwhere(mask) @ to_grid[:3, :3].T + to_grid[:3, 3]).astype(int)
        inside = ((index >= 0) & (index < full_tdi.shape)).all(axis=1)
        supported = int(np.count_nonzero(full_tdi[tuple(index[inside].T)]))
    return _percent(voxels - supported, voxels)


def _supported_along_axes(mask: np.ndarray, to_grid: np.ndarray, full_tdi: np.ndarray) -> int:
    """Count the voxels of a mask whose centre is in a voxel of the grid above 0; the axes of both are parallel."""
    axes = np.abs(to_grid[:3, :3]).argmax(axis=1)
    inside: list[Any] = [None] * 3
    index = []
    for row, axis in enumerate(axes):
        at = np.rint(np.arange(mask.shape[axis]) * to_grid[row, axis] + to_grid[row, 3]).astype(int)
        hit = np.flatnonzero((at >= 0) & (at < full_tdi.shape[row]))
        if not len(hit):
            return 0
        inside[axis] = slice(hit[0], hit[-1] + 1)
        index.append(at[inside[axis]])
    box = [(int(at.min()), int(at.max()) + 1) for at in index]
    support = full_tdi[tuple(slice(*extent) for extent in box)] != 0
    for row in (2, 1, 0):  # the last axis first: whole rows are copied, which is fastest
        support = support.take(index[row] - box[row][0], axis=row)
    return int(np.count_nonzero(support & mask[tuple(inside)].transpose(axes)))


def world_box(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return the smallest and largest world coordinates (mm) of the voxels of a mask, including their edges; (2, 3).

    Parameters
    ----------
    mask : numpy.ndarray
        (x, y, z) bool.
    affine : numpy.ndarray
        4 x 4, voxels to world mm.

    Examples
    --------
    >>> world_box(np.ones((1, 1, 1), bool), np.diag([2.0, 2, 2, 1]))
    array([[-1., -1., -1.],
           [ 1.,  1.,  1.]])
    """
    edges = np.array([[part.start - 0.5, part.stop - 0.5] for part in voxel_box(mask)])
    corners = np.stack(np.meshgrid(*edges, indexing='ij'), axis=-1).reshape(-1, 3)
    world = corners @ affine[:3, :3].T + affine[:3, 3]
    return np.stack([world.min(axis=0), world.max(axis=0)])


def voxel_box(mask: np.ndarray) -> tuple[slice, ...]:
    """Return the smallest box around all voxels that are not 0 (empty if there are none).

    Parameters
    ----------
    mask : numpy.ndarray
        Of any number of dimensions.

    Examples
    --------
    >>> voxel_box(np.array([[0, 2, 2, 0], [0, 0, 0, 0]]))
    (slice(0, 1, None), slice(1, 3, None))
    """
    filled = mask if mask.dtype == bool else mask != 0
    # reduce the axes in memory order, which is many times faster
    order = sorted(range(filled.ndim), key=lambda axis: -abs(filled.strides[axis]))
    forward = filled[tuple(slice(None, None, -1 if step < 0 else 1) for step in filled.strides)]
    box = [slice(0)] * filled.ndim
    for axis, extent in zip(order, _extents(forward.transpose(order)), strict=True):
        size = filled.shape[axis] if filled.strides[axis] < 0 else 0
        box[axis] = slice(size - extent.stop, size - extent.start) if size else extent
    return tuple(box)


def _extents(filled: np.ndarray) -> tuple[slice, ...]:
    hit = np.flatnonzero(filled.reshape(len(filled), -1).any(axis=1)).tolist() if filled.size else []
    extent = slice(hit[0], hit[-1] + 1) if hit else slice(0, 0)
    return (extent, *_extents(np.any(filled[extent], axis=0))) if filled.ndim > 1 else (extent,)


def lesion_part(
    mask: np.ndarray, affine: np.ndarray, box: tuple[slice, ...] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Crop a mask to its nonzero voxels (or to `box`); return the part and its affine.

    Parameters
    ----------
    mask : numpy.ndarray
        (x, y, z), bool or graded.
    affine : numpy.ndarray
        4 x 4, voxels to world mm.
    box : tuple of slice, optional
        Result of `voxel_box`, if already computed.

    Returns
    -------
    part : numpy.ndarray
        The voxels inside the box.
    affine : numpy.ndarray
        4 x 4, voxels of `part` to world mm.
    """
    box = box or voxel_box(mask)
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    return mask[box], moved


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0


def connectivity(
    pairs: np.ndarray,
    parcels: int,
    selected: np.ndarray | None = None,
    values: np.ndarray | None = None,
) -> np.ndarray:
    """Count the streamlines between each pair of parcels: a symmetric matrix with an empty diagonal.

    Parameters
    ----------
    pairs : numpy.ndarray
        (streamlines, 2) int, the parcels at the two ends, from 1; 0 for none.
    parcels : int
        Number of parcels.
    selected : numpy.ndarray, optional
        Indices of the streamlines to count; all by default.
    values : numpy.ndarray, optional
        (n,) float, one value for each of these streamlines. They are summed, in float64 and in order, instead of
        counting.

    Returns
    -------
    numpy.ndarray
        (parcels, parcels) int64, or float64 with `values`.

    Examples
    --------
    >>> pairs = np.array([[1, 2], [2, 1], [1, 1], [0, 2]])
    >>> connectivity(pairs, 2)
    array([[0, 2],
           [2, 0]])
    >>> connectivity(pairs, 2, np.array([1, 2]), np.array([0.5, 7]))
    array([[0. , 0.5],
           [0.5, 0. ]])
    """
    ends = (pairs if selected is None else pairs[selected]).astype(np.int64)
    width = parcels + 1
    found = np.bincount(ends[:, 0] * width + ends[:, 1], values, width * width).reshape(width, width)[1:, 1:]
    found = found + found.T
    np.fill_diagonal(found, 0)
    return found


def roi_disconnection(lesion_matrix: np.ndarray, full_matrix: np.ndarray) -> np.ndarray:
    """Compute the percentage of each parcel's streamlines that the lesion disconnects, from the sums of the rows.

    The value of a parcel that no streamline joins to another is NaN: it is not spared; nothing is known about it.

    Parameters
    ----------
    lesion_matrix, full_matrix : numpy.ndarray
        (parcels, parcels) counts (or summed weights) of the disconnected and of all streamlines.

    Returns
    -------
    numpy.ndarray
        (parcels,) float64, 0 to 100, or NaN.

    Examples
    --------
    >>> full = np.array([[0, 4, 0], [4, 0, 0], [0, 0, 0]])
    >>> roi_disconnection(full // 4, full)
    array([25., 25., nan])
    """
    full = full_matrix.sum(axis=1)
    return np.where(full > 0, disconnection_percent(lesion_matrix.sum(axis=1), full), np.nan)


def matrix_statistics(
    *,
    lesion_matrix: np.ndarray,
    full_matrix: np.ndarray,
    names: Sequence[str],
    streamlines_unassigned: int,
) -> dict[str, Any]:
    """Summarise the connections that a lesion cuts, with the keys of the statistics file.

    Parameters
    ----------
    lesion_matrix, full_matrix : numpy.ndarray
        (parcels, parcels) counts (or summed weights) of the disconnected and of all streamlines.
    names : sequence of str
        Names of the parcels.
    streamlines_unassigned : int
        Disconnected streamlines with an end in no parcel.

    Returns
    -------
    dict
        An edge is a pair of parcels joined by streamlines of the whole tractogram. A parcel's degree is the number of
        its edges; its loss is the number of edges with no streamline left.
    """
    upper = ~np.tri(len(names), dtype=bool)
    full, cut = full_matrix[upper], lesion_matrix[upper]
    percent = disconnection_percent(cut, full)[full > 0]
    edges, affected = int(percent.size), int(np.count_nonzero(cut))
    loss = (full_matrix > 0).sum(axis=1) - (full_matrix - lesion_matrix > 0).sum(axis=1)
    roi = np.nan_to_num(roi_disconnection(lesion_matrix, full_matrix))
    most = list(zip(roi.tolist(), lesion_matrix.sum(axis=1).tolist(), strict=True))
    worst = max(range(len(names)), key=most.__getitem__, default=None)
    return {
        'parcels': len(names),
        'edges': edges,
        'edges_affected': affected,
        'edges_affected_pct': _percent(affected, edges),
        'disconnection_mean_pct': float(percent.mean()) if edges else 0.0,
        'disconnection_max_pct': float(percent.max()) if edges else 0.0,
        'degree_loss': dict(zip(names, loss.tolist(), strict=True)),
        'degree_loss_mean': float(loss.mean()) if len(names) else 0.0,
        'degree_loss_max': int(loss.max()) if len(names) else 0,
        'most_affected_parcel': names[worst] if worst is not None and roi[worst] > 0 else None,
        'streamlines_unassigned': streamlines_unassigned,
    }


def wilson_interval(
    hits: np.ndarray, totals: np.ndarray, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the Wilson score interval of proportions (Wilson 1927); NaN where the total is 0.

    It shows how much the share would vary if the same number of other streamlines had been drawn, but not how another
    tractogram would differ.

    Parameters
    ----------
    hits, totals : numpy.ndarray
        Counts, of one shape.
    confidence : float
        Confidence level.

    Returns
    -------
    low, high : numpy.ndarray
        float64, 0 to 1.

    Examples
    --------
    >>> low, high = wilson_interval(np.array([0, 5]), np.array([10, 10]))
    >>> low.round(4), high.round(4)
    (array([0.    , 0.2366]), array([0.2775, 0.7634]))
    """
    from scipy.special import ndtri

    hits, totals = np.asarray(hits, float), np.asarray(totals, float)
    z = float(ndtri(0.5 + confidence / 2))
    counts = np.where(totals > 0, totals, np.nan)
    share = hits / counts
    middle = (2 * hits + z**2) / (2 * (counts + z**2))
    reach = z * np.sqrt(4 * counts * share * (1 - share) + z**2) / (2 * (counts + z**2))
    low = np.where(hits == 0, 0.0 * counts, middle - reach)
    high = np.where(hits == totals, 1.0 + 0.0 * counts, middle + reach)
    return low, high


def effective_number(total: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Compute Kish's effective sample size of weighted streamlines, ``(sum w)^2 / sum w^2``; 0 where there are none.

    Parameters
    ----------
    total, squares : numpy.ndarray
        Sums of the weights and of the squared weights, of one shape.

    Examples
    --------
    >>> effective_number(np.array([3.0, 4.0, 0.0]), np.array([3.0, 10.0, 0.0]))
    array([3. , 1.6, 0. ])
    """
    total, squares = np.asarray(total, float), np.asarray(squares, float)
    return np.divide(total**2, squares, out=np.zeros(total.shape), where=squares > 0)


def percent_interval(
    cut: np.ndarray, total: np.ndarray, squares: np.ndarray | None = None, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the Wilson score interval of the percentage that a lesion cuts; NaN where there are no streamlines.

    Parameters
    ----------
    cut, total : numpy.ndarray
        Counts (or summed weights) of the disconnected and of all streamlines, of one shape.
    squares : numpy.ndarray, optional
        Sums of the squared weights of all streamlines, if streamlines are weighted: `effective_number` is then
        taken as their number.
    confidence : float
        Confidence level.

    Returns
    -------
    low, high : numpy.ndarray
        float64, 0 to 100.

    Examples
    --------
    >>> low, high = percent_interval(np.array([5, 1.0]), np.array([10, 2.0]), np.array([10, 0.4]))
    >>> low.round(2), high.round(2)
    (array([23.66, 23.66]), array([76.34, 76.34]))
    """
    if squares is None:
        low, high = wilson_interval(cut, total, confidence)
    else:
        number = effective_number(total, squares)
        share = np.divide(cut, total, out=np.zeros(number.shape), where=number > 0)
        low, high = wilson_interval(share * number, number, confidence)
    return 100.0 * low, 100.0 * high


def mean_of(total: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Divide sums by counts (or by summed weights); NaN where the count is 0.

    Parameters
    ----------
    total, number : numpy.ndarray
        Sums and counts, of one shape.

    Examples
    --------
    >>> mean_of(np.array([3.0, 0.0]), np.array([2, 0]))
    array([1.5, nan])
    """
    return np.divide(total, number, out=np.full(np.shape(total), np.nan), where=np.asarray(number) > 0)


def share_percent(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Compute a percentage; NaN where `whole` is 0.

    Parameters
    ----------
    part, whole : numpy.ndarray
        Numbers, of one shape.

    Examples
    --------
    >>> share_percent(np.array([1, 0]), np.array([4, 0]))
    array([25., nan])
    """
    return mean_of(100.0 * part, whole)


def network_disconnection(
    mask_matrix: np.ndarray, full_matrix: np.ndarray, networks: Sequence[str]
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Compute the percentage of the connections within and between networks that a lesion cuts.

    Parameters
    ----------
    mask_matrix, full_matrix : numpy.ndarray
        (parcels, parcels) counts (or summed weights) of the disconnected and of all streamlines, symmetric.
    networks : sequence of str
        Network of each parcel; empty for a parcel without one.

    Returns
    -------
    names : list of str
        Names of the networks, in the order of their first parcel.
    total : numpy.ndarray
        (networks,) percent of all streamlines that end in the parcels of the network: `roi_disconnection`, with
        networks for parcels. NaN where there are none.
    pairs : numpy.ndarray
        (networks, networks) percent of the connections between two networks, each connection once. The diagonal holds
        the connections within a network. 0 where there are none.

    Examples
    --------
    >>> full = np.array([[0, 4, 0], [4, 0, 6], [0, 6, 0]])
    >>> cut = np.array([[0, 1, 0], [1, 0, 6], [0, 6, 0]])
    >>> network_disconnection(cut, full, ['Vis', 'Vis', 'Default'])
    (['Vis', 'Default'], array([ 57.14285714, 100.        ]), array([[ 25., 100.],
           [100.,   0.]]))
    """
    names = [name for name in dict.fromkeys(networks) if name]
    member = np.array([[network == name for network in networks] for name in names], float)
    member = member.reshape(len(names), len(networks))
    own = member.T @ member > 0  # the matrix holds each connection within a network twice

    def between(matrix: np.ndarray) -> np.ndarray:
        once = np.where(own, np.triu(matrix), matrix)
        return member @ once @ member.T

    cut, full = member @ mask_matrix.sum(axis=1), member @ full_matrix.sum(axis=1)
    total = np.where(full > 0, disconnection_percent(cut, full), np.nan)
    return names, total, disconnection_percent(between(mask_matrix), between(full_matrix))


def higher_order(
    full: np.ndarray,
    spared_percent: np.ndarray,
    threshold: float = 50,
    *,
    paths: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute how much longer the shortest paths between parcels become, of all pairs and of those not cut directly.

    Parameters
    ----------
    full : numpy.ndarray
        (n, n) connections of the whole tractogram, symmetric. Values above 0 are steps of a path.
    spared_percent : numpy.ndarray
        (n, n) percent of each connection that the lesion spares.
    threshold : float
        A connection remains a step of a path if at least this percentage of it is spared.
    paths : numpy.ndarray, optional
        `path_lengths` of `full`, if already computed.

    Returns
    -------
    delta : numpy.ndarray
        (n, n) int64, length of the shortest path (in steps) with the lesion minus that without. A pair that the lesion
        disconnects completely gets the longest path of the whole tractogram plus one step; a pair not connected
        in the whole tractogram gets 0.
    indirect : numpy.ndarray
        (n, n) int64, `delta` of the pairs whose direct connection, if any, is not cut; 0 for others.

    Examples
    --------
    One side of a triangle is cut: the path around it takes two steps.

    >>> full = 1 - np.eye(3)
    >>> spared = np.array([[0, 10, 100], [10, 0, 100], [100, 100, 0]])
    >>> delta, indirect = higher_order(full, spared)
    >>> delta.tolist(), int(indirect.sum())
    ([[0, 1, 0], [1, 0, 0], [0, 0, 0]], 0)
    """
    connected = full > 0
    whole = path_lengths(full) if paths is None else paths
    joined = np.isfinite(whole)
    left = np.minimum(path_lengths(connected & (spared_percent >= threshold)), _cap(whole))
    delta = np.where(joined, left - np.where(joined, whole, 0), 0).astype(np.int64)
    cut = connected & (spared_percent < 100)
    return delta, np.where((delta > 0) & ~cut, delta, 0)


def higher_order_statistics(
    paths: np.ndarray, cut: np.ndarray, delta: np.ndarray, indirect: np.ndarray, threshold: float
) -> dict[str, Any]:
    """Summarise the results of `higher_order`, with the keys of the statistics file.

    Parameters
    ----------
    paths : numpy.ndarray
        (n, n) `path_lengths` of the connections of the whole tractogram.
    cut : numpy.ndarray
        (n, n) counts (or summed weights) of the connections that the lesion cuts.
    delta, indirect : numpy.ndarray
        (n, n) results of `higher_order`.
    threshold : float

    Returns
    -------
    dict
        Counts pairs of parcels that a path joins in the whole tractogram. Pairs whose connection loses a streamline are
        directly disconnected; other pairs whose path becomes longer are indirectly disconnected.
    """
    pairs = np.triu(np.isfinite(paths), k=1)
    joined = int(np.count_nonzero(pairs))
    direct, longer = int(np.count_nonzero(cut[pairs])), int(np.count_nonzero(delta[pairs]))
    indirectly = int(np.count_nonzero(indirect[pairs]))
    return {
        'spared_threshold_pct': float(threshold),
        'pairs': joined,
        'pairs_directly_disconnected': direct,
        'pairs_directly_disconnected_pct': _percent(direct, joined),
        'pairs_indirectly_disconnected': indirectly,
        'pairs_indirectly_disconnected_pct': _percent(indirectly, joined),
        'pairs_with_longer_path': longer,
        'delta_sspl_max': int(delta.max(initial=0)),
        'path_length_cap': _cap(paths),
    }


def path_lengths(full: np.ndarray) -> np.ndarray:
    """Compute the number of steps of the shortest path between each pair of parcels; infinite if there is none.

    Parameters
    ----------
    full : numpy.ndarray
        (n, n) connections, symmetric. Values above 0 are steps of a path.

    Returns
    -------
    numpy.ndarray
        (n, n) float64.

    Examples
    --------
    >>> path_lengths(np.array([[0, 1, 0], [1, 0, 2], [0, 2, 0]]))
    array([[0., 1., 2.],
           [1., 0., 1.],
           [2., 1., 0.]])
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import shortest_path

    return np.asarray(shortest_path(csr_matrix(full > 0), directed=False, unweighted=True))


def _cap(paths: np.ndarray) -> int:
    """Return the path length of pairs that the lesion disconnects: the longest path of the whole tractogram plus one."""
    return int(paths[np.isfinite(paths)].max(initial=0)) + 1


def mean_and_sd(values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute mean, standard deviation (n - 1) and number of the values at each place, ignoring NaN.

    The mean is NaN where there are no values, the standard deviation where there are fewer than two.

    Parameters
    ----------
    values : sequence of numpy.ndarray
        Arrays of one shape; summed in this order, in float64.

    Examples
    --------
    >>> mean, sd, n = mean_and_sd([np.array([1.0, 5.0]), np.array([3.0, np.nan])])
    >>> mean.tolist(), sd.round(3).tolist(), n.tolist()
    ([2.0, 5.0], [1.414, nan], [2, 1])
    """
    shape = values[0].shape
    n, total, squares = np.zeros(shape, int), np.zeros(shape), np.zeros(shape)
    for each in values:
        valid = ~np.isnan(each)
        n += valid
        np.add(total, each, out=total, where=valid)
    mean = np.divide(total, n, out=np.full(shape, np.nan), where=n > 0)
    for each in values:
        np.add(squares, (each - mean) ** 2, out=squares, where=~np.isnan(each))
    variance = np.divide(squares, n - 1, out=np.full(shape, np.nan), where=n > 1)
    return mean, np.sqrt(variance), n
