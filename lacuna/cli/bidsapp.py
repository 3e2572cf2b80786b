"""``lacuna-snm``: ``lacuna run snm`` and ``lacuna collect`` as a BIDS-App."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lacuna.cli import collect, run
from lacuna.cli.parser import Version, guarded
from lacuna.cli.parser import build_parser as build_commands
from lacuna.errors import InputError


def build_parser() -> argparse.ArgumentParser:
    """Create the parser of the BIDS-App: dataset, output folder, analysis level, and the options of a run."""
    parser = argparse.ArgumentParser(
        prog='lacuna-snm',
        description='Structural lesion network mapping as a BIDS App. The level "participant" writes maps, matrices, '
        'tables and reports of each lesion; "group" collects their tables.',
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument('--version', action=Version)
    run.add_arguments(parser)
    parser.add_argument(
        'analysis_level',
        choices=('participant', 'group'),
        help='participant: each lesion; group: tables of all lesions',
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; exit codes are those of ``lacuna``."""
    args = build_parser().parse_args(argv)
    if args.analysis_level == 'participant':
        return guarded(run.run, args)
    return guarded(lambda args: collect.run(collect_arguments(args)), args)


def collect_arguments(args: argparse.Namespace) -> argparse.Namespace:
    """Return the arguments of ``lacuna collect`` for the group level.

    Raises
    ------
    InputError
        If participants or sessions are selected: the tables would have all of them.
    """
    if chosen := [name for name in ('participants', 'sessions') if getattr(args, name, None)]:
        message = f'the level "group" is about all {" and ".join(chosen)}; leave out the labels'
        raise InputError(message)
    words = ['collect', str(args.output_dir.absolute())]
    words += ['--overwrite'] if getattr(args, 'overwrite', False) else []
    words += ['--no-report'] if getattr(args, 'report', 'full') == 'none' else []
    words += ['-v'] * getattr(args, 'verbose', 0)
    return build_commands().parse_args(words)


if __name__ == '__main__':
    sys.exit(main())
