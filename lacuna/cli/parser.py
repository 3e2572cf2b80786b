"""The parser of ``lacuna``, and the conversion of errors to exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

import lacuna
from lacuna.cli import (
    bidsify,
    cache,
    check,
    collect,
    completion,
    convert,
    explore,
    fetch,
    index,
    info,
    report,
    run,
    slurm,
    stats,
    tutorial,
)
from lacuna.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, LacunaError
from lacuna.execution.environment import prepare_environment


def build_parser() -> argparse.ArgumentParser:
    """Create the parser; each command sets ``run``, a function that returns the exit code (or None for success)."""
    parser = argparse.ArgumentParser(
        prog='lacuna',
        description='Structural lesion network mapping: which white-matter connections a lesion cuts.',
    )
    parser.add_argument('--version', action=Version)
    commands = parser.add_subparsers(metavar='COMMAND', required=True)
    bidsify.add_parser(commands)
    check.add_parser(commands)
    run.add_parser(commands)
    slurm.add_parser(commands)
    collect.add_parser(commands)
    stats.add_parser(commands)
    report.add_parser(commands)
    explore.add_parser(commands)
    fetch.add_parser(commands)
    index.add_parser(commands)
    info.add_parser(commands)
    cache.add_parser(commands)
    convert.add_parser(commands)
    tutorial.add_parser(commands)
    completion.add_parser(commands, parser)
    return parser


class Version(argparse.Action):
    """``--version``: print the versions that results depend on."""

    def __init__(self, option_strings: Sequence[str], dest: str, **_: object) -> None:
        super().__init__(
            option_strings,
            dest,
            nargs=0,
            default=argparse.SUPPRESS,
            help='show the versions of Lacuna and of the packages that its results depend on',
        )

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print the versions and exit; other packages are queried only here."""
        import platform
        from importlib.metadata import version

        from lacuna.interfaces.mrtrix import mrtrix_version

        print(f'lacuna {lacuna.__version__}')
        packages = ', '.join(f'{name} {version(name)}' for name in ('numpy', 'numba', 'nipype'))
        print(
            f'Python {platform.python_version()}, {packages}, MRtrix3 {mrtrix_version() or "not on the PATH"}'
        )
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0: all done; 1: at least one mask failed; 2: wrong usage, or input that stops the run before any work.
    """
    args = build_parser().parse_args(argv)
    return guarded(args.run, args)


def guarded(command: Callable[[argparse.Namespace], int | None], args: argparse.Namespace) -> int:
    """Run a command, converting errors to one line and an exit code."""
    try:
        prepare_environment()
        return command(args) or EXIT_DONE
    except LacunaError as error:
        if getattr(args, 'verbose', 0) > 1:
            raise
        print(f'lacuna: {error}', file=sys.stderr)
        return EXIT_USAGE
    except BrokenPipeError:  # the program that reads our output (head, less) has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except OSError as error:
        if getattr(args, 'verbose', 0) > 1:
            raise
        print(f'lacuna: {error.filename or "a file"}: {error.strerror or error}', file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print('lacuna: interrupted; the same command continues where it stopped', file=sys.stderr)
        return EXIT_INTERRUPTED
