"""The learning rate: warm-up, decay, and calm where few slices are looked at very often."""

from __future__ import annotations

import pytest
from engine_worlds import CPU, make_method, tiny_plan, tiny_sampler, tiny_trainer

from sslseg.losses.ramps import poly
from sslseg.methods.shared import CriticParams, TrainingParams
from sslseg.training.trainer import CALMEST, LOOKS, WARM_UP_STEPS, Trainer


@pytest.mark.parametrize(
    ("fraction", "looks", "step", "factor"),
    [
        (0.0, LOOKS, 1000, 1.0),
        (0.0, LOOKS / 9, 1000, 1.0),
        (0.0, 4 * LOOKS, 1000, 0.25),
        (0.0, 1000 * LOOKS, 1000, CALMEST),
        (0.5, 2 * LOOKS, 1000, 0.5 * 0.5**0.9),
        (0.0, 1.0, 0, 1 / WARM_UP_STEPS),
        (1.0, 1.0, 1000, 0.0),
    ],
)
def test_learning_rate_by_hand(fraction, looks, step, factor):
    trainer = tiny_trainer("supervised")
    trainer.step_count = step
    rate = trainer._set_learning_rate(fraction, looks)
    assert rate == pytest.approx(factor * trainer.plan.learning_rate)
    assert all(group["lr"] == rate for group in trainer.optimiser.param_groups)


def test_looks_follow_from_what_the_run_will_do():
    """After 10 steps a tenth is done: 100 steps of the plan's items over the sampler's slices."""
    plan = tiny_plan(2)
    trainer, sampler = tiny_trainer("supervised"), tiny_sampler(plan)
    trainer.step_count = 10
    assert trainer._looks(sampler, 0.1) == pytest.approx(100 * plan.labelled / sampler.slices)


@pytest.mark.parametrize(("decay", "share"), [(True, 0.5**0.9), (False, 1.0)])
def test_critics_slow_down_only_if_asked_to(decay, share):
    """The riding one and the method's own, by the poly decay of the segmentor."""
    critic = CriticParams(critic_decay=decay, critic_weight=0.01, critic_learning_rate=2e-3)
    trainer = Trainer(make_method("dan"), tiny_plan(2), CPU, 0, TrainingParams(), critic)
    trainer.step(tiny_sampler(trainer.plan), 0.5)
    for optimiser in (trainer.critics_optimiser, trainer.critic.optimiser):
        assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([2e-3 * share])


@pytest.mark.parametrize("steps", [200, 700, 5000])
def test_a_run_of_many_steps_warms_up_over_twenty(steps):
    """Bit for bit as if its length did not matter."""
    trainer = tiny_trainer("supervised")
    for step in range(40):
        trainer.step_count = step
        warm = min(1.0, (step + 1) / WARM_UP_STEPS)
        expected = trainer.plan.learning_rate * poly(step / steps) * warm
        assert trainer._set_learning_rate(step / steps, 1.0) == expected


def test_a_run_of_few_steps_is_not_over_before_it_is_warm():
    """15 steps, as of a CT in a minute on a CPU: warm after a seventh of them."""
    trainer = tiny_trainer("supervised")
    rates = []
    for step in range(15):
        trainer.step_count = step
        rates.append(trainer._set_learning_rate(step / 15, 1.0) / poly(step / 15))
    assert rates[0] == pytest.approx(trainer.plan.learning_rate / WARM_UP_STEPS)
    assert rates[3:] == pytest.approx([trainer.plan.learning_rate] * 12)
