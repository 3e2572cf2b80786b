"""Bundles: groups of the streamlines of a tractogram, which may overlap, and what a lesion cuts of each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lacuna.errors import TractogramError
from lacuna.images.load import visited_load
from lacuna.images.memberships import Memberships
from lacuna.images.nifti import voxels
from lacuna.measures import percent_interval
from lacuna.streamlines.files.bundle_tables import (
    OWN_GROUPS,
    bundles_label,
    check_bundles_label,
    read_bundles,
)
from lacuna.streamlines.files.formats import bundle_table, open_tractogram, without_extension
from lacuna.streamlines.files.trx import TrxHeader, read_groups
from lacuna.streamlines.sample import spread
from lacuna.utils.files import replacing

if TYPE_CHECKING:
    import pandas as pd

    from lacuna.streamlines.index.query import Index

#: version of the files of groups and visits, a part of their keys in the cache
VERSION = 1


@dataclass(frozen=True)
class Groups:
    """Which streamlines belong to which bundle: none, one or several for each.

    Attributes
    ----------
    names : tuple of str
        Names of the bundles.
    starts : numpy.ndarray
        (bundles + 1,) int64, where the members of each bundle begin.
    members : numpy.ndarray
        (m,) int64, numbers of streamlines, from 0; ascending within a bundle.
    """

    names: tuple[str, ...]
    starts: np.ndarray
    members: np.ndarray

    @classmethod
    def of(cls, bundles: Mapping[str, np.ndarray], streamlines: int) -> Groups:
        """Make groups from the numbers of the streamlines of each bundle.

        Raises
        ------
        lacuna.errors.TractogramError
            If a number is not that of a streamline.

        Examples
        --------
        >>> groups = Groups.of({'AF L': np.array([0, 1, 2]), 'none': np.array([], int), 'SLF': np.array([2])}, 4)
        >>> groups.sizes, groups.count(np.array([1, 2]))
        (array([3, 0, 1]), array([2, 0, 1]))
        """
        parts = [np.unique(np.asarray(part, np.int64)) for part in bundles.values()]
        for name, part in zip(bundles, parts, strict=True):
            if len(part) and not 0 <= part[0] <= part[-1] < streamlines:
                message = (
                    f'the bundle {name!r} has the streamline {part[-1]}, but the tractogram has {streamlines}'
                )
                raise TractogramError(message)
        starts = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        return cls(tuple(bundles), starts, np.concatenate([np.empty(0, np.int64), *parts]))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.members[self.starts[row] : self.starts[row + 1]]

    @cached_property
    def sizes(self) -> np.ndarray:
        """(bundles,) number of streamlines of each."""
        return np.diff(self.starts)

    @cached_property
    def sha256(self) -> str:
        """Checksum of names and members."""
        digest = hashlib.sha256(repr(self.names).encode())
        digest.update(self.starts.tobytes())
        digest.update(self.members.tobytes())
        return digest.hexdigest()

    def count(self, selected: np.ndarray) -> np.ndarray:
        """Count how many of the selected streamlines (numbers) are in each bundle; (bundles,) int64."""
        return self.sums(self._marks(selected).astype(np.int64))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(bundles,) sum of a value (m,) of each member over the bundle."""
        found = np.zeros(len(self), values.dtype)
        some = self.sizes > 0
        if some.any():
            found[some] = np.add.reduceat(values, self.starts[:-1][some])
        return found

    def mean(self, values: np.ndarray, selected: np.ndarray | None = None) -> np.ndarray:
        """(bundles,) float64, mean of a value of the streamlines; NaN where there are none.

        Parameters
        ----------
        values : numpy.ndarray
            (streamlines,); NaN is left out.
        selected : numpy.ndarray, optional
            Numbers of the streamlines to look at; all by default.
        """
        own = values[self.members].astype(np.float64)
        taken = ~np.isnan(own)
        if selected is not None:
            taken &= self._marks(selected)
        number = self.sums(taken.astype(np.int64))
        total = self.sums(np.where(taken, own, 0.0))
        return np.divide(total, number, out=np.full(len(self), np.nan), where=number > 0)

    def among(self, selected: np.ndarray) -> dict[str, np.ndarray]:
        """Where the members of each bundle stand among some streamlines (numbers, each once); bundles without any are left out.

        >>> Groups.of({'AF': np.array([0, 2]), 'none': np.array([3]), 'SLF': np.array([2, 9])}, 10).among(np.array([2, 9]))
        {'AF': array([0]), 'SLF': array([0, 1])}
        """
        last = max(int(each.max()) if len(each) else -1 for each in (selected, self.members))
        place = np.full(last + 1, -1)
        place[selected] = np.arange(len(selected))
        found = {
            name: places[places >= 0]
            for name, places in zip(self.names, np.split(place[self.members], self.starts[1:-1]), strict=True)
        }
        return {name: np.sort(places) for name, places in found.items() if len(places)}

    def _marks(self, selected: np.ndarray) -> np.ndarray:
        """(m,) bool, whether each member is selected."""
        if not len(self.members) or not len(selected):
            return np.zeros(len(self.members), bool)
        marks = np.zeros(max(int(self.members.max()), int(selected.max())) + 1, bool)
        marks[selected] = True
        return marks[self.members]

    def arrays(self) -> dict[str, Any]:
        """All of it as arrays, to be written into a ``.npz``."""
        return {'names': np.array(self.names, str), 'group_starts': self.starts, 'members': self.members}

    @classmethod
    def of_arrays(cls, content: Mapping[str, np.ndarray]) -> Groups:
        """What `arrays` has given."""
        return cls(tuple(content['names'].tolist()), content['group_starts'], content['members'])


