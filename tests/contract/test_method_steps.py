"""What every method owes for one step. A new file in sslseg/methods is tested without new code."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from engine_worlds import CLASSES, LATE, make_method, tiny_batch, tiny_plan, tiny_views
from torch import Tensor, nn

from sslseg.core.annotation import IGNORE
from sslseg.methods import registry
from sslseg.methods.base import Networks, critics, optimised
from sslseg.networks.factory import Maker
from sslseg.networks.unet import Decoder


@pytest.fixture
def method(name, dims):
    return make_method(name)


def real_nets(method, dims: int) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    nets = method.build(Maker(tiny_plan(dims).network))
    for critic in critics(nets).values():
        critic.requires_grad_(False)
    return nets


def loud_nets(method, dims: int, scale: float) -> dict[str, nn.Module]:
    """Networks whose logits are `scale` times as large: 0 knows nothing, 30 is certain."""
    nets = real_nets(method, dims)
    for net in nets.values():
        for part in net.modules():
            if isinstance(part, Decoder):
                part.register_forward_hook(lambda _module, _inputs, out: out * scale)
    return nets


def teachers(nets: Networks) -> list[str]:
    return [name for name in nets if name.startswith("teacher")]


def gradients(loss: Tensor, nets: Networks) -> list[Tensor]:
    """Gradients of all optimised parameters, zero where the loss does not reach."""
    parameters = [p for net in optimised(nets).values() for p in net.parameters()]
    if not loss.requires_grad:
        return [torch.zeros_like(p) for p in parameters]
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    pairs = zip(found, parameters, strict=True)
    return [torch.zeros_like(p) if g is None else g for g, p in pairs]


def test_only_annotated_voxels_are_supervised(method, dims):
    out = method.step(tiny_batch(dims), tiny_views(dims=dims), real_nets(method, dims), LATE)
    hidden = (out.y == IGNORE).unsqueeze(1).expand(out.logits.shape)
    (gradient,) = torch.autograd.grad(out.terms["supervised"], out.logits)
    assert torch.count_nonzero(gradient[hidden]) == 0
    assert torch.count_nonzero(gradient[~hidden]) == (~hidden).sum()


def test_logits_and_target_share_a_frame(method, dims):
    batch = tiny_batch(dims)
    for fraction in (0.0, LATE):
        out = method.step(batch, tiny_views(dims=dims), real_nets(method, dims), fraction)
        assert out.logits.requires_grad
        assert out.logits.shape == (len(out.y), CLASSES, *batch.y.shape[1:])
        known = out.y[out.y != IGNORE]
        assert known.numel()
        assert set(known.tolist()) <= set(range(CLASSES))


def test_nothing_annotated_supervises_nothing(method, dims):
    batch = tiny_batch(dims)
    batch = replace(batch, y=torch.full_like(batch.y, IGNORE))
    nets = real_nets(method, dims)
    out = method.step(batch, tiny_views(dims=dims), nets, LATE)
    assert all(torch.isfinite(term) for term in out.terms.values())
    assert out.terms["supervised"] == 0
    assert all(torch.count_nonzero(g) == 0 for g in gradients(out.terms["supervised"], nets))


def test_one_class_only(method, dims):
    batch = tiny_batch(dims)
    batch = replace(batch, y=torch.where(batch.y == 1, batch.y, IGNORE))
    nets = real_nets(method, dims)
    out = method.step(batch, tiny_views(dims=dims), nets, LATE)
    found = gradients(torch.stack(list(out.terms.values())).sum(), nets)
    assert all(bool(torch.isfinite(g).all()) for g in found)
    assert any(bool(g.any()) for g in found)


@pytest.mark.parametrize(("labelled", "unlabelled"), [(1, 3), (3, 1), (2, 0)])
def test_streams_of_any_size(method, dims, labelled, unlabelled):
    batch = tiny_batch(dims, labelled, unlabelled)
    nets = real_nets(method, dims)
    out = method.step(batch, tiny_views(dims=dims), nets, LATE)
    total = torch.stack(list(out.terms.values())).sum()
    assert all(bool(torch.isfinite(g).all()) for g in gradients(total, nets))
    assert out.terms["supervised"] > 0


@pytest.mark.parametrize("scale", [0.0, 30.0], ids=["a clueless model", "a certain model"])
def test_no_teaching_between_models_drops_the_supervised_term(method, dims, scale):
    batch = tiny_batch(dims)
    nets = loud_nets(method, dims, scale)
    out = method.step(batch, tiny_views(dims=dims), nets, LATE)
    assert all(torch.isfinite(term) for term in out.terms.values())
    assert out.terms["supervised"] > 0
    (gradient,) = torch.autograd.grad(out.terms["supervised"], out.logits)
    assert bool(gradient.any())


def test_no_gradient_reaches_a_teacher(method, dims):
    nets = real_nets(method, dims)
    out = method.step(tiny_batch(dims), tiny_views(dims=dims), nets, LATE)
    torch.stack(list(out.terms.values())).sum().backward()
    followers = set(nets) - set(optimised(nets))
    for name in followers:
        assert all(p.grad is None for p in nets[name].parameters())
    assert all(not nets[name].training for name in followers - set(critics(nets)))


def test_supervised_start_ignores_the_unlabelled(method, dims):
    """The first step is the same whatever the unlabelled items hold."""
    batch = tiny_batch(dims)
    other = batch.x.clone()
    other[batch.labelled :] += 5
    losses = []
    for x in (batch.x, other):
        nets = real_nets(method, dims)
        given = replace(batch, x=x, plain=x)
        out = method.step(given, tiny_views(dims=dims), nets, 0.0)
        weights = method.ramps()
        losses.append(
            sum(t * (weights[n](0.0) if n in weights else 1) for n, t in out.terms.items())
        )
    assert torch.equal(*losses)


@pytest.mark.parametrize("each", list(registry()))
def test_every_ramp_is_full_in_a_run_of_30_steps(each):
    method = make_method(each)
    for name, ramp in method.ramps().items():
        assert any(ramp(step / 30) == ramp.weight for step in range(30)), name
        assert ramp.weight > 0, name


def test_members_are_probabilities(method, dims):
    nets = real_nets(method, dims)
    for net in nets.values():
        net.eval()
    batch = tiny_batch(dims)
    members = method.members(nets, batch.x)
    assert len(members) >= 2
    for p in members:
        assert p.shape == (4, CLASSES, *batch.y.shape[1:])
        assert torch.allclose(p.sum(1), torch.ones(()), atol=1e-6)
        assert p.min() >= 0
    assert not torch.equal(members[0], members[1])


def test_teachers_converge_to_a_constant_student(method, dims):
    quick = make_method(method.name, ema_decay=0.5)
    nets = real_nets(quick, dims)
    students = [net.state_dict() for net in optimised(nets).values()]
    for step in range(60):
        quick.after_step(nets, step, step / 60)
    for name in teachers(nets):
        mine = nets[name].state_dict()
        assert any(
            all(torch.allclose(mine[key].float(), theirs[key].float()) for key in mine)
            for theirs in students
        )


def normalising(net: nn.Module) -> nn.Module:
    """The network with batch norm in train mode; whatever it drops is not the question."""
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
            part.train()
    return net


def test_teacher_in_eval_mode_is_near_train_mode(method, dims):
    """Batch norm's statistics follow too; a teacher with stale ones predicts another map."""
    quick = make_method(method.name, ema_decay=0.5)
    nets, x = real_nets(quick, dims), tiny_batch(dims).x
    with torch.no_grad():
        for step in range(50):
            for net in optimised(nets).values():
                net.train()(3 * x + 1)
            quick.after_step(nets, step, step / 50)
        for name in teachers(nets):
            calm = torch.softmax(nets[name](3 * x + 1), 1)
            busy = torch.softmax(normalising(nets[name])(3 * x + 1), 1)
            assert (calm - busy).abs().max() < 0.05
