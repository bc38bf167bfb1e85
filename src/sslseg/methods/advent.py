"""AdvEnt: doubt on the target domain should lie where it lies on the source."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor, nn

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.consistency import self_information
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.adversary import Adversary
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput, supervised_step
from sslseg.networks.discriminators import PatchDiscriminator
from sslseg.networks.factory import Maker


class AdvEntParams(SemiSupervisedParams):
    """Parameters of AdvEnt."""

    consistency: float = Field(
        0.01, ge=0, description="How strongly the critic pulls the target's doubt."
    )


class AdvEnt(Method[AdvEntParams]):
    """A critic of patches tells maps of self-information of the source from the target's.

    Vu et al., CVPR 2019: I = -p log p / log C, voxel by voxel and class by class, L
    = Lsup + l fool(D(I_t)); D learns I_s as real. I is computed from log-softmax in single
    precision: the published guard of 1e-30 is 0 in half precision. The weight l is larger than the
    paper's 1e-3, which goes with another optimiser and 120,000 steps. There is one head and one
    critic, as in `adaptsegnet` with one level; published are two. Labelled items are the source; D
    reads others of it, drawn as the target's are (`Batch.like`). Both domains go through the
    network in one pass, so that they share batch norm's statistics with each other and with the
    prediction: with statistics of its own, each domain would look more alike to the critic than it
    does when it is predicted.

    Defaults: consistency 0.01, start 0.3.
    """

    name = "advent"
    family = "Domain adaptation"
    summary = "For a second, unlabelled domain: to be as sure there as on the first one."
    source = "Vu et al. (AdvEnt), CVPR 2019"
    adapts = True
    Params = AdvEntParams

    def build(self, make: Maker) -> dict[str, nn.Module]:
        """Return student, teacher and the critic of self-information."""
        spectral = self.critic.critic_spectral_norm
        critic = PatchDiscriminator(make.spec.dims, make.spec.classes, spectral=spectral)
        return super().build(make) | {"critic_entropy": critic}

    def ramps(self) -> dict[str, Ramp]:
        """The critic pulls from `start` on."""
        return {"adversarial_target": self.params.rise()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return supervised and adversarial terms."""
        if self.params.idle(fraction) or batch.unlabelled == 0:
            return supervised_step(batch, nets["student"])
        game = Adversary(self.critic, views, fraction)
        logits = nets["student"](batch.x)
        doubt = self_information(logits)
        source, target = doubt[batch.like], doubt[batch.unlike]
        terms = {
            "supervised": supervised(logits, batch.y),
            "adversarial_target": game.fool(nets["critic_entropy"], target),
        }
        return StepOutput(terms, logits, batch.y, {"source": source, "target": target})

    def critic_step(
        self, kept: Mapping[str, Tensor], views: Views, nets: Networks, fraction: float
    ) -> dict[str, Tensor]:
        """The source's maps are real to the critic."""
        game, critic = Adversary(self.critic, views, fraction), nets["critic_entropy"]
        return {"critic_entropy": game.tell_apart(critic, kept["source"], kept["target"])}
