"""Write group tables: without `overwrite`, an existing table is replaced only if all its rows are kept."""

from __future__ import annotations

import contextlib
import filecmp
import io
import math
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.bids.groups import LEADING
from lacuna.bids.tables import NOT_AVAILABLE
from lacuna.errors import InputError
from lacuna.utils.files import json_bytes, write_if_changed
from lacuna.utils.names import sidecar_path

#: the earliest time in a zip archive, so that the same content gives the same file
_NO_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class GroupTable:
    """A table that is ready to write.

    Attributes
    ----------
    path : pathlib.Path
    shape : tuple of int
        Rows and columns.
    content : bytes or pathlib.Path
        Content of the table, or a file that holds it.
    sidecar : mapping
    leading : int
        Number of leading cells of a row, which identify the lesion.
    """

    path: Path
    shape: tuple[int, int]
    content: bytes | Path
    sidecar: Mapping[str, Any]
    leading: int = len(LEADING)

    def is_there(self) -> bool:
        """Whether the file exists with exactly this content."""
        if not self.path.is_file():
            return False
        if isinstance(self.content, Path):
            return filecmp.cmp(self.path, self.content, shallow=False)
        return self.path.read_bytes() == self.content

    def only_adds(self) -> bool:
        """Whether all rows of the existing table are in this one, unchanged."""
        try:
            with contextlib.ExitStack() as files:
                old = self._items(self.path, files)
                content = self.content
                new = (
                    self._items(content, files)
                    if isinstance(content, Path)
                    else self._lines(content.decode())
                )
                return only_adds(old, new)
        # any other content
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            return False

    def _items(self, path: Path, files: contextlib.ExitStack) -> Iterator[Item]:
        if self.path.suffix == '.npz':
            return stack_items(path, 'matrices', LEADING, 'regions')
        return table_items(files.enter_context(path.open(encoding='utf-8', newline='\n')), self.leading)

    def _lines(self, text: str) -> Iterator[Item]:
        return table_items(io.StringIO(text, newline='\n'), self.leading)

    def write(self) -> None:
        """Write the file."""
        if isinstance(self.content, Path):
            self.content.replace(self.path)
        else:
            write_if_changed(self.path, self.content)


def write_tables(tables: Sequence[GroupTable], *, overwrite: bool) -> set[Path]:
    """Write tables, and their sidecars.

    Returns
    -------
    set of pathlib.Path
        Those that are new or changed.

    Raises
    ------
    InputError
        If an existing table differs by more than new rows (unless `overwrite`); then nothing is written.
    """
    new = [table for table in tables if not table.is_there()]
    differing = [
        table.path for table in new if table.path.exists() and not overwrite and not table.only_adds()
    ]
    if differing:
        message = (
            f'{differing[0]} already exists and differs from the new table by more than new rows'
            f'{f" ({len(differing)} tables in all)" if len(differing) > 1 else ""}; '
            'choose another --output-dir, or use --overwrite to replace it'
        )
        raise InputError(message)
    for table in tables:
        # the table last, so that every table has its sidecar
        write_if_changed(sidecar_path(table.path), json_bytes(table.sidecar))
    for table in new:
        table.write()
    return {table.path for table in new}


def write_stack(
    path: Path,
    name: str,
    matrices: Iterable[np.ndarray],
    shape: tuple[int, int, int],
    labels: Mapping[str, Any],
) -> None:
    """Write matrices of one shape as an ``.npz`` with only one of them in memory.

    Parameters
    ----------
    path : pathlib.Path
    name : str
        Name of the array of matrices.
    matrices : iterable of numpy.ndarray
    shape : tuple of int
        Number of matrices, rows and columns.
    labels : mapping
        Additional arrays of text, by name.
    """
    header = {'descr': '<f8', 'fortran_order': False, 'shape': shape}
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for label, texts in labels.items():
            with archive.open(_entry(label), 'w') as stream:
                np.lib.format.write_array(stream, np.array(texts, np.str_), allow_pickle=False)
        with archive.open(_entry(name), 'w', force_zip64=True) as stream:
            np.lib.format.write_array_header_2_0(stream, header)
            for matrix in matrices:
                stream.write(np.ascontiguousarray(matrix, '<f8').data)


#: a row of a table or stack: the cells that identify the lesion, and the values
Item = tuple[tuple[str, ...], Any]


def table_items(lines: Iterable[str], leading: int) -> Iterator[Item]:
    """Yield the rows of a table with their leading cells, the header first."""
    rows = (line.rstrip('\n').split('\t') for line in lines)
    yield (), next(rows, [])
    for row in rows:
        yield tuple(row[:leading]), row[leading:]


def stack_items(path: Path, name: str, leading: Sequence[str], common: str) -> Iterator[Item]:
    """Yield the matrices that `write_stack` wrote with their labels, one by one; first what they have in common."""
    with zipfile.ZipFile(path) as archive:
        texts = {}
        for label in (*leading, common):
            with archive.open(f'{label}.npy') as stream:
                texts[label] = np.lib.format.read_array(stream, allow_pickle=False).tolist()
        yield (), texts[common]
        with archive.open(f'{name}.npy') as stream:
            np.lib.format.read_magic(stream)
            shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
            size = math.prod(shape[1:]) * dtype.itemsize
            for key in zip(*(texts[label] for label in leading), strict=True):
                yield key, stream.read(size)


def only_adds(old: Iterable[Item], new: Iterable[Item]) -> bool:
    """Whether all rows of a table are in another, in the same order and with the same values.

    A row without any value may have gained some.

    >>> old = [((), ['a']), (('sub-01',), ['1']), (('sub-03',), ['n/a'])]
    >>> only_adds(old, [*old[:2], (('sub-02',), ['2']), (('sub-03',), ['3'])])
    True
    >>> only_adds(old, [*old[:1], (('sub-01',), ['2']), old[2]])
    False
    """
    rest = iter(new)
    for key, values in old:
        now = next((found for other, found in rest if other == key), None)
        blank = isinstance(values, list) and key and not set(values) - {NOT_AVAILABLE}
        if now is None or (now != values and not blank):
            return False
    return True


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(f'{name}.npy', _NO_DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
