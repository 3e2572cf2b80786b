"""Settings of null lesions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lacuna.errors import InputError, check_choice

#: regions for null lesions
WITHIN = ('brain', 'hemisphere', 'tissue', 'reference', 'lesions')
#: regions that need lesions of other patients
NEED_REFERENCE = ('reference', 'lesions')


@dataclass(frozen=True, kw_only=True)
class NullSettings:
    """Settings of null lesions.

    Attributes
    ----------
    n : int
        Number of null lesions.
    seed : int
        Seed of the random numbers, together with the checksum of the mask: each lesion's null lesions are independent
        of other lesions.
    inside : float
        Minimum share of the null lesion, 0 to 1, inside the brain; the lesion's own share, if smaller.
    within : str
        Where null lesions may be. ``brain``: anywhere. ``hemisphere``: in the hemisphere that contains most of the
        lesion. ``tissue``: where the shares of grey and white matter are within 5 percentage points of the lesion's.
        ``reference``: with the frequency of lesions in a cohort. ``lesions``: the null lesions are lesions of other
        patients, of half to twice the volume, at their own places.
    mirrors : bool
        Whether to include mirror images.
    reference : tuple of path
        For ``reference``: masks, or one map of lesion frequency. For ``lesions``: masks.
    tissues : tuple of path
        For ``tissue``: probability maps of grey and white matter; by default, those of TemplateFlow.

    Raises
    ------
    lacuna.errors.InputError
        If a setting is invalid.
    """

    n: int = 1000
    seed: int = 0
    inside: float = 0.95
    within: str = 'brain'
    mirrors: bool = False
    reference: tuple[Path, ...] = ()
    tissues: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.n < 1 or self.seed < 0:
            message = (
                f'{self.n} null lesions with seed {self.seed}: give at least 1, and a seed of at least 0'
            )
            raise InputError(message)
        if not 0 < self.inside <= 1:
            message = f'the share {self.inside} of a null lesion inside the brain is invalid; give a number above 0, up to 1'
            raise InputError(message)
        check_choice('within', self.within, WITHIN)
        if self.within in NEED_REFERENCE and not self.reference:
            message = f'null lesions within {self.within!r} need a reference: lesion masks'
            raise InputError(message)
        for path in (*self.reference, *self.tissues):
            if not Path(path).is_file():
                message = f'no file {path}'
                raise InputError(message)
