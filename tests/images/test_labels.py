"""Label tables in all the forms in which they are found: what is read, and that nothing is read in two ways."""

import nibabel as nb
import numpy as np
import pytest

from lacuna.errors import InputError
from lacuna.images.atlases import Atlas, read_parcellation
from lacuna.images.labels import read_labels

AB = {1: 'left', 2: 'right'}
ITKSNAP = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
    0     0    0    0        0  0  0    "Clear Label"
    7   255    0    0        1  1  1    "Left Thalamus 2"
   12     0  255    0      0.5  1  0    "Caudate"
"""
FREESURFER = """\
#$Id: FreeSurferColorLUT.txt $
#No. Label Name:                            R   G   B   A

0   Unknown                                 0   0   0   0
17  Left-Hippocampus                        220 216 20  0
1001    ctx-lh-bankssts                     25  100 40  0
"""


@pytest.mark.parametrize(
    ('name', 'text', 'labels'),
    [
        # headers, in any case and order, with all separators
        ('a.tsv', 'index\tname\n1\tleft\n2\tright\n', AB),
        ('a.tsv', 'index\tlabel\tcolor\n7\tb\t#fff\n3\ta\t#000\n', {3: 'a', 7: 'b'}),
        ('a.tsv', 'name\tindex\nUnknown\t0\nNA\t5\n', {5: 'NA'}),
        ('a.tsv', '\ufeffindex\tname\r\n1.0\tx\r\n', {1: 'x'}),
        ('a.txt', 'index\tname\n1\tx\n', {1: 'x'}),
        ('a.csv', 'index,name\n1,left\n2,right\n', AB),
        ('a.csv', '\ufeffIndex;Name\r\n2;right\r\n1;left\r\n', AB),
        ('a.csv', 'sep=;\nIndex;Name\n2;right\n1;left\n', AB),
        ('a.txt', 'Index | Name\n1 | left\n2 | right\n', AB),
        ('a.txt', 'index  label  hemisphere\n1  left  L\n2  right  R\n', AB),
        ('a.txt', 'Index Name\n1 left hand\n2 right\n', {1: 'left hand', 2: 'right'}),
        ('a.csv', '"index","name"\n"1","left, front"\n"2","say ""x"""\n', {1: 'left, front', 2: 'say "x"'}),
        ('a.csv', 'ROI,Name\n1,left\n2,right\n', AB),
        ('a.csv', 'label,name\n1,left\n2,right\n', AB),
        ('a.csv', 'name,label\nleft,1\nright,2\n', AB),
        ('a.csv', 'roi,label\nleft,1\nright,2\n', AB),
        ('a.csv', 'value,region\n1,left\n2,right\n', AB),
        ('a.tsv', 'index\tlabel\tname\n1\tL\tleft\n2\tR\tright\n', AB),
        ('a.tsv', 'index\tlabel\n1\t17\n2\t18\n', {1: '17', 2: '18'}),
        ('a.csv', 'index,name,note\n1,left\n2,right,\n,,\n', AB),
        ('a.csv', '# made by hand\nindex,name\n# left first\n1,left\n\n2,right', AB),
        ('a.tsv', 'index\tname\n0\t\n1\tleft\n2\tright\n', AB),
        # no header
        ('a.csv', '1,left\n2,right\n', AB),
        ('a.csv', '"1";"left"\n"2";"right"\n', AB),
        ('a.csv', '1, left\n2, right\n', AB),
        ('a.txt', '1: left\n2: right\n', AB),
        ('a.tsv', '1\tleft\t#ff0000\n2\tright\t#00ff00\n', AB),
        ('a.csv', '1,left,255,0,0\n2,right,0,255,0\n', AB),
        ('a.txt', '1 left, front\n2 right\n', {1: 'left, front', 2: 'right'}),
        ('a.txt', '81\tLeft_Cuneus\n2  Right Cuneus\n', {2: 'Right Cuneus', 81: 'Left_Cuneus'}),
        ('a.txt', '4 Area 44\n5 Area 45\n6 Insula\n', {4: 'Area 44', 5: 'Area 45', 6: 'Insula'}),
        ('a.txt', '4 Area 44\n5 Area 45\n', {4: 'Area 44', 5: 'Area 45'}),
        ('a.txt', '1 3rd_ventricle\n2 4th_ventricle\n', {1: '3rd_ventricle', 2: '4th_ventricle'}),
        ('a.txt', '1.0 left\n2.000 right\n', AB),
        ('a.txt', FREESURFER, {17: 'Left-Hippocampus', 1001: 'ctx-lh-bankssts'}),
        ('a.ctab', FREESURFER.replace('  0\n', '\n'), {17: 'Left-Hippocampus', 1001: 'ctx-lh-bankssts'}),
        ('a.label', ITKSNAP, {7: 'Left Thalamus 2', 12: 'Caudate'}),
        ('a.txt', '1 Precentral_L 2001\n2 Precentral_R 2002\n', {1: 'Precentral_L', 2: 'Precentral_R'}),
        # nothing of a name ends a line or a cell of our tables
        ('a.csv', 'index,name\n1,"a\tb"\n2,c\u2028d\xa0e\n', {1: 'a b', 2: 'c d e'}),
    ],
)  # fmt: skip
def test_forms(tmp_path, name, text, labels):
    path = tmp_path / name
    path.write_bytes(text.encode())
    assert read_labels(path, set(labels)) == labels
    assert read_labels(path) == labels
    assert list(read_labels(path)) == sorted(labels)


