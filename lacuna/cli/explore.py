"""``lacuna explore``: draw a lesion in the browser and see what it disconnects."""

from __future__ import annotations

import argparse
import threading
import webbrowser
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lacuna.cli.atlases import add_atlases
from lacuna.errors import InputError
from lacuna.execution.config import REPORTS
from lacuna.images.spaces import RESOLUTIONS, SPACES

if TYPE_CHECKING:
    from lacuna.explorer.masks import ListedMask
    from lacuna.explorer.session import Session


def add_parser(commands: Any) -> None:
    """Add ``explore`` to the commands."""
    parser = commands.add_parser(
        'explore',
        help='draw a lesion in the browser and see what it disconnects',
        description='Serve a page on this machine and open it in the browser. Move a sphere, draw a lesion on the '
        'template, or choose a mask, and see the streamlines, bundles and parcels that it disconnects. The numbers are '
        'those of lacuna run. With an output folder of lacuna run, click a voxel to see which lesions cover or disconnect '
        'it. Only someone who has the address, which is printed, can reach the page. Press Ctrl-C to stop.',
        usage='lacuna explore [DERIVATIVES|BIDS_DIR|MASK ...] --connectome-path TRACTOGRAM [options]\n'
        '       lacuna explore DERIVATIVES ...',
    )
    parser.add_argument(
        'sources',
        nargs='*',
        type=Path,
        metavar='DERIVATIVES|BIDS_DIR|MASK',
        help='masks to choose from on the page: those of an output folder of lacuna run, of a BIDS dataset, or files',
    )
    parser.add_argument(
        '--connectome-path',
        type=Path,
        metavar='TRACTOGRAM',
        help='normative tractogram, as in lacuna run snm; without it, the page of all lesions of DERIVATIVES is shown',
    )
    parser.add_argument(
        '--output-dir',
        type=Path,
        metavar='DIR',
        help='where the page may save: masks in DIR/masks, results in DIR/derivatives (default: it cannot save)',
    )
    add_atlases(parser)
    parser.add_argument(
        '--bundles',
        nargs='+',
        default=(),
        metavar=('SOURCE', 'NAME'),
        help='table of bundles, "groups" or "none", and a name, as in lacuna run snm',
    )
    parser.add_argument(
        '--mask-space',
        metavar='SPACE',
        help=f'space of the masks and of the page: {", ".join(SPACES)} (default: that of the tractogram)',
    )
    parser.add_argument('--connectome-space', metavar='SPACE', help='space of the tractogram')
    parser.add_argument(
        '--output-resolution',
        type=int,
        choices=RESOLUTIONS,
        default=2,
        help='voxel size of the maps and of drawn lesions, in mm (default: %(default)s)',
    )
    parser.add_argument(
        '--report',
        choices=REPORTS,
        default=REPORTS[0],
        help='report of each mask that is saved, as in lacuna run snm (default: %(default)s)',
    )
    parser.add_argument(
        '--nprocs', type=int, default=-1, metavar='N', help='processors to use; -1 uses all (default)'
    )
    parser.add_argument(
        '--port', type=int, default=0, metavar='N', help='port of the page (default: a free one)'
    )
    parser.add_argument(
        '--no-browser',
        action='store_false',
        dest='browser',
        help='print the address without opening a browser',
    )
    parser.set_defaults(run=run, parcel_atlases=(), custom_parcellations=[])


def run(args: argparse.Namespace) -> None:
    """Open tractogram and results, and serve the page."""
    from lacuna.explorer.cohort import Cohort
    from lacuna.explorer.masks import list_masks, result_folders
    from lacuna.explorer.server import serve
    from lacuna.utils.cache import cache_dir
    from lacuna.utils.cache_contents import using
    from lacuna.utils.processes import stopped_by_sigterm

    sources = [path.expanduser().absolute() for path in args.sources]
    listed, folders = list_masks(sources), result_folders(sources)
    if args.connectome_path is None and (not folders or len(folders) < len(sources)):
        message = '--connectome-path is needed, unless only output folders of lacuna run are given'
        raise InputError(message)
    with using(cache_dir()), stopped_by_sigterm():
        session = _session(args, listed) if args.connectome_path else None
        cohorts = [
            Cohort(results, show_progress=session is None) for results in folders if results.with_map()
        ]
        if session:
            session.warm_up()
        else:
            for cohort in cohorts:
                cohort.sums  # noqa: B018  computed before the page opens
        serve(session, partial(_announce, open_browser=args.browser), cohorts=cohorts, port=args.port)


def _session(args: argparse.Namespace, listed: list[ListedMask]) -> Session:
    from lacuna.execution.config import RunConfig
    from lacuna.execution.settings import config_of
    from lacuna.explorer.session import Session

    values = {
        name: value
        for name, value in vars(args).items()
        if name in RunConfig.__dataclass_fields__ and value is not None
    }
    values['compute_roi_disconnection'] = bool(args.parcel_atlases or args.custom_parcellations)
    values['source'], values['output_dir'] = Path('MASK'), args.output_dir or Path('OUTPUT_DIR')
    return Session(config_of(values), listed, saving=args.output_dir is not None)


def _announce(address: str, *, open_browser: bool) -> None:
    """Print the address of the page, and open it."""
    print(f'{address}\nPress Ctrl-C to stop.', flush=True)
    if open_browser:
        # in a thread, because a text browser would block the server
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
