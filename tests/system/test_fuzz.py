"""Files that nobody would write on purpose: each is read, or refused in one line; nothing hangs, no memory is lost.

CI takes few examples and always the same ones. A longer hunt, with others each time::

    LACUNA_FUZZ_EXAMPLES=5000 pytest tests/system/test_fuzz.py
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import resource
import shutil
import signal
import tempfile
import traceback
import warnings
import zipfile
import zlib
from argparse import Namespace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers.tractograms import make_streamlines, trk_bytes, write_trx
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lacuna.bids import bidsify, mask_files, tables
from lacuna.cli.run import make_config
from lacuna.errors import LacunaError
from lacuna.execution.plugins import file as plugins
from lacuna.images import atlases, labels, masks, plausibility
from lacuna.images.spaces import Grid
from lacuna.streamlines import tractogram
from lacuna.streamlines.files import bundle_tables, formats, tck, trx
from lacuna.streamlines.index import format as index_format
from lacuna.streamlines.index.build import build_index
from lacuna.streamlines.index.query import Index
from lacuna.utils import names

MORE = int(os.environ.get('LACUNA_FUZZ_EXAMPLES', '0'))
FUZZ = settings(
    max_examples=MORE or 50,
    derandomize=not MORE,
    deadline=None,  # `survives` has its own, which also ends what hangs
    database=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)
#: what a file of some kilobytes may take, in bytes and seconds
MEMORY = 500 * 2**20
SECONDS = 20


@contextlib.contextmanager
def survives():
    """The block ends well or with an error of Lacuna of one line, soon, and with little memory."""

    def too_long(*_: object) -> None:
        message = f'took longer than {SECONDS} s'
        raise AssertionError(message)

    size = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    earlier = signal.signal(signal.SIGALRM, too_long)
    refused = None
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, before[1]))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    except LacunaError as error:
        refused = error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
        resource.setrlimit(resource.RLIMIT_AS, before)
    if refused:
        assert '\n' not in str(refused), str(refused)
        assert len(str(refused)) < 2000, str(refused)
        assert 'MemoryError' not in ''.join(traceback.format_exception(refused))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('fuzz')


def nasty_integers(bits: int):
    """Signed numbers that headers lie with."""
    edges = [
        0,
        1,
        -1,
        2,
        3,
        255,
        2**15 - 1,
        2**15,
        2**24,
        2**24 + 1,
        2**31 - 1,
        2**32 - 1,
        10**12,
        2**62,
        2**63 - 1,
    ]
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    inside = [edge for edge in {*edges, *(-edge for edge in edges), low, high} if low <= edge <= high]
    return st.sampled_from(sorted(inside)) | st.integers(low, high)


NASTY_FLOATS = st.sampled_from(
    [0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, 1e38, -1e38, 1e-30, 2.0**31, 1.0, -1.0]
) | st.floats(width=32)
NASTY_NUMBERS = st.sampled_from(
    [
        '0',
        '-1',
        '1',
        '10',
        '1' + '0' * 12,
        '9' * 5000,
        '1e400',
        '-1e400',
        'nan',
        'inf',
        '0x10',
        '1.5',
        '',
        '²',
        '٣',
        '1_0',
    ]
)


@st.composite
def mutated(draw, content: bytes, head: int = 0):
    """The bytes of a real file with some changed, put in, or taken out; half of the changes in its head."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 5))):
        limit = len(data) if not head or draw(st.booleans()) else min(head, len(data))
        at = draw(st.integers(0, max(limit - 1, 0)))
        kind = draw(st.sampled_from(['flip', 'words', 'out', 'in', 'end']))
        if kind == 'flip' and data:
            data[at] ^= draw(st.integers(1, 255))
        elif kind == 'words':
            width = draw(st.sampled_from([1, 2, 4, 8]))
            value = draw(nasty_integers(8 * width))
            data[at : at + width] = value.to_bytes(
                width, draw(st.sampled_from(['little', 'big'])), signed=True
            )
        elif kind == 'out':
            del data[at : at + draw(st.integers(1, 64))]
        elif kind == 'in':
            data[at:at] = draw(st.binary(max_size=64))
        else:
            del data[at:]
    return bytes(data)


