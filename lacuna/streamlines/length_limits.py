"""Length limits of streamlines, as ``tckedit`` applies them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lacuna.errors import InputError

if TYPE_CHECKING:
    from lacuna.streamlines.files.tck import TckHeader

#: tolerance of ``tckedit``, as a share of the step size
_SLACK = 0.1
#: the same for tractograms with a ``downsample_factor``, as a share of the original step size
_SLACK_DOWNSAMPLED = 0.5


def length_limits(header: TckHeader, shortest: float | None, longest: float | None) -> tuple[float, float]:
    """Compute the limits in mm that ``tckedit -minlength -maxlength`` applies to a tractogram.

    ``tckedit`` widens them by a tenth of the step size, if the header has one, or by half of the original step size if
    vertices were dropped (``downsample_factor``).

    Parameters
    ----------
    header : lacuna.streamlines.files.tck.TckHeader
    shortest, longest : float or None
        Requested limits in mm; None for no limit.
    """
    slack = 0.0
    if header.step_size:
        try:
            slack = _SLACK_DOWNSAMPLED / float(header.fields['downsample_factor'])
        except (KeyError, ValueError, ZeroDivisionError):
            slack = _SLACK
        slack *= header.step_size
    return (
        0.0 if shortest is None else max(0.0, shortest - slack),
        math.inf if longest is None else longest + slack,
    )


def check_length_limits(shortest: float | None, longest: float | None) -> None:
    """Raise InputError if no streamline can be within the limits."""
    for option, value in (('--min-length', shortest), ('--max-length', longest)):
        if value is not None and not 0 <= value < math.inf:
            message = f'{option} {value}: give a length in mm'
            raise InputError(message)
    if shortest is not None and longest is not None and shortest > longest:
        message = (
            f'--min-length {shortest:g} is greater than --max-length {longest:g}: no streamline would remain'
        )
        raise InputError(message)
