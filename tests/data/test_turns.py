from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from sslseg.data.turns import Turn, random_turn


def drawn(sides, flips, count=200):
    rng = torch.Generator().manual_seed(0)
    return [random_turn(sides, flips, rng) for _ in range(count)]


@pytest.mark.parametrize("plane", list(combinations((-3, -2, -1), 2)))
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turn_is_numpy_s(plane, quarters):
    x = torch.arange(2 * 64.0).reshape(2, 1, 4, 4, 4)
    expected = np.flip(np.rot90(x.numpy(), quarters, plane), -1)
    turn = Turn(plane, quarters, (-1,))
    assert np.array_equal(turn.image(x).numpy(), expected)
    assert np.array_equal(turn.target(x[:, 0]).numpy(), expected[:, 0])


def test_nothing_is_turned_by_no_quarter():
    x = torch.randn(1, 2, 3, 5)
    assert torch.equal(Turn().image(x), x)


def test_quarters_only_in_square_planes():
    found = drawn((6, 6, 4), (False,) * 3)
    assert {t.quarters for t in found if t.plane == (-3, -2)} == {1, 2, 3}
    assert {t.quarters for t in found if t.plane != (-3, -2)} == {2}
    assert {t.plane for t in found} == {(-3, -2), (-3, -1), (-2, -1)}


def test_left_stays_left_unless_mirroring_is_allowed():
    """A turn of a frame has determinant 1; each mirrored axis changes its sign."""
    assert all(not turn.mirrored for turn in drawn((4, 4), (False, False)))
    mirrored = {turn.mirrored for turn in drawn((4, 4), (True, False))}
    assert mirrored == {(), (-2,)}


def test_every_turn_moves_something_and_keeps_the_shape():
    x = torch.randn(1, 1, 4, 6, 6)
    for turn in drawn((4, 6, 6), (True, False, False)):
        assert turn.image(x).shape == x.shape
        assert not torch.equal(turn.image(x), x)
