"""What every method owes in a trainer, in 2.5-D and 3-D, the riding critic pushing or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_worlds import (
    LATE,
    SHAPE,
    annotation,
    image,
    same,
    saved,
    target_of,
    tiny_plan,
    tiny_sampler,
    tiny_trainer,
)

from sslseg.core.annotation import BACKGROUND, Annotation, SliceState
from sslseg.core.control import Control
from sslseg.core.geometry import Plane, take_slice
from sslseg.data.sampling import Sampler
from sslseg.data.targets import training_target
from sslseg.methods.base import optimised
from sslseg.training.trainer import BAD_STEPS_ALLOWED, Diverged


@pytest.fixture(params=[0.0, 0.01], ids=["critic watches", "critic pushes"])
def weight(request):
    return request.param


RECORDS = [
    saved(2),
    saved(5, SliceState.PARTIAL),
    saved(7, validation=True),
    saved(3, plane=Plane.SAGITTAL),
    saved(4, SliceState.PARTIAL, Plane.AXIAL, validation=True),
    saved(6, SliceState.NONE, Plane.SAGITTAL),
]
HELD_OUT = [one for one in RECORDS if one.validation]


def poisoned(painted: Annotation) -> Annotation:
    """Random labels in every voxel of the held-out slices, where other planes cross them too."""
    rng = np.random.default_rng(99)
    labels = painted.labels.copy()
    for one in HELD_OUT:
        there = take_slice(labels, one.key.plane, one.key.index)
        there[...] = rng.choice([0, 1, 2, BACKGROUND], there.shape)
    return replace(painted, labels=labels)


def trained(name, dims, weight, painted, records, steps=2):
    """Terms of some steps and the state after them."""
    trainer = tiny_trainer(name, dims, weight)
    sampler = tiny_sampler(trainer.plan, training_target(painted, records))
    reports = [trainer.step(sampler, LATE) for _ in range(steps)]
    return reports, trainer.state()


def test_poison(name, dims, weight):
    """What is hidden from training changes no loss, no gradient, no weight: bit for bit."""
    clean = annotation(RECORDS)
    poison = poisoned(clean)
    assert not np.array_equal(clean.labels, poison.labels)
    reports, state = trained(name, dims, weight, clean, RECORDS)
    poisoned_reports, poisoned_state = trained(name, dims, weight, poison, RECORDS)
    assert reports == poisoned_reports
    assert same(state, poisoned_state)


def test_poison_would_be_felt(name, dims):
    """The same poison in slices that nobody held out does change the weights."""
    seen = [one.model_copy(update={"validation": False}) for one in RECORDS]
    clean = annotation(RECORDS)
    _, state = trained(name, dims, 0.0, clean, seen)
    _, poisoned_state = trained(name, dims, 0.0, poisoned(clean), seen)
    assert not same(state, poisoned_state)


def test_resumed_equals_uninterrupted(name, dims, weight):
    trainer = tiny_trainer(name, dims, weight)
    sampler = tiny_sampler(trainer.plan)
    for _ in range(3):
        trainer.step(sampler, 0.4)
    taken = trainer.state()
    resumed = tiny_trainer(name, dims, weight)
    resumed.load_state(taken, 3)
    assert same(resumed.state(), taken)
    for _ in range(5):
        assert trainer.step(sampler, LATE) == resumed.step(sampler, LATE)
    assert same(trainer.state(), resumed.state())


def test_predicting_along_the_way_changes_nothing(name, dims, weight):
    """Previews fall at any moment; a run with a given seed must not depend on them."""
    quiet, watched = tiny_trainer(name, dims, weight), tiny_trainer(name, dims, weight)
    sampler = tiny_sampler(quiet.plan)
    for _ in range(2):
        quiet.step(sampler, LATE)
        watched.step(sampler, LATE)
        watched.predictor().planes(image(), [(1, 3)], Control())
    quiet.step(sampler, LATE)
    watched.step(sampler, LATE)
    assert same(quiet.state(), watched.state())


def test_losses_follow_from_the_seed(name, dims):
    def losses(seed, steps):
        trainer = tiny_trainer(name, dims, seed=seed)
        sampler = tiny_sampler(trainer.plan, seed=seed)
        return [trainer.step(sampler, step / 10).terms for step in range(steps)]

    first = losses(0, 10)
    assert losses(0, 10) == first
    assert losses(1, 2) != first[:2]


def test_short_run_reaches_full_weights(name, dims):
    """Ramps are fractions: at the end of 30 steps each term counts with its whole weight."""
    trainer = tiny_trainer(name, dims, 0.01)
    terms = trainer.step(tiny_sampler(trainer.plan), 29 / 30).terms
    assert {*trainer.method.ramps(), "supervised"} <= set(terms)
    if not trainer.method.judge:
        assert {"adversarial", "critic"} <= set(terms)
        assert trainer.critic is not None
        assert trainer.critic.ramp()(29 / 30) == 0.01


def test_teachers_differ_from_students_and_from_nothing(name, dims):
    trainer = tiny_trainer(name, dims, None)
    sampler = tiny_sampler(trainer.plan)
    for _ in range(5):
        trainer.step(sampler, LATE)
    students = [net.state_dict() for net in optimised(trainer.nets).values()]
    followers = [name for name in trainer.nets if name.startswith("teacher")]
    assert followers
    for follower in followers:
        mine = trainer.nets[follower].state_dict()
        assert all(bool(torch.isfinite(v).all()) for v in mine.values())
        for key in (k for k in mine if k.endswith(("conv.weight", "running_mean"))):
            assert mine[key].abs().sum() > 0, key
            others = [theirs[key] for theirs in students if key in theirs]
            assert not any(torch.equal(mine[key], other) for other in others), key


SIZES = {2: [(6, 14), (2, 2), (12, 4)], 3: [(2, 6, 10), (2, 2, 2), (12, 4, 2)]}


@pytest.mark.parametrize("which", range(3))
def test_any_patch_size(name, dims, which):
    """Smaller than the critic's field, larger than the volume, no two sides alike."""
    trainer = tiny_trainer(name, dims, plan=tiny_plan(dims, patch=SIZES[dims][which]))
    report = trainer.step(tiny_sampler(trainer.plan), LATE)
    assert all(np.isfinite(value) for value in report.terms.values())
    assert "adversarial" in report.terms
    maps = trainer.predictor().volume(image(), Control())
    assert maps.probability.shape == (3, *SHAPE)
    assert np.isfinite(maps.probability).all()


