from __future__ import annotations

import pytest
import torch
from answering import HIDDEN, Answers, InTurn, unlabelled
from engine_worlds import LATE, make_method, tiny_batch, tiny_plan, tiny_views
from torch import nn

from sslseg.core.annotation import IGNORE
from sslseg.networks.factory import Maker

A, B = (0.7, 0.2, 0.1), (0.1, 0.3, 0.6)
APART = (0.6**2 + 0.1**2 + 0.5**2) / 3
"""Mean over classes of (A - B)^2."""


def term(net, batch, **params):
    method = make_method("pi-model", **params)
    return method.step(batch, tiny_views(), {"student": net}, LATE).terms["consistency"]


def test_two_passes_by_hand():
    """One voxel of two differs between the passes; both passes learn."""
    first, second = Answers(A, A), Answers(A, B)
    found = term(InTurn(first, second), unlabelled(*HIDDEN))
    assert found.item() == pytest.approx(APART / 2, rel=1e-5)
    found.backward()
    assert torch.allclose(first.logits.grad[..., 0], torch.zeros(()), atol=1e-7)
    assert torch.count_nonzero(first.logits.grad[..., 1]) == 3
    assert torch.count_nonzero(second.logits.grad[..., 1]) == 3


def test_one_sided_teaches_one_pass_alone():
    target, learner = Answers(B, B), Answers(A, A)
    found = term(InTurn(target, learner), unlabelled(*HIDDEN), one_sided=True)
    assert found.item() == pytest.approx(APART, rel=1e-5)
    found.backward()
    assert target.logits.grad is None
    assert bool(learner.logits.grad.any())


def test_annotated_voxels_are_left_to_their_annotation():
    first = Answers(A, A)
    found = term(InTurn(first, Answers(B, B)), unlabelled(1, IGNORE))
    found.backward()
    assert found.item() == pytest.approx(APART / 2, rel=1e-5)
    assert torch.count_nonzero(first.logits.grad[..., 0]) == 0


def test_classes_and_places_are_not_confused():
    """A softmax over the width instead of the classes would change with the voxels' order."""

    def of(order, voxels):
        columns = [[tuple(c[k] for k in order) for c in (p[v] for v in voxels)] for p in said]
        return term(InTurn(*(Answers(*c) for c in columns)), unlabelled(*[IGNORE] * 3)).item()

    said = ((A, B, A), (B, B, (0.2, 0.5, 0.3)))
    first = of((0, 1, 2), (0, 1, 2))
    assert of((2, 0, 1), (0, 1, 2)) == pytest.approx(first, rel=1e-5)
    assert of((0, 1, 2), (2, 0, 1)) == pytest.approx(first, rel=1e-5)


def drop_layers(net: nn.Module) -> list[float]:
    return [part.p for part in net.modules() if isinstance(part, nn.Dropout) and part.p > 0]


@pytest.mark.parametrize("dims", [2, 3])
def test_the_student_drops_features_and_its_average_never(dims):
    torch.manual_seed(0)
    method = make_method("pi-model", dropped=0.3)
    nets = method.build(Maker(tiny_plan(dims).network))
    assert set(drop_layers(nets["student"])) == {0.3}
    assert not drop_layers(nets["teacher"])
    assert nets["student"].state_dict().keys() == nets["teacher"].state_dict().keys()
    x = tiny_batch(dims).x
    assert not torch.equal(nets["student"](x), nets["student"](x))
