"""The game with a critic, and the remedies: each does what it says, and nothing when off."""

from __future__ import annotations

import math

import pytest
import torch
from adversarial_worlds import ChannelCritic, accurate, game
from engine_worlds import tiny_sampler, tiny_trainer

from sslseg.core.annotation import IGNORE

REAL = torch.tensor([2.0, 1.0]).view(2, 1, 1, 1)
FAKE = torch.tensor([-1.0]).view(1, 1, 1, 1)


def softplus(value: float) -> float:
    return math.log(1 + math.exp(value))


def test_fooling_asks_to_be_called_real():
    fake = FAKE.clone().requires_grad_()
    loss = game().fool(ChannelCritic(), fake)
    assert loss.item() == pytest.approx(softplus(1))
    loss.backward()
    assert fake.grad.item() < 0


def test_telling_apart_with_streams_of_different_size():
    loss = game().tell_apart(ChannelCritic(), REAL, FAKE)
    by_hand = 0.5 * ((softplus(-2) + softplus(-1)) / 2 + softplus(-1))
    assert loss.item() == pytest.approx(by_hand)


def test_confusing_pulls_each_to_the_other():
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    loss = game().confuse(ChannelCritic(), real, fake)
    by_hand = 0.5 * (softplus(1) + (softplus(2) + softplus(1)) / 2)
    assert loss.item() == pytest.approx(by_hand)
    loss.backward()
    assert (real.grad > 0).all()
    assert (fake.grad < 0).all()


def test_smoothing_reaches_the_critic_alone():
    plain, smooth = game(), game(critic_real=0.9)
    assert smooth.fool(ChannelCritic(), FAKE) == plain.fool(ChannelCritic(), FAKE)
    mean = (softplus(-2) + softplus(-1)) / 2
    by_hand = 0.5 * (0.9 * mean + 0.1 * (softplus(2) + softplus(1)) / 2 + softplus(-1))
    assert smooth.tell_apart(ChannelCritic(), REAL, FAKE).item() == pytest.approx(by_hand)


@pytest.mark.parametrize(("fraction", "deviation"), [(0.0, 0.2), (0.75, 0.05), (1.0, 0.0)])
def test_noise_on_what_the_critic_reads_falls_to_zero(fraction, deviation):
    """With hinge, the critic's logits come out as they are."""
    x = torch.zeros((1, 1, 100, 100))
    noisy = game(fraction, critic_noise=0.2, critic_loss="hinge")
    logits = noisy._logits(ChannelCritic(), x)
    assert logits.std().item() == pytest.approx(deviation, rel=0.05, abs=1e-9)
    assert torch.equal(logits, torch.zeros_like(x)) is (deviation == 0)


def test_without_remedies_nothing_is_drawn():
    """So that a run without them is the same, bit for bit, as one that never knew them."""
    plain = game()
    before = plain.views.rng.get_state()
    plain.fool(ChannelCritic(), FAKE)
    plain.tell_apart(ChannelCritic(), REAL, FAKE)
    assert torch.equal(plain.views.rng.get_state(), before)


def test_the_penalty_comes_every_sixteenth_step_sixteenfold():
    """Gamma / 2 times the squared slope of d = 3 x, which is 9."""
    punished, critic = game(critic_gradient_penalty=2.0), ChannelCritic(weight=3.0)
    plain = game().tell_apart(ChannelCritic(weight=3.0), REAL, FAKE).item()
    losses = [punished.tell_apart(critic, REAL, FAKE) for _ in range(17)]
    assert losses[0].item() == pytest.approx(plain + 16 * 9, rel=1e-5)
    assert [loss.item() for loss in losses[1:16]] == pytest.approx([plain] * 15)
    assert losses[16].item() == pytest.approx(losses[0].item())
    (gradient,) = torch.autograd.grad(losses[0], critic.weight)
    assert gradient.item() == pytest.approx(16 * 2 * 3, rel=0.05)


@pytest.mark.parametrize(("share", "pushes"), [(0.5, False), (0.59, False), (0.65, True)])
def test_a_critic_pushes_only_while_it_is_right_often_enough(share, pushes):
    fake = FAKE.clone().requires_grad_()
    critic = accurate(ChannelCritic(), share)
    for loss in (
        game(critic_pushes_from=0.6).fool(critic, fake),
        game(critic_pushes_from=0.6).confuse(critic, REAL, fake),
    ):
        assert loss.requires_grad is pushes
        assert (loss > 0) == pushes


@pytest.mark.parametrize(("share", "learns"), [(0.7, True), (0.8, False), (1.0, False)])
def test_a_critic_that_is_too_good_waits(share, learns):
    critic = accurate(ChannelCritic(), share)
    loss = game(critic_learns_until=0.8).tell_apart(critic, REAL, FAKE)
    assert loss.requires_grad is learns
    assert loss > 0
    assert critic.record.steps == 1, "its record goes on: else it would wait for ever"


def test_a_waiting_critic_of_a_method_does_not_move():
    trainer = tiny_trainer("dan", weight=None)
    trainer.method.critic = trainer.method.critic.model_copy(update={"critic_learns_until": 0.4})
    before = [p.clone() for p in trainer.nets["critic_image"].parameters()]
    report = trainer.step(tiny_sampler(trainer.plan), 0.9)
    assert report.terms["critic_image"] > 0
    after = trainer.nets["critic_image"].parameters()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_riding_critic_learns_before_it_pushes():
    """`critic_start` is 0.2 here: until then it only watches, then its weight rises to the full."""
    trainer = tiny_trainer("supervised", weight=0.5)
    sampler = tiny_sampler(trainer.plan)
    early, late = (trainer.step(sampler, fraction).terms for fraction in (0.19, 0.5))
    assert "adversarial" not in early
    assert early["critic"] > 0
    assert late["adversarial"] > 0
    assert trainer.critic is not None
    weights = [trainer.critic.ramp()(fraction) for fraction in (0.0, 0.19, 0.3, 0.4, 1.0)]
    assert weights == pytest.approx([0, 0, 0.5 * math.exp(-5 / 4), 0.5, 0.5])


def test_truth_is_judged_on_annotated_voxels_alone():
    """What hidden voxels predict reaches neither loss nor record."""
    y = torch.tensor([[[0, 1, IGNORE]]])
    p = torch.tensor([[0.6, 0.3, 0.5], [0.4, 0.7, 0.5]]).view(1, 2, 1, 3)
    other = p.clone()
    other[..., 2] = torch.tensor([0.99, 0.01]).view(1, 2, 1)
    losses = [game().tell_truth(ChannelCritic(), each, y) for each in (p, other)]
    assert torch.equal(*losses)
    real, fake = (0.9, 0.1), (0.6, 0.3)  # what channel 0 says of softened truth, and of p
    by_hand = sum(softplus(-d) for d in real) / 2 + sum(softplus(d) for d in fake) / 2
    assert losses[0].item() == pytest.approx(by_hand / 2, rel=1e-4)


def test_nothing_annotated_teaches_no_critic():
    y = torch.full((1, 1, 3), IGNORE)
    assert game().tell_truth(ChannelCritic(), torch.full((1, 2, 1, 3), 0.5), y) is None
