"""Tractograms of every format: the same positions, one clear line for each fault, and no damage."""

import argparse
import errno
import gzip
import json
import os
import zipfile

import nibabel as nib
import numpy as np
import pytest
from helpers.paths import SHARED
from helpers.tractograms import OBLIQUE, make_streamlines, peak_of, trk_bytes, write_trx
from hypothesis import given, settings
from hypothesis import strategies as st

from lacuna.cli import convert as cli
from lacuna.errors import EXIT_DONE, InputError, TractogramError
from lacuna.streamlines.files import bundle_tables, formats, tck, trk, trx

FORMATS = SHARED / 'data' / 'tractograms' / 'formats'

AFFINES = {
    'LAS': np.diag([-2.0, 2, 2, 1]),
    'RAS': np.diag([1.0, 3, 2, 1]),
    'LPS': np.diag([-1.0, -1, 2, 1]),
    'oblique': OBLIQUE,
}


def read(path, vertices=2**20):
    blocks = list(formats.iter_blocks(formats.open_tractogram(path), vertices=vertices))
    if not blocks:
        return np.empty((0, 3), 'f4'), np.empty(0, int)
    return np.concatenate([points for points, _ in blocks]), np.concatenate(
        [lengths for _, lengths in blocks]
    )


def assert_streamlines(path, expected, tolerance, vertices=2**20):
    points, lengths = read(path, vertices)
    assert lengths.tolist() == [len(one) for one in expected]
    assert np.abs(points - np.concatenate(expected)).max(initial=0) <= tolerance


# ---------------------------------------------------------------- the same positions


@pytest.mark.parametrize('affine', AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize('order', ['<', '>'])
def test_trk_world_positions(tmp_path, affine, order):
    streamlines = make_streamlines()
    path = tmp_path / 'a.trk'
    path.write_bytes(trk_bytes(streamlines, affine, order, scalars=2, properties=3))
    assert_streamlines(path, streamlines, 1e-4)
    loaded = nib.streamlines.load(path).streamlines
    assert np.abs(read(path)[0] - loaded.get_data()).max() < 2e-5  # one bit of float32 at 100 mm is 8e-6


def test_trk_flips_axes_where_voxel_order_and_matrix_differ(tmp_path):
    path = tmp_path / 'a.trk'
    path.write_bytes(trk_bytes([[[0.0, 0, 0], [1, 2, 3]]], voxel_order=b'LPS'))
    points, _ = read(path)
    np.testing.assert_allclose(
        points, [[90, 108, 0], [89, 106, 3]]
    )  # of 91 x 109 x 91 voxels, the far ones in x and y
    assert np.array_equal(points, nib.streamlines.load(path).streamlines.get_data())


def test_three_forms_are_one_tractogram(tmp_path):
    streamlines = make_streamlines(200)
    tck.write_tck(tmp_path / 'a.tck', streamlines)
    (tmp_path / 'b.trk').write_bytes(trk_bytes(streamlines, OBLIQUE))
    with gzip.open(tmp_path / 'c.trk.gz', 'wb') as stream:
        stream.write(trk_bytes(streamlines, AFFINES['LAS']))
    write_trx(tmp_path / 'd.trx', streamlines)
    write_trx(tmp_path / 'e.trx', streamlines, dtype='float64', offsets='uint64', last=False, packed=True)
    for name in ('a.tck', 'b.trk', 'c.trk.gz', 'd.trx', 'e.trx'):
        out = tmp_path / f'{name[0]}_out.tck'
        info = formats.convert(tmp_path / name, out)
        assert (info.count, info.vertices) == (200, sum(map(len, streamlines)))
        assert info == tck.scan(out)
        assert_streamlines(out, streamlines, 1e-3)


def test_trx_half_precision(tmp_path):
    streamlines = [np.array([[0.5, -64.25, 8.125], [1, 2, 3]])]
    write_trx(tmp_path / 'a.trx', streamlines, dtype='float16')
    assert_streamlines(tmp_path / 'a.trx', streamlines, 0)


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=30), vertices=st.integers(1, 40), data=st.data()
)
def test_blocks_do_not_depend_on_their_size(tmp_path_factory, lengths, vertices, data):
    """Empty streamlines stay, wherever a block ends."""
    folder = tmp_path_factory.mktemp('blocks')
    streamlines = [np.full((n, 3), number, 'f4') + np.arange(3) for number, n in enumerate(lengths)]
    scalars, properties = data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))
    (folder / 'a.trk').write_bytes(trk_bytes(streamlines, scalars=scalars, properties=properties))
    if sum(lengths):
        write_trx(folder / 'a.trx', streamlines)
    for path in folder.iterdir():
        assert_streamlines(path, streamlines, 1e-4, vertices)


