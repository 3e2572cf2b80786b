"""Fetch normative connectomes: download and convert them to ``.tck`` files, which runs find by name."""

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
from lacuna.datasets.download import Patience, Remote, check_space, download, shown
from lacuna.datasets.sources import Connectome, connectomes, locate
from lacuna.errors import InputError, TractogramError
from lacuna.images.spaces import world_space
from lacuna.streamlines.files.formats import EXTENSIONS, beside, convert
from lacuna.streamlines.subsample import Subsample
from lacuna.utils.cache import cache_dir
from lacuna.utils.files import json_bytes, read_json, write_if_changed
from lacuna.utils.progress import reading

_NAME = re.compile(r'\w[\w.-]*', re.ASCII)
#: typical growth of compressed streamlines when unpacked; two copies exist for a moment
_GROWTH = 3
#: a file found by name may be the wrong one if its size differs from the expected size by this factor
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
    show_progress: bool = False,
    say: Callable[[str], object] | None = None,
) -> Path:
    """Fetch a connectome as ``NAME.tck``, with a sidecar that states its space and citation.

    Its path is recorded in Lacuna's cache, so that runs find it by name (`connectome_path`).

    Parameters
    ----------
    name : str
        Name in the table of connectomes, or any other name with `url` and `space`.
    folder : pathlib.Path
        Target folder. Incomplete downloads stay in a hidden folder there, and are continued by the next call.
    url : str, optional
        Address of the file, if its source has moved or is unknown.
    space : str, optional
        Standard space of a connectome that is not in the table.
    token : str, optional
        Personal token for the source's API.
    subsample : Subsample, optional
        Keep only a random subsample, under its own name (`part_name`). If the whole connectome was already fetched, it
        is not downloaded again.
    force : bool
        Fetch an existing connectome again.
    apis : mapping, optional
        Base addresses of the APIs by name.
    patience : lacuna.datasets.download.Patience, optional
    show_progress : bool
        Whether to show progress bars on terminals.
    say : callable, optional
        Called with a line about the file that was found.

    Returns
    -------
    pathlib.Path
        Path of the ``.tck``.

    Raises
    ------
    InputError
        If the connectome is unknown, or cannot be downloaded or converted.
    """
    connectome = _look_up(name, url, space)
    target = folder / f'{part_name(name, subsample)}.tck'
    if not target.is_file() or force:
        if token and not (token.isascii() and token.isprintable()):
            message = 'the token contains invalid characters; copy it again'
            raise InputError(message)
        folder.mkdir(parents=True, exist_ok=True)
        whole = None if url or force else fetched().get(name)
        if subsample and whole:
            _convert_whole(whole, target, subsample, show_progress=show_progress)
        else:
            remote = locate(connectome, url=url, token=token, apis=apis, patience=patience)
            if url:
                connectome = dataclasses.replace(connectome, size=None)
            elif connectome.api and say:
                say(_describe_file(connectome, remote))
            _download_and_convert(
                connectome, remote, target, subsample, patience, show_progress=show_progress
            )
    _remember(target)
    return target


def part_name(name: str, subsample: Subsample | None) -> str:
    """Return the name of a subsample of a connectome; without one, that of the connectome.

    >>> part_name('dtor985', Subsample(0.1, seed=1))
    'dtor985_fraction-0.1_seed-1'
    """
    return f'{name}_fraction-{subsample.fraction}_seed-{subsample.seed}' if subsample else name


def fetched() -> dict[str, Path]:
    """Return the paths of fetched connectomes that still exist, by name."""
    cache = cache_dir()
    found = {path.stem: path for path in sorted((cache / 'connectomes').glob('*.tck'))}
    for note in sorted((cache / 'fetched').glob('*.json')):
        path = Path(str((read_json(note) or {}).get('Path', '')))
        if path.is_file():
            found[note.stem] = path
    return found


def connectome_path(given: str | Path) -> Path:
    """Return the path of a tractogram, passed as a path or as the name of a fetched connectome.

    Raises
    ------
    InputError
        If it is a name, but not of a fetched connectome. Paths are returned unchanged, even if no file exists.
    """
    path, name = Path(given), str(given)
    if path.is_file() or path.name != name or name.lower().endswith(EXTENSIONS):
        return path
    here, table = fetched(), connectomes()
    if name in here:
        return here[name]
    if path.is_dir():  # one tractogram per bundle
        return path
    if name in table:
        message = f"{name} was not fetched, or no longer exists: fetch it with 'lacuna fetch {name}'"
        raise InputError(message)
    by_lower = {each.lower(): each for each in (*table, *here)}
    matches = [by_lower[each] for each in difflib.get_close_matches(name.lower(), by_lower, cutoff=0.5)]
    hint = f'; did you mean {", ".join(matches)}?' if matches else ''
    message = (
        f'no file {name}, and no fetched connectome of that name{hint} '
        "('lacuna fetch --list' lists those that can be fetched, 'lacuna info connectomes' those on this machine)"
    )
    raise InputError(message)


