"""MSD hippocampus as the benchmarks use it: who is labelled, how a run is made and scored."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from common import Json, Refused

from sslseg.core.config import TrainRequest
from sslseg.core.control import Control
from sslseg.core.events import FinishReason, RunFinished, RunStarted
from sslseg.core.geometry import Plane
from sslseg.session import Session
from sslseg.storage.images import read_volume

ENDING = ".nii.gz"
CLASSES = ("anterior", "posterior")
VOLUMES = 4
"""How many volumes are labelled, in part or whole, where not all are."""

TUNING = 40
"""Unlabelled training volumes that choices are made on, so that no test volume has a say."""

Labels = Literal["coronal", "orthogonal", "volumes", "dense"]
"""3 coronal slices of 4 volumes; one slice of each plane; 4 whole volumes; all volumes."""

LABELS: tuple[Labels, ...] = get_args(Labels)


def split(data: Path) -> dict[str, list[str]]:
    """Return the names of the 110 "train" and the 41 "test" volumes."""
    found = json.loads((data / "split.json").read_text(encoding="utf-8"))
    return {part: found[part] for part in ("train", "test")}


def images(data: Path, names: Sequence[str]) -> list[Path]:
    """Return the image files of these volumes."""
    return [data / "images" / (name + ENDING) for name in names]


def drawn(names: Sequence[str], labels: Labels, seed: int) -> list[str]:
    """Return which of the volumes are labelled; a seed draws others."""
    if labels == "dense":
        return list(names)
    return list(np.random.default_rng(seed).choice(list(names), VOLUMES, replace=False).tolist())


def chosen_slices(label: Path, plane: Plane, fractions: tuple[float, ...]) -> list[int]:
    """Return slices at these fractions of the organ's extent along the plane's axis."""
    others = tuple(axis for axis in range(3) if axis != plane.axis)
    present = np.nonzero(read_volume(label).data.any(axis=others))[0]
    return [round(present[0] + part * (present[-1] - present[0])) for part in fractions]


def protocol(file: Path, labels: Labels) -> list[tuple[Plane | None, list[int]]]:
    """Return the slices of a label file to import, by plane; None with none is all of it."""
    if labels == "coronal":
        return [(Plane.CORONAL, chosen_slices(file, Plane.CORONAL, (1 / 6, 3 / 6, 5 / 6)))]
    if labels == "orthogonal":
        return [(plane, chosen_slices(file, plane, (0.5,))) for plane in Plane]
    return [(None, [])]


def annotate(session: Session, data: Path, names: Sequence[str], labels: Labels) -> int:
    """Import the protocol's slices; return how many."""
    return sum(
        session.import_labels(name, file, plane, slices)
        for name, file in ((name, data / "labels" / (name + ENDING)) for name in names)
        for plane, slices in protocol(file, labels)
    )


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
    began = time.monotonic()
    list(session.predict(list(names), Control()))
    seconds = round(time.monotonic() - began, 1)
    means = session.evaluate(labels, list(names))["mean"]
    every = means["all"]
    return {
        "dice": every["dice"],
        "hd95_mm": every["hd95_mm"],
        "per_class": means,
        "predict_seconds": seconds,
    }


def run(data: Path, request: TrainRequest, labels: Labels, threads: int, score: str) -> Json:
    """Train once on the protocol and score.

    Parameters
    ----------
    data : Path
        The data set.
    request, labels, threads
        How to train, on what, with how many threads.
    score : str
        "test": the 41 test volumes, which join the project after training and are scored once.
        "train": training volumes that nobody labelled, for choices. "both": both; the Dice of
        the latter is "tuning_dice".
    """
    names = split(data)
    chosen = drawn(names["train"], labels, request.seed)
    tuning = [name for name in names["train"] if name not in chosen][-TUNING:]
    with (
        tempfile.TemporaryDirectory() as folder,
        Session.create(Path(folder) / "project", CLASSES) as session,
    ):
        list(session.add(images(data, names["train"]), Control()))
        result = {"slices": annotate(session, data, chosen, labels)}
        result |= trained(session, request, threads)
        if score == "train":
            return result | scored(session, data / "labels", tuning)
        if score == "both" and tuning:
            result["tuning_dice"] = scored(session, data / "labels", tuning)["dice"]
        list(session.add(images(data, names["test"]), Control()))
        return result | scored(session, data / "labels", names["test"])
