"""The protocols: who is labelled, how a run is made and scored, and by what it is found again."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from common import Json, Refused, data_folder, kept
from dataset import HIPPOCAMPUS, Dataset, read

from sslseg.core.config import TrainRequest
from sslseg.core.control import Control
from sslseg.core.events import FinishReason, RunFinished, RunStarted
from sslseg.core.geometry import Plane
from sslseg.evaluation import summarise
from sslseg.session import Session
from sslseg.storage.arrays import shrink_predictions
from sslseg.storage.images import read_volume

VOLUMES = 4
"""How many volumes are labelled, in part or whole, where not all are."""

TUNING = 40
"""Unlabelled training volumes that choices are made on, so that no test volume has a say."""

METHODS, TWELVE = "methods.jsonl", "twelve_of_110.jsonl"
"""Where methods.py and twelve_of_110.py keep their runs."""

Labels = Literal["coronal", "orthogonal", "volumes", "dense"]
"""3 coronal slices of 4 volumes; one slice of each plane; 4 whole volumes; all volumes."""

LABELS: tuple[Labels, ...] = get_args(Labels)


@dataclass(frozen=True)
class Task:
    """A training on a protocol: how, with how many threads, and what is labelled."""

    request: TrainRequest
    threads: int
    labels: Labels = "coronal"
    volumes: int = VOLUMES


# ---- what is asked for ----


def ask(parser: argparse.ArgumentParser, labels: Sequence[Labels] = ()) -> None:
    """Add the options that say which data set and, where there is a choice, what is labelled."""
    parser.add_argument("--dataset", default=HIPPOCAMPUS, metavar="NAME", help="a folder of --data")
    if labels:
        parser.add_argument("--labels", choices=labels, default="coronal")
        parser.add_argument("--volumes", type=int, default=VOLUMES, help="labelled")


def dataset_of(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Dataset:
    """Return the data set that was asked for, or end with a plain line; with --table no volumes."""
    folder = data_folder(parser, args.data, args.dataset, only_kept=args.table)
    return Dataset(folder, (), (), (), {}, {}) if args.table else read(folder)


def own(dataset: str, labels: Labels = "coronal", volumes: int = VOLUMES) -> Json:
    """Return what a key says beyond four volumes of hippocampus, which it does not name."""
    found: Json = {} if dataset == HIPPOCAMPUS else {"dataset": dataset}
    if volumes != VOLUMES and labels != "dense":
        found["volumes"] = volumes
    return found


def described(dataset: str, labels: Labels, volumes: int) -> str:
    """Return the same in words, for the line above a table."""
    beyond = own(dataset, labels, volumes).items()
    return ", ".join([labels, *(f"{name} {value}" for name, value in beyond)])


# ---- kept runs ----


def methods_key(dataset: str, task: Task) -> Json:
    """Return what identifies a run of methods.py."""
    shared = {"labels": task.labels, "threads": task.threads}
    request = task.request.model_dump(mode="json")
    return {"request": request, **shared, **own(dataset, task.labels, task.volumes)}


def twelve_key(dataset: str, task: Task, score: str) -> Json:
    """Return what identifies a run of twelve_of_110.py."""
    shared = {"labels": task.labels, "threads": task.threads, "score": score}
    request = task.request.model_dump(mode="json")
    return {**request, **shared, **own(dataset, task.labels, task.volumes)}


def kept_runs(dataset: str, task: Task, seeds: Sequence[int]) -> dict[int, Json]:
    """Return what is kept of a run by seed, scored on the test volumes.

    All are of one script, since the other may have run older code: of that which kept more seeds.
    """
    tasks = {
        seed: replace(task, request=task.request.model_copy(update={"seed": seed}))
        for seed in seeds
    }
    of_methods = {seed: kept(METHODS, methods_key(dataset, one)) for seed, one in tasks.items()}
    of_twelve = {
        seed: kept(TWELVE, twelve_key(dataset, one, "test")) for seed, one in tasks.items()
    }
    found = [
        {seed: result for seed, result in runs.items() if result is not None}
        for runs in (of_methods, of_twelve)
    ]
    return max(found, key=len)


def dice_of(runs: Mapping[int, Json]) -> dict[int, float]:
    """Return Dice by seed."""
    return {seed: float(result["dice"]) for seed, result in runs.items()}


def origin(runs: Mapping[int, Json]) -> str:
    """Return in words which seeds these runs are of, and which code they measured."""
    commits = dict.fromkeys(str(result.get("commit", "?")) for result in runs.values())
    return f"seeds {list(runs)}, kept since {', '.join(commits)}"


# ---- what is labelled ----


def drawn(names: Sequence[str], labels: Labels, seed: int, volumes: int = VOLUMES) -> list[str]:
    """Return which of the volumes are labelled; a seed draws others."""
    if labels == "dense":
        return list(names)
    return list(np.random.default_rng(seed).choice(list(names), volumes, replace=False).tolist())


def kept_out(data: Dataset) -> int:
    """Return how many training volumes a project goes without, for choices: at most 4 of 11."""
    return max(1, min(TUNING, 4 * len(data.train) // 11))


def chosen_slices(label: Path, plane: Plane, fractions: tuple[float, ...]) -> list[int]:
    """Return slices at these fractions of the organ's extent along the plane's axis.

    Where there is no organ it is the extent of the volume.
    """
    others = tuple(axis for axis in range(3) if axis != plane.axis)
    inside = np.any(read_volume(label).data, axis=others)
    present = np.nonzero(inside)[0] if np.any(inside) else np.arange(np.size(inside))
    return [round(present[0] + part * (present[-1] - present[0])) for part in fractions]


def asked_slices(file: Path, labels: Labels) -> list[tuple[Plane | None, list[int]]]:
    """Return the slices of a label file to import, by plane; None with none is all of it."""
    if labels == "coronal":
        return [(Plane.CORONAL, chosen_slices(file, Plane.CORONAL, (1 / 6, 3 / 6, 5 / 6)))]
    if labels == "orthogonal":
        return [(plane, chosen_slices(file, plane, (0.5,))) for plane in Plane]
    return [(None, [])]


def annotate(session: Session, data: Dataset, names: Sequence[str], labels: Labels) -> int:
    """Import the protocol's slices; return how many."""
    return sum(
        session.import_labels(name, data.labels[name], plane, slices)
        for name in names
        for plane, slices in asked_slices(data.labels[name], labels)
    )


