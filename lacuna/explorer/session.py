"""Answers to the page of ``lacuna explore``: the disconnection by a lesion, computed as in a run."""

from __future__ import annotations

import dataclasses
import math
import re
import tempfile
import threading
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.errors import InputError, MaskError
from lacuna.explorer.grid import PageGrid, centre_of
from lacuna.explorer.masks import ListedMask
from lacuna.images.mask_values import NOT_BINARY
from lacuna.images.nifti import make, voxels
from lacuna.images.spaces import settle_space, stated_spaces, world_space
from lacuna.reports.figures.viewer import nifti_text, percent_halves

if TYPE_CHECKING:
    from lacuna.execution.config import RunConfig
    from lacuna.streamlines.lesion import Lesion
    from lacuna.streamlines.tractogram import Tractogram

#: number of streamlines drawn of a lesion, and of a bundle
SAMPLE = 400
_BUNDLE_SAMPLE = 150
#: radius in mm of a sphere that is queried before the page opens, to load compiled code
_FIRST = 6.0
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Regions:
    """Bundles, or the parcels of an atlas: rows of a table.

    Attributes
    ----------
    name : str
        Name of the set of bundles or of the atlas.
    names : list of str
    centres : list of list of float
        World coordinates (mm, RAS+) of a voxel of each, nearest to its mean position; None for one without voxels.
    source : str, tuple or lacuna.streamlines.bundles.Groups
        Argument for :meth:`lacuna.Lesion.parcels` or :meth:`lacuna.Lesion.bundles`.
    """

    name: str
    names: list[str]
    centres: list[list[float] | None]
    source: Any


