"""What methods of several networks share: an average of each, which predicts and teaches."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.consistency import pseudo_cross_entropy
from sslseg.losses.masked import supervised
from sslseg.methods.base import (
    Method,
    Networks,
    P_co,
    StepOutput,
    optimised,
    supervised_step,
)
from sslseg.networks.factory import Maker
from sslseg.networks.teacher import freeze, paced, update_teacher

STUDENT, TEACHER = "student_", "teacher_"


class Ensemble(Method[P_co]):
    """Several networks, ``student_NAME``, and the EMA of each, ``teacher_NAME``."""

    parties = "the networks"

    @abstractmethod
    def networks(self, make: Maker) -> dict[str, nn.Module]:
        """Return what is optimised, by name; the first stands for all before the critic."""

    def build(self, make: Maker) -> dict[str, nn.Module]:
        """Return the networks and the EMA of each."""
        found = self.networks(make)
        students = {STUDENT + name: net for name, net in found.items()}
        return students | {
            TEACHER + name: freeze(copy.deepcopy(net)) for name, net in found.items()
        }

    def after_step(self, nets: Networks, step: int, fraction: float) -> None:
        """Each EMA follows its network."""
        decay = paced(self.params.ema_decay, step, fraction)
        for name, net in optimised(nets).items():
            update_teacher(nets[teacher_of(name)], net, step, decay)

    def members(self, nets: Networks, x: Tensor) -> list[Tensor]:
        """Return the EMAs' probabilities."""
        return list(opinions(nets, x).values())


def teacher_of(student: str) -> str:
    """Return the name of a network's EMA."""
    return TEACHER + student.removeprefix(STUDENT)


@torch.no_grad()
def opinions(nets: Networks, x: Tensor) -> dict[str, Tensor]:
    """Return the probabilities ``(B, C, *S)`` of each network's EMA, by the network's name."""
    return {
        name: torch.softmax(nets[teacher_of(name)](x).float(), dim=1) for name in optimised(nets)
    }


def taught(net: nn.Module, batch: Batch, views: Views, label: Tensor, trust: Tensor) -> StepOutput:
    """Return the terms of a network that learns the pseudo-labels of others.

    Unlabelled items are changed in intensity and mixed box by box (CutMix), their pseudo-labels
    along with them. Voxels that somebody annotated learn from the annotation alone.

    Parameters
    ----------
    net : Module
        The learner.
    batch, views
        Of the step.
    label : Tensor
        ``(B, *S)`` int64, pseudo-labels of all items.
    trust : Tensor
        ``(B, 1, *S)``, how much each voxel's pseudo-label counts.
    """
    count = batch.labelled
    mix = views.cutmix(batch.x[count:])

    def mixed(t: Tensor) -> Tensor:
        return torch.cat([t[:count], mix(t[count:])])

    logits = net(torch.cat([batch.x[:count], mix(views.strong(batch.x[count:]))]))
    y = mixed(batch.y)
    term = pseudo_cross_entropy(logits, mixed(label), mixed(trust) * (y < 0).unsqueeze(1))
    return StepOutput({"supervised": supervised(logits, y), "consistency": term}, logits, y)


def alone(batch: Batch, nets: Networks) -> StepOutput:
    """Return the supervised term of every network on the labelled items alone."""
    return summed([supervised_step(batch, net) for net in optimised(nets).values()])


def summed(outputs: Sequence[StepOutput]) -> StepOutput:
    """Add the networks' terms; the first network stands for all before the discriminator."""
    names = outputs[0].terms
    terms = {name: torch.stack([out.terms[name] for out in outputs]).sum() for name in names}
    return StepOutput(terms, outputs[0].logits, outputs[0].y)
