"""The masks that can be selected on the page: files, and masks of datasets and results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lacuna.bids.check import holds_results
from lacuna.bids.inputs import find_masks
from lacuna.bids.results import LesionResults, Results, load_results
from lacuna.errors import InputError, MaskError
from lacuna.images.masks import read_mask


@dataclass(frozen=True)
class ListedMask:
    """A mask to select; its file is located when it is selected.

    Attributes
    ----------
    name : str
    source : pathlib.Path or lacuna.bids.results.LesionResults
        The file, or results that were made from it.
    """

    name: str
    source: Path | LesionResults

    def find(self) -> tuple[Path, float | None]:
        """Return the file, and the threshold above which its values are lesion (None for binary masks).

        Raises
        ------
        lacuna.errors.MaskError
            If the mask of results is missing, has changed, or is graded.
        """
        if isinstance(self.source, Path):
            return self.source, None
        found = self.source.mask
        if found.path is None or found.mask is None:
            message = f'{self.name}: the mask {found.problem}'
            raise MaskError(message)
        if found.mask.values is not None:
            message = f'{self.name}: the mask is graded; the page shows masks of 0 and 1 (lacuna bidsify --binarize T makes them)'
            raise MaskError(message)
        return found.path, self.source.mask_source.binarize

    def read(self) -> tuple[Any, str | None]:
        """Return the mask for :meth:`lacuna.Tractogram.disconnect`, and its space if known.

        Raises
        ------
        lacuna.errors.MaskError
            See `find`.
        """
        path, binarize = self.find()
        space = None if isinstance(self.source, Path) else self.source.space
        return (path if binarize is None else read_mask(path, binarize).image()), space


def list_masks(given: Iterable[Path]) -> list[ListedMask]:
    """List masks: files, and those in BIDS datasets and output folders of runs.

    Raises
    ------
    lacuna.errors.InputError
        If a file or folder does not exist, or contains no mask.
    """
    listed: list[ListedMask] = []
    for path in given:
        if path.is_dir() and holds_results(path):
            listed += [ListedMask(lesion.stem, lesion) for lesion in load_results(path)]
        elif path.is_dir():
            listed += [ListedMask(mask.name, mask) for mask in find_masks(path)]
        elif path.is_file():
            listed.append(ListedMask(path.name, path))
        else:
            message = f'no file or folder {path}'
            raise InputError(message)
    return listed


def result_folders(given: Iterable[Path]) -> list[Results]:
    """Load the output folders of runs among these paths.

    Raises
    ------
    lacuna.errors.InputError
        If a folder contains a result twice.
    """
    return [load_results(path) for path in given if path.is_dir() and holds_results(path)]
