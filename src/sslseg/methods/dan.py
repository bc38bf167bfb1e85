"""DAN: predictions on unlabelled volumes should look like those on labelled ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.adversary import Adversary
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput, supervised_step
from sslseg.methods.shared import ADVANCED
from sslseg.networks.discriminators import ImageDiscriminator
from sslseg.networks.factory import Maker


class DanParams(SemiSupervisedParams):
    """Parameters of DAN."""

    consistency: float = Field(
        0.01, ge=0, description="Weight of what the unlabelled volumes teach, at its fullest."
    )
    sees_image: bool = Field(
        True,
        description="Show the image to the critic too; without, it cannot learn by heart which"
        " volumes are labelled.",
        json_schema_extra=ADVANCED,
    )


class DeepAdversarialNetwork(Method[DanParams]):
    """A critic of whole images tells predictions on labelled from those on unlabelled items.

    Zhang et al., MICCAI 2017. With p = softmax f(x) and D on (p, x):
    segmentor L = Lsup + w fool(D(p_u, x_u)), critic L = D(p_l, x_l) labelled, D(p_u, x_u) not.
    Both classes are soft maps of one network, so that no critic wins by spotting one-hot maps, and
    l is drawn from anywhere in the labelled volumes, so that none wins by spotting what the
    supervised items alone show: the object in the middle, and pasted boxes (`Batch.like`).

    D is laid out as SSL4MIS's, whose stems for map and image, added, are one convolution of both.
    It begins with 16 features for their 64, since patches are small and runs short; it has spectral
    norm, and its dropout leaves out single activations for their whole channels. Its mean over
    what is left of the image takes any patch, and targets follow the items, so that the streams
    may differ in size. D keeps its dropout in both steps: the segmentor plays against the function
    that D learns, and D learns on what the segmentor said in the same step (SSL4MIS asks it again
    without dropout). Both streams go through the segmentor in one pass. The weight is a tenth of
    SSL4MIS's: D soon knows four labelled volumes by heart, and what it then asks for harms.

    Defaults: consistency 0.01, start 0.3, sees_image True.
    """

    name = "dan"
    family = "Adversarial"
    summary = (
        "A critic asks of each unlabelled prediction whether it looks like a labelled one; "
        "with few labelled volumes it did not help: to compare."
    )
    source = "Zhang et al. (DAN), MICCAI 2017"
    compares = True
    Params = DanParams

    def build(self, make: Maker) -> dict[str, nn.Module]:
        """Return student, teacher and the critic of images."""
        spec = make.spec
        channels = spec.classes + (spec.in_channels if self.params.sees_image else 0)
        spectral = self.critic.critic_spectral_norm
        critic = ImageDiscriminator(spec.dims, channels, spectral=spectral)
        return super().build(make) | {"critic_image": critic}

    def ramps(self) -> dict[str, Ramp]:
        """The ramp of the adversarial term is the critic's warm-up, as in SSL4MIS."""
        return {"adversarial_unlabelled": self.params.rise()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return supervised and adversarial terms."""
        if self.params.idle(fraction) or batch.unlabelled == 0:
            return supervised_step(batch, nets["student"])
        game = Adversary(self.critic, views, fraction)
        logits = nets["student"](batch.x)
        seen = self._seen(torch.softmax(logits.float(), 1), batch.x)
        labelled, unlabelled = seen[batch.like], seen[batch.unlike]
        terms = {
            "supervised": supervised(logits, batch.y),
            "adversarial_unlabelled": game.fool(nets["critic_image"], unlabelled),
        }
        kept = {"labelled": labelled, "unlabelled": unlabelled}
        return StepOutput(terms, logits, batch.y, kept)

    def critic_step(
        self, kept: Mapping[str, Tensor], views: Views, nets: Networks, fraction: float
    ) -> dict[str, Tensor]:
        """Predictions on labelled items are real to the critic."""
        game, critic = Adversary(self.critic, views, fraction), nets["critic_image"]
        return {"critic_image": game.tell_apart(critic, kept["labelled"], kept["unlabelled"])}

    def _seen(self, p: Tensor, x: Tensor) -> Tensor:
        """Return what the critic sees: ``(B, C [+ Cin], *S)``."""
        return torch.cat([p, x], dim=1) if self.params.sees_image else p
