"""A random subsample of the streamlines of a tractogram, drawn in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lacuna.errors import InputError, TractogramError


@dataclass(frozen=True)
class Subsample:
    """A random subsample of the streamlines of a tractogram.

    Of N streamlines, ``round(fraction * N)`` are drawn without replacement, every set with equal probability, in their
    original order. The result depends only on fraction, seed and N, not on the format.

    Attributes
    ----------
    fraction : float
        Above 0, up to 1.
    seed : int
        Seed of the random numbers, 0 or more.

    Raises
    ------
    InputError
        If a value is invalid.
    """

    fraction: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            message = f'the fraction is {self.fraction:g}; give a number above 0, such as 0.1, and at most 1'
            raise InputError(message)
        if self.seed < 0:
            message = f'the seed is {self.seed}; give a whole number from 0 on'
            raise InputError(message)

    def size(self, count: int) -> int:
        """Return the number of streamlines drawn of `count`."""
        return round(self.fraction * count)

    def draw(self, count: int) -> Callable[[int], np.ndarray]:
        """Return a function that takes a block size and returns which streamlines of the next block are drawn.

        >>> take = Subsample(0.5, seed=1).draw(6)
        >>> take(4), take(2)
        (array([False, False,  True, False]), array([ True,  True]))
        """
        # Selection sampling (Knuth, algorithm S): one random number per streamline, so that neither memory nor result
        # depends on the blocks.
        random = np.random.Generator(np.random.PCG64(self.seed))
        wanted, left = self.size(count), count

        def take(size: int) -> np.ndarray:
            nonlocal wanted, left
            drawn = np.zeros(size, bool)
            for place, number in enumerate(random.random(size).tolist()):
                if number * (left - place) < wanted:
                    drawn[place] = True
                    wanted -= 1
            left -= size
            return drawn

        return take

    def of_blocks(
        self, blocks: Iterable[tuple[np.ndarray, np.ndarray]], count: int, source: Path
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the drawn streamlines of the blocks of a tractogram (points, and number of vertices of each).

        Raises
        ------
        TractogramError
            If there are not `count` streamlines.
        """
        take = self.draw(count)
        found = 0
        for points, lengths in blocks:
            found += len(lengths)
            if found > count:
                break
            drawn = take(len(lengths))
            yield points[np.repeat(drawn, lengths)], lengths[drawn]
        if found != count:
            message = (
                f'{source}: its header claims {count} streamlines, but it has {"more" if found > count else found}; '
                'convert it without --fraction first'
            )
            raise TractogramError(message)

    def of_bundles(self, bundles: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
        """Return the new indices of the bundles' streamlines among those drawn.

        >>> Subsample(0.5, seed=1).of_bundles({'AF_L': np.array([1, 2, 3]), 'CST_L': np.array([4, 5])}, 6)
        {'AF_L': array([0]), 'CST_L': array([1, 2])}
        """
        drawn = self.draw(count)(count)
        number = np.cumsum(drawn) - 1
        return {name: number[rows[drawn[rows]]] for name, rows in bundles.items()}
