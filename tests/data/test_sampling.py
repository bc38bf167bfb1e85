from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_worlds import SHAPE, image, saved, target_of, tiny_cases, tiny_plan, tiny_sampler
from hypothesis import given, settings
from hypothesis import strategies as st

from sslseg.core.annotation import IGNORE
from sslseg.core.geometry import Plane, take_slice
from sslseg.data.blocks import Blocks
from sslseg.data.sampling import CLASS_CENTRED, PatchPlan, Sampler, TrainingCase
from sslseg.data.slabs import crop, slab

sides = st.integers(1, 9)


@given(
    shape=st.tuples(sides, sides, sides),
    patch=st.tuples(sides, sides, sides),
    axis=st.sampled_from([None, 0, 1, 2]),
    voxel=st.tuples(*[st.floats(0, 0.999)] * 3),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_labelled_items_hold_an_annotated_voxel(shape, patch, axis, voxel, seed):
    """Wherever the single annotated voxel lies and whatever the patch; no other truth appears."""
    target = np.full(shape, IGNORE, np.int16)
    target[tuple(int(v * side) for v, side in zip(voxel, shape, strict=True))] = 2
    size = patch if axis is None else patch[:2]
    plan = PatchPlan(axis, 1 if axis is None else 3, size, 3, 2)
    cases = [TrainingCase("a", image(0, shape), Blocks.of(target))]
    cases.append(TrainingCase("b", image(1), None))
    batch = Sampler(cases, plan, seed).batch(0)
    assert batch.x.shape == (5, plan.context, *size)
    assert batch.y.shape == (5, *size)
    assert ((batch.y == 2).flatten(1).sum(1)[: batch.labelled] == 1).all()
    assert ((batch.y == 2) | (batch.y == IGNORE)).all()
    assert torch.isfinite(batch.x).all()


@pytest.mark.parametrize("dims", [2, 3])
def test_image_and_target_are_cut_at_the_same_place(dims):
    """The image is the target here, so that the middle channel must show it."""
    target = (np.arange(np.prod(SHAPE)).reshape(SHAPE) % 251).astype(np.int16)
    cases = [TrainingCase("a", target.astype(np.float16), Blocks.of(target))]
    batch = Sampler(cases, tiny_plan(dims).patches, 0).batch(3)
    middle = batch.x[:, batch.x.shape[1] // 2]
    assert torch.equal(middle, batch.y.float())


@pytest.mark.parametrize("dims", [2, 3])
def test_batches_follow_from_seed_and_step(dims):
    plan = tiny_plan(dims)
    sampler, other = tiny_sampler(plan), tiny_sampler(plan)
    other.batch(0)
    for step in (7, 2):
        a, b = sampler.batch(step), other.batch(step)
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.y, b.y)
    assert not torch.equal(sampler.batch(2).x, sampler.batch(3).x)
    assert not torch.equal(sampler.batch(2).x, tiny_sampler(plan, seed=1).batch(2).x)


def test_rare_classes_are_drawn_often():
    """One voxel of class 2 among 96 of class 0: every class-centred draw shows it."""
    target = np.full(SHAPE, IGNORE, np.int16)
    target[:, 5, :] = 0
    target[9, 5, 7] = 2
    plan = replace(tiny_plan(2, labelled=64, unlabelled=0).patches, patch=(2, 2))
    batch = Sampler([TrainingCase("a", image(), Blocks.of(target))], plan, 0).batch(0)
    seen = (batch.y == 2).flatten(1).any(1).float().mean()
    assert 0.3 < seen < 0.7


def test_a_class_that_one_case_shows_is_drawn_as_often_as_the_others():
    """One case of ten shows class 2: a quarter of the items is centred on it, not a fortieth."""
    plain = np.full(SHAPE, IGNORE, np.int16)
    plain[:, 5, :] = 0
    plain[0, 5, 0] = 1
    rare = plain.copy()
    rare[9, 5, 7] = 2
    targets = [rare, *[plain] * 9]
    cases = [TrainingCase(str(n), image(n), Blocks.of(t)) for n, t in enumerate(targets)]
    plan = replace(tiny_plan(2, labelled=300, unlabelled=0).patches, patch=(1, 1))
    batch = Sampler(cases, plan, 0).batch(0)
    assert 0.18 < (batch.y == 2).flatten(1).any(1).float().mean() < 0.32


@pytest.mark.parametrize(("axis", "dims"), [(None, 3), (1, 2)])
def test_half_of_the_unlabelled_items_lie_where_structures_lie(axis, dims):
    """At a fifth of each side of the annotated volume; by chance one item in a hundred does."""
    target = np.full((20, 20, 20), IGNORE, np.int16)
    target[4] = 0
    target[4, 4, 4] = 1
    cases = [TrainingCase("a", image(0, (20, 20, 20)), Blocks.of(target))]
    cases += [TrainingCase("b", image(1, (80, 80, 80)), None)]
    plan = PatchPlan(axis, 1, (2, 2, 2)[:dims], 0, 400)
    places = [place for place in Sampler(cases, plan, 0).batch(0).places if place.case == "b"]
    starts = np.array([place.start for place in places])
    near = np.all((starts >= 80 * 0.125 - 2) & (starts <= 80 * 0.325), axis=1)
    assert 0.4 < near.mean() < 0.65
    if axis is not None:
        assert np.mean([place.index > 40 for place in places]) > 0.4, "any slice"


def test_unlabelled_items_come_from_every_case():
    plan = tiny_plan(2, labelled=0, unlabelled=64).patches
    cases = [replace(c, image=np.full(SHAPE, i, np.float16)) for i, c in enumerate(tiny_cases())]
    levels = Sampler(cases, plan, 0).batch(0).x.flatten(1).mean(1)
    assert set(levels.tolist()) == {0.0, 1.0, 2.0}


def test_nothing_annotated_is_refused():
    with pytest.raises(ValueError, match="no annotated voxel"):
        tiny_sampler(tiny_plan(2), np.full(SHAPE, IGNORE, np.int16))


def test_slab_repeats_edges():
    volume = np.arange(4, dtype=np.float16)[:, None, None] * np.ones((4, 2, 3), np.float16)
    assert slab(volume, 0, 0, 5)[:, 0, 0].tolist() == [0, 0, 0, 1, 2]
    assert slab(volume, 0, 3, 3)[:, 1, 2].tolist() == [2, 3, 3]
    assert slab(volume, 0, 2, 1).shape == (1, 2, 3)


@pytest.mark.parametrize("axis", range(3))
def test_slab_keeps_the_other_axes_in_order(axis):
    volume = np.arange(60, dtype=np.float16).reshape(3, 4, 5)
    piece = slab(volume, axis, 1, 3)
    assert piece.shape == (3, *[s for a, s in enumerate((3, 4, 5)) if a != axis])
    assert np.array_equal(piece[1], np.take(volume, 1, axis))


@pytest.mark.parametrize(
    ("start", "size", "fill", "expected"),
    [
        ((1,), (2,), -1, [11, 12]),
        ((-2,), (3,), -1, [-1, -1, 10]),
        ((2,), (3,), -1, [12, 13, -1]),
        ((-1,), (6,), "edge", [10, 10, 11, 12, 13, 13]),
    ],
)
def test_crop_pads_where_it_leaves_the_array(start, size, fill, expected):
    assert crop(np.arange(10, 14), start, size, fill).tolist() == expected


def test_crop_leaves_leading_axes_alone():
    array = np.arange(24).reshape(2, 3, 4)
    assert np.array_equal(crop(array, (1, 2), (2, 2), 0), array[:, 1:3, 2:4])


def test_target_of_a_slab_is_its_middle_slice():
    target = target_of([saved(5)])
    plan = replace(tiny_plan(2, unlabelled=0).patches, patch=(10, 8))
    batch = Sampler([TrainingCase("a", image(), Blocks.of(target))], plan, 0).batch(0)
    expected = torch.from_numpy(take_slice(target, saved(5).key.plane, 5).astype(np.int64))
    assert all(torch.equal(y, expected) for y in batch.y)


# ---- cases that a critic compares ----


def sides_of(batch):
    """Names of the cases of labelled, home and other items."""
    names = [place.case for place in batch.places]
    known, home = batch.labelled, batch.labelled + batch.home
    assert (batch.like, batch.unlike) == (slice(known, home), slice(home, len(names)))
    return names[:known], names[known:home], names[home:]


def test_half_of_the_unlabelled_items_are_of_home_for_a_critic_to_compare():
    target = Blocks.of(target_of([saved(4)]))
    cases = [TrainingCase(name, image(seed), None) for seed, name in enumerate("bcde")]
    cases.append(TrainingCase("a", image(9), target))
    plan = replace(tiny_plan(2).patches, labelled=3, unlabelled=5)
    sampler = Sampler(cases, plan, 0, home={"a", "b"})
    seen = [sides_of(sampler.batch(step)) for step in range(20)]
    assert all((len(home), len(others)) == (2, 3) for _, home, others in seen)
    labelled, home, others = (
        {name for part in parts for name in part} for parts in zip(*seen, strict=True)
    )
    assert (labelled, home, others) == ({"a"}, {"a", "b"}, {"c", "d", "e"})


def test_annotations_of_the_target_are_learnt_from_without_passing_for_the_source():
    target = Blocks.of(target_of([saved(4)]))
    cases = [TrainingCase("source", image(0), target), TrainingCase("target", image(1), target)]
    plan = replace(tiny_plan(2).patches, labelled=2, unlabelled=2)
    sampler = Sampler(cases, plan, 0, home={"source"})
    batches = [sampler.batch(step) for step in range(60)]
    assert all(
        sides_of(batch) == (["source", "source"], ["source"], ["target"]) for batch in batches
    )
    told = sum(bool((batch.y[batch.unlike] != IGNORE).any()) for batch in batches)
    assert told >= 20, "half of them lie around annotations, one coronal slice in ten by chance"


@pytest.mark.parametrize("home", [None, {"a", "b"}, {"elsewhere"}])
def test_without_two_sides_nothing_is_compared(home):
    cases = [TrainingCase("a", image(), Blocks.of(target_of([saved(4)])))]
    cases.append(TrainingCase("b", image(1), None))
    plan = replace(tiny_plan(2).patches, labelled=2, unlabelled=4)
    batch, plain = Sampler(cases, plan, 0, home=home).batch(0), Sampler(cases, plan, 0).batch(0)
    assert torch.equal(batch.x, plain.x)
    assert batch.home == 0
    assert (batch.like, batch.unlike) == (slice(0, 2), slice(2, 6))


class ByList(Sampler):
    """As a sampler that keeps a list of all annotated voxels, and of those of each class."""

    def _around(self, rng, known):
        targets = [(case, case.target.dense()) for case in known.cases]
        wanted = None
        if rng.random() < CLASS_CENTRED:
            values = np.unique(np.concatenate([target.ravel() for _, target in targets]))
            values = values[values > 0] if (values > 0).any() else values[values != IGNORE]
            wanted = values[rng.integers(len(values))]
        found = [
            (case, np.argwhere(target != IGNORE if wanted is None else target == wanted))
            for case, target in targets
        ]
        found = [(case, places) for case, places in found if len(places)]
        case, places = found[rng.integers(len(found))]
        return self._item(rng, case, places[rng.integers(len(places))])


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    "records",
    [[saved(2), saved(5)], [saved(index) for index in range(SHAPE[1])]],
    ids=["slices", "whole volume"],
)
def test_voxels_found_by_number_are_those_of_a_list(dims, records):
    plan = replace(tiny_plan(dims).patches, labelled=6)
    cases = tiny_cases(target_of(records))
    lean, plain = Sampler(cases, plan, 3), ByList(cases, plan, 3)
    for step in range(10):
        ours, theirs = lean.batch(step), plain.batch(step)
        assert ours.places == theirs.places
        assert torch.equal(ours.x, theirs.x)
        assert torch.equal(ours.y, theirs.y)


