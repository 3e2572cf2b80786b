"""``lacuna`` as its users see it: files, messages, exit codes."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest
from helpers.cohort import tree
from helpers.commandline import commands
from helpers.toys import check_toy_map
from helpers.validator import errors, errors_of_results

from lacuna.cli import bidsapp, main
from lacuna.cli.parser import build_parser
from lacuna.images.spaces import standard_grid
from lacuna.testing import Toy, world_coordinates, write_mask

pytestmark = pytest.mark.mrtrix

STEM = 'sub-01_label-lesion_method-snm'
MAP = f'sub-01/anat/{STEM}_space-MNI152NLin6Asym_desc-disconnectionpct.nii.gz'
SUMMARY = f'sub-01/anat/{STEM}_desc-summarystatistics_stats.json'
TDI = 'connectome/tractogram-toy_space-MNI152NLin6Asym_res-2_tdi.nii.gz'
SUPPORT = TDI.replace('_tdi', '_desc-support_mask')


@pytest.fixture
def run(toy, tmp_path, capsys):
    """Run ``lacuna run snm`` on the toy in this process; returns exit code, stdout, stderr."""

    def command(*options, source=None, out='out', tracks=toy.tracks):
        args = [
            'run',
            'snm',
            '--no-report',
            source or tmp_path / 'bids',
            tmp_path / out,
            '--connectome-path',
            tracks,
        ]
        args += ['-w', tmp_path / 'work', '--nprocs', '1', *options]
        code = main([str(arg) for arg in args])
        return code, *capsys.readouterr()

    return command


def add_mask(toy: Toy, name: str, change=None, subject='02') -> Path:
    """A copy of the toy's mask under another name, changed."""
    image = nb.load(toy.mask)
    data, affine = np.asanyarray(image.dataobj).copy(), image.affine
    if change is not None:
        data = change(data)
    return write_mask(toy.mask.parents[2] / f'sub-{subject}' / 'anat' / name, data, affine, str(data.dtype))


def files(folder):
    """All but the lock, which every run takes."""
    return {path for path in folder.rglob('*') if path.is_file() and path.name != '.lock'}


def without_logs(names):
    return {name for name in names if not name.startswith('logs/')}


def test_first_run(run, tmp_path):
    code, _, err = run()
    assert code == 0, err
    assert without_logs(tree(tmp_path / 'out')) == {
        MAP,
        MAP.replace('.nii.gz', '.json'),
        SUMMARY,
        TDI,
        TDI.replace('.nii.gz', '.json'),
        SUPPORT,
        SUPPORT.replace('.nii.gz', '.json'),
        'dataset_description.json',
        'README',
        '.bidsignore',
    }
    assert {Path(name).name for name in tree(tmp_path / 'out/logs')} == {
        'settings.toml',
        'CITATION.md',
        'CITATION.bib',
        'run.json',
        'run.log',
        '.lock',
    }
    check_toy_map(nb.load(tmp_path / 'out' / MAP))
    assert not list((tmp_path / 'work').iterdir())  # nothing is left of what is finished


def test_what_is_said_at_the_end(run, toy, tmp_path):
    """A line for each lesion, of what its summary says; paths only with -v."""
    grid = standard_grid('MNI152NLin2009cAsym', 1)
    _, _, z = world_coordinates(grid.shape, grid.affine)
    name = 'sub-02_space-MNI152NLin6Asym_label-lesion_mask.nii.gz'
    write_mask(toy.mask.parents[2] / 'sub-02/anat' / name, (z > 0) & (z < 20), grid.affine)
    _, out, err = run()
    summary = json.loads((tmp_path / 'out' / SUMMARY).read_text())
    rows = [line.split() for line in out.splitlines()[:3]]
    assert rows[0] == ['lesion', 'ml', '%', 'cut', 'warnings']
    volume, cut = summary['mask_volume_mm3'] / 1000, summary['streamlines_disconnected_pct']
    assert rows[1] == ['sub-01_label-lesion', f'{volume:.2f}', f'{cut:.2f}', '0']
    assert rows[2][0] == 'sub-02_label-lesion'
    assert int(rows[2][3]) >= 1  # the grid is another template's
    assert 'sub-02' in err
    assert MAP not in out
    _, out, _ = run('-v')
    assert f'map: {tmp_path / "out" / MAP}\n' in out
    assert out.splitlines()[0].split()[0] == 'lesion'


