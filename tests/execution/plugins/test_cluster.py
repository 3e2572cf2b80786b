"""The plugin file, jobs, and the batch systems that cannot be had here: by stand-ins that record how they are called."""

import json
import os
import shlex
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from helpers.cohort import tree, write_cohort
from helpers.paths import ROOT
from hypothesis import given
from hypothesis import strategies as st
from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from lacuna.cli.parser import build_parser
from lacuna.cli.run import make_config
from lacuna.errors import InputError
from lacuna.execution.plugins.batch import BATCH_SYSTEMS, BatchError, Request
from lacuna.execution.plugins.cluster import group_into_jobs
from lacuna.execution.plugins.file import PluginChoice, read_plugin
from lacuna.execution.plugins.jobs import outcomes_path, read_outcomes, write_job

# the plugin file


@pytest.mark.parametrize(
    ('name', 'text', 'expected'),
    [
        ('p.yml', 'plugin: multiproc\nplugin_args: {n_procs: 4, memory_gb: 7.5}', ('MultiProc', 4, 7.5)),
        ('p.toml', 'plugin = "Linear"', ('Linear', 1, None)),
        (
            'p.yaml',
            'plugin: slurm\nplugin_args:\n  sbatch_args: "-p long -A x"\n  time: "1:00:00"',
            ('SLURM', 1, None),
        ),
        ('p.json', '{"plugin": "HTCondor", "plugin_args": {"n_procs": 8}}', ('Condor', 8, None)),
    ],
)
def test_plugin_file(tmp_path, name, text, expected):
    path = tmp_path / name
    path.write_text(text)
    plugin = read_plugin(path)
    assert (plugin.name, plugin.resources.get('nprocs'), plugin.resources.get('mem_gb')) == expected


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('plugin: SLRUM', "no plugin 'SLRUM' (did you mean 'slurm'?)"),
        ('plugin: SLURMGraph', "returns at once, before anything is done; write 'plugin: SLURM'"),
        ('plugin: [SLURM]', 'does not name a plugin'),
        ('- SLURM', 'does not name a plugin'),
        ('', 'does not name a plugin'),
        ('plugin: SLURM\nargs: {}', "has 'args'"),
        ('plugin: SLURM\nplugin_args: 3', 'plugin_args is 3'),
        ('plugin: SLURM\nplugin_args: {sbatch_arg: x}', "no 'sbatch_arg' (did you mean 'sbatch_args'?)"),
        ('plugin: SLURM\nplugin_args: {qsub_args: x}', "SLURM knows no 'qsub_args'"),
        ('plugin: SLURM\nplugin_args: {sbatch_args: "it\'s"}', 'options as on a command line'),
        # YAML takes this for 3600
        ('plugin: SLURM\nplugin_args: {time: 1:00:00}', "in quotes, such as '2:00:00'"),
        ('plugin: MultiProc\nplugin_args: {n_procs: true}', 'n_procs is True; write a whole number'),
        ('plugin: MultiProc\nplugin_args: {memory_gb: .nan}', 'write a number above 0'),
        ('plugin: Linear\nplugin_args: {n_procs: 2}', 'it knows no settings'),
        ('plugin: !!python/object/apply:os.system ["touch made"]', 'neither YAML nor TOML'),
        ('plugin: "SLURM', 'neither YAML nor TOML'),
        ('[' * 5000, 'neither YAML nor TOML'),
        ('x: !!timestamp no', 'neither YAML nor TOML'),
        ('#' * 200_000, 'too large'),
    ],
)
def test_a_plugin_file_that_is_wrong(tmp_path, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'plugin.yml'
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_plugin(path)
    message = str(error.value)
    assert said in message
    assert str(path) in message
    assert '\n' not in message
    assert tree(tmp_path) == {'plugin.yml'}


@pytest.mark.parametrize('name', ['absent.yml', '.'])
def test_a_plugin_file_that_cannot_be_read(tmp_path, name):
    with pytest.raises(InputError, match='cannot be read'):
        read_plugin(tmp_path / name)


@given(
    st.one_of(
        st.binary(max_size=200), st.text('{}[]&*!|>:- \n"\'#%@`,?abc0.1e9~<=', max_size=80).map(str.encode)
    )
)
def test_any_plugin_file_is_read_or_refused(tmp_path_factory, content):
    for suffix in ('.yml', '.toml'):
        path = tmp_path_factory.getbasetemp() / f'any{suffix}'
        path.write_bytes(content)
        with pytest.raises(InputError):
            read_plugin(path)


@pytest.mark.parametrize(
    ('given', 'nprocs', 'mem_gb'), [((), 4, 7.5), (('--nprocs', '2'), 2, 7.5), (('--mem-gb', '3'), 4, 3)]
)
def test_what_is_given_wins_over_the_plugin_file(tmp_path, given, nprocs, mem_gb):
    path = tmp_path / 'plugin.yml'
    path.write_text('plugin: MultiProc\nplugin_args: {n_procs: 4, memory_gb: 7.5}')
    words = ['run', 'snm', 'bids', 'out', '--connectome-path', 't.tck', '--use-plugin', str(path), *given]
    config = make_config(build_parser().parse_args(words))
    assert (config.nprocs, config.mem_gb, config.use_plugin.path) == (nprocs, mem_gb, path)
    assert 'plugin' not in config.command_line()  # it changes no result


def test_a_program_that_is_missing(toy, tmp_path, lacuna_command):
    plugin = tmp_path / 'plugin.yml'
    plugin.write_text('plugin: LSF')
    done = lacuna_command(
        'run', 'snm', toy.mask, tmp_path / 'out', '--connectome-path', toy.tracks, '--use-plugin', plugin
    )
    assert done.returncode == 2
    assert (
        done.stderr == 'lacuna: LSF was asked for (--use-plugin), and bsub, bjobs, bkill is not on the PATH\n'
    )


# jobs


def add_one(number):
    return number + 1


def fail(number):
    message = f'no {number}'
    raise ValueError(message)


def chain(name, *functions):
    """Nodes one behind the other."""
    workflow = pe.Workflow(name=name)
    nodes = [
        pe.Node(niu.Function(function=function, output_names=['number']), name=f'n{place}')
        for place, function in enumerate(functions)
    ]
    nodes[0].inputs.number = 1
    workflow.add_nodes(nodes)
    for first, then in pairwise(nodes):
        workflow.connect(first, 'number', then, 'number')
    return workflow


def flat(tmp_path, *parts, name='all'):
    workflow = pe.Workflow(name=name, base_dir=str(tmp_path))
    workflow.add_nodes(parts)
    # as Workflow.run does before it hands the graph to a plugin
    graph = pe.generate_expanded_graph(workflow._create_flat_graph())
    for node in graph:
        node.base_dir = str(tmp_path)
        node.config = workflow.config
    workflow._set_needed_outputs(graph)
    workflow._configure_exec_nodes(graph)
    return graph


def test_what_is_one_job(tmp_path):
    light = pe.Node(niu.Function(function=add_one), name='light', run_without_submitting=True)
    heavy = pe.Node(niu.Function(function=add_one), name='heavy', run_without_submitting=True, n_procs=3)
    heavy.plugin_args = {'submit': True}
    masks = [chain(name, add_one, add_one) for name in 'abc']
    graph = flat(tmp_path, light, heavy, *masks)
    jobs = list(group_into_jobs(graph, ['all.a', 'all.b', 'all.c'], masks_per_job=2))
    names = {each.name: getattr(each, 'parts', None) for each in jobs}
    assert set(names) == {'light', 'all.heavy', 'a_and_1_more', 'c'}
    assert names['light'] is None
    assert [[node.fullname for node in part] for part in names['a_and_1_more']] == [
        ['all.a.n0', 'all.a.n1'],
        ['all.b.n0', 'all.b.n1'],
    ]
    assert next(each.n_procs for each in jobs if each.name == 'all.heavy') == 3


def test_a_job_says_what_became_of_its_parts(tmp_path):
    graph = flat(tmp_path, chain('a', add_one, fail, add_one), chain('b', add_one, add_one))
    path = tmp_path / 'x.job'
    write_job(path, [job.parts[0] for job in group_into_jobs(graph, ['all.a', 'all.b'])], updatehash=False)
    assert read_outcomes(path) == []
    # as on the cluster: a process that knows nothing but the file
    tests = str(ROOT / 'tests')
    code = f'import sys; sys.path.insert(0, {tests!r}); from lacuna.execution.plugins.jobs import run_job; run_job({path!r})'
    code = code.replace('PosixPath', '__import__("pathlib").Path')
    subprocess.run([sys.executable, '-c', code], check=True, capture_output=True)
    bad, good = read_outcomes(path)
    assert bad.failed == 1
    assert 'ValueError: no 2\n' in ''.join(bad.traceback)
    assert (good.failed, good.traceback) == (None, [])
    assert 0 < good.seconds < 60
    assert good.peak_memory > 2**20
    assert not (tmp_path / 'all/a/n2').exists()
    assert json.loads(outcomes_path(path).read_text())[1] == list(good)


def wait(number):  # noqa: ARG001
    import time
    from pathlib import Path

    Path('begun').touch()
    time.sleep(60)


def test_a_job_that_is_ended_from_outside_says_nothing_of_what_it_did(tmp_path):
    """Nipype would call it an error of the node; whoever asks the batch system gets the right reason."""
    path = tmp_path / 'x.job'
    graph = flat(tmp_path, chain('a', add_one), chain('b', wait))
    write_job(path, [job.parts[0] for job in group_into_jobs(graph, ['all.a', 'all.b'])], updatehash=False)
    with subprocess.Popen(
        [sys.executable, '-m', 'lacuna.execution.plugins.jobs', path], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT / 'tests'), *sys.path])},
    ) as job:  # fmt: skip
        while not (tmp_path / 'all/b/n0/begun').exists():
            assert job.poll() is None
            time.sleep(0.05)
        job.terminate()
        said = job.communicate(timeout=20)[1]
    assert job.returncode == 1
    assert said.endswith('ended from outside\n')
    assert [outcome.failed for outcome in read_outcomes(path)] == [None]


