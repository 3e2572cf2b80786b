"""The 3D viewer of a lesion, and the scripts shared by all pages of a folder.

The scripts are not modules, because browsers load neither modules nor data for pages opened from disk.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from lacuna.reports.figures.frame import template_on_grid
from lacuna.reports.figures.style import PERCENT
from lacuna.utils.files import data_text

#: folder of the scripts, below the output folder
SCRIPTS = 'assets'
#: with its version in the name, because later runs may use another
_NIIVUE = 'niivue-0.69.0.js'


@dataclass(frozen=True)
class ShownBundle:
    """A bundle in the viewer.

    Attributes
    ----------
    name : str
    percent : float
        Percentage of its streamlines that are cut.
    rows : numpy.ndarray
        Indices of its streamlines among those shown, from 0.
    """

    name: str
    percent: float
    rows: np.ndarray


@cache
def viewer_scripts(space: str) -> dict[str, bytes]:
    """Return the files shared by all viewers of a space, by name: NiiVue and the template.

    The name of the template includes its checksum, because machines with and without TemplateFlow have different ones.
    """
    files = resources.files('lacuna').joinpath('data')
    niivue, licence = (files.joinpath(name).read_bytes() for name in ('niivue.umd.js', 'niivue.LICENSE'))
    template = nifti_text(*template_on_grid(space))
    digest = hashlib.sha256(template.encode()).hexdigest()[:8]
    return {
        _NIIVUE: b'/*\n' + licence + b'*/\n' + niivue,
        f'template-{space}-{digest}.js': f"window.lacunaTemplate = '{template}';\n".encode(),
    }


def viewer_page(
    title: str,
    space: str,
    *,
    mask: tuple[np.ndarray, np.ndarray] | None,
    percent: tuple[np.ndarray, np.ndarray] | None,
    unsupported: np.ndarray | None = None,
    streamlines: Sequence[np.ndarray] = (),
    bundles: Sequence[ShownBundle] = (),
) -> str:
    """Return the page with template, mask, disconnection map and streamlines, to rotate, slice and toggle.

    It belongs in ``sub-<label>/figures``, and the `viewer_scripts` in `SCRIPTS`, two folders up.

    Parameters
    ----------
    title : str
    space : str
        Standard space of all data.
    mask, percent : tuple of numpy.ndarray or None
        Voxels and affine.
    unsupported : numpy.ndarray, optional
        Where too few streamlines support a percentage, on the grid of `percent`; the page can hide it.
    streamlines : sequence of numpy.ndarray
        Each (vertices, 3), world mm.
    bundles : sequence of ShownBundle
        Bundles of the streamlines.

    Returns
    -------
    str
        HTML.
    """
    volumes: list[dict[str, Any]] = [
        {'key': 'template', 'data': None, 'colormap': 'gray', 'low': 0, 'high': 255, 'opacity': 1}
    ]
    if percent is not None:
        volumes.append(
            _volume('map', percent_halves(percent[0]), percent[1], slope=0.5, low=0.25, high=100,
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
    packed = _packed(streamlines)
    note = 'Left is on the left. Drag to rotate or to move the crosshair, scroll to change the slice or to zoom. '
    if packed:
        note += 'Streamlines are coloured by direction (red: left-right, green: front-back, blue: up-down); '
        note += f'{len(streamlines)} are shown.'
    else:
        note += 'No sample of streamlines to show.'
    hidden = None
    if percent is not None and unsupported is not None and unsupported.any():
        hidden = nifti_text(unsupported.astype(np.uint8), percent[1])
        note += ' "supported only" hides voxels of too few streamlines to support a percentage.'
    lines = np.array([len(line) > 1 for line in streamlines], bool)
    scene = {
        'volumes': volumes,
        'unsupported': hidden,
        'streamlines': packed,
        'bundles': [_shown(bundle, lines) for bundle in bundles] if packed else [],
        'centre': centre,
        'azimuth': 110 if centre[0] < 0 else 250,
        'note': note,
    }
    page = data_text('viewer.html')
    scripts = ''.join(f'<script src="../../{SCRIPTS}/{name}"></script>\n' for name in viewer_scripts(space))
    # '<' in JSON could end the enclosing script element
    data = json.dumps(scene, allow_nan=False).replace('<', '\\u003c')
    return (
        page.replace('@@SCRIPTS@@', scripts)
        .replace('@@TITLE@@', html.escape(title))
        .replace('@@SCENE@@', data)
    )


def percent_halves(percent: np.ndarray) -> np.ndarray:
    """Encode percentages in steps of one half as uint8; small values stay above 0, and NaN is 0.

    >>> percent_halves(np.array([0, 0.1, 49.9, 100, np.nan]))
    array([  0,   1, 100, 200,   0], dtype=uint8)
    """
    halves = np.rint(percent * 2)
    return np.fmax(halves, percent > 0).astype(np.uint8)


def _shown(bundle: ShownBundle, lines: np.ndarray) -> dict[str, Any]:
    """Return a bundle for the page; streamlines of one vertex are left out, because they cannot be drawn."""
    import matplotlib as mpl

    place = np.cumsum(lines) - 1
    colour = mpl.colormaps[PERCENT](bundle.percent / 100)
    return {
        'name': bundle.name,
        'percent': round(bundle.percent, 1),
        'rows': place[bundle.rows[lines[bundle.rows]]].tolist(),
        'colour': [round(255 * part) for part in colour],
    }


def _volume(
    key: str, data: np.ndarray, affine: np.ndarray, *, slope: float = 1.0, **shown: Any
) -> dict[str, Any]:
    return {'key': key, 'data': nifti_text(data, affine, slope), **shown}


def nifti_text(data: np.ndarray, affine: np.ndarray, slope: float = 1.0) -> str:
    """Return a compressed NIfTI file in base64; stored values are multiples of `slope`."""
    import nibabel as nb

    image = nb.Nifti1Image(data, affine)
    image.set_sform(affine, code=4)
    image.set_qform(None, code=0)
    image.header.set_slope_inter(slope, 0)
    header = image.header.copy()
    header['vox_offset'] = 352
    # the values are already the stored ones, which nibabel would divide by the slope
    content = header.binaryblock + b'\0' * 4 + data.astype(header.get_data_dtype()).tobytes(order='F')
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def _cropped(mask: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Crop a mask to the box around its voxels."""
    voxels = np.argwhere(mask)
    low = np.maximum(voxels.min(axis=0) - 1, 0)
    high = voxels.max(axis=0) + 2
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ low
    return mask[tuple(slice(first, last) for first, last in zip(low, high, strict=True))], moved


def _packed(streamlines: Sequence[np.ndarray]) -> dict[str, Any] | None:
    """Encode streamlines as text: lengths, and positions as integer multiples of an invisibly small unit."""
    lines = [line for line in streamlines if len(line) > 1]
    if not lines:
        return None
    positions = np.concatenate(lines).astype(float)
    unit = max(float(np.abs(positions).max()) / np.iinfo(np.int16).max, 0.01)
    lengths = np.array([len(line) for line in lines], '<u4')
    return {
        'unit': unit,
        'lengths': base64.b64encode(lengths.tobytes()).decode(),
        'positions': base64.b64encode(np.rint(positions / unit).astype('<i2').tobytes()).decode(),
    }
