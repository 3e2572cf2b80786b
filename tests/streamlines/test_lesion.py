"""What the Python API says of a lesion is what a run writes to files, bit for bit; and bad input gets the same errors."""

import doctest
import gzip
import importlib
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

import lacuna
from lacuna.cli import main
from lacuna.errors import InputError, MaskError, TractogramError
from lacuna.streamlines.files.tck import iter_blocks, read_header, write_tck
from lacuna.testing import toy_streamlines, world_coordinates, write_mask

SPACE = 'MNI152NLin6Asym'
SCHAEFER = 'schaefer2018parcels100networks7'
MATRICES = {
    'disconnectionpct': 'matrix',
    'maskconnectivitymatrix': 'lesion_matrix',
    'intactconnectivitymatrix': 'intact_matrix',
    'fullconnectivitymatrix': 'full_matrix',
}


@pytest.fixture
def tractogram(toy, tmp_path):
    return lacuna.Tractogram(toy.tracks, nprocs=1, cache=tmp_path / 'cache')


@pytest.fixture
def parcels(toy, tmp_path):
    """A label image of two parcels, with its table and its space."""
    mask = nb.load(toy.mask)
    x, y, _ = world_coordinates(mask.shape, mask.affine)
    image = write_mask(
        tmp_path / 'parcels.nii.gz',
        np.where(x < -15, 7, np.where((x > 15) & (y < 10), 3, 0)),
        mask.affine,
        'int16',
    )
    table = tmp_path / 'parcels.tsv'
    table.write_text('index\tname\n3\tright\n7\tleft\n')
    return image, table, SPACE


def found(folder: Path, name: str) -> Path:
    (path,) = folder.rglob(name)
    return path


def check_same(lesion, folder: Path, atlas: str = '', parcels=None) -> None:
    """Compare a lesion with the files of a run: the map to the last byte, all else exactly."""
    path = found(folder, '*_desc-disconnectionpct.nii.gz')
    written = folder / 'api.nii.gz'
    nb.save(lesion.map, written)
    assert gzip.decompress(written.read_bytes()) == gzip.decompress(path.read_bytes())
    assert lesion.map.get_data_dtype() == np.float32
    np.testing.assert_array_equal(lesion.map.affine, nb.load(path).affine)
    np.testing.assert_array_equal(lesion.map.get_fdata(), nb.load(path).get_fdata())
    written.unlink()
    assert lesion.summary == json.loads(found(folder, '*_desc-summarystatistics_stats.json').read_text())
    if not parcels:
        return
    tables = {f'desc-{desc}_connmatrix': getattr(parcels, attribute) for desc, attribute in MATRICES.items()}
    tables['*_parcelstats'] = parcels.disconnection
    for name, table in tables.items():
        theirs = found(folder, f'*_atlas-{atlas}_{name}.tsv')
        assert table.to_csv(sep='\t', na_rep='n/a') == theirs.read_text()
        read = pd.read_csv(theirs, sep='\t', index_col=0)
        assert (list(read.index), read.index.name) == (list(table.index), table.index.name)
    statistics = json.loads(found(folder, f'*_atlas-{atlas}_desc-matrixstatistics_stats.json').read_text())
    assert parcels.statistics == statistics


def test_a_lesion_whose_numbers_are_known(toy, tractogram, parcels):
    lesion = tractogram.disconnect(toy.mask)
    assert lesion.summary['streamlines_total'] == tractogram.streamlines_total == toy.streamlines
    assert len(lesion.streamlines) == toy.disconnected
    assert lesion.streamlines.dtype == np.uint32
    assert lesion.map.shape == (91, 109, 91)
    assert set(np.unique(lesion.map.get_fdata())) == {0, 50, 100}
    lines = toy_streamlines()
    for number, points in zip(lesion.streamlines[[0, -1]], lesion.sample(2), strict=True):
        np.testing.assert_array_equal(points, lines[number])
    assert len(lesion.sample(1000)) == toy.disconnected
    table = lesion.parcels(parcels)
    # 12 of the 15 long lines end within 4 mm of the right parcel (y = 0, 4, 8, 12), 8 of them are cut
    assert table.full_matrix.loc['right', 'left'] == 12
    assert table.lesion_matrix.loc['left', 'right'] == 8
    assert table.intact_matrix.loc['left', 'right'] == 4
    assert table.matrix.loc['left', 'right'] == pytest.approx(800 / 12)
    assert table.disconnection.to_dict() == pytest.approx({'right': 800 / 12, 'left': 800 / 12})
    assert table.statistics['edges_affected'] == 1