# ---- runs ----


def add(session: Session, data: Dataset, names: Sequence[str], domain: str = "") -> None:
    """Add these volumes to the project."""
    list(session.add([data.images[name] for name in names], Control(), domain))


def trained(session: Session, request: TrainRequest, threads: int) -> Json:
    """Train once; return what it took. Raises Refused where the training failed."""
    import torch

    torch.set_num_threads(threads)
    events = list(session.train(request, Control()))
    end = next(event for event in events if isinstance(event, RunFinished))
    start = next(event for event in events if isinstance(event, RunStarted))
    if end.reason is FinishReason.FAILED:
        raise Refused(end.message)
    return {
        "steps": end.step,
        "train_seconds": round(end.seconds, 1),
        "threads": torch.get_num_threads(),
        "plan": list(start.plan),
    }


def network(result: Json) -> str:
    """Return "3-D" or "2.5-D", as the plan of a run says."""
    return "3-D" if any(words.startswith("3-D") for words in result["plan"]) else "2.5-D"


def scored(session: Session, labels: Path, names: Sequence[str]) -> Json:
    """Predict these cases once and compare them with the truth."""
    seconds, measured = 0.0, {}
    for name in names:  # one by one: predictions of forty large volumes fill a disk
        began = time.monotonic()
        list(session.predict([name], Control()))
        seconds += time.monotonic() - began
        measured |= session.evaluate(labels, [name])["cases"]
        shrink_predictions(session.store.path)
    means = summarise(measured, session.store.classes)["mean"]
    every = means["all"]
    return {
        "dice": every["dice"],
        "hd95_mm": every["hd95_mm"],
        "per_class": means,
        "predict_seconds": round(seconds, 1),
    }


def run(data: Dataset, task: Task, score: str) -> Json:
    """Train once on the protocol and score.

    Parameters
    ----------
    data : Dataset
    task : Task
    score : str
        "test": the test volumes, which join the project after training and are scored once.
        "train": training volumes that nobody labelled, for choices. "both": both; the Dice of
        the latter is "tuning_dice".
    """
    chosen = drawn(data.train, task.labels, task.request.seed, task.volumes)
    tuning = [name for name in data.train if name not in chosen][-TUNING:]
    with (
        tempfile.TemporaryDirectory() as folder,
        Session.create(Path(folder) / "project", data.classes) as session,
    ):
        add(session, data, data.train)
        result = {"slices": annotate(session, data, chosen, task.labels)}
        result |= trained(session, task.request, task.threads)
        if score == "train":
            return result | scored(session, data.truth, tuning)
        if score == "both" and tuning:
            result["tuning_dice"] = scored(session, data.truth, tuning)["dice"]
        add(session, data, data.test)
        return result | scored(session, data.truth, data.test)
