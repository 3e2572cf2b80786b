"""Group tables as files: what is there is replaced by what holds the same and more, and by nothing else unasked."""

from __future__ import annotations

import contextlib
import filecmp
import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lacuna.bids.tables import Item, only_adds, stack_items, table_items
from lacuna.errors import InputError
from lacuna.utils.files import json_bytes, write_if_changed
from lacuna.utils.names import sidecar_path

#: the columns that lead each table
LEADING = ('participant_id', 'session_id', 'label')


@dataclass(frozen=True)
class GroupTable:
    """A table that is ready to be written.

    Attributes
    ----------
    path : pathlib.Path
    shape : tuple of int
        Rows and columns.
    content : bytes or pathlib.Path
        Of the table, or a file that holds it.
    sidecar : mapping
    leading : int
        Cells of a row that tell whose it is.
    """

    path: Path
    shape: tuple[int, int]
    content: bytes | Path
    sidecar: Mapping[str, Any]
    leading: int = len(LEADING)

    def is_there(self) -> bool:
        """Whether the file is there, with just this content."""
        if not self.path.is_file():
            return False
        if isinstance(self.content, Path):
            return filecmp.cmp(self.path, self.content, shallow=False)
        return self.path.read_bytes() == self.content

    def only_adds(self) -> bool:
        """Whether all rows of the table that is there are in this one, as they are."""
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
        # whatever is in its place
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
        Those that were not there before, or not like this.

    Raises
    ------
    InputError
        If one that is there differs by more than new rows (unless `overwrite`); then nothing is written.
    """
    new = [table for table in tables if not table.is_there()]
    differing = [
        table.path for table in new if table.path.exists() and not overwrite and not table.only_adds()
    ]
    if differing:
        message = (
            f'{differing[0]} is there already, and differs from what would be written by more than new rows'
            f'{f" ({len(differing)} tables in all)" if len(differing) > 1 else ""}; '
            'name another --output-dir, or --overwrite to replace it'
        )
        raise InputError(message)
    for table in tables:
        # the table last: one that is there has its sidecar
        write_if_changed(sidecar_path(table.path), json_bytes(table.sidecar))
    for table in new:
        table.write()
    return {table.path for table in new}
