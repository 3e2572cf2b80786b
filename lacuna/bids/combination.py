"""Combine the results of a lesion with several tractograms: mean, standard deviation and number."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import lacuna
from lacuna.bids.derivatives import mask_outputs, save_described
from lacuna.bids.description import write_dataset
from lacuna.bids.mask_files import MaskFile
from lacuna.bids.matrices import columns_bytes, parcels_bytes
from lacuna.bids.origins import LESIONS, link_name, read_links, resolve_uri
from lacuna.bids.outputs import Target, outputs
from lacuna.bids.sidecars import FILES, _about, damage
from lacuna.bids.tables import read_columns, read_parcels
from lacuna.errors import InputError
from lacuna.images.nifti import encoded, load, make, voxels
from lacuna.measures import mean_and_sd
from lacuna.utils.files import dig, json_bytes, listed, read_json
from lacuna.utils.names import sidecar_path

#: sidecar field with the checksums of the combined results, by URI
SOURCES = 'SourceSHA256'
#: name of the set of bundles, if the tractograms name theirs differently
_ANY_BUNDLES = 'bundles'
#: sidecar fields taken from the combined results
_SHARED_FIELDS = (
    'Space',
    'SpatialReference',
    'Resolution',
    'Parameters',
    'SoftwareVersions',
    'Mask',
    'Atlas',
)
#: statistics that do not depend on the tractogram
_MASK_STATISTICS = ('mask_voxels', 'mask_volume_mm3', 'mask_components', 'mask_outside_brain_pct')
_OF_TRACTOGRAM = (
    'streamlines_disconnected_pct', 'weight_disconnected_pct', 'voxels_disconnected', 'disconnection_mean_pct',
    'disconnection_max_pct', 'disconnection_mean_supported_pct',
)  # fmt: skip


@dataclass(frozen=True)
class _Source:
    """A result with one of the tractograms, and the sidecar that records it."""

    tractogram: str
    path: Path
    sidecar: Mapping[str, Any]

    @property
    def sha256(self) -> str | None:
        """Checksum recorded in the sidecar."""
        found = dig(self.sidecar, FILES, self.path.name, 'SHA256')
        return None if found is None else str(found)


@dataclass(frozen=True)
class _Part:
    """Outputs combined from the same results: their names, the results, and the function that combines them."""

    targets: tuple[Target, ...]
    sources: tuple[_Source, ...]
    make: Callable[[], dict[Target, bytes]]
    atlas: Mapping[str, Any] | None = None


def combine(
    root: Path,
    mask: MaskFile,
    files: Mapping[str, Mapping[Target, Path]],
    *,
    command: str,
    overwrite: bool = False,
) -> tuple[dict[Target, Path], bool]:
    """Write mean and standard deviation over tractograms of a lesion's map, parcels and bundles.

    Existing outputs that were combined from the same results are kept.

    Parameters
    ----------
    root : pathlib.Path
        Root of the dataset, which already has a description (`write_description_of_several`).
    mask : lacuna.bids.mask_files.MaskFile
    files : mapping
        Paths of the results below `root`, by label of the tractogram.
    command : str
        Command that reproduces the results, for the sidecars.
    overwrite : bool
        Combine everything again, and remove combined outputs whose results are no longer there.

    Returns
    -------
    paths : dict
        Paths by output.
    is_new : bool
        Whether any output is new.

    Raises
    ------
    InputError
        If a result is unreadable, or results do not match.
    """
    parts = _parts({label: files[label] for label in sorted(files)})
    contents: dict[Target, bytes] = {}
    sidecars: dict[Target, dict[str, Any]] = {}
    for part in parts:
        about = _metadata(root, part, command)
        if overwrite or not _is_current(root, mask, part, about):
            contents |= part.make()
            sidecars |= {target: {**_about(outputs()[target.key]), **about} for target in part.targets}
    if contents:
        save_described(root, mask, contents, sidecars.__getitem__)
    if overwrite:
        _remove_outdated(root / mask.folder, mask.stem, root)
    paths = mask_outputs(mask, [target for part in parts for target in part.targets])
    return {target: root / path for target, path in paths.items()}, bool(contents)


def _remove_outdated(folder: Path, stem: str, root: Path) -> None:
    for sidecar in folder.glob(f'{glob.escape(stem)}_method-snm_*.json'):
        about = read_json(sidecar) or {}
        if changed_sources(root, about):
            for name in dig(about, FILES) or ():
                (folder / Path(name).name).unlink(missing_ok=True)
            sidecar.unlink()


def changed_sources(root: Path, sidecar: Mapping[str, Any]) -> list[str]:
    """Return the names of sources that changed since they were combined; empty for results of one tractogram."""
    sources = sidecar.get(SOURCES)
    changed = []
    for uri, sha256 in sources.items() if isinstance(sources, Mapping) else ():
        path = resolve_uri(root, uri, {})
        records = [sidecar_path(path), *path.parent.glob('*_desc-disconnectionpct.json')] if path else []
        now = (dig(read_json(record), FILES, path.name, 'SHA256') for record in records) if path else ()
        if path is None or not path.is_file() or next(filter(None, now), None) != sha256:
            changed.append(uri.removeprefix('bids::'))
    return changed


def write_description_of_several(root: Path, folders: Mapping[str, Path]) -> None:
    """Write the description of a dataset over several tractograms, with links for its sidecars.

    Parameters
    ----------
    root : pathlib.Path
    folders : mapping
        Datasets with the results of each tractogram, by its label.
    """
    links = read_links(root)
    generated: list[Mapping[str, Any]] = []
    for folder in folders.values():
        source_links = read_links(folder)
        for name, uri in source_links.items():
            place = resolve_uri(folder, f'bids:{name}:.', source_links)
            if place and name.startswith((LESIONS, 'atlas-')) and uri not in links.values():
                links[link_name(links, name, place)] = uri
        description = read_json(folder / 'dataset_description.json') or {}
        names = {tool['Name'] for tool in generated}
        tools = (tool for tool in listed(description, 'GeneratedBy') if isinstance(tool, dict))
        generated += [tool for tool in tools if tool.get('Name') not in (None, *names)]
    write_dataset(root, links, generated, 'results_several.txt')


def _parts(files: Mapping[str, Mapping[Target, Path]]) -> list[_Part]:
    maps = _sources(files, Target('disconnection_map'))
    summaries = _sources(files, Target('summary'))
    keys = ('mean_map', 'sd_map', 'spread_statistics')
    parts = [_Part(tuple(map(Target, keys)), (*maps, *summaries), partial(_combined_maps, maps, summaries))]
    first = next(iter(files.values()))
    for atlas in [target.atlas for target in first if target.key == 'roi_disconnection']:
        sources = _sources(files, Target('roi_disconnection', atlas))
        targets = tuple(Target(key, atlas) for key in ('mean_parcels', 'sd_parcels', 'spread_parcels'))
        parts.append(_Part(targets, sources, partial(_combined_parcels, sources, targets)))
    by_tractogram = {
        label: target for label, each in files.items() for target in each if _is_of_bundles(target)
    }
    if by_tractogram:
        sources = tuple(
            source
            for label, target in by_tractogram.items()
            for source in _sources({label: files[label]}, target)
        )
        names = {str(target.atlas) for target in by_tractogram.values()}
        target = Target('spread_bundles', names.pop() if len(names) == 1 else _ANY_BUNDLES)
        checksums = ''.join(str(dig(source.sidecar, 'Atlas', 'SHA256')) for source in sources)
        about = {
            'Name': target.atlas,
            'From': 'tractograms',
            'SHA256': hashlib.sha256(checksums.encode()).hexdigest(),
        }
        parts.append(_Part((target,), sources, partial(_combined_bundles, sources, target), about))
    return parts


def _is_of_bundles(target: Target) -> bool:
    return target.key == 'bundle_disconnection'


def _sources(files: Mapping[str, Mapping[Target, Path]], target: Target) -> tuple[_Source, ...]:
    found = []
    for label, paths in files.items():
        path = paths[target]
        sidecar = read_json(sidecar_path(paths[target.recorded_with]))
        if sidecar is None or not path.is_file() or damage(path, sidecar):
            message = f'{path}: the file is missing or damaged; run this tractogram again'
            raise InputError(message)
        found.append(_Source(label, path, sidecar))
    return tuple(found)


def _metadata(root: Path, part: _Part, command: str) -> dict[str, Any]:
    """Return the common content of the sidecars of combined outputs."""
    first = part.sources[0]
    folders = {source.tractogram: _dataset_of(root, source.path) for source in part.sources}
    common = {key: first.sidecar[key] for key in _SHARED_FIELDS if key in first.sidecar}
    common['SoftwareVersions'] = {**common.get('SoftwareVersions', {}), 'Lacuna': lacuna.__version__}
    if part.atlas:
        common['Atlas'] = part.atlas
    uris = [uri for uri in map(str, listed(first.sidecar, 'Sources')) if not uri.startswith('bids::')]
    shared_uris = [uri for uri in uris if uri.startswith((f'bids:{LESIONS}', 'bids:atlas-'))]
    adopted = [_translate_uri(root, uri, folders[first.tractogram]) for uri in shared_uris]
    combined = {f'bids::{each.path.relative_to(root).as_posix()}': each.sha256 for each in part.sources}
    of_each = {source.tractogram: source.sidecar.get('Tractogram') or {} for source in part.sources}
    return {
        'Sources': [*adopted[:1], *combined, *adopted[1:]],
        **common,
        'Tractograms': [{'Label': label, **about} for label, about in of_each.items()],
        SOURCES: combined,
        'CommandLine': command,
    }


def _dataset_of(root: Path, path: Path) -> Path:
    """Return the dataset of a tractogram: the first folder below the root."""
    return root / path.relative_to(root).parts[0]


def _translate_uri(root: Path, uri: str, dataset: Path) -> str:
    """Translate the URI of a source to this dataset's link to the same folder."""
    _, name, path = uri.split(':', 2)
    folder = read_links(dataset).get(name)
    own = next((link for link, where in read_links(root).items() if where == folder), name)
    return f'bids:{own}:{path}'


