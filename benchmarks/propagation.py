"""How well labels are carried from annotated slices to others, against copying them unchanged.

    python benchmarks/propagation.py

Coronal slices of MSD hippocampus training cases, no model. "One side": true labels at 1/4, 1/2 and
3/4 of the organ's extent are carried 1, 2, 4 and 8 slices to the front and to the back, wherever
the organ is still there. "Two sides": true labels on two slices 2 d apart, the one between is
asked for. Dice of each class that is in the truth or in the result, mean over classes, then over
slices. The settings of the flow were chosen on the first 8 cases, which are left out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import numpy.typing as npt
from common import Json, data_folder, recorded

from sslseg.core.geometry import Plane
from sslseg.evaluation import dice
from sslseg.storage.images import read_volume
from sslseg.suggest.propagation import extend

TUNED_ON = 8
DISTANCES = (1, 2, 4, 8)
CLASSES = (1, 2)
Labels = npt.NDArray[np.uint8]
Task = tuple[str, int, dict[int, Labels], int]
"""Kind, distance, known labels by slice, the slice asked for."""


def tasks(labels: Labels) -> Iterator[Task]:
    """Yield what is asked of one case; `labels` ``(N, H, W)``."""
    used = np.flatnonzero(labels.any(axis=(1, 2)))
    first, last = int(used[0]), int(used[-1])
    for distance in DISTANCES:
        for quarter in (1, 2, 3):
            start = first + round(quarter * (last - first) / 4)
            for end in (start - distance, start + distance):
                if first <= end <= last:
                    yield "one side", distance, {start: labels[start]}, end
        for start in range(first, last - 2 * distance + 1, max(2, distance)):
            other = start + 2 * distance
            known = {start: labels[start], other: labels[other]}
            yield "two sides", distance, known, start + distance


def coronal(path: Path) -> npt.NDArray[Any]:
    """Return the coronal slices of a volume, ``(N, H, W)``."""
    return np.moveaxis(read_volume(path).data, Plane.CORONAL.axis, 0)


def score(found: Labels, truth: Labels) -> float | None:
    """Return the mean Dice over the classes that either holds."""
    values = [dice(found == value, truth == value) for value in CLASSES]
    told = [value for value in values if value is not None]
    return mean(told) if told else None


def run(folder: Path, cases: int) -> Json:
    """Return mean Dice by kind and distance, and the time of a call."""
    names = json.loads((folder / "split.json").read_text())["train"][TUNED_ON:][:cases]
    found: dict[tuple[str, int, str], list[float]] = {}
    seconds: list[float] = []
    for name in names:
        stack, labels = (coronal(folder / part / f"{name}.nii.gz") for part in ("images", "labels"))
        labels = labels.astype(np.uint8)
        for kind, distance, known, index in tasks(labels):
            began = time.perf_counter()
            carried = extend(stack, known, index)
            seconds.append(time.perf_counter() - began)
            for how, result in (("copied", next(iter(known.values()))), ("carried", carried)):
                value = score(result, labels[index])
                if value is not None:
                    found.setdefault((kind, distance, how), []).append(value)
    dices = {
        f"{kind}, {distance}, {how}": {"dice": round(mean(values), 3), "slices": len(values)}
        for (kind, distance, how), values in found.items()
    }
    return {"cases": len(names), "dice": dices, "median_ms": round(1000 * median(seconds), 1)}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder that holds `hippocampus`")
    parser.add_argument("--cases", type=int, default=40)
    args = parser.parse_args()
    folder = data_folder(parser, args.data, "hippocampus")
    result = recorded("propagation.jsonl", {"cases": args.cases}, partial(run, folder, args.cases))
    for name, value in result["dice"].items():
        print(f"{name}: Dice {value['dice']:.3f} ({value['slices']} slices)")
    print(f"median {result['median_ms']} ms a call")


if __name__ == "__main__":
    main()