class Session:
    """A tractogram with settings, which answers the page's requests.

    Parameters
    ----------
    config : lacuna.execution.config.RunConfig
        Settings of a run with the same results. `source` is replaced by each mask; masks and results are saved to
        `output_dir`.
    listed : iterable of ListedMask
        Masks to select from.
    saving : bool
        Whether files may be written.
    tractogram : lacuna.Tractogram, optional
        The tractogram in the settings, if already open.
    """

    def __init__(
        self,
        config: RunConfig,
        listed: Iterable[ListedMask] = (),
        *,
        saving: bool = False,
        tractogram: Tractogram | None = None,
    ) -> None:
        from lacuna.streamlines.tractogram import Tractogram

        self.config, self.listed, self.saving = config, list(listed), saving
        self.tractogram: Tractogram = tractogram or Tractogram(
            config.connectome_path,
            config.connectome_space,
            resolution=config.output_resolution,
            upsample=config.tck_upsample,
            nprocs=config.nprocs,
            progress=True,
            weights=config.connectome_weights,
            min_length=config.min_length,
            max_length=config.max_length,
        )
        self.space = world_space(config.mask_space or self.tractogram.space)
        self.placed = self.tractogram.in_space(self.space)
        self.page = PageGrid.of(self.placed.grid())
        self.shape, self.affine = self.page.shape, self.page.affine
        # neither compiled code nor the library that checks masks is thread-safe
        self._one = threading.Lock()

    def warm_up(self) -> None:
        """Load or compute everything that answers need, so that the first is as fast as the others."""
        self.placed.index()
        self.describe(self.drawn(self._ball()))

    @cached_property
    def bundles(self) -> Regions | None:
        """The bundles, if there are any."""
        from lacuna.execution.regions import read_bundles_of

        found = read_bundles_of(self.config, self.tractogram)
        if found is None:
            return None
        visits = self.placed.bundle_set(found.groups).known.visits
        rows = np.repeat(visits.voxels, np.diff(visits.starts))
        order = np.argsort(visits.regions, kind='stable')
        parts = np.split(rows[order], np.searchsorted(visits.regions[order], range(1, len(found.groups))))
        points = (np.stack(np.unravel_index(part, visits.shape), axis=1) for part in parts)
        centres = [centre_of(part, visits.affine) for part in points]
        return Regions(found.name, list(found.groups.names), centres, found.groups)

    @cached_property
    def atlases(self) -> list[Regions]:
        """The atlases in the settings."""
        from lacuna.execution.regions import named_atlases

        custom = {name: tuple(rest) for name, *rest in self.config.custom_parcellations}
        found = []
        for atlas in named_atlases(self.config, self.space):
            parcels = self.placed.parcellation(atlas)
            where = np.argwhere(parcels.index)
            numbers = parcels.index[tuple(where.T)]
            order = np.argsort(numbers, kind='stable')
            ends = np.searchsorted(numbers[order], range(1, len(parcels.names) + 2))
            centres = [centre_of(where[order[first:end]], parcels.affine) for first, end in pairwise(ends)]
            found.append(
                Regions(atlas.name, list(parcels.names), centres, custom.get(atlas.name, atlas.name))
            )
        return found

    def about(self) -> dict[str, Any]:
        """Return what the page needs before its first request."""
        return {
            'tractogram': self.tractogram.name,
            'streamlines': self.tractogram.streamlines_total,
            'space': self.space,
            'shape': self.shape,
            'affine': self.affine.tolist(),
            'emptyMap': nifti_text(np.zeros(self.shape, np.uint8), self.affine, 0.5),
            'bundles': _shown(self.bundles),
            'atlases': [_shown(each) for each in self.atlases],
            'masks': [each.name for each in self.listed],
            'saving': str(self.config.output_dir) if self.saving else None,
            'command': self.command(Path('MASK')),
        }

    def command(self, mask: Path, output_dir: Path | None = None, binarize: float | None = None) -> str:
        """Return the command that computes the same for a mask."""
        target = output_dir or (self.results if self.saving else Path('OUTPUT_DIR'))
        return dataclasses.replace(
            self.config, source=mask, output_dir=target, binarize=binarize
        ).command_line()

    def drawn(self, content: bytes | np.ndarray, first: int = 0) -> Lesion:
        """Create a lesion from a drawing: one byte per voxel of `shape`, first axis fastest; 0 outside.

        Parameters
        ----------
        content : bytes or numpy.ndarray of uint8
            Voxels from index `first` on; the others are 0.

        Raises
        ------
        lacuna.errors.MaskError
            If there are more values than voxels of the page, or the mask is outside the brain.
        """
        marks, count = np.frombuffer(content, np.uint8), math.prod(self.shape)
        if not 0 <= first <= count - marks.size:
            message = f'a drawing has {count} voxels, not {marks.size} from {first} on'
            raise MaskError(message)
        flat = np.zeros(count, np.uint8)
        flat[first : first + marks.size] = marks > 0
        return self._disconnect(make(flat.reshape(self.shape, order='F'), self.affine), self.space)

    def dropped(self, name: str, content: bytes) -> Lesion:
        """Create a lesion from the content of a NIfTI file.

        Raises
        ------
        lacuna.errors.LacunaError
            If the mask is unusable, as in a run.
        """
        with tempfile.TemporaryDirectory(prefix='lacuna-explore-') as folder:
            # keep the name as far as possible, because it may state the space of the mask
            safe = re.sub(r'[^A-Za-z0-9_.-]', '_', name).lstrip('.')
            path = Path(folder, safe[-_LONGEST_NAME:] or 'mask.nii.gz')
            path.write_bytes(content)
            try:
                return self._disconnect(path, self.config.mask_space)
            except MaskError as error:
                raise MaskError(str(error).replace(f'{folder}/', '')) from error

    def chosen(self, row: int) -> Lesion:
        """Return the lesion of a listed mask.

        Raises
        ------
        lacuna.errors.LacunaError
            If the mask is unusable, or there is no such row.
        """
        given, space = self._listed(row).read()
        return self._disconnect(given, self.config.mask_space or space)

    def chosen_command(self, row: int) -> str:
        """Return the command for a listed mask."""
        path, binarize = self._listed(row).find()
        return self.command(path, Path('OUTPUT_DIR'), binarize)

    def _listed(self, row: int) -> ListedMask:
        if not 0 <= row < len(self.listed):
            message = f'no mask {row}'
            raise MaskError(message)
        return self.listed[row]

    def _disconnect(self, mask: Any, space: str | None) -> Lesion:
        if isinstance(mask, Path):
            # before a transform is searched for, which may be downloaded
            settled = settle_space([(space, '--mask-space'), *stated_spaces(mask)])
            if settled and settled.space != self.space:
                message = f'{mask.name}: the mask is in {settled.space}, this page in {self.space}; see --mask-space'
                raise MaskError(message)
        with self._one, warnings.catch_warnings():
            warnings.simplefilter('ignore')  # the lesion keeps its warnings, and the page shows them
            try:
                return self.tractogram.disconnect(mask, space)
            except MaskError as error:
                # the page has no such options
                raise MaskError(str(error).replace(NOT_BINARY, 'with lacuna bidsify --binarize T')) from error

    def describe(self, lesion: Lesion) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what the page shows of a lesion.

        Returns
        -------
        numbers : dict
            ``name``, ``warnings``, ``summary`` (see :attr:`lacuna.Lesion.summary`), and, for ``bundles`` and each of
            ``atlases``, the columns ``value`` (percent), ``cut`` and ``total`` (numbers of streamlines).
        arrays : dict of numpy.ndarray
            ``map``: half percent in each voxel of the page, first axis fastest, uint8; ``lengths`` (uint32) and
            ``positions`` (float32, world mm) of a sample of the streamlines cut.

        Raises
        ------
        lacuna.errors.InputError
            If the names of an atlas are no longer those that the page shows.
        """
        with self._one:
            numbers: dict[str, Any] = {
                'name': lesion.name,
                'warnings': lesion.warnings,
                'summary': lesion.summary,
                'bundles': None,
                'atlases': [],
            }
            if self.bundles:
                table = lesion.bundles(self.bundles.source).columns
                numbers['bundles'] = _columns(
                    table['value'], table['streamlines_disconnected'], table['streamlines']
                )
            for atlas in self.atlases:
                parcels = lesion.parcels(
                    atlas.source,
                    folder=self.config.atlas_dir,
                    assignment=self.config.assignment,
                    edge_measure=self.config.edge_measure,
                )
                if parcels.whole.table.names != tuple(atlas.names):  # the page shows those that it began with
                    message = (
                        f'the parcels of the atlas {atlas.name} have changed; start lacuna explore again'
                    )
                    raise InputError(message)
                support = parcels.connections.support
                numbers['atlases'].append(
                    _columns(
                        parcels.connections.roi, support['streamlines_disconnected'], support['streamlines']
                    )
                )
            arrays = {'map': percent_halves(voxels(lesion.map))[self.page.turn].ravel(order='F')}
            arrays |= _lines(lesion.sample(SAMPLE))
        return numbers, arrays

    def on_page(self, lesion: Lesion) -> tuple[np.ndarray, list[float] | None]:
        """Return a lesion's mask on the voxels of the page (uint8, first axis fastest), and a place in its middle."""
        shown = self.page.mask(voxels(lesion.mask), np.asarray(lesion.mask.affine, float))
        return shown.ravel(order='F'), self.page.centre(shown)

    def bundle(self, row: int) -> dict[str, np.ndarray]:
        """Return lengths and positions of a sample of the streamlines of a bundle.

        Raises
        ------
        lacuna.errors.InputError
            If there is no such bundle.
        """
        from lacuna.streamlines.disconnection import read_sample

        if self.bundles is None or not 0 <= row < len(self.bundles.names):
            message = f'no bundle {row}'
            raise InputError(message)
        with self._one:
            members = self.bundles.source[row]
            return _lines(read_sample(self.placed.index(), members, _BUNDLE_SAMPLE))

    @property
    def results(self) -> Path:
        """Folder of saved results, beside the dataset of the masks."""
        return self.config.output_dir / 'derivatives'

    def save(self, lesion: Lesion, subject: str, label: str) -> dict[str, Any]:
        """Write the mask with the name that ``lacuna bidsify`` would give it, and run it.

        Parameters
        ----------
        lesion : lacuna.Lesion
        subject, label : str
            Labels in the name of the mask.

        Returns
        -------
        dict
            ``mask``, ``results``, ``report`` (or None) and ``command``.

        Raises
        ------
        lacuna.errors.LacunaError
            If nothing may be written, a label is invalid, another mask has the name, or the run fails.
        """
        import lacuna
        from lacuna.bids.bidsify import save_mask

        if not self.saving:
            message = 'nothing can be saved: start lacuna explore with --output-dir'
            raise InputError(message)
        path = save_mask(
            lesion.mask, self.config.output_dir / 'masks', subject=subject, space=self.space, label=label
        )
        config = dataclasses.replace(self.config, source=path, output_dir=self.results)
        with self._one:
            outcome = lacuna.run(**config.to_dict())
        if outcome.failures:
            raise MaskError(outcome.failures[0].reason)
        report = self.results / f'sub-{subject}.html'
        return {
            'mask': str(path),
            'results': str(self.results),
            'report': str(report) if report.is_file() else None,
            'command': config.command_line(),
        }

    def _ball(self) -> np.ndarray:
        """Return a ball in the left hemisphere."""
        from nibabel.affines import apply_affine

        points = apply_affine(self.affine, np.indices(self.shape).reshape(3, -1).T)
        inside = ((points - (-26, -10, 16)) ** 2).sum(axis=1) <= _FIRST**2
        return inside.reshape(self.shape).ravel(order='F').view(np.uint8)


def _shown(regions: Regions | None) -> dict[str, Any] | None:
    return {'name': regions.name, 'names': regions.names, 'centres': regions.centres} if regions else None


def _columns(value: np.ndarray, cut: np.ndarray, total: np.ndarray) -> dict[str, list[Any]]:
    """Return columns for JSON, with None for regions without streamlines."""
    percent = [None if np.isnan(each) else each for each in np.asarray(value, float).tolist()]
    return {'value': percent, 'cut': np.asarray(cut).tolist(), 'total': np.asarray(total).tolist()}


def _lines(streamlines: list[np.ndarray]) -> dict[str, np.ndarray]:
    lines = [line for line in streamlines if len(line) > 1]
    positions = np.concatenate([np.empty((0, 3), np.float32), *lines]).astype('<f4').ravel()
    return {'lengths': np.array([len(line) for line in lines], '<u4'), 'positions': positions}