def test_count_of_zero_means_unknown(tmp_path):
    streamlines = make_streamlines(5)
    (tmp_path / 'a.trk').write_bytes(trk_bytes(streamlines, count=0))
    assert_streamlines(tmp_path / 'a.trk', streamlines, 1e-4)


def test_tck_of_other_numbers(tmp_path):
    """Big-endian float64 becomes little-endian float32; header fields, repeated ones too, stay."""
    head = 'mrtrix tracks\ndatatype: Float64BE\ncount: 1\nstep_size: 0.5\nroi: seed a\nroi: include b\nfile: . 200\nEND\n'
    rows = np.array([[1, 2, 3], [4, 5, 6], [np.nan] * 3, [np.inf] * 3], '>f8')
    (tmp_path / 'a.tck').write_bytes(head.encode().ljust(200) + rows.tobytes())
    formats.convert(tmp_path / 'a.tck', tmp_path / 'b.tck')
    header = tck.read_header(tmp_path / 'b.tck')
    assert header.dtype == np.dtype('<f4')
    assert (header.count, header.step_size, header.fields['roi']) == (1, 0.5, 'seed a\ninclude b')
    assert_streamlines(tmp_path / 'b.tck', [[[1, 2, 3], [4, 5, 6]]], 0)


def test_converted_trk_has_no_step_size(tmp_path):
    (tmp_path / 'a.trk').write_bytes(trk_bytes(make_streamlines()))
    assert formats.convert(tmp_path / 'a.trk', tmp_path / 'a.tck').step_size is None


@pytest.mark.shared
@pytest.mark.parametrize(
    'name',
    [
        'dipy_tracks300.trk', 'example.trk', 'niivue_tract.IFOF_R.trk', 'nibabel/complex.trk', 'nibabel/complex_big_endian.trk',
        'nibabel/simple.trk', 'nibabel/standard.trk', 'nibabel/standard.LPS.trk', 'example.tck', 'mrtrix_tracks.tck',
        'nibabel/simple_big_endian.tck', 'nibabel/standard.tck', 'nibabel/multiline_header_field.tck',
    ],
)  # fmt: skip
def test_real_files_equal_nibabel(name):
    loaded = nib.streamlines.load(FORMATS / name).streamlines
    points, lengths = read(FORMATS / name, vertices=700)
    assert np.array_equal(points, loaded.get_data())
    assert lengths.tolist() == [len(one) for one in loaded]


@pytest.mark.shared
def test_example_in_two_forms():
    """The .tck and the .trk of one tractogram give the same positions."""
    ours, _ = read(FORMATS / 'example.trk')
    other, _ = read(FORMATS / 'example.tck')
    assert len(ours) == 44249
    assert np.abs(ours - other).max() < 1e-3


@pytest.mark.shared
def test_real_trx_with_groups(tmp_path):
    name = 'niivue_sub-01_ses-01_dwi_space-RASMM_model-probCSD_algo-AFQ_tractography.trx'
    info = formats.convert(FORMATS / name, tmp_path / 'a.tck')
    assert (info.count, info.vertices) == (508, 141447)
    with zipfile.ZipFile(FORMATS / name) as archive:
        stored = np.frombuffer(archive.read('positions.3.float32'), '<f4').reshape(-1, 3)
        expected = np.frombuffer(archive.read('groups/ARC_R.uint32'), '<u4')
    assert np.array_equal(read(tmp_path / 'a.tck')[0], stored)
    bundles = bundle_tables.read_bundles(tmp_path / 'a_bundles.tsv')
    assert {key: len(value) for key, value in bundles.items()} == {'ARC_L': 486, 'ARC_R': 22}
    assert np.array_equal(bundles['ARC_R'], np.sort(expected))


