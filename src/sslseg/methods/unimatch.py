"""UniMatch: one weak view teaches two strong ones and one with features left out."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from sslseg.core.annotation import IGNORE
from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.masked import dice, supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput, supervised_step
from sslseg.methods.shared import ADVANCED
from sslseg.networks.unet import UNet


class UniMatchParams(SemiSupervisedParams):
    """Parameters of UniMatch."""

    threshold: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Probability from which a weak view's label is believed; the paper's is 0.95.",
        json_schema_extra=ADVANCED,
    )
    drop: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="Share of feature channels left out of the third view.",
        json_schema_extra=ADVANCED,
    )


class UniMatch(Method[UniMatchParams]):
    """The network's own confident labels on a weak view teach three perturbed ones.

    Yang et al., CVPR 2023, as in its medical folder: with the label
    argmax p_weak where max p_weak >= 0.8, L = L_sup + 1/4 (Dice_strong1 + Dice_strong2) +
    1/2 Dice_features. Strong views change intensities and are mixed box by box, the label with
    them; the features' view drops half of the encoder's channels at every level. Voxels below
    the threshold, and annotated ones, are ignored, not background. With the paper's threshold of
    0.95 a class of which few slices are annotated can vanish from the labels, and nothing brings
    it back. The paper has no teacher (the EMA here only predicts), no supervised share and no
    rising weight.

    Defaults: consistency 1.0, start 0.3, threshold 0.8, drop 0.5.
    """

    name = "unimatch"
    family = "Consistency"
    summary = (
        "Confident labels of a calm view teach three disturbed ones; "
        "slower, and the first to try where bcp disappoints."
    )
    source = "Yang et al., CVPR 2023"
    Params = UniMatchParams

    def ramps(self) -> dict[str, Ramp]:
        """Images and features count half each, once the supervised share is over."""
        half = self.params.rise(0.5 * self.params.consistency)
        return {"consistency": half, "features": half}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return supervised term, that of the two strong views, and that of dropped features."""
        if self.params.idle(fraction) or batch.unlabelled == 0:
            return supervised_step(batch, nets["student"])
        net, count, size = nets["student"], batch.labelled, len(batch.x)
        assert isinstance(net, UNet)
        features = net.encoder(batch.x)
        dropped = [torch.cat([f, self._dropped(f[count:], views)]) for f in features]
        logits, perturbed = net.decoder(dropped).split([size, batch.unlabelled])
        p = torch.softmax(logits[count:].detach().float(), dim=1)
        label = pseudo_label(p, batch.y[count:], self.params.threshold)
        terms = {
            "supervised": supervised(logits, batch.y),
            "consistency": self._strong(net, batch.x[count:], label, views),
            "features": dice(perturbed, label),
        }
        return StepOutput(terms, logits, batch.y)

    def _strong(self, net: nn.Module, x: Tensor, label: Tensor, views: Views) -> Tensor:
        """Return the mean Dice loss of two strong views of `x`, mixed along with `label`."""
        mixes = [views.cutmix(x), views.cutmix(x)]
        logits = net(torch.cat([mix(views.strong(x)) for mix in mixes])).chunk(2)
        losses = [dice(z, mix(label)) for z, mix in zip(logits, mixes, strict=True)]
        return torch.stack(losses).mean()

    def _dropped(self, features: Tensor, views: Views) -> Tensor:
        """Leave out whole channels of ``(B, K, *S)`` and scale up the others."""
        shape = (*features.shape[:2], *[1] * (features.ndim - 2))
        kept = torch.rand(shape, generator=views.rng) >= self.params.drop
        return features * (kept / (1 - self.params.drop)).to(features)


def pseudo_label(p: Tensor, y: Tensor, threshold: float) -> Tensor:
    """Return the most probable class of ``(B, C, *S)``, or IGNORE: ``(B, *S)`` int64.

    IGNORE where the probability is below `threshold`, and where `y` ``(B, *S)`` says the truth.
    """
    sure, label = p.max(1)
    believed = (y < 0) & (sure >= threshold)
    return torch.where(believed, label, torch.full_like(label, IGNORE))
