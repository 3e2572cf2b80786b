"""Fetch normative connectomes: where they are, and from the download to a ``.tck`` whose space is known."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from lacuna.archives import ARCHIVES, unpack
from lacuna.download import Patience, Progress, Remote, check_space, download, read_answer, shown
from lacuna.errors import InputError, TractogramError
from lacuna.files import json_bytes, write_if_changed
from lacuna.spaces import world_space
from lacuna.streamlines.formats import (
    EXTENSIONS,
    convert,
    without_extension,
    write_bundles,
)

#: space for a download and all that is made of it, in its own size: packed streamlines grow about threefold, and
#: there are two of them for a moment
_PACKED = 7


@dataclass(frozen=True)
class Connectome:
    """A connectome that can be fetched; see ``data/connectomes.json``. What is not known for certain is None.

    Attributes
    ----------
    name : str
    about, citation, licence, page : str or None
    space : str
        Standard space of its coordinates.
    count : int or None
        Number of streamlines.
    size : int or None
        Of the download in bytes, about.
    sha256 : str or None
        Checksum of the download.
    api : str or None
        The API that knows where the file is, ``figshare`` or ``osf``.
    record : str or None
        What to ask the API for.
    url : str or None
        Of the file.
    """

    name: str
    about: str | None
    citation: str | None
    licence: str | None
    page: str | None
    space: str
    count: int | None
    size: int | None
    sha256: str | None
    api: str | None
    record: str | None
    url: str | None

    @property
    def needs_url(self) -> bool:
        """Whether its address is not known."""
        return self.url is None and self.record is None


@cache
def _data() -> dict[str, Any]:
    text = resources.files('lacuna').joinpath('data/connectomes.json').read_text(encoding='utf-8')
    return dict(json.loads(text))


def connectomes() -> dict[str, Connectome]:
    """The connectomes that can be fetched, by name."""
    return {name: Connectome(name=name, **row) for name, row in _data()['connectomes'].items()}


def fetch(
    name: str,
    folder: Path,
    *,
    url: str | None = None,
    space: str | None = None,
    token: str | None = None,
    force: bool = False,
    apis: Mapping[str, str] | None = None,
    patience: Patience | None = None,
    progress: Progress | None = None,
) -> Path:
    """Fetch a connectome as ``NAME.tck``, with a sidecar that says its space and whom to cite.

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
    force : bool
        Whether a connectome that is there is fetched again.
    apis : mapping, optional
        Base addresses of the APIs, by name.
    patience : lacuna.download.Patience, optional
    progress : callable, optional

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
    target = folder / f'{name}.tck'
    if target.is_file() and not force:
        return target
    if token and not (token.isascii() and token.isprintable()):
        message = 'the token holds characters that no token has; copy it again'
        raise InputError(message)
    patience, progress = patience or Patience(), progress or (lambda *_: None)
    folder.mkdir(parents=True, exist_ok=True)
    remote = locate(known, url=url, token=token, apis=apis, patience=patience)
    work = folder / f'.{name}-{hashlib.sha256(remote.url.encode()).hexdigest()[:8]}-download'
    size = remote.size or (None if url else known.size) or 0
    there = sum(path.stat().st_size for path in work.glob('*'))
    check_space(folder, size * (_PACKED if remote.name.lower().endswith(('gz', *ARCHIVES)) else 2) - there)
    path = download(remote, work, patience=patience, progress=progress)
    try:
        _convert(known, remote, path, target, progress)
    except TractogramError as error:
        if not remote.checksum and not isinstance(error.__cause__, OSError):
            path.unlink(missing_ok=True)  # else the next call would take it again
        raise
    for used in folder.glob(f'.{name}-*-download'):
        shutil.rmtree(used)
    return target


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
    if not re.fullmatch(r'\w[\w.-]*', name, re.ASCII):
        message = f'{name!r} is no name for a file; take letters, digits, hyphens and underscores'
        raise InputError(message)
    nothing: dict[str, None] = dict.fromkeys(
        ('about', 'citation', 'licence', 'page', 'count', 'size', 'sha256')
    )
    world_space(space)  # refuses what is not supported
    return Connectome(name=name, space=space, **nothing, api=None, record=None, url=None)


