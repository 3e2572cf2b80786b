"""The file of ``--use-plugin``: what is taken, and what is refused."""

import pytest
from helpers.cohort import tree
from hypothesis import given
from hypothesis import strategies as st

from lacuna.cli.parser import build_parser
from lacuna.cli.run import make_config
from lacuna.errors import InputError
from lacuna.execution.plugins.file import read_plugin


@pytest.mark.parametrize(
    ('name', 'text', 'expected'),
    [
        ('p.yml', 'plugin: multiproc\nplugin_args: {n_procs: 4, memory_gb: 7.5}', ('MultiProc', 4, 7.5)),
        ('p.toml', 'plugin = "Linear"', ('Linear', 1, None)),
        (
            'p.yaml',
            'plugin: slurm\nplugin_args:\n  sbatch_args: "-p long -A x"\n  time: "1:00:00"',
            ('Dask', 1, None),
        ),
        (
            'p.yml',
            'plugin: Dask\nplugin_args: {cluster: PBSCluster, options: {cores: 6, memory: 9GB}}',
            ('Dask', 6, None),
        ),
        ('p.json', '{"plugin": "HTCondor", "plugin_args": {"n_procs": 8}}', ('Dask', 8, None)),
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
        ('plugin: SLRUM', "'SLRUM' (did you mean 'slurm'?)"),
        ('plugin: SLURMGraph', "write 'plugin: SLURM'"),
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
        ('plugin: Dask', 'names no cluster'),
        ('plugin: Dask\nplugin_args: {cluster: SlurmCluster}', 'one of SLURMCluster'),
        ('plugin: Dask\nplugin_args: {cluster: SLURMCluster, options: [1]}', 'options is [1]'),
        ('plugin: Dask\nplugin_args: {cluster: SLURMCluster, options: {cores: many}}', 'cores'),
        ('plugin: Dask\nplugin_args: {cluster: SLURMCluster, jobs: 2, maximum: 3}', 'jobs or maximum'),
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


@pytest.mark.parametrize(
    ('text', 'cluster', 'options', 'jobs'),
    [
        (
            'plugin: SLURM\nplugin_args: {sbatch_args: "-p long -A x", time: "1:00:00", n_procs: 2, memory_gb: 3, max_jobs: 7}',
            'SLURMCluster',
            {'cores': 2, 'memory': '3GB', 'walltime': '1:00:00', 'job_extra_directives': ['-p long -A x']},
            7,
        ),
        (
            'plugin: SGE\nplugin_args: {qsub_args: "-q all.q", parallel_environment: smp, n_procs: 4}',
            'SGECluster',
            {'cores': 4, 'job_extra_directives': ['-q all.q', '-pe smp 4']},
            None,
        ),
        (
            'plugin: PBS\nplugin_args: {template: "#!/bin/sh\\nmodule load x"}',
            'PBSCluster',
            {'job_script_prologue': ['module load x']},
            None,
        ),
        (
            'plugin: LSF\nplugin_args: {bsub_args: "-q long"}',
            'LSFCluster',
            {'job_extra_directives': ['-q long']},
            None,
        ),
        ('plugin: condor\nplugin_args: {memory_gb: 2}', 'HTCondorCluster', {'memory': '2GB'}, None),
    ],
)
def test_a_file_for_a_plugin_of_nipype_is_understood(tmp_path, text, cluster, options, jobs):
    path = tmp_path / 'plugin.yml'
    path.write_text(text.replace('"#!/bin', '"#!/bin'))
    plugin = read_plugin(path)
    assert plugin.args['cluster'] == cluster
    assert plugin.args['options'] == options
    assert plugin.args.get('jobs') == jobs
    assert any(cluster in note for note in plugin.notes)


def test_settings_without_a_meaning_are_named(tmp_path):
    path = tmp_path / 'plugin.yml'
    path.write_text('plugin: SLURM\nplugin_args: {masks_per_job: 3, job_finished_timeout: 5}')
    assert any('masks_per_job' in note and 'job_finished_timeout' in note for note in read_plugin(path).notes)