# ---------------------------------------------------------------- tractograms

STREAMLINES = make_streamlines(12)
GRID = Grid(
    'MNI152NLin6Asym',
    2,
    (20, 20, 20),
    np.array([[2.0, 0, 0, -20], [0, 2, 0, -20], [0, 0, 2, -20], [0, 0, 0, 1]]),
)


def real_tck() -> bytes:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, 'real.tck')
        tck.write_tck(path, STREAMLINES, step_size=1, comment='one')
        return path.read_bytes()


def real_trx(**kwargs: object) -> bytes:
    stream = io.BytesIO()
    write_trx(stream, STREAMLINES, groups={'AF': [0, 1]}, **kwargs)
    return stream.getvalue()


def read_tractogram(path: Path) -> None:
    """All that a run does with a tractogram before it asks for streamlines."""
    source = formats.open_tractogram(path)
    told = []
    for points, lengths in formats.iter_blocks(source, progress=told.append):
        assert points.shape == (lengths.sum(), 3)
        assert np.isfinite(points).all()
    if isinstance(source, trx.TrxHeader):
        trx.read_groups(source)
    cache = path.parent / 'cache'
    shutil.rmtree(cache, ignore_errors=True)
    found = tractogram.Tractogram(path, 'MNI152NLin6Asym', cache=cache)
    again = tractogram.Tractogram(path, 'MNI152NLin6Asym', cache=cache)
    assert (found.tracks, found.info, found.sha256) == (again.tracks, again.info, again.sha256)
    index = Index.open(build_index(found.tracks, cache / 'index', GRID), tractogram=found.tracks)
    assert index.streamlines == found.info.count


