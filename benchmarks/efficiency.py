"""Dice against labelled slices: do the suggestions save work?

    python benchmarks/efficiency.py
    python benchmarks/efficiency.py --score train            # for choices: no test volume has a say
    python benchmarks/efficiency.py --score train --fresh    # new weights in every round

48 slices in 6 rounds of 8, 1 minute of training in a round and 4 in the last, on hippocampus; the
annotator is simulated (`sslseg simulate`). Each seed draws 80 of the 110 training volumes, the
same for all its arms, and the models of all rounds are scored on the 41 test volumes, which are no
part of the project and choose nothing. With ``--score train`` the last 40 training volumes are
scored instead, and 50 of the other 70 are drawn. Arms: the tool's own suggestions, equally spaced
slices, and slices drawn in proportion to the predicted foreground; the planner decides for each
arm by what was labelled, as in the product (``--set dimensions=2.5d`` and the like fix it for all).
Area is the mean height of the curve; areas and last Dice are compared by paired t-tests over the
seeds. ``--fresh`` also compares with the runs that went on from the round before, where these are
kept: the minutes are the same.

Each finished round is kept in the folder --work, each finished arm under results/, so that the
command can be stopped and given again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import hippocampus
from common import Json, Refused, attempt, data_folder, kept, mean, options, shown, spread, table
from scipy import stats

from sslseg.storage.schema import DATABASE

FILE = "efficiency.jsonl"
TOOL = "auto"
STRATEGIES = (TOOL, "equal", "random-foreground")
POOL = {"test": 80, "train": 50}
"""Volumes that the annotator of a seed gets, of 110 and of the 70 that are not scored."""

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


def cases(data: Path, score: str) -> tuple[list[str], list[str]]:
    """Return all volumes of the project, and those among them that are scored."""
    names = hippocampus.split(data)
    if score == "test":
        return [*names["train"], *names["test"]], names["test"]
    return names["train"], names["train"][-hippocampus.TUNING :]


def project_of(work: Path, data: Path, score: str) -> Path:
    """Return the project of the volumes that take part, made if it is not there."""
    project = work / f"hippocampus-{score}"
    if not (project / DATABASE).exists():
        work.mkdir(parents=True, exist_ok=True)
        half_made = work / f"{project.name}.new"
        shutil.rmtree(half_made, ignore_errors=True)
        sslseg("new", half_made, *(a for name in hippocampus.CLASSES for a in ("--class", name)))
        sslseg("add", half_made, *hippocampus.images(data, cases(data, score)[0]))
        half_made.rename(project)
    return project


def run(args: argparse.Namespace, data: Path, strategy: str, seed: int) -> Json:
    """Play one arm; return its curve."""
    project = project_of(args.work, data, args.score)
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
        "simulate", project, "--labels", data / "labels", *how, *length, *kept_out, "--json",
        threads=args.threads,
    )  # fmt: skip
    arm = json.loads(said)["arms"][0]
    points = [
        {"slices": point["slices"], "minutes": point["minutes"], "dice": point["dice"]["mean"]}
        for point in arm["curve"]
    ]
    shutil.rmtree(project / "simulations", ignore_errors=True)  # gigabytes, and all told
    return {"area": arm["area"], "curve": points, "steps": arm["steps"], "seconds": arm["seconds"]}


def height(result: Json, last: bool) -> float:
    """Return the last Dice of an arm, or the area under its curve."""
    return float(result["curve"][-1]["dice"] if last else result["area"])


def compared(ours: Runs, theirs: Runs, last: bool) -> list[str]:
    """Return the mean advantage of `ours`, and p of a paired t-test over the seeds of both."""
    seeds = [seed for seed in ours if seed in theirs]
    first, second = ([height(runs[seed], last) for seed in seeds] for runs in (ours, theirs))
    gain = shown(mean([a - b for a, b in zip(first, second, strict=True)]), 3, "+")
    if len(seeds) < 2:
        return [gain, "-"]
    return [gain, shown(float(stats.ttest_rel(first, second).pvalue))]


def row(found: Mapping[str, Runs], strategy: str) -> list[str]:
    """Return a row of the table."""
    runs = list(found[strategy].values())
    areas, lasts = ([height(one, last) for one in runs] for last in (False, True))
    numbers = [mean(areas), spread(areas), mean(lasts), spread(lasts)]
    tests = ["-"] * 4
    if strategy != TOOL:
        tests = [a for last in (False, True) for a in compared(found[TOOL], found[strategy], last)]
    return [f"`{strategy}`", *map(shown, numbers), str(len(runs)), *tests]


def curves(found: Mapping[str, Runs], strategies: Sequence[str]) -> str:
    """Return mean Dice by labelled slices."""
    points = {name: [p for r in found[name].values() for p in r["curve"]] for name in strategies}
    counts = sorted({p["slices"] for each in points.values() for p in each})
    rows = [
        [f"`{name}`", *(shown(mean([p["dice"] for p in each if p["slices"] == n])) for n in counts)]
        for name, each in points.items()
    ]
    return table(["Dice at", *map(str, counts)], rows)


def fresh_or_warm(found: Mapping[str, Runs], warm: Mapping[str, Runs]) -> str:
    """Return what new weights in each round gave over going on, for arms that have both."""
    head = ("Strategy", "n", "fresh - warm, area", "p", "fresh - warm, last", "p")
    rows = [
        [f"`{name}`", len(runs.keys() & warm[name].keys())]
        + [a for last in (False, True) for a in compared(runs, warm[name], last)]
        for name, runs in found.items()
        if runs.keys() & warm[name].keys()
    ]
    return table(head, rows) if rows else "Nothing is kept of the same arms without --fresh."


def asked() -> tuple[argparse.Namespace, Path]:
    """Return what the command line asks for, and the data."""
    parser = options(__doc__, minutes=1.0, seeds=[0, 1, 2, 3, 4])
    parser.add_argument("--last-minutes", type=float, default=4.0, help="of the last round")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--slices", type=int, default=8, help="labelled in each round")
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--score", choices=list(POOL), default="test")
    parser.add_argument("--pool", type=int, help="volumes that each seed draws; 80, train 50")
    parser.add_argument("--fresh", action="store_true", help="new weights in every round")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--work", type=Path, default=Path(__file__).with_name("replays"))
    args = parser.parse_args()
    args.pool = args.pool or POOL[args.score]
    return args, data_folder(parser, args.data, "hippocampus")


def main() -> None:
    """Run what is missing and print the tables."""
    args, data = asked()
    names = ("rounds", "slices", "minutes", "last_minutes", "steps", "threads")
    shared = {name: vars(args)[name] for name in (*names, "score", "pool", "fresh", "set")}
    found: dict[str, dict[int, Json]] = {name: {} for name in (TOOL, *args.strategies)}
    warm: dict[str, dict[int, Json]] = {name: {} for name in found}
    for seed in args.seeds:
        for strategy in args.strategies:
            key = {**shared, "strategy": strategy, "seed": seed}
            one = partial(run, args, data, strategy, seed)
            result = attempt(FILE, key, one, only_kept=args.table)
            other = kept(FILE, {**key, "fresh": False})
            if result is not None:
                found[strategy][seed] = result
            if other is not None:
                warm[strategy][seed] = other
    ready = [name for name in args.strategies if found[name]]
    how = f"{args.minutes:g} minutes, {args.last_minutes:g} in the last"
    if args.steps:
        how = f"{args.steps} steps"
    print(f"\n{args.rounds} rounds of {args.slices} slices, {how}, scored on {args.score} volumes")
    print(f"{args.threads} threads, seeds {args.seeds}\n")
    print(table(HEAD, [row(found, name) for name in ready]))
    if ready:
        print(f"\n{curves(found, ready)}")
    if args.fresh:
        print(f"\n{fresh_or_warm(found, warm)}")


if __name__ == "__main__":
    main()
