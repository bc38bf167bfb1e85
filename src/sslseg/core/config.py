"""What a user asks for, and what a method says of itself. No torch here: the GUI reads it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Scalar = bool | int | float | str


class DeviceChoice(StrEnum):
    """Where to train; auto takes the fastest that works."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class Parameter(BaseModel):
    """One knob of a method, enough to build a form from.

    `group` is "method" (the method's own), "training" (of every method) or "critic" (the riding
    discriminator); `advanced` ones are folded away.
    """

    model_config = ConfigDict(frozen=True)
    name: str
    type: Literal["bool", "int", "float", "str"]
    default: Scalar
    help: str
    group: Literal["method", "training", "critic"] = "method"
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    advanced: bool = False


class MethodInfo(BaseModel):
    """A method as people choose it.

    `needs_domains` ones learn from labelled cases of one domain and unlabelled cases of another;
    those of `dimensions` "3d" learn from boxes alone, whatever the planner would choose.
    """

    model_config = ConfigDict(frozen=True)
    name: str
    family: str
    summary: str
    source: str
    parameters: tuple[Parameter, ...]
    needs_domains: bool = False
    dimensions: Literal["any", "3d"] = "any"

    @property
    def advice(self) -> str:
        """When to use it, in a sentence or two."""
        return self.summary + (" Needs two domains." if self.needs_domains else "")


class TrainRequest(BaseModel):
    """One click on Train.

    Parameters
    ----------
    method : str or None
        None takes the default method.
    minutes, steps
        How long; at most one of them. With neither the planner chooses.
    device, seed
        Where, and the number that every random draw follows from.
    fresh : bool
        Start from new weights instead of what the last round learnt.
    settings : mapping
        Parameter name to value; unknown names and wrong types are refused by the session.
    baseline : bool
        Train `supervised` for as long afterwards, to see what the unlabelled volumes gave.
    """

    model_config = ConfigDict(frozen=True)
    method: str | None = None
    minutes: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, ge=1)
    device: DeviceChoice = DeviceChoice.AUTO
    seed: int = 0
    fresh: bool = False
    settings: dict[str, Scalar] = Field(default_factory=dict)
    baseline: bool = False


class SimulationRequest(BaseModel):
    """The loop to be replayed with an annotator who knows the truth.

    Every strategy is tried with every method and every seed; each such combination is an arm.

    Parameters
    ----------
    labels : str
        A folder with one label file per case, named like its image.
    rounds, slices : int
        How often the annotator labels and the model trains; slices in each round.
    strategies : tuple of str
        How slices are chosen.
    methods : tuple of str
        What is trained.
    seeds : tuple of int
        What every random draw follows from, each round's its own.
    train : TrainRequest
        How each round trains; its method and seed are those of the arm.
    last_minutes : float or None
        Minutes of the last round; None for as long as the others.
    holdout : int or None
        How many cases are kept out of the project to be scored on; None takes one in five, and
        at least 2, of 10 or more labelled cases, and none of fewer.
    score_cases : tuple of str
        The names of those cases, chosen by the user instead.
    pool : int or None
        How many of the other cases the annotator gets, drawn by each seed; None for all.
    """

    model_config = ConfigDict(frozen=True)
    labels: str
    rounds: int = Field(ge=1)
    slices: int = Field(ge=1)
    strategies: tuple[str, ...] = Field(default=("auto",), min_length=1)
    methods: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    train: TrainRequest = TrainRequest()
    last_minutes: float | None = Field(default=None, gt=0)
    holdout: int | None = Field(default=None, ge=0)
    score_cases: tuple[str, ...] = ()
    pool: int | None = Field(default=None, ge=1)
