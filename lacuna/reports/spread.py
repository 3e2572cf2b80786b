"""The spread between several tractograms, as text and bars for a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.bids.combination import SOURCES
from lacuna.bids.origins import resolve_uri
from lacuna.bids.outputs import outputs, tractogram_dir
from lacuna.bids.results import LesionResults, cut_percent
from lacuna.utils.files import read_json

if TYPE_CHECKING:
    import pandas as pd


def spread_rows(lesion: LesionResults) -> list[tuple[str, str]]:
    """Return the main numbers over several tractograms, with standard deviations."""
    summary = lesion.summary
    rows = []
    for key, name, unit in (
        ('streamlines_disconnected_pct', 'Streamlines cut', ' %'),
        ('weight_disconnected_pct', 'Summed weights cut', ' %'),
        ('voxels_disconnected', 'Voxels of the map', ''),
        ('disconnection_mean_pct', 'Mean of the map', ' %'),
    ):
        if f'{key}_mean' in summary:
            mean, sd, low, high = (float(summary[f'{key}_{what}']) for what in ('mean', 'sd', 'min', 'max'))
            form = ',.2f' if unit else ',.0f'
            rows.append((name, f'{mean:{form}} ± {sd:{form}}{unit} (from {low:{form}} to {high:{form}})'))
    if 'map_sd_mean_pct' in summary:
        spread, voxels = float(summary['map_sd_mean_pct']), int(summary['voxels_disconnected_any'])
        rows.append(
            (
                'Spread of the map',
                f'± {spread:.1f} percentage points, mean over the {voxels:,} voxels affected in any map',
            )
        )
    return rows


def typical_spread(lesion: LesionResults) -> float | None:
    """Return the pooled standard deviation of all affected bundles and parcels; None if there are none."""
    tables = [lesion.bundles(name) for name in lesion.bundle_sets]
    tables += [lesion.parcel_spread(name) for name in lesion.atlases if lesion.path('spread_parcels', name)]
    found = [table['sd'][table['mean'] > 0].dropna().to_numpy() for table in tables]
    spread = np.concatenate(found) if found else np.empty(0)
    return float(np.sqrt(np.mean(spread**2))) if len(spread) else None


def spread_fragment(lesion: LesionResults) -> str:
    """Return a note on the spread, and a table of the results with each tractogram, linked to its page."""
    body = []
    for label, summary in _summaries(lesion):
        page = Path(tractogram_dir(Path(), label), f'sub-{lesion.subject}.html')
        name = escape(label)
        if (lesion.root / page).is_file():
            name = f'<a href="{escape(page.as_posix(), quote=True)}">{name}</a>'
        cells = [f'{summary.get("streamlines_total", 0):,}']
        cells += [
            f'{float(value or 0):.2f}'
            for value in (cut_percent(summary), summary.get('disconnection_mean_pct'))
        ]
        body.append(f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>')
    return (
        f'<p>All numbers on this page are means over {len(body)} tractograms; ± is the standard deviation (n - 1) between '
        'them, which shows how much the result depends on the tractogram. Intervals on the page of a single tractogram do '
        'not include this.</p>'
        '<table class="summary"><thead><tr><th scope="col">Tractogram</th><th scope="col">Streamlines</th>'
        '<th scope="col">Cut (%)</th><th scope="col">Mean of the map (%)</th></tr></thead>'
        f'<tbody>{"".join(body)}</tbody></table>'
    )


def _summaries(lesion: LesionResults) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the label of each tractogram with the summary statistics."""
    sources = lesion.metadata.get(SOURCES)
    for uri in sources if isinstance(sources, Mapping) else ():
        path = resolve_uri(lesion.root, uri, {})
        if path and path.name.endswith(f'desc-{outputs()["summary"].desc}_stats.json'):
            label = path.relative_to(lesion.root).parts[0].partition('-')[2]
            yield label, read_json(path) or {}


def spread_bars(table: pd.DataFrame) -> pd.DataFrame:
    """Return bars of bundles or parcels: the interval is the mean ± SD, the text includes the number of tractograms.

    >>> import pandas as pd
    >>> spread_bars(pd.DataFrame({'mean': [50.0], 'sd': [5.0], 'n': [2]}, index=['AF'])).T.to_dict()['AF']
    {'value': 50.0, 'low': 45.0, 'high': 55.0, 'text': '50.0 ± 5.0 (2)'}
    """
    sd = table['sd'].fillna(0)
    shown = table[['mean']].rename(columns={'mean': 'value'})
    shown['low'], shown['high'] = (table['mean'] - sd).clip(0), (table['mean'] + sd).clip(upper=100)
    shown['text'] = [
        f'{mean:.1f}{"" if np.isnan(deviation) else f" ± {deviation:.1f}"} ({int(n)})'
        for mean, deviation, n in zip(table['mean'], table['sd'], table['n'], strict=True)
    ]
    return shown
