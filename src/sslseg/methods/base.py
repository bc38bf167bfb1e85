"""What a method is: networks, per-step loss terms, what inference returns. Nothing else.

The loop owns data, ramps, EMA, mixed precision, schedules, checkpoints and events.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sslseg.core.config import MethodInfo
from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.parameters import parameters_of
from sslseg.methods.shared import ADVANCED, CriticParams
from sslseg.networks.factory import Maker
from sslseg.networks.teacher import freeze, paced, update_teacher

Networks = Mapping[str, nn.Module]


class MethodParams(BaseModel):
    """Parameters that every method has; each method adds its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    ema_decay: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="How slowly the teacher follows the student; in a short run it follows faster.",
        json_schema_extra=ADVANCED,
    )

    def alone(self, fraction: float) -> bool:
        """Tell whether labelled items alone teach when the share `fraction` of the run is done."""
        return False


class SemiSupervisedParams(MethodParams):
    """What all methods share that learn from unannotated voxels too."""

    consistency: float = Field(
        1.0, ge=0, description="Weight of what the unlabelled volumes teach, at its fullest."
    )
    start: float = Field(
        0.3, ge=0, le=1, description="Share of the run that learns from the labels alone."
    )

    def rise(self, weight: float | None = None) -> Ramp:
        """Return the ramp of an unsupervised term: up over a fifth of the run, from `start` on.

        Parameters
        ----------
        weight : float or None
            At its fullest; `consistency` where not given.
        """
        full = self.consistency if weight is None else weight
        return Ramp(weight=full, start=self.start, length=0.2, shape="sigmoid")

    def alone(self, fraction: float) -> bool:
        """Tell whether the run is still in the share that learns from the labels alone."""
        return fraction < self.start

    def idle(self, fraction: float) -> bool:
        """Tell whether nothing unlabelled teaches yet, or ever does."""
        return self.alone(fraction) or self.consistency == 0


@dataclass(frozen=True)
class StepTerms:
    """What one step of a learner returns.

    Parameters
    ----------
    terms : mapping
        Name to unweighted scalar loss. The loop weighs each by its ramp and sums.
    """

    terms: dict[str, Tensor]


@dataclass(frozen=True)
class StepOutput(StepTerms):
    """What one step of a method returns.

    Parameters
    ----------
    terms : mapping
        As in `StepTerms`.
    logits : Tensor
        ``(B', C, *S)`` of the main segmentor, with gradient, for the riding discriminator.
    y : Tensor
        ``(B', *S)``, the target in the frame of `logits`.
    kept : mapping
        Tensors that `Method.critic_step` needs, so that nothing is computed twice.
    """

    logits: Tensor
    y: Tensor
    kept: dict[str, Tensor] = field(default_factory=dict)


Q_co = TypeVar("Q_co", bound=BaseModel, covariant=True)
P_co = TypeVar("P_co", bound=MethodParams, covariant=True)


