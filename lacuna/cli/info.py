"""``lacuna info``: what is available on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> None:
    """Add ``info`` to the commands."""
    parser = commands.add_parser(
        'info',
        help='list atlases, tractograms and engines',
        description='List what is available on this machine.',
    )
    topics = parser.add_subparsers(metavar='TOPIC', required=True)
    atlases = topics.add_parser(
        'atlases', help='list parcellations', description='List parcellations by name.'
    )
    atlases.add_argument('--atlas-dir', type=Path, metavar='DIR', help='also list those in this folder')
    atlases.set_defaults(run=run_atlases)
    connectomes = topics.add_parser(
        'connectomes',
        help='list tractograms',
        description='List normative tractograms by name, and where they are.',
    )
    connectomes.set_defaults(run=run_connectomes)
    engines = topics.add_parser(
        'engines', help='list engines', description='List the engines that can be used on this machine.'
    )
    engines.set_defaults(run=run_engines)


def run_atlases(args: argparse.Namespace) -> None:
    """List the atlases on this machine, and those available from TemplateFlow."""
    from lacuna.images.atlases import list_atlases
    from lacuna.images.templateflow import templateflow_home

    found = list_atlases(args.atlas_dir and args.atlas_dir.absolute())
    for title, here in (('available:', True), ('can be fetched (network):', False)):
        if rows := [atlas for atlas in found if atlas.is_here is here]:
            print(title)
            width = max(len(atlas.name) for atlas in rows)
            for atlas in rows:
                print(f'  {atlas.name:{width}}  {atlas.space}  {atlas.source}')
    if not found:
        print(f'no atlas found in {templateflow_home()}; set TEMPLATEFLOW_HOME, or use --custom-parcellation')


def run_connectomes(_: argparse.Namespace) -> None:
    """List the tractograms on this machine, and those that can be fetched."""
    from lacuna.datasets.connectomes import fetched
    from lacuna.datasets.sources import connectomes

    table, here = connectomes(), fetched()
    for name in (*table, *sorted(here.keys() - table.keys())):
        about = f': {table[name].about}' if name in table else ''
        print(f'{name:14} {here.get(name, "can be fetched")}{about}')


def run_engines(_: argparse.Namespace) -> None:
    """List the available engines."""
    from importlib.metadata import version

    from lacuna.interfaces.mrtrix import missing_commands, mrtrix_version

    print(f'index   available (the default; numba {version("numba")}, needs no MRtrix3)')
    missing = missing_commands()
    print(
        f'mrtrix  {"not available: MRtrix3 is not on the PATH" if missing else f"MRtrix3 {mrtrix_version()}"}'
    )