def test_the_parcels_of_a_lesion(toy, tractogram, parcels):
    """Load, support, networks and longer ways, next to what is cut."""
    lesion = tractogram.disconnect(toy.mask)
    found = lesion.parcels(parcels)
    image, mask = nb.load(parcels[0]), nb.load(toy.mask)  # on one grid
    labels, inside = np.asarray(image.dataobj), np.asarray(mask.dataobj) > 0
    assert found.load.to_dict() == {
        name: 100 * (inside & (labels == value)).sum() / (labels == value).sum()
        for value, name in ((3, 'right'), (7, 'left'))
    }
    interval = binomtest(8, 12).proportion_ci(method='wilson')
    row = found.support.loc['right']
    assert row.tolist() == pytest.approx([12, 8, 100 * interval.low, 100 * interval.high], rel=1e-12)
    assert found.support.index.name == 'region'
    with pytest.raises(InputError, match='no column network'):
        found.networks  # noqa: B018
    parcels[1].write_text('index\tname\tnetwork\n3\tright\tA\n7\tleft\tB\n')
    networks = lesion.parcels(parcels).networks
    assert networks.disconnection.to_dict() == pytest.approx({'A': 800 / 12, 'B': 800 / 12})
    assert networks.matrix.loc['A', 'B'] == pytest.approx(800 / 12)
    assert networks.matrix.loc['A', 'A'] == 0
    longer = found.higher_order()  # a third is spared: the way is gone
    assert longer.delta.loc['right', 'left'] == 1
    assert not longer.indirect.to_numpy().any()
    assert longer.mean.to_dict() == {'right': 1, 'left': 1}
    assert (longer.statistics['pairs_directly_disconnected'], longer.statistics['path_length_cap']) == (1, 2)
    assert not found.higher_order(30).delta.to_numpy().any()
    # the ends of the lines on both sides lie inside the parcels: both rules agree
    ends = lesion.parcels(parcels, assignment='end-voxels')
    assert ends.lesion_matrix.loc['right', 'left'] <= 8
    with pytest.raises(InputError, match='nearest'):
        lesion.parcels(parcels, assignment='nearest')


def test_the_files_of_a_run(toy, tractogram, parcels, tmp_path, options):
    words = ['run', 'snm', toy.mask, tmp_path / 'out', *options, '--custom-parcellation', 'two', *parcels]
    words += ['--compute-disconnectivity-matrix', '--compute-roi-disconnection']
    assert main([str(word) for word in words]) == 0
    lesion = tractogram.disconnect(toy.mask)
    check_same(lesion, tmp_path / 'out', 'two', lesion.parcels(parcels))


def test_a_path_a_text_and_an_image_are_one(toy, tractogram):
    wanted = tractogram.disconnect(toy.mask)
    image = nb.load(toy.mask)
    in_memory = nb.Nifti1Image(np.asarray(image.dataobj).astype('float64'), image.affine)
    for given in (str(toy.mask), image, in_memory):
        lesion = tractogram.disconnect(given)
        np.testing.assert_array_equal(lesion.map.get_fdata(), wanted.map.get_fdata())
        assert lesion.summary == wanted.summary
    assert tractogram.disconnect(in_memory).name == 'image'
    assert wanted.name.startswith('sub-01_')


