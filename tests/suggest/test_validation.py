"""Suggestions know which cases are held out for validation."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from suggest_worlds import flat_scores, grid

from sslseg.core.annotation import SliceKey, SliceRecord, SliceState
from sslseg.core.geometry import Plane, Reorientation
from sslseg.core.volume import CaseRecord
from sslseg.session import Session
from sslseg.suggest.selection import rank
from sslseg.suggest.views import CaseView, held_out_case

NAMES = ("posterior", "anterior")


def record(index, held, case="a", state=SliceState.COMPLETE) -> SliceRecord:
    key = SliceKey(case=case, plane=Plane.AXIAL, index=index)
    return SliceRecord(key=key, state=state, revision=1, time=0.0, author="x", validation=held)


def peaked(name, held_out=False) -> CaseView:
    """Unsure in coronal slice 17 alone: 50 in a band of 100 voxels, so 50 / (100 + 100)."""
    geometry = grid()
    scores = {key: np.zeros_like(values) for key, values in flat_scores(geometry, 0).items()}
    for plane in Plane:
        scores[f"{plane}.band"] += 100
    scores["coronal.uncertainty"][17] = 50
    return CaseView(name, geometry, scores=scores, held_out=held_out)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ((), False),
        ((True,), False),  # one is too few for a Dice
        ((True, True), True),
        ((True, True, False), True),  # one showed a class that no other slice shows
        ((True, True, False, False), False),  # a case to learn from
    ],
)
def test_a_case_is_held_out_where_two_slices_are_and_most_of_them(held, expected):
    records = [record(index, each) for index, each in enumerate(held)]
    others = [record(index, True, case="b") for index in range(3)]
    gone = [record(index + 9, True, state=SliceState.NONE) for index in range(3)]
    assert held_out_case([*records, *others, *gone], "a") is expected


def test_a_case_held_out_counts_half_and_says_so():
    views = [peaked("judge", held_out=True), peaked("teacher")]
    first, second = rank(views, 2, "uncertainty", classes=NAMES)
    assert (first.case, first.score) == ("teacher", pytest.approx(50 / 200))
    assert (second.case, second.score) == ("judge", pytest.approx(50 / 200 / 2))
    assert "validation" not in first.reason
    assert second.reason.endswith("; it would be for validation first")


@pytest.mark.parametrize("strategy", ["random", "random-foreground"])
def test_draws_to_compare_with_are_the_same_whatever_is_held_out(make_case, strategy):
    cases = [make_case(name, seed=n) for n, name in enumerate("ab")]
    held = [replace(cases[0], held_out=True), cases[1]]
    found, other = (rank(each, 8, strategy, classes=NAMES) for each in (cases, held))
    keys = [(s.case, s.plane, s.slice, s.score) for s in found]
    assert keys == [(s.case, s.plane, s.slice, s.score) for s in other]


@pytest.fixture
def session(tmp_path):
    """Two complete slices of each of six cases: the sixth case is held out."""
    with Session.create(tmp_path / "project", NAMES) as made:
        for name in "abcdef":
            case = CaseRecord(
                name=name,
                source=f"{name}.nii",
                sha256="",
                geometry=grid((8, 8, 8)),
                reorientation=Reorientation(),
            )
            made.store.add_case(case)
            empty = np.zeros((8, 8), np.uint8), SliceState.COMPLETE
            made.store.save_slices(name, Plane.AXIAL, dict.fromkeys((2, 5), empty))
        yield made


def held_out(session, monkeypatch) -> list[str]:
    given = []
    monkeypatch.setattr("sslseg.session.rank", lambda views, *_, **__: given.extend(views) or [])
    session.suggest(1)
    return [view.name for view in given if view.held_out]


def test_a_session_tells_which_cases_are_held_out(session, monkeypatch):
    assert held_out(session, monkeypatch) == ["f"]


def test_where_nothing_is_measured_no_case_is_held_out(session, monkeypatch):
    request = SimpleNamespace(settings={"validation": False})
    facts = SimpleNamespace(method="supervised", request=request, classes=NAMES)
    monkeypatch.setattr("sslseg.session.model.load_facts", lambda _: facts)
    assert held_out(session, monkeypatch) == []
