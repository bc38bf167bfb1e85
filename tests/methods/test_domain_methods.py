"""AdaptSegNet, feature alignment, AdvEnt and CyCADA against numbers computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from adversarial_worlds import ChannelCritic, Voxelwise, accurate
from engine_worlds import make_method, tiny_views
from torch import Tensor, nn

from sslseg.core.annotation import IGNORE
from sslseg.data.batch import Batch
from sslseg.losses.consistency import self_information
from sslseg.losses.masked import supervised
from sslseg.methods import find
from sslseg.methods.cycada import translations
from sslseg.networks.discriminators import FeatureDiscriminator
from sslseg.networks.factory import Maker, NetworkSpec
from sslseg.networks.generators import StyleGenerator

SOURCE = torch.zeros((1, 1, 1, 2))
TARGET = torch.tensor([math.log(3), 0.0]).view(1, 1, 1, 2)
KNOWN, HIDDEN = torch.tensor([[[0, 1]]]), torch.full((1, 1, 2), IGNORE)
BATCH = Batch(torch.cat([SOURCE, TARGET]), torch.cat([KNOWN, HIDDEN]), 1)
DEEP = NetworkSpec(dims=2, in_channels=3, classes=3, channels=(4, 8, 16), strides=((2, 2), (2, 2)))


def softplus(value: float) -> float:
    return math.log(1 + math.exp(value))


def says() -> Voxelwise:
    """p = (1/2, 1/2) where the image is 0, (3/4, 1/4) where it is ln 3."""
    return Voxelwise((1.0, 0.0), (0.0, 0.0))


@pytest.mark.parametrize("name", ["adaptsegnet", "feature-alignment", "advent", "cycada"])
def test_they_ask_for_two_domains(name):
    assert find(name).adapts


def test_minent_and_dan_do_not():
    assert not find("minent").adapts
    assert not find("dan").adapts


# ---- AdvEnt ----


def test_self_information_by_hand():
    """-p log p / log 2 of 3/4 and 1/4; it sums to the entropy, and 0 gives 0."""
    z = torch.tensor([math.log(3), 0.0]).view(1, 2, 1, 1)
    found = self_information(z).flatten().tolist()
    assert found == pytest.approx([-0.75 * math.log2(0.75), 0.25 * 2])
    sure = torch.tensor([300.0, -300.0]).view(1, 2, 1, 1).half().requires_grad_()
    nothing = self_information(sure)
    assert torch.count_nonzero(nothing) == 0
    nothing.sum().backward()
    assert torch.isfinite(sure.grad).all()


@pytest.mark.parametrize("classes", [2, 4, 14])
def test_self_information_of_the_clueless_sums_to_one(classes):
    found = self_information(torch.zeros((1, classes, 2, 2))).sum(1)
    assert torch.allclose(found, torch.ones(()))


def test_advent_pulls_the_targets_doubt_and_its_critic_calls_the_sources_real():
    method = make_method("advent")
    nets: dict[str, nn.Module] = {"student": says(), "critic_entropy": ChannelCritic()}
    out = method.step(BATCH, tiny_views(), nets, 1.0)
    doubt = -0.75 * math.log2(0.75), 0.5
    by_hand = sum(softplus(-d) for d in doubt) / 2
    assert out.terms["adversarial_target"].item() == pytest.approx(by_hand)
    (gradient,) = torch.autograd.grad(out.terms["adversarial_target"], out.logits)
    assert torch.count_nonzero(gradient[0]) == 0
    loss = method.critic_step(out.kept, tiny_views(), nets, 1.0)["critic_entropy"]
    fake = sum(softplus(d) for d in doubt) / 2
    assert loss.item() == pytest.approx(0.5 * (softplus(-0.5) + fake))


# ---- AdaptSegNet ----


class TwoHeads(nn.Module):
    """An encoder that hands the image on and a decoder whose coarse head says something else."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = says(), Voxelwise((2.0, 0.0), (0.0, 0.0))
        self.decoder = self

    def encoder(self, x: Tensor) -> list[Tensor]:
        return [x]

    def scales(self, features: list[Tensor]) -> list[Tensor]:
        return [self.fine(features[0]), self.coarse(features[0])]