def test_the_space_of_a_mask(toy, tractogram, tmp_path):
    """What is given counts, then the sidecar, then the name, then the space of the tractogram."""
    plain = tmp_path / 'lesion.nii.gz'
    plain.write_bytes(toy.mask.read_bytes())
    assert tractogram.disconnect(plain).space == SPACE
    (tmp_path / 'lesion.json').write_text('{"Space": "Talairach"}')
    with pytest.raises(MaskError, match='Talairach'):
        tractogram.disconnect(plain)
    with pytest.raises(MaskError, match='Talairach'):  # an image knows the file that it is from
        tractogram.disconnect(nb.load(plain))
    with pytest.warns(UserWarning, match='Talairach'):
        lesion = tractogram.disconnect(plain, space=SPACE)
    assert lesion.space == SPACE
    assert 'Talairach' in lesion.summary['warnings']


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda data: np.where(data, 3, 0), 'not binary'),
        (lambda data: np.stack([data, data], axis=-1), '4 dimensions'),
        (lambda data: np.where(data, np.inf, 0), 'not finite'),
    ],
)
def test_bad_masks_get_the_errors_of_a_run(toy, tractogram, tmp_path, capsys, change, words):
    image = nb.load(toy.mask)
    bad = nb.Nifti1Image(change(np.asarray(image.dataobj)).astype('float32'), image.affine)
    path = tmp_path / 'bad.nii.gz'
    nb.save(bad, path)
    with pytest.raises(MaskError, match=words) as of_file:
        tractogram.disconnect(path)
    with pytest.raises(MaskError, match=words) as of_image:
        tractogram.disconnect(nb.Nifti1Image(np.asarray(bad.dataobj), bad.affine))
    assert str(of_image.value).replace('image:', f'{path}:', 1) == str(of_file.value)
    options = ['--connectome-path', str(toy.tracks), '--mask-space', SPACE]
    assert main(['run', 'snm', str(path), str(tmp_path / 'out'), *options]) == 2
    assert str(of_file.value) in capsys.readouterr().err


def test_what_is_no_mask(tractogram, tmp_path):
    with pytest.raises(MaskError, match=r'missing\.nii'):
        tractogram.disconnect(tmp_path / 'missing.nii.gz')
    with pytest.raises(MaskError, match='ndarray'):
        tractogram.disconnect(np.zeros((3, 3, 3)))
    (tmp_path / 'text.nii.gz').write_text('no image')
    with pytest.raises(MaskError, match='cannot be read'):
        tractogram.disconnect(tmp_path / 'text.nii.gz')


def test_what_is_doubtful_is_a_warning(toy, tractogram):
    image = nb.load(toy.mask)
    with pytest.warns(UserWarning, match='empty') as noted:
        lesion = tractogram.disconnect(nb.Nifti1Image(np.zeros(image.shape, 'uint8'), image.affine))
    assert noted[0].filename == __file__
    assert not len(lesion.streamlines)
    assert lesion.sample(3) == []
    assert not lesion.map.get_fdata().any()
    assert lesion.summary['disconnection_max_pct'] == 0


def test_bad_tractograms(toy, tmp_path):
    with pytest.raises(TractogramError, match=r'missing\.tck'):
        lacuna.Tractogram(tmp_path / 'missing.tck', SPACE)
    with pytest.raises(InputError, match='resolution is 3'):
        lacuna.Tractogram(toy.tracks, resolution=3)
    write_tck(tmp_path / 'bare.tck', toy_streamlines())
    with pytest.raises(InputError, match=r'bare\.tck is not known'):
        lacuna.Tractogram(tmp_path / 'bare.tck')
    with pytest.raises(InputError, match='Talairach'):
        lacuna.Tractogram(tmp_path / 'bare.tck', 'Talairach')
    tractogram = lacuna.Tractogram(tmp_path / 'bare.tck', SPACE)
    with pytest.raises(InputError, match='no atlas'):
        tractogram.disconnect(toy.mask).parcels('nothing')


