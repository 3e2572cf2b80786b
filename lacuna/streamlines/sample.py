"""Some streamlines of many, evenly spread, to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lacuna.streamlines.tck import iter_blocks, read_header, write_tck


def spread(count: int, most: int) -> np.ndarray:
    """Numbers of at most `most` of `count` things, evenly spread, ascending.

    >>> spread(10, 4), spread(2, 4)
    (array([0, 3, 6, 9]), array([0, 1]))
    """
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def sample_tck(source: str | Path, target: str | Path, most: int) -> None:
    """Write at most `most` streamlines of a ``.tck``, evenly over their order, to another one.

    Raises
    ------
    TractogramError
        If the source cannot be read.
    """
    header = read_header(source)
    count = sum(len(lengths) for _, lengths in iter_blocks(header))
    wanted = spread(count, most)
    chosen = []
    first = 0
    for points, lengths in iter_blocks(header):
        ends = np.cumsum(lengths)
        here = wanted[(wanted >= first) & (wanted < first + len(lengths))] - first
        chosen += [points[ends[number] - lengths[number] : ends[number]].copy() for number in here]
        first += len(lengths)
    write_tck(target, chosen)
