"""How much memory nodes take at most, in GB: measured by ``benchmarks/bench_memory.py``, without what can be given back."""

from __future__ import annotations

#: nodes that hold an image or two
SMALL = 0.2
#: moving streamlines with a field of displacements of 1 mm
MOVING = 0.6


def of_streamlines(count: int) -> float:
    """Of nodes that hold a few numbers for each streamline.

    >>> of_streamlines(10_000_000)
    0.6
    """
    return round(SMALL + 4e-8 * count, 3)


def of_build(threads: int) -> float:
    """Of building an index, whatever the size of the tractogram: each thread has its part of it.

    >>> of_build(2)
    0.8
    """
    return round(0.5 + 0.15 * threads, 3)
