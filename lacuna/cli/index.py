"""``lacuna index``: build the streamline index of a tractogram before the first run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lacuna.errors import InputError
from lacuna.images.spaces import RESOLUTIONS, SPACES


def add_parser(commands: Any) -> None:
    """Add ``index`` to the commands."""
    parser = commands.add_parser(
        'index',
        help='build the index of a tractogram in advance',
        description='Build the index of a tractogram before the first run, or report where it is. This is optional, '
        'because runs build the index that they need.',
    )
    parser.add_argument(
        'tractogram',
        type=Path,
        metavar='TRACTOGRAM',
        help='.tck, .trk, .trk.gz or .trx file, or the name of a fetched connectome',
    )
    parser.add_argument(
        '--connectome-space', metavar='SPACE', help='space of the tractogram (default: from its .json)'
    )
    parser.add_argument(
        '--space',
        metavar='SPACE',
        help=f'space of the lesions: {", ".join(SPACES)} (default: that of the tractogram)',
    )
    parser.add_argument(
        '--resolution',
        type=int,
        nargs='+',
        choices=RESOLUTIONS,
        default=[2],
        metavar='MM',
        help='resolution of the maps in mm: 1, 2 or both (default: 2)',
    )
    parser.add_argument(
        '--tck-upsample',
        type=int,
        metavar='N',
        help="points for each step of a streamline (default: MRtrix3's rule)",
    )
    parser.add_argument(
        '--beside',
        action='store_true',
        help='write TRACTOGRAM.index beside the tractogram, for all its users, instead of the cache',
    )
    parser.add_argument(
        '--nprocs', type=int, default=-1, metavar='N', help='number of processors; -1 uses all (default)'
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Build the missing parts of the index; print its path and size."""
    from lacuna.utils.cache import cache_dir
    from lacuna.utils.cache_contents import using

    with using(cache_dir()):
        _build(args)


def _build(args: argparse.Namespace) -> None:
    from lacuna.datasets.connectomes import connectome_path
    from lacuna.streamlines.index.format import describe
    from lacuna.streamlines.tractogram import Tractogram

    tractogram = Tractogram(
        connectome_path(args.tractogram),
        args.connectome_space,
        upsample=args.tck_upsample,
        nprocs=args.nprocs,
        progress=True,
    )
    aligned = tractogram.in_space(args.space)
    if args.beside and aligned.tracks != tractogram.path:
        message = (
            f'the index of {tractogram.path} cannot be beside it: it is built from a copy in the cache, because '
            f'{"the spaces differ" if aligned.transform else "the file is not a .tck"}; leave out --beside'
        )
        raise InputError(message)
    part = tractogram.path
    for resolution in args.resolution:
        part = aligned.build_index(resolution, beside=args.beside)
    print(describe(part.parent))
