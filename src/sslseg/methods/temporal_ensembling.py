"""Temporal ensembling: learn what one said earlier, averaged over the visits of a voxel."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from sslseg.data.batch import Batch, Place
from sslseg.data.recall import Recall
from sslseg.data.views import Views
from sslseg.data.warp import Warp
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput, supervised_step
from sslseg.methods.shared import ADVANCED, CriticParams

WHOLLY = 0.999
"""Share of known voxels around a warped one from which it counts as known."""


class TemporalEnsemblingParams(SemiSupervisedParams):
    """Parameters of temporal ensembling."""

    consistency: float = Field(
        5.0, ge=0, description="Weight of what the unlabelled volumes teach, at its fullest."
    )
    memory_decay: float = Field(
        0.6,
        ge=0,
        lt=1,
        description="How much of what was said before stays at each visit.",
        json_schema_extra=ADVANCED,
    )
    memory_megabytes: int = Field(
        512,
        ge=1,
        le=65536,
        description="Room for earlier predictions; volumes beyond it teach nothing.",
        json_schema_extra=ADVANCED,
    )


class TemporalEnsembling(Method[TemporalEnsemblingParams]):
    """The target of a voxel is the average of what the network said of it at earlier visits.

    Laine & Aila, ICLR 2017: Z <- a Z + (1 - a) p, target Z / (1 - a^k), k the
    visits of the voxel; mean (p - target)^2, 0 while k = 0. Z lies on the training grid of each
    volume. p is what the network says, in eval mode and without gradient, of the item as it was
    cut: the output on the warped view could only be brought back by inverting an elastic field,
    with interpolation, and would carry that view's noise. The target is warped like the item.
    The memory belongs to unlabelled items, starts when the supervised share of the run is over
    and changes with steps that count. Memory: see `Recall`; 500 volumes of 128^3 voxels and two
    classes would take 5 GB, so that `memory_megabytes` keeps the first fifty or so. The paper's
    weight is 30 times the labelled share of the images (not verified).

    The memory speaks at the second visit: with many volumes, slices and few steps hardly ever.
    A step costs 3 (Bl + Bu) + Bu forward passes of an item, where `supervised` costs 3 Bl.

    Defaults: consistency 5.0, start 0.3, memory_decay 0.6, memory_megabytes 512.
    """

    name = "temporal-ensembling"
    family = "Consistency"
    summary = "The model learns the average of what it said earlier; for few volumes or long runs."
    source = "Laine & Aila, ICLR 2017"
    Params = TemporalEnsemblingParams

    def __init__(
        self, params: TemporalEnsemblingParams, critic: CriticParams | None = None
    ) -> None:
        super().__init__(params, critic)
        self.recall = Recall(params.memory_decay, params.memory_megabytes * 2**20)
        self._said: tuple[tuple[Place, ...], Tensor] | None = None

    def ramps(self) -> dict[str, Ramp]:
        """Consistency rises over a fifth of the run once the supervised share is over."""
        return {"consistency": self.params.rise()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return supervised and consistency terms; `after_step` remembers what was said."""
        self._said = None
        if self.params.idle(fraction) or batch.unlabelled == 0:
            return supervised_step(batch, nets["student"])
        count = batch.labelled
        plain = batch.x if batch.plain is None else batch.plain
        self._said = batch.places[count:], _calmly(nets["student"], plain[count:])
        logits = nets["student"](batch.x)
        p = torch.softmax(logits[count:].float(), dim=1)
        target, known = self.target(batch, p)
        hidden = (batch.y[count:] < 0).unsqueeze(1)
        terms = {
            "supervised": supervised(logits, batch.y),
            "consistency": (known * hidden * (p - target).square()).mean(),
        }
        return StepOutput(terms, logits, batch.y)

    def target(self, batch: Batch, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is remembered of the unlabelled items, in the batch's frame.

        Probabilities ``(Bu, C, *S)``, and ``(Bu, 1, *S)`` float: 1 where it counts.
        """
        target, known = self.recall.read(batch.places[batch.labelled :], like)
        if batch.warp is None:
            return target, known
        warp = Warp(batch.warp.grid[batch.labelled :])
        return warp.image(target), (warp.image(known) > WHOLLY) * warp.validity()

    def after_step(self, nets: Networks, step: int, fraction: float) -> None:
        """Remember what was said at this step; the EMA follows the student."""
        super().after_step(nets, step, fraction)
        if self._said is not None:
            self.recall.write(*self._said)
            self._said = None

    def memory(self) -> dict[str, Tensor]:
        """Return the averages and visits of every volume."""
        return self.recall.state()

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Take back what `memory` returned."""
        self.recall.load(memory)


@torch.no_grad()
def _calmly(net: nn.Module, x: Tensor) -> Tensor:
    """Return probabilities ``(B, C, *S)`` in eval mode, and leave the network in train mode."""
    net.eval()
    p = torch.softmax(net(x).float(), dim=1)
    net.train()
    return p
