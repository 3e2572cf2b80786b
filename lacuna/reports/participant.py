"""The report of each participant: a page assembled from figures."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from html import escape
from importlib import resources
from multiprocessing import get_context
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lacuna.bids.failures import Failure
from lacuna.bids.outputs import figure_name, figures_dir
from lacuna.bids.results import LesionResults, find_results
from lacuna.errors import LacunaError, reason_of
from lacuna.images.masks import KnownMask
from lacuna.reports.methods import methods_html, newest_methods
from lacuna.reports.reportlets import draw_reportlets, publish_reportlets, results_stamp
from lacuna.utils.files import write_if_changed
from lacuna.utils.names import parse_entities
from lacuna.utils.processes import possible_workers, start_worker, starting_workers

_CRASH = re.compile(r'\(details: (?P<path>.*?\.txt)\)')
_MOST_OF_A_CRASH = 20_000
#: bytes within which the stamp of a page or figure occurs
_STAMPED = 1000


def make_reports(
    root: Path,
    subjects: Sequence[str],
    *,
    failures: Sequence[Failure] = (),
    redraw: bool = False,
    viewer: bool = True,
    masks: Mapping[str, Mapping[Path, KnownMask]] = MappingProxyType({}),
    workers: int = 1,
) -> Iterator[tuple[str, Path | str]]:
    """Make the reports of several participants; errors in one do not stop the others.

    Parameters
    ----------
    root, failures, redraw, viewer
        See `make_report`.
    subjects : sequence of str
        Labels, without ``sub-``.
    masks : mapping
        Masks already read, by participant label and absolute path.
    workers : int
        Number of processes.

    Yields
    ------
    subject : str
    made : pathlib.Path or str
        Path of the page, or the error message.
    """
    make = partial(_try_report, root, failures=failures, redraw=redraw, viewer=viewer)
    known_masks = [masks.get(subject, {}) for subject in subjects]
    workers = possible_workers(workers)
    if workers == 1 or len(subjects) == 1:
        yield from zip(subjects, map(make, subjects, known_masks), strict=True)
        return
    with ProcessPoolExecutor(
        min(workers, max(len(subjects), 1)),
        mp_context=get_context('spawn'),
        initializer=start_worker,
        initargs=(str(Path.cwd()),),
    ) as pool:
        with starting_workers():
            pages = [pool.submit(make, *each) for each in zip(subjects, known_masks, strict=True)]
        try:
            for subject, page in zip(subjects, pages, strict=True):
                yield subject, page.result()
        except BaseException:  # for example Ctrl-C, which the workers ignore
            for worker in list(pool._processes.values()):
                worker.kill()
            raise


def _try_report(root: Path, subject: str, masks: Mapping[Path, KnownMask], **options: Any) -> Path | str:
    from nibabel.filebasedimages import ImageFileError

    try:
        return make_report(root, subject, masks=masks, **options)
    # files changed or removed since the run, or a full disk
    except (LacunaError, ImageFileError, OSError, EOFError, ValueError, KeyError) as error:
        return reason_of(error)


def make_report(
    root: Path,
    subject: str,
    *,
    failures: Iterable[Failure] = (),
    redraw: bool = False,
    viewer: bool = True,
    masks: Mapping[Path, KnownMask] = MappingProxyType({}),
) -> Path:
    """Draw the missing or outdated figures of a participant, and write the page.

    Parameters
    ----------
    root : pathlib.Path
        Root of the derivative dataset.
    subject : str
        Participant label, without ``sub-``.
    failures : iterable of lacuna.bids.failures.Failure
        Masks that failed; those of other participants are ignored.
    redraw : bool
        Redraw all figures.
    viewer : bool
        Whether to write viewers.
    masks : mapping
        Masks already read, by absolute path; their files are not opened again.

    Returns
    -------
    pathlib.Path
        Path of ``sub-<label>.html``.
    """
    folder = figures_dir(root, subject)
    for lesion in _drawn(root, subject):
        drawn = folder / figure_name(lesion.stem, 'summary', '.html')
        if redraw or not _is_stamped(drawn, results_stamp([lesion], viewer=viewer)):
            with tempfile.TemporaryDirectory() as drafts:
                drawn_now = draw_reportlets(lesion, Path(drafts), viewer=viewer, masks=masks)
                publish_reportlets(drawn_now, folder)
    own = [failure for failure in failures if failure.subject == subject]
    return write_page(root, subject, own, viewer=viewer)


def _drawn(root: Path, subject: str) -> list[LesionResults]:
    """Return the lesions of a participant that have a map."""
    return find_results(root, subject).with_map()


def is_current(root: Path, subject: str, *, viewer: bool = True) -> bool:
    """Whether the page of a participant exists and shows the current results."""
    stamp = results_stamp(_drawn(root, subject), viewer=viewer)
    return _is_stamped(root / f'sub-{subject}.html', stamp)


def _is_stamped(path: Path, stamp: str) -> bool:
    """Whether a file exists and contains the stamp near its beginning."""
    if not path.is_file():
        return False
    with path.open('rb') as stream:
        return stamp.encode() in stream.read(_STAMPED)


def write_page(
    root: str | Path, subject: str, failures: Sequence[Failure] = (), *, viewer: bool = True
) -> Path:
    """Assemble the page of a participant from existing figures, which it links to.

    Parameters
    ----------
    root : str or pathlib.Path
        Root of the derivative dataset.
    subject : str
        Participant label, without ``sub-``.
    failures : sequence of lacuna.bids.failures.Failure
        Failed masks of the participant.
    viewer : bool
        Whether the figures were drawn with viewers.

    Returns
    -------
    pathlib.Path
        Path of ``sub-<label>.html``.
    """
    from nireports.assembler.report import Report

    root = Path(root)
    target = root / f'sub-{subject}.html'
    data = resources.files('lacuna').joinpath('data')
    figures = figures_dir(root, subject)
    figures.mkdir(parents=True, exist_ok=True)
    with resources.as_file(data) as folder, tempfile.TemporaryDirectory() as drafts:
        report = Report(
            root,
            None,
            bootstrap_file=folder / 'reports-spec.yml',
            out_filename=str(Path(drafts, target.name)),
            reportlets_dir=figures.parent,
            metadata={'template': str(folder / 'report.tpl'), 'title': f'Lacuna: sub-{subject}'},
            subject=subject,
        )
        _name_lesions(report)
        report.sections += [_Section('Methods', [_Part('methods-text', [(_methods(root), '')])])]
        if failures or not any(section.isnested for section in report.sections):
            report.sections.insert(
                0, _Section('Failures', [_Part('failure-table', [(_failures(failures), '')])])
            )
        report.generate_report()
        page = Path(drafts, target.name).read_text(encoding='utf-8')
    doctype, _, rest = _with_alternatives(page).partition('\n')
    stamp = results_stamp(_drawn(root, subject), viewer=viewer)
    write_if_changed(target, f'{doctype}\n{stamp}{rest}'.encode())
    return target


@dataclass
class _Part:
    """The part of nireports' ``Reportlet`` that the template uses."""

    name: str
    components: list[tuple[str, str]]
    title: str | None = None
    subtitle: str | None = None


