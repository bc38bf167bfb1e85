"""3D-2D cross-teaching: a network of boxes and two of slices exchange what they are sure of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from sslseg.core.geometry import Plane
from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.masked import annotated
from sslseg.losses.nearness import nearness
from sslseg.losses.ramps import Ramp
from sslseg.methods.base import Networks, SemiSupervisedParams, StepOutput, optimised
from sslseg.methods.ensemble import Ensemble, alone, opinions, summed, taught
from sslseg.methods.shared import ADVANCED
from sslseg.networks.factory import Maker


class CrossTeachingParams(SemiSupervisedParams):
    """Parameters of cross-teaching."""

    consistency: float = Field(
        0.5, ge=0, description="Weight of what the networks teach each other, at its fullest."
    )
    planes: Literal["axial and coronal", "axial and sagittal", "coronal and sagittal"] = Field(
        "axial and coronal",
        description="Which planes the two networks of slices read; best the annotated ones.",
        json_schema_extra=ADVANCED,
    )
    nearness: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Trust in labels nobody painted, for each slice away from an annotated one.",
        json_schema_extra=ADVANCED,
    )
    threshold: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Probability from which the network of boxes teaches those of slices.",
        json_schema_extra=ADVANCED,
    )
    relaxed: float = Field(
        0.7,
        ge=0,
        le=1,
        description="The same once that network is nearly always right where it can be checked.",
        json_schema_extra=ADVANCED,
    )
    accurate: float = Field(
        0.98,
        ge=0,
        le=1,
        description="Share of right voxels, of the annotated ones, above which it is relaxed.",
        json_schema_extra=ADVANCED,
    )


class CrossTeaching(Ensemble[CrossTeachingParams]):
    """One 3-D network and two that read slices of two planes teach each other.

    3D-2D cross-teaching, MICCAI 2023, for volumes with a few annotated slices in
    two planes. 2-D to 3-D: the label on which both planes agree, where the 3-D network is not
    more confident (of the two planes' mean; max p3 <= max (pa + pb) / 2). 3-D to 2-D: its label
    where max p3 > 0.9, or > 0.7 while more than 0.98 of the batch's annotated voxels are right.
    Cross-entropy, mean over all voxels, on those that nobody annotated, in labelled and unlabelled
    items. Choices of ours: the networks' EMAs teach, so they are what is checked; weak views teach
    strong ones; the 2-D networks are flat 3-D ones (`Maker.planes`), so that all see the same
    boxes. The published weight is 0.1.

    `nearness` a < 1 weighs what is taught in an item with annotated voxels by a^d, d the voxels
    along the axes to the nearest one in the patch, as PLN (0.8) and DeSCO (0.95) do.

    A step costs 3 networks * (3 + 1) (Bl + Bu) forward passes of an item, where `supervised`
    costs 3 Bl; a flat network costs about as much as the full one.

    Defaults: consistency 0.5, start 0.3, planes axial and coronal, nearness 1.0, threshold 0.9,
    relaxed 0.7, accurate 0.98, ema_decay 0.99.
    """

    name = "cross-teaching"
    family = "Co-training"
    summary = "One 3-D model and two of slices teach each other; for slices of several planes."
    source = "3D-2D cross-teaching, MICCAI 2023; PLN, TMI 2023; DeSCO, CVPR 2023"
    dimensions = "3d"
    crowd = 3
    Params = CrossTeachingParams

    def networks(self, make: Maker) -> dict[str, nn.Module]:
        """Return the 3-D network and one for each plane."""
        planes = [Plane(name) for name in self.params.planes.split(" and ")]
        flat = make.planes([plane.axis for plane in planes])
        return {"volume": make(), **dict(zip(planes, flat, strict=True))}

    def ramps(self) -> dict[str, Ramp]:
        """Cross-teaching rises over a fifth of the run once the supervised share is over."""
        return {"consistency": self.params.rise()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return all networks' supervised and consistency terms."""
        if self.params.idle(fraction) or batch.unlabelled == 0:
            return alone(batch, nets)
        volume, *planes = optimised(nets).values()
        boxes, *slices = opinions(nets, batch.x).values()
        trust = nearness(batch.y, self.params.nearness)
        label, agreed = agreement(slices, boxes)
        first = taught(volume, batch, views, label, agreed * trust)
        sure, label = boxes.max(1)
        believed = (sure > self._floor(boxes, batch.y)).unsqueeze(1)
        rest = [taught(net, batch, views, label, believed * trust) for net in planes]
        return summed([first, *rest])

    def _floor(self, boxes: Tensor, y: Tensor) -> Tensor:
        """Return from which probability the 3-D network teaches: less while it is right on `y`."""
        known = annotated(y)
        right = (boxes.argmax(1) == y) & known
        accuracy = right.sum() / known.sum().clamp(min=1)
        strict = torch.full_like(accuracy, self.params.threshold)
        return torch.where(accuracy > self.params.accurate, self.params.relaxed, strict)


def agreement(slices: Sequence[Tensor], boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the planes teach the 3-D network.

    Parameters
    ----------
    slices : sequence of Tensor
        Probabilities ``(B, C, *S)`` of the networks of slices.
    boxes : Tensor
        Those of the 3-D network.

    Returns
    -------
    label, agreed : Tensor
        ``(B, *S)`` int64, and ``(B, 1, *S)`` bool: where all planes say it and the 3-D network
        is not more confident.
    """
    confidence, label = torch.stack(list(slices)).mean(0).max(1)
    said = torch.stack([p.argmax(1) for p in slices])
    agreed = (said == label).all(0) & (boxes.amax(1) <= confidence)
    return label, agreed.unsqueeze(1)
