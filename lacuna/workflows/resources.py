"""Peak memory of nodes in GB, measured by ``benchmarks/bench_memory.py``, without memory that the system can reclaim."""

from __future__ import annotations

#: nodes that hold one or two images
SMALL = 0.2
#: moving streamlines with a displacement field at 1 mm
MOVING = 0.6


def of_streamlines(count: int) -> float:
    """Return the memory of nodes that hold a few numbers per streamline.

    >>> of_streamlines(10_000_000)
    0.6
    """
    return round(SMALL + 4e-8 * count, 3)


def of_build(threads: int) -> float:
    """Return the memory for building an index: one segment per thread, independent of the size of the tractogram.

    >>> of_build(2)
    0.8
    """
    return round(0.5 + 0.15 * threads, 3)


def of_nulls(threads: int) -> float:
    """Return the memory for null lesions: Fourier transforms of the brain, and sums in each thread.

    >>> of_nulls(2)
    0.9
    """
    return round(0.6 + 0.15 * threads, 3)
