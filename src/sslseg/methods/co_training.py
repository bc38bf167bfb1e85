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
from sslseg.methods.base import MakeNetwork, Method, MethodParams, Networks, StepOutput
from sslseg.methods.shared import ADVANCED
from sslseg.networks.teacher import freeze, update_teacher

NAMES = ("a", "b")


class CoTrainingParams(MethodParams):
    """Parameters of co-training."""

    consistency: float = Field(
        1.0, ge=0, description="Weight of what the networks teach each other, at its fullest."
    )
    start: float = Field(
        0.3, ge=0, le=1, description="Share of the run in which both learn from the labels alone."
    )
    threshold: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Probability from which a network believes the other; 0 is the paper's.",
        json_schema_extra=ADVANCED,
    )


class CoTraining(Method[CoTrainingParams]):
    """Two networks with different initialisation teach each other their hard labels.

    Chen et al., CVPR 2021, CPS: L = Lsup1 + Lsup2 + w (CE(z1, argmax p2) + CE(z2, argmax p1)), in
    its variant with CutMix (methods.md D2). Each network sees intensity and CutMix views of its
    own, which keeps the two different. Two choices of ours: the labels come from the other
    network's EMA, and only where it is sure. They act on voxels that nobody annotated.
    Predictions are the mean of both EMAs, their disagreement is the mutual information.
    """

    name = "co-training"
    family = "Co-training"
    summary = "Two networks teach each other; their disagreement marks where labels would help."
    source = "Chen et al. (CPS), CVPR 2021"
    parties = "the two networks"
    Params = CoTrainingParams

    def build(self, make: MakeNetwork) -> dict[str, nn.Module]:
        """Return networks a and b and the EMA of each."""
        return {
            "a": make(),
            "b": make(),
            "teacher_a": freeze(make()),
            "teacher_b": freeze(make()),
        }

    def ramps(self) -> dict[str, Ramp]:
        """Cross supervision rises over a fifth of the run once the supervised share is over."""
        rise = Ramp(
            weight=self.params.consistency, start=self.params.start, length=0.2, shape="sigmoid"
        )
        return {"consistency": rise}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return both networks' supervised terms and the cross terms."""
        idle = fraction < self.params.start or self.params.consistency == 0
        if idle or batch.unlabelled == 0:
            return self._supervised(batch.head(), views, nets)
        free = batch.x[batch.labelled :]
        with torch.no_grad():
            said = {n: torch.softmax(nets[f"teacher_{n}"](free).float(), dim=1) for n in NAMES}
        first, logits, y = self._taught("a", said["b"], batch, views, nets)
        second, _, _ = self._taught("b", said["a"], batch, views, nets)
        terms = {name: first[name] + second[name] for name in first}
        return StepOutput(terms, logits, y)

    def _supervised(self, items: Batch, views: Views, nets: Networks) -> StepOutput:
        logits = {name: nets[name](views.noisy(items.x)) for name in NAMES}
        term = supervised(logits["a"], items.y) + supervised(logits["b"], items.y)
        return StepOutput({"supervised": term}, logits["a"], items.y)

    def _taught(
        self, name: str, other: Tensor, batch: Batch, views: Views, nets: Networks
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return one network's terms, logits and target; `other` is what its fellow says."""
        count, free = batch.labelled, batch.x[batch.labelled :]
        mix = views.cutmix(free)
        logits = nets[name](torch.cat([batch.x[:count], mix(views.strong(free))]))
        y = torch.cat([batch.y[:count], mix(batch.y[count:])])
        sure, label = mix(other).max(1)
        believed = (y[count:] < 0) & (sure >= self.params.threshold)
        term = pseudo_cross_entropy(logits[count:], label, believed.unsqueeze(1))
        return {"supervised": supervised(logits, y), "consistency": term}, logits, y

    def after_step(self, nets: Networks, step: int) -> None:
        """Each EMA follows its network."""
        for name in NAMES:
            update_teacher(nets[f"teacher_{name}"], nets[name], step, self.params.ema_decay)

    def members(self, nets: Networks, x: Tensor) -> list[Tensor]:
        """Return the two EMAs' probabilities."""
        return [torch.softmax(nets[f"teacher_{n}"](x).float(), dim=1) for n in NAMES]
