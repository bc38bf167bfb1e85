"""What the engine can be told: one of the two vocabularies of the worker's pipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from sslseg.core.config import SimulationRequest, TrainRequest
from sslseg.core.control import Place
from sslseg.core.geometry import Plane
from sslseg.core.message import Message


class Open(Message):
    """Work on this project folder from now on."""

    kind: Literal["open"] = "open"
    project: str


class Train(Message):
    """Train; afterwards the worker predicts all cases and suggests by itself."""

    kind: Literal["train"] = "train"
    request: TrainRequest


class Pretrain(Message):
    """Learn from the images alone; later trainings start from what was learnt."""

    kind: Literal["pretrain"] = "pretrain"
    request: TrainRequest


class Stop(Message):
    """Stop the work at hand at the next step and keep what was learnt. No-op from idle."""

    kind: Literal["stop"] = "stop"


class ShowCase(Message):
    """The case on the screen: predict it first, and refresh it while training.

    `plane` and `index` say which slice of it, from which a preview begins that has no time for all.
    """

    kind: Literal["show"] = "show"
    case: str
    plane: Plane = Plane.AXIAL
    index: int | None = None

    @property
    def place(self) -> Place | None:
        """The slice, if it is known."""
        return None if self.index is None else (self.plane, self.index)


class Predict(Message):
    """Predict these cases, or all where empty."""

    kind: Literal["predict"] = "predict"
    cases: tuple[str, ...] = ()


class Suggest(Message):
    """Rank slices: by default enough for some minutes, for the list and N alike.

    More are asked for when few are left, which waits for an engine that does nothing else.
    """

    kind: Literal["suggest"] = "suggest"
    count: int = 48
    strategy: str = "auto"


class Export(Message):
    """Write predictions or annotations in a format that others read."""

    kind: Literal["export"] = "export"
    out: str
    format: str = "nifti"
    what: str = "predictions"


class Simulate(Message):
    """Replay the loop on copies of the project's cases; the project itself stays as it is."""

    kind: Literal["simulate"] = "simulate"
    request: SimulationRequest


Command = Annotated[
    Open | Train | Pretrain | Stop | ShowCase | Predict | Suggest | Export | Simulate,
    Field(discriminator="kind"),
]

COMMAND: TypeAdapter[Command] = TypeAdapter(Command)