def test_of_many_lesions_the_first_are_shown(run, toy):
    for number in range(2, 24):
        add_mask(
            toy, f'sub-{number:02d}_space-MNI152NLin6Asym_label-lesion_mask.nii.gz', subject=f'{number:02d}'
        )
    out = run()[1].splitlines()
    assert [line.split()[0] for line in out[1:21]] == [
        f'sub-{number:02d}_label-lesion' for number in range(1, 21)
    ]
    assert out[21] == 'and 3 more'


def test_a_run_in_a_thread(run):
    """It sets no handler of signals, which only the first thread may; and one that does puts back what was there."""
    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        code, _, err = pool.submit(run).result()
    assert code == 0, err
    assert run('--overwrite')[0] == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_sidecar_says_how(run, toy, tmp_path):
    run()
    sidecar = json.loads((tmp_path / 'out' / MAP.replace('.nii.gz', '.json')).read_text())
    assert sidecar['Units'] == 'percent'
    assert sidecar['Space'] == sidecar['SpatialReference'] == 'MNI152NLin6Asym'
    assert sidecar['Resolution'].startswith('2 mm')
    assert sidecar['Sources'] == [
        'bids:lesions:sub-01/anat/sub-01_space-MNI152NLin6Asym_label-lesion_mask.nii.gz',
        'bids:tractogram:toy.tck',
        f'bids::{TDI}',
    ]
    assert sidecar['Denominator'] == f'bids::{TDI}'
    checksum = subprocess.run(
        ['sha256sum', toy.tracks], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    assert sidecar['Tractogram'] == {
        'Name': 'toy',
        'Space': 'MNI152NLin6Asym',
        'SHA256': checksum,
        'StreamlineCount': 30,
        'VerticesInsideBrainPercent': 100.0,
    }
    assert sidecar['SoftwareVersions']['Engine'] == 'index'
    assert sidecar['SoftwareVersions']['MRtrix3'] == 'not used'
    description = json.loads((tmp_path / 'out/dataset_description.json').read_text())
    assert description['DatasetType'] == 'derivative'
    assert [tool['Name'] for tool in description['GeneratedBy']] == ['Lacuna']
    for link in ('lesions', 'tractogram'):
        assert Path(description['DatasetLinks'][link].removeprefix('file://')).is_dir()


def test_the_command_line_in_the_sidecar_gives_the_same(run, tmp_path, lacuna_command):
    import shlex

    run()
    sidecar = json.loads((tmp_path / 'out' / MAP.replace('.nii.gz', '.json')).read_text())
    words = shlex.split(sidecar['CommandLine'])
    words[4] = str(tmp_path / 'again')
    done = lacuna_command(*words[1:], '-w', tmp_path / 'work', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'again' / MAP).read_bytes() == (tmp_path / 'out' / MAP).read_bytes()
    assert (tmp_path / 'again' / SUMMARY).read_bytes() == (tmp_path / 'out' / SUMMARY).read_bytes()


def test_valid_bids(run, toy, tmp_path):
    add_mask(toy, 'sub-02_space-MNI152NLin6Asym_label-lesion_desc-x_mask.nii.gz')
    assert run()[0] == 0
    assert errors(tmp_path / 'out') == {}
    assert errors_of_results(tmp_path / 'out', tmp_path / 'view') == {}


def test_a_single_mask(run, toy, tmp_path):
    code, _out, err = run('--mask-space', 'MNI152NLin6Asym', source=toy.mask)
    assert code == 0, err
    check_toy_map(nb.load(tmp_path / 'out' / MAP))


def test_a_single_mask_with_any_name(run, toy, tmp_path):
    mask = tmp_path / 'my lésion.nii.gz'
    mask.write_bytes(toy.mask.read_bytes())
    assert run('--mask-space', 'MNI152NLin6Asym', '--participant-label', 'sub-7', source=mask)[0] == 0
    name = 'sub-7/anat/sub-7_method-snm_space-MNI152NLin6Asym_desc-disconnectionpct.nii.gz'
    check_toy_map(nb.load(tmp_path / 'out' / name))
    assert run('--mask-space', 'MNI152NLin6Asym', source=mask, out='named')[0] == 0
    assert (tmp_path / 'named/sub-mylsion/anat').is_dir()


def test_resolution(run, tmp_path):
    assert run('--output-resolution', '1')[0] == 0
    image = nb.load(tmp_path / 'out' / MAP)
    assert image.shape == (182, 218, 182)
    np.testing.assert_array_equal(image.affine[:3, 3], [90, -126, -72])
    # each of the ten cut lines visits 41 voxels of 1 mm, of which 11 are also its twin's
    assert np.bincount(image.get_fdata().astype(int).ravel())[[50, 100]].tolist() == [110, 300]


def test_several_masks_of_one_session(run, toy, tmp_path):
    for label in ('a', 'b'):
        add_mask(toy, f'sub-02_space-MNI152NLin6Asym_label-{label}_mask.nii.gz')
        add_mask(toy, f'sub-02_space-MNI152NLin6Asym_label-{label}_desc-m_mask.nii.gz')
    assert run()[0] == 2  # masks that differ by desc only would have one name for their results
    assert run('--pattern', '*desc-m_*')[0] == 0
    written = [path.name for path in (tmp_path / 'out').rglob('*desc-disconnectionpct.nii.gz')]
    assert sorted(name[:14] for name in written) == ['sub-02_label-a', 'sub-02_label-b']


def test_multiproc_gives_the_same(run, toy, tmp_path):
    for subject in ('02', '03', '04'):  # four masks are worth two workers
        add_mask(toy, f'sub-{subject}_space-MNI152NLin6Asym_label-lesion_mask.nii.gz', subject=subject)
    assert run(out='linear')[0] == 0
    assert run('--nprocs', '2', out='linear2')[0] == 0
    names = {name for name in tree(tmp_path / 'linear') if '/anat/' in name}
    assert len(names) == 12
    for name in names:
        if name.endswith(('.nii.gz', 'stats.json')):
            assert (tmp_path / 'linear' / name).read_bytes() == (tmp_path / 'linear2' / name).read_bytes()


def test_again_does_nothing(run, tmp_path):
    run()
    times = {path: path.stat().st_mtime_ns for path in files(tmp_path / 'out')}
    code, out, _ = run()
    assert code == 0
    assert '1 mask done (0 now)' in out
    assert {path: path.stat().st_mtime_ns for path in files(tmp_path / 'out')} == times


def test_what_is_missing_is_added(run, toy, tmp_path):
    run()
    made = (tmp_path / 'out' / MAP).stat().st_mtime_ns
    (tmp_path / 'out' / SUMMARY).unlink()
    add_mask(toy, 'sub-02_space-MNI152NLin6Asym_label-lesion_mask.nii.gz')
    code, out, _ = run()
    assert (code, '2 masks done (2 now)' in out) == (0, True)
    assert (tmp_path / 'out' / SUMMARY).is_file()
    assert (tmp_path / 'out' / MAP).stat().st_mtime_ns == made


def change_tractogram(toy):
    from lacuna.streamlines.files.tck import write_tck
    from lacuna.testing import toy_streamlines

    write_tck(toy.tracks, toy_streamlines()[:-1])
    return ()


def change_mask(toy):
    add_mask(toy, toy.mask.name, lambda data: np.roll(data, 1, axis=1), subject='01')
    return ()


@pytest.mark.parametrize(
    ('change', 'says'),
    [
        (lambda _: ('--output-resolution', '1'), 'output resolution (mm): 2 on disk, 1 now'),
        (lambda _: ('--tck-upsample', '3'), 'upsampling of streamlines: automatic on disk, 3 now'),
        (change_tractogram, 'content of the tractogram'),
        (change_mask, 'content of the mask'),
    ],
)
def test_other_settings_stop(run, toy, tmp_path, change, says):
    run()
    before = {path: path.read_bytes() for path in files(tmp_path / 'out')}
    options = change(toy)
    code, _, err = run(*options)
    assert code == 2
    assert says in err
    assert '--overwrite' in err
    assert {path: path.read_bytes() for path in files(tmp_path / 'out')} == before
    assert run(*options, '--overwrite')[0] == 0
    assert run(*options)[0] == 0


def test_dry_run_writes_nothing(run, toy, tmp_path):
    add_mask(toy, 'sub-02_space-MNI152NLin6Asym_label-lesion_mask.nii.gz', lambda data: data * 2)
    code, out, _ = run('--dry-run')
    assert code == 1
    assert 'would make: disconnection_map, summary' in out
    assert 'would fail:' in out
    assert '1 to do, 0 done, 0 skipped, 1 unusable' in out
    assert not (tmp_path / 'out').exists()
    assert not (tmp_path / 'work').exists()


def test_verbose(run):
    _, _, err = run('-v', '--engine', 'mrtrix')
    assert '30 streamlines in MNI152NLin6Asym' in err
    assert 'label-lesion_mask.nii.gz: disconnection_map, summary' in err
    assert 'tckedit' in err


def test_quiet_by_default(run):
    _, out, err = run()
    assert 'nipype' not in out + err
    assert err == ''


def test_very_verbose_shows_the_commands(toy, tmp_path, lacuna_command):
    done = lacuna_command(
        'run',
        'snm',
        toy.mask,
        tmp_path / 'out',
        '--connectome-path',
        toy.tracks,
        '-vv',
        '--engine',
        'mrtrix',
        cwd=tmp_path,
    )
    assert done.returncode == 0
    assert 'tckmap:' in done.stdout + done.stderr
    assert 'nipype.workflow' in done.stdout + done.stderr


# ---- masks that cannot be used: the others are finished ----

BAD_MASKS = [
    (lambda data: data * 2, 'not binary: it holds 2'),
    (lambda data: np.stack([data, data], axis=-1), '4 dimensions'),
    (lambda data: np.where(data > 0, np.nan, 0).astype('float32'), 'not finite'),
    (lambda data: np.roll(data, 100, axis=2), 'the mask lies at'),
]


@pytest.mark.parametrize(('change', 'says'), BAD_MASKS)
def test_one_bad_mask(run, toy, tmp_path, change, says):
    bad = add_mask(toy, 'sub-02_space-MNI152NLin6Asym_label-lesion_mask.nii.gz', change)
    code, out, err = run()
    assert code == 1
    assert '1 mask done (1 now)' in out
    line = next(line for line in err.splitlines() if str(bad) in line)
    assert says in line
    table = (tmp_path / 'out/logs/failed_masks.tsv').read_text().splitlines()
    assert len(table) == 2
    assert says in table[1]
    check_toy_map(nb.load(tmp_path / 'out' / MAP))
    assert not (tmp_path / 'out/sub-02').exists()


@pytest.mark.parametrize(('change', 'says'), BAD_MASKS)
def test_only_bad_masks_stop_the_run(run, toy, tmp_path, change, says):
    add_mask(toy, toy.mask.name, change, subject='01')
    code, _, err = run()
    assert code == 2
    assert says in err
    assert 'Traceback' not in err
    assert not (tmp_path / 'out').exists()


def test_truncated_mask(run, toy, tmp_path):
    toy.mask.write_bytes(toy.mask.read_bytes()[:3000])
    code, _, err = run()
    assert (code, 'cannot be read' in err) == (2, True)
    assert not (tmp_path / 'out').exists()


def test_other_space_without_a_transform(run, tmp_path, monkeypatch):
    (tmp_path / 'empty/tpl-MNI152NLin6Asym').mkdir(parents=True)  # else TemplateFlow fills it with stubs
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(tmp_path / 'empty'))
    code, _, err = run('--mask-space', 'MNI152NLin2009cAsym')
    assert code == 2
    assert 'no transform to move streamlines from MNI152NLin6Asym to MNI152NLin2009cAsym' in err
    assert not (tmp_path / 'out').exists()


