"""What earlier runs have seen of the masks, in ``logs/`` of the results: a file that was not touched since is not read again.

Results never depend on it: without it, each mask is read. It is no part of the dataset, and can be removed at any time.
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
from lacuna.utils.files import read_json, replacing, stamp

#: to be raised when what is kept, or what is doubted, changes
_VERSION = 2
#: a file that was touched less than so long before it was looked at may have been touched again within a tick of its times
_SETTLED_NS = 2_000_000_000


class Look(NamedTuple):
    """What is known of a mask.

    Attributes
    ----------
    mask : lacuna.images.masks.PackedMask, lacuna.images.masks.UnreadMask or None
        None if it cannot be read.
    voxels : int
    doubts : tuple of str
        What is doubtful about it, in words.
    failure : str or None
        Why it cannot be used, with its path.
    """

    mask: KnownMask | None
    voxels: int
    doubts: tuple[str, ...]
    failure: str | None


class SeenMasks:
    """What is known of masks from earlier runs, and from this one.

    Parameters
    ----------
    output_dir : pathlib.Path
        Of the results.
    chunk : str, optional
        ``I/N``: of a part of the dataset, which is run beside the others and keeps a file of its own.
    """

    def __init__(self, output_dir: Path, chunk: str | None = None) -> None:
        name = f'seen-{chunk.replace("/", "-of-")}.json' if chunk else 'seen.json'
        self._path = output_dir / 'logs' / name
        found = read_json(self._path) or {}
        known = found.get('masks')
        self._by = [_VERSION, __version__]
        self._known: dict[str, Any] = known if found.get('by') == self._by and isinstance(known, dict) else {}
        self._is_new = False

    def look(self, mask: MaskFile, binarize: float | None, mask_scale: float | None = None) -> Look:
        """What there is to know of a mask; its file is read unless it is as it was when it was last read."""
        stamps = _stamps(mask.path)
        now = [stamps, mask.space, mask.space_from, binarize, mask_scale]
        with suppress(KeyError, TypeError, ValueError):  # never seen, or edited by somebody
            known = self._known[str(mask.path)]
            if stamps and known['as'] == now:
                packed = UnreadMask(
                    mask.path, binarize, mask_scale, str(known['sha256']), bool(known['graded'])
                )
                return Look(packed, int(known['voxels']), tuple(map(str, known['doubts'])), known['failure'])
        looked = time.time_ns()
        found = inspect_mask(
            mask.path, mask.space, space_from=mask.space_from, binarize=binarize, mask_scale=mask_scale
        )
        if found.mask is None or found.facts is None:
            return Look(None, 0, found.doubts, found.failure)
        if stamps and all(looked - max(each[1:3]) > _SETTLED_NS for each in stamps):
            self._is_new = True
            self._known[str(mask.path)] = {
                'as': now,
                'sha256': found.mask.sha256,
                'graded': found.mask.graded,
                'voxels': found.facts.voxels,
                'doubts': found.doubts,
                'failure': found.failure,
            }
        return Look(found.mask, found.facts.voxels, found.doubts, found.failure)

    def save(self) -> None:
        """Keep it for the next run. What cannot be kept is found out again."""
        if self._is_new:
            content = json.dumps({'by': self._by, 'masks': self._known}, ensure_ascii=False)
            with suppress(OSError), replacing(self._path) as temporary:
                temporary.write_text(content, encoding='utf-8')


def _stamps(path: Path) -> list[list[int]]:
    """Of the files of an image; none if one is missing, which reading it says."""
    try:
        return [stamp(path), *([stamp(path.with_suffix('.hdr'))] if path.suffix == '.img' else [])]
    except OSError:
        return []
