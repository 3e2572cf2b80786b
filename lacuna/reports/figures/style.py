"""The style of all figures, and functions that save them as reproducible files."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: colour map of percentages: perceptually uniform, and safe for red-green colour blindness
PERCENT = 'plasma'
#: categorical colours of Okabe and Ito
LESION = '#d55e00'
LEFT = '#0072b2'
RIGHT = '#e69f00'
MIDDLE = '#7a7a7a'
NETWORKS = (
    '#785ef0', '#0072b2', '#009e73', '#cc79a7', '#b8b000', '#e69f00', '#d55e00', '#56b4e9', '#7a7a7a', '#000000',
)  # fmt: skip
INK = '#222222'
FAINT = '#8a8a8a'

_SETTINGS: dict[str, Any] = {
    'font.family': 'DejaVu Sans',  # ships with matplotlib, so that figures are the same on every machine
    'font.size': 9,
    'axes.titlesize': 10,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.edgecolor': FAINT,
    'axes.labelcolor': INK,
    'text.color': INK,
    'xtick.color': INK,
    'ytick.color': INK,
    'hatch.linewidth': 0.5,
    'svg.hashsalt': 'lacuna',
    'figure.facecolor': 'white',
    'savefig.facecolor': 'white',
}
_DPI = 120
#: step between shades of a colour channel: 52 shades look like 256 and take half the bytes
_SHADE = 5
_DECIMALS = re.compile(r'(\.\d\d)\d+')
#: if most percentages are below this, they are drawn on a scale of their own too
_SMALL = 40.0


@contextmanager
def drawing() -> Iterator[None]:
    """Use matplotlib's defaults with Lacuna's settings in the block, whatever the user's settings."""
    import matplotlib as mpl

    keep = {'backend', 'backend_fallback'}
    defaults = {key: value for key, value in mpl.rcParamsDefault.items() if key not in keep}
    with mpl.rc_context({**defaults, **_SETTINGS}):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Create a figure (size in inches) that is not registered with pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def png_bytes(figure: Figure) -> bytes:
    """Return a figure as opaque PNG, with as many shades as are visible."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=_DPI, pil_kwargs={'compress_level': 1})
    colours = np.asarray(Image.open(buffer).convert('RGB'))
    shades = (np.rint(colours / _SHADE) * _SHADE).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(shades).save(buffer, 'PNG', compress_level=9)
    return buffer.getvalue()


def svg_bytes(figure: Figure) -> bytes:
    """Return a figure as SVG without date, header and fixed size; paths are rounded to a hundredth of a point.

    nireports would remove the same parts in place; here, finished files stay unchanged.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format='svg', metadata={'Date': None, 'Creator': None})
    text = buffer.getvalue()
    head, body = text[text.index('<svg') :].split('>', 1)
    head = re.sub(r' (height|width)="[0-9.]+[a-z]*"', '', head)
    body = re.sub(r' d="[^"]*"', lambda path: _DECIMALS.sub(r'\1', path[0]), body)
    return '\n'.join(f'{head}>{body}'.splitlines()).encode()


def own_scale(percent: np.ndarray) -> float | None:
    """Return the upper end of a colour scale for small values; None if the scale to 100 is sufficient.

    >>> own_scale(np.array([0.0, 1.0, 2.0, 4.0])), own_scale(np.array([90.0, 100.0]))
    (4.0, None)
    """
    affected = percent[percent > 0]
    if not affected.size or (upper := float(np.percentile(affected, 95))) >= _SMALL:
        return None
    steps = [scale * power for power in (0.01, 0.1, 1.0, 10.0) for scale in (1.0, 2.0, 4.0, 5.0)]
    return next((step for step in steps if step >= upper), None)
