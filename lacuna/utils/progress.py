"""Progress bars that are silent when nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

_Item = TypeVar('_Item')


def progress_bar(what: str, *, show: bool = True, **options: Any) -> Any:
    """A ``tqdm`` bar on standard error that disappears when done; none unless that is a terminal."""
    from tqdm import tqdm

    return tqdm(
        desc=what, disable=not (show and sys.stderr.isatty()), leave=False, file=sys.stderr, **options
    )


def counted(what: str, items: Sequence[_Item]) -> Iterator[_Item]:
    """Go through the items behind a bar."""
    with progress_bar(what, total=len(items)) as bar:
        for item in items:
            yield item
            bar.update(1)
