"""A tractogram: its content, space and checksum, and what lesions cut in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.errors import InputError, TractogramError, check_choice
from lacuna.images.spaces import Grid, Settled, settle_space, space_in_name, standard_grid, world_space
from lacuna.images.transforms import Transform, find_transform_of_points
from lacuna.measures import MIN_SUPPORT
from lacuna.streamlines.files import tck
from lacuna.streamlines.files.formats import convert, extension, without_extension
from lacuna.streamlines.files.joined import join, tractograms_in
from lacuna.streamlines.inspection import checksum, checksum_of_all, inspect
from lacuna.streamlines.length_limits import check_length_limits, length_limits
from lacuna.streamlines.placed import TractogramInSpace, index_beside
from lacuna.streamlines.weighting import VERSION, Weighting, read_weights, weights_sha256
from lacuna.utils.cache import cache_dir, cached, digest
from lacuna.utils.files import read_json, replacing, stamp
from lacuna.utils.processes import processors
from lacuna.utils.progress import counting

if TYPE_CHECKING:
    from lacuna.explorer.notebook import Explorer
    from lacuna.images.atlases import Atlas, Parcellation
    from lacuna.streamlines.bundles import Bundles, Groups, NamedBundles
    from lacuna.streamlines.connections import Connections
    from lacuna.streamlines.endpoints import EndpointTable
    from lacuna.streamlines.index.query import Index
    from lacuna.streamlines.lesion import Lesion

_LONGEST_LABEL = 80


class Tractogram:
    """A normative tractogram, and what lesions disconnect in it.

    The file is read and validated once, when it is opened. The streamline index, from which lesions are computed without
    reading the file again, is found or built when the first lesion needs it. Both are kept in the cache for later
    sessions and ``lacuna run``; an index beside the tractogram (from ``lacuna index --beside``) is used too.

    Parameters
    ----------
    path : path
        A ``.tck``; or a ``.trk``, ``.trk.gz`` or ``.trx``, which is converted once and kept in the cache; or a folder
        of such files, one a bundle, which are joined once.
    space : str, optional
        Standard space of the coordinates; by default from the sidecar (``.json``) beside the file, or the file's name.
    resolution : int
        Edge of the voxels of the maps in mm: 1 or 2.
    upsample : int, optional
        Points per stored step of a streamline, for the maps; by default according to MRtrix3's rule.
    nprocs : int
        Processors to use; -1 uses all.
    cache : path, optional
        Folder of the caches; by default ``LACUNA_CACHE_DIR``, else one in the user's cache folder.
    progress : bool
        Whether to show progress bars while the file is read, moved and indexed (on terminals only).
    weights : path, optional
        Text file with a weight for each streamline, such as those of ``tcksift2``, or the name of the values of the
        streamlines in a ``.trx``; by default, each counts 1.
    min_length, max_length : float, optional
        Look only at streamlines of these lengths (mm, in the space of the tractogram), as ``tckedit`` would.

    Attributes
    ----------
    path : pathlib.Path
        The file given.
    tracks : pathlib.Path
        The ``.tck``: the file itself, or its converted copy.
    space : str
        The supported space in which its coordinates are valid.
    info : lacuna.streamlines.files.tck.TractogramInfo
        Number of streamlines, spacing of the vertices and more, of `tracks`.
    sha256 : str
        Checksum of `path`; of a folder, of the names and the content of its tractograms.
    contradiction : str or None
        What option, sidecar and name say about the space, if they disagree.

    Raises
    ------
    lacuna.errors.TractogramError
        If the file is missing, damaged, or has no streamlines.
    lacuna.errors.InputError
        If its space is unknown, the space or the resolution is not supported, or the weights cannot be used.

    Examples
    --------
    `data` holds the paths of the files that ``lacuna tutorial`` writes.

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
        weights: str | Path | None = None,
        min_length: float | None = None,
        max_length: float | None = None,
    ) -> None:
        self.path = Path(path).absolute()
        if not self.path.exists():
            message = f'no tractogram {self.path}'
            raise TractogramError(message)
        parts = tractograms_in(self.path) if self.path.is_dir() else {}
        kind = 'folder' if parts else extension(self.path)
        self.space, _, self.contradiction = _settle_space(self.path, space)
        self.grid(resolution)
        self.resolution, self.upsample = resolution, upsample
        self.nprocs, self.progress = processors(nprocs), progress
        self.cache = Path(cache).absolute() if cache else cache_dir()
        with self._bar('reading the tractogram', self.path) as advance:
            if kind == '.tck':
                self.tracks = self.path
                self.info = inspect(self.path, self.cache, advance)
                self.sha256 = self.info.sha256
            else:
                self.sha256 = checksum_of_all(parts, self.cache) if parts else checksum(self.path, self.cache)
                self.tracks = self.cache / 'converted' / f'{self.sha256[:32]}.tck'

                def make() -> None:
                    if parts:
                        join(parts, self.tracks, advance)
                    else:
                        convert(self.path, self.tracks, bundles={}, progress=advance)

                cached(self.tracks, make)
                self.info = inspect(self.tracks, self.cache, None)
        check_length_limits(min_length, max_length)
        self.min_length, self.max_length = min_length, max_length
        #: what was given
        self.weights_source = weights
        #: (streamlines,) float32, if they were given
        self.weights = None if weights is None else read_weights(weights, self.path, self.info.count)
        self._indexes: dict[str, Index] = {}
        self._tables: dict[Any, EndpointTable] = {}
        self._parcellations: dict[Any, Parcellation] = {}
        self._bundle_sets: dict[Path, Bundles] = {}
        self._connections: dict[Any, Connections] = {}
        self._transforms: dict[tuple[str, str], Transform | None] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without what was opened: another process opens it itself."""
        opened = ('_indexes', '_tables', '_connections', '_parcellations', '_bundle_sets')
        kept = {name: value for name, value in self.__dict__.items() if name != 'weighting'}
        return {**kept, **{name: {} for name in opened}}

    def __repr__(self) -> str:
        return f'<Tractogram {self.name}: {self.info.count} streamlines in {self.space}>'

    @property
    def name(self) -> str:
        """Name for people, that of the file without its extension."""
        return _stem(self.path).name

    @property
    def label(self) -> str:
        """The name as a BIDS label, of letters and digits only, short enough for file names."""
        label = tractogram_label(self.path)
        return label if len(label) <= _LONGEST_LABEL else label[:_LONGEST_LABEL] + self.sha256[:8]

    @property
    def streamlines_total(self) -> int:
        """Number of its streamlines, within the limits of length."""
        return self.info.count if self._limits is None else self.weighting.count(self.info.count)

    @cached_property
    def weighting(self) -> Weighting:
        """Which streamlines are looked at, how much each counts, and their lengths."""
        from lacuna.streamlines.lengths import measure_lengths

        path = self.cache / 'lengths' / f'{digest([VERSION, self.info.sha256])}.npy'

        def make() -> None:
            with self._bar('measuring the streamlines', self.tracks) as advance:
                lengths = measure_lengths(self.tracks, advance)
            with replacing(path) as temporary:
                np.save(temporary, lengths)

        cached(path, make)
        return Weighting.within(np.load(path, allow_pickle=False), self.weights, self._limits)

    def weighting_path(self) -> Path:
        """File of `weighting`, for other processes."""
        path = self.cache / 'lengths' / f'{digest([self.weighting_key, self.info.sha256])}.npz'
        cached(path, lambda: self.weighting.save(path))
        return path

    def full_density(self, space: str | None = None, *, counts: bool = False) -> np.ndarray | None:
        """What visits each voxel of the maps, of all streamlines that are looked at; their number, if `counts`.

        None if they are all streamlines of the tractogram, and each counts 1: the index knows it.
        """
        path = self.full_density_path(space, counts=counts)
        return None if path is None else np.load(path, mmap_mode='r', allow_pickle=False)

    def full_density_path(self, space: str | None = None, *, counts: bool = False) -> Path | None:
        """File of `full_density`, which is made if it is not there."""
        from lacuna.streamlines.disconnection import full_density

        if (counts or self.weights is None) and self._limits is None:
            return None
        placed = self.in_space(space)
        path = placed.density_path(self.grid(space=placed.space), self.upsample, counts=counts)
        weighting = replace(self.weighting, weights=None) if counts else self.weighting

        def make() -> None:
            with replacing(path) as temporary:
                np.save(temporary, full_density(self.index(placed.space), weighting))

        cached(path, make)
        return path

    @cached_property
    def weights_sha256(self) -> str | None:
        """Checksum of the weights; None if there are none."""
        return None if self.weights is None else weights_sha256(self.weights)

    @property
    def weighting_key(self) -> list[Any]:
        """What decides which streamlines are looked at, and how much each counts."""
        return [VERSION, self.weights_sha256, self._limits]

    @property
    def counting_key(self) -> list[Any]:
        """What decides which streamlines are looked at."""
        return [VERSION, None, self._limits]

    @property
    def is_limited(self) -> bool:
        """Whether only streamlines of some lengths are looked at."""
        return self._limits is not None

    @cached_property
    def _limits(self) -> tuple[float, float] | None:
        if self.min_length is None and self.max_length is None:
            return None
        return length_limits(tck.read_header(self.tracks), self.min_length, self.max_length)

    def disconnect(
        self,
        mask: Any,
        space: str | None = None,
        *,
        graded_masks: str = 'error',
        mask_scale: float = 1.0,
        min_support: int = MIN_SUPPORT,
    ) -> Lesion:
        """Compute what a lesion disconnects.

        The mask is checked as in a run: an unusable one raises an error, a suspicious one a warning. Results are computed
        on first access. If the mask is in another space than the tractogram, the streamlines are moved into its space,
        once for all lesions.

        Parameters
        ----------
        mask : path or nibabel image
            Lesion mask, (x, y, z), on any grid of a supported space.
        space : str, optional
            Its standard space; by default from its sidecar or name, else that of the tractogram.
        graded_masks : str
            What to do with values between 0 and 1. ``error``: refuse the mask; ``max``: it cuts a streamline by the
            greatest value along its vertices.
        mask_scale : float
            What values of a graded mask are divided by.
        min_support : int
            Streamlines that a voxel needs for its percentage to be supported, for the summary.

        Returns
        -------
        lacuna.streamlines.lesion.Lesion

        Raises
        ------
        lacuna.errors.MaskError
            If the mask is unusable, or lies outside the brain.
        lacuna.errors.InputError
            If the space is not supported, or there is no transform from the space of the tractogram.
        """
        from lacuna.images.mask_values import check_grading, grading
        from lacuna.streamlines.lesion import Lesion

        check_grading(graded_masks, mask_scale)
        return Lesion(self, mask, space, grading(graded_masks, mask_scale), min_support)

    def explore(
        self,
        masks: str | Path | Iterable[str | Path] = (),
        *,
        atlases: Iterable[str | tuple[Any, Any, str]] = (),
        bundles: str | Path | None = None,
        space: str | None = None,
        output_dir: str | Path | None = None,
        height: int = 720,
    ) -> Explorer:
        """Draw lesions and see what they disconnect: the page of ``lacuna explore``, which a notebook shows.

        Its server listens on this machine only, in a thread, until the answer is closed or this process ends. The browser
        has to be on the same machine.

        Parameters
        ----------
        masks : path or iterable of path
            Masks to choose from: files, BIDS datasets or output folders of ``lacuna run``.
        atlases : iterable
            For the tables of parcels: names, or image, table and space of each, as for :meth:`lacuna.streamlines.lesion.Lesion.parcels`.
        bundles : path, optional
            As for `bundles`; ``none`` for none.
        space : str, optional
            Of the masks and of the page; by default, that of the tractogram.
        output_dir : path, optional
            Where the page may save; by default nowhere.
        height : int
            Pixels of the page in the notebook.

        Returns
        -------
        lacuna.explorer.notebook.Explorer
            With ``address`` and ``close()``; also a context manager.

        Raises
        ------
        lacuna.errors.InputError
            If there is no such file or atlas, or a setting is not valid.
        """
        from lacuna.explorer.notebook import explore

        return explore(
            self, masks, atlases=atlases, bundles=bundles, space=space, output_dir=output_dir, height=height
        )

    def in_space(self, space: str | None = None) -> TractogramInSpace:
        """Return the tractogram in a standard space; by default, in its own.

        Raises
        ------
        lacuna.errors.InputError
            If the space is not supported, or there is no transform.
        """
        space = world_space(space or self.space)
        return TractogramInSpace(self, space, self._transform(self.space, space), self.cache)

    def grid(self, resolution: int | None = None, space: str | None = None) -> Grid:
        """Return the standard grid of the maps."""
        return standard_grid(space or self.space, self.resolution if resolution is None else resolution)

    def index(self, space: str | None = None) -> Index:
        """Find or build the streamline index for the maps in a space (by default, its own).

        Returns
        -------
        lacuna.streamlines.index.query.Index

        Raises
        ------
        lacuna.errors.StreamlineIndexError
            If it cannot be written, or the tractogram changes during the build.
        """
        from lacuna.streamlines.index.query import Index

        placed = self.in_space(space)
        if placed.space not in self._indexes:
            part = self.build_index(placed.space)
            # every byte was just compared
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

    def endpoints(
        self, atlas: Atlas, space: str | None = None, *, assignment: str = 'radial'
    ) -> EndpointTable:
        """Return the parcels of an atlas at the ends of every streamline, from the cache or newly assigned.

        Parameters
        ----------
        atlas : lacuna.images.atlases.Atlas
        space : str, optional
            Space of the lesions, into which streamlines and parcels are moved; by default, that of the tractogram.
        assignment : str
            ``radial``: an end belongs to the nearest parcel within 4 mm; ``end-voxels``: to that of its voxel.

        Raises
        ------
        lacuna.errors.InputError
            If the atlas cannot be read, image and names do not fit, or there is no such rule.
        """
        from lacuna.images.atlases import fetch, read_parcellation
        from lacuna.streamlines.endpoints import EndpointTable

        atlas = fetch(atlas)
        known = (self.in_space(space).space, assignment, *_identity(atlas))
        if known not in self._tables:
            path = self.endpoints_path(read_parcellation(atlas), space, assignment)
            self._tables[known] = EndpointTable.load(path)
        return self._tables[known]

    def connections(
        self,
        atlas: Atlas,
        space: str | None = None,
        *,
        assignment: str = 'radial',
        edge_measure: str = 'count',
    ) -> Connections:
        """Return the connections between the parcels of an atlas, once for all lesions.

        Parameters
        ----------
        atlas, space, assignment
            See `endpoints`.
        edge_measure : str
            What is summed for a pair of parcels, see :class:`lacuna.streamlines.connections.Connections`.

        Raises
        ------
        lacuna.errors.InputError
            As `endpoints`, or if there is no such measure.
        """
        from lacuna.streamlines.connections import Connections
        from lacuna.streamlines.endpoints import EDGE_MEASURES

        check_choice('edge_measure', edge_measure, EDGE_MEASURES)
        table = self.endpoints(atlas, space, assignment=assignment)
        known = (id(table), edge_measure)
        if known not in self._connections:
            self._connections[known] = Connections(table, self.weighting, edge_measure)
        return self._connections[known]

    def endpoints_path(
        self, parcellation: Parcellation, space: str | None = None, assignment: str = 'radial'
    ) -> Path:
        """File of `endpoints`, which is made if it is not there; the atlas was read before."""
        from lacuna.streamlines.disconnection import assign_endpoints

        placed, atlas = self.in_space(space), parcellation.atlas
        transform = self._transform(placed.space, atlas.space)
        path = placed.endpoints_path(parcellation, transform, assignment=assignment)

        def make() -> None:
            parcels = self.parcellation(atlas, placed.space)
            index = self.index(placed.space)
            table = assign_endpoints(
                index, parcels.image(), parcels.names, rule=assignment, nprocs=self.nprocs
            )
            table.save(path)

        cached(path, make)
        return path

    def parcellation(self, atlas: Atlas, space: str | None = None) -> Parcellation:
        """The parcels of an atlas in a space (by default, that of the tractogram): read, and moved if need be.

        Raises
        ------
        lacuna.errors.InputError
            If the atlas cannot be read, or its image and names do not match.
        """
        from lacuna.images.atlases import fetch, move_parcellation, read_parcellation
        from lacuna.images.transforms import PointTransform

        placed, atlas = self.in_space(space), fetch(atlas)
        known = (placed.space, *_identity(atlas))
        if known not in self._parcellations:
            parcels = read_parcellation(atlas)
            if transform := self._transform(placed.space, atlas.space):
                grid = standard_grid(placed.space, 1)
                parcels = move_parcellation(parcels, grid, PointTransform(transform.path))
            self._parcellations[known] = parcels
        return self._parcellations[known]

    def bundles(self, source: str | Path | None = None, name: str | None = None) -> tuple[str, Groups] | None:
        """The bundles of the tractogram.

        Parameters
        ----------
        source : path, optional
            A table, see :func:`lacuna.streamlines.files.bundle_tables.read_bundles`; or ``groups`` for those that the
            tractogram has itself: the groups of a ``.trx``, or the files of a folder. By default, the table
            ``X_bundles.tsv`` beside it, else its own.
        name : str, optional
            What the set of bundles is called, in lower-case letters and digits; by default, what the name of the
            table, or of the tractogram, says.

        Returns
        -------
        name : str
        groups : lacuna.streamlines.bundles.Groups
            None, instead of both, if no source is given and there are no bundles.

        Raises
        ------
        lacuna.errors.TractogramError
            If the table cannot be read or is not of this tractogram, or it has no groups.
        lacuna.errors.InputError
            If `name` has other characters.
        """
        found = self.find_bundles(source, name)
        return found[:2] if found else None

    def find_bundles(self, source: str | Path | None = None, name: str | None = None) -> NamedBundles | None:
        """The same, and the table they were read from."""
        from lacuna.streamlines.bundles import find_bundles

        kept = None if self._limits is None else self.weighting.kept
        return find_bundles(self.path, self.tracks, self.info.count, source, name, kept)

    def bundle_set(self, groups: Groups, space: str | None = None) -> Bundles:
        """Bundles with the voxels that they visit: found in the cache, or made and put there.

        Parameters
        ----------
        groups : lacuna.streamlines.bundles.Groups
        space : str, optional
            Space of the lesions; by default, that of the tractogram.
        """
        from lacuna.streamlines.bundles import Bundles, BundleSet

        path = self.bundle_set_path(groups, space)
        if path not in self._bundle_sets:
            self._bundle_sets[path] = Bundles(BundleSet.load(path), self.weighting)
        return self._bundle_sets[path]

    def bundle_set_path(self, groups: Groups, space: str | None = None) -> Path:
        """File of `bundle_set`, which is made if it is not there."""
        from lacuna.streamlines.bundles import BundleSet

        placed = self.in_space(space)
        path = placed.bundles_path(groups, self.grid(space=placed.space), self.upsample)
        cached(path, lambda: BundleSet.from_index(groups, self.index(placed.space)).save(path))
        return path

    def _transform(self, source: str, target: str) -> Transform | None:
        # kept, because finding one reads its file for the checksum
        if (source, target) not in self._transforms:
            self._transforms[source, target] = find_transform_of_points(source, target)
        return self._transforms[source, target]

    def _bar(self, what: str, path: Path) -> AbstractContextManager[Callable[[int], object]]:
        files = [path] if path.is_file() else list(path.iterdir())
        return counting(what, sum(each.stat().st_size for each in files), show=self.progress)


def tractogram_label(path: Path) -> str:
    """Return the name of a file, without its extension, as a BIDS label.

    >>> tractogram_label(Path('dTOR_985.trk.gz'))
    'dTOR985'
    """
    return re.sub('[^0-9A-Za-z]', '', _stem(path).name) or 'tractogram'


def _stem(path: Path) -> Path:
    """Path of a tractogram without its ending, or of a folder of them."""
    return path if path.is_dir() else without_extension(path)


def _identity(atlas: Atlas) -> tuple[Any, ...]:
    """An atlas whose files were not touched."""
    return (atlas, *stamp(atlas.image), *stamp(atlas.labels))


def _settle_space(path: Path, given: str | None) -> Settled:
    sidecar = _stem(path).with_name(f'{_stem(path).name}.json')
    claims = [
        (given, '--connectome-space'),
        ((read_json(sidecar) or {}).get('Space'), f"Space in the tractogram's {sidecar.name}"),
        (space_in_name(path), "the tractogram's name"),
    ]
    if settled := settle_space(claims):
        return settled
    message = (
        f'the space of the tractogram {path} is not known: give it with --connectome-space, '
        f'or write {{"Space": "MNI152NLin6Asym"}} (or another space) to {sidecar.name} beside it'
    )
    raise InputError(message)
