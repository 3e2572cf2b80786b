"""How null lesions are made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lacuna.errors import InputError, check_choice

#: where null lesions may be
WITHIN = ('brain', 'hemisphere', 'tissue', 'reference', 'lesions')
#: those of them that other lesions decide
NEED_REFERENCE = ('reference', 'lesions')


@dataclass(frozen=True, kw_only=True)
class NullSettings:
    """How null lesions are made.

    Attributes
    ----------
    n : int
        How many.
    seed : int
        The random numbers come from this and the checksum of the mask: those of one lesion do not depend on others.
    inside : float
        Share of the lesion, 0 to 1, that has to be in the brain; the lesion's own share, if that is smaller.
    within : str
        ``brain``: anywhere. ``hemisphere``: only the one in which most of the lesion is. ``tissue``: where the shares
        of grey and of white matter are the lesion's, by up to 5 points. ``reference``: more likely where lesions are
        more frequent in a cohort. ``lesions``: lesions of other patients, of half to twice the volume, where they are.
    mirrors : bool
        Mirror images too.
    reference : tuple of path
        For ``reference``: masks, or a single map of the frequency of lesions. For ``lesions``: the masks.
    tissues : tuple of path
        For ``tissue``: maps of the probability of grey and of white matter; by default, those of TemplateFlow.

    Raises
    ------
    lacuna.errors.InputError
        If a setting is not valid.
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
