"""The table of all outputs, and the names of the files written for a mask."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lacuna.utils.files import data_text


@dataclass(frozen=True)
class Output:
    """One kind of output file; see ``data/outputs.json``.

    Attributes
    ----------
    key : str
    level : str
        ``mask`` (one per lesion), ``figure`` (one per lesion, in the folder of figures), ``connectome`` (one per
        tractogram) or ``group`` (one per analysis of all lesions).
    scope : str or None
        Entity that distinguishes its variants: ``space``, ``atlas`` or none.
    desc, suffix : str or None
    extension : str
    sidecar : bool
        Whether it has a sidecar of its own.
    recorded_with : str
        Key of the output whose sidecar records its size and checksum; its own key if it has a sidecar.
    units : str or None
    about : str
    seg : str or None
        What the rows of a table are, if not parcels.
    made_from : str or None
        What it needs besides mask and tractogram: ``endpoints`` of the streamlines in an atlas, ``regions`` of an
        atlas, or ``bundles``. Its entity ``atlas`` names the atlas or the bundles.
    parameters : tuple of str
        Parameters in its sidecar that not all outputs depend on.
    nulls : bool
        Whether it is about null lesions.
    combined : bool
        Whether it combines several tractograms.
    """

    key: str
    level: str
    scope: str | None
    desc: str | None
    suffix: str | None
    extension: str
    sidecar: bool
    recorded_with: str
    units: str | None
    about: str
    seg: str | None = None
    made_from: str | None = None
    parameters: tuple[str, ...] = ()
    nulls: bool = False
    combined: bool = False


@cache
def outputs() -> Mapping[str, Output]:
    """Return the table of all outputs, by key."""
    rows = json.loads(data_text('outputs.json'))
    return {
        key: Output(
            **{'key': key, 'recorded_with': key, **row, 'parameters': tuple(row.get('parameters', ()))}
        )
        for key, row in rows.items()
    }


class Target(NamedTuple):
    """An output of a mask: its key, and the atlas (or bundles) if it has one."""

    key: str
    atlas: str | None = None

    @property
    def field(self) -> str:
        """Name of the output as a field of a node."""
        return f'{self.key}_{self.atlas}' if self.atlas else self.key

    @property
    def made_from(self) -> str | None:
        """What it needs besides mask and tractogram, see `Output`."""
        return outputs()[self.key].made_from

    @property
    def nulls(self) -> bool:
        """Whether it is about null lesions."""
        return outputs()[self.key].nulls

    @property
    def recorded_with(self) -> Target:
        """The output of the same mask whose sidecar records this one's size and checksum."""
        return self._replace(key=outputs()[self.key].recorded_with)


def output_name(stem: str, key: str, **entities: str) -> str:
    """Return the file name of an output of a mask.

    Parameters
    ----------
    stem : str
        Stem of the mask, see `MaskFile`.
    key : str
        Key in the table of outputs.
    **entities : str
        Entity of the output's scope.

    Examples
    --------
    >>> output_name('sub-01_label-lesion', 'disconnection_map', space='MNI152NLin6Asym')
    'sub-01_label-lesion_method-snm_space-MNI152NLin6Asym_desc-disconnectionpct.nii.gz'
    """
    output = outputs()[key]
    parts = [stem, 'method-snm']
    if output.scope:
        parts.append(f'{output.scope}-{entities[output.scope]}')
    if output.seg:
        parts.append(f'seg-{output.seg}')
    if output.desc:
        parts.append(f'desc-{output.desc}')
    if output.suffix:
        parts.append(output.suffix)
    return '_'.join(parts) + output.extension


def group_output_name(
    stem: str,
    key: str,
    desc: str,
    *,
    scope: str | None = None,
    seg: str | None = None,
    stat: str | None = None,
) -> str:
    """Return the file name of an output of a group analysis.

    Parameters
    ----------
    stem : str
        ``group`` and the entities shared by all lesions.
    key : str
        Key in the table of outputs.
    desc : str
        Letters and digits.
    scope : str, optional
        Value of the entity of the output's scope.
    seg : str, optional
        What the rows of a table are, if not parcels.
    stat : str, optional
        What the values of a map are.

    Examples
    --------
    >>> group_output_name('group_label-lesion', 'score_map', 'nihssvoxels', scope='MNI152NLin6Asym', stat='t')
    'group_label-lesion_method-snm_space-MNI152NLin6Asym_desc-nihssvoxels_stat-t_statmap.nii.gz'
    """
    output = outputs()[key]
    entities = {output.scope or '': scope, 'seg': seg, 'desc': desc, 'stat': stat}
    parts = [stem, 'method-snm', *(f'{name}-{value}' for name, value in entities.items() if value)]
    return '_'.join([*parts, output.suffix or '']) + output.extension


