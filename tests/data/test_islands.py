"""Small islands of a prediction, and whether annotations tell that there should be none."""

from __future__ import annotations

import numpy as np
import pytest
from engine_worlds import write_image

from sslseg.core.annotation import BACKGROUND, SliceState
from sslseg.core.control import Control
from sslseg.core.geometry import Plane
from sslseg.data.coverage import coverage
from sslseg.data.islands import ENOUGH, SMALL, UNLIKE, share, without_islands
from sslseg.session import Session


def bars(*pieces: tuple[int, int]) -> np.ndarray:
    """Bars that do not touch, each of a class and a number of voxels."""
    labels = np.zeros((2 * len(pieces), 1, 60), np.uint8)
    for place, (value, voxels) in enumerate(pieces):
        labels[2 * place, 0, :voxels] = value
    return labels


def test_a_piece_below_a_tenth_of_its_class_is_erased():
    cleaned = without_islands(bars((1, 40), (1, 3)), SMALL)
    assert np.array_equal(cleaned, bars((1, 40), (1, 0)))


def test_a_piece_of_a_tenth_or_more_stays():
    labels = bars((1, 40), (1, 4))
    assert np.array_equal(without_islands(labels, SMALL), labels)


def test_where_one_piece_is_sure_half_of_it_is_an_island_too():
    cleaned = without_islands(bars((1, 40), (1, 19), (1, 20)), UNLIKE)
    assert np.array_equal(cleaned, bars((1, 40), (1, 0), (1, 20)))


def test_where_islands_are_expected_nothing_is_erased():
    labels = bars((1, 40), (1, 1))
    assert np.array_equal(without_islands(labels, 0), labels)


def test_a_small_organ_beside_a_large_one_stays_and_its_own_island_goes():
    cleaned = without_islands(bars((1, 55), (2, 20), (2, 1)), SMALL)
    assert np.array_equal(cleaned, bars((1, 55), (2, 20), (2, 0)))


def test_classes_that_touch_are_one_piece():
    """A crumb of class 2 within the object would be a hole if it were erased."""
    labels = np.zeros((3, 1, 60), np.uint8)
    labels[0, 0, :38], labels[0, 0, 38:40] = 1, 2
    labels[2, 0, :30] = 2
    assert np.array_equal(without_islands(labels, SMALL), labels)


def test_nothing_predicted_stays_nothing_and_all_predicted_stays_all():
    for value in (0, 1):
        labels = np.full((3, 3, 3), value, np.uint8)
        assert np.array_equal(without_islands(labels, SMALL), labels)


def masks(*counts: int) -> list[np.ndarray]:
    """Slices with so many pieces each."""
    shown = [np.zeros((9, 9), bool) for _ in counts]
    for mask, count in zip(shown, counts, strict=True):
        mask[: 2 * count : 2, :3] = True
    return shown


def across(plane: Plane, *counts: int) -> list[tuple[Plane, np.ndarray]]:
    return [(plane, mask) for mask in masks(*counts)]


@pytest.mark.parametrize(
    ("counts", "small"),
    [
        ((1,) * ENOUGH, SMALL),
        ((1,) * (ENOUGH - 1), 0),
        ((0,) * ENOUGH, 0),
        ((), 0),
        ((1, 1, 1, 1, 2), 0),
        ((1, 0, 1, 0, 1), SMALL),
    ],
)
def test_islands_are_expected_unless_slices_tell_otherwise(counts, small):
    assert share(across(Plane.AXIAL, *counts)) == small


@pytest.mark.parametrize(
    ("axial", "sagittal", "small"),
    [
        ((1, 1, 1), (1, 1, 1), UNLIKE),
        ((1, 1, 1), (1, 1), SMALL),
        ((1, 1, 1), (1, 1, 0), SMALL),
        ((1, 1), (1, 1), SMALL),
        ((1, 1), (1,), SMALL),
        ((2, 2, 2), (1, 1, 1), 0),
    ],
)
def test_two_planes_that_show_one_piece_say_more_than_one(axial, sagittal, small):
    """Kidneys are one piece in each sagittal slice, and two in an axial one."""
    slices = across(Plane.AXIAL, *axial) + across(Plane.SAGITTAL, *sagittal)
    assert share(slices) == small


@pytest.fixture
def session(tmp_path):
    with Session.create(tmp_path / "p", ["thing", "other"]) as made:
        list(made.add([write_image(tmp_path / "a.nii")], Control()))
        yield made


def paint(session, indices, state, pieces=1, plane=Plane.CORONAL):
    labels = np.zeros(session.store.case("a").geometry.shape, np.uint8).take(0, plane.axis)
    labels[:4, :4] = 1
    if pieces > 1:
        labels[7, :1] = 2
    labels[9, 6:8] = BACKGROUND
    slices = dict.fromkeys(indices, (labels, state))
    session.store.save_slices("a", plane, slices, author="test")


@pytest.mark.parametrize(
    ("state", "pieces", "small"),
    [
        (SliceState.COMPLETE, 1, SMALL),
        (SliceState.COMPLETE, 2, 0),
        (SliceState.PARTIAL, 1, 0),
    ],
)
def test_complete_slices_tell_whether_islands_are_to_be_expected(session, state, pieces, small):
    paint(session, range(2), SliceState.COMPLETE)
    paint(session, [3], state, pieces)
    assert coverage(session.store).islands == small


def test_complete_slices_of_two_planes_tell_more(session):
    paint(session, range(3), SliceState.COMPLETE)
    paint(session, range(3), SliceState.COMPLETE, plane=Plane.SAGITTAL)
    assert coverage(session.store).islands == UNLIKE


def test_of_many_slices_some_are_looked_at(session, monkeypatch):
    paint(session, range(7), SliceState.COMPLETE)
    read = []
    real = session.store.labels_at
    monkeypatch.setattr(session.store, "labels_at", lambda r: read.append(r) or real(r))
    monkeypatch.setattr("sslseg.data.coverage.MOST_LOOKED_AT", 4)
    assert coverage(session.store).islands == SMALL
    assert len(read) == 4