def check_tractogram(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.write_bytes(content)
    with survives():
        read_tractogram(path)


@FUZZ
@given(name=st.sampled_from(['a.tck', 'a.trk', 'a.trk.gz', 'a.trx']), content=st.binary(max_size=2000))
def test_tractogram_of_random_bytes(folder, name, content):
    check_tractogram(folder, name, content)


@FUZZ
@given(content=mutated(real_tck(), head=120))
def test_tck_with_damage(folder, content):
    check_tractogram(folder, 'a.tck', content)


TCK_LINES = st.one_of(
    st.tuples(st.sampled_from(['count', 'file', 'datatype', 'step_size', 'total_count']), NASTY_NUMBERS).map(': '.join),
    NASTY_NUMBERS.map('file: . {}'.format),
    st.sampled_from(
        ['datatype: Float32LE', 'datatype: Float32BE', 'datatype: Float64LE', 'datatype: Float16', 'datatype: Bit',
         'file: /etc/passwd 0', 'file: ../a.tck 10', 'file: . 100', 'file: .', 'count: 12', ': x', 'END: x', 'x']
    ),
    st.text(max_size=20),
)  # fmt: skip


@FUZZ
@given(
    lines=st.lists(TCK_LINES, max_size=6),
    points=st.lists(NASTY_FLOATS, max_size=30),
    dtype=st.sampled_from(['<f4', '<f8']),
)
@example(
    lines=['datatype: Float32LE', 'step_size: 1' + '0' * 12, 'file: . 80'],
    points=[0, 0, 0, *[np.nan] * 3, *[np.inf] * 3],
    dtype='<f4',
)
@example(
    lines=['datatype: Float32LE', 'count: 1', 'file: . 80'],
    points=[1e38, 0, 0, -1e38, 0, 0, *[np.nan] * 3, *[np.inf] * 3],
    dtype='<f4',
)
def test_tck_header_that_lies(folder, lines, points, dtype):
    header = '\n'.join(['mrtrix tracks', *lines, 'END', ''])
    body = np.array(points, dtype).tobytes()
    head = header.encode('utf-8', 'replace')
    if 'file: . 80' in lines:
        head = head[:80].ljust(80)
    check_tractogram(folder, 'a.tck', head + body)


@FUZZ
@given(
    points=st.lists(st.tuples(*[NASTY_FLOATS] * 3), max_size=30),
    dtype=st.sampled_from(['Float32LE', 'Float32BE', 'Float64LE']),
)
def test_tck_of_odd_numbers(folder, points, dtype):
    kind = {'Float32LE': '<f4', 'Float32BE': '>f4', 'Float64LE': '<f8'}[dtype]
    rows = np.array([*points, [np.nan] * 3, [np.inf] * 3], kind)
    header = f'mrtrix tracks\ndatatype: {dtype}\nfile: . 60\nEND\n'.encode().ljust(60)
    check_tractogram(folder, 'a.tck', header + rows.tobytes())


TRK_FIELDS = {
    'dimensions': st.lists(nasty_integers(16), min_size=3, max_size=3),
    'voxel_sizes': st.lists(NASTY_FLOATS, min_size=3, max_size=3),
    'origin': st.lists(NASTY_FLOATS, min_size=3, max_size=3),
    'nb_scalars_per_point': nasty_integers(16),
    'nb_properties_per_streamline': nasty_integers(16),
    'voxel_to_rasmm': st.lists(st.lists(NASTY_FLOATS, min_size=4, max_size=4), min_size=4, max_size=4),
    'voxel_order': st.binary(max_size=4) | st.sampled_from([b'RAS', b'LPS', b'ras', b'XYZ', b'RRR', b'R']),
    'nb_streamlines': nasty_integers(32),
    'version': nasty_integers(32),
    'hdr_size': nasty_integers(32),
}


@FUZZ
@given(
    fields=st.lists(st.sampled_from(sorted(TRK_FIELDS)), min_size=1, max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: TRK_FIELDS[name] for name in names})
    ),
    order=st.sampled_from('<>'),
    packed=st.booleans(),
)
@example(fields={'nb_scalars_per_point': 32767}, order='<', packed=True)
@example(
    fields={'voxel_to_rasmm': [[1, 0, 0, 0], [1, 1e-6, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]},
    order='>',
    packed=False,
)
def test_trk_header_that_lies(folder, fields, order, packed):
    content = trk_bytes(STREAMLINES, order=order, count=fields.pop('nb_streamlines', None))
    header = np.frombuffer(content[:1000], nib.streamlines.trk.header_2_dtype.newbyteorder(order)).copy()[0:1]
    for name, value in fields.items():
        header[name] = value
    content = header.tobytes() + content[1000:]
    check_tractogram(
        folder, 'a.trk.gz' if packed else 'a.trk', gzip.compress(content, 1) if packed else content
    )


@FUZZ
@given(
    content=mutated(trk_bytes(STREAMLINES), head=1000)
    | mutated(trk_bytes(STREAMLINES, order='>', scalars=2, properties=1), head=1000)
)
def test_trk_with_damage(folder, content):
    check_tractogram(folder, 'a.trk', content)


@FUZZ
@given(content=mutated(gzip.compress(trk_bytes(STREAMLINES), 1), head=20))
def test_packed_trk_with_damage(folder, content):
    check_tractogram(folder, 'a.trk.gz', content)


@FUZZ
@given(content=mutated(real_trx()) | mutated(real_trx(packed=True)))
def test_trx_with_damage(folder, content):
    check_tractogram(folder, 'a.trx', content)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**12, 10**400, -1, 1e308])
    | st.floats()
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ENTRIES = st.one_of(
    st.sampled_from(
        ['header.json', 'positions.3.float32', 'positions.3.float64', 'positions.3.float16', 'positions.3.int32', 'offsets.uint32',
         'offsets.uint64', 'offsets.int64', 'offsets.float32', 'groups/AF.uint32', 'groups/AF.int32', 'groups/../x.uint32', '/etc/x']
    ),
    st.text(max_size=10),
)  # fmt: skip


