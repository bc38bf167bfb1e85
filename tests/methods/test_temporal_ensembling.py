from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from answering import Answers, InTurn
from engine_worlds import LATE, make_method, same, tiny_plan, tiny_sampler, tiny_trainer, tiny_views
from torch import nn

from sslseg.core.annotation import IGNORE
from sslseg.data.batch import Batch, Place
from sslseg.data.warp import Warp
from sslseg.networks.factory import Maker

A, B, C = (0.7, 0.2, 0.1), (0.1, 0.3, 0.6), (0.2, 0.2, 0.6)
PLACE = Place("a", 1, 3, (0, 0), (1, 5, 2))


def batch(*y: int) -> Batch:
    """One unlabelled item of two voxels, slice 3 of a volume of five."""
    return Batch(torch.zeros(1, 1, 1, 2), torch.tensor(y).view(1, 1, 2), 0, (PLACE,))


FREE = batch(IGNORE, IGNORE)


def squares(p, q) -> float:
    return sum((a - b) ** 2 for a, b in zip(p, q, strict=True))


def visit(method, net, item=FREE, *, counts=True):
    """Return the term of one step; `counts` tells whether the optimiser took it."""
    nets = {"student": net, "teacher": copy.deepcopy(net)}
    term = method.step(item, tiny_views(), nets, LATE).terms["consistency"]
    if counts:
        method.after_step(nets, 0, LATE)
    return term


def test_the_target_is_the_bias_corrected_average_by_hand():
    """Said A, then B: Z = .6 (.4 A) + .4 B, over 1 - .36 = .64. The third visit says C."""
    method = make_method("temporal-ensembling", memory_decay=0.6)
    assert visit(method, Answers(A, A)) == 0
    assert visit(method, Answers(B, B)).item() == pytest.approx(squares(A, B) / 3, abs=1e-3)
    net = Answers(C, C)
    found = visit(method, net)
    target = [(0.24 * a + 0.4 * b) / 0.64 for a, b in zip(A, B, strict=True)]
    assert found.item() == pytest.approx(squares(C, target) / 3, abs=1e-3)
    found.backward()
    assert bool(net.logits.grad.any())


def test_annotated_voxels_are_left_to_their_annotation():
    method = make_method("temporal-ensembling")
    visit(method, Answers(A, A))
    net = Answers(B, B)
    found = visit(method, net, batch(1, IGNORE))
    assert found.item() == pytest.approx(squares(A, B) / 6, abs=1e-3)
    found.backward()
    assert torch.count_nonzero(net.logits.grad[..., 0]) == 0


def test_other_slices_of_the_volume_stay_unknown():
    method = make_method("temporal-ensembling")
    visit(method, Answers(A, A))
    elsewhere = replace(FREE, places=(replace(PLACE, index=2),))
    assert visit(method, Answers(B, B), elsewhere) == 0


def test_what_does_not_fit_into_memory_megabytes_is_forgotten():
    """A volume of 2**20 voxels and three classes needs five bytes a voxel: 5 MB."""
    large = replace(FREE, places=(replace(PLACE, shape=(128, 64, 128)),))
    for megabytes, kept in ((5, True), (4, False)):
        method = make_method("temporal-ensembling", memory_megabytes=megabytes)
        visit(method, Answers(A, A), large)
        assert bool(method.memory()) is kept
        assert bool(visit(method, Answers(B, B), large) > 0) is kept


def test_a_step_that_did_not_count_is_not_remembered():
    method = make_method("temporal-ensembling")
    visit(method, Answers(A, A), counts=False)
    assert not method.memory()
    assert visit(method, Answers(B, B)) == 0


def test_the_memory_lies_in_the_frame_before_the_warp():
    """Of the item as cut A, B was said; the warp shows its right voxel at the left."""
    method = make_method("temporal-ensembling")
    visit(method, Answers(A, B))
    grid = F.affine_grid(torch.eye(2, 3)[None], [1, 1, 1, 2], align_corners=False)
    warp = Warp(grid + torch.tensor([1.0, 0.0]))
    net = InTurn(Answers(A, B), Answers(C, C))
    found = visit(method, net, replace(FREE, plain=FREE.x, warp=warp))
    assert found.item() == pytest.approx(squares(C, B) / 6, abs=1e-3)
    again = visit(method, Answers(A, A))
    assert again.item() == pytest.approx(squares(A, B) / 6, abs=1e-3)


def test_looking_calmly_leaves_batch_norm_alone():
    torch.manual_seed(0)
    method = make_method("temporal-ensembling")
    nets = method.build(Maker(tiny_plan(2).network))
    x = torch.randn(2, 3, 8, 6)
    item = Batch(x, torch.full((2, 8, 6), IGNORE), 0, (PLACE, PLACE))
    seen: list[tuple[bool, bool]] = []
    nets["student"].register_forward_hook(
        lambda net, _x, _y: seen.append((net.training, torch.is_grad_enabled()))
    )
    method.step(item, tiny_views(), nets, LATE)
    assert seen == [(False, False), (True, True)]
    norms = [m for m in nets["student"].modules() if isinstance(m, nn.BatchNorm2d)]
    assert {int(norm.num_batches_tracked) for norm in norms} == {1}


@pytest.mark.parametrize("dims", [2, 3])
def test_a_training_remembers_and_then_learns_from_it(dims):
    trainer = tiny_trainer("temporal-ensembling", dims)
    sampler = tiny_sampler(trainer.plan)
    first = trainer.step(sampler, LATE).terms["consistency"]
    later = [trainer.step(sampler, LATE).terms["consistency"] for _ in range(12)]
    assert first == 0
    assert max(later) > 0
    assert any(name.startswith("memory.") for name in trainer.state())


def test_nothing_is_remembered_while_labels_alone_teach():
    trainer = tiny_trainer("temporal-ensembling")
    trainer.step(tiny_sampler(trainer.plan), LATE)
    before = trainer.method.memory()
    kept = {name: tensor.clone() for name, tensor in before.items()}
    trainer.step(tiny_sampler(trainer.plan), 0.0)
    assert kept
    assert same(kept, trainer.method.memory())
