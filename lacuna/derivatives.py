"""The derivative dataset: its description, its sidecars, and what of it is there already."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lacuna
from lacuna.atlases import Atlas, Parcellation
from lacuna.bids import MaskFile, Output, Target, connectome_tdi_path, output_name, outputs, sidecar_path
from lacuna.config import RunConfig
from lacuna.connectomes import Tractogram
from lacuna.errors import InputError
from lacuna.files import json_bytes, listed, read_json, replacing, write_if_changed

BIDS_VERSION = '1.10.0'
#: the table of failed masks, below the output folder
FAILURES = Path('logs', 'failed_masks.tsv')

#: names that BIDS does not know (yet); directory patterns take no trailing slash
_BIDSIGNORE = """\
**/*_method-snm_*
**/figures
assets
connectome
logs
sub-*.html
group.html
"""

_README = """\
Structural disconnection by lesions, computed with Lacuna.

sub-*/**/*_desc-disconnectionpct.nii.gz   percent of each voxel's streamlines that pass through the lesion
sub-*/**/*_desc-summarystatistics_stats.json   volume of the lesion, streamlines cut, extent of the map
sub-*/**/*_connmatrix.tsv, *_parcelstats.tsv, *_desc-matrixstatistics_stats.json   the same for pairs of parcels,
    and for parcels, of an atlas
connectome/*_tdi.nii.gz   number of streamlines of the whole tractogram in each voxel: the denominator of the maps
logs/   settings, methods text and failures of each run
sub-*.html, sub-*/figures/, assets/   reports: open the first in a browser ('lacuna report' makes them again)

The JSON file beside each image says how it was made.
"""


def run_metadata(
    config: RunConfig,
    tractogram: Tractogram,
    space: str,
    *,
    engine_version: str | None,
    moved_with: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What the sidecars of a run and a space have in common: tractogram, parameters, software.

    `moved_with` says which transform has moved the streamlines into the space.
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
            'VerticesInsideBrainPercent': tractogram.info.brain_pct,
            **({'MovedWith': dict(moved_with)} if moved_with else {}),
        },
        'Parameters': {
            'OutputResolution': resolution,
            'TckUpsample': config.tck_upsample or 'automatic',
            **({} if config.binarize is None else {'Binarize': config.binarize}),
        },
        'SoftwareVersions': {
            'Lacuna': lacuna.__version__,
            'Engine': config.engine,
            'MRtrix3': engine_version or 'not used',
        },
    }


def connectome_metadata(
    config: RunConfig, tractogram: Tractogram, common: Mapping[str, Any]
) -> dict[str, Any]:
    """Sidecar of the full density of a tractogram."""
    return {
        **_about(outputs()['full_tdi']),
        'Sources': [f'bids:tractogram:{tractogram.path.name}'],
        **common,
        'CommandLine': config.command_line(),
    }


def mask_metadata(
    config: RunConfig, tractogram: Tractogram, mask: MaskFile, mask_sha256: str, common: Mapping[str, Any]
) -> dict[str, Any]:
    """What the sidecars of one mask have in common."""
    denominator = connectome_tdi_path(tractogram.label, mask.space, config.output_resolution)
    return {
        'Sources': [
            f'bids:lesions:{mask.path.relative_to(config.lesions).as_posix()}',
            f'bids:tractogram:{tractogram.path.name}',
            f'bids::{denominator.as_posix()}',
        ],
        **common,
        'Denominator': f'bids::{denominator.as_posix()}',
        'Mask': {'SHA256': mask_sha256, 'Space': mask.space, 'SpaceFrom': mask.space_from},
        'CommandLine': config.command_line(mask.subject),
    }


def _about(output: Output) -> dict[str, Any]:
    return {'Description': output.about} | ({'Units': output.units} if output.units else {})


def sidecar_for(
    target: Target, metadata: Mapping[str, Any], atlases: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The sidecar of one output of a mask.

    Parameters
    ----------
    target : lacuna.bids.Target
    metadata : mapping
        What the sidecars of the mask have in common.
    atlases : mapping
        What sidecars say of each atlas.
    """
    sidecar = {**_about(outputs()[target.key]), **metadata}
    if target.atlas:
        atlas = atlases[target.atlas]
        # a table has no grid, and no density under it
        sidecar = {key: value for key, value in sidecar.items() if key not in ('Resolution', 'Denominator')}
        sidecar['Sources'] = [*metadata['Sources'][:2], *atlas['Sources']]
        sidecar['Atlas'] = {key: value for key, value in atlas.items() if key != 'Sources'}
    return sidecar


