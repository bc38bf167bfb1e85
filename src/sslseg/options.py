"""The options that commands share, and what they ask for."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sslseg.core.config import DeviceChoice, Scalar, TrainRequest
from sslseg.core.errors import SslsegError
from sslseg.suggest.strategies import ADDITIONS, STRATEGIES

Project = Annotated[Path, typer.Argument(help="The project folder.", metavar="PROJECT")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Device = Annotated[DeviceChoice, typer.Option(help="Where to train.")]
Minutes = Annotated[float | None, typer.Option(min=0.001, help="How long to train.")]
Steps = Annotated[int | None, typer.Option(min=1, help="How many optimiser updates to make.")]
Seed = Annotated[int, typer.Option(min=0, help="The number that every random draw follows from.")]
Method = Annotated[str | None, typer.Option(help="A name from `sslseg methods`.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="A parameter, key=value; repeat for more.")
]
_STRATEGIES = (
    "; ".join(f"{each.name}: {each.summary}" for each in STRATEGIES.values())
    + ". Can be added, as in uncertainty+power+cost: "
    + "; ".join(f"+{each.name}: {each.summary}" for each in ADDITIONS.values())
    + "."
)
Strategy = Annotated[str, typer.Option(help=f"How to choose them. {_STRATEGIES}")]

# Of a simulation, which compares what is repeated.
Strategies = Annotated[
    list[str] | None, typer.Option("--strategy", help="How to choose slices; repeat to compare.")
]
Methods = Annotated[
    list[str] | None, typer.Option("--method", help="From `sslseg methods`; repeat to compare.")
]
Seeds = Annotated[
    list[int] | None, typer.Option("--seed", min=0, help="What draws follow from; repeat for more.")
]
LastMinutes = Annotated[
    float | None, typer.Option(min=0.001, help="How long to train in the last round.")
]
Holdout = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Cases kept out of the project, to be scored on; else one in five of ten or more, "
        "at least two.",
    ),
]
Pool = Annotated[
    int | None,
    typer.Option(min=1, help="Cases that the annotator gets, drawn by each seed; else all others."),
]
ScoreCases = Annotated[
    list[str] | None, typer.Option(help="A case to keep out instead; repeat for more.")
]


def request_of(
    method: str | None,
    minutes: float | None,
    steps: int | None,
    device: DeviceChoice,
    seed: int,
    fresh: bool,
    settings: dict[str, Scalar],
    baseline: bool = False,
) -> TrainRequest:
    """Return what a training was asked for; raises SslsegError where options contradict."""
    if minutes is not None and steps is not None:
        raise SslsegError("--minutes and --steps", "at most one of them", "Leave one out.")
    return TrainRequest(
        method=method,
        minutes=finite(minutes),
        steps=steps,
        device=device,
        seed=seed,
        fresh=fresh,
        settings=settings,
        baseline=baseline,
    )


def finite(minutes: float | None, option: str = "--minutes") -> float | None:
    """Return minutes as they are; raises SslsegError where they are no number of minutes."""
    if minutes is not None and not math.isfinite(minutes):
        raise SslsegError(f"{option} {minutes}", "a finite number", "Say how many minutes.")
    return minutes


def refuse_in_window(out: Path | None, minutes: float | None, as_json: bool) -> None:
    """Raise SslsegError where the demo was asked for what its window has no use for."""
    given = {"--out": out is not None, "--minutes": minutes is not None, "--json": as_json}
    named = [option for option, said in given.items() if said]
    if named:
        raise SslsegError(
            f"{' and '.join(named)} without --headless",
            "both, or neither to open the window",
            "Add --headless.",
        )


def settings_of(pairs: Sequence[str]) -> dict[str, Scalar]:
    """Return ``key=value`` texts as a mapping; numbers and true or false get their type."""
    found: dict[str, Scalar] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not (key and equals):
            raise SslsegError(f"--set {pair}", "key=value", "Write for example --set width=16.")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        found[key] = value if isinstance(value, bool | int | float | str) else text
    return found
