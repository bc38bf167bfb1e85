"""BCP: labelled and unlabelled items change boxes in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from pydantic import Field
from scipy import ndimage
from torch import Tensor, nn

from sslseg.core.annotation import IGNORE
from sslseg.data.batch import Batch
from sslseg.data.views import CutMix, Views
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput
from sslseg.methods.shared import ADVANCED, CriticParams
from sslseg.methods.trust import Trust

BOX = 2 / 3
"""Of each side of the patch."""

FEWEST = 0.01
"""Unlabelled items for each labelled one at least, which rounds up to one in a batch."""


class BcpParams(SemiSupervisedParams):
    """Parameters of BCP."""

    consistency: float = Field(
        0.5, ge=0, description="Weight of what the unlabelled volumes teach, at its fullest."
    )
    threshold: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Teacher probability from which its label is believed; 0 is the paper's.",
        json_schema_extra=ADVANCED,
    )
    trust: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Dice on annotated voxels from which the teacher's labels count fully, up to "
        "half of which not at all; 0, the paper's, believes them from the start.",
        json_schema_extra=ADVANCED,
    )
    largest: bool = Field(
        False,
        description="Believe only the largest connected piece of each class (the paper's); "
        "for organs in one piece.",
        json_schema_extra=ADVANCED,
    )


@dataclass(frozen=True)
class Exchange:
    """Labelled items change boxes with unlabelled ones; where these are fewer, some stay whole.

    Parameters
    ----------
    box : Tensor
        ``(N, 1, *S)`` bool: what changes places.
    ours, theirs : Tensor
        ``(N,)``: which items, on the CPU.
    whole : Tensor
        ``(K,)``: which labelled items stay as they are.
    """

    box: Tensor
    ours: Tensor
    theirs: Tensor
    whole: Tensor

    def __call__(self, t: Tensor) -> Tensor:
        """Mix ``(B, ...)``: ours with their box, theirs with ours, and those that stay whole."""
        box = self.box if t.ndim == self.box.ndim else self.box[:, 0]
        ours, theirs = t[self.ours], t[self.theirs]
        mixed = torch.where(box, theirs, ours), torch.where(box, ours, theirs)
        return torch.cat([*mixed, t[self.whole]])


class Bcp(Method[BcpParams]):
    """Bidirectional copy-paste: training images are part annotated, part pseudo-labelled.

    Bai et al., CVPR 2023. First labelled items alone exchange boxes of 2/3 of
    each side; then labelled and unlabelled items do, both ways: x_a = M l + (1 - M) u,
    x_b = M u + (1 - M) l, with the EMA teacher's labels where nobody annotated; the loss is CE
    and Dice with weight 1 on annotated and 1/2 on pseudo-labelled voxels.

    The paper's labelled volumes are dense. With few slices the "labelled region" is the annotated
    voxels, wherever they land; all others learn from the teacher, those of labelled items too.
    Voxels where the teacher is unsure are ignored, with `largest` also pieces that are not the
    largest; the paper makes the latter background. While the network does not find what people
    drew, its average teaches nothing (`Trust`). Both mixtures are of one pair of items and one
    box, where the paper takes other items for the second. Every other labelled item stays whole:
    steps are cheaper, and images without seams are seen too.

    Defaults: consistency 0.5, start 0.3, threshold 0.8, trust 0.8, largest False, ema_decay 0.99.
    """

    name = "bcp"
    family = "Consistency"
    summary = (
        "Pieces of labelled and unlabelled images change places; "
        "strong with few labels, and the default: right for most."
    )
    source = "Bai et al., CVPR 2023"
    Params = BcpParams

    def __init__(self, params: BcpParams, critic: CriticParams | None = None) -> None:
        super().__init__(params, critic)
        self.trust = self._next = Trust(params.trust)

    @classmethod
    def others(cls, free: float) -> float:
        """Return half as many; fewer where most cases have labels: little is new in the rest.

        Never none: what nobody annotated of labelled cases teaches too.
        """
        return max(FEWEST, 0.5 * min(1.0, 2 * free))

    def ramps(self) -> dict[str, Ramp]:
        """Pseudo-labels rise over a fifth of the run once the supervised share is over."""
        return {"consistency": self.params.rise()}

    def alone(self, fraction: float) -> bool:
        """Tell whether labelled items alone teach, since the teacher is not believed yet."""
        return super().alone(fraction) or self.trust.weight() == 0

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return the terms of annotated and of pseudo-labelled voxels of the mixed items."""
        trust, idle = self.trust.weight(), self.params.idle(fraction)
        if idle or trust == 0 or batch.unlabelled == 0:
            out = _among_labelled(batch.head(), views, nets["student"])
            if not idle:
                out.terms["consistency"] = out.logits.new_zeros(())
            return self._looked(out)
        swap = exchange(batch, views)
        pseudo = swap(self._pseudo_labels(nets["teacher"], batch))
        logits, y = nets["student"](swap(batch.x)), swap(batch.y)
        taught = trust * supervised(logits, pseudo)
        terms = {"supervised": supervised(logits, y), "consistency": taught}
        return self._looked(StepOutput(terms, logits, y))

    def _looked(self, out: StepOutput) -> StepOutput:
        """Look how the network fares, whose average the teacher is; return what was looked at."""
        self._next = self.trust.after(out.logits.detach(), out.y)
        return out

    @torch.no_grad()
    def _pseudo_labels(self, teacher: nn.Module, batch: Batch) -> Tensor:
        """Return the teacher's labels ``(B, *S)``; IGNORE where unsure or annotated.

        Only items that hide something are forwarded.
        """
        labels = torch.full_like(batch.y, IGNORE)
        hidden = batch.y == IGNORE
        asked = hidden.flatten(1).any(1)
        if bool(asked.any()):
            sure, label = torch.softmax(teacher(batch.x[asked]).float(), dim=1).max(1)
            believed = hidden[asked] & (sure >= self.params.threshold)
            if self.params.largest:
                believed &= largest_pieces(label)
            labels[asked] = torch.where(believed, label, labels[asked])
        return labels

    def after_step(self, nets: Networks, step: int, fraction: float) -> None:
        """Follow the student; remember how it fared, unless the step was given up."""
        super().after_step(nets, step, fraction)
        self.trust = self._next

    def memory(self) -> dict[str, Tensor]:
        """Return how the network fared lately."""
        return {"trust": self.trust.counts}

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Take back how it fared."""
        self.trust = self._next = replace(self.trust, counts=memory.get("trust", self.trust.counts))


def _among_labelled(items: Batch, views: Views, net: nn.Module) -> StepOutput:
    """Return the supervised term of labelled items that exchanged boxes with each other."""
    mix = CutMix(views.box(items.x, BOX, BOX), views.shuffled(len(items.x)))
    logits, y = net(mix(items.x)), mix(items.y)
    return StepOutput({"supervised": supervised(logits, y)}, logits, y)


def exchange(batch: Batch, views: Views) -> Exchange:
    """Pair every unlabelled item with a labelled one, each pair with a box of its own."""
    pair = torch.arange(batch.unlabelled)
    ours, theirs = pair % batch.labelled, batch.labelled + pair
    whole = torch.arange(batch.labelled)[batch.unlabelled :]
    return Exchange(views.box(batch.x[ours], BOX, BOX), ours, theirs, whole)


def largest_pieces(label: Tensor) -> Tensor:
    """Tell which voxels of ``(B, *S)`` are background or in their class's largest piece.

    Pieces hang together across faces; SciPy finds them on the CPU.
    """
    items = label.cpu().numpy()
    kept = items == 0
    for item, keep in zip(items, kept, strict=True):
        for value in np.unique(item[item > 0]):
            pieces, _ = ndimage.label(item == value)
            keep |= pieces == np.bincount(pieces[pieces > 0]).argmax()
    return torch.from_numpy(kept).to(label.device)
