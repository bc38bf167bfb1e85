"""The default strategy covers a structure from end to end, and a little beyond."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from suggest_worlds import flat_scores, grid

from sslseg.core.geometry import Plane
from sslseg.suggest.along import Along
from sslseg.suggest.selection import rank
from sslseg.suggest.views import CaseView, Table

NAMES = ("posterior", "anterior")
GEOMETRY = grid((40, 31, 20))


def case(first: int, last: int, name: str = "a", annotated=(), seed: int = 0) -> CaseView:
    """An object from coronal slice `first` to `last`; unsure everywhere, by chance."""
    scores = flat_scores(GEOMETRY, seed)
    scores["coronal.foreground"] = np.zeros(31, np.float32)
    scores["coronal.foreground"][first : last + 1] = 50
    return CaseView(name, GEOMETRY, {Plane.CORONAL: annotated}, scores)


def best_places(view: CaseView, count: int) -> list[int]:
    """The coronal slices with the largest weights, one after the other."""
    table = Table.of([view])
    along, coronal = Along(table, [view]), table.axis == Plane.CORONAL.axis
    return [int(along.factor()[coronal].argmax()) for _ in range(count)]


def test_places_by_hand():
    """Slices 10 to 20 and one more at both ends: 9 is place 0, 21 is place 1."""
    assert best_places(case(10, 20), 3) == [15, 12, 18]


def test_long_objects_go_on_past_their_ends_by_a_share_of_their_length():
    """Slices 30 to 90 and three more: 27 and 93 are the ends, 66 slices apart."""
    scores = flat_scores(long := grid((12, 121, 12)), 0)
    scores["coronal.foreground"] = np.zeros(121, np.float32)
    scores["coronal.foreground"][30:91] = 50
    view = CaseView("a", long, {Plane.CORONAL: ()}, scores)
    table = Table.of([view])
    coronal = table.axis == Plane.CORONAL.axis
    middle = Along(table, [view]).factor()[coronal]
    assert middle[60] == pytest.approx(1)
    expected = [np.exp(-(((place - 60) / 66) ** 2) / (2 * 0.06**2)) for place in (53, 54, 66, 67)]
    assert middle[[53, 54, 66, 67]] == pytest.approx(expected, rel=1e-6)


def test_places_stop_at_the_ends_of_the_volume():
    """Slices 0 to 30 are all there is: a quarter is at 7.5, three quarters at 22.5."""
    middle, quarter, three_quarters = best_places(case(0, 30), 3)
    assert middle == 15
    assert quarter in (7, 8)
    assert three_quarters in (22, 23)


def test_without_a_predicted_object_the_whole_stack_counts():
    view = case(0, 0)
    nothing = replace(view, scores={**view.scores, "coronal.foreground": np.zeros(31, np.float32)})
    assert best_places(nothing, 1) == [15]


def test_places_go_on_where_the_annotated_slices_stopped():
    assert best_places(case(0, 30, annotated=(4,)), 2) == best_places(case(0, 30), 3)[1:]


def test_a_batch_reaches_from_end_to_end():
    """Eight cases, each unsure elsewhere: the list covers all eighths of the object."""
    views = [case(8, 22, name=str(n), annotated=(15,), seed=n) for n in range(8)]
    found = rank(views, 8, classes=NAMES)
    assert {s.plane for s in found} == {Plane.CORONAL}
    slices = sorted(s.slice for s in found)
    assert slices[0] <= 9
    assert slices[-1] >= 21
    assert max(np.diff([7, *slices, 23])) <= 4
    past = [s for s in found if not 8 <= s.slice <= 22]
    assert all("past the end of what is predicted" in s.reason for s in past)
    assert not any("past the end" in s.reason for s in found if s not in past)


def test_a_gap_inside_the_object_is_not_past_its_end():
    view = case(8, 22, annotated=(2,))
    view.scores["coronal.foreground"][13:18] = 0
    found = rank([view], 12, classes=NAMES)
    off = [*range(8), *range(13, 18), *range(23, 31)]
    reasons = {s.slice: s.reason for s in found if s.slice in off}
    gap = {index for index, said in reasons.items() if said.startswith("a gap in what")}
    past = {index for index, said in reasons.items() if said.startswith("past the end of what")}
    assert gap == reasons.keys() & set(range(13, 18)) != set()
    assert past == reasons.keys() - gap != set()


def test_among_slices_at_a_place_the_least_sure_wins():
    sure, unsure = case(8, 22, "sure"), case(8, 22, "unsure")
    for view, much in ((sure, 5), (unsure, 60)):
        for name in ("uncertainty", "mutual"):
            view.scores[f"coronal.{name}"][:] = much
        view.scores["coronal.classes"][:] = much
    assert rank([sure, unsure], 1, classes=NAMES)[0].case == "unsure"


def test_past_the_end_the_region_of_the_nearest_slice_is_framed():
    """Slices 8 and 22 are the last that are predicted; each has a box of its own."""
    view = case(8, 22, annotated=(15,))
    boxes = np.zeros((31, 4), np.int32)
    boxes[8:23] = [(index, index + 2, 3, 9) for index in range(8, 23)]
    view.scores["coronal.box"] = boxes
    found = {s.slice: s.box for s in rank([view], 12, classes=NAMES) if s.plane is Plane.CORONAL}
    assert min(found) < 8 or max(found) > 22
    for index, box in found.items():
        nearest = min(max(index, 8), 22)
        assert box == (nearest, nearest + 2, 3, 9)
    drawn = rank([view], 10, "random", classes=NAMES)
    assert {s.plane for s in drawn} == {Plane.CORONAL}
    assert {s.box is None for s in drawn if not 8 <= s.slice <= 22} == {True}


def test_without_any_region_none_is_framed():
    view = case(8, 22)
    view.scores["coronal.box"] = np.zeros((31, 4), np.int32)
    found = rank([view], 40, classes=NAMES)
    assert {s.box is None for s in found if s.plane is Plane.CORONAL} == {True}
