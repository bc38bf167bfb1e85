"""DAN, AdvSemiSeg and MinEnt against numbers computed by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from adversarial_worlds import ChannelCritic, Voxelwise, accurate
from engine_worlds import make_method, tiny_batch, tiny_plan, tiny_sampler, tiny_trainer, tiny_views
from torch import nn

from sslseg.core.annotation import IGNORE
from sslseg.data.batch import Batch
from sslseg.methods.base import critics
from sslseg.networks.factory import Maker


def softplus(value: float) -> float:
    return math.log(1 + math.exp(value))


LABELLED = torch.zeros((1, 1, 1, 2))
UNLABELLED = torch.tensor([math.log(3), 0.0]).view(1, 1, 1, 2)
HIDDEN = torch.full((1, 1, 2), IGNORE)
KNOWN = torch.tensor([[[0, 1]]])
BATCH = Batch(torch.cat([LABELLED, UNLABELLED]), torch.cat([KNOWN, HIDDEN]), 1)


def says() -> Voxelwise:
    """p = (1/2, 1/2) where the image is 0, (3/4, 1/4) where it is ln 3."""
    return Voxelwise((1.0, 0.0), (0.0, 0.0))


# ---- DAN ----


def dan_step(batch: Batch = BATCH, fraction: float = 1.0, **params: object):
    method = make_method("dan", **params)
    nets: dict[str, nn.Module] = {"student": says(), "critic_image": ChannelCritic()}
    return method, nets, method.step(batch, tiny_views(), nets, fraction)


def test_dan_pushes_predictions_on_unlabelled_items_alone():
    """The critic's logit is the probability of class 0: 3/4 and 1/2."""
    _, nets, out = dan_step()
    found = out.terms["adversarial_unlabelled"]
    assert found.item() == pytest.approx((softplus(-0.75) + softplus(-0.5)) / 2)
    (gradient,) = torch.autograd.grad(found, out.logits)
    assert torch.count_nonzero(gradient[0]) == 0
    assert torch.count_nonzero(gradient[1]) == 4
    assert set(nets) == {"student", "critic_image"}


def test_dans_critic_calls_labelled_predictions_real_not_truth():
    method, nets, out = dan_step()
    loss = method.critic_step(out.kept, tiny_views(), nets, 1.0)["critic_image"]
    fake = (softplus(0.75) + softplus(0.5)) / 2
    assert loss.item() == pytest.approx(0.5 * (softplus(-0.5) + fake))


@pytest.mark.parametrize(("sees", "channels"), [(True, 3), (False, 2)])
def test_dans_critic_sees_map_and_image_of_the_same_item(sees, channels):
    _, _, out = dan_step(sees_image=sees)
    assert out.kept["unlabelled"].shape == (1, channels, 1, 2)
    if sees:
        assert torch.equal(out.kept["unlabelled"][:, 2:], UNLABELLED)


@pytest.mark.parametrize(("labelled", "unlabelled"), [(1, 3), (3, 1)])
def test_dans_targets_follow_the_items_not_the_batch(labelled, unlabelled):
    """SSL4MIS took the labels of the first half, whatever the other half's size."""
    method = make_method("dan")
    nets = method.build(Maker(tiny_plan(2).network))
    out = method.step(tiny_batch(2, labelled, unlabelled), tiny_views(), nets, 1.0)
    assert len(out.kept["labelled"]) == labelled
    assert len(out.kept["unlabelled"]) == unlabelled
    assert method.critic_step(out.kept, tiny_views(), nets, 1.0)["critic_image"] > 0


# ---- AdvSemiSeg ----


def advsemiseg_step(fraction: float = 1.0, weight: float = 1.0, batch: Batch = BATCH, **params):
    """The critic's logit is `weight` times the probability of class 0."""
    method = make_method("advsemiseg", **params)
    nets: dict[str, nn.Module] = {"student": says(), "critic_pixel": ChannelCritic(weight=weight)}
    return method, nets, method.step(batch, tiny_views(), nets, fraction)


def test_advsemiseg_pushes_both_streams_apart():
    _, _, out = advsemiseg_step()
    assert out.terms["adversarial"].item() == pytest.approx(softplus(-0.5))
    by_hand = (softplus(-0.75) + softplus(-0.5)) / 2
    assert out.terms["adversarial_unlabelled"].item() == pytest.approx(by_hand)


def test_advsemiseg_learns_its_own_label_where_the_critic_believes_it():
    """Beliefs are sigmoid(0.75) = 0.68 and sigmoid(0.5) = 0.62: the first voxel alone."""
    _, _, out = advsemiseg_step(threshold=0.65)
    found = out.terms["self_training"]
    assert found.item() == pytest.approx(-math.log(0.75) / 2)
    (gradient,) = torch.autograd.grad(found, out.logits)
    assert torch.count_nonzero(gradient[1, ..., 1]) == 0


def test_without_a_believable_voxel_the_other_terms_stay():
    """The published code skipped the whole unlabelled step."""
    _, _, out = advsemiseg_step(weight=-9.0, threshold=0.2)
    assert out.terms["self_training"] == 0
    (gradient,) = torch.autograd.grad(out.terms["adversarial_unlabelled"], out.logits)
    assert torch.count_nonzero(gradient[1]) == 4
    assert out.terms["supervised"] > 0


