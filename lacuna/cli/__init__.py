"""The command line: one small module per command.

Importing it does not import Nipype, so that ``--help`` is fast.
"""

from lacuna.cli.parser import main

__all__ = ['main']
