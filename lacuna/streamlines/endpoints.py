"""The parcels at the ends of the streamlines of a tractogram, computed once for all lesions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from lacuna.measures import connectivity
from lacuna.utils.files import replacing

#: version of endpoint tables, part of their cache key; raise it when content or assignment change
VERSION = 3
#: percentage of unassigned ends above which a run warns that atlas and tractogram may not match
MANY_UNASSIGNED = 50.0
_MOST_NAMES = 5
#: what is summed over the streamlines between two parcels; the first is the default
EDGE_MEASURES = ('count', 'invlength', 'invnodevol')
#: rules for assigning ends to parcels, to the nearest within 4 mm or to that of their voxel
RULES = ('radial', 'end-voxels')


@dataclass(frozen=True)
class Coverage:
    """The number of ends of streamlines in each parcel of an atlas.

    Attributes
    ----------
    names : tuple of str
        Names of the parcels, in the order of the label table.
    ends : numpy.ndarray
        (parcels + 1,) int64, number of unassigned ends, then of ends in each parcel.
    present : numpy.ndarray
        (parcels,) bool, whether the image contains the parcel.
    """

    names: tuple[str, ...]
    ends: np.ndarray
    present: np.ndarray

    @classmethod
    def load(cls, path: str | Path) -> Coverage | None:
        """Read from a file written by `EndpointTable.save`; None if it cannot be read."""
        try:
            with np.load(path, allow_pickle=False) as content:
                return cls(tuple(content['names'].tolist()), content['ends'], content['voxels'] > 0)
        except (OSError, ValueError, KeyError, BadZipFile):  # reported when the table itself is needed
            return None

    @property
    def unassigned_pct(self) -> float:
        """Percentage of ends in no parcel."""
        return 100.0 * float(self.ends[0]) / max(int(self.ends.sum()), 1)

    @property
    def unreached(self) -> list[str]:
        """Names of the parcels in the image in which no streamline ends."""
        return [self.names[row] for row in np.flatnonzero(self.present & (self.ends[1:] == 0))]

    def statistics(self) -> dict[str, Any]:
        """Return the entries for the statistics file of the matrix."""
        return {'endpoints_unassigned_pct': self.unassigned_pct, 'parcels_unreached': len(self.unreached)}

    def doubts(self, atlas: str, space: str) -> list[str]:
        """Return warnings about a mismatch of atlas and tractogram.

        >>> Coverage(('a', 'b', 'c'), np.array([9, 1, 0, 0]), np.array([1, 1, 0], bool)).doubts('toy', 'MNI')
        ['the atlas toy: 90 % of the ends of the streamlines are in no parcel; is it in MNI, and does it reach the border of grey and white matter?', 'the atlas toy: no streamline ends in 1 of its 2 parcels (b)']
        """
        found = []
        if self.unassigned_pct >= MANY_UNASSIGNED:
            found.append(
                f'the atlas {atlas}: {self.unassigned_pct:.0f} % of the ends of the streamlines are in no parcel; '
                f'is it in {space}, and does it reach the border of grey and white matter?'
            )
        if unreached := self.unreached:
            few = ', '.join(unreached[:_MOST_NAMES]) + (', ...' if len(unreached) > _MOST_NAMES else '')
            of = f'{len(unreached)} of its {int(self.present.sum())} parcels'
            found.append(f'the atlas {atlas}: no streamline ends in {of} ({few})')
        return found


@dataclass(frozen=True)
class EndpointTable:
    """The parcels at the ends of all streamlines.

    Attributes
    ----------
    pairs : numpy.ndarray
        (streamlines, 2) int32, row of the label table for each end, from 1; 0 in no parcel.
    names : tuple of str
        Names of the parcels, in the order of the label table.
    full_matrix : numpy.ndarray
        (parcels, parcels) int64, number of streamlines between each pair.
    voxels : numpy.ndarray
        (parcels,) int64, number of voxels of each parcel in the image.
    """

    pairs: np.ndarray
    names: tuple[str, ...]
    full_matrix: np.ndarray
    voxels: np.ndarray

    @classmethod
    def of(cls, pairs: np.ndarray, names: tuple[str, ...], image: np.ndarray) -> EndpointTable:
        """Create the table from pairs; `image` holds the row of the parcel in each voxel, 0 outside."""
        voxels = np.bincount(image.ravel(), minlength=len(names) + 1)[1:]
        return cls(pairs.astype(np.int32), names, connectivity(pairs, len(names)), voxels)

    @cached_property
    def coverage(self) -> Coverage:
        """Return the number of ends in each parcel."""
        ends = np.bincount(self.pairs.ravel(), minlength=len(self.names) + 1)
        return Coverage(self.names, ends, self.voxels > 0)

    def save(self, path: Path) -> Path:
        """Write a ``.npz`` atomically."""
        with replacing(path) as temporary:
            np.savez(
                temporary,
                pairs=self.pairs,
                names=np.array(self.names),
                full_matrix=self.full_matrix,
                voxels=self.voxels,
                ends=self.coverage.ends,
            )
        return path

    @classmethod
    def load(cls, path: str | Path) -> EndpointTable:
        """Read a file written by `save`."""
        with np.load(path, allow_pickle=False) as content:
            names = tuple(content['names'].tolist())
            return cls(content['pairs'], names, content['full_matrix'], content['voxels'])

    def matrix(self, selected: np.ndarray | None, values: np.ndarray | None = None) -> np.ndarray:
        """Count the selected streamlines (indices) between each pair of parcels, or sum their `values`."""
        return connectivity(self.pairs, len(self.names), selected, values)

    def unassigned(self, selected: np.ndarray) -> int:
        """Count the selected streamlines with an unassigned end."""
        return int((self.pairs[selected] == 0).any(axis=1).sum())
