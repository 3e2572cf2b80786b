"""A tractogram: what it holds, which space it is in, how its content is recognised, and what lesions cut of it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lacuna.errors import InputError, TractogramError
from lacuna.images.spaces import Grid, Settled, settle_space, space_in_name, standard_grid, world_space
from lacuna.images.transforms import Transform, find_transform_of_points
from lacuna.streamlines.files.formats import beside, convert, extension, without_extension
from lacuna.streamlines.files.tck import TractogramInfo, scan
from lacuna.utils.cache import cache_dir, cached, is_writable
from lacuna.utils.files import json_bytes, read_json, write_if_changed
from lacuna.utils.locks import file_lock
from lacuna.utils.processes import processors
from lacuna.utils.progress import counting

if TYPE_CHECKING:
    from lacuna.images.atlases import Atlas, Parcellation
    from lacuna.streamlines.endpoints import EndpointTable
    from lacuna.streamlines.index.query import Index
    from lacuna.streamlines.lesion import Lesion

_LONGEST_LABEL = 80


class Tractogram:
    """A tractogram whose streamlines are known, and what lesions disconnect in it.

    The file is read once when it is opened, and found sound or refused. The streamline index, from which lesions are
    computed without reading the file again, is found or built when the first lesion needs it. Both are kept in the
    cache (the index also beside the tractogram, if ``lacuna index --beside`` has put it there): the next session, and
    ``lacuna run``, find them.

    Parameters
    ----------
    path : path
        A ``.tck``, or a ``.trk``, ``.trk.gz`` or ``.trx``, which is converted once and kept in the cache.
    space : str, optional
        Standard space of the coordinates; by default, what the sidecar (``.json``) beside the file or the file's name says.
    resolution : int
        Edge of the voxels of the maps in mm: 1 or 2.
    upsample : int, optional
        Points per stored step of a streamline, for the maps; by default by MRtrix3's rule.
    nprocs : int
        Processors to use; -1 is all.
    cache : path, optional
        Folder of the caches; by default ``LACUNA_CACHE_DIR``, else one in the user's cache folder.
    progress : bool
        Whether bars are shown while the file is read, moved and indexed (on terminals only).

    Attributes
    ----------
    path : pathlib.Path
        The file given.
    tracks : pathlib.Path
        The same as ``.tck``: the file itself, or what it was converted to.
    space : str
        The supported space in which its coordinates are valid.
    info : lacuna.streamlines.files.tck.TractogramInfo
        Number of streamlines, spacing of the vertices and more, of `tracks`.
    sha256 : str
        Checksum of `path`.
    contradiction : str or None
        What option, sidecar and name say of the space, if they do not agree.

    Raises
    ------
    lacuna.errors.TractogramError
        If the file is missing, damaged, or without a streamline.
    lacuna.errors.InputError
        If its space is unknown, or the space or the resolution is not supported.

    Examples
    --------
    `data` are the paths of what ``lacuna tutorial`` writes.

    >>> import lacuna
    >>> tractogram = lacuna.Tractogram(data.connectome)
    >>> tractogram
    <Tractogram synthetic20k: 20000 streamlines in MNI152NLin6Asym>
    >>> tractogram.disconnect(data.masks[1]).summary['streamlines_disconnected']
    824
    """

    def __init__(
        self,
        path: str | Path,
        space: str | None = None,
        *,
        resolution: int = 2,
        upsample: int | None = None,
        nprocs: int = -1,
        cache: str | Path | None = None,
        progress: bool = False,
    ) -> None:
        self.path = Path(path).absolute()
        if not self.path.is_file():
            message = f'there is no tractogram {self.path}'
            raise TractogramError(message)
        kind = extension(self.path)
        self.space, _, self.contradiction = _settle_space(self.path, space)
        self.grid(resolution)
        self.resolution, self.upsample = resolution, upsample
        self.nprocs, self.progress = processors(nprocs), progress
        self.cache = Path(cache).absolute() if cache else cache_dir()
        with self._bar('reading the tractogram', self.path) as advance:
            if kind == '.tck':
                self.tracks = self.path
                self.info = _inspect(self.path, self.cache, advance)
                self.sha256 = self.info.sha256
            else:
                self.sha256 = _checksum(self.path, self.cache)
                self.tracks = self.cache / 'converted' / f'{self.sha256[:32]}.tck'
                cached(self.tracks, lambda: convert(self.path, self.tracks, progress=advance))
                self.info = _inspect(self.tracks, self.cache, None)
        self._indexes: dict[str, Index] = {}
        self._tables: dict[Any, EndpointTable] = {}
        self._transforms: dict[tuple[str, str], Transform | None] = {}

    def __repr__(self) -> str:
        return f'<Tractogram {self.name}: {self.info.count} streamlines in {self.space}>'

    @property
    def name(self) -> str:
        """Name for people, the file's, without its extension."""
        return without_extension(self.path).name

    @property
    def label(self) -> str:
        """The name as a BIDS label, letters and digits only, not longer than file names may be."""
        label = re.sub('[^0-9A-Za-z]', '', self.name) or 'tractogram'
        return label if len(label) <= _LONGEST_LABEL else label[:_LONGEST_LABEL] + self.sha256[:8]

    @property
    def streamlines_total(self) -> int:
        """Number of its streamlines."""
        return self.info.count

    def disconnect(self, mask: Any, space: str | None = None) -> Lesion:
        """What a lesion disconnects.

        The mask is checked as a run checks it: what cannot be right is an error, what is doubtful a warning. What
        follows from it is computed when it is first asked for. If the mask lies in another space than the
        tractogram, the streamlines are moved into its space, once for all lesions.

        Parameters
        ----------
        mask : path or nibabel image
            Binary lesion mask, (x, y, z), on any grid of a supported space.
        space : str, optional
            Its standard space; by default, what its sidecar or its name says, else that of the tractogram.

        Returns
        -------
        lacuna.streamlines.lesion.Lesion

        Raises
        ------
        lacuna.errors.MaskError
            If it is no usable mask, or lies elsewhere.
        lacuna.errors.InputError
            If the space is not supported, or there is no transform from the space of the tractogram.
        """
        from lacuna.streamlines.lesion import Lesion

        return Lesion(self, mask, space)

    def in_space(self, space: str | None = None) -> TractogramInSpace:
        """The tractogram in a standard space; by default, in its own.

        Raises
        ------
        lacuna.errors.InputError
            If the space is not supported, or there is no transform.
        """
        space = world_space(space or self.space)
        return TractogramInSpace(self, space, self._transform(self.space, space), self.cache)

    def grid(self, resolution: int | None = None, space: str | None = None) -> Grid:
        """The standard grid of the maps."""
        return standard_grid(space or self.space, self.resolution if resolution is None else resolution)

    def index(self, space: str | None = None) -> Index:
        """The streamline index for the maps in a space (by default, its own): found, or built.

        Returns
        -------
        lacuna.streamlines.index.query.Index

        Raises
        ------
        lacuna.errors.StreamlineIndexError
            If it cannot be written, or the tractogram changes meanwhile.
        """
        from lacuna.streamlines.index.query import Index

        placed = self.in_space(space)
        if placed.space not in self._indexes:
            part = self.build_index(placed.space)
            # every byte was compared just now
            self._indexes[placed.space] = Index.open(
                part, tractogram=placed.tracks, verify=False, nprocs=self.nprocs
            )
        return self._indexes[placed.space]

    def build_index(
        self, space: str | None = None, resolution: int | None = None, *, beside: bool = False
    ) -> Path:
        """Build the streamline index for a space and a resolution, unless it is there.

        Parameters
        ----------
        space : str, optional
            By default, that of the tractogram.
        resolution : int, optional
            Edge of the voxels in mm; by default, that of the maps.
        beside : bool
            Put it beside the tractogram, for all who use that, and not into the cache.

        Returns
        -------
        pathlib.Path
            For :meth:`lacuna.streamlines.index.query.Index.open`.
        """
        from lacuna.streamlines.index.build import build_index

        placed = self.in_space(space)
        with self._bar(f'moving the streamlines to {placed.space}', self.tracks) as advance:
            placed.move(threads=self.nprocs, progress=advance)
        grid = self.grid(resolution, placed.space)
        directory = index_beside(placed.tracks) if beside else placed.index_directory(grid, self.upsample)
        with self._bar(f'indexing for {grid.resolution} mm', placed.tracks) as advance:
            return build_index(
                placed.tracks,
                directory,
                grid,
                upsample=self.upsample,
                nprocs=self.nprocs,
                progress=advance,
            )

    def endpoints(self, atlas: Atlas, space: str | None = None) -> EndpointTable:
        """The parcels of an atlas at the ends of every streamline: found in the cache, or assigned and put there.

        Parameters
        ----------
        atlas : lacuna.images.atlases.Atlas
        space : str, optional
            Space of the lesions, into which streamlines and parcels are moved; by default, that of the tractogram.

        Raises
        ------
        lacuna.errors.InputError
            If the atlas cannot be read, or image and names do not fit.
        """
        from lacuna.images.atlases import fetch, move_parcellation, read_parcellation
        from lacuna.images.transforms import PointTransform
        from lacuna.streamlines.disconnection import assign_endpoints
        from lacuna.streamlines.endpoints import EndpointTable

        placed, atlas = self.in_space(space), fetch(atlas)
        known = (placed.space, atlas, *_stamp(atlas.image), *_stamp(atlas.labels))
        if known in self._tables:
            return self._tables[known]
        parcellation = read_parcellation(atlas)
        transform = self._transform(placed.space, atlas.space)
        path = placed.endpoints_path(parcellation, transform)

        def make() -> None:
            parcels = parcellation
            if transform:
                grid = standard_grid(placed.space, 1)
                parcels = move_parcellation(parcellation, grid, PointTransform(transform.path))
            index = self.index(placed.space)
            assign_endpoints(index, parcels.image(), parcels.names, nprocs=self.nprocs).save(path)

        cached(path, make)
        self._tables[known] = EndpointTable.load(path)
        return self._tables[known]

    def _transform(self, source: str, target: str) -> Transform | None:
        # kept: to find one, its file is read for the checksum
        if (source, target) not in self._transforms:
            self._transforms[source, target] = find_transform_of_points(source, target)
        return self._transforms[source, target]

    def _bar(self, what: str, path: Path) -> AbstractContextManager[Callable[[int], object]]:
        return counting(what, path.stat().st_size, show=self.progress)