class NamedBundles(NamedTuple):
    """The bundles of a tractogram.

    Attributes
    ----------
    name : str
        In file names.
    groups : Groups
    table : pathlib.Path or None
        Where they were read; None if the tractogram itself has them.
    """

    name: str
    groups: Groups
    table: Path | None


def find_bundles(
    tractogram: Path, tracks: Path, streamlines: int, source: str | Path | None, name: str | None
) -> NamedBundles | None:
    """The bundles of a tractogram, see :meth:`lacuna.streamlines.tractogram.Tractogram.bundles`.

    Parameters
    ----------
    tractogram, tracks : pathlib.Path
        The file or folder given, and the same as ``.tck``.
    streamlines : int
        Their number.
    source : path, optional
    name : str, optional
    """
    stem = tractogram if tractogram.is_dir() else without_extension(tractogram)
    table = stem.with_name(f'{stem.name}_bundles.tsv')
    if source is not None and str(source) != OWN_GROUPS:
        table = Path(source)
    elif source is not None or not table.is_file():
        bundles = _own_groups(tractogram, tracks)
        if not bundles:
            if source is None:
                return None
            message = f'{tractogram}: the tractogram has no groups of streamlines'
            raise TractogramError(message)
        return NamedBundles(_named(name, stem.name), Groups.of(bundles, streamlines), None)
    groups = Groups.of(read_bundles(table, streamlines), streamlines)
    if not len(groups):
        message = f'{table}: the table has no bundles'
        raise TractogramError(message)
    return NamedBundles(_named(name, table.stem), groups, table)


def _named(name: str | None, stem: str) -> str:
    return bundles_label(stem) if name is None else check_bundles_label(name)


def _own_groups(tractogram: Path, tracks: Path) -> dict[str, np.ndarray]:
    """Return the groups of a ``.trx``, or the files of a folder; empty if there are none."""
    if tractogram.is_dir():
        return read_bundles(bundle_table(tracks))
    header = open_tractogram(tractogram)
    return read_groups(header) if isinstance(header, TrxHeader) else {}


