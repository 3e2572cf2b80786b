"""Real lesions in every way to run them: in this process, in several, with Dask, with Nipype's plugins, and with processes that are killed."""

import csv
import os
import random
import subprocess
import sys

import psutil
import pytest
from helpers.cohort import tree

pytestmark = [pytest.mark.shared, pytest.mark.slow]

SPACE = 'MNI152NLin6Asym'
#: all of them in make soak
LESIONS = 60 if os.environ.get('LACUNA_SOAK') else 14
KILLS = 20 if os.environ.get('LACUNA_SOAK') else 6


@pytest.fixture
def study(tmp_path, shared, unpacked, common_cache, monkeypatch):  # noqa: ARG001
    """The command of a run of real lesions with an atlas; its results always lie in the same place: sidecars name it."""
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(shared / 'data/templateflow'))
    lesions = shared / 'data/lesions'
    with (lesions / 'lesions.tsv').open() as table:
        rows = [row for row in csv.DictReader(table, delimiter='\t') if row['set'] in ('LESYMAP', 'SOOP')]
    for number in range(LESIONS):
        name = f'sub-{number:02d}_space-{SPACE}_label-lesion_mask.nii.gz'
        target = tmp_path / f'bids/sub-{number:02d}/anat/{name}'
        target.parent.mkdir(parents=True)
        target.symlink_to(lesions / rows[number * len(rows) // LESIONS]['file'])
    (tmp_path / 'bids/dataset_description.json').write_text(
        '{"Name": "real lesions", "BIDSVersion": "1.10.0", "DatasetType": "raw"}'
    )
    return [
        sys.executable, '-m', 'lacuna', 'run', 'snm', str(tmp_path / 'bids'), str(tmp_path / 'out'), '--connectome-path',
        str(unpacked('HCP842')), '--connectome-space', SPACE, '--no-report', '--parcel-atlases',
        'schaefer2018parcels100networks7', '--compute-disconnectivity-matrix', '--compute-roi-disconnection',
    ]  # fmt: skip


def results(folder):
    """What a run has written; the folder is moved away."""
    found = {name: (folder / name).read_bytes() for name in tree(folder) if not name.startswith('logs/')}
    folder.rename(folder.with_name(f'{folder.name}-{len(list(folder.parent.iterdir()))}'))
    return found


def run(command, *more):
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_same_bytes(tmp_path, study):
    for name, text in (
        ('dask', 'plugin: Dask\nplugin_args: {cluster: LocalCluster, jobs: 2}'),
        ('linear', 'plugin: Linear'),
        ('multiproc', 'plugin: MultiProc\nplugin_args: {n_procs: 2}'),
    ):
        (tmp_path / f'{name}.yml').write_text(text)
    run(study, '--nprocs', '1')
    expected = results(tmp_path / 'out')
    assert len([name for name in expected if name.endswith('pct.nii.gz')]) == LESIONS
    for more in (
        ('--nprocs', '2'),
        *(('--use-plugin', str(tmp_path / f'{name}.yml')) for name in ('dask', 'linear', 'multiproc')),
    ):
        run(study, *more)
        assert results(tmp_path / 'out') == expected, more


def test_workers_are_killed_at_random(tmp_path, study):
    """Each time one of those that work beside others; nothing is missing, and nothing differs."""
    run(study, '--nprocs', '2')
    expected = results(tmp_path / 'out')
    rng, kills = random.Random(os.environ.get('PYTEST_XDIST_TESTRUNUID')), 0
    while kills < KILLS:
        with subprocess.Popen([*study, '--nprocs', '2'], stderr=subprocess.PIPE, text=True) as command:
            parent = psutil.Process(command.pid)
            while command.poll() is None and kills < KILLS:
                # a mask whose process was killed is tried again alone: that one is left in peace
                workers = parent.children()
                if len(workers) > 1:
                    rng.choice(workers).kill()
                    kills += 1
                    psutil.wait_procs(workers, timeout=0.05)
            said = command.communicate()[1]
        assert command.returncode == 0, said
        assert results(tmp_path / 'out') == expected
