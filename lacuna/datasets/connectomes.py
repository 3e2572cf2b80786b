"""Fetch normative connectomes: from the download to a ``.tck`` whose space is known, and later found by its name."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from lacuna.datasets.archives import ARCHIVES, unpack
from lacuna.datasets.download import Patience, Progress, Remote, check_space, download, shown
from lacuna.datasets.sources import Connectome, connectomes, locate
from lacuna.errors import InputError, TractogramError
from lacuna.images.spaces import world_space
from lacuna.streamlines.files.formats import EXTENSIONS, convert, without_extension
from lacuna.streamlines.subsample import Subsample
from lacuna.utils.cache import cache_dir
from lacuna.utils.files import json_bytes, read_json, write_if_changed

_NAME = re.compile(r'\w[\w.-]*', re.ASCII)
#: packed streamlines grow about so many times, and there are two of them for a moment
_GROWTH = 3
#: so many times larger or smaller than expected, a file that was found by its name may be another one
_ODD_SIZE = 2


def fetch(
    name: str,
    folder: Path,
    *,
    url: str | None = None,
    space: str | None = None,
    token: str | None = None,
    subsample: Subsample | None = None,
    force: bool = False,
    apis: Mapping[str, str] | None = None,
    patience: Patience | None = None,
    progress: Progress | None = None,
    say: Callable[[str], object] | None = None,
) -> Path:
    """Fetch a connectome as ``NAME.tck``, with a sidecar that says its space and whom to cite.

    Where it lies is noted in Lacuna's cache, so that a run finds it by its name (`connectome_path`).

    Parameters
    ----------
    name : str
        In the table of connectomes, or another with `url` and `space`.
    folder : pathlib.Path
        Where it goes. What was downloaded stays in a hidden folder in it until the connectome is there, so that the
        next call goes on with it.
    url : str, optional
        Of the file, if its source has moved or is not known.
    space : str, optional
        Standard space of a connectome that is not in the table.
    token : str, optional
        Personal token for the API of its source.
    subsample : Subsample, optional
        Keep only a random part, under a name that says so (`part_name`). A connectome that was fetched as a whole is
        not downloaded again for it.
    force : bool
        Whether a connectome that is there is fetched again.
    apis : mapping, optional
        Base addresses of the APIs, by name.
    patience : lacuna.datasets.download.Patience, optional
    progress : callable, optional
    say : callable, optional
        Told in a line what was found where.

    Returns
    -------
    pathlib.Path
        The ``.tck``.

    Raises
    ------
    InputError
        If the connectome is unknown, or cannot be had or converted.
    """
    known = _known(name, url, space)
    target = folder / f'{part_name(name, subsample)}.tck'
    if not target.is_file() or force:
        if token and not (token.isascii() and token.isprintable()):
            message = 'the token holds characters that no token has; copy it again'
            raise InputError(message)
        folder.mkdir(parents=True, exist_ok=True)
        whole = None if url or force else fetched().get(name)
        if subsample and whole:
            _convert_whole(whole, target, subsample, progress or (lambda *_: None))
        else:
            say, progress = say or (lambda _: None), progress or (lambda *_: None)
            patience = patience or Patience()
            remote = locate(known, url=url, token=token, apis=apis, patience=patience)
            if url:
                known = dataclasses.replace(known, size=None)
            elif known.api:
                say(_found(known, remote))
            _download_and_convert(known, remote, target, subsample, patience, progress)
    _remember(target)
    return target


def part_name(name: str, subsample: Subsample | None) -> str:
    """Name of a random part of a connectome; without one, that of the connectome.

    >>> part_name('dtor985', Subsample(0.1, seed=1))
    'dtor985_fraction-0.1_seed-1'
    """
    return f'{name}_fraction-{subsample.fraction}_seed-{subsample.seed}' if subsample else name


def fetched() -> dict[str, Path]:
    """The connectomes that were fetched and are still there, by name."""
    cache = cache_dir()
    found = {path.stem: path for path in sorted((cache / 'connectomes').glob('*.tck'))}
    for note in sorted((cache / 'fetched').glob('*.json')):
        path = Path(str((read_json(note) or {}).get('Path', '')))
        if path.is_file():
            found[note.stem] = path
    return found


def connectome_path(given: str | Path) -> Path:
    """The tractogram that somebody means: a file, or a connectome that was fetched, by its name.

    Raises
    ------
    InputError
        If it is the name of none. A path is returned as it is, whether there is a file or not.
    """
    path, name = Path(given), str(given)
    if path.is_file() or path.name != name or name.lower().endswith(EXTENSIONS):
        return path
    here, table = fetched(), connectomes()
    if name in here:
        return here[name]
    if name in table:
        message = f"{name} was not fetched, or is not there any more: fetch it with 'lacuna fetch {name}'"
        raise InputError(message)
    by_lower = {each.lower(): each for each in (*table, *here)}
    near = [by_lower[each] for each in difflib.get_close_matches(name.lower(), by_lower, cutoff=0.5)]
    meant = f'; did you mean {", ".join(near)}?' if near else ''
    message = (
        f'there is no tractogram {name}, and no connectome of that name was fetched{meant} '
        "('lacuna fetch --list' names those that can be fetched, 'lacuna info connectomes' those that are here)"
    )
    raise InputError(message)


def _remember(path: Path) -> None:
    with suppress(OSError):  # without the note it is found by its path
        note = cache_dir() / 'fetched' / f'{path.stem}.json'
        write_if_changed(note, json_bytes({'Path': str(path.absolute())}))


def _found(known: Connectome, remote: Remote) -> str:
    """What a source has, and whether that looks like what was looked for."""
    size = f'{remote.size / 1e6:,.0f} MB' if remote.size else 'of a size that is not said'
    line = f'found {remote.name}, {size}: {shown(remote.url)}'
    if remote.size and known.size and not 1 / _ODD_SIZE < remote.size / known.size < _ODD_SIZE:
        line += f' (about {known.size / 1e6:,.0f} MB were expected: see whether it is what you want)'
    return line


def _convert_whole(source: Path, target: Path, subsample: Subsample, progress: Progress) -> None:
    """Draw a part of a connectome that was fetched as a whole."""
    convert(source, target, subsample=subsample, overwrite=True, progress=_advancing(source, progress))


def _download_and_convert(
    known: Connectome,
    remote: Remote,
    target: Path,
    subsample: Subsample | None,
    patience: Patience,
    progress: Progress,
) -> None:
    folder = target.parent
    hidden = f'.{known.name}-'
    work = folder / f'{hidden}{hashlib.sha256(remote.url.encode()).hexdigest()[:8]}-download'
    size = remote.size or known.size or 0
    there = sum(path.stat().st_size for path in work.glob('*'))
    kept = subsample.fraction if subsample else 1.0
    packed = remote.name.lower().endswith(('gz', *ARCHIVES))
    check_space(folder, int(size * (1 + (_GROWTH * (1 + kept) if packed else kept))) - there)
    path = download(remote, work, patience=patience, progress=progress)
    try:
        _convert(known, remote, path, target, subsample, progress)
    except TractogramError as error:
        if not remote.checksum and not isinstance(error.__cause__, OSError):
            path.unlink(missing_ok=True)  # else the next call would take it again
        raise
    for used in folder.glob(f'{hidden}*-download'):
        shutil.rmtree(used)


def _known(name: str, url: str | None, space: str | None) -> Connectome:
    """What is known of a connectome: from the table, or from whoever fetches it."""
    table = connectomes()
    if name in table:
        if space is not None and space != table[name].space:
            message = f'{name} is in {table[name].space}; leave out --space, or give it another name'
            raise InputError(message)
        return table[name]
    if not (url and space):
        message = (
            f'there is no connectome {name!r}; choose from {", ".join(table)}, '
            'or say with --url and --space where yours is, and in which space'
        )
        raise InputError(message)
    if not _NAME.fullmatch(name):
        message = f'{name!r} is no name for a file; take letters, digits, hyphens and underscores'
        raise InputError(message)
    world_space(space)  # refuses what is not supported
    return Connectome(name=name, space=space)


def _convert(
    known: Connectome,
    remote: Remote,
    path: Path,
    target: Path,
    subsample: Subsample | None,
    progress: Progress,
) -> None:
    """From the download to the ``.tck``; the sidecar of its source becomes that of the connectome."""
    with tempfile.TemporaryDirectory(prefix='.tmp-', dir=path.parent) as scratch:
        bundles: dict[str, np.ndarray] = {}
        source = path
        if not path.name.lower().endswith(EXTENSIONS):
            source, bundles = unpack(path, Path(scratch), progress)
        about = {
            'Name': known.name,
            **({'Description': known.about} if known.about else {}),
            'Space': known.space,
            **({'ReferencesAndLinks': [known.citation]} if known.citation else {}),
            **({'License': known.licence} if known.licence else {}),
            'Sources': [shown(remote.url)],
        }
        stem = without_extension(source)
        write_if_changed(stem.with_name(f'{stem.name}.json'), json_bytes(about))
        convert(
            source,
            target,
            space=known.space,
            subsample=subsample,
            bundles=bundles if len(bundles) > 1 else None,
            overwrite=True,
            progress=_advancing(source, progress),
        )


def _advancing(source: Path, progress: Progress) -> Callable[[int], None]:
    """What counts the bytes of a file that are converted."""
    total, done = source.stat().st_size, 0

    def advance(step: int) -> None:
        nonlocal done
        done += step
        progress(f'convert {source.name}', done, total)

    return advance
