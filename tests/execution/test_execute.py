"""A run as a function: what it returns, and that it leaves the process as it was."""

import dataclasses
import json
import logging
import subprocess
import sys
import threading

import nibabel as nb
import numpy as np
import pytest
from helpers.cohort import write_cohort
from helpers.toys import check_toy_map
from helpers.waiting import HANGS

from lacuna.bids.outputs import Target
from lacuna.cli import main
from lacuna.errors import EXIT_DONE, EXIT_FAILED, InputError
from lacuna.execution.start import run
from lacuna.testing import write_mask


def settings(toy, tmp_path, **more):
    return {
        'source': toy.mask.parents[2],
        'output_dir': tmp_path / 'out',
        'connectome_path': toy.tracks,
        'report': 'none',
        'nprocs': 1,
        **more,
    }


def test_result(toy, tmp_path):
    done = run(**settings(toy, tmp_path, report='light'))
    assert done.exit_code == EXIT_DONE
    assert [mask.path for mask in done.finished] == [toy.mask]
    check_toy_map(nb.load(done.finished[0].outputs[Target('disconnection_map')]))
    assert all(path.is_file() for path in done.finished[0].outputs.values())
    assert done.finished[0].is_new
    assert done.paths.output_dir == tmp_path / 'out'
    assert done.paths.reports == (tmp_path / 'out/sub-01.html',)
    assert done.paths.failures is None
    assert (done.paths.log_dir / 'run.json').is_file()
    assert ': done, ' in (done.paths.log_dir / 'run.log').read_text()
    assert done.seconds > 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        done.seconds = 0

    again = run(**settings(toy, tmp_path, report='light'))
    assert [mask.is_new for mask in again.finished] == [False]
    assert again.finished[0].outputs == done.finished[0].outputs
    assert again.paths.log_dir is None


def test_result_of_what_fails_and_of_what_is_only_planned(toy, tmp_path):
    image = nb.load(toy.mask)
    bad = toy.mask.parents[2] / 'sub-02/anat' / toy.mask.name.replace('sub-01', 'sub-02')
    write_mask(bad, np.asanyarray(image.dataobj) * 0.5, image.affine, 'float32')
    planned = run(**settings(toy, tmp_path, dry_run=True))
    assert planned.planned == (toy.mask,)
    assert not planned.finished
    assert not (tmp_path / 'out').exists()
    done = run(**settings(toy, tmp_path))
    for result in (planned, done):
        assert result.exit_code == EXIT_FAILED
        assert [failure.path for failure in result.failures] == [bad]
        assert str(bad) in result.failures[0].reason
    assert str(bad) in done.paths.failures.read_text()
    assert [mask.path for mask in done.finished] == [toy.mask]
    skipped = run(**settings(toy, tmp_path, participants='01', on_empty='skip'))
    assert not skipped.failures  # a label need not be in a list


def test_settings_that_are_not_possible(toy, tmp_path):
    with pytest.raises(TypeError, match='no_such'):
        run(**settings(toy, tmp_path, no_such=1))
    with pytest.raises(InputError, match='engine'):
        run(**settings(toy, tmp_path, engine='steam'))
    with pytest.raises(InputError, match='absent'):
        run(**settings(toy, tmp_path, source=tmp_path / 'absent'))
    assert not (tmp_path / 'out').exists()


