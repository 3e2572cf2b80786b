"""From folders and tables of masks to a BIDS dataset: what is copied is what was there."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from lacuna.bids.bidsify import bidsify
from lacuna.bids.inputs import find_masks
from lacuna.bids.listing import subject_label
from lacuna.bids.mask_files import describe_mask
from lacuna.cli import main
from lacuna.errors import InputError
from lacuna.testing import write_mask

SPACE = 'MNI152NLin6Asym'
#: no standard grid; in the middle of the brain
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
MNI_6, MNI_2009 = f'space-{SPACE}', 'space-MNI152NLin2009cAsym'


def write(path, value=1, at=0):
    data = np.zeros((5, 5, 5))
    data[at, 0, 0] = value
    return write_mask(path, data, AFFINE)


def content(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


def name(subject, label='lesion', session=None):
    ses = f'ses-{session}' if session else ''
    whole = '_'.join(filter(None, [f'sub-{subject}', ses, MNI_6, f'label-{label}', 'mask.nii.gz']))
    return '/'.join(filter(None, [f'sub-{subject}', ses, 'anat', whole]))


@pytest.mark.parametrize(
    ('given', 'wanted'),
    [
        ('bwsrsub-1087_lesion.nii.gz', name('1087')),
        ('Subject_003.nii.gz', name('Subject003')),
        ('P-01.nii.gz', name('P01')),
        ('sub-07/whatever.nii.gz', name('07')),
        ('sub-07/sub-08_x.nii.gz', name('08')),
        ('sub-01_ses-02_label-edema_mask.nii.gz', name('01', 'edema', '02')),
        ('P1_ses-02.nii.gz', name('P1', session='02')),
        (f'a/b/sub-01_{MNI_6}_mask.nii.gz', name('01')),
    ],
)
def test_names_of_a_folder(tmp_path, given, wanted):
    source = write(tmp_path / 'in' / given)
    found = bidsify(tmp_path / 'in', tmp_path / 'out', space=SPACE)
    assert found.written == [tmp_path / 'out' / wanted]
    assert found.written[0].read_bytes() == source.read_bytes()


def test_session_and_label_for_those_that_have_none(tmp_path):
    write(tmp_path / 'in' / 'a.nii.gz')
    write(tmp_path / 'in' / 'b_ses-9.nii.gz')
    found = bidsify(tmp_path / 'in', tmp_path / 'out', space=SPACE, session='ses-1', label='infarct')
    assert found.written == [
        tmp_path / 'out' / name('a', 'infarct', '1'),
        tmp_path / 'out' / name('b', 'infarct', '9'),
    ]


def test_dataset_is_what_run_reads(tmp_path):
    write(tmp_path / 'in' / 'sub-01.nii.gz')
    bidsify(tmp_path / 'in', tmp_path / 'out', space=SPACE)
    (path,) = find_masks(tmp_path / 'out')
    mask = describe_mask(path)
    assert (mask.subject, mask.space, mask.stem) == ('01', SPACE, 'sub-01_label-lesion')
    description = json.loads((tmp_path / 'out' / 'dataset_description.json').read_text())
    assert description['DatasetType'] == 'derivative'
    assert description['GeneratedBy'][0]['Name'] == 'Lacuna bidsify'
    # a table that BIDS does not know: its validator has to look away
    assert (tmp_path / 'out' / '.bidsignore').read_text() == 'bidsify.tsv\n'


def test_folders_say_whose_masks_of_one_name_are(tmp_path):
    for number, given in enumerate(
        ('P-01/lesion.nii.gz', 'P02/ses-1/lesion.nii.gz', 'P02/ses-2/anat/lesion.nii.gz')
    ):
        write(tmp_path / 'in' / 'study' / given, at=number)
        write(tmp_path / 'in' / 'study' / given.replace('lesion', 'T1'), value=7)
    write(tmp_path / 'in' / 'P3_lesion.nii.gz', at=3)
    found = bidsify(tmp_path / 'in', tmp_path / 'out', space=SPACE, pattern='*lesion.nii.gz')
    wanted = [name('P3lesion'), name('P01'), name('P02', session='1'), name('P02', session='2')]
    assert found.written == [tmp_path / 'out' / each for each in wanted]
    assert [int(nb.load(path).get_fdata()[:, 0, 0].argmax()) for path in found.written] == [3, 0, 1, 2]
    assert not found.faults


def test_pattern(tmp_path):
    for given in ('a/x.nii.gz', 'a/y.nii.gz', 'b/z.nii.gz'):
        write(tmp_path / 'in' / given)
    (tmp_path / 'in' / 'list.csv').write_text('subject,path\n1,a/x.nii.gz\n2,a/y.nii.gz\n3,b/z.nii.gz\n')
    for number, (pattern, count) in enumerate((('a/*', 2), ('z*', 1))):
        for source in ('in', 'in/list.csv'):
            target = tmp_path / f'{number}{source.replace("/", "-")}'
            words = ['bidsify', str(tmp_path / source), str(target), '--space', SPACE, '--pattern', pattern]
            assert main(words) == 0
            assert len(find_masks(target)) == count
    for source in ('in', 'in/list.csv'):
        with pytest.raises(InputError, match=r"that matches 'q\*'"):
            bidsify(tmp_path / source, tmp_path / 'none', space=SPACE, pattern='q*')


def test_plain_nifti_is_packed_the_same_each_time(tmp_path):
    source = write(tmp_path / 'in' / 'sub-01.nii')
    for out in ('one', 'two'):
        bidsify(tmp_path / 'in', tmp_path / out, space=SPACE)
    one, two = ((tmp_path / out / name('01')).read_bytes() for out in ('one', 'two'))
    assert one == two
    assert gzip.decompress(one) == source.read_bytes()
    assert one[3] == 0  # flags of the header: no file name
    assert one[4:8] == bytes(4)  # no time


def test_mapping(tmp_path):
    write(tmp_path / 'in' / 'deep' / 'sub-01.nii')
    write(tmp_path / 'other' / 'sub-02.nii.gz')
    out = tmp_path / 'out'
    bidsify(tmp_path / 'in', out, space=SPACE)
    bidsify(tmp_path / 'other', out, space=SPACE)
    table = pd.read_csv(out / 'bidsify.tsv', sep='\t')
    assert list(table.columns) == ['source', 'target', 'sha256']
    assert list(table['source']) == ['deep/sub-01.nii', 'sub-02.nii.gz']
    for row in table.itertuples():
        assert hashlib.sha256((out / row.target).read_bytes()).hexdigest() == row.sha256
    sources = json.loads((out / 'dataset_description.json').read_text())['SourceDatasets']
    assert [each['URL'].rsplit('/', 1)[1] for each in sources] == ['in', 'other']


@pytest.mark.parametrize('extension', ['.nii', '.nii.gz'])
def test_again_changes_nothing(tmp_path, extension):
    write(tmp_path / 'in' / f'sub-01{extension}')
    arguments = [str(tmp_path / 'in'), str(tmp_path / 'out'), '--space', SPACE]
    assert main(['bidsify', *arguments]) == 0
    before = content(tmp_path / 'out')
    assert main(['bidsify', *arguments]) == 0
    assert content(tmp_path / 'out') == before


def test_a_killed_call_goes_on(tmp_path):
    for given in ('sub-01.nii', 'sub-02.nii.gz'):
        write(tmp_path / 'in' / given)
    out = tmp_path / 'out'
    bidsify(tmp_path / 'in', out, space=SPACE)
    whole = content(out)
    half = out / name('02')
    half.rename(half.with_name(f'.tmp-{half.name}-abc.nii.gz'))
    (out / 'bidsify.tsv').unlink()
    found = bidsify(tmp_path / 'in', out, space=SPACE)
    assert found.written == [half]
    assert content(out) == whole


@pytest.mark.shared
@pytest.mark.parametrize(('folder', 'count'), [('LESYMAP', 66), ('SOOP', 290)])
def test_names_of_real_lesions_are_unique(shared, folder, count):
    paths = list((shared / 'data' / 'lesions' / folder).rglob('*.nii.gz'))
    assert len({subject_label(Path(path.name)) for path in paths}) == len(paths) == count


@pytest.mark.parametrize('extension', ['.nii', '.nii.gz'])
def test_other_file_is_never_overwritten(tmp_path, capsys, extension):
    write(tmp_path / 'in' / f'sub-02{extension}')
    arguments = [str(tmp_path / 'in'), str(tmp_path / 'out'), '--space', SPACE]
    main(['bidsify', *arguments])
    before = content(tmp_path / 'out')
    write(tmp_path / 'in' / f'sub-02{extension}', at=1)
    write(tmp_path / 'in' / 'sub-01.nii.gz')
    assert main(['bidsify', *arguments]) == 2
    assert 'nothing was written' in capsys.readouterr().err
    assert content(tmp_path / 'out') == before


def test_collision_names_both(tmp_path):
    for given in ('P-01.nii.gz', 'P01.nii'):
        write(tmp_path / 'in' / given)
    with pytest.raises(InputError, match=r'P-01\.nii\.gz and .*P01\.nii'):
        bidsify(tmp_path / 'in', tmp_path / 'out', space=SPACE)
    assert not (tmp_path / 'out').exists()


def test_bad_mask_is_named_and_others_written(tmp_path, capsys):
    write(tmp_path / 'in' / 'sub-01.nii.gz')
    write(tmp_path / 'in' / 'sub-02.nii.gz', value=3)
    write(tmp_path / 'in' / f'sub-03_{MNI_2009}_mask.nii.gz')
    write(tmp_path / 'in' / 'sub-04.nii.gz', value=0)
    (tmp_path / 'in' / 'sub-05.nii.gz').write_bytes(b'no image')
    assert main(['bidsify', str(tmp_path / 'in'), str(tmp_path / 'out'), '--space', SPACE]) == 1
    said = capsys.readouterr()
    assert 'sub-02.nii.gz: the mask is not binary: it holds 3' in said.err
    assert '--space says MNI152NLin6Asym, its name MNI152NLin2009cAsym' in said.err
    assert 'sub-04.nii.gz: the mask is empty' in said.err
    assert 'sub-05.nii.gz: the mask cannot be read' in said.err
    assert '2 masks written, 3 left out' in said.out
    assert [path.name[:6] for path in find_masks(tmp_path / 'out')] == ['sub-01', 'sub-04']


@pytest.mark.parametrize(('suffix', 'delimiter'), [('.csv', ','), ('.csv', ';'), ('.tsv', '\t')])
def test_table(tmp_path, suffix, delimiter):
    table = tmp_path / f'list{suffix}'
    rows = [
        ('Subject', 'session', 'path', 'label', 'age'),
        ('01', '', 'x/one.nii.gz', 'n/a', '50'),
        ('sub-01', '2', 'x/two.nii', 'edema', ''),
    ]
    table.write_text('\ufeff' + ''.join(delimiter.join(row) + '\r\n' for row in [*rows, ('',) * 5]))
    write(tmp_path / 'x' / 'one.nii.gz')
    write(tmp_path / 'x' / 'two.nii', at=1)
    found = bidsify(table, tmp_path / 'out', space=SPACE)
    assert found.written == [tmp_path / 'out' / name('01'), tmp_path / 'out' / name('01', 'edema', '2')]
    assert nb.load(found.written[1]).get_fdata()[1, 0, 0] == 1


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('subject,file\n01,a.nii\n', 'no column path; .* subject, file'),
        ('subject,path\n', 'lists no mask'),
        ('subject,path\nP 1,a.nii\n', "line 2: the subject 'P 1'"),
        ('subject,path\n01,\n', 'line 2: the row has no path'),
        ('', 'no column path and subject'),
    ],
)
def test_bad_table(tmp_path, text, message):
    (tmp_path / 'list.csv').write_text(text)
    with pytest.raises(InputError, match=message):
        bidsify(tmp_path / 'list.csv', tmp_path / 'out', space=SPACE)
    assert not (tmp_path / 'out').exists()


def test_missing_file_of_a_table(tmp_path):
    (tmp_path / 'list.csv').write_text('subject,path\n01,gone.nii\n02,here.nii\n03,notes.txt\n')
    write(tmp_path / 'here.nii')
    found = bidsify(tmp_path / 'list.csv', tmp_path / 'out', space=SPACE)
    assert [path.name[:6] for path in found.written] == ['sub-02']
    assert len(found.faults) == 2
    assert 'gone.nii' in found.faults[0]
    assert 'notes.txt: a mask is a NIfTI file' in found.faults[1]


def test_refused_folders(tmp_path):
    write(tmp_path / 'in' / 'sub-01.nii.gz')
    with pytest.raises(InputError, match='is the input folder'):
        bidsify(tmp_path / 'in', tmp_path / 'in', space=SPACE)
    with pytest.raises(InputError, match='is not supported'):
        bidsify(tmp_path / 'in', tmp_path / 'out', space='MNI305')
    with pytest.raises(InputError, match='the label'):
        bidsify(tmp_path / 'in', tmp_path / 'out', space=SPACE, label='a_b')
    with pytest.raises(InputError, match='give a folder'):
        bidsify(tmp_path / 'gone', tmp_path / 'out', space=SPACE)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match='no file ends with'):
        bidsify(tmp_path / 'empty', tmp_path / 'out', space=SPACE)
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'dataset_description.json').write_text('{"GeneratedBy": [{"Name": "Lacuna"}]}')
    with pytest.raises(InputError, match='holds another dataset'):
        bidsify(tmp_path / 'in', tmp_path / 'out', space=SPACE)


def test_output_inside_the_input(tmp_path):
    write(tmp_path / 'sub-01.nii.gz')
    for _ in range(2):
        found = bidsify(tmp_path, tmp_path / 'bids', space=SPACE)
    assert (len(found.written), len(found.kept)) == (0, 1)


def test_doubtful_space_is_said(tmp_path):
    from lacuna.images.spaces import standard_grid

    grid = standard_grid('MNI152NLin2009cAsym', 2)
    data = np.zeros(grid.shape)
    data[40, 50, 40] = 1
    write_mask(tmp_path / 'in' / 'sub-01.nii.gz', data, grid.affine)
    found = bidsify(tmp_path / 'in', tmp_path / 'out', space=SPACE)
    assert 'are a grid of MNI152NLin2009cAsym' in found.warnings[0]
