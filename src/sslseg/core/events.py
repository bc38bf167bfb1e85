"""What the engine tells, and what it can be told: the two vocabularies of the worker's pipe."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from sslseg.core.config import MethodInfo, TrainRequest
from sslseg.core.prediction import CriticHealth
from sslseg.core.suggestion import Suggestion

# A loss may be NaN: it must survive the pipe rather than arrive as null.
_JSON = ConfigDict(ser_json_inf_nan="constants")


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True) | _JSON


class FinishReason(StrEnum):
    """Why a run ended. Exactly one RunFinished follows each RunStarted, whatever dies."""

    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"


# ---- events: from the engine ----


class WorkerReady(_Message):
    """The worker has loaded torch and can take commands."""

    kind: Literal["worker_ready"] = "worker_ready"
    device: str
    methods: tuple[MethodInfo, ...] = ()


class Progress(_Message):
    """Work of known size that is not training: preparing, predicting, exporting."""

    kind: Literal["progress"] = "progress"
    task: str
    done: int
    total: int


class Task(StrEnum):
    """What a run does: train a model, or learn from images alone for later trainings."""

    TRAINING = "training"
    PRETRAINING = "pre-training"


class RunStarted(_Message):
    """A run begins. `plan` says in words what the planner chose and why."""

    kind: Literal["run_started"] = "run_started"
    run: str
    task: Task = Task.TRAINING
    method: str
    device: str
    plan: tuple[str, ...]
    steps: int | None
    minutes: float | None


class StepReported(_Message):
    """At most ten a second. `terms` are the weighted loss terms; `seconds_left` an estimate."""

    kind: Literal["step"] = "step"
    run: str
    step: int
    fraction: float
    seconds: float
    seconds_left: float
    terms: dict[str, float]
    learning_rate: float


class Validated(_Message):
    """Dice on held-out slices: class name to value (None where undefined), and the mean."""

    kind: Literal["validated"] = "validated"
    run: str
    step: int
    dice: dict[str, float | None]
    mean: float | None
    slices: int


class CriticJudged(_Message):
    """The discriminator's health was measured."""

    kind: Literal["critic"] = "critic"
    run: str
    step: int
    health: CriticHealth


class CheckpointSaved(_Message):
    """Everything learnt up to `step` is on disk."""

    kind: Literal["checkpoint"] = "checkpoint"
    run: str
    step: int
    path: str


class PredictionReady(_Message):
    """New prediction arrays of a case are on disk, in `folder`."""

    kind: Literal["prediction"] = "prediction"
    case: str
    version: str
    folder: str


class SuggestionsReady(_Message):
    """A new ranked list."""

    kind: Literal["suggestions"] = "suggestions"
    suggestions: tuple[Suggestion, ...]


class Exported(_Message):
    """An export is complete; the files written."""

    kind: Literal["exported"] = "exported"
    files: tuple[str, ...]


class RunFinished(_Message):
    """Training ended; `message` is for the screen, "" where all went well."""

    kind: Literal["run_finished"] = "run_finished"
    run: str
    reason: FinishReason
    step: int
    seconds: float
    message: str = ""


class CommandDone(_Message):
    """A command is finished; `message` is "" or the plain line of what went wrong."""

    kind: Literal["done"] = "done"
    command: str
    message: str = ""


Event = Annotated[
    WorkerReady
    | Progress
    | RunStarted
    | StepReported
    | Validated
    | CriticJudged
    | CheckpointSaved
    | PredictionReady
    | SuggestionsReady
    | Exported
    | RunFinished
    | CommandDone,
    Field(discriminator="kind"),
]


# ---- commands: to the engine ----


class Open(_Message):
    """Work on this project folder from now on."""

    kind: Literal["open"] = "open"
    project: str


class Train(_Message):
    """Train, then predict the shown case and suggest."""

    kind: Literal["train"] = "train"
    request: TrainRequest


class Pretrain(_Message):
    """Learn from the images alone; later trainings start from what was learnt."""

    kind: Literal["pretrain"] = "pretrain"
    request: TrainRequest


class Stop(_Message):
    """Stop the work at hand at the next step and keep what was learnt. No-op from idle."""

    kind: Literal["stop"] = "stop"


class ShowCase(_Message):
    """The case on the screen: predict it first, and refresh it while training."""

    kind: Literal["show"] = "show"
    case: str


class Predict(_Message):
    """Predict these cases, or all where empty."""

    kind: Literal["predict"] = "predict"
    cases: tuple[str, ...] = ()


class Suggest(_Message):
    """Rank slices."""

    kind: Literal["suggest"] = "suggest"
    count: int = 10
    strategy: str = "auto"


class Export(_Message):
    """Write predictions, annotations or the model in a format that others read."""

    kind: Literal["export"] = "export"
    out: str
    format: str = "nifti"
    what: str = "predictions"


Command = Annotated[
    Open | Train | Pretrain | Stop | ShowCase | Predict | Suggest | Export,
    Field(discriminator="kind"),
]

EVENT: TypeAdapter[Event] = TypeAdapter(Event, config=_JSON)
COMMAND: TypeAdapter[Command] = TypeAdapter(Command)