def test_a_grid_of_another_space_is_said(run, toy):
    add_mask(toy, 'sub-02_space-MNI152NLin6Asym_label-lesion_mask.nii.gz')
    grid = standard_grid('MNI152NLin2009cAsym', 1)
    _, _, z = world_coordinates(grid.shape, grid.affine)
    name = 'sub-03_space-MNI152NLin6Asym_label-lesion_mask.nii.gz'
    write_mask(toy.mask.parents[2] / 'sub-03/anat' / name, z > 0, grid.affine)
    code, _, err = run()
    assert code == 0
    line = next(line for line in err.splitlines() if 'sub-03' in line)
    assert 'declared as MNI152NLin6Asym, but 193 x 229 x 193 voxels' in line
    assert 'grid of MNI152NLin2009cAsym' in line
    assert 'sub-02' not in err


def test_sparse_vertices_are_said(run, toy):
    from lacuna.streamlines.files.tck import write_tck
    from lacuna.testing import toy_streamlines

    write_tck(toy.tracks, [line[::4] for line in toy_streamlines()])
    code, _, err = run()
    assert (code, 'may have gaps; --tck-upsample' in err) == (0, True)
    assert 'gaps' not in run('--tck-upsample', '8', '--overwrite')[2]


def test_native_mask_beside_the_standard_one(run, toy):
    """As pipelines leave them: the native one is no failure."""
    add_mask(toy, 'sub-01_label-lesion_mask.nii.gz', subject='01')
    assert run()[0] == 0


