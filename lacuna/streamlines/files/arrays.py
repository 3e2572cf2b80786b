"""Shared parts of the readers and writers of tractograms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lacuna.errors import TractogramError, reason_of
from lacuna.utils.files import replacing

#: vertices per block; a longer streamline makes a longer block
BLOCK_VERTICES = 2**20

#: upper bound for the length of a streamline; larger lengths come from damaged files and must not be allocated
LONGEST_STREAMLINE = 2**24

#: yielded by every reader: points (vertices, 3) float32, and the number of vertices of each streamline
Blocks = Iterator[tuple[np.ndarray, np.ndarray]]

#: called with the number of bytes of the source file processed since the last call
Progress = Callable[[int], object]


def check_finite(path: Path, points: np.ndarray, lengths: np.ndarray, first: int) -> None:
    """Raise an error if a block has a vertex that is not finite.

    Parameters
    ----------
    path : pathlib.Path
        File, for the message.
    points : numpy.ndarray
        (vertices, 3).
    lengths : numpy.ndarray
        (streamlines,) number of vertices of each streamline.
    first : int
        Index of the block's first streamline in the file.

    Raises
    ------
    TractogramError
    """
    finite = np.isfinite(points)
    if finite.all():
        return
    finite = finite.all(axis=1)
    streamline = first + int(np.searchsorted(np.cumsum(lengths), np.argmin(finite), side='right'))
    message = (
        f'{path}: streamline {streamline} (counted from 0) has a vertex that is not finite; '
        'remove it, or download the file again'
    )
    raise TractogramError(message)


@contextmanager
def reading_tractogram(path: Path, *damage: type[Exception]) -> Iterator[None]:
    """Turn errors while reading a file into one clear line.

    Parameters
    ----------
    path : pathlib.Path
    *damage : type
        Errors that unpacking raises for damaged files.

    Raises
    ------
    TractogramError
    """
    try:
        yield
    except damage as error:
        message = f'{path} is truncated, corrupt or not a {path.suffix} file: {str(error)[:200]}; copy or download it again'
        raise TractogramError(message) from error
    except OSError as error:
        message = f'cannot read the tractogram {path}: {reason_of(error, path)}'
        raise TractogramError(message) from error


@contextmanager
def replacing_tractogram(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`, which replaces it when the block ends without error.

    Raises
    ------
    TractogramError
        If the file cannot be written.
    """
    try:
        with replacing(target) as temporary:
            yield temporary
    except OSError as error:
        message = f'cannot write {target}: {error.strerror or error}'
        raise TractogramError(message) from error