@FUZZ
@given(
    claims=st.fixed_dictionaries(
        {}, optional={'NB_STREAMLINES': nasty_integers(64) | JSON, 'NB_VERTICES': nasty_integers(64) | JSON}
    ),
    entries=st.lists(
        st.tuples(
            ENTRIES,
            st.lists(nasty_integers(64), max_size=4).map(lambda n: np.array(n, 'i8').tobytes())
            | st.binary(max_size=48),
        ),
        max_size=3,
    ),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
    lie=st.none() | nasty_integers(32),
)
@example(
    claims={'NB_STREAMLINES': 2, 'NB_VERTICES': 0},
    entries=[('positions.3.float32', b''), ('offsets.uint32', bytes(12))],
    method=0,
    lie=None,
)
def test_trx_that_lies(folder, claims, entries, method, lie):
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, 'w', method) as archive:
        warnings.simplefilter('ignore')  # of duplicate names
        facts = {'NB_STREAMLINES': 2, 'NB_VERTICES': 3} | claims
        archive.writestr('header.json', json.dumps(facts))
        given = {name for name, _ in entries}
        if not any(name.startswith('positions') for name in given):
            archive.writestr('positions.3.float32', np.ones((3, 3), 'f4').tobytes())
        if not any(name.startswith('offsets') for name in given):
            archive.writestr('offsets.uint32', np.array([0, 1, 3], 'u4').tobytes())
        for name, content in entries:
            with contextlib.suppress(ValueError, IndexError):
                archive.writestr(name, content)
    content = bytearray(stream.getvalue())
    if lie is not None:  # the size of an entry in the table of contents
        at = content.rfind(b'PK\x01\x02')
        content[at + 24 : at + 28] = (lie % 2**32).to_bytes(4, 'little')
    check_tractogram(folder, 'a.trx', bytes(content))


# ---------------------------------------------------------------- images


def nifti_bytes(data: np.ndarray) -> bytes:
    image = nib.Nifti1Image(data, np.diag([2.0, 2, 2, 1]))
    image.set_sform(image.affine, 4)
    return image.to_bytes()


MASK = np.zeros((6, 7, 8), np.uint8)
MASK[2:4, 2:4, 2:4] = 1

NIFTI_FIELDS = {
    'sizeof_hdr': nasty_integers(32),
    'dim': st.lists(nasty_integers(16), min_size=8, max_size=8)
    | st.tuples(st.integers(0, 8), *[st.sampled_from([1, 2, 7, 2**15 - 1])] * 7).map(list),
    'datatype': st.sampled_from(
        [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304, 9999]
    ),
    'bitpix': nasty_integers(16),
    'pixdim': st.lists(NASTY_FLOATS, min_size=8, max_size=8),
    'vox_offset': NASTY_FLOATS,
    'scl_slope': NASTY_FLOATS,
    'scl_inter': NASTY_FLOATS,
    'qform_code': nasty_integers(16),
    'sform_code': nasty_integers(16),
    'quatern_b': NASTY_FLOATS,
    'quatern_c': NASTY_FLOATS,
    'qoffset_x': NASTY_FLOATS,
    'srow_x': st.lists(NASTY_FLOATS, min_size=4, max_size=4),
    'srow_y': st.lists(NASTY_FLOATS, min_size=4, max_size=4),
    'magic': st.sampled_from([b'n+1', b'ni1', b'n+2', b'', b'\xff\xff\xff']),
}
IMAGE_NAMES = st.sampled_from(['m.nii', 'm.nii.gz'])


def read_images(path: Path) -> None:
    with survives():
        seen = plausibility.inspect_mask(path, 'MNI152NLin6Asym')
        assert bool(seen.mask) or bool(seen.failure)
        if seen.mask:
            np.testing.assert_array_equal(seen.mask.unpack().data, masks.read_mask(path).data)
    table = path.parent / 'labels.txt'
    table.write_text('1 one\n2 two\n')
    with survives():
        atlases.read_parcellation(atlases.Atlas('a', path, table, 'MNI152NLin6Asym', 'given'))
    if path.name.endswith('.nii.gz'):
        with survives():
            bidsify.bidsify(path.parent / 'list.csv', path.parent / 'dataset', space='MNI152NLin6Asym')


