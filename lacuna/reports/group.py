"""The page of all lesions of a dataset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np

from lacuna.bids.results import LesionResults, cut_percent, find_results
from lacuna.bids.sidecars import identity
from lacuna.errors import InputError
from lacuna.images.plausibility import NOTABLE, measure_mask
from lacuna.reports.figures.brain import map_figure
from lacuna.reports.figures.frame import SHAPE, load_image, load_template, mask_in_frame, to_frame
from lacuna.reports.figures.group import distribution_figure, heat_figure, outliers
from lacuna.reports.figures.style import drawing, png_bytes, svg_bytes
from lacuna.reports.page import keep_others, picture, section, whole_page
from lacuna.reports.similarity import similarities, similarity_html
from lacuna.reports.summary import warnings_html
from lacuna.utils.files import write_if_changed
from lacuna.utils.names import few
from lacuna.utils.processes import thread_map
from lacuna.utils.progress import track

_TITLE = 'Lacuna: all lesions'
#: note in place of the form for places, which only a served page has
AT_A_PLACE = (
    '<p class="caption">To see which lesions cover or disconnect a place, run <code>lacuna explore</code> with the '
    'folder of this page: it shows an interactive map here.</p>'
)


@dataclass(frozen=True)
class GroupRow:
    """A lesion in the table.

    Attributes
    ----------
    lesion : LesionResults
    volume_ml, cut_percent, mean_percent : float
    cut_sd, mean_sd : float or None
        Standard deviations between several tractograms.
    side : str
        Side of the lesion; empty if the mask is missing or has changed since the map was made.
    """

    lesion: LesionResults
    volume_ml: float
    cut_percent: float
    mean_percent: float
    side: str
    cut_sd: float | None = None
    mean_sd: float | None = None


@dataclass(frozen=True)
class _ReadLesion:
    """A lesion as read: row, problems of mask and map, flat indices of its voxels in the frame, and map with affine."""

    row: GroupRow
    problems: list[str]
    voxels: np.ndarray | None
    map: tuple[np.ndarray, np.ndarray] | None


@dataclass
class _Sums:
    """Sums over the lesions in one space: of masks in the frame, and of maps on their own grids."""

    overlap: np.ndarray = field(default_factory=lambda: np.zeros(SHAPE, np.float32))
    masks: int = 0
    maps: int = 0
    totals: dict[tuple[object, ...], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def add(self, seen: _ReadLesion) -> None:
        if seen.voxels is not None:
            self.overlap.reshape(-1)[seen.voxels] += 1
            self.masks += 1
        if seen.map:
            data, affine = seen.map
            grid = (data.shape, affine.tobytes())
            total, _ = self.totals.setdefault(grid, (np.zeros(data.shape), affine))
            total += data
            self.maps += 1

    def mean_map(self) -> np.ndarray:
        """Return the mean map in the frame, resampling the sum of each grid once."""
        total = sum((to_frame(data, affine) for data, affine in self.totals.values()), np.zeros(SHAPE))
        return np.asarray(total / self.maps)


def write_group_report(
    derivatives: Path,
    output: Path,
    *,
    show_progress: bool = False,
) -> Path:
    """Write a page with an overview of all lesions in a folder of results.

    Parameters
    ----------
    derivatives : pathlib.Path
        Root of the derivative dataset.
    output : pathlib.Path
        Path of the page. Its links to participants are relative, so it belongs in the dataset.
    show_progress : bool
        Whether to show a progress bar on terminals.

    Returns
    -------
    pathlib.Path
        `output`.

    Raises
    ------
    InputError
        If `output` exists and was not written by Lacuna.
    """
    keep_others(output, _TITLE)
    lesions = find_results(derivatives).with_map()
    sections = []
    rows = []
    problems: list[str] = []
    sums: dict[str, _Sums] = {}
    looks = track(thread_map(_read_lesion, lesions), 'group', total=len(lesions), show=show_progress)
    for lesion, seen in zip(lesions, looks, strict=True):
        rows.append(seen.row)
        problems += [f'{lesion.stem}: the {problem}. It is not drawn.' for problem in seen.problems]
        sums.setdefault(lesion.space, _Sums()).add(seen)
    problems += unlike(lesions)
    if problems:
        sections.append(warnings_html(problems))
    with drawing():
        if rows:
            figure = distribution_figure([row.volume_ml for row in rows], [row.cut_percent for row in rows])
            sections.append(
                _picture(
                    'Distributions',
                    'One mark for each lesion. The dashed line is the median.',
                    svg_bytes(figure),
                )
            )
            sections.append(section('Lesions', _table(rows, output.parent)))
        for space in sorted(sums):
            support = (lesion.support_mask for lesion in lesions if lesion.space == space)
            sections += _map_sections(space, sums[space], next(filter(None, support), None))
        if rows:
            sections.append(section('At a place', AT_A_PLACE))
        if alike := list(similarities(lesions)):
            sections.append(section('Specificity', similarity_html(alike)))
        sections += _atlas_sections(lesions)
    body = ''.join(sections) or '<p class="box bad">No results.</p>'
    over = (
        ' All numbers are means over several tractograms, and ± is the standard deviation (n - 1) between them.'
        if any(each.is_combined for each in lesions)
        else ''
    )
    count = f'<p>{len(lesions)} lesion{"" if len(lesions) == 1 else "s"}.{over}</p>'
    write_if_changed(output, whole_page(_TITLE, count + body).encode())
    return output


def _read_lesion(lesion: LesionResults) -> _ReadLesion:
    summary = lesion.summary
    side, voxels = '', None
    mask, problem = lesion.mask[1:]
    if mask:
        voxels = np.flatnonzero(mask_in_frame(*mask.part)).astype(np.int32)
        side = measure_mask(*mask.part).side
    row = GroupRow(
        lesion,
        float(summary.get('mask_volume_mm3') or 0) / 1000,
        cut_percent(summary) or cut_percent(summary, '_mean') or 0.0,
        float(summary.get('disconnection_mean_pct') or summary.get('disconnection_mean_pct_mean') or 0),
        side,
        cut_percent(summary, '_sd') if lesion.is_combined else None,
        float(summary.get('disconnection_mean_pct_sd') or 0) if lesion.is_combined else None,
    )
    problems, image = [f'mask {problem}'] if problem else [], None
    try:
        image = load_image(lesion.map_path) if lesion.map_path else None
    except InputError:  # 'lacuna check' says why; running the same command again repairs it
        problems.append('map cannot be read')
    return _ReadLesion(row, problems, voxels, image)


def unlike(lesions: Sequence[LesionResults]) -> Iterator[str]:
    """Yield what differs between the lesions of a space, in words; group tables leave out those that differ."""
    made: dict[str, dict[tuple[tuple[str, str], ...], list[str]]] = defaultdict(lambda: defaultdict(list))
    for lesion in lesions:
        key = tuple((name, str(value)) for name, value in identity(lesion.metadata).items())
        made[lesion.space][key].append(lesion.stem)
    for groups in made.values():
        usual = max(groups, key=lambda key: len(groups[key]))
        for key, stems in groups.items():
            fields = [name for (name, value), (_, other) in zip(key, usual, strict=True) if value != other]
            if fields:
                yield f'{few(stems)}: not comparable with the other lesions, because of other values of {", ".join(fields)}.'


def flagged(rows: Sequence[GroupRow]) -> list[list[str]]:
    """Return the measures in which each lesion is an outlier."""
    volumes = np.log10([max(row.volume_ml, 1e-4) for row in rows])
    found = {
        'volume': outliers(volumes),
        'streamlines cut': outliers(np.array([row.cut_percent for row in rows])),
        'mean disconnection': outliers(np.array([row.mean_percent for row in rows])),
    }
    return [[name for name, which in found.items() if which[i]] for i in range(len(rows))]


def _table(rows: Sequence[GroupRow], folder: Path) -> str:
    heads = ('Lesion', 'Side', 'Volume (ml)', 'Streamlines cut (%)', 'Mean disconnection (%)', 'Unusual')
    head = ''.join(f'<th scope="col"><button type="button">{name}</button></th>' for name in heads)
    body = []
    for row, unusual in zip(rows, flagged(rows), strict=True):
        name = escape(row.lesion.stem)
        page = f'sub-{row.lesion.subject}.html'
        if (folder / page).is_file():
            name = f'<a href="{escape(page, quote=True)}">{name}</a>'
        cells = f'<td>{name}</td><td>{row.side}</td>'
        for value, sd, digits in (
            (row.volume_ml, None, 3),
            (row.cut_percent, row.cut_sd, 2),
            (row.mean_percent, row.mean_sd, 1),
        ):
            spread = '' if sd is None else f' ± {sd:,.{digits}f}'
            cells += f'<td data-value="{value!r}">{value:,.{digits}f}{spread}</td>'
        mark = ' class="outlier"' if unusual else ''
        body.append(f'<tr{mark}>{cells}<td>{", ".join(unusual)}</td></tr>')
    return (
        '<p class="caption">Click a heading to sort. "Unusual" means more than 3.5 robust standard deviations from the '
        f'median. The side is "both" if each side has at least {NOTABLE:.0f} % of the lesion.</p><div class="scroll">'
        f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def _map_sections(space: str, sums: _Sums, support: Path | None) -> Iterable[str]:
    template = load_template(space)
    where = escape(space)
    if sums.masks:
        figure = map_figure(
            template,
            sums.overlap,
            None,
            highest=max(float(sums.overlap.max()), 1.0),
            label='lesions (number)',
        )
        text = f'Number of lesions at each position, out of {sums.masks} ({where}).'
        yield _picture('Lesion overlap', text, png_bytes(figure))
    if sums.maps:
        mean = sums.mean_map().astype(np.float32)
        highest = float(np.percentile(mean[mean > 0], 99)) if mean.any() else 1.0
        few = (mean > 0) & (to_frame(*load_image(support)) == 0) if support else None
        figure = map_figure(template, mean, None, unsupported=few, highest=max(highest, 0.1))
        text = f'Mean of {sums.maps} disconnection maps ({where}).'
        text += ' Hatched voxels have too few streamlines to support a percentage.' if support else ''
        yield _picture('Mean disconnection', text, png_bytes(figure))


def _atlas_sections(lesions: Sequence[LesionResults]) -> Iterable[str]:
    import pandas as pd

    for name in sorted({atlas for lesion in lesions for atlas in lesion.atlases}):
        columns, unreadable = {}, []
        for lesion in lesions:
            if lesion.path('roi_disconnection', name) or lesion.path('mean_parcels', name):
                try:
                    columns[lesion.stem] = lesion.parcels(name)
                except InputError:  # reported by `lacuna check`, repaired by another run
                    unreadable.append(lesion.stem)
        if columns:
            table = pd.DataFrame(columns).T
            text = f'Percent of the streamlines of each parcel ({escape(name)}) that pass through the lesion. White: none; '
            text += 'grey: no streamline joins the parcel to another. '
            text += (
                'With more than 60 parcels whose names contain the network, the means of networks are shown.'
            )
            if unreadable:
                text += f' Left out because their tables cannot be read: {escape(", ".join(unreadable))}.'
            yield _picture('Parcels', text, svg_bytes(heat_figure(table)))


def _picture(title: str, caption: str, content: bytes) -> str:
    return section(title, picture(title, caption, content))
