"""Write the tables of one lesion and one atlas, fast and byte for byte as pandas would."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from lacuna.bids.tables import NOT_AVAILABLE, table_bytes
from lacuna.utils.files import json_bytes


def matrix_bytes(names: tuple[str, ...], matrix: np.ndarray) -> bytes:
    """Return a square matrix of regions as a table, as pandas writes it but ten times faster.

    >>> matrix_bytes(('a', 'b'), np.array([[0, 12.5], [12.5, 0]]))
    b'region\\ta\\tb\\na\\t0.0\\t12.5\\nb\\t12.5\\t0.0\\n'
    """
    # fill with 0, the value of most cells
    cells = np.full(matrix.shape, repr(matrix.dtype.type(0).item()), object)
    filled = np.nonzero(matrix)
    cells[filled] = _texts(matrix[filled])
    return _by_region(names, '\t'.join(_labels(names)), map('\t'.join, cells.tolist()))


def parcels_bytes(names: tuple[str, ...], values: np.ndarray) -> bytes:
    """Return a table with a value for each region.

    >>> parcels_bytes(('a', 'b'), np.array([12.5, np.nan]))
    b'region\\tvalue\\na\\t12.5\\nb\\tn/a\\n'
    """
    return _by_region(names, 'value', _texts(values))


def columns_bytes(first: str, names: Sequence[str], columns: Mapping[str, np.ndarray]) -> bytes:
    """Return a table with a row for each name and several columns.

    >>> columns_bytes('bundle', ['AF'], {'value': np.array([12.5]), 'streamlines': np.array([8])})
    b'bundle\\tvalue\\tstreamlines\\nAF\\t12.5\\t8\\n'
    """
    rows = zip(names, *(values.tolist() for values in columns.values()), strict=True)
    return table_bytes([first, *columns], rows)


class _Paths(Protocol):
    @property
    def delta(self) -> np.ndarray: ...
    @property
    def indirect(self) -> np.ndarray: ...
    @property
    def statistics(self) -> dict[str, Any]: ...
    @property
    def mean(self) -> np.ndarray: ...


class Connections(Protocol):
    """The connections that a lesion cuts; see ``lacuna.streamlines.connections``."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def lesion_matrix(self) -> np.ndarray: ...
    @property
    def full_matrix(self) -> np.ndarray: ...
    @property
    def percent(self) -> np.ndarray: ...
    @property
    def roi(self) -> np.ndarray: ...
    @property
    def support(self) -> dict[str, np.ndarray]: ...
    @property
    def statistics(self) -> dict[str, Any]: ...
    @property
    def by_network(self) -> tuple[list[str], np.ndarray, np.ndarray]: ...
    @property
    def longer_paths(self) -> _Paths: ...
    @property
    def mean_lengths(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...


#: how each output made from the ends of streamlines is written
_WRITERS: dict[str, Callable[[Connections], bytes]] = {
    'disconnection_matrix': lambda found: matrix_bytes(found.names, found.percent),
    'mask_matrix': lambda found: matrix_bytes(found.names, found.lesion_matrix),
    'intact_matrix': lambda found: matrix_bytes(found.names, found.full_matrix - found.lesion_matrix),
    'full_matrix': lambda found: matrix_bytes(found.names, found.full_matrix),
    'mean_length_matrix': lambda found: matrix_bytes(found.names, found.mean_lengths[0]),
    'mean_length_cut_matrix': lambda found: matrix_bytes(found.names, found.mean_lengths[1]),
    'mean_length_spared_matrix': lambda found: matrix_bytes(found.names, found.mean_lengths[2]),
    'matrix_statistics': lambda found: json_bytes(found.statistics),
    'roi_disconnection': lambda found: parcels_bytes(found.names, found.roi),
    'parcel_support': lambda found: columns_bytes('region', found.names, found.support),
    'network_disconnection': lambda found: parcels_bytes(tuple(found.by_network[0]), found.by_network[1]),
    'network_matrix': lambda found: matrix_bytes(tuple(found.by_network[0]), found.by_network[2]),
    'delta_sspl': lambda found: matrix_bytes(found.names, found.longer_paths.delta),
    'indirect_disconnection': lambda found: matrix_bytes(found.names, found.longer_paths.indirect),
    'parcel_delta_sspl': lambda found: parcels_bytes(found.names, found.longer_paths.mean),
    'higher_order_statistics': lambda found: json_bytes(found.longer_paths.statistics),
}


def connection_file(key: str, found: Connections) -> bytes:
    """Return the content of one file of a lesion and an atlas.

    Parameters
    ----------
    key : str
        Key of an output made from the ends of streamlines.
    found : Connections
    """
    return _WRITERS[key](found)


def bundles_bytes(names: Sequence[str], columns: Mapping[str, np.ndarray]) -> bytes:
    """Return the table of the bundles of a lesion."""
    return columns_bytes('bundle', names, columns)


def _by_region(names: tuple[str, ...], header: str, rows: Iterable[str]) -> bytes:
    lines = (f'{label}\t{row}\n' for label, row in zip(_labels(names), rows, strict=True))
    return f'region\t{header}\n{"".join(lines)}'.encode()


def _texts(values: np.ndarray) -> list[str]:
    """Format numbers in the shortest form that is read back exactly."""
    return [NOT_AVAILABLE if math.isnan(value) else repr(value) for value in values.tolist()]


@lru_cache(maxsize=16)
def _labels(names: tuple[str, ...]) -> list[str]:
    """Return the names of regions as cells, quoted if they contain a quote or tab; cached for all lesions."""
    return [table_bytes([name, ''], []).decode().removesuffix('\t\n') for name in names]
