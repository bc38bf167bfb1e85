"""Pi-model: two noisy passes of one network must agree."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput, supervised_step
from sslseg.methods.shared import ADVANCED
from sslseg.networks.factory import Maker
from sslseg.networks.teacher import freeze


class PiModelParams(SemiSupervisedParams):
    """Parameters of the Pi-model."""

    consistency: float = Field(
        5.0, ge=0, description="Weight of what the unlabelled volumes teach, at its fullest."
    )
    dropped: float = Field(
        0.05,
        gt=0,
        le=0.9,
        description="Share of features dropped in each block, others in each pass.",
        json_schema_extra=ADVANCED,
    )
    one_sided: bool = Field(
        False,
        description="Only the first pass learns from the second; needs less time and memory.",
        json_schema_extra=ADVANCED,
    )


class PiModel(Method[PiModelParams]):
    """One network sees an image twice, with other noise and other features dropped.

    Laine & Aila, ICLR 2017: w(t) mean (p(x; xi1) - p(x; xi2))^2 over voxels and
    classes, xi the dropout mask and clipped input noise. Both passes have a gradient; with
    `one_sided` the second has none. The term acts on unlabelled items, on voxels that nobody
    annotated. The EMA, which the paper has not, predicts and is built without dropout: it has
    the same weights and never drops any. Little is dropped by default: batch norm sees the larger
    variance of what dropout leaves, and a network that drops nothing is then off (Li et al. 2019).
    The paper's weight is 100 times the labelled share of the images (not verified).

    A step costs 3 Bl + 6 Bu forward passes of an item (`one_sided`: 3 Bl + 4 Bu), where
    `supervised` costs 3 Bl.

    Defaults: consistency 5.0, start 0.3, dropped 0.05, one_sided False.
    """

    name = "pi-model"
    family = "Consistency"
    summary = (
        "The model must say the same twice, though noise and dropout differ; "
        "it helps, but mean-teacher helps more and is quicker: to compare."
    )
    source = "Laine & Aila, ICLR 2017"
    Params = PiModelParams

    def build(self, make: Maker) -> dict[str, nn.Module]:
        """Return a student with dropout and its average without."""
        share = max(self.params.dropped, make.spec.dropout)
        return {"student": make(dropout=share), "teacher": freeze(make(dropout=0.0))}

    def ramps(self) -> dict[str, Ramp]:
        """Consistency rises over a fifth of the run once the supervised share is over."""
        return {"consistency": self.params.rise()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return supervised and consistency terms."""
        if self.params.idle(fraction) or batch.unlabelled == 0:
            return supervised_step(batch, nets["student"])
        count = batch.labelled
        x, again = views.noisy(batch.x), views.noisy(batch.x[count:])
        logits, second = self._passes(nets["student"], x, again)
        p, q = torch.softmax(logits[count:].float(), 1), torch.softmax(second.float(), 1)
        hidden = (batch.y[count:] < 0).unsqueeze(1)
        terms = {
            "supervised": supervised(logits, batch.y),
            "consistency": (hidden * (p - q).square()).mean(),
        }
        return StepOutput(terms, logits, batch.y)

    def _passes(self, net: nn.Module, x: Tensor, again: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of all items, and of the second look at the unlabelled ones."""
        if self.params.one_sided:
            with torch.no_grad():
                second = net(again)
            return net(x), second
        both = net(torch.cat([x, again]))
        return both[: len(x)], both[len(x) :]
