"""The text of an analysis: methods with citations, and caveats."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lacuna.statistics.design import VOLUME
from lacuna.statistics.settings import IMAGES
from lacuna.statistics.univariate import unexplained
from lacuna.utils.names import parse_entities

if TYPE_CHECKING:
    from lacuna.statistics.analysis import Statistics
    from lacuna.statistics.design import Design
    from lacuna.statistics.family import Family

_FEW = 50
#: share of participants with the lowest or highest score that counts as a floor or ceiling effect
_MANY_AT_THE_END = 0.15
_SKEWED = 1.0
_COLLINEAR = 0.8

_WHAT = {
    'voxels': 'the disconnection of each voxel',
    'parcels': 'the disconnection of each parcel',
    'edges': 'the disconnection of each pair of parcels',
    'networks': 'the disconnection of each network',
    'bundles': 'the disconnection of each bundle',
    'load': 'the lesion load of each parcel',
    'lesion': 'the lesion in each voxel',
}


def power(affected: np.ndarray, participants: int, freedom: int, critical: float, size: float) -> np.ndarray:
    """Compute the power to detect an effect, 0 to 1.

    Parameters
    ----------
    affected : numpy.ndarray
        Number of participants that each feature affects.
    participants, freedom : int
        Number of participants, and residual degrees of freedom.
    critical : float
        Critical \\|t\\|.
    size : float
        Difference between affected and unaffected, in standard deviations of the residuals after the covariates.

    Examples
    --------
    >>> power(np.array([5, 50]), 100, 97, 3.2, 0.8).round(2).tolist()
    [0.08, 0.78]
    """
    from scipy.stats import nct

    affected = np.asarray(affected, float)
    shift = size * np.sqrt(affected * (participants - affected) / participants)
    # the other tail is negligible, or NaN in scipy
    other = np.nan_to_num(nct.cdf(-critical, freedom, shift))
    return np.asarray(nct.sf(critical, freedom, shift) + other)


def doubts(found: Statistics) -> list[str]:
    """Return caveats of the analysis, one sentence each."""
    design = found.design
    caveats = [*_score_doubts(design), *_lesion_doubts(found.stems)]
    if not any(name == VOLUME for name in design.covariates):
        caveats.append(
            'The lesion volume is not a covariate: disconnections that are more frequent in larger lesions may only reflect their size.'
        )
    if found.settings.permutations < 19:
        caveats.append('With fewer than 19 permutations, no feature can reach a family-wise p of .05.')
    for family in found.families:
        caveats += _family_doubts(family, design)
    return caveats


def _score_doubts(design: Design) -> list[str]:
    from scipy.stats import skew

    score, name, caveats = design.outcome.to_numpy(), design.outcome.name, []
    if len(score) < _FEW:
        caveats.append(f'There are few participants ({len(score)}): only large effects can be found.')
    if design.ranked or design.outcome.nunique() == 2:  # for two values, ranks give the same result
        return caveats
    for end, value in (('lowest', score.min()), ('highest', score.max())):
        if (share := np.mean(score == value)) >= _MANY_AT_THE_END:
            caveats.append(
                f'{100 * share:.0f} % of the participants have the {end} {name} ({value:g}); compare with --rank.'
            )
    if abs(skewness := float(skew(score))) > _SKEWED:
        caveats.append(f'The distribution of {name} is skewed ({skewness:.1f}); compare with --rank.')
    return caveats


def _lesion_doubts(stems: Sequence[str]) -> Iterator[str]:
    for entity, what in (('label', 'labels'), ('ses', 'sessions')):
        counts = Counter(parse_entities(stem).get(entity, 'none') for stem in stems)
        if len(counts) > 1:
            each = ', '.join(f'{name}: {count}' for name, count in sorted(counts.items()))
            yield f'The lesions are of several {what} ({each}); --pattern selects one.'


def _family_doubts(family: Family, design: Design) -> list[str]:
    if VOLUME not in design.covariates:
        return []
    values = family.features.values.to_numpy(float)
    others = design.covariates.drop(columns=VOLUME).to_numpy(float)
    volume = unexplained(design.covariates[VOLUME].to_numpy(float), others)
    likeness = np.abs(volume @ unexplained(values, others))
    if (share := float(np.mean(likeness > _COLLINEAR))) < 0.05:
        return []
    nearly = (
        f'{100 * share:.0f} % of the features are nearly the same as the lesion volume (r > {_COLLINEAR})'
    )
    return [f'{family.kind}: {nearly}; their effects cannot be separated from that of the volume.']


def methods(found: Statistics) -> str:
    """Return the methods text, with citation keys of ``data/statistics.bib``."""
    design, settings = found.design, found.settings
    name = f'`{design.outcome.name}`' + (' (ranks)' if design.ranked else '')
    covariates = ' and '.join(
        'the logarithm of the lesion volume' if each == VOLUME and design.log_volume else f'`{each}`'
        for each in design.covariates
    )
    what = '; '.join(
        _WHAT.get(family.kind, f'each of the features {family.kind}') for family in found.families
    )
    fewest = found.families[0].fewest
    text = [f'In {len(design.participants)} participants, {name} was related to {what} [@sperber].']
    text.append(f'Features affected in fewer than {fewest} participants were left out.')
    if settings.test == 'ols':
        text.append(
            'Each feature was tested by least squares (two-sided t)'
            + (f' with {covariates} as covariates' if covariates else '')
            + f', and {settings.permutations:,} permutations by the method of Freedman and Lane [@freedman_lane; @winkler] '
            'gave family-wise p from the largest absolute t.'
        )
    else:
        text.append(
            'The scores'
            + (f', from which {covariates} were regressed out,' if covariates else '')
            + " of affected and unaffected participants were compared with Brunner and Munzel's test [@brunner_munzel], "
            f'with {settings.permutations:,} permutations for family-wise p from the largest absolute statistic, and for p '
            'of features that separate the scores completely, or that fewer than nine participants have or lack.'
        )
    text.append('False discovery rates are those of Benjamini and Hochberg [@benjamini_hochberg].')
    kinds = {family.kind for family in found.families}
    if any(family.components is not None for family in found.families):
        text.append(
            'Connected edges with p < .001 were tested together by their number (network-based statistic) [@nbs].'
        )
    if settings.tfce and kinds & set(IMAGES):
        text.append(
            'Voxels were also tested with threshold-free cluster enhancement [@tfce], as implemented in *nilearn* [@nilearn].'
        )
    if prediction := next((family.prediction for family in found.families if family.prediction), None):
        text.append(
            f'How well all features together predict the score was measured by {prediction.repeats} times '
            f'{prediction.folds}-fold cross-validation [@sklearn] of ridge regression and partial least squares on the '
            'residuals of the covariates. Selection, scaling and range of features and, by inner folds, penalty and number of '
            f'components were learned without the predicted participants; {prediction.permutations} permuted scores '
            'gave the distribution of the gain over the covariates alone.'
        )
        if any(family.prediction and family.prediction.comparison is not None for family in found.families):
            text.append(
                'Whether the features predict the score better than other features alone [@hope] was tested with the corrected '
                'resampled t-test [@nadeau_bengio].'
            )
    return ' '.join(text)


def detectable(family: Family, design: Design, size: float) -> np.ndarray:
    """Return the power of each feature of a family, see `power`; 0 if nothing can be significant."""
    if math.isinf(family.critical):
        return np.zeros(len(family.table))
    counts = family.table['n_affected'].to_numpy()
    return power(counts, len(design.participants), design.degrees_of_freedom, family.critical, size)
