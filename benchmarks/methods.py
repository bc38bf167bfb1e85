"""Every method on protocol "12 of 110", for equal wall time, beside supervised learning.

    python benchmarks/methods.py                       90 s on 2 threads, 3 seeds, all methods
    python benchmarks/methods.py --best 5 --minutes 4  the five best once more, for longer
    python benchmarks/methods.py --best 5 --labels volumes                on 4 whole volumes
    python benchmarks/methods.py --labels orthogonal --volumes 8          3 planes in 8 volumes
    python benchmarks/methods.py --dataset NAME        another set, see docs/benchmarks.md
    python benchmarks/methods.py --only ua-mt bcp      these methods alone
    python benchmarks/methods.py --table               what is kept, without running anything

Run it alone on the machine: wall time is shared fairly only there. Each run is a process of its
own, and each finished one is kept, so that the command can be stopped and given again. The best are
chosen by their Dice on 40 unlabelled training volumes; the 41 test volumes have no say. p is of a
paired t-test over the seeds.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial

import protocol
from common import (
    Json,
    Paired,
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

from sslseg.core.catalogue import methods

FILE = protocol.METHODS
MINUTES = 1.5
HEAD = (
    *("Method", "network", "Dice", "sd", "n", "steps", "s per step", "peak MB"),
    *("over supervised, same network", "over the best supervised", "p"),
)
DOMAINS = ("needs two domains: benchmarks/domain_shift.py", *[""] * (len(HEAD) - 2))


@dataclass(frozen=True)
class Arm:
    """A row of the table. `labels` is what it learns from if that is not the protocol's."""

    name: str
    method: str
    dimensions: str = ""
    labels: protocol.Labels | None = None


SUPERVISED = (
    Arm("`supervised`, 2.5-D", "supervised", "2.5d"),
    Arm("`supervised`, 3-D", "supervised", "3d"),
)
FULL = Arm("full supervision (all volumes)", "supervised", labels="dense")
OTHERS = tuple(
    Arm(f"`{method.name}`", method.name)
    for method in methods()
    if method.name != "supervised" and not method.needs_domains
)
Results = dict[Arm, dict[int, Json]]


def task_of(args: argparse.Namespace, arm: Arm, seed: int) -> protocol.Task:
    """Return the run of an arm with a seed."""
    settings = {"dimensions": arm.dimensions} if arm.dimensions else {}
    request = request_of(args, arm.method, seed, {**settings})
    return protocol.Task(request, args.threads, arm.labels or args.labels, args.volumes)


def key_of(args: argparse.Namespace, arm: Arm, seed: int) -> Json:
    """Return what identifies a run."""
    return protocol.methods_key(args.dataset, task_of(args, arm, seed))


def best(args: argparse.Namespace) -> list[Arm]:
    """Return the best methods of the short runs with few slices.

    These label as many volumes as are asked for, or four where no such run is kept.
    """
    short = {**vars(args), "labels": "coronal", "minutes": MINUTES}
    whole = tuned(argparse.Namespace(**short))
    if not whole:
        whole = tuned(argparse.Namespace(**{**short, "volumes": protocol.VOLUMES}))
    return sorted(whole, key=lambda arm: -whole[arm])[: args.best]


def tuned(args: argparse.Namespace) -> dict[Arm, float]:
    """Return mean Dice on unlabelled training volumes of the methods kept with every seed."""
    found = {arm: [kept(FILE, key_of(args, arm, seed)) for seed in args.seeds] for arm in OTHERS}
    return {
        arm: mean([r["tuning_dice"] for r in runs if r]) for arm, runs in found.items() if all(runs)
    }


def run_all(args: argparse.Namespace, data: Dataset, arms: list[Arm]) -> Results:
    """Run what is missing, all arms with one seed first; return what is there."""
    found: Results = {arm: {} for arm in arms}
    for seed in args.seeds:
        for arm in arms:
            one = partial(alone, protocol.run, data, task_of(args, arm, seed), "both")
            result = attempt(FILE, key_of(args, arm, seed), one, only_kept=args.table)
            if result is not None:
                found[arm][seed] = result
                if not args.table:
                    print(f"{arm.name}, seed {seed}: {result['dice']:.4f}", flush=True)
    return found


def margin(runs: dict[int, Json], baseline: dict[int, Json]) -> Paired:
    """Return the advantage in Dice over the seeds that both have."""
    return paired(protocol.dice_of(runs), protocol.dice_of(baseline))


def row(arm: Arm, runs: dict[int, Json], baselines: dict[str, dict[int, Json]]) -> list[str]:
    """Return a row of the table; `baselines` are the supervised runs by network."""
    results = list(runs.values())
    dice = [result["dice"] for result in results]
    kind = protocol.network(results[0])
    seconds = [result["train_seconds"] / max(1, result["steps"]) for result in results]
    top = max(
        baselines.values(), key=lambda each: mean(list(protocol.dice_of(each).values())), default={}
    )
    return [
        arm.name,
        kind,
        shown(mean(dice)),
        shown(spread(dice)),
        str(len(dice)),
        shown(mean([result["steps"] for result in results]), 0),
        shown(mean(seconds)),
        shown(mean([result["peak_mb"] for result in results]), 0),
        margin(runs, baselines.get(kind, {})).cells[0],
        *margin(runs, top).cells,
    ]


def written(found: Results) -> str:
    """Return the table, best first, with the methods that this data cannot tell about."""
    baselines = {
        protocol.network(next(iter(found[arm].values()))): found[arm]
        for arm in SUPERVISED
        if found.get(arm)
    }
    rows = [row(arm, runs, baselines) for arm, runs in found.items() if runs]
    rows.sort(key=lambda cells: cells[2], reverse=True)
    missing = [
        (arm.name, "not run", *[""] * (len(HEAD) - 2)) for arm, runs in found.items() if not runs
    ]
    elsewhere = [(f"`{method.name}`", *DOMAINS) for method in methods() if method.needs_domains]
    return table(HEAD, [*rows, *missing, *elsewhere])


def main() -> None:
    """Run what is missing and print the table."""
    parser = options(__doc__, minutes=MINUTES, seeds=[0, 1, 2])
    parser.add_argument("--only", nargs="+", metavar="METHOD", help="these methods alone")
    parser.add_argument("--best", type=int, help="so many of the best of the short runs")
    protocol.ask(parser, [labels for labels in protocol.LABELS if labels != "dense"])
    args = parser.parse_args()
    data = protocol.dataset_of(parser, args)
    others = best(args) if args.best else OTHERS
    if not others:
        parser.error("no short runs of these seeds are kept to choose from; first without --best")
    arms = [*SUPERVISED, *others, FULL]
    if args.only:
        known = {method.name for method in methods()}
        if unknown := sorted(set(args.only) - known):
            parser.error(f"no method {unknown[0]}; known are {', '.join(sorted(known))}")
        arms = [arm for arm in arms if arm.method in args.only and arm is not FULL]
    found = run_all(args, data, arms)
    how = f"{args.steps} steps" if args.steps else f"{60 * args.minutes:g} s"
    where = protocol.described(args.dataset, args.labels, args.volumes)
    print(f"\n{where}, {how} on {args.threads} threads, seeds {args.seeds}\n")
    print(written(found))


if __name__ == "__main__":
    main()
