"""Follow a page of the documentation as its reader would, and compare what is printed.

| block | what happens |
|---|---|
| ``console`` | lines that begin with ``$`` are typed into one shell for the whole page (``>`` continues a line); what stands below them is what they print, errors included |
| ``python`` | run in one session for the whole page; behind ``>>>`` what is printed is compared |
| any other | nothing: such as ``sh`` for commands that need the network or a cluster |

A command in the background (``> FILE 2>&1 &``) has started when it has written something. ``...`` in a printed line stands for anything within that line. A command that fails has to be followed by
``$ echo $?``.
"""

from __future__ import annotations

import contextlib
import difflib
import doctest
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self
from uuid import uuid4

from sybil import Document, Example
from sybil.evaluators.doctest import NUMBER
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

_LONGEST = 300.0  # seconds of one command


def follow(page: Path, folder: Path) -> None:
    """Do what a page says, in a folder; the environment is that of this process.

    Raises
    ------
    sybil.example.SybilFailure
        If a command or a line of Python prints something else, or fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(folder), Shell(folder) as shell:
        parsers = [
            CodeBlockParser('console', shell),
            PythonCodeBlockParser(doctest_optionflags=doctest.ELLIPSIS | NUMBER),
        ]
        for example in Document.parse(str(page), *parsers).examples():
            example.evaluate()


class Shell:
    """A shell that stays the same from block to block: what is set, started and entered in one is there in the next."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            ['bash', '--norc', '--noprofile'],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            start_new_session=True,
            env={
                **os.environ,
                'PATH': f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}',
                'PYTHONUNBUFFERED': '1',  # else errors would stand before what was printed earlier
                'LC_ALL': 'C.UTF-8',
                'COLUMNS': '100',
            },
        )
        self._code = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # and what a page started in the background
        self._process.communicate()

    def __call__(self, example: Example) -> str:
        """Run a block; returns what is wrong with it."""
        for command, printed in commands(example.parsed):
            if self._code and command != 'echo $?':
                break
            found = self.run(command)
            if not matches(printed, found):
                lines = difflib.unified_diff(
                    printed.splitlines(), found.splitlines(), 'in the page', 'in the shell', lineterm=''
                )
                return '\n'.join([f'$ {command}', *lines])
        return f'a command has failed, with exit code {self._code}' if self._code else ''

    def run(self, command: str) -> str:
        """Type a command; returns what is printed. Its exit code stays what ``$?`` gives."""
        end = uuid4().hex
        timer = threading.Timer(_LONGEST, os.killpg, (self._process.pid, signal.SIGKILL))
        timer.start()
        try:
            self._process.stdin.write(f'{command}\nlast=$?; printf "\\n%s %s\\n" {end} $last; (exit $last)\n')
            self._process.stdin.flush()
            lines = []
            for line in self._process.stdout:
                if line.startswith(end):
                    self._code = int(line.split()[1])
                    if log := re.search(r'> (\S+) 2>&1 &$', command):
                        self._wait(log[1])
                    # the line break before the end mark is ours
                    return ''.join(lines)[:-1]
                lines.append(line)
        finally:
            timer.cancel()
        message = f'{command}: the shell ended, or it took more than {_LONGEST:.0f} s\n{"".join(lines)}'
        raise RuntimeError(message)

    def _wait(self, log: str) -> None:
        """Until a command in the background has written something: a server listens then."""
        for _ in range(600):
            if self.run(f'test -s {log} && echo there') == 'there\n':
                break
            time.sleep(0.1)
        self._code = 0


def commands(block: str) -> Iterator[tuple[str, str]]:
    r"""The commands of a block, each with what it prints.

    >>> list(commands('$ echo a \\\n> b\na b\n$ true\n'))
    [('echo a \\\nb', 'a b\n'), ('true', '')]
    """
    for part in re.split(r'^\$ ', block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        count = 1
        while count < len(lines) and lines[count].startswith('> '):
            count += 1
        typed = [lines[0], *(line.removeprefix('> ') for line in lines[1:count])]
        yield ''.join(typed).rstrip('\n'), ''.join(lines[count:])


def matches(printed: str, found: str) -> bool:
    """Whether a page prints what was found; spaces at the end of lines do not count.

    >>> matches('map: .../map.nii.gz\\n', 'map: /home/me/map.nii.gz\\n')
    True
    >>> matches('map: ...\\n', 'map: a\\nsummary: b\\n')
    False
    """
    wanted, had = ([line.rstrip() for line in text.rstrip().splitlines()] for text in (printed, found))
    return len(wanted) == len(had) and all(
        re.fullmatch('.*'.join(map(re.escape, line.split('...'))), other)
        for line, other in zip(wanted, had, strict=True)
    )
