"""The server of ``lacuna explore``: one page and its questions, on the loopback, for who has its address only."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.errors import InputError, LacunaError, reason_of
from lacuna.explorer.session import Session
from lacuna.reports.figures.viewer import viewer_scripts
from lacuna.utils.files import data_text

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from lacuna.streamlines.lesion import Lesion

HOST = '127.0.0.1'
#: bytes of a mask file: a whole head in voxels of 0.5 mm, uncompressed
MOST_BYTES = 128 * 2**20
_DIGITS = 12
#: Nothing from other addresses; NiiVue has pictures and compiled code in its own script.
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self' data: blob:; font-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    'Content-Security-Policy': _POLICY,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Cache-Control': 'no-store',
}


class Guard:
    """Refuses every request that does not come from the page itself, or from who was given its address.

    Another web page in the same browser cannot know the token, and a name that is made to point at this machine
    (DNS rebinding) is not our host.

    Parameters
    ----------
    app : ASGI application
    token : str
        First part of every path.
    port : int
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app, self._token = app, token
        self._hosts = {f'{HOST}:{port}', f'localhost:{port}'}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it in one line."""
        from starlette.datastructures import Headers, MutableHeaders
        from starlette.responses import PlainTextResponse

        if scope['type'] != 'http':
            return
        headers = Headers(scope=scope)
        host, origin = headers.get('host', ''), headers.get('origin')
        asks = scope['method'] in ('GET', 'HEAD')
        answer: ASGIApp = self._app
        if host not in self._hosts:
            answer = PlainTextResponse('refused: another host\n', 403)
        elif origin != f'http://{host}' and not (asks and origin is None):
            answer = PlainTextResponse('refused: another origin\n', 403)
        elif not secrets.compare_digest(scope['path'].split('/')[1].encode(), self._token.encode()):
            answer = PlainTextResponse('not found\n', 404)

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message['type'] == 'http.response.start':
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await answer(scope, receive, send_with_headers)


def make_app(session: Session, token: str, port: int) -> Starlette:
    """Return the application.

    ======================  =====================================================================================
    path below the token    answer
    ======================  =====================================================================================
    (nothing)               the page; its scripts beside it
    ``about``               JSON, see `Session.about`
    ``answer`` (POST)       `frame` of `Session.describe`; the lesion is the body (a drawing from the voxel ``?first=``
                            on, or with ``?name=`` the content of a file), or with ``?row=`` a listed mask
    ``bundle/ROW``          `frame` of a sample of its streamlines
    ``save`` (POST)         the lesion as for ``answer``, ``?subject=`` and ``?label=``; JSON, see `Session.save`
    ======================  =====================================================================================

    Parameters
    ----------
    session : Session
    token : str
    port : int
    """
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.responses import JSONResponse, PlainTextResponse, Response
    from starlette.routing import Mount, Route

    scripts = {
        **viewer_scripts(session.space),
        **{name: data_text(name).encode() for name in ('brain.js', 'explore.js')},
    }
    tags = ''.join(f'<script src="{name}"></script>\n' for name in scripts)
    page = data_text('explore.html').replace('@@SCRIPTS@@', tags)

    def served(content: str | bytes, kind: str) -> Callable[[Request], Response]:
        return lambda _: Response(content, media_type=kind)

    async def about(_: Request) -> Response:
        return JSONResponse(await run_in_threadpool(session.about))

    async def lesion_of(request: Request) -> tuple[Lesion, int | None]:
        content = await body_of(request)
        asked = request.query_params
        if 'row' in asked:
            number = whole_number(asked['row'])
            return await run_in_threadpool(session.chosen, number), number
        if name := asked.get('name'):
            return await run_in_threadpool(session.dropped, name, content), None
        return await run_in_threadpool(session.drawn, content, whole_number(asked.get('first', '0'))), None

    async def answer(request: Request) -> Response:
        lesion, row = await lesion_of(request)
        numbers, arrays = await run_in_threadpool(session.describe, lesion)
        if {'row', 'name'} & set(request.query_params):  # the page has drawn all others itself
            arrays['mask'], numbers['middle'] = await run_in_threadpool(session.on_page, lesion)
        if row is not None:
            numbers['command'] = await run_in_threadpool(session.chosen_command, row)
        return Response(frame(numbers, arrays), media_type='application/octet-stream')

    async def bundle(request: Request) -> Response:
        arrays = await run_in_threadpool(session.bundle, request.path_params['row'])
        return Response(frame({}, arrays), media_type='application/octet-stream')

    async def save(request: Request) -> Response:
        lesion, _ = await lesion_of(request)
        subject, label = (request.query_params.get(key, '') for key in ('subject', 'label'))
        return JSONResponse(await run_in_threadpool(session.save, lesion, subject, label))

    async def refused(_: Request, error: Exception) -> Response:
        return PlainTextResponse(f'{reason_of(error)}\n', 422)

    async def unknown(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return PlainTextResponse(f'{HTTPStatus(status).phrase.lower()}\n', status)

    routes = [
        Route('/', served(page, 'text/html')),
        *(Route(f'/{name}', served(content, 'text/javascript')) for name, content in scripts.items()),
        Route('/about', about),
        Route('/answer', answer, methods=['POST']),
        Route('/bundle/{row:int}', bundle),
        Route('/save', save, methods=['POST']),
    ]
    return Starlette(
        routes=[Mount(f'/{token}', routes=routes)],
        middleware=[Middleware(Guard, token=token, port=port)],
        exception_handlers={
            LacunaError: refused,
            OSError: refused,  # of a full disk, say
            MemoryError: refused,
            HTTPException: unknown,
        },
    )


def whole_number(text: str) -> int:
    """A number that a page gives; -1 if it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < _DIGITS else -1


