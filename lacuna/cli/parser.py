"""The parser of ``lacuna``, and what turns errors into exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import lacuna
from lacuna.cli import collect, convert, fetch, index, info, report, run, tutorial
from lacuna.errors import LacunaError

EXIT_FAILED = 1
EXIT_USAGE = 2
_INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """The parser with all commands; each sets ``run``, a function of the arguments that returns the exit code."""
    parser = argparse.ArgumentParser(
        prog='lacuna',
        description='Structural lesion network mapping: which white-matter connections a lesion cuts.',
    )
    parser.add_argument('--version', action='version', version=f'lacuna {lacuna.__version__}')
    commands = parser.add_subparsers(metavar='COMMAND', required=True)
    run.add_parser(commands)
    collect.add_parser(commands)
    report.add_parser(commands)
    fetch.add_parser(commands)
    index.add_parser(commands)
    info.add_parser(commands)
    convert.add_parser(commands)
    tutorial.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0: all done; 1: at least one mask failed; 2: wrong usage, or input that stops the run before any work.
    """
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args))
    except LacunaError as error:
        if getattr(args, 'verbose', 0) > 1:
            raise
        print(f'lacuna: {error}', file=sys.stderr)
        return EXIT_USAGE
    except BrokenPipeError:  # the reader of our output (head, less) is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if getattr(args, 'verbose', 0) > 1:
            raise
        print(f'lacuna: {error.filename or "a file"}: {error.strerror or error}', file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print('lacuna: interrupted; the same command goes on where it stopped', file=sys.stderr)
        return _INTERRUPTED