def check_image(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.write_bytes(content)
    (folder / 'list.csv').write_text(f'subject,path\n01,{name}\n')
    shutil.rmtree(folder / 'dataset', ignore_errors=True)
    read_images(path)


@FUZZ
@given(name=IMAGE_NAMES, content=st.binary(max_size=1000))
def test_image_of_random_bytes(folder, name, content):
    check_image(folder, name, content)


@FUZZ
@given(
    fields=st.lists(st.sampled_from(sorted(NIFTI_FIELDS)), min_size=1, max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: NIFTI_FIELDS[name] for name in names})
    ),
    dtype=st.sampled_from([np.uint8, np.float32, np.int16]),
    swapped=st.booleans(),
    name=IMAGE_NAMES,
)
@example(fields={'dim': [3, 32767, 32767, 32767, 1, 1, 1, 1]}, dtype=np.uint8, swapped=False, name='m.nii.gz')
@example(fields={'dim': [3, 32767, 32767, 10, 1, 1, 1, 1]}, dtype=np.uint8, swapped=False, name='m.nii')
@example(fields={'srow_y': [0, 2.0**31, 0, 1e38]}, dtype=np.uint8, swapped=False, name='m.nii.gz')
def test_nifti_header_that_lies(folder, fields, dtype, swapped, name):
    content = nifti_bytes(MASK.astype(dtype))
    header = np.frombuffer(content[:348], nib.nifti1.header_dtype).copy()
    with np.errstate(all='ignore'), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for key, value in fields.items():
            header[key] = value
    if swapped:
        header = header.byteswap()
    content = header.tobytes() + content[348:]
    check_image(folder, name, gzip.compress(content, 1) if name.endswith('.gz') else content)


@FUZZ
@given(content=mutated(nifti_bytes(MASK), head=348), packed=st.booleans())
def test_nifti_with_damage(folder, content, packed):
    check_image(folder, 'm.nii.gz' if packed else 'm.nii', gzip.compress(content, 1) if packed else content)


@FUZZ
@given(content=mutated(gzip.compress(nifti_bytes(MASK), 1), head=20))
def test_packed_nifti_with_damage(folder, content):
    check_image(folder, 'm.nii.gz', content)


# ---------------------------------------------------------------- tables and settings

CELLS = st.one_of(
    NASTY_NUMBERS,
    st.text(max_size=8),
    st.sampled_from(
        ['index', 'name', 'label', 'region', 'value', 'subject', 'path', '"', "'", '\0', '1', '2']
    ),
)


def table_text(separators: str):
    line = st.lists(CELLS, max_size=5).flatmap(
        lambda cells: st.sampled_from(separators).map(lambda by: by.join(cells))
    )
    return st.lists(line, max_size=6).map('\n'.join)


ANY_TABLE = st.one_of(
    st.binary(max_size=300),
    table_text('\t ,;').map(lambda text: text.encode('utf-8', 'replace')),
    table_text('\t').map(lambda text: ('index\tname\n' + text).encode('utf-8', 'replace')),
    table_text('\t').map(lambda text: ('region\tvalue\n' + text).encode('utf-8', 'replace')),
    table_text(',').map(lambda text: ('subject,path\n' + text).encode('utf-8', 'replace')),
    table_text(' ').map(lambda text: text.encode('utf-16')),
    st.sampled_from(
        [b'index\tname\n1\t' + b'x' * 200_000, b'x\t' * 10**6, b'index\t' * 10**5 + b'name\n', b'index\tname\n' + b'9' * 400 + b'\tx\n',
         b'subject,path\n1,' + b'x' * 200_000, b'9' * 5000 + b' x\n', b'12345678901234567890123 x\n',
         b'subject,path\n01,"' + b'y' * 200_000 + b'"\n', b'region\tvalue\n"' + b'x' * 200_000 + b'"\t1\n', b'1 a\n' * 10**5]
    ),
)  # fmt: skip


