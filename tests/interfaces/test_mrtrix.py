"""The MRtrix3 commands as nodes."""

import re
import subprocess
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest
from nipype.interfaces.base import CommandLine
from nipype.pipeline.engine import Node

from lacuna.interfaces import mrtrix
from lacuna.streamlines.files.tck import scan, write_tck
from lacuna.testing import TRAIT_METADATA

pytestmark = pytest.mark.mrtrix

COMMANDS = (
    mrtrix.TCKEdit,
    mrtrix.TCKMap,
    mrtrix.TCK2Connectome,
    mrtrix.TCKInfo,
    mrtrix.TCKSample,
    mrtrix.TCKStats,
)


def run(interface, folder, **options):
    return Node(interface, name='node', base_dir=str(folder), **options).run().outputs


def test_select_and_map(toy, tmp_path):
    edit = run(mrtrix.TCKEdit(in_tracks=[str(toy.tracks)], include=[str(toy.mask)]), tmp_path / 'edit')
    assert edit.count == toy.disconnected
    assert scan(edit.out_tracks).count == toy.disconnected
    tdi = run(mrtrix.TCKMap(in_tracks=edit.out_tracks, template=str(toy.mask)), tmp_path / 'map').out_file
    assert nb.load(tdi).get_fdata().max() == 1
    assert np.count_nonzero(nb.load(tdi).get_fdata()) == 10 * 41  # ten lines of 41 voxels of 1 mm


def test_exclude_leaves_the_others(toy, tmp_path):
    edit = run(mrtrix.TCKEdit(in_tracks=[str(toy.tracks)], exclude=[str(toy.mask)]), tmp_path)
    assert edit.count == toy.streamlines - toy.disconnected


def test_weights_follow_the_selection(toy, tmp_path):
    """The streamline's number as its weight tells which were selected."""
    numbers = tmp_path / 'numbers.txt'
    numbers.write_text(' '.join(map(str, range(toy.streamlines))))
    edit = run(
        mrtrix.TCKEdit(
            in_tracks=[str(toy.tracks)],
            include=[str(toy.mask)],
            in_weights=str(numbers),
            out_weights='kept.txt',
        ),
        tmp_path,
    )
    # z = 0, 4, 8 and long, short alternate: of six in a row the first and the third are cut
    assert np.loadtxt(edit.out_weights).tolist() == [6 * y + z for y in range(5) for z in (0, 2)]


def test_sample(toy, tmp_path):
    """The greatest value of the nearest voxels; none for no streamlines, with which ``tcksample`` crashes."""
    sample = mrtrix.TCKSample(in_file=str(toy.mask), statistic='max', nearest=True)
    sample.inputs.in_tracks = str(toy.tracks)
    found = np.loadtxt(run(sample, tmp_path / 'all').out_file)
    assert np.flatnonzero(found).tolist() == [6 * y + z for y in range(5) for z in (0, 2)]
    write_tck(tmp_path / 'none.tck', [])
    sample = mrtrix.TCKSample(in_file=str(toy.mask), in_tracks=str(tmp_path / 'none.tck'), statistic='max')
    assert Path(run(sample, tmp_path / 'none').out_file).read_text() == ''


def test_info_and_stats(toy, tmp_path):
    info = run(mrtrix.TCKInfo(in_tracks=str(toy.tracks)), tmp_path / 'info')
    assert info.count == toy.streamlines
    assert int(info.header['count']) == toy.streamlines
    stats = run(mrtrix.TCKStats(in_tracks=str(toy.tracks)), tmp_path / 'stats')
    assert (stats.min, stats.max, stats.mean, stats.count) == (10, 40, 25, 30)


def test_connectome(toy, tmp_path):
    labels = np.zeros((60, 60, 60), 'int16')
    labels[9:12, :, :] = 1  # x = -21 to -19
    labels[49:52, :, :] = 3  # x = 19 to 21; 2 is a gap
    affine = np.eye(4)
    affine[:3, 3] = (-30, -30, -30)
    parcels = nb.Nifti1Image(labels, affine)
    nb.save(parcels, tmp_path / 'parcels.nii')
    out = run(
        mrtrix.TCK2Connectome(
            in_tracks=str(toy.tracks), in_parcels=str(tmp_path / 'parcels.nii'), out_assignments='nodes.txt'
        ),
        tmp_path,
    )
    assert np.loadtxt(out.out_file, delimiter=',').tolist() == [[0, 0, 15], [0, 0, 0], [15, 0, 0]]
    assert np.loadtxt(out.out_assignments).astype(int).tolist() == [[1, 3], [1, 0]] * 15


def test_error_is_that_of_mrtrix(toy, tmp_path):
    broken = tmp_path / 'broken.tck'
    broken.write_bytes(b'mrtrix tracks\nEND\n')
    with pytest.raises(Exception, match=r'tckedit: .*ERROR') as caught:
        run(mrtrix.TCKEdit(in_tracks=[str(broken)], include=[str(toy.mask)]), tmp_path)
    assert '\x1b' not in str(caught.value)
    with pytest.raises(mrtrix.MRtrixError, match=r'ERROR.*command: tckedit'):
        mrtrix.TCKEdit(in_tracks=[str(broken)], out_tracks=str(tmp_path / 'out.tck')).run()


@pytest.mark.parametrize(
    'name', ['with space', "it's", 'a;touch pwned', 'läsion', '$(touch pwned)', '-dash', 'new\nline']
)
def test_any_name(toy, tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    tracks, mask = folder / f'{name}.tck', folder / f'{name}.nii.gz'
    tracks.write_bytes(toy.tracks.read_bytes())
    mask.write_bytes(toy.mask.read_bytes())
    edit = run(mrtrix.TCKEdit(in_tracks=[str(tracks)], include=[str(mask)]), tmp_path / 'work')
    assert edit.count == toy.disconnected
    assert not list(tmp_path.rglob('pwned'))


def test_threads_are_those_of_the_node(toy, tmp_path):
    interface = mrtrix.TCKMap(in_tracks=str(toy.tracks), template=str(toy.mask))
    node = Node(interface, name='node', base_dir=str(tmp_path), n_procs=2)
    assert '-nthreads 2' in node.interface.cmdline
    assert '-nthreads 0' in mrtrix.TCKMap(in_tracks=str(toy.tracks)).cmdline


@pytest.mark.parametrize('interface', COMMANDS)
def test_flags_exist(interface):
    """Every flag is in the help of the command, and all trait metadata is understood."""
    text = subprocess.run([interface._cmd, '-help'], capture_output=True, text=True, check=True).stdout
    text = re.sub('.\b', '', text)  # bold is a letter struck twice
    for trait in interface.input_spec().traits(argstr=lambda value: bool(value)).values():
        flag = trait.argstr.split()[0]
        assert not flag.startswith('-') or flag in text, flag
        assert {key for key in trait.__dict__ if not key.startswith('_')} <= TRAIT_METADATA


def test_version_is_that_of_the_program():
    text = subprocess.run(['tckedit', '-version'], capture_output=True, text=True, check=True).stdout
    assert mrtrix.mrtrix_version() in text
    assert issubclass(mrtrix.MRtrixCommand, CommandLine)