@pytest.mark.shared
@pytest.mark.parametrize(
    ('name', 'fault'),
    [
        ('niivue_colby.trk', 'voxel-to-RAS matrix in the header is absent'),
        ('niivue_dpsv.trx', 'the offsets do not divide its 95865 vertices among 459 streamlines'),
        ('nibabel/empty.trk', 'no streamlines'),
        ('nibabel/empty.tck', 'no streamlines'),
        ('nibabel/matlab_nan.tck', 'truncated or corrupt: 1 whole streamlines, the header says 615000'),
        ('nibabel/no_header_end.tck', "no line 'END'"),
        ('nibabel/no_header_end_eof.tck', "no line 'END'"),
        ('nibabel/no_magic_number.tck', "first line is not 'mrtrix tracks'"),
        (
            'niivue_TR_S_R.tt.gz',
            r'not supported; convert the tractogram to one of \.tck, \.trk, \.trk\.gz, \.trx',
        ),
        ('niivue_tract.FAT_R.vtk', 'not supported'),
        ('example.vtp', 'not supported'),
    ],
)
def test_real_broken_files(tmp_path, name, fault):
    assert_refused(FORMATS / name, tmp_path / 'out.tck', fault)


# ---------------------------------------------------------------- faults


def assert_refused(source, target, fault):
    target.write_text('what was here before')
    with pytest.raises(TractogramError, match=fault) as caught:
        formats.convert(source, target, overwrite=True)
    assert str(source) in str(caught.value)
    assert '\n' not in str(caught.value)
    assert target.read_text() == 'what was here before'
    assert not list(target.parent.glob('.*'))
    assert not target.with_suffix('.json').exists()


def break_lengths(position, value):
    """A .trk whose streamline `position` is said to have `value` vertices; each has two."""
    data = bytearray(trk_bytes([[[1, 2, 3], [4, 5, 6]]] * 3))
    at = 1000 + 28 * position
    data[at : at + 4] = np.array(value, '<i4').tobytes()
    return bytes(data)


GOOD = make_streamlines(6)
BAD_TRK = {
    'empty file': (b'', "does not start with 'TRACK'"),
    'other file': (b'mrtrix tracks\n', "does not start with 'TRACK'"),
    'header only in part': (trk_bytes(GOOD)[:500], 'its header has 500 bytes of 1000'),
    'size of the header': (trk_bytes(GOOD, hdr_size=999), 'gives its own size as 999'),
    'cut within a streamline': (trk_bytes(GOOD)[:-8], 'truncated or corrupt: 5 whole streamlines and'),
    'cut within a number': (trk_bytes(GOOD)[:-3], 'truncated or corrupt: 5 whole streamlines and'),
    'cut, number unknown': (trk_bytes(GOOD, count=0)[:-8], 'truncated or corrupt'),
    'fewer streamlines than claimed': (trk_bytes(GOOD, count=7), 'the header says 7'),
    'more streamlines than claimed': (trk_bytes(GOOD, count=5), 'the header says 5'),
    'a claim that cannot be': (trk_bytes(GOOD, count=2**31 - 1), 'more than fit into'),
    'negative number': (trk_bytes(GOOD, count=-4), 'negative number of streamlines'),
    'negative scalars': (trk_bytes(GOOD, nb_scalars_per_point=-1), 'negative number of'),
    'negative length': (break_lengths(1, -5), 'streamline 1 .* -5 vertices'),
    'enormous length': (break_lengths(2, 2**31 - 1), 'streamline 2 .* 2147483647 vertices'),
    'length beyond the end': (break_lengths(2, 10**7), 'truncated or corrupt: 2 whole streamlines'),
    'no streamlines': (trk_bytes([]), 'no streamlines'),
    'only empty streamlines': (trk_bytes([[], []]), 'no streamlines'),
    'NaN': (trk_bytes([GOOD[0], [[1, 2, 3], [1, np.nan, 3]]]), 'streamline 1 .* not finite'),
    'infinite': (trk_bytes([GOOD[0], GOOD[1], [[1, np.inf, 3]]]), 'streamline 2 .* not finite'),
    'version 1': (
        trk_bytes(GOOD, version=1),
        'version 1, which has no voxel-to-RAS matrix; the positions would',
    ),
    'zero matrix': (
        trk_bytes(GOOD, voxel_to_rasmm=0),
        'absent .zero. or singular; the positions would be wrong',
    ),
    'zero corner': (trk_bytes(GOOD, voxel_to_rasmm=np.diag([1, 1, 1, 0])), 'absent .zero. or singular'),
    'singular matrix': (trk_bytes(GOOD, voxel_to_rasmm=np.diag([1, 0, 1, 1])), 'absent .zero. or singular'),
    'no voxel order': (trk_bytes(GOOD, voxel_order=b''), "voxel order in the header is ''"),
    'nonsense voxel order': (trk_bytes(GOOD, voxel_order=b'RLS'), "voxel order in the header is 'RLS'"),
    'zero voxel size': (trk_bytes(GOOD, voxel_sizes=(1, 0, 1)), 'voxel sizes in the header are'),
    'zero dimensions': (trk_bytes(GOOD, dimensions=(0, 0, 0)), 'dimensions in the header are'),
}


