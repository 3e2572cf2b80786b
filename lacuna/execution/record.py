"""The record of a run in ``logs/``: settings, methods text, log, and the outcome of each mask."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import socket
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import lacuna
from lacuna.execution.plan import RunPlan
from lacuna.utils.files import json_bytes, write_if_changed
from lacuna.utils.processes import Usage

_LOGGER = logging.getLogger('lacuna')

#: minimum seconds between updates of run.json
_EVERY = 5.0


class RunRecord:
    """``run.json``: when a run started and ended, and the outcome of each mask.

    It is written at the start, so that killed runs can be recognised.

    Parameters
    ----------
    folder : pathlib.Path
        Log folder of the run.
    plan : lacuna.execution.plan.RunPlan
    """

    def __init__(self, folder: Path, plan: RunPlan) -> None:
        self._path = folder / 'run.json'
        self._written = 0.0
        self._about: dict[str, Any] = {
            'lacuna': lacuna.__version__,
            'command': shlex.join(sys.argv),
            'host': socket.gethostname(),
            'pid': os.getpid(),
            'started': _now(),
            'finished': None,
            'status': 'running',
            'exit_code': None,
        }
        self._warnings = list(plan.warnings)
        self._masks: dict[Path, dict[str, Any]] = {}
        self._mask_warnings = plan.mask_warnings
        for mask in plan.done:
            self.mask(mask.path, 'done before')
        for skipped in plan.skipped:
            self.mask(skipped.path, 'skipped', reason=skipped.reason)
        for failure in plan.failed:
            self.mask(failure.path, 'failed', reason=failure.reason)
        for job in plan.todo:
            self.mask(job.mask.path, 'not finished')
        self.write()

    def mask(self, path: Path, status: str, usage: Usage | None = None, reason: str | None = None) -> None:
        """Record the outcome of a mask."""
        self._masks[path] = {
            'status': status,
            'seconds': round(usage.seconds, 3) if usage else None,
            'peak_memory_mb': round(usage.peak_memory / 1e6, 1) if usage else None,
            'reason': reason,
            'warnings': self._mask_warnings.get(path, []),
        }

    def warn(self, doubts: Iterable[str]) -> None:
        """Record warnings found during the run."""
        self._warnings.extend(doubts)

    def write_now_and_then(self) -> None:
        """Write the file unless it was written a moment ago; errors on a full disk are ignored until the next time."""
        if time.monotonic() - self._written > _EVERY:
            with suppress(OSError):
                self.write()

    def finish(self, status: str, exit_code: int) -> str | None:
        """Record how the run ended, and write the file; return the error if that fails."""
        self._about.update(finished=_now(), status=status, exit_code=exit_code)
        try:
            self.write()
        except OSError as error:
            return f'{self._path}: {error.strerror or error}'
        return None

    def write(self) -> None:
        """Write the file."""
        self._written = time.monotonic()
        masks = [{'mask': str(path), **about} for path, about in self._masks.items()]
        write_if_changed(self._path, json_bytes({**self._about, 'warnings': self._warnings, 'masks': masks}))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec='milliseconds')


def new_log_dir(output_dir: Path, settings: str) -> Path:
    """Create the log folder of a run below ``logs/``, with its settings."""
    name = f'{time.strftime("%Y%m%d-%H%M%S")}_{uuid.uuid4().hex[:8]}'
    folder = output_dir / 'logs' / name
    folder.mkdir(parents=True)
    write_if_changed(folder / 'settings.toml', settings.encode())
    return folder


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Also write Lacuna's log messages to a file, with the time."""
    handler = logging.FileHandler(path, encoding='utf-8')
    handler.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(message)s'))
    handler.handleError = lambda _: None  # type: ignore[assignment, method-assign]  # a full disk is reported elsewhere
    _LOGGER.addHandler(handler)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
        with suppress(OSError):
            handler.close()


def write_methods(folder: Path, text: str) -> None:
    """Write the methods text of a workflow and its bibliography."""
    head = f'Structural disconnection was computed with *Lacuna* {lacuna.__version__}, built on *Nipype* [@nipype]. '
    write_if_changed(folder / 'CITATION.md', f'{head}{text.strip()}\n'.encode())
    with resources.as_file(resources.files('lacuna').joinpath('data/boilerplate.bib')) as bibliography:
        shutil.copyfile(bibliography, folder / 'CITATION.bib')


def write_crash(folder: Path, traceback: str) -> Path | None:
    """Write the traceback of a failure to a file; None if that fails, for example on a full disk."""
    path = folder / f'crash-{time.strftime("%Y%m%d-%H%M%S")}-{uuid.uuid4().hex[:8]}.txt'
    try:
        path.write_text(traceback, encoding='utf-8')
    except OSError:
        return None
    return path


def keep_crash(crash: Path, stem: str, command: str) -> Path:
    """Rename a crash file after its mask, and add the command that reproduces the failure."""
    # file names are limited to 255 bytes
    target = crash.with_name(f'crash-{stem[:100]}-{crash.name.removeprefix("crash-")}')
    try:
        crash.rename(target)
        with target.open('a', encoding='utf-8') as stream:
            stream.write(f'\n\nTo see it again:\n{command}\n')
    except OSError:
        return target if target.exists() else crash
    return target
