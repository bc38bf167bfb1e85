"""Dice on held-out slices, and whether the discriminator can be believed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from engine_worlds import (
    CORONAL,
    CPU,
    SHAPE,
    image,
    tiny_batch,
    tiny_plan,
    tiny_sampler,
    tiny_trainer,
    tiny_views,
)
from torch import nn

from sslseg.core.annotation import IGNORE
from sslseg.core.control import Control
from sslseg.core.geometry import Plane
from sslseg.data.held_out import HeldOutSlice
from sslseg.data.sampling import TrainingCase
from sslseg.inference.predictor import Predictor
from sslseg.training.critic import auc, judge
from sslseg.training.validation import critic_health, measured, slice_dice, windows


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [
        ([3, 4], [1, 2], 1.0),
        ([1, 2], [3, 4], 0.0),
        ([1, 3], [2, 4], 0.25),
        ([1, 1], [1, 1], 0.5),
        ([2, 1], [1], 0.75),
        ([], [1], None),
        ([1], [], None),
    ],
)
def test_auc_by_hand(positive, negative, expected):
    assert auc(np.array(positive, float), np.array(negative, float)) == expected


@pytest.mark.parametrize(
    ("value", "held_out", "healthy"),
    [
        (0.59, True, False),
        (0.6, True, True),
        (0.95, True, True),
        (0.96, True, False),
        (0.8, False, False),
        (None, True, False),
    ],
)
def test_health(value, held_out, healthy):
    found = judge(value, held_out)
    assert found.healthy is healthy
    assert ("usable" in found.words) is healthy
    assert value is None or f"{value:.2f}" in found.words


def test_an_auc_of_an_earlier_step_says_so():
    assert "(AUC 0.81 on held-out slices, last at step 350)" in judge(0.81, True, 350).words


def test_the_critic_skips_a_batch_without_truth():
    trainer = tiny_trainer("supervised")
    before = trainer.state()
    batch = tiny_batch(2)
    nothing = torch.full_like(batch.y, IGNORE)
    assert trainer.critic.learn(torch.randn((4, 3, 8, 6)), nothing, tiny_views(), 0.5) is None
    assert all(torch.equal(before[key], value) for key, value in trainer.state().items())


def test_the_critic_knows_nothing_where_truth_equals_prediction():
    """Softened truth of a certain, right prediction is that prediction: loss ln 2 at best."""
    trainer = tiny_trainer("supervised")
    y = torch.randint(0, 3, (2, 8, 6))
    logits = 30.0 * nn.functional.one_hot(y, 3).movedim(-1, 1).float()
    losses = [trainer.critic.learn(logits, y, tiny_views(), 0.5) for _ in range(20)]
    assert min(losses) >= np.log(2) - 1e-3


def test_the_critic_learns_to_tell_wrong_predictions():
    torch.manual_seed(0)
    trainer = tiny_trainer("supervised")
    y = torch.zeros((2, 8, 6), dtype=torch.long)
    logits = torch.zeros((2, 3, 8, 6))
    logits[:, 1] = 5
    losses = [trainer.critic.learn(logits, y, tiny_views(), 0.5) for _ in range(30)]
    assert losses[-1] < 0.5 < losses[0]


def test_a_watching_critic_learns_at_every_fourth_step():
    watches, pushes = (tiny_trainer("supervised", weight=w).critic for w in (0.0, 0.01))
    assert [n for n in range(9) if watches.due(n)] == [0, 4, 8]
    assert all(pushes.due(n) for n in range(9))


def painter(values: np.ndarray) -> Predictor:
    """Predicts class 1 where the image is above half, class 2 where it is above one and a half."""

    def members(x):
        level = x[:, :1].round().long().clamp(0, 2)[:, 0]
        return [nn.functional.one_hot(level, 3).movedim(-1, 1).float()]

    return Predictor(members, None, 3, None, 1, (8, 8, 6), CPU.torch, None)


def held(
    truth: np.ndarray, volume: np.ndarray, plane: Plane, index: int, case: str = "a"
) -> HeldOutSlice:
    known = truth.astype(np.int16)
    return HeldOutSlice(TrainingCase(case, volume, None), plane, index, lambda: known)


def test_dice_by_hand_is_pooled_and_masked():
    """Class 1: 2 * 3 / (3 + 5) over two slices; class 2 is absent from the truth."""
    volume = np.zeros(SHAPE, np.float16)
    volume[:3, 2, 0] = 1
    volume[0, 5, 0] = 1
    first = np.zeros((SHAPE[0], SHAPE[2]))
    first[:4, 0] = 1
    second = np.full((SHAPE[0], SHAPE[2]), IGNORE)
    second[5, 5] = 1
    slices = [held(first, volume, CORONAL, 2), held(second, volume, CORONAL, 5)]
    found = slice_dice(painter(volume), slices, 3, Control())
    assert found.classes == [pytest.approx(2 * 3 / (3 + 5)), None]
    assert found.mean == pytest.approx(0.75)
    assert found.without == (0.0, pytest.approx(2 * 3 / (3 + 4)))


def test_from_three_cases_on_each_is_left_out_whole():
    """Two voxels on each of two slices of three cases; of the third none is found."""
    found, missed = np.zeros(SHAPE, np.float16), np.zeros(SHAPE, np.float16)
    found[:2, :, 0] = 1
    truth = np.zeros((SHAPE[0], SHAPE[2]))
    truth[:2, 0] = 1
    volumes = {"a": found, "b": found, "c": missed}
    slices = [held(truth, volumes[case], CORONAL, i, case) for case in "abc" for i in (2, 5)]
    judged = slice_dice(painter(found), slices, 3, Control())
    assert judged.mean == pytest.approx(2 * 8 / (8 + 12))
    assert judged.without == pytest.approx((2 * 4 / (4 + 8), 2 * 4 / (4 + 8), 1.0))
    assert len(slice_dice(painter(found), slices[:4], 3, Control()).without) == 4


@pytest.mark.parametrize("plane", list(Plane))
def test_dice_reads_the_right_slice_of_every_plane(plane):
    volume = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.float16)
    truth = np.take(volume, 3, plane.axis)
    found = slice_dice(painter(volume), [held(truth, volume, plane, 3)], 3, Control())
    assert found.classes == [1.0, 1.0]


def slices_of(side: int, count: int) -> list[HeldOutSlice]:
    volume = np.broadcast_to(np.float16(0), (side, count, side))
    return [held(np.zeros((side, side)), volume, CORONAL, index) for index in range(count)]


def test_few_or_small_slices_are_all_measured():
    assert measured([]) == []
    for slices in (slices_of(512, 6), slices_of(36, 200)):
        assert measured(slices) == slices


def test_of_many_large_slices_some_are_measured_always_the_same():
    """Of 64 x 64 pixels 73 make 300,000; of 512 x 512 the least number does."""
    assert len(measured(slices_of(64, 200))) == 73
    assert len(measured(slices_of(512, 40))) == 6
    before, after = ({h.index for h in measured(slices_of(512, n))} for n in (40, 41))
    assert len(before & after) >= 5, "a slice more displaces one at most"
    chosen = [h.index for h in measured(slices_of(512, 40))]
    assert chosen == sorted(chosen), "slices of a case stay together"


def test_slices_are_chosen_without_looking_at_them():
    def unread() -> None:
        pytest.fail("a slice was read that nobody measures yet")

    volume = np.broadcast_to(np.float16(0), (512, 40, 512))
    case = TrainingCase("a", volume, None)
    every = [HeldOutSlice(case, CORONAL, index, unread) for index in range(40)]
    expected = [each.index for each in measured(slices_of(512, 40))]
    assert [each.index for each in measured(every)] == expected


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("held_out", [True, False])
def test_health_is_measured_and_says_on_what(dims, held_out):
    trainer = tiny_trainer("supervised", dims)
    sampler = tiny_sampler(tiny_plan(dims))
    health = critic_health(trainer.predictor(), sampler, 3, held_out=held_out)
    assert health.auc is not None
    assert 0 <= health.auc <= 1
    assert ("held-out slices" in health.words) is held_out
    assert not trainer.nets["student"].training


def test_without_a_critic_its_health_says_so():
    trainer = tiny_trainer("supervised", weight=None)
    health = critic_health(trainer.predictor(), tiny_sampler(tiny_plan(2)), 3, held_out=True)
    assert health.words == "No discriminator was trained."
    assert trainer.predictor().volume(image(), Control()).confidence is None


def test_of_slices_that_cost_too_much_fewer_are_measured_even_none():
    """Boxes of 8 x 8 x 6 in a volume of 8 x 40 x 6: each coronal slice has a window of its own."""
    volume = np.zeros((8, 40, 6), np.float16)
    slices = [held(np.zeros((8, 6)), volume, CORONAL, index) for index in range(0, 40, 10)]
    judge = painter(volume)
    assert windows(judge, slices) == 4
    assert [len(measured(slices, judge, most)) for most in (0.5, 1, 3.9, 4)] == [0, 1, 3, 4]
    one, three = ({each.index for each in measured(slices, judge, most)} for most in (1, 3))
    assert one < three