def test_advsemiseg_never_overrules_an_annotation():
    said = Batch(BATCH.x, torch.cat([KNOWN, torch.tensor([[[1, IGNORE]]])]), 1)
    _, _, out = advsemiseg_step(threshold=0.0, batch=said)
    (gradient,) = torch.autograd.grad(out.terms["self_training"], out.logits)
    assert torch.count_nonzero(gradient[1, ..., 0]) == 0


def test_the_critic_learns_before_it_pushes():
    method, nets, out = advsemiseg_step(fraction=0.0)
    assert set(out.terms) == {"supervised"}
    loss = method.critic_step(out.kept, tiny_views(), nets, 0.0)["critic_pixel"]
    soft = (softplus(-0.9) + softplus(-0.1)) / 2
    assert loss.item() == pytest.approx(0.5 * (soft + softplus(0.5)), rel=1e-4)


def test_self_training_waits_for_the_critic_and_can_be_left_out():
    ramps = make_method("advsemiseg", start=0.3).ramps()
    assert ramps["adversarial"](0.35) > 0
    assert ramps["self_training"](0.35) == 0
    assert ramps["self_training"](0.65) == 0.1
    assert make_method("advsemiseg", consistency=0).ramps()["self_training"](1.0) == 0


def test_its_critic_gives_the_confidence_and_no_second_one_rides():
    trainer = tiny_trainer("advsemiseg")
    assert trainer.critic is None
    assert trainer.predictor().critic is trainer.nets["critic_pixel"]
    report = trainer.step(tiny_sampler(trainer.plan), 0.9)
    assert {"critic_pixel", "critic_pixel_accuracy"} <= set(report.terms)
    assert "critic" not in report.terms


# ---- MinEnt ----


def test_minent_is_the_normalised_entropy_of_hidden_voxels():
    said = Batch(BATCH.x, torch.cat([KNOWN, torch.tensor([[[IGNORE, 0]]])]), 1)
    method = make_method("minent")
    out = method.step(said, tiny_views(), {"student": says()}, 1.0)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)
    assert out.terms["entropy"].item() == pytest.approx(entropy, rel=1e-4)
    (gradient,) = torch.autograd.grad(out.terms["entropy"], out.logits)
    assert torch.count_nonzero(gradient) == 2


# ---- all ----

ADVERSARIAL = ["dan", "advsemiseg", "adaptsegnet", "feature-alignment", "advent", "cycada"]


@pytest.mark.parametrize("name", ["dan", "adaptsegnet", "feature-alignment", "advent", "cycada"])
def test_critics_of_streams_never_see_items_drawn_for_their_annotation(name):
    """These lie around the object and hold pasted boxes, which would give them away."""
    method = make_method(name)
    nets = method.build(Maker(tiny_plan(2).network))
    for net in nets.values():
        net.eval()
    batch = replace(tiny_batch(2, 2, 5), home=2)
    other = replace(batch, x=torch.cat([tiny_batch(2, 2, 0, seed=1).x, batch.x[2:]]))
    kept, same = (method.step(each, tiny_views(), nets, 1.0).kept for each in (batch, other))
    assert not torch.equal(batch.x, other.x)
    for key, tensor in kept.items():
        assert torch.equal(tensor, same[key]), key
        assert len(tensor) in (2, 3), key


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_every_critic_learns_and_tells_how_it_fares(name, dims):
    trainer = tiny_trainer(name, dims, weight=None)
    before = {n: [p.clone() for p in net.parameters()] for n, net in critics(trainer.nets).items()}
    assert before
    terms = trainer.step(tiny_sampler(trainer.plan), 0.9).terms
    for critic, parameters in before.items():
        after = trainer.nets[critic].parameters()
        assert any(not torch.equal(a, b) for a, b in zip(parameters, after, strict=True)), critic
        assert terms[critic] > 0
        assert 0 <= terms[f"{critic}_accuracy"] <= 1


@pytest.mark.parametrize("name", ADVERSARIAL)
@pytest.mark.parametrize("form", ["least-squares", "hinge"])
def test_every_form_with_all_remedies(name, form):
    method = make_method(name)
    method.critic = method.critic.model_copy(
        update={
            "critic_loss": form,
            "critic_real": 0.9,
            "critic_noise": 0.1,
            "critic_gradient_penalty": 5.0,
            "critic_spectral_norm": False,
            "critic_pushes_from": 0.1,
        }
    )
    nets = method.build(Maker(tiny_plan(2).network))
    for net in critics(nets).values():
        accurate(net, 0.7)
    out = method.step(tiny_batch(2), tiny_views(), nets, 0.9)
    pushes = [term for term_name, term in out.terms.items() if "adversarial" in term_name]
    assert pushes
    assert all(torch.isfinite(term) and term.requires_grad for term in pushes)
    kept = {key: value.detach() for key, value in out.kept.items()}
    losses = method.critic_step(kept, tiny_views(), nets, 0.9)
    torch.stack(list(losses.values())).sum().backward()
    for net in critics(nets).values():
        assert all(torch.isfinite(p.grad).all() for p in net.parameters())
