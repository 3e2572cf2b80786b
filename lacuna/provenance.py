"""What a run leaves in ``logs/``: its settings, the text for a methods section, the masks that failed."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import lacuna
from lacuna.config import RunConfig
from lacuna.files import shown_name, write_if_changed
from lacuna.plan import Failure


def new_log_dir(config: RunConfig) -> Path:
    """Make the folder of one run below ``logs/`` and write the settings into it."""
    name = f'{time.strftime("%Y%m%d-%H%M%S")}_{uuid.uuid4().hex[:8]}'
    folder = config.output_dir / 'logs' / name
    folder.mkdir(parents=True)
    write_if_changed(folder / 'settings.toml', config.to_toml().encode())
    return folder


def write_methods(folder: Path, text: str) -> None:
    """Write the methods text of a workflow, and the bibliography that it cites."""
    head = f'Structural disconnection was computed with *Lacuna* {lacuna.__version__}, built on *Nipype* [@nipype]. '
    write_if_changed(folder / 'CITATION.md', f'{head}{text.strip()}\n'.encode())
    with resources.as_file(resources.files('lacuna').joinpath('data/boilerplate.bib')) as bibliography:
        shutil.copyfile(bibliography, folder / 'CITATION.bib')


def write_failures(root: Path, failures: Sequence[Failure]) -> Path:
    """Write the table of the masks that failed; returns its path."""
    lines = [
        'mask\treason',
        *(f'{shown_name(failure.path)}\t{" ".join(failure.reason.split())}' for failure in failures),
    ]
    target = root / 'logs' / 'failed_masks.tsv'
    write_if_changed(target, ('\n'.join(lines) + '\n').encode())
    return target
