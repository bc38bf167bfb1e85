from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from sslseg.core.annotation import IGNORE
from sslseg.losses.adversarial import Form, bce_logits, fooled, outcome, slope, soften, told_apart
from sslseg.losses.masked import annotated, one_hot

LOGITS = torch.tensor([[[[-30.0, -2.0, 0.0, 3.0, 30.0]]]])


def test_bce_is_softplus():
    assert torch.allclose(bce_logits(LOGITS, 1.0), F.softplus(-LOGITS).mean())
    assert torch.allclose(bce_logits(LOGITS, 0.0), F.softplus(LOGITS).mean())


def test_generator_gradient_does_not_vanish_where_the_critic_is_sure():
    d = torch.tensor([[[[-30.0]]]], requires_grad=True)
    bce_logits(d, 1.0).backward()
    assert d.grad.item() == pytest.approx(-1)


def test_bce_mask():
    w = torch.tensor([[[[0.0, 1.0, 0.0, 1.0, 0.0]]]])
    by_hand = (F.softplus(torch.tensor(2.0)) + F.softplus(torch.tensor(-3.0))) / 2
    assert bce_logits(LOGITS, 1.0, w).item() == pytest.approx(by_hand.item(), rel=1e-4)
    assert bce_logits(LOGITS, 1.0, torch.zeros_like(w)) == 0


@pytest.fixture
def softened():
    torch.manual_seed(0)
    y = torch.randint(0, 4, (2, 6, 6))
    y[:, :2] = IGNORE
    p = torch.softmax(3 * torch.randn((2, 4, 6, 6)), 1)
    known = annotated(y).unsqueeze(1)
    return y, p, known, soften(one_hot(y, 4), p, known)


def test_softened_truth_sums_to_one(softened):
    *_, soft = softened
    assert torch.allclose(soft.sum(1), torch.ones(()), atol=1e-5)
    assert soft.min() >= 0


def test_softened_truth_keeps_its_argmax(softened):
    y, _, known, soft = softened
    assert torch.equal(soft.argmax(1)[known[:, 0]], y[known[:, 0]])


def test_unknown_voxels_keep_the_prediction(softened):
    _, p, known, soft = softened
    hidden = (~known).expand_as(p)
    assert torch.equal(soft[hidden], p[hidden])


def test_soften_by_hand():
    """The truth gets 0.9; the others share 0.1 as 0.6 to 0.2."""
    p = torch.tensor([0.2, 0.6, 0.2]).view(1, 3, 1, 1)
    y = torch.zeros((1, 1, 1), dtype=torch.long)
    soft = soften(one_hot(y, 3), p, annotated(y).unsqueeze(1))
    assert soft.flatten().tolist() == pytest.approx([0.9, 0.075, 0.025], abs=1e-5)


def test_a_surer_prediction_is_not_made_less_sure():
    p = torch.tensor([0.98, 0.01, 0.01]).view(1, 3, 1, 1)
    y = torch.zeros((1, 1, 1), dtype=torch.long)
    soft = soften(one_hot(y, 3), p, annotated(y).unsqueeze(1))
    assert torch.allclose(soft, p, atol=1e-5)


REAL, FAKE = torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5]])


def test_cross_entropy_of_a_critic_by_hand():
    real = math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))
    by_hand = 0.5 * (real / 2 + math.log(1 + math.exp(0.5)))
    assert told_apart(REAL, FAKE, "cross-entropy").item() == pytest.approx(by_hand)


def test_least_squares_by_hand():
    """Scores are 1/2 + d/4: 1 and 1/4 of the real ones, 5/8 of the fake one."""
    found = told_apart(REAL, FAKE, "least-squares").item()
    assert found == pytest.approx(0.5 * (0 + 0.75**2) / 2 + 0.5 * 0.625**2)
    assert fooled(FAKE, "least-squares").item() == pytest.approx(0.5 * 0.375**2)


