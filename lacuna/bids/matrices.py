"""Write the tables of one lesion and one atlas, fast and with the same bytes as pandas."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from lacuna.bids.tables import NOT_AVAILABLE, table_bytes
from lacuna.measures import disconnection_percent, roi_disconnection
from lacuna.utils.files import json_bytes


def matrix_bytes(names: tuple[str, ...], matrix: np.ndarray) -> bytes:
    """Return a square matrix by region as a table, as pandas writes it, in a tenth of the time.

    >>> matrix_bytes(('a', 'b'), np.array([[0, 12.5], [12.5, 0]]))
    b'region\\ta\\tb\\na\\t0.0\\t12.5\\nb\\t12.5\\t0.0\\n'
    """
    # most cells of most matrices are 0
    cells = np.full(matrix.shape, repr(matrix.dtype.type(0).item()), object)
    filled = np.nonzero(matrix)
    cells[filled] = _texts(matrix[filled])
    return _by_region(names, '\t'.join(_labels(names)), map('\t'.join, cells.tolist()))


def parcels_bytes(names: tuple[str, ...], values: np.ndarray) -> bytes:
    """Return a value for each region as a table.

    >>> parcels_bytes(('a', 'b'), np.array([12.5, np.nan]))
    b'region\\tvalue\\na\\t12.5\\nb\\tn/a\\n'
    """
    return _by_region(names, 'value', _texts(values))


def columns_bytes(first: str, names: Sequence[str], columns: Mapping[str, np.ndarray]) -> bytes:
    """A row for each name, with a value in each column.

    >>> columns_bytes('bundle', ['AF'], {'value': np.array([12.5]), 'streamlines': np.array([8])})
    b'bundle\\tvalue\\tstreamlines\\nAF\\t12.5\\t8\\n'
    """
    rows = zip(names, *(values.tolist() for values in columns.values()), strict=True)
    return table_bytes([first, *columns], rows)


def connectivity_files(
    names: tuple[str, ...], lesion_matrix: np.ndarray, full_matrix: np.ndarray, statistics: Mapping[str, Any]
) -> dict[str, bytes]:
    """Return the files of one lesion and one atlas, by the key of the output.

    Parameters
    ----------
    names : tuple of str
        Names of the parcels.
    lesion_matrix, full_matrix : numpy.ndarray
        (parcels, parcels) counts of the disconnected and of all streamlines.
    statistics : mapping
        See `lacuna.measures.matrix_statistics`.
    """
    matrices = {
        'disconnection_matrix': disconnection_percent(lesion_matrix, full_matrix),
        'mask_matrix': lesion_matrix,
        'intact_matrix': full_matrix - lesion_matrix,
        'full_matrix': full_matrix,
    }
    return {
        **{key: matrix_bytes(names, matrix) for key, matrix in matrices.items()},
        'roi_disconnection': parcels_bytes(names, roi_disconnection(lesion_matrix, full_matrix)),
        'matrix_statistics': json_bytes(statistics),
    }


def _by_region(names: tuple[str, ...], header: str, rows: Iterable[str]) -> bytes:
    lines = (f'{label}\t{row}\n' for label, row in zip(_labels(names), rows, strict=True))
    return f'region\t{header}\n{"".join(lines)}'.encode()


def _texts(values: np.ndarray) -> list[str]:
    """Return numbers in the shortest form that can be read back exactly."""
    return [NOT_AVAILABLE if math.isnan(value) else repr(value) for value in values.tolist()]


@lru_cache(maxsize=16)
def _labels(names: tuple[str, ...]) -> list[str]:
    """Return the names of regions as cells of a table, quoted if they contain a quote or a tab; the same for all lesions."""
    return [table_bytes([name, ''], []).decode().removesuffix('\t\n') for name in names]
