"""Deep co-training: networks agree on images, and each withstands what fools another."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.consistency import js, kl
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.base import Networks, SemiSupervisedParams, StepOutput, optimised
from sslseg.methods.ensemble import Ensemble, alone
from sslseg.methods.shared import ADVANCED
from sslseg.networks.factory import Maker


class DeepCoTrainingParams(SemiSupervisedParams):
    """Parameters of deep co-training."""

    consistency: float = Field(
        0.5, ge=0, description="Weight of the agreement between the networks, at its fullest."
    )
    networks: int = Field(
        2,
        ge=2,
        le=6,
        description="How many networks; each costs its share of the time.",
        json_schema_extra=ADVANCED,
    )
    diversity: float = Field(
        0.05,
        ge=0,
        description="Weight of the adversarial images that keep the networks different.",
        json_schema_extra=ADVANCED,
    )
    epsilon: float = Field(
        0.1,
        gt=0,
        le=1,
        description="How far an adversarial image is from the true one, in standard deviations.",
        json_schema_extra=ADVANCED,
    )


class DeepCoTraining(Ensemble[DeepCoTrainingParams]):
    """Networks that agree on unlabelled images, kept different by adversarial ones.

    Peng et al., Pattern Recognition 2020, on unlabelled items where nobody
    annotated: agreement JSD(p_1..p_K), here over ln C; diversity KL(sg p_i(x) || p_j(x_i)) with
    x_i = x + eps sign(grad_x CE(z_i, argmax p_i)), an image that moves network i away from what
    it said, on which j shall say what i says of x. Choices of ours: of the ordered pairs one is
    drawn each step, where the paper takes both directions, which costs half; eps 0.1 of z-scored
    images, for 0.03 of images in [0, 1]; both terms start together, where the published diversity
    waits until 20 of 120 epochs are over, less than the supervised share here. EMAs of the networks
    predict.

    `disagreement` is reported and teaches nothing: of the unlabelled voxels that any network calls
    foreground, the share where two differ. Under 0.005 the networks are one and the same.

    A step costs K * 3 (Bl + Bu) + 5 Bu forward passes of an item (17 B for two networks, without
    `diversity` 12 B), where `supervised` costs 3 Bl.

    Defaults: consistency 0.5, start 0.3, networks 2, diversity 0.05, epsilon 0.1.
    """

    name = "deep-co-training"
    family = "Co-training"
    summary = (
        "Networks must agree, and withstand images made to fool the other; "
        "it helps, but co-training helps more and is quicker: to compare."
    )
    source = "Peng et al., Pattern Recognition 2020"
    Params = DeepCoTrainingParams

    def networks(self, make: Maker) -> dict[str, nn.Module]:
        """Return networks that differ in their first weights."""
        return {str(number): make() for number in range(self.params.networks)}

    def ramps(self) -> dict[str, Ramp]:
        """Both terms rise over a fifth of the run once the supervised share is over."""
        weights = {"consistency": self.params.consistency, "diversity": self.params.diversity}
        return {name: self.params.rise(weight) for name, weight in weights.items()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return supervised, consistency and diversity terms, and the disagreement."""
        if fraction < self.params.start or batch.unlabelled == 0:
            return alone(batch, nets)
        count, students = batch.labelled, list(optimised(nets).values())
        free = batch.x[count:].detach().clone().requires_grad_(self.params.diversity > 0)
        x = torch.cat([batch.x[:count], free])
        logits = [net(x) for net in students]
        said = [torch.softmax(z[count:].float(), dim=1) for z in logits]
        hidden = (batch.y[count:] < 0).unsqueeze(1)
        terms = {
            "supervised": torch.stack([supervised(z, batch.y) for z in logits]).sum(),
            "consistency": js(said, hidden),
            "disagreement": disagreement(said, hidden),
        }
        if self.params.diversity > 0:
            fooled, judge = views.shuffled(len(students))[:2].tolist()
            image = adversarial(logits[fooled][count:], free, self.params.epsilon)
            answer = torch.softmax(students[judge](image).float(), dim=1)
            terms["diversity"] = kl(said[fooled].detach(), answer, hidden)
        return StepOutput(terms, logits[0], batch.y)


def adversarial(z: Tensor, x: Tensor, epsilon: float) -> Tensor:
    """Return `x` one step along the sign of the gradient that moves `z` from its own labels.

    Fast gradient sign method (Goodfellow et al., ICLR 2015). Summed over voxels, not averaged: the
    sign is the same and half precision does not round it to 0.

    Parameters
    ----------
    z : Tensor
        Logits ``(B, C, *S)`` of `x`, whose graph is kept.
    x : Tensor
        Images ``(B, Cin, *S)`` that require a gradient.
    epsilon : float
        Length of the step for each voxel.
    """
    loss = F.cross_entropy(z.float(), z.argmax(1), reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x, retain_graph=True)
    return (x + epsilon * gradient.sign()).detach()


@torch.no_grad()
def disagreement(said: list[Tensor], hidden: Tensor) -> Tensor:
    """Return the share of foreground voxels on which the labels of any two differ; in [0, 1].

    Parameters
    ----------
    said : list of Tensor
        Probabilities ``(B, C, *S)``.
    hidden : Tensor
        ``(B, 1, *S)`` bool, voxels that count.
    """
    labels = torch.stack([p.argmax(1) for p in said])
    foreground = (labels > 0).any(0) & hidden[:, 0]
    differ = (labels != labels[0]).any(0) & foreground
    return differ.sum() / foreground.sum().clamp(min=1)
