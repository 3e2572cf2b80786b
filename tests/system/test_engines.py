"""The two engines give the same files, and the index behind the default one looks after itself."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest
from helpers.cohort import tree
from helpers.waiting import HANGS, wait_for

from lacuna.cli import main
from lacuna.images.spaces import standard_grid
from lacuna.streamlines.files.tck import write_tck
from lacuna.testing import toy_streamlines, world_coordinates, write_mask

SPACE = 'MNI152NLin6Asym'
MATRICES = ('--compute-disconnectivity-matrix', '--compute-roi-disconnection')


@pytest.fixture
def study(toy, tmp_path):
    """The toy with masks on other grids and one without voxels, and an atlas of two parcels."""
    lesion = nb.load(toy.mask)
    for number, resolution, shift in ((2, 2, 0.0), (3, 1, 0.4)):
        grid = standard_grid(SPACE, resolution)
        affine = grid.affine.copy()
        affine[:3, 3] += shift
        x, y, z = world_coordinates(grid.shape, affine)
        data = (abs(x) <= 3) & (y >= -2) & (y <= 6) & (z >= -2) & (z <= 6)
        write_mask(mask_path(tmp_path, number), data, affine)
    write_mask(mask_path(tmp_path, 4), np.zeros(lesion.shape), lesion.affine)
    x, y, z = world_coordinates(lesion.shape, lesion.affine)
    parcels = np.where(x < -15, 7, np.where((x > 15) & (y < 10), 3, 0))
    write_mask(tmp_path / 'parcels.nii.gz', parcels, lesion.affine, 'int16')
    (tmp_path / 'parcels.tsv').write_text('index\tname\n3\tright\n7\tleft\n9\tnowhere\n')
    return toy


def mask_path(folder: Path, number: int) -> Path:
    return folder / f'bids/sub-{number:02d}/anat/sub-{number:02d}_space-{SPACE}_label-lesion_mask.nii.gz'


@pytest.fixture
def run(study, tmp_path, capsys):
    def run(out: str, *options: object, tracks: Path | None = None) -> tuple[int, str, str]:
        words = [
            'run',
            'snm',
            '--no-report',
            tmp_path / 'bids',
            tmp_path / out,
            '--connectome-path',
            tracks or study.tracks,
        ]
        words += ['-w', tmp_path / 'work', '--nprocs', '1', *options]
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def atlas(tmp_path):
    return (
        '--custom-parcellation', 'toy', tmp_path / 'parcels.nii.gz', tmp_path / 'parcels.tsv', SPACE, *MATRICES,
    )  # fmt: skip


def content(path: Path):
    """What a file says, without the words about the program that wrote it."""
    if path.suffix == '.json':
        facts = json.loads(path.read_text())
        for name, record in facts.get('Files', {}).items():
            assert (path.parent / name).stat().st_size == record['Size']
            if name.endswith('_tdi.nii.gz'):
                facts['Files'][name] = content(path.parent / name)
        return {key: value for key, value in facts.items() if key not in ('SoftwareVersions', 'CommandLine')}
    if path.name.endswith('_tdi.nii.gz'):  # tckmap writes a header and compresses in its own way
        image = nb.load(path)
        data = np.asanyarray(image.dataobj)
        return data.tobytes(), data.dtype, image.affine.tolist()
    return path.read_bytes()


@pytest.mark.mrtrix
@pytest.mark.parametrize('options', [(), ('--output-resolution', '1'), ('--tck-upsample', '3')])
def test_the_same_files(run, tmp_path, options):
    assert run('index', *atlas(tmp_path), *options)[0] == 0
    assert run('mrtrix', *atlas(tmp_path), *options, '--engine', 'mrtrix')[0] == 0
    names = {name for name in tree(tmp_path / 'index') if name.startswith(('sub-', 'connectome/'))}
    assert names == {name for name in tree(tmp_path / 'mrtrix') if name.startswith(('sub-', 'connectome/'))}
    assert len(names) == 4 * 16 + 4
    for name in names:
        assert content(tmp_path / 'index' / name) == content(tmp_path / 'mrtrix' / name), name
    summary = next((tmp_path / 'index/sub-01').rglob('*desc-summarystatistics_stats.json'))
    assert json.loads(summary.read_text())['streamlines_disconnected'] == 10
    # and one engine goes on where the other has stopped
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / 'index').rglob('sub-*/**/*_*')}
    code, out, _ = run('index', *atlas(tmp_path), *options, '--engine', 'mrtrix')
    assert code == 0
    assert '4 masks done (0 now)' in out
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_without_mrtrix(study, tmp_path, lacuna_command):
    """Nothing of the default needs an MRtrix3 command."""
    words = [
        'run',
        'snm',
        '--no-report',
        tmp_path / 'bids',
        tmp_path / 'out',
        '--connectome-path',
        study.tracks,
    ]
    done = lacuna_command(*words, *atlas(tmp_path), cwd=tmp_path, PATH='/nowhere')
    assert done.returncode == 0, done.stderr
    table = next((tmp_path / 'out/sub-01').rglob('*parcelstats.tsv')).read_text().splitlines()
    # 9 of the 15 long lines end in the right parcel (y = 0, 4, 8), 6 of them are cut
    assert table == ['region\tvalue', f'right\t{600 / 9}', f'left\t{600 / 9}', 'nowhere\tn/a']
    done = lacuna_command('info', 'engines', PATH='/nowhere')
    assert 'mrtrix  not available' in done.stdout
    assert 'index   available' in done.stdout


def indexes() -> list[Path]:
    from lacuna.utils.cache import cache_dir

    return sorted((cache_dir() / 'index').glob('*/*/manifest.json'))


def test_the_index_is_built_once(run):
    run('out')
    times = {path: path.stat().st_mtime_ns for path in indexes()}
    assert len(times) == 2
    assert run('again')[0] == 0
    assert {path: path.stat().st_mtime_ns for path in indexes()} == times
    run('fine', '--output-resolution', '1')  # the selection serves both grids
    assert len(indexes()) == 3
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_damaged_index_is_built_anew(run, tmp_path):
    run('out')
    codes = next(indexes()[0].parents[1].glob('density-*/codes.bin'))
    whole = codes.read_bytes()
    codes.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert run('again')[0] == 0
    assert codes.read_bytes() == whole
    name = next(
        name
        for name in tree(tmp_path / 'out')
        if name.endswith('sub-01_label-lesion_method-snm_desc-summarystatistics_stats.json')
    )
    assert (tmp_path / 'out' / name).read_bytes() == (tmp_path / 'again' / name).read_bytes()


def test_another_tractogram_of_the_same_name(run, study, tmp_path):
    run('out')
    write_tck(study.tracks, toy_streamlines()[:10])
    code, _, _ = run('other')
    assert code == 0
    summary = next((tmp_path / 'other/sub-01').rglob('*desc-summarystatistics_stats.json'))
    assert json.loads(summary.read_text())['streamlines_total'] == 10
    assert len(indexes()) == 4


def test_an_index_that_cannot_be_written(run, tmp_path):
    from lacuna.utils.cache import cache_dir

    cache_dir().mkdir(exist_ok=True)
    (cache_dir() / 'index').write_text('in the way')
    code, _, err = run('out')
    assert code == 1
    assert 'cannot write the streamline index in' in err
    assert 'Traceback' not in err
    assert len((tmp_path / 'out/logs/failed_masks.tsv').read_text().splitlines()) == 5


def test_a_cache_that_takes_no_notes(run):
    """As where an administrator has filled it: an index that is there serves, though its checksum is computed again."""
    from lacuna.utils.cache import cache_dir

    assert run('first')[0] == 0
    shutil.rmtree(cache_dir() / 'tractograms')
    (cache_dir() / 'tractograms').write_text('in the way')
    before = {path: path.stat().st_mtime_ns for path in indexes()}
    assert run('second')[0] == 0
    assert {path: path.stat().st_mtime_ns for path in indexes()} == before


def test_index_command(study, lacuna_here):
    done = lacuna_here('index', study.tracks, '--resolution', '1', '2')
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f'index of toy.tck: 30 streamlines; {SPACE} 1 mm, {SPACE} 2 mm; ')
    listed = lacuna_here('cache').stdout
    assert done.stdout in listed
    assert 'streamline indexes' in listed
    assert len(indexes()) == 3


def test_index_beside_the_tractogram(run, study, tmp_path, lacuna_here):
    beside = tmp_path / 'toy.tck.index'
    done = lacuna_here('index', study.tracks, '--beside')
    assert done.stdout.endswith(f'{beside}\n')
    assert run('out')[0] == 0
    assert not indexes()
    # a folder that cannot be written serves for what it holds, and the cache for the rest
    if subprocess.run(['chattr', '+i', beside], check=False, capture_output=True).returncode == 0:
        try:
            assert run('again')[0] == 0
        finally:
            subprocess.run(['chattr', '-i', beside], check=True)
    done = lacuna_here('index', study.tracks, '--beside', '--space', 'MNI152NLin2009cAsym')
    assert done.returncode == 2


_BUILD = """
import sys
from lacuna.cli import main
sys.exit(main(['index', sys.argv[1], '--connectome-space', 'MNI152NLin6Asym', '--nprocs', '1']))
"""


@pytest.fixture(scope='module')
def large(tmp_path_factory):
    """A tractogram that takes a second or more to index."""
    rng = np.random.default_rng(1)
    steps = rng.normal(size=(20_000, 120, 3)).astype(np.float32)
    target = tmp_path_factory.mktemp('large') / 'large.tck'
    write_tck(target, list(np.cumsum(steps, axis=1)), step_size=1.0)
    return target


def test_two_builders_build_once(large):
    builders = [
        subprocess.Popen([sys.executable, '-c', _BUILD, large], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [builder.communicate(timeout=HANGS)[0] for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0]
    assert said[0] == said[1]
    assert len(indexes()) == 2


@pytest.mark.parametrize('stop', [signal.SIGINT, signal.SIGKILL])
def test_a_build_that_is_stopped(large, stop, lacuna_here):
    from lacuna.utils.cache import cache_dir

    process = subprocess.Popen(
        [sys.executable, '-c', _BUILD, large],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    wait_for(lambda: list((cache_dir() / 'index').glob('*/.building-*')), process)
    process.send_signal(stop)
    _, err = process.communicate(timeout=HANGS)
    assert process.returncode != 0
    assert 'Traceback' not in err
    assert not indexes()
    if stop == signal.SIGINT:
        assert not list((cache_dir() / 'index').glob('*/.building-*'))
    assert lacuna_here('index', large, '--connectome-space', SPACE).returncode == 0
    assert len(indexes()) == 2
    assert not list((cache_dir() / 'index').glob('*/.building-*'))
