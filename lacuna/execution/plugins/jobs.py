"""One job of a cluster: the nodes in it, run one after the other, and what became of them.

``python -m lacuna.execution.plugins.jobs FILE`` is what a job runs. It imports what the nodes need, and nothing of the command line.
"""

from __future__ import annotations

import json
import pickle
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from traceback import format_exception
from typing import Any, NamedTuple

from lacuna.utils.files import replacing
from lacuna.utils.processes import measured


class Outcome(NamedTuple):
    """What became of one part of a job.

    Attributes
    ----------
    failed : int or None
        Number of the node that failed; those behind it were not run.
    traceback : list of str
        Of its error.
    seconds : float
        That it took.
    peak_memory : int
        Bytes that it held at most.
    """

    failed: int | None = None
    traceback: list[str] = []  # noqa: RUF012  never changed
    seconds: float = 0.0
    peak_memory: int = 0


def write_job(path: Path, parts: Sequence[Sequence[Any]], updatehash: bool) -> None:
    """Write down what a job has to do: in each part, nodes to be run in this order."""
    with replacing(path) as temporary:
        temporary.write_bytes(pickle.dumps((parts, updatehash)))


def job_script(path: Path, environment: dict[str, str], template: str = '') -> str:
    """The script of a job.

    >>> print(job_script(Path('/scratch/my masks/a.job'), {'HOME': '/home/me'}), end='')  # doctest: +ELLIPSIS
    #!/bin/sh
    export HOME=/home/me
    exec ... -P -m lacuna.execution.plugins.jobs '/scratch/my masks/a.job'
    """
    head = Path(template).read_text(encoding='utf-8') if template and Path(template).is_file() else template
    lines = [] if head.startswith('#!') else ['#!/bin/sh']
    lines += [head.rstrip('\n')] if head else []
    lines += [f'export {name}={shlex.quote(value)}' for name, value in environment.items()]
    # -P: what lies in the folder one submits from is not imported
    lines += [
        shlex.join(['exec', sys.executable, '-P', '-m', 'lacuna.execution.plugins.jobs', str(path)]),
        '',
    ]
    return '\n'.join(lines)


def outcomes_path(path: Path) -> Path:
    """Where the job of a file says what became of it."""
    return path.with_suffix('.json')


def read_outcomes(path: Path) -> list[Outcome]:
    """What became of the parts that have ended, in their order."""
    try:
        return [Outcome(*each) for each in json.loads(outcomes_path(path).read_text(encoding='utf-8'))]
    except FileNotFoundError:
        return []


def run_job(path: Path) -> None:
    """Run the parts of a job. A node that fails ends its part; the others go on."""
    stopped = Event()

    def stop(*_: object) -> None:
        stopped.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    parts, updatehash = pickle.loads(path.read_bytes())  # noqa: S301  our own file in the work folder
    outcomes: list[Outcome] = []
    for nodes in parts:
        with measured() as usage:
            outcome = _run_part(nodes, updatehash)
        outcomes.append(outcome._replace(seconds=usage.seconds, peak_memory=usage.peak_memory))
        if stopped.is_set():  # Nipype takes the end of the job for an error of the node
            raise KeyboardInterrupt
        with replacing(outcomes_path(path)) as temporary:
            temporary.write_text(json.dumps(outcomes), encoding='utf-8')


def _run_part(nodes: Sequence[Any], updatehash: bool) -> Outcome:
    for number, node in enumerate(nodes):
        try:
            node.run(updatehash=updatehash)
        except Exception:  # noqa: BLE001  goes to the crash file
            return Outcome(number, format_exception(*sys.exc_info()))
    return Outcome()


if __name__ == '__main__':
    target = Path(sys.argv[1])
    if not target.exists():
        sys.exit(f'{target} is not there any more: the run that submitted this job has ended')
    try:
        run_job(target)
    except KeyboardInterrupt:
        sys.exit('ended from outside')
