"""Which parcels the streamlines of a tractogram join: found once, used for every lesion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lacuna.files import replacing
from lacuna.measures import connectivity


@dataclass(frozen=True)
class EndpointTable:
    """The parcels at the ends of all streamlines.

    Attributes
    ----------
    pairs : numpy.ndarray
        (streamlines, 2) int32: row of the label table, from 1; 0 where the end is in no parcel.
    names : tuple of str
        Of the parcels, in the order of the label table.
    full_matrix : numpy.ndarray
        (parcels, parcels) int64, streamlines that join each two.
    """

    pairs: np.ndarray
    names: tuple[str, ...]
    full_matrix: np.ndarray

    @classmethod
    def of(cls, pairs: np.ndarray, names: tuple[str, ...]) -> EndpointTable:
        """The table of these pairs, with their matrix."""
        return cls(pairs.astype(np.int32), names, connectivity(pairs, len(names)))

    def save(self, path: Path) -> Path:
        """Write a ``.npz``: whole or not at all."""
        with replacing(path) as temporary:
            np.savez(temporary, pairs=self.pairs, names=np.array(self.names), full_matrix=self.full_matrix)
        return path

    @classmethod
    def load(cls, path: str | Path) -> EndpointTable:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as content:
            return cls(content['pairs'], tuple(content['names'].tolist()), content['full_matrix'])

    def lesion_matrix(self, selected: np.ndarray) -> np.ndarray:
        """Streamlines among those selected (numbers from 0) that join each two parcels."""
        return connectivity(self.pairs, len(self.names), selected)

    def unassigned(self, selected: np.ndarray) -> int:
        """How many of those selected have an end in no parcel."""
        return int((self.pairs[selected] == 0).any(axis=1).sum())
