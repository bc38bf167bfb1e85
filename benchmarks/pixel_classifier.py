"""The peer that users know: a random forest of pixel features on the same 12 slices.

    python benchmarks/pixel_classifier.py

Protocol "12 of 110" as in twelve_of_110.py. Features: intensity, edges and texture at four scales
in 3-D (scikit-image), without and with the voxel's position in the volume, which tells much in
crops of one organ. Forest: 100 trees (scikit-learn). The 41 test volumes are scored once. Where
methods.py or twelve_of_110.py kept the default method after 4 minutes on the same slices, it is
compared with the forest by a paired t-test over the seeds.
"""

from __future__ import annotations

import argparse
import inspect
import time
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import protocol
from common import Json, alone, attempt, mean, paired, shown, spread, table
from dataset import Dataset

from sslseg.core.catalogue import DEFAULT_METHOD
from sslseg.core.config import TrainRequest
from sslseg.core.volume import ClassLabel
from sslseg.evaluation import evaluate_case, summarise
from sslseg.storage.images import read_volume

FILE = "pixel_classifier.jsonl"
TREES = 100
FEATURES = {"without position": False, "with position": True}
SIGMAS = {"sigma_min": 1, "sigma_max": 8}
MARGIN = 32
"""Four times the widest scale: slices beside a part that its features see; a part is as thick at
least."""

PART, MOST = 4_000_000, 200_000
"""Voxels of a part without its margins, and voxels that a forest learns from at most."""

MINUTES = 4.0
"""Of the default method's training."""

HEAD = (
    *("Features", "Dice", "sd", "n", "voxels", "seconds to learn", "per volume", "peak MB"),
    *(f"`{DEFAULT_METHOD}` - this", "p", "pairs"),
)
Array = npt.NDArray[np.float32]


