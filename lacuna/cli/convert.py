"""``lacuna convert``: convert a tractogram of any supported format to ``.tck``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lacuna.errors import InputError
from lacuna.utils.progress import counting

if TYPE_CHECKING:
    from lacuna.streamlines.files.tck import TractogramInfo
    from lacuna.streamlines.subsample import Subsample


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add ``convert`` to the commands."""
    parser = subparsers.add_parser(
        'convert',
        help='convert a tractogram to .tck',
        description='Convert a tractogram (.tck, .trk, .trk.gz, .trx) to .tck. Also write a .json file that describes '
        'it, and a table of the bundles if a .trx has groups.',
    )
    parser.add_argument('source', metavar='IN', type=Path, help='tractogram to read')
    parser.add_argument('target', metavar='OUT', type=Path, help='.tck to write')
    parser.add_argument(
        '--space',
        help='standard space of the coordinates, for the .json (default: from the .json beside IN)',
    )
    add_subsample_arguments(parser)
    parser.add_argument('--force', action='store_true', help='replace OUT if it exists')
    parser.set_defaults(run=run)
    return parser


def add_subsample_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for a random subsample of the streamlines."""
    parser.add_argument(
        '--fraction',
        type=float,
        metavar='F',
        help='keep only a random part of the streamlines, such as 0.1: round(F * number) of them, drawn without '
        'replacement, in their original order',
    )
    parser.add_argument(
        '--seed',
        type=int,
        metavar='S',
        help='seed of the random part: the same seed draws the same streamlines (default: 0)',
    )


def subsample_of(args: argparse.Namespace) -> Subsample | None:
    """Return the random subsample in the arguments; None for all streamlines.

    Raises
    ------
    InputError
        If the arguments are invalid.
    """
    from lacuna.streamlines.subsample import Subsample

    if args.fraction is not None:
        return Subsample(args.fraction, args.seed or 0)
    if args.seed is not None:
        message = '--seed needs --fraction: without it, all streamlines are kept'
        raise InputError(message)
    return None


def run(args: argparse.Namespace) -> None:
    """Convert the tractogram, and print its content.

    Raises
    ------
    LacunaError
        If the tractogram cannot be converted.
    """
    from lacuna.images.spaces import world_space
    from lacuna.streamlines.files.formats import convert

    if args.space:
        world_space(args.space)
    subsample = subsample_of(args)
    total = args.source.stat().st_size if args.source.is_file() else None
    with counting(args.source.name, total) as progress:
        info = convert(
            args.source,
            args.target,
            space=args.space,
            subsample=subsample,
            overwrite=args.force,
            progress=progress,
        )
    print(_summary(args.target, info))
    if subsample:
        print(f'drawn at random from {args.source}: fraction {subsample.fraction:g}, seed {subsample.seed}')


def _summary(target: Path, info: TractogramInfo) -> str:
    odd = {'empty': info.empty, 'of one vertex': info.single_vertex}
    faults = ', '.join(f'{number} {what}' for what, number in odd.items() if number)
    streamlines = f'{info.count} streamlines' + (f' ({faults})' if faults else '')
    return f'{target}: {streamlines}, {info.vertices} vertices, {info.spacing:.2f} mm apart'
