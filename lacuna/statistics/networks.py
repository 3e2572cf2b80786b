"""Network-based statistic: permutation tests of connected edges (Zalesky et al. 2010)."""

from __future__ import annotations

import numpy as np

from lacuna.statistics.univariate import permuted_t


def components(edges: np.ndarray, t: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Find connected components of edges whose t is beyond a threshold, separately for both signs.

    Parameters
    ----------
    edges : numpy.ndarray
        (edges, 2) nodes of each edge, from 0.
    t : numpy.ndarray
        (edges,).
    threshold : float

    Returns
    -------
    label : numpy.ndarray
        (edges,) component of each edge, from 1 in order of decreasing size; 0 for none.
    sizes : numpy.ndarray
        (components,) number of edges in each component.

    Examples
    --------
    >>> edges = np.array([[0, 1], [1, 2], [3, 4], [4, 5]])
    >>> label, sizes = components(edges, np.array([4.0, 5.0, -4.0, 1.0]), 3.0)
    >>> label.tolist(), sizes.tolist()
    ([1, 1, 2, 0], [2, 1])
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    label = np.zeros(len(t), int)
    nodes = int(edges.max(initial=0)) + 1
    for sign in (1, -1):
        beyond = np.flatnonzero(sign * t > threshold)
        if len(beyond):
            graph = coo_array((np.ones(len(beyond)), edges[beyond].T), (nodes, nodes))
            of_node = connected_components(graph, directed=False)[1]
            label[beyond] = label.max() + 1 + np.unique(of_node[edges[beyond, 0]], return_inverse=True)[1]
    sizes = np.bincount(label)[1:]
    order = np.argsort(-sizes, kind='stable')
    rank = np.zeros(len(sizes) + 1, int)
    rank[1 + order] = 1 + np.arange(len(sizes))
    return rank[label], sizes[order]


def permuted_components(
    count: int,
    seed: int,
    score: np.ndarray,
    features: np.ndarray,
    covariates: np.ndarray,
    edges: np.ndarray,
    threshold: float,
) -> np.ndarray:
    """Return the size of the largest component in each of some permutations, (count,)."""
    rng = np.random.default_rng(seed)
    orders = np.array([rng.permutation(len(score)) for _ in range(count)])
    t = permuted_t(orders, score, features, covariates)
    return np.array([components(edges, each, threshold)[1].max(initial=0) for each in t])