@pytest.mark.parametrize('case', BAD_TRK)
@pytest.mark.parametrize('ending', ['.trk', '.trk.gz'])
def test_broken_trk(tmp_path, case, ending):
    data, fault = BAD_TRK[case]
    if ending == '.trk.gz':
        data = gzip.compress(data, 1)
        if 'more than fit' in fault:
            fault = 'the header says 2147483647'  # the size of what is packed is not known beforehand
    path = tmp_path / f'bad{ending}'
    path.write_bytes(data)
    assert_refused(path, tmp_path / 'out.tck', fault)


@pytest.mark.parametrize('keep', [30, 400, -9, -4])
def test_truncated_gzip(tmp_path, keep):
    (tmp_path / 'bad.trk.gz').write_bytes(gzip.compress(trk_bytes(GOOD))[:keep])
    assert_refused(tmp_path / 'bad.trk.gz', tmp_path / 'out.tck', 'truncated')


def test_corrupt_gzip(tmp_path):
    data = bytearray(gzip.compress(trk_bytes(make_streamlines(300))))
    data[len(data) // 2] ^= 0xFF
    (tmp_path / 'bad.trk.gz').write_bytes(data)
    assert_refused(tmp_path / 'bad.trk.gz', tmp_path / 'out.tck', 'corrupt')


BAD_TRX = {
    'vertices claimed': ({'NB_VERTICES': 10**12}, 'corrupt: 1000000000000 vertices are claimed'),
    'streamlines claimed': ({'NB_STREAMLINES': 10**12}, 'corrupt: 1000000000000 streamlines are claimed'),
    'negative': ({'NB_STREAMLINES': -6}, 'streamlines are claimed'),
    'infinite': ({'NB_STREAMLINES': float('inf')}, 'does not give NB_STREAMLINES'),
    'text': ({'NB_VERTICES': 'many'}, 'does not give NB_STREAMLINES and NB_VERTICES'),
    'none': ({'NB_STREAMLINES': 0, 'NB_VERTICES': 0}, 'no streamlines'),
    'type': ({'dtype': 'int16'}, r'expected one positions\.3\.\(float16\|float32\|float64\)'),
    'type of offsets': ({'offsets': 'float32'}, r'expected one offsets'),
    'group': ({'groups': {'AF': [0, 6]}}, "group 'AF'"),
    'long group': ({'groups': {'AF': [0] * 7}}, "group 'AF'"),
}


@pytest.mark.parametrize('case', BAD_TRX)
def test_broken_trx(tmp_path, case):
    changes, fault = BAD_TRX[case]
    write_trx(tmp_path / 'bad.trx', GOOD, **changes)
    assert_refused(tmp_path / 'bad.trx', tmp_path / 'out.tck', fault)


@pytest.mark.parametrize(
    'ends', [[0, 9, 4, 12], [0, 5, 5, 13], [1, 4, 8, 12], [0, 4, 8, 2**32 - 1], [0, 4, 8, 11]]
)
def test_offsets_that_do_not_divide_the_vertices(tmp_path, ends):
    with zipfile.ZipFile(tmp_path / 'bad.trx', 'w') as archive:
        archive.writestr('header.json', json.dumps({'NB_VERTICES': 12, 'NB_STREAMLINES': 3}))
        archive.writestr('positions.3.float32', np.zeros((12, 3), 'f4').tobytes())
        archive.writestr('offsets.uint32', np.array(ends, 'u4').tobytes())
    assert_refused(tmp_path / 'bad.trx', tmp_path / 'out.tck', 'offset')


@pytest.mark.parametrize('value', [np.nan, np.inf, 1e300])
def test_trx_with_vertices_that_are_not_finite(tmp_path, value):
    write_trx(tmp_path / 'bad.trx', [*GOOD, np.array([[1, 2, 3], [value, 1, 1]])], dtype='float64')
    assert_refused(tmp_path / 'bad.trx', tmp_path / 'out.tck', 'streamline 6 .* not finite')


@pytest.mark.parametrize('packed', [True, False])
def test_damaged_trx(tmp_path, packed):
    write_trx(tmp_path / 'good.trx', make_streamlines(300), packed=packed)
    data = (tmp_path / 'good.trx').read_bytes()
    (tmp_path / 'cut.trx').write_bytes(data[: len(data) // 2])
    assert_refused(tmp_path / 'cut.trx', tmp_path / 'out.tck', 'truncated, corrupt')
    changed = bytearray(data)
    changed[len(data) // 2] ^= 0x04  # in the positions: found by the checksum if by nothing else
    (tmp_path / 'flip.trx').write_bytes(changed)
    assert_refused(tmp_path / 'flip.trx', tmp_path / 'out.tck', 'corrupt')


def test_no_trx_at_all(tmp_path):
    with zipfile.ZipFile(tmp_path / 'bad.trx', 'w') as archive:
        archive.writestr('other.json', '{}')
    assert_refused(tmp_path / 'bad.trx', tmp_path / 'out.tck', 'no header.json')
    (tmp_path / 'bad.trx').write_bytes(b'no zip')
    assert_refused(tmp_path / 'bad.trx', tmp_path / 'out.tck', 'trx file')


@pytest.mark.parametrize('name', ['a.tck', 'a.trk', 'a.trk.gz', 'a.trx'])
def test_missing_or_a_folder(tmp_path, name):
    assert_refused(tmp_path / name, tmp_path / 'out.tck', 'cannot read the tractogram')
    (tmp_path / name).mkdir()
    assert_refused(tmp_path / name, tmp_path / 'out.tck', 'folder')


def test_target(tmp_path):
    tck.write_tck(tmp_path / 'a.tck', GOOD)
    for target, fault in {
        'a.tck': 'itself', 'b.trk': 'b.trk', 'none/b.tck': 'does not exist', 'c.tck': '--force'
    }.items():  # fmt: skip
        (tmp_path / 'c.tck').touch()
        with pytest.raises(InputError, match=fault):
            formats.convert(tmp_path / 'a.tck', tmp_path / target)
    assert_streamlines(tmp_path / 'a.tck', GOOD, 1e-4)
    assert (tmp_path / 'c.tck').stat().st_size == 0


def test_a_full_disk(tmp_path, monkeypatch):
    tck.write_tck(tmp_path / 'a.tck', GOOD)

    def write_a_bit(path, *_):
        path.write_bytes(b'mrtrix')
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tck, 'write_blocks', write_a_bit)
    with pytest.raises(TractogramError, match=r'cannot write .*b\.tck: No space left'):
        formats.convert(tmp_path / 'a.tck', tmp_path / 'b.tck')
    assert [path.name for path in tmp_path.iterdir()] == ['a.tck']


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize('case', ['enormous length', 'length beyond the end', 'a claim that cannot be'])
def test_lies_take_no_memory(tmp_path, case):
    path = tmp_path / 'bad.trk.gz'
    path.write_bytes(gzip.compress(BAD_TRK[case][0]))

    def run():
        with pytest.raises(TractogramError):
            formats.convert(path, tmp_path / 'a.tck')

    assert peak_of(run) < 30  # MB


def test_memory_does_not_grow_with_the_file(tmp_path):
    table = np.zeros((20000, 1 + 3 * 100), '<f4')  # 20,000 streamlines of 100 vertices, 24 MB
    table[:, 0] = np.array([100], '<i4').view('<f4')
    (tmp_path / 'a.trk').write_bytes(trk_bytes([], count=20000) + table.tobytes())
    write_trx(tmp_path / 'a.trx', np.zeros((20000, 100, 3), 'f4'), packed=True)
    for name in ('a.trk', 'a.trx'):
        source = formats.open_tractogram(tmp_path / name)
        found = []
        peak = peak_of(
            lambda s=source, f=found: f.extend(len(p) for p, _ in formats.iter_blocks(s, vertices=2**14))
        )
        assert sum(found) == 2_000_000
        assert peak < 8  # MB


# ---------------------------------------------------------------- what lies beside the .tck


def test_bundles(tmp_path):
    groups = {'CST left': [2, 0, 1], 'AF': [5, 3, 2], 'none': []}
    write_trx(tmp_path / 'a.trx', GOOD, groups=groups)
    formats.convert(tmp_path / 'a.trx', tmp_path / 'b.tck')
    assert (tmp_path / 'b_bundles.tsv').read_text().splitlines() == [
        'bundle\tfirst\tcount', 'AF\t2\t2', 'AF\t5\t1', 'CST left\t0\t3'
    ]  # fmt: skip
    found = bundle_tables.read_bundles(tmp_path / 'b_bundles.tsv')
    assert {name: indices.tolist() for name, indices in found.items()} == {
        'AF': [2, 3, 5],
        'CST left': [0, 1, 2],
    }


def test_bundles_of_a_replaced_tractogram_go(tmp_path):
    write_trx(tmp_path / 'a.trx', GOOD, groups={'AF': [1]})
    write_trx(tmp_path / 'b.trx', GOOD)
    formats.convert(tmp_path / 'a.trx', tmp_path / 'c.tck')
    formats.convert(tmp_path / 'b.trx', tmp_path / 'c.tck', overwrite=True)
    assert not (tmp_path / 'c_bundles.tsv').exists()


def test_bundle_without_streamlines(tmp_path):
    bundle_tables.write_bundles(tmp_path / 'a.tsv', {'AF': np.array([1, 2, 7]), 'IFOF': np.array([], int)})
    found = bundle_tables.read_bundles(tmp_path / 'a.tsv')
    assert {name: indices.tolist() for name, indices in found.items()} == {'AF': [1, 2, 7], 'IFOF': []}


def test_sidecar(tmp_path):
    write_trx(tmp_path / 'hcp.v1.trx', GOOD)
    (tmp_path / 'hcp.v1.json').write_text(
        json.dumps({'Space': 'MNI152NLin2009aAsym', 'License': 'CC0', 'Sources': ['doi:1']})
    )
    info = formats.convert(tmp_path / 'hcp.v1.trx', tmp_path / 'b.tck')
    side = json.loads((tmp_path / 'b.json').read_text())
    assert (side['Name'], side['Space'], side['License']) == ('hcp.v1', 'MNI152NLin2009aAsym', 'CC0')
    assert (side['StreamlineCount'], side['VertexCount'], side['SHA256']) == (6, info.vertices, info.sha256)
    assert side['Sources'] == ['doi:1', 'hcp.v1.trx']
    assert side['GeneratedBy'][0]['Name'] == 'Lacuna'
    formats.convert(tmp_path / 'hcp.v1.trx', tmp_path / 'b.tck', space='MNI152NLin6Asym', overwrite=True)
    assert json.loads((tmp_path / 'b.json').read_text())['Space'] == 'MNI152NLin6Asym'


def test_sidecar_that_is_no_json(tmp_path):
    write_trx(tmp_path / 'a.trx', GOOD)
    (tmp_path / 'a.json').write_text('{')
    with pytest.raises(TractogramError, match=r'a\.json: the sidecar'):
        formats.convert(tmp_path / 'a.trx', tmp_path / 'b.tck')


def test_progress_adds_up_to_the_file(tmp_path):
    streamlines = make_streamlines(300)
    (tmp_path / 'a.trk').write_bytes(trk_bytes(streamlines))
    with gzip.open(tmp_path / 'b.trk.gz', 'wb') as stream:
        stream.write(trk_bytes(streamlines))
    for name in ('a.trk', 'b.trk.gz'):
        told = []
        formats.convert(tmp_path / name, tmp_path / 'o.tck', overwrite=True, progress=told.append)
        assert sum(told) == (tmp_path / name).stat().st_size
    write_trx(tmp_path / 'c.trx', streamlines)
    told = []
    formats.convert(tmp_path / 'c.trx', tmp_path / 'o.tck', overwrite=True, progress=told.append)
    assert sum(told) == 12 * sum(map(len, streamlines))  # of the positions


# ---------------------------------------------------------------- the command


def run_command(*words):
    parser = argparse.ArgumentParser()
    cli.add_parser(parser.add_subparsers())
    args = parser.parse_args(['convert', *map(str, words)])
    return args.run(args) or EXIT_DONE


def test_convert_command(tmp_path, capsys):
    write_trx(tmp_path / 'a.trx', [*GOOD, np.zeros((1, 3))])
    assert run_command(tmp_path / 'a.trx', tmp_path / 'a.tck', '--space', 'MNI152NLin6Asym') == 0
    single = 1 + sum(len(one) == 1 for one in GOOD)
    assert f'a.tck: 7 streamlines ({single} of one vertex), ' in capsys.readouterr().out
    assert json.loads((tmp_path / 'a.json').read_text())['Space'] == 'MNI152NLin6Asym'
    with pytest.raises(InputError, match='--force'):
        run_command(tmp_path / 'a.trx', tmp_path / 'a.tck')
    assert run_command(tmp_path / 'a.trx', tmp_path / 'a.tck', '--force') == 0
    with pytest.raises(InputError, match="space 'MNI' may be either of two"):
        run_command(tmp_path / 'a.trx', tmp_path / 'b.tck', '--space', 'MNI')


@pytest.mark.mrtrix
def test_mrtrix_reads_what_we_write(tmp_path):
    import subprocess

    write_trx(tmp_path / 'a.trx', make_streamlines(123))
    formats.convert(tmp_path / 'a.trx', tmp_path / 'a.tck')
    done = subprocess.run(
        ['tckinfo', '-count', tmp_path / 'a.tck'], capture_output=True, text=True, check=True
    )
    assert 'actual count in file: 123' in done.stdout


def test_trx_python_and_we_agree(tmp_path):
    load = pytest.importorskip('trx.trx_file_memmap').load
    streamlines = make_streamlines(50)
    write_trx(tmp_path / 'a.trx', streamlines, packed=True)
    theirs = load(str(tmp_path / 'a.trx'))
    points, lengths = read(tmp_path / 'a.trx')
    assert np.array_equal(points, np.asarray(theirs.streamlines._data))
    assert np.array_equal(lengths, theirs.streamlines._lengths)
    theirs.close()


def test_headers_are_typed(tmp_path):
    write_trx(tmp_path / 'a.trx', GOOD)
    (tmp_path / 'a.trk').write_bytes(trk_bytes(GOOD))
    assert trx.read_header(tmp_path / 'a.trx').count == 6
    assert trk.read_header(tmp_path / 'a.trk').count == 6
    assert trk.read_header(str(tmp_path / 'a.trk')).byte_order == '<'
