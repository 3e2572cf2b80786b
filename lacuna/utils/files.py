"""Write files whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

#: what the name of an unfinished file begins with
TEMPORARY = '.tmp-'


@contextmanager
def replacing(target: str | Path) -> Iterator[Path]:
    """A temporary path beside `target`, which takes its place when the block ends without an error.

    A killed process leaves at most a file whose name starts with ``.tmp-`` and its own; the target is whole or absent.
    """
    target = Path(target)
    # the extension is kept: writers choose the format and the compression by it
    name = f'{TEMPORARY}{target.name}-{secrets.token_hex(6)}{"".join(target.suffixes)}'
    temporary = target.with_name(name)
    try:
        try:
            temporary.touch(exist_ok=False)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.touch(exist_ok=False)
        yield temporary
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_leftovers(targets: Iterable[Path]) -> None:
    """Remove the temporary files that a killed process left beside its targets (nobody else may write them now)."""
    beginnings: dict[Path, list[str]] = {}
    for target in targets:
        beginnings.setdefault(target.parent, []).append(f'{TEMPORARY}{target.name}-')
    for folder, names in beginnings.items():
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(TEMPORARY) and entry.name.startswith(tuple(names)):
                    Path(entry).unlink(missing_ok=True)


def holds(path: Path, content: bytes) -> bool:
    """Whether a file is there with just this content."""
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except FileNotFoundError:
        return False


def write_if_changed(target: str | Path, content: bytes) -> bool:
    """Write `content`, unless the file holds just that already; True if it was written."""
    target = Path(target)
    if holds(target, content):
        return False
    with replacing(target) as temporary:
        temporary.write_bytes(content)
    return True


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """Valid JSON, one key a line, in the given order.

    Raises
    ------
    ValueError
        If a number is not finite: NaN is no JSON.
    """
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + '\n').encode()


def listed(content: Mapping[str, Any], key: str) -> list[Any]:
    """A list in the object of a JSON file; empty if there is none."""
    found = content.get(key)
    return found if isinstance(found, list) else []


def read_json(path: str | Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if there is no such file or it holds none."""
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError):  # the last: nested a thousandfold
        return None
    return content if isinstance(content, dict) else None


def dig(content: Any, *keys: str) -> Any:
    """A value in nested objects; None if it is not there.

    >>> dig({'Mask': {'SHA256': 'ab'}}, 'Mask', 'SHA256'), dig({'Mask': 1}, 'Mask', 'SHA256')
    ('ab', None)
    """
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content