def _remember(path: Path) -> None:
    with suppress(OSError):  # the connectome can still be used by its path
        note = cache_dir() / 'fetched' / f'{path.stem}.json'
        write_if_changed(note, json_bytes({'Path': str(path.absolute())}))


def _describe_file(connectome: Connectome, remote: Remote) -> str:
    """Describe the file at a source, and warn if its size is unexpected."""
    size = f'{remote.size / 1e6:,.0f} MB' if remote.size else 'of unknown size'
    line = f'found {remote.name}, {size}: {shown(remote.url)}'
    if remote.size and connectome.size and not 1 / _ODD_SIZE < remote.size / connectome.size < _ODD_SIZE:
        line += f' (expected about {connectome.size / 1e6:,.0f} MB: check whether it is the right file)'
    return line


def _convert_whole(source: Path, target: Path, subsample: Subsample, *, show_progress: bool) -> None:
    """Draw a subsample of a connectome that was already fetched."""
    with reading(f'convert {source.name}', source, show=show_progress) as advance:
        convert(source, target, subsample=subsample, overwrite=True, progress=advance)


def _download_and_convert(
    connectome: Connectome,
    remote: Remote,
    target: Path,
    subsample: Subsample | None,
    patience: Patience | None,
    *,
    show_progress: bool,
) -> None:
    folder = target.parent
    hidden = f'.{connectome.name}-'
    work = folder / f'{hidden}{hashlib.sha256(remote.url.encode()).hexdigest()[:8]}-download'
    size = remote.size or connectome.size or 0
    there = sum(path.stat().st_size for path in work.glob('*'))
    fraction = subsample.fraction if subsample else 1.0
    packed = remote.name.lower().endswith(('gz', *ARCHIVES))
    check_space(folder, int(size * (1 + (_GROWTH * (1 + fraction) if packed else fraction))) - there)
    path = download(remote, work, patience=patience, show_progress=show_progress)
    try:
        _convert(connectome, remote, path, target, subsample, show_progress=show_progress)
    except TractogramError as error:
        if not remote.checksum and not isinstance(error.__cause__, OSError):
            path.unlink(missing_ok=True)  # otherwise the next call would use it again
        raise
    for used in folder.glob(f'{hidden}*-download'):
        shutil.rmtree(used)


def _look_up(name: str, url: str | None, space: str | None) -> Connectome:
    """Return the entry of a connectome: from the table, or from the arguments."""
    table = connectomes()
    if name in table:
        if space is not None and space != table[name].space:
            message = f'{name} is in {table[name].space}; leave out --space, or choose another name'
            raise InputError(message)
        return table[name]
    if not (url and space):
        message = (
            f'no connectome {name!r} in the list; choose from {", ".join(table)}, '
            'or give the address and space of another with --url and --space'
        )
        raise InputError(message)
    if not _NAME.fullmatch(name):
        message = f'{name!r} cannot be a file name; use letters, digits, hyphens and underscores'
        raise InputError(message)
    world_space(space)  # raises for unsupported spaces
    return Connectome(name=name, space=space)


def _convert(
    connectome: Connectome,
    remote: Remote,
    path: Path,
    target: Path,
    subsample: Subsample | None,
    *,
    show_progress: bool,
) -> None:
    """Convert the download to ``.tck``; its sidecar from the source is kept and extended."""
    with tempfile.TemporaryDirectory(prefix='.tmp-', dir=path.parent) as scratch:
        bundles: dict[str, np.ndarray] = {}
        source = path
        if not path.name.lower().endswith(EXTENSIONS):
            source, bundles = unpack(path, Path(scratch), show_progress=show_progress)
        about = {
            'Name': connectome.name,
            **({'Description': connectome.about} if connectome.about else {}),
            'Space': connectome.space,
            **({'ReferencesAndLinks': [connectome.citation]} if connectome.citation else {}),
            **({'License': connectome.licence} if connectome.licence else {}),
            'Sources': [shown(remote.url)],
        }
        write_if_changed(beside(source, '.json'), json_bytes(about))
        several = bundles if len(bundles) > 1 else None
        with reading(f'convert {source.name}', source, show=show_progress) as advance:
            convert(
                source,
                target,
                space=connectome.space,
                subsample=subsample,
                bundles=several,
                overwrite=True,
                progress=advance,
            )
