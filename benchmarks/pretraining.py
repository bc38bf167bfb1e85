"""What learning from images first gives: Dice at 3, 6 and 12 labelled slices of MSD hippocampus.

    python benchmarks/pretraining.py --minutes 4 --pretrain-minutes 4 --seeds 0 1 2
    python benchmarks/pretraining.py --dataset NAME          another set, see docs/benchmarks.md

Three coronal slices, at 1/6, 3/6 and 5/6 of the organ's extent, in each of 1, 2 or 4 of the 110
training volumes; a seed draws other volumes. Each count is trained without and with each
pre-training, on the same slices, for the same minutes after it. The 41 test volumes join the
project at the end and are scored once, by the last step. A finished run is kept as one line of
``results/pretraining.jsonl`` and not made again; --table prints what is kept and runs nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import protocol
import torch
from common import Json, attempt, mean, shown, spread
from dataset import Dataset

from sslseg.core.catalogue import pretraining_methods
from sslseg.core.config import DeviceChoice, TrainRequest
from sslseg.core.control import Control
from sslseg.core.events import RunFinished, RunStarted
from sslseg.session import Session

FILE = "pretraining.jsonl"
NONE = "none"
SLICES_EACH = 3


def length(args: argparse.Namespace, minutes: float) -> Json:
    """Return `steps` if they are given, for a smoke run; else `minutes`."""
    return {"steps": args.steps} if args.steps else {"minutes": minutes}


def run(data: Dataset, first: str, slices: int, seed: int, args: argparse.Namespace) -> Json:
    """Pre-train (or not), train once, and score the test volumes."""
    control, device = Control(), DeviceChoice(args.device)
    draw = protocol.drawn(data.train, "coronal", seed, slices // SLICES_EACH)
    with tempfile.TemporaryDirectory() as folder:
        session = Session.create(Path(folder) / "project", data.classes)
        protocol.add(session, data, data.train)
        annotated = protocol.annotate(session, data, draw, "coronal")
        before = 0
        if first != NONE:
            asked = TrainRequest(
                method=first, seed=seed, device=device, **length(args, args.pretrain_minutes)
            )
            before = _finished(list(session.pretrain(asked, control))).step
        asked = TrainRequest(
            method=args.method, seed=seed, device=device, **length(args, args.minutes)
        )
        events = list(session.train(asked, control))
        start = next(event for event in events if isinstance(event, RunStarted))
        tested = data.test[: args.tested]
        protocol.add(session, data, tested)
        list(session.predict(tested, control))
        scores = session.evaluate(data.truth, tested)["mean"]
        session.close()
    return {
        "dice": scores["all"]["dice"], "hd95_mm": scores["all"]["hd95_mm"], "per_class": scores,
        "slices": annotated, "pretrain_steps": before, "steps": _finished(events).step,
        "threads": torch.get_num_threads(), "plan": list(start.plan),
    }  # fmt: skip


def _finished(events: Sequence[object]) -> RunFinished:
    return next(event for event in events if isinstance(event, RunFinished))


def main() -> None:
    """Run what is missing and print a row for each count and pre-training."""
    known = [NONE, *(method.name for method in pretraining_methods())]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    protocol.ask(parser)
    parser.add_argument("--method", help="that is trained afterwards")
    parser.add_argument("--first", nargs="+", choices=known, default=known)
    parser.add_argument("--slices", type=int, nargs="+", choices=[3, 6, 12], default=[3, 6, 12])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--pretrain-minutes", type=float, default=4.0)
    parser.add_argument("--steps", type=int, help="of both, instead of minutes, for a smoke run")
    parser.add_argument("--tested", type=int, help="test volumes; all where not given")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="print what is kept, run nothing")
    args = parser.parse_args()
    data = protocol.dataset_of(parser, args)
    torch.set_num_threads(args.threads)
    shared = {key: value for key, value in vars(args).items() if key in KEYS}
    shared |= protocol.own(args.dataset)
    for slices in args.slices:
        for first in args.first:
            found: list[float] = []
            for seed in args.seeds:
                key = {**shared, "first": first, "slices": slices, "seed": seed}
                work = partial(run, data, first, slices, seed, args)
                result = attempt(FILE, key, work, only_kept=args.table)
                found += [result["dice"]] if result else []
            numbers = f"mean {shown(mean(found), 4)}, sd {shown(spread(found), 4)}, n {len(found)}"
            print(f"{slices:2d} slices, {first:11s}: {numbers}", flush=True)


KEYS = {"method", "minutes", "pretrain_minutes", "steps", "tested", "device", "threads"}


if __name__ == "__main__":
    main()
