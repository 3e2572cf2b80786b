"""Formulas as pictures in the page (SVG, by ziamath): alike in every browser, without a network and without LaTeX."""

from html import escape

import ziafont
import ziamath
from docutils import nodes

#: px; letters then have the height of those of the text
_SIZE = 18


def setup(app):
    """Register the renderer; chosen by ``html_math_renderer = 'svg'``."""
    app.add_html_math_renderer('svg', inline_renderers=(_inline, None), block_renderers=(_block, None))
    ziafont.config.svg2 = False  # formulas of a page share no parts
    return {'version': '1', 'parallel_read_safe': True, 'parallel_write_safe': True}


def _inline(translator, node):
    translator.body.append(_svg(node.astext(), inline=True))
    raise nodes.SkipNode


def _block(translator, node):
    picture = _svg(node.astext(), inline=False)
    translator.body.append(f'<p style="overflow-x: auto; text-align: center">{picture}</p>\n')
    raise nodes.SkipNode


def _svg(tex, *, inline):
    """The picture on the baseline of the text; those who do not see it get the source."""
    formula = ziamath.Latex(tex, size=_SIZE, color='currentColor', inline=inline)
    attributes = f'role="img" aria-label="{escape(tex)}" style="vertical-align: {formula.getyofst():.2f}px"'
    return formula.svg().replace('<svg', f'<svg {attributes}', 1)
