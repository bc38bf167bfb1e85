"""The annotator's time by hand: 8 s a slice, 0.15 s a mm, 1 s to accept, 1.5 s a wrong place."""

from __future__ import annotations

import numpy as np
import pytest

from sslseg.simulate.effort import effort


def square(size=4):
    labels = np.zeros((30, 30), np.uint8)
    labels[2 : 2 + size, 2 : 2 + size] = 1
    return labels


def test_an_empty_slice_costs_a_look():
    assert effort(np.zeros((5, 5)), None, (1.0, 1.0)).seconds == 8


def test_without_a_prediction_the_whole_outline_is_drawn():
    """4 x 4 voxels of 1 x 2 mm: two sides of 4 mm, two of 8 mm."""
    spent = effort(square(), None, (1.0, 2.0))
    assert spent.drawn_mm == 24
    assert spent.seconds == pytest.approx(8 + 0.15 * 24)
    assert not spent.accepted


def test_a_right_prediction_costs_a_look_and_a_key():
    spent = effort(square(), square(), (1.0, 1.0))
    assert (spent.seconds, spent.drawn_mm, spent.accepted) == (9, 0, True)


def test_only_the_outline_beside_wrong_voxels_is_drawn_again():
    """The last column of the square is missing: its own 20 mm, and 1 mm at both ends."""
    predicted = square(20)
    predicted[:, 21] = 0
    spent = effort(square(20), predicted, (1.0, 1.0))
    assert spent.drawn_mm == 22
    assert spent.accepted
    assert spent.seconds == pytest.approx(8 + 1 + 1.5 + 0.15 * 22)


def test_an_invented_island_costs_its_place_alone():
    predicted = square(20)
    predicted[25:27, 25:27] = 1
    spent = effort(square(20), predicted, (1.0, 1.0))
    assert (spent.drawn_mm, spent.seconds) == (0, 8 + 1 + 1.5)


def test_a_poor_prediction_is_not_accepted():
    """Wrong all over: nobody mends that, and it costs no more than drawing anew."""
    truth = square()
    predicted = np.indices(truth.shape).sum(0) % 3 // 2
    spent = effort(truth, predicted, (1.0, 1.0))
    assert not spent.accepted
    assert spent == effort(truth, None, (1.0, 1.0))


def test_a_wrong_class_is_wrong():
    truth = square()
    spent = effort(truth, 2 * truth, (1.0, 1.0))
    assert spent.drawn_mm == 16
