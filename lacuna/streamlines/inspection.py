"""The scans and checksums of tractogram files, kept in the cache."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from lacuna.streamlines.files.tck import TractogramInfo, scan
from lacuna.utils.cache import is_writable
from lacuna.utils.files import json_bytes, read_json, stamp, write_if_changed
from lacuna.utils.locks import file_lock


def inspect(path: Path, cache: Path, progress: Callable[[int], object] | None) -> TractogramInfo:
    """Scan the file, or return the result of the last scan if the file has not changed since."""
    if info := _known_info(path, cache):
        return info
    lock = _note(path, cache).with_suffix('.lock')
    # other jobs of a cluster wait instead of reading it; a shared cache may be read-only
    with file_lock(lock) if is_writable(lock.parent) else nullcontext():
        if not (info := _known_info(path, cache)):
            info = scan(path, progress=progress)
            _remember(path, cache, {'info': dataclasses.asdict(info)})
    return info


def _known_info(path: Path, cache: Path) -> TractogramInfo | None:
    try:
        known = _recall(path, cache)['info']
        low, high = known['box']
        return TractogramInfo(**{**known, 'box': (tuple(low), tuple(high))})
    except (KeyError, TypeError, ValueError):  # missing, or written by another version
        return None


def checksum(path: Path, cache: Path) -> str:
    """Return the SHA-256 of the file, or the cached one if the file has not changed since."""
    if isinstance(known := _recall(path, cache).get('sha256'), str):
        return known
    with path.open('rb') as stream:
        digest = hashlib.file_digest(stream, 'sha256').hexdigest()
    _remember(path, cache, {'sha256': digest})
    return digest


def checksum_of_all(paths: Mapping[str, Path], cache: Path) -> str:
    """Return the SHA-256 of the names and the content of tractograms."""
    facts = [(name, checksum(path, cache)) for name, path in paths.items()]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _recall(path: Path, cache: Path) -> dict[str, Any]:
    known = read_json(_note(path, cache)) or {}
    return known if known.get('stamp') == stamp(path) else {}


def _remember(path: Path, cache: Path, what: dict[str, Any]) -> None:
    with suppress(OSError):  # if it cannot be cached, it is computed again
        write_if_changed(_note(path, cache), json_bytes({'path': str(path), 'stamp': stamp(path), **what}))


def _note(path: Path, cache: Path) -> Path:
    return cache / 'tractograms' / f'{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.json'
