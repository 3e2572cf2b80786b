"""Write files atomically: completely or not at all."""

from __future__ import annotations

import json
import os
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any

from lacuna.errors import InputError

#: prefix of unfinished files
TEMPORARY = '.tmp-'
#: files modified this recently may change again without a new stamp
SETTLED_NS = 2_000_000_000
_CHUNK = 2**24


@contextmanager
def replacing(target: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`, which replaces it when the block ends without error.

    A killed process leaves at most a file whose name starts with ``.tmp-``.
    """
    target = Path(target)
    # keep the extension, which determines format and compression
    name = f'{TEMPORARY}{target.name}-{secrets.token_hex(6)}{"".join(target.suffixes)}'
    temporary = target.with_name(name)
    if not target.parent.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        temporary.replace(target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if (
            isinstance(error, OSError) and error.errno and error.filename is None
        ):  # for example, of a full disk
            error.filename = str(target)
        raise


def absolute(path: str | Path | None) -> Path | None:
    """Return a path for nodes, which work in folders of their own, where a relative one would mean another file."""
    return None if path is None else Path(path).absolute()


def missing_target(path: Path) -> str:
    """Say that a path is a link to a file that is not there, such as one of DataLad; an empty string if it is not."""
    if not path.is_symlink() or path.exists():
        return ''
    return "is a link to a file that is not there (with DataLad, 'datalad get' fetches it)"


def remove_leftovers(targets: Iterable[Path]) -> None:
    """Remove temporary files that killed processes left beside targets, which no process may be writing now."""
    beginnings: dict[Path, list[str]] = {}
    for target in targets:
        beginnings.setdefault(target.parent, []).append(f'{TEMPORARY}{target.name}-')
    for folder, names in beginnings.items():
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(TEMPORARY) and entry.name.startswith(tuple(names)):
                    Path(entry).unlink(missing_ok=True)


def stamp(path: Path) -> list[int]:
    """Return size and times of a file, which change whenever the file is modified."""
    # ctime cannot be set by users: a file that is replaced or edited never keeps all four values
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def crc32_of(path: Path) -> int:
    """Return the CRC-32 of a file."""
    found = 0
    with path.open('rb') as stream:
        while chunk := stream.read(_CHUNK):
            found = zlib.crc32(chunk, found)
    return found


def is_settled(stamps: Iterable[list[int]], now: int) -> bool:
    """Whether files with these stamps are so old (ns since 1970) that a later change alters their stamps.

    Some file systems store times in steps of up to two seconds.
    """
    return all(now - max(each[1:3]) > SETTLED_NS for each in stamps)


def holds(path: Path, content: bytes) -> bool:
    """Whether a file exists with exactly this content."""
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except FileNotFoundError:
        return False


def write_if_changed(target: str | Path, content: bytes) -> bool:
    """Write `content` unless the file already contains it; return True if it was written."""
    target = Path(target)
    if holds(target, content):
        return False
    with replacing(target) as temporary:
        temporary.write_bytes(content)
    return True


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """Return JSON as bytes, one key per line in the given order.

    Raises
    ------
    ValueError
        If a number is not finite: NaN is not valid JSON.
    """
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + '\n').encode()


def listed(content: Mapping[str, Any], key: str) -> list[Any]:
    """Return a list in a JSON object; empty if it is missing."""
    found = content.get(key)
    return found if isinstance(found, list) else []


def read_json(path: str | Path) -> dict[str, Any] | None:
    """Read the object in a JSON file; None if the file is missing or contains no object."""
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8-sig'))
    except (OSError, ValueError, RecursionError):  # RecursionError: deeply nested
        return None
    return content if isinstance(content, dict) else None


def read_sidecar(path: str | Path) -> dict[str, Any]:
    """Read a JSON file that somebody has written beside an image or tractogram; empty if it is missing.

    Raises
    ------
    InputError
        If it contains no object: what it says would be ignored.
    """
    found = read_json(path)
    if found is None and Path(path).is_file() and os.access(path, os.R_OK):
        message = f'{path} is not valid JSON, such as {{"Space": "MNI152NLin6Asym"}}; correct or remove it'
        raise InputError(message)
    return found or {}


def dig(content: Any, *keys: str) -> Any:
    """Return a value in nested objects; None if it is missing.

    >>> dig({'Mask': {'SHA256': 'ab'}}, 'Mask', 'SHA256'), dig({'Mask': 1}, 'Mask', 'SHA256')
    ('ab', None)
    """
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def data_text(name: str) -> str:
    """Return the text of a data file of the package."""
    return resources.files('lacuna').joinpath('data', name).read_text(encoding='utf-8')
