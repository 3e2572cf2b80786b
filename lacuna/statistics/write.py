"""Write the results of an analysis: maps and tables with sidecars, with BIDS-like names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lacuna.bids.derivatives import check_output_dir
from lacuna.bids.description import BIDS_VERSION
from lacuna.bids.outputs import group_output_name, outputs
from lacuna.bids.sidecars import save
from lacuna.bids.tables import table_bytes
from lacuna.errors import InputError
from lacuna.images.nifti import encoded
from lacuna.statistics.analysis import Statistics
from lacuna.statistics.design import VOLUME
from lacuna.statistics.family import EDGE_P, Family
from lacuna.statistics.prediction import BASELINE, Prediction
from lacuna.statistics.regression import MODELS
from lacuna.utils.files import json_bytes, read_json, write_if_changed
from lacuna.utils.names import few, sidecar_path
from lacuna.utils.sidecars import generator

if TYPE_CHECKING:
    import pandas as pd

#: output for the table of a kind of features; that of parcels for other kinds
_TABLES = {'edges': 'score_edges', 'bundles': 'score_bundles'}

_COLUMNS = {
    't': 'Statistic: t of the feature, or the statistic of Brunner and Munzel',
    'p': 'Two-sided uncorrected p of the feature, parametric (for Brunner and Munzel by permutation, if fewer than nine '
    'participants are affected or unaffected, or the feature separates the scores completely)',
    'p_fwe': 'Family-wise p: share of permutations whose largest absolute statistic reaches that of the feature',
    'q': 'False discovery rate (Benjamini and Hochberg) of p',
    'n_affected': 'Number of participants in whom the feature is not 0',
    'effect': 'Partial correlation with the score; of Brunner and Munzel: probability that an affected participant has '
    'the higher score, minus one half',
    'component': 'Component of connections (network-based statistic), the largest first',
    'p_component': 'Family-wise p of the component',
    'tfce': 'Threshold-free cluster enhancement of t',
    'weight_ridge': 'Change of the score for a standard deviation of the feature, ridge regression on all features',
    'weight_pls': 'Change of the score for a standard deviation of the feature, partial least squares on all features',
    'p_tfce': 'Family-wise p of threshold-free cluster enhancement',
}

_MODELS = {
    'baseline': 'The covariates alone, by least squares',
    'ridge': 'Covariates and features, by ridge regression on the residuals of the covariates',
    'pls': 'Covariates and features, by partial least squares on the residuals of the covariates',
    'other_*': 'The compared features alone',
    'both_*': 'These and the features together',
}


def write_statistics(found: Statistics, output_dir: Path, derivatives: Path | None = None) -> list[Path]:
    """Write all tables and maps atomically, with sidecars.

    Parameters
    ----------
    found : lacuna.statistics.analysis.Statistics
    output_dir : pathlib.Path
        Becomes a BIDS derivative dataset if it is not one.
    derivatives : pathlib.Path, optional
        The results that the features were read from.

    Returns
    -------
    list of pathlib.Path
        Paths of the files, without sidecars.

    Raises
    ------
    InputError
        As `check_statistics_dir`.
    """
    root = output_dir.expanduser().absolute()
    check_statistics_dir(root, str(found.design.outcome.name))
    root.mkdir(parents=True, exist_ok=True)
    _write_dataset(root, derivatives)
    common = _common(found)
    return [
        save(content, root / name, {**about, **common, **more} if about else None)
        for name, content, about, more in _files(found)
    ]


def check_statistics_dir(root: Path, outcome: str) -> None:
    """Raise an error if the results of an outcome cannot be written into a folder; nothing is created.

    Raises
    ------
    InputError
        If the folder is not writable, contains something else, or has results of another outcome whose files
        have the same names.
    """
    check_output_dir(root)
    for path, about in _sidecars(root):
        other = str(about.get('Outcome', outcome))
        if other != outcome and _letters(other) == _letters(outcome):
            message = (
                f'{path} has results of {other}, and those of {outcome} would get the same file names; '
                f'choose another output folder, or rename the column'
            )
            raise InputError(message)


def earlier_results(found: Statistics, output_dir: Path, paths: Sequence[Path]) -> list[str]:
    """Return a note if results of another outcome or with other settings are beside `paths`; else nothing."""
    settings = _common(found)
    del settings['GeneratedBy']
    new = {sidecar_path(path).name for path in paths}
    kept = [
        path.name
        for path, about in _sidecars(output_dir.expanduser())
        if path.name not in new
        and 'Outcome' in about  # group tables may lie there, too
        and any(about.get(key) != value for key, value in settings.items())
    ]
    if not kept:
        return []
    others = f'{output_dir} also holds results of another outcome or with other settings ({few(kept, 1)})'
    return [f'{others}, which are not in stats.html; another folder keeps them apart.']


def family_desc(found: Statistics, family: Family) -> str:
    """Return the ``desc`` of a family's files: outcome and features, letters and digits only.

    Other characters are dropped: ``gs_rankin`` with voxels gives ``gsrankinvoxels``.
    """
    return _outcome(found) + family.kind


def family_name(found: Statistics, family: Family, key: str, stat: str | None = None) -> str:
    """Return the file name of one of a family's outputs."""
    features = family.features
    scope = features.space if outputs()[key].scope == 'space' else family.atlas
    seg = 'networks' if family.kind == 'networks' else None
    return group_output_name(features.stem, key, family_desc(found, family), scope=scope, seg=seg, stat=stat)


