"""Slices that are shown where a whole case takes too long."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from engine_worlds import CPU, write_image

from sslseg.core.control import Control
from sslseg.core.errors import Cancelled
from sslseg.core.geometry import Plane
from sslseg.core.prediction import PredictionInfo
from sslseg.data.preprocessing import load_prepared
from sslseg.inference.native import to_native
from sslseg.inference.predictor import Predictor
from sslseg.storage.images import describe
from sslseg.storage.store import ProjectStore
from sslseg.training.costs import Costs
from sslseg.training.glimpse import MOST, SHARE, glimpse

SHAPE = (10, 20, 8)
OWN = (None, None, None)


@dataclass(frozen=True, kw_only=True)
class Timed(Predictor):
    """Its windows are said to take so many seconds."""

    each: float

    def window_seconds(self) -> float:
        return self.each


def by_sign(x):
    """Two classes by the sign of the middle slice."""
    share = torch.sigmoid(9 * x[:, x.shape[1] // 2].unsqueeze(1))
    return [torch.cat([1 - share, share], 1)]


def predictor(each: float = 0.0, axis: int | None = 1) -> Timed:
    """Coronal slices, each of which one window holds, or boxes."""
    patch, context = ((8, 8, 8), 1) if axis is None else ((16, 16), 3)
    return Timed(by_sign, None, 2, axis, context, patch, CPU.torch, None, each=each)


@pytest.fixture
def store(tmp_path):
    write_image(tmp_path / "a.nii", 0, shape=SHAPE)
    with ProjectStore.create(tmp_path / "project", ["thing"]) as made:
        made.add_case(describe(tmp_path / "a.nii"))
        yield made


def look(store, place, *, each=0.0, longest=10.0, spacing=OWN, axis=1, control=None):
    return glimpse(
        store,
        predictor(each, axis),
        spacing,
        "a",
        place,
        control or Control(),
        costs=Costs(None),
        longest=longest,
    )


INFO = PredictionInfo(case="a", version="1", run="r", method="m", step=1, time=0, classes=())


def whole(store, axis=1, spacing=OWN):
    prepared = load_prepared(store, store.case("a"), spacing)
    return predictor(0.0, axis).volume(prepared.image, Control()).probability.argmax(0)


@pytest.mark.parametrize("axis", [1, None])
@pytest.mark.parametrize("place", [(Plane.CORONAL, 9), (Plane.AXIAL, 3), (Plane.SAGITTAL, 5)])
def test_slices_are_what_the_whole_prediction_says_of_them(store, axis, place):
    plane, index = place
    found = look(store, place, axis=axis)
    assert (found.case, found.plane) == ("a", plane)
    assert found.first <= index < found.first + len(found.labels)
    assert found.labels.dtype == np.uint8
    said = np.moveaxis(whole(store, axis), plane.axis, 0)
    assert 0 < said.mean() < 1
    end = found.first + len(found.labels)
    np.testing.assert_array_equal(found.labels, said[found.first : end])


def test_nobody_says_which_slice_then_it_is_the_middle_axial_one(store):
    found = look(store, None)
    assert (found.plane, found.first, len(found.labels)) == (Plane.AXIAL, 1, MOST)


@pytest.mark.parametrize(("index", "first", "slices"), [(0, 0, 4), (2, 0, 6), (19, 16, 4)])
def test_at_the_ends_there_are_fewer(store, index, first, slices):
    found = look(store, (Plane.CORONAL, index))
    assert (found.first, len(found.labels)) == (first, slices)


@pytest.mark.parametrize(
    ("each", "slices"), [(0.1, 7), (0.15, 5), (0.3, 3), (0.9, 1), (10.0, 1), (10.1, None)]
)
def test_as_many_slices_as_there_is_time_for(store, each, slices):
    """A slice is one window; of 10 s several take one second, and one alone takes all."""
    assert SHARE == 0.1
    found = look(store, (Plane.CORONAL, 9), each=each, longest=10.0)
    assert (None if found is None else len(found.labels)) == slices


def test_on_another_grid_slices_lie_where_they_lay(store):
    """Half as many slices to learn from: each of them is shown in the place of two."""
    spacing = (None, 2.0, None)
    found = look(store, (Plane.CORONAL, 9), spacing=spacing)
    assert (found.first, found.labels.shape) == (6, (7, 10, 8))
    coarse = np.moveaxis(whole(store, spacing=spacing), 1, 0)
    for number, labels in enumerate(found.labels):
        np.testing.assert_array_equal(labels, coarse[(6 + number) // 2])


def test_in_the_plane_another_grid_is_brought_back(store):
    spacing = (2.0, None, 2.0)
    found = look(store, (Plane.CORONAL, 9), spacing=spacing)
    prepared = load_prepared(store, store.case("a"), spacing)
    maps = predictor().volume(prepared.image, Control())
    native = to_native(maps, SHAPE, INFO).labels
    np.testing.assert_array_equal(found.labels, np.moveaxis(native, 1, 0)[6:13])


@pytest.mark.parametrize("index", [-3, 20, 400])
def test_a_slice_that_is_not_there_is_the_nearest_one(store, index):
    found = look(store, (Plane.CORONAL, index))
    assert found.first == (0 if index < 0 else 16)


def test_it_can_be_stopped(store):
    control = Control()
    control.stop()
    with pytest.raises(Cancelled):
        look(store, (Plane.CORONAL, 9), control=control)
