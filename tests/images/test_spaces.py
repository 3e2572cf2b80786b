"""Spaces: grids that contradict a name, and the file that moves points the right way."""

import sys

import nibabel as nib
import numpy as np
import pytest
from helpers.paths import SHARED
from helpers.waiting import HANGS

from lacuna.errors import InputError
from lacuna.images import spaces, templateflow

N6, N2009 = 'MNI152NLin6Asym', 'MNI152NLin2009cAsym'
TEMPLATEFLOW = SHARED / 'data' / 'templateflow'
LESIONS = TEMPLATEFLOW.parent / 'lesions'


def grid(edge, shape, origin):
    affine = np.diag([edge, edge, edge, 1.0])
    affine[:3, 3] = origin
    return shape, affine


GRIDS = {
    'FSL 1 mm': (N6, *grid(1, (182, 218, 182), (-91, -126, -72))),
    'FSL 2 mm': (N6, *grid(2, (91, 109, 91), (-90, -126, -72))),
    'FSL 0.5 mm': (N6, *grid(0.5, (364, 436, 364), (-91, -126, -72))),
    'SPM': (N6, *grid(1, (181, 217, 181), (-90, -126, -72))),
    '2009c 1 mm': (N2009, *grid(1, (193, 229, 193), (-96, -132, -78))),
    '2009c 2 mm': (N2009, *grid(2, (97, 115, 97), (-96.5, -132.5, -78.5))),
    '2009a': (N2009, *grid(1, (197, 233, 189), (-98, -134, -72))),
    '2009b 0.5 mm': (N2009, *grid(0.5, (394, 466, 378), (-98, -134, -72))),
}
OTHER = {N6: N2009, N2009: N6}
ORIENTATIONS = ('RAS', 'LAS', 'LPS', 'PIR', 'SLA')


def stored_as(shape, affine, codes):
    """The same grid in another storage orientation."""
    change = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(codes))
    new_affine = affine @ nib.orientations.inv_ornt_aff(change, shape)
    return tuple(np.array(shape)[np.argsort(change[:, 0])]), new_affine


@pytest.mark.parametrize('name', GRIDS)
@pytest.mark.parametrize('codes', ORIENTATIONS)
def test_grids_in_any_orientation(name, codes):
    space, shape, affine = GRIDS[name]
    stored_shape, stored_affine = stored_as(shape, affine, codes)
    assert nib.aff2axcodes(stored_affine) == tuple(codes)
    assert spaces.check_space(space, stored_shape, stored_affine) is None
    wrong = spaces.check_space(OTHER[space], stored_shape, stored_affine)
    assert wrong == spaces.check_space(OTHER[space], shape, affine)
    origin = ', '.join(f'{value:g}' for value in affine[:3, 3])
    size = ' x '.join(map(str, shape))
    assert wrong.startswith(
        f'declared as {OTHER[space]}, but {size} voxels of {affine[0, 0]:g} mm from ({origin}) are'
    )
    assert f'a grid of {space}' in wrong


@pytest.mark.parametrize('space', spaces.SPACES)
@pytest.mark.parametrize('resolution', spaces.RESOLUTIONS)
def test_our_own_grids_are_right(space, resolution):
    own = spaces.standard_grid(space, resolution)
    assert spaces.check_space(space, own.shape, own.affine) is None


def test_2009_share_a_world():
    _, shape, affine = GRIDS['2009a']
    for name in ('MNI152NLin2009aAsym', 'MNI152NLin2009bAsym', N2009):
        assert spaces.check_space(name, shape, affine) is None
        assert spaces.world_space(name) == N2009


@pytest.mark.parametrize('space', [N6, N2009])
@pytest.mark.parametrize(
    ('shape', 'affine'),
    [grid(1, (157, 189, 136), (-78, -112, -50)), grid(2, (10, 12, 9), (20, 20, 20)), grid(1, (40, 40, 40), (-75, -30, 0))],
    ids=['cropped to the brain', 'one lobe', 'over the edge'],
)  # fmt: skip
def test_cropped_grids_may_be_of_either_space(space, shape, affine):
    assert spaces.check_space(space, shape, affine) is None


@pytest.mark.parametrize('space', [N6, N2009])
def test_oblique_and_sheared_grids(space):
    shape, affine = GRIDS['2009c 1 mm'][1:]
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    shear = np.eye(4)
    shear[0, 1] = 0.1
    assert spaces.check_space(space, shape, turn @ affine) is None
    assert spaces.check_space(space, shape, shear @ affine) is None
    away = turn @ affine
    away[0, 3] += 300
    assert space in spaces.check_space(space, shape, away)


def test_a_box_off_the_brain():
    wrong = spaces.check_space(N6, (182, 218, 182), np.eye(4))
    assert (
        wrong
        == f'declared as {N6}, but its world box (-0.5, -0.5, -0.5) to (181.5, 217.5, 181.5) mm lies mostly off the brain'
    )
    assert 'brain' in spaces.check_space(N6, *grid(1, (20, 20, 20), (100, 0, 0)))


@pytest.mark.parametrize(
    'affine', [np.zeros((4, 4)), np.diag([1.0, 0, 1, 1]), np.full((4, 4), np.nan), np.eye(3)]
)
def test_bad_affines(affine):
    assert 'zero, singular or not finite' in spaces.check_space(N6, (10, 10, 10), affine)


def test_unknown_space():
    with pytest.raises(InputError, match="space 'MNI305' is not supported; choose from"):
        spaces.check_space('MNI305', (10, 10, 10), np.eye(4))
    with pytest.raises(InputError, match=f"did you mean '{N6}'"):
        spaces.world_space(N6.lower())