def _is_current(root: Path, mask: MaskFile, part: _Part, about: Mapping[str, Any]) -> bool:
    paths = {target: root / path for target, path in mask_outputs(mask, part.targets).items()}
    for target, path in paths.items():
        sidecar = read_json(sidecar_path(paths[target.recorded_with]))
        if sidecar is None or not path.is_file() or damage(path, sidecar):
            return False
        if sidecar.get(SOURCES) != about[SOURCES]:
            return False
    return True


def _combined_maps(maps: Sequence[_Source], summaries: Sequence[_Source]) -> dict[Target, bytes]:
    images = [load(source.path) for source in maps]
    for source, image in zip(maps, images, strict=True):
        if image.shape != images[0].shape or not np.allclose(image.affine, images[0].affine, atol=1e-4):
            message = f'{source.path}: the map is on another grid than {maps[0].path}'
            raise InputError(message)
    mean, sd, _ = mean_and_sd([voxels(image) for image in images])
    affine = images[0].affine
    return {
        Target('mean_map'): encoded(make(mean.astype(np.float32), affine)),
        Target('sd_map'): encoded(make(sd.astype(np.float32), affine)),
        Target('spread_statistics'): json_bytes(
            spread_statistics([_summary(source) for source in summaries], mean, sd)
        ),
    }


