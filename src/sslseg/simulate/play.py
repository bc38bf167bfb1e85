"""All arms of a simulation, one after the other, with their curves in a file and a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from sslseg.core.config import SimulationRequest
from sslseg.core.control import Control
from sslseg.core.errors import SslsegError
from sslseg.core.events import Event, Progress, SimulationReported, StepReported
from sslseg.core.words import counted
from sslseg.simulate import effort
from sslseg.simulate.arms import Round, arms_of, digest
from sslseg.simulate.chart import draw
from sslseg.simulate.replay import Replay
from sslseg.simulate.world import CHECKING, World
from sslseg.storage.arrays import make_folder, write_atomic
from sslseg.storage.remedy import lasting

TASK = "Simulating, in %"


def simulate(project: Path, request: SimulationRequest, control: Control) -> Iterator[Event]:
    """Play all arms; finished rounds of an earlier, interrupted call count.

    Yields the progress of reading the labels, the events of every training and prediction, and a
    `SimulationReported` at the start and after each round, whose files hold the result so far.

    Parameters
    ----------
    project : Path
        The user's project, which is only read; its cases that have a label file take part.
    request : SimulationRequest
        What to play.
    control : Control
        Stops at the next step; the unfinished round is played again next time.

    Raises
    ------
    SslsegError
        When there is nothing to play or a label file is bad; once the other arms are played, when
        one could not be.
    Cancelled
        When the control asks for it.
    """
    arms, blind = arms_of(request), control.blind()
    world = World.of(project, request)
    replays = [Replay(world, arm) for arm in arms]
    yield from world.check(_unread(world, replays), control)
    done = sum(len(each.rounds) for each in replays)
    words = f"Done so far: {counted(done, 'round')}. Scored on: {world.scoring()['words']}"
    yield _report(world, replays, f"{world.taking_part} {words}".strip())
    failed: dict[str, SslsegError] = {}
    for replay in replays:
        try:
            yield from _played(world, replays, replay, blind)
        except SslsegError as error:
            if lasting(error):
                raise
            failed[f"{replay.curve.name}, seed {replay.arm.seed}"] = error
    if failed:
        words = " ".join(f"{name}: left out. {error}" for name, error in failed.items())
        yield _report(world, replays, words)
        raise next(iter(failed.values()))


def _played(
    world: World, replays: Sequence[Replay], replay: Replay, control: Control
) -> Iterator[Event]:
    """Play what is missing of one arm."""
    if replay.complete:
        return
    with replay:
        while not replay.complete:
            yield from replay.next_round(control)
            yield _report(world, replays, replay.words)


def _unread(world: World, replays: Sequence[Replay]) -> list[str]:
    """Return the cases whose labels are still to be read.

    An arm with a finished round has read its own: its name follows from their fingerprints.
    """
    pools = [replay.pool for replay in replays if not replay.rounds]
    wanted = {*world.kept_out, *chain.from_iterable(pools)} if pools else set()
    return [name for name in world.cases if name in wanted]


def progress_alone(events: Iterator[Event]) -> Iterator[Event]:
    """Return what concerns the window: reports and progress.

    The runs and predictions within are those of a project that is not open there. What else is done
    repeats the percent, so that nobody takes the worker for dead.
    """
    done, total, told = 0, 1, -1
    for event in events:
        if isinstance(event, SimulationReported):
            done, total = event.done, event.total
            yield event
        elif isinstance(event, Progress) and event.task == CHECKING:
            yield event
        elif isinstance(event, StepReported):
            percent = int(100 * (done + event.fraction) / total)
            if told < percent < 100:
                told = percent
                yield Progress(task=TASK, done=percent, total=100)
        elif isinstance(event, Progress):
            yield Progress(task=TASK, done=max(told, 0), total=100)
    yield Progress(task=TASK, done=100, total=100)


def _report(world: World, replays: Sequence[Replay], words: str) -> SimulationReported:
    """Write the result so far and tell where it is."""
    name = digest([[replay.arm.facts() for replay in replays], world.facts()])
    folder = make_folder(world.project / "simulations")
    report, picture = folder / f"{name}.json", folder / f"{name}.svg"
    begun = [replay for replay in replays if replay.rounds]
    curves = tuple(replay.curve for replay in begun)
    found = {"report": str(report), "picture": str(picture), **_result(world, begun)}
    write_atomic(report, json.dumps(found, indent=1).encode())
    write_atomic(picture, draw(curves).encode())
    return SimulationReported(
        curves=curves,
        done=sum(len(replay.rounds) for replay in replays),
        total=sum(replay.arm.request.rounds for replay in replays),
        words=words,
        report=str(report),
        picture=str(picture),
    )


def _result(world: World, replays: Sequence[Replay]) -> dict[str, Any]:
    """Return the whole result; that of a single arm stands at the top too."""
    arms = [
        replay.arm.facts() | {"cases": list(replay.pool)} | _outcome(replay.rounds)
        for replay in replays
    ]
    rounds = [one for replay in replays for one in replay.rounds]
    return {
        **(arms[0] if len(arms) == 1 else {}),
        **_work(rounds),
        "scored_on": world.scoring(),
        "annotator": {
            name.lower(): value for name, value in vars(effort).items() if "SECONDS" in name
        },
        "arms": arms,
    }


def _work(rounds: Sequence[Round]) -> dict[str, Any]:
    devices = list(dict.fromkeys(one.device for one in rounds))
    return {
        "runs": [one.run for one in rounds],
        "steps": sum(one.steps for one in rounds),
        "seconds": round(sum(one.train_seconds for one in rounds), 2),
        "device": ", ".join(devices),
    }


def _outcome(rounds: Sequence[Round]) -> dict[str, Any]:
    minutes = np.cumsum([one.annotation_seconds for one in rounds]) / 60
    points = [
        {
            "round": one.round,
            "slices": one.annotated,
            "minutes": round(float(spent), 2),
            "dice": one.dice,
            "run": one.run,
            "labelled": [key.model_dump(mode="json") for key in one.slices],
            "drawn_mm": one.drawn_mm,
            "accepted": one.accepted,
            **({"instead": one.instead} if one.instead else {}),
            "train_seconds": one.train_seconds,
        }
        for one, spent in zip(rounds, minutes, strict=True)
    ]
    return {**_work(rounds), "curve": points, "area": _area(rounds)}


def _area(rounds: Sequence[Round]) -> float | None:
    """Return the mean height of the curve of Dice against slices; undefined rounds count 0."""
    x = np.array([one.annotated for one in rounds], np.float64)
    y = np.array([one.dice["mean"] or 0.0 for one in rounds])
    if not len(x):
        return None
    if x[-1] == x[0]:  # one round, or nothing more to label: the curve is one column of points
        return float(y.mean())
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) / (x[-1] - x[0]))
