"""Small islands of a prediction, and whether annotations show any."""

from __future__ import annotations

import numpy as np
import pytest
from engine_worlds import write_image

from sslseg.core.annotation import SliceState
from sslseg.core.control import Control
from sslseg.core.geometry import Plane
from sslseg.data.islands import sizes, without_islands
from sslseg.data.project import coverage
from sslseg.session import Session


def two_pieces(large: int, small: int) -> np.ndarray:
    """Bars of `large` voxels of class 1 and `small` voxels of class 2 that do not touch."""
    labels = np.zeros((3, 1, 40), np.uint8)
    labels[0, 0, :large] = 1
    labels[2, 0, :small] = 2
    return labels


def test_sizes_count_each_piece():
    assert sizes(two_pieces(30, 4) > 0).tolist() == [30, 4]
    assert sizes(np.zeros((2, 2), bool)).tolist() == []


def test_a_piece_below_a_tenth_is_erased():
    cleaned = without_islands(two_pieces(40, 3))
    assert set(np.unique(cleaned)) == {0, 1}
    assert (cleaned == 1).sum() == 40


def test_a_piece_of_a_tenth_or_more_stays():
    labels = two_pieces(40, 4)
    assert np.array_equal(without_islands(labels), labels)


def test_touching_classes_are_one_piece():
    labels = np.zeros((1, 1, 40), np.uint8)
    labels[0, 0, :38], labels[0, 0, 38:] = 1, 2
    assert np.array_equal(without_islands(labels), labels)


def test_nothing_predicted_stays_nothing():
    assert not without_islands(np.zeros((3, 3, 3), np.uint8)).any()


@pytest.mark.parametrize(
    ("state", "small", "found"),
    [
        (SliceState.COMPLETE, 1, True),
        (SliceState.COMPLETE, 4, False),
        (SliceState.PARTIAL, 1, False),
    ],
)
def test_complete_slices_tell_whether_islands_are_to_be_expected(tmp_path, state, small, found):
    with Session.create(tmp_path / "p", ["thing"]) as session:
        list(session.add([write_image(tmp_path / "a.nii")], Control()))
        labels = np.zeros(session.store.case("a").geometry.shape, np.uint8)[:, 0]
        labels[:4, :4], labels[8, :small] = 1, 1
        session.store.save_slices("a", Plane.CORONAL, {3: (labels, state)}, author="test")
        assert coverage(session.store).islands is found
