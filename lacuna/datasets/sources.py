"""The sources of normative connectomes: a table of those that can be fetched, and look-up at Figshare and OSF."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from lacuna.datasets.archives import ARCHIVES
from lacuna.datasets.download import Patience, Remote, read_answer, shown
from lacuna.errors import InputError
from lacuna.streamlines.files.formats import EXTENSIONS
from lacuna.utils.files import data_text
from lacuna.utils.names import few

#: maximum number of requests in one search of an OSF project; OSF allows a hundred an hour
_MOST_ANSWERS = 60


@dataclass(frozen=True)
class Connectome:
    """A connectome that can be fetched; see ``data/connectomes.json``. Attributes that are not certain are None.

    Attributes
    ----------
    name : str
    about, citation, licence, page : str or None
    space : str
        Standard space of its coordinates.
    count : int or None
        Number of streamlines.
    size : int or None
        Approximate size of the download, in bytes.
    sha256 : str or None
        Checksum of the download.
    api : str or None
        The API that locates the file, ``figshare`` or ``osf``.
    record : str or None
        The record to request: an article at Figshare, a file at OSF.
    file : str or None
        Number of the file in the article, or a pattern for its name in the project (in lower case).
    project : str or None
        OSF project which, with its components, is searched for the file.
    url : str or None
        Address of the file.
    whole : str or None
        Name of the connectome of which this is a random subsample.
    fraction : float or None
        Size of the subsample.
    """

    name: str
    space: str
    about: str | None = None
    citation: str | None = None
    licence: str | None = None
    page: str | None = None
    count: int | None = None
    size: int | None = None
    sha256: str | None = None
    api: str | None = None
    record: str | None = None
    file: str | None = None
    project: str | None = None
    url: str | None = None
    whole: str | None = None
    fraction: float | None = None

    @property
    def other_ways(self) -> str:
        """Advice for the user if the source does not provide the file."""
        if self.whole is None:
            return f'give its address with --url{f" (see {self.page})" if self.page else ""}'
        part = f'--fraction {self.fraction} --seed 1'
        return (
            f"give its address with --url, or draw a similar part yourself: 'lacuna fetch {self.whole} {part}', "
            f"or 'lacuna convert IN OUT {part}' where IN is {self.whole}"
        )


@cache
def _data() -> dict[str, Any]:
    return dict(json.loads(data_text('connectomes.json')))


def connectomes() -> dict[str, Connectome]:
    """Return the connectomes that can be fetched, by name."""
    return {name: Connectome(name=name, **row) for name, row in _data()['connectomes'].items()}


def locate(
    known: Connectome,
    *,
    url: str | None = None,
    token: str | None = None,
    apis: Mapping[str, str] | None = None,
    patience: Patience | None = None,
) -> Remote:
    """Find the address, name and checksum of the file of a connectome.

    Raises
    ------
    InputError
        If the address is unknown, or the source does not provide it.
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
            message = '--url needs the address of a file, beginning with https://'
            raise InputError(message)
        checksum = None if url or not known.sha256 else f'sha256:{known.sha256}'
        own = token if known.api == 'figshare' and _same_site(address, apis['figshare']) else None
        return Remote(address, _file_name(unquote(parts.path), known), None, checksum, own)
    if known.api == 'figshare':
        return _locate_figshare(known, apis['figshare'], token, patience)
    if known.record is None:
        return _search_osf(known, apis['osf'], patience)
    return _locate_osf(known, apis['osf'], patience)


def _locate_figshare(known: Connectome, api: str, token: str | None, patience: Patience | None) -> Remote:
    if not token:
        message = (
            f'{known.name} needs a personal Figshare token: create one in the settings of your account there '
            '(Applications), and give it in FIGSHARE_API_KEY or with --api-key'
        )
        raise InputError(message)
    url = f'{api}/articles/{known.record}/files'
    try:
        files = read_answer(url, token=token, patience=patience)
        named = [(entry, str(entry['name'])) for entry in files]
        tractograms = [entry for entry, name in named if _is_tractogram(name)]
        (entry,) = [entry for entry in tractograms if str(entry.get('id')) == known.file] or tractograms
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
        raise InputError(_ambiguous_message(url, known)) from None


def _locate_osf(known: Connectome, api: str, patience: Patience | None) -> Remote:
    url = f'{api}/files/{known.record}/'
    try:
        return _osf_remote(read_answer(url, patience=patience)['data'], known)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(_ambiguous_message(url, known)) from None


