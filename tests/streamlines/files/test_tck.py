"""The reader and writer of ``.tck``."""

import hashlib
import subprocess

import numpy as np
import pytest

from lacuna.errors import TractogramError
from lacuna.streamlines.files.tck import iter_blocks, read_header, scan, write_tck

LINES = [[[0, 0, 0], [3, 4, 0]], [[1, 1, 1]], [], [[-5, 0, 0], [-5, 0, 1], [-5, 0, 3]]]


@pytest.fixture
def tck(tmp_path):
    path = tmp_path / 'some lines.tck'
    write_tck(path, LINES, step_size=0.5)
    return path


def data_of(path):
    header = read_header(path)
    return path.read_bytes()[: header.offset], bytearray(path.read_bytes()[header.offset :])


def test_scan_counts_and_measures(tck):
    info = scan(tck)
    assert (info.count, info.vertices, info.empty, info.single_vertex) == (4, 6, 1, 1)
    assert info.box == ((-5, 0, 0), (3, 4, 3))
    assert info.spacing == pytest.approx((5 + 1 + 2) / 3)
    assert info.step_size == 0.5
    assert info.sha256 == hashlib.sha256(tck.read_bytes()).hexdigest()


@pytest.mark.parametrize('rows', [1, 2, 3, 5, 100])
def test_blocks_hold_whole_streamlines(tck, rows):
    points, lengths = zip(*iter_blocks(read_header(tck), rows=rows), strict=True)
    np.testing.assert_array_equal(np.concatenate(lengths), [len(line) for line in LINES])
    np.testing.assert_array_equal(
        np.concatenate(points), np.concatenate([np.array(x).reshape(-1, 3) for x in LINES])
    )


@pytest.mark.mrtrix
def test_mrtrix_reads_what_we_write(tck):
    said = subprocess.run(['tckinfo', '-count', tck], check=True, capture_output=True, text=True).stdout
    assert 'actual count in file: 4' in said


@pytest.mark.parametrize('datatype', ['Float32BE', 'Float64LE', 'Float64BE'])
def test_other_datatypes(tck, datatype):
    head, data = data_of(tck)
    kind = ('>' if datatype.endswith('BE') else '<') + ('f8' if '64' in datatype else 'f4')
    tck.write_bytes(
        head.replace(b'Float32LE', datatype.encode()) + np.frombuffer(data, '<f4').astype(kind).tobytes()
    )
    assert scan(tck).box == ((-5, 0, 0), (3, 4, 3))


def truncate_at(part):
    def damage(head, data):
        return head + data[: int(len(data) * part)]

    return damage


def put(row, value):
    def damage(head, data):
        rows = np.frombuffer(data, '<f4').reshape(-1, 3).copy()
        rows[row] = value
        return head + rows.tobytes()

    return damage


@pytest.mark.parametrize(
    ('damage', 'says'),
    [
        (truncate_at(0.5), 'truncated'),
        (truncate_at(0.33), 'truncated'),
        (lambda head, data: head + data[:-12][:-12], 'end marker is missing'),
        (put(0, [np.nan, 0, 0]), 'streamline 0 .* not finite'),
        (put(1, [0, np.inf, 0]), 'streamline 0 .* not finite'),
        (lambda head, data: head.replace(b'0000000004', b'0000000009') + data, 'the header says 9'),
        (lambda head, data: head.replace(b'mrtrix tracks', b'mrtrix image!') + data, 'mrtrix tracks'),
        (lambda head, data: head.replace(b'END', b'EN_') + data, "no line 'END'"),
        (lambda head, data: head.replace(b'Float32LE', b'Int32LE  ') + data, "datatype 'Int32LE'"),
        (lambda head, data: head.replace(b'file: . ', b'file: . 9') + data, 'data start at byte 9'),
        (lambda head, data: head.replace(b'file: .', b'file: x') + data, "'file' field"),
    ],
)
def test_damage_is_named(tck, damage, says):
    tck.write_bytes(bytes(damage(*data_of(tck))))
    with pytest.raises(TractogramError, match=says) as caught:
        scan(tck)
    assert str(tck) in str(caught.value)
    assert '\n' not in str(caught.value)


def test_no_streamlines(tmp_path):
    path = tmp_path / 'none.tck'
    write_tck(path, [])
    with pytest.raises(TractogramError, match='no streamlines'):
        scan(path)


def test_missing_file(tmp_path):
    with pytest.raises(TractogramError, match='cannot read'):
        scan(tmp_path / 'absent.tck')


@pytest.mark.shared
@pytest.mark.parametrize(
    ('name', 'says'),
    [
        ('nibabel/empty.tck', 'no streamlines'),
        ('nibabel/no_header_end.tck', 'END'),
        ('nibabel/no_header_end_eof.tck', 'END'),
        ('nibabel/no_magic_number.tck', 'mrtrix tracks'),
        ('nibabel/matlab_nan.tck', 'the header says 615000'),
    ],
)
def test_broken_files_from_elsewhere(shared, name, says):
    with pytest.raises(TractogramError, match=says):
        scan(shared / 'data/tractograms/formats' / name)


@pytest.mark.shared
@pytest.mark.parametrize(
    ('name', 'streamlines', 'vertices'),
    [
        ('example.tck', 305, 44249),
        ('nibabel/simple_big_endian.tck', 3, 8),
        ('nibabel/multiline_header_field.tck', 1, 253),
        ('mrtrix_tracks.tck', 500, 3408),
    ],
)
def test_whole_files_from_elsewhere(shared, name, streamlines, vertices):
    info = scan(shared / 'data/tractograms/formats' / name)
    assert (info.count, info.vertices) == (streamlines, vertices)
