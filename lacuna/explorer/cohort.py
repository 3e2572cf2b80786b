"""All lesions of a folder of results, queried by place: which lesions include it, and which disconnect it."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.bids.results import LesionResults, Results
from lacuna.errors import InputError
from lacuna.explorer.grid import PageGrid
from lacuna.images.spaces import standard_grid
from lacuna.reports.figures.frame import load_image
from lacuna.reports.figures.viewer import nifti_text, percent_halves
from lacuna.reports.group import unlike
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
    problems : dict of str
        Why its ``mask`` or its ``map`` is not shown.
    """

    lesion: LesionResults
    summary: dict[str, Any]
    planes: list[bytes | None]
    middle: list[float] | None
    problems: dict[str, str]


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
        self._seen: list[Seen] = []
        self._one = threading.Lock()
        self._closed = False

    @property
    def progress(self) -> tuple[int, int]:
        """The number of lesions that were read, and of all."""
        return len(self._seen), len(self.lesions)

    @property
    def seen(self) -> list[Seen]:
        """The lesions, read on first access.

        Raises
        ------
        lacuna.errors.InputError
            If it was closed before all were read.
        """
        with self._one:  # if two pages ask at once, one waits
            rest = self.lesions[len(self._seen) :]
            if rest:
                with closing(thread_map(self._read, rest)) as looks:
                    for seen in track(looks, 'lesions', total=len(rest), show=self._show):
                        if self._closed:
                            message = 'lacuna explore has ended'
                            raise InputError(message)
                        self._seen.append(seen)
        return self._seen

    def close(self) -> None:
        """Stop reading lesions."""
        self._closed = True

    def _read(self, lesion: LesionResults) -> Seen:
        path = lesion.map_path
        assert path is not None  # noqa: S101  `with_map`
        x, y, z = self.page.shape
        both = np.zeros((z, 2, y, x), np.uint8)
        found, problem = lesion.mask[1:]
        problems, middle = {'mask': problem} if problem else {}, None
        if found:
            mask = self.page.mask(*found.part)
            both[:, 0], middle = mask.T, self.page.centre(mask)
        try:
            percent, affine = load_image(path)
            both[:, 1] = self.page.map(percent_halves(percent), affine).T
        except InputError:  # 'lacuna check' says why; running the same command again repairs it
            problems['map'] = 'cannot be read'
        planes = [pack(plane.tobytes()) if plane.any() else None for plane in both]
        return Seen(lesion, lesion.summary, planes, middle, problems)

    def _plane(self, seen: Seen, z: int) -> np.ndarray:
        """Return mask and map of a plane, (2, y, x) uint8."""
        packed, shape = seen.planes[z], (2, *self.page.shape[1::-1])
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
            'doubts': list(unlike(self.lesions)),
            'tractograms': max(seen.summary.get('tractograms', 1) for seen in self.seen),
        }

    def _described(self, seen: Seen) -> dict[str, Any]:
        report = f'sub-{seen.lesion.subject}.html'
        return {
            'name': seen.lesion.stem,
            'report': report if Path(self.root, report).is_file() else None,
            'problems': seen.problems,
        }

    @cached_property
    def sums(self) -> dict[str, np.ndarray]:
        """Return the share of lesions in each voxel, and the mean map, in half percent (uint8, first axis fastest)."""
        total = np.zeros((self.page.shape[2], 2, *self.page.shape[1::-1]), np.uint32)
        for z, plane in enumerate(total):
            for seen in self.seen:
                if seen.planes[z] is not None:
                    plane += self._plane(seen, z)
        masks, maps = (
            max(sum(part not in seen.problems for seen in self.seen), 1) for part in ('mask', 'map')
        )
        overlap = percent_halves(100 * total[:, 0] / masks)
        mean = percent_halves(total[:, 1] / (2 * maps))
        return {'overlap': overlap.ravel(), 'mean': mean.ravel()}

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
        values = np.array([self._plane(seen, z)[:, y, x] for seen in self.seen])
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
        both = np.stack([self._plane(seen, z) for z in range(self.page.shape[2])])
        return {'mask': both[:, 0].ravel(), 'map': both[:, 1].ravel()}, seen.middle
