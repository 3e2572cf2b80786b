"""The content of a run's sidecars and of its dataset description."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import lacuna
from lacuna.bids.description import write_dataset
from lacuna.bids.mask_files import MaskFile
from lacuna.bids.origins import LESIONS, link_name, read_links
from lacuna.bids.outputs import CONNECTOME_KEYS, connectome_path
from lacuna.bids.sidecars import about_output, units_of_sums
from lacuna.execution.config import RunConfig
from lacuna.execution.regions import ProbabilityAtlas
from lacuna.images.atlases import Atlas, Parcellation
from lacuna.images.masks import KnownMask
from lacuna.images.transforms import Transform
from lacuna.streamlines.bundles import NamedBundles
from lacuna.streamlines.tractogram import Tractogram
from lacuna.utils.sidecars import generator


def run_metadata(
    config: RunConfig,
    tractogram: Tractogram,
    space: str,
    *,
    engine_version: str | None,
    movement: Transform | None = None,
) -> dict[str, Any]:
    """Return the common content of a run's sidecars for one space: tractogram, parameters, software.

    `movement` is the transform that moved the streamlines into the space.
    """
    resolution = config.output_resolution
    return {
        'Space': space,
        'SpatialReference': space,
        'Resolution': f'{resolution} mm isotropic, standard grid of {space}',
        'Tractogram': {
            'Name': tractogram.name,
            'Space': tractogram.space,
            'SHA256': tractogram.sha256,
            'StreamlineCount': tractogram.info.count,
            **_weights(config, tractogram),
            'VerticesInsideBrainPercent': tractogram.info.brain_pct,
            **_moved_with(movement),
        },
        'Parameters': {
            'OutputResolution': resolution,
            'TckUpsample': config.tck_upsample or 'automatic',
            'MinSupport': config.min_support,
            **({} if config.binarize is None else {'Binarize': config.binarize}),
            **_grading(config),
            **({} if config.min_length is None else {'MinLength': config.min_length}),
            **({} if config.max_length is None else {'MaxLength': config.max_length}),
        },
        'SoftwareVersions': {
            'Lacuna': lacuna.__version__,
            'Engine': config.engine,
            'MRtrix3': engine_version or 'not used',
        },
    }


def _moved_with(movement: Transform | None) -> dict[str, Any]:
    """Return the field about a transform, if there is one."""
    return {'MovedWith': {'File': movement.path.name, 'SHA256': movement.sha256}} if movement else {}


def _grading(config: RunConfig) -> dict[str, Any]:
    """Return the fields about graded masks, if they are not refused."""
    if config.grading is None:
        return {}
    return {'GradedMasks': config.graded_masks, 'MaskScale': config.grading}


def _weights(config: RunConfig, tractogram: Tractogram) -> dict[str, Any]:
    """Return the fields about weights of streamlines, if there are any."""
    if tractogram.weights is None:
        return {}
    name = Path(str(config.connectome_weights)).name
    return {'Weights': {'Name': name, 'SHA256': tractogram.weights_sha256}}


def connectome_metadata(
    config: RunConfig, tractogram: Tractogram, common: Mapping[str, Any], links: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Return the sidecars of the tractogram's density and support mask, by output."""
    about = {
        'Sources': [_uri(links, 'tractogram', tractogram.path)],
        **common,
        'CommandLine': config.command_line(),
    }
    found = {key: about_output(key, about) for key in CONNECTOME_KEYS}
    found['full_tdi']['Units'] = units_of_sums(common)
    return found


