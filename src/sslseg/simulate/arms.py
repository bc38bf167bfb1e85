"""One way to play the loop, and what its rounds came to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from sslseg.core.annotation import SliceKey
from sslseg.core.config import SimulationRequest, TrainRequest
from sslseg.core.errors import SslsegError
from sslseg.core.events import ArmCurve
from sslseg.core.seeds import derived
from sslseg.methods import find
from sslseg.suggest.strategies import strategy_named
from sslseg.training.model import settings_of

FORMAT = 4
"""Of the files that finished rounds are kept in."""

Dice = dict[str, float | None]


@dataclass(frozen=True)
class Arm:
    """One strategy with one method and one seed.

    Parameters
    ----------
    strategy, method, seed
        How slices are chosen, what is trained, what the draws follow from.
    request : SimulationRequest
        What all arms have in common.
    """

    strategy: str
    method: str
    seed: int
    request: SimulationRequest

    def training(self, number: int) -> TrainRequest:
        """Return how round `number` (from 1) trains."""
        length: dict[str, Any] = {}
        if number == self.request.rounds and self.request.last_minutes is not None:
            length = {"minutes": self.request.last_minutes}
        seed = derived(self.seed, number, "training")
        own = {"method": self.method, "seed": seed, "baseline": False}
        return self.request.train.model_copy(update=own | length)

    def facts(self) -> dict[str, Any]:
        """Return what identifies the arm; more rounds of one length continue the same one."""
        shared = self.request.train.model_dump(
            mode="json", include={"minutes", "steps", "device", "fresh", "settings"}
        )
        last = self.request.last_minutes
        end = {} if last is None else {"last_minutes": last, "rounds": self.request.rounds}
        return {
            "strategy": self.strategy,
            "method": self.method,
            "seed": self.seed,
            "slices_per_round": self.request.slices,
            **shared,
            **end,
        }


def arms_of(request: SimulationRequest) -> tuple[Arm, ...]:
    """Return all arms, checked before hours are spent on the first.

    Raises
    ------
    SslsegError
        For an unknown strategy, method or setting, or lengths that contradict each other.
    """
    for strategy in request.strategies:
        strategy_named(strategy)
    for method in request.methods:
        find(method)
        settings_of(method, request.train.settings)
    if request.last_minutes is not None and request.train.steps is not None:
        raise SslsegError("--steps and --last-minutes", "one of them", "Leave one out.")
    ways = product(request.strategies, request.methods, request.seeds)
    return tuple(Arm(*way, request) for way in dict.fromkeys(ways))


def digest(facts: Any) -> str:
    """Return a short name that follows from JSON facts."""
    text = json.dumps([FORMAT, facts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


class Round(BaseModel):
    """What one round did and how good the model was after it; one line of the arm's file.

    Parameters
    ----------
    round : int
        From 1.
    slices : tuple of SliceKey
        Labelled in this round.
    annotated : int
        Slices labelled so far.
    annotation_seconds, drawn_mm, accepted
        Of the annotator in this round, after `sslseg.simulate.effort`; slices whose prediction
        was accepted and mended.
    instead : str
        The strategy that chose where the arm's own could not, "" where it could.
    run, steps, device, train_seconds
        The training of this round.
    cases : mapping
        Case to class to Dice, None where undefined.
    dice : mapping
        Class to mean Dice over the cases; "mean" over classes.
    """

    model_config = ConfigDict(frozen=True)
    round: int
    slices: tuple[SliceKey, ...]
    annotated: int
    annotation_seconds: float
    drawn_mm: float
    accepted: int
    instead: str = ""
    run: str
    steps: int
    device: str
    train_seconds: float
    cases: dict[str, Dice]
    dice: Dice


def averaged(cases: dict[str, Dice], classes: Sequence[str]) -> Dice:
    """Return the mean of the defined values of each class, and "mean" of all classes."""
    means = {name: _mean([case[name] for case in cases.values()]) for name in classes}
    return {**means, "mean": _mean(list(means.values()))}


def curve(arm: Arm, rounds: Sequence[Round]) -> ArmCurve:
    """Return the arm's curve so far."""
    seconds = np.cumsum([one.annotation_seconds for one in rounds])
    return ArmCurve(
        strategy=arm.strategy,
        method=arm.method,
        seed=arm.seed,
        slices=tuple(one.annotated for one in rounds),
        minutes=tuple(round(float(value) / 60, 2) for value in seconds),
        dice=tuple(one.dice["mean"] for one in rounds),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None
