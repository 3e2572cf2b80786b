"""``lacuna fetch``: download normative connectomes, ready for a run."""

from __future__ import annotations

import argparse
import os
import textwrap
from pathlib import Path
from typing import Any

from lacuna.cli.convert import add_subsample_arguments, subsample_of


def add_parser(commands: Any) -> None:
    """Add ``fetch`` to the commands."""
    parser = commands.add_parser(
        'fetch',
        help='download a normative connectome',
        description='Download a normative connectome and convert it to NAME.tck, with a sidecar that states its space '
        'and citation. An interrupted download continues where it stopped.',
    )
    parser.add_argument(
        'name',
        metavar='NAME',
        nargs='?',
        help='connectome (see --list), or a name of your own with --url and --space',
    )
    parser.add_argument('--list', action='store_true', help='list the connectomes that can be fetched')
    parser.add_argument(
        '--output-dir', metavar='DIR', type=Path, help="folder of NAME.tck (default: in Lacuna's cache)"
    )
    parser.add_argument('--url', help='address of the file, if its source has moved or is not in --list')
    parser.add_argument('--space', help='standard space of a connectome that is not in --list')
    parser.add_argument(
        '--api-key', metavar='TOKEN', help='personal token for Figshare (safer: set FIGSHARE_API_KEY)'
    )
    add_subsample_arguments(parser)
    parser.add_argument('--force', action='store_true', help='download again even if NAME.tck exists')
    parser.add_argument(
        '-v', '--verbose', action='count', default=0, help='-vv shows the traceback of errors'
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Fetch a connectome; print its path, content, citation and licence."""
    from lacuna.datasets.connectomes import fetch, part_name
    from lacuna.datasets.sources import connectomes
    from lacuna.errors import InputError
    from lacuna.utils.cache import cache_dir
    from lacuna.utils.files import read_json

    if args.list:
        _list()
        return
    if not args.name:
        message = f'name the connectome to fetch: {", ".join(connectomes())} (--list describes them)'
        raise InputError(message)
    folder = args.output_dir or cache_dir() / 'connectomes'
    subsample = subsample_of(args)
    there = (folder / f'{part_name(args.name, subsample)}.tck').is_file() and not args.force
    token = args.api_key or os.environ.get('FIGSHARE_API_KEY') or None
    path = fetch(
        args.name,
        folder,
        url=args.url,
        space=args.space,
        token=token,
        subsample=subsample,
        force=args.force,
        show_progress=True,
        say=print,
    )
    about = read_json(path.with_suffix('.json')) or {}
    streamlines = (
        f'{about.get("StreamlineCount", "an unknown number of")} streamlines in {about.get("Space")}'
    )
    print(f'{path}: {"already exists; --force downloads it again" if there else streamlines}')
    if not there and (known := connectomes().get(args.name)):
        print(f'please cite: {known.citation}')
        if known.licence:
            print(f'licence: {known.licence}')


def _list() -> None:
    from lacuna.datasets.sources import connectomes

    for known in connectomes().values():
        facts = [f'{known.size / 1e9:.1f} GB'] if known.size else []
        facts += [known.space, f'licence: {known.licence or "see its page"}']
        facts += ['needs a Figshare token'] * (known.api == 'figshare')
        facts += [f'looked up by name in the OSF project {known.project}'] if known.project else []
        print(f'{known.name}: {known.about}')
        print(textwrap.indent('\n'.join(filter(None, ['; '.join(facts), known.page, known.citation])), '  '))
