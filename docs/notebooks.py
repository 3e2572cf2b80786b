"""Run a notebook of these pages and keep its pictures: ``python docs/notebooks.py PAGE FOLDER``.

Building the documentation runs them too (`conf.py`).
"""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path

import nbformat
from myst_nb.core.read import read_myst_markdown_notebook
from nbclient import NotebookClient

_LONGEST = 300  # seconds of one cell


def run(page: Path, folder: Path, *, whole: bool = False) -> nbformat.NotebookNode:
    """Run the cells of a page in a folder, and write their pictures there: ``<page>-1.png``, ...

    Parameters
    ----------
    page : pathlib.Path
    folder : pathlib.Path
    whole : bool
        Run also what the documentation only shows (the tag ``skip-execution``).

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails.
    """
    notebook = read_myst_markdown_notebook(page.read_text(encoding='utf-8'))
    for cell in notebook.cells:
        tags = cell.metadata.pop('tags', [])
        if 'skip-execution' in tags and not whole:
            cell.cell_type = 'raw'
    # pictures in the notebook, whatever draws elsewhere; the commands of this installation
    env = {name: value for name, value in os.environ.items() if name != 'MPLBACKEND'}
    env['PATH'] = f'{Path(sys.executable).parent}{os.pathsep}{env["PATH"]}'
    NotebookClient(notebook, timeout=_LONGEST, resources={'metadata': {'path': str(folder)}}).execute(env=env)
    for number, picture in enumerate(pictures(notebook), start=1):
        (folder / f'{page.stem}-{number}.png').write_bytes(base64.b64decode(picture))
    return notebook


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """What the cells show, from top to bottom."""
    return [output for cell in notebook.cells for output in cell.get('outputs', [])]


def pictures(notebook: nbformat.NotebookNode) -> list[str]:
    """The pictures that the cells show, base64."""
    found = [output.get('data', {}).get('image/png') for output in outputs(notebook)]
    return [picture for picture in found if picture]


def text(notebook: nbformat.NotebookNode) -> str:
    """The text that the cells show."""
    shown = [
        output.get('text') or output.get('data', {}).get('text/plain', '') for output in outputs(notebook)
    ]
    return '\n'.join(each.rstrip() for each in shown)


if __name__ == '__main__':
    page, folder = map(Path, sys.argv[1:])
    nbformat.write(run(page, folder), folder / f'{page.stem}.ipynb')
