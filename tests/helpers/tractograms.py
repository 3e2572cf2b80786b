"""Tractograms in all formats, written without the code that is tested."""

import io
import json
import tracemalloc
import zipfile

import nibabel as nib
import numpy as np

OBLIQUE = np.array([[-1.9, 0.3, 0.1, 88], [0.2, 1.8, -0.4, -120], [0.1, 0.5, 2.1, -70], [0, 0, 0, 1]], float)


def make_streamlines(count=40, seed=1):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 30, count)
    return [
        rng.uniform(-70, 70, 3) + np.cumsum(rng.normal(size=(n, 3)), axis=0).astype('f4') for n in lengths
    ]


def trk_bytes(streamlines, affine=None, order='<', scalars=0, properties=0, count=None, **fields):
    """A ``.trk`` whose voxel order is that of its affine; written by hand, so that it can be wrong."""
    affine = np.eye(4) if affine is None else affine
    header = np.zeros((), nib.streamlines.trk.header_2_dtype.newbyteorder(order))
    header['magic_number'] = b'TRACK'
    header['dimensions'] = (91, 109, 91)
    header['voxel_sizes'] = sizes = np.linalg.norm(affine[:3, :3], axis=0)
    header['voxel_to_rasmm'] = affine
    header['voxel_order'] = ''.join(nib.aff2axcodes(affine)).encode()
    header['nb_streamlines'] = len(streamlines) if count is None else count
    header['nb_scalars_per_point'] = scalars
    header['nb_properties_per_streamline'] = properties
    header['version'] = 2
    header['hdr_size'] = 1000
    for name, value in fields.items():
        header[name] = value
    body = io.BytesIO()
    body.write(header.tobytes())
    inverse = np.linalg.inv(affine)
    for number, points in enumerate(streamlines):
        with np.errstate(invalid='ignore'):
            stored = ((np.reshape(points, (-1, 3)) @ inverse[:3, :3].T + inverse[:3, 3]) + 0.5) * sizes
        rows = np.hstack([stored, np.full((len(stored), scalars), 7.0)])
        body.write(np.array(len(rows), f'{order}i4').tobytes())
        body.write(rows.astype(f'{order}f4').tobytes())
        body.write(np.full(properties, number, f'{order}f4').tobytes())
    return body.getvalue()


def write_trx(
    path,
    streamlines,
    *,
    dtype='float32',
    offsets='uint32',
    last=True,
    packed=False,
    groups=None,
    per_streamline=None,
    **header,
):
    lengths = np.array([len(points) for points in streamlines])
    ends = np.concatenate([[0], np.cumsum(lengths)])
    facts = {
        'DIMENSIONS': [9, 9, 9],
        'VOXEL_TO_RASMM': np.eye(4).tolist(),
        'NB_VERTICES': int(ends[-1]),
        'NB_STREAMLINES': len(lengths),
    }
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        archive.writestr('header.json', json.dumps(facts | header))
        points = np.concatenate(streamlines) if len(lengths) else np.empty((0, 3))
        archive.writestr(f'positions.3.{dtype}', points.astype(dtype).tobytes())
        archive.writestr(f'offsets.{offsets}', (ends if last else ends[:-1]).astype(offsets).tobytes())
        for name, indices in (groups or {}).items():
            archive.writestr(f'groups/{name}.uint32', np.array(indices, 'u4').tobytes())
        for name, values in (per_streamline or {}).items():
            archive.writestr(f'dps/{name}.float32', np.array(values, '<f4').tobytes())


def peak_of(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
