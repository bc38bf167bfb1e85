"""Multi-view co-training: three networks, each reading another plane, teach each other."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from sslseg.core.geometry import Plane
from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.ramps import Ramp
from sslseg.methods.base import Networks, SemiSupervisedParams, StepOutput, optimised
from sslseg.methods.ensemble import Ensemble, alone, opinions, summed, taught, teacher_of
from sslseg.methods.shared import ADVANCED
from sslseg.networks.factory import Maker
from sslseg.networks.teacher import dropout_on

FLOOR = 1e-3
"""Added to every variance: below it views count alike."""


class MultiViewParams(SemiSupervisedParams):
    """Parameters of multi-view co-training."""

    passes: int = Field(
        1,
        ge=1,
        le=16,
        description="Passes with dropout that measure a view's doubt; 1: how far it is from all.",
        json_schema_extra=ADVANCED,
    )
    dropped: float = Field(
        0.1,
        gt=0,
        le=0.9,
        description="Share of features dropped in each block, where there are several passes.",
        json_schema_extra=ADVANCED,
    )
    threshold: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Probability from which a view believes the others.",
        json_schema_extra=ADVANCED,
    )


class MultiView(Ensemble[MultiViewParams]):
    """One network for each plane; each learns what the two others together are sure of.

    Xia et al. (UMCT), WACV and MedIA 2020: networks with flat kernels and strides
    see one plane each and stay different. View i is taught sum_j c_j p_j / sum_j c_j over j != i,
    c_j = 1 / U_j. U_j is the variance of view j over `passes` with dropout (the paper, K = 10) or,
    with one pass, its squared distance from the mean of all views: a view that two others
    contradict counts less. Choices of ours: the views' EMAs teach, by the label where the fused
    probability reaches `threshold`, on strong views and on all voxels that nobody annotated,
    labelled items included: a box around an annotated slice is mostly hidden. The paper's weight is
    0.2 (not verified).

    Where slices are thick, what lies across them is too coarse to be a view: then all three read
    the plane of the slices and differ in how their decoders grow (`Maker.planes`).

    A step costs 3 networks * (3 + passes) (Bl + Bu) forward passes of an item, where
    `supervised` costs 3 Bl; a flat network costs about as much as the full one.

    Defaults: consistency 1.0, start 0.3, passes 1, dropped 0.1, threshold 0.8.
    """

    name = "multi-view"
    family = "Co-training"
    summary = "Three networks, one for each plane of a volume, teach each other; needs fine slices."
    source = "Xia et al. (UMCT), WACV 2020; MedIA 2020"
    parties = "the views"
    dimensions = "3d"
    crowd = 3
    Params = MultiViewParams

    def networks(self, make: Maker) -> dict[str, nn.Module]:
        """Return a flat network for each plane."""
        dropout = self.params.dropped if self.params.passes > 1 else None
        views = make.planes([plane.axis for plane in Plane], dropout)
        return {plane.value: net for plane, net in zip(Plane, views, strict=True)}

    def ramps(self) -> dict[str, Ramp]:
        """The views' lessons rise over a fifth of the run once the supervised share is over."""
        return {"consistency": self.params.rise()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return all views' supervised and consistency terms."""
        if self.params.idle(fraction) or batch.unlabelled == 0:
            return alone(batch, nets)
        said, doubt = self._opinions(nets, batch.x)
        outputs = []
        for name, net in optimised(nets).items():
            sure, label = fused(said, doubt, name).max(1)
            believed = (sure >= self.params.threshold).unsqueeze(1)
            outputs.append(taught(net, batch, views, label, believed))
        return summed(outputs)

    def _opinions(self, nets: Networks, x: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return each view's probabilities ``(B, C, *S)`` and doubt ``(B, 1, *S)``."""
        if self.params.passes == 1:
            said = opinions(nets, x)
            return said, distances(said)
        teachers = [nets[teacher_of(name)] for name in optimised(nets)]
        for teacher in teachers:
            dropout_on(teacher)
        drawn = [opinions(nets, x) for _ in range(self.params.passes)]
        for teacher in teachers:
            teacher.eval()
        stacks = {name: torch.stack([one[name] for one in drawn]) for name in drawn[0]}
        doubt = {n: s.var(0, unbiased=False).mean(1, keepdim=True) for n, s in stacks.items()}
        return {name: stack.mean(0) for name, stack in stacks.items()}, doubt


def distances(said: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return each view's squared distance from the mean of all, mean over classes."""
    middle = torch.stack(list(said.values())).mean(0)
    return {name: (p - middle).square().mean(1, keepdim=True) for name, p in said.items()}


def fused(said: Mapping[str, Tensor], doubt: Mapping[str, Tensor], name: str) -> Tensor:
    """Return what the views other than `name` say, weighted by one over their doubt."""
    weights = {other: 1 / (doubt[other] + FLOOR) for other in said if other != name}
    total = torch.stack(list(weights.values())).sum(0)
    return torch.stack([weight * said[other] for other, weight in weights.items()]).sum(0) / total
