"""A method of your own, outside the package: the class below is all that a method is.

It teaches unannotated voxels to be decided (entropy minimisation, Grandvalet & Bengio, NeurIPS
2004). train_my_method.py trains it.
"""

from __future__ import annotations

import torch

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.consistency import entropy, weighted_mean
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput, supervised_step


class Decided(Method[SemiSupervisedParams]):
    """L = L_sup + w(t) mean of H(p) over voxels that nobody annotated."""

    name, family, source = "my-decided", "Mine", "Grandvalet & Bengio, NeurIPS 2004"
    summary = "Doubt costs, wherever nobody said anything."
    Params = SemiSupervisedParams

    def ramps(self) -> dict[str, Ramp]:
        """Doubt costs nothing in the first share of the run."""
        return {"doubt": self.params.rise()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return both terms; the loop weighs and descends, and averages the teacher."""
        if self.params.idle(fraction):
            return supervised_step(batch, nets["student"])
        logits = nets["student"](batch.x)
        doubt = entropy(torch.softmax(logits.float(), dim=1))
        hidden = (batch.y < 0).unsqueeze(1)
        terms = {"supervised": supervised(logits, batch.y), "doubt": weighted_mean(doubt, hidden)}
        return StepOutput(terms, logits, batch.y)
