"""One round of training on a project: plan, data, checkpoints, previews, in one job."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from torch import Tensor

from sslseg.core.annotation import SliceState
from sslseg.core.catalogue import DEFAULT_METHOD
from sslseg.core.config import TrainRequest
from sslseg.core.control import Control
from sslseg.core.errors import Cancelled, SslsegError
from sslseg.core.events import (
    CriticJudged,
    Event,
    PredictionReady,
    RunStarted,
    SlicesPredicted,
    Validated,
)
from sslseg.core.words import counted
from sslseg.data.coverage import Coverage, coverage
from sslseg.data.domains import sides, target_cases
from sslseg.data.drawn import lacking
from sslseg.data.held_out import HeldOutSlice
from sslseg.data.preprocessing import prepare_all
from sslseg.data.project import ProjectData, left_out
from sslseg.data.sampling import Sampler
from sslseg.methods import find
from sslseg.methods.base import Method, MethodParams
from sslseg.methods.shared import TrainingParams
from sslseg.storage.arrays import make_folder, write_atomic
from sslseg.storage.runs import VALIDATIONS, new_run
from sslseg.storage.store import ProjectStore
from sslseg.training import lineage, model, pretrained
from sslseg.training.costs import Costs
from sslseg.training.device import Device, choose
from sslseg.training.glimpse import look
from sslseg.training.loop import Job, Schedule
from sslseg.training.planner import Plan, default_minutes, make_plan
from sslseg.training.refusals import refuse_nothing, refuse_slices
from sslseg.training.relay import relayed
from sslseg.training.trainer import Trainer
from sslseg.training.unheard import unheard
from sslseg.training.validation import slice_dice
from sslseg.training.watch import CriticWatch

NOTHING_BEFORE = "Starts anew: no earlier run of this method."
UNTIL_THEY_JOIN = "for the first {share:.0%} of the run to measure Dice on, then to learn from."
TO_COMPARE = "for all of the run, to compare both models by at the end."
NOTHING_HELD_OUT = (
    "No slice is held out yet, so no Dice is measured; from the fourth labelled slice on some are."
)
COMPARED = "Labels made meanwhile wait for the next training: both models learn from the same ones."
UNFIT = "What was pre-trained does not fit this network, so it is not used."

Preview = Callable[[Trainer, model.ModelFacts], PredictionReady | None]


@dataclass
class Round:
    """Everything one training of a project needs; `job` hands it to the loop.

    Parameters
    ----------
    store : ProjectStore
        Read only.
    request : TrainRequest
        What the user asked for.
    control : Control
        Stops long validation and prediction too.
    preview : callable
        Predicts and saves the case on the screen; returns None when there is none.
    baseline : bool
        Whether the model is only there to be compared with.
    only : collection of str or None
        Names of the held-out slices to measure, as `measured` of the run to compare with; None
        where what they cost decides.

    Raises
    ------
    SslsegError
        When nothing is labelled, a setting is wrong, or the device is not there.
    """

    store: ProjectStore
    request: TrainRequest
    control: Control
    preview: Preview
    baseline: bool = False
    only: Collection[str] | None = None
    run: str = field(init=False)
    classes: tuple[str, ...] = field(init=False)
    method: str = field(init=False)
    device: Device = field(init=False)
    plan: Plan = field(init=False)
    trainer: Trainer = field(init=False)
    watch: CriticWatch = field(init=False)
    before: model.ModelFacts | None = field(init=False, default=None)
    measured: tuple[str, ...] = field(init=False, default=())
    _data: ProjectData | None = field(init=False, default=None)
    _joined: bool = field(init=False, default=False)
    _line: lineage.Line = field(init=False, default=lineage.Line())
    _pretrained: str = field(init=False, default="")
    _target_cases: set[str] | None = field(init=False, default=None)
    _sides: tuple[str, ...] = field(init=False, default=())
    _annotated: int = field(init=False, default=0)
    _told_unmeasured: bool = field(init=False, default=False)
    _costs: Costs = field(init=False, default_factory=lambda: Costs(None))

    def __post_init__(self) -> None:
        """Check the request and build the model; nothing is trained or written yet."""
        self.method = self.request.method or DEFAULT_METHOD
        _, training, _ = model.settings_of(self.method, self.request.settings)
        covered = coverage(self.store)
        refuse_nothing(covered)
        self._annotated = covered.planes.total()
        chosen = find(self.method)
        if chosen.adapts:
            self._find_target()
        self.device = choose(self.request.device)
        self.classes = tuple(label.name for label in self.store.classes)
        refuse_slices(training, chosen)
        self.plan = self._planned(covered, training, chosen)
        self.trainer = model.make_trainer(self.request, self.method, self.plan, self.device)
        self.watch = CriticWatch(
            self.trainer, self.plan.patches, self.plan.network.classes, self.request.seed
        )
        self.run = new_run(self.store.path / "runs", self.method)

    def _planned(
        self, covered: Coverage, training: TrainingParams, chosen: type[Method[MethodParams]]
    ) -> Plan:
        cases, count = self.store.cases(), len(self.classes) + 1
        minutes = schedule_of(self.request, self.device)[0].minutes
        fresh = self.request.fresh
        before = None if fresh else lineage.newest_plan(self.store.path, self.method)
        plan = make_plan(
            cases,
            covered,
            count,
            self.device,
            training,
            chosen.crowd,
            minutes,
            before,
            boxes=chosen.dimensions == "3d",
            others=chosen.others(covered.free),
        )
        return relayed(plan, cases, covered, self.device, training)

    def job(self) -> Job:
        """Return the job for `sslseg.training.loop.train`."""
        missing = lacking(self.store, self.trainer.training.validation)
        words = (*self.plan.words, *self._sides, *unheard(self.trainer), *missing)
        held = sum(r.validation and r.state is not SliceState.NONE for r in self.store.slices())
        if held and self.trainer.training.validation:
            until = UNTIL_THEY_JOIN.format(share=self.trainer.joins)
            until = TO_COMPARE if self._compares else until
            words = (*words, f"{counted(held, 'slice')} held out: {until}")
        elif self.trainer.training.validation:
            words = (*words, NOTHING_HELD_OUT)
        words = (*words, *([COMPARED] if self.request.baseline else ()), *self._beginning())
        schedule, length = schedule_of(self.request, self.device)
        self._costs = Costs(schedule.minutes, self.only)
        return Job(
            trainer=self.trainer,
            schedule=schedule,
            started=RunStarted(
                run=self.run,
                method=self.method,
                device=self.device.name,
                plan=(*words, *length),
                steps=schedule.steps,
                minutes=schedule.minutes,
                baseline=self.baseline,
                notice="" if self.baseline else " ".join((self._line.broken, *missing)).strip(),
            ),
            prepare=self._prepare,
            data=lambda: self,
            left_out=lambda: left_out(self._data.left_out if self._data else ()),
            validate=self._validate,
            join_held_out=self._join_held_out,
            preview=lambda: self.preview(self.trainer, self.facts()),
            save=self._save,
            conclude=self._conclude,
            glimpse=self._glimpse,
            preview_seconds=self._preview_seconds,
            validation_seconds=self._validation_seconds,
        )

    def facts(self) -> model.ModelFacts:
        """Return what a checkpoint taken now would say."""
        return model.ModelFacts(
            run=self.run,
            request=self.request,
            method=self.method,
            plan=self.plan,
            classes=self.classes,
            step=self.trainer.step_count,
            saw_held_out=self._saw_held_out(),
            baseline=self.baseline,
            pretrained=self._pretrained,
            critic=self.watch.health,
            annotated=self._annotated,
            trainings=self.trainings,
        )

    @property
    def trainings(self) -> int | None:
        """How many trainings the weights went through, this one included; None if unknown."""
        before = 0 if self.before is None else self.before.trainings
        return None if before is None else before + 1

    @property
    def _compares(self) -> bool:
        """Whether two models are compared: at half of a run they would not differ much yet."""
        return self.baseline or self.request.baseline

    def _saw_held_out(self) -> bool:
        """Tell whether the model learnt from held-out slices: they joined, or none was kept."""
        kept = self.trainer.training.validation
        return self._joined or (not kept and any(r.validation for r in self.store.slices()))

    def _beginning(self) -> tuple[str, ...]:
        """Take over what was learnt before; return in words from what the run begins.

        A pre-training that is newer than the run to go on from was asked for since: it wins.
        """
        path, network = self.store.path, self.plan.network
        wanted = self.trainer.training.pretrained
        learnt = pretrained.newest(path, network) if wanted else None
        if not self.request.fresh:
            measured = self.trainer.training.validation
            self._line = lineage.line(path, self.method, self.plan, measured=measured)
        before = self._line.newest
        if before and (learnt is None or before[0].run > learnt.run):
            lineage.take_over(self.trainer, before[1])
            self.before = before[0]
            return (lineage.going_on(self.store.path, before[0]),)
        if learnt and pretrained.take_over(self.trainer, path, learnt):
            self._pretrained = learnt.run
            broken = (self._line.broken,) if self._line.broken else ()
            return (*broken, f"Starts from the encoder pre-trained by {learnt.words}.")
        anew = () if self.request.fresh else (self._line.broken or NOTHING_BEFORE,)
        unfit = wanted and pretrained.exists(path)
        return (*anew, UNFIT) if unfit else anew

    def _find_target(self) -> None:
        annotated = {r.key.case for r in self.store.slices() if r.state is not SliceState.NONE}
        domains = {record.name: record.domain for record in self.store.cases()}
        self._target_cases = target_cases(domains, annotated, self.method)
        self._sides = sides(domains, annotated, self._target_cases)

    # ---- the loop's data ----

    def changed(self) -> bool:
        """Tell whether strokes were saved since the last sampler."""
        assert self._data is not None
        return self._data.changed()

    def sampler(self) -> Sampler:
        """Return a sampler over the annotations as they are now."""
        assert self._data is not None
        try:
            return self._data.sampler(self.plan.patches, self.request.seed)
        except ValueError as error:
            raise SslsegError(
                "no labelled voxel to learn from",
                "a slice with painted voxels or a complete one",
                "Paint a few slices, then train.",
            ) from error

    # ---- along the way ----

    def _prepare(self) -> Iterator[Event]:
        # at once: whoever may not write here should hear it before the training, not after
        folder = make_folder(self.store.path / "runs" / self.run)
        write_atomic(folder / "run.json", self.request.model_dump_json(indent=1).encode())
        yield from prepare_all(self.store, self.store.cases(), self.plan.spacing, self.control)
        self._data = ProjectData(
            self.store,
            self.plan.spacing,
            self.plan.network.classes,
            hold_out=self.trainer.training.validation,
            target=self._target_cases,
            compared=self.trainer.method.compares,
        )
        self.sampler()

    def _join_held_out(self) -> None:
        assert self._data is not None
        if self._data.held_out() and not self._compares:
            folder = self.store.path / "runs" / self.run
            model.save(model.honest(folder), self.trainer.weights(), self.facts())
            self._data.join_held_out()
            self._joined = True

    def _validate(self) -> list[Validated | CriticJudged]:
        """Measure Dice on held-out slices and judge the critics; nothing when asked to stop.

        Once held-out slices joined there is no Dice to measure, but critics go on playing.
        """
        assert self._data is not None
        try:
            held = self._costs.measured(self.trainer.predictor(), self._data.held_out())
            return [*self._dice(self._data, held), *self._judge(self._data)]
        except Cancelled:
            return []

    def _validation_seconds(self) -> float:
        assert self._data is not None
        return self._costs.validation(self.trainer.predictor(), self._data.held_out())

    def _preview_seconds(self) -> float:
        """Return how long a preview of the case on the screen takes; a baseline shows none."""
        shown = None if self.baseline else self.control.shown
        case = next((case for case in self.store.cases() if case.name == shown), None)
        if case is None:
            return 0.0
        return self._costs.preview(self.trainer.predictor(), case, self.plan.spacing)

    def _glimpse(self, longest: float) -> SlicesPredicted | None:
        return look(
            self.store,
            self.trainer.predictor(),
            self.facts(),
            self.control.screen,
            self.control,
            costs=self._costs,
            longest=longest,
        )

    def _dice(
        self, data: ProjectData, slices: list[HeldOutSlice]
    ) -> list[Validated | CriticJudged]:
        if not slices:
            return self._unmeasured()
        patience = Control() if self.control.stopped else self.control
        found = slice_dice(self.trainer.predictor(), slices, len(self.classes) + 1, patience)
        self.measured = tuple(held.name for held in slices)
        names = {held.case.name for held in slices}
        validated = Validated(
            run=self.run,
            step=self.trainer.step_count,
            mean=found.mean,
            slices=len(slices),
            dice=dict(zip(self.classes, found.classes, strict=True)),
            without=found.without,
            partial=sum(held.partial for held in slices),
            known=data.teaches(names),
            source=self._target_cases is not None and not names & self._target_cases,
        )
        self._log(validated, VALIDATIONS)
        return [validated]

    def _unmeasured(self) -> list[Validated | CriticJudged]:
        """Say once that there are held-out slices which nobody has the time to predict."""
        assert self._data is not None
        if self._told_unmeasured or not self._data.held_out():
            return []
        self._told_unmeasured = True
        step = self.trainer.step_count
        return [Validated(run=self.run, step=step, mean=None, slices=0, dice={})]

    def _judge(self, data: ProjectData) -> list[Validated | CriticJudged]:
        health = self.watch.look(data)
        if health is None:
            return []
        judged = CriticJudged(run=self.run, step=self.trainer.step_count, health=health)
        self._log(judged, "critic.jsonl")
        return [judged]

    def _log(self, measured: Validated | CriticJudged, name: str) -> None:
        """Append to a log of the run; where that cannot be, the training is worth more."""
        path = self.store.path / "runs" / self.run / name
        with suppress(OSError), path.open("a", encoding="utf-8") as log:
            log.write(measured.model_dump_json() + "\n")

    def _save(self) -> str:
        return self._saved(self.trainer.state())

    def _conclude(self) -> str:
        # nobody goes on inside a run that is over, and the optimisers are half of a checkpoint
        return self._saved(self.trainer.weights())

    def _saved(self, tensors: dict[str, Tensor]) -> str:
        return str(model.save(self.store.path / "runs" / self.run, tensors, self.facts()))


def schedule_of(request: TrainRequest, device: Device) -> tuple[Schedule, tuple[str, ...]]:
    """Return how long a run lasts, and in words that the planner chose it, if it did."""
    minutes = request.minutes
    if minutes is not None or request.steps is not None:
        return Schedule(request.steps, minutes), ()
    minutes = default_minutes(device)
    return Schedule(None, minutes), (f"{minutes:g} minutes, since nobody said how long.",)