def test_mask_without_a_space(run, toy):
    add_mask(toy, 'sub-02_label-lesion_mask.nii.gz')
    code, _, err = run()
    assert code == 1
    assert '--mask-space' in err


def test_two_masks_of_one_name(run, toy):
    add_mask(toy, 'sub-01_space-MNI152NLin2009cAsym_label-lesion_mask.nii.gz', subject='01')
    code, _, err = run()
    assert (code, '--pattern' in err) == (2, True)
    assert run('--pattern', '*NLin6Asym*')[0] == 0


@pytest.mark.parametrize(
    ('on_empty', 'code', 'says'),
    [('warn', 0, 'its map is 0'), ('skip', 0, 'skipped'), ('error', 1, 'the mask is empty')],
)
def test_empty_mask(run, toy, tmp_path, on_empty, code, says):
    add_mask(toy, 'sub-02_space-MNI152NLin6Asym_label-lesion_mask.nii.gz', lambda data: data * 0)
    found, _, err = run('--on-empty', on_empty)
    assert (found, says in err) == (code, True)
    assert (tmp_path / 'out/sub-02').exists() == (on_empty == 'warn')
    if on_empty == 'warn':
        empty = next((tmp_path / 'out/sub-02').rglob('*.nii.gz'))
        assert nb.load(empty).get_fdata().max() == 0
        summary = json.loads(next((tmp_path / 'out/sub-02').rglob('*stats.json')).read_text())
        assert summary['mask_voxels'] == summary['streamlines_disconnected'] == 0


