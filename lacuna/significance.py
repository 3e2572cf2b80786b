"""Significance of an observed value among null lesions, computed from numpy arrays; no files, no Nipype.

Arrays of null values have a row for each null lesion, and a column for each bundle or parcel; larger values are worse.
"""

from __future__ import annotations

import numpy as np

#: minimum number of valid places for a meaningful comparison
FEWEST_PLACES = 1000
#: minimum number of other patients' lesions, for p to reach .05
FEWEST_CONTROLS = 19
#: search for expected shares: maximum number of steps, relative error of the margins, maximum step length
_MOST_STEPS = 300
_EXACT = 1e-7
_LONGEST = 2.0


def exceedances(observed: np.ndarray, nulls: np.ndarray) -> np.ndarray:
    """Count the null lesions whose value is at least the observed one; (items,) int64.

    Parameters
    ----------
    observed : numpy.ndarray
        (items,) values of the lesion.
    nulls : numpy.ndarray
        (n, items) values of the null lesions.

    Examples
    --------
    >>> exceedances(np.array([2, 0]), np.array([[1, 0], [2, 0], [3, 1]]))
    array([2, 3])
    """
    return np.count_nonzero(nulls >= observed, axis=0)


def p_values(exceeding: np.ndarray, n: int, observed: np.ndarray) -> np.ndarray:
    """Compute ``(1 + b) / (1 + n)``, where b of n null lesions have at least the observed value; 1 where that is 0.

    The observed value counts as one of n + 1, so that p is never 0 (Phipson and Smyth 2010). NaN without null lesions.

    Parameters
    ----------
    exceeding : numpy.ndarray
        The counts b, of any shape.
    n : int
    observed : numpy.ndarray
        Of the same shape; NaN where unknown.

    Examples
    --------
    >>> p_values(np.array([0, 9]), 9, np.array([5, 0]))
    array([0.1, 1. ])
    """
    if not n:
        return np.full(np.shape(observed), np.nan)
    p = np.where(observed > 0, (1 + exceeding) / (1 + n), 1.0)
    return np.where(np.isnan(observed), np.nan, p)


def smallest_p(observed: np.ndarray, nulls: np.ndarray) -> np.ndarray:
    """Compute the smallest p that a lesion of this shape can reach: that of the largest value; 1 if all values are 0.

    Parameters
    ----------
    observed : numpy.ndarray
        (items,) values of the lesion.
    nulls : numpy.ndarray
        (n, items) values of the null lesions.

    Examples
    --------
    >>> smallest_p(np.array([50, 0]), np.array([[100, 0], [100, 0], [0, 0]]))
    array([0.75, 1.  ])
    """
    largest = np.maximum(nulls.max(axis=0, initial=0), observed)
    return p_values(exceedances(largest, nulls), len(nulls), largest)


def familywise_p(observed: np.ndarray, nulls: np.ndarray) -> np.ndarray:
    """Compute p corrected for the number of items, by the smallest p of each null lesion (Westfall and Young 1993).

    Values are first replaced by their p among all n + 1, because raw percentages are not comparable: some null lesion
    cuts a tiny bundle completely. Items with NaN are ignored.

    Parameters
    ----------
    observed : numpy.ndarray
        (items,)
    nulls : numpy.ndarray
        (n, items)

    Returns
    -------
    numpy.ndarray
        (items,)

    Examples
    --------
    >>> nulls = np.array([[0, 1], [1, 0], [0, 2], [2, 0]])
    >>> familywise_p(np.array([3, 1]), nulls)
    array([0.4, 1. ])
    """
    if not len(nulls):
        return np.full(len(observed), np.nan)
    p = pooled_p(np.vstack([observed, nulls]))
    smallest = np.nanmin(np.where(np.isnan(p), 1.0, p), axis=1, initial=1.0)
    count = np.searchsorted(np.sort(smallest), p[0], side='right')
    return np.where(np.isnan(p[0]), np.nan, count / len(p))


def pooled_p(values: np.ndarray) -> np.ndarray:
    """Compute the p of each value within its column, as if each row were the observed one; NaN stays NaN.

    Parameters
    ----------
    values : numpy.ndarray
        (n + 1, items) values of the lesion and the null lesions.

    Examples
    --------
    >>> pooled_p(np.array([[0, 3], [1, 2], [1, 1], [0, 0]]))
    array([[1.  , 0.25],
           [0.5 , 0.5 ],
           [0.5 , 0.75],
           [1.  , 1.  ]])
    """
    order = np.sort(values, axis=0)
    p = np.empty(values.shape)
    for column in range(values.shape[1]):
        below = np.searchsorted(order[:, column], values[:, column], side='left')
        p[:, column] = p_values(len(values) - 1 - below, len(values) - 1, values[:, column])
    return p


