"""Protocol "12 of 110" on MSD hippocampus: 3 coronal slices in each of 4 of 110 volumes.

    python benchmarks/twelve_of_110.py --method mean-teacher --minutes 4 --seeds 0 1 2
    python benchmarks/twelve_of_110.py --dataset NAME --labels orthogonal --volumes 8

The annotator's slices lie at 1/6, 3/6 and 5/6 of the organ's coronal extent; a seed draws other
volumes. The 41 test volumes join the project after training, are never seen before, and are scored
once, by the last step. ``--labels dense`` labels all 110 volumes instead (full supervision),
``--labels volumes`` the 4 volumes whole, ``--labels orthogonal`` the middle slice of each of the
three planes. Where `supervised` is kept of the same slices and minutes, the method is compared with
it by a paired t-test over the seeds.
"""

from __future__ import annotations

import argparse
from functools import partial

import protocol
from common import (
    alone,
    attempt,
    mean,
    options,
    paired,
    request_of,
    settings_of,
    shown,
    spread,
)

from sslseg.core.catalogue import DEFAULT_METHOD
from sslseg.core.config import Scalar

SUPERVISED: tuple[dict[str, Scalar], ...] = ({}, {"dimensions": "2.5d"}, {"dimensions": "3d"})
"""Settings of `supervised` to compare with."""


def task_of(
    args: argparse.Namespace, method: str, seed: int, settings: dict[str, Scalar]
) -> protocol.Task:
    """Return a run that the command line asks for."""
    request = request_of(args, method, seed, settings)
    return protocol.Task(request, args.threads, args.labels, args.volumes)


def compare(args: argparse.Namespace, found: dict[int, float]) -> None:
    """Print the advantage over each `supervised` that is kept."""
    for settings in SUPERVISED:
        task = task_of(args, "supervised", 0, settings)
        runs = protocol.kept_runs(args.dataset, task, args.seeds)
        if found.keys() & runs.keys():
            name = f"supervised {settings.get('dimensions', '')}".strip()
            gain = paired(found, protocol.dice_of(runs))
            print(f"over {name}: {gain.words} ({protocol.origin(runs)})")


def main() -> None:
    """Run what is missing and print mean and spread."""
    parser = options(__doc__, minutes=4.0, seeds=[0, 1, 2, 3, 4])
    protocol.ask(parser, protocol.LABELS)
    parser.add_argument("--method", default=DEFAULT_METHOD)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--score", choices=["test", "train"], default="test")
    args = parser.parse_args()
    data = protocol.dataset_of(parser, args)
    settings = settings_of(args.set)
    found = {}
    for seed in args.seeds:
        task = task_of(args, args.method, seed, settings)
        key = protocol.twelve_key(args.dataset, task, args.score)
        one = partial(alone, protocol.run, data, task, args.score)
        result = attempt(protocol.TWELVE, key, one, only_kept=args.table)
        if result is not None:
            found[seed] = result["dice"]
            end = f"{result['steps']} steps, {result['train_seconds']} s"
            print(f"seed {seed}: Dice {result['dice']:.4f}, {end}", flush=True)
    dice = list(found.values())
    where = protocol.described(args.dataset, args.labels, args.volumes)
    print(
        f"{args.method} {settings or ''} {where}: "
        f"mean {shown(mean(dice), 4)}, sd {shown(spread(dice), 4)}, n {len(dice)}"
    )
    if args.method != "supervised" and args.score == "test":
        compare(args, found)


if __name__ == "__main__":
    main()
