"""Download large files: resume after broken connections, retry when the server is busy, and verify the result."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit, urlunsplit

from lacuna.errors import InputError
from lacuna.utils.locks import file_lock
from lacuna.utils.progress import counting

if TYPE_CHECKING:
    import requests

_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_CHUNK = 1 << 17
_LONGEST_WAIT = 60.0
#: disk space to leave free after a download
_SPARE_BYTES = 100 * 2**20


@dataclass(frozen=True)
class Remote:
    """A file to download.

    Attributes
    ----------
    url : str
    name : str
        Name of the file.
    size : int or None
        Size in bytes, if the source states it.
    checksum : str or None
        Checksum such as ``md5:...``, if the source states it.
    token : str or None
        Access token, sent to the site of `url` only and never displayed.
    """

    url: str
    name: str
    size: int | None = None
    checksum: str | None = None
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Patience:
    """Timeout in seconds, and number of retries with the first waiting time."""

    timeout: float = 60.0
    attempts: int = 6
    first_wait: float = 1.0


def shown(url: str) -> str:
    """Return a URL without the parts that may contain secrets.

    >>> shown('https://me:secret@example.org/files/1?token=secret#x')
    'https://example.org/files/1'
    """
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition('@')[2], parts.path, '', ''))


def read_answer(url: str, *, token: str | None = None, patience: Patience | None = None) -> Any:
    """Read the JSON answer of an API.

    Raises
    ------
    InputError
        If the API cannot be reached, refuses the request, or does not answer in JSON.
    """
    patience = patience or Patience()

    def attempt() -> Any:
        with _request(url, token, {}, patience) as response:
            return response.json()

    try:
        return _repeat(attempt, url, patience)
    except ValueError:  # not JSON
        message = f'{shown(url)} did not answer with JSON; try again later, or give the file with --url'
        raise InputError(message) from None


def download(
    remote: Remote, folder: Path, *, patience: Patience | None = None, show_progress: bool = False
) -> Path:
    """Download a file, continuing an earlier incomplete download.

    Parameters
    ----------
    remote : Remote
    folder : pathlib.Path
        Folder of the file, and of its incomplete part.
    patience : Patience, optional
    show_progress : bool
        Whether to show a progress bar on terminals.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    InputError
        If the file cannot be downloaded, does not fit on the disk, or does not match the source's checksum or size.
    """
    import pooch

    pooch.get_logger().setLevel('ERROR')  # lower levels show the whole URL
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f'{remote.name}.part'

    def fetch(_: str, target: str, __: object) -> None:
        _download_part(remote, part, patience or Patience(), show_progress=show_progress)
        part.replace(target)

    try:
        with _alone(folder):
            found = pooch.retrieve(remote.url, remote.checksum, remote.name, folder, downloader=fetch)
    except ValueError as error:
        message = (
            f'{shown(remote.url)}: the checksum of the file differs from the one its source gives; '
            'the download was removed; try again, or name the file with --url if its source has a new version'
        )
        raise InputError(message) from error
    except OSError as error:
        message = f'{folder}: {error.strerror or error}; the downloaded part is kept'
        raise InputError(message) from error
    path = Path(found)
    if remote.size is not None and not remote.checksum and (size := path.stat().st_size) != remote.size:
        path.unlink()
        message = (
            f'{shown(remote.url)}: the file has {size} bytes instead of {remote.size}; the download was '
            'removed; try again, or name the file with --url if its source has a new version'
        )
        raise InputError(message)
    return path


def check_space(folder: Path, needed: int) -> None:
    """Raise an error if a download does not fit on the disk.

    Raises
    ------
    InputError
    """
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE_BYTES:
        message = (
            f'{folder}: {needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free; '
            'free some space, or choose another --output-dir'
        )
        raise InputError(message)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        with file_lock(folder / '.lock', wait=False):
            yield
    except BlockingIOError as error:
        message = f'another download into {folder} is running; wait until it has ended'
        raise InputError(message) from error


class _RetryError(Exception):
    """This attempt failed, but another may succeed."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def _repeat(
    attempt: Callable[[], Any], url: str, patience: Patience, position: Callable[[], int] = lambda: 0
) -> Any:
    """Call `attempt` until it succeeds; give up after several failures without progress."""
    failures = 0
    while True:
        before = position()
        try:
            return attempt()
        except _RetryError as error:
            failures = 1 if position() > before else failures + 1
            if failures >= patience.attempts:
                message = f'{shown(url)}: {error}; the downloaded part is kept, try again later'
                raise InputError(message) from None
            wait = patience.first_wait * 2 ** (failures - 1) if error.wait is None else error.wait
            time.sleep(min(wait, _LONGEST_WAIT))


