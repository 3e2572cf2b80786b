"""Compress and unpack as ``gzip`` does, several times as fast, and with the same bytes each time."""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import Any, BinaryIO


def _first(*names: str) -> Any:
    """The first of these modules that is installed."""
    for name in names[:-1]:
        try:
            return import_module(name)
        except ImportError:  # not packaged everywhere: then it is slower, with the same content
            continue
    return import_module(names[-1])


_gzip, _zlib = _first('zlib_ng.gzip_ng', 'gzip'), _first('zlib_ng.zlib_ng', 'zlib')

#: what unpacking raises if a file is damaged
BROKEN: tuple[type[BaseException], ...] = (OSError, EOFError, zlib.error, _zlib.error)

#: images of counts and percent become hardly smaller above it
_LEVEL = 2


def pack(content: bytes) -> bytes:
    """The content of a ``.gz`` file without a name or a time."""
    packed: bytes = _gzip.compress(content, _LEVEL, mtime=0)
    return packed


def unpacking(stream: BinaryIO) -> Any:
    """A file that unpacks a stream as it is read."""
    return _gzip.GzipFile(fileobj=stream, mode='rb')


def unpack(content: bytes) -> bytes:
    """What `pack` has packed."""
    plain: bytes = _gzip.decompress(content)
    return plain