@FUZZ
@given(content=ANY_TABLE, ending=st.sampled_from(['.tsv', '.txt', '.csv']))
@example(content=b'index\tname\n' + b'9' * 400 + b'\tx\n', ending='.tsv')
@example(content=b'9' * 5000 + b' x\n', ending='.txt')
@example(content=b'12345678901234567890123 x\n', ending='.txt')
@example(content=b'index\tname\n1\t' + b'x' * 200_000, ending='.tsv')
@example(content=b'x\t' * 10**6, ending='.tsv')
@example(content=b'subject,path\n1,' + b'x' * 200_000, ending='.csv')
@example(content=b'\n\n"', ending='.tsv')
@example(content=b'"\0\n\0', ending='.tsv')
@example(content=b'bundle\tfirst\tcount\nAF\t0\t1000000000000\n', ending='.tsv')
def test_tables(folder, content, ending):
    path = folder / f'table{ending}'
    path.write_bytes(content)
    with survives():
        found = labels.read_labels(path)
        assert all(isinstance(value, int) and name == name.strip() != '' for value, name in found.items())
        image = folder / 'labels.nii'
        image.write_bytes(nifti_bytes(np.full((2, 2, 2), min(min(found), 255), np.uint8)))
        atlases.read_parcellation(atlases.Atlas('a', image, path, 'MNI152NLin6Asym', 'given'))
    for read in (tables.read_parcels, tables.read_matrix, bundle_tables.read_bundles):
        with survives():
            read(path)
    shutil.rmtree(folder / 'out', ignore_errors=True)
    with survives():
        bidsify.bidsify(path, folder / 'out', space='MNI152NLin6Asym')


DEEP = '[' * 100_000
ANY_JSON = st.one_of(
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(
        st.sampled_from(['Space', 'SpatialReference', 'GeneratedBy', 'DatasetLinks', 'SourceDatasets', 'Sources', 'Name']), JSON, max_size=4
    ).map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=100),
    st.sampled_from([DEEP.encode(), b'{"Space": ' * 100_000, b'{"a": ' + b'9' * 5000 + b'}', b'\xff\xfe{\0}\0']),
)  # fmt: skip


@FUZZ
@given(content=ANY_JSON)
@example(content=DEEP.encode())
@example(content=b'{"GeneratedBy": 5}')
@example(content=b'{"SourceDatasets": 5, "GeneratedBy": [{"Name": "Lacuna bidsify"}]}')
@example(content=b'{"DatasetLinks": 5, "GeneratedBy": [{"Name": "Lacuna"}]}')
@example(content=b'{"Sources": 5, "GeneratedBy": 7}')
def test_json(folder, content):
    """Of a mask, of a tractogram, of the folders that are written to."""
    place = folder / 'json'
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    mask = place / 'sub-01_label-lesion_mask.nii.gz'
    mask.write_bytes(gzip.compress(nifti_bytes(MASK), 1))
    names.sidecar_path(mask).write_bytes(content)
    with survives():
        mask_files.describe_mask(mask)
    tracks = place / 'a.trk'
    tracks.write_bytes(trk_bytes(STREAMLINES))
    tracks.with_suffix('.json').write_bytes(content)
    with survives():
        tractogram.Tractogram(tracks, cache=place / 'cache')
    with survives():
        formats.convert(tracks, place / 'b.tck')
    with survives():
        tables.read_statistics(tracks.with_suffix('.json'))
    dataset = place / 'dataset'
    dataset.mkdir()
    (dataset / 'dataset_description.json').write_bytes(content)
    (place / 'list.csv').write_text(f'subject,path\n01,{mask.name}\n')
    with survives():
        bidsify.bidsify(place / 'list.csv', dataset, space='MNI152NLin6Asym')
    from lacuna.bids.derivatives import check_output_dir
    from lacuna.execution.config import RunConfig
    from lacuna.execution.sidecars import write_description

    tck.write_tck(place / 'whole.tck', STREAMLINES)
    source = tractogram.Tractogram(place / 'whole.tck', 'MNI152NLin6Asym', cache=place / 'cache')
    with survives():
        (dataset / 'dataset_description.json').write_bytes(content)
        check_output_dir(dataset, place)
        write_description(
            dataset,
            RunConfig(source=place, output_dir=dataset, connectome_path=tracks),
            source,
            engine_version=None,
        )