@pytest.mark.parametrize("records", [[], [saved(2), saved(5)], [saved(1, plane=Plane.AXIAL)]])
def test_slices_are_counted_along_the_axis_with_fewest(records):
    target = target_of(records)
    places = np.argwhere(target != IGNORE)
    expected = min(len(np.unique(places[:, axis])) for axis in range(3))
    case = TrainingCase("a", image(), Blocks.of(target))
    assert case.fewest_slices == expected == len(records)


def crossed() -> TrainingCase:
    """A case with one axial slice and four sagittal ones: most voxels are on the latter."""
    target = np.full((20, 16, 12), IGNORE, np.int16)
    target[::5], target[:, :, 3] = 0, 1
    slices = {0: frozenset(range(0, 20, 5)), 2: frozenset({3})}
    return TrainingCase("a", image(0, target.shape), Blocks.of(target), slices)


def test_half_of_a_slice_networks_items_show_a_slice_of_its_own_plane():
    """Of any annotated voxel that is class 0, one in twelve lies on the axial slice."""
    plan = PatchPlan(2, 1, (20, 16), 400, 0)
    shown = [place.index == 3 for place in Sampler([crossed()], plan, 0).batch(0).places]
    bare = [replace(crossed(), slices={2: frozenset({3})})]
    before = [place.index == 3 for place in Sampler(bare, plan, 0).batch(0).places]
    half = (1 + np.mean(before)) / 2
    assert np.mean(shown) == pytest.approx(half, abs=0.08)
    assert np.mean(before) < half - 0.1


