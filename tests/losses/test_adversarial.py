from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sslseg.core.annotation import IGNORE
from sslseg.losses.adversarial import bce_logits, soften
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