def _osf_remote(entry: dict[str, Any], known: Connectome) -> Remote:
    """Create the remote file from an entry of OSF's answer."""
    about = entry['attributes']
    hashes = (about.get('extra') or {}).get('hashes') or {}
    checksum = next((f'{kind}:{hashes[kind]}' for kind in ('sha256', 'md5') if hashes.get(kind)), None)
    name = _file_name(str(about['name']), known)
    size = int(about['size']) if about.get('size') is not None else None
    return Remote(str(entry['links']['download']), name, size, checksum)


def _search_osf(known: Connectome, api: str, patience: Patience | None) -> Remote:
    """Search for a file by name in a project and its components."""
    where = f'the OSF project {known.project}'
    url = f'{api}/nodes/{known.project}/'
    try:
        files = [(str(entry['attributes']['name']), entry) for entry in _osf_files(url, api, patience)]
        tractograms = [(name, entry) for name, entry in files if _is_tractogram(name)]
        called_so = [each for each in tractograms if fnmatch.fnmatch(each[0].lower(), str(known.file))]
        exactly = [each for each in called_so if each[0].lower().startswith(f'{known.name}.')]
        if len(found := exactly or called_so) == 1:
            return _osf_remote(found[0][1], known)
        addresses = [f'{name} ({shown(str(entry["links"]["download"]))})' for name, entry in found]
    except (KeyError, TypeError, ValueError, AttributeError):
        message = f'cannot parse the answer of OSF about the project {known.project}; {known.other_ways}'
        raise InputError(message) from None
    except InputError as error:
        message = f'{known.name} could not be looked up in {where} ({error}); {known.other_ways}'
        raise InputError(message) from error
    if addresses:
        message = f'{where} has more than one {known.name}: {", ".join(addresses)}; choose one with --url'
    else:
        others = f' (there are {few(sorted({name for name, _ in tractograms}))})' if tractograms else ''
        message = (
            f'{where} has no {known.name}: none of its {len(files)} files is a tractogram named '
            f'{known.file}{others}; {known.other_ways}'
        )
    raise InputError(message)


def _osf_files(project: str, api: str, patience: Patience | None) -> Iterator[dict[str, Any]]:
    """Yield the entries of all files in the OSF storage of a project and its components."""
    pending = [f'{project}files/', f'{project}children/']
    asked = 0
    while pending:
        url = pending.pop(0)
        if asked == _MOST_ANSWERS or not url.startswith(f'{api}/'):
            message = f'{shown(url)} was not requested: too many answers, or not an address of the API'
            raise InputError(message)
        answer = read_answer(url if '?' in url else f'{url}?page[size]=100', patience=patience)
        asked += 1
        if further := answer['links'].get('next'):
            pending.insert(0, str(further))
        for entry in answer['data']:
            if entry['type'] == 'nodes':
                component = f'{api}/nodes/{quote(str(entry["id"]), safe="")}/'
                pending += [f'{component}files/', f'{component}children/']
            elif entry['attributes']['provider'] != 'osfstorage':
                continue  # other storage linked to the project
            elif entry['attributes']['kind'] == 'folder':
                pending.append(str(entry['relationships']['files']['links']['related']['href']))
            else:
                yield entry


def _is_tractogram(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS + ARCHIVES)


def _ambiguous_message(url: str, known: Connectome) -> str:
    return f'{shown(url)} does not lead to exactly one tractogram; {known.other_ways}'


def _osf_record(url: str) -> str | None:
    """Return the OSF record in an address, if any.

    >>> _osf_record('https://osf.io/abc12/download')
    'abc12'
    """
    found = re.fullmatch(
        r'https?://(?:www\.)?osf\.io/(?:download/)?([0-9a-z]{5,})/?(?:download/?)?', url.partition('?')[0]
    )
    return found[1] if found else None


def _same_site(url: str, other: str) -> bool:
    """Whether two addresses have the same scheme and owner (last two parts of the host)."""
    first, second = urlsplit(url), urlsplit(other)
    owners = [(each.hostname or '').split('.')[-2:] for each in (first, second)]
    return first.scheme == second.scheme and owners[0] == owners[1]


def _file_name(given: str, known: Connectome) -> str:
    """Return a safe file name; without a known extension, it is assumed to be a ``.tck``."""
    name = PurePosixPath(given.replace('\\', '/')).name
    ending = next((end for end in EXTENSIONS + ARCHIVES if name.lower().endswith(end)), '')
    return name if ending and len(name) > len(ending) else f'{known.name}{ending or ".tck"}'