def test_slices_of_one_plane_alone_change_nothing():
    plan = PatchPlan(0, 1, (16, 12), 8, 0)
    alone = replace(crossed(), slices={0: frozenset(range(0, 20, 5))})
    one, other = (Sampler([case], plan, 0).batch(3) for case in (alone, replace(alone, slices={})))
    assert torch.equal(one.y, other.y)


def test_items_around_a_class_are_never_around_background():
    target = np.zeros((30, 30, 30), np.int16)
    target[15, 15, 15] = 1
    sampler = Sampler([TrainingCase("a", image(0, target.shape), Blocks.of(target))], CUBE, 0)
    shown = (sampler.batch(0).y == 1).flatten(1).any(1).float().mean()
    assert float(shown) > 0.4, "half of the items are around the one voxel of a structure"


CUBE = PatchPlan(None, 1, (5, 5, 5), 200, 0)


def test_alone_the_labelled_items_are_the_same_and_no_others_are_drawn():
    sampler = tiny_sampler(tiny_plan(2))
    both, alone = sampler.batch(3), sampler.batch(3, alone=True)
    assert both.unlabelled > 0
    assert alone.unlabelled == 0
    assert torch.equal(alone.x, both.x[: both.labelled])
    assert torch.equal(alone.y, both.y[: both.labelled])