def atlas_metadata(parcellation: Parcellation) -> dict[str, Any]:
    """What sidecars say of an atlas."""
    atlas = parcellation.atlas
    return {
        'Name': atlas.name,
        'From': atlas.source,
        'Space': atlas.space,
        'Parcels': len(parcellation.names),
        'SHA256': parcellation.sha256,
        'Sources': [f'bids:{_link(atlas)}:{path.name}' for path in (atlas.image, atlas.labels)],
    }


def _link(atlas: Atlas) -> str:
    """Name of an atlas's folder in ``DatasetLinks``."""
    return f'atlas-{atlas.name}'


def save(source: str | Path, target: Path, sidecar: Mapping[str, Any] | None = None) -> Path:
    """Put a file, and its sidecar, under its final name: whole, and only if it is not there as it should be.

    Returns
    -------
    pathlib.Path
        The target.
    """
    if not (target.is_file() and filecmp.cmp(source, target, shallow=False)):
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
    if sidecar is not None:
        write_if_changed(sidecar_path(target), json_bytes(sidecar))
    return target


def mask_outputs(mask: MaskFile, targets: Iterable[Target]) -> dict[Target, Path]:
    """Paths of the outputs of a mask, relative to the dataset."""
    paths = {}
    for target in targets:
        entities = {'atlas': target.atlas} if target.atlas else {}
        name = output_name(mask.stem, target.key, space=mask.space, **entities)
        is_figure = outputs()[target.key].level == 'figure'
        paths[target] = (figures_dir(Path(), mask.subject) if is_figure else mask.folder) / name
    return paths


def figures_dir(root: Path, subject: str) -> Path:
    """Folder of a participant's figures."""
    return root / f'sub-{subject}' / 'figures'


def read_failures(root: Path) -> list[tuple[Path, str]]:
    """The masks that failed when they were last tried, and why."""
    table = root / FAILURES
    if not table.is_file():
        return []
    rows = [line.split('\t', 1) for line in table.read_text(encoding='utf-8').splitlines()[1:]]
    return [(Path(row[0]), row[1]) for row in rows if len(row) == 2]


_BINARIZE = ('Parameters', 'Binarize')
#: what decides the numbers: the place in the sidecar, and how to call it
_IDENTITY = {
    ('Tractogram', 'SHA256'): 'content of the tractogram (sha256)',
    ('Tractogram', 'Space'): 'space of the tractogram',
    ('Tractogram', 'MovedWith', 'SHA256'): 'transform of the streamlines (sha256)',
    ('Mask', 'SHA256'): 'content of the mask (sha256)',
    ('Space',): 'space',
    ('Parameters', 'OutputResolution'): 'output resolution (mm)',
    ('Parameters', 'TckUpsample'): 'upsampling of streamlines',
    ('Atlas', 'SHA256'): 'content of the atlas (sha256)',
    _BINARIZE: 'value above which a mask is lesion',
}
#: what is meant where a sidecar does not say it
_UNSAID: dict[tuple[str, ...], Any] = {_BINARIZE: 'none'}