# ---- input that stops the run ----


def test_bad_tractograms(run, toy, tmp_path):
    content = toy.tracks.read_bytes()
    cases = {
        'truncated.tck': (content[:-500], 'truncated'),
        'empty.tck': (
            b'mrtrix tracks\ndatatype: Float32LE\ncount: 0\nfile: . 70\nEND\n'.ljust(70)
            + b'\0\0\x80\x7f' * 3,
            'no streamlines',
        ),
        'nan.tck': (content[:-36] + b'\0\0\xc0\x7f' + content[-32:], 'not finite'),
        'text.tck': (b'hello', 'text.tck'),
        'toy.trk': (content, 'toy.trk'),
        'toy.vtk': (content, '.trx'),
    }
    for name, (damaged, says) in cases.items():
        path = tmp_path / name
        path.write_bytes(damaged)
        code, _, err = run('--connectome-space', 'MNI152NLin6Asym', tracks=path)
        assert (code, says in err, err.count('\n')) == (2, True, 1), err
        assert not (tmp_path / 'out').exists()
    code, _, err = run(tracks=tmp_path / 'absent.tck')
    assert (code, 'absent.tck' in err) == (2, True)


def test_tractogram_without_a_space(run, toy):
    toy.tracks.with_suffix('.json').unlink()
    code, _, err = run()
    assert (code, '--connectome-space' in err) == (2, True)
    assert run('--connectome-space', 'MNI152NLin6Asym')[0] == 0


def test_a_sidecar_of_the_tractogram_that_is_none(run, toy, tmp_path):
    sidecar = toy.tracks.with_suffix('.json')
    sidecar.write_text('{"Space": "MNI152NLin6Asym",}')
    code, _, err = run()
    assert (code, f'{sidecar} is not valid JSON' in err, err.count('\n')) == (2, True, 1)
    assert not (tmp_path / 'out').exists()


def test_short_streamlines_are_said(run, toy):
    from lacuna.streamlines.files.tck import write_tck
    from lacuna.testing import toy_streamlines

    write_tck(toy.tracks, [*toy_streamlines(), [[0, 0, 0]]])
    code, _, err = run('-v')
    assert code == 0
    assert err.count('1 with only one') == 1
    assert 'without a vertex' not in err
    write_tck(toy.tracks, [*toy_streamlines(), [], [], [[0, 0, 0]]])
    assert '2 without a vertex, 1 with only one' in run('-v', '--overwrite')[2]
    assert run('--overwrite')[2] == ''


@pytest.mark.parametrize(
    ('options', 'says'),
    [
        (['--participant-label', '09'], 'participant 09'),
        (['--pattern', '*edema*'], 'no mask found'),
        (['--mask-space', 'Talairach'], "mask_space 'Talairach' is not supported"),
        (['--nprocs', '0'], 'nprocs is 0'),
        (['--mem-gb', '-1'], 'mem_gb is -1'),
    ],
)
def test_wrong_usage(run, tmp_path, options, says):
    code, _, err = run(*options)
    assert (code, says in err, err.count('\n')) == (2, True, 1), err
    assert not (tmp_path / 'out').exists()