def test_the_function_and_the_command_find_each_others_results(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plugin = tmp_path / 'plugin.yml'
    plugin.write_text('plugin: MultiProc\nplugin_args: {n_procs: 1}')
    done = run('bids', 'out', connectome_path=str(toy.tracks), report='none', use_plugin='plugin.yml')
    before = {path: path.stat().st_mtime_ns for path in done.finished[0].outputs.values()}
    words = ['run', 'snm', 'bids', 'out', '--config', str(done.paths.log_dir / 'settings.toml'), '-v']
    assert main(words) == EXIT_DONE
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_plugin_file_is_read_once(toy, tmp_path, monkeypatch):
    from lacuna.execution.plugins import file

    reads = []
    load = file._load
    monkeypatch.setattr(file, '_load', lambda path: reads.append(path) or load(path))
    path = tmp_path / 'plugin.yml'
    path.write_text('plugin: Linear')
    run(**settings(toy, tmp_path, use_plugin=path))
    assert reads == [path]


def test_the_program_gets_the_messages_that_it_asks_for(toy, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    image = nb.load(toy.mask)
    write_mask(toy.mask, np.asanyarray(image.dataobj) * 0, image.affine, 'uint8')
    done = run(**settings(toy, tmp_path))
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert any(str(toy.mask) in record.getMessage() for record in caplog.records)
    assert 'INFO' in (done.paths.log_dir / 'run.log').read_text()


@pytest.mark.parametrize('where', ['the main thread', 'another thread'])
@pytest.mark.parametrize('fails', [False, True])
def test_nothing_is_printed(toy, tmp_path, capfd, where, fails):
    if fails:
        image = nb.load(toy.mask)
        bad = toy.mask.parents[2] / 'sub-02/anat' / toy.mask.name.replace('sub-01', 'sub-02')
        write_mask(bad, np.asanyarray(image.dataobj) * 0.5, image.affine, 'float32')
    results = []

    def work():
        results.append(run(**settings(toy, tmp_path, verbose=2)))

    if where == 'the main thread':
        work()
    else:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert [result.exit_code for result in results] == [EXIT_FAILED if fails else EXIT_DONE]
    assert capfd.readouterr() == ('', '')


NOTEBOOK = """
import asyncio, io, json, logging, os, signal, sys
import matplotlib

from lacuna.execution.start import run

class Stream(io.StringIO):  # without a file number, as in a notebook
    def fileno(self):
        raise io.UnsupportedOperation('fileno')

def state():
    loggers = [logging.getLogger(name) for name in (None, 'lacuna')]
    return {
        'folder': os.getcwd(),
        'environment': dict(os.environ),
        'signals': {int(number): id(signal.getsignal(number)) for number in signal.valid_signals()},
        'logging': [(list(map(repr, each.handlers)), each.level, each.propagate) for each in loggers],
        'streams': [id(sys.stdout), id(sys.stderr), id(sys.__stdout__), id(sys.__stderr__)],
        'hooks': [id(sys.excepthook), id(sys.displayhook)],
        'backend': repr(dict.__getitem__(matplotlib.rcParams, 'backend')),
        'umask': (os.umask(0o022), os.umask(0o022))[1],
    }

def differences(before):
    return [name for name, value in state().items() if value != before[name]]

async def main(settings, in_thread):
    found = []
    for attempt in range(2):
        before = state()
        if in_thread:
            result = await asyncio.to_thread(run, **settings)
        else:
            result = run(**settings)
        found.append({
            'differences': differences(before),
            'exit_code': result.exit_code,
            'finished': len(result.finished),
            'new': sum(mask.is_new for mask in result.finished),
            'failures': [str(failure.path) for failure in result.failures],
        })
    return found

real = sys.stdout
sys.stdout, sys.stderr = Stream(), Stream()
found = asyncio.run(main(json.loads(sys.argv[1]), sys.argv[2] == 'thread'))
printed = sys.stdout.getvalue() + sys.stderr.getvalue()
sys.stdout = real
print(json.dumps({'runs': found, 'printed': printed}))
"""


@pytest.mark.parametrize('where', ['cell', 'thread'])
def test_in_a_notebook(tmp_path, where):
    """In a process of its own, in which nothing was imported yet: two workers, one mask that fails on the way."""
    toy = write_cohort(tmp_path, 12)
    blocked = tmp_path / 'out/sub-03'
    blocked.parent.mkdir()
    blocked.write_text('a file where a folder should be')
    given = {
        name: value if isinstance(value, int) else str(value)
        for name, value in settings(toy, tmp_path, nprocs=2).items()
    }
    folder = tmp_path / 'elsewhere'
    folder.mkdir()
    ended = subprocess.run(
        [sys.executable, '-c', NOTEBOOK, json.dumps(given), where],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANGS,
        cwd=folder,
    )
    assert not ended.returncode, ended.stderr
    assert ended.stderr == ''
    found = json.loads(ended.stdout)
    assert found['printed'] == ''
    first, second = found['runs']
    assert first['differences'] == second['differences'] == []
    assert first['exit_code'] == second['exit_code'] == EXIT_FAILED
    assert first['finished'] == first['new'] == second['finished'] == 11
    assert second['new'] == 0
    assert len(first['failures']) == len(second['failures']) == 1
    assert 'sub-03' in first['failures'][0]
    assert not list(folder.iterdir())
