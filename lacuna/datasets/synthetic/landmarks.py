"""The table of landmarks (``data/landmarks.json``): courses of the synthetic bundles, and positions of the parcels.

All points are in MNI152 world mm (RAS+) in the left hemisphere, approximated from textbook anatomy in MNI space; they
do not come from an atlas or a subject.

A bundle is a sheet: one or more spines with the same number of points, with streamlines in between. One spine makes a
tube, several make a fan. The callosum is one sheet from rostrum to splenium; its parts are runs of adjacent spines.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from lacuna.utils.files import data_text

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Landmarks:
    """The course of a bundle in the left hemisphere.

    Attributes
    ----------
    name : str
    count : int
        Number of streamlines (per hemisphere).
    spines : sequence of sequence of points
        World mm; (spines, points, 3).
    spread : sequence of float
        Standard deviation of the streamlines around the sheet at each point, mm.
    cortical : sequence of bool
        Whether the first and the last end are extended into the cortex.
    course : str
        'pair': within the hemisphere, with a mirrored twin; 'commissure': the spines end on the midline and continue
        mirrored; 'crossing': the spines cross the midline as given, with a mirrored twin.
    """

    name: str
    count: int
    spines: Sequence[Sequence[Point]]
    spread: Sequence[float]
    cortical: Sequence[bool] = (True, True)
    course: str = 'pair'

    def __post_init__(self) -> None:
        shape = np.shape(self.spines)
        if len(shape) != 3 or shape[2] != 3 or shape[1] != len(self.spread):
            message = f'{self.name}: spines or spread of unequal length'
            raise ValueError(message)


@cache
def table() -> dict[str, Any]:
    """Return the table; ``cortex`` has the seeds of each network's parcels, ``deep`` has balls (centre and radius)."""
    return dict(json.loads(data_text('landmarks.json')))


def bundles() -> list[Landmarks]:
    """Return all bundles except the short fibres, which have no landmarks."""
    return [Landmarks(name, **row) for name, row in table()['bundles'].items()]
