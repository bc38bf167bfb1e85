"""What the engine tells: one of the two vocabularies of the worker's pipe."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from sslseg.core.config import MethodInfo
from sslseg.core.message import JSON, Message
from sslseg.core.prediction import CriticHealth
from sslseg.core.spread import KNOWN, NOT_OF_TARGET, PARTIAL, SOURCE, UNFAIR, jackknife, with_error
from sslseg.core.suggestion import Suggestion
from sslseg.core.words import counted


class FinishReason(StrEnum):
    """Why a run ended. Exactly one RunFinished follows each RunStarted, whatever dies."""

    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"


class Opened(Message):
    """The worker has this project open: what it tells from now on is about that."""

    kind: Literal["opened"] = "opened"
    project: str


class WorkerReady(Message):
    """The worker has loaded torch and can take commands."""

    kind: Literal["worker_ready"] = "worker_ready"
    device: str
    methods: tuple[MethodInfo, ...] = ()


class Progress(Message):
    """Work of known size that is not training: preparing, predicting, exporting."""

    kind: Literal["progress"] = "progress"
    task: str
    done: int
    total: int


class Task(StrEnum):
    """What a run does: train a model, or learn from images alone for later trainings."""

    TRAINING = "training"
    PRETRAINING = "pre-training"


class RunStarted(Message):
    """A run begins. `plan` says in words what the planner chose and why.

    `baseline` marks a run that is only there to be compared with. `notice` is what the user should
    hear at once, such as why nothing learnt before is used; "" where there is nothing of the kind.
    """

    kind: Literal["run_started"] = "run_started"
    run: str
    task: Task = Task.TRAINING
    method: str
    device: str
    plan: tuple[str, ...]
    steps: int | None
    minutes: float | None
    baseline: bool = False
    notice: str = ""


class StepReported(Message):
    """At most ten a second. `terms` are the weighted loss terms; `seconds_left` an estimate."""

    kind: Literal["step"] = "step"
    run: str
    step: int
    fraction: float
    seconds: float
    seconds_left: float
    terms: dict[str, float]
    learning_rate: float


class Validated(Message):
    """Dice on held-out slices: class name to value (None where undefined), and the mean.

    `without` holds the mean Dice with each case (or slice) left out in turn, from which the
    standard error follows; empty where nobody measured it. With `slices` 0 there are held-out
    slices, but predicting even one would take too much of the run. `partial` of the slices are
    measured where somebody painted and nowhere else. `known` tells that other slices of the same
    volumes teach, so that volumes never seen may come out worse; `source` that a target domain is
    adapted to, of which none of these slices is.
    """

    kind: Literal["validated"] = "validated"
    run: str
    step: int
    dice: dict[str, float | None]
    mean: float | None
    slices: int
    without: tuple[float | None, ...] = ()
    partial: int = 0
    known: bool = False
    source: bool = False

    @property
    def error(self) -> float | None:
        """Standard error of `mean`, by leaving parts out; None where it cannot be told."""
        return jackknife(self.without)

    @property
    def words(self) -> str:
        """The mean with its uncertainty, the number of slices, and if volumes are known."""
        if self.slices == 0:
            return "Dice not measured: predicting a held-out slice takes too much of this run"
        partial = [PARTIAL.format(count=self.partial)] if self.partial else []
        notes = [SOURCE] * self.source + [KNOWN] * self.known + partial
        return with_error(self.mean, self.error, self.slices, ", ".join(notes))


class Compared(Message):
    """A method and the supervised baseline, measured on the same held-out slices.

    Either is None where its run ended before it was measured. `fair` is False where the weights of
    one went through more trainings.
    """

    kind: Literal["compared"] = "compared"
    method: str
    measured: Validated | None
    baseline: Validated | None
    fair: bool = True

    @property
    def difference(self) -> float | None:
        """Mean Dice of the method less that of the baseline."""
        if self.measured is None or self.baseline is None:
            return None
        if self.measured.mean is None or self.baseline.mean is None:
            return None
        return self.measured.mean - self.baseline.mean

    @property
    def error(self) -> float | None:
        """Standard error of the difference, leaving out the same parts for both."""
        if self.measured is None or self.baseline is None:
            return None
        ours, theirs = self.measured.without, self.baseline.without
        if len(ours) != len(theirs):
            return None
        pairs = zip(ours, theirs, strict=True)
        return jackknife([None if a is None or b is None else a - b for a, b in pairs])

    @property
    def words(self) -> str:
        """Both values with their uncertainty, and the difference."""
        ours, theirs = self.measured, self.baseline
        if ours is None or theirs is None or self.difference is None:
            return f"{self.method} and supervised: no Dice on held-out slices to compare them by."
        difference = with_error(self.difference, self.error, min(ours.slices, theirs.slices))
        return (
            f"{self.method}: {ours.words}. Supervised alone: {theirs.words}. "
            f"Gain: {difference.removeprefix('Dice ')}."
        ) + (f" {UNFAIR}" * (not self.fair) + f" {NOT_OF_TARGET}" * ours.source)


class CriticJudged(Message):
    """The discriminator's health was measured."""

    kind: Literal["critic"] = "critic"
    run: str
    step: int
    health: CriticHealth


