"""Tables of bundles: every form that is in use is read, one is written."""

import numpy as np
import pytest

from lacuna.errors import TractogramError
from lacuna.streamlines.files.bundle_tables import read_bundles, write_bundles


def as_lists(bundles):
    return {name: rows.tolist() for name, rows in bundles.items()}


@pytest.mark.parametrize(
    'text',
    [
        'bundle\tfirst\tcount\nAF L\t0\t2\nSLF\t2\t1\nAF L\t4\t1\nnone\t0\t0\n',
        'name\tfirst\tcount\nAF L\t0\t2\nSLF\t2\t1\nAF L\t4\t1\nnone\t0\t0\n',
        'bundle\tkind\tfirst_index\tcount\tpoints\nAF L\ta\t0\t2\t9\nSLF\ta\t2\t1\t3\nAF L\ta\t4\t1\t3\nnone\ta\t0\t0\t0\n',
        '\ufeffbundle,first,count\r\n"AF L",0,2\r\nSLF,2,1\r\nAF L,4,1\r\nAF L,1,1\r\nnone,0,0\r\n',
    ],
)
def test_runs(tmp_path, text):
    (tmp_path / 'a_bundles.tsv').write_text(text)
    found = as_lists(read_bundles(tmp_path / 'a_bundles.tsv', 5))
    assert found == {'AF L': [0, 1, 4], 'SLF': [2], 'none': []}


def test_a_label_a_line(tmp_path):
    (tmp_path / 'a_bundles.tsv').write_text('AF, left\nSLF\n\nn/a\nAF, left\n')
    assert as_lists(read_bundles(tmp_path / 'a_bundles.tsv', 5)) == {'AF, left': [0, 4], 'SLF': [1]}
    (tmp_path / 'b_bundles.tsv').write_text('bundle\nAF\nSLF\n')
    assert as_lists(read_bundles(tmp_path / 'b_bundles.tsv', 2)) == {'AF': [0], 'SLF': [1]}


def test_numbers_and_their_names(tmp_path):
    """Given either file, the other is beside it; a bundle without a streamline stays, a number without a name does not."""
    (tmp_path / 'a.txt').write_text('3\n0\n10\n3\n7\n')
    assert list(read_bundles(tmp_path / 'a.txt', 5)) == ['0', '3', '7', '10']
    (tmp_path / 'a.tsv').write_text('index\tname\n10\tSLF\n3\tAF L\n0\tCST\n4\tIFOF\n')
    wanted = {'SLF': [2], 'AF L': [0, 3], 'CST': [1], 'IFOF': []}
    for name in ('a.txt', 'a.tsv'):
        assert as_lists(read_bundles(tmp_path / name, 5)) == wanted
    (tmp_path / 'a.txt').rename(tmp_path / 'a_clusters.txt')
    for name in ('a_clusters.txt', 'a.tsv'):
        assert as_lists(read_bundles(tmp_path / name, 5)) == wanted


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('bundle\tfirst\tcount\nAF\t0\t6\n', 'a run of 6 streamlines from 0'),
        ('bundle\tfirst\tcount\nAF\t-1\t2\n', 'from -1'),
        ('bundle\tfirst\tcount\nAF\tx\t2\n', "'x'"),
        ('bundle\tfirst\tcount\nAF\t1\n', 'None'),
        ('bundle\tbegin\tcount\nAF\t0\t1\n', 'no column first'),
        ('bundle\tfirst\tcount\n\t0\t1\n', 'name of a bundle'),
        ('AF\nSLF\n', '2 lines, but the tractogram has 5 streamlines'),
        ('index\tname\n1\tAF\n', 'No such file'),
    ],
)
def test_faults(tmp_path, text, words):
    (tmp_path / 'a.tsv').write_text(text)
    with pytest.raises(TractogramError, match=words) as caught:
        read_bundles(tmp_path / 'a.tsv', 5)
    assert str(tmp_path / 'a.tsv') in str(caught.value)


def test_a_name_or_a_number_that_is_there_twice(tmp_path):
    (tmp_path / 'a.txt').write_text('1\n2\n')
    (tmp_path / 'a.tsv').write_text('index\tname\n1\tAF\n2\tAF\n')
    with pytest.raises(TractogramError, match='twice'):
        read_bundles(tmp_path / 'a.tsv', 2)


def test_one_form_is_written(tmp_path):
    write_bundles(tmp_path / 'a.tsv', {'AF': np.array([1, 2, 7]), 'IFOF': np.array([], int)})
    assert (tmp_path / 'a.tsv').read_text() == 'bundle\tfirst\tcount\nAF\t1\t2\nAF\t7\t1\nIFOF\t0\t0\n'
    assert as_lists(read_bundles(tmp_path / 'a.tsv', 8)) == {'AF': [1, 2, 7], 'IFOF': []}


@pytest.mark.shared
def test_the_tables_of_the_shared_tractograms(shared):
    folder = shared / 'data/tractograms'
    hcp = read_bundles(folder / 'HCP842.tsv', 77754)
    assert (len(hcp), sum(map(len, hcp.values()))) == (75, 77754)
    assert hcp['AF_R'][[0, -1]].tolist() == [4482, 5626]
    adult = read_bundles(folder / 'ICBM152_adult_clusters.txt', 10403)
    assert (len(adult), sum(map(len, adult.values()))) == (106, 10403)
    assert len(adult['Association_ArcuateFasciculusL']) == 196
