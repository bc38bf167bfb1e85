"""What training and validation see of a real project."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from engine_worlds import (
    CLASSES,
    CORONAL,
    SHAPE,
    annotation,
    paint,
    saved,
    tiny_plan,
    truth,
    write_image,
)

from sslseg.core.annotation import BACKGROUND, IGNORE, Annotation, SliceState
from sslseg.core.errors import SslsegError
from sslseg.core.geometry import Plane, take_slice
from sslseg.data.coverage import coverage
from sslseg.data.held_out import on_grid
from sslseg.data.preprocessing import resample_target
from sslseg.data.project import ProjectData
from sslseg.data.targets import grid_index, held_out, training_target, validation_target
from sslseg.storage.images import describe
from sslseg.storage.store import ProjectStore

OWN = (None, None, None)


@pytest.fixture
def store(tmp_path):
    with ProjectStore.create(tmp_path / "p", ["one", "two"]) as made:
        for seed, name in enumerate(("a", "b")):
            made.add_case(describe(write_image(tmp_path / f"{name}.nii.gz", seed)))
        yield made


def target_seen(data: ProjectData, case: str = "a"):
    return seen_in(data.sampler(tiny_plan(2).patches, 0).cases, case)


def seen_in(cases, name: str):
    """The whole target of a case; None where nothing is annotated."""
    target = next(case.target for case in cases if case.name == name)
    return None if target is None else target.dense()


def test_held_out_slices_are_hidden_where_others_cross_them():
    records = [saved(4, plane=Plane.SAGITTAL), saved(5, validation=True)]
    target = training_target(annotation(records), records)
    assert (target[:, 5] == IGNORE).all()
    others = np.arange(SHAPE[1]) != 5
    assert (target[4, others] != IGNORE).all()
    assert (np.delete(target[:, others], 4, axis=0) == IGNORE).all()


def test_validation_sees_the_held_out_slices_alone():
    records = [saved(4, plane=Plane.SAGITTAL), saved(5, validation=True)]
    found = validation_target(annotation(records), records)
    assert np.array_equal(found[:, 5], truth()[:, 5])
    assert (np.delete(found, 5, axis=1) == IGNORE).all()


def test_partial_slices_teach_what_is_painted_and_painted_background():
    labels = np.zeros(SHAPE, np.uint8)
    labels[0, 5, 0], labels[1, 5, 0] = 2, BACKGROUND
    painted = Annotation(labels, {(CORONAL, 5): SliceState.PARTIAL})
    for target in (
        training_target(painted, []),
        validation_target(painted, [saved(5, SliceState.PARTIAL, validation=True)]),
    ):
        assert target[0, 5, 0] == 2
        assert target[1, 5, 0] == 0
        assert (target != IGNORE).sum() == 2


def test_slices_that_say_nothing_are_not_held_out():
    records = [saved(1), saved(2, SliceState.NONE, validation=True), saved(3, validation=True)]
    assert held_out(records) == records[2:]


@pytest.mark.parametrize(
    ("index", "old", "new", "expected"),
    [(0, 10, 10, 0), (9, 10, 10, 9), (9, 10, 5, 4), (5, 10, 5, 2), (1, 3, 9, 4), (0, 1, 4, 2)],
)
def test_where_a_slice_lies_on_the_training_grid(index, old, new, expected):
    assert grid_index(index, old, new) == expected


def test_the_fourth_slice_is_kept_for_validation(store):
    paint(store, "a", [1, 3, 5, 7])
    data = ProjectData(store, OWN, CLASSES, hold_out=True)
    known = (target_seen(data) != IGNORE).any((0, 2))
    assert np.flatnonzero(known).tolist() == [1, 3, 5]
    (kept,) = data.held_out()
    assert (kept.case.name, kept.plane, kept.index) == ("a", CORONAL, 7)
    assert np.array_equal(kept.truth, truth()[:, 7])
    batch = data.validation_sampler(tiny_plan(2).patches, 0).batch(0)
    assert (batch.y[: batch.labelled] != IGNORE).flatten(1).any(1).all()


def test_what_judges_critics_is_made_once_and_anew_after_a_stroke(store):
    paint(store, "a", [1, 3, 5, 7])
    data = ProjectData(store, OWN, CLASSES, hold_out=True)
    first, again = (data.validation_sampler(tiny_plan(2).patches, 0).cases[0] for _ in range(2))
    assert first is again
    paint(store, "a", [8])
    later = data.validation_sampler(tiny_plan(2).patches, 0).cases[0]
    assert later is not first
    assert np.array_equal(later.target.dense(), first.target.dense()), "slice 8 teaches"


def test_without_validation_everything_teaches(store):
    paint(store, "a", [1, 3, 5, 7])
    data = ProjectData(store, OWN, CLASSES, hold_out=False)
    assert (target_seen(data) != IGNORE).any((0, 2)).sum() == 4
    assert data.held_out() == []
    assert data.validation_sampler(tiny_plan(2).patches, 0) is None


def test_a_slice_of_each_plane_counts_as_three(store):
    for plane, index in zip(Plane, (4, 5, 3), strict=True):
        paint(store, "a", [index], plane)
    data = ProjectData(store, OWN, CLASSES, hold_out=True)
    assert data.sampler(tiny_plan(2).patches, 0).slices == 3


def test_a_case_whose_slices_are_all_held_out_does_not_teach(store):
    paint(store, "a", [1, 3, 5])
    paint(store, "b", [7])
    data = ProjectData(store, OWN, CLASSES, hold_out=True)
    assert [held.case.name for held in data.held_out()] == ["b"]
    assert data.teaches({"a", "b"})
    assert not data.teaches({"b"})
    paint(store, "b", [2])
    assert data.teaches({"b"})


def test_held_out_slices_on_a_coarser_grid(store):
    paint(store, "a", [1, 3, 5, 7])
    data = ProjectData(store, (2.0, 3.0, None), CLASSES, hold_out=True)
    (kept,) = data.held_out()
    assert kept.case.image.shape == (5, 4, 8)
    assert kept.index == 2
    assert (kept.truth != IGNORE).all()


def test_without_an_image_of_the_target_nothing_is_adapted(store):
    paint(store, "a", [1, 3])
    store.source_path("b").unlink()
    assert list(ProjectData(store, OWN, CLASSES, hold_out=True).images) == ["a"]
    with pytest.raises(SslsegError, match="no image of case b"):
        ProjectData(store, OWN, CLASSES, hold_out=True, target={"b"})


def test_a_case_that_says_nothing_has_no_target(store):
    paint(store, "a", [1])
    paint(store, "b", [1], state=SliceState.NONE)
    assert target_seen(ProjectData(store, OWN, CLASSES, hold_out=True), "b") is None


def test_nothing_labelled_is_refused(store):
    with pytest.raises(ValueError, match="no annotated voxel"):
        target_seen(ProjectData(store, OWN, CLASSES, hold_out=True))


def test_new_strokes_are_noticed_until_they_are_sampled(store):
    paint(store, "a", [1])
    data = ProjectData(store, OWN, CLASSES, hold_out=True)
    assert data.changed()
    data.sampler(tiny_plan(2).patches, 0)
    assert not data.changed()
    paint(store, "b", [2])
    assert data.changed()
    data.annotated_sampler(tiny_plan(2).patches, 0)
    assert data.changed(), "looking at the annotations is not the same as training on them"
    assert (target_seen(data, "b") != IGNORE).any()
    assert not data.changed()


def test_cases_added_later_wait_for_the_next_training(store, tmp_path):
    paint(store, "a", [1, 2, 3])
    data = ProjectData(store, OWN, CLASSES, hold_out=True)
    store.add_case(describe(write_image(tmp_path / "c.nii.gz", 2)))
    paint(store, "c", [1])
    assert any(r.validation for r in store.slices("c"))
    assert [c.name for c in data.sampler(tiny_plan(2).patches, 0).cases] == ["a", "b"]
    assert data.held_out() == []
    assert data.validation_sampler(tiny_plan(2).patches, 0) is None


def test_hidden_labels_of_a_project_change_no_batch(store):
    """Poison: the held-out slice is painted anew, with other labels."""
    paint(store, "a", [1, 3, 5, 7])
    before = ProjectData(store, OWN, CLASSES, hold_out=True).sampler(tiny_plan(3).patches, 0)
    paint(store, "a", [7], seed=8)
    after = ProjectData(store, OWN, CLASSES, hold_out=True).sampler(tiny_plan(3).patches, 0)
    assert any(r.key.index == 7 and r.validation for r in store.slices("a"))
    for step in range(3):
        a, b = before.batch(step), after.batch(step)
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.y, b.y)


def test_an_erased_slice_teaches_nothing(store):
    paint(store, "a", [1, 3])
    erased = {3: (np.zeros((SHAPE[0], SHAPE[2]), np.uint8), SliceState.NONE)}
    store.save_slices("a", CORONAL, erased)
    target = target_seen(ProjectData(store, OWN, CLASSES, hold_out=True))
    assert (take_slice(target, CORONAL, 1) != IGNORE).all()
    assert (take_slice(target, CORONAL, 3) == IGNORE).all()


def test_coverage_counts_what_slices_say(store):
    paint(store, "a", [1, 3])
    paint(store, "b", [4], Plane.AXIAL, SliceState.PARTIAL)
    paint(store, "b", [5], Plane.SAGITTAL, SliceState.NONE)
    found = coverage(store)
    assert found.planes == {CORONAL: 2, Plane.AXIAL: 1}
    assert not found.dense


def test_coverage_knows_the_share_of_cases_without_labels(store):
    assert coverage(store).free == 1
    paint(store, "b", [5], Plane.SAGITTAL, SliceState.NONE)
    paint(store, "a", [1, 3])
    assert coverage(store).free == 0.5
    paint(store, "b", [4], Plane.AXIAL, SliceState.PARTIAL)
    assert coverage(store).free == 0


def test_coverage_of_whole_volumes_is_dense(store):
    paint(store, "a", range(SHAPE[1]))
    assert coverage(store).dense
    paint(store, "b", [0])
    assert coverage(store).dense
    assert coverage(store).planes == {CORONAL: SHAPE[1] + 1}


def test_a_class_that_came_during_the_run_waits_for_the_next(store):
    paint(store, "a", [1, 3])
    data = ProjectData(store, OWN, CLASSES, hold_out=True)
    store.add_class("three")
    labels = take_slice(store.annotation("a").labels, CORONAL, 1).copy()
    labels[0, 0] = 3
    store.save_slices("a", CORONAL, {1: (labels, SliceState.COMPLETE)})
    seen = target_seen(data)
    assert seen[0, 1, 0] == IGNORE
    assert seen.max() < CLASSES


def homes(data: ProjectData) -> set[str]:
    """Cases that half of the unlabelled items come from; none where nothing is compared."""
    plan = dataclasses.replace(tiny_plan(2).patches, labelled=1, unlabelled=8)
    batch = data.sampler(plan, 0).batch(0)
    return {place.case for place in batch.places[batch.like]} if batch.home else set()


def test_who_is_compared_with_whom(store):
    """The source with the target; annotated volumes with the others; else nobody."""
    paint(store, "a", [4])
    spacing = {"spacing": OWN, "classes": CLASSES, "hold_out": False}
    assert homes(ProjectData(store, **spacing, target={"a"})) == {"b"}
    assert homes(ProjectData(store, **spacing, target={"b"})) == {"a"}
    assert homes(ProjectData(store, **spacing, compared=True)) == {"a"}
    assert homes(ProjectData(store, **spacing)) == set()


def cases_of(data: ProjectData):
    return {case.name: case for case in data.sampler(tiny_plan(2).patches, 0).cases}


def test_a_stroke_makes_its_own_case_anew_and_no_other(store):
    paint(store, "a", [1])
    paint(store, "b", [2])
    data = ProjectData(store, OWN, CLASSES, hold_out=True)
    before = cases_of(data)
    assert cases_of(data)["a"] is before["a"]
    paint(store, "b", [6])
    after = cases_of(data)
    assert after["a"] is before["a"]
    assert after["b"] is not before["b"]
    assert (after["b"].target.dense()[:, 6] != IGNORE).all()
    assert (before["b"].target.dense()[:, 6] == IGNORE).all()


def test_a_repainted_and_an_erased_slice_are_seen(store):
    paint(store, "a", [1, 3])
    data = ProjectData(store, OWN, CLASSES, hold_out=True)
    first = target_seen(data)
    paint(store, "a", [1], seed=5)
    second = target_seen(data)
    assert not np.array_equal(first, second)
    assert np.array_equal(second[:, 1], truth(5)[:, 1])
    nothing = np.zeros((SHAPE[0], SHAPE[2]), np.uint8)
    store.save_slices("a", CORONAL, dict.fromkeys((1, 3), (nothing, SliceState.NONE)))
    paint(store, "b", [1])
    third = target_seen(data)
    assert third is None or (third == IGNORE).all()


def test_joining_makes_those_cases_anew_that_hold_something_back(store):
    paint(store, "a", [1, 3, 5, 7])
    paint(store, "b", [1])
    data = ProjectData(store, OWN, CLASSES, hold_out=True)
    held = {record.key.case for record in store.slices() if record.validation}
    assert held == {"a"}
    before = cases_of(data)
    data.join_held_out()
    after = cases_of(data)
    assert after["b"] is before["b"]
    assert (after["a"].target.dense()[:, 7] != IGNORE).all()


def test_held_out_slices_follow_their_newest_revision(store):
    paint(store, "a", [1, 3, 5, 7])
    data = ProjectData(store, OWN, CLASSES, hold_out=True)
    (first,) = data.held_out()
    assert data.held_out()[0] is first
    assert first.truth.base is None, "not a view into a whole volume"
    paint(store, "b", [1])
    assert data.held_out()[0] is first
    paint(store, "a", [7], seed=8)
    (second,) = data.held_out()
    assert np.array_equal(second.truth, truth(8)[:, 7])


@pytest.mark.parametrize("spacing", [OWN, (2.0, 3.0, None), (1.7, 1.7, 1.7), (0.6, 2.5, 0.6)])
def test_a_held_out_slice_is_that_of_the_resampled_volume(store, spacing):
    """Crossed by slices that were saved before it and after it, complete, partial and erased."""
    paint(store, "a", [2, 6], Plane.AXIAL, seed=1)
    paint(store, "a", [0, 3, 4, 7, 9, 11], state=SliceState.PARTIAL, seed=2)
    paint(store, "a", [1, 5, 8], Plane.SAGITTAL, seed=3)
    paint(store, "a", [1, 2, 5, 6, 8, 10], seed=4)
    paint(store, "a", [3, 4, 7], Plane.AXIAL, SliceState.PARTIAL, seed=5)
    erased = {6: (np.zeros(SHAPE[1:], np.uint8), SliceState.NONE)}
    store.save_slices("a", Plane.SAGITTAL, erased, author="test")
    found = ProjectData(store, spacing, CLASSES, hold_out=True).held_out()
    records = held_out(store.slices("a"))
    assert len(found) == len(records) == 3
    for record, one in zip(records, found, strict=True):
        shape, axis = one.case.image.shape, record.key.plane.axis
        volume = validation_target(store.annotation("a"), [record])
        expected = take_slice(resample_target(volume, shape), record.key.plane, one.index)
        assert one.index == grid_index(record.key.index, SHAPE[axis], shape[axis])
        assert np.array_equal(one.truth, expected)
        assert one.size == expected.size


def test_held_out_slices_are_read_when_somebody_looks_at_them(store, monkeypatch):
    paint(store, "a", range(SHAPE[1]))
    data = ProjectData(store, OWN, CLASSES, hold_out=True)
    read = []
    real = store.labels_at
    monkeypatch.setattr(store, "labels_at", lambda r: read.append(r) or real(r))
    monkeypatch.setattr(store, "annotation", lambda case: pytest.fail("the volume was read"))
    _, second = data.held_out()
    assert read == []
    assert np.array_equal(second.truth, truth()[:, second.index])
    assert second.truth is second.truth
    assert len(read) == 1


def test_slices_that_say_nothing_to_this_network_are_not_held_out(store):
    """One without a stroke, and one that is all of a class which came during the run."""
    paint(store, "a", [1, 3, 5])
    empty = np.zeros((SHAPE[0], SHAPE[2]), np.uint8)
    store.save_slices("a", CORONAL, {7: (empty + 1, SliceState.COMPLETE)}, author="test")
    store.save_slices("a", CORONAL, {7: (empty, SliceState.PARTIAL)}, author="test")
    assert held_out(store.slices("a"))
    assert ProjectData(store, OWN, CLASSES, hold_out=True).held_out() == []
    data = ProjectData(store, OWN, CLASSES, hold_out=True)
    store.add_class("three")
    store.save_slices("a", CORONAL, {7: (empty + 3, SliceState.COMPLETE)}, author="test")
    assert data.held_out() == []
    assert data.validation_sampler(tiny_plan(2).patches, 0) is None
    store.save_slices("a", CORONAL, {7: (empty + 2, SliceState.COMPLETE)}, author="test")
    assert len(data.held_out()) == 1


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize(("old", "new"), [((9, 7, 5), (4, 10, 5)), ((6, 6, 6), (13, 2, 3))])
def test_every_slice_alone_is_resampled_as_in_its_volume(axis, old, new):
    rng = np.random.default_rng(axis)
    for index in range(old[axis]):
        volume = np.full(old, IGNORE, np.int16)
        shown = np.moveaxis(volume, axis, 0)[index]
        shown[...] = rng.integers(-1, 3, shown.shape)
        place = grid_index(index, old[axis], new[axis])
        expected = np.moveaxis(resample_target(volume, new), axis, 0)[place]
        assert np.array_equal(on_grid(shown.copy(), axis, index, old, new), expected)