class Learner(ABC, Generic[Q_co]):
    """Whatever the trainer can train: a method, or a way to learn from images alone.

    Parameters
    ----------
    params : BaseModel
        Values of ``Params``.
    critic : CriticParams
        How discriminators learn, the learner's own included.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    adapts: ClassVar[bool] = False
    """Whether it needs two domains: labelled items of one, unlabelled items of the other."""
    compares: ClassVar[bool] = False
    """Whether a critic of its own compares annotated volumes with the others."""
    judge: ClassVar[str] = ""
    """Its own pixel critic that gives the confidence layer, instead of the riding one."""
    Params: ClassVar[type[BaseModel]]

    def __init__(self, params: Q_co, critic: CriticParams | None = None) -> None:
        self.params = params
        self.critic = CriticParams.model_validate({}) if critic is None else critic

    @classmethod
    def info(cls) -> MethodInfo:
        """Return what people see when they choose."""
        return MethodInfo(
            name=cls.name,
            family=cls.family,
            summary=cls.summary,
            source=cls.source,
            parameters=parameters_of(cls.Params, "method"),
            needs_domains=cls.adapts,
        )

    @abstractmethod
    def build(self, make: Maker) -> dict[str, nn.Module]:
        """Return the networks by name.

        Names that start with "teacher" are averages, not optimised; those that start with
        "critic" belong to the critics' optimiser; all others to the main one.
        """

    def ramps(self) -> dict[str, Ramp]:
        """Return the weight of each term; a term without one has weight 1."""
        return {}

    def rates(self) -> dict[str, float]:
        """Return learning rates of optimised networks relative to the main one; 1 if missing."""
        return {}

    def alone(self, fraction: float) -> bool:
        """Tell whether the next step needs labelled items alone: then no others are drawn.

        Parameters
        ----------
        fraction : float
            As in `step`.
        """
        return False

    @abstractmethod
    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepTerms:
        """Return the unweighted terms of one step.

        Parameters
        ----------
        batch : Batch
            Already warped; labelled items first. `unlabelled` may be 0.
        views : Views
            Further views in the same frame.
        nets : mapping
            As built. Critics have no gradient here.
        fraction : float
            Done share of the run, in [0, 1].
        """

    def critic_step(
        self, kept: Mapping[str, Tensor], views: Views, nets: Networks, fraction: float
    ) -> dict[str, Tensor]:
        """Return the losses of the learner's own critics; none where it has none.

        Called after the main optimiser's step with what `step` kept.

        Parameters
        ----------
        kept : mapping
            `StepOutput.kept`, detached.
        views, nets, fraction
            As in `step`; only critics have gradients.
        """
        return {}

    def after_step(self, nets: Networks, step: int, fraction: float) -> None:
        """Follow the optimiser's step; here: not at all.

        Parameters
        ----------
        nets : mapping
            As built.
        step : int
            Optimiser steps done before this one.
        fraction : float
            Done share of the run, in [0, 1].
        """

    def memory(self) -> dict[str, Tensor]:
        """Return what the learner remembers besides its networks, for the checkpoint."""
        return {}

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Take back what `memory` returned."""


class Method(Learner[P_co]):
    """One published system. A subclass is one small file in this package."""

    parties: ClassVar[str] = "two versions of the model"
    """Who the members of the ensemble are, for reasons in words."""
    dimensions: ClassVar[Literal["any", "3d"]] = "any"
    """Which networks it can use: slices with neighbours or boxes, or boxes alone."""
    crowd: ClassVar[int] = 1
    """Divides the planner's batch: for methods of so many networks of boxes that with whole batches
    a run of minutes would hardly take a step."""
    Params: ClassVar[type[MethodParams]] = MethodParams

    @classmethod
    def info(cls) -> MethodInfo:
        """Return what people see when they choose."""
        return super().info().model_copy(update={"dimensions": cls.dimensions})

    def build(self, make: Maker) -> dict[str, nn.Module]:
        """Return a student and its average; see `Learner.build` for what names mean."""
        return {"student": make(), "teacher": freeze(make())}

    @classmethod
    def others(cls, free: float) -> float:
        """Return how many unlabelled items a batch has for each labelled one.

        Parameters
        ----------
        free : float
            Share of the cases without any label.
        """
        return 1.0

    def alone(self, fraction: float) -> bool:
        """Tell whether the next step needs labelled items alone."""
        return self.params.alone(fraction)

    @abstractmethod
    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return the unweighted terms of one step, and what the riding discriminator judges."""

    def after_step(self, nets: Networks, step: int, fraction: float) -> None:
        """Follow the student after the optimiser's step."""
        decay = paced(self.params.ema_decay, step, fraction)
        update_teacher(nets["teacher"], nets["student"], step, decay)

    def members(self, nets: Networks, x: Tensor) -> list[Tensor]:
        """Return probability maps ``(B, C, *S)`` whose mean is the prediction.

        Networks are in eval mode. The first member is what the discriminator judges.
        """
        return [torch.softmax(nets[name](x).float(), dim=1) for name in ("teacher", "student")]


def optimised(nets: Networks) -> dict[str, nn.Module]:
    """Return the networks that the main optimiser owns."""
    return {n: net for n, net in nets.items() if not n.startswith(("teacher", "critic"))}


def critics(nets: Networks) -> dict[str, nn.Module]:
    """Return the networks that the critics' optimiser owns."""
    return {name: net for name, net in nets.items() if name.startswith("critic")}


def supervised_step(batch: Batch, net: nn.Module) -> StepOutput:
    """Return the supervised term of the labelled items alone."""
    items = batch.head()
    logits = net(items.x)
    return StepOutput({"supervised": supervised(logits, items.y)}, logits, items.y)
