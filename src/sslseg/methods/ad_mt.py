"""AD-MT: two teachers that follow the student in turns, each seeing other views."""

from __future__ import annotations

import math
from bisect import bisect
from functools import cache

import torch
from pydantic import Field
from torch import Tensor, nn

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.consistency import entropy, pseudo_cross_entropy
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput, supervised_step
from sslseg.methods.shared import ADVANCED
from sslseg.networks.factory import Maker
from sslseg.networks.teacher import freeze, paced, update_teacher

TEACHERS = ("teacher_1", "teacher_2")


class AdMtParams(SemiSupervisedParams):
    """Parameters of AD-MT."""

    consistency: float = Field(
        2.0, ge=0, description="Weight of what the unlabelled volumes teach, at its fullest."
    )
    threshold: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Probability from which the teachers' label is believed.",
        json_schema_extra=ADVANCED,
    )
    period: float = Field(
        0.02,
        gt=0,
        le=1,
        description="Longest share of the run for which one teacher follows the student.",
        json_schema_extra=ADVANCED,
    )


class AdMt(Method[AdMtParams]):
    """Two EMA teachers, updated alternately for random periods, agree on the student's target.

    Zhao et al., ECCV 2024. While the first teacher follows, the student sees
    changed intensities; while the second does, boxes of other items. So they learn from different
    students. Their answers are weighted by exp(-H), H in bits as published; where their labels
    differ and the student, who says a third thing or sides with the weaker, is surer, its label
    counts. CE to that label where its probability reaches the threshold, over all voxels.

    The published code (whose weight this is) compares unmixed answers of the student with mixed
    ones of the teachers; here conflicts are settled before anything is mixed. Its periods are
    counted in steps. A teacher that follows every other step lags twice as far behind, too far in
    short runs: here its decay is squared, so that `ema_decay` means the same pace as for one
    teacher.

    Defaults: consistency 2.0, start 0.3, threshold 0.8, period 0.02, ema_decay 0.99.
    """

    name = "ad-mt"
    family = "Consistency"
    summary = (
        "Two teachers that take turns and settle their conflicts; "
        "hardly better than one, and one to try where bcp and unimatch disappoint."
    )
    source = "Zhao et al., ECCV 2024"
    parties = "the two teachers"
    Params = AdMtParams

    def build(self, make: Maker) -> dict[str, nn.Module]:
        """Return the student and its two EMAs."""
        return {"student": make(), **{name: freeze(make()) for name in TEACHERS}}

    def ramps(self) -> dict[str, Ramp]:
        """Consistency rises over a fifth of the run once the supervised share is over."""
        return {"consistency": self.params.rise()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return supervised and consistency terms of one forward pass over both streams."""
        if self.params.idle(fraction) or batch.unlabelled == 0:
            return supervised_step(batch, nets["student"])
        count, free, said = batch.labelled, batch.x[batch.labelled :], batch.y[batch.labelled :]
        label, sure = agreed(nets, free)
        if whose_turn(fraction, self.params.period) == 0:
            view = views.strong(free)
        else:
            mix = views.cutmix(free)
            view, said, label, sure = mix(free), mix(said), mix(label), mix(sure)
        logits = nets["student"](torch.cat([batch.x[:count], view]))
        y = torch.cat([batch.y[:count], said])
        believed = (said < 0) & (sure >= self.params.threshold)
        term = pseudo_cross_entropy(logits[count:], label, believed.unsqueeze(1))
        return StepOutput({"supervised": supervised(logits, y), "consistency": term}, logits, y)

    def after_step(self, nets: Networks, step: int, fraction: float) -> None:
        """Let the teacher whose turn it is follow the student; the first step makes both."""
        turn = whose_turn(fraction, self.params.period)
        decay = paced(self.params.ema_decay, step, fraction)
        for number, name in enumerate(TEACHERS):
            if step == 0 or number == turn:
                update_teacher(nets[name], nets["student"], step // 2, decay**2)

    def members(self, nets: Networks, x: Tensor) -> list[Tensor]:
        """Return both teachers' probabilities."""
        return [torch.softmax(nets[name](x).float(), dim=1) for name in TEACHERS]


@torch.no_grad()
def agreed(nets: Networks, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the label that counts ``(B, *S)`` and its probability ``(B, *S)``."""
    first, second = (torch.softmax(nets[name](x).float(), dim=1) for name in TEACHERS)
    bits = math.log2(first.shape[1])
    weight = torch.softmax(-bits * torch.stack([entropy(first), entropy(second)]), dim=0)
    sure, label = (weight[0] * first + weight[1] * second).max(1)
    student = nets["student"].eval()
    own_sure, own = torch.softmax(student(x).float(), dim=1).max(1)
    student.train()
    conflict = first.argmax(1) != second.argmax(1)
    overruled = conflict & (own != label) & (own_sure > sure)
    return torch.where(overruled, own, label), torch.where(overruled, own_sure, sure)


def whose_turn(fraction: float, longest: float) -> int:
    """Return which teacher follows when `fraction` of the run is done."""
    return bisect(_ends(longest), fraction) % len(TEACHERS)


@cache
def _ends(longest: float) -> tuple[float, ...]:
    """Return where each period of random length in (0, longest] ends, up to the whole run.

    The same draw in every run, so that a resumed one goes on without remembering anything.
    """
    rng = torch.Generator().manual_seed(0)
    ends = [0.0]
    while ends[-1] <= 1:
        ends.append(ends[-1] + longest * (1 - float(torch.rand((), generator=rng))))
    return tuple(ends[1:])
