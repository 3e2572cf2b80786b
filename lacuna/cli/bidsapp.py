"""``lacuna-snm``: the same as ``lacuna run snm`` and ``lacuna collect``, called as a BIDS-App."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lacuna.cli import collect, run
from lacuna.cli.parser import Version, guarded


def build_parser() -> argparse.ArgumentParser:
    """The parser of the BIDS-App: dataset, output folder, level, and the options of a run."""
    parser = argparse.ArgumentParser(
        prog='lacuna-snm',
        description='Structural lesion network mapping as a BIDS-App: participant writes the maps, matrices, tables '
        'and reports of each lesion; group collects their tables.',
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
    """Run the command line; the exit codes are those of ``lacuna``."""
    args = build_parser().parse_args(argv)
    if args.analysis_level == 'participant':
        return guarded(run.run, args)
    return guarded(
        collect.run,
        argparse.Namespace(
            derivatives=args.output_dir,
            output_dir=None,
            pattern=None,
            matrices=False,
            overwrite=getattr(args, 'overwrite', False),
            report=getattr(args, 'report', 'full') != 'none',
            verbose=getattr(args, 'verbose', 0),
        ),
    )


if __name__ == '__main__':
    sys.exit(main())
