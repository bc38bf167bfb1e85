"""How good is what is on the screen 20 seconds after the click on Train?

    python benchmarks/twenty_seconds.py                    12 seconds of training, 5 seeds

Protocol "12 of 110" as in twelve_of_110.py, trained by the worker that a window has, with a
labelled volume on the screen. Seconds are from the click, the worker's start included, until that
volume is predicted after the training; a window has to draw it too. Then the 41 test volumes join
the project and are scored. Where pixel_classifier.py kept forests of the same slices, they are
compared by paired t-tests over the seeds. Run it alone on the machine.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pixel_classifier
import protocol
from common import (
    Json,
    Refused,
    alone,
    attempt,
    kept,
    mean,
    options,
    paired,
    request_of,
    shown,
    spread,
    table,
)
from dataset import Dataset

from sslseg.core.catalogue import DEFAULT_METHOD
from sslseg.core.commands import Open, ShowCase, Train
from sslseg.core.events import CommandDone, Event, FinishReason, PredictionReady, RunFinished
from sslseg.runner import ProcessRunner
from sslseg.session import Session

FILE = "twenty_seconds.jsonl"
MINUTES = 0.2
LIMIT_SECONDS = 20.0
PATIENCE_SECONDS = 600.0
HEAD = ("Seed", "seconds from the click", "of them training", "steps", "Dice")


def failure(event: Event) -> str:
    """Return in words what went wrong, "" where nothing did."""
    match event:
        case RunFinished(reason=FinishReason.FAILED, message=words) | CommandDone(message=words):
            return words
    return ""


def told(runner: ProcessRunner) -> Iterator[Event]:
    """Yield what the worker tells; raises Refused where something fails."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        runner.wait(1.0)
        for event in runner.poll():
            if words := failure(event):
                raise Refused(words)
            yield event


def click(project: Path, case: str, task: protocol.Task) -> Json:
    """Train with a case on the screen; return how long it took until that was predicted."""
    environment = {**os.environ, "SSLSEG_THREADS": str(task.threads)}
    began, end = time.perf_counter(), None
    with ProcessRunner(env=environment, logs=project.parent / "logs") as runner:
        runner.send(Open(project=str(project)))
        runner.send(ShowCase(case=case))
        runner.send(Train(request=task.request))
        for event in told(runner):
            if isinstance(event, RunFinished):
                end = event
            if end is not None and isinstance(event, PredictionReady) and event.case == case:
                seconds = round(time.perf_counter() - began, 2)
                return {"seconds": seconds, "train_seconds": end.seconds, "steps": end.step}
    raise Refused(f"nothing was predicted in {PATIENCE_SECONDS:g} s")


def run(data: Dataset, task: protocol.Task) -> Json:
    """Click once and score the test volumes."""
    chosen = protocol.drawn(data.train, task.labels, task.request.seed, task.volumes)
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        with Session.create(project, data.classes) as session:
            protocol.add(session, data, data.train)
            slices = protocol.annotate(session, data, chosen, task.labels)
        result = {"slices": slices, **click(project, chosen[0], task)}
        with Session(project) as session:
            protocol.add(session, data, data.test)
            return result | protocol.scored(session, data.truth, data.test)


def row(name: str, results: list[Json]) -> list[str]:
    """Return a row of the table: of one seed, or the mean of all."""
    columns = {"seconds": 1, "train_seconds": 1, "steps": 0, "dice": 3}
    return [name, *(shown(mean([r[key] for r in results]), n) for key, n in columns.items())]


def main() -> None:
    """Run what is missing and print Dice beside seconds."""
    parser = options(__doc__, minutes=MINUTES, seeds=[0, 1, 2, 3, 4])
    protocol.ask(parser, ["coronal", "orthogonal"])
    parser.set_defaults(trees=pixel_classifier.TREES)
    args = parser.parse_args()
    data = protocol.dataset_of(parser, args)
    found = {}
    for seed in args.seeds:
        request = request_of(args, DEFAULT_METHOD, seed, {})
        task = protocol.Task(request, args.threads, args.labels, args.volumes)
        key = protocol.methods_key(args.dataset, task)
        result = attempt(FILE, key, partial(alone, run, data, task), only_kept=args.table)
        if result is not None:
            found[seed] = result
    rows = [row(str(seed), [result]) for seed, result in found.items()]
    print(table(HEAD, [*rows, row("mean", list(found.values()))]))
    dice = protocol.dice_of(found)
    late = [seed for seed, result in found.items() if result["seconds"] > LIMIT_SECONDS]
    print(f"\nsd of Dice {shown(spread(list(dice.values())))}, n {len(dice)}")
    print(f"later than {LIMIT_SECONDS:g} s: {f'seeds {late}' if late else 'none'}")
    for name, position in pixel_classifier.FEATURES.items():
        keys = {seed: pixel_classifier.key_of(args, seed, position) for seed in args.seeds}
        forests = {seed: kept(pixel_classifier.FILE, key) for seed, key in keys.items()}
        theirs = protocol.dice_of({seed: one for seed, one in forests.items() if one})
        print(f"over the forest {name}: {paired(dice, theirs).words}")


if __name__ == "__main__":
    main()
