"""Which slices are held out, and that this never changes."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from phantoms import write_nifti

from sslseg.core.annotation import BACKGROUND, SliceState
from sslseg.core.geometry import Plane
from sslseg.storage.images import describe
from sslseg.storage.split import hold_out
from sslseg.storage.store import ProjectStore


def taught() -> bool:
    """No class of the slice is on it alone."""
    return False


def of_one_case(only_ones: Sequence[int] = ()) -> list[int]:
    """Which of twenty slices are held out; `only_ones` show a class that nobody teaches."""
    held: list[int] = []
    for n in range(1, 21):
        cases = {"a": False} if n > 1 else {}
        _, chosen = hold_out("a", cases, n - 1, len(held), partial(only_ones.__contains__, n))
        held += [n] if chosen else []
    return held


def test_of_one_case_the_4th_11th_and_18th_slice_are_held_out() -> None:
    assert of_one_case() == [4, 11, 18]


def test_the_next_slice_takes_the_turn_of_one_that_alone_shows_a_class() -> None:
    assert of_one_case([4, 5, 18]) == [6, 11, 19]


def test_every_sixth_case_is_for_validation() -> None:
    cases: dict[str, bool] = {}
    for number in range(1, 25):
        cases[str(number)] = hold_out(str(number), cases, len(cases), 0, taught)[0]
    assert [name for name, held in cases.items() if held] == ["6", "12", "18", "24"]


def test_with_a_validation_case_no_other_slices_are_held_out() -> None:
    cases = {"a": False, "b": True}
    assert not any(hold_out("a", cases, n, 1, taught)[1] for n in range(20))
    assert all(hold_out("b", cases, n, 1, taught) == (True, True) for n in range(20))


def test_the_next_case_takes_the_turn_of_one_that_alone_shows_a_class() -> None:
    cases = dict.fromkeys("abcde", False)
    assert hold_out("f", cases, 3, 0, lambda: True) == (False, False)
    assert hold_out("g", cases | {"f": False}, 4, 0, taught) == (True, True)
    known = cases | {"f": True}
    assert hold_out("f", known, 9, 3, lambda: True) == (True, False), "one of its slices teaches"


def annotate(store: ProjectStore, case: str, index: int, value: int = 1) -> None:
    labels = np.full((4, 5), value, np.uint8)
    store.save_slices(case, Plane.AXIAL, {index: (labels, SliceState.PARTIAL)})


def held_out(store: ProjectStore) -> set[tuple[str, int]]:
    return {(r.key.case, r.key.index) for r in store.slices() if r.validation}


def test_the_split_is_fixed_at_first_sight_and_never_moved(tmp_path: Path) -> None:
    record = describe(write_nifti(tmp_path / "c1.nii"))
    with ProjectStore.create(tmp_path / "project", ["a"]) as store:
        for number in range(1, 8):
            store.add_case(record.model_copy(update={"name": f"c{number}"}))
        annotate(store, "c1", 0)
        annotate(store, "c1", 1)
        annotate(store, "c1", 5, value=0)  # says nothing, so it does not count
        annotate(store, "c1", 2)
        assert held_out(store) == set()
        annotate(store, "c1", 3)
        assert held_out(store) == {("c1", 3)}
        annotate(store, "c1", 3, value=0)
        annotate(store, "c1", 0, value=255)
        for number in range(2, 8):
            annotate(store, f"c{number}", 0)
        annotate(store, "c6", 4)
        fixed = {("c1", 3), ("c6", 0), ("c6", 4)}
        assert held_out(store) == fixed
    with ProjectStore.open(tmp_path / "project") as store:
        annotate(store, "c1", 5)
        annotate(store, "c2", 1)
        assert held_out(store) == fixed


def test_an_empty_complete_slice_counts(tmp_path: Path) -> None:
    with ProjectStore.create(tmp_path / "project", ["a"]) as store:
        store.add_case(describe(write_nifti(tmp_path / "c1.nii")))
        empty = np.zeros((4, 5), np.uint8)
        store.save_slices("c1", Plane.AXIAL, dict.fromkeys(range(5), (empty, SliceState.COMPLETE)))
        assert held_out(store) == {("c1", 3)}


def test_the_only_slice_of_a_class_is_never_held_out(tmp_path: Path) -> None:
    with ProjectStore.create(tmp_path / "project", ["a", "b"]) as store:
        store.add_case(describe(write_nifti(tmp_path / "c1.nii")))
        for index in range(3):
            annotate(store, "c1", index)
        annotate(store, "c1", 3, value=2)
        assert held_out(store) == set(), "nobody else teaches class 2"
        annotate(store, "c1", 4, value=2)
        assert held_out(store) == {("c1", 4)}, "now somebody does"


def test_what_a_slice_no_longer_shows_or_what_is_held_out_teaches_nothing(tmp_path: Path) -> None:
    record = describe(write_nifti(tmp_path / "c1.nii"))
    with ProjectStore.create(tmp_path / "project", ["a", "b"]) as store:
        for number in (1, 2):
            store.add_case(record.model_copy(update={"name": f"c{number}"}))
        for index in range(3):
            annotate(store, "c1", index, value=2)
        annotate(store, "c1", 3, value=2)
        assert held_out(store) == {("c1", 3)}
        for index in range(3):
            annotate(store, "c1", index)  # class 2 is left on the held-out slice alone
        for index in (4, 5):
            annotate(store, "c1", index, value=BACKGROUND)
        for index in range(5):
            annotate(store, "c2", index, value=2 if index == 4 else 1)
        assert held_out(store) == {("c1", 3)}, "the eleventh would be the only one to teach it"


def undo(store: ProjectStore, case: str, index: int) -> None:
    empty = np.zeros((4, 5), np.uint8)
    store.save_slices(case, Plane.AXIAL, {index: (empty, SliceState.NONE)})


def test_undone_strokes_bring_no_turn_nearer(tmp_path: Path) -> None:
    record = describe(write_nifti(tmp_path / "c1.nii"))
    with ProjectStore.create(tmp_path / "project", ["a"]) as store:
        for number in range(1, 8):
            store.add_case(record.model_copy(update={"name": f"c{number}"}))
        for index in range(3):  # the brush is tried
            annotate(store, "c1", index)
            undo(store, "c1", index)
        for index in (3, 4, 0):
            annotate(store, "c1", index)
        assert held_out(store) == set(), "three slices say something"
        annotate(store, "c1", 5)
        assert held_out(store) == {("c1", 5)}
        undo(store, "c1", 5)
        annotate(store, "c1", 1)
        assert held_out(store) == {("c1", 5)}, "decided when it was first seen"
        annotate(store, "c1", 2)
        annotate(store, "c2", 0)
        assert held_out(store) == {("c1", 5), ("c2", 0)}, "another takes the turn of the undone"


def test_cases_that_were_only_touched_bring_no_validation_case(tmp_path: Path) -> None:
    record = describe(write_nifti(tmp_path / "c1.nii"))
    with ProjectStore.create(tmp_path / "project", ["a"]) as store:
        for number in range(1, 8):
            store.add_case(record.model_copy(update={"name": f"c{number}"}))
        for number in range(1, 6):
            annotate(store, f"c{number}", 0)
            undo(store, f"c{number}", 0)
        annotate(store, "c6", 0)
        assert held_out(store) == set()
