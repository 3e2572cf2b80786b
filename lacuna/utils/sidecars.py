"""JSON files that describe images and datasets: BIDS inheritance, and Lacuna's entry in them."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import lacuna
from lacuna.utils.files import read_sidecar
from lacuna.utils.names import NIFTI, parse_entities, sidecar_path


def generator(description: str | None = None, *, name: str = 'Lacuna') -> dict[str, str]:
    """Return Lacuna's entry in the ``GeneratedBy`` of a sidecar or dataset.

    >>> list(generator('engine: index'))
    ['Name', 'Version', 'Description']
    """
    about = {} if description is None else {'Description': description}
    return {'Name': name, 'Version': lacuna.__version__, **about}


def inherited_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata of an image from all JSON files that apply by BIDS's inheritance principle.

    These are in the folder of the image, or above it up to the dataset's root, and have only entities of the image:
    ``mask.json``, ``space-MNI152NLin6Asym_mask.json``, ``sub-01/sub-01_mask.json``. Nearer files take precedence.
    """
    folders = [path.parent]
    if participant := next((each for each in path.parents if each.name.startswith('sub-')), None):
        folders = [*reversed(path.relative_to(participant.parent).parents)]
        folders = [participant.parent / folder for folder in folders]
    own, wanted = sidecar_path(path), parse_entities(path.name).items()
    suffix = NIFTI.sub('', path.name).rpartition('_')[2]
    found: dict[str, Any] = {}
    for folder in folders:
        general = [
            each
            for name in _json_files(folder)
            if (name == f'{suffix}.json' or name.endswith(f'_{suffix}.json'))
            and (each := folder / name) != own
            and parse_entities(name).items() <= wanted
        ]
        for each in sorted(general, key=lambda other: len(parse_entities(other.name))):
            found |= read_sidecar(each)
    return found | read_sidecar(own)


def _json_files(folder: Path) -> list[str]:
    """Return the names of the JSON files in a folder; cached, because the dataset's root is listed for every image."""
    try:
        changed = folder.stat().st_mtime_ns
        # soon after a change, another may leave the modification time unchanged
        settled = time.time_ns() - changed > 2_000_000_000
        return _listed(folder, changed if settled else time.time_ns())
    except OSError:
        return []


@lru_cache(maxsize=64)
def _listed(folder: Path, _as_of: int) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == '.json')
