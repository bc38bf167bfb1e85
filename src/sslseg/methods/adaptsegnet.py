"""AdaptSegNet: predictions on the target domain should look like those on the source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.adversary import Adversary
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput, critics
from sslseg.networks.discriminators import PatchDiscriminator
from sslseg.networks.factory import Maker
from sslseg.networks.teacher import freeze
from sslseg.networks.unet import UNet

SEGMENTS, FOOLS = (1.0, 0.1), (1.0, 0.2)
"""Weights of the heads' terms, main head first: published 1 and 0.1, 1e-3 and 2e-4."""


class AdaptSegNetParams(SemiSupervisedParams):
    """Parameters of AdaptSegNet."""

    consistency: float = Field(
        0.01, ge=0, description="How strongly the critics pull the target's predictions."
    )
    levels: int = Field(
        2, ge=1, le=2, description="Heads that are compared: the last one, or a coarser one too."
    )


class AdaptSegNet(Method[AdaptSegNetParams]):
    """Critics of patches tell the source's predictions from the target's, at one or two levels.

    Tsai et al., CVPR 2018: L = Lsup(P2_s) + 0.1 Lsup(P1_s) + l (fool(D2(P2_t)) +
    0.2 fool(D1(P1_t))), P the softmax maps of the last head and of one a level coarser (the paper's
    conv4), upsampled. Masks share a layout where images do not. The weight l is larger than the
    paper's 1e-3, which goes with another optimiser and 150,000 steps. Labelled items are the
    source; the critics read others of it, drawn as the target's are (`Batch.like`). Both domains go
    through the network in one pass once the target joins: apart, batch norm would use statistics of
    each domain while it learns and a blend of both when it predicts, so that what was aligned is
    not what is shown. The paper's batch norm is frozen.

    Defaults: consistency 0.01, start 0.3, levels 2.
    """

    name = "adaptsegnet"
    family = "Domain adaptation"
    summary = "For a second, unlabelled domain: its predictions are to look like the first one's."
    source = "Tsai et al. (AdaptSegNet), CVPR 2018"
    adapts = True
    Params = AdaptSegNetParams

    def build(self, make: Maker) -> dict[str, nn.Module]:
        """Return student and teacher with deep heads, and a critic of each level."""
        spec, deep = make.spec, self.params.levels > 1
        levels = min(self.params.levels, len(spec.strides))
        spectral = self.critic.critic_spectral_norm
        return {"student": make(deep=deep), "teacher": freeze(make(deep=deep))} | {
            f"critic_level_{level}": PatchDiscriminator(spec.dims, spec.classes, spectral=spectral)
            for level in range(levels)
        }

    def ramps(self) -> dict[str, Ramp]:
        """The critics pull from `start` on."""
        return {"adversarial_target": self.params.rise()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return supervised terms of the source and adversarial terms of the target."""
        idle = self.params.idle(fraction) or batch.unlabelled == 0
        items, student = batch.head() if idle else batch, cast("UNet", nets["student"])
        scales = student.decoder.scales(student.encoder(items.x))[: self.params.levels]
        taught = [w * supervised(z, items.y) for w, z in zip(SEGMENTS, scales, strict=False)]
        terms = {"supervised": torch.stack(taught).sum()}
        if idle:
            return StepOutput(terms, scales[0], items.y)
        maps = [torch.softmax(z.float(), 1) for z in scales]
        game = Adversary(self.critic, views, fraction)
        pulls = [
            weight * game.fool(nets[f"critic_level_{level}"], p[batch.unlike])
            for level, (weight, p) in enumerate(zip(FOOLS, maps, strict=False))
        ]
        terms["adversarial_target"] = torch.stack(pulls).sum()
        kept = {f"real_{level}": p[batch.like] for level, p in enumerate(maps)}
        kept |= {f"fake_{level}": p[batch.unlike] for level, p in enumerate(maps)}
        return StepOutput(terms, scales[0], items.y, kept)

    def critic_step(
        self, kept: Mapping[str, Tensor], views: Views, nets: Networks, fraction: float
    ) -> dict[str, Tensor]:
        """The source's maps are real to the critics."""
        game = Adversary(self.critic, views, fraction)
        return {
            name: game.tell_apart(net, kept[f"real_{level}"], kept[f"fake_{level}"])
            for level, (name, net) in enumerate(critics(nets).items())
        }