def spread(total: np.ndarray, squares: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute mean and standard deviation (n - 1) of non-negative numbers from their sum and sum of squares.

    Both are NaN for n = 0, and the standard deviation for n = 1.

    Parameters
    ----------
    total, squares : numpy.ndarray
        Sums of the values and of their squares, of one shape.
    n : int
        Number of values.

    Examples
    --------
    >>> spread(np.array([6]), np.array([14]), 3)
    (array([2.]), array([1.]))
    """
    if not n:
        return np.full(total.shape, np.nan), np.full(total.shape, np.nan)
    mean = total / n
    if n == 1:
        return mean, np.full(total.shape, np.nan)
    # n * squares - total ** 2 could overflow as integers: subtract the mean in double precision
    variance = np.maximum(squares / n - mean**2, 0.0) * (n / (n - 1))
    return mean, np.sqrt(np.where(variance > 1e-12 * squares / n, variance, 0.0))


def standardised(observed: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Compute z scores: distance of the observed value from the null lesions' mean, in their standard deviations.

    0 where the standard deviation is 0.

    Parameters
    ----------
    observed, mean, sd : numpy.ndarray
        Values of the lesion, and mean and standard deviation of the null lesions, of one shape.

    Examples
    --------
    >>> standardised(np.array([5.0, 1.0]), np.array([3.0, 1.0]), np.array([1.0, 0.0]))
    array([2., 0.])
    """
    return np.divide(observed - mean, sd, out=np.zeros(np.shape(observed)), where=sd > 0)


def percentile(exceeding: np.ndarray, n: int) -> np.ndarray:
    """Compute the percentage of null lesions with a value below the observed one; NaN without null lesions.

    Parameters
    ----------
    exceeding : numpy.ndarray
        Result of `exceedances`.
    n : int
        Number of null lesions.

    Examples
    --------
    >>> percentile(np.array([0, 1, 4]), 4)
    array([100.,  75.,   0.])
    """
    return 100.0 * (1 - exceeding / n) if n else np.full(np.shape(exceeding), np.nan)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Compute Spearman's correlation, ignoring pairs with NaN; None if a variable is constant.

    Parameters
    ----------
    first, second : numpy.ndarray
        (values,) of one length.

    Examples
    --------
    >>> rank_correlation(np.array([1, 2, 9]), np.array([3, 4, 5]))
    1.0
    """
    from scipy.stats import rankdata

    valid = ~(np.isnan(first) | np.isnan(second))
    if valid.sum() < 2:
        return None
    ranks = np.vstack([rankdata(first[valid]), rankdata(second[valid])])
    ranks -= ranks.mean(axis=1, keepdims=True)
    size = np.sqrt((ranks**2).sum(axis=1))
    return float(np.round(ranks[0] @ ranks[1] / (size[0] * size[1]), 12)) if size.all() else None


def expected_shares(full: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """Compute the share of each connection that would be cut if it depended only on the losses of its two parcels.

    Streamlines between two parcels are cut independently, with a probability ``a_i a_j / (1 + a_i a_j)`` from one
    number per parcel, such that each parcel loses as many streamlines as observed. This is the distribution of maximum
    entropy with these margins on this connectome (the configuration model with capacities; Squartini and Garlaschelli
    2011).

    Parameters
    ----------
    full : numpy.ndarray
        (n, n) number of streamlines between each pair of parcels, symmetric, 0 on the diagonal.
    margins : numpy.ndarray
        (n,) number of streamlines that each parcel loses; at most the sum of its row.

    Returns
    -------
    numpy.ndarray
        (n, n) float64, 0 to 1; 0 where there are no streamlines.

    Examples
    --------
    The middle one of three parcels loses half of its streamlines, as do the others.

    >>> expected_shares(np.array([[0, 8, 0], [8, 0, 8], [0, 8, 0]]), np.array([4, 8, 4])).round(3)
    array([[0. , 0.5, 0. ],
           [0.5, 0. , 0.5],
           [0. , 0.5, 0. ]])
    """
    shares = np.zeros(full.shape)
    open_ = full > 0  # connections whose share is neither 0 nor 1 yet
    left = margins.astype(float)
    while True:
        room = np.where(open_, full, 0).sum(axis=1)
        whole, none = (room > 0) & (left >= room), (room > 0) & (left <= 0)
        if not (whole | none).any():
            break
        # all connections of a parcel that keeps or loses nothing are decided
        decided = open_ & (whole if whole.any() else none)[:, None]
        decided |= decided.T
        if whole.any():
            shares[decided] = 1.0
            left = left - np.where(decided, full, 0).sum(axis=1)
        open_ = open_ & ~decided
    rows = np.flatnonzero(open_.any(axis=1))
    if len(rows):
        inner = np.ix_(rows, rows)
        fitted = _fit(np.where(open_, full, 0)[inner].astype(float), left[rows])
        shares[inner] = np.where(open_[inner], fitted, shares[inner])
    return shares


def _fit(full: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """Find the logarithms of the parcels' numbers with a damped Newton method."""
    from scipy.special import expit

    start = np.clip(margins / full.sum(axis=1), 1e-6, 1 - 1e-6)
    logs = 0.5 * np.log(start / (1 - start))

    def worth(logs: np.ndarray) -> float:
        return float(0.5 * (full * np.logaddexp(0, logs[:, None] + logs)).sum() - margins @ logs)

    best, damping = worth(logs), 1e-3
    for _ in range(_MOST_STEPS):
        shares = expit(logs[:, None] + logs)
        off = (full * shares).sum(axis=1) - margins
        if np.abs(off).max() < _EXACT * max(1.0, margins.max()):
            break
        curve = full * shares * (1 - shares)
        hessian = curve + np.diag(curve.sum(axis=1) + damping)
        tried = logs - np.clip(np.linalg.solve(hessian, off), -_LONGEST, _LONGEST)
        if (value := worth(tried)) <= best:
            logs, best, damping = tried, value, max(damping / 10, 1e-9)
        else:
            damping *= 10
    return expit(logs[:, None] + logs)
