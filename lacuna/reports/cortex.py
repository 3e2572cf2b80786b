"""Figure of a lesion's parcels on the cortical surface, from the atlas that the results were made with."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from lacuna.bids.origins import atlas_source
from lacuna.bids.results import LesionResults
from lacuna.errors import InputError
from lacuna.images.atlases import Atlas, read_parcellation
from lacuna.images.cortex import vertex_parcels
from lacuna.reports.figures.style import own_scale
from lacuna.reports.figures.surface import surface_figure
from lacuna.utils.files import dig, read_json
from lacuna.utils.names import sidecar_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def cortex_figure(lesion: LesionResults, atlas: str) -> Figure | None:
    """Draw the parcels on the cortex; None if the atlas has none there, or its files are missing or changed."""
    table = lesion.path('roi_disconnection', atlas) or lesion.path('mean_parcels', atlas)
    sidecar = (read_json(sidecar_path(table)) if table else None) or {}
    source = atlas_source(lesion.root, sidecar, lesion.links)
    if source is None:
        return None
    try:
        names, parcels = _on_cortex(source, str(dig(sidecar, 'Atlas', 'SHA256')))
    except InputError:
        return None
    percent = lesion.parcels(atlas)
    if parcels is None or tuple(map(str, percent.index)) != names:
        return None
    values = percent.to_numpy(float)
    return surface_figure(values, parcels, auto=own_scale(values))


@lru_cache(maxsize=16)
def _on_cortex(atlas: Atlas, sha256: str) -> tuple[tuple[str, ...], dict[str, np.ndarray] | None]:
    """Return the names of the parcels, and the parcel of each cortical vertex; cached for all lesions of a process."""
    parcellation = read_parcellation(atlas)
    if parcellation.sha256 != sha256:
        message = f'the atlas {atlas.name} has changed'
        raise InputError(message)
    return parcellation.names, vertex_parcels(parcellation)
