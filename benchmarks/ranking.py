"""Seconds to rank the slices of 100 predicted volumes.

    python benchmarks/ranking.py

Synthetic scores of 100 volumes of 200 x 200 x 200 voxels, in three planes (60,000 slices), four
classes, 64 features a slice, six annotated slices in every second volume. First ranking alone, with
each strategy: seconds of the processor, since nothing is waited for, so that other programs do not
count. Then `Session.suggest` from end to end with the default strategy, by the clock: it reads the
annotated slices and the scores of all volumes from a project on disk, verified, as after each click
(files in the system's cache, as they are soon after predicting; the project has no model, whose
facts are one small file a run).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from common import Json, recorded

from sslseg.core.annotation import SliceState
from sslseg.core.geometry import Geometry, Plane, Reorientation
from sslseg.core.prediction import CriticHealth, Prediction, PredictionInfo
from sslseg.core.volume import CaseRecord
from sslseg.session import Session
from sslseg.storage.arrays import save_prediction
from sslseg.suggest.selection import rank
from sslseg.suggest.strategies import STRATEGIES
from sslseg.suggest.views import SUMS, CaseView

FILE = "ranking.jsonl"
LIMIT = 1.0
SIDE, CLASSES, FEATURES = 200, 4, 64
NAMES = tuple(f"class {value}" for value in range(CLASSES))
ADDED = ("auto+diverse+cost+orthogonal", "uncertainty+power")


def synthetic(number: int) -> CaseView:
    """Return a case with random scores of its slices."""
    rng = np.random.default_rng(number)
    scores: dict[str, npt.NDArray[Any]] = {}
    for plane in Plane:
        for name in SUMS:
            scores[f"{plane}.{name}"] = rng.uniform(1, 1000, SIDE).astype(np.float32)
        scores[f"{plane}.classes"] = rng.uniform(0, 30, (SIDE, CLASSES)).astype(np.float32)
        scores[f"{plane}.box"] = np.tile(np.array([10, 20, 30, 40], np.int32), (SIDE, 1))
        scores[f"{plane}.features"] = rng.normal(size=(SIDE, FEATURES)).astype(np.float32)
    known = {Plane.AXIAL: (30, 60, 90, 120), Plane.CORONAL: (50, 99)} if number % 2 else {}
    geometry = Geometry.of((SIDE, SIDE, SIDE), np.eye(4))
    return CaseView(str(number), geometry, known, scores, None, CriticHealth(healthy=True))


def ranking(cases: int, count: int, repeats: int) -> Json:
    """Return the median processor seconds of each strategy."""
    views = [synthetic(number) for number in range(cases)]
    seconds: Json = {}
    for name in (*STRATEGIES, *ADDED):
        taken = []
        for _ in range(repeats):
            began = time.process_time()
            rank(views, count, name, classes=NAMES, round_number=2)
            taken.append(time.process_time() - began)
        seconds[name] = round(median(taken), 3)
    return {"seconds": seconds}


def suggesting(cases: int, count: int, repeats: int) -> Json:
    """Return the median seconds by the clock of `Session.suggest`."""
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        write_project(project, cases)
        for _ in range(repeats):
            with Session(project, read_only=True) as session:
                began = time.perf_counter()
                session.suggest(count)
                taken.append(time.perf_counter() - began)
    return {"seconds": round(median(taken), 3)}


def write_project(folder: Path, cases: int) -> None:
    """Write the synthetic cases, their annotated slices, and their scores beside predictions.

    The volumes of a prediction, which suggestions do not read, are a single voxel.
    """
    drawn = np.repeat(np.arange(SIDE, dtype=np.uint8) % (CLASSES + 1), SIDE).reshape(SIDE, SIDE)
    voxel = np.zeros((1, 1, 1), np.float16)
    with Session.create(folder, NAMES) as session:
        for view in map(synthetic, range(cases)):
            record = CaseRecord(
                name=view.name,
                source="none.nii",
                sha256="",
                geometry=view.geometry,
                reorientation=Reorientation(),
            )
            session.store.add_case(record)
            for plane, indices in view.annotated.items():
                slices = dict.fromkeys(indices, (drawn, SliceState.COMPLETE))
                session.store.save_slices(view.name, plane, slices)
            info = PredictionInfo(
                case=view.name, version="1", run="r", method="m", step=1, time=0.0, classes=NAMES
            )
            labels = voxel.astype(np.uint8)
            prediction = Prediction(labels, voxel[None], voxel, voxel, None, info)
            save_prediction(folder, prediction, view.scores or {})


def main() -> None:
    """Run and print against the limit; end with 1 where it is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--count", type=int, default=48, help="suggestions asked for")
    parser.add_argument("--repeats", type=int, default=5)
    size = vars(parser.parse_args())
    alone = recorded(FILE, size, partial(ranking, **size))["seconds"]
    whole = recorded(FILE, {**size, "from": "disk"}, partial(suggesting, **size))["seconds"]
    for name, seconds in alone.items():
        print(f"{name}: {seconds:.3f} s (limit {LIMIT} s)")
    print(f"Session.suggest from end to end, by the clock: {whole:.3f} s (limit {LIMIT} s)")
    sys.exit(0 if max(whole, *alone.values()) < LIMIT else 1)


if __name__ == "__main__":
    main()