@pytest.mark.parametrize(
    'name',
    ['MNI152', 'mni152', 'MNI', 'FSL', 'fsl', 'SPM', 'SPM12', 'ICBM', 'icbm152', 'MNI152_2mm', 'mni space'],
)
def test_a_name_of_two_spaces_is_asked_back(name):
    with pytest.raises(InputError) as caught:
        spaces.world_space(name)
    said = str(caught.value)
    assert f"'{name}'" in said
    assert f"'{N6}'" in said
    assert f"'{N2009}'" in said
    assert '182 x 218 x 182' in said  # how to find out
    assert '\n' not in said


@pytest.mark.parametrize('letter', 'abc')
def test_symmetric_templates_are_refused_with_a_way_out(letter):
    name = f'MNI152NLin2009{letter}Sym'
    with pytest.raises(
        InputError, match=f"'{name}' is symmetric, and TemplateFlow has no transform"
    ) as caught:
        spaces.world_space(name)
    assert 'antsApplyTransforms' in str(caught.value)


def test_sources_of_a_space_are_compared():
    settled = spaces.settle_space(
        [(None, 'a'), ({'no': 'text'}, 'b'), (N6, 'option'), (N2009, 'file'), (N6, 'name')]
    )
    assert settled == (N6, 'option', f'option says {N6}, file {N2009}')
    # one world; and a name of two spaces contradicts neither
    assert spaces.settle_space([('MNI152NLin2009aAsym', 'a'), (N2009, 'b'), ('MNI152', 'c')]) == (
        N2009,
        'a',
        None,
    )
    assert spaces.settle_space([(N6, 'a'), ('T1w', 'b')]).contradiction == f'a says {N6}, b T1w'
    assert spaces.settle_space([(None, 'a')]) is None
    with pytest.raises(InputError, match=r'two spaces.*\(b\)'):
        spaces.settle_space([('', 'a'), ('MNI152', 'b'), (N6, 'c')])


@pytest.mark.shared
def test_real_grids():
    """Real lesions on SPM's, FSL's and cropped grids are fine where they belong; none is fine off it."""
    found = {'fine': 0, 'of NLin6': 0}
    for path in sorted(LESIONS.glob('*/*.nii.gz')):
        image = nib.load(path)
        if 'LESYMAP' in str(path) or 'LQT' in str(path) or 'SOOP' in str(path):
            assert spaces.check_space(N6, image.shape, image.affine) is None, path
            found['fine'] += 1
            found['of NLin6'] += spaces.check_space(N2009, image.shape, image.affine) is not None
    assert found == {'fine': 359, 'of NLin6': 69}
    image = nib.load(TEMPLATEFLOW / f'tpl-{N2009}' / f'tpl-{N2009}_res-01_desc-brain_mask.nii.gz')
    assert 'are a grid of MNI152NLin2009cAsym' in spaces.check_space(N6, image.shape, image.affine)


# ---------------------------------------------------------------- transforms


def test_transform_name():
    assert (
        spaces.transform_name(N6, 'MNI152NLin2009bAsym')
        == f'tpl-{N6}/tpl-{N6}_from-{N2009}_mode-image_xfm.h5'
    )
    with pytest.raises(ValueError, match='nothing to move'):
        spaces.transform_name('MNI152NLin2009aAsym', N2009)
    with pytest.raises(InputError, match='not supported'):
        spaces.transform_name('fsaverage', N6)


def test_find_transform_looks_before_it_asks(tmp_path, monkeypatch):
    path = tmp_path / spaces.transform_name(N6, N2009)
    path.parent.mkdir()
    path.write_bytes(b'something')
    monkeypatch.setattr(templateflow, 'download', lambda *_: pytest.fail('asked'))
    assert spaces.find_transform(N6, N2009, tmp_path) == path
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(tmp_path))
    assert spaces.find_transform(N6, 'MNI152NLin2009aAsym') == path


def test_find_transform_without_templateflow(tmp_path):
    """A transform that is there needs no import of TemplateFlow, which takes seconds."""
    import subprocess

    path = tmp_path / spaces.transform_name(N6, N2009)
    path.parent.mkdir()
    path.write_bytes(b'something')
    code = (
        'import sys; from lacuna.images.spaces import find_transform; '
        f'find_transform({N6!r}, {N2009!r}, {str(tmp_path)!r}); '
        'sys.exit(any(name in sys.modules for name in ("templateflow", "bids", "h5py", "scipy", "nibabel")))'
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=HANGS)


@pytest.mark.parametrize('stub', [True, False])
def test_missing_transforms(tmp_path, monkeypatch, stub):
    path = tmp_path / spaces.transform_name(N6, N2009)
    if stub:
        path.parent.mkdir()
        path.touch()
    asked = []
    monkeypatch.setattr(
        templateflow, 'download', lambda *args: asked.append(args) or 'ConnectionError: no network'
    )
    with pytest.raises(InputError) as caught:
        spaces.find_transform(N6, 'MNI152NLin2009aAsym', tmp_path)
    ((home, template, query),) = asked
    assert (home, template, query['from']) == (tmp_path, N6, N2009)
    text = str(caught.value)
    assert f'{path} is {"empty" if stub else "missing"}' in text
    assert 'ConnectionError: no network' in text
    assert '\n' not in text


def test_what_templateflow_delivers_is_used(tmp_path, monkeypatch):
    path = tmp_path / spaces.transform_name(N6, N2009)

    def deliver(*_):
        path.parent.mkdir()
        path.write_bytes(b'something')
        return ''

    monkeypatch.setattr(templateflow, 'download', deliver)
    assert spaces.find_transform(N6, N2009, tmp_path) == path
