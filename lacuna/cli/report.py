"""``lacuna report``: redraw reports from results on disk."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lacuna.errors import EXIT_DONE, EXIT_FAILED, InputError
from lacuna.utils.progress import track

if TYPE_CHECKING:
    from lacuna.bids.failures import Failure


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``report`` to the commands."""
    parser = commands.add_parser(
        'report',
        help='redraw the reports from results on disk',
        description='Draw the figures and write sub-<label>.html from the results in a folder. No result is '
        'recomputed.',
    )
    parser.add_argument('output_dir', type=Path, metavar='OUTPUT_DIR', help='folder of the results')
    parser.add_argument(
        '--participant-label',
        nargs='+',
        default=[],
        dest='participants',
        metavar='L',
        help='participants (default: all)',
    )
    parser.add_argument(
        '--nprocs',
        type=int,
        default=1,
        metavar='N',
        help='participants drawn in parallel; -1 uses all processors (default: %(default)s)',
    )
    parser.add_argument(
        '--report',
        choices=('full', 'light'),
        default='full',
        help='light leaves out the 3D viewers (default: %(default)s)',
    )
    parser.add_argument(
        '--group', action='store_true', help='write only group.html, an overview of all lesions'
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the reports; return the exit code.

    Raises
    ------
    InputError
        If the folder contains no results, or none of a requested participant.
    """
    from lacuna.utils.processes import processors

    if args.nprocs == 0 or args.nprocs < -1:
        message = f'--nprocs {args.nprocs}: give at least 1, or -1 for all processors'
        raise InputError(message)
    from lacuna.bids.results import check_dataset

    root = args.output_dir.expanduser().absolute()
    check_dataset(root)
    if args.group:
        if args.participants:
            message = '--group is about all participants; leave out --participant-label'
            raise InputError(message)
        from lacuna.reports.group import write_group_report

        print(write_group_report(root, root / 'group.html', show_progress=True))
        return EXIT_DONE
    from lacuna.bids.failures import read_failures
    from lacuna.reports.participant import make_reports

    failures = read_failures(root)
    labels = _labels(root, args.participants, failures)
    failed = 0
    made = make_reports(
        root,
        labels,
        failures=failures,
        redraw=True,
        viewer=args.report == 'full',
        workers=processors(args.nprocs),
    )
    for label, page in track(made, 'reports', total=len(labels)):
        if isinstance(page, Path):
            print(page)
        else:
            failed += 1
            print(f'lacuna: sub-{label}: no report: {page}', file=sys.stderr)
    return EXIT_FAILED if failed else EXIT_DONE


def _labels(root: Path, asked: Sequence[str], failures: Sequence[Failure]) -> list[str]:
    from lacuna.bids.results import find_results

    failed = {failure.subject for failure in failures}
    known = sorted({lesion.subject for lesion in find_results(root).with_map()} | failed)
    wanted = [label.removeprefix('sub-') for label in asked] or known
    if unknown := [label for label in wanted if label not in known]:
        message = f'no results for participant {", ".join(unknown)} in {root}'
        raise InputError(message)
    if not wanted:
        message = f'no results in {root}'
        raise InputError(message)
    return wanted
