"""The script of a job array, run as SLURM would run it: by bash, with the number of the job in the environment."""

import os
import subprocess

import pytest
from helpers.cohort import tree, write_cohort

from lacuna.cli import main

MASKS = 3


@pytest.fixture
def script(tmp_path, capsys):
    """``lacuna slurm`` on a cohort in a folder whose name has to be quoted."""
    folder = tmp_path / "it's; here"
    folder.mkdir()
    toy = write_cohort(folder, MASKS)
    out = tmp_path / 'out'

    def make(*options, run_options=()):
        words = [
            'slurm',
            *options,
            folder / 'bids',
            out,
            '--connectome-path',
            toy.tracks,
            '--no-report',
            '-w',
        ]
        code = main([*map(str, words), str(tmp_path / 'work'), *run_options])
        return code, *capsys.readouterr()

    return make


def test_the_jobs_together_make_everything(script, tmp_path):
    code, text, _ = script(
        '--jobs', '2', '--time', '10', '--sbatch=--partition=debug', run_options=['--mem-gb', '1.5']
    )
    assert code == 0
    options = [line for line in text.splitlines() if line.startswith('#SBATCH')]
    assert options == [
        '#SBATCH --job-name=lacuna', '#SBATCH --array=1-2', '#SBATCH --ntasks=1', '#SBATCH --cpus-per-task=2',
        '#SBATCH --time=10', '#SBATCH --mem=1536M', '#SBATCH --partition=debug',
        f'#SBATCH --output={tmp_path}/out/logs/slurm-%A_%a.out',
    ]  # fmt: skip
    assert (tmp_path / 'out/logs').is_dir()  # sbatch would not make it
    (tmp_path / 'job.sh').write_text(text)
    for job, masks in (('1', 2), ('2', 1)):
        done = subprocess.run(
            ['bash', tmp_path / 'job.sh'],
            env={**os.environ, 'SLURM_ARRAY_TASK_ID': job},
            cwd='/',
            capture_output=True,
            text=True,
            check=True,
        )
        assert f'done ({masks} now)' in done.stdout
    maps = [name for name in tree(tmp_path / 'out') if name.endswith('_desc-disconnectionpct.nii.gz')]
    assert len(maps) == MASKS


@pytest.mark.parametrize(
    ('options', 'run_options', 'says'),
    [
        (['--jobs', '0'], [], '--jobs 0'),
        (['--jobs', '2', '--time', 'tomorrow'], [], '--time tomorrow'),
        (['--jobs', '2', '--sbatch', 'long'], [], '--sbatch long'),
        (['--jobs', '2'], ['--chunk', '1/2'], '--chunk'),
        (['--jobs', '2'], ['--use-plugin', 'slurm.yml'], '--use-plugin'),
        (['--jobs', '2'], ['--output-resolution', '2', '--mask-space', 'Talairach'], 'Talairach'),
    ],
)
def test_wrong_usage(script, options, run_options, says):
    code, out, err = script(*options, run_options=run_options)
    assert (code, out, says in err, err.count('\n')) == (2, '', True, 1), err
