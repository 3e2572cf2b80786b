"""All lesions of a folder of results, queried by place: which lesions include it, and which disconnect it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.bids.results import LesionResults, Results, cut_percent
from lacuna.errors import InputError
from lacuna.explorer.grid import PageGrid
from lacuna.images.spaces import standard_grid
from lacuna.reports.figures.frame import load_image
from lacuna.reports.figures.viewer import nifti_text, percent_halves
from lacuna.utils.packed import pack, unpack
from lacuna.utils.processes import thread_map
from lacuna.utils.progress import track

#: voxel size in mm; the page of all lesions needs no finer one
_RESOLUTION = 2


@dataclass(frozen=True)
class Seen:
    """A lesion, in the form that the page needs.

    Attributes
    ----------
    lesion : LesionResults
    summary : dict
    planes : list of bytes or None
        For each axial plane, its mask and its map in half percent, one after the other, compressed; None if both are
        empty.
    middle : list of float or None
        World coordinates (mm) of a voxel of the mask.
    problem : str
        Why the mask is not shown.
    """

    lesion: LesionResults
    summary: dict[str, Any]
    planes: list[bytes | None]
    middle: list[float] | None
    problem: str


class Cohort:
    """The lesions of a folder, in the space that most of them are in.

    They are read once, on first access, and kept compressed, which takes about as much memory as their files.

    Parameters
    ----------
    results : lacuna.bids.results.Results
    show_progress : bool
        Whether to show a progress bar on terminals while they are read.
    """

    def __init__(self, results: Results, *, show_progress: bool = False) -> None:
        self.root, self._show = results.root, show_progress
        lesions = results.with_map()
        if not lesions:
            message = f'{self.root}: no disconnection maps'
            raise InputError(message)
        self.space = Counter(lesion.space for lesion in lesions).most_common(1)[0][0]
        self.lesions = [lesion for lesion in lesions if lesion.space == self.space]
        self.elsewhere = len(lesions) - len(self.lesions)
        self.page = PageGrid.of(standard_grid(self.space, _RESOLUTION))

    @cached_property
    def seen(self) -> list[Seen]:
        """The lesions, read on first access."""
        looks = thread_map(self._read, self.lesions)
        return list(track(looks, 'lesions', total=len(self.lesions), show=self._show))

    def _read(self, lesion: LesionResults) -> Seen:
        path = lesion.map_path
        assert path is not None  # noqa: S101  `with_map`
        percent = percent_halves(np.nan_to_num(self.page.map(*load_image(path))))
        found, problem = lesion.mask[1:]
        mask = self.page.mask(found.data, found.affine) if found else np.zeros(self.page.shape, np.uint8)
        both = np.stack([mask, percent])  # (2, x, y, z)
        planes = [
            pack(plane.tobytes(order='C')) if plane.any() else None for plane in np.moveaxis(both, 3, 0)
        ]
        return Seen(lesion, lesion.summary, planes, self.page.centre(np.argwhere(mask)), problem)

    def _plane(self, seen: Seen, z: int) -> np.ndarray:
        """Return mask and map of a plane, (2, x, y) uint8."""
        packed, shape = seen.planes[z], (2, *self.page.shape[:2])
        if packed is None:
            return np.zeros(shape, np.uint8)
        return np.frombuffer(unpack(packed), np.uint8).reshape(shape)

    def about(self) -> dict[str, Any]:
        """Return what the page needs before its first request."""
        return {
            'name': self.root.name,
            'space': self.space,
            'shape': self.page.shape,
            'affine': self.page.affine.tolist(),
            'emptyMap': nifti_text(np.zeros(self.page.shape, np.uint8), self.page.affine, 0.5),
            'lesions': [self._described(each) for each in self.seen],
            'elsewhere': self.elsewhere,
        }

    def _described(self, seen: Seen) -> dict[str, Any]:
        report = f'sub-{seen.lesion.subject}.html'
        return {
            'name': seen.lesion.stem,
            'volume': seen.summary.get('mask_volume_mm3'),
            'cut': cut_percent(seen.summary),
            'report': report if Path(self.root, report).is_file() else None,
            'problem': seen.problem,
        }

    @cached_property
    def sums(self) -> dict[str, np.ndarray]:
        """Return the share of lesions in each voxel, and the mean map, in half percent (uint8, first axis fastest)."""
        total = np.zeros((2, *self.page.shape), np.uint32)
        for z in range(self.page.shape[2]):
            for seen in self.seen:
                if seen.planes[z] is not None:
                    total[..., z] += self._plane(seen, z)
        masks = sum(not seen.problem for seen in self.seen)
        overlap = percent_halves(100 * total[0] / max(masks, 1))
        mean = percent_halves(total[1] / (2 * len(self.seen)))
        return {'overlap': overlap.ravel(order='F'), 'mean': mean.ravel(order='F')}

    def at(self, x: int, y: int, z: int) -> dict[str, list[Any]]:
        """Return the lesions that include a voxel, or disconnect it, and by how much.

        Returns
        -------
        dict
            ``rows``: ascending indices of these lesions in `lesions`; ``lesioned`` (bool); ``percent`` disconnected, in
            steps of one half.

        Raises
        ------
        lacuna.errors.InputError
            If there is no such voxel.
        """
        if not all(0 <= at < most for at, most in zip((x, y, z), self.page.shape, strict=True)):
            message = f'no voxel {x}, {y}, {z}'
            raise InputError(message)
        values = np.array([self._plane(seen, z)[:, x, y] for seen in self.seen])
        rows = np.flatnonzero(values.any(axis=1))
        return {
            'rows': rows.tolist(),
            'lesioned': (values[rows, 0] > 0).tolist(),
            'percent': (values[rows, 1] / 2).tolist(),
        }

    def one(self, row: int) -> tuple[dict[str, np.ndarray], list[float] | None]:
        """Return mask and map (half percent) of a lesion, uint8 with first axis fastest, and a place in the mask.

        Raises
        ------
        lacuna.errors.InputError
            If there is no such row.
        """
        if not 0 <= row < len(self.seen):
            message = f'no lesion {row}'
            raise InputError(message)
        seen = self.seen[row]
        both = np.stack([self._plane(seen, z) for z in range(self.page.shape[2])], axis=3)
        return {
            name: part.ravel(order='F') for name, part in zip(('mask', 'map'), both, strict=True)
        }, seen.middle