def test_no_source(run, tmp_path):
    code, _, err = run(source=tmp_path / 'nowhere')
    assert (code, 'give a BIDS dataset or a mask' in err) == (2, True)


def test_output_that_cannot_be_used(run, tmp_path):
    (tmp_path / 'file').touch()
    assert run(out='file')[0] == 2
    assert run(out='file/below')[0] == 2
    code, _, err = run(out='bids')
    assert (code, 'is the input folder' in err) == (2, True)
    (tmp_path / 'theirs').mkdir()
    (tmp_path / 'theirs/dataset_description.json').write_text('{"Name": "raw"}')
    code, _, err = run(out='theirs')
    assert (code, 'theirs' in err) == (2, True)
    assert tree(tmp_path / 'theirs') == {'dataset_description.json'}


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_output_without_permission(run, tmp_path):
    (tmp_path / 'locked').mkdir(mode=0o500)
    code, _, err = run(out='locked/out')
    assert (code, 'no permission' in err) == (2, True)


def test_no_mrtrix(toy, tmp_path, lacuna_command):
    done = lacuna_command(
        'run',
        'snm',
        toy.mask,
        tmp_path / 'out',
        '--connectome-path',
        toy.tracks,
        '--engine',
        'mrtrix',
        PATH='/nowhere',
    )
    assert done.returncode == 2
    assert 'needs MRtrix3' in done.stderr
    assert 'apt-get install mrtrix3' in done.stderr
    assert not (tmp_path / 'out').exists()


def test_a_node_that_fails(run, tmp_path, monkeypatch):
    """A command that breaks in the middle: one line, a crash file, exit code 1, no output."""
    fake = tmp_path / 'bin/tckmap'
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nprintf "tckmap: \\033[01;31m[ERROR] no luck\\033[0m\\n" >&2\nexit 1\n')
    fake.chmod(0o755)
    monkeypatch.setenv('PATH', f'{fake.parent}:{os.environ["PATH"]}')
    code, _, err = run('--engine', 'mrtrix')
    assert code == 1
    assert '[ERROR] no luck' in err
    assert '\x1b' not in err
    assert 'Traceback' not in err
    assert not (tmp_path / 'out/sub-01').exists()
    assert list((tmp_path / 'out/logs').rglob('crash-*.txt'))
    monkeypatch.undo()
    assert run()[0] == 0


def test_usage_errors_of_the_parser(capsys):
    for args in ([], ['run'], ['run', 'snm'], ['nonsense']):
        with pytest.raises(SystemExit) as caught:
            main(args)
        assert caught.value.code == 2
    assert 'usage: lacuna' in capsys.readouterr().err


@pytest.mark.parametrize('command', [main, bidsapp.main])
def test_every_command_keeps_compiled_code_in_the_cache(command, monkeypatch, tmp_path, capsys):
    """Not only those that compute: numba fails at import where it finds no folder that it can write to."""
    monkeypatch.setenv('NUMBA_CACHE_DIR', '')
    monkeypatch.delenv('NUMBA_CACHE_DIR')
    missing = str(tmp_path / 'nothing')
    arguments = [missing, missing, 'group'] if command is bidsapp.main else ['collect', missing]
    assert command(arguments) == 2
    assert missing in capsys.readouterr().err
    assert os.environ['NUMBA_CACHE_DIR'] == f'{os.environ["LACUNA_CACHE_DIR"]}/numba-{os.geteuid()}'


def test_help_is_light():
    heavy = (
        'nipype',
        'niworkflows',
        'nibabel',
        'pandas',
        'bids',
        'scipy',
        'numba',
        'matplotlib',
        'h5py',
        'requests',
    )
    code = (
        'import sys, lacuna.cli.parser as p; p.build_parser().format_help(); '
        f'sys.exit(any(name in sys.modules for name in {heavy}))'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_every_command_has_help(monkeypatch):
    monkeypatch.setenv('COLUMNS', '80')
    parsers = list(commands(build_parser()))
    assert len(parsers) > 15
    for parser in parsers:
        assert parser.description, parser.prog
        assert len(parser.format_help().splitlines()) <= 144, parser.prog  # three screens at most
