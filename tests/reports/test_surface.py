"""Pictures of parcels on the cortical surface."""

import json

import matplotlib as mpl
import numpy as np
import pytest
from helpers.report_data import ATLAS, PARCELS, SPACE, write_results

from lacuna.images.atlases import custom_atlas, read_parcellation
from lacuna.images.cortex import HEMISPHERES, hemisphere
from lacuna.images.spaces import standard_grid
from lacuna.reports.figures.style import drawing, png_bytes
from lacuna.reports.figures.surface import VIEWS, draw_view, pixel_parcels, surface_figure, view
from lacuna.reports.participant import make_report
from lacuna.testing import world_coordinates, write_mask


def halves(side):
    """Parcels of the vertices of a hemisphere: 1 behind, 2 in front, 0 on the wall in the middle."""
    mesh = hemisphere(side)
    return np.where(mesh.is_cortex, 1 + (mesh.pial[:, 1] > -20), 0)


@pytest.mark.parametrize(('side', 'name', 'front'), VIEWS)
def test_what_is_seen(side, name, front):
    """Front and back where they belong; the wall from inside only; top above bottom."""
    seen = view(side, front)
    rows, columns = np.nonzero(seen.seen)
    shown = pixel_parcels(seen, halves(side))
    assert front * (columns[shown == 2].mean() - columns[shown == 1].mean()) > 100
    assert ((shown == 0).mean() > 0.1) == (name == 'medial')
    if name == 'lateral':
        assert (shown == 0).sum() == 0
    height = (hemisphere(side).pial[:, 2][seen.corners] * seen.weights).sum(axis=1)
    assert np.corrcoef(rows, height)[0, 1] > 0.8
    across = hemisphere(side).pial[:, 0][seen.corners[:, 0]]
    outside = abs(across).mean()
    assert outside > 30 if name == 'lateral' else outside < 25
    np.testing.assert_allclose(seen.weights.sum(axis=1), 1)
    assert len(np.unique(seen.corners)) > 4000  # of 10,242 vertices, most of those on this side


def test_colours_are_those_of_the_scale():
    """Of each parcel, up to the light, which makes all channels darker alike."""
    seen = view('left', -1)
    parcels = halves('left')
    picture = draw_view(seen, 'left', np.array([25.0, 50.0]), parcels, 50.0)
    assert picture.shape == (236, 310, 3)
    numbers = np.zeros(seen.seen.shape, int)
    numbers[seen.seen] = pixel_parcels(seen, parcels)
    whole = numbers.reshape(236, 2, 310, 2).transpose(0, 2, 1, 3).reshape(236, 310, 4)
    for parcel, share in ((1, 0.5), (2, 1.0)):
        inside = (whole == parcel).all(axis=2)
        inside[1:-1, 1:-1] &= inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
        colour = np.array(mpl.colormaps['plasma'](share)[:3])
        light = picture[inside] / colour
        assert len(light) > 10_000
        np.testing.assert_allclose(light, np.repeat(light[:, :1], 3, axis=1), atol=1e-6)
        assert light.min() > 0.7
        assert light.max() < 1.01
    assert (picture[(whole == 0).all(axis=2)] == 1).all()  # paper


@pytest.mark.parametrize('value', [0.0, np.nan])
def test_parcels_without_a_number_have_no_colour(value):
    picture = draw_view(view('right', 1), 'right', np.array([value, 80.0]), halves('right'), 100.0)
    back, front = picture[100:140, 40:80], picture[100:140, 230:270]
    assert np.ptp(back, axis=2).max() < 1e-9
    assert (back.mean() > 0.8) == (value == 0)
    assert np.ptp(front, axis=2).min() > 0.2


def test_a_scale_of_its_own_is_a_second_row():
    parcels = {side: halves(side) for side in HEMISPHERES}
    values = np.array([1.0, 3.0])
    with drawing():
        one, two = (surface_figure(values, parcels, auto=auto) for auto in (None, 4.0))
        again = surface_figure(values, parcels, auto=4.0)
        assert png_bytes(two) == png_bytes(again)
        assert len(png_bytes(one)) < 150_000
    assert (len(one.axes), len(two.axes)) == (5, 10)
    assert two.get_size_inches()[1] == 2 * one.get_size_inches()[1]
    upper, lower = two.axes[0].images[0].get_array(), two.axes[5].images[0].get_array()
    np.testing.assert_array_equal(upper, one.axes[0].images[0].get_array())
    assert lower.mean() > upper.mean()


def test_a_report_shows_the_parcels_of_atlases_that_are_there(tmp_path):
    """One atlas as it was, one that has changed since, one whose image is gone, and one without cortex."""
    root = tmp_path / 'out'
    write_results(root, tmp_path / 'in', 'sub-01_label-lesion', sample=False)
    grid = standard_grid(SPACE, 2)
    x, y, z = world_coordinates(grid.shape, grid.affine)
    slabs = np.clip((y + 100) // 35, 0, 4) + 1 + 0 * (x + z)
    labels = tmp_path / 'labels.txt'
    labels.write_text(''.join(f'{i} {name}\n' for i, name in enumerate(PARCELS, 1)))
    table = next(root.rglob(f'*_atlas-{ATLAS}_*_parcelstats.tsv'))
    description = json.loads((root / 'dataset_description.json').read_text())
    for name, checksum in ((ATLAS, ''), ('changed', '0' * 64), ('gone', ''), ('deep', '')):
        inside = x**2 + (y + 15) ** 2 + (z - 8) ** 2 < (20**2 if name == 'deep' else np.inf)
        image = write_mask(tmp_path / f'{name}.nii.gz', np.where(inside, slabs, 0), grid.affine)
        sha256 = read_parcellation(custom_atlas(name, str(image), str(labels), SPACE)).sha256
        sidecar = {
            'Sources': [f'bids:atlas-{name}:{image.name}', f'bids:atlas-{name}:labels.txt'],
            'Atlas': {'Name': name, 'Space': SPACE, 'SHA256': checksum or sha256},
        }
        copy = table.with_name(table.name.replace(ATLAS, name))
        copy.write_bytes(table.read_bytes())
        copy.with_suffix('.json').write_text(json.dumps(sidecar))
        description['DatasetLinks'][f'atlas-{name}'] = tmp_path.as_uri()
        if name == 'gone':
            image.unlink()
    (root / 'dataset_description.json').write_text(json.dumps(description))
    page = make_report(root, '01', viewer=False).read_text()
    (figure,) = (root / 'sub-01/figures').glob('*_desc-surface_figure.*')
    assert figure.name == f'sub-01_label-lesion_method-snm_atlas-{ATLAS}_desc-surface_figure.png'
    assert page.count(f'src="./sub-01/figures/{figure.name}"') == 1
    width, height = 1380, 2 * 260  # twice: all values are below 40
    assert figure.read_bytes()[16:24] == width.to_bytes(4, 'big') + height.to_bytes(4, 'big')
    assert figure.stat().st_size < 200_000
