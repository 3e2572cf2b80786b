"""``lacuna index``: build the streamline index of a tractogram before the first run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lacuna.errors import InputError
from lacuna.images.spaces import RESOLUTIONS, SPACES
from lacuna.utils.progress import counting


def add_parser(commands: Any) -> None:
    """Add ``index`` to the commands."""
    parser = commands.add_parser(
        'index',
        help='build the index of a tractogram in advance',
        description='Build the index of a tractogram before the first run, or report where it is. This is optional: '
        'runs build the index that they need.',
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


def run(args: argparse.Namespace) -> int:
    """Build what is missing, and report the path and size of the index."""
    from lacuna.utils.cache import cache_dir
    from lacuna.utils.cache_contents import using

    with using(cache_dir()):
        return _build(args)


def _build(args: argparse.Namespace) -> int:
    from lacuna.datasets.connectomes import connectome_path
    from lacuna.streamlines.index.build import build_index
    from lacuna.streamlines.index.format import describe
    from lacuna.streamlines.tractogram import Tractogram, index_beside

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
            f'an index of {tractogram.path} cannot lie beside it: it is built from a copy in the cache, because '
            f'{"the spaces differ" if aligned.transform else "the file is not a .tck"}; leave out --beside'
        )
        raise InputError(message)
    size = tractogram.tracks.stat().st_size
    with counting(f'moving the streamlines to {aligned.space}', size) as progress:
        aligned.move(threads=tractogram.nprocs, progress=progress)
    total = aligned.tracks.stat().st_size
    directory = aligned.tracks
    for resolution in args.resolution:
        grid = tractogram.grid(resolution, aligned.space)
        directory = (
            index_beside(aligned.tracks) if args.beside else aligned.index_directory(grid, args.tck_upsample)
        )
        with counting(f'indexing for {resolution} mm', total) as progress:
            build_index(
                aligned.tracks,
                directory,
                grid,
                upsample=args.tck_upsample,
                nprocs=tractogram.nprocs,
                progress=progress,
            )
    print(describe(directory))
    return 0
