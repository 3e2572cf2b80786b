"""Run tasks on this machine: in this process, or in worker processes that may be killed without affecting others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from multiprocessing import get_context
from multiprocessing.connection import wait
from pathlib import Path
from traceback import format_exc
from typing import Any

from lacuna.errors import reason_of
from lacuna.utils.processes import Usage, measured, possible_workers, start_worker, starting_workers

#: number and arguments of a task
Numbered = tuple[int, tuple[Any, ...]]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task.

    Attributes
    ----------
    number : int
        Number of the task, in the order of submission.
    usage : lacuna.utils.processes.Usage
    reason : str or None
        Why it failed; None if it succeeded.
    traceback : str
        Traceback of the error.
    """

    number: int
    usage: Usage = field(default_factory=Usage)
    reason: str | None = None
    traceback: str = ''


@dataclass(frozen=True)
class Killed:
    """A task whose process was killed."""

    number: int
    arguments: tuple[Any, ...]


def attempt(number: int, function: Callable[..., object], arguments: tuple[Any, ...]) -> Outcome:
    """Run a task, and return its outcome, including any exception.

    >>> attempt(3, int, ('x',)).reason
    "invalid literal for int() with base 10: 'x'"
    """
    reason, traceback = None, ''
    with measured() as usage:
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001  recorded in the outcome
            reason, traceback = reason_of(error), format_exc()
    return Outcome(number, usage, reason, traceback)


class LocalPool:
    """Run tasks on this machine.

    Parameters
    ----------
    workers : int
        Number of processes; with 1, tasks run in this process.
    """

    def __init__(self, workers: int) -> None:
        self._workers = possible_workers(workers)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in this process, and return its result."""
        return function(*arguments)

    def run(self, function: Callable[..., object], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Outcome]:
        """Call a function with each tuple of arguments; yield outcomes as tasks end.

        Arguments are taken when a process is free. A task whose process is killed is repeated alone at the end, and
        fails if it is killed again.
        """
        numbered = enumerate(tasks)
        if self._workers == 1:
            for number, arguments in numbered:
                yield attempt(number, function, arguments)
            return
        killed: list[Numbered] = []
        for outcome in _in_processes(self._workers, function, numbered):
            if isinstance(outcome, Killed):
                killed.append((outcome.number, outcome.arguments))
            else:
                yield outcome
        for task in killed:
            for outcome in _in_processes(1, function, iter([task])):
                if isinstance(outcome, Killed):
                    reason = 'its process was killed twice; was there enough memory? (see --mem-gb)'
                    yield Outcome(outcome.number, reason=reason)
                else:
                    yield outcome


class _Worker:
    """A process that runs one task after the other."""

    def __init__(self, function: Callable[..., object]) -> None:
        context = get_context()
        self.connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_work_loop, args=(theirs, function, str(Path.cwd())), daemon=True
        )
        with starting_workers():
            self._process.start()
        theirs.close()  # so that the connection ends with the process

    def kill(self) -> None:
        self._process.kill()
        self._process.join()  # before its files are removed
        self.connection.close()


def _work_loop(connection: Any, function: Callable[..., object], folder: str) -> None:
    start_worker(folder)
    while True:
        number, arguments = connection.recv()
        connection.send(attempt(number, function, arguments))


def _in_processes(
    workers: int, function: Callable[..., object], tasks: Iterator[Numbered]
) -> Iterator[Outcome | Killed]:
    """Run tasks in worker processes, replacing those that are killed."""
    idle: list[_Worker] = []
    busy: dict[Any, tuple[_Worker, Numbered]] = {}
    try:
        while True:
            while len(busy) < workers and (task := next(tasks, None)):
                worker = idle.pop() if idle else _Worker(function)
                try:
                    worker.connection.send(task)
                except OSError:  # killed while it was idle
                    worker.kill()
                    tasks = chain([task], tasks)
                else:
                    busy[worker.connection] = worker, task
            if not busy:
                return
            for connection in wait(list(busy)):
                worker, task = busy.pop(connection)
                try:
                    outcome: Outcome | Killed = worker.connection.recv()
                except (EOFError, OSError):
                    worker.kill()
                    outcome = Killed(*task)
                else:
                    idle.append(worker)
                yield outcome
    finally:
        for worker in (*idle, *(worker for worker, _ in busy.values())):
            worker.kill()