def test_the_start_of_a_job_is_light():
    """Before its nodes are known, nothing of Nipype or of the command line is there."""
    code = 'import lacuna.execution.plugins.jobs, sys; print([m for m in ("nipype", "numpy", "nibabel", "lacuna.cli") if m in sys.modules])'
    assert (
        subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
        == '[]\n'
    )


def test_a_job_of_a_run_that_has_ended(tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'lacuna.execution.plugins.jobs', tmp_path / 'gone.job'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert 'the run that submitted this job has ended' in done.stderr


# batch systems

JOB = Request('sub_01', Path('/w k/s.sh'), Path('/w k/s.log'), processors=2, memory_mb=1536, seconds=5400)


@pytest.mark.parametrize(
    ('system', 'args', 'line'),
    [
        ('SLURM', {}, "--job-name=sub_01 '--output=/w k/s.log' --cpus-per-task=2 --mem=1536M --time=1:30:00 '/w k/s.sh'"),
        # words that hold -o or -e are no -o or -e
        (
            'SLURM',
            {'sbatch_args': '--mem-per-cpu=2G --constraint=gpu-only -c4 -t 10 -o x'},
            "--job-name=sub_01 --mem-per-cpu=2G --constraint=gpu-only -c4 -t 10 -o x '/w k/s.sh'",
        ),
        ('SGE', {}, "-N sub_01 -o '/w k/s.log' -j y -S /bin/sh -l h_rt=1:30:00 '/w k/s.sh'"),
        (
            'SGE',
            {'parallel_environment': 'smp', 'memory_gb': 1.5, 'qsub_args': '-q short.q'},
            "-N sub_01 -o '/w k/s.log' -j y -S /bin/sh -pe smp 2 -l h_vmem=768M -l h_rt=1:30:00 -q short.q '/w k/s.sh'",
        ),
        (
            'PBS',
            {'qsub_args': '-q long'},
            "-N sub_01 -o '/w k/s.log' -j oe -l select=1:ncpus=2:mem=1536mb -l walltime=1:30:00 -q long '/w k/s.sh'",
        ),
        (
            'PBS',
            {'qsub_args': '-l nodes=1:ppn=2,walltime=99:00:00'},
            "-N sub_01 -o '/w k/s.log' -j oe -l nodes=1:ppn=2,walltime=99:00:00 '/w k/s.sh'",
        ),
        (
            'LSF',
            {'bsub_args': '-q normal'},
            "-J sub_01 -o '/w k/s.log' -n 2 -R 'span[hosts=1]' -M 1536MB -W 1:30 -q normal /bin/sh ''\"'\"'/w k/s.sh'\"'\"''",
        ),
    ],
)  # fmt: skip
def test_submit_lines(system, args, line):
    each = BATCH_SYSTEMS[system]
    assert shlex.join(each.words(JOB, shlex.split(args.get(each.options, '')), args)) == line


SUBMIT = {
    'SGE': ('qsub', 'script="$last"', 'Your job $$ ("name") has been submitted'),
    'PBS': ('qsub', 'script="$last"', '$$.server'),
    'LSF': ('bsub', 'eval "script=$last"', 'Job <$$> is submitted to default queue <normal>.'),
    'Condor': (
        'condor_submit',
        'script=$(sed -n "s/^executable = //p" "$last")',
        'Submitting job(s).\n1 job(s) submitted to cluster $$.',
    ),
}
OTHERS = {'SGE': 'qstat qdel', 'PBS': 'qstat qdel', 'LSF': 'bjobs bkill', 'Condor': 'condor_q condor_rm'}


def stand_in(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f'#!/bin/sh\n{text}\n')
    (folder / name).chmod(0o755)


def maps(output):
    return {name: (output / name).read_bytes() for name in tree(output) if name.endswith('.nii.gz')}


@pytest.fixture(scope='module')
def maps_made_here(tmp_path_factory, lacuna_command):
    folder = tmp_path_factory.mktemp('here')
    toy = write_cohort(folder, 2)
    done = lacuna_command(
        'run', 'snm', folder / 'bids', folder / 'out', '--connectome-path', toy.tracks, '-w', folder / 'work', '--no-report',
        LACUNA_CACHE_DIR=str(folder / 'cache'),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return maps(folder / 'out')


@pytest.mark.slow
@pytest.mark.parametrize('system', SUBMIT)
def test_a_run_on_a_stand_in(tmp_path, monkeypatch, lacuna_command, maps_made_here, system):
    """It records the words, and runs the script at once."""
    toy = write_cohort(tmp_path, 2)
    programs, recorded = tmp_path / 'bin', tmp_path / 'words'
    name, find_script, says = SUBMIT[system]
    stand_in(
        programs, name,
        f'printf "%s\\n" "$@" > {recorded}.$$\nfor last; do :; done\n{find_script}\n"$script" >/dev/null 2>&1\n'
        f"cat <<END\n{says}\nEND",
    )  # fmt: skip
    for other in OTHERS[system].split():
        stand_in(programs, other, 'exit 0')
    monkeypatch.setenv('PATH', str(programs), prepend=':')
    plugin = tmp_path / 'plugin.yml'
    plugin.write_text(f'plugin: {system}\nplugin_args: {{n_procs: 2, memory_gb: 1.25}}')
    done = lacuna_command(
        'run', 'snm', tmp_path / 'bids', tmp_path / 'out', '--connectome-path', toy.tracks, '-w', tmp_path / 'my work',
        '--no-report', '--use-plugin', plugin,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '2 masks done' in done.stdout
    lines = [path.read_text() for path in tmp_path.glob('words.*')]
    assert len(lines) == 3  # the index, and each mask
    for_memory = {'SGE': 'h_vmem=', 'PBS': 'mem=1280mb', 'LSF': '1280MB', 'Condor': 'request_memory = 1280MB'}
    assert all(for_memory[system] in line for line in lines)
    for_two = {'PBS': 'ncpus=2', 'LSF': '-n\n2\n', 'Condor': 'request_cpus = 2', 'SGE': 'h_vmem=640M'}
    assert sum(for_two[system] in line for line in lines) == 1  # the index only

    assert maps(tmp_path / 'out') == maps_made_here
    assert len(maps_made_here) == 3


def test_a_job_that_ends_without_a_result(tmp_path, monkeypatch, lacuna_command):
    toy = write_cohort(tmp_path, 1)
    stand_in(tmp_path / 'bin', 'qsub', 'echo 12.server')
    stand_in(tmp_path / 'bin', 'qstat', 'echo "11.server  other  me  0  R workq"')
    stand_in(tmp_path / 'bin', 'qdel', 'exit 0')
    monkeypatch.setenv('PATH', str(tmp_path / 'bin'), prepend=':')
    plugin = tmp_path / 'plugin.toml'
    plugin.write_text('plugin = "pbs"\n[plugin_args]\njob_finished_timeout = 0.5')
    done = lacuna_command(
        'run', 'snm', toy.mask, tmp_path / 'out', '--connectome-path', toy.tracks, '-w', tmp_path / 'w',
        '--use-plugin', plugin, '--no-report',
    )  # fmt: skip
    assert done.returncode == 1
    assert 'PBS job 12 ended: it left no result; its log: ' in done.stderr
    assert '1 of 1 masks failed' in done.stderr


@pytest.mark.parametrize(
    ('system', 'printed', 'code', 'expected'),
    [
        ('SLURM', '12 PENDING\n13 RUNNING\n14 COMPLETING\n', 0, {'12', '13', '14'}),
        (
            'SGE',
            (
                'job-ID  prior   name       user         state submit/start at     queue      slots ja-task-ID\n'
                '-----------------------------------------------------------------------------------------\n'
                '     12 0.55500 sub_01_lab me           r     11/23/2026 04:00:00 all.q@node1    2\n'
                '     13 0.00000 sub_02_lab me           qw    11/23/2026 04:00:00                2\n'
                '     14 0.00000 sub_03_lab me           Eqw   11/23/2026 04:00:00                2\n'
            ),
            0,
            {'12', '13'},
        ),
        (
            'PBS',
            (
                'Job id            Name             User              Time Use S Queue\n'
                '----------------  ---------------- ----------------  -------- - -----\n'
                '12.server         sub_01_label_les me                00:00:01 R workq\n'
                '13.server         sub_02_label_les me                       0 Q workq\n'
                '14.server         sub_03_label_les me                00:00:09 C workq\n'
            ),
            0,
            {'12', '13'},
        ),
        (
            'LSF',
            (
                'JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME\n'
                '12      me      RUN   normal     login       node1       sub_EXIT   Nov 23 04:00\n'
                '13      me      PEND  normal     login                   sub_02     Nov 23 04:00\n'
            ),
            0,
            {'12', '13'},
        ),
        ('LSF', 'No unfinished job found', 255, set()),
        # held ones would never end
        ('Condor', '12 1\n13 2\n14 5\n', 0, {'12', '13'}),
        ('SLURM', '', 1, None),
    ],
)
def test_lists_of_jobs(tmp_path, monkeypatch, system, printed, code, expected):
    (tmp_path / 'printed').write_text(printed)
    stand_in(tmp_path / 'bin', BATCH_SYSTEMS[system].listing()[0], f'cat {tmp_path}/printed; exit {code}')
    monkeypatch.setenv('PATH', str(tmp_path / 'bin'), prepend=':')
    assert BATCH_SYSTEMS[system].unfinished() == expected


def test_a_refusal_is_told(tmp_path, monkeypatch):
    stand_in(tmp_path / 'bin', 'qsub', 'echo "qsub: would exceed the limit" >&2; exit 38')
    monkeypatch.setenv('PATH', str(tmp_path / 'bin'), prepend=':')
    with pytest.raises(BatchError, match='qsub did not take the job sub_01: qsub: would exceed the limit'):
        BATCH_SYSTEMS['PBS'].run(JOB, PluginChoice('PBS').args)