def adaptsegnet_step(levels: int, fraction: float = 1.0, batch: Batch = BATCH):
    method = make_method("adaptsegnet", levels=levels)
    nets: dict[str, nn.Module] = {"student": TwoHeads()}
    nets |= {f"critic_level_{level}": ChannelCritic(weight=level + 1.0) for level in range(levels)}
    return method, nets, method.step(batch, tiny_views(), nets, fraction)


def test_adaptsegnet_of_one_level():
    method, nets, out = adaptsegnet_step(1)
    by_hand = (softplus(-0.75) + softplus(-0.5)) / 2
    assert out.terms["adversarial_target"].item() == pytest.approx(by_hand)
    assert out.terms["supervised"] == supervised(out.logits, BATCH.y)
    loss = method.critic_step(out.kept, tiny_views(), nets, 1.0)
    fake = (softplus(0.75) + softplus(0.5)) / 2
    assert loss["critic_level_0"].item() == pytest.approx(0.5 * (softplus(-0.5) + fake))


def test_adaptsegnets_second_level_counts_less():
    """Coarse p of class 0 is 9/10 and 1/2; its critic's logits are twice that; weights .1, .2."""
    method, nets, out = adaptsegnet_step(2)
    fine = (softplus(-0.75) + softplus(-0.5)) / 2
    coarse = (softplus(-1.8) + softplus(-1.0)) / 2
    assert out.terms["adversarial_target"].item() == pytest.approx(fine + 0.2 * coarse)
    source = supervised(out.logits[:1], KNOWN)  # both heads say the same where the image is 0
    assert out.terms["supervised"].item() == pytest.approx(1.1 * source.item())
    losses = method.critic_step(out.kept, tiny_views(), nets, 1.0)
    assert set(losses) == {"critic_level_0", "critic_level_1"}


def test_adaptsegnets_coarse_head_learns_from_the_start():
    one_class = Batch(SOURCE, torch.zeros_like(KNOWN), 1)
    _, nets, out = adaptsegnet_step(2, fraction=0.0, batch=one_class)
    out.terms["supervised"].backward()
    assert nets["student"].coarse.shift.grad.any()


def test_adaptsegnet_finds_its_second_level_in_a_real_network():
    method = make_method("adaptsegnet")
    nets = method.build(Maker(DEEP))
    assert {"critic_level_0", "critic_level_1"} <= set(nets)
    batch = Batch(torch.randn((2, 3, 8, 8)), torch.full((2, 8, 8), IGNORE), 1)
    out = method.step(batch, tiny_views(), nets, 1.0)
    out.terms["adversarial_target"].backward()
    assert all(p.grad is not None for p in nets["student"].decoder.heads[0].parameters())


def test_adaptsegnet_compares_one_level_of_a_real_network_too():
    method = make_method("adaptsegnet", levels=1)
    nets = method.build(Maker(DEEP))
    assert set(nets) == {"student", "teacher", "critic_level_0"}
    batch = Batch(torch.randn((2, 3, 8, 8)), torch.full((2, 8, 8), IGNORE), 1)
    out = method.step(batch, tiny_views(), nets, 1.0)
    assert out.terms["adversarial_target"] > 0
    assert set(out.kept) == {"real_0", "fake_0"}
    assert out.logits.shape == (2, 3, 8, 8)
    assert set(method.critic_step(out.kept, tiny_views(), nets, 1.0)) == {"critic_level_0"}


# ---- feature alignment ----


def test_feature_alignment_reads_every_level_but_the_logits():
    method = make_method("feature-alignment")
    nets = method.build(Maker(DEEP))
    critic = nets["critic_features"]
    assert isinstance(critic, FeatureDiscriminator)
    batch = Batch(torch.randn((3, 3, 8, 8)), torch.full((3, 8, 8), IGNORE), 1)
    out = method.step(batch, tiny_views(), nets, 1.0)
    assert out.kept["source"].shape == (1, 4 + 8 + 16 + 4, 2, 2)
    assert out.kept["target"].shape == (2, 4 + 8 + 16 + 4, 2, 2)
    out.terms["adversarial_domain"].backward()
    student = nets["student"]
    for part in (*student.encoder.levels, student.decoder.rises[1]):
        assert any(p.grad is not None and bool(p.grad.any()) for p in part.parameters())
    assert all(p.grad is None for p in student.decoder.rises[0].parameters())


