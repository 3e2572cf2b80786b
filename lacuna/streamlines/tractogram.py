"""A tractogram, with its space and checksum, and the lesions computed from it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.errors import InputError, TractogramError
from lacuna.images.spaces import Settled, settle_space, space_in_name, standard_grid, world_space
from lacuna.images.transforms import find_transform_of_points
from lacuna.measures import MIN_SUPPORT
from lacuna.streamlines.files import tck
from lacuna.streamlines.files.formats import bundle_table, convert, extension, without_extension
from lacuna.streamlines.files.joined import join, tractograms_in
from lacuna.streamlines.inspection import checksum, checksum_of_all, inspect
from lacuna.streamlines.length_limits import check_length_limits, length_limits
from lacuna.streamlines.placed import TractogramInSpace
from lacuna.streamlines.weighting import VERSION, Weighting, read_weights, weights_sha256
from lacuna.utils.cache import cache_dir, cached, digest
from lacuna.utils.files import missing_target, read_sidecar, replacing
from lacuna.utils.processes import processors
from lacuna.utils.progress import reading

if TYPE_CHECKING:
    from lacuna.explorer.notebook import Explorer
    from lacuna.streamlines.bundles import Groups, NamedBundles
    from lacuna.streamlines.lesion import Lesion

_LONGEST_LABEL = 80


class Tractogram:
    """A normative tractogram, in which lesions are mapped.

    The file is read and validated once, on creation. The streamline index, which lesions are computed from, is found or
    built when first needed. Both are cached for later sessions and for ``lacuna run``; an index beside the tractogram
    (from ``lacuna index --beside``) is used if there is one.

    Parameters
    ----------
    path : path
        A ``.tck``; a ``.trk``, ``.trk.gz`` or ``.trx``, which is converted once and cached; or a folder of such files,
        one per bundle, which are joined once.
    space : str, optional
        Standard space of the coordinates; by default from the sidecar (``.json``) beside the file, or the file's name.
    resolution : int
        Voxel size of the maps in mm: 1 or 2.
    upsample : int, optional
        Points per step of a streamline for the maps; by default MRtrix3's rule.
    nprocs : int
        Number of processors; -1 for all.
    cache : path, optional
        Cache folder; by default ``LACUNA_CACHE_DIR``, else one in the user's cache folder.
    progress : bool
        Whether to show progress bars (on terminals only) while the file is read, moved and indexed.
    weights : path, optional
        Text file with one weight per streamline, such as those of ``tcksift2``, or the name of per-streamline values in
        a ``.trx``; by default, every streamline counts 1.
    min_length, max_length : float, optional
        Use only streamlines of these lengths, in mm in the space of the tractogram, as ``tckedit`` would.

    Attributes
    ----------
    path : pathlib.Path
        The file, as passed.
    tracks : pathlib.Path
        The ``.tck``: the file itself, or the converted copy.
    space : str
        Standard space of the coordinates.
    info : lacuna.streamlines.files.tck.TractogramInfo
        Number of streamlines, spacing of the vertices and more, of `tracks`.
    sha256 : str
        Checksum of `path`; of a folder, of the names and contents of its tractograms.
    contradiction : str or None
        How option, sidecar and name disagree about the space, if they do.

    Raises
    ------
    lacuna.errors.TractogramError
        If the file is missing, damaged, or has no streamlines.
    lacuna.errors.InputError
        If the space is unknown or not supported, or the resolution or the weights are invalid.

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
        self.path = Path(path).expanduser().absolute()
        if not self.path.exists():
            link = missing_target(self.path)
            message = f'the tractogram {self.path} {link}' if link else f'no tractogram {self.path}'
            raise TractogramError(message)
        parts = tractograms_in(self.path) if self.path.is_dir() else {}
        kind = 'folder' if parts else extension(self.path)
        self.space, _, self.contradiction = _settle_space(self.path, space)
        standard_grid(self.space, resolution)  # raises for other resolutions
        self.resolution, self.upsample = resolution, upsample
        self.nprocs, self.progress = processors(nprocs), progress
        self.cache = Path(cache).expanduser().absolute() if cache else cache_dir()
        with reading('reading the tractogram', self.path, show=self.progress) as advance:
            if kind == '.tck':
                self.tracks = self.path
                self.info = inspect(self.path, self.cache, advance)
                self.sha256 = self.info.sha256
            else:
                self.sha256 = checksum_of_all(parts, self.cache) if parts else checksum(self.path, self.cache)
                self.tracks = self.cache / 'converted' / f'{self.sha256[:32]}.tck'

                def make() -> None:
                    with self.unchanged(self.tracks):
                        if parts:
                            join(parts, self.tracks, advance)
                        else:
                            convert(self.path, self.tracks, bundles={}, overwrite=True, progress=advance)

                cached(self.tracks, make, *([bundle_table(self.tracks)] if parts else []))
                self.info = inspect(self.tracks, self.cache, None)
        check_length_limits(min_length, max_length)
        self.min_length, self.max_length = min_length, max_length
        #: the weights, as passed
        self.weights_source = weights
        #: (streamlines,) float32, or None
        self.weights = None if weights is None else read_weights(weights, self.path, self.info.count)
        self._in_spaces: dict[str, TractogramInSpace] = {}
        self._check_kept()

    def _check_kept(self) -> None:
        """Raise TractogramError if no streamline is within the length limits, or none of these has a weight."""
        if not self.is_limited:
            return
        lengths, kept = self.weighting.known_lengths, self.weighting.ids
        if kept is None or (len(kept) if self.weights is None else self.weights[kept].any()):
            return
        limits = ' and '.join(
            f'{name} {limit:g}'
            for name, limit in (('--min-length', self.min_length), ('--max-length', self.max_length))
            if limit is not None
        )
        message = (
            f'{self.path}: no streamline is left by {limits}{"" if self.weights is None else " and the weights"}; '
            f'the streamlines are {np.nanmin(lengths):.1f} to {np.nanmax(lengths):.1f} mm long'
        )
        raise TractogramError(message)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without open files and computed tables; the other process opens its own."""
        state = {name: value for name, value in self.__dict__.items() if name != 'weighting'}
        return {**state, '_in_spaces': {}}

    def __repr__(self) -> str:
        return f'<Tractogram {self.name}: {self.streamlines_total} streamlines in {self.space}>'

    def check_unchanged(self) -> None:
        """Raise TractogramError if the tractogram is no longer the one that was opened."""
        try:
            parts = tractograms_in(self.path) if self.path.is_dir() else {}
            found = checksum_of_all(parts, self.cache) if parts else checksum(self.path, self.cache)
        except FileNotFoundError:
            found = ''
        if found != self.sha256:
            message = f'{self.path} has changed since it was opened; run again'
            raise TractogramError(message)

    @contextmanager
    def unchanged(self, *made: Path) -> Iterator[None]:
        """Remove the files made from the tractogram in the block, and raise TractogramError, if it has changed."""
        try:
            yield
        finally:
            try:
                self.check_unchanged()
            except TractogramError:
                for path in made:
                    path.unlink(missing_ok=True)
                raise

    @property
    def name(self) -> str:
        """Name of the file without its extension."""
        return _stem(self.path).name

    @property
    def label(self) -> str:
        """The name as a BIDS label, with letters and digits only, short enough for file names."""
        label = tractogram_label(self.path)
        return label if len(label) <= _LONGEST_LABEL else label[:_LONGEST_LABEL] + self.sha256[:8]

    @property
    def streamlines_total(self) -> int:
        """Number of streamlines within the length limits."""
        return self.info.count if self._limits is None else self.weighting.count(self.info.count)

    @cached_property
    def weighting(self) -> Weighting:
        """Weights and lengths of the streamlines, and which of them are within the length limits."""
        from lacuna.streamlines.lengths import measure_lengths

        path = self.cache / 'lengths' / f'{digest([VERSION, self.info.sha256])}.npy'

        def make() -> None:
            with reading('measuring the streamlines', self.tracks, show=self.progress) as advance:
                lengths = measure_lengths(self.tracks, advance)
            with self.unchanged(path), replacing(path) as temporary:
                np.save(temporary, lengths)

        cached(path, make)
        return Weighting.within(np.load(path, allow_pickle=False), self.weights, self._limits)

    def weighting_path(self) -> Path:
        """Return the file of `weighting`, for other processes; it is written if missing."""
        path = self.cache / 'lengths' / f'{digest([self.weighting_key, self.info.sha256])}.npz'
        cached(path, lambda: self.weighting.save(path))
        return path

    @cached_property
    def weights_sha256(self) -> str | None:
        """Checksum of the weights; None if there are none."""
        return None if self.weights is None else weights_sha256(self.weights)

    @property
    def weighting_key(self) -> list[Any]:
        """Values that identify the weights and length limits, for cache keys."""
        return [VERSION, self.weights_sha256, self._limits]

    @property
    def counting_key(self) -> list[Any]:
        """Values that identify the length limits alone, for cache keys of counts."""
        return [VERSION, None, self._limits]

    @property
    def is_limited(self) -> bool:
        """Whether only streamlines within length limits are used."""
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

        The mask is checked as in ``lacuna run``: an unusable mask raises an error, a suspicious one a warning. Results
        are computed on first access. If the mask is in another space than the tractogram, the streamlines are moved
        there, once for all lesions.

        Parameters
        ----------
        mask : path or nibabel image
            Lesion mask, (x, y, z), on any grid of a supported space.
        space : str, optional
            Standard space of the mask; by default from its sidecar or name, else that of the tractogram.
        graded_masks : str
            What to do with values between 0 and 1. ``error``: refuse the mask; ``max``: cut each streamline by the
            greatest value along its vertices.
        mask_scale : float
            Divisor of the values of a graded mask.
        min_support : int
            Number of streamlines from which the percentage of a voxel counts as supported, in the summary.

        Returns
        -------
        lacuna.streamlines.lesion.Lesion

        Raises
        ------
        lacuna.errors.MaskError
            If the mask is unusable or outside the brain.
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
        """Open the page of ``lacuna explore`` in a notebook, to draw lesions and see what they disconnect.

        Its server listens on this machine only, in a thread, until the returned object is closed or the process ends.
        The browser has to run on the same machine.

        Parameters
        ----------
        masks : path or iterable of path
            Masks to choose from: files, BIDS datasets or output folders of ``lacuna run``.
        atlases : iterable
            Atlases for the tables of parcels: names, or (image, table, space), as for
            :meth:`lacuna.streamlines.lesion.Lesion.parcels`.
        bundles : path, optional
            See `bundles`; ``none`` for no bundles.
        space : str, optional
            Space of the masks and of the page; by default, that of the tractogram.
        output_dir : path, optional
            Folder that the page may save to; by default, it cannot save.
        height : int
            Height of the page in the notebook, in pixels.

        Returns
        -------
        lacuna.explorer.notebook.Explorer
            With ``address`` and ``close()``; also a context manager.

        Raises
        ------
        lacuna.errors.InputError
            If a file or atlas does not exist, or a setting is invalid.
        """
        from lacuna.explorer.notebook import explore

        return explore(
            self, masks, atlases=atlases, bundles=bundles, space=space, output_dir=output_dir, height=height
        )

    def in_space(self, space: str | None = None) -> TractogramInSpace:
        """Return the tractogram in a standard space; by default, in its own.

        Parameters
        ----------
        space : str, optional
            Standard space; by default, that of the tractogram.

        Returns
        -------
        lacuna.streamlines.placed.TractogramInSpace

        Raises
        ------
        lacuna.errors.InputError
            If the space is not supported, or there is no transform to it.
        """
        space = world_space(space or self.space)
        if space not in self._in_spaces:
            transform = find_transform_of_points(self.space, space)
            self._in_spaces[space] = TractogramInSpace(self, space, transform, self.cache)
        return self._in_spaces[space]

    def bundles(self, source: str | Path | None = None, name: str | None = None) -> tuple[str, Groups] | None:
        """Find the bundles of the tractogram.

        Parameters
        ----------
        source : path, optional
            A table, see :func:`lacuna.streamlines.files.bundle_tables.read_bundles`; or ``groups`` for those stored in
            the tractogram: the groups of a ``.trx``, or the files of a folder. By default, the table ``X_bundles.tsv``
            beside the tractogram if there is one, else the stored ones.
        name : str, optional
            Name of the set of bundles, in lower-case letters and digits; by default, from the name of the table or of
            the tractogram.

        Returns
        -------
        name : str
        groups : lacuna.streamlines.bundles.Groups
            The bundles. The result is None if no source is given and there are no bundles.

        Raises
        ------
        lacuna.errors.TractogramError
            If the table cannot be read, belongs to another tractogram, or the tractogram has no groups.
        lacuna.errors.InputError
            If `name` has other characters.
        """
        found = self.find_bundles(source, name)
        return found[:2] if found else None

    def find_bundles(self, source: str | Path | None = None, name: str | None = None) -> NamedBundles | None:
        """Find the bundles as `bundles` does; also return the table that they were read from."""
        from lacuna.streamlines.bundles import find_bundles

        kept = None if self._limits is None else self.weighting.kept
        return find_bundles(self.path, self.tracks, self.info.count, source, name, kept)


def tractogram_label(path: Path) -> str:
    """Return the name of a file, without its extension, as a BIDS label.

    >>> tractogram_label(Path('dTOR_985.trk.gz'))
    'dTOR985'
    """
    return re.sub('[^0-9A-Za-z]', '', _stem(path).name) or 'tractogram'


def _stem(path: Path) -> Path:
    """Return the path of a tractogram without its extension; of a folder, unchanged."""
    return path if path.is_dir() else without_extension(path)


def _settle_space(path: Path, given: str | None) -> Settled:
    sidecar = _stem(path).with_name(f'{_stem(path).name}.json')
    claims = [
        (given, '--connectome-space'),
        (read_sidecar(sidecar).get('Space'), f"Space in the tractogram's {sidecar.name}"),
        (space_in_name(path), "the tractogram's name"),
    ]
    if settled := settle_space(claims):
        return settled
    message = (
        f'the space of the tractogram {path} is not known: give it with --connectome-space, '
        f'or write {{"Space": "MNI152NLin6Asym"}} (or another space) to {sidecar.name} beside it'
    )
    raise InputError(message)