def parse_output_name(name: str) -> tuple[str, str, str | None] | None:
    """Parse the file name of an output of a mask: stem, key and value of the scope; None for other files.

    >>> parse_output_name('sub-01_label-lesion_method-snm_space-MNI152NLin6Asym_desc-disconnectionpct.nii.gz')
    ('sub-01_label-lesion', 'disconnection_map', 'MNI152NLin6Asym')
    """
    for key, pattern in _output_patterns().items():
        if matched := pattern.fullmatch(name):
            return matched['stem'], key, matched.groupdict().get('scope')
    return None


@cache
def _output_patterns() -> dict[str, re.Pattern[str]]:
    patterns = {}
    for key, output in outputs().items():
        if output.level == 'mask':
            name = output_name('STEM', key, **({output.scope: 'SCOPE'} if output.scope else {}))
            pattern = re.escape(name).replace('STEM', '(?P<stem>.+)').replace('SCOPE', '(?P<scope>[^_]+)')
            patterns[key] = re.compile(pattern)
    return patterns


def connectome_path(key: str, label: str, space: str, resolution: int | str) -> Path:
    """Return the path of an output of a tractogram, relative to the dataset.

    >>> connectome_path('support_mask', 'hcp842', 'MNI152NLin6Asym', 2).name
    'tractogram-hcp842_space-MNI152NLin6Asym_res-2_desc-support_mask.nii.gz'
    """
    output = outputs()[key]
    desc = f'_desc-{output.desc}' if output.desc else ''
    name = f'tractogram-{label}_space-{space}_res-{resolution}{desc}_{output.suffix}{output.extension}'
    return Path('connectome', name)


#: outputs of the tractogram that every run writes for a space
CONNECTOME_KEYS = ('full_tdi', 'support_mask')

_OF_TRACTOGRAM = 'tractogram-'

#: outputs that every run writes for a mask
BASIC_TARGETS = (Target('disconnection_map'), Target('summary'))

#: outputs that every run over several tractograms writes for a mask
COMBINED_TARGETS = (Target('mean_map'), Target('sd_map'), Target('spread_statistics'))

#: additional output for the report
SAMPLE = Target('sample')


def tractogram_dir(root: Path, label: str) -> Path:
    """Return the folder with the results of one of several tractograms, a dataset of its own."""
    return root / f'{_OF_TRACTOGRAM}{label}'


def tractogram_dirs(root: Path) -> dict[str, Path]:
    """Return the folders with the results of several tractograms, by label; empty for a single tractogram."""
    found = sorted(root.glob(f'{_OF_TRACTOGRAM}*/dataset_description.json'))
    return {path.parent.name.removeprefix(_OF_TRACTOGRAM): path.parent for path in found}


def names_from(kind: str, targets: Sequence[Target]) -> list[str]:
    """Return the atlases (or sets of bundles) whose ``endpoints``, ``regions`` or ``bundles`` outputs need."""
    return list(dict.fromkeys(str(each.atlas) for each in targets if each.made_from == kind))


def figure_name(stem: str, desc: str, extension: str, **entities: str) -> str:
    """Return the file name of a figure.

    >>> figure_name('sub-01_label-lesion', 'matrix', '.svg', atlas='aal')
    'sub-01_label-lesion_method-snm_atlas-aal_desc-matrix_figure.svg'
    """
    middle = ''.join(f'_{key}-{value}' for key, value in entities.items())
    return f'{stem}_method-snm{middle}_desc-{desc}_figure{extension}'


def figures_dir(root: Path, subject: str) -> Path:
    """Return the folder of a participant's figures."""
    return root / f'sub-{subject}' / 'figures'
