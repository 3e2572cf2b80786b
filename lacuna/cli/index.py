"""``lacuna index``: build the streamline index of a tractogram ahead of the first run."""

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
        help='build the index of a tractogram ahead',
        description='Build the index of a tractogram ahead of the first run, or say where it is. Runs build what '
        'they need themselves.',
    )
    parser.add_argument(
        'tractogram',
        type=Path,
        metavar='TRACTOGRAM',
        help='.tck, .trk, .trk.gz, .trx; or the name of one that was fetched',
    )
    parser.add_argument(
        '--connectome-space', metavar='SPACE', help='of the tractogram; by default from its sidecar (.json)'
    )
    parser.add_argument(
        '--space', metavar='SPACE', help=f"of the lesions: {', '.join(SPACES)}; by default the tractogram's"
    )
    parser.add_argument(
        '--resolution',
        type=int,
        nargs='+',
        choices=RESOLUTIONS,
        default=[2],
        metavar='MM',
        help='of the maps, in mm: 1, 2 or both (2)',
    )
    parser.add_argument(
        '--tck-upsample', type=int, metavar='N', help="override MRtrix3's rule for the density"
    )
    parser.add_argument(
        '--beside',
        action='store_true',
        help='put it beside the tractogram (TRACTOGRAM.index), for all who use that, not into the cache',
    )
    parser.add_argument('--nprocs', type=int, default=-1, metavar='N', help='processors; -1 (default) is all')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build what is missing, and say where it is and how large."""
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
            f'an index of {tractogram.path} cannot lie beside it: it is made of a copy in the cache, since '
            f'{"the spaces differ" if aligned.transform else "the file is no .tck"}; leave out --beside'
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
