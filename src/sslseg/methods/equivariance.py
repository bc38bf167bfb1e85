"""Equivariance: what is said of a moved image is what was said of the image, moved."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from sslseg.data.batch import Batch
from sslseg.data.turns import Turn, random_turn
from sslseg.data.views import Views
from sslseg.data.warp import Warp
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput, supervised_step
from sslseg.methods.shared import ADVANCED


class EquivarianceParams(SemiSupervisedParams):
    """Parameters of equivariance."""

    consistency: float = Field(
        0.3, ge=0, description="Weight of what the unlabelled volumes teach, at its fullest."
    )
    transform: Literal["warps", "turns"] = Field(
        "warps",
        description="Random elastic deformations (with warp=0 none, and nothing is learnt), or "
        "turns by right angles, which are exact.",
        json_schema_extra=ADVANCED,
    )


class Equivariance(Method[EquivarianceParams]):
    """Two branches of one network see an image and its moved copy and must agree.

    Bortsova et al., MICCAI 2019: with T the transform of a step and w the mask of
    voxels that it reads from inside the image, mean_v w sum_c (T p(x) - p(T x))^2. Both branches
    share the weights and both have a gradient; there is no teacher in the loss. The term acts on
    unlabelled items, on voxels that nobody annotated. `warps` are the paper's: elastic and affine,
    of the family and strength (`warp`) of the labelled items, so that both branches see what
    annotations look like. `turns` are exact: by right angles where the patch is square, by 180
    elsewhere, mirrored only along axes that the training allows, as mirroring swaps left and right.
    They are for images without an upright: of an organ that always lies alike they show what no
    annotation shows, and the branch that knows nothing pulls the other one down.

    With no teacher to hold it, the term feeds on itself: with few slices a weight of 3 ends below
    `supervised`, hence 0.3 (SSL4MIS, with turns: 0.1).

    A step costs 3 Bl + 6 Bu forward passes of an item, where `supervised` costs 3 Bl.

    Defaults: consistency 0.3, start 0.3, transform warps.
    """

    name = "equivariance"
    family = "Consistency"
    summary = (
        "The prediction must move with the image when that is turned or deformed; "
        "the gain is small: to compare."
    )
    source = "Bortsova et al., MICCAI 2019"
    Params = EquivarianceParams

    def ramps(self) -> dict[str, Ramp]:
        """Consistency rises over a fifth of the run once the supervised share is over."""
        return {"consistency": self.params.rise()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return supervised and consistency terms of one pass over items and moved copies."""
        if self.params.idle(fraction) or batch.unlabelled == 0:
            return supervised_step(batch, nets["student"])
        count, free = batch.labelled, batch.x[batch.labelled :]
        move = self.drawn(free, views)
        both = nets["student"](torch.cat([batch.x, move.image(free)]))
        logits, moved = both[: len(batch.x)], both[len(batch.x) :]
        hidden = (move.target(batch.y[count:]) < 0).unsqueeze(1)
        term = equivariance(logits[count:], moved, move, hidden)
        terms = {"supervised": supervised(logits, batch.y), "consistency": term}
        return StepOutput(terms, logits, batch.y)

    def drawn(self, x: Tensor, views: Views) -> Turn | Warp:
        """Return the transform of a step for ``(B, C, *S)``."""
        if self.params.transform == "warps":
            return views.warp(x)
        return random_turn(x.shape[2:], views.flips, views.rng)


def equivariance(z: Tensor, moved: Tensor, move: Turn | Warp, hidden: Tensor) -> Tensor:
    """Return the squared distance of the moved answer to that on the moved image.

    Parameters
    ----------
    z, moved : Tensor
        Logits ``(B, C, *S)`` of the image and of its moved copy.
    move : Turn or Warp
        From the frame of `z` to that of `moved`.
    hidden : Tensor
        ``(B, 1, *S)`` bool, voxels of the moved frame that count.
    """
    p, q = torch.softmax(z.float(), dim=1), torch.softmax(moved.float(), dim=1)
    distance = (move.image(p) - q).square().sum(1, keepdim=True)
    return (move.validity().to(p.device) * hidden * distance).mean()