def test_hinge_by_hand():
    assert told_apart(REAL, FAKE, "hinge").item() == pytest.approx((0 + 2) / 2 + 1.5)
    assert fooled(REAL, "hinge").item() == pytest.approx(-0.5)


@pytest.mark.parametrize("form", get_args(Form))
def test_a_critic_that_knows_nothing_gives_the_same_for_both(form):
    nothing = torch.zeros((3, 1))
    assert fooled(nothing, form) == fooled(-nothing, form)
    known = told_apart(torch.ones((3, 1)), -torch.ones((3, 1)), form)
    assert known < told_apart(nothing, nothing, form)


@pytest.mark.parametrize("form", get_args(Form))
def test_no_form_stops_teaching_where_the_critic_is_sure(form):
    d = torch.tensor([[-20.0]], requires_grad=True)
    fooled(d, form).backward()
    assert d.grad.item() < -0.5


@pytest.mark.parametrize(
    ("form", "best"), [("cross-entropy", math.log(9)), ("least-squares", 1.6), ("hinge", 0.9)]
)
def test_smoothing_is_of_the_real_side_alone(form, best):
    """The best logit of a real map is that of its target, 0.9; that of a fake one stays."""
    d = torch.tensor([[best]], requires_grad=True)
    told_apart(d, torch.tensor([[-2.0]]), form, real=0.9).backward()
    assert d.grad.item() == pytest.approx(0, abs=1e-6)
    surest = torch.tensor([[-30.0]])
    with_smoothing = told_apart(surest, surest, form, real=0.9)
    without = told_apart(surest, surest, form)
    fake = torch.tensor([[5.0]])
    assert (told_apart(surest, fake, form, real=0.9) - with_smoothing).item() == pytest.approx(
        (told_apart(surest, fake, form) - without).item(), rel=1e-4
    )


@pytest.mark.parametrize("form", get_args(Form))
def test_masked_voxels_do_not_count(form):
    d = LOGITS.clone().requires_grad_()
    w = torch.tensor([[[[0.0, 1.0, 1.0, 1.0, 0.0]]]])
    (fooled(d, form, w) + told_apart(d, d, form, w=w)).backward()
    assert torch.count_nonzero(d.grad[w == 0]) == 0
    assert torch.count_nonzero(d.grad[w == 1]) > 0


def test_slope_by_hand_is_the_mean_over_positions():
    """d_v = 3 x_v at every voxel: |grad d_v|^2 = 9, whatever the number of voxels."""
    x = torch.randn((2, 1, 4, 5), requires_grad=True)
    assert slope(3 * x, x, torch.Generator()).item() == pytest.approx(9)


def test_slope_of_one_output_is_the_textbooks():
    """d = sum of 2 x over 20 voxels: |grad d|^2 = 4 * 20, and the critic can learn from it."""
    x = torch.randn((3, 1, 4, 5), requires_grad=True)
    weight = torch.tensor(2.0, requires_grad=True)
    found = slope((weight * x).flatten(1).sum(1, keepdim=True), x, torch.Generator())
    assert found.item() == pytest.approx(80)
    found.backward()
    assert weight.grad.item() == pytest.approx(80)


def test_the_outcome_is_counted_on_unmasked_voxels():
    real, fake = torch.tensor([[[[1.0, -1.0, 9.0]]]]), torch.tensor([[[[-1.0, -1.0, 9.0]]]])
    loss, told_real, told_fake = outcome(real, fake, torch.tensor([[[[1.0, 1.0, 0.0]]]]))
    assert told_real.item() == pytest.approx(0.5, abs=1e-4)
    assert told_fake.item() == pytest.approx(1, abs=1e-4)
    low, high = math.log(1 + math.exp(-1)), math.log(1 + math.exp(1))
    assert loss.item() == pytest.approx(0.5 * ((low + high) / 2 + low), rel=1e-4)
