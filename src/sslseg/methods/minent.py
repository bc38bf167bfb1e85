"""Entropy minimisation: be sure where nobody annotated."""

from __future__ import annotations

from pydantic import Field

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.consistency import self_information, weighted_mean
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput, supervised_step


class MinEntParams(SemiSupervisedParams):
    """Parameters of entropy minimisation."""

    consistency: float = Field(
        0.1, ge=0, description="Weight of what the unlabelled volumes teach, at its fullest."
    )


class MinEnt(Method[MinEntParams]):
    """The direct way of AdvEnt: the mean entropy of predictions on hidden voxels falls.

    Grandvalet & Bengio, NeurIPS 2004; Vu et al., CVPR 2019: L = Lsup + l mean_v
    H(p_v) / ln C. It acts on voxels of unlabelled items that nobody annotated (SSL4MIS takes the
    whole batch, labelled items too, which supervision rules anyway), one domain or two. Alone it
    makes everything the commonest class, so its weight is small and waits for supervision
    (published: 0.1 in SSL4MIS, 1e-3 in AdvEnt).

    Defaults: consistency 0.1, start 0.3.
    """

    name = "minent"
    family = "Adversarial"
    summary = (
        "No critic: predictions on unlabelled volumes are to be sure of themselves; "
        "one of the quickest steps and a small gain: to compare."
    )
    source = "Grandvalet & Bengio, NeurIPS 2004; Vu et al. (MinEnt), CVPR 2019"
    Params = MinEntParams

    def ramps(self) -> dict[str, Ramp]:
        """It rises over a fifth of the run once the supervised share is over."""
        return {"entropy": self.params.rise()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return supervised and entropy terms."""
        if self.params.idle(fraction) or batch.unlabelled == 0:
            return supervised_step(batch, nets["student"])
        logits = nets["student"](batch.x)
        doubt = self_information(logits[batch.labelled :]).sum(1, keepdim=True)
        hidden = (batch.y[batch.labelled :] < 0).unsqueeze(1)
        terms = {
            "supervised": supervised(logits, batch.y),
            "entropy": weighted_mean(doubt, hidden),
        }
        return StepOutput(terms, logits, batch.y)
