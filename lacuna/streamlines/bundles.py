"""Bundles of the streamlines of a tractogram, which may overlap, and their disconnection by a lesion."""

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
from lacuna.measures import mean_of, percent_interval, share_percent
from lacuna.streamlines.files.bundle_tables import (
    OWN_GROUPS,
    bundles_label,
    check_bundles_label,
    read_bundles,
)
from lacuna.streamlines.files.formats import bundle_table, open_tractogram, without_extension
from lacuna.streamlines.files.trx import TrxHeader, read_groups
from lacuna.streamlines.sample import spread
from lacuna.streamlines.weighting import Cut, Weighting
from lacuna.utils.files import replacing

if TYPE_CHECKING:
    import pandas as pd

    from lacuna.streamlines.index.query import Index

#: columns of mean lengths: of all streamlines of a bundle, and of those cut and spared
_LENGTHS = ('length_mean_mm', 'length_mean_disconnected_mm', 'length_mean_spared_mm')
#: version of the files of groups and visits; part of their cache keys
VERSION = 2


@dataclass(frozen=True)
class Groups:
    """The streamlines of each bundle; a streamline may belong to none, one or several.

    Attributes
    ----------
    names : tuple of str
        Names of the bundles.
    starts : numpy.ndarray
        (bundles + 1,) int64, index into `members` at which each bundle begins.
    members : numpy.ndarray
        (m,) int64, indices of streamlines, from 0; ascending within a bundle.
    """

    names: tuple[str, ...]
    starts: np.ndarray
    members: np.ndarray

    @classmethod
    def of(cls, bundles: Mapping[str, np.ndarray], streamlines: int) -> Groups:
        """Create groups from the indices of the streamlines of each bundle.

        Raises
        ------
        lacuna.errors.TractogramError
            If an index is not that of a streamline.

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
        """Number of streamlines of each bundle, (bundles,)."""
        return np.diff(self.starts)

    @cached_property
    def sha256(self) -> str:
        """Checksum of names and members."""
        digest = hashlib.sha256(repr(self.names).encode())
        digest.update(self.starts.tobytes())
        digest.update(self.members.tobytes())
        return digest.hexdigest()

    def count(self, selected: np.ndarray) -> np.ndarray:
        """Count the selected streamlines (indices) in each bundle; (bundles,) int64."""
        return self._sums(self._of_members(selected, np.True_), np.int64)

    def summed(self, cut: Cut, values: np.ndarray | None = None) -> np.ndarray:
        """Sum the factors in `cut`, times `values` (streamlines,), over each bundle; (bundles,) float64."""
        own = cut.values if values is None else cut.values * values[cut.ids]
        return self._sums(self._of_members(cut.ids, own), np.float64)

    def _sums(self, values: np.ndarray, kind: type) -> np.ndarray:
        """Sum one value per member, (m,), over each bundle; (bundles,)."""
        sums: np.ndarray = np.zeros(len(self), kind)
        nonempty = self.sizes > 0
        if nonempty.any():
            sums[nonempty] = np.add.reduceat(values, self.starts[:-1][nonempty], dtype=kind)
        return sums

    def within(self, kept: np.ndarray | None) -> Groups:
        """Restrict the bundles to the streamlines in `kept`, (streamlines,) bool; None for all."""
        if kept is None:
            return self
        taken = kept[self.members]
        starts = np.concatenate([[0], np.cumsum(taken, dtype=np.int64)])[self.starts]
        return Groups(self.names, starts, self.members[taken])

    def among(self, selected: np.ndarray) -> dict[str, np.ndarray]:
        """Find the positions of each bundle's members in `selected` (unique indices); bundles without any are left out.

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

    def _of_members(self, selected: np.ndarray, values: Any) -> np.ndarray:
        """Return the value of each member's streamline, (m,); 0 where it is not selected."""
        if not len(self.members) or not len(selected):
            return np.zeros(len(self.members), values.dtype)
        every = np.zeros(max(self._last, int(selected.max())) + 1, values.dtype)
        every[selected] = values
        return every[self.members]

    @cached_property
    def _last(self) -> int:
        return int(self.members.max())

    def arrays(self) -> dict[str, Any]:
        """Return the content as arrays, for a ``.npz``."""
        return {'names': np.array(self.names, str), 'group_starts': self.starts, 'members': self.members}

    @classmethod
    def of_arrays(cls, content: Mapping[str, np.ndarray]) -> Groups:
        """Create groups from the result of `arrays`."""
        return cls(tuple(content['names'].tolist()), content['group_starts'], content['members'])


