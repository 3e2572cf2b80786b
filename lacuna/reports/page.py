"""Self-contained HTML pages: their parts and frame, and how to recognise them."""

from __future__ import annotations

import base64
import re
from html import escape
from pathlib import Path

from lacuna.errors import InputError
from lacuna.utils.files import data_text

#: bytes within which the title of a page by Lacuna occurs
_HEAD = 1000


def section(title: str, body: str) -> str:
    """Return a section of a page with a heading.

    >>> section('Who is in', '<p>a</p>')
    '<section id="Who-is-in"><h2>Who is in</h2><p>a</p></section>'
    """
    name = re.sub(r'[^\w]+', '-', title).strip('-')
    return f'<section id="{name}"><h2>{escape(title)}</h2>{body}</section>'


def picture(title: str, caption: str, content: bytes) -> str:
    """Return a picture (PNG or SVG) with a caption (HTML) above it."""
    kind = 'png' if content.startswith(b'\x89PNG') else 'svg+xml'
    data = base64.b64encode(content).decode()
    return (
        f'<p class="caption">{caption}</p>'
        f'<div class="reportlet"><img alt="{escape(title, quote=True)}" src="data:image/{kind};base64,{data}"></div>'
    )


def whole_page(title: str, body: str) -> str:
    """Return a complete page with links to its sections; tables of class ``sortable`` can be sorted."""
    name = escape(title)
    sections = dict(re.findall(r'<section id="(.*?)"><h2>(.*?)</h2>', body))
    links = ''.join(f'<a href="#{anchor}">{text}</a>' for anchor, text in sections.items())
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'{_title(title)}<link rel="icon" href="data:,"><style>{data_text("report.css")}</style></head>'
        f'<body><nav><strong>{name}</strong>{links}</nav><main><h1>{name}</h1>{body}</main>'
        f'<script>\n{data_text("group.js")}</script></body></html>\n'
    )


def _title(title: str) -> str:
    return f'<title>{escape(title)}</title>'


def keep_others(path: Path, title: str) -> None:
    """Raise an error if a file exists that is not a page with this title.

    Raises
    ------
    InputError
    """
    if not path.exists():
        return
    with path.open('rb') as stream:
        if _title(title).encode() not in stream.read(_HEAD):
            message = (
                f'{path} was not written by Lacuna and is kept; rename or move it to get the page {path.name}'
            )
            raise InputError(message)
