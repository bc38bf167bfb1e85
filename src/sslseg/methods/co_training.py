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
from sslseg.networks.teacher import freeze, update_teacher


class CoTrainingParams(MethodParams):
    """Parameters of co-training."""

    consistency: float = Field(
        0.5, ge=0, description="Weight of what the networks teach each other, at its fullest."
    )
    start: float = Field(
        0.3, ge=0, le=1, description="Share of the run in which both learn from the labels alone."
    )


class CoTraining(Method[CoTrainingParams]):
    """Two networks with different initialisation teach each other their hard labels.

    Chen et al., CVPR 2021, CPS: L = Lsup1 + Lsup2 + w (CE(z1, argmax p2) + CE(z2, argmax p1)), no
    threshold (methods.md D2). Each network sees its own intensity view of the same warped batch,
    which keeps them different. Cross labels act on voxels that nobody annotated. Predictions are
    the mean of both networks' EMAs, their disagreement is the mutual information.
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
        cross = fraction >= self.params.start and self.params.consistency > 0
        items = batch if cross else batch.head()
        z1, z2 = nets["a"](views.noisy(items.x)), nets["b"](views.noisy(items.x))
        terms = {"supervised": supervised(z1, items.y) + supervised(z2, items.y)}
        if cross:
            terms["consistency"] = self._cross(z1, z2, items.y)
        return StepOutput(terms, z1, items.y)

    def _cross(self, z1: Tensor, z2: Tensor, y: Tensor) -> Tensor:
        hidden = (y < 0).unsqueeze(1)
        label1, label2 = z1.detach().argmax(1), z2.detach().argmax(1)
        return pseudo_cross_entropy(z1, label2, hidden) + pseudo_cross_entropy(z2, label1, hidden)

    def after_step(self, nets: Networks, step: int) -> None:
        """Each EMA follows its network."""
        for name in ("a", "b"):
            update_teacher(nets[f"teacher_{name}"], nets[name], step, self.params.ema_decay)

    def members(self, nets: Networks, x: Tensor) -> list[Tensor]:
        """Return the two EMAs' probabilities."""
        return [torch.softmax(nets[f"teacher_{n}"](x).float(), dim=1) for n in ("a", "b")]
