"""Kill runs at random times and start them again: nothing may be lost, and nothing half-written.

The tests use it for a minute; for longer:

    python tests/helpers/kill_and_resume.py --minutes 120 BIDS_DIR --connectome-path TRACTOGRAM ...
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Trials:
    """A run, what it gives when it is left alone, and how often it was killed.

    Attributes
    ----------
    folder : pathlib.Path
        For everything that is written.
    words : sequence of str
        The arguments of ``lacuna run snm`` but output and work folder.
    """

    folder: Path
    words: Sequence[str]
    rng: random.Random = field(default_factory=random.Random)
    kills: int = 0
    finished: int = 0
    expected: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._clear(cold=True)
        _, said = self._run(kill=False)
        self.expected = self._results()
        assert self.expected, said

    def until_finished(self) -> None:
        """Kill a fresh run again and again until it ends by itself before it is killed; then it has to be right."""
        self._clear(cold=self.rng.random() < 0.3)
        while True:
            code, said = self._run(kill=True)
            found = self._results()
            wrong = {name for name, content in found.items() if self.expected.get(name) != content}
            assert not wrong, f'half-written or different: {wrong}'
            if code is not None:
                break
            self.kills += 1
        assert code == 0, said
        assert found == self.expected, self.expected.keys() - found.keys()
        leftover = [path for path in self._out.rglob('.tmp-*') if 'logs' not in path.parts]
        assert not leftover, leftover
        self.finished += 1

    @property
    def _out(self) -> Path:
        return self.folder / 'out'

    def _clear(self, *, cold: bool) -> None:
        for name in ('out', 'work', *(['cache'] if cold else [])):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _run(self, *, kill: bool) -> tuple[int | None, str]:
        """Exit code and last words; no code if it was killed.

        How fast the machine is does not matter: it is killed when so many files are there, or a moment later.
        """
        mark = uuid.uuid4().hex
        command = [
            sys.executable, '-m', 'lacuna', 'run', 'snm', self.words[0], str(self._out), *self.words[1:], '--no-report',
            '-w', str(self.folder / 'work'), '--nprocs', str(self.rng.choice([1, 2])),
        ]  # fmt: skip
        environment = {**os.environ, 'LACUNA_TRIAL': mark, 'LACUNA_CACHE_DIR': str(self.folder / 'cache')}
        environment.setdefault('NUMBA_CACHE_DIR', str(self.folder / 'numba'))
        with (self.folder / 'said.txt').open('w+') as said:
            process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
            if kill:
                have, total = len(self._names()), len(self.expected)
                until = have + self.rng.randint(0, total // 4)
                if self.rng.random() < 0.15:
                    until = total + 1  # it may end by itself
                while process.poll() is None and len(self._names()) < until:
                    time.sleep(0.01)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(self.rng.uniform(0, 2 if until == have else 0.3))
                if killed := process.poll() is None:
                    process.send_signal(signal.SIGKILL)
            code = process.wait()
            _wait_for_children(mark)
            said.seek(0)
            return None if kill and killed else code, said.read()

    def _results(self) -> dict[str, str]:
        return {name: hashlib.sha256((self._out / name).read_bytes()).hexdigest() for name in self._names()}

    def _names(self) -> list[str]:
        """Files under final names."""
        paths = (path.relative_to(self._out) for path in self._out.rglob('*') if path.is_file())
        return [str(path) for path in paths if path.parts[0] != 'logs' and not path.name.startswith('.tmp-')]


def _wait_for_children(mark: str) -> None:
    """What a killed run has started has to end with it."""
    deadline = time.monotonic() + 600
    while left := _marked(mark):
        assert time.monotonic() < deadline, f'processes outlive their run: {left}'
        time.sleep(0.02)


def _marked(mark: str) -> list[str]:
    found = []
    for process in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            if mark.encode() in (process / 'environ').read_bytes():
                found.append(process.name)
    return found


def main() -> None:
    """Trials for so many minutes; a line every minute."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float, default=10)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('words', nargs=argparse.REMAINDER, help='arguments of lacuna run snm, without output')
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(Path(folder), args.words, random.Random(args.seed))
        print(f'{len(trials.expected)} files', flush=True)
        while time.monotonic() < end:
            trials.until_finished()
            left = (end - time.monotonic()) / 60
            print(
                f'{trials.kills} kills, {trials.finished} finished and right; {left:.0f} min left', flush=True
            )


if __name__ == '__main__':
    main()
