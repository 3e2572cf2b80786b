"""The command line: one small module for each command.

Importing it does not load Nipype, so ``--help`` is fast.
"""

from lacuna.cli.parser import main

__all__ = ['main']
