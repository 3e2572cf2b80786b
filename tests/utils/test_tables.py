"""Tables as spreadsheets, R and people write them are read cell by cell, or refused in one line."""

from __future__ import annotations

import pytest

from lacuna.errors import InputError
from lacuna.utils.tables import read_table

ROWS = [{'id': 'a', 'score': '0.5', 'note': ''}, {'id': 'b', 'score': '-1', 'note': 'x, y'}]


@pytest.mark.parametrize(
    'content',
    [
        'id\tscore\tnote\na\t0.5\t\nb\t-1\tx, y\n',
        'id,score,note\na,0.5,\nb,-1,"x, y"\n',
        'id;score;note\na;0,5;\nb;-1;x, y\n',
        '\ufeff"id"\t"score"\t"note"\r\n"a"\t0.5\t""\r\n"b"\t-1\t"x, y"\r\n',
        'id\tscore\tnote\ra\t0.5\rb\t-1\tx, y\r',
        ' id \t score \tnote\t\na \t 0.5\t\t\n\n\t\t\nb\t-1\tx, y\t\t\n',
    ],
)
def test_forms_of_the_same_table(tmp_path, content):
    path = tmp_path / 'scores.txt'
    path.write_bytes(content.encode())
    columns, rows = read_table(path)
    assert columns == ['id', 'score', 'note']
    assert [cells for _, cells in rows] == ROWS


def test_only_semicolons_make_decimal_commas(tmp_path):
    path = tmp_path / 'scores.tsv'
    path.write_text('id\tscore\na\t0,5\n')
    assert read_table(path)[1] == [(2, {'id': 'a', 'score': '0,5'})]


@pytest.mark.parametrize(
    ('content', 'word'),
    [
        (b'id\tscore\tscore\na\t1\t2\n', 'score'),
        (b'id\tscore\na\t1\nb\t2\t3\n', 'line 3'),
        (b'id\tnote\na\t"5 in\nb\t2\nc\t5 in" x\n', 'line'),
        (b'id\tnote\na\t"5 in\nb\t2\n', 'line'),
        ('id\tnote\nä\tö\n'.encode('latin-1'), 'UTF-8'),
        ('id\tnote\n'.encode('utf-16'), 'UTF-8'),
    ],
)
def test_a_table_that_would_be_misread_is_refused(tmp_path, content, word):
    path = tmp_path / 'scores.tsv'
    path.write_bytes(content)
    with pytest.raises(InputError, match=r'scores\.tsv') as refused:
        read_table(path)
    assert word in str(refused.value)
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize('name', ['missing.tsv', '.'])
def test_a_file_that_cannot_be_read_is_named_once_without_numbers(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refused:
        read_table(tmp_path / name)
    assert str(refused.value).count(str(tmp_path)) == 1
    assert 'Errno' not in str(refused.value)
