"""A tractogram in the space of the masks, and what is computed from it once for all lesions."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.errors import check_choice
from lacuna.images.spaces import Grid, standard_grid
from lacuna.images.transforms import Transform, check_same, find_transform_of_points
from lacuna.utils.cache import cached, digest
from lacuna.utils.files import replacing, stamp
from lacuna.utils.progress import reading

if TYPE_CHECKING:
    from lacuna.images.atlases import Atlas, Parcellation
    from lacuna.streamlines.bundles import Bundles, Groups
    from lacuna.streamlines.connections import Connections
    from lacuna.streamlines.endpoints import EndpointTable
    from lacuna.streamlines.index.query import Index
    from lacuna.streamlines.tractogram import Tractogram


@dataclass(frozen=True)
class TractogramInSpace:
    """A tractogram in the space of the masks, and what is computed from it once for all lesions.

    Methods ending in ``_path`` only say where something belongs in the cache, by everything that determines its content;
    those ending in ``_file`` also write it if it is missing; the others read it, and keep it in memory.

    Attributes
    ----------
    tractogram : Tractogram
    space : str
    transform : lacuna.images.transforms.Transform or None
        Transform of the streamlines into the space; None if they are already in it.
    cache : pathlib.Path
        Cache folder.
    """

    tractogram: Tractogram
    space: str
    transform: Transform | None
    cache: Path
    _kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def content(self) -> list[str]:
        """Cache key of the streamlines in the space, from the checksums of tractogram and transform."""
        if self.transform is None:
            return [self.tractogram.info.sha256]
        from lacuna.streamlines.move import move_key

        return [move_key(self.tractogram.info.sha256, self.transform.sha256)]

    @property
    def tracks(self) -> Path:
        """The ``.tck`` in the space, either that of the tractogram or the path of the moved one."""
        if self.transform is None:
            return self.tractogram.tracks
        return self.cache / 'moved' / f'{digest(self.content)}.tck'

    @property
    def _sha256(self) -> str | None:
        """Checksum of `tracks`; None if they are moved streamlines."""
        return None if self.transform else self.tractogram.info.sha256

    def index_directory(self, grid: Grid, upsample: int | None = None) -> Path:
        """Return the folder of the streamline index: beside the tractogram if usable, else in the cache.

        An index beside the tractogram is usable if it holds the parts needed, or if they can be added to it.
        """
        beside = index_beside(self.tracks)
        if self.transform is None and beside.is_dir():
            if os.access(beside, os.W_OK):
                return beside
            from lacuna.streamlines.index.build import has_index

            if has_index(self.tracks, beside, grid, upsample=upsample, sha256=self._sha256):
                return beside
        return self.cache / 'index' / digest(self.content)

    def endpoints_path(
        self,
        parcellation: Parcellation,
        to_atlas: Transform | None,
        engine: str = 'index',
        assignment: str = 'radial',
    ) -> Path:
        """Return the path of the endpoint table of an atlas, from everything that determines its content.

        Parameters
        ----------
        parcellation : lacuna.images.atlases.Parcellation
        to_atlas : lacuna.images.transforms.Transform or None
            Transform from the space to that of the atlas, if they differ.
        engine : str
            Engine that assigns the ends, with its version if it has its own.
        assignment : str
            Rule for assigning ends to parcels.
        """
        from lacuna.streamlines.endpoints import RULES, VERSION

        moved = to_atlas.sha256 if to_atlas else None
        check_choice('assignment', assignment, RULES)
        decides = [VERSION, self.content, parcellation.sha256, moved, engine]
        if assignment != 'radial':
            decides.append(assignment)
        return self.cache / 'endpoints' / f'{digest(decides)}.npz'

    def bundles_path(self, groups: Groups, grid: Grid, upsample: int | None, engine: str = 'index') -> Path:
        """Return the path of a set of bundles, from everything that determines its content.

        Parameters
        ----------
        groups : lacuna.streamlines.bundles.Groups
        grid : lacuna.images.spaces.Grid
            Grid of the map.
        upsample : int, optional
            Points per step of a streamline; by default MRtrix3's rule.
        engine : str
            Engine that finds the voxels, with its version if it has its own.
        """
        from lacuna.streamlines.bundles import VERSION

        where = [grid.shape, grid.affine.tolist()]
        decides = [VERSION, self.content, groups.sha256, *where, upsample, engine]
        return self.cache / 'bundles' / f'{digest(decides)}.npz'

    def density_path(self, grid: Grid, upsample: int | None, *, counts: bool = False) -> Path:
        """Return the path of the density of the streamlines in use (``.npy``), from everything that determines its content.

        Parameters
        ----------
        grid, upsample
            See `bundles_path`.
        counts : bool
            Whether it is a density without weights.
        """
        where = [grid.shape, grid.affine.tolist()]
        key = self.tractogram.counting_key if counts else self.tractogram.weighting_key
        decides = [self.content, key, *where, upsample]
        return self.cache / 'density' / f'{digest(decides)}.npy'

    def move(self, *, threads: int = 1, progress: Callable[[int], object] | None = None) -> None:
        """Move the streamlines into the space, unless already done."""
        if self.transform is None:
            return
        from lacuna.images.transforms import PointTransform
        from lacuna.streamlines.move import move_tractogram

        source, transform = self.tractogram.tracks, self.transform

        def make() -> None:
            points = PointTransform(transform.path)
            check_same(transform, points)
            with self.tractogram.unchanged(self.tracks):
                move_tractogram(source, self.tracks, points, threads=threads, progress=progress)

        cached(self.tracks, make)

    def grid(self, resolution: int | None = None) -> Grid:
        """Return the standard grid of the maps, by default at the resolution of the tractogram."""
        return standard_grid(self.space, resolution or self.tractogram.resolution)

    def index(self) -> Index:
        """Find or build the streamline index for the maps.

        Raises
        ------
        lacuna.errors.StreamlineIndexError
            If it cannot be written, or the tractogram changes during the build.
        """
        from lacuna.streamlines.index.query import Index

        def find() -> Index:
            part = self.build_index()
            # build_index has just verified every byte
            return Index.open(part, tractogram=self.tracks, verify=False, nprocs=self.tractogram.nprocs)

        return self._keep('index', find)

    def build_index(self, resolution: int | None = None, *, beside: bool = False) -> Path:
        """Build the streamline index for a resolution, unless it exists.

        Parameters
        ----------
        resolution : int, optional
            Voxel size in mm; by default, that of the maps.
        beside : bool
            Write it beside the tractogram, for all its users, instead of into the cache.

        Returns
        -------
        pathlib.Path
            Folder of the index, for :meth:`lacuna.streamlines.index.query.Index.open`.
        """
        from lacuna.streamlines.index.build import build_index

        tractogram, grid, show = self.tractogram, self.grid(resolution), self.tractogram.progress
        tractogram.check_unchanged()
        with reading(f'moving the streamlines to {self.space}', tractogram.tracks, show=show) as advance:
            self.move(threads=tractogram.nprocs, progress=advance)
        upsample = tractogram.upsample
        directory = index_beside(self.tracks) if beside else self.index_directory(grid, upsample)
        with reading(f'indexing for {grid.resolution} mm', self.tracks, show=show) as advance:
            return build_index(
                self.tracks,
                directory,
                grid,
                upsample=upsample,
                nprocs=tractogram.nprocs,
                progress=advance,
                sha256=self._sha256,
            )

    def parcellation(self, atlas: Atlas) -> Parcellation:
        """Read the parcels of an atlas, and move them into the space if necessary.

        Raises
        ------
        lacuna.errors.InputError
            If the atlas cannot be read, or its image and names do not match.
        """
        from lacuna.images.atlases import fetch, read_parcellation

        atlas = fetch(atlas)
        return self._keep(
            ('parcellation', *_identity(atlas)), lambda: self.moved_parcellation(read_parcellation(atlas))
        )

    def moved_parcellation(self, parcellation: Parcellation) -> Parcellation:
        """Return a parcellation moved into the space, if it is in another one."""
        from lacuna.images.atlases import move_parcellation
        from lacuna.images.transforms import PointTransform

        transform = self._transform_to(parcellation.atlas)
        if transform is None:
            return parcellation
        points = PointTransform(transform.path)
        check_same(transform, points)
        return move_parcellation(parcellation, standard_grid(self.space, 1), points)

    def endpoints(self, atlas: Atlas, *, assignment: str = 'radial') -> EndpointTable:
        """Return the parcels at the two ends of every streamline, from the cache or newly assigned.

        Parameters
        ----------
        atlas : lacuna.images.atlases.Atlas
        assignment : str
            ``radial``: the nearest parcel within 4 mm of the end; ``end-voxels``: the parcel of its voxel.

        Raises
        ------
        lacuna.errors.InputError
            If the atlas cannot be read, its image and names do not match, or the assignment is unknown.
        """
        from lacuna.images.atlases import fetch, read_parcellation
        from lacuna.streamlines.endpoints import EndpointTable

        atlas = fetch(atlas)
        return self._keep(
            ('endpoints', assignment, *_identity(atlas)),
            lambda: EndpointTable.load(self.endpoints_file(read_parcellation(atlas), assignment)),
        )

    def endpoints_file(self, parcellation: Parcellation, assignment: str = 'radial') -> Path:
        """Return the file of `endpoints` for an atlas already read; it is written if missing."""
        from lacuna.streamlines.disconnection import assign_endpoints

        transform = self._transform_to(parcellation.atlas)
        path = self.endpoints_path(parcellation, transform, assignment=assignment)

        def make() -> None:
            parcels = self.moved_parcellation(parcellation)
            table = assign_endpoints(
                self.index(), parcels.image(), parcels.names, rule=assignment, nprocs=self.tractogram.nprocs
            )
            table.save(path)

        cached(path, make)
        return path

    def connections(
        self, atlas: Atlas, *, assignment: str = 'radial', edge_measure: str = 'count'
    ) -> Connections:
        """Return the connections between the parcels of an atlas.

        Parameters
        ----------
        atlas, assignment
            See `endpoints`.
        edge_measure : str
            What is summed over the streamlines between two parcels; see
            :class:`lacuna.streamlines.connections.Connections`.

        Raises
        ------
        lacuna.errors.InputError
            As `endpoints`, or if the measure is unknown.
        """
        from lacuna.streamlines.connections import Connections
        from lacuna.streamlines.endpoints import EDGE_MEASURES

        check_choice('edge_measure', edge_measure, EDGE_MEASURES)
        table = self.endpoints(atlas, assignment=assignment)
        return self._keep(
            ('connections', id(table), edge_measure),
            lambda: Connections(table, self.tractogram.weighting, edge_measure),
        )

    def bundle_set(self, groups: Groups) -> Bundles:
        """Return bundles with the voxels they visit, from the cache or newly computed."""
        from lacuna.streamlines.bundles import Bundles, BundleSet

        path = self.bundles_file(groups)
        return self._keep(path, lambda: Bundles(BundleSet.load(path), self.tractogram.weighting))

    def bundles_file(self, groups: Groups) -> Path:
        """Return the file of `bundle_set`, written if missing."""
        from lacuna.streamlines.bundles import BundleSet

        path = self.bundles_path(groups, self.grid(), self.tractogram.upsample)
        cached(path, lambda: BundleSet.from_index(groups, self.index()).save(path))
        return path

    def full_density(self, *, counts: bool = False) -> np.ndarray | None:
        """Return the density of the whole tractogram within the length limits.

        Parameters
        ----------
        counts : bool
            Count streamlines instead of summing weights.

        Returns
        -------
        numpy.ndarray or None
            None without weights and length limits: the index holds that density.
        """
        path = self.density_file(counts=counts)
        return None if path is None else np.load(path, mmap_mode='r', allow_pickle=False)

    def density_file(self, *, counts: bool = False) -> Path | None:
        """Return the file of `full_density`, written if missing."""
        from lacuna.streamlines.disconnection import full_density

        tractogram = self.tractogram
        if (counts or tractogram.weights is None) and not tractogram.is_limited:
            return None
        path = self.density_path(self.grid(), tractogram.upsample, counts=counts)
        weighting = replace(tractogram.weighting, weights=None) if counts else tractogram.weighting

        def make() -> None:
            with replacing(path) as temporary:
                np.save(temporary, full_density(self.index(), weighting))

        cached(path, make)
        return path

    def _transform_to(self, atlas: Atlas) -> Transform | None:
        # cached, because finding a transform reads its file for the checksum
        return self._keep(
            ('transform', atlas.space), lambda: find_transform_of_points(self.space, atlas.space)
        )

    def _keep(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return the cached value, or compute and cache it."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def _identity(atlas: Atlas) -> tuple[Any, ...]:
    """Return a key that changes when the files of an atlas do."""
    return (atlas, *stamp(atlas.image), *stamp(atlas.labels))


def index_beside(tracks: Path) -> Path:
    """Return the folder of an index beside its tractogram, shared by all users."""
    return tracks.with_name(f'{tracks.name}.index')
