"""Tasks on this machine: in this process, or in worker processes, any of which may be killed without harm to the others."""

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
from lacuna.utils.processes import Usage, measured, start_worker

#: the arguments of a task, with its number
Numbered = tuple[int, tuple[Any, ...]]


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes
    ----------
    number : int
        Of the task, in the order in which they were given.
    usage : lacuna.utils.processes.Usage
    reason : str or None
        Why it failed; None if it is done.
    traceback : str
        Of the error.
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
    """Do a task; whatever it raises is its outcome.

    >>> attempt(3, int, ('x',)).reason
    "invalid literal for int() with base 10: 'x'"
    """
    reason, traceback = None, ''
    with measured() as usage:
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001  goes into the record of the run
            reason, traceback = reason_of(error), format_exc()
    return Outcome(number, usage, reason, traceback)


class LocalPool:
    """Does tasks on this machine.

    Parameters
    ----------
    workers : int
        Processes to work in; with 1, tasks are done in this one.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function returns, called in this process."""
        return function(*arguments)

    def run(self, function: Callable[..., object], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Outcome]:
        """Call a function with each of these arguments; outcomes come as tasks end.

        Arguments are taken when a process is free for them. A task whose process is killed is tried again at the
        end, alone; if that is killed too, it has failed.
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
    """A process that does one task after the other."""

    def __init__(self, function: Callable[..., object]) -> None:
        context = get_context()
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, function, str(Path.cwd())), daemon=True)
        self._process.start()
        theirs.close()  # so that the end of the process is the end of the connection

    def kill(self) -> None:
        self._process.kill()
        self._process.join()  # it writes no more when its files are removed
        self.connection.close()


def _work(connection: Any, function: Callable[..., object], folder: str) -> None:
    start_worker(folder)
    while True:
        number, arguments = connection.recv()
        connection.send(attempt(number, function, arguments))


def _in_processes(
    workers: int, function: Callable[..., object], tasks: Iterator[Numbered]
) -> Iterator[Outcome | Killed]:
    """Do tasks in so many processes; one that is killed is replaced."""
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
