"""Write and compare sidecars, and check files against the sizes and checksums that they record."""

from __future__ import annotations

import filecmp
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lacuna.bids.outputs import Output, Target, outputs
from lacuna.measures import MIN_SUPPORT
from lacuna.utils.files import dig, holds, json_bytes, read_json, replacing, write_if_changed
from lacuna.utils.names import sidecar_path

#: field with the sizes and checksums of files, by name
FILES = 'Files'


def _about(output: Output) -> dict[str, Any]:
    about: dict[str, Any] = {'Description': output.about}
    if output.units:
        about['Units'] = output.units
    if output.extension == '.nii.gz':
        about['SkullStripped'] = True  # required by BIDS, and true: nothing is outside the brain
    if output.suffix == 'mask':
        about['Type'] = 'ROI'
    return about


def about_output(key: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the common part of an output's sidecar, without fields that do not apply to it."""
    output = outputs()[key]
    sidecar = {**_about(output), **metadata}
    section, name = _MIN_SUPPORT
    if name not in output.parameters:
        sidecar.pop('Support', None)
        if parameters := sidecar.get(section):
            sidecar[section] = {key: value for key, value in parameters.items() if key != name}
    return sidecar


def sidecar_for(
    target: Target, metadata: Mapping[str, Any], atlases: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the sidecar of one output of a mask.

    Parameters
    ----------
    target : lacuna.bids.outputs.Target
    metadata : mapping
        Common content of the sidecars of the mask.
    atlases : mapping
        Content of the sidecars for each atlas; parameters that only some outputs depend on are under ``Parameters``.
    """
    sidecar = about_output(target.key, metadata)
    if not target.nulls:
        sidecar.pop('NullLesions', None)
    if target.atlas:
        atlas = atlases[target.atlas]
        # tables have no grid and no denominator
        sidecar = {key: value for key, value in sidecar.items() if key not in ('Resolution', 'Denominator')}
        sidecar['Sources'] = [*metadata['Sources'][:2], *atlas['Sources']]
        sidecar['Atlas'] = {
            key: value for key, value in atlas.items() if key not in ('Sources', 'Parameters')
        }
        known = atlas.get('Parameters', {})
        if own := {name: known[name] for name in outputs()[target.key].parameters if name in known}:
            sidecar['Parameters'] = {**sidecar.get('Parameters', {}), **own}
    if sidecar.get('Units') == _COUNTS:
        sidecar['Units'] = units_of_sums(sidecar)
    return sidecar


def units_of_sums(sidecar: Mapping[str, Any]) -> str:
    """Return the units of sums over streamlines: counts or weights."""
    weighted = 'weights' if dig(sidecar, *_WEIGHTS) else _COUNTS
    measures = {'invlength': f'{weighted} per mm', 'invnodevol': f'{weighted} per voxel'}
    return measures.get(str(dig(sidecar, *_MEASURE)), weighted)


#: units of counts
_COUNTS = 'streamlines'
_WEIGHTS = ('Tractogram', 'Weights', 'SHA256')
_SHORTEST = ('Parameters', 'MinLength')
_LONGEST = ('Parameters', 'MaxLength')
_MEASURE = ('Parameters', 'EdgeMeasure')


_BINARIZE = ('Parameters', 'Binarize')
_GRADED = ('Parameters', 'GradedMasks')
_SCALE = ('Parameters', 'MaskScale')
_ASSIGNMENT = ('Parameters', 'EndpointAssignment')
_MIN_SUPPORT = ('Parameters', 'MinSupport')

#: fields that determine the numbers, with their names in messages
_IDENTITY = {
    ('Tractogram', 'SHA256'): 'content of the tractogram (sha256)',
    ('Tractogram', 'Space'): 'space of the tractogram',
    ('Tractograms',): 'tractograms',
    ('Tractogram', 'MovedWith', 'SHA256'): 'transform of the streamlines (sha256)',
    ('Mask', 'SHA256'): 'content of the mask (sha256)',
    ('Space',): 'space',
    ('Parameters', 'OutputResolution'): 'output resolution (mm)',
    ('Parameters', 'TckUpsample'): 'upsampling of streamlines',
    ('Atlas', 'SHA256'): 'content of the atlas (sha256)',
    ('Atlas', 'Space'): 'space of the atlas',
    ('Atlas', 'MovedWith', 'SHA256'): 'transform to the space of the atlas (sha256)',
    _BINARIZE: 'value above which a mask is lesion',
    _GRADED: 'graded masks',
    _SCALE: 'scale of graded masks',
    _ASSIGNMENT: 'rule for the ends of streamlines',
    _MIN_SUPPORT: 'streamlines that support a voxel',
    _WEIGHTS: 'weights of the streamlines (sha256)',
    _SHORTEST: 'shortest length of a streamline (mm)',
    _LONGEST: 'longest length of a streamline (mm)',
    _MEASURE: 'measure of connections',
    ('Parameters', 'SparedThreshold'): 'percent of a connection that has to be spared',
    ('NullLesions', 'Count'): 'number of null lesions',
    ('NullLesions', 'Seed'): 'seed of null lesions',
    ('NullLesions', 'Inside'): 'share of a null lesion that has to be in the brain',
    ('NullLesions', 'Within'): 'where null lesions may be',
    ('NullLesions', 'Mirrors'): 'mirrored null lesions',
    ('NullLesions', 'SHA256'): 'content of the reference of null lesions (sha256)',
}

#: defaults for fields that a sidecar lacks
_DEFAULTS: dict[tuple[str, ...], Any] = {
    _BINARIZE: 'none',
    _GRADED: 'error',
    _SCALE: 'none',
    _ASSIGNMENT: 'radial',
    _MIN_SUPPORT: MIN_SUPPORT,
    _WEIGHTS: 'none',
    _SHORTEST: 'none',
    _LONGEST: 'none',
    _MEASURE: 'count',
}


def is_stale(on_disk: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an output was made with another minimum support, so that it is made again."""
    needed = dig(wanted, *_MIN_SUPPORT)
    return needed is not None and dig(on_disk, *_MIN_SUPPORT) != needed


def differences(
    on_disk: Mapping[str, Any], wanted: Mapping[str, Any], *, made_again: bool = False
) -> list[str]:
    """Return the differences between two sidecars that affect the numbers, in words.

    Parameters
    ----------
    on_disk, wanted : mapping
    made_again : bool
        Whether outputs are made again if `is_stale`, so that this does not count as a difference.

    >>> differences({'Parameters': {'OutputResolution': 2}}, {'Parameters': {'OutputResolution': 1}})
    ['output resolution (mm): 2 on disk, 1 now']
    """
    found = []
    for keys, name in _IDENTITY.items():
        if made_again and keys == _MIN_SUPPORT:
            continue
        old, new = (_value_of(sidecar, keys) for sidecar in (on_disk, wanted))
        if new is not None and old != new:
            found.append(f'{name}: {_short(old)} on disk, {_short(new)} now')
    return found


def identity(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything but the mask that determines the numbers of a result, by name; equal for a whole cohort."""
    return {name: _value_of(sidecar, keys) for keys, name in _IDENTITY.items() if keys[0] != 'Mask'}


def _value_of(sidecar: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    found = dig(sidecar, *keys)
    return _DEFAULTS.get(keys) if found is None else found


def _short(value: Any) -> str:
    text = 'unknown' if value is None else str(value)
    return text[:12] + '...' if len(text) == 64 else text


def save(content: bytes | str | Path, target: Path, sidecar: Mapping[str, Any] | None = None) -> Path:
    """Write a file (bytes, or a file to copy) with its sidecar under the final name, unless it already exists.

    The sidecar records the size and checksum of the file.

    Returns
    -------
    pathlib.Path
        The target.
    """
    if sidecar is None:
        place(content, target)
        return target
    record = file_record(content)
    place(content, target, sidecar_path(target))
    write_if_changed(sidecar_path(target), json_bytes({**sidecar, FILES: {target.name: record}}))
    return target


def place(content: bytes | str | Path, target: Path, sidecar: Path | None = None) -> None:
    """Write bytes, or a copy of a file, under the final name, unless it already exists.

    An older sidecar is removed first, because it must never describe other content.
    """
    if isinstance(content, bytes):
        if holds(target, content):
            return
    elif target.is_file() and filecmp.cmp(content, target, shallow=False):
        return
    if sidecar is not None:
        sidecar.unlink(missing_ok=True)
    with replacing(target) as temporary:
        if isinstance(content, bytes):
            temporary.write_bytes(content)
        else:
            shutil.copyfile(content, temporary)


def file_record(content: bytes | str | Path) -> dict[str, Any]:
    """Return the size and checksum of a file, or of its future content, for a sidecar."""
    if isinstance(content, bytes):
        return {'Size': len(content), 'SHA256': hashlib.sha256(content).hexdigest()}
    with Path(content).open('rb') as stream:
        digest = hashlib.file_digest(stream, 'sha256')
        return {'Size': stream.tell(), 'SHA256': digest.hexdigest()}


def damage(path: Path, sidecar: Mapping[str, Any], *, verify: bool = False) -> str | None:
    """Return how a file differs from its record in the sidecar, in words; None if it does not.

    Parameters
    ----------
    path : pathlib.Path
        An existing file.
    sidecar : mapping
        Sidecar with size and checksum. Earlier versions did not record them; then only empty files are detected.
    verify : bool
        Compare the checksum too, which takes as long as reading the file.
    """
    size, files = path.stat().st_size, sidecar.get(FILES)
    known = files.get(path.name) if isinstance(files, Mapping) else None
    if not isinstance(known, Mapping):
        return None if size else 'it is empty'
    if size != known.get('Size'):
        return f'it has {size:,} bytes, not {_number(known.get("Size"))}'
    if verify and file_record(path)['SHA256'] != known.get('SHA256'):
        return 'its checksum differs'
    return None


def is_whole(path: Path) -> bool:
    """Whether a file and its sidecar exist, and its size is the recorded one."""
    sidecar = read_json(sidecar_path(path))
    return sidecar is not None and path.is_file() and not damage(path, sidecar)


def _number(value: Any) -> str:
    return f'{value:,}' if isinstance(value, int) else str(value)
