"""Progress bars, shown on terminals only: one form wraps an iterable, the other counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

_Item = TypeVar('_Item')


def track(
    items: Iterable[_Item], what: str, *, total: int | None = None, unit: str = 'it', show: bool = True
) -> Iterable[_Item]:
    """The same items behind a bar that disappears when done."""
    from tqdm import tqdm

    return tqdm(items, what, total, leave=False, unit=unit, disable=None if show else True)


@contextmanager
def counting(
    what: str, total: float | None = None, *, unit: str = 'B', show: bool = True
) -> Iterator[Callable[[int], object]]:
    """A bar that disappears when done: call what it gives with the number of bytes (or `unit`) since the last call."""
    from tqdm import tqdm

    disable = None if show else True
    with tqdm(desc=what, total=total, leave=False, unit=unit, unit_scale=unit == 'B', disable=disable) as bar:
        yield bar.update
