"""File names: BIDS entities, sidecars, and characters that cannot be printed in a line of text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lacuna.errors import InputError

#: extension of an image; an .img has a .hdr beside it
NIFTI = re.compile(r'\.(nii(\.gz)?|img)$')

_ENTITY = re.compile(r'([a-zA-Z]+)-([^_-]+)')


def parse_entities(name: str) -> dict[str, str]:
    """Return the entities of a BIDS file name; the last one counts if repeated.

    >>> parse_entities('sub-01_label-lesion_mask.nii.gz')
    {'sub': '01', 'label': 'lesion'}
    """
    parts = (_ENTITY.fullmatch(part) for part in name.split('.', 1)[0].split('_'))
    return {part[1]: part[2] for part in parts if part}


def sidecar_path(path: Path) -> Path:
    """Return the path of the JSON file that describes an image or a table."""
    return path.with_name(path.name.split('.', 1)[0] + '.json')


#: C0, C1, line and paragraph separators, and surrogates (bytes that are not UTF-8)
_UNPRINTABLE = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')


def shown_name(path: str | Path) -> str:
    r"""Format a path for a line of text, with control characters escaped.

    >>> shown_name('a\tb\udcff')
    'a\\tb\\udcff'
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode('unicode_escape').decode(), str(path))


def check_name(path: str | Path) -> None:
    """Raise an error for a path with line breaks, other control characters, or bytes that are not UTF-8.

    Such names would break tables, sidecars and messages, and could forge lines in them.

    Raises
    ------
    InputError
    """
    if (shown := shown_name(path)) != str(path):
        message = f'{shown}: the name contains control characters, or bytes that are not UTF-8; rename it'
        raise InputError(message)


def few(names: Sequence[str], most: int = 5) -> str:
    """Format the first few names, and the number of others.

    >>> few(['a', 'b', 'c', 'd'], 3), few(['a', 'b']), few([])
    ('a, b, c and 1 more', 'a, b', 'none')
    """
    if not names:
        return 'none'
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(names[:most]) + more
