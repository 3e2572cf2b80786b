"""The tables of lesions: fast, and as pandas writes and reads them."""

import numpy as np
import pandas as pd
import pytest

from lacuna.bids.matrices import connection_file, matrix_bytes, parcels_bytes
from lacuna.bids.tables import read_matrix, read_parcels
from lacuna.streamlines.connections import Connections
from lacuna.streamlines.disconnection import ParcelDisconnection
from lacuna.streamlines.endpoints import EndpointTable
from lacuna.streamlines.weighting import Cut

NAMES = ('a', 'b"c', 'd\te', 'f g', 'ü', 'NA', '1', "'q'", ' lead', 'x,y', 'n/a')


@pytest.mark.parametrize('scale', [1, 1.1, 1e-7 / 3, 1e17 / 7])
def test_a_matrix_is_written_as_pandas_writes_it(scale):
    random = np.random.default_rng(0)
    matrix = random.integers(0, 3, (len(NAMES),) * 2) * scale
    frame = pd.DataFrame(matrix, index=pd.Index(NAMES, name='region'), columns=list(NAMES))
    assert matrix_bytes(NAMES, matrix).decode() == frame.to_csv(sep='\t', na_rep='n/a')


def test_a_table_of_parcels_is_written_as_pandas_writes_it():
    values = np.random.default_rng(0).random(len(NAMES)) * 100
    values[3] = np.nan
    series = pd.Series(values, index=pd.Index(NAMES, name='region'), name='value')
    assert parcels_bytes(NAMES, values).decode() == series.to_csv(sep='\t', na_rep='n/a')


def test_what_is_written_is_read(tmp_path):
    """The frames of a lesion in Python are those that its files hold."""
    names = ('one', 'two', 'three', 'none')
    pairs = np.array([[1, 2], [2, 3], [2, 1], [3, 0], [1, 3], [3, 3]])
    table = EndpointTable.of(pairs, names, np.arange(5))
    found = ParcelDisconnection(Connections(table), Cut(np.array([0, 1, 3])))
    for key in ('disconnection_matrix', 'mask_matrix', 'intact_matrix', 'full_matrix', 'roi_disconnection'):
        (tmp_path / key).write_bytes(connection_file(key, found.connections))
    for key, frame in (
        ('disconnection_matrix', found.matrix),
        ('mask_matrix', found.lesion_matrix),
        ('intact_matrix', found.intact_matrix),
        ('full_matrix', found.full_matrix),
    ):
        pd.testing.assert_frame_equal(
            read_matrix(tmp_path / key), frame.astype(float), check_names=False, check_exact=True
        )
    read = read_parcels(tmp_path / 'roi_disconnection')
    pd.testing.assert_series_equal(read, found.disconnection, check_names=False, check_exact=True)
    assert b'none\tn/a\n' in (tmp_path / 'roi_disconnection').read_bytes()
