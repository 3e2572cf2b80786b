"""Read the results of a run from its output folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from lacuna.bids.failures import find_wanted
from lacuna.bids.groups import (
    Member,
    find_missing,
    group_members,
    leading_cells,
    read_group,
    wide_rows,
)
from lacuna.bids.inputs import refuse_results, written_label
from lacuna.bids.origins import (
    FoundMask,
    MaskSource,
    generated_by,
    mask_source,
    read_links,
    resolve_uri,
)
from lacuna.bids.outputs import SAMPLE, Target, figures_dir, output_name, outputs, parse_output_name
from lacuna.bids.sidecars import damage
from lacuna.bids.tables import LEADING, read_columns, read_matrix, read_parcels
from lacuna.errors import InputError
from lacuna.images.spaces import SPACES
from lacuna.utils.files import read_json
from lacuna.utils.names import few, parse_entities, sidecar_path

if TYPE_CHECKING:
    import nibabel as nb
    import pandas as pd

_MAP = 'disconnection_map'
#: the map over several tractograms, which have no map of their own
_MEAN_MAP = 'mean_map'
#: outputs over several tractograms, by the output of one tractogram that they replace
_COMBINED = {
    _MAP: _MEAN_MAP,
    'summary': 'spread_statistics',
    'roi_disconnection': 'mean_parcels',
    'bundle_disconnection': 'spread_bundles',
}
#: suffixes of the tables that go into group tables
_COLLECTED = ('parcelstats', 'bundlestats', 'connmatrix')
#: output of each table by its name; statistics of matrices with a value by region become tables of their own
_TABLES = {
    'parcels': 'roi_disconnection',
    'summary': 'summary',
    'matrixstatistics': 'matrix_statistics',
    'bundles': 'bundle_disconnection',
    'load': 'lesion_load',
    'probability': 'lesion_probability',
    'networks': 'network_disconnection',
    'deltasspl': 'parcel_delta_sspl',
    'higherorder': 'higher_order_statistics',
    'nulls': 'null_statistics',
    'parcelmean': 'mean_parcels',
    'parcelsd': 'sd_parcels',
    'bundlemean': 'spread_bundles',
    'spread': 'spread_statistics',
}


@dataclass(frozen=True, repr=False)
class LesionResults:
    """Results of one lesion, read from the output folder on access.

    Attributes
    ----------
    stem : str
        Common beginning of the names of its files.
    space : str
        Space of the map and the mask.
    files : mapping
        Paths by output and atlas; the keys are :class:`lacuna.bids.outputs.Target`.
    root : pathlib.Path
        Root of the derivative dataset.
    links : mapping
        Paths of the source datasets, by their name in BIDS URIs.
    given : mapping or None
        Content of the sidecar of the map, if it is not written yet.
    given_mask : pathlib.Path or None
        The mask, if it is already known to be the one that was used.
    """

    stem: str
    space: str
    files: Mapping[Target, Path]
    root: Path = Path()
    links: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, Any] | None = field(default=None)
    given_mask: Path | None = None

    def __repr__(self) -> str:
        return f'<Results of {self.stem}: {len(self.files)} files in {self.root}>'

    @property
    def subject(self) -> str:
        """Participant label, without ``sub-``."""
        return parse_entities(self.stem).get('sub', '')

    @property
    def session(self) -> str | None:
        """Session label, without ``ses-``."""
        return parse_entities(self.stem).get('ses')

    @property
    def atlases(self) -> list[str]:
        """Names of the atlases with results."""
        return sorted({each.atlas for each in self.files if each.atlas and each.made_from != 'bundles'})

    @property
    def bundle_sets(self) -> list[str]:
        """Names of the sets of bundles with a table, usually one."""
        return sorted(
            str(each.atlas) for each in self.files if each.key == self.key_of('bundle_disconnection')
        )

    @property
    def is_combined(self) -> bool:
        """Whether these are results over several tractograms."""
        return self.path(_MAP) is None and self.path(_MEAN_MAP) is not None

    @property
    def map_path(self) -> Path | None:
        """Path of the disconnection map; over several tractograms, of their mean."""
        return self.path(self.key_of(_MAP))

    def key_of(self, key: str) -> str:
        """Return the output that replaces `key` over several tractograms; for one tractogram, `key` itself.

        Parameters
        ----------
        key : str
            Key in the table of outputs.
        """
        return _COMBINED.get(key, key) if self.is_combined else key

    def path(self, key: str, atlas: str | None = None) -> Path | None:
        """Return the path of an output; None if it does not exist.

        Parameters
        ----------
        key : str
            Key in the table of outputs, such as ``disconnection_map``.
        atlas : str, optional
            Name of the atlas, or of the set of bundles, of the output.
        """
        return self.files.get(Target(key, atlas))

    @property
    def map(self) -> nb.Nifti1Image:
        """The disconnection map, in percent; over several tractograms, their mean."""
        import nibabel as nb

        return nb.Nifti1Image.from_filename(self._existing(self.key_of(_MAP)))

    @property
    def summary(self) -> dict[str, Any]:
        """The summary statistics; empty if the file is missing or damaged."""
        path = self.path(self.key_of('summary'))
        return (read_json(path) if path else None) or {}

    @cached_property
    def null_statistics(self) -> dict[str, Any]:
        """The statistics of null lesions; empty if the file is missing or damaged."""
        path = self.path('null_statistics')
        return (read_json(path) if path else None) or {}

    def null_bundles(self, name: str | None = None) -> pd.DataFrame:
        """Return the table that compares each bundle with null lesions; `name` as for `bundles`.

        Parameters
        ----------
        name : str, optional
            Name of the set of bundles; not needed if there is only one.

        Returns
        -------
        pandas.DataFrame
            A row for each bundle.
        """
        return read_columns(self._existing('null_bundles', name or self._bundle_set()), 'bundle')

    def matrix(self, atlas: str, key: str = 'disconnection_matrix') -> pd.DataFrame:
        """Return a matrix by region.

        `key` is ``disconnection_matrix``, ``mask_matrix``, ``intact_matrix``, ``full_matrix``, ``network_matrix`` (by
        network), ``delta_sspl`` or ``indirect_disconnection``.
        """
        return read_matrix(self._existing(key, atlas))

    def parcels(self, atlas: str, key: str = 'roi_disconnection') -> pd.Series:
        """Return a value by region; by default the percentage of its streamlines that the lesion cuts.

        Other values of `key`: ``lesion_load``, ``lesion_probability``, ``network_disconnection`` (by network) and
        ``parcel_delta_sspl``. Over several tractograms, the default is the mean, and ``sd_parcels`` the standard deviation.
        """
        return read_parcels(self._existing(self.key_of(key), atlas))

    def support(self, atlas: str) -> pd.DataFrame:
        """Return the counts behind the percentage of each region, and its confidence interval.

        Parameters
        ----------
        atlas : str
            Name of the atlas.

        Returns
        -------
        pandas.DataFrame
            A row for each region.
        """
        return read_columns(self._existing('parcel_support', atlas), 'region')

    def parcel_spread(self, atlas: str) -> pd.DataFrame:
        """Return ``mean``, ``sd`` and ``n`` of each region over several tractograms.

        Parameters
        ----------
        atlas : str
            Name of the atlas.

        Returns
        -------
        pandas.DataFrame
            A row for each region.
        """
        return read_columns(self._existing('spread_parcels', atlas), 'region')

    def bundles(self, name: str | None = None) -> pd.DataFrame:
        """Return the disconnection of each bundle of the tractogram; over several, ``mean``, ``sd`` and ``n``.

        Parameters
        ----------
        name : str, optional
            Name of the set of bundles; not needed if there is only one.
        """
        path = self._existing(self.key_of('bundle_disconnection'), name or self._bundle_set())
        return read_columns(path, 'bundle')

    def _bundle_set(self) -> str | None:
        sets = self.bundle_sets
        if len(sets) > 1:
            message = f'{self.stem} has tables of several sets of bundles; choose one of {", ".join(sets)}'
            raise InputError(message)
        return sets[0] if sets else None

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """Content of the sidecar of the map."""
        if self.given is not None:
            return self.given
        return (read_json(sidecar_path(self.map_path)) if self.map_path else None) or {}

    @property
    def mask_source(self) -> MaskSource:
        """Where the mask of the lesion may be, and how to recognise it."""
        if self.given_mask:
            return MaskSource((self.given_mask,))
        return mask_source(self.root, self.metadata, self.links)

    @property
    def mask(self) -> FoundMask:
        """The mask that the map was made from, or what is wrong with it; read on each access."""
        return self.mask_source.read()

    @property
    def full_tdi(self) -> Path | None:
        """Path of the density of the whole tractogram, the denominator of the map; None if it is missing."""
        path = self.path('full_tdi') or resolve_uri(self.root, self.metadata.get('Denominator'), self.links)
        return path if path and path.is_file() else None

    @property
    def support_mask(self) -> Path | None:
        """Path of the mask of voxels with supported percentages; None if it is missing."""
        path = self.path('support_mask') or resolve_uri(self.root, self.metadata.get('Support'), self.links)
        return path if path and path.is_file() else None

    def sidecars(self) -> dict[Target, dict[str, Any]]:
        """Return the content of the readable sidecars, by output."""
        with_sidecar = {target: path for target, path in self.files.items() if outputs()[target.key].sidecar}
        found = ((target, read_json(sidecar_path(path))) for target, path in with_sidecar.items())
        return {target: sidecar for target, sidecar in found if sidecar is not None}

    def damaged(
        self, sidecars: Mapping[Target, Mapping[str, Any]] | None = None, *, verify: bool = True
    ) -> dict[Target, str]:
        """Return how files differ from the sizes and checksums that sidecars record, in words.

        Parameters
        ----------
        sidecars : mapping, optional
            Result of `sidecars`, if already read.
        verify : bool
            Whether to compare checksums, not only sizes.
        """
        sidecars = self.sidecars() if sidecars is None else sidecars
        found = (
            (target, damage(path, sidecars.get(target.recorded_with, {}), verify=verify))
            for target, path in self.files.items()
        )
        return {target: problem for target, problem in found if problem}

    def members(self) -> Iterator[Member]:
        """Iterate over the tables, matrices and statistics that go into group tables."""
        for target, path in self.files.items():
            output = outputs()[target.key]
            if output.extension == '.json' or (output.suffix in _COLLECTED and not output.nulls):
                yield Member(path, target, self.stem, self._made_by(target))

    def _made_by(self, target: Target) -> Path | None:
        holder = target.recorded_with
        name = output_name(self.stem, holder.key, space=self.space, atlas=holder.atlas or '')
        own = sidecar_path(self.files[target].with_name(name))
        if holder == target:
            return own
        others = (
            sidecar_path(path)
            for other, path in self.files.items()
            if other.atlas == target.atlas and outputs()[other.key].sidecar
        )
        return next((path for path in (own, *others) if path.is_file()), None)

    def _existing(self, key: str, atlas: str | None = None) -> Path:
        if path := self.path(key, atlas):
            return path
        there = sorted(target.field for target in self.files)
        same = [field for field in there if field.startswith(key)]  # of other atlases
        message = (
            f'{self.stem}: no {Target(key, atlas).field} in {self.root} (available: {few(same or there, 20)})'
        )
        raise InputError(message)


class Results(Sequence[LesionResults]):
    """Results of all lesions in a folder, a sequence in the order of participants and names.

    Parameters
    ----------
    root : pathlib.Path
        Root of the derivative dataset.
    lesions : iterable of LesionResults
    twice : tuple of pathlib.Path, optional
        Two files of the same result, if there are any.
    whole : bool
        Whether these are all lesions of the dataset.
    """

    def __init__(
        self,
        root: Path,
        lesions: Iterable[LesionResults],
        *,
        twice: tuple[Path, Path] | None = None,
        whole: bool = True,
    ) -> None:
        self.root = root
        self._lesions = sorted(lesions, key=lambda lesion: (lesion.subject, lesion.stem))
        self._twice = twice
        self._whole = whole

    def __repr__(self) -> str:
        return f'<Results of {len(self)} lesions in {self.root}>'

    def __len__(self) -> int:
        return len(self._lesions)

    @overload
    def __getitem__(self, which: int) -> LesionResults: ...
    @overload
    def __getitem__(self, which: slice) -> Results: ...
    def __getitem__(self, which: int | slice) -> LesionResults | Results:
        if isinstance(which, slice):
            return Results(self.root, self._lesions[which], whole=False)
        return self._lesions[which]

    def check_names(self) -> None:
        """Check that each result exists once, and that labels are valid.

        Raises
        ------
        InputError
            If a result exists twice, or a participant's label is not only letters and digits.
        """
        if self._twice:
            one, other = self._twice
            message = f'{one.name} exists twice: {one} and {other}; remove one of them'
            raise InputError(message)
        refuse_results((str(written_label(lesion.stem)) for lesion in self), self.root)

    def with_map(self) -> list[LesionResults]:
        """Return the lesions that have a map."""
        return [lesion for lesion in self if lesion.map_path]

    def table(self, name: str, atlas: str | None = None) -> pd.DataFrame:
        """Return a table of all lesions, one row each, as ``lacuna collect`` writes it.

        All sessions and labels are included. Masks that failed have rows without values. Results that do not match the
        others are left out, with a warning.

        Parameters
        ----------
        name : str
            ``parcels``, ``bundles``, ``load``, ``probability``, ``networks``, ``deltasspl``, ``higherorder``,
            ``nulls``, ``summary``, ``matrixstatistics``; over several tractograms ``parcelmean``, ``parcelsd``,
            ``bundlemean`` or ``spread``; or a part of ``matrixstatistics``, such as ``degreeloss``.
        atlas : str, optional
            Name of the atlas or of the set of bundles; not needed if there is only one.

        Raises
        ------
        InputError
            If there is no such table, or if `atlas` is needed.
        """
        import pandas as pd

        key = _TABLES.get(name, 'matrix_statistics')
        groups = group_members(member for lesion in self for member in lesion.members())
        absent = find_wanted(self.root).lacking(lesion.stem for lesion in self) if self._whole else []
        missing = find_missing(groups, (each.stem for each in absent))
        chosen = {
            group: members
            for group, members in groups.items()
            if members[0].target.key == key and atlas in (None, members[0].target.atlas)
        }
        if len(atlases := sorted({str(members[0].target.atlas) for members in chosen.values()})) > 1:
            message = f'the results have tables of several atlases; choose one of {", ".join(atlases)}'
            raise InputError(message)
        faults: list[str] = []
        records: list[dict[str, Any]] = []
        for group, members in chosen.items():
            rows = read_group(group, members, faults)
            parts = {part.replace('_', ''): part for part in rows[0].parts} if rows else {}
            part = '' if name in _TABLES else parts.get(name)
            if part is None:
                continue
            names = rows[0].parts[part].names if rows else ()
            for stem, values in wide_rows(rows, missing[group], part) if rows else ():
                filled = {} if values is None else dict(zip(names, values, strict=True))
                records.append(
                    dict(zip(LEADING, leading_cells(stem), strict=True)) | dict.fromkeys(names) | filled
                )
        for fault in faults:
            warnings.warn(fault, stacklevel=2)
        if not records:
            made = {members[0].target for members in groups.values()}
            there = [known for known, key in _TABLES.items() if key in {target.key for target in made}]
            of = f' of the atlas {atlas}' if atlas else ''
            if found := sorted({str(target.atlas) for target in made if atlas and target.key == key}):
                there = [f'{name} of {each}' for each in found]
            message = f'{self.root}: no table {name}{of} (available: {few(there, len(_TABLES))})'
            raise InputError(message)
        return pd.DataFrame(records).sort_values(list(LEADING), kind='stable', ignore_index=True)


def cut_percent(summary: Mapping[str, Any], end: str = '') -> float | None:
    """Return the percentage of the streamlines that a lesion cuts; of their summed weights, if they are weighted.

    Parameters
    ----------
    summary : mapping
        Content of a statistics file.
    end : str
        Suffix of the key, such as ``_sd`` for the standard deviation between tractograms.

    Examples
    --------
    >>> cut_percent({'streamlines_disconnected_pct': 12.5, 'weight_disconnected_pct': 14.0})
    14.0
    """
    keys = (f'weight_disconnected_pct{end}', f'streamlines_disconnected_pct{end}')
    return next((float(summary[key]) for key in keys if summary.get(key) is not None), None)


def load_results(output_dir: str | Path) -> Results:
    """Load the results in the output folder of a run.

    Parameters
    ----------
    output_dir : path

    Returns
    -------
    Results
        A sequence of `LesionResults`, with `Results.table`.

    Raises
    ------
    InputError
        If the folder holds no results of Lacuna, or the same result twice.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from lacuna.bids.outputs import output_name
    >>> with TemporaryDirectory() as folder:
    ...     anat = Path(folder, 'sub-01', 'anat')
    ...     anat.mkdir(parents=True)
    ...     _ = Path(folder, 'dataset_description.json').write_text('{"GeneratedBy": [{"Name": "Lacuna"}]}')
    ...     _ = (anat / output_name('sub-01', 'summary')).write_text('{"streamlines_disconnected": 7}')
    ...     (lesion,) = load_results(folder)
    ...     lesion.subject, lesion.summary
    ('01', {'streamlines_disconnected': 7})
    """
    root = Path(output_dir).expanduser().absolute()
    check_dataset(root)
    results = find_results(root)
    results.check_names()
    return results


def check_dataset(root: Path) -> None:
    """Raise InputError if a folder holds no results of Lacuna."""
    if not root.is_dir():
        message = f'no folder {root}'
        raise InputError(message)
    if 'Lacuna' not in generated_by(root):
        message = (
            f'{root} is not an output folder of Lacuna: its dataset_description.json does not name Lacuna'
        )
        raise InputError(message)


def find_results(root: Path, subject: str | None = None) -> Results:
    """Find the results of all lesions on disk, or of those of one participant.

    Parameters
    ----------
    root : pathlib.Path
        Root of the derivative dataset.
    subject : str, optional
        Label of the participant, without ``sub-``.
    """
    files: dict[str, dict[Target, Path]] = {}
    spaces: dict[str, str] = {}
    twice = None
    for folder in [root / f'sub-{subject}'] if subject else sorted(root.glob('sub-*')):
        for parent, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                parsed = (
                    parse_output_name(name) if '_method-snm_' in name and name.startswith('sub-') else None
                )
                if not parsed or not (path := Path(parent, name)).is_file():
                    continue
                stem, key, scope = parsed
                in_space = outputs()[key].scope == 'space'
                if in_space:
                    spaces[stem] = str(scope)
                target = Target(key, None if in_space else scope)
                other = files.setdefault(stem, {}).get(target)
                if other and other.name == name:
                    twice = twice or (other, path)
                files[stem][target] = path
    # lesions whose files do not state their space are in that of the others
    usual = next(iter(spaces.values()), SPACES[0])
    links = read_links(root)
    lesions = []
    for stem, found in files.items():
        lesion = LesionResults(stem, '', found, root, links)
        if stem not in spaces:
            stated = (sidecar.get('Space') for sidecar in lesion.sidecars().values())
            spaces[stem] = str(next(filter(None, stated), usual))
        sample = figures_dir(root, lesion.subject) / output_name(stem, SAMPLE.key, space=spaces[stem])
        if sample.is_file():
            found[SAMPLE] = sample
        for target in {Target('sample_bundles', each.atlas) for each in found if each.made_from == 'bundles'}:
            name = output_name(stem, target.key, atlas=str(target.atlas))
            if (path := figures_dir(root, lesion.subject) / name).is_file():
                found[target] = path
        lesions.append(LesionResults(stem, spaces[stem], found, root, links))
    return Results(root, lesions, twice=twice)
