"""``lacuna cache``: what is there, how large, and its removal beside runs that use it."""

import os
import subprocess
import sys
import time

import pytest
from helpers.cohort import tree
from helpers.waiting import settle

from lacuna.cli import main
from lacuna.utils.cache import cache_dir


@pytest.fixture
def study(toy, tmp_path):
    """A run that has filled the cache, and a connectome that was fetched."""

    def run(out='out'):
        return main(
            [
                'run',
                'snm',
                '--no-report',
                str(toy.mask),
                str(tmp_path / out),
                '--connectome-path',
                str(toy.tracks),
                '--nprocs',
                '1',
            ]
        )

    settle(toy.tracks)
    assert run() == 0
    (cache_dir() / 'connectomes').mkdir()
    (cache_dir() / 'connectomes/known.tck').write_bytes(bytes(2_500_000))
    return run


def kept():
    return {name for name in tree(cache_dir()) if not name.startswith('.lock')}


@pytest.mark.usefixtures('study')
def test_sizes(capsys):
    capsys.readouterr()
    assert main(['cache']) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split(maxsplit=3) for line in lines[1:] if line.startswith('  ')}
    assert rows['connectomes'][1:3] == ['2.5', 'MB']
    size = sum((cache_dir() / name).stat().st_size for name in kept() if name.startswith('index/'))
    assert float(rows['index'][1]) == pytest.approx(size / 1e6, abs=0.06)
    assert {'index', 'tractograms', 'total'} <= set(rows)
    assert lines[-1].startswith('index of toy.tck: 30 streamlines')


def test_clear(study, capsys):
    assert main(['cache', '--clear']) == 0
    assert 'removed: ' in capsys.readouterr().out
    assert kept() == {'connectomes/known.tck'}
    assert study('again') == 0  # what is removed is made anew
    assert any(name.startswith('index/') for name in kept())


@pytest.mark.usefixtures('study')
def test_what_was_used_of_late_is_kept(capsys):
    old = next((cache_dir() / 'index').iterdir())
    month_ago = time.time() - 30 * 86400
    for path in old.rglob('*'):
        if path.is_file():
            os.utime(path, (month_ago, month_ago))
    assert main(['cache', '--clear', '--older-than', '31']) == 0
    assert old.is_dir()
    capsys.readouterr()
    assert main(['cache', '--older-than', '29']) == 0
    assert 'index of toy.tck' in capsys.readouterr().out
    assert main(['cache', '--clear', '--older-than', '29']) == 0
    assert not old.exists()
    assert any(name.startswith('tractograms/') for name in kept())
    assert main(['cache', '--older-than', '-1']) == 2


@pytest.mark.usefixtures('study')
def test_a_run_keeps_what_it_uses(capsys):
    code = (
        'import sys\nfrom lacuna.utils.cache_contents import using\nfrom lacuna.utils.cache import cache_dir\n'
        'with using(cache_dir()):\n    print("now", flush=True)\n    sys.stdin.read()'
    )
    runs = [
        subprocess.Popen(
            [sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]  # runs do not keep each other out
    assert [run.stdout.readline() for run in runs] == ['now\n', 'now\n']
    before = kept()
    capsys.readouterr()
    assert main(['cache', '--clear']) == 2
    assert 'a run is using' in capsys.readouterr().err
    assert kept() == before
    runs[0].communicate()
    runs[1].kill()
    runs[1].communicate()
    assert main(['cache', '--clear']) == 0
    assert main(['cache', '--clear']) == 0  # nothing is there any more
