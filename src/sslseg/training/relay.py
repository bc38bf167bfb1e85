"""A run in two parts: a network of slices learns first, then it teaches a network of boxes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from sslseg.core.annotation import IGNORE
from sslseg.core.control import Control
from sslseg.core.volume import CaseRecord
from sslseg.data.coverage import Coverage
from sslseg.data.preprocessing import grid_shape
from sslseg.data.sampling import Item, Sampler, TrainingCase
from sslseg.data.slabs import crop
from sslseg.data.targets import Target
from sslseg.inference.pair import Pair
from sslseg.inference.predictor import Predictor
from sslseg.methods.base import MethodParams
from sslseg.methods.shared import CriticParams, TrainingParams
from sslseg.methods.supervised import Supervised
from sslseg.networks.record import Record
from sslseg.training.device import Device
from sslseg.training.planner import Plan, coarse_axis, make_plan
from sslseg.training.tensors import named
from sslseg.training.trainer import StepReport, Trainer

HANDOVER = 0.35
"""Done share of the run at which the network of boxes takes over."""

TRUST, TRUSTED_FROM = 2 / 3, 0.5
"""What the network of boxes weighs in a prediction, rising until this share of its own part."""

LOOKS_TO_LABEL = (0,)
"""As `Predictor.shifts`, of the teacher: one look is enough for what is learnt from as a whole."""

MOST_CASES = 200
"""Volumes that the network of boxes learns from: labelling more would take its time."""

Label = Callable[[TrainingCase], Target]
PUPIL = "boxes."


class TaughtSampler(Sampler):
    """Draws items from anywhere, with a target for every voxel.

    Parameters
    ----------
    source : Sampler
        Gives the cases and the seed.
    plan : Plan
        Of the network that learns.
    label : callable
        Returns the whole target ``(X, Y, Z)`` of a case.
    """

    def __init__(self, source: Sampler, plan: Plan, label: Label) -> None:
        cases = _some(source)
        # every slice has a label here: none is looked at so often that the rate should fall
        every = sum(max(case.image.shape) for case in cases)
        super().__init__(cases, plan.patches, source.seed, every)
        self._label = label

    def _labelled(self, rng: np.random.Generator) -> Item:
        return self._anywhere(rng, self.cases)

    def _target(self, case: TrainingCase, index: int, start: Sequence[int]) -> Target:
        return np.asarray(crop(self._label(case), start, self.plan.patch, IGNORE), np.int16)


def _some(source: Sampler) -> list[TrainingCase]:
    """Return the annotated cases and as many others, drawn by lot, as there is time to label."""
    others = [case for case in source.cases if not len(case.annotated)]
    order = np.random.default_rng(source.seed).permutation(len(others))
    room = max(0, MOST_CASES - len(source.annotated))
    return [*source.annotated, *(others[index] for index in order[:room])]


@dataclass
class Relay(Trainer):
    """A trainer whose network of slices hands over to a network of boxes.

    Self-training from slices to volumes (Zheng et al., AAAI 2020; Noisy Student, Xie et al., CVPR
    2020). Up to `HANDOVER` the method trains on slices as in a run of that length. Then its
    network stays as it is and labels each volume once, when that volume is first drawn; a network
    of boxes learns from these labels, and from the annotations where there are any, with the loss
    and the views of `supervised`. Slices teach quickly, boxes see the whole shape; the idea is that
    what a teacher says wrongly of single slices does not fit in, and the pupil leaves it out.

    Held-out slices join then, so that their Dice is that of a teacher which has learnt all it will.
    Predictions are the weighted mean of both: the pupil's weight rises from 0 to 2/3.
    """

    joins: ClassVar[float] = HANDOVER
    pupil: Trainer = field(init=False)
    trust: float = field(init=False, default=0.0)
    _labels: dict[str, Target] = field(init=False, default_factory=dict)
    _sampler: tuple[Sampler, TaughtSampler] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Build both from the seed."""
        super().__post_init__()
        assert self.plan.boxes is not None
        self.pupil = Trainer(
            Supervised(MethodParams.model_validate({})),
            self.plan.boxes,
            self.device,
            self.seed,
            self.training,
            CriticParams.model_validate({"critic": False}),
        )

    def step(self, sampler: Sampler, fraction: float) -> StepReport:
        """Take one optimiser step of whichever network is learning."""
        if fraction < HANDOVER:
            report = super().step(sampler, fraction / HANDOVER)
            self.fraction = fraction
            return report
        share = (fraction - HANDOVER) / (1 - HANDOVER)
        report = self.pupil.step(self._taught(sampler), share)
        self.trust = max(self.trust, TRUST * min(1.0, share / TRUSTED_FROM))
        self.step_count += 1
        self.fraction = fraction
        return StepReport({"boxes": sum(report.terms.values())}, report.learning_rate)

    def _taught(self, sampler: Sampler) -> TaughtSampler:
        """Return a sampler over the same cases that draws boxes and what the teacher says."""
        if self._sampler is None or self._sampler[0] is not sampler:
            self._sampler = sampler, TaughtSampler(sampler, self.pupil.plan, self._label)
        return self._sampler[1]

    def _label(self, case: TrainingCase) -> Target:
        """Return the annotation of a case, and the teacher's label where there is none."""
        if case.name not in self._labels:
            teacher = replace(super().predictor(), shifts=LOOKS_TO_LABEL, critic=None)
            said = teacher.volume(case.image, Control()).probability.argmax(0)
            self._labels[case.name] = said.astype(np.int16)
        said = self._labels[case.name]
        if case.target is None:
            return said
        known = case.target.dense()
        return np.where(known == IGNORE, said, known)

    def records(self) -> dict[str, Record]:
        """Return how each critic fares; none does any more once the network of boxes learns."""
        return {} if self.pupil.step_count else super().records()

    def predictor(self) -> Predictor:
        """Return a predictor of both, once the network of boxes knows something."""
        teacher = super().predictor()
        if self.trust == 0:
            return teacher
        return Pair(**vars(teacher), other=self.pupil.predictor(), trust=self.trust)

    def weights(self) -> dict[str, Tensor]:
        """Return the weights of both."""
        return super().weights() | self._ours(self.pupil.weights())

    def state(self) -> dict[str, Tensor]:
        """Return the state of both."""
        return super().state() | self._ours(self.pupil.state())

    def _ours(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        trust = torch.tensor(self.trust, dtype=torch.float64)
        known = {"trust": trust, "step": torch.tensor(self.pupil.step_count)}
        return {PUPIL + name: tensor for name, tensor in (known | dict(tensors)).items()}

    def load_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over the weights of both where they are there; a part of the pupil is no teacher.

        So it predicts nothing until it has learnt again.
        """
        super().load_weights(tensors)
        theirs = named(PUPIL, tensors)
        if theirs:
            self.pupil.load_weights(theirs)
            self.trust = float(theirs["trust"]) if _fits(self.pupil, theirs) else 0.0

    def load_state(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Continue exactly where `state` was taken; the labels are made again when needed."""
        super().load_state(tensors, step)
        theirs = named(PUPIL, tensors)
        self.pupil.load_state(theirs, int(theirs["step"]))


def _fits(trainer: Trainer, tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether all that the trainer would save is there in its shapes."""
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    return all(shapes.get(name) == mine.shape for name, mine in trainer.weights().items())


def relayed(
    plan: Plan,
    cases: Sequence[CaseRecord],
    covered: Coverage,
    device: Device,
    params: TrainingParams,
) -> Plan:
    """Return the plan, with a network of boxes where that is wanted and one can learn from slices.

    It can where voxels are about as long as wide and where a box holds a whole volume: it is the
    shape as a whole that boxes know better.

    Parameters
    ----------
    plan : Plan
        Of the network of slices; one of boxes stays as it is.
    cases, covered, device, params
        As `make_plan` had them.
    """
    if not params.relay:
        return plan
    if plan.axis is None:
        return _told(plan, "No second network: this one reads boxes already.")
    if coarse_axis(cases) is not None:
        return _told(plan, "No second network: slices are thick.")
    ours = {"dimensions": "3d", "plane": "auto", "batch": 0, "patch": 0}
    boxed = params.model_copy(update=ours)
    whole = replace(covered, planes=Counter(), dense=True)
    boxes = make_plan(cases, whole, plan.network.classes, device, boxed, before=plan)
    if boxes.spacing != plan.spacing or not _holds(boxes.patch, cases, plan):
        return _told(plan, "No second network: no box holds a whole volume.")
    words = (
        f"From {HANDOVER:.0%} of the run on, a 3-D network learns what the first one says of all "
        f"volumes, from boxes of {' x '.join(map(str, boxes.patch))} voxels; both predict."
    )
    boxes = boxes.model_copy(update={"unlabelled": 0, "words": ()})
    return _told(plan.model_copy(update={"boxes": boxes}), words)


def _told(plan: Plan, words: str) -> Plan:
    return plan.model_copy(update={"words": (*plan.words, words)})


def _holds(patch: Sequence[int], cases: Sequence[CaseRecord], plan: Plan) -> bool:
    """Tell whether a patch is as large as the median volume."""
    shapes = [grid_shape(case, plan.spacing) for case in cases]
    sides = [math.ceil(median(shape[axis] for shape in shapes)) for axis in range(3)]
    return all(length >= side for length, side in zip(patch, sides, strict=True))