SETTINGS = (
    'source', 'output_dir', 'connectome_path', 'connectome_space', 'participants', 'sessions', 'pattern', 'parcel_atlases',
    'custom_parcellations', 'atlas_dir', 'compute_roi_disconnection', 'engine', 'output_resolution', 'tck_upsample', 'on_empty', 'nprocs',
    'mem_gb', 'work_dir', 'report', 'verbose', 'unknown',
)  # fmt: skip
TOML_VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.sampled_from(
        ['nan', 'inf', '-inf', '"x"', '"~nobody-such/x"', r'"a\u0000b"', '[]', '[1]', '[[1]]', '[["a"]]', '[["a","b","c","d"]]', 'true', '{}',
         '1979-05-27', '"MNI152NLin6Asym"', '"index"', '2', '9' * 5000, '["x"]', '[{}]', '1e400']
    ),
)  # fmt: skip


@FUZZ
@given(
    content=st.dictionaries(st.sampled_from(SETTINGS), TOML_VALUES, max_size=5).map(
        lambda pairs: ''.join(
            f'{key} = {value}\n'
            for key, value in (
                {'source': '"a"', 'output_dir': '"b"', 'connectome_path': '"c"'} | pairs
            ).items()
        ).encode()
    )
    | st.binary(max_size=100)
)
@example(content=b'source = ' + b'[' * 50_000)
@example(content=b'participants = [1]\nsource = "a"\noutput_dir = "b"\nconnectome_path = "c"\n')
@example(content=b'custom_parcellations = [[1, 2]]\nsource = "a"\noutput_dir = "b"\nconnectome_path = "c"\n')
@example(content=b'source = "~nobody-such/x"\noutput_dir = "b"\nconnectome_path = "c"\n')
@example(content=b'mem_gb = nan\nsource = "a"\noutput_dir = "b"\nconnectome_path = "c"\n')
@example(content=b'nprocs = true\nsource = "a"\noutput_dir = "b"\nconnectome_path = "c"\n')
def test_settings(folder, content):
    path = folder / 'settings.toml'
    path.write_bytes(content)
    with survives():
        config = make_config(Namespace(config=path, source=folder, output_dir=folder))
        assert config.mem_gb is None or 0 < config.mem_gb < np.inf
        assert type(config.nprocs) is int
        assert all(
            isinstance(label, str)
            for label in (*config.participants, *config.sessions, *config.parcel_atlases)
        )
        assert all(len(words) == 4 for words in config.custom_parcellations)
        config.connectome_path.exists()
        config.to_toml()


# ---------------------------------------------------------------- plugin files


