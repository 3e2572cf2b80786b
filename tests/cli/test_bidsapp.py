"""The BIDS-App, settings read back, and what the commands say of themselves."""

import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest
from helpers.cohort import tree

from lacuna.cli import bidsapp, main
from lacuna.errors import InputError
from lacuna.execution.config import RunConfig
from lacuna.execution.settings import read_settings
from lacuna.execution.several import any_config


def results(folder):
    return {
        name: (folder / name).read_bytes()
        for name in tree(folder)
        if name.startswith('sub-') and not name.endswith('disconnectionpct.json')
    }


def test_both_levels(toy, tmp_path, options, capsys):  # noqa: ARG001
    bids, out = str(tmp_path / 'bids'), tmp_path / 'out'
    assert bidsapp.main([bids, str(out), 'participant', '--participant_label', '01', *options]) == 0
    assert main(['run', 'snm', bids, str(tmp_path / 'run'), *options]) == 0
    assert results(out) == results(tmp_path / 'run')
    assert len(results(out)) == 2
    capsys.readouterr()
    assert bidsapp.main([bids, str(out), 'group', '--no-report']) == 0
    assert 'found 1 files of 1 participants' in capsys.readouterr().out
    assert (out / 'group_label-lesion_method-snm_desc-summarystatistics_stats.tsv').is_file()
    for choice in (['--participant-label', '02'], ['--session-id', 'a']):
        assert bidsapp.main([bids, str(out), 'group', *choice]) == 2
        assert 'leave out the labels' in capsys.readouterr().err
    assert bidsapp.main([bids, str(tmp_path / 'none'), 'participant']) == 2
    assert 'name the tractogram with --connectome-path' in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        bidsapp.main([bids, str(out), 'all'])
    assert caught.value.code == 2


def test_settings_of_a_run_give_the_same_run(toy, tmp_path, options):  # noqa: ARG001
    words = ['run', 'snm', str(tmp_path / 'bids')]
    assert main([*words, str(tmp_path / 'fine'), *options, '--output-resolution', '1']) == 0
    settings = next((tmp_path / 'fine/logs').glob('*/settings.toml'))
    assert main([*words, str(tmp_path / 'again'), '--config', str(settings)]) == 0
    assert results(tmp_path / 'again') == results(tmp_path / 'fine')
    assert (
        main([*words, str(tmp_path / 'coarse'), '--config', str(settings), '--output-resolution', '2']) == 0
    )
    assert results(tmp_path / 'coarse') != results(tmp_path / 'fine')


def test_settings_survive(tmp_path):
    config = RunConfig(
        source=tmp_path, output_dir=tmp_path / 'out', connectome_path=tmp_path / 't.tck', mem_gb=2,
        participants=('01', '02'), custom_parcellations=(('a', 'b', 'c', 'd'),), compute_roi_disconnection=True,
    )  # fmt: skip
    target = tmp_path / 'settings.toml'
    target.write_text(config.to_toml())
    values = read_settings(target)
    assert values['participants'] == ['01', '02']
    assert values['custom_parcellations'] == [['a', 'b', 'c', 'd']]
    assert values['mem_gb'] == 2
    assert 'tck_upsample' not in values


@pytest.mark.parametrize(
    ('text', 'says'),
    [
        ('nonsense = 1', "'nonsense'"),
        ('nprocs = "all"', "nprocs is 'all'; expected int"),
        ('nprocs = ', 'cannot be read'),
        (None, 'No such file'),
    ],
)
def test_settings_that_are_none(tmp_path, text, says):
    target = tmp_path / 'settings.toml'
    if text:
        target.write_text(text)
    with pytest.raises(InputError, match=says):
        read_settings(target)


@pytest.mark.parametrize(
    ('settings', 'says'),
    [
        ({'nprocs': '2'}, "nprocs is '2'; expected int"),
        ({'nprocs': None}, 'nprocs is None; expected int'),
        ({'compute_networks': 'no'}, "compute_networks is 'no'; expected bool"),
        ({'output_resolution': 2.0}, 'output_resolution is 2.0; expected int'),
        (
            {'custom_parcellations': ('a', 'b.nii', 'b.tsv', 'c')},
            "custom_parcellations holds 'a'; expected a list",
        ),
        ({'source': ['mask.nii.gz']}, 'is not a path'),
        ({'connectome_path': None}, 'connectome_path is None'),
        ({'report': False}, 'report is False; choose from full, light, none'),
    ],
)
def test_values_in_python_that_are_none(tmp_path, settings, says):
    values = {'source': tmp_path, 'output_dir': tmp_path / 'out', 'connectome_path': tmp_path / 't.tck'}
    with pytest.raises(InputError, match=says):
        any_config({**values, **settings})


def test_values_in_python_that_are_plain(tmp_path, monkeypatch):
    """Numbers of arrays can be saved; the home folder is the user's."""
    monkeypatch.setenv('HOME', str(tmp_path))
    atlas = ['a', '~/b.nii', Path('~/b.tsv'), 'MNI152NLin6Asym']
    values = {
        'source': '~',
        'output_dir': '~/out',
        'connectome_path': '~/t.tck',
        'custom_parcellations': [atlas],
    }
    config = any_config(
        {**values, 'output_resolution': np.int64(1), 'compute_networks': np.True_, 'mem_gb': 2}
    )
    settings = tomllib.loads(config.to_toml())
    assert settings['output_resolution'] == 1
    assert settings['custom_parcellations'] == [['a', f'{tmp_path}/b.nii', f'{tmp_path}/b.tsv', atlas[3]]]


def test_what_the_commands_say_of_themselves(capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '120')
    with pytest.raises(SystemExit):
        main(['--version'])
    said = capsys.readouterr().out
    assert said.startswith('lacuna 0.')
    assert 'numba' in said
    with pytest.raises(SystemExit):
        main(['run', 'snm', '--help'])
    assert '==SUPPRESS==' not in capsys.readouterr().out
    assert main(['info', 'connectomes']) == 0
    assert 'hcp1065' in capsys.readouterr().out


def test_completion(tmp_path, capsys):
    """A real bash that has read the script offers the options."""
    assert main(['completion', 'bash']) == 0
    script = tmp_path / 'lacuna'
    script.write_text(capsys.readouterr().out)
    ask = f"""source {script}
        COMP_WORDS=(lacuna run snm --output-r) COMP_CWORD=3
        _shtab_lacuna; echo "${{COMPREPLY[@]}}" """
    done = subprocess.run(['bash', '-c', ask], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ['--output-resolution']