def locate(
    known: Connectome,
    *,
    url: str | None = None,
    token: str | None = None,
    apis: Mapping[str, str] | None = None,
    patience: Patience | None = None,
) -> Remote:
    """Find out where the file of a connectome is, what it is called, and its checksum.

    Raises
    ------
    InputError
        If that is not known, or its source does not say.
    """
    apis = apis or _data()['apis']
    if url and (record := _osf_record(url)):
        known, url = dataclasses.replace(known, api='osf', record=record, url=None), None
    if url or known.url:
        address = url or str(known.url)
        try:
            parts = urlsplit(address)
        except ValueError:
            parts = urlsplit('')
        if parts.scheme not in ('http', 'https') or not parts.hostname:
            message = '--url needs the address of a file, which begins with https://'
            raise InputError(message)
        checksum = None if url or not known.sha256 else f'sha256:{known.sha256}'
        own = token if known.api == 'figshare' and _same_site(address, apis['figshare']) else None
        return Remote(address, _file_name(unquote(parts.path), known), None, checksum, own)
    if known.record is None or known.api is None:
        message = (
            f'where {known.name} can be downloaded is not known for certain; '
            f'give its address with --url{f" (see {known.page})" if known.page else ""}'
        )
        raise InputError(message)
    if known.api == 'figshare':
        return _locate_figshare(known, apis['figshare'], token, patience)
    return _locate_osf(known, apis['osf'], patience)


def _locate_figshare(known: Connectome, api: str, token: str | None, patience: Patience | None) -> Remote:
    if not token:
        message = (
            f'{known.name} needs a personal token of Figshare: make one in the settings of your account there '
            '(Applications), and give it in FIGSHARE_API_KEY or with --api-key'
        )
        raise InputError(message)
    url = f'{api}/articles/{known.record}/files'
    try:
        files = read_answer(url, token=token, patience=patience)
        named = [(entry, str(entry['name'])) for entry in files]
        (entry,) = [entry for entry, name in named if name.lower().endswith(EXTENSIONS + ARCHIVES)]
        checksum = entry.get('computed_md5') or entry.get('supplied_md5')
        address = str(entry['download_url'])
        return Remote(
            address,
            _file_name(str(entry['name']), known),
            int(entry['size']),
            f'md5:{checksum}' if checksum else None,
            token if _same_site(address, api) else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(_unexpected(url, known)) from None


def _locate_osf(known: Connectome, api: str, patience: Patience | None) -> Remote:
    url = f'{api}/files/{known.record}/'
    try:
        answer = read_answer(url, patience=patience)['data']
        about = answer['attributes']
        hashes = (about.get('extra') or {}).get('hashes') or {}
        checksum = next((f'{kind}:{hashes[kind]}' for kind in ('sha256', 'md5') if hashes.get(kind)), None)
        name = _file_name(str(about['name']), known)
        return Remote(str(answer['links']['download']), name, int(about['size']), checksum)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(_unexpected(url, known)) from None


def _unexpected(url: str, known: Connectome) -> str:
    where = f' (see {known.page})' if known.page else ''
    return f'{shown(url)} does not list one tractogram; give its address with --url{where}'


def _osf_record(url: str) -> str | None:
    """What to ask the API of OSF for, if that is where an address leads.

    >>> _osf_record('https://osf.io/abc12/download')
    'abc12'
    """
    found = re.fullmatch(
        r'https?://(?:www\.)?osf\.io/(?:download/)?([0-9a-z]{5,})/?(?:download/?)?', url.partition('?')[0]
    )
    return found[1] if found else None


def _same_site(url: str, other: str) -> bool:
    """Whether two addresses belong to one owner (the last two parts of their hosts), as safe one as the other."""
    first, second = urlsplit(url), urlsplit(other)
    owners = [(each.hostname or '').split('.')[-2:] for each in (first, second)]
    return first.scheme == second.scheme and owners[0] == owners[1]


def _file_name(given: str, known: Connectome) -> str:
    """A safe name whose ending says what the file is; one that does not say is taken for a ``.tck``."""
    name = PurePosixPath(given.replace('\\', '/')).name
    ending = next((end for end in EXTENSIONS + ARCHIVES if name.lower().endswith(end)), '')
    return name if ending and len(name) > len(ending) else f'{known.name}{ending or ".tck"}'


def _convert(known: Connectome, remote: Remote, path: Path, target: Path, progress: Progress) -> None:
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
        total, done = source.stat().st_size, 0

        def advance(step: int) -> None:
            nonlocal done
            done += step
            progress(f'convert {source.name}', done, total)

        convert(source, target, space=known.space, overwrite=True, progress=advance)
        if len(bundles) > 1:
            write_bundles(target.with_name(f'{target.stem}_bundles.tsv'), bundles)
