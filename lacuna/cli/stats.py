"""``lacuna stats``: which disconnection explains a score."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from lacuna.errors import EXIT_DONE, InputError
from lacuna.statistics.settings import KINDS, TESTS


def add_parser(commands: Any) -> None:
    """Add ``stats`` to the commands."""
    parser = commands.add_parser(
        'stats',
        help='find out which disconnection explains a score',
        description='Test for each voxel, parcel, connection or bundle whether its disconnection explains a score of '
        'the participants, with covariates and family-wise correction by permutations, and write tables, maps and '
        'stats.html. The logarithm of the lesion volume is a covariate, unless you add --no-volume.',
    )
    parser.add_argument('derivatives', metavar='DERIVATIVES', type=Path, help='output folder of lacuna run')
    parser.add_argument('output_dir', metavar='OUTPUT_DIR', type=Path, help='folder of tables, maps and page')
    parser.add_argument(
        '--scores',
        metavar='TSV',
        type=Path,
        required=True,
        help='table with a column participant_id and a row for each participant',
    )
    parser.add_argument('--outcome', metavar='COLUMN', required=True, help='column of the score')
    parser.add_argument(
        '--covariates', metavar='COLUMN', nargs='+', default=[], help='columns of covariates, such as age'
    )
    parser.add_argument(
        '--no-volume', action='store_false', dest='volume', help='leave out the lesion volume'
    )
    parser.add_argument('--rank', action='store_true', help='replace the scores by their ranks')
    parser.add_argument(
        '--features',
        nargs='+',
        choices=KINDS,
        default=['parcels'],
        help='features to test; each kind is corrected separately (default: parcels)',
    )
    parser.add_argument(
        '--min-affected',
        metavar='N|P%',
        default='10%',
        help='leave out features affected in fewer participants (default: 10%%)',
    )
    parser.add_argument(
        '--test',
        choices=TESTS,
        default=TESTS[0],
        help='least squares, or compare affected and unaffected by ranks (default: %(default)s)',
    )
    parser.add_argument(
        '--permutations',
        metavar='N',
        type=int,
        default=10_000,
        help='number of permutations (default: %(default)s)',
    )
    parser.add_argument(
        '--tfce', action='store_true', help='add threshold-free cluster enhancement of voxels'
    )
    parser.add_argument(
        '--seed', metavar='S', type=int, default=0, help='seed of all random numbers (default: %(default)s)'
    )
    parser.add_argument(
        '--cv',
        metavar='FOLDSxREPEATS',
        default='10x10',
        help='cross-validation of the prediction, or none (default: %(default)s)',
    )
    parser.add_argument(
        '--compare',
        metavar='FEATURES',
        choices=KINDS,
        help='test whether the prediction explains more than these features alone, such as load',
    )
    parser.add_argument(
        '--session-id', metavar='S', nargs='+', default=[], help='take only lesions of these sessions'
    )
    parser.add_argument(
        '--pattern', metavar='GLOB', help='take only results whose names (with a slash: paths) match'
    )
    parser.add_argument(
        '--nprocs',
        metavar='N',
        type=int,
        default=1,
        help='processes; -1: all processors (default: %(default)s)',
    )
    parser.add_argument('--no-report', action='store_false', dest='report', help='do not write stats.html')
    parser.add_argument(
        '-v', '--verbose', action='count', default=0, help='list who is left out, and all files'
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the analysis, write its files, and print a summary."""
    from lacuna.statistics.analysis import stats
    from lacuna.statistics.words import doubts
    from lacuna.statistics.write import (
        check_statistics_dir,
        earlier_results,
        summary_lines,
        write_statistics,
    )

    if args.nprocs == 0 or args.nprocs < -1:
        message = f'--nprocs {args.nprocs}: give at least 1, or -1 for all processors'
        raise InputError(message)
    # before hours of permutations
    check_statistics_dir(args.output_dir.expanduser().absolute(), args.outcome)
    found = stats(
        args.derivatives,
        args.scores,
        args.outcome,
        covariates=args.covariates,
        features=args.features,
        volume=args.volume,
        rank=args.rank,
        test=args.test,
        min_affected=args.min_affected,
        permutations=args.permutations,
        seed=args.seed,
        tfce=args.tfce,
        cv=args.cv,
        compare=args.compare,
        sessions=args.session_id,
        pattern=args.pattern,
        nprocs=args.nprocs,
        show_progress=True,
    )
    paths = write_statistics(found, args.output_dir, args.derivatives.expanduser().absolute())
    for doubt in [*doubts(found), *earlier_results(found, args.output_dir, paths)]:
        print(f'lacuna: {doubt}', file=sys.stderr)
    if args.verbose:
        for who, reason in found.left_out.itertuples(index=False):
            print(f'lacuna: left out: {who}: {reason}', file=sys.stderr)
        for path in paths:
            print(path)
    for line in summary_lines(found):
        print(line)
    if args.report:
        from lacuna.reports.statistics import write_statistics_report

        print(write_statistics_report(found, args.output_dir.expanduser().absolute() / 'stats.html', paths))
    print(f'results in {args.output_dir}')
    return EXIT_DONE