def _sidecars(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(root.glob('group_*.json')):
        yield path, read_json(path) or {}


def _outcome(found: Statistics) -> str:
    return _letters(str(found.design.outcome.name))


def _letters(outcome: str) -> str:
    return re.sub('[^A-Za-z0-9]', '', outcome) or 'score'


def _files(found: Statistics) -> Iterator[tuple[str, bytes, dict[str, Any], dict[str, Any]]]:
    stem, outcome = found.families[0].features.stem, _outcome(found)
    design = found.design
    used = design.covariates.copy()
    used.insert(0, str(design.outcome.name), design.outcome)
    volume = (
        {VOLUME: {'Description': 'Natural logarithm of the lesion volume in mm³'}}
        if design.log_volume
        else {}
    )
    yield _table(group_output_name(stem, 'score_design', outcome), 'score_design', used, volume)
    yield _table(
        group_output_name(stem, 'score_leftout', outcome),
        'score_leftout',
        design.left_out.set_index('participant_id'),
        {},
    )
    for family in found.families:
        about = _about(family)
        for stat, image in family.images.items():
            name = family_name(found, family, 'score_map', stat)
            column = next(each for each in map(str, family.table) if each.replace('_', '') == stat)
            yield name, encoded(image), {'Description': _COLUMNS.get(column, column)}, about
        if not family.images:
            key = _TABLES.get(family.kind, 'score_parcels')
            yield _table(family_name(found, family, key), key, family.table, about)
        if family.prediction is not None:
            content = {**_prediction(family.prediction), **_common(found), **about}
            if family.compared:
                content['ComparedFeatures'] = family.compared
            yield family_name(found, family, 'prediction'), json_bytes(content), {}, {}
        if family.components is not None:
            key = 'score_components'
            columns = {
                'size': {'Description': 'Number of edges'},
                'p_fwe': {
                    'Description': 'Family-wise p: share of permutations whose largest component has at least so many edges'
                },
            }
            yield _table(family_name(found, family, key), key, family.components, {**about, **columns})


def _table(
    name: str, key: str, frame: pd.DataFrame, about: Mapping[str, Any]
) -> tuple[str, bytes, dict[str, Any], dict[str, Any]]:
    cells = frame.reset_index()
    columns = [cells[column].astype(object).where(cells[column].notna(), None) for column in cells]
    content = table_bytes(list(map(str, cells)), zip(*columns, strict=True))
    descriptions = {
        column: {'Description': _COLUMNS[column]} for column in map(str, cells) if column in _COLUMNS
    }
    return name, content, {'Description': outputs()[key].about, **descriptions}, dict(about)


def _common(found: Statistics) -> dict[str, Any]:
    design, settings = found.design, found.settings
    return {
        'Outcome': str(design.outcome.name),
        'Ranks': design.ranked,
        'Covariates': list(map(str, design.covariates)),
        'Participants': len(design.participants),
        'LeftOut': len(design.left_out),
        'Test': settings.test,
        'Permutations': settings.permutations,
        'Seed': settings.seed,
        'GeneratedBy': [generator()],
    }


def _about(family: Family) -> dict[str, Any]:
    about = {
        **family.features.about,
        'MinAffected': family.fewest,
        'FeaturesTested': len(family.table),
        'FeaturesDistinct': family.distinct,
        'FeaturesAffectedInTooFew': family.too_few,
        'FeaturesAffectedInTooMany': family.too_many,
        'FeaturesConstantOrExplainedByCovariates': family.constant,
        'FeaturesWithoutValue': family.without_value,
    }
    if family.edge_threshold is not None:
        about |= {'ComponentsBeyondT': round(family.edge_threshold, 6), 'ComponentsBeyondP': EDGE_P}
    return about


def _prediction(prediction: Prediction) -> dict[str, Any]:
    """Return the content of the JSON file of a prediction."""

    def by_row(frame: pd.DataFrame) -> dict[str, Any]:
        return {str(row): values.dropna().to_dict() for row, values in frame.iterrows()}

    content: dict[str, Any] = {
        'Description': outputs()['prediction'].about,
        'Folds': prediction.folds,
        'Repeats': prediction.repeats,
        'PermutedScores': prediction.permutations,
        'AboutModels': _MODELS,
        'Models': by_row(prediction.accuracy),
        'Predicted': by_row(prediction.predicted),
    }
    if prediction.comparison is not None:
        content['MoreThanTheOtherFeatures'] = by_row(prediction.comparison)
    return content


def _write_dataset(root: Path, derivatives: Path | None) -> None:
    path = root / 'dataset_description.json'
    if path.exists():
        return
    description = {
        'Name': 'Lacuna: from disconnection to symptoms',
        'BIDSVersion': BIDS_VERSION,
        'DatasetType': 'derivative',
        'GeneratedBy': [generator('lacuna stats')],
        **({'SourceDatasets': [{'URL': derivatives.as_uri()}]} if derivatives else {}),
    }
    write_if_changed(root / '.bidsignore', b'group_*\n*.html\n')
    write_if_changed(path, json_bytes(description))


def significant(family: Family, level: float = 0.05) -> pd.DataFrame:
    """Return the features with a family-wise p up to `level`, largest statistic first."""
    found = family.table[family.table['p_fwe'] <= level]
    return found.sort_values('t', key=abs, ascending=False, kind='stable')


def summary_lines(found: Statistics) -> Sequence[str]:
    """Summarise participants and results in a few lines."""
    design = found.design
    covariates = ', '.join(map(str, design.covariates)) or 'none'
    lines = [
        f'{len(design.participants)} participants ({len(design.left_out)} left out)',
        f'outcome: {design.outcome.name}{" (ranks)" if design.ranked else ""}; covariates: {covariates}',
    ]
    for family in found.families:
        survivors, label = significant(family), family.features.label
        left = f'{family.too_few} affected in fewer than {family.fewest} participants'
        lines.append(f'{label}: {len(family.table)} tested ({left}), {len(survivors)} with p_fwe <= .05')
        if family.prediction is not None:
            r2, p = (family.prediction.accuracy[name].astype(float) for name in ('r2', 'p'))
            parts = ', '.join(f'{model} {r2[model]:.2f} (p = {p[model]:.2g})' for model in MODELS)
            lines.append(f'{label}: R2 of unseen participants: {parts}; covariates alone {r2[BASELINE]:.2f}')
            if (compared := family.prediction.comparison) is not None:
                more = ', '.join(
                    f'{model} {r2[f"both_{model}"]:.2f} instead of {r2[f"other_{model}"]:.2f} (p = {extra:.2g})'
                    for model, extra in compared['p'].astype(float).items()
                )
                lines.append(f'{label}: R2 together with {family.compared}, instead of these alone: {more}')
    return lines
