"""The tractogram of a run: what it holds, which space it is in, and how its content is recognised."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lacuna.errors import InputError, TractogramError
from lacuna.files import json_bytes, read_json, write_if_changed
from lacuna.spaces import world_space
from lacuna.streamlines.tck import TractogramInfo, scan


@dataclass(frozen=True)
class Tractogram:
    """A tractogram that was read once and found sound.

    Attributes
    ----------
    path : pathlib.Path
    space : str
        The supported space in which its coordinates are valid.
    info : lacuna.streamlines.tck.TractogramInfo
    """

    path: Path
    space: str
    info: TractogramInfo

    @property
    def name(self) -> str:
        """Name for people: the file's, without its extension."""
        return self.path.stem

    @property
    def label(self) -> str:
        """The name as a BIDS label: letters and digits only."""
        return re.sub('[^0-9A-Za-z]', '', self.name) or 'tractogram'


def open_tractogram(
    path: Path,
    space: str | None,
    *,
    cache: Path,
    progress: Callable[[int], object] | None = None,
) -> Tractogram:
    """Validate a tractogram and find out its space.

    Parameters
    ----------
    path : pathlib.Path
        A ``.tck`` file.
    space : str or None
        Name of the space; None to read it from the sidecar (``.json``) beside the file.
    cache : pathlib.Path
        Where the result of the pass over the file is kept, so that the next run need not repeat it.
    progress : callable, optional
        Called with the number of bytes read since the last call.

    Raises
    ------
    InputError
        If the file is unusable or its space is unknown.
    """
    path = path.absolute()
    if not path.is_file():
        message = f'there is no tractogram {path}'
        raise TractogramError(message)
    if path.suffix != '.tck':
        message = f"{path}: tractograms of type '{path.suffix}' are not supported; convert it to .tck"
        raise TractogramError(message)
    return Tractogram(path, world_space(space or _sidecar_space(path)), _inspect(path, cache, progress))


def _sidecar_space(path: Path) -> str:
    sidecar = path.with_suffix('.json')
    content = read_json(sidecar) or {}
    if isinstance(space := content.get('Space'), str):
        return space
    message = (
        f'the space of the tractogram {path} is not known: name it with --connectome-space, '
        f'or write {{"Space": "MNI152NLin6Asym"}} (or another) to {sidecar.name} beside it'
    )
    raise InputError(message)


def _inspect(path: Path, cache: Path, progress: Callable[[int], object] | None) -> TractogramInfo:
    """Scan the file, or take the result of the last scan if the file was not touched since."""
    status = path.stat()
    # The change time cannot be set by hand: a file that is replaced or edited never keeps all four.
    stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    note = cache / 'tractograms' / f'{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.json'
    known = read_json(note)
    if known and known.get('stamp') == stamp:
        try:
            low, high = known['info']['box']
            return TractogramInfo(**{**known['info'], 'box': (tuple(low), tuple(high))})
        except (KeyError, TypeError, ValueError):
            pass  # written by another version: read the file again
    info = scan(path, progress=progress)
    write_if_changed(note, json_bytes({'path': str(path), 'stamp': stamp, 'info': dataclasses.asdict(info)}))
    return info
