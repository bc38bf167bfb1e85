"""The peer that users know: a random forest of pixel features on the same 12 slices.

    python benchmarks/pixel_classifier.py

Protocol "12 of 110" as in twelve_of_110.py. Features: intensity, edges and texture at four scales
in 3-D (scikit-image), without and with the voxel's position in the volume, which tells much in
crops of one organ. Forest: 100 trees (scikit-learn). The 41 test volumes are scored once.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import hippocampus
import numpy as np
import numpy.typing as npt
from common import Json, alone, attempt, data_folder, mean, shown, spread, table

from sslseg.core.volume import ClassLabel
from sslseg.evaluation import evaluate
from sslseg.storage.images import read_volume

FILE = "pixel_classifier.jsonl"
TREES = 100
SIGMAS = {"sigma_min": 1, "sigma_max": 8}
HEAD = ("Features", "Dice", "sd", "n", "voxels", "seconds to learn", "per volume", "peak MB")
Array = npt.NDArray[np.float32]


def features(image: npt.NDArray[np.generic], position: bool, threads: int) -> Array:
    """Return ``(X, Y, Z, F)`` float32 of a volume ``(X, Y, Z)``; positions are in [0, 1]."""
    from skimage.feature import multiscale_basic_features

    values = image.astype(np.float32)
    values = (values - values.mean()) / (values.std() + 1e-6)
    found = multiscale_basic_features(values, **SIGMAS, num_workers=threads)
    if position:
        axes = [np.linspace(0, 1, side, dtype=np.float32) for side in image.shape]
        grids = np.meshgrid(*axes, indexing="ij")
        found = np.concatenate([found, np.stack(grids, axis=-1)], axis=-1)
    return np.asarray(found, np.float32)


def labelled(
    data: Path, name: str, position: bool, threads: int
) -> tuple[Array, npt.NDArray[np.uint8]]:
    """Return features ``(N, F)`` and classes ``(N,)`` of the voxels in the protocol's slices."""
    image, label = (
        read_volume(data / kind / (name + hippocampus.ENDING)).data for kind in ("images", "labels")
    )
    chosen = np.zeros(label.shape, bool)
    file = data / "labels" / (name + hippocampus.ENDING)
    for plane, slices in hippocampus.protocol(file, "coronal"):
        assert plane is not None
        np.moveaxis(chosen, plane.axis, 0)[slices] = True
    return features(image, position, threads)[chosen], label[chosen].astype(np.uint8)


def run(data: Path, seed: int, position: bool, threads: int, trees: int) -> Json:
    """Learn from the twelve slices and score the test volumes."""
    from sklearn.ensemble import RandomForestClassifier

    names = hippocampus.split(data)
    drawn = hippocampus.drawn(names["train"], "coronal", seed)
    began = time.monotonic()
    x, y = zip(*(labelled(data, name, position, threads) for name in drawn), strict=True)
    forest = RandomForestClassifier(trees, random_state=seed, n_jobs=threads)
    forest.fit(np.concatenate(x), np.concatenate(y))
    learnt = time.monotonic()
    predictions, truths, spacings = {}, {}, {}
    for name in names["test"]:
        volume, truth = (
            read_volume(data / kind / (name + hippocampus.ENDING)) for kind in ("images", "labels")
        )
        values = features(volume.data, position, threads)
        said = forest.predict(values.reshape(-1, values.shape[-1]))
        predictions[name] = said.reshape(volume.data.shape)
        truths[name], spacings[name] = truth.data.astype(np.uint8), volume.geometry.spacing
    seconds = time.monotonic() - learnt
    classes = [
        ClassLabel(value=i, name=name, color="") for i, name in enumerate(hippocampus.CLASSES, 1)
    ]
    means = evaluate(predictions, truths, spacings, classes)["mean"]
    return {
        "dice": means["all"]["dice"],
        "hd95_mm": means["all"]["hd95_mm"],
        "per_class": means,
        "voxels": int(sum(map(len, y))),
        "learn_seconds": round(learnt - began, 1),
        "seconds_per_volume": round(seconds / len(truths), 2),
    }


def row(name: str, results: list[Json]) -> list[str]:
    """Return a row of the table."""
    dice = [result["dice"] for result in results]
    numbers = [
        shown(mean([result[key] for result in results]), digits)
        for key, digits in (
            ("voxels", 0),
            ("learn_seconds", 1),
            ("seconds_per_volume", 2),
            ("peak_mb", 0),
        )
    ]
    return [name, shown(mean(dice)), shown(spread(dice)), str(len(dice)), *numbers]


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder of the data sets; else SSLSEG_DATA")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--trees", type=int, default=TREES)
    parser.add_argument("--table", action="store_true", help="print what is kept, run nothing")
    args = parser.parse_args()
    data = data_folder(parser, args.data, "hippocampus")
    rows = []
    for name, position in (("without position", False), ("with position", True)):
        results = []
        for seed in args.seeds:
            key = {"seed": seed, "position": position, "threads": args.threads, "trees": args.trees}
            one = partial(alone, run, data, seed, position, args.threads, args.trees)
            result = attempt(FILE, key, one, only_kept=args.table)
            if result is not None:
                results.append(result)
        if results:
            rows.append(row(name, results))
    print(f"\n12 slices, {args.trees} trees, {args.threads} threads, seeds {args.seeds}\n")
    print(table(HEAD, rows))


if __name__ == "__main__":
    main()
