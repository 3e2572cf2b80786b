"""Where a lesion fits: the places are those that trying every one finds."""

import itertools

import numpy as np
import pytest

from lacuna.images.placements import Body, draw, places, turns

CUBE = np.eye(4)


@pytest.fixture
def rng():
    return np.random.default_rng(18)


def a_body(rng, shape, share, first):
    return Body(rng.random(shape) < share, np.array(first))


def tried(body, region, need, among):
    """All places, by trying every turn and every shift: (turn, first) -> voxels inside."""
    inside_of = {tuple(at) for at in np.argwhere(region.voxels) + region.first}
    found = {}
    for number, turn in enumerate(among):
        voxels = np.argwhere(body.voxels) @ turn.T
        ends = (np.array(body.voxels.shape) - 1) @ turn.T
        voxels = voxels - np.minimum(ends, 0)  # the box begins at 0 again
        size = np.abs(ends) + 1
        low, high = region.first - size, region.first + region.voxels.shape
        for first in itertools.product(*(range(a, b + 1) for a, b in zip(low, high, strict=True))):
            inside = sum(tuple(at) in inside_of for at in voxels + first)
            if inside >= need:
                found[number, *first] = inside
    return found


@pytest.mark.parametrize('share', [1.0, 0.8, 0.3])
def test_brute_force(rng, share):
    """In two pieces, in a region with a hole, also where much of the body may stick out."""
    region = a_body(rng, (8, 7, 6), 0.9, (-3, 2, 5))
    body = Body(np.zeros((4, 2, 3), bool), np.array([-2, 3, 6]))
    body.voxels[0, :, 0] = body.voxels[2:, 1, 1:] = True
    among = turns(CUBE, mirrors=True)
    need = int(np.ceil(share * body.voxels.sum()))
    found = {}
    for turn in places(body, region, need, among):
        counts = zip(turn.first().tolist(), turn.inside.tolist(), strict=True)
        found.update({(turn.number, *first): count for first, count in counts})
    assert found == tried(body, region, need, among)
    assert len(found) > 100


def test_the_body_itself_is_among_its_places(rng):
    region = a_body(rng, (20, 20, 20), 0.97, (-10, -10, -10))
    body = a_body(rng, (5, 6, 4), 0.5, (-3, 0, 6))
    own = region.count(body)
    turn = next(places(body, region, own, turns(CUBE)))
    row = np.flatnonzero((turn.first() == body.first).all(axis=1))
    assert (turn.number, turn.inside[row].tolist()) == (0, [own])
    assert turn.at[row] == turn.number_of(body.first)


def test_a_draw_keeps_volume_and_shape_and_is_never_the_body_itself(rng):
    region = a_body(rng, (30, 26, 28), 0.99, (-10, -10, -10))
    body = a_body(rng, (6, 3, 5), 0.4, (0, 0, 0))
    among = turns(CUBE)
    need = region.count(body) - 1
    drawn = draw(body, region, 200, rng, need=need, among=among)
    assert len(drawn.turn) == 200
    seen = {(int(number), *first) for number, first in zip(drawn.turn, drawn.first.tolist(), strict=True)}
    assert len(seen) == 200
    assert (0, *body.first.tolist()) not in seen
    for number, first, inside in zip(drawn.turn, drawn.first, drawn.inside, strict=True):
        moved = Body(body.turned(among[number]), first)
        assert moved.voxels.sum() == body.voxels.sum()
        # distances between voxels say all about a shape but its handedness, which the determinant says
        assert np.linalg.det(among[number]) == pytest.approx(1)
        assert region.count(moved) == inside >= need


def test_all_places_are_equally_likely(rng):
    region, body = (
        Body(np.ones((4, 3, 2), bool), np.zeros(3, int)),
        Body(np.ones((2, 1, 1), bool), np.zeros(3, int)),
    )
    among = turns(CUBE)
    total = len(tried(body, region, 2, among))
    counts = np.zeros((24, 4, 3, 2))
    for _ in range(500):
        drawn = draw(body, region, 8, rng, need=2, among=among)
        assert drawn.valid == total
        counts[drawn.turn, *drawn.first.T] += 1
    others = counts[counts > 0]
    assert len(others) == total - 1
    expected = 4000 / (total - 1)
    assert ((others - expected) ** 2 / expected).sum() < total - 1 + 4 * np.sqrt(2 * total)


