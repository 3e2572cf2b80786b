"""``lacuna cache``: list or clear the cache."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from lacuna.errors import EXIT_DONE, EXIT_FAILED, InputError


def add_parser(commands: Any) -> None:
    """Add ``cache`` to the commands."""
    parser = commands.add_parser(
        'cache',
        help='list or clear the files kept between runs',
        description='List the files kept between runs, with their paths and sizes. Everything except fetched '
        'connectomes is rebuilt when needed.',
    )
    parser.add_argument(
        '--clear',
        action='store_true',
        help='remove these files, unless a run is using them; keep fetched connectomes',
    )
    parser.add_argument(
        '--older-than',
        type=float,
        metavar='DAYS',
        help='only files that have not been read or written for DAYS days',
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List the content of the cache, or remove it; return the exit code."""
    from lacuna.utils.cache import cache_dir
    from lacuna.utils.cache_contents import clearing

    days = args.older_than or 0.0
    if not 0 <= days < float('inf'):
        message = f'--older-than {args.older_than}: give a number of days'
        raise InputError(message)
    root = cache_dir()
    if not args.clear:
        _list(root, days)
        return EXIT_DONE
    if not root.is_dir():
        print(f'removed: 0 bytes; {root} does not exist')
        return EXIT_DONE
    with clearing(root):
        return _clear(root, days)


def _list(root: Path, days: float) -> None:
    from lacuna.streamlines.index.format import describe
    from lacuna.utils.cache_contents import FETCHED, KINDS, entries, shown_size

    print(f'{root} (set LACUNA_CACHE_DIR to use another folder)')
    total = 0
    for kind, what in (*KINDS.items(), (FETCHED, 'fetched tractograms (--clear keeps them)')):
        if found := entries(root, kind, unused_days=days):
            size = sum(entry.size for entry in found)
            total += size
            print(f'  {kind.removesuffix("*"):12} {shown_size(size):>12}  {what}')
    print(f'  {"total":12} {shown_size(total):>12}')
    for entry in entries(root, 'index', unused_days=days):
        print(describe(entry.path))


def _clear(root: Path, days: float) -> int:
    from lacuna.utils.cache_contents import KINDS, entries, remove, shown_size

    size = left = 0
    for kind in KINDS:
        for entry in entries(root, kind, unused_days=days):
            try:
                remove(entry)
            except OSError as error:
                left += 1
                reason = error.strerror or error
                print(f'lacuna: {entry.path} cannot be removed: {reason}', file=sys.stderr)
            else:
                size += entry.size
    print(f'removed: {shown_size(size)} from {root}')
    return EXIT_FAILED if left else EXIT_DONE