@dataclass(frozen=True)
class BundleSet:
    """The bundles of a tractogram, with all that is needed to say what a lesion does to them.

    Attributes
    ----------
    groups : Groups
    lengths : numpy.ndarray
        (streamlines,) float32, length of every streamline of the tractogram, mm.
    visits : lacuna.images.memberships.Memberships
        The voxels of the map that each bundle visits.
    """

    groups: Groups
    lengths: np.ndarray
    visits: Memberships

    @cached_property
    def mean_lengths(self) -> np.ndarray:
        """(bundles,) mean length of the streamlines of each, mm; NaN where there are none."""
        return self.groups.mean(self.lengths)

    @classmethod
    def from_index(cls, groups: Groups, index: Index) -> BundleSet:
        """From the index of the tractogram, for the grid of its densities."""
        parts = ((np.flatnonzero(index.density(groups[row])), None) for row in range(len(groups)))
        visits = Memberships.of(parts, index.grid.shape, index.grid.affine)
        return cls(groups, np.asarray(index.lengths), visits)

    @classmethod
    def from_densities(cls, groups: Groups, tracks: Path, densities: Sequence[Any]) -> BundleSet:
        """From images of the number of streamlines of each bundle that visit each voxel."""
        from lacuna.streamlines.files import tck
        from lacuna.streamlines.index.build import endpoints_of

        blocks = tck.iter_blocks(tck.read_header(tracks))
        lengths = [endpoints_of(points, vertices)[1] for points, vertices in blocks]
        parts = ((np.flatnonzero(voxels(image).reshape(-1)), None) for image in densities)
        visits = Memberships.of(parts, densities[0].shape, densities[0].affine)
        return cls(groups, np.concatenate(lengths), visits)

    def save(self, path: Path) -> Path:
        """Write a ``.npz``, completely or not at all."""
        with replacing(path) as temporary:
            np.savez(temporary, lengths=self.lengths, **self.groups.arrays(), **self.visits.arrays())
        return path

    @classmethod
    def load(cls, path: str | Path) -> BundleSet:
        """Read a file of `save`."""
        with np.load(path, allow_pickle=False) as content:
            return cls(Groups.of_arrays(content), content['lengths'], Memberships.of_arrays(content))


@dataclass(frozen=True)
class BundleDisconnection:
    """What a lesion cuts of the bundles of a tractogram.

    Attributes
    ----------
    bundles : BundleSet
    streamlines : numpy.ndarray
        (n,) numbers of the streamlines cut.
    mask : nibabel.Nifti1Image
        The lesion, 0 and 1.
    """

    bundles: BundleSet
    streamlines: np.ndarray
    mask: Any = field(repr=False)

    def of_sample(self, most: int) -> dict[str, np.ndarray]:
        """Which of a sample of the streamlines cut (at most `most`, evenly over their order) belong to each bundle."""
        ids = self.streamlines
        return self.bundles.groups.among(ids[spread(len(ids), most)] if len(ids) else ids)

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """The columns of `table`, each (bundles,)."""
        groups, lengths = self.bundles.groups, self.bundles.lengths
        total, cut = groups.sizes, groups.count(self.streamlines)
        low, high = percent_interval(cut, total)
        return {
            'value': np.divide(100.0 * cut, total, out=np.full(len(total), np.nan), where=total > 0),
            'streamlines': total,
            'streamlines_disconnected': cut,
            'low': low,
            'high': high,
            'load_pct': visited_load(self.mask, self.bundles.visits),
            'length_mean_mm': self.bundles.mean_lengths,
            'length_mean_disconnected_mm': groups.mean(lengths, self.streamlines),
        }

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each bundle, by its name; NaN for a bundle without streamlines.

        ``value`` is the percent of its streamlines that the lesion cuts, with Wilson's interval of 95 % from ``low``
        to ``high``; ``streamlines`` and ``streamlines_disconnected`` are counts. ``load_pct`` is the percent of the
        volume of the voxels it visits (of the grid of the map) that is lesion. ``length_mean_mm`` and
        ``length_mean_disconnected_mm`` are the mean lengths of all of its streamlines, and of those cut.
        """
        import pandas as pd

        return pd.DataFrame(self.columns, index=pd.Index(self.bundles.groups.names, name='bundle'))

    @property
    def disconnection(self) -> pd.Series:
        """Percent of each bundle's streamlines that the lesion cuts (float), by its name."""
        return self.table['value']
