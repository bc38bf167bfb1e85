"""What every method owes for one step. A new file in sslseg/methods is tested without new code."""

from __future__ import annotations

import pytest
import torch
from engine_worlds import CLASSES, LATE, make_method, tiny_batch, tiny_plan, tiny_views
from torch import Tensor, nn

from sslseg.core.annotation import IGNORE
from sslseg.data.batch import Batch
from sslseg.methods import registry
from sslseg.methods.base import Networks, optimised
from sslseg.networks.factory import build


@pytest.fixture(params=list(registry()))
def method(request):
    return make_method(request.param)


@pytest.fixture(params=[2, 3], ids=["2.5d", "3d"])
def dims(request):
    return request.param


class FreeLogits(nn.Module):
    """A network whose every output voxel is a parameter: gradients show what each voxel taught."""

    def __init__(self, shape: tuple[int, ...], scale: float = 1.0) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.randn(shape) * scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits[: x.shape[0]]


def free_nets(method, batch: Batch, scale: float = 1.0) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    shape = (len(batch.x), CLASSES, *batch.y.shape[1:])
    return method.build(lambda: FreeLogits(shape, scale))


def real_nets(method, dims: int) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return method.build(lambda: build(tiny_plan(dims).network))


def gradients(loss: Tensor, nets: Networks) -> list[Tensor]:
    """Gradients of all optimised parameters, zero where the loss does not reach."""
    parameters = [p for net in optimised(nets).values() for p in net.parameters()]
    if not loss.requires_grad:
        return [torch.zeros_like(p) for p in parameters]
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    pairs = zip(found, parameters, strict=True)
    return [torch.zeros_like(p) if g is None else g for g, p in pairs]


def test_only_annotated_voxels_are_supervised(method, dims):
    batch = tiny_batch(dims)
    nets = free_nets(method, batch)
    out = method.step(batch, tiny_views(dims=dims), nets, LATE)
    hidden = (batch.y == IGNORE).unsqueeze(1).expand(-1, CLASSES, *batch.y.shape[1:])
    for gradient in gradients(out.terms["supervised"], nets):
        assert torch.count_nonzero(gradient[hidden]) == 0
        assert torch.count_nonzero(gradient[~hidden]) == (~hidden).sum()


def test_logits_and_target_share_a_frame(method, dims):
    batch = tiny_batch(dims)
    for fraction in (0.0, LATE):
        out = method.step(batch, tiny_views(dims=dims), real_nets(method, dims), fraction)
        assert out.logits.requires_grad
        assert out.logits.shape == (len(out.y), CLASSES, *batch.y.shape[1:])
        assert torch.equal(out.y, batch.y[: len(out.y)])


def test_nothing_annotated_supervises_nothing(method, dims):
    batch = tiny_batch(dims)
    batch = Batch(batch.x, torch.full_like(batch.y, IGNORE), batch.labelled)
    nets = real_nets(method, dims)
    out = method.step(batch, tiny_views(dims=dims), nets, LATE)
    assert all(torch.isfinite(term) for term in out.terms.values())
    assert out.terms["supervised"] == 0
    assert all(torch.count_nonzero(g) == 0 for g in gradients(out.terms["supervised"], nets))


def test_one_class_only(method, dims):
    batch = tiny_batch(dims)
    batch = Batch(batch.x, torch.where(batch.y == 1, batch.y, IGNORE), batch.labelled)
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
    nets = free_nets(method, batch, scale)
    out = method.step(batch, tiny_views(dims=dims), nets, LATE)
    assert all(torch.isfinite(term) for term in out.terms.values())
    assert out.terms["supervised"] > 0
    assert any(bool(g.any()) for g in gradients(out.terms["supervised"], nets))


def test_no_gradient_reaches_a_teacher(method, dims):
    nets = real_nets(method, dims)
    out = method.step(tiny_batch(dims), tiny_views(dims=dims), nets, LATE)
    torch.stack(list(out.terms.values())).sum().backward()
    followers = set(nets) - set(optimised(nets))
    for name in followers:
        assert all(p.grad is None for p in nets[name].parameters())
    assert all(not nets[name].training for name in followers)


def test_supervised_start_ignores_the_unlabelled(method, dims):
    """The first step is the same whatever the unlabelled items hold."""
    batch = tiny_batch(dims)
    other = batch.x.clone()
    other[batch.labelled :] += 5
    losses = []
    for x in (batch.x, other):
        nets = real_nets(method, dims)
        out = method.step(Batch(x, batch.y, 2), tiny_views(dims=dims), nets, 0.0)
        weights = method.ramps()
        losses.append(
            sum(t * (weights[n](0.0) if n in weights else 1) for n, t in out.terms.items())
        )
    assert torch.equal(*losses)


def test_every_ramp_is_full_in_a_run_of_30_steps(method):
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
        quick.after_step(nets, step)
    for name in set(nets) - set(optimised(nets)):
        mine = nets[name].state_dict()
        assert any(
            all(torch.allclose(mine[key].float(), theirs[key].float()) for key in mine)
            for theirs in students
        )


def test_teacher_in_eval_mode_is_near_train_mode(method, dims):
    """Batch norm's statistics follow too; a teacher with stale ones predicts another map."""
    quick = make_method(method.name, ema_decay=0.5)
    nets, x = real_nets(quick, dims), tiny_batch(dims).x
    with torch.no_grad():
        for step in range(50):
            for net in optimised(nets).values():
                net.train()(3 * x + 1)
            quick.after_step(nets, step)
        for name in set(nets) - set(optimised(nets)):
            calm = torch.softmax(nets[name](3 * x + 1), 1)
            busy = torch.softmax(nets[name].train()(3 * x + 1), 1)
            assert (calm - busy).abs().max() < 0.05
