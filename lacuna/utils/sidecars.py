"""The JSON files that describe an image, by the inheritance principle of BIDS."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

from lacuna.utils.files import read_json
from lacuna.utils.names import NIFTI, parse_entities, sidecar_path


def inherited_metadata(path: Path) -> dict[str, Any]:
    """Return the content of the JSON files that apply to an image by the inheritance principle of BIDS.

    They are in the folder of the image or in one above it, up to that of the dataset, and have no entity that the image
    lacks: ``mask.json``, ``space-MNI152NLin6Asym_mask.json``, ``sub-01/sub-01_mask.json``. The nearest file wins.
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
            for pattern in (f'{glob.escape(suffix)}.json', f'*_{glob.escape(suffix)}.json')
            for each in folder.glob(pattern)
            if each != own and parse_entities(each.name).items() <= wanted
        ]
        for each in sorted(general, key=lambda other: len(parse_entities(other.name))):
            found |= read_json(each) or {}
    return found | (read_json(own) or {})
