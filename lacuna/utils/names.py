"""Names of files: BIDS entities, sidecars, and characters that do not fit in a line of text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lacuna.errors import InputError

#: the end of the name of an image; an .img has a .hdr beside it
NIFTI = re.compile(r'\.(nii(\.gz)?|img)$')

_ENTITY = re.compile(r'([a-zA-Z]+)-([^_-]+)')


def parse_entities(name: str) -> dict[str, str]:
    """Return the entities of a BIDS file name; if one is repeated, the last counts.

    >>> parse_entities('sub-01_label-lesion_mask.nii.gz')
    {'sub': '01', 'label': 'lesion'}
    """
    parts = (_ENTITY.fullmatch(part) for part in name.split('.', 1)[0].split('_'))
    return {part[1]: part[2] for part in parts if part}


def sidecar_path(path: Path) -> Path:
    """Return the JSON file that belongs to an image or a table."""
    return path.with_name(path.name.split('.', 1)[0] + '.json')


#: C0, C1, line and paragraph separators, and surrogates (bytes that are not UTF-8)
_UNPRINTABLE = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')


def shown_name(path: str | Path) -> str:
    r"""Format a path for a line of text; characters that do not fit there are escaped.

    >>> shown_name('a\tb\udcff')
    'a\\tb\\udcff'
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode('unicode_escape').decode(), str(path))


def check_name(path: str | Path) -> None:
    """Refuse a path with line breaks, other control characters, or bytes that are not UTF-8.

    Such a name would break tables, sidecars and messages, and could be used to forge lines in them.

    Raises
    ------
    InputError
    """
    if (shown := shown_name(path)) != str(path):
        message = f'{shown}: the name contains control characters, or bytes that are not UTF-8; rename it'
        raise InputError(message)


def few(names: Sequence[str], most: int = 5) -> str:
    """Return the first few names, and how many more there are.

    >>> few(['a', 'b', 'c', 'd'], 3), few(['a', 'b']), few([])
    ('a, b, c and 1 more', 'a, b', 'none')
    """
    if not names:
        return 'none'
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(names[:most]) + more