def test_what_a_run_has_cached_is_used(toy, parcels, tmp_path, options):
    """Index and endpoint table have one place, whoever makes them first."""
    words = ['run', 'snm', toy.mask, tmp_path / 'out', *options, '--custom-parcellation', 'two', *parcels]
    words += ['--compute-roi-disconnection']
    assert main([str(word) for word in words]) == 0
    tractogram = lacuna.Tractogram(toy.tracks)
    times = {path: path.stat().st_mtime_ns for path in tractogram.cache.rglob('*') if path.is_file()}
    assert len([path for path in times if path.match('endpoints/*.npz')]) == 1
    tractogram.disconnect(toy.mask).parcels(parcels)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert {path for path in tractogram.cache.rglob('*') if path.is_file() and path.suffix != '.lock'} <= set(
        times
    )


def test_a_plot_is_a_picture(toy, tractogram, tmp_path, monkeypatch):
    monkeypatch.setenv('MPLBACKEND', 'agg')
    lesion = tractogram.disconnect(toy.mask)
    for kind in ('glass_brain', 'stat_map'):
        display = lesion.plot(kind)
        display.savefig(tmp_path / f'{kind}.png')
        display.close()
        assert (tmp_path / f'{kind}.png').stat().st_size > 5000
    with pytest.raises(ValueError, match='surface'):
        lesion.plot('surface')


@pytest.mark.parametrize('module', ['lacuna.streamlines.lesion', 'lacuna.streamlines.tractogram'])
def test_the_examples_of_the_docstrings(synthetic, module):
    tested = doctest.testmod(importlib.import_module(module), extraglobs={'data': synthetic})
    assert tested.attempted > 3
    assert tested.failed == 0


