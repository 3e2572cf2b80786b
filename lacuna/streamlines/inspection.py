"""Scans and checksums of tractogram files, cached."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from lacuna.errors import TractogramError
from lacuna.streamlines.files.tck import TractogramInfo, scan
from lacuna.utils.cache import is_intact, is_writable, seal
from lacuna.utils.files import dig, is_settled, json_bytes, read_json, stamp, write_if_changed
from lacuna.utils.locks import file_lock


def inspect(path: Path, cache: Path, progress: Callable[[int], object] | None) -> TractogramInfo:
    """Scan the file, or return the result of the last scan if the file has not changed since.

    Raises
    ------
    lacuna.errors.TractogramError
        If the file is unreadable or damaged, or changes while it is read.
    """
    if info := _cached_info(path, cache):
        return info
    lock = _entry_path(path, cache).with_suffix('.lock')
    # other jobs of a cluster wait for the result; a shared cache may be read-only
    with file_lock(lock) if is_writable(lock.parent) else nullcontext():
        if not (info := _cached_info(path, cache)):
            with _keeping(path, cache) as keep:
                info = scan(path, progress=progress)
                keep['info'] = dataclasses.asdict(info)
    return info


def _cached_info(path: Path, cache: Path) -> TractogramInfo | None:
    try:
        entry = _read_entry(path, cache)['info']
        low, high = entry['box']
        return TractogramInfo(**{**entry, 'box': (tuple(low), tuple(high))})
    except (KeyError, TypeError, ValueError):  # missing, or written by another version
        return None


def checksum(path: Path, cache: Path) -> str:
    """Return the SHA-256 of the file, or the cached one if the file has not changed since.

    Raises
    ------
    lacuna.errors.TractogramError
        If the file changes while it is read.
    """
    entry = _read_entry(path, cache)
    if isinstance(known := entry.get('sha256') or dig(entry, 'info', 'sha256'), str):
        return known
    with _keeping(path, cache) as keep, path.open('rb') as stream:
        keep['sha256'] = digest = hashlib.file_digest(stream, 'sha256').hexdigest()
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
    kept = _entry_path(path, cache)
    entry = (read_json(kept) if is_intact(kept) else None) or {}
    return entry if entry.get('stamp') == stamp(path) else {}


@contextmanager
def _keeping(path: Path, cache: Path) -> Iterator[dict[str, Any]]:
    """Cache what the block finds out about a file, unless it changes meanwhile, which is an error."""
    before, now = stamp(path), time.time_ns()
    found: dict[str, Any] = {'path': str(path), 'stamp': before}
    yield found
    size, modified, _, inode = after = stamp(path)
    if [size, modified, inode] != [before[0], before[1], before[3]]:
        message = f'{path} changed while it was read; run again when the file is complete'
        raise TractogramError(message)
    if after == before and is_settled([before], now):
        kept = _entry_path(path, cache)
        with suppress(OSError):  # not cached, then computed again
            write_if_changed(kept, json_bytes(found))
            seal(kept)


def _entry_path(path: Path, cache: Path) -> Path:
    return cache / 'tractograms' / f'{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.json'
