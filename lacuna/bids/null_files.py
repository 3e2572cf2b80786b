"""The contents of files about null lesions."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from lacuna.bids.matrices import columns_bytes, matrix_bytes
from lacuna.images.nifti import encoded
from lacuna.utils.files import json_bytes

_Columns = tuple[tuple[str, ...], dict[str, np.ndarray]]
#: matrices of pairs of parcels, by key of the output
_MATRICES = {'null_matrix': 'p', 'expected_matrix': 'expected'}


class Nulls(Protocol):
    """A lesion compared with null lesions; see ``lacuna.streamlines.nulls``."""

    @property
    def percentile(self) -> Any: ...
    @property
    def z(self) -> Any: ...
    @property
    def statistics(self) -> dict[str, Any]: ...
    def of_bundles(self) -> _Columns: ...
    def of_parcels(self, atlas: str) -> _Columns: ...
    def of_networks(self, atlas: str) -> _Columns: ...
    def of_edges(self, atlas: str) -> dict[str, np.ndarray]: ...


def null_file(key: str, atlas: str | None, found: Nulls) -> bytes:
    """Return the content of one file about the null lesions of a lesion.

    Parameters
    ----------
    key : str
        Key of an output about null lesions.
    atlas : str or None
        Name of the atlas, or of the set of bundles.
    found : Nulls
    """
    name = atlas or ''
    if key == 'null_percentile':
        return encoded(found.percentile)
    if key == 'null_z':
        return encoded(found.z)
    if key == 'null_statistics':
        return json_bytes(found.statistics)
    if key == 'null_bundles':
        return columns_bytes('bundle', *found.of_bundles())
    if key == 'null_parcels':
        return columns_bytes('region', *found.of_parcels(name))
    if key == 'null_networks':
        return columns_bytes('region', *found.of_networks(name))
    return matrix_bytes(found.of_parcels(name)[0], found.of_edges(name)[_MATRICES[key]])
