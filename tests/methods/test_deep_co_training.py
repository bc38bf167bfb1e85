from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from answering import HIDDEN, Answers, InTurn, unlabelled
from engine_worlds import LATE, make_method, tiny_batch, tiny_plan, tiny_views
from torch import Tensor, nn

from sslseg.core.annotation import IGNORE
from sslseg.data.batch import Batch
from sslseg.methods.deep_co_training import adversarial, disagreement
from sslseg.networks.factory import Maker

A, B, C = (0.7, 0.2, 0.1), (0.1, 0.3, 0.6), (0.2, 0.5, 0.3)


def entropy(p) -> float:
    return -sum(c * math.log(c) for c in p)


def divergence(p, q) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


class Seeing(nn.Module):
    """Says `says` with a part of the image added that is too small to change it."""

    def __init__(self, says: nn.Module) -> None:
        super().__init__()
        self.says = says

    def forward(self, x: Tensor) -> Tensor:
        return self.says(x) + 1e-12 * x


def terms(nets, batch=None, **params):
    method = make_method("deep-co-training", networks=len(nets), **params)
    batch = unlabelled(*HIDDEN) if batch is None else batch
    named = {f"student_{n}": net for n, net in enumerate(nets)}
    return method.step(batch, tiny_views(), named, LATE).terms


def test_agreement_by_hand():
    """H of the mean less the mean of H, over ln 3; one voxel of two is disputed."""
    found = terms([Answers(A, C), Answers(B, C)], diversity=0.0)
    mean = [(a + b) / 2 for a, b in zip(A, B, strict=True)]
    by_hand = (entropy(mean) - (entropy(A) + entropy(B)) / 2) / math.log(3) / 2
    assert found["consistency"].item() == pytest.approx(by_hand, rel=1e-4)
    assert "diversity" not in found


def test_networks_that_say_the_same_agree_wholly():
    net = Answers(A, B)
    found = terms([net, net], diversity=0.0)
    assert found["consistency"].item() == pytest.approx(0, abs=1e-6)
    assert found["disagreement"] == 0


def test_annotated_voxels_need_no_agreement():
    nets = [Answers(A, A), Answers(B, B)]
    found = terms(nets, unlabelled(1, IGNORE), diversity=0.0)
    found["consistency"].backward()
    for net in nets:
        assert torch.count_nonzero(net.logits.grad[..., 0]) == 0
        assert torch.count_nonzero(net.logits.grad[..., 1]) == 3


def test_of_an_adversarial_image_the_judge_says_what_the_fooled_one_says_of_the_true():
    """Each network meets x, then one meets the adversarial image: KL(A || C) or KL(B || C)."""
    nets = [InTurn(Answers(A, A), Answers(C, C)), InTurn(Answers(B, B), Answers(C, C))]
    found = terms([Seeing(net) for net in nets], diversity=1.0)["diversity"]
    met = [net.met for net in nets]
    fooled = A if met == [1, 2] else B
    assert sorted(met) == [1, 2]
    assert found.item() == pytest.approx(divergence(fooled, C), rel=1e-4)
    found.backward()
    judge = nets[met.index(2)]
    assert torch.count_nonzero(judge.says[1].logits.grad) == 6
    assert all(net.says[0].logits.grad is None for net in nets)


def test_the_adversarial_step_by_hand():
    """Logits (x, 2 - x): class 1 for x < 1. Uphill for its loss is a larger x; else a smaller."""
    x = torch.tensor([[[[0.0, 1.5]]]], requires_grad=True)
    z = torch.cat([x, 2 - x], dim=1)
    assert torch.allclose(adversarial(z, x, 0.1), torch.tensor([[[[0.1, 1.4]]]]))
    assert x.grad is None


def test_an_adversarial_image_moves_its_network_more_than_noise():
    torch.manual_seed(0)
    net = Maker(tiny_plan(2).network)().eval()
    x = tiny_batch(2).x.requires_grad_()
    z = net(x)
    image = adversarial(z, x, 0.1)
    noise = x + 0.1 * torch.sign(torch.randn(x.shape))
    assert (image - x).abs().max() < 0.1001

    @torch.no_grad()
    def loss(seen: Tensor) -> float:
        return F.cross_entropy(net(seen), z.argmax(1)).item()

    assert loss(image) > loss(noise)
    assert loss(image) > loss(x)


def test_disagreement_by_hand():
    """Of six voxels one is annotated, one background to all; two of the other four are disputed."""
    first, second, third = ([0, 0, 1, 1, 2, 1], [0, 1, 1, 1, 2, 2], [0, 1, 1, 2, 2, 0])
    said = [F.one_hot(torch.tensor([[v]]), 3).movedim(-1, 1).float() for v in (first, second)]
    hidden = torch.tensor([True] * 5 + [False]).view(1, 1, 1, 6)
    assert disagreement(said, hidden) == 1 / 4
    said.append(F.one_hot(torch.tensor([[third]]), 3).movedim(-1, 1).float())
    assert disagreement(said, hidden) == 2 / 4


def test_disagreement_is_told_and_teaches_nothing():
    found = terms([Answers(A, A), Answers(B, A)], diversity=0.0)["disagreement"]
    assert found == 1
    assert not found.requires_grad


@pytest.mark.parametrize("epsilon", [0.02, 0.3])
def test_the_judge_sees_images_as_far_away_as_epsilon_says(epsilon):
    """At x = 0 the first class is said, the less surely the smaller x: it goes to -epsilon."""

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.saw: list[Tensor] = []

        def forward(self, x: Tensor) -> Tensor:
            self.saw.append(x.detach())
            return torch.cat([x + 0.1, -x], dim=1)

    nets = [Linear(), Linear()]
    terms(nets, diversity=1.0, epsilon=epsilon)
    (image,) = [net.saw[1] for net in nets if len(net.saw) == 2]
    assert torch.allclose(image, torch.full((1, 1, 1, 2), -epsilon))


def test_without_agreement_the_networks_are_still_kept_different():
    """A weight of 0 is of that one term, and it does not come back as 1."""
    nets = [InTurn(Answers(A, A), Answers(C, C)), InTurn(Answers(B, B), Answers(C, C))]
    found = terms([Seeing(net) for net in nets], diversity=1.0, consistency=0.0)
    assert found["diversity"] > 0
    ramps = make_method("deep-co-training", consistency=0.0).ramps()
    assert (ramps["consistency"](1.0), ramps["diversity"](1.0)) == (0, 0.05)


def test_each_network_is_supervised():
    nets = [Answers(A, A), Answers(B, B), Answers(C, C)]
    said = Batch(torch.zeros(2, 1, 1, 2), torch.tensor([[[1, IGNORE]], [[IGNORE, IGNORE]]]), 1)
    terms(nets, said, diversity=0.0)["supervised"].backward()
    for net in nets:
        assert torch.count_nonzero(net.logits.grad[..., 0]) == 3
        assert torch.count_nonzero(net.logits.grad[..., 1]) == 0
