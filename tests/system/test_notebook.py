"""The how-to page "In a notebook", as a Jupyter notebook in a fresh kernel."""

import shutil
from pathlib import Path

import notebooks
import pytest

from lacuna.cli import main

DOCS = Path(__file__).parents[2] / 'docs'
PAGE = DOCS / 'howto/notebook.md'

pytestmark = pytest.mark.filterwarnings('ignore::DeprecationWarning', 'ignore::ResourceWarning')


@pytest.fixture(scope='module')
def folder(tmp_path_factory, synthetic):
    """What a reader has after the second section of the tutorial."""
    folder = tmp_path_factory.mktemp('notebook')
    shutil.copytree(synthetic.directory, folder / 'tutorial')
    (folder / 'masks').mkdir()
    for number, mask in enumerate(synthetic.masks, start=1):
        shutil.copyfile(mask, folder / f'masks/{number:02d}.nii.gz')
    assert main(['bidsify', str(folder / 'masks'), str(folder / 'bids'), '--space', 'MNI152NLin6Asym']) == 0
    return folder


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(folder):
    """Without MRtrix3 on the PATH; what the cells show is what the page says, and the pictures are there."""
    notebook = notebooks.follow(PAGE, folder)
    assert notebooks.pictures(notebook) == 2
    for name in ('notebook-map.png', 'notebook-slices.png'):
        assert (folder / name).stat().st_size > 10_000
    assert (folder / 'map.nii.gz').is_file()


@pytest.mark.parametrize('wrong', ['```python\n>>> 1 + 1\n3\n```\n', '```python\nassert False\n```\n'])
def test_a_page_that_is_wrong_fails(tmp_path, wrong):
    page = tmp_path / 'page.md'
    page.write_text(wrong)
    from nbclient.exceptions import CellExecutionError

    with pytest.raises((AssertionError, CellExecutionError)):
        notebooks.follow(page, tmp_path)