def mask_metadata(
    config: RunConfig,
    tractogram: Tractogram,
    mask: MaskFile,
    packed: KnownMask,
    common: Mapping[str, Any],
    links: Mapping[str, str],
) -> dict[str, Any]:
    """Return the common content of the sidecars of one mask; `links` are the dataset's links so far."""
    grid = tractogram.label, mask.space, config.output_resolution
    denominator, support = (connectome_path(key, *grid) for key in ('full_tdi', 'support_mask'))
    return {
        'Sources': [
            _uri(links, LESIONS, mask.path, config.lesions),
            _uri(links, 'tractogram', tractogram.path),
            f'bids::{denominator.as_posix()}',
        ],
        **common,
        'Denominator': f'bids::{denominator.as_posix()}',
        'Support': f'bids::{support.as_posix()}',
        'Mask': {
            'SHA256': packed.sha256,
            'Kind': 'graded' if packed.graded else 'binary',
            'Space': mask.space,
            'SpaceFrom': mask.space_from,
        },
        'CommandLine': config.command_line(mask.subject),
    }


def _uri(links: Mapping[str, str], base: str, path: Path, folder: Path | None = None) -> str:
    """Return the BIDS URI of a source, with the link to its folder."""
    folder = folder or path.parent
    return f'bids:{link_name(links, base, folder)}:{path.relative_to(folder).as_posix()}'


def atlas_metadata(
    regions: Parcellation | ProbabilityAtlas,
    config: RunConfig,
    links: Mapping[str, str],
    movement: Transform | None,
) -> dict[str, Any]:
    """Return the fields about an atlas, the transform to its space if there is one, and the settings that apply to it."""
    atlas = regions.atlas
    return {
        'Name': atlas.name,
        'From': atlas.source,
        'Space': atlas.space,
        'Parcels': len(regions.names),
        'SHA256': regions.sha256,
        **_moved_with(movement),
        'Sources': [_uri(links, base, path) for base, path in _files(atlas)],
        'Parameters': {
            'EndpointAssignment': config.assignment,
            'EdgeMeasure': config.edge_measure,
            'SparedThreshold': config.spared_threshold,
        },
    }


def bundles_metadata(
    bundles: NamedBundles | None, tractogram: Tractogram, links: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Return the fields about the bundles of a tractogram, by name."""
    if bundles is None:
        return {}
    about = {
        'Name': bundles.name,
        'From': 'table' if bundles.table else 'tractogram',
        'Bundles': len(bundles.groups),
        'SHA256': bundles.groups.sha256,
        'Sources': [_uri(links, base, path) for base, path in _tables(bundles, tractogram)],
    }
    return {bundles.name: about}


def _tables(bundles: NamedBundles | None, tractogram: Tractogram) -> list[tuple[str, Path]]:
    """Return the table of the bundles, with the name of its folder in ``DatasetLinks``."""
    if bundles is None or bundles.table is None:
        return []
    beside = bundles.table.parent == tractogram.path.parent
    return [('tractogram' if beside else f'bundles-{bundles.name}', bundles.table)]


def _files(atlas: Atlas) -> list[tuple[str, Path]]:
    """Return the files of an atlas, each with the name of its folder in ``DatasetLinks``."""
    name = f'atlas-{atlas.name}'
    beside = atlas.labels.parent == atlas.image.parent
    return [(name, atlas.image), (name if beside else f'{name}-labels', atlas.labels)]


def write_description(
    root: Path,
    config: RunConfig,
    tractogram: Tractogram,
    *,
    engine_version: str | None,
    atlases: Iterable[Atlas] = (),
    bundles: NamedBundles | None = None,
) -> None:
    """Write ``dataset_description.json``, ``README`` and ``.bidsignore``.

    Links of earlier runs, fields added by users, an existing ``README``, and users' lines in ``.bidsignore`` are kept.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    links = read_links(root)
    for base, folder in (
        (LESIONS, config.lesions),
        ('tractogram', tractogram.path.parent),
        *((base, path.parent) for atlas in atlases for base, path in _files(atlas)),
        *((base, path.parent) for base, path in _tables(bundles, tractogram)),
    ):
        links[link_name(links, base, folder)] = folder.as_uri()
    generated = [generator(f'engine: {config.engine}')]
    if engine_version:
        generated.append({'Name': 'MRtrix3', 'Version': engine_version})
    write_dataset(root, links, generated)