@dataclass
class _Section:
    """The part of nireports' ``SubReport`` that the template uses."""

    name: str
    reportlets: list[_Part] = field(default_factory=list)
    isnested: bool = False


def _name_lesions(report: object) -> None:
    """Set titles such as 'ses-01, label-lesion' instead of nireports' sentence."""
    for section in getattr(report, 'sections', []):
        for part in section.reportlets:
            if part.title:
                part.title = part.title.removeprefix('Reports for: ').rstrip('.')


def _methods(root: Path) -> str:
    found = newest_methods(root)
    return methods_html(*found) if found else '<p>No methods text in <code>logs/</code>.</p>'


def _failures(failures: Sequence[Failure]) -> str:
    if not failures:
        return '<p class="box bad">No results for this participant.</p>'
    parts = []
    for failure in failures:
        crash = _CRASH.search(failure.reason)
        part = f'<strong>{escape(failure.path.name)}</strong><br>{escape(failure.reason)}'
        if crash and Path(crash['path']).is_file():
            text = Path(crash['path']).read_text(encoding='utf-8', errors='replace')[-_MOST_OF_A_CRASH:]
            part += f'<details><summary>{escape(Path(crash["path"]).name)}</summary><pre>{escape(text)}</pre></details>'
        parts.append(f'<div class="box bad">{part}</div>')
    return '<p>These masks failed. Their results are missing or come from an earlier run.</p>' + ''.join(
        parts
    )


def _with_alternatives(page: str) -> str:
    """Add alternative texts to the pictures of a page."""

    def name(found: re.Match[str]) -> str:
        file = found['path'].rsplit('/', 1)[-1]
        what = parse_entities(file).get('desc', 'figure')
        text = escape(f'{what}: {file.split("_method-snm", 1)[0]}', quote=True)
        return f'alt="{text}" {found[0]}'

    return re.sub(r'src="\./(?P<path>[^"]+\.(?:png|svg))"', name, page)