@dataclass(frozen=True)
class TractogramInSpace:
    """A tractogram in the space of the masks, and where what is made of it is kept.

    Attributes
    ----------
    tractogram : Tractogram
    space : str
    transform : lacuna.images.transforms.Transform or None
        What moves the streamlines into the space; None if they are in it.
    cache : pathlib.Path
        Folder of the caches.
    """

    tractogram: Tractogram
    space: str
    transform: Transform | None
    cache: Path

    @property
    def content(self) -> list[str]:
        """What stands for the streamlines in the space (checksum of the tractogram, and what has moved it)."""
        if self.transform is None:
            return [self.tractogram.info.sha256]
        from lacuna.streamlines.move import move_key

        return [move_key(self.tractogram.info.sha256, self.transform.sha256)]

    @property
    def tracks(self) -> Path:
        """The streamlines in the space (``.tck``): those of the tractogram, or where the moved ones are kept."""
        if self.transform is None:
            return self.tractogram.tracks
        return self.cache / 'moved' / f'{digest(self.content)}.tck'

    def index_directory(self, grid: Grid, upsample: int | None = None) -> Path:
        """Folder of the streamline index: the one beside the tractogram if it serves, else one in the cache.

        The one beside serves if it holds what is asked for, or if that can be added to it.
        """
        from lacuna.streamlines.index.build import has_index

        beside = index_beside(self.tracks)
        if (
            self.transform is None
            and beside.is_dir()
            and (os.access(beside, os.W_OK) or has_index(self.tracks, beside, grid, upsample=upsample))
        ):
            return beside
        return self.cache / 'index' / digest(self.content)

    def endpoints_path(
        self, parcellation: Parcellation, to_atlas: Transform | None, engine: str = 'index'
    ) -> Path:
        """Where the endpoint table of an atlas is kept, by all that decides its content.

        Parameters
        ----------
        parcellation : lacuna.images.atlases.Parcellation
        to_atlas : lacuna.images.transforms.Transform or None
            Moves points of the space to that of the atlas, if that is another.
        engine : str
            What assigns, and its version if it has one of its own.
        """
        from lacuna.streamlines.endpoints import VERSION

        moved = to_atlas.sha256 if to_atlas else None
        decides = [VERSION, self.content, parcellation.sha256, moved, engine]
        return self.cache / 'endpoints' / f'{digest(decides)}.npz'

    def move(self, *, threads: int = 1, progress: Callable[[int], object] | None = None) -> None:
        """Move the streamlines into the space, unless they are there or were moved before."""
        if self.transform is None:
            return
        from lacuna.images.transforms import PointTransform
        from lacuna.streamlines.move import move_tractogram

        source, transform = self.tractogram.tracks, self.transform.path

        def make() -> None:
            points = PointTransform(transform)
            move_tractogram(source, self.tracks, points, threads=threads, progress=progress)

        cached(self.tracks, make)


def index_beside(tracks: Path) -> Path:
    """Folder of an index that lies beside its tractogram, for all who use that."""
    return tracks.with_name(f'{tracks.name}.index')


def digest(decides: list[Any]) -> str:
    """Name in a cache for what all of this decides."""
    return hashlib.sha256(repr(decides).encode()).hexdigest()[:32]


def _settle_space(path: Path, given: str | None) -> Settled:
    sidecar = beside(path, '.json')
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
