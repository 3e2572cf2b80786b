"""The command line: one small module for each command.

Importing it loads no Nipype, so that ``--help`` is quick.
"""

from lacuna.cli.parser import main

__all__ = ['main']
