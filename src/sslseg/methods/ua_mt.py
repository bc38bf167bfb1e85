"""UA-MT: the student copies the teacher only where the teacher is sure."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.consistency import entropy, mse
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput, supervised_step
from sslseg.methods.shared import ADVANCED
from sslseg.networks.factory import Maker
from sslseg.networks.teacher import dropout_on, freeze


class UaMtParams(SemiSupervisedParams):
    """Parameters of UA-MT."""

    consistency: float = Field(
        2.0, ge=0, description="Weight of what the unlabelled volumes teach, at its fullest."
    )
    passes: int = Field(
        8,
        ge=2,
        le=16,
        description="Noisy passes of the teacher that measure how sure it is.",
        json_schema_extra=ADVANCED,
    )
    dropped: float = Field(
        0.05,
        ge=0,
        le=0.9,
        description="Share of features dropped in each block, others in each pass.",
        json_schema_extra=ADVANCED,
    )


class UncertaintyAwareMeanTeacher(Method[UaMtParams]):
    """Mean Teacher, masked by the entropy of several noisy passes of the teacher.

    Yu et al., MICCAI 2019. With pbar the mean of T = 8 passes and U its entropy
    over ln C in [0, 1], the consistency is sum_v M |p - p'|^2 / (C sum_v M), M = 1[U < tau(t)],
    tau = 0.75 + 0.25 exp(-5 (1 - t)^2), p' one further noisy pass. The published code divides
    U by ln 2 and the distance by 2 whatever the number of classes; with ln C and C tau and weight
    mean the same for all, and two classes get the published term. It acts on unlabelled items, on
    voxels that nobody annotated. The published weight is 0.1.

    The passes differ by clipped input noise and by what is dropped, in the student and in them. The
    paper drops 0.5 in two layers; here it is little in every block, for the reason that `PiModel`
    gives. The prediction drops nothing.

    A step costs 3 (Bl + Bu) + (T + 1) Bu forward passes of an item, where `supervised` costs 3 Bl.

    Defaults: consistency 2.0, start 0.3, passes 8, dropped 0.05, ema_decay 0.99.
    """

    name = "ua-mt"
    family = "Consistency"
    summary = (
        "Mean Teacher that only copies where the teacher is sure; slower, "
        "meant for noisy images, on which it was not measured."
    )
    source = "Yu et al., MICCAI 2019"
    Params = UaMtParams

    def build(self, make: Maker) -> dict[str, nn.Module]:
        """Return a student and its average, both with dropout."""
        share = max(self.params.dropped, make.spec.dropout)
        return {"student": make(dropout=share), "teacher": freeze(make(dropout=share))}

    def ramps(self) -> dict[str, Ramp]:
        """Consistency rises over a fifth of the run once the supervised share is over."""
        return {"consistency": self.params.rise()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return supervised and consistency terms."""
        if self.params.idle(fraction) or batch.unlabelled == 0:
            return supervised_step(batch, nets["student"])
        count = batch.labelled
        logits = nets["student"](batch.x)
        p = torch.softmax(logits[count:].float(), dim=1)
        target, doubt = self._teacher(nets["teacher"], batch.x[count:], views)
        sure = (doubt < _threshold(fraction)) & (batch.y[count:] < 0).unsqueeze(1)
        terms = {"supervised": supervised(logits, batch.y), "consistency": mse(p, target, sure)}
        return StepOutput(terms, logits, batch.y)

    @torch.no_grad()
    def _teacher(self, teacher: nn.Module, x: Tensor, views: Views) -> tuple[Tensor, Tensor]:
        """Return one noisy pass ``(B, C, *S)`` and the entropy of their mean ``(B, 1, *S)``."""
        dropout_on(teacher)
        passes = [
            torch.softmax(teacher(views.noisy(x)).float(), dim=1)
            for _ in range(self.params.passes + 1)
        ]
        teacher.eval()
        return passes[0], entropy(torch.stack(passes[1:]).mean(0))


def _threshold(fraction: float) -> float:
    return 0.75 + 0.25 * Ramp(length=1.0, shape="sigmoid")(fraction)
