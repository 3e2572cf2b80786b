"""Join a folder of tractograms, one per bundle, into one tractogram, in the order of their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from lacuna.errors import TractogramError, shorten
from lacuna.streamlines.files import tck
from lacuna.streamlines.files.arrays import Progress, replacing_tractogram
from lacuna.streamlines.files.bundle_tables import write_bundles
from lacuna.streamlines.files.formats import (
    EXTENSIONS,
    bundle_table,
    iter_blocks,
    open_tractogram,
    without_extension,
)


def tractograms_in(folder: Path) -> dict[str, Path]:
    """Return the tractograms in a folder by name without extension, sorted.

    Raises
    ------
    TractogramError
        If there are none, or two have the same name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if not path.name.lower().endswith(EXTENSIONS) or path.name.startswith('.') or not path.is_file():
            continue
        name = without_extension(path).name
        if name in found:
            message = f'{folder}: {found[name].name} and {path.name} are the same bundle; remove one of them'
            raise TractogramError(message)
        if not name.isprintable():
            message = f'{folder}: {shorten(name)} cannot be the name of a bundle'
            raise TractogramError(message)
        found[name] = path
    if not found:
        message = f'{folder}: no tractogram ({", ".join(EXTENSIONS)}) in the folder'
        raise TractogramError(message)
    return dict(sorted(found.items()))


def join(tractograms: dict[str, Path], target: Path, progress: Progress | None = None) -> None:
    """Join tractograms into one ``.tck``, with the table of its bundles beside it.

    Parameters
    ----------
    tractograms : dict of str to pathlib.Path
        Tractograms by name of the bundle, in the order in which they are joined; some may be empty.
    target : pathlib.Path
        ``.tck``.
    progress : callable, optional
        Called with the number of bytes processed since the last call.

    Raises
    ------
    TractogramError
        If a tractogram is unreadable, all are empty, or `target` cannot be written.
    """
    headers = [open_tractogram(path) for path in tractograms.values()]
    steps = [
        header.fields.get('step_size') if isinstance(header, tck.TckHeader) else None for header in headers
    ]
    fields = {'step_size': steps[0]} if steps[0] is not None and len(set(steps)) == 1 else {}
    bundles: dict[str, np.ndarray] = {}
    with replacing_tractogram(target) as temporary:
        if not tck.write_blocks(temporary, blocks_of(tractograms.items(), bundles, progress), fields):
            folder = next(iter(tractograms.values())).parent
            message = f'{folder}: none of the tractograms has a streamline'
            raise TractogramError(message)
        write_bundles(bundle_table(target), bundles)


def blocks_of(
    tractograms: Iterable[tuple[str, Path]],
    bundles: dict[str, np.ndarray],
    progress: Progress | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the streamlines of tractograms one after the other, in blocks like `iter_blocks`.

    Parameters
    ----------
    tractograms : iterable of (str, pathlib.Path)
        Name of the bundle, and its file.
    bundles : dict
        Filled in place: indices of the streamlines of each bundle in the joined tractogram.
    progress : callable, optional
    """
    so_far = 0
    for name, path in tractograms:
        first = so_far
        for points, lengths in iter_blocks(open_tractogram(path), progress=progress):
            so_far += len(lengths)
            yield points, lengths
        bundles[name] = np.arange(first, so_far)
