"""``lacuna collect``: group tables from the results of all participants."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lacuna.cli.output import warn
from lacuna.errors import EXIT_DONE, EXIT_FAILED, InputError

if TYPE_CHECKING:
    from lacuna.bids.collect import Collection


def add_parser(commands: Any) -> None:
    """Add ``collect`` to the commands."""
    parser = commands.add_parser(
        'collect',
        help='write group tables from the results of all participants',
        description='Write one table for each session, label, atlas and output, with a row for each participant and a '
        'column for each region or statistic. A mask that failed gets a row of n/a; a result that does not match the others '
        'of its table is left out. Both are reported, and the exit code is then 1. New rows are added to existing '
        'tables.',
    )
    parser.add_argument(
        'derivatives', metavar='DERIVATIVES_DIR', type=Path, help='output folder of lacuna run'
    )
    parser.add_argument(
        '--pattern',
        metavar='GLOB',
        help='take only results whose names match; with a slash: whose paths match',
    )
    parser.add_argument(
        '--output-dir', metavar='DIR', type=Path, help='folder of the tables (default: DERIVATIVES_DIR)'
    )
    parser.add_argument('--matrices', action='store_true', help='also stack the matrices (.npz for numpy)')
    parser.add_argument(
        '--long', action='store_true', help='also write one long table: a row for each lesion and feature'
    )
    parser.add_argument(
        '--allow-missing', action='store_true', help='exit with 0 even if masks failed or results are missing'
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace existing tables that differ in anything but new rows',
    )
    parser.add_argument('--no-report', action='store_false', dest='report', help='do not write group.html')
    parser.add_argument(
        '-v',
        '--verbose',
        action='count',
        default=0,
        help='list all results that were left out, and all tables',
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the group tables and print a summary; return 1 if results are missing or were left out."""
    from lacuna.bids.collect import collect

    found = collect(
        args.derivatives,
        args.output_dir,
        pattern=args.pattern,
        overwrite=args.overwrite,
        matrices=args.matrices,
        long=args.long,
        show_progress=True,
    )
    _report(found, everything=args.verbose > 0)
    if args.report:
        from lacuna.reports.group import write_group_report

        folder = args.output_dir or args.derivatives
        page = folder.absolute() / 'group.html'
        try:
            print(write_group_report(args.derivatives.absolute(), page, show_progress=True))
        except InputError as error:  # the tables are already written
            print(f'lacuna: {error}', file=sys.stderr)
    failed = found.faults or (found.missing and not args.allow_missing)
    return EXIT_FAILED if failed else EXIT_DONE


def _report(found: Collection, *, everything: bool) -> None:
    print(f'found {found.files} files of {found.participants} participants and {found.kinds} output types')
    for path, (rows, columns) in found.tables.items():
        if everything or path in found.written:
            state = '' if path in found.written else ' (unchanged)'
            print(f'  {path}: {rows} rows, {columns} columns{state}')
    if same := len(found.tables) - len(found.written):
        print(f'{same} table{"s" if same > 1 else ""} unchanged')
    for lines in (found.notes, found.missing, found.faults):
        warn(lines, everything=everything)
