"""The server of ``lacuna explore``: local only, and only for those who know its address."""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from lacuna.errors import InputError, LacunaError, reason_of
from lacuna.explorer.cohort import Cohort
from lacuna.explorer.pages import POLICY, cohort_routes, lesion_routes
from lacuna.explorer.session import Session

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

_LOG = logging.getLogger(__name__)
HOST = '127.0.0.1'
#: first part of the addresses of result folders
RESULTS = 'results'
_HEADERS = {
    'Content-Security-Policy': POLICY + "'none'",
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Cache-Control': 'no-store',
}


class Guard:
    """Refuse requests that come neither from the page itself nor from someone who was given its address.

    Other web pages in the same browser do not know the token, and names that resolve to this machine (DNS rebinding)
    are not our host.

    Parameters
    ----------
    app : ASGI application
    token : str
        Secret first part of every path.
    port : int
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app, self._token = app, token
        self._hosts = {f'{HOST}:{port}', f'localhost:{port}'}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer with one line."""
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
                given = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    given.setdefault(name, value)
            await send(message)

        await answer(scope, receive, send_with_headers)


def make_app(
    token: str, port: int, session: Session | None, cohorts: Sequence[Cohort] = (), *, within: str = "'none'"
) -> Starlette:
    """Create the application.

    =======================  ============================================================
    path below the token     answer
    =======================  ============================================================
    (nothing)                the page for drawing lesions, see `lesion_routes`; without a
                             session, that of the first folder
    ``results/ROW/``         the pages of a folder of results, see `cohort_routes`
    =======================  ============================================================

    Parameters
    ----------
    token : str
    port : int
    session : Session or None
    cohorts : sequence of Cohort
    within : str
        Other pages that may embed the page in a frame, in the syntax of a content security policy.
    """
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse, RedirectResponse
    from starlette.routing import Mount, Route

    async def refused(_: Request, error: Exception) -> Response:
        return PlainTextResponse(f'{reason_of(error)}\n', 422)

    async def unknown(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return PlainTextResponse(f'{HTTPStatus(status).phrase.lower()}\n', status)

    async def broken(_: Request, error: Exception) -> Response:
        _LOG.error('an answer failed', exc_info=error)
        return PlainTextResponse('internal server error\n', 500)

    groups = [(cohort.root.name, f'{RESULTS}/{row}/') for row, cohort in enumerate(cohorts)]
    routes: list[BaseRoute] = [
        Mount(f'/{RESULTS}/{row}', routes=cohort_routes(each)) for row, each in enumerate(cohorts)
    ]
    if session:
        routes += lesion_routes(session, groups, within=within)
    else:
        routes.append(Route('/', lambda _: RedirectResponse(groups[0][1])))
    return Starlette(
        routes=[Mount(f'/{token}', routes=routes)],
        middleware=[Middleware(Guard, token=token, port=port)],
        exception_handlers={
            LacunaError: refused,
            OSError: refused,  # for example, of a full disk
            MemoryError: refused,
            HTTPException: unknown,
            Exception: broken,
        },
    )


@contextmanager
def prepared(
    session: Session | None, cohorts: Sequence[Cohort] = (), *, port: int = 0, within: str = "'none'"
) -> Iterator[tuple[uvicorn.Server, socket.socket, str]]:
    """Yield a server that is not running yet, its socket, and the address of its first page.

    Parameters
    ----------
    session, cohorts, within
        See `make_app`.
    port : int
        Port; 0 for a free one.

    Raises
    ------
    lacuna.errors.InputError
        If the port is in use.
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
        settings = uvicorn.Config(
            make_app(token, number, session, cohorts, within=within),
            http='h11',
            ws='none',
            lifespan='off',
            access_log=False,
            log_level='critical',  # what breaks is logged above; that it breaks off after Ctrl-C is no error
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        try:
            yield uvicorn.Server(settings), listening, f'http://{HOST}:{number}/{token}/'
        finally:
            for cohort in cohorts:
                cohort.close()


def serve(
    session: Session | None,
    started: Callable[[str], object],
    *,
    cohorts: Sequence[Cohort] = (),
    port: int = 0,
) -> None:
    """Serve the pages until Ctrl-C.

    Parameters
    ----------
    session, cohorts
        See `make_app`.
    started : callable
        Called with the address when the page can be opened.
    port : int
        Port; 0 for a free one.

    Raises
    ------
    lacuna.errors.InputError
        If the port is in use.
    """
    with prepared(session, cohorts, port=port) as (server, listening, address):
        started(address)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listening])
