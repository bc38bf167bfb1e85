"""Protocol "12 of 110" on MSD hippocampus: 3 coronal slices in each of 4 of 110 volumes.

    python benchmarks/twelve_of_110.py --method mean-teacher --minutes 4 --seeds 0 1 2

The annotator's slices lie at 1/6, 3/6 and 5/6 of the organ's coronal extent; a seed draws other
volumes. The 41 test volumes join the project after training, are never seen before, and are scored
once, by the last step. ``--labels dense`` labels all 110 volumes instead (full supervision).
``--labels orthogonal`` takes the middle slice of each of the three planes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import Json, data_folder, once

from sslseg.core.config import Scalar, TrainRequest
from sslseg.core.control import Control
from sslseg.core.events import RunFinished, RunStarted
from sslseg.core.geometry import Plane
from sslseg.session import Session
from sslseg.storage.images import read_volume

ENDING = ".nii.gz"


def chosen_slices(label: Path, plane: Plane, fractions: tuple[float, ...]) -> list[int]:
    """Return slices at these fractions of the organ's extent along the plane's axis."""
    others = tuple(axis for axis in range(3) if axis != plane.axis)
    present = np.nonzero(read_volume(label).data.any(axis=others))[0]
    return [round(present[0] + part * (present[-1] - present[0])) for part in fractions]


def annotate(session: Session, data: Path, names: list[str], labels: str) -> int:
    """Import the protocol's slices; return how many."""
    count = 0
    for name in names:
        file = data / "labels" / (name + ENDING)
        if labels == "dense":
            count += session.import_labels(name, file)
        elif labels == "orthogonal":
            for plane in Plane:
                count += session.import_labels(
                    name, file, plane, chosen_slices(file, plane, (0.5,))
                )
        else:
            slices = chosen_slices(file, Plane.CORONAL, (1 / 6, 3 / 6, 5 / 6))
            count += session.import_labels(name, file, Plane.CORONAL, slices)
    return count


def run(data: Path, request: TrainRequest, args: argparse.Namespace) -> Json:
    """Train once and score the 41 test volumes, or while tuning 40 of the training volumes."""
    split = json.loads((data / "split.json").read_text(encoding="utf-8"))
    control = Control()
    images = {
        part: [data / "images" / (n + ENDING) for n in split[part]]
        for part in split
        if part != "note"
    }
    chosen = list(split["train"])
    if args.labels != "dense":
        chosen = np.random.default_rng(request.seed).choice(chosen, 4, replace=False).tolist()
    with tempfile.TemporaryDirectory() as folder:
        session = Session.create(Path(folder) / "project", ["anterior", "posterior"])
        list(session.add(images["train"], control))
        slices = annotate(session, data, chosen, args.labels)
        events = list(session.train(request, control))
        end = next(event for event in events if isinstance(event, RunFinished))
        start = next(event for event in events if isinstance(event, RunStarted))
        asked = [n for n in split["train"] if n not in chosen][-40:]  # for tuning
        if args.score == "test":
            list(session.add(images["test"], control))
            asked = split["test"]
        began = time.monotonic()
        list(session.predict(asked, control))
        seconds = time.monotonic() - began
        scores = session.evaluate(data / "labels", asked)["mean"]
        session.close()
    return {
        "dice": scores["all"]["dice"], "hd95_mm": scores["all"]["hd95_mm"], "per_class": scores,
        "slices": slices, "steps": end.step, "train_seconds": round(end.seconds, 1),
        "predict_seconds": round(seconds, 1), "threads": torch.get_num_threads(),
        "plan": list(start.plan),
    }  # fmt: skip


def main() -> None:
    """Run what is missing and print mean and spread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--method")
    parser.add_argument("--labels", choices=["coronal", "orthogonal", "dense"], default="coronal")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--score", choices=["test", "train"], default="test")
    args = parser.parse_args()
    data = data_folder(parser, args.data, "hippocampus")
    torch.set_num_threads(args.threads)
    settings: dict[str, Scalar] = {
        key: json.loads(value) if value[0] in "-.0123456789tf" else value
        for key, value in (pair.split("=", 1) for pair in args.set)
    }
    found = []
    for seed in args.seeds:
        request = TrainRequest(
            method=args.method, minutes=args.minutes, seed=seed, settings=settings
        )
        key = {**request.model_dump(mode="json"), "labels": args.labels, "threads": args.threads}
        key |= {"score": args.score}
        result = once("twelve_of_110.jsonl", key, partial(run, data, request, args))
        found.append(result["dice"])
        end = f"{result['steps']} steps, {result['train_seconds']} s"
        print(f"seed {seed}: Dice {result['dice']:.4f}, {end}", flush=True)
    spread = statistics.stdev(found) if len(found) > 1 else 0.0
    name = f"{args.method or 'default'} {settings or ''} {args.labels}"
    print(f"{name}: mean {statistics.mean(found):.4f}, sd {spread:.4f}, n {len(found)}")


if __name__ == "__main__":
    main()