class NamedBundles(NamedTuple):
    """The bundles of a tractogram, with their name.

    Attributes
    ----------
    name : str
        Name of the set of bundles in file names.
    groups : Groups
    table : pathlib.Path or None
        The table that they were read from; None if they are stored in the tractogram.
    """

    name: str
    groups: Groups
    table: Path | None


def find_bundles(
    tractogram: Path,
    tracks: Path,
    streamlines: int,
    source: str | Path | None,
    name: str | None,
    kept: np.ndarray | None = None,
) -> NamedBundles | None:
    """Find the bundles of a tractogram; see :meth:`lacuna.streamlines.tractogram.Tractogram.bundles`.

    Parameters
    ----------
    tractogram, tracks : pathlib.Path
        The file or folder as passed, and its ``.tck``.
    streamlines : int
        Number of streamlines.
    source : path, optional
    name : str, optional
    kept : numpy.ndarray, optional
        (streamlines,) bool, streamlines to use; by default all.
    """
    stem = tractogram if tractogram.is_dir() else without_extension(tractogram)
    table = stem.with_name(f'{stem.name}_bundles.tsv')
    if source is not None and str(source) != OWN_GROUPS:
        table = Path(source).expanduser()
    elif source is not None or not table.is_file():
        bundles = _own_groups(tractogram, tracks)
        if not bundles:
            if source is None:
                return None
            message = f'{tractogram}: the tractogram has no groups of streamlines'
            raise TractogramError(message)
        return NamedBundles(_named(name, stem.name), Groups.of(bundles, streamlines).within(kept), None)
    groups = Groups.of(read_bundles(table, streamlines), streamlines)
    if not len(groups):
        message = f'{table}: the table has no bundles'
        raise TractogramError(message)
    return NamedBundles(_named(name, table.stem), groups.within(kept), table)


def _named(name: str | None, stem: str) -> str:
    return bundles_label(stem) if name is None else check_bundles_label(name)


def _own_groups(tractogram: Path, tracks: Path) -> dict[str, np.ndarray]:
    """Return the groups of a ``.trx`` or the files of a folder as bundles; empty if there are none."""
    if tractogram.is_dir():
        return read_bundles(bundle_table(tracks))
    header = open_tractogram(tractogram)
    return read_groups(header) if isinstance(header, TrxHeader) else {}


@dataclass(frozen=True)
class BundleSet:
    """The bundles of a tractogram, with the voxels that they visit.

    Attributes
    ----------
    groups : Groups
    visits : lacuna.images.memberships.Memberships
        Voxels of the map that each bundle visits.
    """

    groups: Groups
    visits: Memberships

    @classmethod
    def from_index(cls, groups: Groups, index: Index) -> BundleSet:
        """Compute the visited voxels from the index of the tractogram, on its grid."""
        parts = ((np.flatnonzero(index.density(groups[row])), None) for row in range(len(groups)))
        return cls(groups, Memberships.of(parts, index.grid.shape, index.grid.affine))

    @classmethod
    def from_densities(cls, groups: Groups, densities: Sequence[Any]) -> BundleSet:
        """Compute the visited voxels from density images, one per bundle."""
        parts = ((np.flatnonzero(voxels(image).reshape(-1)), None) for image in densities)
        return cls(groups, Memberships.of(parts, densities[0].shape, densities[0].affine))

    def save(self, path: Path) -> Path:
        """Write a ``.npz`` atomically."""
        with replacing(path) as temporary:
            np.savez(temporary, **self.groups.arrays(), **self.visits.arrays())
        return path

    @classmethod
    def load(cls, path: str | Path) -> BundleSet:
        """Read a file written by `save`."""
        with np.load(path, allow_pickle=False) as content:
            return cls(Groups.of_arrays(content), Memberships.of_arrays(content))