PLUGIN_NAMES = st.sampled_from(
    ['SLURM', 'slurm', 'Condor', 'PBS', 'MultiProc', 'Dask', 'SLURMGraph', 'Slurn', '']
) | st.text(max_size=20)
PLUGIN_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(['1:00:00', "a 'b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PLUGIN_KEYS = st.sampled_from(
    ['n_procs', 'memory_gb', 'time', 'sbatch_args', 'qsub_args', 'max_jobs', 'template']
) | st.text(max_size=9)
PLUGINS = st.fixed_dictionaries(
    {'plugin': PLUGIN_NAMES},
    optional={'plugin_args': st.dictionaries(PLUGIN_KEYS, PLUGIN_VALUES, max_size=4) | PLUGIN_VALUES},
)


@FUZZ
@given(
    content=st.binary(max_size=300)
    | PLUGINS.map(lambda words: json.dumps(words).encode())  # JSON is YAML
    | PLUGINS.flatmap(lambda words: mutated(json.dumps(words).encode())),
    ending=st.sampled_from(['.yml', '.toml']),
)
@example(content=b'!!python/object/apply:os.system ["touch pwned"]', ending='.yml')
@example(content=b'plugin: SLURM\nplugin_args: {n_procs: !!python/name:os.system}', ending='.yml')
@example(content=b'a: &a [x]\nb: &b [*a, *a]\nplugin: [*b, *b]', ending='.yml')
@example(content=b'[' * 5000, ending='.yml')
@example(content=b'plugin: ' + b'x' * 200_000, ending='.yml')
def test_plugin_files(folder, content, ending):
    path = folder / f'plugin{ending}'
    path.write_bytes(content)
    with survives():
        choice = plugins.read_plugin(path)
        assert choice.name in {'Linear', 'MultiProc', 'Dask'}
        assert all(0 < value < np.inf for value in choice.resources.values())


# ---------------------------------------------------------------- the index


@pytest.fixture(scope='module')
def index(folder):
    tracks = folder / 'indexed.tck'
    rng = np.random.default_rng(0)
    tck.write_tck(
        tracks,
        [rng.uniform(-15, 15, 3) + np.cumsum(rng.normal(size=(20, 3)), axis=0) for _ in range(60)],
        step_size=1,
    )
    return build_index(tracks, folder / 'indexed', GRID)


def ask(density: Path) -> None:
    index = Index.open(density)
    ids = index.select(
        MASK.astype(bool), np.array([[1.0, 0, 0, -4], [0, 1, 0, -4], [0, 0, 1, -4], [0, 0, 0, 1]])
    )
    index.density(ids)
    index_format.describe(density.parent)


def signed(body: dict) -> bytes:
    """A manifest whose checksum is right: whoever lies on purpose can do that."""
    return json.dumps({**body, 'checksum': index_format._body_checksum(body)}).encode()


@st.composite
def lying_manifest(draw, body: dict):
    """One or two values of a manifest replaced, anywhere in it."""
    body = json.loads(json.dumps(body))
    for _ in range(draw(st.integers(1, 2))):
        at, key = body, draw(st.sampled_from(sorted(body)))
        while isinstance(at[key], (dict, list)) and at[key] and draw(st.integers(0, 4)):
            at = at[key]
            key = draw(st.sampled_from(sorted(at)) if isinstance(at, dict) else st.integers(0, len(at) - 1))
        old = at[key]
        number = nasty_integers(64)
        kinds = {
            str: st.sampled_from(['<u8', '<f8', 'O', '|S0', '|V8', '<c16', '<M8', '../x', ''])
            | st.text(max_size=5),
            int: number,
            float: number | NASTY_FLOATS,
        }
        value = draw(kinds.get(type(old), JSON) | JSON)
        if isinstance(at, dict) and draw(st.integers(0, 5)) == 0:
            del at[key]
        else:
            at[key] = value
    return body


@FUZZ
@given(data=st.data())
def test_manifest_that_lies(index, data):
    part = data.draw(st.sampled_from([index, index.parent / 'selection']))
    manifest = part / index_format.MANIFEST
    content = manifest.read_bytes()
    body = data.draw(lying_manifest(json.loads(content)))
    try:
        manifest.write_bytes(signed(body))
        with survives():
            ask(index)
        with survives():
            index_format.describe(index.parent)
    finally:
        manifest.write_bytes(content)


@FUZZ
@given(data=st.data())
def test_index_file_that_lies(index, data):
    """An array with other contents, and a manifest that says that this is right."""
    part = data.draw(st.sampled_from([index, index.parent / 'selection']))
    manifest = part / index_format.MANIFEST
    facts = json.loads(manifest.read_bytes())
    name = data.draw(st.sampled_from(sorted(facts['arrays'])))
    path = part / f'{name}.bin'
    before, content = manifest.read_bytes(), path.read_bytes()
    damaged = data.draw(mutated(content, head=200))
    try:
        path.write_bytes(damaged)
        facts['arrays'][name] |= {'bytes': len(damaged), 'crc32': zlib.crc32(damaged)}
        manifest.write_bytes(signed(facts))
        with survives():
            ask(index)
    finally:
        path.write_bytes(content)
        manifest.write_bytes(before)


@FUZZ
@given(content=ANY_JSON)
def test_manifest_of_anything(index, content):
    manifest = index / index_format.MANIFEST
    before = manifest.read_bytes()
    try:
        manifest.write_bytes(content)
        with survives():
            ask(index)
        index_format.describe(index.parent)
    finally:
        manifest.write_bytes(before)


def test_a_whole_index_answers(index):
    ask(index)
