"""The pages of ``lacuna explore``, and the routes that answer their requests."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.errors import InputError
from lacuna.explorer.cohort import Cohort
from lacuna.explorer.session import Session
from lacuna.reports.figures.viewer import viewer_scripts
from lacuna.reports.group import AT_A_PLACE
from lacuna.utils.files import data_text

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from lacuna.streamlines.lesion import Lesion

#: maximum size of a mask file in bytes: a whole head at 0.5 mm, uncompressed
MOST_BYTES = 128 * 2**20
_DIGITS = 12
#: nothing from other addresses; NiiVue's script contains its pictures and compiled code
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self' data: blob:; font-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors "
)
#: file types of reports
_SHOWN = ('.html', '.svg', '.png', '.js')
#: reports may come from anyone: they are treated as of another origin, and cannot make requests here
_REPORTS_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src 'self' data: blob:; connect-src data: blob:; font-src data:; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)


def lesion_routes(
    session: Session, groups: Sequence[tuple[str, str]] = (), *, within: str = "'none'"
) -> list[BaseRoute]:
    """Return the routes of the page for drawing lesions.

    ======================  =====================================================================================
    path                    answer
    ======================  =====================================================================================
    (nothing)               the page, with its scripts beside it
    ``about``               JSON, see `Session.about`, and ``groups``
    ``answer`` (POST)       `frame` of `Session.describe`; the lesion is the body (a drawing from the voxel ``?first=``
                            on, or with ``?name=`` the content of a file), or with ``?row=`` a listed mask
    ``bundle/ROW``          `frame` of a sample of its streamlines
    ``save`` (POST)         the lesion as for ``answer``, ``?subject=`` and ``?label=``; JSON, see `Session.save`
    ======================  =====================================================================================

    Parameters
    ----------
    session : Session
    groups : sequence of (str, str)
        Names and addresses of the pages of result folders.
    within : str
        Pages that may embed this one in a frame.
    """
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def about(_: Request) -> Response:
        return JSONResponse({**await run_in_threadpool(session.about), 'groups': groups})

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
        if {'row', 'name'} & set(request.query_params):  # otherwise the page drew it itself
            arrays['mask'], numbers['middle'] = await run_in_threadpool(session.on_page, lesion)
        if row is not None:
            numbers['command'] = await run_in_threadpool(session.chosen_command, row)
        return framed(numbers, arrays)

    async def bundle(request: Request) -> Response:
        arrays = await run_in_threadpool(session.bundle, request.path_params['row'])
        return framed({}, arrays)

    async def save(request: Request) -> Response:
        lesion, _ = await lesion_of(request)
        subject, label = (request.query_params.get(key, '') for key in ('subject', 'label'))
        return JSONResponse(await run_in_threadpool(session.save, lesion, subject, label))

    return [
        *_page_routes('explore', session.space, within=within),
        Route('/about', about),
        Route('/answer', answer, methods=['POST']),
        Route('/bundle/{row:int}', bundle),
        Route('/save', save, methods=['POST']),
    ]


def cohort_routes(cohort: Cohort) -> list[BaseRoute]:
    """Return the routes of a folder of results: its ``group.html``, and a page for queries of places.

    ==========================  =================================================================================
    path                        answer
    ==========================  =================================================================================
    (nothing), ``group.html``   the page of all lesions, with the page of places in it, or the latter alone
    ``lesions/``                the page of places, with its scripts beside it
    ``lesions/progress``        JSON, see `Cohort.progress`
    ``lesions/about``           JSON, see `Cohort.about`, once all lesions are read
    ``lesions/sums``            `frame` of `Cohort.sums`
    ``lesions/at``              JSON, see `Cohort.at`; the voxel is ``?x=``, ``?y=`` and ``?z=``
    ``lesions/one/ROW``         `frame` of `Cohort.one`
    any other                   a file of a report in the folder
    ==========================  =================================================================================
    """
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    class Reports(StaticFiles):
        async def get_response(self, path: str, scope: Any) -> Response:
            if Path(path).suffix not in _SHOWN:
                raise HTTPException(404)
            response = await super().get_response(path, scope)
            # sandboxed pages may only load files that allow it
            response.headers.update(
                {'Content-Security-Policy': _REPORTS_POLICY, 'Cross-Origin-Resource-Policy': 'cross-origin'}
            )
            return response

    async def group(_: Request) -> Response:
        page = cohort.root / 'group.html'
        if not page.is_file():
            return RedirectResponse('lesions/')
        text = await run_in_threadpool(page.read_text, encoding='utf-8')
        here = '<iframe src="lesions/" title="the lesions at a place"></iframe>'
        text = (
            text.replace(AT_A_PLACE, here)
            if AT_A_PLACE in text
            else text.replace('</main>', f'{here}</main>')
        )
        return HTMLResponse(text, headers={'Content-Security-Policy': group_policy()})

    async def about(_: Request) -> Response:
        return JSONResponse(await run_in_threadpool(cohort.about))

    async def progress(_: Request) -> Response:
        return JSONResponse(cohort.progress)

    async def sums(_: Request) -> Response:
        return framed({}, await run_in_threadpool(lambda: cohort.sums))

    async def at(request: Request) -> Response:
        voxel = (whole_number(request.query_params.get(axis, '')) for axis in 'xyz')
        return JSONResponse(await run_in_threadpool(cohort.at, *voxel))

    async def one(request: Request) -> Response:
        arrays, middle = await run_in_threadpool(cohort.one, request.path_params['row'])
        return framed({'middle': middle}, arrays)

    asked = [
        *_page_routes('lesions', cohort.space, within="'self'"),
        Route('/progress', progress),
        Route('/about', about),
        Route('/sums', sums),
        Route('/at', at),
        Route('/one/{row:int}', one),
    ]
    return [
        Route('/', group),
        Route('/group.html', group),
        Mount('/lesions', routes=asked),
        Mount('/', Reports(directory=cohort.root)),
    ]


def group_policy() -> str:
    """Return a policy for a ``group.html`` that allows only the script written by Lacuna."""
    digest = hashlib.sha256(f'\n{data_text("group.js")}'.encode()).digest()
    return (
        f"default-src 'none'; script-src 'sha256-{base64.b64encode(digest).decode()}'; style-src 'unsafe-inline'; "
        "img-src data:; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _page_routes(name: str, space: str, *, within: str) -> list[BaseRoute]:
    """Return the routes of a page and its scripts; `within` are the pages that may embed it in a frame."""
    from starlette.responses import Response
    from starlette.routing import Route

    def served(content: str | bytes, kind: str) -> Callable[[Request], Response]:
        return lambda _: Response(
            content, media_type=kind, headers={'Content-Security-Policy': POLICY + within}
        )

    own = {each: data_text(each).encode() for each in ('brain.js', f'{name}.js')}
    scripts = {**viewer_scripts(space), **own}
    tags = ''.join(f'<script src="{each}"></script>\n' for each in scripts)
    page = data_text(f'{name}.html').replace('@@SCRIPTS@@', tags)
    return [
        Route('/', served(page, 'text/html')),
        Route('/explore.css', served(data_text('explore.css'), 'text/css')),
        *(Route(f'/{each}', served(content, 'text/javascript')) for each, content in scripts.items()),
    ]


def framed(content: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Response:
    """Return a response with a `frame`."""
    from starlette.responses import Response

    return Response(frame(content, arrays), media_type='application/octet-stream')


def whole_number(text: str) -> int:
    """Parse a number in a request; -1 if it is invalid."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < _DIGITS else -1


async def body_of(request: Request) -> bytes:
    """Read the body of a request.

    Raises
    ------
    lacuna.errors.InputError
        If it is larger than `MOST_BYTES` (the rest is not read), or incomplete.
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
    """Pack numbers and arrays into one message, which a page reads without copying.

    It has the length of the JSON (uint32, little endian), the JSON (`content`, and ``arrays`` with name, type and
    length of each), and the arrays, aligned to four bytes.

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