@contextmanager
def _request(
    url: str, token: str | None, headers: dict[str, str], patience: Patience
) -> Iterator[requests.Response]:
    """Yield a valid response (or one that says that the requested range does not exist)."""
    import requests

    if token:
        headers = {**headers, 'Authorization': f'token {token}'}
    headers = {'Accept-Encoding': 'identity', **headers}  # do not unpack compressed files
    try:
        with requests.get(url, headers=headers, stream=True, timeout=patience.timeout) as response:
            _check_status(url, response)
            yield response
    except (
        requests.exceptions.ConnectionError,
        requests.exceptions.Timeout,
        requests.exceptions.ChunkedEncodingError,
    ) as error:
        reason = f'the connection failed or broke off ({type(error).__name__})'
        raise _RetryError(reason) from None
    except requests.exceptions.JSONDecodeError:
        raise
    except requests.exceptions.RequestException as error:  # its text may contain the token
        message = f'{shown(url)} cannot be requested ({type(error).__name__}); give another --url'
        raise InputError(message) from None


def _check_status(url: str, response: requests.Response) -> None:
    status = response.status_code
    if status in _BUSY:
        after = response.headers.get('Retry-After', '')
        reason = f'the server answers {status} ({response.reason})'
        raise _RetryError(reason, float(after) if after.isdigit() else None)
    problem = {
        401: 'the token is missing or invalid: give one with --api-key or in the environment',
        403: 'access refused: give a valid token with --api-key or in the environment',
        404: 'no such file: give its address with --url',
        410: 'the file no longer exists: give its address with --url',
    }.get(status)
    if problem or status not in (200, 206, 416):
        message = f'{shown(url)}: {problem or f"the server answers {status} ({response.reason})"}'
        raise InputError(message)


def _download_part(remote: Remote, part: Path, patience: Patience, *, show_progress: bool) -> None:
    """Complete a partial download, reconnecting as necessary."""
    validator = part.with_name(f'{part.name}.etag')
    part.touch()
    with part.open('r+b') as stream:
        stream.seek(0, os.SEEK_END)

        def attempt() -> None:
            there = stream.tell()
            headers = {'Range': f'bytes={there}-'} if there else {}
            if there and validator.is_file():  # if the file has changed, the server sends all of it
                headers['If-Range'] = validator.read_text()
            with _request(remote.url, remote.token, headers, patience) as response:
                if response.status_code == 416 and _content_range(response) == (None, there):
                    return
                _refuse_page(remote, response)
                total = _position_stream(remote, response, stream)
                _keep_validator(validator, response)
                check_space(part.parent, max((total or 0) - stream.tell(), 0))
                with counting(f'download {remote.name}', total, show=show_progress) as advance:
                    advance(stream.tell())
                    for chunk in response.iter_content(_CHUNK):
                        advance(stream.write(chunk))
            if total is not None and stream.tell() != total:
                if stream.tell() > total:
                    _restart(stream)
                reason = 'the length of the file differs from what the server says'
                raise _RetryError(reason)

        _repeat(attempt, remote.url, patience, stream.tell)
    validator.unlink(missing_ok=True)


def _position_stream(remote: Remote, response: requests.Response, stream: BinaryIO) -> int | None:
    """Position the stream where the response starts; return the size of the whole file, if known."""
    if response.status_code == 206:
        first, whole = _content_range(response)
        if first == stream.tell():
            return whole or remote.size
    if response.status_code != 200:
        _restart(stream)
        reason = 'the server sent a different part of the file than requested'
        raise _RetryError(reason)
    _restart(stream)
    length = response.headers.get('Content-Length', '')
    return int(length) if length.isdigit() else remote.size


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """Return where the response starts and the size of the whole file; None if unknown."""
    found = re.fullmatch(r'bytes (?:(\d+)-\d+|\*)/(\d+|\*)', response.headers.get('Content-Range', ''))
    first, whole = found.groups() if found else (None, None)
    return int(first) if first else None, int(whole) if whole and whole.isdigit() else None


def _restart(stream: BinaryIO) -> None:
    stream.seek(0)
    stream.truncate()


def _keep_validator(path: Path, response: requests.Response) -> None:
    tag = response.headers.get('ETag', '')
    if tag.startswith('"'):  # weak validators do not identify bytes
        path.write_text(tag)
    else:
        path.unlink(missing_ok=True)


def _refuse_page(remote: Remote, response: requests.Response) -> None:
    if response.headers.get('Content-Type', '').startswith('text/html'):
        message = (
            f'{shown(remote.url)} is a web page, not a file; open it in a browser and give the address of the file '
            'with --url'
        )
        raise InputError(message)
