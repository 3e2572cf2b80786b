"""Whose masks they are, where they are found, and what is said when names and options do not fit."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from lacuna.bids.inputs import find_masks, written_label
from lacuna.bids.mask_files import check_unique, describe_mask
from lacuna.cli import bidsapp, main
from lacuna.errors import InputError, MaskError
from lacuna.execution.settings import read_settings
from lacuna.testing import write_mask
from lacuna.utils.sidecars import inherited_metadata

SPACE, OTHER = 'MNI152NLin6Asym', 'MNI152NLin2009cAsym'
END = f'space-{SPACE}_label-lesion_mask.nii.gz'


def write(path, voxels=20):
    data = np.zeros((10, 10, 10))
    data.ravel()[:voxels] = 1
    return write_mask(path, data, np.diag([4.0, 4.0, 4.0, 1.0]))


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names(paths):
    return [path.name for path in paths]


# labels


def test_folders_above_a_dataset_name_no_session(tmp_path):
    root = touch(
        tmp_path / 'study_ses-9/ses-8/ds',
        f'sub-01/ses-a/anat/sub-01_ses-a_{END}',
        f'sub-02/anat/sub-02_{END}',
    )
    every = tmp_path / 'every.json'
    every.write_text('{"mask": {"extension": ".nii.gz"}}')
    for choice in ({}, {'filter_file': every}):
        assert names(find_masks(root, sessions=['a'], **choice)) == [f'sub-01_ses-a_{END}']
        for above in ('8', '9'):
            with pytest.raises(InputError, match='no mask found'):
                find_masks(root, sessions=[above], **choice)


@pytest.mark.parametrize(
    ('path', 'says'),
    [
        (f'sub-12/anat/sub-13_{END}', 'sub-13.*sub-12'),
        (f'sub-12/ses-1/anat/sub-12_ses-2_{END}', 'ses-2.*ses-1'),
    ],
)
def test_a_mask_in_the_folder_of_another(toy, tmp_path, options, capsys, path, says):  # noqa: ARG001
    """Whose lesion is it? The other masks are finished."""
    root = tmp_path / 'ses-7/ds'  # the session of nothing in it
    write(root / f'sub-01/anat/sub-01_ses-a_{END}')
    write(root / path)
    out = tmp_path / 'out'
    assert main(['run', 'snm', str(root), str(out), *options]) == 1
    assert re.search(f'{Path(path).name}: .*{says}', capsys.readouterr().err)
    assert [path.name for path in out.glob('sub-*')] == ['sub-01']
    assert main(['check', str(root)]) == 1
    assert re.search(f'{path}.*{says}', capsys.readouterr().out)


def test_participants_without_a_mask_are_named(toy, tmp_path, options, capsys):  # noqa: ARG001
    root = touch(tmp_path / 'ds', 'sub-02/anat/sub-02_T1w.nii.gz', 'sub-03/anat/sub-03_T1w.nii.gz')
    write(root / f'sub-01/anat/sub-01_{END}')
    words = ['run', 'snm', str(root), str(tmp_path / 'out'), *options, '--dry-run']
    assert main([*words, '--participant-label', '01', 'sub-02', '03']) == 0
    said = capsys.readouterr().err.splitlines()
    assert [
        label for label in ('01', '02', '03') if any(f'participant {label}' in line for line in said)
    ] == ['02', '03']
    assert main(words) == 0
    assert 'participant' not in capsys.readouterr().err


@pytest.mark.parametrize(
    ('stem', 'folder', 'label'),
    [
        ('sub-01_space-X_label-lesion_mask', '', '01'),
        ('sub-P_01_space-X_mask', '', 'P_01'),
        ('sub-P_A_ses-1_mask', '', 'P_A'),
        ('sub-P-01_space-X_mask', '', 'P-01'),
        ('sub-P.3_space-X_mask', '', 'P.3'),
        ('sub-P_01_lesion', '', 'P_01'),
        ('sub-P_01', '', 'P_01'),
        ('sub-01_final_lesion', '', '01'),
        ('sub-01_2020_lesion', 'sub-01', '01'),
        ('sub-P_A_lesion', 'sub-P_A', 'P_A'),
        ('Subject_003', '', None),
    ],
)
def test_label_as_written(stem, folder, label):
    assert written_label(stem, folder) == label


BAD = ('P_01', 'P-01', 'P.3')


@pytest.fixture
def badly_named(tmp_path):
    root = tmp_path / 'bad'
    for number, label in enumerate((*BAD, 'P01')):
        write(root / f'sub-{label}' / 'anat' / f'sub-{label}_{END}', 20 + number)
    return root


def table_in(said):
    lines = said.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith('subject,'))
    return lines[start:]


@pytest.mark.parametrize('command', ['run', 'check', 'bidsify'])
def test_labels_that_would_be_merged_are_refused(badly_named, tmp_path, options, capsys, command):
    arguments = {
        'run': ['run', 'snm', badly_named, tmp_path / 'out', *options],
        'check': ['check', badly_named],
        'bidsify': ['bidsify', badly_named, tmp_path / 'out', '--space', SPACE],
    }[command]
    assert main([str(each) for each in arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ''
    assert all(f'sub-{label}' in said.err.splitlines()[-5] for label in BAD)
    assert 'sub-P01' not in said.err.split('\n', 1)[0]
    assert not list((tmp_path / 'out').glob('sub-*'))

    # the table is ready: what it says gives each participant a dataset of its own
    rows = list(csv.DictReader(table_in(said.err)))
    assert [row['subject'] for row in rows] == ['P01x2', 'P3', 'P01x3']  # P01 is there already
    assert {Path(row['path']).parts[-3] for row in rows} == {f'sub-{label}' for label in BAD}
    (tmp_path / 'rename.csv').write_text('\n'.join(table_in(said.err)))
    words = shlex.split(said.err[said.err.index("'lacuna bidsify") :].split("'")[1])[1:]
    assert words == ['bidsify', 'rename.csv', 'NEW_DIR', '--space', SPACE]
    assert main(['bidsify', str(tmp_path / 'rename.csv'), str(tmp_path / 'new'), '--space', SPACE]) == 0
    new = find_masks(tmp_path / 'new')
    assert [describe_mask(path).subject for path in new] == ['P01x2', 'P01x3', 'P3']
    for path, row in zip(new, sorted(rows, key=lambda row: row['subject']), strict=True):
        assert path.read_bytes() == Path(row['path']).read_bytes()


def test_only_the_participants_asked_for_count(badly_named):
    assert len(find_masks(badly_named, participants=['P01'])) == 1
    with pytest.raises(InputError, match=r'1 participant with .* sub-P_01\.'):
        find_masks(badly_named, participants=['sub-P_01'])


@pytest.mark.parametrize('label', BAD)
def test_single_mask_with_such_a_label(tmp_path, options, capsys, label):
    mask = write(tmp_path / f'sub-{label}_{END}')
    assert main(['run', 'snm', str(mask), str(tmp_path / 'out'), *options]) == 2
    assert f'sub-{label}' in capsys.readouterr().err
    mask = mask.rename(tmp_path / 'Subject_003.nii.gz')
    words = [
        'run',
        'snm',
        str(mask),
        str(tmp_path / 'out'),
        *options,
        '--mask-space',
        SPACE,
        '--participant-label',
    ]
    assert main([*words, label]) == 2
    assert f"'{label}'" in capsys.readouterr().err
    assert not list((tmp_path / 'out').glob('sub-*'))


def test_names_without_a_participant_are_as_they_were(tmp_path):
    for name, label in (('Subject_003.nii.gz', 'Subject003'), ('P-01_lesion.nii.gz', 'P01lesion')):
        assert describe_mask(tmp_path / name, space=SPACE).subject == label


def test_results_of_such_participants_are_refused(tmp_path, options, capsys):
    out = tmp_path / 'out'
    assert main(['run', 'snm', str(tmp_path / 'bids'), str(out), *options]) == 0
    now = 'sub-01'
    for label in BAD:
        for path in list((out / 'sub-01').rglob('*.*')):
            path.rename(path.with_name(path.name.replace(now, f'sub-{label}')))
        now = f'sub-{label}'
        before = sorted(out.rglob('*'))
        for command in ('collect', 'check'):
            capsys.readouterr()
            assert main([command, str(out)]) == 2
            assert now in capsys.readouterr().err
        assert sorted(out.rglob('*')) == before


# names


@pytest.mark.parametrize(
    'name',
    [
        f'sub-01_{END}',
        f'sub-01_space-{SPACE}_desc-lesion_mask.nii.gz',
        f'sub-01_space-{SPACE}_label-lesion_roi.nii.gz',
        f'sub-01_space-{SPACE}_lesion.nii',
    ],
)
def test_found_by_default(tmp_path, name):
    touch(
        tmp_path,
        f'sub-01/anat/{name}',
        'sub-01/anat/sub-01_label-L_roi.nii.gz',
        'sub-01/anat/sub-01_T1w.nii.gz',
    )
    (path,) = find_masks(tmp_path)
    assert path.name == name
    mask = describe_mask(path)
    assert (mask.subject, mask.space) == ('01', SPACE)
    assert mask.stem in ('sub-01', 'sub-01_label-lesion')


def test_any_name_is_reachable_by_pattern(tmp_path):
    touch(
        tmp_path,
        f'sub-01/anat/sub-01_{END}',
        'sub-01/anat/sub-01_stroke.nii.gz',
        'sub-01/anat/sub-01_T1w.nii.gz',
    )
    assert names(find_masks(tmp_path, pattern='*_stroke.nii.gz')) == ['sub-01_stroke.nii.gz']
    # what matches a mask and something else means the mask
    assert names(find_masks(tmp_path, pattern='sub-01_*')) == [f'sub-01_{END}']


def test_masks_among_the_derivatives_are_hinted_at(tmp_path, options, capsys):
    touch(
        tmp_path / 'raw',
        'sub-01/anat/sub-01_T1w.nii.gz',
        f'derivatives/lesions/sub-01/anat/sub-01_{END}',
        f'derivatives/lesions/sub-02/anat/sub-02_{END}',
        'derivatives/fmriprep/sub-01/anat/sub-01_desc-brain_mask.nii.gz',
    )
    assert main(['run', 'snm', str(tmp_path / 'raw'), str(tmp_path / 'out'), *options]) == 2
    said = capsys.readouterr().err
    assert 'derivatives/lesions (2)' in said
    assert 'fmriprep' not in said
    assert f'lacuna run snm {tmp_path}/raw/derivatives/lesions' in said


def test_results_are_no_masks(toy, tmp_path, options):
    """Neither of a later run whose dataset holds them, nor to be named in a hint."""
    assert main(['run', 'snm', str(tmp_path / 'bids'), str(tmp_path / 'bids/sub-01/out'), *options]) == 0
    assert any('_mask.nii' in path.name for path in (tmp_path / 'bids/sub-01/out').rglob('*'))
    assert find_masks(tmp_path / 'bids') == [toy.mask]
    with pytest.raises(InputError, match='no mask found'):
        find_masks(tmp_path / 'bids/sub-01/out')


def test_images_without_bids_names_are_hinted_at(tmp_path):
    touch(tmp_path, 'P01/lesion.nii.gz')
    with pytest.raises(InputError, match=f'lacuna bidsify {tmp_path} NEW_DIR'):
        find_masks(tmp_path)


def test_one_desc_in_the_names_of_results(toy, tmp_path, options):
    toy.mask.rename(toy.mask.with_name(f'sub-01_space-{SPACE}_desc-lesion_mask.nii.gz'))
    assert main(['run', 'snm', str(tmp_path / 'bids'), str(tmp_path / 'out'), *options]) == 0
    written = [path.name for path in (tmp_path / 'out').rglob('sub-01_*')]
    assert f'sub-01_method-snm_space-{SPACE}_desc-disconnectionpct.nii.gz' in written
    assert all(name.count('desc-') == 1 for name in written)


def test_masks_that_differ_by_desc_only_are_one_name(tmp_path):
    masks = [
        describe_mask(tmp_path / f'sub-01_space-{SPACE}_desc-{desc}_mask.nii.gz')
        for desc in ('core', 'edema')
    ]
    with pytest.raises(InputError, match=r"desc-core.* and .*desc-edema.*--pattern '\*desc-core_\*'.*label-"):
        check_unique(masks)


# sidecars and spaces


def test_sidecars_are_inherited(tmp_path):
    mask = write(tmp_path / 'ds/sub-01/ses-1/anat/sub-01_ses-1_label-lesion_mask.nii.gz')
    with pytest.raises(MaskError, match='not known'):
        describe_mask(mask)
    places = {
        'ds/mask.json': 'a',
        'ds/label-lesion_mask.json': 'b',
        'ds/sub-01/sub-01_mask.json': 'c',
        'ds/sub-01/ses-1/anat/sub-01_ses-1_label-lesion_mask.json': 'd',
    }
    for others in ('ds/label-edema_mask.json', 'ds/sub-01_T1w.json', 'mask.json', 'ds/sub-02_mask.json'):
        (tmp_path / others).write_text('{"Space": "wrong"}')
    for place, value in places.items():  # from far to near: the nearer wins
        (tmp_path / place).write_text(json.dumps({'Space': value, value: True}))
        assert inherited_metadata(mask)['Space'] == value
    assert {'a', 'b', 'c', 'd'} <= set(inherited_metadata(mask))


def test_space_of_a_sidecar_at_the_root(toy, tmp_path, options):
    toy.mask.rename(toy.mask.with_name('sub-01_label-lesion_mask.nii.gz'))
    (tmp_path / 'bids/mask.json').write_text(json.dumps({'Space': SPACE}))
    assert main(['run', 'snm', str(tmp_path / 'bids'), str(tmp_path / 'out'), *options]) == 0
    assert list((tmp_path / 'out').rglob(f'*_space-{SPACE}_desc-disconnectionpct.nii.gz'))


def test_contradictions_are_said_once(toy, tmp_path, options, capsys):
    for label in ('02', '03'):
        copy = tmp_path / f'bids/sub-{label}/anat/sub-{label}_space-T1w_label-lesion_mask.nii.gz'
        copy.parent.mkdir(parents=True)
        shutil.copy(toy.mask, copy)
    words = ['run', 'snm', str(tmp_path / 'bids'), str(tmp_path / 'out'), *options, '--mask-space', SPACE]
    assert main([*words, '--dry-run']) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if 'T1w' in line]
    assert f"--mask-space says {SPACE}, the name's space entity T1w" in line
    assert '2 masks' in line
    assert f'{SPACE} is used' in line

    assert main(['check', str(tmp_path / 'bids'), '--mask-space', SPACE]) == 0
    said = capsys.readouterr()
    assert said.out.count('entity T1w') == 2  # in the rows of these masks
    assert len([line for line in said.err.splitlines() if 'T1w' in line]) == 1

    toy.tracks.rename(tmp_path / f'toy_space-{OTHER}.tck')
    (tmp_path / 'toy.json').rename(tmp_path / f'toy_space-{OTHER}.json')
    words[words.index(str(toy.tracks))] = str(tmp_path / f'toy_space-{OTHER}.tck')
    assert main([*words, '--dry-run']) == 0
    assert f"says {SPACE}, the tractogram's name {OTHER}" in capsys.readouterr().err


@pytest.mark.parametrize('name', ['MNI152', 'MNI152NLin2009bSym'])
def test_spaces_that_need_a_word(toy, tmp_path, options, capsys, name):
    bids, out = str(tmp_path / 'bids'), str(tmp_path / 'out')
    labels = tmp_path / 'labels.tsv'
    labels.write_text('index\tname\n1\ta\n')
    custom = ['--custom-parcellation', 'own', str(toy.mask), str(labels), name, '--compute-roi-disconnection']
    for words in (
        ['run', 'snm', bids, out, *options, '--mask-space', name],
        ['run', 'snm', bids, out, *options, '--connectome-space', name],
        ['run', 'snm', bids, out, *options, *custom],
        ['bidsify', bids, out, '--space', name],
        ['check', bids, '--mask-space', name],
    ):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert f"'{name}'" in said
        assert OTHER in said
    (toy.mask.parent / f'{toy.mask.name.split(".")[0]}.json').write_text(json.dumps({'Space': name}))
    assert main(['run', 'snm', bids, out, *options]) == 2
    assert f"'{name}'" in capsys.readouterr().err
    assert main(['run', 'snm', bids, out, *options, '--mask-space', SPACE, '--dry-run']) == 0


def test_a_dataset_in_such_a_space_is_answered_once(tmp_path, options, capsys):
    root = tmp_path / 'atlas'
    for label in ('r001s001', 'r001s002', 'r001s003'):
        name = f'sub-{label}_ses-1_space-MNI152NLin2009aSym_label-L_desc-T1lesion_mask.nii.gz'
        touch(root, f'sub-{label}/ses-1/anat/{name}')
    assert main(['run', 'snm', str(root), str(tmp_path / 'out'), *options]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if 'symmetric' in line]
    assert 'sub-r001s001' in line
    assert '(and 2 more masks)' in line


# options


@pytest.fixture
def four_masks(tmp_path):
    root = tmp_path / 'four'
    for session in ('01', '02'):
        for desc in ('lesion', 'edema'):
            write(
                root
                / f'sub-01/ses-{session}/anat/sub-01_ses-{session}_space-{SPACE}_label-{desc}_desc-{desc}_mask.nii.gz'
            )
    return root


@pytest.mark.parametrize(
    ('query', 'found'),
    [
        ({'session': '01', 'desc': 'lesion'}, 1),
        ({'session': ['01', '02'], 'label': 'edema'}, 2),
        ({'run': None}, 4),
        ({'desc': '*'}, 4),
        ({'desc': 'les.*', 'regex_search': True}, 2),
        ({}, 4),
    ],
)
def test_filters(four_masks, tmp_path, query, found):
    (tmp_path / 'f.json').write_text(json.dumps({'mask': query}))
    assert len(find_masks(four_masks, filter_file=tmp_path / 'f.json')) == found


def test_filters_reach_any_suffix(tmp_path):
    touch(tmp_path, 'sub-01/anat/sub-01_stroke.nii.gz', f'sub-01/anat/sub-01_{END}')
    (tmp_path / 'f.json').write_text('{"mask": {"suffix": "stroke"}}')
    assert names(find_masks(tmp_path, filter_file=tmp_path / 'f.json')) == ['sub-01_stroke.nii.gz']


@pytest.mark.parametrize(
    ('text', 'says'),
    [
        ('{"mask": {"sesion": "01"}}', "'sesion' is not a recognized entity. Did you mean"),
        ('{"mask": {"return_type": "id"}}', "'return_type' is not a recognized entity"),
        ('{"t1w": {"session": "01"}}', "'t1w'"),
        ('{"mask": "lesion"}', 'expected an object such as'),
        ('{"mask": {"session": {}}}', 'session is {}'),
        ('{"mask": {"session": "09"}}', 'no mask found'),
        ('{', 'cannot be read'),
        (None, 'No such file'),
    ],
)
def test_filters_that_are_none(four_masks, tmp_path, options, capsys, text, says):
    if text:
        (tmp_path / 'f.json').write_text(text)
    words = ['run', 'snm', str(four_masks), str(tmp_path / 'out'), *options]
    assert main([*words, '--bids-filter-file', str(tmp_path / 'f.json')]) == 2
    said = capsys.readouterr().err.splitlines()
    assert says in said[-1]
    assert 'f.json' in said[-1]


def test_filters_of_a_run_are_those_of_its_check(toy, tmp_path, options, capsys):
    shutil.copy(toy.mask, toy.mask.with_name(toy.mask.name.replace('label-lesion', 'label-edema')))
    (tmp_path / 'f.json').write_text('{"mask": {"label": "lesion"}}')
    words = ['run', 'snm', str(tmp_path / 'bids'), str(tmp_path / 'out'), *options]
    assert main([*words, '--bids-filter-file', str(tmp_path / 'f.json')]) == 0
    assert {path.name.split('_method')[0] for path in (tmp_path / 'out/sub-01').rglob('*.json')} == {
        'sub-01_label-lesion'
    }
    (sidecar,) = (tmp_path / 'out').rglob('sub-01*disconnectionpct.json')
    assert f'--bids-filter-file {tmp_path}/f.json' in json.loads(sidecar.read_text())['CommandLine']
    capsys.readouterr()
    assert main(['check', str(tmp_path / 'out')]) == 0


@pytest.mark.parametrize('command', ['lacuna', 'lacuna-snm'])
@pytest.mark.parametrize('spelling', ['-', '_'])
@pytest.mark.parametrize('prefix', ['', 'sub-'])
def test_both_spellings(four_masks, tmp_path, options, capsys, command, spelling, prefix):
    write(four_masks / f'sub-02/ses-02/anat/sub-02_ses-02_{END}')
    write(four_masks / f'sub-03/ses-02/anat/sub-03_ses-02_{END}')
    choice = [
        f'--participant{spelling}label',
        f'{prefix}02',
        f'{prefix}03',
        f'--session{spelling}id',
        '02',
        '--dry-run',
    ]
    words = [str(four_masks), str(tmp_path / 'out')]
    if command == 'lacuna':
        code = main(['run', 'snm', *words, *options, *choice])
    else:
        code = bidsapp.main([*words, 'participant', *options, *choice])
    assert code == 0
    assert [line.split('/')[-4] for line in capsys.readouterr().out.splitlines()[:2]] == ['sub-02', 'sub-03']


def test_config_of_an_output_folder_is_that_of_its_last_run(toy, tmp_path, options):  # noqa: ARG001
    words = ['run', 'snm', str(tmp_path / 'bids'), str(tmp_path / 'out'), *options]
    assert main([*words, '--output-resolution', '1']) == 0
    assert main([*words, '--output-resolution', '2', '--overwrite']) == 0
    assert read_settings(tmp_path / 'out')['output_resolution'] == 2
    again = ['run', 'snm', str(tmp_path / 'bids'), str(tmp_path / 'again')]
    assert main([*again, '--config', str(tmp_path / 'out')]) == 0
    (newest,) = (tmp_path / 'again/logs').glob('*/settings.toml')
    assert read_settings(newest)['output_resolution'] == 2
    with pytest.raises(InputError, match='holds no settings of a run'):
        read_settings(tmp_path / 'bids')


@pytest.mark.parametrize(
    'asked',
    [{}, {'participants': ['01']}, {'sessions': ['b']}, {'participants': ['sub-02'], 'sessions': ['ses-b']}],
)
def test_without_filters_the_same_masks_are_found_as_by_pybids(tmp_path, asked):
    root, elsewhere = tmp_path / 'ds', tmp_path / 'elsewhere'
    touch(
        root,
        f'sub-01/ses-a/anat/sub-01_ses-a_{END}',
        f'sub-01/ses-b/anat/sub-01_ses-b_{END}',
        f'sub-01/ses-b/sub-01_ses-b_{END}',
        f'sub-02/anat/sub-02_ses-b_{END}',  # a session without a folder
        f'sub-02/anat/sub-02_{END}',
        f'sub-02/anat/.sub-02_{END}',
        f'sub-02/.hidden/sub-02_{END}',
        f'sub-02/anat.old/sub-02_{END}',
        'sub-02/anat/sub-02_T1w.nii.gz',
        'sub-02/anat/sub-02_label-lesion_mask.json',
        f'derivatives/other/sub-01/anat/sub-01_{END}',
        f'sourcedata/sub-01_{END}',
        f'extra/sub-02_ses-b_{END}',
    )
    (root / 'sub-02/more').symlink_to(touch(elsewhere, f'sub-02_ses-b_label-x_{END}'))
    every = root.parent / 'every.json'
    every.write_text('{"mask": {"extension": [".nii.gz", ".nii"]}}')
    found = find_masks(root, **asked)
    assert found == find_masks(root, **asked, filter_file=every)
    assert len(found) > 1
