"""MC-Net+: three decoders on one encoder that grow their features in different ways."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import torch
from pydantic import Field
from torch import Tensor, nn

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.consistency import mse
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput
from sslseg.methods.shared import ADVANCED
from sslseg.networks.factory import Maker
from sslseg.networks.teacher import freeze


class McNetParams(SemiSupervisedParams):
    """Parameters of MC-Net+."""

    consistency: float = Field(
        1.0, ge=0, description="Weight of what the unlabelled volumes teach, at its fullest."
    )
    temperature: float = Field(
        0.1,
        gt=0,
        le=1,
        description="How much a decoder's answer is sharpened before another learns it.",
        json_schema_extra=ADVANCED,
    )


class Fork(nn.Module):
    """One encoder and three decoders: transposed convolutions, linear, nearest interpolation."""

    def __init__(self, make: Maker) -> None:
        super().__init__()
        net = make(upsample="transposed")
        self.encoder = net.encoder
        others = [make.decoder(upsample=how) for how in ("linear", "nearest")]
        self.decoders = nn.ModuleList([net.decoder, *others])

    def branches(self, x: Tensor) -> list[Tensor]:
        """Return each decoder's logits ``(B, classes, *S)``."""
        features = self.encoder(x)
        return [decoder(features) for decoder in self.decoders]

    def forward(self, x: Tensor) -> Tensor:
        """Return the first decoder's logits ``(B, classes, *S)``."""
        return torch.as_tensor(self.decoders[0](self.encoder(x)))


class McNet(Method[McNetParams]):
    """Decoders that differ in how they upsample learn each other's sharpened answers.

    Wu et al., MedIA 2022: with sharp(p) = p^(1/T) / sum_c p^(1/T), the term is
    the mean over ordered pairs i != j of mean (p_i - sharp(p_j))^2, over the whole batch but only
    on voxels that nobody annotated. The published sharpening is this for two classes, and its
    gradient flows through both sides, as here. Published are sums over decoders and over pairs;
    means keep the weight independent of their number. 4 would be the published balance, with which
    a long run on few slices drifts; hence 1.

    Defaults: consistency 1.0, start 0.3, temperature 0.1.
    """

    name = "mc-net"
    family = "Co-training"
    summary = (
        "Three decoders on one encoder must agree; "
        "slower, and the gain is small and varies: to compare."
    )
    source = "Wu et al., MICCAI 2021; MedIA 2022"
    parties = "the three decoders"
    Params = McNetParams

    def build(self, make: Maker) -> dict[str, nn.Module]:
        """Return student and EMA, each with three decoders."""
        return {"student": Fork(make), "teacher": freeze(Fork(make))}

    def ramps(self) -> dict[str, Ramp]:
        """Consistency rises over a fifth of the run once the supervised share is over."""
        return {"consistency": self.params.rise()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return the decoders' supervised term and their mutual consistency."""
        idle = self.params.idle(fraction)
        items = batch.head() if idle else batch
        logits = _branches(nets["student"], items.x)
        terms = {"supervised": torch.stack([supervised(z, items.y) for z in logits]).mean()}
        if not idle:
            hidden = (items.y < 0).unsqueeze(1)
            terms["consistency"] = mutual_consistency(logits, hidden, self.params.temperature)
        return StepOutput(terms, logits[0], items.y)

    def members(self, nets: Networks, x: Tensor) -> list[Tensor]:
        """Return the probabilities of the EMA's three decoders."""
        return [torch.softmax(z.float(), dim=1) for z in _branches(nets["teacher"], x)]


def _branches(net: nn.Module, x: Tensor) -> list[Tensor]:
    assert isinstance(net, Fork)
    return net.branches(x)


def mutual_consistency(logits: Sequence[Tensor], w: Tensor, temperature: float) -> Tensor:
    """Return the mean over ordered pairs of (p_i - sharp(p_j))^2 on voxels `w` ``(B, 1, *S)``.

    `logits` are ``(B, C, *S)`` each. Since sum_c of the exponentials cancels, sharp(p) is the
    softmax of logits over T.
    """
    p = [torch.softmax(z.float(), dim=1) for z in logits]
    sharp = [torch.softmax(z.float() / temperature, dim=1) for z in logits]
    pairs = permutations(range(len(logits)), 2)
    return torch.stack([mse(p[i], sharp[j], w) for i, j in pairs]).mean()
