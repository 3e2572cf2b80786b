"""The null lesions of a run."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from lacuna.bids.inputs import find_masks
from lacuna.execution.config import RunConfig
from lacuna.streamlines.inspection import checksum
from lacuna.streamlines.null_settings import NullSettings


def null_settings(config: RunConfig) -> NullSettings | None:
    """Return the settings of null lesions; None if there are none.

    Raises
    ------
    InputError
        If a file is missing, or a folder contains no masks.
    """
    if not config.null_lesions:
        return None
    given = config.null_reference
    reference = find_masks(given) if given and given.is_dir() else [given] if given else []
    return NullSettings(
        n=config.null_lesions,
        seed=config.null_seed,
        inside=config.null_inside,
        within=config.null_within,
        mirrors=config.null_mirrors,
        reference=tuple(reference),
        tissues=tuple(map(Path, config.null_tissues)),
    )


def null_metadata(settings: NullSettings | None, cache: Path) -> dict[str, Any]:
    """Return the fields of sidecars about null lesions."""
    if settings is None:
        return {}
    about = {
        'Count': settings.n,
        'Seed': settings.seed,
        'Inside': settings.inside,
        'Within': settings.within,
        'Mirrors': settings.mirrors,
    }
    if files := [*settings.reference, *settings.tissues]:
        digests = [checksum(path, cache) for path in files]
        about['SHA256'] = hashlib.sha256(''.join(digests).encode()).hexdigest()
    return {'NullLesions': about}
