"""What the readers and writers of tractograms share: checks of blocks, and files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lacuna.errors import TractogramError

#: Vertices in one block; a longer streamline makes a longer block.
BLOCK_VERTICES = 2**20

#: More vertices than any streamline has: a length above it comes from a corrupt file and must not be allocated.
LONGEST_STREAMLINE = 2**24

#: Told the number of bytes of the source file that were dealt with since the last call.
Progress = Callable[[int], object]


def check_finite(path: Path, points: np.ndarray, lengths: np.ndarray, first: int) -> None:
    """Refuse a block with a vertex that is not finite.

    Parameters
    ----------
    path : pathlib.Path
        File to name in the message.
    points : numpy.ndarray
        (vertices, 3).
    lengths : numpy.ndarray
        (streamlines,) vertices of each.
    first : int
        Number of the block's first streamline in the file.

    Raises
    ------
    TractogramError
    """
    finite = np.isfinite(points).all(axis=1)
    if finite.all():
        return
    streamline = first + int(np.searchsorted(np.cumsum(lengths), np.argmin(finite), side='right'))
    message = (
        f'{path}: streamline {streamline} (counted from 0) has a vertex that is not finite; '
        'remove it or get the file again'
    )
    raise TractogramError(message)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary sibling of `target`, which takes its place when the block ends without an error.

    Raises
    ------
    TractogramError
        If the file cannot be written.
    """
    temporary = None
    try:
        handle, name = tempfile.mkstemp(prefix=f'.{target.name}.', suffix='.part', dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes private files
        yield temporary
        temporary.replace(target)
    except OSError as error:
        message = f'cannot write {target}: {error.strerror or error}'
        raise TractogramError(message) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    """Permissions that new files do not get (it can only be read by setting it)."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
