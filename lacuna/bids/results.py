"""Find the results of all lesions in a derivative dataset, and what their names say."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lacuna.bids.inputs import refuse_results, written_label
from lacuna.bids.outputs import Output, outputs, parse_output_name
from lacuna.bids.tables import NOT_AVAILABLE
from lacuna.errors import InputError
from lacuna.utils.names import parse_entities, sidecar_path


@dataclass(frozen=True)
class Result:
    """One file of one lesion, and what its name says.

    Attributes
    ----------
    path : pathlib.Path
    output : lacuna.bids.outputs.Output
    made_by : pathlib.Path or None
        The sidecar that says how it was made: its own, or that of another result of the same run.
    row : tuple of str
        Participant, session and label: the leading cells; ``n/a`` where the name has none.
    lesion : str
        The leading part of the name without the participant: the same for all who have this session and label.
    group : str
        Name of the group table, without its extension.
    """

    path: Path
    output: Output
    made_by: Path | None
    row: tuple[str, str, str]
    lesion: str
    group: str

    @property
    def participant(self) -> str:
        """With ``sub-``."""
        return self.row[0]

    @property
    def stem(self) -> str:
        """What leads the names of all results of this lesion."""
        return self.participant + self.lesion


def find_results(root: Path, pattern: str | None = None) -> list[Result]:
    """The tables, statistics and matrices of all lesions, in the order of participants and names.

    Raises
    ------
    InputError
        If there is no such folder, or a result is there twice.
    """
    if not root.is_dir():
        message = f'there is no folder {root}'
        raise InputError(message)
    found: dict[str, Result] = {}
    for folder in sorted(root.glob('sub-*')):
        for parent, _, names in os.walk(folder):
            for result in _results(Path(parent), names):
                name = result.path.name
                if pattern and not matches(result.path.relative_to(root), pattern):
                    continue
                if other := found.get(name):
                    message = f'{name} is there twice: {other.path} and {result.path}; remove one of them'
                    raise InputError(message)
                found[name] = result
    refuse_results((result.participant.removeprefix('sub-') for result in found.values()), root)
    return sorted(found.values(), key=lambda result: (result.row, result.path.name))


def matches(path: Path, pattern: str) -> bool:
    """Whether the name of a file matches a glob; its path below the dataset, if there is a slash in the pattern."""
    return fnmatch.fnmatch(path.as_posix() if '/' in pattern else path.name, pattern)


def leading_cells(stem: str) -> tuple[str, str, str]:
    """Participant, session and label of a lesion; ``n/a`` where its name has none.

    >>> leading_cells('sub-01_label-lesion')
    ('sub-01', 'n/a', 'lesion')
    """
    entities = parse_entities(stem)
    session = f'ses-{entities["ses"]}' if 'ses' in entities else NOT_AVAILABLE
    return f'sub-{written_label(stem)}', session, entities.get('label', NOT_AVAILABLE)


def _results(folder: Path, names: Sequence[str]) -> Iterator[Result]:
    """Those of one folder."""
    parsed = {name: parse_output_name(name) for name in sorted(names) if '_method-snm_' in name}
    with_sidecar = {output.extension for output in outputs().values() if output.sidecar}
    sidecars = {
        (about[0], _atlas(outputs()[about[1]], about[2])): folder / name
        for name in parsed
        if name.endswith('.json')
        for extension in with_sidecar
        if (about := parse_output_name(name.removesuffix('.json') + extension))
    }
    for name, about in parsed.items():
        if not about or not name.startswith('sub-') or about[1] not in _collected():
            continue
        stem, key, scope = about
        output, path = outputs()[key], folder / name
        row = leading_cells(stem)
        participant = row[0]
        yield Result(
            path=path,
            output=output,
            made_by=sidecar_path(path) if output.sidecar else sidecars.get((stem, _atlas(output, scope))),
            row=row,
            lesion=stem.removeprefix(participant),
            group='group' + name.removeprefix(participant).removesuffix(output.extension),
        )


@cache
def _collected() -> frozenset[str]:
    """The outputs that go into tables: all but the images."""
    return frozenset(
        key
        for key, output in outputs().items()
        if output.level == 'mask' and output.extension in ('.tsv', '.json')
    )


def _atlas(output: Output, scope: str | None) -> str | None:
    return scope if output.scope == 'atlas' else None


def is_matrix(output: Output) -> bool:
    """Whether an output is a matrix of regions."""
    return output.suffix == outputs()['disconnection_matrix'].suffix
