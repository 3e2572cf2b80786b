"""``lacuna tutorial``: write data for trying Lacuna."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_ABOUT = 'Write a BIDS dataset of three synthetic lesions, a synthetic connectome and a parcellation. Works offline.'


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add ``tutorial`` to the commands."""
    parser = subparsers.add_parser(
        'tutorial', help='write synthetic data for trying Lacuna', description=_ABOUT
    )
    parser.add_argument(
        'directory',
        metavar='DIR',
        nargs='?',
        type=Path,
        default=Path('lacuna_tutorial'),
        help='folder of the dataset (default: %(default)s)',
    )
    parser.add_argument(
        '--cohort',
        metavar='N',
        type=int,
        help='write random lesions and scores of N participants instead, for lacuna stats',
    )
    parser.add_argument(
        '--force',
        action='store_true',
        help='write into a folder that is not empty; replace only files of the tutorial',
    )
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> None:
    """Write the data; print the paths and the next command."""
    from lacuna.datasets.tutorial import write_tutorial

    paths = write_tutorial(args.directory, cohort=args.cohort, force=args.force, show_progress=True)

    def quoted(path: Path) -> str:
        return shlex.quote(str(path))

    print(f'Wrote a BIDS dataset of {len(paths.masks)} synthetic lesions to {paths.directory}. It contains')
    print(f'  {paths.connectome}: synthetic connectome')
    print(f'  {paths.parcellation}: synthetic parcellation')
    print(f'  {paths.readme}: description of the files')
    print('Next, map what the lesions disconnect:')
    print(
        f'  lacuna run snm {quoted(paths.directory)} {quoted(paths.directory / "derivatives/lacuna")}'
        f' --connectome-path {quoted(paths.connectome)}'
    )
