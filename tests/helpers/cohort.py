"""A toy cohort, and what lies in a folder."""

from __future__ import annotations

import os
from fnmatch import fnmatch
from pathlib import Path

from lacuna.testing import Toy, write_toy


def tree(folder: Path) -> set[str]:
    """All files below a folder, by their relative paths."""
    return {str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file()}


def find(folder: Path, pattern: str) -> list[Path]:
    """What has such a name below a folder in which a run may be at work.

    Folders that vanish meanwhile are passed over; ``rglob`` raises an error for them.
    """
    found = (Path(at, name) for at, folders, files in os.walk(folder) for name in (*folders, *files))
    return sorted(path for path in found if fnmatch(path.name, pattern))


def write_cohort(folder: Path, masks: int) -> Toy:
    """The toy, with its mask for so many participants."""
    toy = write_toy(folder)
    for number in range(2, masks + 1):
        name = f'sub-{number:02d}/anat/sub-{number:02d}_space-MNI152NLin6Asym_label-lesion_mask.nii.gz'
        target = folder / 'bids' / name
        target.parent.mkdir(parents=True)
        target.write_bytes(toy.mask.read_bytes())
    return toy
