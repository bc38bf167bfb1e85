"""Dice against labelled slices: do the suggestions save work?

    python benchmarks/efficiency.py
    python benchmarks/efficiency.py --score train            # for choices: no test volume has a say
    python benchmarks/efficiency.py --score train --fresh    # new weights in every round
    python benchmarks/efficiency.py --threads 1 --seeds 0 1  # one of two lanes, side by side

48 slices in 6 rounds of 8, 1 minute of training in a round and 4 in the last, on hippocampus; the
annotator is simulated (`sslseg simulate`). Each seed draws 80 of the 110 training volumes, the
same for all its arms, and the models of all rounds are scored on the 41 test volumes, which are no
part of the project and choose nothing. With ``--score train`` the last 40 training volumes are
scored instead, and 50 of the other 70 are drawn. Arms: the tool's own suggestions, equally spaced
slices, and slices drawn in proportion to the predicted foreground; the planner decides for each
arm by what was labelled, as in the product (``--set dimensions=2.5d`` and the like fix it for all).
Area is the mean height of the curve; areas and last Dice are compared by paired t-tests over the
seeds. The second table says how near the last Dice of an arm comes to full supervision, where
methods.py or twelve_of_110.py kept that for as many minutes, and how many slices fewer the tool's
curve needs for the last Dice of another. ``--fresh`` also compares with the runs that went on from
the round before, where these are kept: the minutes are the same.

Each finished arm is kept under results/. An arm plays in a folder of its own in --work, which is
removed at its end; one that was stopped goes on from its last finished round, by the same code and
with as many threads only. Other arms may be played beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import protocol
from common import (
    Json,
    Paired,
    Refused,
    attempt,
    code_at_hand,
    kept,
    mean,
    options,
    paired,
    shown,
    spread,
    table,
)
from dataset import HIPPOCAMPUS, Dataset

from sslseg.core.config import TrainRequest
from sslseg.storage.schema import DATABASE

FILE = "efficiency.jsonl"
TOOL = "auto"
STRATEGIES = (TOOL, "equal", "random-foreground")
FULL_THREADS = 2
"""With so many full supervision is looked for where it is not kept with those of the arms."""

HIPPOCAMPUS_POOL = {"test": 80, "train": 50}
"""What `pool_size` is there."""

HEAD = (
    "Strategy",
    "area",
    "sd",
    "last Dice",
    "sd",
    "n",
    f"{TOOL} - this, area",
    "p",
    f"{TOOL} - this, last",
    "p",
)

EFFORT_HEAD = (
    "Strategy",
    "% of full supervision",
    f"{TOOL} reaches its last Dice",
    "with fewer slices, % (0 where not reached)",
    "sd",
)

Runs = Mapping[int, Json]
"""Results by seed."""


def sslseg(*arguments: object, threads: int = 1) -> str:
    """Return what the command line prints; its messages pass through."""
    count = {"OMP_NUM_THREADS": str(threads), "SSLSEG_THREADS": str(threads)}
    command = [sys.executable, "-m", "sslseg.cli", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **count})
    if done.returncode:
        raise Refused(f"sslseg {arguments[0]} ended with {done.returncode}; see the lines above")
    return done.stdout


def cases(data: Dataset, score: str) -> tuple[list[str], list[str]]:
    """Return all volumes of the project, and those among them that are scored."""
    if score == "test":
        return [*data.train, *data.test], list(data.test)
    return list(data.train), list(data.train[-protocol.kept_out(data) :])


def pool_size(data: Dataset, score: str) -> int:
    """Return how many volumes a seed draws where nobody says: 80 of 110, 50 of 70."""
    every, scored = cases(data, score)
    return max(1, 8 * (len(every) - len(scored)) // 11)


def pool_of(parser: argparse.ArgumentParser, args: argparse.Namespace, data: Dataset) -> int:
    """Return `pool_size`; with --table, where no volumes are read, that of hippocampus."""
    if not args.table:
        return pool_size(data, args.score)
    if data.name != HIPPOCAMPUS:
        parser.error("of another set --table needs --pool, what was drawn: 8 of 11 volumes")
    return HIPPOCAMPUS_POOL[args.score]


def folder_of(work: Path, key: Json) -> Path:
    """Return where an arm plays: nothing there was made by other code or with other threads."""
    digest = hashlib.sha256(json.dumps([key, code_at_hand()]).encode()).hexdigest()
    return work / f"{key['strategy']}-{key['seed']}-{digest[:10]}"


def project_in(folder: Path, data: Dataset, score: str) -> Path:
    """Return the project of the volumes that take part, made if it is not there."""
    project = folder / "project"
    if not (project / DATABASE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        half_made = folder / "new"
        shutil.rmtree(half_made, ignore_errors=True)
        sslseg("new", half_made, *(a for name in data.classes for a in ("--class", name)))
        sslseg("add", half_made, *(data.images[name] for name in cases(data, score)[0]))
        half_made.rename(project)
    return project


def play(args: argparse.Namespace, data: Dataset, project: Path, strategy: str, seed: int) -> Json:
    """Let the command line play an arm; return what it tells of it."""
    kept_out = [a for name in cases(data, args.score)[1] for a in ("--score-cases", name)]
    length = (
        ["--steps", args.steps]
        if args.steps
        else ["--minutes", args.minutes, "--last-minutes", args.last_minutes]
    )
    how = ["--rounds", args.rounds, "--slices", args.slices, "--seed", seed, "--strategy", strategy]
    how += ["--pool", args.pool, *(["--fresh"] if args.fresh else [])]
    how += [a for pair in args.set for a in ("--set", pair)]
    said = sslseg(
        "simulate", project, "--labels", data.truth, *how, *length, *kept_out, "--json",
        threads=args.threads,
    )  # fmt: skip
    return dict(json.loads(said)["arms"][0])


def run(args: argparse.Namespace, data: Dataset, key: Json) -> Json:
    """Play one arm in a folder of its own; return its curve."""
    folder = folder_of(args.work, key)
    project = project_in(folder, data, args.score)
    arm = play(args, data, project, key["strategy"], key["seed"])
    points = [
        {"slices": point["slices"], "minutes": point["minutes"], "dice": point["dice"]["mean"]}
        for point in arm["curve"]
    ]
    shutil.rmtree(folder, ignore_errors=True)  # gigabytes, and all told
    return {"area": arm["area"], "curve": points, "steps": arm["steps"], "seconds": arm["seconds"]}


# ---- what is told of curves ----


def points_of(result: Json) -> list[tuple[int, float]]:
    """Return labelled slices and Dice, 0 where it is undefined."""
    return [(point["slices"], point["dice"] or 0.0) for point in result["curve"]]


def height(result: Json, last: bool) -> float:
    """Return the last Dice of an arm, or the area under its curve."""
    return float(points_of(result)[-1][1] if last else result["area"])


def compared(ours: Runs, theirs: Runs, last: bool) -> Paired:
    """Return the advantage of `ours` over the seeds of both."""
    first, second = (
        {seed: height(result, last) for seed, result in runs.items()} for runs in (ours, theirs)
    )
    return paired(first, second)


def slices_for(result: Json, dice: float) -> float:
    """Return with how many slices the curve first reaches this Dice; NaN where it never does.

    Between two rounds it is a straight line; before the first nothing is known.
    """
    points = points_of(result)
    if points[0][1] >= dice:
        return float(points[0][0])
    for (x, y), (next_x, next_y) in pairwise(points):
        if next_y >= dice:
            return x + (next_x - x) * (dice - y) / (next_y - y)
    return float("nan")


def fewer_slices(ours: Runs, theirs: Runs) -> list[float]:
    """Return by how many percent fewer slices `ours` reaches the last Dice of `theirs`, by seed.

    NaN where it does not reach it.
    """
    found = []
    for seed in (seed for seed in ours if seed in theirs):
        slices, dice = points_of(theirs[seed])[-1]
        found.append(100 * (1 - slices_for(ours[seed], dice) / slices))
    return found


def full_supervision(args: argparse.Namespace) -> tuple[dict[int, float], str]:
    """Return test Dice by seed of training on all labels for as long as the last round, and how."""
    request = TrainRequest(method="supervised", minutes=args.last_minutes)
    for threads in (args.threads, FULL_THREADS):
        task = protocol.Task(request, threads, "dense")
        runs = protocol.kept_runs(args.dataset, task, args.seeds)
        if runs and args.score == "test" and not args.steps:
            how = f"{args.last_minutes:g} minutes on {threads} threads, {protocol.origin(runs)}"
            return protocol.dice_of(runs), how
    return {}, "not kept"


# ---- tables ----


def row(found: Mapping[str, Runs], strategy: str) -> list[str]:
    """Return a row of the table."""
    runs = list(found[strategy].values())
    areas, lasts = ([height(one, last) for one in runs] for last in (False, True))
    numbers = [mean(areas), spread(areas), mean(lasts), spread(lasts)]
    tests = ["-"] * 4
    if strategy != TOOL:
        tests = [
            cell
            for last in (False, True)
            for cell in compared(found[TOOL], found[strategy], last).cells
        ]
    return [f"`{strategy}`", *map(shown, numbers), str(len(runs)), *tests]


def curves(found: Mapping[str, Runs], strategies: Sequence[str]) -> str:
    """Return mean Dice by labelled slices."""
    points = {name: [p for r in found[name].values() for p in points_of(r)] for name in strategies}
    counts = sorted({slices for each in points.values() for slices, _ in each})
    means = {
        name: [mean([dice for slices, dice in each if slices == count]) for count in counts]
        for name, each in points.items()
    }
    rows = [[f"`{name}`", *map(shown, each)] for name, each in means.items()]
    return table(["Dice at", *map(str, counts)], rows)


def effort_row(found: Mapping[str, Runs], strategy: str, full: Mapping[int, float]) -> list[str]:
    """Return a row on full supervision and on the slices that the tool saves."""
    lasts = [height(result, last=True) for result in found[strategy].values()]
    share = shown(100 * mean(lasts) / mean(list(full.values())), 1) if full else "-"
    saved = [] if strategy == TOOL else fewer_slices(found[TOOL], found[strategy])
    reached = [value for value in saved if value == value]
    known = [*reached, *[0.0] * (len(saved) - len(reached))]
    times = f"{len(reached)} of {len(saved)} times" if saved else "-"
    return [f"`{strategy}`", share, times, shown(mean(known), 0), shown(spread(known), 0)]


def fresh_or_warm(found: Mapping[str, Runs], warm: Mapping[str, Runs]) -> str:
    """Return what new weights in each round gave over going on, for arms that have both."""
    head = ("Strategy", "n", "fresh - warm, area", "p", "fresh - warm, last", "p")
    rows = [
        [f"`{name}`", len(runs.keys() & warm[name].keys())]
        + [a for last in (False, True) for a in compared(runs, warm[name], last).cells]
        for name, runs in found.items()
        if runs.keys() & warm[name].keys()
    ]
    return table(head, rows) if rows else "Nothing is kept of the same arms without --fresh."


def asked() -> tuple[argparse.Namespace, Dataset]:
    """Return what the command line asks for, and the data."""
    parser = options(__doc__, minutes=1.0, seeds=[0, 1, 2, 3, 4])
    protocol.ask(parser)
    parser.add_argument("--last-minutes", type=float, default=4.0, help="of the last round")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--slices", type=int, default=8, help="labelled in each round")
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--score", choices=["test", "train"], default="test")
    parser.add_argument("--pool", type=int, help="volumes that each seed draws; 8 of 11")
    parser.add_argument("--fresh", action="store_true", help="new weights in every round")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--work", type=Path, default=Path(__file__).with_name("replays"))
    args = parser.parse_args()
    data = protocol.dataset_of(parser, args)
    args.pool = args.pool or pool_of(parser, args, data)
    return args, data


def key_of(args: argparse.Namespace, strategy: str, seed: int) -> Json:
    """Return what identifies an arm."""
    names = ("rounds", "slices", "minutes", "last_minutes", "steps", "threads")
    shared = {name: vars(args)[name] for name in (*names, "score", "pool", "fresh", "set")}
    return {**shared, **protocol.own(args.dataset), "strategy": strategy, "seed": seed}


def written(args: argparse.Namespace, found: Mapping[str, Runs]) -> str:
    """Return the tables of the arms that are there."""
    ready = [name for name in args.strategies if found[name]]
    tables = [table(HEAD, [row(found, name) for name in ready])]
    if ready:
        full, how = full_supervision(args)
        tables.append(table(EFFORT_HEAD, [effort_row(found, name, full) for name in ready]))
        tables.append(f"Full supervision: {shown(mean(list(full.values())))}, {how}")
        tables.append(curves(found, ready))
    return "\n\n".join(tables)


def main() -> None:
    """Run what is missing and print the tables."""
    args, data = asked()
    found: dict[str, dict[int, Json]] = {name: {} for name in (TOOL, *args.strategies)}
    warm: dict[str, dict[int, Json]] = {name: {} for name in found}
    for seed in args.seeds:
        for strategy in found:
            key = key_of(args, strategy, seed)
            only_kept = args.table or strategy not in args.strategies
            result = attempt(FILE, key, partial(run, args, data, key), only_kept=only_kept)
            other = kept(FILE, {**key, "fresh": False})
            if result is not None:
                found[strategy][seed] = result
            if other is not None:
                warm[strategy][seed] = other
    how = f"{args.minutes:g} minutes, {args.last_minutes:g} in the last"
    if args.steps:
        how = f"{args.steps} steps"
    print(f"\n{data.name}, {args.rounds} rounds of {args.slices} slices, {how}")
    print(f"scored on {args.score} volumes; {args.threads} threads, seeds {args.seeds}\n")
    print(written(args, found))
    if args.fresh:
        print(f"\n{fresh_or_warm(found, warm)}")


if __name__ == "__main__":
    main()