def differences(on_disk: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What of that which decides the numbers differs between two sidecars, in words.

    >>> differences({'Parameters': {'OutputResolution': 2}}, {'Parameters': {'OutputResolution': 1}})
    ['output resolution (mm): 2 on disk, 1 now']
    """
    found = []
    for keys, name in _IDENTITY.items():
        old, new = (_dig(sidecar, keys, _UNSAID.get(keys)) for sidecar in (on_disk, wanted))
        if new is not None and old != new:
            found.append(f'{name}: {_short(old)} on disk, {_short(new)} now')
    return found


def identity(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the numbers of a result besides its mask, by its name in words: the same for all of a cohort."""
    return {
        name: _dig(sidecar, keys, _UNSAID.get(keys)) for keys, name in _IDENTITY.items() if keys[0] != 'Mask'
    }


def binarized_at(sidecar: Mapping[str, Any]) -> float | None:
    """The value above which a mask was taken as lesion, from the sidecar of a result; None if it is 0 and 1."""
    value = _dig(sidecar, _BINARIZE)
    return float(value) if isinstance(value, int | float) else None


def _dig(content: Any, keys: Sequence[str], unsaid: Any = None) -> Any:
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return unsaid if content is None else content


def _short(value: Any) -> str:
    text = 'unknown' if value is None else str(value)
    return text[:12] + '...' if len(text) == 64 else text


def missing_outputs(
    root: Path,
    mask: MaskFile,
    targets: Iterable[Target],
    metadata: Mapping[str, Any],
    atlases: Mapping[str, Mapping[str, Any]],
) -> tuple[list[Target], list[str]]:
    """What of a mask's outputs has to be made, and what the files there were made with other settings.

    Parameters
    ----------
    root : pathlib.Path
        Of the dataset.
    mask : lacuna.bids.MaskFile
    targets : iterable of lacuna.bids.Target
    metadata : mapping
        What the sidecars have in common.
    atlases : mapping
        What sidecars say of each atlas.

    Returns
    -------
    missing : list of Target
        The outputs that are absent.
    differing : list of str
        The differences of those present, in words.
    """
    missing = []
    differing: dict[str, None] = {}
    for target, relative in mask_outputs(mask, targets).items():
        path = root / relative
        sidecar = read_json(sidecar_path(path)) if outputs()[target.key].sidecar else {}
        if not path.is_file() or sidecar is None:
            missing.append(target)
        elif sidecar:
            differing |= dict.fromkeys(differences(sidecar, sidecar_for(target, metadata, atlases)))
    return missing, list(differing)


def conflicting_results(
    root: Path, wanted: Mapping[str, Mapping[str, Any]], leave_out: Collection[Path]
) -> dict[str, list[str]]:
    """Results in a folder that were made with other settings than those of a run.

    Parameters
    ----------
    root : pathlib.Path
        Of the dataset.
    wanted : mapping
        What the sidecars of the run have in common, by space.
    leave_out : collection of pathlib.Path
        Sidecars that are compared elsewhere.

    Returns
    -------
    dict
        Differences in words, by file name.
    """
    conflicts = {}
    for path in sorted(root.glob('sub-*/**/*_method-snm_space-*_desc-disconnectionpct.json')):
        on_disk = None if path in leave_out else read_json(path)
        common = wanted.get(str(on_disk.get('Space'))) if on_disk else None
        if on_disk and common and (found := differences(on_disk, common)):
            conflicts[path.name] = found
    return conflicts


def remove_unused_connectomes(root: Path) -> None:
    """Remove the densities that no map names as its denominator any more."""
    densities = sorted((root / 'connectome').glob('*_tdi.nii.gz'))
    if len(densities) < 2:
        return
    used = {
        (read_json(path) or {}).get('Denominator')
        for path in root.glob('sub-*/**/*_method-snm_space-*_desc-disconnectionpct.json')
    }
    for path in densities:
        if f'bids::{path.relative_to(root).as_posix()}' not in used:
            path.unlink()
            sidecar_path(path).unlink(missing_ok=True)


def check_output_dir(root: Path, source: Path) -> None:
    """Refuse a folder for the results that cannot be written, or that belongs to something else.

    Nothing is created.

    Raises
    ------
    InputError
    """

    if root.exists() and not root.is_dir():
        message = f'the output folder {root} is a file'
        raise InputError(message)
    if source.is_dir() and root.exists() and root.samefile(source):
        message = f'the output folder {root} is the input folder; choose another'
        raise InputError(message)
    existing = next(path for path in (root, *root.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        message = f'the output folder {root} cannot be written: no permission in {existing}'
        raise InputError(message)
    description = read_json(root / 'dataset_description.json')
    if description is not None and 'Lacuna' not in [
        tool.get('Name') for tool in listed(description, 'GeneratedBy') if isinstance(tool, dict)
    ]:
        message = f'the output folder {root} holds a dataset that is not of Lacuna; choose another'
        raise InputError(message)


def write_description(
    root: Path,
    config: RunConfig,
    tractogram: Tractogram,
    *,
    engine_version: str | None,
    atlases: Iterable[Atlas] = (),
) -> None:
    """Write ``dataset_description.json``, ``README`` and ``.bidsignore``; links of earlier runs are kept.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    generated = [
        {'Name': 'Lacuna', 'Version': lacuna.__version__, 'Description': f'engine: {config.engine}'},
    ]
    if engine_version:
        generated.append({'Name': 'MRtrix3', 'Version': engine_version})
    earlier = read_json(root / 'dataset_description.json') or {}
    links = {
        **(known if isinstance(known := earlier.get('DatasetLinks'), dict) else {}),
        'lesions': config.lesions.as_uri(),
        'tractogram': tractogram.path.parent.as_uri(),
        **{_link(atlas): atlas.image.parent.as_uri() for atlas in atlases},
    }
    description = {
        'Name': 'Lacuna: structural lesion network mapping',
        'BIDSVersion': BIDS_VERSION,
        'DatasetType': 'derivative',
        'GeneratedBy': generated,
        'SourceDatasets': [{'URL': config.lesions.as_uri()}],
        'DatasetLinks': links,
    }
    try:
        write_if_changed(root / 'dataset_description.json', json_bytes(description))
        write_if_changed(root / 'README', _README.encode())
        write_if_changed(root / '.bidsignore', _BIDSIGNORE.encode())
    except (OSError, ValueError) as error:  # the latter: links that are no JSON, such as NaN
        message = f'the output folder {root} cannot be written: {getattr(error, "strerror", None) or error}'
        raise InputError(message) from error
