"""Make a small TemplateFlow home with the files that Lacuna uses: from a folder, else from the network.

usage: templates.py HOME FOLDER     FOLDER is another home, with some of the files; it need not exist

What cannot be had is said and left out. A home that is not empty keeps TemplateFlow from filling it with 2,500 stubs.
"""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from importlib import resources
from pathlib import Path

from lacuna.images.spaces import transform_name

SPACES = ('MNI152NLin6Asym', 'MNI152NLin2009cAsym')


def main(home: Path, given: Path) -> None:
    """Fill the home, and say what is in it."""
    wanted = [(space, suffix) for space in SPACES for suffix in ('T1w', 'mask', 'xfm')]
    for space, suffix in wanted:
        name = file_name(space, suffix)
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        if (given / name).is_file():
            shutil.copyfile(given / name, home / name)
        else:
            (home / name).touch()  # an empty file is what TemplateFlow downloads

    os.environ |= {'TEMPLATEFLOW_HOME': str(home), 'TEMPLATEFLOW_AUTOUPDATE': 'off'}
    from templateflow.client import TemplateFlowClient

    with zipfile.ZipFile(str(resources.files('templateflow.conf') / 'templateflow-skel.zip')) as skeleton:
        for space in SPACES:
            skeleton.extract(f'tpl-{space}/template_description.json', home)
    client = TemplateFlowClient(root=home)
    problem = None
    for space, suffix in wanted:
        path = home / file_name(space, suffix)
        if not path.stat().st_size and problem is None:
            try:
                client.get(space, suffix=suffix)
            except (OSError, RuntimeError) as error:
                problem = error
        if path.stat().st_size:
            print(f'TemplateFlow: {path.name}')
        else:
            path.unlink()
            print(f'TemplateFlow: {path.name} is left out')
    if problem is not None:
        print(f'TemplateFlow could not be reached ({problem})')


def file_name(space: str, suffix: str) -> str:
    """The file of a space that Lacuna looks for, relative to the home."""
    if suffix == 'xfm':
        return transform_name(space, next(other for other in SPACES if other != space))
    return f'tpl-{space}/tpl-{space}_res-01_desc-brain_{suffix}.nii.gz'


if __name__ == '__main__':
    main(Path(sys.argv[1]), Path(sys.argv[2]))
