"""All results in one table: a row for each value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lacuna.bids.results import Result, leading_cells
from lacuna.bids.tables import NOT_AVAILABLE
from lacuna.images.parcels import read_parcel
from lacuna.utils.names import parse_entities

NAME = 'group_method-snm_desc-long_stats.tsv'
HEADER = ('participant', 'session', 'label', 'run', 'hemisphere', 'feature', 'value')
#: columns of their own
_COLUMNS = {'sub', 'ses', 'label', 'run'}


def long_rows(
    result: Result, part: str, names: Sequence[str], lesions: Iterable[tuple[str, Sequence[Any] | None]]
) -> Iterator[tuple[Any, ...]]:
    """The rows of one group table; what is text in it is left out.

    Parameters
    ----------
    result : lacuna.bids.results.Result
        One of the group.
    part : str
        Nothing, or which of its parts by region.
    names : sequence of str
        Regions or statistics.
    lesions : iterable of tuple
        What leads the names of the results of each lesion, and its values; None if it has none.
    """
    of_regions = bool(part) or result.output.extension == '.tsv'
    kind = (part.replace('_', '') or result.output.desc) if of_regions else None
    # entities without a column tell lesions apart that have all others in common
    scope = [f'{key}-{value}' for key, value in parse_entities(result.lesion).items() if key not in _COLUMNS]
    lead = '.'.join(filter(None, (*scope, parse_entities(result.group).get('atlas'), kind)))
    sides = [(read_parcel(name).hemisphere if of_regions else '') or NOT_AVAILABLE for name in names]
    features = [f'{lead}.{name}' if lead else name for name in names]
    lesions = list(lesions)
    known = [values for _, values in lesions if values is not None]
    numeric = [
        any(isinstance(values[column], (int, float)) for values in known) for column in range(len(names))
    ]
    for stem, values in lesions:
        run = parse_entities(stem).get('run')
        row = (*leading_cells(stem), f'run-{run}' if run else NOT_AVAILABLE)
        for column, is_number in enumerate(numeric):
            if is_number:
                value = None if values is None else values[column]
                yield (*row, sides[column], features[column], value)