@dataclass(frozen=True)
class Bundles:
    """Bundles of the whole tractogram with weights; quantities are computed once, on first access.

    Attributes
    ----------
    known : BundleSet
        The bundles, restricted to the streamlines in use.
    weighting : lacuna.streamlines.weighting.Weighting
    """

    known: BundleSet
    weighting: Weighting = field(default_factory=Weighting)

    @property
    def groups(self) -> Groups:
        """The streamlines of each bundle."""
        return self.known.groups

    @property
    def weighted(self) -> bool:
        """Whether streamlines are weighted."""
        return self.weighting.weights is not None

    @cached_property
    def total(self) -> np.ndarray:
        """Number, or summed weights, of the streamlines of each bundle, (bundles,)."""
        return self.groups.summed(self.weighting.everything) if self.weighted else self.groups.sizes

    @cached_property
    def squares(self) -> np.ndarray | None:
        """Sum of the squared weights of the streamlines of each bundle, (bundles,); None without weights."""
        if not self.weighted:
            return None
        everything = self.weighting.everything
        return self.groups.summed(Cut(everything.ids, np.square(everything.values)))

    @cached_property
    def summed_lengths(self) -> np.ndarray:
        """Sum of length times weight over the streamlines of each bundle, (bundles,), in mm."""
        return self.groups.summed(self.weighting.everything, self.lengths)

    @property
    def lengths(self) -> np.ndarray:
        """Length of each streamline, (streamlines,), in mm; 0 for a streamline without vertices."""
        return np.nan_to_num(self.weighting.known_lengths)


@dataclass(frozen=True)
class BundleDisconnection:
    """The disconnection of the bundles of a tractogram by a lesion.

    Attributes
    ----------
    bundles : Bundles
    cut : lacuna.streamlines.weighting.Cut
        The disconnected streamlines.
    mask : nibabel.Nifti1Image
        The lesion, binary.
    """

    bundles: Bundles
    cut: Cut
    mask: Any = field(repr=False)

    def of_sample(self, most: int) -> dict[str, np.ndarray]:
        """Return the positions of each bundle in a sample of at most `most` streamlines cut."""
        ids = self.cut.ids
        return self.bundles.groups.among(ids[spread(len(ids), most)] if len(ids) else ids)

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """Columns of `table`, each (bundles,)."""
        bundles, groups = self.bundles, self.bundles.groups
        counts = groups.count(self.cut.ids)
        lost = counts if self.cut.factors is None else groups.summed(self.cut)
        low, high = percent_interval(lost, bundles.total, bundles.squares)
        value = share_percent(lost, bundles.total)
        columns = {'value': value, 'streamlines': groups.sizes, 'streamlines_disconnected': counts}
        if self.cut.factors is not None:
            columns |= {'weight_total': bundles.total.astype(float), 'weight_disconnected_pct': value}
        columns |= {'low': low, 'high': high, 'load_pct': visited_load(self.mask, bundles.known.visits)}
        if bundles.weighting.lengths is None:
            return columns | dict.fromkeys(_LENGTHS, np.full(len(groups), np.nan))
        whole, part = bundles.summed_lengths, groups.summed(self.cut, bundles.lengths)
        is_spared = groups.sizes > counts if self.cut.factors is None else bundles.total > lost
        spared = np.where(is_spared, bundles.total - lost, 0)
        means = mean_of(whole, bundles.total), mean_of(part, lost), mean_of(whole - part, spared)
        return columns | dict(zip(_LENGTHS, means, strict=True))

    @cached_property
    def table(self) -> pd.DataFrame:
        """Table of the disconnection of each bundle, one row each; NaN for a bundle without streamlines.

        ``value`` is the percentage of streamlines (or summed weights) that the lesion cuts, with its 95 % Wilson
        interval from ``low`` to ``high``. ``streamlines`` and ``streamlines_disconnected`` are counts; with weights or
        a graded mask, ``weight_total`` and ``weight_disconnected_pct`` are the corresponding sums. ``load_pct`` is the
        percentage of the volume of the bundle's voxels (of the map's grid) that is lesion. ``length_mean_mm``,
        ``length_mean_disconnected_mm`` and ``length_mean_spared_mm`` are mean lengths of all, cut and spared
        streamlines, in the tractogram's own space.
        """
        import pandas as pd

        return pd.DataFrame(self.columns, index=pd.Index(self.bundles.groups.names, name='bundle'))

    @property
    def disconnection(self) -> pd.Series:
        """Percentage of each bundle's streamlines that the lesion cuts (float), by name."""
        return self.table['value']