async def body_of(request: Request) -> bytes:
    """The body of a request.

    Raises
    ------
    lacuna.errors.InputError
        If it is larger than `MOST_BYTES` (the rest is not read), or ends before its end.
    """
    from starlette.requests import ClientDisconnect

    parts, size = [], int(request.headers.get('content-length', '0'))
    if size <= MOST_BYTES:
        size = 0
        try:
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > MOST_BYTES:
                    break
        except ClientDisconnect as error:
            message = 'the file broke off'
            raise InputError(message) from error
    if size > MOST_BYTES:
        message = f'the file is larger than {MOST_BYTES // 2**20} MB'
        raise InputError(message)
    return b''.join(parts)


def frame(content: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Numbers and arrays in one piece, which a page takes apart without a copy.

    The length of the JSON (uint32, little endian), the JSON (`content` and ``arrays``: name, type and length of each),
    and the arrays; each begins at a multiple of four bytes.

    >>> frame({'a': 1}, {'x': np.array([7], np.uint8)})[4:]
    b'{"a": 1, "arrays": [["x", "uint8", 1]]} \\x07\\x00\\x00\\x00'
    """
    about = [(name, array.dtype.name, array.size) for name, array in arrays.items()]
    text = json.dumps({**content, 'arrays': about}, allow_nan=False).encode()
    text += b' ' * (-len(text) % 4)
    parts = [len(text).to_bytes(4, 'little'), text]
    for array in arrays.values():
        parts += [array.tobytes(), bytes(-array.nbytes % 4)]
    return b''.join(parts)


def serve(session: Session, started: Callable[[str], object], *, port: int = 0) -> None:
    """Serve the page until Ctrl-C.

    Parameters
    ----------
    session : Session
    started : callable
        Is told the address, from where on the page can be opened.
    port : int
        0 for a free one.

    Raises
    ------
    lacuna.errors.InputError
        If the port is taken.
    """
    import uvicorn

    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except (OSError, OverflowError) as error:
            message = f'--port {port}: {getattr(error, "strerror", None) or error}'
            raise InputError(message) from error
        listening.listen()
        number, token = listening.getsockname()[1], secrets.token_urlsafe(24)
        address = f'http://{HOST}:{number}/{token}/'
        settings = uvicorn.Config(
            make_app(session, token, number),
            http='h11',
            ws='none',
            lifespan='off',
            access_log=False,
            log_level='error',
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        started(address)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(settings).run(sockets=[listening])
