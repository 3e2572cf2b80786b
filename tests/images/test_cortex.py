"""The cortical surface, and the parcels of an atlas on it."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from lacuna.images.atlases import Atlas, Parcellation, custom_atlas, read_parcellation
from lacuna.images.cortex import HEMISPHERES, hemisphere, mesh_path, vertex_parcels
from lacuna.images.spaces import standard_grid
from lacuna.testing import world_coordinates

SPACE = 'MNI152NLin6Asym'


def toy_atlas(deep: bool = False) -> Parcellation:
    """Four parcels that fill the brain: left and right, each behind and in front of y = -20 mm; a ball in the middle."""
    grid = standard_grid(SPACE, 2)
    x, y, z = world_coordinates(grid.shape, grid.affine)
    index = (1 + (x > 0) + 2 * (y > -20) + 0 * z).astype(np.int32)
    names = ('left back', 'right back', 'left front', 'right front', 'deep')
    if deep:
        index[(x**2 + (y + 15) ** 2 + (z - 8) ** 2) < 20**2] = 5
    return Parcellation(Atlas('toy', Path(), Path(), SPACE, 'toy'), index, grid.affine, names, 'none')


def far_from_borders(side):
    """Vertices whose whole depth of cortex is more than 6 mm from the borders of the toy's parcels."""
    mesh = hemisphere(side)
    near = [(abs(surface[:, 0]) < 6) | (abs(surface[:, 1] + 20) < 6) for surface in (mesh.white, mesh.pial)]
    return mesh.is_cortex & ~near[0] & ~near[1]


def test_the_mesh_is_the_one_that_nilearn_ships():
    """By the way that nilearn documents, which takes seconds to load."""
    from nilearn.datasets import fetch_surf_fsaverage

    documented = fetch_surf_fsaverage('fsaverage5')
    for side in HEMISPHERES:
        for surface in ('white', 'pial', 'infl', 'sulc', 'thick'):
            assert mesh_path(surface, side) == Path(documented[f'{surface}_{side}'])


@pytest.mark.parametrize('side', HEMISPHERES)
def test_the_mesh_is_where_the_brain_is(side):
    mesh = hemisphere(side)
    sign = -1 if side == 'left' else 1
    assert mesh.white.shape == mesh.pial.shape == mesh.inflated.shape == (10242, 3)
    assert (sign * mesh.pial[:, 0] > -6).all()
    thickness = np.linalg.norm(mesh.pial - mesh.white, axis=1)
    assert 1.5 < np.median(thickness[mesh.is_cortex]) < 3.5
    # the wall is in the middle: FreeSurfer leaves out 888 vertices, with a part of the hippocampus
    wall = mesh.pial[~mesh.is_cortex]
    assert 600 < len(wall) < 900
    assert np.median(abs(wall[:, 0])) < 15
    assert abs(wall[:, 0]).max() < 45


@pytest.mark.parametrize('side', HEMISPHERES)
def test_vertices_get_the_parcel_they_are_in(side):
    found = vertex_parcels(toy_atlas())[side]
    mesh = hemisphere(side)
    expected = 1 + (side == 'right') + 2 * (mesh.pial[:, 1] > -20)
    sure = far_from_borders(side)
    assert sure.sum() > 6000
    np.testing.assert_array_equal(found[sure], expected[sure])
    assert (found[~mesh.is_cortex] == 0).all()


def test_a_parcel_below_the_cortex_is_left_out():
    """Though it touches the cortex in the middle, where vertices then have the parcel beside it, or none."""
    atlas = toy_atlas(deep=True)
    found = vertex_parcels(atlas)
    assert sorted(set(np.concatenate(list(found.values())))) == [0, 1, 2, 3, 4]
    only = dataclasses.replace(atlas, index=np.where(atlas.index == 5, 5, 0))
    assert vertex_parcels(only) is None  # an atlas without cortex


def test_gaps_are_closed_and_no_wider():
    """A vertex that meets no parcel gets one that is within 3 mm."""
    atlas = toy_atlas()
    mesh = hemisphere('left')
    _, y, _ = world_coordinates(atlas.index.shape, atlas.affine)
    gap = np.broadcast_to((y > -34) & (y < -6), atlas.index.shape)
    found = vertex_parcels(dataclasses.replace(atlas, index=np.where(gap, 0, atlas.index)))['left']
    back, front = (
        np.stack([mesh.white, mesh.pial])[..., 1].min(axis=0),
        np.stack([mesh.white, mesh.pial])[..., 1].max(axis=0),
    )
    sure = far_from_borders('left') | (mesh.is_cortex & (abs(mesh.pial[:, 0]) > 6))
    in_the_middle = sure & (back > -29) & (front < -11)
    assert in_the_middle.sum() > 200
    assert (found[in_the_middle] == 0).all()
    at_its_edge = sure & (back > -35) & (front < -32.5)
    assert at_its_edge.sum() > 20
    assert (found[at_its_edge] == 1).all()


def outside_atlas(shared, name, image, labels, space):
    folder = shared / 'data/atlases'
    return read_parcellation(custom_atlas(name, str(folder / image), str(folder / labels), space))


@pytest.mark.shared
def test_two_atlases_agree(shared):
    """Desikan's gyri by two hands, in two spaces: most vertices have the same name, and none that of the other side."""
    atlases = [
        outside_atlas(shared, 'fs', 'nemo_fs86_allsubj_mode.nii.gz', 'nemo_atlas-fs86_dseg.tsv', SPACE),
        outside_atlas(shared, 'cerebra', 'CerebrA.nii.gz', 'CerebrA.txt', 'MNI152NLin2009cAsym'),
    ]
    found = [vertex_parcels(atlas) for atlas in atlases]
    for side, other in (('left', '(?i)^right|-rh-'), ('right', '(?i)^left|-lh-')):
        gyri = []
        for atlas, parcels in zip(atlases, found, strict=True):
            names = [
                re.sub('(?i)ctx-[lr]h-|^(left|right)[_-]|[^a-z]', '', name).lower() for name in atlas.names
            ]
            gyri.append(np.array(['', *names])[parcels[side]])
            assert not [
                atlas.names[i - 1] for i in set(parcels[side]) - {0} if re.search(other, atlas.names[i - 1])
            ]
        both = (gyri[0] != '') & (gyri[1] != '')
        assert both.mean() > 0.9
        assert (gyri[0] == gyri[1])[both].mean() > 0.8


@pytest.mark.shared
def test_an_atlas_of_deep_nuclei_has_no_cortex(shared):
    files = ('Tian_Subcortex_S1_3T_1mm.nii.gz', 'Tian_Subcortex_S1_3T_label.txt')
    assert vertex_parcels(outside_atlas(shared, 'tian', *files, SPACE)) is None