def test_feature_alignment_confuses_both_domains():
    """A critic that calls everything source, logit 2: softplus(-2) of target, (2) of source."""

    class Sure(ChannelCritic):
        def forward(self, x: Tensor) -> Tensor:
            return 0 * x[:, :1] + 2 * self.weight

    method = make_method("feature-alignment")
    nets = method.build(Maker(DEEP)) | {"critic_features": Sure()}
    batch = Batch(torch.randn((3, 3, 8, 8)), torch.full((3, 8, 8), IGNORE), 1)
    out = method.step(batch, tiny_views(), nets, 1.0)
    by_hand = 0.5 * (softplus(-2) + softplus(2))
    assert out.terms["adversarial_domain"].item() == pytest.approx(by_hand)
    loss = method.critic_step(out.kept, tiny_views(), nets, 1.0)["critic_features"]
    assert loss.item() == pytest.approx(by_hand)


def test_feature_alignment_rises_late_and_in_a_line():
    ramp = make_method("feature-alignment").ramps()["adversarial_domain"]
    found = [ramp(fraction) for fraction in (0.0, 0.29, 0.45, 0.6, 1.0)]
    assert found == pytest.approx([0, 0, 0.025, 0.05, 0.05])


# ---- CyCADA ----


class Brighter(nn.Module):
    """A translation that adds a constant."""

    def __init__(self, change: float) -> None:
        super().__init__()
        self.change = nn.Parameter(torch.tensor(change))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.change


def cycada_step(fraction: float = 1.0, share: float = 0.9, **params: object):
    """G adds ln 3, F takes 1 away; critics' logits are intensity, or the score of class 0."""
    method = make_method("cycada", **params)
    nets: dict[str, nn.Module] = {"student": says(), "teacher": says()}
    nets["teacher"].requires_grad_(False)
    nets |= {"generator_target": Brighter(math.log(3)), "generator_source": Brighter(-1.0)}
    names = ("critic_target", "critic_source", "critic_scores")
    nets |= {name: accurate(ChannelCritic(), share) for name in names}
    return method, nets, method.step(BATCH, tiny_views(), nets, fraction)


def test_cycadas_translations_for_a_picture():
    _, nets, _ = cycada_step()
    images = translations(nets, SOURCE, TARGET)
    assert torch.allclose(images.as_target, SOURCE + math.log(3))
    assert torch.allclose(images.as_source, TARGET - 1)


def test_cycadas_cycle_by_hand():
    """Each way round the image is off by ln 3 - 1."""
    _, _, out = cycada_step()
    assert out.terms["cycle"].item() == pytest.approx(2 * (math.log(3) - 1), rel=1e-5)


def test_cycada_learns_labels_on_translated_images():
    """p is (3/4, 1/4) there, and the source's labels are 0 and 1."""
    _, nets, out = cycada_step()
    z = torch.tensor([[math.log(3)] * 2, [0.0] * 2]).view(1, 2, 1, 2)
    assert out.terms["supervised_translated"].item() == pytest.approx(supervised(z, KNOWN).item())
    out.terms["supervised_translated"].backward()
    assert nets["generator_target"].change.grad is None, "labels must not bend the translation"


def test_cycadas_generators_answer_to_the_critics_of_images():
    _, nets, out = cycada_step()
    to_target = softplus(-math.log(3))
    to_source = (softplus(1 - math.log(3)) + softplus(1)) / 2
    assert out.terms["adversarial_images"].item() == pytest.approx(to_target + to_source)
    out.terms["adversarial_images"].backward()
    assert nets["student"].slope.grad is None
    assert nets["generator_target"].change.grad < 0


def test_cycadas_critics_by_hand():
    method, nets, out = cycada_step()
    losses = method.critic_step(out.kept, tiny_views(), nets, 1.0)
    three = math.log(3)
    target = (softplus(-three) + softplus(0)) / 2
    assert losses["critic_target"].item() == pytest.approx(0.5 * (target + softplus(three)))
    source = (softplus(three - 1) + softplus(-1)) / 2
    assert losses["critic_source"].item() == pytest.approx(0.5 * (softplus(0) + source))
    scores = (softplus(0.75) + softplus(0.5)) / 2
    assert losses["critic_scores"].item() == pytest.approx(0.5 * (softplus(-0.75) + scores))


