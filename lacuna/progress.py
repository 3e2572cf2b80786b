"""Progress bars that are silent when nobody watches."""

from __future__ import annotations

import sys
from typing import Any


def progress_bar(what: str, *, show: bool = True, **options: Any) -> Any:
    """A ``tqdm`` bar on standard error that disappears when done; none unless that is a terminal."""
    from tqdm import tqdm

    return tqdm(
        desc=what, disable=not (show and sys.stderr.isatty()), leave=False, file=sys.stderr, **options
    )
