"""Follow a page of the documentation as a Jupyter notebook: ``python docs/notebooks.py PAGE FOLDER`` keeps it too.

Each ``python`` block of the page is a cell, run in a fresh kernel from top to bottom. In a block with prompts (``>>>``)
each of them is a cell, and what the kernel shows is compared with what stands below it; ``...`` stands for anything.
"""

from __future__ import annotations

import doctest
import os
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

_BLOCK = re.compile(r'^```python\n(.*?)^```$', re.DOTALL | re.MULTILINE)
_SHOWN = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_LONGEST = 300  # seconds of one cell


def cells(page: str) -> list[tuple[str, str]]:
    r"""The cells of a page, each with what is shown below it.

    >>> cells('```python\na = 1\n```\n```python\n>>> a\n1\n>>> a + 1\n2\n```\n')
    [('a = 1', ''), ('a', '1'), ('a + 1', '2')]
    """
    found = []
    for block in _BLOCK.findall(page):
        examples = doctest.DocTestParser().get_examples(block)
        if examples:
            found += [(example.source.rstrip(), example.want.rstrip()) for example in examples]
        else:
            found.append((block.rstrip(), ''))
    return found


def follow(page: Path, folder: Path) -> nbformat.NotebookNode:
    """Run the notebook of a page in a folder, without the programs on the PATH; returns it with its outputs.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails.
    AssertionError
        If a cell shows something else than the page.
    """
    wanted = cells(page.read_text(encoding='utf-8'))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source, _ in wanted])
    # pictures in the notebook, whatever draws elsewhere
    env = {name: value for name, value in os.environ.items() if name != 'MPLBACKEND'}
    env |= {'PATH': '/nowhere', 'IPYTHONDIR': str(folder / '.ipython')}
    client = NotebookClient(notebook, timeout=_LONGEST, resources={'metadata': {'path': str(folder)}})
    client.execute(env=env)
    for (source, want), cell in zip(wanted, notebook.cells, strict=True):
        found = shown(cell)
        if want and not doctest.OutputChecker().check_output(f'{want}\n', f'{found}\n', _SHOWN):
            message = f'{page.name}: {source}\nin the page:\n{want}\nin the notebook:\n{found}'
            raise AssertionError(message)
    return notebook


def shown(cell: nbformat.NotebookNode) -> str:
    """The text that a cell shows."""
    texts = [output.get('text') or output.get('data', {}).get('text/plain', '') for output in cell.outputs]
    return '\n'.join(text.rstrip() for text in texts)


def pictures(notebook: nbformat.NotebookNode) -> int:
    """How many pictures a notebook shows."""
    return sum('image/png' in output.get('data', {}) for cell in notebook.cells for output in cell.outputs)


if __name__ == '__main__':
    page, folder = map(Path, sys.argv[1:])
    nbformat.write(follow(page, folder), folder / f'{page.stem}.ipynb')
