"""Read tractograms of all supported formats as streams, and convert them to ``.tck``.

Every reader yields the same blocks as `lacuna.streamlines.files.tck.iter_blocks`: points (vertices, 3) float32 in world
mm (RAS+), and the number of vertices of each streamline.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.errors import InputError, TractogramError, reason_of
from lacuna.streamlines.files import tck, trk, trx
from lacuna.streamlines.files.arrays import BLOCK_VERTICES, Blocks, Progress, replacing_tractogram
from lacuna.streamlines.files.bundle_tables import read_bundles, write_bundles
from lacuna.streamlines.files.tck import TractogramInfo
from lacuna.streamlines.subsample import Subsample
from lacuna.utils.files import json_bytes, write_if_changed
from lacuna.utils.sidecars import generator

#: supported file extensions
EXTENSIONS = ('.tck', '.trk', '.trk.gz', '.trx')


_READERS = {'.tck': tck, '.trk': trk, '.trk.gz': trk, '.trx': trx}
Header = tck.TckHeader | trk.TrkHeader | trx.TrxHeader


def extension(path: str | Path) -> str:
    """Return the extension of a tractogram, in lower case.

    >>> extension('atlas.v2.TRK.gz')
    '.trk.gz'

    Raises
    ------
    TractogramError
        If the format is not supported.
    """
    path = Path(path)
    name = path.name.lower()
    for ending in EXTENSIONS:
        if name.endswith(ending) and len(name) > len(ending):
            return ending
    message = (
        f'{path}: this format is not supported; convert the tractogram to one of {", ".join(EXTENSIONS)}'
    )
    raise TractogramError(message)


def without_extension(path: str | Path) -> Path:
    """Return the path of a tractogram without its extension.

    >>> without_extension('atlas.v2.trk.gz').name
    'atlas.v2'
    """
    path = Path(path)
    return path.with_name(path.name[: -len(extension(path))])


def beside(path: str | Path, ending: str) -> Path:
    """Return the path of a file that belongs to a tractogram, such as its sidecar.

    >>> beside('atlas.v2.trk.gz', '.json').name
    'atlas.v2.json'
    """
    stem = without_extension(path)
    return stem.with_name(f'{stem.name}{ending}')


def bundle_table(path: str | Path) -> Path:
    """Return the path of the table of bundles beside a tractogram.

    >>> bundle_table('atlas.v2.trk.gz').name
    'atlas.v2_bundles.tsv'
    """
    return beside(path, '_bundles.tsv')


def open_tractogram(path: str | Path) -> Header:
    """Read the header of a tractogram; the format follows from the extension.

    Raises
    ------
    TractogramError
        If the file is missing, unreadable, inconsistent, or of an unsupported format.
    """
    path = Path(path)
    ending = extension(path)
    if path.is_dir():
        message = f'cannot read the tractogram {path}: it is a folder'
        raise TractogramError(message)
    return _READERS[ending].read_header(path)


def iter_blocks(
    header: Header, *, vertices: int = BLOCK_VERTICES, progress: Progress | None = None
) -> Blocks:
    """Iterate over the streamlines in blocks, in the order of the file.

    Parameters
    ----------
    header : TckHeader, TrkHeader or TrxHeader
    vertices : int
        Approximate number of vertices in a block; a longer streamline makes a longer block.
    progress : callable, optional
        Called with the number of bytes of the file processed since the last call.

    Yields
    ------
    points : numpy.ndarray
        (vertices, 3) float32, world mm.
    lengths : numpy.ndarray
        (streamlines,) int64, number of vertices of each; they sum to ``len(points)``.

    Raises
    ------
    TractogramError
        If the file is truncated or damaged, or has a vertex that is not finite.
    """
    if not isinstance(header, tck.TckHeader):
        return _READERS[extension(header.path)].iter_blocks(header, vertices=vertices, progress=progress)
    return tck.iter_blocks(
        header, rows=vertices, on_bytes=None if progress is None else lambda chunk: progress(len(chunk))
    )


def convert(
    source: str | Path,
    target: str | Path,
    *,
    space: str | None = None,
    subsample: Subsample | None = None,
    bundles: Mapping[str, np.ndarray] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TractogramInfo:
    """Convert a tractogram to a little-endian float32 ``.tck`` with a sidecar.

    The file is read as a stream, so memory does not depend on its size. ``X.json`` is written beside ``X.tck``, and
    ``X_bundles.tsv`` if there are bundles; the ``.tck`` gets its final name last. ``.trk`` and ``.trx`` have no step
    size, so the ``.tck`` has none either; all header fields of a ``.tck`` are kept.

    Parameters
    ----------
    source : path
        ``.tck``, ``.trk``, ``.trk.gz`` or ``.trx``.
    target : path
        ``.tck``.
    space : str, optional
        Standard space of the coordinates, for the sidecar; by default from the source's own sidecar.
    subsample : Subsample, optional
        Keep only a random subsample of the streamlines; the sidecar records it.
    bundles : mapping of str to numpy.ndarray, optional
        Sorted indices of the streamlines of each bundle of the source; by default, from the table
        ``SOURCE_bundles.tsv`` beside it, or the groups of a ``.trx``.
    overwrite : bool
        Whether to replace existing files.
    progress : callable, optional
        Called with the number of bytes of the source processed since the last call.

    Returns
    -------
    TractogramInfo
        Content of the new file.

    Raises
    ------
    TractogramError
        If the source is unreadable or has no streamlines, or the target cannot be written.
    InputError
        If `target` exists, is not a ``.tck``, or is `source`.
    """
    source, target = Path(source), Path(target)
    _check_target(source, target, overwrite)
    opened = open_tractogram(source)
    sidecar = {**_read_sidecar(source), **({'Space': space} if space else {})}
    if bundles is None:
        bundles = own_bundles(opened)
    count = 0
    if subsample:
        count = _count(opened)
        if not subsample.size(count):
            message = f'{source}: a fraction of {subsample.fraction:g} of {count} streamlines is less than one; give a larger fraction'
            raise InputError(message)
        bundles = subsample.of_bundles(bundles, count) if bundles else {}
        sidecar = _sidecar_of_part(sidecar, without_extension(target).name, subsample, count)
    with replacing_tractogram(target) as temporary:
        blocks = iter_blocks(opened, progress=progress)
        if subsample:
            blocks = subsample.of_blocks(blocks, count, source)
        tck.write_blocks(temporary, blocks, opened.fields if isinstance(opened, tck.TckHeader) else None)
        if not _has_vertices(temporary):
            message = f'{source} has no streamlines'
            raise TractogramError(message)
        info = tck.scan(temporary)
        table = bundle_table(target)
        if bundles:
            write_bundles(table, bundles)
        elif overwrite:  # left from the replaced tractogram
            table.unlink(missing_ok=True)
        _write_sidecar(beside(target, '.json'), sidecar, source, info)
    return info


def own_bundles(source: Header) -> dict[str, np.ndarray]:
    """Read the bundles of a tractogram from the table beside it, else the groups of a ``.trx``; empty if there are none.

    Raises
    ------
    TractogramError
        If they are unreadable or do not fit the number of streamlines.
    """
    table = bundle_table(source.path)
    if table.is_file():
        return read_bundles(table, source.count)
    return trx.read_groups(source) if isinstance(source, trx.TrxHeader) else {}


def _count(source: Header) -> int:
    """Return the number of streamlines in the header; count them if it has none."""
    if source.count is not None:
        return source.count
    return sum(len(lengths) for _, lengths in iter_blocks(source))


def _sidecar_of_part(known: Mapping[str, Any], name: str, subsample: Subsample, count: int) -> dict[str, Any]:
    """Return the metadata of a tractogram for a subsample, whose bundles have other indices."""
    drawn = {'Fraction': subsample.fraction, 'Seed': subsample.seed, 'SourceStreamlineCount': count}
    whole = {key: value for key, value in known.items() if key != 'Bundles'}
    return {**whole, 'Name': name, 'Subsample': _append(known.get('Subsample'), drawn)}


def _has_vertices(path: Path) -> bool:
    """Whether a ``.tck`` written by Lacuna has a vertex: a row that is neither NaN nor Inf."""
    return any(len(points) for points, _ in tck.iter_blocks(tck.read_header(path)))


def _check_target(source: Path, target: Path, overwrite: bool) -> None:
    fault = ''
    if target.suffix != '.tck' or target.name == '.tck':
        fault = f'{target}: tractograms can be converted only to .tck; give a name that ends in .tck'
    elif not target.parent.is_dir():
        fault = f'{target}: the folder {target.parent} does not exist'
    elif target.exists() and source.exists() and target.samefile(source):
        fault = f'{target}: the new file is the tractogram itself; give another name'
    elif target.exists() and not overwrite:
        fault = f'{target} already exists; give another name, or --force to replace it'
    if fault:
        raise InputError(fault)


def _read_sidecar(tractogram: Path) -> dict[str, Any]:
    path = beside(tractogram, '.json')
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text('utf-8'))
        # fails for content that could not be written again
        json.dumps(content, allow_nan=False, ensure_ascii=False).encode()
    except (OSError, ValueError, RecursionError) as error:
        message = f'{path}: the sidecar of the tractogram is not valid JSON ({reason_of(error, path)}); correct or remove it'
        raise TractogramError(message) from error
    return content if isinstance(content, dict) else {}


def _write_sidecar(path: Path, known: Mapping[str, Any], source: Path, info: TractogramInfo) -> None:
    """Write the sidecar of a converted tractogram, with the content of the source's sidecar."""
    content = {
        'Name': without_extension(source).name,
        'Description': 'Streamlines in world millimetres (RAS+)',
        **known,
        'StreamlineCount': info.count,
        'VertexCount': info.vertices,
        'SHA256': info.sha256,
        'Sources': _append(known.get('Sources'), source.name),
        'GeneratedBy': _append(known.get('GeneratedBy'), generator()),
    }
    write_if_changed(path, json_bytes(content))


def _append(known: object, entry: object) -> list[object]:
    """Return a list from the source's sidecar (empty if it has none) with one more entry."""
    entries = known if isinstance(known, list) else []
    return entries if entry in entries else [*entries, entry]
