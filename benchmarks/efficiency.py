"""Dice against labelled slices: do the suggestions save work?

    python benchmarks/efficiency.py

48 slices in 6 rounds of 8, 1 minute of training in a round and 4 in the last, on the 110 training
volumes of hippocampus; the annotator is simulated (`sslseg simulate`). The models of all rounds
are scored on the 41 test volumes, which are no part of the project and choose nothing. Arms: the
tool's own suggestions, equally spaced slices, and slices drawn in proportion to the predicted
foreground. Area is the mean height of the curve; areas and last Dice are compared by paired t-tests
over the seeds.

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
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import hippocampus
from common import Json, Refused, attempt, data_folder, mean, options, shown, spread, table
from scipy import stats

from sslseg.storage.schema import DATABASE

FILE = "efficiency.jsonl"
TOOL = "auto"
STRATEGIES = (TOOL, "equal", "random-foreground")
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


def sslseg(*arguments: object, threads: int = 1) -> str:
    """Return what the command line prints; its messages pass through."""
    count = {"OMP_NUM_THREADS": str(threads), "SSLSEG_THREADS": str(threads)}
    command = [sys.executable, "-m", "sslseg.cli", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **count})
    if done.returncode:
        raise Refused(f"sslseg {arguments[0]} ended with {done.returncode}; see the lines above")
    return done.stdout


def project_of(work: Path, data: Path) -> Path:
    """Return the project of all 151 volumes, made if it is not there."""
    project = work / "hippocampus"
    if not (project / DATABASE).exists():
        work.mkdir(parents=True, exist_ok=True)
        half_made = work / "hippocampus.new"
        shutil.rmtree(half_made, ignore_errors=True)
        sslseg("new", half_made, *(a for name in hippocampus.CLASSES for a in ("--class", name)))
        names = [name for part in hippocampus.split(data).values() for name in part]
        sslseg("add", half_made, *hippocampus.images(data, names))
        half_made.rename(project)
    return project


def run(args: argparse.Namespace, data: Path, strategy: str, seed: int) -> Json:
    """Play one arm; return its curve."""
    project = project_of(args.work, data)
    kept_out = [a for name in hippocampus.split(data)["test"] for a in ("--score-cases", name)]
    length = (
        ["--steps", args.steps]
        if args.steps
        else ["--minutes", args.minutes, "--last-minutes", args.last_minutes]
    )
    how = ["--rounds", args.rounds, "--slices", args.slices, "--seed", seed, "--strategy", strategy]
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


def compared(found: dict[str, dict[int, Json]], strategy: str, last: bool) -> list[str]:
    """Return the mean advantage of the tool over a strategy, and p of a paired t-test."""

    def value(result: Json) -> float:
        return float(result["curve"][-1]["dice"] if last else result["area"])

    seeds = [seed for seed in found[TOOL] if seed in found[strategy]]
    tool, other = ([value(found[name][seed]) for seed in seeds] for name in (TOOL, strategy))
    gain = mean([a - b for a, b in zip(tool, other, strict=True)])
    if strategy == TOOL or len(seeds) < 2:
        return ["-" if strategy == TOOL else shown(gain, 3, "+"), "-"]
    return [shown(gain, 3, "+"), shown(float(stats.ttest_rel(tool, other).pvalue))]


def row(found: dict[str, dict[int, Json]], strategy: str) -> list[str]:
    """Return a row of the table."""
    runs = list(found[strategy].values())
    areas, last = [r["area"] for r in runs], [r["curve"][-1]["dice"] for r in runs]
    numbers = [mean(areas), spread(areas), mean(last), spread(last)]
    tests = [*compared(found, strategy, False), *compared(found, strategy, True)]
    return [f"`{strategy}`", *map(shown, numbers), str(len(runs)), *tests]


def curves(found: dict[str, dict[int, Json]], strategies: Sequence[str]) -> str:
    """Return mean Dice by labelled slices."""
    slices = max(
        ([p["slices"] for r in runs.values() for p in r["curve"]] for runs in found.values()),
        key=len,
    )
    counts = sorted(set(slices))
    rows = [
        [f"`{name}`"]
        + [
            shown(
                mean(
                    [
                        p["dice"]
                        for r in found[name].values()
                        for p in r["curve"]
                        if p["slices"] == n
                    ]
                )
            )
            for n in counts
        ]
        for name in strategies
    ]
    return table(["Dice at", *map(str, counts)], rows)


def main() -> None:
    """Run what is missing and print the table."""
    parser = options(__doc__, minutes=1.0, seeds=[0, 1, 2, 3, 4])
    parser.add_argument("--last-minutes", type=float, default=4.0, help="of the last round")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--slices", type=int, default=8, help="labelled in each round")
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--work", type=Path, default=Path(__file__).with_name("replays"))
    args = parser.parse_args()
    data = data_folder(parser, args.data, "hippocampus")
    shared = {
        name: vars(args)[name]
        for name in ("rounds", "slices", "minutes", "last_minutes", "steps", "threads")
    }
    found: dict[str, dict[int, Json]] = {name: {} for name in (TOOL, *args.strategies)}
    for seed in args.seeds:
        for strategy in args.strategies:
            key = {**shared, "strategy": strategy, "seed": seed}
            one = partial(run, args, data, strategy, seed)
            result = attempt(FILE, key, one, only_kept=args.table)
            if result is not None:
                found[strategy][seed] = result
    ready = [name for name in args.strategies if found[name]]
    how = f"{args.minutes:g} minutes, {args.last_minutes:g} in the last"
    if args.steps:
        how = f"{args.steps} steps"
    print(f"\n{args.rounds} rounds of {args.slices} slices, {how}")
    print(f"{args.threads} threads, seeds {args.seeds}\n")
    print(table(HEAD, [row(found, name) for name in ready]))
    if ready:
        print(f"\n{curves(found, ready)}")


if __name__ == "__main__":
    main()
