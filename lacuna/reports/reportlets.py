"""Draw all figures of one lesion from its files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from lacuna.bids.origins import FoundMask
from lacuna.bids.outputs import figure_name, outputs
from lacuna.bids.results import LesionResults
from lacuna.bids.sidecars import save
from lacuna.images import plausibility
from lacuna.images.masks import KnownMask, Mask
from lacuna.images.plausibility import MaskFacts, mask_doubts, mask_facts
from lacuna.reports import checks
from lacuna.reports.cortex import cortex_figure
from lacuna.reports.figures import brain as figures
from lacuna.reports.figures import connectivity as charts
from lacuna.reports.figures.bundles import bundle_figure, load_figure
from lacuna.reports.figures.frame import load_image, load_template, mask_in_frame, to_frame
from lacuna.reports.figures.nulls import ALPHA, null_figure, null_table_figure
from lacuna.reports.figures.style import drawing, own_scale, png_bytes, svg_bytes
from lacuna.reports.figures.viewer import SCRIPTS, ShownBundle, viewer_page, viewer_scripts
from lacuna.reports.spread import spread_bars, spread_fragment
from lacuna.reports.summary import nulls_fragment, summary_fragment, viewer_fragment
from lacuna.streamlines.files.bundle_tables import read_bundles
from lacuna.streamlines.sample import read_sample
from lacuna.utils.files import remove_leftovers, write_if_changed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: tables of an atlas that are drawn
REPORT_TABLES = (
    *('disconnection_matrix', 'mask_matrix', 'full_matrix'),
    *('roi_disconnection', 'parcel_support', 'lesion_load'),
)
#: tables of bundles that are drawn
BUNDLE_TABLES = ('bundle_disconnection', 'sample_bundles', 'null_bundles')


def draw_reportlets(
    lesion: LesionResults,
    folder: Path,
    *,
    viewer: bool = True,
    masks: Mapping[Path, KnownMask] = MappingProxyType({}),
) -> list[Path]:
    """Draw all figures of a lesion with their final names, and write its viewer with its scripts.

    Parameters
    ----------
    lesion : lacuna.bids.results.LesionResults
        Results of the lesion. Figures with missing files are left out, which the summary mentions.
    folder : pathlib.Path
    viewer : bool
        Whether to write the viewer.
    masks : mapping
        Masks already read, by absolute path.

    Returns
    -------
    list of pathlib.Path
    """
    folder.mkdir(parents=True, exist_ok=True)
    images = _read(lesion, masks)
    stamp = results_stamp([lesion], viewer=viewer)
    summary = stamp + summary_fragment(lesion, images.found.path, _check(lesion, images))
    pages = {figure_name(lesion.stem, 'summary', '.html'): summary}
    if lesion.is_combined:
        pages[figure_name(lesion.stem, 'spread', '.html')] = spread_fragment(lesion)
    written = []
    with drawing():
        for name, figure in _brain_figures(lesion, images):
            written.append(_write(folder / figure_name(lesion.stem, name, '.png'), png_bytes(figure())))
        written += [_write(folder / name, content) for name, content in _null_reportlets(lesion)]
        for atlas in lesion.atlases:
            for name, figure in _atlas_figures(lesion, atlas):
                path = folder / figure_name(lesion.stem, name, '.svg', atlas=atlas)
                written.append(_write(path, svg_bytes(figure())))
            if surface := cortex_figure(lesion, atlas):
                path = folder / figure_name(lesion.stem, 'surface', '.png', atlas=atlas)
                written.append(_write(path, png_bytes(surface)))
        for name in lesion.bundle_sets:
            table, desc = lesion.bundles(name), 'bundles'
            if lesion.is_combined:
                table, desc = spread_bars(table), 'bundlespread'
            path = folder / figure_name(lesion.stem, desc, '.svg', atlas=name)
            written.append(_write(path, svg_bytes(bundle_figure(table))))
    if viewer:
        page = _viewer_name(lesion.stem)
        pages[page] = viewer_page(
            lesion.stem,
            lesion.space,
            mask=(images.mask.data, images.mask.affine) if images.mask else None,
            percent=images.percent,
            unsupported=_unsupported(lesion, images.percent[0]) if images.percent else None,
            streamlines=images.streamlines,
            bundles=_shown_bundles(lesion, len(images.streamlines)),
        )
        pages[figure_name(lesion.stem, 'view', '.html')] = viewer_fragment(lesion, page)
        written += [_write(folder / name, script) for name, script in viewer_scripts(lesion.space).items()]
    return written + [_write(folder / name, text.encode()) for name, text in pages.items()]


def publish_reportlets(paths: Iterable[Path], folder: Path) -> list[Path]:
    """Write the figures of a lesion atomically under their final names, and remove outdated ones.

    Scripts go to a folder shared by all participants, unless they are already there.
    """
    paths = list(paths)
    scripts = [path for path in paths if path.suffix == '.js']
    paths = [path for path in paths if path not in scripts]
    targets = [folder / path.name for path in paths]
    remove_leftovers(targets)
    for source, target in zip(paths, targets, strict=True):
        save(source, target)
    for stem in {path.name.split('_method-snm', 1)[0] for path in paths}:
        for path in (*folder.glob(f'{stem}_method-snm_*_figure.*'), folder / _viewer_name(stem)):
            if path not in targets:
                path.unlink(missing_ok=True)
    shared = folder.parents[1] / SCRIPTS
    for script in scripts:
        write_if_changed(shared / script.name, script.read_bytes())
    return targets + [shared / script.name for script in scripts]


def _viewer_name(stem: str) -> str:
    return f'{stem}_method-snm_desc-viewer.html'


@dataclass(frozen=True)
class _Images:
    """Images of a lesion, read once."""

    found: FoundMask
    percent: tuple[np.ndarray, np.ndarray] | None
    streamlines: list[np.ndarray]
    spacing: float | None

    @property
    def mask(self) -> Mask | None:
        return self.found.mask


def _read(lesion: LesionResults, masks: Mapping[Path, KnownMask]) -> _Images:
    found = lesion.mask_source.read(masks)
    disconnection, sample = lesion.map_path, lesion.path('sample')
    percent = load_image(disconnection) if disconnection else None
    streamlines, spacing = read_sample(sample) if sample else ([], None)
    return _Images(found, percent, streamlines, spacing)


def _shown_bundles(lesion: LesionResults, sampled: int) -> list[ShownBundle]:
    """Return the bundles of the first set that have streamlines in the sample, most affected first."""
    for name in lesion.bundle_sets:
        if sampled and (path := lesion.path('sample_bundles', name)):
            percent = lesion.bundles(name)['value']
            shown = [
                ShownBundle(bundle, float(percent[bundle]), rows)
                for bundle, rows in read_bundles(path, sampled).items()
                if bundle in percent.index
            ]
            return sorted(shown, key=lambda bundle: -bundle.percent)
    return []


def _check(lesion: LesionResults, images: _Images) -> tuple[MaskFacts | None, list[str]]:
    """Return the facts about the mask, and the results of all checks."""
    found, facts, mask = [], None, images.mask
    if mask is None:
        found.append(f'The mask {images.found.problem}. Figures that need the mask are left out.')
    else:
        facts = mask_facts(mask)
        found += map(checks.sentence, mask_doubts(mask, lesion.space, facts=facts))
        found += checks.check_mask(facts) + checks.check_space_of(lesion.space, lesion.metadata)
        found += checks.check_spacing(images.spacing, mask.affine)
    found += map(checks.sentence, plausibility.check_tractogram(lesion.metadata))
    found += [
        f'{lesion.files[target].name} is not the file that its JSON file describes ({problem}).'
        for target, problem in lesion.damaged().items()
    ]
    found += checks.check_summary(lesion.summary) + checks.check_support(lesion.summary)
    return facts, found


def _brain_figures(lesion: LesionResults, images: _Images) -> list[tuple[str, Callable[[], Figure]]]:
    template = load_template(lesion.space)
    mask = mask_in_frame(images.mask.data, images.mask.affine) if images.mask else None
    found: list[tuple[str, Callable[[], Figure]]] = []
    if mask is not None:
        found.append(('lesion', partial(figures.lesion_figure, template, mask)))
    if images.percent:
        percent = to_frame(*images.percent)
        unsupported = _unsupported(lesion, images.percent[0])
        few = None if unsupported is None else to_frame(unsupported.view(np.uint8), images.percent[1]) > 0
        draw_map = partial(figures.map_figure, template, percent, mask, unsupported=few)
        auto = own_scale(percent)
        found.append(('meanmap' if lesion.is_combined else 'map', draw_map))
        if auto:
            found.append(('mapscaled', partial(draw_map, highest=auto)))
        glass = partial(figures.glass_figure, template, percent, mask, unsupported=few, auto=auto)
        found.append(('glass', glass))
    if path := lesion.path('sd_map'):
        sd = to_frame(*load_image(path))
        highest = max(own_scale(sd) or float(sd.max()), 0.1)
        label = 'standard deviation'
        found.append(('sdmap', partial(figures.map_figure, template, sd, mask, highest=highest, label=label)))
    if images.streamlines:
        found.append(('streamlines', partial(figures.streamline_figure, template, images.streamlines, mask)))
    return found


def _unsupported(lesion: LesionResults, percent: np.ndarray) -> np.ndarray | None:
    """Return the affected voxels without support, on the grid of the map; None if unknown."""
    if not (path := lesion.support_mask):
        return None
    support, _ = load_image(path)
    return (percent > 0) & (support == 0) if support.shape == percent.shape else None


def _atlas_figures(lesion: LesionResults, atlas: str) -> list[tuple[str, Callable[[], Figure]]]:
    found: list[tuple[str, Callable[[], Figure]]] = []
    if lesion.path('spread_parcels', atlas):
        spread = spread_bars(lesion.parcel_spread(atlas))
        found.append(('parcelspread', partial(charts.parcel_figure, spread['value'], spread)))
    elif lesion.path('roi_disconnection', atlas):
        support = lesion.support(atlas) if lesion.path('parcel_support', atlas) else None
        found.append(('parcels', partial(charts.parcel_figure, lesion.parcels(atlas), support)))
        if lesion.path('lesion_load', atlas):
            load = lesion.parcels(atlas, 'lesion_load')
            found.append(('load', partial(load_figure, load, lesion.parcels(atlas))))
    if lesion.path('disconnection_matrix', atlas):
        percent = lesion.matrix(atlas)
        full = lesion.matrix(atlas, 'full_matrix') if lesion.path('full_matrix', atlas) else None
        found.append(('matrix', partial(charts.matrix_figure, percent, full)))
        if lesion.path('mask_matrix', atlas):
            cut = lesion.matrix(atlas, 'mask_matrix')
            found.append(('connectogram', partial(charts.connectogram_figure, cut, percent)))
    return found


def _null_reportlets(lesion: LesionResults) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of the text and figures about null lesions, if there are any."""
    statistics = lesion.null_statistics
    if not statistics:
        return
    sets = [name for name in lesion.bundle_sets if lesion.path('null_bundles', name)]
    tables = {name: lesion.null_bundles(name) for name in sets}
    text = nulls_fragment(statistics, next(iter(tables.values()), None), ALPHA)
    yield figure_name(lesion.stem, 'nullsummary', '.html'), text.encode()
    if not statistics.get('null_lesions'):
        return
    yield figure_name(lesion.stem, 'nulls', '.svg'), svg_bytes(null_figure(statistics))
    for name, table in tables.items():
        path = figure_name(lesion.stem, 'nullbundles', '.svg', atlas=name)
        yield path, svg_bytes(null_table_figure(table))


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def results_stamp(lesions: Iterable[LesionResults], *, viewer: bool = True) -> str:
    """Return an HTML comment that identifies the current results of lesions, and whether the page has a viewer.

    Modification times are not used: clocks can be wrong, and archives restore old times.
    """
    state = []
    for lesion in lesions:
        paths = [lesion.path(key) for key in ('disconnection_map', 'summary', 'sample')]
        paths += [lesion.path(key, atlas) for atlas in lesion.atlases for key in REPORT_TABLES]
        paths += [lesion.path(key, name) for name in lesion.bundle_sets for key in BUNDLE_TABLES]
        paths.append(lesion.path('null_statistics'))
        if lesion.is_combined:
            paths += [path for target, path in lesion.files.items() if outputs()[target.key].combined]
        state += [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths if path]
    state += [] if viewer else [('no viewer', 0, 0)]
    return f'<!-- of {hashlib.sha256(repr(state).encode()).hexdigest()} -->\n'
