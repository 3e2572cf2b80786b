"""A tractogram in the space of the masks, and the cache paths of what is computed from it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lacuna.errors import check_choice
from lacuna.images.spaces import Grid
from lacuna.images.transforms import Transform
from lacuna.utils.cache import cached, digest

if TYPE_CHECKING:
    from lacuna.images.atlases import Parcellation
    from lacuna.streamlines.bundles import Groups
    from lacuna.streamlines.tractogram import Tractogram


@dataclass(frozen=True)
class TractogramInSpace:
    """A tractogram in the space of the masks, and the cache paths of what is computed from it.

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

    def index_directory(self, grid: Grid, upsample: int | None = None) -> Path:
        """Return the folder of the streamline index: beside the tractogram if usable, else in the cache.

        An index beside the tractogram is usable if it holds the parts needed, or if they can be added to it.
        """
        beside = index_beside(self.tracks)
        if self.transform is None and beside.is_dir():
            if os.access(beside, os.W_OK):
                return beside
            from lacuna.streamlines.index.build import has_index

            if has_index(self.tracks, beside, grid, upsample=upsample):
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

        source, transform = self.tractogram.tracks, self.transform.path

        def make() -> None:
            points = PointTransform(transform)
            move_tractogram(source, self.tracks, points, threads=threads, progress=progress)

        cached(self.tracks, make)


def index_beside(tracks: Path) -> Path:
    """Return the folder of an index beside its tractogram, shared by all users."""
    return tracks.with_name(f'{tracks.name}.index')