def test_a_header_moves_no_name(tmp_path):
    """What was read as one name a line: 'index,name' would have been the name of label 1."""
    for number, text in enumerate(
        ('index,name\n1,a\n2,b\n', 'Index;Name\n1;a\n2;b\n', 'index name\n1 a\n2 b\n')
    ):
        path = tmp_path / f'{number}.txt'
        path.write_text(text)
        assert read_labels(path, {1, 2}) == {1: 'a', 2: 'b'}
        assert read_labels(path, {1, 2, 3}) == {1: 'a', 2: 'b'}


def test_a_title_is_no_name(tmp_path):
    path = tmp_path / 'a.csv'
    path.write_text('My atlas\n1,a\n2,b\n')
    with pytest.raises(InputError, match="line 1: 'My atlas' has no value"):
        read_labels(path, {1, 2, 3})


def test_names_alone(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('HIP-rh\n3rd ventricle\n\n"CAU-lh"')
    assert read_labels(path, {0, 1, 2, 3}) == {1: 'HIP-rh', 2: '3rd ventricle', 3: 'CAU-lh'}
    for image_labels in ((), {1, 2}, {1, 2, 4}, {1, 2, 3, 4}):
        with pytest.raises(InputError, match='3 names without values'):
            read_labels(path, image_labels)


def test_the_image_decides_between_two_values(tmp_path):
    path = tmp_path / 'aal.txt'
    path.write_text('1 Precentral_L 2001\n2 Precentral_R 2002\n')
    assert read_labels(path, {1, 2}) == {1: 'Precentral_L', 2: 'Precentral_R'}
    assert read_labels(path, {0, 2001, 2002}) == {2001: 'Precentral_L', 2002: 'Precentral_R'}
    path.write_text('1 Precentral_L 2\n2 Precentral_R 1\n')
    with pytest.raises(InputError, match='more than one column of values'):
        read_labels(path, {1, 2})
    path.write_text('index,label,name\n1,1002,a\n2,1003,b\n')
    assert read_labels(path, {1002}) == {1002: 'a', 1003: 'b'}
    assert read_labels(path, {2}) == {1: 'a', 2: 'b'}
    path.write_text('index,value,name\n1,2,a\n2,3,b\n')
    with pytest.raises(InputError, match='more than one column of values'):
        read_labels(path, {2})


@pytest.mark.parametrize(
    ('text', 'says'),
    [
        ('index\tname\nx\ty\n', "line 2: the value 'x'"),
        ('index\tname\n1\tx\n\t\n-1\ty\n', "line 4: the value '-1'"),
        ('index\tname\n1.5\ty\n', "line 2: the value '1.5'"),
        ('index\tname\n3000000000\ty\n', 'line 2: the value'),
        ('index\tname\nn/a\ty\n', 'line 2: the value'),
        ('index\tname\n1\t\n', 'line 2: the value 1 has no name'),
        ('index\tname\n1\tn/a\n', 'line 2: the value 1 has no name'),
        ('index\tname\n1\tx\n1\ty\n', "line 3: the value '1' .*line 2"),
        ('# x\nindex\tname\n1\tx\n2\tx\n', "line 4: the name 'x' .*line 3"),
        ('index\tlabel\themisphere\n1\tCuneus\tL\n2\tCuneus\tR\n', 'line 3: the name'),
        ('index\tname\n0\tbackground\n', 'no labels'),
        ('', 'no labels'),
        ('# nothing\n', 'no labels'),
        ('index,name\n1,left, front\n2,right\n', r'line 2: it has 3 columns, the header has 2 \(a name'),
        ('index name side\n1 left\n2 right R\n', 'line 2: it has 2 columns, the header has 3'),
        ('index,index,name\n1,2,x\n', "line 1: .*'index'"),
        ('index,value\n1,2\n', 'line 1: '),
        ('region,structure\na,b\n', 'line 1: .*index and name'),
        ('Num,Area\n1,a\n2,b\n', r"line 1: 'Num,Area' has no value"),
        ('1,a\n2,b,c\n', "line 2: '2,b,c' has columns that no header names"),
        ('1 a\nb\n3 c\n', "line 2: 'b' has no value"),
        ('a\nb\n3 c\n', "line 3: '3 c' has a value and a name"),
        ('1,a\n2 b\n3,c\n', 'line [12]: '),
        ('0 Unknown 0 0 0 0\n17 Hippocampus\n18 Amygdala 1 2 3 0\n', "line 2: '17 Hippocampus' has a value and a name"),
        ('1 a\n-2 b\n', "line 2: the value '-2'"),
        ('1\n2\n', "line 1: '1' has columns that no header names"),
        ('1 10 Left\n2 20 Right\n', 'line 1: '),
        ('Left 1\nRight 2\n', '2 names without values'),
        ('Left,1\nRight,2\n', 'line 1: .*index and name'),
        ('region\nLeft\nRight\n', "line 1: .*'region'"),
        ('<?xml version="1.0"?><atlas><label index="0">x</label></atlas>', 'XML or JSON'),
        ('{"1": "x"}', 'XML or JSON'),
        ('index\tname\n1\ta\x01b\n', 'cannot be printed'),
    ],
)  # fmt: skip
@pytest.mark.parametrize('ending', ['.tsv', '.txt'])
def test_refused(tmp_path, text, says, ending):
    path = tmp_path / f'a{ending}'
    path.write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        read_labels(path)
    assert str(path) in str(caught.value)


def test_unreadable(tmp_path):
    path = tmp_path / 'b.txt'
    with pytest.raises(InputError, match='cannot read'):
        read_labels(path)
    for content, says in (
        ('index\tname\n1\ta\n'.encode('utf-16'), 'UTF-16.*UTF-8'),
        ('index\tname\n1\ta\n'.encode('utf-16-le'), 'UTF-8'),
        ('1 Cortex entorhinal médial\n'.encode('latin-1'), 'UTF-8'),
        (b'1 a\n2 \0b\n', 'UTF-8'),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=f'cannot read.*{says}'):
            read_labels(path)


@pytest.mark.shared
@pytest.mark.parametrize(
    ('image', 'table', 'count', 'some'),
    [
        ('CerebrA.nii.gz', 'CerebrA.txt', 102, {81: 'Left_Caudal_Anterior_Cingulate', 2: 'Right_Vermal_lobules_VI-VII'}),
        ('Tian_Subcortex_S1_3T_1mm.nii.gz', 'Tian_Subcortex_S1_3T_label.txt', 16, {1: 'HIP-rh', 16: 'CAU-lh'}),
        ('nemo_fs86_allsubj_mode.nii.gz', 'nemo_atlas-fs86_dseg.tsv', 86, {2: 'Left-Thalamus-Proper', 86: 'ctx-rh-insula'}),
        ('nemo_Yeo2011_7Networks_MNI152_182x218x182_LiberalMask.nii.gz', 'nemo_atlas-yeo7_dseg.tsv', 7, {7: '7Networks_7_Default'}),
        ('pynets_AICHAJoliot2015.nii.gz', 'pynets_AICHAJoliot2015.txt', 384, {384: 'N_Thalamus_9_R'}),
    ],
)  # fmt: skip
def test_real_atlases(shared, image, table, count, some):
    folder = shared / 'data/atlases'
    found = read_parcellation(Atlas('a', folder / image, folder / table, 'MNI152NLin6Asym', 'given'))
    values = np.unique(np.asanyarray(nb.load(folder / image).dataobj)).astype(int).tolist()
    names = read_labels(folder / table, [value for value in values if value])
    assert tuple(names.values()) == found.names
    assert len(names) == count
    assert {value: names[value] for value in some} == some
    assert set(np.unique(found.index).tolist()) - {0} <= set(range(1, count + 1))


@pytest.mark.shared
@pytest.mark.parametrize('table', ['nemo_atlas-aal3_scale-166_dseg.tsv', 'names alone'])
def test_the_table_of_another_image(shared, tmp_path, table):
    """AAL3's image has gaps at 35, 36, 81, 82: names numbered from 1 to 166 are those of another image."""
    folder = shared / 'data/atlases'
    image = folder / 'nemo_AAL3v1_MNI152_1mm_182x218x182.nii.gz'
    path, says = folder / table, 'have no name .*: 167, 168, 169, 170'
    if table == 'names alone':
        rows = (folder / 'nemo_atlas-aal3_scale-166_dseg.tsv').read_text().splitlines()[1:]
        path, says = tmp_path / 'names.txt', '166 names without values'
        path.write_text('\n'.join(row.split('\t')[1] for row in rows))
    with pytest.raises(InputError, match=says):
        read_parcellation(Atlas('aal3', image, path, 'MNI152NLin6Asym', 'given'))
