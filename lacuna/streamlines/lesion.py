"""What one lesion disconnects, in Python: the numbers of a run, without files."""

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
    from lacuna.streamlines.tractogram import Tractogram
    from lacuna.streamlines.weighting import Cut


class Lesion:
    """What a lesion disconnects in a tractogram, from `Tractogram.disconnect <lacuna.streamlines.tractogram.Tractogram.disconnect>`.

    Each value is computed on first access, and kept. The values are those that ``lacuna run snm`` writes to files.

    Parameters
    ----------
    tractogram : lacuna.Tractogram
    mask : path or nibabel image
        Lesion mask.
    space : str, optional
        Its standard space.
    mask_scale : float, optional
        What its values are divided by if it is graded; by default, graded masks are refused.
    min_support : int
        Streamlines that a voxel needs for its percentage to be supported, for the summary.

    Attributes
    ----------
    tractogram : lacuna.Tractogram
    name : str
        Name of the mask's file; ``image`` for a mask that was not read from a file.
    space : str
        The supported space of the mask and of all results.
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
        self._mask, self.name, self.space, self.warnings = _checked(tractogram, mask, space, mask_scale)
        tractogram.in_space(self.space)  # raises if a transform is needed and missing

    def __repr__(self) -> str:
        return f'<Lesion {self.name} in {self.space}, of the tractogram {self.tractogram.name}>'

    @property
    def mask(self) -> Any:
        """The mask on its own grid (nibabel image), 0 and 1 (uint8), or from 0 to 1 (float32) if it is graded."""
        return self._found.mask

    @property
    def streamlines(self) -> np.ndarray:
        """Numbers of the streamlines with a vertex in the mask, from 0, ascending; (n,) uint32."""
        return self._found.streamlines

    @property
    def cut(self) -> Cut:
        """These streamlines, and how much each counts, its weight times how strongly a graded mask cuts it."""
        return self._found.cut

    @property
    def density(self) -> Any:
        """Number of the streamlines cut that visit each voxel (nibabel image, uint32), or float64 sums of weights."""
        return self._found.density

    @property
    def map(self) -> Any:
        """Percent of each voxel's streamlines that the lesion cuts, 0 to 100 (nibabel image, float32).

        On the standard grid of the space; 0 where the tractogram has no streamline.
        """
        return self._found.map

    @property
    def summary(self) -> dict[str, Any]:
        """The content of the statistics file of a run, such as ``mask_volume_mm3`` and ``streamlines_disconnected``."""
        return self._found.summary

    def sample(self, count: int) -> list[np.ndarray]:
        """Return at most `count` of the streamlines cut, evenly spread over their order in the tractogram.

        Returns
        -------
        list of numpy.ndarray
            Each (vertices, 3) float32, mm in world coordinates (RAS+) of the lesion's space.

        Raises
        ------
        lacuna.errors.StreamlineIndexError
            If the tractogram has changed since it was opened.
        """
        return self._found.sample(count)

    def parcels(
        self,
        atlas: str | tuple[Any, Any, str],
        *,
        folder: Path | None = None,
        assignment: str = 'radial',
        edge_measure: str = 'count',
    ) -> ParcelDisconnection:
        """What the lesion does to the parcels of an atlas, and to the connections between them.

        The parcels at the ends of all streamlines are found once for a tractogram and an atlas, and kept in the cache.

        Parameters
        ----------
        atlas : str or (path, path, str)
            Name of an atlas of TemplateFlow or of `folder` (``lacuna info atlases`` lists them), or label image,
            label table and standard space of your own atlas.
        folder : pathlib.Path, optional
            A folder of atlases with BIDS names, searched before TemplateFlow.
        assignment : str
            Which parcel the end of a streamline belongs to. ``radial``: the nearest within 4 mm; ``end-voxels``: that
            of its voxel.
        edge_measure : str
            What is summed for a pair of parcels: ``count``, ``invlength`` or ``invnodevol``, see
            :class:`lacuna.streamlines.connections.Connections`.

        Returns
        -------
        lacuna.streamlines.disconnection.ParcelDisconnection

        Raises
        ------
        lacuna.errors.InputError
            If there is no such atlas, rule or measure, or the atlas's image and its names do not fit.
        """
        found = _found_atlas(atlas, self.space, folder)
        whole = self.tractogram.connections(
            found, self.space, assignment=assignment, edge_measure=edge_measure
        )
        return self._found.parcels(whole, lambda: self.tractogram.parcellation(found, self.space))

    def bundles(self, source: str | Path | Groups | None = None) -> BundleDisconnection:
        """What the lesion cuts of each bundle of the tractogram.

        Parameters
        ----------
        source : path or Groups, optional
            Table of the bundles, or ``groups`` for those in the tractogram itself; by default, those found beside it
            or in it, see :meth:`lacuna.streamlines.tractogram.Tractogram.bundles`. Those that it has returned can be
            given for many lesions, and are not read again.

        Returns
        -------
        lacuna.streamlines.bundles.BundleDisconnection

        Raises
        ------
        lacuna.errors.TractogramError
            If there are no bundles, or they are not of this tractogram.
        """
        from lacuna.streamlines.bundles import Groups

        found = ('', source) if isinstance(source, Groups) else self.tractogram.bundles(source)
        if found is None:
            message = f'{self.tractogram.path}: the bundles are unknown; give a table of the streamlines of each bundle'
            raise TractogramError(message)
        return self._found.bundles(self.tractogram.bundle_set(found[1], self.space))

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
        """Ask whether lesions of the same volume and shape would disconnect as much elsewhere.

        The null lesions are drawn from all places in the brain where the lesion fits, in all turns that keep its grid.

        Parameters
        ----------
        n, seed, inside, within, mirrors, tissues
            See :class:`lacuna.streamlines.null_settings.NullSettings`.
        reference : path or sequence of path
            See there.
        bundles : path, optional
            See `bundles`; by default, those that are found, if any.
        atlases : sequence
            Atlases whose parcels are looked at too, see `parcels`.
        folder, assignment, edge_measure
            See `parcels`.

        Returns
        -------
        lacuna.streamlines.nulls.NullDisconnection

        Raises
        ------
        lacuna.errors.InputError
            If a setting is not valid, or there is no such atlas.
        """
        from lacuna.streamlines.null_lesions import null_lesions
        from lacuna.streamlines.null_settings import NullSettings
        from lacuna.streamlines.nulls import NullDisconnection, Targets

        one = isinstance(reference, str | Path)
        settings = NullSettings(
            n=n,
            seed=seed,
            inside=inside,
            within=within,
            mirrors=mirrors,
            reference=tuple(map(Path, [reference] if one else reference)),  # type: ignore[arg-type]
            tissues=tuple(map(Path, tissues)),
        )
        tractogram = self.tractogram
        found = tractogram.bundles(bundles)
        connections, networks = {}, {}
        for each in atlases:
            atlas = _found_atlas(each, self.space, folder)
            connections[atlas.name] = tractogram.connections(
                atlas, self.space, assignment=assignment, edge_measure=edge_measure
            )
            networks[atlas.name] = tractogram.parcellation(atlas, self.space).networks
        known = tractogram.bundle_set(found[1], self.space) if found else None
        lesions = null_lesions(self._mask, self.space, settings, workers=tractogram.nprocs)
        return NullDisconnection(
            tractogram.index(self.space),
            lesions,
            Targets(known, connections, networks),
            tractogram.nprocs,
            tractogram.weighting,
            tractogram.full_density(self.space),
        )

    def plot(self, kind: str = 'glass_brain', **options: Any) -> Any:
        """Draw the map with nilearn.

        Parameters
        ----------
        kind : str
            ``glass_brain``: a glass brain from three sides; ``stat_map``: slices of a brain.
        **options
            Options of nilearn's ``plot_glass_brain`` or ``plot_stat_map``, overriding those chosen here.

        Returns
        -------
        nilearn display
            Its method ``savefig`` writes a picture. None if `output_file` is among the options.

        Raises
        ------
        ValueError
            If `kind` is neither of these.
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

    @cached_property
    def _found(self) -> Disconnection:
        space = self.space
        return Disconnection(
            self.tractogram.index(space),
            self._mask,
            self.warnings,
            self.tractogram.weighting,
            self.tractogram.full_density(space),
            self.tractogram.full_density(space, counts=True),
            self._min_support,
        )


def _checked(
    tractogram: Tractogram, given: Any, space: str | None, mask_scale: float | None
) -> tuple[Mask, str, str, list[str]]:
    """Return mask, name, space and warnings of a lesion, checked as in a run."""
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
    for doubt in doubts:
        warnings.warn(f'{path}: {doubt}', UserWarning, stacklevel=4)
    if misplaced := tractogram_doubt(tractogram.info.brain_pct):
        doubts.append(misplaced)
    return mask, path.name.split('.')[0], settled.space, doubts


def _found_atlas(atlas: str | tuple[Any, Any, str], space: str, folder: Path | None) -> Atlas:
    if isinstance(atlas, str):
        return find_atlases([atlas], space, folder=folder)[0]
    image, labels, atlas_space = atlas
    return custom_atlas('custom', image, labels, atlas_space)