@pytest.mark.parametrize(
    "records",
    [[saved(4)], [saved(0, SliceState.PARTIAL, Plane.SAGITTAL)]],
    ids=["one slice", "one partial slice of another plane"],
)
def test_one_slice(name, dims, records):
    trainer = tiny_trainer(name, dims)
    before = trainer.state()
    report = trainer.step(tiny_sampler(trainer.plan, target_of(records)), LATE)
    assert all(np.isfinite(value) for value in report.terms.values())
    assert not same(before, trainer.state())


class Broken:
    """A sampler whose images are not finite."""

    def __init__(self, good: Sampler) -> None:
        self.good, self.slices = good, good.slices

    def batch(self, step: int, *, alone: bool = False):
        batch = self.good.batch(step, alone=alone)
        return replace(batch, x=torch.full_like(batch.x, torch.nan))


def test_a_loss_that_is_not_finite_changes_nothing(name, dims, weight):
    """No weight, no batch-norm statistic, no teacher, no critic."""
    trainer = tiny_trainer(name, dims, weight)
    good = tiny_sampler(trainer.plan)
    trainer.step(good, LATE)
    before = trainer.state()
    trainer.step(Broken(good), LATE)
    assert same(before, trainer.state())
    assert trainer.step_count == 2


def test_twenty_bad_steps_in_a_row_end_the_run(name, dims):
    trainer = tiny_trainer(name, dims)
    good = tiny_sampler(trainer.plan)
    for _ in range(BAD_STEPS_ALLOWED - 1):
        trainer.step(Broken(good), 0.0)
    trainer.step(good, 0.0)
    for _ in range(BAD_STEPS_ALLOWED - 1):
        trainer.step(Broken(good), 0.0)
    before = trainer.state()
    with pytest.raises(Diverged):
        trainer.step(Broken(good), 0.0)
    assert all(torch.equal(before[name], tensor) for name, tensor in trainer.state().items())
