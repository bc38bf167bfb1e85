"""UA-MT: the student copies the teacher only where the teacher is sure."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.consistency import EPS, entropy
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput, supervised_step
from sslseg.networks.teacher import dropout_on


class UaMtParams(SemiSupervisedParams):
    """Parameters of UA-MT."""

    consistency: float = Field(
        2.0, ge=0, description="Weight of what the unlabelled volumes teach, at its fullest."
    )
    passes: int = Field(
        4,
        ge=2,
        le=16,
        description="Noisy passes of the teacher that measure how sure it is.",
        json_schema_extra={"advanced": True},
    )


class UncertaintyAwareMeanTeacher(Method[UaMtParams]):
    """Mean Teacher, masked by the entropy of several noisy passes of the teacher.

    Yu et al., MICCAI 2019 (methods.md B5). With pbar the mean of T passes and U its entropy over
    ln C in [0, 1], the consistency is sum_v M |p - p'|^2 / (2 sum_v M), M = 1[U < tau(t)],
    tau = 0.75 + 0.25 exp(-5 (1 - t)^2), p' one further noisy pass. The published code divides
    by ln 2 whatever the number of classes; normalising by ln C makes tau mean the same for all.
    The passes differ by clipped input noise; networks built with `dropout` add theirs.
    """

    name = "ua-mt"
    family = "Consistency"
    summary = "Mean Teacher that only copies where the teacher is sure; slower, for noisy images."
    source = "Yu et al., MICCAI 2019"
    Params = UaMtParams

    def ramps(self) -> dict[str, Ramp]:
        """Consistency rises over a fifth of the run once the supervised share is over."""
        return {"consistency": self.params.rise()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return supervised and consistency terms."""
        if self.params.idle(fraction):
            return supervised_step(batch, nets["student"])
        logits = nets["student"](batch.x)
        p = torch.softmax(logits.float(), dim=1)
        target, doubt = self._teacher(nets["teacher"], batch.x, views)
        sure = (doubt < _threshold(fraction)).float()
        distance = (p - target).square().sum(1, keepdim=True)
        consistency = (sure * distance).sum() / (2 * sure.sum() + EPS)
        terms = {"supervised": supervised(logits, batch.y), "consistency": consistency}
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