def _summary(source: _Source) -> dict[str, Any]:
    found = read_json(source.path)
    if found is None:
        message = f'{source.path}: cannot be read as JSON'
        raise InputError(message)
    return found


def spread_statistics(
    summaries: Sequence[Mapping[str, Any]], mean: np.ndarray, sd: np.ndarray
) -> dict[str, Any]:
    """Summarise the statistics of a lesion with several tractograms.

    >>> summaries = [{'mask_voxels': 8, 'voxels_disconnected': voxels} for voxels in (2, 4)]
    >>> spread_statistics(summaries, np.array([0, 50.0]), np.array([0, 3.0]))['voxels_disconnected_mean']
    3.0
    """
    found: dict[str, Any] = {'tractograms': len(summaries)}
    found |= {key: summaries[0][key] for key in _MASK_STATISTICS if key in summaries[0]}
    for key in _OF_TRACTOGRAM:
        values = [summary.get(key) for summary in summaries]
        if all(isinstance(value, int | float) for value in values):
            numbers = [np.array(value, float) for value in values]
            average, deviation, _ = mean_and_sd(numbers)
            found |= {f'{key}_mean': float(average), f'{key}_sd': float(deviation)}
            found |= {f'{key}_min': float(min(numbers)), f'{key}_max': float(max(numbers))}
    affected = mean > 0
    found['voxels_disconnected_any'] = int(np.count_nonzero(affected))
    found['map_sd_mean_pct'] = float(sd[affected].mean()) if affected.any() else 0.0
    found['map_sd_max_pct'] = float(sd.max())
    return found


def _combined_parcels(sources: Sequence[_Source], targets: Sequence[Target]) -> dict[Target, bytes]:
    tables = [read_parcels(source.path) for source in sources]
    for source, table in zip(sources, tables, strict=True):
        if not table.index.equals(tables[0].index):
            message = f'{source.path}: the parcels are not those of {sources[0].path}'
            raise InputError(message)
    mean, sd, n = mean_and_sd([table.to_numpy() for table in tables])
    names = tuple(tables[0].index)
    columns = {'mean': mean, 'sd': sd, 'n': n}
    made = (
        parcels_bytes(names, mean),
        parcels_bytes(names, sd),
        columns_bytes('region', names, columns),
    )
    return dict(zip(targets, made, strict=True))


def _combined_bundles(sources: Sequence[_Source], target: Target) -> dict[Target, bytes]:
    tables = [read_columns(source.path, 'bundle')['value'] for source in sources]
    names = sorted(set().union(*(table.index for table in tables)))
    mean, sd, n = mean_and_sd([table.reindex(names).to_numpy() for table in tables])
    return {target: columns_bytes('bundle', names, {'mean': mean, 'sd': sd, 'n': n})}