def test_importing_is_free():
    """Until a name is asked for, nothing is loaded that takes time."""
    heavy = 'nipype niworkflows pandas numba nibabel scipy numpy nilearn matplotlib'
    code = f'import sys, lacuna; sys.exit([each for each in {heavy.split()} if each in sys.modules] or 0)'
    done = subprocess.run([sys.executable, '-c', code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')


def test_a_lesion_needs_no_nipype(toy):
    """Nor pandas, without parcels: what a session loads is what it uses."""
    code = f"""
import sys, lacuna
lesion = lacuna.Tractogram({str(toy.tracks)!r}).disconnect({str(toy.mask)!r})
assert lesion.summary['streamlines_disconnected'] == {toy.disconnected}
sys.exit([each for each in ('nipype', 'niworkflows', 'pandas', 'nilearn', 'matplotlib') if each in sys.modules] or 0)
"""
    done = subprocess.run([sys.executable, '-c', code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')


def test_every_public_name_is_there_twice():
    """Also when every module of that name, or of another, was imported before."""
    for name in lacuna.__all__:
        first = getattr(lacuna, name)
        for module in (
            'lacuna.cli',
            'lacuna.execution.execute',
            'lacuna.streamlines.lesion',
            'lacuna.images.nifti',
        ):
            importlib.import_module(module)
        assert getattr(lacuna, name) is first
        assert name in dir(lacuna)
    with pytest.raises(AttributeError, match='nothing'):
        lacuna.nothing  # noqa: B018


# ---- real lesions ----


@pytest.fixture(scope='module')
def real(shared):
    """Real lesions of three sources; the grids of SOOP and LESYMAP are not that of the tractogram."""
    folder = shared / 'data/lesions'
    paths = [
        *sorted((folder / 'LQT').glob('*.nii.gz'))[:2],
        *sorted((folder / 'LESYMAP').glob('*.nii.gz'))[:2],
    ]
    return [*paths, *sorted((folder / 'SOOP').glob('*.nii.gz'))[:2]]


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.usefixtures('common_cache')
@pytest.mark.filterwarnings('ignore:.*vertices of the tractogram')
@pytest.mark.filterwarnings('ignore:.*mask:UserWarning')  # those that are turned
def test_real_lesions(unpacked, shared, real, tmp_path, monkeypatch):
    """As they are, and moved off the lattice of the index, in two resolutions."""
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(shared / 'data/templateflow'))
    masks = tmp_path / 'bids'
    for number, source in enumerate([*real, real[0], real[3]]):
        image = nb.load(source)
        affine = image.affine.copy()
        if number >= len(real):  # off the lattice, and turned
            turn = np.deg2rad(7)
            affine[:3, :3] = [
                [np.cos(turn), -np.sin(turn), 0],
                [np.sin(turn), np.cos(turn), 0],
                [0, 0, 1.1],
            ] @ affine[:3, :3]
            affine[:3, 3] += 0.37
        name = f'sub-{number}/anat/sub-{number}_space-{SPACE}_label-lesion_mask.nii.gz'
        write_mask(masks / name, np.asarray(image.dataobj) > 0, affine)
    (masks / 'dataset_description.json').write_text('{"Name": "real", "BIDSVersion": "1.10.0"}')
    tracks = unpacked('HCP842')
    for resolution in (2, 1):
        out = tmp_path / f'out{resolution}'
        words = ['run', 'snm', masks, out, '--connectome-path', tracks, '--connectome-space', SPACE]
        words += [
            '--parcel-atlases',
            SCHAEFER,
            '--compute-disconnectivity-matrix',
            '--compute-roi-disconnection',
        ]
        words += ['--no-report', '--nprocs', 1, '-w', tmp_path / 'work', '--output-resolution', resolution]
        assert main([str(word) for word in words]) == 0
        tractogram = lacuna.Tractogram(tracks, SPACE, resolution=resolution, nprocs=2)
        for mask in sorted(masks.rglob('*_mask.nii.gz')):
            lesion = tractogram.disconnect(mask)
            check_same(lesion, out / mask.parts[-3], SCHAEFER, lesion.parcels(SCHAEFER))
            assert len(lesion.streamlines) > 0


@pytest.mark.slow
@pytest.mark.shared
def test_a_lesion_in_another_space(unpacked, shared, real, tmp_path, monkeypatch):
    """The streamlines are moved into the space of the lesion, and so are the parcels of an atlas in the other one."""
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(shared / 'data/templateflow'))
    mask = tmp_path / f'sub-1_space-{SPACE}_label-lesion_mask.nii.gz'
    mask.write_bytes(real[0].read_bytes())
    tracks = unpacked('ICBM152_adult')
    atlas = shared / 'data/atlases'
    image = next(atlas.glob('*erebr*.nii*'))
    words = ['run', 'snm', mask, tmp_path / 'out', '--connectome-path', tracks]
    words += [
        '--connectome-space',
        'MNI152NLin2009aAsym',
        '--no-report',
        '--nprocs',
        1,
        '-w',
        tmp_path / 'work',
    ]
    labels = tmp_path / 'labels.tsv'
    values = np.unique(np.asarray(nb.load(image).dataobj)).astype(int)
    labels.write_text('index\tname\n' + ''.join(f'{value}\tparcel {value}\n' for value in values if value))
    own = (image, labels, 'MNI152NLin2009cAsym')
    words += [
        '--custom-parcellation',
        'cerebra',
        *own,
        '--compute-disconnectivity-matrix',
        '--compute-roi-disconnection',
    ]
    assert main([str(word) for word in words]) == 0
    lesion = lacuna.Tractogram(tracks, 'MNI152NLin2009aAsym').disconnect(mask)
    assert lesion.space == SPACE
    check_same(lesion, tmp_path / 'out', 'cerebra', lesion.parcels(own))
    # streamlines are those of the moved tractogram
    placed = lesion.tractogram.in_space(SPACE)
    number = int(lesion.streamlines[0])
    for points, lengths in iter_blocks(read_header(placed.tracks)):
        ends = np.cumsum(lengths)
        np.testing.assert_array_equal(
            lesion.sample(10**6)[0], points[ends[number] - lengths[number] : ends[number]]
        )
        break


def test_another_format(toy, tractogram, tmp_path):
    from nibabel.streamlines import Tractogram, save

    header = {
        'voxel_to_rasmm': np.eye(4),
        'dimensions': np.array([50, 50, 50], 'int16'),
        'voxel_sizes': np.ones(3, 'float32'),
        'voxel_order': b'RAS',
    }
    path = tmp_path / 'other.trk'
    save(Tractogram(toy_streamlines(), affine_to_rasmm=np.eye(4)), str(path), header=header)
    lesion = lacuna.Tractogram(path, SPACE, cache=tmp_path / 'cache').disconnect(toy.mask)
    np.testing.assert_array_equal(lesion.map.get_fdata(), tractogram.disconnect(toy.mask).map.get_fdata())


def test_a_home_folder_is_the_users(toy, tmp_path, monkeypatch):
    """The space of a mask is in its name and sidecar, which have to be found as its voxels are."""
    home = tmp_path / 'home'
    home.mkdir()
    monkeypatch.setenv('HOME', str(home))
    mask = home / 'sub-01_space-Talairach_label-lesion_mask.nii.gz'
    mask.write_bytes(toy.mask.read_bytes())
    (home / 'toy.tck').write_bytes(toy.tracks.read_bytes())
    tractogram = lacuna.Tractogram('~/toy.tck', SPACE, nprocs=1, cache='~/cache')
    assert tractogram.path == home / 'toy.tck'
    assert tractogram.cache == home / 'cache'
    with pytest.raises(MaskError, match='Talairach'):
        tractogram.disconnect(f'~/{mask.name}')


def test_a_tractogram_whose_space_is_doubtful_is_a_warning(toy, tmp_path):
    """As in a run: an option may contradict the sidecar."""
    tractogram = lacuna.Tractogram(toy.tracks, 'MNI152NLin2009cAsym', cache=tmp_path / 'cache')
    cropped = nb.load(toy.mask).slicer[2:, 3:, 4:]  # a grid of neither space
    mask = nb.Nifti1Image(np.asarray(cropped.dataobj), cropped.affine)
    with pytest.warns(UserWarning, match="Space in the tractogram's toy.json MNI152NLin6Asym") as noted:
        tractogram.disconnect(mask)
    assert noted[0].filename == __file__


def test_what_is_changed_in_a_result_changes_no_other(toy, tractogram, parcels):
    lesion = tractogram.disconnect(toy.mask)
    with pytest.raises(ValueError, match='read-only'):
        lesion.streamlines[:] = 0
    changed = lesion.parcels(parcels)
    before = changed.full_matrix.copy()
    changed.full_matrix.iloc[:, :] = 0  # with pandas 2, in place
    changed.disconnection.iloc[:] = 0
    pd.testing.assert_frame_equal(lesion.parcels(parcels).full_matrix, before)
    pd.testing.assert_frame_equal(tractogram.disconnect(toy.mask).parcels(parcels).full_matrix, before)


@pytest.mark.parametrize('atlas', [None, Path('atlas.nii.gz'), ('atlas.nii.gz', 'atlas.tsv')])
def test_what_is_no_atlas(toy, tractogram, atlas):
    with pytest.raises(InputError, match='an atlas is a name, or an image, its label table and its space'):
        tractogram.disconnect(toy.mask).parcels(atlas)


def test_one_name_is_no_list_of_atlases(toy, tractogram):
    with pytest.raises(InputError, match='give a list'):
        tractogram.disconnect(toy.mask).nulls(5, atlases='aal')


def test_links_whose_files_are_not_there(tractogram, tmp_path):
    """As in a dataset of DataLad whose content was not fetched."""
    for name in ('mask.nii.gz', 'other.tck'):
        (tmp_path / name).symlink_to(tmp_path / '.git/annex/objects/x')
    with pytest.raises(MaskError, match='is a link to a file that is not there'):
        tractogram.disconnect(tmp_path / 'mask.nii.gz')
    with pytest.raises(TractogramError, match='is a link to a file that is not there'):
        lacuna.Tractogram(tmp_path / 'other.tck', SPACE)
