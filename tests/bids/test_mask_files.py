"""Finding masks, and naming what is made from them."""

from pathlib import Path

import pytest

from lacuna.bids.inputs import find_masks
from lacuna.bids.mask_files import check_unique, describe_mask
from lacuna.bids.outputs import connectome_path, output_name, outputs
from lacuna.errors import InputError, MaskError
from lacuna.utils.names import parse_entities, sidecar_path

SPACE = 'space-MNI152NLin6Asym'


def make(root: Path, *names: str) -> Path:
    for name in names:
        entities = parse_entities(name)
        folder = (
            root / f'sub-{entities["sub"]}' / (f'ses-{entities["ses"]}' if 'ses' in entities else '') / 'anat'
        )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return root


def names(paths):
    return [path.name for path in paths]


@pytest.fixture
def dataset(tmp_path):
    return make(
        tmp_path,
        f'sub-01_ses-01_{SPACE}_label-lesion_mask.nii.gz',
        f'sub-01_ses-02_{SPACE}_label-lesion_mask.nii.gz',
        f'sub-01_ses-02_{SPACE}_label-edema_mask.nii',
        f'sub-02_{SPACE}_label-lesion_mask.nii.gz',
        f'sub-02_{SPACE}_desc-brain_mask.nii.gz',
        f'sub-02_{SPACE}_T1w.nii.gz',
        f'sub-002_{SPACE}_label-lesion_mask.nii.gz',
    )


def test_find_all(dataset):
    assert names(find_masks(dataset)) == [
        f'sub-002_{SPACE}_label-lesion_mask.nii.gz',
        f'sub-01_ses-01_{SPACE}_label-lesion_mask.nii.gz',
        f'sub-01_ses-02_{SPACE}_label-edema_mask.nii',
        f'sub-01_ses-02_{SPACE}_label-lesion_mask.nii.gz',
        f'sub-02_{SPACE}_label-lesion_mask.nii.gz',
    ]


@pytest.mark.parametrize(
    ('choice', 'found'),
    [
        ({'participants': ['01']}, 3),
        ({'participants': ['sub-02', '002']}, 2),
        ({'sessions': ['ses-02']}, 2),
        ({'participants': ['01'], 'sessions': ['01']}, 1),
        ({'pattern': '*label-lesion_mask.nii.gz'}, 4),
        ({'pattern': '*desc-brain_mask.nii.gz'}, 1),
        ({'pattern': 'sub-01/ses-02/*'}, 2),
    ],
)
def test_find_some(dataset, choice, found):
    assert len(find_masks(dataset, **choice)) == found


@pytest.mark.parametrize(
    ('choice', 'says'),
    [
        ({'participants': ['01', '7']}, 'no participant 7 in .* 002, 01, 02'),
        ({'pattern': '*nothing*'}, r"matches '\*nothing\*'"),
        ({'participants': ['02'], 'sessions': ['09']}, 'participants and sessions'),
    ],
)
def test_find_none(dataset, choice, says):
    with pytest.raises(InputError, match=says):
        find_masks(dataset, **choice)


def test_only_what_is_asked_for_is_read(tmp_path, monkeypatch):
    """On 5,000 files, with a filter file, pybids looks at those of one participant only; without one it is not asked."""
    from bids.layout.index import BIDSLayoutIndexer

    for label in range(1000):
        make(
            tmp_path,
            *(f'sub-{label:04d}_{SPACE}_desc-{kind}_mask.nii.gz' for kind in ('a', 'b', 'c', 'd', 'e')),
        )
    read = []
    index_file = BIDSLayoutIndexer._index_file
    monkeypatch.setattr(
        BIDSLayoutIndexer,
        '_index_file',
        lambda self, path, entities: read.append(path) or index_file(self, path, entities),
    )
    assert len(find_masks(tmp_path, participants=['0500'])) == 5
    assert read == []
    (tmp_path / 'filter.json').write_text('{"mask": {"desc": "c"}}')
    assert len(find_masks(tmp_path, participants=['0500'], filter_file=tmp_path / 'filter.json')) == 1
    assert len(read) == 5


@pytest.mark.parametrize(
    ('name', 'stem', 'subject', 'session'),
    [
        (
            f'sub-01_ses-01_{SPACE}_label-acuteinfarct_mask.nii.gz',
            'sub-01_ses-01_label-acuteinfarct',
            '01',
            '01',
        ),
        (f'sub-01_{SPACE}_mask.nii', 'sub-01', '01', None),
        (
            f'sub-r1s2_ses-1_{SPACE}_label-L_desc-T1lesion_mask.nii.gz',
            'sub-r1s2_ses-1_label-L',
            'r1s2',
            '1',
        ),
        ('Subject_003.nii.gz', 'sub-Subject003', 'Subject003', None),
        ('lésion (final).nii.gz', 'sub-lsionfinal', 'lsionfinal', None),
    ],
)
def test_describe(name, stem, subject, session):
    mask = describe_mask(Path(name), space='MNI152NLin6Asym')
    assert (mask.stem, mask.subject, mask.session) == (stem, subject, session)


