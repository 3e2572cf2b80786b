"""Weights and lengths of the streamlines of a tractogram, and which of them are used.

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

from lacuna.errors import InputError, reason_of
from lacuna.streamlines.files.trx import read_header, read_per_streamline
from lacuna.utils.files import replacing

#: version of measured lengths and everything computed from them; part of their cache keys
VERSION = 1

_SEPARATORS = re.compile(r'[,;]')
_COMMENT = re.compile(r'#[^\n]*')


#: streamlines, ascending (uint32), and how strongly a mask cuts each, up to 1 (float32); None: all fully
Selection = tuple[np.ndarray, np.ndarray | None]
NOTHING: Selection = (np.empty(0, np.uint32), None)


@dataclass(frozen=True)
class Cut:
    """The streamlines that a lesion cuts, and how much each counts.

    Attributes
    ----------
    ids : numpy.ndarray
        (n,) indices in the tractogram, from 0, ascending.
    factors : numpy.ndarray or None
        (n,) float64, weight of each times how strongly the lesion cuts it. None: all 1.
    """

    ids: np.ndarray
    factors: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def values(self) -> np.ndarray:
        """How much each streamline counts, (n,) float64."""
        return np.ones(len(self.ids)) if self.factors is None else self.factors


@dataclass(frozen=True)
class Weighting:
    """Weights and lengths of the streamlines of a tractogram, and which of them are used.

    Attributes
    ----------
    lengths : numpy.ndarray or None
        (streamlines,) float32, mm, in the tractogram's own space; NaN for a streamline without vertices.
    weights : numpy.ndarray or None
        (streamlines,) float32. None: all 1.
    kept : numpy.ndarray or None
        (streamlines,) bool, streamlines to use. None: all.
    """

    lengths: np.ndarray | None = None
    weights: np.ndarray | None = None
    kept: np.ndarray | None = None

    @classmethod
    def within(
        cls, lengths: np.ndarray, weights: np.ndarray | None, limits: tuple[float, float] | None
    ) -> Weighting:
        """Use only streamlines with lengths within limits (mm, inclusive)."""
        if limits is None:
            return cls(lengths, weights)
        shortest, longest = (np.float32(limit) for limit in limits)
        return cls(lengths, weights, (lengths >= shortest) & (lengths <= longest))

    @property
    def plain(self) -> bool:
        """Whether all streamlines are used, with weight 1."""
        return self.weights is None and self.kept is None

    @property
    def known_lengths(self) -> np.ndarray:
        """Lengths of the streamlines.

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
        """Indices of the streamlines in use, ascending; None for all."""
        return None if self.kept is None else np.flatnonzero(self.kept).astype(np.uint32)

    @cached_property
    def everything(self) -> Cut:
        """All streamlines in use, as a cut.

        Raises
        ------
        ValueError
            If neither weights nor lengths are known, so that the number of streamlines is unknown.
        """
        per_streamline = next(
            (each for each in (self.lengths, self.weights, self.kept) if each is not None), None
        )
        if per_streamline is None:
            message = 'the number of streamlines is not known'
            raise ValueError(message)
        return self.cut(np.arange(len(per_streamline), dtype=np.uint32))

    def cut(self, ids: np.ndarray, grades: np.ndarray | None = None) -> Cut:
        """Return the cut of a lesion, restricted to the streamlines in use.

        Parameters
        ----------
        ids : numpy.ndarray
            (n,) indices of the streamlines in the lesion, ascending.
        grades : numpy.ndarray, optional
            (n,) how strongly the lesion cuts each, 0 to 1.
        """
        if self.kept is not None:
            looked_at = self.kept[ids]
            ids, grades = ids[looked_at], None if grades is None else grades[looked_at]
        if self.weights is None:
            return Cut(ids, None if grades is None else grades.astype(np.float64))
        factors = self.weights[ids].astype(np.float64)
        return Cut(ids, factors if grades is None else factors * grades)

    def count(self, streamlines: int) -> int:
        """Count the streamlines of the tractogram that are in use."""
        return streamlines if self.kept is None else int(self.kept.sum())

    def summary(self, cut: Cut) -> dict[str, Any]:
        """Return the statistics of weights and lengths for a lesion's statistics file; means of nothing are None.

        Parameters
        ----------
        cut : Cut
            The disconnected streamlines.
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
        """Write a ``.npz`` atomically."""
        arrays: dict[str, Any] = {
            name: each for name in ('lengths', 'weights', 'kept') if (each := getattr(self, name)) is not None
        }
        with replacing(path) as temporary:
            np.savez(temporary, **arrays)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Weighting:
        """Read a file written by `save`."""
        with np.load(path, allow_pickle=False) as content:
            return cls(**{name: content[name] for name in content.files})


def read_weights(source: str | Path, tractogram: Path, streamlines: int) -> np.ndarray:
    """Read one weight per streamline of a tractogram, such as those of ``tcksift2``.

    Parameters
    ----------
    source : path
        Text file of numbers separated by white space, with comments after ``#``; or, if there is no such file, the
        name of per-streamline values (folder ``dps``) in a ``.trx``.
    tractogram : pathlib.Path
        The tractogram's file, as passed.
    streamlines : int
        Number of streamlines.

    Returns
    -------
    numpy.ndarray
        (streamlines,) float32, as in MRtrix3.

    Raises
    ------
    lacuna.errors.InputError
        If the file is missing or contains something else than numbers, their number does not match, a weight is
        negative or not finite, or all weights are 0.
    """
    path = Path(source).expanduser()
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
        text = path.read_text(encoding='utf-8-sig')
    except OSError as error:
        message = f'cannot read the weights {path}: {reason_of(error, path)}'
        raise InputError(message) from error
    except UnicodeDecodeError:
        message = f'{path}: the weights have to be a text file of numbers, as written by tcksift2'
        raise InputError(message) from None
    words = _SEPARATORS.sub(' ', _COMMENT.sub('', text)).split()
    try:
        with np.errstate(over='ignore'):  # overflow to infinity is refused below
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
    """Compute the checksum of weights, independent of their file."""
    return hashlib.sha256(np.ascontiguousarray(weights, '<f4').tobytes()).hexdigest()


def _ratio(total: float, number: float) -> float | None:
    return total / number if number > 0 else None
