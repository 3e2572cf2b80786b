"""The tutorial that Lacuna has to satisfy, word for word: each command typed, each listing compared, all Python run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from helpers.repositories import osf_project, serve
from helpers.tables import read_exact
from helpers.validator import errors, errors_of_results

from lacuna.images.spaces import find_transform
from lacuna.images.transforms import PointTransform
from lacuna.streamlines.move import move_tractogram

pytestmark = [pytest.mark.shared, pytest.mark.slow]

#: the command of this checkout, but for where the APIs are
COMMAND = """\
#!{python}
import sys
from lacuna.datasets import sources
from lacuna.cli import main
sources._data()['apis'].update({apis!r})
if __name__ == '__main__':  # workers import it again
    sys.exit(main())
"""


class Step(NamedTuple):
    """A command, and what the tutorial shows below it; or lines of Python."""

    kind: str
    text: str
    shown: str = ''


def steps(text: str) -> Iterator[Step]:
    r"""What a reader types, in the order of the page; the rest of it is prose.

    >>> [(step.kind, step.text) for step in steps('Do this.\n!ls \\\n-l\na b\nThen:\nx = f(\n1)\nx + 1\nDone.')]
    [('command', 'ls \\\n-l'), ('python', 'x = f(\n1)\nx + 1')]
    """
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        end = at + 1
        if lines[at].startswith('!'):
            while lines[end - 1].endswith('\\'):
                end += 1
            yield Step('command', '\n'.join(lines[at:end])[1:], lines[end] if end < len(lines) else '')
        elif last := max(
            (stop for stop in range(at + 1, len(lines) + 1) if _is_python(lines[at:stop])), default=0
        ):
            yield Step('python', '\n'.join(lines[at : (end := last)]))
        at = end


def _is_python(lines: list[str]) -> bool:
    if not lines[0].strip():
        return False
    try:
        compile('\n'.join(lines), 'tutorial', 'exec')
    except SyntaxError:
        return False
    return True


class Reader:
    """Somebody who follows the tutorial: a shell, and one session of Python."""

    def __init__(self, home: Path, apis: dict[str, str], shared: Path) -> None:
        self.home = home
        (home / 'bin').mkdir()
        command = home / 'bin/lacuna'
        command.write_text(COMMAND.format(python=sys.executable, apis=apis))
        command.chmod(0o755)
        self.environment = {
            **os.environ,
            'PATH': f'{home}/bin{os.pathsep}{os.environ["PATH"]}',
            'LACUNA_CACHE_DIR': str(home / 'cache'),
            'TEMPLATEFLOW_HOME': str(shared / 'data/templateflow'),
            'LC_ALL': 'C.UTF-8',
        }
        self.names: dict[str, object] = {}
        self.plotted: list[dict[str, object]] = []
        self.printed: dict[str, str] = {}

    def type(self, command: str) -> str:
        done = subprocess.run(
            ['bash', '-c', command],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.home,
            env=self.environment,
            timeout=900,
        )
        assert done.returncode == 0, f'{command}\n{done.stdout}{done.stderr}'
        self.printed[command] = done.stdout + done.stderr
        return done.stdout

    def python(self, lines: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter('default')
            exec(lines, self.names)  # noqa: S102


def _surfaces(plotted: list[dict[str, object]]) -> dict[str, types.ModuleType]:
    """What stands in for pyvista and yabplot, which draw on surfaces that have to be downloaded."""
    pyvista, yabplot = types.ModuleType('pyvista'), types.ModuleType('yabplot')
    pyvista.PyVistaDeprecationWarning = DeprecationWarning
    pyvista.set_jupyter_backend = lambda _: None
    pyvista.global_theme = types.SimpleNamespace()
    pyvista.start_xvfb = lambda: None
    yabplot.plot_cortical = lambda **given: plotted.append(given)
    return {'pyvista': pyvista, 'yabplot': yabplot}


@pytest.fixture(scope='module')
def tracks(tmp_path_factory, unpacked, shared):
    """HCP842 in the space of dTOR-985."""
    target = tmp_path_factory.mktemp('moved') / 'dtor985_10pct.tck'
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('TEMPLATEFLOW_HOME', str(shared / 'data/templateflow'))
        transform = find_transform('MNI152NLin6Asym', 'MNI152NLin2009cAsym')
    move_tractogram(unpacked('HCP842'), target, PointTransform(transform), threads=2)
    return target


@pytest.fixture(scope='module')
def followed(tmp_path_factory, tracks, shared):
    """Somebody who has followed the tutorial to its end."""
    text = (shared / 'design/reference-tutorial.txt').read_text()
    home = tmp_path_factory.mktemp('reader')
    server = serve()
    apis = osf_project(server.site, {'readme.md': b'x', 'tractograms/dtor985_10pct.tck': tracks.read_bytes()})
    reader = Reader(home, apis, shared)
    done: list[Step] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('MPLBACKEND', 'agg')
        for name, module in _surfaces(reader.plotted).items():
            patch.setitem(sys.modules, name, module)
        for step in steps(text.replace('/tmp/', f'{home}/')):  # noqa: S108
            if step.kind == 'python':
                reader.python(step.text)
            elif not step.text.startswith('mrinfo') or shutil.which('mrinfo'):
                found = reader.type(step.text)
                if step.text.startswith('ls '):
                    assert sorted(found.split()) == sorted(step.shown.split()), step.text
            done.append(step)
    server.shutdown()
    server.server_close()
    import matplotlib.pyplot as plt

    plt.close('all')
    return reader, done


def outputs(reader: Reader, run: str, suffix: str) -> list[Path]:
    return sorted(reader.home.glob(f'outputs_snm_{run}/sub-*/ses-01/anat/*_{suffix}'))


def test_all_of_it_was_typed(followed):
    _, done = followed
    typed = [step.text.split()[0] + ' ' + step.text.split()[1] for step in done if step.kind == 'command']
    assert typed == [
        'lacuna tutorial', 'mrinfo --version', 'lacuna fetch', 'lacuna run', typed[4], 'lacuna run', typed[6],
        'lacuna run', typed[8], 'lacuna collect', typed[10],
    ]  # fmt: skip
    assert all(typed[number].startswith('ls ') for number in (4, 6, 8, 10))
    python = '\n'.join(step.text for step in done if step.kind == 'python')
    for line in ('plotting.plot_stat_map(', 'plt.show()', 'yab.plot_cortical(', 'parcel_df'):
        assert line in python


@pytest.mark.usefixtures('common_cache')
def test_map_of_the_first_run(followed, unpacked, lacuna_here, tmp_path):
    """Through OSF and both ways between the spaces, it is about the map of the tractogram as it was at first."""
    reader, _ = followed
    (path,) = outputs(reader, 'run1', 'desc-disconnectionpct.nii.gz')
    done = lacuna_here(
        'run', 'snm', reader.home / 'tutorial_bids', tmp_path / 'out', '--connectome-path', unpacked('HCP842'),
        '--connectome-space', 'MNI152NLin6Asym', '--participant-label', '01', '--no-report', '-w', tmp_path / 'w',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (direct,) = (tmp_path / 'out').rglob('*_desc-disconnectionpct.nii.gz')
    ours, theirs = (nib.load(each).get_fdata() for each in (path, direct))
    both = (ours > 0) & (theirs > 0)
    assert both.sum() > 0.9 * (theirs > 0).sum()
    assert np.corrcoef(ours[both], theirs[both])[0, 1] > 0.95


def test_visual_network(followed):
    matrix = followed[0].names['mat']
    assert isinstance(matrix, np.ndarray)
    assert matrix.shape[0] == matrix.shape[1] > 10
    assert np.nanmin(matrix) >= 0
    assert np.nanmax(matrix) <= 100


def test_values_for_the_surface(followed, shared):
    """One number a parcel, in the order of the atlas: yabplot goes by the place."""
    (given,) = followed[0].plotted
    values = given['data']
    assert values.shape == (100,)
    assert values.dtype == float
    assert np.nanmax(values) > 0
    (table,) = outputs(followed[0], 'run2', 'desc-disconnectionpct_parcelstats.tsv')
    names = pd.read_csv(table, sep='\t', index_col=0).index
    stem = 'tpl-MNI152NLin6Asym/tpl-MNI152NLin6Asym_atlas-Schaefer2018_desc-100Parcels7Networks_dseg.tsv'
    atlas = pd.read_csv(shared / 'data/templateflow' / stem, sep='\t').sort_values('index')
    assert list(names) == list(atlas['name'])


def test_masks_of_a_verbose_run_are_listed(followed):
    reader, _ = followed
    (printed,) = (text for command, text in reader.printed.items() if '--nprocs 12' in command)
    for label in ('01', '02', '03'):
        assert f'sub-{label}_ses-01_space-MNI152NLin6Asym_label-acuteinfarct_mask.nii.gz' in printed


def test_group_table(followed):
    reader, _ = followed
    group = reader.names['parcel_df']
    (first, *_) = tables = outputs(reader, 'run3', 'desc-disconnectionpct_parcelstats.tsv')
    regions = read_exact(first)['value']
    assert group.shape == (3, 102)
    assert list(group.columns) == ['session_id', 'label', *regions.index]
    assert group.columns[2] == '7Networks_LH_Vis_1'
    assert group.columns[-1] == '7Networks_RH_Default_pCunPCC_2'
    assert group.index.name == 'participant_id'
    assert set(group['label']) == {'acuteinfarct'}
    for row, table in zip(group[regions.index].to_numpy(float), tables, strict=True):
        np.testing.assert_array_equal(row, read_exact(table)['value'])
    made = {path.name for path in (reader.home / 'group_outputs_snm').glob('*.tsv')}
    stem = 'group_ses-01_label-acuteinfarct_method-snm_atlas-schaefer2018parcels100networks7'
    assert made == {f'{stem}_desc-disconnectionpct_parcelstats.tsv'}
    (printed,) = (text for command, text in reader.printed.items() if 'collect' in command)
    assert re.search(r'\b3 files of 3 participants and 1 output type', printed)


def test_the_same_by_the_name_of_the_connectome(followed):
    """``--connectome-path`` takes the name: the same results, so that nothing is left to do."""
    reader, _ = followed
    maps = {path: path.stat().st_mtime_ns for path in outputs(reader, 'run3', 'desc-disconnectionpct.nii.gz')}
    assert len(maps) == 3
    printed = reader.type(
        'lacuna run snm tutorial_bids outputs_snm_run3 --connectome-path dtor985_10pct'
        ' --mask-space MNI152NLin6Asym --no-report'
    )
    assert '(0 now)' in printed
    assert {path: path.stat().st_mtime_ns for path in maps} == maps


def test_datasets_are_valid(followed, tmp_path):
    home = followed[0].home
    for folder in ('tutorial_bids', 'outputs_snm_run3'):
        assert errors(home / folder) == {}
    assert errors_of_results(home / 'outputs_snm_run3', tmp_path / 'view') == {}
