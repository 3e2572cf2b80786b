"""Label tables in all the forms in which they are found."""

import pytest

from lacuna.errors import InputError
from lacuna.labels import read_labels


@pytest.mark.parametrize(
    ('name', 'text', 'labels'),
    [
        ('a.tsv', 'index\tname\n1\tleft\n2\tright\n', {1: 'left', 2: 'right'}),
        ('a.tsv', 'index\tlabel\tcolor\n7\tb\t#fff\n3\ta\t#000\n', {3: 'a', 7: 'b'}),
        ('a.tsv', 'name\tindex\nUnknown\t0\nNA\t5\n', {5: 'NA'}),
        ('a.tsv', '\ufeffindex\tname\r\n1.0\tx\r\n', {1: 'x'}),
        ('a.txt', 'index\tname\n1\tx\n', {1: 'x'}),
        ('a.txt', '81\tLeft_Cuneus\n2  Right Cuneus\n', {2: 'Right Cuneus', 81: 'Left_Cuneus'}),
        (
            'a.txt',
            '# FreeSurfer\n0 Unknown 0 0 0 0\n17 Left-Hippocampus 220 216 20 0\n',
            {17: 'Left-Hippocampus'},
        ),
        ('a.txt', 'HIP-rh\nAMY-rh\n\nCAU-lh', {1: 'HIP-rh', 2: 'AMY-rh', 3: 'CAU-lh'}),
        ('a.txt', '3rd ventricle\n4th ventricle\n', {1: '3rd ventricle', 2: '4th ventricle'}),
    ],
)
def test_forms(tmp_path, name, text, labels):
    path = tmp_path / name
    path.write_text(text, encoding='utf-8')
    assert read_labels(path) == labels
    assert list(read_labels(path)) == sorted(labels)


@pytest.mark.parametrize(
    ('text', 'says'),
    [
        ('value\tname\n1\tx\n', "needs the columns 'index' and 'name'"),
        ('index\tname\nx\ty\n', "index 'x' and name 'y'"),
        ('index\tname\n1\t\n', "name ''"),
        ('index\tname\n-1\ty\n', "index '-1'"),
        ('index\tname\n1\tx\n1\ty\n', 'value more than once: 1'),
        ('index\tname\n1\tx\n2\tx\n', 'name more than once: x'),
        ('index\tname\n0\tbackground\n', 'holds no labels'),
        ('', 'needs the columns'),
    ],
)
def test_refused(tmp_path, text, says):
    path = tmp_path / 'a.tsv'
    path.write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        read_labels(path)
    assert str(path) in str(caught.value)


def test_unreadable(tmp_path):
    with pytest.raises(InputError, match='cannot read'):
        read_labels(tmp_path / 'absent.tsv')
    (tmp_path / 'b.txt').write_bytes(b'\xff\xfe\x00binary')
    with pytest.raises(InputError, match='cannot read'):
        read_labels(tmp_path / 'b.txt')
