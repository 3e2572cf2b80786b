"""Unpack tractograms from archives one by one, ignoring the paths in the archive."""

from __future__ import annotations

import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain, count, islice
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from lacuna.errors import InputError
from lacuna.streamlines.files import tck
from lacuna.streamlines.files.formats import EXTENSIONS
from lacuna.streamlines.files.joined import blocks_of
from lacuna.utils.progress import track

_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_TARS = ('.tar', '.tar.gz', '.tgz', '.tar.xz', '.tar.bz2')
#: extensions of files that are unpacked
ARCHIVES = ('.zip', *_TARS, '.tck.gz')


def unpack(path: Path, scratch: Path, *, show_progress: bool) -> tuple[Path, dict[str, np.ndarray]]:
    """Unpack the tractogram in an archive; several are joined, and returned with the streamlines of each.

    Parameters
    ----------
    path : pathlib.Path
        Zip or tar archive, or gzip file; removed if damaged.
    scratch : pathlib.Path
        Folder to unpack into.
    show_progress : bool
        Whether to show a progress bar on terminals.

    Returns
    -------
    tractogram : pathlib.Path
        The unpacked tractogram, in `scratch`.
    bundles : dict
        Indices of the streamlines by name of their tractogram; empty if there is only one.

    Raises
    ------
    InputError
        If the archive is damaged, or contains no tractogram.
    """
    bundles: dict[str, np.ndarray] = {}
    members = _members(path, scratch)

    def told(tractograms: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, Path]]:
        for name, tractogram in track(tractograms, f'unpack {path.name}', unit=' files', show=show_progress):
            yield name, tractogram
            tractogram.unlink()

    try:
        leading = list(islice(members, 2))
        if len(leading) == 1:
            return leading[0][1], {}
        merged = scratch / f'{path.name.partition(".")[0]}.tck'
        tck.write_blocks(merged, blocks_of(told(chain(leading, members)), bundles))
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        EOFError,
        gzip.BadGzipFile,
        zlib.error,
        lzma.LZMAError,
        RuntimeError,  # encrypted
    ) as error:
        message = f'{path}: the archive cannot be read ({error}); fetch it again'
        path.unlink()
        raise InputError(message) from error
    if not bundles:
        message = f'{path}: no tractogram in the archive; give another --url'
        path.unlink()
        raise InputError(message)
    return merged, _short_names(bundles)


def _short_names(bundles: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Drop the folders from names, if the names remain distinct."""
    short = {PurePosixPath(name).name: rows for name, rows in bundles.items()}
    return short if len(short) == len(bundles) else bundles


def _members(path: Path, scratch: Path) -> Iterator[tuple[str, Path]]:
    """Unpack the tractograms of an archive one by one, each into a new folder; paths in the archive are ignored."""
    numbers = count(1)

    def unpacked(name: str, stream: IO[bytes]) -> tuple[str, Path] | None:
        name = name.replace('\\', '/').removeprefix('./')
        ending = next((end for end in EXTENSIONS if name.lower().endswith(end)), None)
        if ending is None or PurePosixPath(name).name.startswith('.'):
            return None
        target = scratch / str(next(numbers)) / PurePosixPath(name).name
        target.parent.mkdir()
        with target.open('wb') as out:
            shutil.copyfileobj(stream, out)
        return name[: -len(ending)], target

    lower = path.name.lower()
    if lower.endswith('.zip'):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    if info.compress_type not in _COMPRESSIONS:  # other methods may unpack gigabytes at once
                        message = f'{info.filename!r} uses a compression that is not supported'
                        raise zipfile.BadZipFile(message)
                    with archive.open(info) as stream:
                        if found := unpacked(info.filename, stream):
                            yield found
    elif lower.endswith(_TARS):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile() and (content := tar.extractfile(member)):
                    with content:
                        if found := unpacked(member.name, content):
                            yield found
    else:
        with gzip.open(path) as zipped:
            if found := unpacked(path.name.removesuffix('.gz'), zipped):  # type: ignore[arg-type]
                yield found
