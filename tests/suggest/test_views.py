from __future__ import annotations

import numpy as np
import pytest
from suggest_worlds import grid

from sslseg.core.annotation import SliceKey, SliceRecord, SliceState
from sslseg.core.geometry import Plane
from sslseg.suggest.views import Table, annotated_slices, offered_planes


@pytest.mark.parametrize(
    ("spacing", "planes"),
    [
        ((1, 1, 1), list(Plane)),
        ((1, 1, 2.5), list(Plane)),
        ((0.5, 0.5, 5), [Plane.AXIAL]),
        ((3.3, 0.8, 0.8), [Plane.SAGITTAL]),
        ((0.5, 2, 8), [Plane.SAGITTAL, Plane.AXIAL]),
    ],
)
def test_planes_offered(spacing, planes):
    assert list(offered_planes(grid(spacing=spacing))) == planes


@pytest.mark.parametrize(
    ("shape", "planes"),
    [
        ((256, 256, 1), [Plane.AXIAL]),
        ((7, 256, 200), [Plane.SAGITTAL]),
        ((40, 7, 20), [Plane.SAGITTAL, Plane.CORONAL]),
        ((8, 256, 256), list(Plane)),
        ((7, 7, 7), list(Plane)),
        ((1, 1, 64), [Plane.AXIAL]),
    ],
)
def test_strips_are_not_offered(shape, planes):
    assert list(offered_planes(grid(shape=shape))) == planes


def test_annotated_slices_leave_out_state_none():
    def record(index, state):
        key = SliceKey(case="a", plane=Plane.AXIAL, index=index)
        return SliceRecord(key=key, state=state, revision=1, time=0.0, author="x")

    records = [record(7, SliceState.PARTIAL), record(3, SliceState.COMPLETE)]
    records.append(record(5, SliceState.NONE))
    assert annotated_slices(records, "a") == {Plane.AXIAL: (3, 7)}
    assert annotated_slices(records, "b") == {}


def test_slices_across_annotated_ones_shrink_by_the_known_share(make_case):
    bare = make_case(geometry=grid((4, 5, 6)))
    half = make_case(geometry=grid((4, 5, 6)), annotated={Plane.SAGITTAL: (0, 1)})
    before, after = Table.of([bare]), Table.of([half])
    across = before.axis != 0
    masses = "uncertainty"
    np.testing.assert_allclose(after.values[masses][across], before.values[masses][across] / 2)
    np.testing.assert_allclose(after.values[masses][~across], before.values[masses][~across])
    assert after.free.sum() == before.free.sum() - 2
