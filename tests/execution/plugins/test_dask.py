"""Tasks through Dask: a scheduler that is there, workers that are killed, and what is wrong with an address."""

import os
import signal
import socket
from itertools import count, islice

import pytest
from distributed import LocalCluster
from helpers.cohort import tree, write_cohort

from lacuna.errors import InputError
from lacuna.execution.plugins.dask import DaskPool, at_scheduler, on_cluster
from lacuna.execution.start import run

MASKS = 12


@pytest.fixture(scope='module')
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=':0') as cluster:
        yield cluster


def work(number, kills):
    if kills == 'always' or (kills is not None and not kills.exists()):
        if kills != 'always':
            kills.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 3:
        raise ValueError(number)


def test_outcomes_come_as_tasks_end(cluster):
    with at_scheduler(cluster.scheduler_address) as pool:
        assert pool.call(len, 'abc') == 3
        with pytest.raises(ValueError, match='invalid literal'):
            pool.call(int, 'x')
        reasons = {each.number: each.reason for each in pool.run(work, ((n, None) for n in range(10)))}
        assert reasons == {number: '3' if number == 3 else None for number in range(10)}


def test_arguments_are_taken_as_they_are_needed(cluster):
    """The graph of a cohort is never whole anywhere."""
    taken = []

    def endless():
        for number in count(10):
            taken.append(number)
            yield number, None

    with at_scheduler(cluster.scheduler_address) as pool:
        outcomes = pool.run(work, endless())
        assert len(list(islice(outcomes, 30))) == 30
        assert len(taken) <= 30 + 8
        outcomes.close()


@pytest.mark.slow
def test_workers_that_are_killed(tmp_path):
    """A task whose worker is killed once is done by another; one that kills every worker fails alone."""
    settings = {'cluster': 'LocalCluster', 'jobs': 2, 'options': {}}
    with on_cluster(settings, tmp_path) as pool:
        kills = {2: tmp_path / 'killed', 5: 'always'}
        outcomes = {
            each.number: each.reason
            for each in pool.run(work, ((n, kills.get(n)) for n in (0, 1, 2, 4, 5, 6)))
        }
        assert [number for number, reason in outcomes.items() if reason] == [4]  # the fifth of them
        assert 'killed' in outcomes[4]
        assert len(outcomes) == 6


def results(folder):
    return {name: (folder / name).read_bytes() for name in tree(folder) if not name.startswith('logs/')}


@pytest.mark.slow
def test_the_same_files_as_here(tmp_path, cluster, monkeypatch):
    """By a scheduler, by workers that Dask starts, and here: in the same place, for sidecars hold the paths."""
    toy = write_cohort(tmp_path, MASKS)
    plugin = tmp_path / 'plugin.yml'
    plugin.write_text('plugin: Dask\nplugin_args: {cluster: LocalCluster, jobs: 2}')
    found = []
    for place, how in (
        ('here', {'nprocs': 2}),
        ('scheduler', {'dask_scheduler': cluster.scheduler_address}),
        ('cluster', {'use_plugin': plugin}),
    ):
        monkeypatch.setenv('LACUNA_CACHE_DIR', str(tmp_path / f'cache-{place}'))
        done = run(tmp_path / 'bids', tmp_path / 'out', connectome_path=toy.tracks, report='none', **how)
        assert (len(done.finished), done.failures, done.faults) == (MASKS, (), ())
        found.append(results(tmp_path / 'out'))
        (tmp_path / 'out').rename(tmp_path / place)
    assert found[0] == found[1] == found[2]
    assert len([name for name in found[0] if name.endswith('.nii.gz')]) == MASKS + 2


def test_no_scheduler_there(tmp_path, toy):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        address = f'tcp://127.0.0.1:{taken.getsockname()[1]}'
        with pytest.raises(InputError, match=address):
            run(tmp_path / 'bids', tmp_path / 'out', connectome_path=toy.tracks, dask_scheduler=address)


@pytest.mark.parametrize('address', ['10.0.0.1', 'tcp://host', '8786'])
def test_an_address_that_is_none(tmp_path, toy, address):
    with pytest.raises(InputError, match='tcp://'):
        run(tmp_path / 'bids', tmp_path / 'out', connectome_path=toy.tracks, dask_scheduler=address)


def test_a_batch_system_that_is_not_here(tmp_path):
    with (
        pytest.raises(InputError, match='bsub'),
        on_cluster({'cluster': 'LSFCluster', 'options': {}}, tmp_path),
    ):
        pass


def test_mrtrix_needs_workers_with_one_thread():
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=':0') as several:
        with (
            pytest.raises(InputError, match='--nthreads 1'),
            at_scheduler(several.scheduler_address, one_thread=True),
        ):
            pass
        with at_scheduler(several.scheduler_address) as pool:
            assert isinstance(pool, DaskPool)
