"""Mean Teacher, with hard or soft targets."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.consistency import mse, pseudo_cross_entropy
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput, supervised_step
from sslseg.methods.shared import ADVANCED


class MeanTeacherParams(SemiSupervisedParams):
    """Parameters of Mean Teacher."""

    target: Literal["pseudo-labels", "probabilities"] = Field(
        "pseudo-labels",
        description="Copy the teacher's confident labels, or all its probabilities (the paper's).",
    )
    threshold: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Teacher probability from which its label is believed.",
        json_schema_extra=ADVANCED,
    )


class MeanTeacher(Method[MeanTeacherParams]):
    """The student learns on strong views what its EMA teacher says on weak ones.

    Tarvainen & Valpola, NeurIPS 2017; Perone & Cohen-Adad, DLMIA 2018 for segmentation.
    ``probabilities``: mean (p_student - p_teacher)^2, the papers' term.
    ``pseudo-labels``: CE to the teacher's argmax where its probability reaches `threshold`, zero
    elsewhere (FixMatch's form, as in AD-MT and UniMatch). The student's view of unlabelled
    items is changed in intensity and mixed box by box (French et al., BMVC 2020), the teacher's
    answer with it. Both see the item in the same warped frame, where Perone's teacher sees the
    image as it is. The term acts on voxels that nobody annotated. Its published weight is 0.1
    (SSL4MIS; 20 in Perone's code).

    Defaults: consistency 1.0, start 0.3, target pseudo-labels, threshold 0.8, ema_decay 0.99.
    """

    name = "mean-teacher"
    family = "Consistency"
    summary = (
        "A slow copy of the model teaches it on the unlabelled volumes; "
        "simple, and one to try where bcp disappoints."
    )
    source = "Tarvainen & Valpola, NeurIPS 2017; Perone & Cohen-Adad, DLMIA 2018"
    Params = MeanTeacherParams

    def ramps(self) -> dict[str, Ramp]:
        """Consistency rises over a fifth of the run once the supervised share is over."""
        return {"consistency": self.params.rise()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return supervised and consistency terms of one forward pass over both streams."""
        if self.params.idle(fraction) or batch.unlabelled == 0:
            return supervised_step(batch, nets["student"])
        count, free = batch.labelled, batch.x[batch.labelled :]
        mix = views.cutmix(free)
        with torch.no_grad():
            teacher = mix(torch.softmax(nets["teacher"](free).float(), dim=1))
        logits = nets["student"](torch.cat([batch.x[:count], mix(views.strong(free))]))
        y = torch.cat([batch.y[:count], mix(batch.y[count:])])
        term = self._consistency(logits[count:], teacher, (y[count:] < 0).unsqueeze(1))
        return StepOutput({"supervised": supervised(logits, y), "consistency": term}, logits, y)

    def _consistency(self, logits: Tensor, teacher: Tensor, hidden: Tensor) -> Tensor:
        """Return the distance to the teacher on `hidden` voxels ``(B, 1, *S)``."""
        if self.params.target == "probabilities":
            return mse(torch.softmax(logits.float(), 1), teacher, hidden.float())
        sure, label = teacher.max(1)
        believed = hidden & (sure >= self.params.threshold).unsqueeze(1)
        return pseudo_cross_entropy(logits, label, believed)
