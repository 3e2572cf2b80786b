"""Cache of inspected masks in ``logs/`` of the results, so that unchanged files are not read again.

Results do not depend on it. It is not part of the dataset, and can be deleted at any time.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from lacuna import __version__
from lacuna.bids.mask_files import MaskFile
from lacuna.images.masks import KnownMask, UnreadMask
from lacuna.images.plausibility import inspect_mask
from lacuna.utils.files import is_settled, read_json, replacing, stamp

#: raise it when the cached values, or the checks of masks, change
_VERSION = 2


class Look(NamedTuple):
    """What is known about a mask.

    Attributes
    ----------
    mask : lacuna.images.masks.PackedMask, lacuna.images.masks.UnreadMask or None
        None if the mask is unreadable.
    voxels : int
    doubts : tuple of str
        What is suspicious about it, in words.
    failure : str or None
        Why it cannot be used, including its path.
    """

    mask: KnownMask | None
    voxels: int
    doubts: tuple[str, ...]
    failure: str | None


class SeenMasks:
    """The masks inspected by earlier runs and this one.

    Parameters
    ----------
    output_dir : pathlib.Path
        Folder of the results.
    chunk : str, optional
        ``I/N``, for a part of the dataset that is run beside the others and has a cache of its own.
    """

    def __init__(self, output_dir: Path, chunk: str | None = None) -> None:
        name = f'seen-{chunk.replace("/", "-of-")}.json' if chunk else 'seen.json'
        self._path = output_dir / 'logs' / name
        found = read_json(self._path) or {}
        entries = found.get('masks')
        self._versions = [_VERSION, __version__]
        self._entries: dict[str, Any] = (
            entries if found.get('by') == self._versions and isinstance(entries, dict) else {}
        )
        self._is_new = False

    def look(self, mask: MaskFile, binarize: float | None, mask_scale: float | None = None) -> Look:
        """Inspect a mask, reading its file only if it changed since it was last read."""
        stamps = _stamps(mask.path)
        now = [stamps, mask.space, mask.space_from, binarize, mask_scale]
        with suppress(KeyError, TypeError, ValueError):  # not cached, or edited by hand
            entry = self._entries[str(mask.path)]
            if stamps and entry['as'] == now:
                packed = UnreadMask(
                    mask.path, binarize, mask_scale, str(entry['sha256']), bool(entry['graded'])
                )
                return Look(packed, int(entry['voxels']), tuple(map(str, entry['doubts'])), entry['failure'])
        looked = time.time_ns()
        found = inspect_mask(
            mask.path, mask.space, space_from=mask.space_from, binarize=binarize, mask_scale=mask_scale
        )
        if found.mask is None or found.facts is None:
            return Look(None, 0, found.doubts, found.failure)
        if stamps and is_settled(stamps, looked):
            self._is_new = True
            self._entries[str(mask.path)] = {
                'as': now,
                'sha256': found.mask.sha256,
                'graded': found.mask.graded,
                'voxels': found.facts.voxels,
                'doubts': found.doubts,
                'failure': found.failure,
            }
        return Look(found.mask, found.facts.voxels, found.doubts, found.failure)

    def save(self) -> None:
        """Save the cache for the next run; errors are ignored."""
        if self._is_new:
            content = json.dumps({'by': self._versions, 'masks': self._entries}, ensure_ascii=False)
            with suppress(OSError), replacing(self._path) as temporary:
                temporary.write_text(content, encoding='utf-8')


def _stamps(path: Path) -> list[list[int]]:
    """Return the size and times of the files of an image; empty if one is missing."""
    try:
        return [stamp(path), *([stamp(path.with_suffix('.hdr'))] if path.suffix == '.img' else [])]
    except OSError:
        return []
