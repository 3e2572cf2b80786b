"""Text of a participant's page: the summary of a lesion, notes, and the link to its viewer."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lacuna.bids.results import LesionResults
from lacuna.images.plausibility import MaskFacts, percent_text
from lacuna.reports.figures.frame import load_template
from lacuna.reports.spread import spread_rows, typical_spread
from lacuna.utils.files import dig

if TYPE_CHECKING:
    import pandas as pd


def summary_fragment(
    lesion: LesionResults, mask: Path | None, checked: tuple[MaskFacts | None, list[str]]
) -> str:
    """Return the statistics of a lesion as a table, and the results of the checks.

    Parameters
    ----------
    lesion : lacuna.bids.results.LesionResults
    mask : pathlib.Path or None
        The mask; None if it was not found.
    checked : tuple
        Facts about the mask (None if it is unusable), and sentences from the checks.

    Returns
    -------
    str
        HTML; all content from files is escaped.
    """
    facts, warnings = checked
    rows = [('Mask', mask.name if mask else 'not found')]
    summary = lesion.summary
    rows += _lesion_rows(facts, summary) + _tractogram_rows(lesion.metadata, summary)
    if lesion.is_combined:
        rows += spread_rows(lesion)
    rows.append(('Space', lesion.space))
    rows.append(('Template', load_template(lesion.space).source))
    rows.append(('Atlas', ', '.join(lesion.atlases) or 'none'))
    if lesion.bundle_sets and not lesion.is_combined:
        rows.append(('Bundles', ', '.join(lesion.bundle_sets)))
    if any(target.key in ('parcel_support', 'bundle_disconnection') for target in lesion.files):
        rows.append(('Intervals', interval_note()))
    elif lesion.is_combined and (spread := typical_spread(lesion)) is not None:
        rows.append(('Intervals', f'on the page of each tractogram: {interval_note(spread)}'))
    if not (lesion.path('sample') or lesion.is_combined):
        rows.append(('Sample of streamlines', 'none, so streamlines are not drawn'))
    versions = lesion.metadata.get('SoftwareVersions')
    if isinstance(versions, Mapping):
        rows.append(('Software', ', '.join(f'{name} {version}' for name, version in versions.items())))
    table = ''.join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows
    )
    return f'{warnings_html(warnings)}<table class="summary">{table}</table>'


def interval_note(spread: float | None = None) -> str:
    """Explain what the intervals of percentages cover, and what they do not.

    Parameters
    ----------
    spread : float, optional
        Standard deviation of the percentages between tractograms, in percentage points; None for one tractogram.

    >>> '4.2 points' in interval_note(4.25)
    True
    """
    text = (
        '95 % (Wilson), of a finite number of streamlines; they leave out the difference between tractograms'
    )
    return (
        f'{text}.' if spread is None else f'{text} (a standard deviation of {spread:.1f} points in this run).'
    )


def warnings_html(warnings: list[str]) -> str:
    """Return a box with the warnings, or a note that the checks found nothing."""
    if not warnings:
        return '<p class="box good">The checks found nothing unusual.</p>'
    items = ''.join(f'<li>{escape(warning)}</li>' for warning in warnings)
    return f'<div class="box warn"><strong>Please check</strong><ul>{items}</ul></div>'


def viewer_fragment(lesion: LesionResults, viewer: str) -> str:
    """Return a button that opens the viewer in the page, and a link that opens it in a new tab."""
    where = escape(f'sub-{lesion.subject}/figures/{viewer}', quote=True)
    return (
        f'<div class="viewer"><button type="button" data-viewer="{where}">Open the viewer here</button> '
        f'<a href="{where}" target="_blank">or in a new tab</a></div>'
    )


def nulls_fragment(statistics: Mapping[str, Any], bundles: pd.DataFrame | None, alpha: float) -> str:
    """Summarise the comparison with null lesions, and its limits.

    Parameters
    ----------
    statistics : mapping
        Content of the statistics file about null lesions.
    bundles : pandas.DataFrame or None
        Table of bundles about null lesions.
    alpha : float
        Significance level.
    """
    if reason := statistics.get('null_reason'):
        return f'<p class="box warn">No null lesions: {escape(str(reason))}.</p>'
    number = int(statistics.get('null_lesions') or 0)
    within = escape(str(statistics.get('null_within')))
    text = f'The lesion is compared with {number:,} null lesions (within: {within})'
    if places := statistics.get('null_places'):
        text += f', drawn from {int(places):,} places where it fits'
    text += '.'
    correlation = statistics.get('density_correlation')
    if correlation is not None:
        text += f' The rank correlation of its map with the density of the tractogram is {float(correlation):.2f}.'
    if bundles is not None:
        none = [escape(str(name)) for name in bundles.index[bundles['p_min'] > alpha]]
        if none:
            text += (
                f' No answer is possible for {len(none)} of {len(bundles)} bundles, because more than {100 * alpha:g} % of '
                f'the null lesions cut as much of them as any lesion can: {", ".join(none)}.'
            )
    return f'<p>{text}</p>'


def _lesion_rows(facts: MaskFacts | None, summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    if facts is None:
        if 'mask_volume_mm3' not in summary:
            return []
        return [('Volume', f'{float(summary["mask_volume_mm3"]) / 1000:.3g} ml')]
    side = facts.side
    if side == 'both':
        side = f'both ({facts.left_percent:.0f} % left)'
    kind = 'graded, with values from 0 to 1; the volume is their sum, and outlines include all voxels above 0'
    return [
        *([('Kind of mask', kind)] if facts.graded else []),
        ('Volume', f'{facts.volume_ml:.3g} ml ({facts.voxels:,} voxels{_parts(summary)})'),
        ('Side', side),
    ]


def _tractogram_rows(metadata: Mapping[str, Any], summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if 'streamlines_disconnected' in summary:
        cut, total = int(summary['streamlines_disconnected']), int(summary.get('streamlines_total') or 0)
        share = float(summary.get('streamlines_disconnected_pct') or 0)
        rows.append(('Streamlines cut', f'{cut:,} of {total:,} ({share:.2f} %)'))
    if (weight := summary.get('weight_disconnected_pct')) is not None:
        rows.append(('Summed weights cut', f'{float(weight):.2f} %'))
    of_cut, of_spared = (summary.get(f'length_mean_{part}_mm') for part in ('disconnected', 'spared'))
    if of_cut is not None and of_spared is not None:
        rows.append(('Mean length', f'{of_cut:.1f} mm of those cut, {of_spared:.1f} mm of those spared'))
    if 'disconnection_mean_pct' in summary:
        voxels, mean = int(summary.get('voxels_disconnected') or 0), float(summary['disconnection_mean_pct'])
        highest = float(summary.get('disconnection_max_pct') or 0)
        rows.append(('Disconnection map', f'{voxels:,} voxels, mean {mean:.1f} %, highest {highest:.1f} %'))
    if 'voxels_supported' in summary:
        rows.append((f'With {int(summary["min_support"]):,} streamlines or more', _supported(summary)))
    tractogram = metadata.get('Tractogram')
    if isinstance(tractogram, Mapping):
        rows.append(('Tractogram', f'{tractogram.get("Name")} ({tractogram.get("Space")})'))
    if weights := dig(metadata, 'Tractogram', 'Weights', 'Name'):
        rows.append(('Weights', str(weights)))
    shortest, longest = (dig(metadata, 'Parameters', key) for key in ('MinLength', 'MaxLength'))
    limits = [f'from {shortest:g} mm'] if shortest is not None else []
    limits += [f'up to {longest:g} mm'] if longest is not None else []
    if limits:
        rows.append(('Only streamlines', ' '.join(limits)))
    return rows


def _supported(summary: Mapping[str, Any]) -> str:
    voxels, affected = int(summary['voxels_supported']), int(summary.get('voxels_disconnected') or 0)
    mean, highest = (
        float(summary.get(f'disconnection_{each}_supported_pct') or 0) for each in ('mean', 'max')
    )
    share = f' ({percent_text(100 * voxels / affected)} of them)' if affected else ''
    return f'{voxels:,} voxels{share}, mean {mean:.1f} %, highest {highest:.1f} %'


def _parts(summary: Mapping[str, Any]) -> str:
    number = int(summary.get('mask_components') or 0)
    return (', in one piece' if number == 1 else f', in {number} pieces') if number else ''
