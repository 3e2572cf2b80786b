"""Similarity of the maps of different lesions, before and after standardisation with null lesions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from html import escape
from typing import NamedTuple

import numpy as np

from lacuna.bids.results import LesionResults
from lacuna.errors import InputError
from lacuna.reports.figures.frame import load_image

#: minimum number of lesions for a comparison with the mean of the others
FEWEST = 3


class Similarity(NamedTuple):
    """Similarity of the map of a lesion to the mean map of the others.

    Attributes
    ----------
    lesion : lacuna.bids.results.LesionResults
    before, after : float
        Pearson correlation over the voxels with streamlines, of the map and of the standardised map.
    degree : float
        Percentage of the variance of the map's ranks explained by the ranks of the tractogram's density.
    """

    lesion: LesionResults
    before: float
    after: float
    degree: float


def similarities(lesions: Sequence[LesionResults]) -> Iterator[Similarity]:
    """Compare the map of each lesion that has null lesions with the mean of the others in its space."""
    compared = [each for each in lesions if each.path('null_z') and each.null_statistics.get('null_lesions')]
    for space in sorted({each.space for each in compared}):
        group = [each for each in compared if each.space == space]
        support = None if len(group) < FEWEST else _support(group[0])
        if support is None:
            continue
        totals = [np.zeros(np.count_nonzero(support)) for _ in range(2)]
        same = []
        for lesion in group:
            maps = _maps(lesion, support)
            if all(each.size for each in maps):
                same.append(lesion)
                for total, values in zip(totals, maps, strict=True):
                    total += values
        if len(same) < FEWEST:
            continue
        for lesion in same:
            before, after = (
                correlation(values, total - values)
                for total, values in zip(totals, _maps(lesion, support), strict=True)
            )
            rank = lesion.null_statistics.get('density_correlation')
            yield Similarity(lesion, before, after, 100 * float(rank) ** 2 if rank is not None else np.nan)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the Pearson correlation; NaN if a variable is constant.

    >>> correlation(np.array([1.0, 2, 3]), np.array([2.0, 4, 6]))
    1.0
    """
    first, second = first - first.mean(), second - second.mean()
    size = np.sqrt((first @ first) * (second @ second))
    return float(round((first @ second) / size, 12)) if size else np.nan


def similarity_html(rows: Sequence[Similarity]) -> str:
    """Return a table of the similarities with an explanation."""
    before, after, degree = (np.nanmedian([row[part] for row in rows]) for part in (1, 2, 3))
    heads = ('Lesion', 'Similarity of the map', 'after standardisation', 'Density explains (%)')
    head = ''.join(f'<th scope="col"><button type="button">{name}</button></th>' for name in heads)
    body = []
    for row in rows:
        cells = f'<td>{escape(row.lesion.stem)}</td>'
        for value, digits in ((row.before, 2), (row.after, 2), (row.degree, 1)):
            cells += (
                f'<td data-value="{value!r}">{value:.{digits}f}</td>' if np.isfinite(value) else '<td></td>'
            )
        body.append(f'<tr>{cells}</tr>')
    return (
        '<p class="caption">Correlation of the map of each lesion with the mean '
        f'map of the others (median {before:.2f}), and the same for the maps in standard deviations of their null lesions '
        f'(median {after:.2f}). The similarity that disappears is common to any lesions of these shapes. The last column is '
        f'the variance of the ranks of each map explained by the density of the tractogram (median {degree:.1f} %).</p>'
        '<div class="scroll"><table class="sortable">'
        f'<thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def _support(lesion: LesionResults) -> np.ndarray | None:
    path = lesion.full_tdi
    return load_image(path)[0] > 0 if path else None


def _maps(lesion: LesionResults, support: np.ndarray) -> list[np.ndarray]:
    """Return the values of the map and of the standardised map; empty if on another grid, or damaged."""
    found = []
    for key in ('disconnection_map', 'null_z'):
        path, data = lesion.path(key), np.empty(0)
        with suppress(InputError):
            data = load_image(path)[0] if path else data
        found.append(data[support].astype(float) if data.shape == support.shape else np.empty(0))
    return found
