"""The derivative dataset: write results, and find existing, missing and conflicting ones."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from lacuna.bids.mask_files import MaskFile
from lacuna.bids.origins import generated_by
from lacuna.bids.outputs import (
    Target,
    figures_dir,
    output_name,
    outputs,
    parse_output_name,
    tractogram_dirs,
)
from lacuna.bids.sidecars import FILES, damage, differences, file_record, is_stale, place, sidecar_for
from lacuna.errors import InputError
from lacuna.utils.files import dig, json_bytes, read_json, remove_leftovers, write_if_changed
from lacuna.utils.names import sidecar_path


def save_outputs(
    root: Path,
    mask: MaskFile,
    contents: Mapping[Target, bytes | str | Path],
    metadata: Mapping[str, Any],
    atlases: Mapping[str, Mapping[str, Any]],
) -> list[Path]:
    """Write the outputs of one mask atomically under their final names, with sidecars.

    Sidecars record the size and checksum of their file, and of related files without a sidecar.

    Parameters
    ----------
    root : pathlib.Path
        Root of the dataset.
    mask : lacuna.bids.mask_files.MaskFile
    contents : mapping
        Content of each output: bytes, or the path of a file to copy.
    metadata, atlases : mapping
        See `sidecar_for`.

    Returns
    -------
    list of pathlib.Path
        Paths of the outputs, in the order of `contents`.
    """
    return save_described(root, mask, contents, lambda target: sidecar_for(target, metadata, atlases))


def save_described(
    root: Path,
    mask: MaskFile,
    contents: Mapping[Target, bytes | str | Path],
    describe: Callable[[Target], Mapping[str, Any]],
) -> list[Path]:
    """Write outputs as `save_outputs` does, with sidecars from a function."""
    paths = {target: root / path for target, path in mask_outputs(mask, contents).items()}
    holders = list(dict.fromkeys(target.recorded_with for target in contents))
    sidecars = {each: sidecar_path(root / path) for each, path in mask_outputs(mask, holders).items()}
    remove_leftovers([*paths.values(), *sidecars.values()])
    before = {holder: read_json(path) for holder, path in sidecars.items()}
    records: dict[Target, dict[str, Any]] = {holder: {} for holder in holders}
    for target, path in paths.items():
        records[target.recorded_with][path.name] = file_record(contents[target])
        place(contents[target], path, sidecars.get(target))
    for holder, path in sidecars.items():
        content = describe(holder) if holder in contents else before[holder]
        if content is not None:
            known = (before[holder] or {}).get(FILES)
            files = {**(known if isinstance(known, dict) else {}), **records[holder]}
            write_if_changed(path, json_bytes({**content, FILES: dict(sorted(files.items()))}))
    return list(paths.values())


def mask_outputs(mask: MaskFile, targets: Iterable[Target]) -> dict[Target, Path]:
    """Return the paths of the outputs of a mask, relative to the dataset."""
    paths = {}
    for target in targets:
        entities = {'atlas': target.atlas} if target.atlas else {}
        name = output_name(mask.stem, target.key, space=mask.space, **entities)
        is_figure = outputs()[target.key].level == 'figure'
        paths[target] = (figures_dir(Path(), mask.subject) if is_figure else mask.folder) / name
    return paths


def missing_outputs(
    root: Path,
    mask: MaskFile,
    targets: Iterable[Target],
    metadata: Mapping[str, Any],
    atlases: Mapping[str, Mapping[str, Any]],
) -> tuple[list[Target], list[str]]:
    """Find the outputs of a mask to be made, and how existing ones differ from the current settings.

    Parameters
    ----------
    root : pathlib.Path
        Root of the dataset.
    mask : lacuna.bids.mask_files.MaskFile
    targets : iterable of lacuna.bids.outputs.Target
    metadata : mapping
        Common content of the sidecars.
    atlases : mapping
        Content of the sidecars for each atlas.

    Returns
    -------
    missing : list of Target
        Outputs that are absent, damaged or outdated.
    differing : list of str
        Differences of the existing outputs, in words.
    """
    missing = []
    differing: dict[str, None] = {}
    targets = list(targets)
    holders = dict.fromkeys(target.recorded_with for target in targets)
    sidecars = {
        each: read_json(sidecar_path(root / path)) for each, path in mask_outputs(mask, holders).items()
    }
    for target, relative in mask_outputs(mask, targets).items():
        path, sidecar = root / relative, sidecars[target.recorded_with]
        if sidecar is None or not path.is_file() or damage(path, sidecar):
            missing.append(target)
            continue
        wanted = sidecar_for(target, metadata, atlases)
        if is_stale(sidecar, wanted):
            missing.append(target)
        if target in sidecars:
            differing |= dict.fromkeys(differences(sidecar, wanted, made_again=True))
    return missing, list(differing)


def outdated_outputs(
    root: Path,
    mask: MaskFile,
    targets: Collection[Target],
    metadata: Mapping[str, Any],
    atlases: Mapping[str, Mapping[str, Any]],
) -> dict[Path, list[str]]:
    """Find outputs of a mask that were made with other settings and are not made again; return the differences in words.

    Beside new results, they would seem to belong to the same mask, tractogram and atlas.

    Parameters
    ----------
    root, mask, targets, metadata, atlases
        See `missing_outputs`.
    """
    wanted = mask_outputs(mask, targets).values()
    known = {name for path in wanted for name in (path.name, sidecar_path(path).name)}
    # settings that decide nothing of what this run wants do not make other outputs outdated
    deciding = {name for target in targets for name in outputs()[target.key].parameters}
    compared = {
        atlas: {
            **about,
            'Parameters': {
                key: value for key, value in about.get('Parameters', {}).items() if key in deciding
            },
        }
        for atlas, about in atlases.items()
    }
    found: dict[Path, list[str]] = {}
    for path in sorted((root / mask.folder).glob(f'{glob.escape(mask.stem)}_method-snm_*')):
        parsed = None if path.name in known else parse_output_name(path.name)
        if parsed is None or parsed[0] != mask.stem:
            continue
        _, key, scope = parsed
        in_space = outputs()[key].scope == 'space'
        holder = Target(key, None if in_space else scope).recorded_with
        entities = {'atlas': str(scope), 'space': str(scope) if in_space else mask.space}
        sidecar = sidecar_path(path.with_name(output_name(mask.stem, holder.key, **entities)))
        about = read_json(sidecar)
        if about and (differing := _differences_of_other(about, holder, metadata, compared)):
            found |= dict.fromkeys((path, sidecar) if outputs()[key].sidecar else (path,), differing)
    return found


def _differences_of_other(
    on_disk: Mapping[str, Any],
    target: Target,
    metadata: Mapping[str, Any],
    atlases: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    """Return how an output differs from the settings of a run, ignoring its atlas if it is not in these settings."""
    own = {name: dig(on_disk, 'Parameters', name) for name in outputs()[target.key].parameters}
    same = {**(dig(on_disk, 'Atlas') or {}), 'Sources': [], 'Parameters': own}
    wanted = sidecar_for(target, metadata, {str(target.atlas): same, **atlases})
    return differences(on_disk, wanted, made_again=True)


def conflicting_results(
    root: Path, wanted: Mapping[str, Mapping[str, Any]], leave_out: Collection[Path]
) -> dict[str, list[str]]:
    """Find results that were made with other settings than those of a run.

    Parameters
    ----------
    root : pathlib.Path
        Root of the dataset.
    wanted : mapping
        Common content of the run's sidecars, by space.
    leave_out : collection of pathlib.Path
        Sidecars that are compared elsewhere.

    Returns
    -------
    dict
        Differences in words, by file name.
    """
    conflicts = {}
    for path in _map_sidecars(root):
        on_disk = None if path in leave_out else read_json(path)
        common = wanted.get(str(on_disk.get('Space'))) if on_disk else None
        if on_disk and common and (found := differences(on_disk, common)):
            conflicts[path.name] = found
    return conflicts


def _map_sidecars(root: Path) -> list[Path]:
    """Return the sidecars of all maps, including removed maps."""
    name = output_name('sub-*', 'disconnection_map', space='*')
    return sorted(root.glob(f'sub-*/**/{sidecar_path(Path(name)).name}'))


def remove_unused_connectomes(root: Path) -> None:
    """Remove tractogram densities that are no longer the denominator of any map, and their support masks."""
    densities = sorted((root / 'connectome').glob('*_tdi.nii.gz'))
    if len(densities) < 2:
        return
    used = {(read_json(path) or {}).get('Denominator') for path in _map_sidecars(root)}
    for path in densities:
        if f'bids::{path.relative_to(root).as_posix()}' not in used:
            support = path.with_name(path.name.replace('_tdi.', '_desc-support_mask.'))
            for each in (path, support):
                each.unlink(missing_ok=True)
                sidecar_path(each).unlink(missing_ok=True)


def check_output_dir(root: Path, source: Path | None = None) -> None:
    """Raise an error if an output folder cannot be written, or belongs to something else; nothing is created.

    Raises
    ------
    InputError
    """

    if root.exists() and not root.is_dir():
        message = f'the output folder {root} is a file'
        raise InputError(message)
    if source and source.is_dir() and root.exists() and root.samefile(source):
        message = f'the output folder {root} is the input folder; choose another'
        raise InputError(message)
    existing = next(path for path in (root, *root.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        message = f'cannot write to the output folder {root}: no permission in {existing}'
        raise InputError(message)
    if read_json(root / 'dataset_description.json') is not None and 'Lacuna' not in generated_by(root):
        message = f'the output folder {root} holds a dataset that was not made by Lacuna; choose another'
        raise InputError(message)


def check_one_tractogram(root: Path) -> None:
    """Raise an error if an output folder has results over several tractograms.

    Raises
    ------
    InputError
    """
    if found := tractogram_dirs(root):
        message = (
            f'the output folder {root} holds the results of a run over several tractograms ({", ".join(found)}); '
            'choose another folder, or repeat --connectome-path for each of them'
        )
        raise InputError(message)