def test_places_drawn_by_weight(rng):
    region = Body(np.ones((6, 1, 1), bool), np.zeros(3, int))
    weight = Body(np.array([0, 0, 1, 2, 3, 0.0]).reshape(6, 1, 1), np.zeros(3, int))
    body, among = Body(np.ones((1, 1, 1), bool), np.zeros(3, int)), turns(CUBE)[:1]
    hits = np.zeros(6)
    for _ in range(3000):
        drawn = draw(body, region, 1, rng, need=1, among=among, weight=weight)
        hits[drawn.first[0, 0]] += 1
    np.testing.assert_allclose(hits / 3000, np.array([0, 0, 1, 2, 3, 0]) / 6, atol=0.03)
    assert drawn.valid == 4  # those with a weight, and the body's own


def test_places_in_the_same_tissue(rng):
    region = Body(np.ones((9, 1, 1), bool), np.zeros(3, int))
    grey = Body(np.array([1, 1, 1, 0.5, 0.5, 0, 0, 0, 0.9]).reshape(9, 1, 1), np.zeros(3, int))
    body, among = Body(np.ones((2, 1, 1), bool), np.zeros(3, int)), turns(CUBE)[:1]
    drawn = draw(body, region, 9, rng, need=2, among=among, tissues=[(grey, 0.3)])
    assert sorted(drawn.first[:, 0]) == [1, 2]
    assert drawn.valid == 3


def test_mirror_images(rng):
    """A mirrored body in a mirrored region has as many places; with mirrors, the body and its mirror image have the same."""
    region, body = a_body(rng, (12, 9, 10), 0.95, (-6, -4, -5)), a_body(rng, (4, 3, 2), 0.5, (0, 0, 0))
    flipped = Body(region.voxels[::-1], np.array([-(region.first[0] + 11), -4, -5]))
    mirrored = Body(body.voxels[::-1], body.first)
    need = int(body.voxels.sum()) - 1

    def found(what, where, among):
        return sum(len(turn.at) for turn in places(what, where, need, among))

    assert found(body, region, turns(CUBE)) == found(mirrored, flipped, turns(CUBE))
    both = turns(CUBE, mirrors=True)
    assert found(body, region, both) == found(mirrored, region, both)
    assert found(body, region, both) == found(body, region, turns(CUBE)) + found(
        mirrored, region, turns(CUBE)
    )


@pytest.mark.parametrize(
    ('affine', 'number'),
    [
        (np.diag([-1.0, 1, 1, 1]), 24),
        (np.diag([2.0, 2, 2, 1]), 24),
        (np.diag([1.0, 1, 3, 1]), 8),
        (np.diag([1.0, 2, 3, 1]), 4),
        (np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]]), 24),
        (
            np.array(
                [
                    [np.cos(0.3), -np.sin(0.3), 0, 0],
                    [np.sin(0.3), np.cos(0.3), 0, 0],
                    [0, 0, 1, 0],
                    [0, 0, 0, 1],
                ]
            ),
            4,
        ),
    ],
)
def test_turns_that_keep_a_grid(affine, number):
    assert len(turns(affine)) == number
    assert (turns(affine)[0] == np.eye(3)).all()
    assert len(turns(affine, mirrors=True)) == 2 * number


@pytest.mark.parametrize('edge', [1, 2])
def test_voxels_of_whole_millimetres_keep_their_volume(rng, edge):
    mask = rng.random((5, 6, 7)) < 0.3
    affine = np.diag([-edge, edge, edge, 1.0])
    affine[:3, 3] = (20, -30, 10)
    assert Body.of(mask, affine).voxels.sum() == mask.sum() * edge**3


def test_nothing_fits(rng):
    region = Body(np.ones((3, 3, 3), bool), np.zeros(3, int))
    body = Body(np.ones((9, 1, 1), bool), np.zeros(3, int))
    assert sum(len(turn.at) for turn in places(body, region, 4, turns(CUBE))) == 0
    assert draw(body, region, 5, rng, need=4, among=turns(CUBE)).valid == 0
    assert draw(Body.of(np.zeros((2, 2, 2)), CUBE), region, 5, rng, need=1, among=turns(CUBE)).valid == 0
