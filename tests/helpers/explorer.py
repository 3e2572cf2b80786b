"""A running ``lacuna explore``, for the tests of its pages."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from urllib.parse import urlencode, urlsplit

import numpy as np
import psutil

from helpers.waiting import HANGS


class Explorer:
    """A running ``lacuna explore``."""

    def __init__(self, *arguments, scratch):
        self.scratch = scratch
        self.process = subprocess.Popen(
            [
                sys.executable,
                '-m',
                'lacuna',
                'explore',
                *map(str, arguments),
                '--no-browser',
                '--nprocs',
                '1',
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, 'TMPDIR': str(scratch)},
        )
        self.address = self.process.stdout.readline().strip()
        assert self.address, self.process.stderr.read()
        assert 'Ctrl-C' in self.process.stdout.readline()
        self.host = urlsplit(self.address).netloc
        self.path = urlsplit(self.address).path

    def ask(self, path='', body=None, *, method=None, headers=None, root=None):
        """Status and content of an answer; by default as the page asks."""
        connection = http.client.HTTPConnection(self.host, timeout=HANGS)
        method = method or ('GET' if body is None else 'POST')
        sent = {'Origin': f'http://{self.host}'} if method == 'POST' else {}
        try:
            connection.request(method, (root or self.path) + path, body, {**sent, **(headers or {})})
            with connection.getresponse() as response:
                return response.status, response.read()
        finally:
            connection.close()

    def answer(self, body=b'', **parameters):
        status, content = self.ask(f'answer?{urlencode(parameters)}' if parameters else 'answer', body)
        assert status == 200, content
        return unframed(content)

    def end(self):
        """Ctrl-C; returns exit code and what was said. No process is left, and no file."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=HANGS)
        assert not psutil.wait_procs(children, timeout=HANGS)[1]
        assert [path for path in self.scratch.rglob('*') if path.is_file()] == []
        return self.process.returncode, *said


def unframed(content: bytes) -> dict:
    size = int.from_bytes(content[:4], 'little')
    about = json.loads(content[4 : 4 + size])
    start = 4 + size
    for name, kind, length in about.pop('arrays'):
        about[name] = np.frombuffer(content, kind, length, start)
        start += -(-about[name].nbytes // 4) * 4
    assert start == len(content)
    return about
