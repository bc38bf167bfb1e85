"""Co-training of two networks by cross pseudo supervision."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.consistency import pseudo_cross_entropy
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.base import Networks, SemiSupervisedParams, StepOutput, optimised
from sslseg.methods.ensemble import Ensemble, opinions, summed
from sslseg.methods.shared import ADVANCED
from sslseg.networks.factory import Maker


class CoTrainingParams(SemiSupervisedParams):
    """Parameters of co-training."""

    networks: int = Field(
        2,
        ge=2,
        le=6,
        description="How many networks; each costs its share of the time.",
        json_schema_extra=ADVANCED,
    )
    threshold: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Probability from which a network believes the other; 0 is the paper's.",
        json_schema_extra=ADVANCED,
    )


class CoTraining(Ensemble[CoTrainingParams]):
    """Networks with different initialisation teach each other their hard labels.

    Chen et al., CVPR 2021, CPS: L = Lsup1 + Lsup2 + w (CE(z1, argmax p2) + CE(z2, argmax p1)), in
    its variant with CutMix. Each network sees intensity and CutMix views of its
    own, which keeps them different. Choices of ours: any number of networks, each taught by the
    mean of the others' EMAs, and only where that is sure; while labels alone teach, and only then,
    each network sees the labelled items under clipped noise of its own (UA-MT's). The terms act on
    voxels that nobody annotated and are summed over the networks; their published weight is 0.1
    (SSL4MIS). Predictions are the mean of all EMAs, whose disagreement is the mutual information.

    Defaults: consistency 1.0, start 0.3, networks 2, threshold 0.8, ema_decay 0.99.
    """

    name = "co-training"
    family = "Co-training"
    summary = (
        "Several networks teach each other; "
        "slow, to see where models disagree: labels would help there."
    )
    source = "Chen et al. (CPS), CVPR 2021"
    Params = CoTrainingParams

    def networks(self, make: Maker) -> dict[str, nn.Module]:
        """Return networks that differ in their first weights."""
        return {str(number): make() for number in range(self.params.networks)}

    def ramps(self) -> dict[str, Ramp]:
        """Cross supervision rises over a fifth of the run once the supervised share is over."""
        return {"consistency": self.params.rise()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return all networks' supervised terms and the cross terms."""
        students = optimised(nets)
        if self.params.idle(fraction) or batch.unlabelled == 0:
            return summed([self._alone(net, batch.head(), views) for net in students.values()])
        said = opinions(nets, batch.x[batch.labelled :])
        everybody = torch.stack(list(said.values())).sum(0)
        others = {name: (everybody - own) / (len(said) - 1) for name, own in said.items()}
        return summed([self._taught(net, others[n], batch, views) for n, net in students.items()])

    def _alone(self, net: nn.Module, items: Batch, views: Views) -> StepOutput:
        """Return one network's supervised term under input noise of its own."""
        logits = net(views.noisy(items.x))
        return StepOutput({"supervised": supervised(logits, items.y)}, logits, items.y)

    def _taught(self, net: nn.Module, others: Tensor, batch: Batch, views: Views) -> StepOutput:
        """Return one network's terms; `others` ``(Bu, C, *S)`` is what its fellows say."""
        count, free = batch.labelled, batch.x[batch.labelled :]
        mix = views.cutmix(free)
        logits = net(torch.cat([batch.x[:count], mix(views.strong(free))]))
        y = torch.cat([batch.y[:count], mix(batch.y[count:])])
        sure, label = mix(others).max(1)
        believed = (y[count:] < 0) & (sure >= self.params.threshold)
        term = pseudo_cross_entropy(logits[count:], label, believed.unsqueeze(1))
        return StepOutput({"supervised": supervised(logits, y), "consistency": term}, logits, y)
