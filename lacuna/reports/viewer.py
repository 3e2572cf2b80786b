"""One page with everything of a lesion in three dimensions, that needs nothing but a browser."""

from __future__ import annotations

import base64
import gzip
import html
import json
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.reports.figures import thinned
from lacuna.reports.frame import template_on_grid
from lacuna.reports.style import PERCENT
from lacuna.streamlines.tck import write_tck

#: vertices that the streamlines may have together: one that is 10 cm long has 41 of them
_MOST_VERTICES = 60_000


def viewer_page(
    title: str,
    space: str,
    *,
    mask: tuple[np.ndarray, np.ndarray] | None,
    percent: tuple[np.ndarray, np.ndarray] | None,
    streamlines: Sequence[np.ndarray] = (),
) -> str:
    """The page: template, mask, disconnection map and streamlines, to be rotated, sliced and switched off.

    Parameters
    ----------
    title : str
    space : str
        Standard space of everything.
    mask, percent : tuple of numpy.ndarray or None
        Voxels and affine.
    streamlines : sequence of numpy.ndarray
        Each (vertices, 3), world mm. Vertices are thinned to some millimetres.

    Returns
    -------
    str
        HTML.
    """
    volumes = [_volume('template', *template_on_grid(space), colormap='gray', low=0, high=255, opacity=1)]
    if percent is not None:
        halves = np.rint(np.asarray(percent[0], float) * 2)
        # what is there stays visible, however small
        halves[(halves == 0) & (percent[0] > 0)] = 1
        volumes.append(
            _volume('map', halves.astype(np.uint8), percent[1], slope=0.5, low=0.25, high=100,
                    colormap=PERCENT, opacity=0.8)
        )  # fmt: skip
    centre = [0.0, 0.0, 0.0]
    if mask is not None and mask[0].any():
        cropped, affine = _cropped(mask[0] > 0, mask[1])
        volumes.append(
            _volume('lesion', cropped.astype(np.uint8), affine, colormap='red', low=0.5, high=1, opacity=0.75)
        )
        middle = np.argwhere(mask[0]).mean(axis=0)
        centre = [round(float(value), 1) for value in mask[1][:3, :3] @ middle + mask[1][:3, 3]]
    lines, spacing = _light(streamlines)
    note = 'Left is left. Drag to rotate or move, scroll to slice or zoom. Streamlines are coloured by direction '
    note += f'(red: left-right, green: front-back, blue: up-down); {len(lines)} are shown.'
    if not lines:
        note = 'Left is left. Drag to rotate or move, scroll to slice or zoom. There is no sample of streamlines.'
    scene = {
        'volumes': volumes,
        'streamlines': _tck(lines) if lines else None,
        'spacing': spacing,
        'centre': centre,
        'azimuth': 110 if centre[0] < 0 else 250,
        'note': note,
    }
    files = resources.files('lacuna').joinpath('data')
    page, niivue, licence = (
        files.joinpath(name).read_text(encoding='utf-8')
        for name in ('viewer.html', 'niivue.umd.js', 'niivue.LICENSE')
    )
    # a '<' in JSON could end the script that it stands in
    data = json.dumps(scene, allow_nan=False).replace('<', '\\u003c')
    page = page.replace('@@TITLE@@', html.escape(title)).replace('@@SCENE@@', data)
    return page.replace('@@LICENCE@@', licence).replace('@@NIIVUE@@', niivue)


def _volume(
    key: str, data: np.ndarray, affine: np.ndarray, *, slope: float = 1.0, **shown: Any
) -> dict[str, Any]:
    """A NIfTI as text, and how to show it."""
    import nibabel as nb

    image = nb.Nifti1Image(data, affine)
    image.set_sform(affine, code=4)
    image.set_qform(None, code=0)
    image.header.set_slope_inter(slope, 0)
    header = image.header.copy()
    header['vox_offset'] = 352
    # nibabel would divide by the slope; the numbers are already the stored ones
    content = header.binaryblock + b'\0' * 4 + data.astype(header.get_data_dtype()).tobytes(order='F')
    packed = gzip.compress(content, 9, mtime=0)
    return {'key': key, 'data': base64.b64encode(packed).decode(), **shown}


def _cropped(mask: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of a mask around its voxels."""
    voxels = np.argwhere(mask)
    low = np.maximum(voxels.min(axis=0) - 1, 0)
    high = voxels.max(axis=0) + 2
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ low
    return mask[tuple(slice(first, last) for first, last in zip(low, high, strict=True))], moved


def _light(streamlines: Sequence[np.ndarray]) -> tuple[list[np.ndarray], float]:
    """Streamlines with few vertices, and how far these are apart."""
    spacing = 2.5
    while True:
        lines = [line for line in (thinned(one, spacing) for one in streamlines) if len(line) > 1]
        if sum(map(len, lines)) <= _MOST_VERTICES or spacing > 20:
            return lines, spacing
        spacing *= 1.5


def _tck(lines: Sequence[np.ndarray]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'sample.tck')
        write_tck(path, lines)
        return base64.b64encode(path.read_bytes()).decode()
