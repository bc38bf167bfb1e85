"""MC-Net+: sharpening, the mutual term, and three decoders that differ."""

from __future__ import annotations

import pytest
import torch
from engine_worlds import make_method, tiny_batch, tiny_plan, tiny_trainer, tiny_views
from torch import nn

from sslseg.core.annotation import IGNORE
from sslseg.data.batch import Batch
from sslseg.methods.mc_net import Fork, mutual_consistency
from sslseg.networks.factory import Maker


def logits(*columns: tuple[float, ...]) -> torch.Tensor:
    """Logits ``(1, C, 1, W)`` whose softmax are the columns."""
    return torch.tensor(columns).T[None, :, None, :].log().requires_grad_()


ONE = torch.ones((1, 1, 1, 1))


def test_two_decoders_by_hand():
    """At T = 1/2 sharpening squares: (0.8, 0.2) becomes (0.64, 0.04) / 0.68."""
    first, second = (0.8, 0.2), (0.4, 0.6)
    sharp_first, sharp_second = 0.64 / 0.68, 0.16 / 0.52
    by_hand = ((0.8 - sharp_second) ** 2 + (0.4 - sharp_first) ** 2) / 2
    found = mutual_consistency([logits(first), logits(second)], ONE, 0.5)
    assert found.item() == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_of_two_classes_sharpening_is_the_published_one(temperature):
    """p^(1/T) / (p^(1/T) + (1 - p)^(1/T)); against a decoder that says (1, 0)."""
    p, power = 0.7, 1 / temperature
    published = p**power / (p**power + (1 - p) ** power)
    certain = torch.tensor([[[[60.0]], [[-60.0]]]])
    found = mutual_consistency([certain, logits((p, 1 - p))], ONE, temperature)
    assert found.item() == pytest.approx(((1 - published) ** 2 + (1 - p) ** 2) / 2, rel=1e-3)


def test_of_three_classes_each_is_sharpened_against_all():
    """(0.5, 0.3, 0.2) at T = 1/2: (0.25, 0.09, 0.04) / 0.38."""
    p = (0.5, 0.3, 0.2)
    sharp = [v * v / 0.38 for v in p]
    by_hand = sum((a - b) ** 2 for a, b in zip(p, sharp, strict=True)) / 3
    found = mutual_consistency([logits(p), logits(p)], ONE, 0.5)
    assert found.item() == pytest.approx(by_hand, rel=1e-4)


def test_six_ordered_pairs_of_three_decoders():
    rng = torch.Generator().manual_seed(0)
    z = [torch.randn((2, 3, 4, 5), generator=rng) for _ in range(3)]
    p = [torch.softmax(one, 1) for one in z]
    sharp = [q**10 / (q**10).sum(1, keepdim=True) for q in p]
    slow = [float((p[i] - sharp[j]).square().mean()) for i in range(3) for j in range(3) if i != j]
    found = mutual_consistency(z, torch.ones((2, 1, 4, 5)), 0.1)
    assert len(slow) == 6
    assert found.item() == pytest.approx(sum(slow) / 6, rel=1e-4)


def test_hidden_voxels_of_labelled_items_count_and_annotated_ones_do_not():
    torch.manual_seed(0)
    method = make_method("mc-net")
    nets = method.build(Maker(tiny_plan(2).network))
    x = tiny_batch(2).x
    hidden = torch.full((4, 8, 6), IGNORE)
    known = torch.zeros_like(hidden)
    half = torch.cat([hidden[:2], known[2:]])

    def consistency(y: torch.Tensor) -> float:
        return method.step(Batch(x, y, 2), tiny_views(), nets, 1.0).terms["consistency"].item()

    assert consistency(known) == 0
    assert consistency(half) > 0


def test_decoders_grow_in_three_ways():
    fork = Fork(Maker(tiny_plan(2).network))
    rises = [decoder.rises[0] for decoder in fork.decoders]
    transposed = [any(isinstance(m, nn.ConvTranspose2d) for m in rise.modules()) for rise in rises]
    assert transposed == [True, False, False]
    assert [rise.mode for rise in rises[1:]] == ["bilinear", "nearest"]


def test_all_decoders_are_supervised_and_share_the_encoder():
    torch.manual_seed(0)
    method, batch = make_method("mc-net"), tiny_batch(2)
    nets = method.build(Maker(tiny_plan(2).network))
    method.step(batch, tiny_views(), nets, 0.0).terms["supervised"].backward()
    student = nets["student"]
    assert all(p.grad is not None and p.grad.any() for p in student.encoder.parameters())
    for decoder in student.decoders:
        assert all(p.grad is not None for p in decoder.parameters())


def test_a_pretrained_encoder_reaches_student_and_teacher():
    trainer = tiny_trainer("mc-net")
    taught = {k: v + 1 for k, v in trainer.nets["student"].encoder.state_dict().items()}
    trainer.load_encoder(taught)
    for name in ("student", "teacher"):
        found = trainer.nets[name].encoder.state_dict()
        assert all(torch.equal(found[key], value) for key, value in taught.items())
