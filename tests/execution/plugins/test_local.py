"""Tasks in processes: what becomes of them when they fail, when their process is killed, and when nobody waits any more."""

import multiprocessing
import os
import signal
import subprocess
import sys
from itertools import count, islice
from pathlib import Path

import pytest

from lacuna.execution.plugins.local import LocalPool


def note(folder, number):
    """Leave a trace of each try; returns how many there were before."""
    earlier = len(list(Path(folder).glob(f'{number}-*')))
    Path(folder, f'{number}-{earlier}').touch()
    return earlier


def work(folder, number, kills=()):
    """Do something, or be killed at these tries, as by the kernel for its memory."""
    if note(folder, number) in kills:
        os.kill(os.getpid(), signal.SIGKILL)


def tries(folder):
    return {number: len(list(folder.glob(f'{number}-*'))) for number in range(10)}


@pytest.mark.parametrize('workers', [1, 2])
def test_each_task_once(tmp_path, workers):
    outcomes = list(LocalPool(workers).run(work, ((tmp_path, number) for number in range(10))))
    assert sorted(outcome.number for outcome in outcomes) == list(range(10))
    assert all(outcome.reason is None and outcome.usage.peak_memory > 0 for outcome in outcomes)
    assert set(tries(tmp_path).values()) == {1}


def fail(number):
    if number == 3:
        raise ValueError(number, 'as it should')
    if number == 5:
        raise SystemError
    if number == 7:
        raise OSError(28, os.strerror(28))


@pytest.mark.parametrize('workers', [1, 2])
def test_an_error_is_the_outcome_of_its_task(workers):
    reasons = {each.number: each.reason for each in LocalPool(workers).run(fail, ((n,) for n in range(10)))}
    failed = {number: reason for number, reason in reasons.items() if reason}
    assert failed == {3: "(3, 'as it should')", 5: 'SystemError', 7: os.strerror(28)}
    assert len(reasons) == 10


def test_killed_once_a_task_is_done_at_the_second_try(tmp_path):
    """And so are those that were with it: nothing that ran beside it is touched."""
    tasks = ((tmp_path, number, (0,) if number in (2, 5) else ()) for number in range(10))
    outcomes = list(LocalPool(2).run(work, tasks))
    assert [outcome for outcome in outcomes if outcome.reason] == []
    assert tries(tmp_path) == {number: 2 if number in (2, 5) else 1 for number in range(10)}
    # tried again at the end, alone, the one first that was killed first
    assert sorted(outcome.number for outcome in outcomes[-2:]) == [2, 5]


def test_what_kills_its_process_twice_fails_alone(tmp_path):
    tasks = ((tmp_path, number, (0, 1, 2) if number == 4 else ()) for number in range(10))
    outcomes = {outcome.number: outcome.reason for outcome in LocalPool(2).run(work, tasks)}
    assert [number for number, reason in outcomes.items() if reason] == [4]
    assert 'killed' in outcomes[4]
    assert '--mem-gb' in outcomes[4]
    assert tries(tmp_path) == {number: 2 if number == 4 else 1 for number in range(10)}


def test_arguments_are_taken_as_they_are_needed(tmp_path):
    """A cohort is never planned whole in processes: there may be no end of it."""
    taken = []

    def endless():
        for number in count():
            taken.append(number)
            yield tmp_path, number

    run = LocalPool(3).run(work, endless())
    assert len(list(islice(run, 20))) == 20
    assert len(taken) <= 20 + 3 + 1
    run.close()


def test_no_process_is_left_when_the_caller_goes(tmp_path):
    """As on Ctrl-C: the loop that takes the outcomes ends."""
    before = {process.pid for process in multiprocessing.active_children()}  # of other tests
    run = LocalPool(2).run(work, ((tmp_path, number) for number in count()))
    next(run)
    assert {process.pid for process in multiprocessing.active_children()} - before
    run.close()
    assert {process.pid for process in multiprocessing.active_children()} <= before


def interrupt():
    raise KeyboardInterrupt


def test_an_interrupt_is_no_failure_of_a_task():
    with pytest.raises(KeyboardInterrupt):
        list(LocalPool(1).run(interrupt, [()]))


def ignore_and_work(folder, number):
    """Ctrl-C in a terminal reaches the workers too: they leave it to the parent."""
    os.kill(os.getpid(), signal.SIGINT)
    work(folder, number)


def test_workers_leave_an_interrupt_to_their_parent(tmp_path):
    outcomes = list(LocalPool(2).run(ignore_and_work, ((tmp_path, number) for number in range(4))))
    assert [outcome.reason for outcome in outcomes] == [None] * 4


SCRIPT = """\
import multiprocessing, os, pathlib
from lacuna.execution.plugins.local import LocalPool
from lacuna.reports.participant import make_reports
print('once')
multiprocessing.set_start_method('spawn')
print(sorted(outcome.reason for outcome in LocalPool(2).run(os.stat, [('missing',), ('gone',)])))
print([type(page) for _, page in make_reports(pathlib.Path(__file__).parent, ['01', '02'], workers=2)])
print(__file__, multiprocessing.sys.modules['__main__'].__spec__)
"""


def test_a_script_is_not_run_again_in_each_worker(tmp_path):
    """Scripts of researchers are seldom guarded by ``if __name__ == '__main__'``."""
    script = tmp_path / 'analysis.py'
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout.count('once') == 1
    assert len(done.stdout.splitlines()) == 4
    assert done.stdout.splitlines()[-1] == f'{script} None'


def count_here(_):
    return [outcome.reason for outcome in LocalPool(2).run(len, [('a',), ('bb',)])]


def test_in_a_pool_of_the_program():
    """Its processes may not have children."""
    with multiprocessing.get_context('fork').Pool(1) as pool:
        assert pool.map(count_here, [0]) == [[None, None]]
