"""The atlases and bundles of a run: find, read and check them, and list the outputs made from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lacuna.bids.outputs import BASIC_TARGETS, SAMPLE, Target
from lacuna.errors import InputError
from lacuna.execution.config import NO_BUNDLES, RunConfig
from lacuna.images.atlases import (
    Atlas,
    Parcellation,
    check_networks,
    custom_atlas,
    fetch,
    find_atlases,
    read_parcellation,
)
from lacuna.images.load import is_probability_atlas, read_probabilities
from lacuna.images.regions import VERSION, read_identity, save_regions
from lacuna.streamlines.bundles import NamedBundles
from lacuna.streamlines.files.bundle_tables import write_bundles
from lacuna.streamlines.inspection import checksum
from lacuna.streamlines.tractogram import Tractogram
from lacuna.utils.cache import cached, digest

#: outputs of each atlas, by the setting that enables them
_OF_PARCELS = {
    'compute_disconnectivity_matrix': (
        'disconnection_matrix', 'mask_matrix', 'intact_matrix', 'full_matrix', 'matrix_statistics',
    ),
    'compute_roi_disconnection': ('roi_disconnection', 'parcel_support'),
    'lesion_load': ('lesion_load',),
    'compute_networks': ('network_disconnection', 'network_matrix'),
    'compute_higher_order': (
        'delta_sspl', 'indirect_disconnection', 'parcel_delta_sspl', 'higher_order_statistics',
    ),
    'compute_mean_lengths': ('mean_length_matrix', 'mean_length_cut_matrix', 'mean_length_spared_matrix'),
}  # fmt: skip
#: outputs of each atlas with null lesions, by the setting that enables them
_NULLS_OF_PARCELS = {
    'compute_disconnectivity_matrix': ('null_matrix', 'expected_matrix'),
    'compute_roi_disconnection': ('null_parcels',),
    'compute_networks': ('null_networks',),
}
_NULLS = ('null_percentile', 'null_z', 'null_statistics')
_OF_PROBABILITIES = ('lesion_load', 'lesion_probability')


@dataclass(frozen=True)
class ProbabilityAtlas:
    """A probability atlas that has been read.

    Attributes
    ----------
    atlas : lacuna.images.atlases.Atlas
    names : tuple of str
        Names of the regions.
    sha256 : str
        Checksum of the content.
    path : pathlib.Path
        File written by :func:`lacuna.images.regions.save_regions`, in the cache.
    """

    atlas: Atlas
    names: tuple[str, ...]
    sha256: str
    path: Path


@dataclass(frozen=True)
class RunAtlases:
    """The atlases of a run for the masks of one space.

    Attributes
    ----------
    parcellations : tuple of lacuna.images.atlases.Parcellation
    probabilities : tuple of ProbabilityAtlas
    """

    parcellations: tuple[Parcellation, ...] = ()
    probabilities: tuple[ProbabilityAtlas, ...] = ()

    @property
    def all(self) -> tuple[Parcellation | ProbabilityAtlas, ...]:
        """All atlases of both kinds."""
        return (*self.parcellations, *self.probabilities)


def named_atlases(config: RunConfig, space: str) -> list[Atlas]:
    """Find the atlases in the settings, without reading them.

    Raises
    ------
    InputError
        If an atlas does not exist.
    """
    if not (config.parcel_atlases or config.custom_parcellations):
        return []
    custom = [custom_atlas(*words) for words in config.custom_parcellations]
    return find_atlases(config.parcel_atlases, space, custom=custom, folder=config.atlas_dir)


def read_atlases(config: RunConfig, space: str, cache: Path) -> RunAtlases:
    """Read and check the atlases in the settings.

    Raises
    ------
    InputError
        If an atlas is unreadable; a probability atlas is in another space than the masks, or used for anything but
        lesion load; or networks are requested from an atlas without.
    """
    parcellations, probabilities = [], []
    for atlas in map(fetch, named_atlases(config, space)):
        if is_probability_atlas(atlas.image):
            _check_probability_atlas(atlas, config, space)
            probabilities.append(_read_probability_atlas(atlas, cache))
            continue
        parcellations.append(read_parcellation(atlas))
        if config.compute_networks:
            try:
                check_networks(parcellations[-1].networks)
            except InputError as error:
                message = f'the atlas {atlas.name} ({atlas.labels}): {error}; remove --compute-networks'
                raise InputError(message) from error
    return RunAtlases(tuple(parcellations), tuple(probabilities))


def _check_probability_atlas(atlas: Atlas, config: RunConfig, space: str) -> None:
    about = f'{atlas.image} is a probability atlas (4D)'
    if asked := config.of_connections:
        options = ', '.join(f'--{name.replace("_", "-")}' for name in asked)
        message = f'{about}, for --lesion-load only; remove {options}, or run it separately'
        raise InputError(message)
    if atlas.space != space:
        message = (
            f'{about} in {atlas.space}, which is not resampled: give one in {space}, the space of the masks'
        )
        raise InputError(message)


def _read_probability_atlas(atlas: Atlas, cache: Path) -> ProbabilityAtlas:
    """Read a probability atlas through the cache: its volumes take seconds and much memory."""
    files = atlas.image, atlas.labels
    checksums = [checksum(each, cache) for each in files]
    path = cache / 'regions' / f'{digest([VERSION, *checksums])}.npz'

    def make() -> None:
        regions = read_probabilities(atlas)
        if checksums != [checksum(each, cache) for each in files]:
            message = f'the atlas {atlas.image} or {atlas.labels} changed while it was read; run again'
            raise InputError(message)
        save_regions(regions, path)

    cached(path, make)
    with np.load(path, allow_pickle=False) as content:
        return ProbabilityAtlas(atlas, *read_identity(content), path)


def read_bundles_of(config: RunConfig, tractogram: Tractogram) -> NamedBundles | None:
    """Read the bundles in the settings, or those of the tractogram if there are any.

    Raises
    ------
    lacuna.errors.TractogramError
        If they are unreadable, or belong to another tractogram.
    InputError
        If they have the same name as an atlas.
    """
    source, name = (*config.bundles, None, None)[:2]
    if source == NO_BUNDLES:
        return None
    return tractogram.find_bundles(source, name)


def bundle_table(bundles: NamedBundles, cache: Path) -> Path:
    """Return the table of the bundles; bundles stored in the tractogram are written to the cache."""
    groups = bundles.groups
    path = cache / 'bundles' / f'{groups.sha256[:32]}.tsv'
    cached(path, lambda: write_bundles(path, {name: groups[row] for row, name in enumerate(groups.names)}))
    return path


def check_bundles_name(bundles: NamedBundles | None, atlases: RunAtlases) -> None:
    """Raise an error if bundles have the name of an atlas: both are values of the same entity.

    Raises
    ------
    InputError
    """
    if bundles and bundles.name in {each.atlas.name for each in atlases.all}:
        message = f'the bundles and an atlas are both named {bundles.name}; name the bundles with --bundles SOURCE NAME'
        raise InputError(message)


def wanted_targets(config: RunConfig, atlases: RunAtlases, bundles: NamedBundles | None) -> list[Target]:
    """Return all outputs of a mask."""
    nulls = bool(config.null_lesions)
    asked = [_OF_PARCELS, *([_NULLS_OF_PARCELS] if nulls else [])]
    keys = [
        key for each in asked for setting, made in each.items() if getattr(config, setting) for key in made
    ]
    return [
        *BASIC_TARGETS,
        *([SAMPLE] if config.report == 'full' else []),
        *(Target(key, bundles.name) for key in _of_bundles(config) if bundles),
        *([Target(key) for key in _NULLS] if nulls else []),
        *(Target(key, each.atlas.name) for each in atlases.parcellations for key in keys),
        *(Target(key, each.atlas.name) for each in atlases.probabilities for key in _OF_PROBABILITIES),
    ]


def _of_bundles(config: RunConfig) -> tuple[str, ...]:
    sample = ('sample_bundles',) if config.report == 'full' else ()
    return ('bundle_disconnection', *sample, *(('null_bundles',) if config.null_lesions else ()))
