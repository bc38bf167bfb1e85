"""AdvSemiSeg: a pixel critic pushes predictions towards annotations and says which to believe."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.consistency import pseudo_cross_entropy
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.adversary import Adversary
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput
from sslseg.methods.shared import ADVANCED
from sslseg.networks.discriminators import PixelDiscriminator
from sslseg.networks.factory import Maker


class AdvSemiSegParams(SemiSupervisedParams):
    """Parameters of AdvSemiSeg."""

    consistency: float = Field(
        0.1, ge=0, description="Weight of its own believable labels on the unlabelled volumes."
    )
    adversarial: float = Field(
        0.01, gt=0, description="How strongly the critic pushes predictions on labelled volumes."
    )
    adversarial_unlabelled: float = Field(
        0.001,
        gt=0,
        description="How strongly it pushes those on unlabelled volumes.",
        json_schema_extra=ADVANCED,
    )
    threshold: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Critic's belief from which a voxel's own label is learnt.",
        json_schema_extra=ADVANCED,
    )


class AdvSemiSeg(Method[AdvSemiSegParams]):
    """A critic asks of every voxel: annotation or prediction? Its belief chooses pseudo-labels.

    Hung et al., BMVC 2018, with d = D(p) upsampled to the voxels: L = Lsup + l_adv
    fool(d(p_l)) + l_semi_adv fool(d(p_u)) + l_semi CE(z_u, argmax p_u) where sigmoid d(p_u) >= T.
    The critic is the one that rides with other methods, which therefore does not ride here, and
    gives the confidence layer. It reads softened annotations and, as the paper has it (the code
    adds unlabelled ones), labelled predictions. It learns all the time; pushing begins with
    `start`, self-training a tenth of the run later, when its belief means something (published: at
    once, and after a quarter). Weights and threshold are the published. A step without a believable
    voxel keeps all its other terms. The sum of self-training is over hidden voxels, divided by all.
    The published critic learns at 1e-4, falling; `CriticParams` says why ours does not.

    Defaults: consistency 0.1, start 0.3, adversarial 0.01, adversarial_unlabelled 0.001, threshold
    0.2.
    """

    name = "advsemiseg"
    family = "Adversarial"
    summary = (
        "A critic of each voxel pushes predictions towards annotations and says which hold; "
        "a small gain: to compare, or where its confidence is to teach too."
    )
    source = "Hung et al. (AdvSemiSeg), BMVC 2018"
    judge = "critic_pixel"
    Params = AdvSemiSegParams

    def build(self, make: Maker) -> dict[str, nn.Module]:
        """Return student, teacher and the critic of voxels."""
        spectral = self.critic.critic_spectral_norm
        critic = PixelDiscriminator(make.spec.dims, make.spec.classes, spectral=spectral)
        return super().build(make) | {"critic_pixel": critic}

    def ramps(self) -> dict[str, Ramp]:
        """Self-training waits for the critic."""
        p = self.params
        later = Ramp(
            weight=p.consistency, start=min(1.0, p.start + 0.1), length=0.2, shape="sigmoid"
        )
        return {
            "adversarial": p.rise(p.adversarial),
            "adversarial_unlabelled": p.rise(p.adversarial_unlabelled),
            "self_training": later,
        }

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return all terms; while it learns from labels alone, what the critic needs with them."""
        idle = fraction < self.params.start or batch.unlabelled == 0
        items, count = batch.head() if idle else batch, batch.labelled
        logits = nets["student"](items.x)
        p = torch.softmax(logits.float(), 1)
        kept = {"p": p[:count], "y": items.y[:count]}
        terms = {"supervised": supervised(logits, items.y)}
        if not idle:
            game, critic = Adversary(self.critic, views, fraction), nets["critic_pixel"]
            terms["adversarial"] = game.fool(critic, p[:count])
            terms["adversarial_unlabelled"] = game.fool(critic, p[count:])
            terms["self_training"] = self._self_training(critic, logits[count:], items.y[count:])
        return StepOutput(terms, logits, items.y, kept)

    def _self_training(self, critic: nn.Module, logits: Tensor, y: Tensor) -> Tensor:
        """Return the term of hidden voxels whose label the critic believes."""
        p = torch.softmax(logits.detach().float(), 1)
        with torch.no_grad():
            belief = torch.sigmoid(critic(p).float())
        believed = (belief >= self.params.threshold) & (y < 0).unsqueeze(1)
        return pseudo_cross_entropy(logits, p.argmax(1), believed)

    def critic_step(
        self, kept: Mapping[str, Tensor], views: Views, nets: Networks, fraction: float
    ) -> dict[str, Tensor]:
        """Annotations are real to the critic, voxel by voxel."""
        game = Adversary(self.critic, views, fraction)
        loss = game.tell_truth(nets["critic_pixel"], kept["p"], kept["y"])
        return {} if loss is None else {"critic_pixel": loss}