def test_semantic_consistency_waits_until_the_task_is_learnt():
    """Nearly ln 2 of loss: above 0.5, below 2."""
    _, _, early = cycada_step(sure=0.5)
    assert early.terms["semantic"] == 0
    _, nets, late = cycada_step(sure=2.0)
    assert late.terms["semantic"] > 0
    late.terms["semantic"].backward()
    assert nets["generator_target"].change.grad is not None
    assert nets["student"].slope.grad is None


def test_semantic_consistency_by_hand():
    """The teacher says class 0 everywhere (ties too): -ln of what it says after translation."""
    _, _, out = cycada_step(sure=2.0)
    after = [math.log(3), math.log(3), math.log(3) - 1, -1.0]
    assert out.terms["semantic"].item() == pytest.approx(sum(softplus(-z) for z in after) / 4)


@pytest.mark.parametrize(("share", "pulls"), [(0.55, False), (0.65, True)])
def test_cycadas_safeguard_holds_the_critic_of_scores(share, pulls):
    _, _, out = cycada_step(share=share)
    by_hand = (softplus(-0.75) + softplus(-0.5)) / 2 if pulls else 0
    assert out.terms["adversarial_scores"].item() == pytest.approx(by_hand)
    assert out.terms["adversarial_images"] > 0, "generators must learn before scores can differ"


def test_without_the_critic_of_scores_cycada_still_translates():
    """A weight of 0 is of that one term."""
    method, _, out = cycada_step(consistency=0.0)
    assert {"cycle", "semantic", "supervised_translated", "adversarial_images"} <= set(out.terms)
    assert out.terms["cycle"].item() == pytest.approx(2 * (math.log(3) - 1), rel=1e-5)
    weights = {name: ramp(1.0) for name, ramp in method.ramps().items()}
    assert weights.pop("adversarial_scores") == 0
    assert weights == {
        "adversarial_images": 1,
        "cycle": 10,
        "semantic": 1,
        "supervised_translated": 1,
    }


def leaning(fraction: float, source: Tensor, target: Tensor) -> float:
    """Take one step of CyCADA whose teacher says softmax(x + ln 3, 0); return the lean."""
    method = make_method("cycada", start=0.1)
    knows = Voxelwise((1.0, 0.0), (math.log(3), 0.0))
    nets: dict[str, nn.Module] = {"student": says(), "teacher": knows}
    generators = ("generator_target", "generator_source")
    nets |= {name: StyleGenerator(2, 1) for name in generators}
    nets |= {f"critic_{name}": ChannelCritic() for name in ("target", "source", "scores")}
    batch = Batch(torch.cat([source, target]), torch.cat([KNOWN, HIDDEN]), 1)
    method.step(batch, tiny_views(), nets, fraction)
    leans = [nets[name].lean.item() for name in generators]
    assert leans[0] == leans[1]
    return leans[0]


def bits(p: float) -> float:
    return -(p * math.log2(p) + (1 - p) * math.log2(1 - p))


TELLING = torch.tensor([-2 * math.log(3), 0.0]).view(1, 1, 1, 2)
"""The teacher says 1/4 and 3/4; of its negative 27/28 and 3/4, which tells less."""

MUCH = bits(1 / 2) - bits(1 / 4)
LITTLE = bits((27 / 28 + 3 / 4) / 2) - (bits(27 / 28) + bits(3 / 4)) / 2


def test_cycada_leans_to_the_sign_that_tells_the_teacher_more_by_hand():
    """A tenth of each step's difference counts."""
    assert leaning(0.2, TELLING, TELLING) == pytest.approx(0.1 * (MUCH - LITTLE), rel=1e-4)
    foreign = 0.1 * (LITTLE - 0.85 * MUCH)
    assert MUCH - LITTLE > -foreign / 0.1 > 0
    assert leaning(0.2, TELLING, -TELLING) == pytest.approx(foreign, rel=1e-4)


def test_cycada_makes_no_negatives_of_a_target_that_the_teacher_reads_like_the_source():
    """Else two scanners of one contrast would be redrawn as negatives of each other."""
    lean = leaning(0.2, -TELLING, -TELLING)
    assert lean == pytest.approx(0.1 * (LITTLE - 0.85 * LITTLE), rel=1e-3)
    assert lean > 0


def test_cycada_leans_no_more_once_it_learns_from_translations():
    assert leaning(0.31, TELLING, -TELLING) == 0
