"""The tractogram of a run: what it holds, which space it is in, and how its content is recognised."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lacuna.errors import InputError, TractogramError
from lacuna.images.spaces import Grid, Settled, settle_space, space_in_name
from lacuna.images.transforms import Movement
from lacuna.streamlines.files.formats import convert, extension, without_extension
from lacuna.streamlines.files.tck import TractogramInfo, scan
from lacuna.utils.cache import cached, is_writable
from lacuna.utils.files import json_bytes, read_json, write_if_changed
from lacuna.utils.locks import file_lock

_LONGEST_LABEL = 80


@dataclass(frozen=True)
class Tractogram:
    """A tractogram that was read once and found sound.

    Attributes
    ----------
    path : pathlib.Path
        The file given.
    tracks : pathlib.Path
        The same as ``.tck``: the file itself, or what it was converted to.
    space : str
        The supported space in which its coordinates are valid.
    info : lacuna.streamlines.files.tck.TractogramInfo
        Of `tracks`.
    sha256 : str
        Checksum of `path`.
    contradiction : str or None
        What option, sidecar and name say of the space, if they do not agree.
    """

    path: Path
    tracks: Path
    space: str
    info: TractogramInfo
    sha256: str
    contradiction: str | None = None

    @property
    def name(self) -> str:
        """Name for people, the file's, without its extension."""
        return without_extension(self.path).name

    @property
    def label(self) -> str:
        """The name as a BIDS label, letters and digits only, not longer than file names may be."""
        label = re.sub('[^0-9A-Za-z]', '', self.name) or 'tractogram'
        return label if len(label) <= _LONGEST_LABEL else label[:_LONGEST_LABEL] + self.sha256[:8]


@dataclass(frozen=True)
class Alignment:
    """A tractogram in the space of the masks, and where what is made of it is kept.

    Attributes
    ----------
    tractogram : Tractogram
    space : str
    movement : Movement or None
        What moves the streamlines into the space; None if they are in it.
    cache : pathlib.Path
        Folder of the caches.
    """

    tractogram: Tractogram
    space: str
    movement: Movement | None
    cache: Path

    @property
    def content(self) -> list[str]:
        """What stands for the streamlines in the space (checksum of the tractogram, and what has moved it)."""
        if self.movement is None:
            return [self.tractogram.info.sha256]
        from lacuna.streamlines.move import move_key

        return [move_key(self.tractogram.info.sha256, self.movement.sha256)]

    @property
    def tracks(self) -> Path:
        """The streamlines in the space (``.tck``): those of the tractogram, or where the moved ones are kept."""
        if self.movement is None:
            return self.tractogram.tracks
        return self.cache / 'moved' / f'{digest(self.content)}.tck'

    def index_directory(self, grid: Grid, upsample: int | None = None) -> Path:
        """Folder of the streamline index: the one beside the tractogram if it serves, else one in the cache.

        The one beside serves if it holds what is asked for, or if that can be added to it.
        """
        from lacuna.streamlines.index.build import has_index

        beside = index_beside(self.tracks)
        if (
            self.movement is None
            and beside.is_dir()
            and (os.access(beside, os.W_OK) or has_index(self.tracks, beside, grid, upsample=upsample))
        ):
            return beside
        return self.cache / 'index' / digest(self.content)


def index_beside(tracks: Path) -> Path:
    """Folder of an index that lies beside its tractogram, for all who use that."""
    return tracks.with_name(f'{tracks.name}.index')


def digest(decides: list[Any]) -> str:
    """Name in a cache for what all of this decides."""
    return hashlib.sha256(repr(decides).encode()).hexdigest()[:32]


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
        A ``.tck``, or a ``.trk``, ``.trk.gz`` or ``.trx``, which is converted once and kept in the cache.
    space : str or None
        Name of the space; None to take it from the sidecar (``.json``) beside the file, or from the file's name.
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
    kind = extension(path)
    settled = _settle_space(path, space)
    if kind == '.tck':
        info = _inspect(path, cache, progress)
        return Tractogram(path, path, settled.space, info, info.sha256, settled.contradiction)
    checksum = _checksum(path, cache)
    tracks = cache / 'converted' / f'{checksum[:32]}.tck'
    cached(tracks, lambda: convert(path, tracks, progress=progress))
    info = _inspect(tracks, cache, None)
    return Tractogram(path, tracks, settled.space, info, checksum, settled.contradiction)


def _settle_space(path: Path, given: str | None) -> Settled:
    sidecar = without_extension(path).with_name(f'{without_extension(path).name}.json')
    claims = [
        (given, '--connectome-space'),
        ((read_json(sidecar) or {}).get('Space'), f"Space in the tractogram's {sidecar.name}"),
        (space_in_name(path), "the tractogram's name"),
    ]
    if settled := settle_space(claims):
        return settled
    message = (
        f'the space of the tractogram {path} is not known: name it with --connectome-space, '
        f'or write {{"Space": "MNI152NLin6Asym"}} (or another) to {sidecar.name} beside it'
    )
    raise InputError(message)


def _inspect(path: Path, cache: Path, progress: Callable[[int], object] | None) -> TractogramInfo:
    """Scan the file, or take the result of the last scan if the file was not touched since."""
    if info := _known_info(path, cache):
        return info
    lock = _note(path, cache).with_suffix('.lock')
    # other jobs of a cluster wait, and need not read it; a cache that others have filled may be read-only
    with file_lock(lock) if is_writable(lock.parent) else nullcontext():
        if not (info := _known_info(path, cache)):
            info = scan(path, progress=progress)
            _remember(path, cache, {'info': dataclasses.asdict(info)})
    return info


def _known_info(path: Path, cache: Path) -> TractogramInfo | None:
    try:
        known = _recall(path, cache)['info']
        low, high = known['box']
        return TractogramInfo(**{**known, 'box': (tuple(low), tuple(high))})
    except (KeyError, TypeError, ValueError):  # nothing there, or written by another version
        return None


def _checksum(path: Path, cache: Path) -> str:
    """SHA-256 of the file, or that of the last time if the file was not touched since."""
    if isinstance(known := _recall(path, cache).get('sha256'), str):
        return known
    with path.open('rb') as stream:
        checksum = hashlib.file_digest(stream, 'sha256').hexdigest()
    _remember(path, cache, {'sha256': checksum})
    return checksum


def _recall(path: Path, cache: Path) -> dict[str, Any]:
    known = read_json(_note(path, cache)) or {}
    return known if known.get('stamp') == _stamp(path) else {}


def _remember(path: Path, cache: Path, what: dict[str, Any]) -> None:
    with suppress(OSError):  # what is forgotten is found out again
        write_if_changed(_note(path, cache), json_bytes({'path': str(path), 'stamp': _stamp(path), **what}))


def _note(path: Path, cache: Path) -> Path:
    return cache / 'tractograms' / f'{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.json'


def _stamp(path: Path) -> list[int]:
    # The change time cannot be set by hand: a file that is replaced or edited never keeps all four.
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
