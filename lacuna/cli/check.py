"""``lacuna check``: check masks before a run, and results afterwards."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from lacuna.cli.masks import add_mask_values
from lacuna.errors import EXIT_DONE, EXIT_FAILED, InputError
from lacuna.images.mask_values import GRADED


def add_parser(commands: Any) -> None:
    """Add ``check`` to the commands."""
    parser = commands.add_parser(
        'check',
        help='show which masks would run, or which results are complete',
        description='Print a table with a row for each mask. For a BIDS dataset, it shows space, grid, volume, and why a '
        'mask would fail; for an output folder of lacuna run, which results are missing, damaged, or made from a mask '
        'that has changed since. No file is changed. The exit code is 0 if everything is in order, 1 if not.',
    )
    parser.add_argument('path', metavar='DIR', type=Path, help='BIDS dataset of masks, or folder of results')
    parser.add_argument('--output-file', metavar='FILE', type=Path, help='also write the table (.tsv)')
    parser.add_argument('--mask-space', metavar='S', help='space of the masks, overriding sidecar and name')
    parser.add_argument('--pattern', metavar='GLOB', help='take only masks whose names match')
    parser.add_argument(
        '--verify',
        action='store_true',
        help='for results: also compare the checksum of each file, not only its size',
    )
    add_mask_values(parser)
    parser.set_defaults(run=run, graded_masks=GRADED[0], mask_scale=1.0)


def run(args: argparse.Namespace) -> int:
    """Print the table of the check; return 1 if there are problems."""
    from lacuna.bids.check import check_all_results, check_masks, holds_results
    from lacuna.bids.tables import table_bytes
    from lacuna.utils.files import write_if_changed

    root = args.path.absolute()
    if not root.is_dir():
        message = (
            f'{root} is not a directory: give a BIDS dataset of masks, or an output folder of lacuna run'
        )
        raise InputError(message)
    if holds_results(root):
        found = check_all_results(root, pattern=args.pattern, verify=args.verify, show_progress=True)
    else:
        found = check_masks(
            root,
            mask_space=args.mask_space,
            pattern=args.pattern,
            binarize=args.binarize,
            graded_masks=args.graded_masks,
            mask_scale=args.mask_scale,
            show_progress=True,
        )
    table = table_bytes(found.header, (row.cells for row in found.rows))
    if args.output_file:
        write_if_changed(args.output_file, table)
    print(table.decode(), end='')
    for note in found.notes:
        print(f'lacuna: {note}', file=sys.stderr)
    doubtful = sum(bool(row.warnings) for row in found.rows)
    # to stderr, because the table may be piped into another program
    print(
        f'{len(found.rows)} masks: {len(found.rows) - found.failing} ok, {found.failing} not ok'
        + (f'; {doubtful} with warnings' if doubtful else ''),
        file=sys.stderr,
    )
    return EXIT_FAILED if found.failing else EXIT_DONE
