"""Scans and checksums of tractogram files, cached."""

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
    if info := _cached_info(path, cache):
        return info
    lock = _entry_path(path, cache).with_suffix('.lock')
    # other jobs of a cluster wait for the result; a shared cache may be read-only
    with file_lock(lock) if is_writable(lock.parent) else nullcontext():
        if not (info := _cached_info(path, cache)):
            info = scan(path, progress=progress)
            _update_entry(path, cache, {'info': dataclasses.asdict(info)})
    return info


def _cached_info(path: Path, cache: Path) -> TractogramInfo | None:
    try:
        entry = _read_entry(path, cache)['info']
        low, high = entry['box']
        return TractogramInfo(**{**entry, 'box': (tuple(low), tuple(high))})
    except (KeyError, TypeError, ValueError):  # missing, or written by another version
        return None


def checksum(path: Path, cache: Path) -> str:
    """Return the SHA-256 of the file, or the cached one if the file has not changed since."""
    if isinstance(entry := _read_entry(path, cache).get('sha256'), str):
        return entry
    with path.open('rb') as stream:
        digest = hashlib.file_digest(stream, 'sha256').hexdigest()
    _update_entry(path, cache, {'sha256': digest})
    return digest


def checksum_of_all(paths: Mapping[str, Path], cache: Path) -> str:
    """Return the SHA-256 of the names and contents of tractograms."""
    facts = [(name, checksum(path, cache)) for name, path in paths.items()]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def was_read(path: Path, cache: Path) -> bool:
    """Whether a tractogram is unchanged since it was last read, so that opening it is fast."""
    entry = _read_entry(path, cache)
    if 'sha256' in entry:
        return (cache / 'converted' / f'{entry["sha256"][:32]}.tck').is_file()
    return 'info' in entry


def _read_entry(path: Path, cache: Path) -> dict[str, Any]:
    entry = read_json(_entry_path(path, cache)) or {}
    return entry if entry.get('stamp') == stamp(path) else {}


def _update_entry(path: Path, cache: Path, what: dict[str, Any]) -> None:
    with suppress(OSError):  # not cached, then computed again
        write_if_changed(
            _entry_path(path, cache), json_bytes({'path': str(path), 'stamp': stamp(path), **what})
        )


def _entry_path(path: Path, cache: Path) -> Path:
    return cache / 'tractograms' / f'{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.json'
