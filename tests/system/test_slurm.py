"""Runs with Dask on a real SLURM: the same results, and nothing lost when jobs are cancelled, lose their node, or are killed."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil
import pytest
from helpers.cohort import find, tree, write_cohort
from helpers.waiting import HANGS

from lacuna.images.spaces import standard_grid
from lacuna.testing import world_coordinates, write_mask

pytestmark = [pytest.mark.shared, pytest.mark.slurm, pytest.mark.slow]  # all on one SLURM, so in one file

MASKS = 3
#: enough to be disturbed
MANY = 150


def ask(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=HANGS).stdout


def free_ports(count):
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(('127.0.0.1', 0))
        return [each.getsockname()[1] for each in (one, other)][:count]


@pytest.fixture(scope='module')
def slurm(tmp_path_factory, shared):
    """One node on the loopback, for the tests of this file."""
    tool = shared / 'tools/slurm_up.sh'
    ports = free_ports(2)
    folder = tmp_path_factory.mktemp('slurm')
    own = {
        'SLURM_CI_DIR': str(folder), 'SLURM_CONF': str(folder / 'slurm.conf'),
        'SLURM_CI_CTLD_PORT': str(ports[0]), 'SLURM_CI_SLURMD_PORT': str(ports[1]),
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        # as in many a container; and with `OMP_NUM_THREADS`, `nproc` tells fewer processors than there are
        for name in ('LOGNAME', 'USER', 'OMP_NUM_THREADS'):
            patch.delenv(name, raising=False)
        started = subprocess.run([tool, 'up'], capture_output=True, text=True, check=False)
        if started.returncode:
            pytest.skip(f'SLURM does not start here: {started.stderr.strip()}')
        yield
        subprocess.run([tool, 'down'], capture_output=True, check=True)


@pytest.fixture(autouse=True)
def _empty_queue(slurm):  # noqa: ARG001
    yield
    ask('scancel', f'--user={os.getuid()}')
    wait_for(lambda: not ask('squeue', '-h'))


def wait_for(condition):
    for _ in range(4000):
        if found := condition():
            return found
        time.sleep(0.1)
    pytest.fail(
        f'waited for several minutes; the queue: {ask("squeue")}; the node: {ask("scontrol", "show", "node")}'
    )


class Study:
    """The toy with some masks, and a run of it on the cluster."""

    def __init__(self, folder, masks=MASKS, **options):
        self.folder = folder
        self.toy = write_cohort(folder, masks)
        self.output = folder / 'output'
        self.options = ['--no-report']
        self.plugin(**options)

    def add_atlas(self):
        grid = standard_grid('MNI152NLin6Asym', 1)
        x, _, _ = world_coordinates(grid.shape, grid.affine)
        image = write_mask(self.folder / 'halves.nii.gz', 1 + (x > 0), grid.affine)
        labels = self.folder / 'halves.txt'
        labels.write_text('left\nright\n')
        self.options += ['--compute-roi-disconnection', '--compute-disconnectivity-matrix']
        self.options += ['--custom-parcellation', 'halves', str(image), str(labels), 'MNI152NLin6Asym']

    def plugin(self, jobs=1, **options):
        """The plugin file; jobs that hold little, so that SLURM lets several run at a time."""
        options = {'memory': '500MB', 'log_directory': str(self.folder / 'jobs'), **options}
        lines = ['plugin = "Dask"', '[plugin_args]', 'cluster = "SLURMCluster"', f'jobs = {jobs}']
        lines += ['[plugin_args.options]', *(f'{key} = {value!r}' for key, value in options.items())]
        (self.folder / 'plugin.toml').write_text('\n'.join(lines))

    def command(self):
        return [
            sys.executable, '-m', 'lacuna', 'run', 'snm', str(self.folder / 'bids'), str(self.output),
            '--connectome-path', str(self.toy.tracks), '-w', str(self.folder / 'my work; $HOME'), *self.options,
        ]  # fmt: skip

    def on_cluster(self):
        return [*self.command(), '--use-plugin', str(self.folder / 'plugin.toml')]

    def run(self):
        return subprocess.run(self.on_cluster(), capture_output=True, text=True, check=False, timeout=HANGS)

    @contextmanager
    def running(self):
        """A run in the background; what it printed is added when the block ends, which is when it has ended."""
        with subprocess.Popen(
            self.on_cluster(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as run:
            try:
                yield run
                run.said, run.complained = run.communicate(timeout=HANGS)
            finally:
                run.kill()

    def results(self):
        """The content of all results."""
        names = [name for name in tree(self.output) if not name.startswith('logs/')]
        return {name: (self.output / name).read_bytes() for name in names}

    def maps(self):
        return find(self.output, '*_desc-disconnectionpct.nii.gz')


def jobs(*states):
    """Numbers of the jobs in these states, such as ``R`` and ``PD``."""
    return ask('squeue', '-h', '-t', ','.join(states), '-o', '%i').split()


def all_jobs():
    """What SLURM remembers of all jobs, in their order."""
    lines = ask('scontrol', 'show', 'job', '--oneliner').splitlines()
    return [line for line in lines if line.startswith('JobId=')]


def test_the_same_results_as_here(tmp_path):
    study = Study(tmp_path, jobs=2, job_extra_directives=['--comment "two words; $(false)"'])
    study.add_atlas()
    before = len(all_jobs())
    done = study.run()
    assert done.returncode == 0, done.stderr
    assert f'{MASKS} masks done' in done.stdout
    assert len(study.maps()) == MASKS
    lines = all_jobs()[before:]
    assert 1 <= len(lines) <= 2
    assert all('CPUs/Task=1 ' in line and 'two words; $(false)' in line for line in lines)
    assert not list((tmp_path / 'my work; $HOME').iterdir())

    on_cluster = study.results()
    shutil.rmtree(study.output)
    own_cache = {**os.environ, 'LACUNA_CACHE_DIR': str(tmp_path / 'cache')}
    subprocess.run(study.command(), check=True, capture_output=True, env=own_cache)
    assert study.results() == on_cluster


def test_a_file_for_nipypes_own_plugin(tmp_path):
    study = Study(tmp_path)
    (tmp_path / 'plugin.toml').write_text(
        'plugin = "SLURM"\n[plugin_args]\nsbatch_args = "--comment ours"\nmemory_gb = 0.5\nmax_jobs = 1'
    )
    before = len(all_jobs())
    done = study.run()
    assert done.returncode == 0, done.stderr
    assert 'SLURMCluster' in done.stderr
    assert all('Comment=ours' in line for line in all_jobs()[before:])
    assert len(study.maps()) == MASKS


def test_one_mask_is_bad(tmp_path):
    """Its results cannot be written."""
    study = Study(tmp_path)
    bad = study.output / 'sub-02'
    bad.parent.mkdir()
    bad.write_text('in the way of a folder')
    done = study.run()
    assert done.returncode == 1, done.stderr
    assert '1 of 3 masks failed' in done.stderr
    assert 'sub-02' in (study.output / 'logs/failed_masks.tsv').read_text()
    assert len(study.maps()) == MASKS - 1


def _disturb(study, disturb):
    """A run of many masks, with a disturbance after the first; it has to end with all of them."""
    with study.running() as run:
        wait_for(lambda: study.maps() or run.poll() is not None)
        disturb()
    assert run.returncode == 0, run.complained
    assert len(study.maps()) == MANY


def test_jobs_are_cancelled(tmp_path):
    study = Study(tmp_path, MANY, jobs=2)
    _disturb(study, lambda: ask('scancel', *jobs('R')))


def test_workers_are_killed(tmp_path):
    """As by the kernel, for their memory: the process of the worker, whose nanny starts another."""
    study = Study(tmp_path, MANY)

    def kill():
        for process in psutil.process_iter(['cmdline', 'environ']):
            about = process.info
            if 'spawn_main' in ' '.join(about['cmdline'] or []) and 'SLURM_JOB_ID' in (
                about['environ'] or {}
            ):
                process.kill()

    _disturb(study, kill)


def test_the_node_goes_down_and_comes_back(tmp_path):
    study = Study(tmp_path, MANY)
    node = socket.gethostname().partition('.')[0]

    def disturb():
        ask('scontrol', 'update', f'NodeName={node}', 'State=DOWN', 'Reason=test')
        wait_for(lambda: not jobs('R'))
        subprocess.run(['scontrol', 'update', f'NodeName={node}', 'State=RESUME'], check=False)
        wait_for(lambda: {'idle', 'mixed', 'allocated'} & set(ask('sinfo', '-h', '-o', '%T').split()))
        for number in jobs('PD'):  # SLURM would let them wait for two minutes
            subprocess.run(['scontrol', 'update', f'JobId={number}', 'StartTime=now'], check=False)

    _disturb(study, disturb)


def test_an_interrupt_cancels_the_jobs(tmp_path):
    study = Study(tmp_path, MANY)
    with study.running() as run:
        wait_for(lambda: jobs('R'))
        run.send_signal(signal.SIGINT)
    assert run.returncode == 130
    wait_for(lambda: not ask('squeue', '-h'))

    done = study.run()
    assert done.returncode == 0, done.stderr
    assert len(study.maps()) == MANY


def test_sbatch_refuses_and_says_why(tmp_path):
    study = Study(tmp_path, queue='nowhere')
    done = study.run()
    assert done.returncode == 2
    assert 'invalid partition specified: nowhere' in done.stderr
    assert 'Traceback' not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_as_an_array(tmp_path):
    """One job of the array is cancelled: what is missing is said, the others can be collected, and it is run again."""
    study = Study(tmp_path)
    study.add_atlas()
    lacuna = [sys.executable, '-m', 'lacuna']
    words = study.command()[5:]
    # a cold cache, which the jobs share: one builds the index, the others wait for it
    cold = {**os.environ, 'LACUNA_CACHE_DIR': str(tmp_path / 'cache')}
    script = ask(*lacuna, 'slurm', '--jobs', str(MASKS), '--cpus', '1', '--time', '20', *words)
    (tmp_path / 'job.sh').write_text(script)
    slow = script.replace('\nexec', '\n[ "$SLURM_ARRAY_TASK_ID" != 2 ] || sleep 1000\nexec')
    (tmp_path / 'slow.sh').write_text(slow)
    submit = ['sbatch', '--parsable', '--wait']
    with subprocess.Popen(
        [*submit, tmp_path / 'slow.sh'], env=cold, stdout=subprocess.PIPE, text=True
    ) as array:
        number = array.stdout.readline().strip()
        # at once: on a machine with one processor, the others wait for it
        wait_for(lambda: f'{number}_2' in jobs('R'))
        ask('scancel', f'{number}_2')
    assert array.returncode != 0
    logs = [path.read_text() for path in (study.output / 'logs').glob('slurm-*')]
    assert len(study.maps()) == MASKS - 1, logs
    assert len(list((tmp_path / 'cache/index').iterdir())) == 1

    check = subprocess.run([*lacuna, 'check', study.output], capture_output=True, text=True, check=False)
    assert check.returncode == 1
    assert [line.split('\t')[0] for line in check.stdout.splitlines() if 'missing: no results' in line] == [
        'sub-02_label-lesion'
    ]
    group = [*lacuna, 'collect', study.output, '--no-report', '--output-dir', tmp_path / 'group']
    assert subprocess.run(group, capture_output=True, check=False).returncode == 1  # one mask has no results
    ask(*group, '--allow-missing')
    (table,) = (tmp_path / 'group').glob('*_desc-disconnectionpct_parcelstats.tsv')
    rows = {line.split('\t')[0]: set(line.split('\t')[3:]) for line in table.read_text().splitlines()[1:]}
    assert list(rows) == ['sub-01', 'sub-02', 'sub-03']
    assert [subject for subject, values in rows.items() if values == {'n/a'}] == ['sub-02']

    again = subprocess.run([*submit, '--array=2', tmp_path / 'job.sh'], env=cold, check=False)
    assert again.returncode == 0
    assert subprocess.run([*lacuna, 'check', study.output], capture_output=True, check=False).returncode == 0
    by_array = study.results()
    shutil.rmtree(study.output)
    subprocess.run(study.command(), check=True, capture_output=True)
    assert study.results() == by_array
