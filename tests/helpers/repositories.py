"""A server on the loopback that answers as Figshare and OSF do, and breaks as servers do."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lacuna.datasets.sources import connectomes


class Site:
    """What the server holds, and how it answers: each request for a path takes the next of its answers."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, list[str]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.etag = '"one"'
        self.address = ''

    def add(self, path, content, *answers):
        self.files[path] = content
        self.answers[path] = list(answers)
        return f'{self.address}{path}'

    def asked(self, path):
        return [headers for asked, headers in self.requests if asked.partition('?')[0] == path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def end_headers(self):
        # said, not only done: else who asks again over the same connection may find it closed
        self.send_header('Connection', 'close')
        super().end_headers()

    def do_GET(self):
        site: Site = self.server.site
        site.requests.append((self.path, dict(self.headers)))
        path = self.path.partition('?')[0]
        content = site.files.get(self.path, site.files.get(path))
        answers = site.answers.get(path) or ['whole']
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if content is None:
            return self.reply(404, b'')
        if answer.isdigit():
            return self.reply(int(answer), b'', {'Retry-After': '0'})
        if answer.startswith('to '):
            return self.reply(302, b'', {'Location': answer[3:]})
        if answer == 'page':
            return self.reply(200, b'<html>', {'Content-Type': 'text/html; charset=utf-8'})
        first, status, headers = 0, 200, {'ETag': site.etag}
        asked = self.headers.get('Range')
        same = self.headers.get('If-Range', site.etag) == site.etag
        if asked and same and answer != 'no ranges':
            first = int(asked.removeprefix('bytes=').rstrip('-'))
            if first >= len(content):
                return self.reply(416, b'', {'Content-Range': f'bytes */{len(content)}'})
            status = 206
            headers['Content-Range'] = f'bytes {first}-{len(content) - 1}/{len(content)}'
        rest = content[first:]
        if answer == 'slow':
            time.sleep(0.3)
        if answer == 'hang':
            self.connection.recv(1)  # until whoever asked has gone
            return None
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if answer != 'no length':
            self.send_header('Content-Length', str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: len(rest) // 2] if answer == 'breaks' else rest)
        return None

    def reply(self, status, body, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve():
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.daemon_threads = True
    server.site = Site()
    server.site.address = f'http://127.0.0.1:{server.server_port}'
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01}, daemon=True)
    thread.start()
    return server


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def figshare(site, content, *answers, name='dTOR.tck', checksum=None):
    """What the API of Figshare says of an article with a readme and one file; returns the addresses of both APIs."""
    known = connectomes()['dtor985']
    files = [
        {
            'id': 1,
            'name': 'readme.txt',
            'size': 3,
            'download_url': f'{site.address}/readme',
            'computed_md5': 'x',
        },
        {
            'id': int(known.file),
            'name': name,
            'size': len(content),
            'download_url': site.add('/ndownloader/1', content, *answers),
            'computed_md5': checksum or md5(content),
        },
    ]
    site.add(f'/figshare/articles/{known.record}/files', json.dumps(files).encode())
    return apis(site)


def apis(site):
    return {'figshare': f'{site.address}/figshare', 'osf': f'{site.address}/osf'}


def osf_project(site, files, *, node='yz9mb', children=None, page=2, hashes=True):
    """What the API of OSF says of a project: files by their paths, and its components; returns the addresses.

    Parameters
    ----------
    files : dict
        Content by path; a path with a slash lies in a folder.
    children : dict, optional
        Files of each component, by its id.
    page : int
        Entries on a page.
    """
    root = f'{site.address}/osf/nodes/{node}'
    storages = [_storage(f'{root}/files/{name}/', name) for name in ('dropbox', 'osfstorage')]
    _pages(site, f'/osf/nodes/{node}/files/', storages, page)
    tree = {'': []}
    for path, content in files.items():
        folder, _, name = path.rpartition('/')
        if folder not in tree:
            tree[folder] = []
            tree[''].append(_folder(f'{root}/files/osfstorage/{folder}/', folder))
        tree[folder].append(_file(site, f'{node}{len(site.files):03d}', name, content, hashes=hashes))
    for folder, entries in tree.items():
        _pages(site, f'/osf/nodes/{node}/files/osfstorage/{folder}{"/" if folder else ""}', entries, page)
    components = [{'type': 'nodes', 'id': child, 'attributes': {'title': child}} for child in children or {}]
    _pages(site, f'/osf/nodes/{node}/children/', components, page)
    for child, inside in (children or {}).items():
        osf_project(site, inside, node=child, page=page, hashes=hashes)
    return apis(site)


def _pages(site, path, entries, size):
    """A list in pages, each of which names the next."""
    for first in range(0, max(len(entries), 1), size):
        number = first // size + 1
        further = f'{site.address}{path}?page={number + 1}' if first + size < len(entries) else None
        answer = {
            'data': entries[first : first + size],
            'links': {'next': further, 'meta': {'total': len(entries)}},
        }
        site.add(path if number == 1 else f'{path}?page={number}', json.dumps(answer).encode())


def _storage(address, name):
    return _folder(address, name) | {
        'attributes': {'kind': 'folder', 'name': name, 'provider': name, 'path': '/'}
    }


def _folder(address, name):
    return {
        'type': 'files',
        'id': name,
        'attributes': {'kind': 'folder', 'name': name, 'provider': 'osfstorage'},
        'relationships': {'files': {'links': {'related': {'href': address, 'meta': {}}}}},
        'links': {},
    }


def _file(site, record, name, content, *, hashes):
    found = {'md5': md5(content), 'sha256': hashlib.sha256(content).hexdigest()} if hashes else {}
    return {
        'type': 'files',
        'id': record,
        'attributes': {
            'kind': 'file',
            'name': name,
            'provider': 'osfstorage',
            'size': len(content),
            'guid': None,
            'extra': {'hashes': {'md5': None, 'sha256': None} | found},
        },
        'links': {'download': site.add(f'/download/{record}/', content)},
    }


def archive(kind, members):
    """Bytes of an archive; a member whose content is text is a symbolic link to it."""
    stream = io.BytesIO()
    if kind == 'zip':
        with zipfile.ZipFile(stream, 'w') as packed:
            for name, content in members.items():
                packed.writestr(name, content)
    else:
        with tarfile.open(fileobj=stream, mode='w:gz') as packed:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                if isinstance(content, str):
                    info.type, info.linkname = tarfile.SYMTYPE, content
                    packed.addfile(info)
                else:
                    info.size = len(content)
                    packed.addfile(info, io.BytesIO(content))
    return stream.getvalue()