def test_label_of_a_mask_without_one():
    mask = describe_mask(Path('lesion.nii.gz'), space='MNI152NLin6Asym', subject='07')
    assert mask.stem == 'sub-07'
    assert mask.folder == Path('sub-07/anat')


def test_space_in_the_specified_order(tmp_path):
    path = tmp_path / f'sub-01_{SPACE}_mask.nii.gz'
    assert describe_mask(path).space_from == "the name's space entity"
    sidecar_path(path).write_text('{"SpatialReference": "MNI152NLin2009cAsym"}')
    assert describe_mask(path).space == 'MNI152NLin2009cAsym'
    sidecar_path(path).write_text(
        '{"SpatialReference": "MNI152NLin2009cAsym", "Space": "MNI152NLin2009aAsym"}'
    )
    assert describe_mask(path).space_from == "the sidecar's Space"
    assert describe_mask(path, space='MNI152NLin6Asym').space == 'MNI152NLin6Asym'


def test_a_sidecar_that_an_editor_has_marked_as_utf_8(tmp_path):
    sidecar_path(tmp_path / 'sub-01_mask.nii.gz').write_bytes(b'\xef\xbb\xbf{"Space": "MNI152NLin6Asym"}\r\n')
    assert describe_mask(tmp_path / 'sub-01_mask.nii.gz').space == 'MNI152NLin6Asym'


@pytest.mark.parametrize('name', ['sub-01_space-MNI152NLin6Asym_mask.json', '../../mask.json'])
@pytest.mark.parametrize('text', ['{"Space": "MNI152NLin2009cAsym",}', '["MNI152NLin2009cAsym"]', ''])
def test_a_sidecar_that_is_none_is_not_ignored(tmp_path, name, text):
    """What it says would be missing, and the name might say something else."""
    folder = tmp_path / 'sub-01/anat'
    folder.mkdir(parents=True)
    (folder / name).write_text(text)
    with pytest.raises(MaskError, match=Path(name).name.replace('.', '[.]') + ' is not valid JSON'):
        describe_mask(folder / f'sub-01_{SPACE}_mask.nii.gz')


@pytest.mark.parametrize(
    ('name', 'says'),
    [
        ('sub-01_mask.nii.gz', 'not known.*--mask-space'),
        ('sub-01_space-T1w_mask.nii.gz', "'T1w' is not supported"),
        ('sub-01_mask.mgz', 'is a NIfTI file'),
    ],
)
def test_describe_refuses(name, says):
    with pytest.raises(MaskError, match=says):
        describe_mask(Path(name))


def test_two_masks_of_one_name():
    masks = [
        describe_mask(Path(f'sub-01_space-{space}_mask.nii.gz'))
        for space in ('MNI152NLin6Asym', 'MNI152NLin2009cAsym')
    ]
    with pytest.raises(InputError, match=r'sub-01_space-MNI152NLin6Asym_mask.nii.gz and .*; .*--pattern'):
        check_unique(masks)


@pytest.mark.parametrize('key', [key for key, output in outputs().items() if output.level == 'mask'])
def test_names_keep_all_entities(key):
    output = outputs()[key]
    scope = {output.scope: 'abc'} if output.scope else {}
    name = output_name('sub-01_ses-02_label-lesion', key, **scope)
    expected = {'sub': '01', 'ses': '02', 'label': 'lesion', 'method': 'snm', 'desc': output.desc, **scope}
    expected |= {'seg': output.seg} if output.seg else {}
    assert parse_entities(name) == expected
    assert name.endswith((f'_{output.suffix}' if output.suffix else '') + output.extension)


def test_names_are_those_specified():
    stem = 'sub-01_ses-01_label-acuteinfarct'
    image = output_name(stem, 'disconnection_map', space='MNI152NLin6Asym')
    assert (
        image
        == 'sub-01_ses-01_label-acuteinfarct_method-snm_space-MNI152NLin6Asym_desc-disconnectionpct.nii.gz'
    )
    assert (
        output_name(stem, 'summary')
        == 'sub-01_ses-01_label-acuteinfarct_method-snm_desc-summarystatistics_stats.json'
    )
    assert sidecar_path(Path('a/x.nii.gz')) == Path('a/x.json')
    assert (
        connectome_path('full_tdi', 'hcp842', 'MNI152NLin6Asym', 2).name
        == 'tractogram-hcp842_space-MNI152NLin6Asym_res-2_tdi.nii.gz'
    )