class CheckpointSaved(Message):
    """Everything learnt up to `step` is on disk."""

    kind: Literal["checkpoint"] = "checkpoint"
    run: str
    step: int
    path: str


class PredictionReady(Message):
    """New prediction arrays of a case are on disk, in `folder`."""

    kind: Literal["prediction"] = "prediction"
    case: str
    version: str
    folder: str


class SlicesPredicted(Message):
    """What is known so far of some slices of a case is on disk: the whole takes too long now."""

    kind: Literal["slices"] = "slices"
    case: str
    file: str


class SuggestionsReady(Message):
    """A new ranked list."""

    kind: Literal["suggestions"] = "suggestions"
    suggestions: tuple[Suggestion, ...]


class Exported(Message):
    """An export is complete; the files written, and how many of them stood there before.

    Of predictions also how many cases have only that of an `older` model, and how many none.
    """

    kind: Literal["exported"] = "exported"
    files: tuple[str, ...]
    replaced: int = 0
    older: int = 0
    missing: int = 0

    @property
    def words(self) -> str:
        """What was done, for the screen."""
        told = f"Export complete: {counted(len(self.files), 'file')} written"
        replaced = f", {self.replaced} of them in place of older ones" if self.replaced else ""
        return f"{told}{replaced}. {behind_words(self.older, self.missing)}".rstrip()


def behind_words(older: int, missing: int) -> str:
    """Return in words that cases wait for the newest model, "" where none does."""
    parts = [
        *([f"{counted(older, 'mask')} of an earlier training"] if older else ()),
        *([f"{counted(missing, 'case')} without a prediction"] if missing else ()),
    ]
    return f"Note: {' and '.join(parts)}. Predict all cases first for the newest." if parts else ""


class ArmCurve(BaseModel):
    """How good the models of one simulated arm were after each round.

    `slices` and `minutes` count what the annotator did up to each point; `dice` is the mean over
    classes and scored cases.
    """

    model_config = ConfigDict(frozen=True)
    strategy: str
    method: str
    seed: int
    slices: tuple[int, ...] = ()
    minutes: tuple[float, ...] = ()
    dice: tuple[float | None, ...] = ()

    @property
    def name(self) -> str:
        """What arms that differ in their seed alone have in common."""
        return f"{self.method}, {self.strategy}"


class SimulationReported(Message):
    """A simulation begins or goes on, or one of its rounds is finished: all curves so far.

    `done` and `total` count rounds of all arms; `report` (JSON) and `picture` (SVG) are files
    with the result so far.
    """

    kind: Literal["simulation"] = "simulation"
    curves: tuple[ArmCurve, ...]
    done: int
    total: int
    words: str
    report: str
    picture: str


class RunFinished(Message):
    """Training ended; `message` is for the screen, "" where all went well."""

    kind: Literal["run_finished"] = "run_finished"
    run: str
    reason: FinishReason
    step: int
    seconds: float
    message: str = ""


class CommandBegun(Message):
    """The worker begins what nobody asked it for, such as predicting after a training."""

    kind: Literal["begun"] = "begun"
    command: str


class CommandDone(Message):
    """A command is finished; `message` is "" or the plain line of what went wrong."""

    kind: Literal["done"] = "done"
    command: str
    message: str = ""


Event = Annotated[
    WorkerReady
    | Opened
    | Progress
    | RunStarted
    | StepReported
    | Validated
    | CriticJudged
    | CheckpointSaved
    | PredictionReady
    | SlicesPredicted
    | SuggestionsReady
    | Exported
    | Compared
    | SimulationReported
    | RunFinished
    | CommandBegun
    | CommandDone,
    Field(discriminator="kind"),
]

EVENT: TypeAdapter[Event] = TypeAdapter(Event, config=JSON)
