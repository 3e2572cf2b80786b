"""The disconnection by a single lesion in Python: the results of a run, without files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.errors import InputError, MaskError, TractogramError
from lacuna.images.atlases import custom_atlas, find_atlases
from lacuna.images.masks import Mask, mask_source
from lacuna.images.plausibility import inspect_mask, tractogram_doubt
from lacuna.images.spaces import Settled, settle_space, stated_spaces
from lacuna.images.support import check_support
from lacuna.measures import MIN_SUPPORT
from lacuna.streamlines.disconnection import Disconnection, ParcelDisconnection

if TYPE_CHECKING:
    from lacuna.images.atlases import Atlas
    from lacuna.streamlines.bundles import BundleDisconnection, Groups
    from lacuna.streamlines.nulls import NullDisconnection
    from lacuna.streamlines.placed import TractogramInSpace
    from lacuna.streamlines.tractogram import Tractogram
    from lacuna.streamlines.weighting import Cut


class Lesion:
    """The disconnection by a lesion, from `Tractogram.disconnect <lacuna.streamlines.tractogram.Tractogram.disconnect>`.

    Each value is computed once, on first access. The values are those that ``lacuna run snm`` writes to files.

    Parameters
    ----------
    tractogram : lacuna.Tractogram
    mask : path or nibabel image
        Lesion mask.
    space : str, optional
        Standard space of the mask.
    mask_scale : float, optional
        Divisor of the values of a graded mask; by default, graded masks are refused.
    min_support : int
        Number of streamlines from which the percentage of a voxel counts as supported, in the summary.

    Attributes
    ----------
    tractogram : lacuna.Tractogram
    name : str
        Name of the mask's file; ``image`` if it was not read from a file.
    space : str
        Standard space of the mask and of all results.
    warnings : list of str
        Warnings about the mask and the tractogram.

    Examples
    --------
    `data` holds the paths of the files that ``lacuna tutorial`` writes.

    >>> import lacuna
    >>> lesion = lacuna.Tractogram(data.connectome).disconnect(data.masks[0])
    >>> lesion.map.shape, lesion.map.get_data_dtype().name
    ((91, 109, 91), 'float32')
    >>> len(lesion.streamlines) == lesion.summary['streamlines_disconnected']
    True
    >>> [points.shape[1] for points in lesion.sample(3)]
    [3, 3, 3]
    >>> parcels = lesion.parcels((data.parcellation, data.labels, 'MNI152NLin6Asym'))
    >>> parcels.matrix.shape, len(parcels.disconnection)
    ((100, 100), 100)
    >>> parcels.statistics['most_affected_parcel'] == parcels.disconnection.idxmax()
    True
    """

    def __init__(
        self,
        tractogram: Tractogram,
        mask: Any,
        space: str | None = None,
        mask_scale: float | None = None,
        min_support: int = MIN_SUPPORT,
    ) -> None:
        self.tractogram, self._min_support = tractogram, check_support(min_support)
        self._mask, self.name, self.space, self.warnings = _check_mask(tractogram, mask, space, mask_scale)
        tractogram.in_space(self.space)  # raises if there is no transform

    def __repr__(self) -> str:
        return f'<Lesion {self.name} in {self.space}, of the tractogram {self.tractogram.name}>'

    @property
    def mask(self) -> Any:
        """The mask on its own grid (nibabel image), binary (uint8) or graded from 0 to 1 (float32)."""
        return self._disconnection.mask

    @property
    def streamlines(self) -> np.ndarray:
        """Indices of the streamlines with a vertex in the mask, from 0, ascending; (n,) uint32, read-only."""
        return self._disconnection.streamlines

    @property
    def cut(self) -> Cut:
        """The disconnected streamlines, each with its weight times how strongly a graded mask cuts it."""
        return self._disconnection.cut

    @property
    def density(self) -> Any:
        """Number of disconnected streamlines that visit each voxel (nibabel image, uint32), or sums of weights (float64)."""
        return self._disconnection.density

    @property
    def map(self) -> Any:
        """Percentage of each voxel's streamlines that the lesion cuts, 0 to 100 (nibabel image, float32).

        On the standard grid of the space; 0 where there are no streamlines.
        """
        return self._disconnection.map

    @property
    def summary(self) -> dict[str, Any]:
        """Content of the statistics file of a run, such as ``mask_volume_mm3`` and ``streamlines_disconnected``."""
        return self._disconnection.summary

    def sample(self, count: int) -> list[np.ndarray]:
        """Read at most `count` of the streamlines cut, evenly spread over the tractogram.

        Parameters
        ----------
        count : int
            Maximum number of streamlines.

        Returns
        -------
        list of numpy.ndarray
            Each (vertices, 3) float32, mm in world coordinates (RAS+) of the lesion's space.

        Raises
        ------
        lacuna.errors.StreamlineIndexError
            If the tractogram has changed since it was opened.
        """
        return self._disconnection.sample(count)

    def parcels(
        self,
        atlas: str | tuple[Any, Any, str],
        *,
        folder: Path | None = None,
        assignment: str = 'radial',
        edge_measure: str = 'count',
    ) -> ParcelDisconnection:
        """Compute the disconnection of the parcels of an atlas and of the connections between them.

        The ends of the streamlines are assigned once for each tractogram and atlas, and cached.

        Parameters
        ----------
        atlas : str or (path, path, str)
            Name of an atlas in TemplateFlow or in `folder` (``lacuna info atlases`` lists them); or label image, label
            table and standard space of your own atlas.
        folder : pathlib.Path, optional
            Folder of atlases with BIDS names, searched before TemplateFlow.
        assignment : str
            How the ends of streamlines are assigned to parcels. ``radial``: to the nearest within 4 mm;
            ``end-voxels``: to that of their voxel.
        edge_measure : str
            What is summed over the streamlines between two parcels: ``count``, ``invlength`` or ``invnodevol``; see
            :class:`lacuna.streamlines.connections.Connections`.

        Returns
        -------
        lacuna.streamlines.disconnection.ParcelDisconnection

        Raises
        ------
        lacuna.errors.InputError
            If the atlas, rule or measure is unknown, or the atlas's image and names do not match.
        """
        found = _find_atlas(atlas, self.space, folder)
        placed = self._in_space
        whole = placed.connections(found, assignment=assignment, edge_measure=edge_measure)
        return self._disconnection.parcels(whole, lambda: placed.parcellation(found))

    def bundles(self, source: str | Path | Groups | None = None) -> BundleDisconnection:
        """Compute the disconnection of each bundle of the tractogram.

        Parameters
        ----------
        source : path or Groups, optional
            Table of the bundles, or ``groups`` for those stored in the tractogram; by default, those found beside or in
            it, see :meth:`lacuna.streamlines.tractogram.Tractogram.bundles`. Pass the groups that it returns to avoid
            reading them again for each lesion.

        Returns
        -------
        lacuna.streamlines.bundles.BundleDisconnection

        Raises
        ------
        lacuna.errors.TractogramError
            If there are no bundles, or they belong to another tractogram.
        """
        from lacuna.streamlines.bundles import Groups

        found = ('', source) if isinstance(source, Groups) else self.tractogram.bundles(source)
        if found is None:
            message = f'{self.tractogram.path}: the bundles are unknown; give a table of the streamlines of each bundle'
            raise TractogramError(message)
        return self._disconnection.bundles(self._in_space.bundle_set(found[1]))

    def nulls(
        self,
        n: int = 1000,
        *,
        seed: int = 0,
        inside: float = 0.95,
        within: str = 'brain',
        mirrors: bool = False,
        reference: str | Path | Sequence[str | Path] = (),
        tissues: Sequence[str | Path] = (),
        bundles: str | Path | None = None,
        atlases: Sequence[str | tuple[Any, Any, str]] = (),
        folder: Path | None = None,
        assignment: str = 'radial',
        edge_measure: str = 'count',
    ) -> NullDisconnection:
        """Compare with null lesions: would lesions of the same volume and shape elsewhere disconnect as much?

        Null lesions are drawn from all places in the brain where the lesion fits, in all rotations that keep its grid.

        Parameters
        ----------
        n, seed, inside, within, mirrors, tissues
            See :class:`lacuna.streamlines.null_settings.NullSettings`.
        reference : path or sequence of path
            See :class:`lacuna.streamlines.null_settings.NullSettings`.
        bundles : path, optional
            See `bundles`; by default, those found, if any.
        atlases : sequence
            Atlases whose parcels are also compared, see `parcels`.
        folder, assignment, edge_measure
            See `parcels`.

        Returns
        -------
        lacuna.streamlines.nulls.NullDisconnection

        Raises
        ------
        lacuna.errors.InputError
            If a setting is invalid or an atlas is unknown.
        """
        from lacuna.streamlines.null_lesions import null_lesions
        from lacuna.streamlines.null_settings import NullSettings
        from lacuna.streamlines.nulls import NullDisconnection, Targets

        if isinstance(atlases, str):
            message = f"atlases={atlases!r} is one name; give a list: ['{atlases}']"
            raise InputError(message)
        references = [reference] if isinstance(reference, str | Path) else reference
        settings = NullSettings(
            n=n,
            seed=seed,
            inside=inside,
            within=within,
            mirrors=mirrors,
            reference=tuple(Path(path).expanduser() for path in references),
            tissues=tuple(Path(path).expanduser() for path in tissues),
        )
        tractogram, placed = self.tractogram, self._in_space
        named = tractogram.bundles(bundles)
        connections, networks = {}, {}
        for each in atlases:
            atlas = _find_atlas(each, self.space, folder)
            connections[atlas.name] = placed.connections(
                atlas, assignment=assignment, edge_measure=edge_measure
            )
            networks[atlas.name] = placed.parcellation(atlas).networks
        bundle_set = placed.bundle_set(named[1]) if named else None
        lesions = null_lesions(self._mask, self.space, settings, workers=tractogram.nprocs)
        return NullDisconnection(
            placed.index(),
            lesions,
            Targets(bundle_set, connections, networks),
            tractogram.nprocs,
            tractogram.weighting,
            placed.full_density(),
        )

    def plot(self, kind: str = 'glass_brain', **options: Any) -> Any:
        """Draw the map with nilearn.

        Parameters
        ----------
        kind : str
            ``glass_brain``: projections onto three planes; ``stat_map``: slices of a brain.
        **options
            Options of nilearn's ``plot_glass_brain`` or ``plot_stat_map``; they override the defaults set here.

        Returns
        -------
        nilearn display
            Save it with its method ``savefig``. None if `output_file` is among the options.

        Raises
        ------
        ValueError
            If `kind` is something else.
        """
        if kind not in ('glass_brain', 'stat_map'):
            message = f"a map is plotted as 'glass_brain' or 'stat_map', not as {kind!r}"
            raise ValueError(message)
        from nilearn import plotting

        chosen = {
            'colorbar': True,
            'cbar_tick_format': '%.0f',
            'cmap': 'plasma_r',
            'vmin': 0,
            'vmax': 100,
            'threshold': 1e-6,
            'black_bg': False,
        }
        if kind == 'glass_brain':
            return plotting.plot_glass_brain(self.map, **{**chosen, 'plot_abs': False, **options})
        return plotting.plot_stat_map(self.map, **{**chosen, 'draw_cross': False, **options})

    @property
    def _in_space(self) -> TractogramInSpace:
        return self.tractogram.in_space(self.space)

    @cached_property
    def _disconnection(self) -> Disconnection:
        placed = self._in_space
        return Disconnection(
            placed.index(),
            self._mask,
            self.warnings,
            self.tractogram.weighting,
            placed.full_density(),
            placed.full_density(counts=True),
            self._min_support,
        )


def _check_mask(
    tractogram: Tractogram, given: Any, space: str | None, mask_scale: float | None
) -> tuple[Mask, str, str, list[str]]:
    """Return the mask, name, space and warnings of a lesion, checked as in a run."""
    path = mask_source(given)
    stated = stated_spaces(path) if path.is_file() else []
    try:
        settled = settle_space([(space, 'space'), *stated]) or Settled(
            tractogram.space, 'the tractogram', None
        )
    except InputError as error:
        message = f'{path}: {error}'
        raise MaskError(message) from error
    seen = inspect_mask(given, settled.space, space_from=settled.source, mask_scale=mask_scale)
    if seen.mask is None or seen.failure:
        raise MaskError(seen.failure)
    mask, doubts = seen.mask.unpack(), [*seen.doubts]
    if settled.contradiction:
        doubts.append(settled.contradiction)
    noted = [f'{path}: {doubt}' for doubt in doubts]
    if misplaced := tractogram_doubt(tractogram.info.brain_pct):
        doubts.append(misplaced)
        noted.append(f'{tractogram.path}: {misplaced}')
    if tractogram.contradiction:
        noted.append(f'{tractogram.contradiction}: {tractogram.space} is used')
    for text in noted:
        warnings.warn(text, UserWarning, stacklevel=4)
    return mask, path.name.split('.')[0], settled.space, doubts


def _find_atlas(atlas: str | tuple[Any, Any, str], space: str, folder: Path | None) -> Atlas:
    if isinstance(atlas, str):
        return find_atlases([atlas], space, folder=folder)[0]
    try:
        image, labels, atlas_space = atlas
    except (TypeError, ValueError):
        message = f'an atlas is a name, or an image, its label table and its space, not {atlas!r}'
        raise InputError(message) from None
    return custom_atlas('custom', image, labels, atlas_space)
