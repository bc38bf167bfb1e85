"""URPC: the scales of one network teach each other where they agree."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.consistency import weighted_mean
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput
from sslseg.networks.factory import Maker
from sslseg.networks.teacher import freeze
from sslseg.networks.unet import UNet


class UrpcParams(SemiSupervisedParams):
    """Parameters of URPC."""

    consistency: float = Field(
        1.0, ge=0, description="Weight of what the unlabelled volumes teach, at its fullest."
    )


class Urpc(Method[UrpcParams]):
    """Every level of the decoder predicts, and each is pulled to the mean of all.

    Luo et al., MICCAI 2021; MedIA 2022. With p_s the prediction of scale s and
    pbar the mean over scales, D_s = sum_c pbar_c ln(pbar_c / p_sc) is how far a scale is from the
    mean and exp(-D_s) how far it is believed: L = mean_s [ sum_v exp(-D_s) (p_s - pbar)^2 /
    sum_v exp(-D_s) + mean_v D_s ], over voxels that nobody annotated. All scales are supervised
    alike. One pass gives the doubt for nothing: the scales are members, and their mutual
    information is the mean of D_s with its two sides exchanged. The published weight is 0.1, which
    nobody feels in a run of some hundred steps; with 5 and few slices a long run drifts.

    Defaults: consistency 1.0, start 0.3.
    """

    name = "urpc"
    family = "Consistency"
    summary = (
        "One network predicts at several scales, which must agree; the gain is small: to compare."
    )
    source = "Luo et al., MICCAI 2021; MedIA 2022"
    parties = "coarse and fine predictions"
    Params = UrpcParams

    def build(self, make: Maker) -> dict[str, nn.Module]:
        """Return student and EMA, each with a head at every level."""
        return {"student": make(deep=True), "teacher": freeze(make(deep=True))}

    def ramps(self) -> dict[str, Ramp]:
        """Consistency rises over a fifth of the run once the supervised share is over."""
        return {"consistency": self.params.rise()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return the scales' supervised term and their consistency."""
        idle = self.params.idle(fraction)
        items = batch.head() if idle else batch
        scales = scales_of(nets["student"], items.x)
        terms = {"supervised": torch.stack([supervised(z, items.y) for z in scales]).mean()}
        if not idle:
            terms["consistency"] = pyramid_consistency(scales, (items.y < 0).unsqueeze(1))
        return StepOutput(terms, scales[0], items.y)

    def members(self, nets: Networks, x: Tensor) -> list[Tensor]:
        """Return what the EMA says at each scale, finest first, and what the student says."""
        logits = [*scales_of(nets["teacher"], x), nets["student"](x)]
        return [torch.softmax(z.float(), dim=1) for z in logits]


def scales_of(net: nn.Module, x: Tensor) -> list[Tensor]:
    """Return full-size logits ``(B, C, *S)`` of every level, finest first."""
    assert isinstance(net, UNet)
    return net.decoder.scales(net.encoder(x))


def pyramid_consistency(scales: Sequence[Tensor], w: Tensor) -> Tensor:
    """Return URPC's term for logits `scales` ``(B, C, *S)`` each, over voxels `w` ``(B, 1, *S)``.

    D_s is taken from log-probabilities, which no certain network drives to infinity.
    """
    logs = torch.stack([torch.log_softmax(z.float(), dim=1) for z in scales])
    log_mean = logs.logsumexp(0) - math.log(len(scales))
    mean = log_mean.exp()
    terms = []
    for log_p in logs:
        doubt = (mean * (log_mean - log_p)).sum(1, keepdim=True)
        distance = weighted_mean((log_p.exp() - mean).square(), torch.exp(-doubt) * w)
        terms.append(distance + weighted_mean(doubt, w))
    return torch.stack(terms).mean()
