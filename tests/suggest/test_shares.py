"""Who gets how many suggestions: predicted cases, cases without a prediction, undrawn classes."""

from __future__ import annotations

import pytest
from suggest_worlds import grid

from sslseg.core.geometry import Plane
from sslseg.suggest.selection import rank

NAMES = ("posterior", "anterior")


def some_predicted(make_case, predicted, cases):
    return [make_case(str(n), scored=n < predicted, seed=n) for n in range(cases)]


def kinds(found, predicted):
    """P for a suggestion of a predicted case, C for a cold start, in order."""
    return "".join("P" if int(s.case) < predicted else "C" for s in found)


# ---- cases without a prediction ----


@pytest.mark.parametrize(
    ("predicted", "cases", "count", "order"),
    [
        (1, 30, 12, "P" + "C" * 11),  # 0.4 of 12, but one at least
        (1, 30, 1, "P"),
        (1, 30, 0, ""),
        (2, 6, 12, "PCCPCCPCCPCC"),
        (1, 2, 5, "PCPCP"),  # two and a half of five
        (4, 6, 3, "PCP"),
        (11, 12, 12, "PPPPPPCPPPPP"),
        (29, 30, 12, "P" * 12),  # 0.4 of 12 for the others
        (6, 6, 12, "P" * 12),
    ],
)
def test_suggestions_are_shared_out_by_the_number_of_cases(
    make_case, predicted, cases, count, order
):
    found = rank(some_predicted(make_case, predicted, cases), count, classes=NAMES)
    assert kinds(found, predicted) == order


@pytest.mark.parametrize("strategy", ["random", "random-foreground"])
def test_random_draws_are_of_predicted_cases_alone(make_case, strategy):
    found = rank(some_predicted(make_case, 1, 30), 12, strategy, classes=NAMES)
    assert kinds(found, 1) == "P" * 12


@pytest.mark.parametrize("small", ["predicted", "other"])
def test_where_one_kind_has_no_slices_left_the_other_fills_up(make_case, small):
    """Twelve of 24 for each of two cases, one of which has nine slices."""
    cases = [
        make_case(name, grid((3, 3, 3)) if name == small else None, scored=name == "predicted")
        for name in ("predicted", "other")
    ]
    found = rank(cases, 24, classes=NAMES)
    assert len({(s.case, s.plane, s.slice) for s in found}) == 24
    assert sum(s.case == small for s in found) == 9


def test_a_cold_start_beside_predicted_cases_goes_on_in_the_plane_in_use(make_case):
    """Alone the new case would begin in its coronal plane."""
    cases = [make_case("old", annotated={Plane.AXIAL: (9,)}), make_case("new", scored=False)]
    found = rank(cases, 6, classes=NAMES)
    assert [s.case for s in found] == ["old", "new"] * 3
    assert {s.plane for s in found} == {Plane.AXIAL}


# ---- a class that nobody drew ----


def looks_on(cases, **how):
    found = rank(cases, 4, classes=NAMES, undrawn=("anterior",), **how)
    return any(s.reason.startswith("nothing is drawn as anterior yet") for s in found)


@pytest.mark.parametrize(("last", "looking"), [((4,), True), ((4, 9), False)])
def test_a_class_is_looked_for_in_nineteen_slices_but_not_in_twenty(make_case, last, looking):
    """Six cases with three slices each, and one with one or two; three cases have none."""
    drawn = [*[(3, 8, 13)] * 6, last, (), (), ()]
    cases = [make_case(str(n), annotated={Plane.AXIAL: some}) for n, some in enumerate(drawn)]
    assert looks_on(cases) is looking
    assert looks_on(cases, strategy="cold-start") is looking


def test_a_volume_drawn_from_end_to_end_does_not_end_the_look_in_the_others(make_case):
    drawn = make_case("drawn", annotated={Plane.AXIAL: tuple(range(20))})
    assert looks_on([drawn, *(make_case(str(n)) for n in range(9))])


@pytest.mark.parametrize(
    ("known", "looking"), [((), False), (("posterior",), True), (NAMES, False)]
)
def test_a_class_that_came_after_the_training_is_looked_for_all_the_same(make_case, known, looking):
    cases = [make_case(str(n), annotated={Plane.AXIAL: (3, 8, 13)}) for n in range(9)]
    assert looks_on(cases, known=known) is looking


@pytest.mark.parametrize(("slices", "looking"), [(19, True), (20, False)])
def test_in_a_volume_alone_the_look_ends_too(make_case, slices, looking):
    assert looks_on([make_case(annotated={Plane.SAGITTAL: tuple(range(slices))})]) is looking
