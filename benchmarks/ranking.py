"""Seconds to rank the slices of 100 predicted volumes, with each strategy.

    python benchmarks/ranking.py

Synthetic scores of 100 volumes of 200 x 200 x 200 voxels, in three planes (60,000 slices), four
classes, 64 features a slice, six annotated slices in every second volume. Ranking alone is timed:
predicting writes the scores, and reading them back is one small file a volume. The seconds are of
the processor, since nothing is waited for, so that other programs do not count.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from common import Json, once

from sslseg.core.geometry import Geometry, Plane
from sslseg.core.prediction import CriticHealth
from sslseg.suggest.selection import rank
from sslseg.suggest.strategies import STRATEGIES
from sslseg.suggest.views import SUMS, CaseView

LIMIT = 1.0
SIDE, CLASSES, FEATURES = 200, 4, 64
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


def run(cases: int, count: int, repeats: int) -> Json:
    """Return the median processor seconds of each strategy."""
    views = [synthetic(number) for number in range(cases)]
    classes = [str(value) for value in range(CLASSES)]
    seconds: Json = {}
    for name in (*STRATEGIES, *ADDED):
        taken = []
        for _ in range(repeats):
            began = time.process_time()
            rank(views, count, name, classes=classes, round_number=2)
            taken.append(time.process_time() - began)
        seconds[name] = round(median(taken), 3)
    return {"seconds": seconds}


def main() -> None:
    """Run if missing and print against the limit; end with 1 where it is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--count", type=int, default=12, help="suggestions asked for")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    found = once("ranking.jsonl", vars(args), partial(run, **vars(args)))["seconds"]
    for name, seconds in found.items():
        print(f"{name}: {seconds:.3f} s (limit {LIMIT} s)")
    sys.exit(0 if max(found.values()) < LIMIT else 1)


if __name__ == "__main__":
    main()
