"""Which streamlines of a tractogram are looked at, and how much each of them counts.

Every quantity is a sum over streamlines of ``f_s = w_s h_s``: the weight of the streamline, and how strongly the lesion
cuts it (1 for a binary mask).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.errors import InputError
from lacuna.streamlines.files.trx import read_header, read_per_streamline
from lacuna.utils.files import replacing

#: version of measured lengths, and of what follows from them; a part of their keys in the cache
VERSION = 1

_SEPARATORS = re.compile(r'[,;]')
_COMMENT = re.compile(r'#[^\n]*')


#: numbers of streamlines, ascending (uint32), and how strongly a mask cuts each (float32, to 1); None: all of them wholly
Selection = tuple[np.ndarray, np.ndarray | None]
NOTHING: Selection = (np.empty(0, np.uint32), None)


@dataclass(frozen=True)
class Cut:
    """The streamlines that a lesion cuts.

    Attributes
    ----------
    ids : numpy.ndarray
        (n,) their numbers in the tractogram, from 0, ascending.
    factors : numpy.ndarray or None
        (n,) float64, how much each counts: its weight, times how strongly the lesion cuts it. None: each counts 1.
    """

    ids: np.ndarray
    factors: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def values(self) -> np.ndarray:
        """(n,) float64, how much each counts."""
        return np.ones(len(self.ids)) if self.factors is None else self.factors


@dataclass(frozen=True)
class Weighting:
    """Which streamlines of a tractogram are looked at, and how much each counts.

    Attributes
    ----------
    lengths : numpy.ndarray or None
        (streamlines,) float32, mm, in the space of the tractogram itself; NaN for a streamline without a vertex.
    weights : numpy.ndarray or None
        (streamlines,) float32. None: each counts 1.
    kept : numpy.ndarray or None
        (streamlines,) bool, which are looked at. None: all.
    """

    lengths: np.ndarray | None = None
    weights: np.ndarray | None = None
    kept: np.ndarray | None = None

    @classmethod
    def within(
        cls, lengths: np.ndarray, weights: np.ndarray | None, limits: tuple[float, float] | None
    ) -> Weighting:
        """Look only at the streamlines whose lengths are within limits (mm, both included)."""
        if limits is None:
            return cls(lengths, weights)
        shortest, longest = (np.float32(limit) for limit in limits)
        return cls(lengths, weights, (lengths >= shortest) & (lengths <= longest))

    @property
    def plain(self) -> bool:
        """Whether all streamlines are looked at, and each counts 1."""
        return self.weights is None and self.kept is None

    @property
    def known_lengths(self) -> np.ndarray:
        """The lengths.

        Raises
        ------
        ValueError
            If they were not measured.
        """
        if self.lengths is None:
            message = 'the lengths of the streamlines are not known'
            raise ValueError(message)
        return self.lengths

    @cached_property
    def ids(self) -> np.ndarray | None:
        """Numbers of the streamlines that are looked at, ascending. None if these are all."""
        return None if self.kept is None else np.flatnonzero(self.kept).astype(np.uint32)

    @cached_property
    def everything(self) -> Cut:
        """All streamlines that are looked at, as if they were cut.

        Raises
        ------
        ValueError
            If nothing is known of the tractogram, so that its number of streamlines is not.
        """
        known = next((each for each in (self.lengths, self.weights, self.kept) if each is not None), None)
        if known is None:
            message = 'the number of streamlines is not known'
            raise ValueError(message)
        return self.cut(np.arange(len(known), dtype=np.uint32))

    def cut(self, ids: np.ndarray, grades: np.ndarray | None = None) -> Cut:
        """The streamlines that a lesion cuts, as far as they are looked at.

        Parameters
        ----------
        ids : numpy.ndarray
            (n,) numbers of the streamlines that it touches, ascending.
        grades : numpy.ndarray, optional
            (n,) how strongly it cuts each, 0 to 1.
        """
        if self.kept is not None:
            looked_at = self.kept[ids]
            ids, grades = ids[looked_at], None if grades is None else grades[looked_at]
        if self.weights is None:
            return Cut(ids, None if grades is None else grades.astype(np.float64))
        factors = self.weights[ids].astype(np.float64)
        return Cut(ids, factors if grades is None else factors * grades)

    def count(self, streamlines: int) -> int:
        """How many of the streamlines of the tractogram are looked at."""
        return streamlines if self.kept is None else int(self.kept.sum())

    def summary(self, cut: Cut) -> dict[str, Any]:
        """What the statistics file of a lesion says of weights and lengths; the means are None where there is nothing.

        Parameters
        ----------
        cut : Cut
            The streamlines that the lesion cuts.
        """
        found: dict[str, Any] = {}
        if cut.factors is not None:
            lost = float(cut.factors.sum())
            found = {'weight_total': self._total, 'weight_disconnected_pct': 100.0 * lost / self._total}
        if self.lengths is None:
            return found
        weight, length = float(cut.values.sum()), float((cut.values * self.lengths[cut.ids]).sum())
        spared = self._total - weight if len(cut) < len(self.everything) or cut.factors is not None else 0.0
        return {
            **found,
            'length_mean_mm': _ratio(self._length, self._total),
            'length_mean_disconnected_mm': _ratio(length, weight),
            'length_mean_spared_mm': _ratio(self._length - length, spared),
        }

    @cached_property
    def _total(self) -> float:
        return float(self.everything.values.sum())

    @cached_property
    def _length(self) -> float:
        everything = self.everything
        return float((everything.values * np.nan_to_num(self.known_lengths)[everything.ids]).sum())

    def save(self, path: Path) -> Path:
        """Write a ``.npz``, completely or not at all."""
        arrays: dict[str, Any] = {
            name: each for name in ('lengths', 'weights', 'kept') if (each := getattr(self, name)) is not None
        }
        with replacing(path) as temporary:
            np.savez(temporary, **arrays)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Weighting:
        """Read a file of `save`."""
        with np.load(path, allow_pickle=False) as content:
            return cls(**{name: content[name] for name in content.files})


def read_weights(source: str | Path, tractogram: Path, streamlines: int) -> np.ndarray:
    """Read a weight for each streamline of a tractogram, such as those of ``tcksift2``.

    Parameters
    ----------
    source : path
        A text file of numbers separated by white space, with comments after ``#``; or the name of the values of the
        streamlines in a ``.trx`` (in its folder ``dps``), if there is no file of this name.
    tractogram : pathlib.Path
        The file given.
    streamlines : int
        Their number.

    Returns
    -------
    numpy.ndarray
        (streamlines,) float32, the precision of MRtrix3.

    Raises
    ------
    lacuna.errors.InputError
        If there is no such file, it holds anything else than numbers, there is not one for each streamline, one is negative
        or not finite, or all are 0.
    """
    path = Path(source)
    weights = _numbers(path) if path.is_file() else _of_trx(source, tractogram)
    if len(weights) != streamlines:
        message = f'{source}: there are {len(weights)} weights, but {tractogram} has {streamlines} streamlines; give one for each'
        raise InputError(message)
    wrong = ~np.isfinite(weights) | (weights < 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        message = f'{source}: the weight of streamline {row} (counted from 0) is {weights[row]:g}; weights are finite numbers, and not negative'
        raise InputError(message)
    if not weights.any():
        message = f'{source}: all weights are 0'
        raise InputError(message)
    return weights


def _numbers(path: Path) -> np.ndarray:
    try:
        text = path.read_text(encoding='utf-8')
    except OSError as error:
        message = f'cannot read the weights {path}: {error.strerror or error}'
        raise InputError(message) from error
    except UnicodeDecodeError:
        message = f'{path}: the weights have to be a text file of numbers, as written by tcksift2'
        raise InputError(message) from None
    words = _SEPARATORS.sub(' ', _COMMENT.sub('', text)).split()
    try:
        with np.errstate(over='ignore'):  # what is then infinite is refused
            return np.array(words, np.float64).astype(np.float32)
    except ValueError as error:
        message = f'{path}: the weights have to be numbers ({error})'
        raise InputError(message) from error


def _of_trx(name: str | Path, tractogram: Path) -> np.ndarray:
    header = read_header(tractogram) if tractogram.suffix.lower() == '.trx' else None
    if header is None or str(name) not in header.per_streamline:
        fields = ', '.join(header.per_streamline) if header else ''
        among = f', or one of the names in {tractogram}: {fields}' if fields else ''
        message = f'no weights {name}: give a text file with one number for each streamline{among}'
        raise InputError(message)
    with np.errstate(over='ignore'):
        return read_per_streamline(header, str(name)).astype(np.float32)


def weights_sha256(weights: np.ndarray) -> str:
    """Checksum of weights, whatever file they are in."""
    return hashlib.sha256(np.ascontiguousarray(weights, '<f4').tobytes()).hexdigest()


def _ratio(total: float, number: float) -> float | None:
    return total / number if number > 0 else None
