"""Progress bars, shown on terminals only: `track` wraps an iterable, `counting` and `reading` count bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

_Item = TypeVar('_Item')


def track(
    items: Iterable[_Item], what: str, *, total: int | None = None, unit: str = 'it', show: bool = True
) -> Iterable[_Item]:
    """Yield the items, with a progress bar that disappears at the end."""
    if not (show and sys.stderr.isatty()):
        return items
    from tqdm import tqdm

    return tqdm(items, what, total, leave=False, unit=unit)


@contextmanager
def counting(
    what: str, total: float | None = None, *, unit: str = 'B', show: bool = True
) -> Iterator[Callable[[int], object]]:
    """Yield a function that advances a progress bar by a number of bytes (or `unit`); the bar disappears at the end."""
    if not (show and sys.stderr.isatty()):
        yield lambda _: None
        return
    from tqdm import tqdm

    with tqdm(desc=what, total=total, leave=False, unit=unit, unit_scale=unit == 'B') as bar:
        yield bar.update


def reading(what: str, path: Path, *, show: bool = True) -> AbstractContextManager[Callable[[int], object]]:
    """Show a progress bar as `counting` does, for the bytes of a file or of all files in a folder."""
    files = [path] if path.is_file() else list(path.iterdir())
    return counting(what, sum(each.stat().st_size for each in files), show=show)
