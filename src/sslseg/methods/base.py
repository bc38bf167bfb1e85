"""What a method is: networks, per-step loss terms, what inference returns. Nothing else.

The loop owns data, ramps, EMA, mixed precision, schedules, checkpoints and events.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sslseg.core.config import MethodInfo
from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.parameters import parameters_of
from sslseg.networks.teacher import freeze, update_teacher

Networks = Mapping[str, nn.Module]
MakeNetwork = Callable[[], nn.Module]


class MethodParams(BaseModel):
    """Parameters that every method has; each method adds its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    ema_decay: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="How slowly the teacher follows the student.",
        json_schema_extra={"advanced": True},
    )


@dataclass(frozen=True)
class StepOutput:
    """What one step of a method returns.

    Parameters
    ----------
    terms : mapping
        Name to unweighted scalar loss. The loop weighs each by its ramp and sums.
    logits : Tensor
        ``(B', C, *S)`` of the main segmentor, with gradient, for the riding discriminator.
    y : Tensor
        ``(B', *S)``, the target in the frame of `logits`.
    """

    terms: dict[str, Tensor]
    logits: Tensor
    y: Tensor


P_co = TypeVar("P_co", bound=MethodParams, covariant=True)


class Method(ABC, Generic[P_co]):
    """One published system. A subclass is one small file in this package.

    Parameters
    ----------
    params : MethodParams
        Values of ``Params``.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    parties: ClassVar[str] = "teacher and student"
    """Who the members of the ensemble are, for reasons in words."""
    Params: ClassVar[type[MethodParams]] = MethodParams

    def __init__(self, params: P_co) -> None:
        self.params = params

    @classmethod
    def info(cls) -> MethodInfo:
        """Return what people see when they choose."""
        return MethodInfo(
            name=cls.name,
            family=cls.family,
            summary=cls.summary,
            source=cls.source,
            parameters=parameters_of(cls.Params, "method"),
        )

    def build(self, make: MakeNetwork) -> dict[str, nn.Module]:
        """Return the networks by name. Names that start with "teacher" are EMAs, not optimised."""
        return {"student": make(), "teacher": freeze(make())}

    def ramps(self) -> dict[str, Ramp]:
        """Return the weight of each term; a term without one has weight 1."""
        return {}

    @abstractmethod
    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return the unweighted terms of one step.

        Parameters
        ----------
        batch : Batch
            Already warped; labelled items first. `unlabelled` may be 0.
        views : Views
            Further views in the same frame.
        nets : mapping
            As built.
        fraction : float
            Done share of the run, in [0, 1].
        """

    def after_step(self, nets: Networks, step: int) -> None:
        """Follow the student after the optimiser's step."""
        update_teacher(nets["teacher"], nets["student"], step, self.params.ema_decay)

    def members(self, nets: Networks, x: Tensor) -> list[Tensor]:
        """Return probability maps ``(B, C, *S)`` whose mean is the prediction.

        Networks are in eval mode. The first member is what the discriminator judges.
        """
        return [torch.softmax(nets[name](x).float(), dim=1) for name in ("teacher", "student")]


def optimised(nets: Networks) -> dict[str, nn.Module]:
    """Return the networks that the main optimiser owns."""
    return {name: net for name, net in nets.items() if not name.startswith("teacher")}


def supervised_step(batch: Batch, net: nn.Module) -> StepOutput:
    """Return the supervised term of the labelled items alone."""
    items = batch.head()
    logits = net(items.x)
    return StepOutput({"supervised": supervised(logits, items.y)}, logits, items.y)
