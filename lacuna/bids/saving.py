"""Put results under their final names, and tell later whether they are whole."""

from __future__ import annotations

import filecmp
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lacuna.utils.files import json_bytes, read_json, replacing, write_if_changed
from lacuna.utils.names import sidecar_path

#: where sidecars have sizes and checksums, by the name of the file
FILES = 'Files'


def save(source: str | Path, target: Path, sidecar: Mapping[str, Any] | None = None) -> Path:
    """Put a file, and its sidecar, under its final name: whole, and only if it is not there as it should be.

    The sidecar gets the size and the checksum of the file.

    Returns
    -------
    pathlib.Path
        The target.
    """
    if sidecar is None:
        place(source, target)
        return target
    record = file_record(source)
    place(source, target, sidecar_path(target))
    write_if_changed(sidecar_path(target), json_bytes({**sidecar, FILES: {target.name: record}}))
    return target


def place(source: str | Path, target: Path, sidecar: Path | None = None) -> None:
    """Copy a file to its final name. An older sidecar goes first: it must not speak for another content."""
    if target.is_file() and filecmp.cmp(source, target, shallow=False):
        return
    if sidecar is not None:
        sidecar.unlink(missing_ok=True)
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def file_record(path: str | Path) -> dict[str, Any]:
    """Size and checksum of a file, as sidecars have them."""
    with Path(path).open('rb') as stream:
        digest = hashlib.file_digest(stream, 'sha256')
        return {'Size': stream.tell(), 'SHA256': digest.hexdigest()}


def damage(path: Path, sidecar: Mapping[str, Any], *, verify: bool = False) -> str | None:
    """In what a file is not the one that was written, in words; None if nothing is seen.

    Parameters
    ----------
    path : pathlib.Path
        A file that is there.
    sidecar : mapping
        What records its size and checksum. Earlier versions did not: then it is only seen whether the file is empty.
    verify : bool
        Whether to compare the checksum, too, which takes as long as reading the file.
    """
    size, files = path.stat().st_size, sidecar.get(FILES)
    known = files.get(path.name) if isinstance(files, Mapping) else None
    if not isinstance(known, Mapping):
        return None if size else 'it is empty'
    if size != known.get('Size'):
        return f'it has {size:,} bytes, not {_number(known.get("Size"))}'
    if verify and file_record(path)['SHA256'] != known.get('SHA256'):
        return 'its checksum is another one'
    return None


def is_whole(path: Path) -> bool:
    """Whether a file with a sidecar is there, and as long as that says."""
    sidecar = read_json(sidecar_path(path))
    return sidecar is not None and path.is_file() and not damage(path, sidecar)


def _number(value: Any) -> str:
    return f'{value:,}' if isinstance(value, int) else str(value)
