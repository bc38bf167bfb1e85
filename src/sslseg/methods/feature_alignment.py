"""Feature alignment: activations of several layers should not betray the domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from pydantic import Field
from torch import Tensor, nn

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.adversary import Adversary
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput, supervised_step
from sslseg.networks.discriminators import FeatureDiscriminator, joined
from sslseg.networks.factory import Maker
from sslseg.networks.unet import UNet


class FeatureAlignmentParams(SemiSupervisedParams):
    """Parameters of feature alignment."""

    consistency: float = Field(
        0.05, ge=0, description="How strongly features of both domains are made alike."
    )


class FeatureAlignment(Method[FeatureAlignmentParams]):
    """A critic reads several layers and tells the domains; the segmentor makes that impossible.

    Kamnitsas et al., IPMI 2017: L = Lsup(source) - a L_dom(D(h), domain), h the
    features of all levels of encoder and decoder but the logits, pooled to the coarsest, joined and
    projected by D's first 1x1 convolution. Early layers matter less, but a critic of the last ones
    alone is easily fooled. Choices of ours: -L_dom in its non-saturating form, which calls each
    domain's features the other's and does not fade when D is sure; a rises linearly over 0.3 of the
    run from `start` on to 0.05 (the paper's schedule could not be verified). Labelled items are the
    source; D reads others of it, drawn as the target's are (`Batch.like`). One pass for both
    domains: with batch-norm statistics of its own each domain's features would have the same mean
    and spread, which hides from D the very difference that prediction, with common statistics,
    brings back.

    Defaults: consistency 0.05, start 0.3.
    """

    name = "feature-alignment"
    family = "Domain adaptation"
    summary = "For a second, unlabelled domain: its inner features are to look like the first's."
    source = "Kamnitsas et al., IPMI 2017"
    adapts = True
    Params = FeatureAlignmentParams

    def build(self, make: Maker) -> dict[str, nn.Module]:
        """Return student, teacher and the critic of features."""
        channels = make.spec.channels
        taps = sum(channels) + sum(channels[:-2])
        spectral = self.critic.critic_spectral_norm
        critic = FeatureDiscriminator(make.spec.dims, taps, spectral=spectral)
        return super().build(make) | {"critic_features": critic}

    def ramps(self) -> dict[str, Ramp]:
        """On from the start it would unsettle the features: late, and linear as in the paper."""
        p = self.params
        return {
            "adversarial_domain": Ramp(
                weight=p.consistency, start=p.start, length=0.3, shape="linear"
            )
        }

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return supervised and adversarial terms."""
        if self.params.idle(fraction) or batch.unlabelled == 0:
            return supervised_step(batch, nets["student"])
        game, student = Adversary(self.critic, views, fraction), cast("UNet", nets["student"])
        features = student.encoder(batch.x)
        logits, *decoded = student.decoder.levels(features)
        taps = joined([tap.float() for tap in (*features, *decoded)])
        source, target = taps[batch.like], taps[batch.unlike]
        terms = {
            "supervised": supervised(logits, batch.y),
            "adversarial_domain": game.confuse(nets["critic_features"], source, target),
        }
        return StepOutput(terms, logits, batch.y, {"source": source, "target": target})

    def critic_step(
        self, kept: Mapping[str, Tensor], views: Views, nets: Networks, fraction: float
    ) -> dict[str, Tensor]:
        """The source's features are real to the critic."""
        game, critic = Adversary(self.critic, views, fraction), nets["critic_features"]
        return {"critic_features": game.tell_apart(critic, kept["source"], kept["target"])}
