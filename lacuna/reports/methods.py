"""The methods text of a run as HTML, with its references."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

_ENTRY = re.compile(r'@\w+\{(?P<key>[^,]+),(?P<fields>.*?)\n\}', re.DOTALL)
_FIELD = re.compile(r'^\s*(\w+)\s*=\s*\{(.*)\},?\s*$', re.MULTILINE)
_CITED = re.compile(r'\[(@[^\]]+)\]')


def newest_methods(root: Path) -> tuple[str, str] | None:
    """Return the methods text and bibliography of the newest run with one; None if there is none."""
    texts = sorted((root / 'logs').glob('*/CITATION.md'))
    if not texts:
        return None
    bibliography = texts[-1].with_name('CITATION.bib')
    references = bibliography.read_text(encoding='utf-8') if bibliography.is_file() else ''
    return texts[-1].read_text(encoding='utf-8'), references


def methods_html(text: str, bibliography: str) -> str:
    """Return the text as paragraphs with numbered citations, and the list of references.

    >>> print(methods_html('By *X* [@b].', '@article{b,\\n title = {T},\\n year = {2001}\\n}'))
    <p>By <em>X</em> [<a href="#ref-b">1</a>].</p>
    <ol class="references"><li id="ref-b">T. 2001.</li></ol>
    """
    works = {
        found['key'].strip(): dict(_FIELD.findall(found['fields'])) for found in _ENTRY.finditer(bibliography)
    }
    order: list[str] = []

    def cite(found: re.Match[str]) -> str:
        marks = []
        for key in re.findall(r'@([\w:-]+)', found[1]):
            if key not in order:
                order.append(key)
            marks.append(f'<a href="#ref-{key}">{order.index(key) + 1}</a>')
        return f'[{", ".join(marks)}]'

    body = _CITED.sub(cite, escape(text.strip(), quote=False))
    body = re.sub(r'\*(?=\S)(.+?)\*', r'<em>\1</em>', body)
    body = re.sub(r'`(.+?)`', r'<code>\1</code>', body)
    paragraphs = '\n'.join(f'<p>{part}</p>' for part in re.split(r'\n\s*\n', body))
    items = ''.join(f'<li id="ref-{key}">{_reference(works.get(key, {}), key)}</li>' for key in order)
    return f'{paragraphs}\n<ol class="references">{items}</ol>' if items else paragraphs


def _reference(work: dict[str, str], key: str) -> str:
    if not work:
        return escape(key)
    parts = [work.get(name, '') for name in ('author', 'title', 'journal', 'year')]
    authors = parts[0].split(' and ')
    parts[0] = f'{authors[0]} and others' if len(authors) > 3 else ', '.join(filter(None, authors))
    text = '. '.join(re.sub(r'[{}]', '', part) for part in parts if part)
    doi = work.get('doi')
    return f'{escape(text)}.' + (f' <span class="soft">doi: {escape(doi)}</span>' if doi else '')