def features(
    image: npt.NDArray[np.generic], position: bool, threads: int
) -> Iterator[tuple[slice, Array]]:
    """Yield ``(x, Y, Z, F)`` float32 of part after part of a volume ``(X, Y, Z)``.

    Positions are in [0, 1]. A volume in one piece would need gigabytes where it is large.
    """
    from skimage.feature import multiscale_basic_features

    values = image.astype(np.float32)
    values = (values - values.mean()) / (values.std() + 1e-6)
    known = inspect.signature(multiscale_basic_features).parameters
    workers = "workers" if "workers" in known else "num_workers"  # before scikit-image 0.26
    axes = [np.linspace(0, 1, side, dtype=np.float32) for side in image.shape]
    thick = max(MARGIN, PART // (image.shape[1] * image.shape[2]))
    for start in range(0, image.shape[0], thick):
        stop = min(start + thick, image.shape[0])
        low = max(0, start - MARGIN)
        near = values[low : stop + MARGIN]
        found = multiscale_basic_features(near, **SIGMAS, **{workers: threads})
        found = found[start - low : stop - low]
        if position:
            grids = np.meshgrid(axes[0][start:stop], *axes[1:], indexing="ij")
            found = np.concatenate([found, np.stack(grids, axis=-1)], axis=-1)
        yield slice(start, stop), np.asarray(found, np.float32)


def labelled(
    data: Dataset, name: str, labels: protocol.Labels, position: bool, threads: int
) -> tuple[Array, npt.NDArray[np.uint8]]:
    """Return features ``(N, F)`` and classes ``(N,)`` of the voxels in the protocol's slices."""
    image, truth = (read_volume(files[name]).data for files in (data.images, data.labels))
    chosen = np.zeros(truth.shape, bool)
    for plane, slices in protocol.asked_slices(data.labels[name], labels):
        assert plane is not None
        np.moveaxis(chosen, plane.axis, 0)[slices] = True
    parts = [found[chosen[part]] for part, found in features(image, position, threads)]
    return np.concatenate(parts), truth[chosen].astype(np.uint8)


def thinned(x: Array, y: npt.NDArray[np.uint8], seed: int) -> tuple[Array, npt.NDArray[np.uint8]]:
    """Return at most `MOST` voxels, as many of each class as there are, up to its share."""
    if len(y) <= MOST:
        return x, y
    rng, values = np.random.default_rng(seed), np.unique(y)
    each = [rng.permutation(np.flatnonzero(y == value))[: MOST // len(values)] for value in values]
    chosen = np.concatenate(each)
    return x[chosen], y[chosen]


def run(data: Dataset, args: argparse.Namespace, seed: int, position: bool) -> Json:
    """Learn from the protocol's slices and score the test volumes."""
    from sklearn.ensemble import RandomForestClassifier

    drawn = protocol.drawn(data.train, args.labels, seed, args.volumes)
    began = time.monotonic()
    how = (args.labels, position, args.threads)
    x, y = zip(*(labelled(data, name, *how) for name in drawn), strict=True)
    forest = RandomForestClassifier(args.trees, random_state=seed, n_jobs=args.threads)
    forest.fit(*thinned(np.concatenate(x), np.concatenate(y), seed))
    learn_seconds = time.monotonic() - began
    classes = [ClassLabel(value=i, name=name, color="") for i, name in enumerate(data.classes, 1)]
    measured, seconds = {}, 0.0
    for name in data.test:
        volume, truth = (read_volume(files[name]) for files in (data.images, data.labels))
        began = time.monotonic()
        said = np.concatenate(
            [
                forest.predict(values.reshape(-1, values.shape[-1])).reshape(values.shape[:3])
                for _, values in features(volume.data, position, args.threads)
            ]
        )
        seconds += time.monotonic() - began
        right = truth.data.astype(np.uint8)
        measured[name] = evaluate_case(said, right, volume.geometry.spacing, classes)
    means = summarise(measured, classes)["mean"]
    return {
        "dice": means["all"]["dice"],
        "hd95_mm": means["all"]["hd95_mm"],
        "per_class": means,
        "voxels": int(sum(map(len, y))),
        "learn_seconds": round(learn_seconds, 1),
        "seconds_per_volume": round(seconds / len(measured), 2),
    }


def key_of(args: argparse.Namespace, seed: int, position: bool) -> Json:
    """Return what identifies a forest."""
    key = {"seed": seed, "position": position, "threads": args.threads, "trees": args.trees}
    planes = {} if args.labels == "coronal" else {"labels": args.labels}
    return {**key, **planes, **protocol.own(args.dataset, args.labels, args.volumes)}


def default_method(args: argparse.Namespace) -> dict[int, Json]:
    """Return the runs of the default method by seed, where they are kept."""
    request = TrainRequest(method=DEFAULT_METHOD, minutes=MINUTES)
    task = protocol.Task(request, args.threads, args.labels, args.volumes)
    return protocol.kept_runs(args.dataset, task, args.seeds)


def row(name: str, runs: Mapping[int, Json], ours: Mapping[int, Json]) -> list[str]:
    """Return a row of the table."""
    dice = protocol.dice_of(runs)
    numbers = [
        shown(mean([result[key] for result in runs.values()]), digits)
        for key, digits in (
            ("voxels", 0),
            ("learn_seconds", 1),
            ("seconds_per_volume", 2),
            ("peak_mb", 0),
        )
    ]
    values = list(dice.values())
    against = paired(protocol.dice_of(ours), dice)
    return [
        *(name, shown(mean(values)), shown(spread(values)), str(len(values)), *numbers),
        *(*against.cells, str(against.n)),
    ]


def asked() -> tuple[argparse.Namespace, Dataset]:
    """Return what the command line asks for, and the data."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder of the data sets; else SSLSEG_DATA")
    protocol.ask(parser, ["coronal", "orthogonal"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--trees", type=int, default=TREES)
    parser.add_argument("--table", action="store_true", help="print what is kept, run nothing")
    args = parser.parse_args()
    return args, protocol.dataset_of(parser, args)


def main() -> None:
    """Run what is missing and print the table."""
    args, data = asked()
    ours = default_method(args)
    rows = []
    for name, position in FEATURES.items():
        runs = {}
        for seed in args.seeds:
            one = partial(alone, run, data, args, seed, position)
            result = attempt(FILE, key_of(args, seed, position), one, only_kept=args.table)
            if result is not None:
                runs[seed] = result
        if runs:
            rows.append(row(name, runs, ours))
    where = protocol.described(args.dataset, args.labels, args.volumes)
    print(f"\n{where}, {args.trees} trees, {args.threads} threads, seeds {args.seeds}\n")
    print(table(HEAD, rows))
    age = protocol.origin(ours) if ours else "not kept"
    print(f"\n`{DEFAULT_METHOD}`, {MINUTES:g} minutes: {age}")


if __name__ == "__main__":
    main()
