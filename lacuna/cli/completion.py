"""``lacuna completion``: tab completion for shells."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

_SHELLS = ('bash', 'zsh', 'tcsh')


def add_parser(commands: Any, lacuna: argparse.ArgumentParser) -> None:
    """Add ``completion`` to the commands of the parser `lacuna`."""
    parser = commands.add_parser(
        'completion',
        help='print a script for tab completion',
        description='Print the script that lets a shell complete the commands and options of lacuna. For bash: '
        'lacuna completion bash > ~/.local/share/bash-completion/completions/lacuna',
    )
    parser.add_argument('shell', choices=_SHELLS)
    parser.set_defaults(run=partial(run, lacuna=lacuna))


def run(args: argparse.Namespace, lacuna: argparse.ArgumentParser) -> None:
    """Print the script."""
    import shtab

    print(shtab.complete(lacuna, shell=args.shell))
