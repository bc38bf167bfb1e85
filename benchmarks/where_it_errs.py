"""Where a model errs after few slices: outline, classes, ends of the organ.

    python benchmarks/where_it_errs.py

The protocol of twelve_of_110.py, scored on training volumes that nobody labelled, so that whoever
looks here for ideas has not looked at the test. Beside the Dice of the classes: that of all classes
as one (outline); that of the classes if every voxel of the predicted outline had the class of the
nearest true voxel (what is lost where classes meet); that of the classes if nothing were predicted
before the first and behind the last true coronal slice (what is lost past the ends). Then the Dice
of the outline in each tenth of the organ, from back to front.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import protocol
from common import Json, alone, attempt, mean, options, request_of, settings_of, shown, table
from dataset import Dataset
from scipy import ndimage

from sslseg.core.catalogue import DEFAULT_METHOD
from sslseg.core.control import Control
from sslseg.core.geometry import Plane
from sslseg.session import Session
from sslseg.storage import arrays
from sslseg.storage.images import read_volume

FILE = "where_it_errs.jsonl"
TENTHS = 10
PARTS = ("dice", "outline", "classes_right", "ends_right")
HEAD = ("Seed", "Dice", "outline as one", "classes right", "ends right", "steps")
AXIS = Plane.CORONAL.axis

Labels = npt.NDArray[np.uint8]


def dice(found: Labels, truth: Labels, values: Sequence[int]) -> float:
    """Return the mean Dice of classes ``(X, Y, Z)``; one that is nowhere does not count."""
    pairs = [(found == value, truth == value) for value in values]
    sizes = [int(one.sum() + other.sum()) for one, other in pairs]
    both = [2 * int((one & other).sum()) for one, other in pairs]
    return mean([twice / size for twice, size in zip(both, sizes, strict=True) if size])


def with_true_classes(found: Labels, truth: Labels) -> Labels:
    """Return the predicted outline with the class of the nearest true voxel everywhere."""
    nearest = ndimage.distance_transform_edt(
        truth == 0, return_distances=False, return_indices=True
    )
    return np.where(found > 0, truth[tuple(nearest)], 0).astype(np.uint8)


def extent(truth: Labels) -> tuple[int, int]:
    """Return the first coronal slice that holds the organ, and the one behind its last."""
    others = tuple(axis for axis in range(3) if axis != AXIS)
    inside = np.flatnonzero(truth.any(axis=others))
    return int(inside[0]), int(inside[-1]) + 1


def within_true_ends(found: Labels, truth: Labels) -> Labels:
    """Return what is predicted between the organ's true ends."""
    first, stop = extent(truth)
    places = np.arange(found.shape[AXIS])
    inside = (places >= first) & (places < stop)
    others = tuple(axis for axis in range(3) if axis != AXIS)
    return np.where(np.expand_dims(inside, others), found, 0).astype(np.uint8)


def by_tenth(found: Labels, truth: Labels) -> list[float]:
    """Return the Dice of the outline in each tenth of the organ's coronal extent."""
    first, stop = extent(truth)
    edges = np.linspace(first, stop, TENTHS + 1).round().astype(int)
    parts = [
        [np.take(volume > 0, range(low, high), AXIS).astype(np.uint8) for volume in (found, truth)]
        for low, high in pairwise(edges)
    ]
    return [dice(ours, theirs, [1]) for ours, theirs in parts]


def judged(found: Labels, truth: Labels, values: Sequence[int]) -> Json:
    """Return all that is said of one volume."""
    one, other = ((volume > 0).astype(np.uint8) for volume in (found, truth))
    return {
        "dice": dice(found, truth, values),
        "outline": dice(one, other, [1]),
        "classes_right": dice(with_true_classes(found, truth), truth, values),
        "ends_right": dice(within_true_ends(found, truth), truth, values),
        "tenths": by_tenth(found, truth),
    }


def predicted(session: Session, name: str) -> Labels:
    """Return the newest prediction of a case, ``(X, Y, Z)``."""
    folder = arrays.latest_prediction(session.store.path, name)
    assert folder is not None
    return np.asarray(arrays.load_array(folder, "labels"), np.uint8)


def truth_of(data: Dataset, name: str) -> Labels:
    """Return the true labels of a volume, ``(X, Y, Z)``."""
    return read_volume(data.labels[name]).data.astype(np.uint8)


def run(data: Dataset, task: protocol.Task) -> Json:
    """Train once and look at training volumes that nobody labelled."""
    chosen = protocol.drawn(data.train, task.labels, task.request.seed, task.volumes)
    looked_at = [name for name in data.train if name not in chosen][-protocol.TUNING :]
    with (
        tempfile.TemporaryDirectory() as folder,
        Session.create(Path(folder) / "project", data.classes) as session,
    ):
        protocol.add(session, data, data.train)
        result = {"slices": protocol.annotate(session, data, chosen, task.labels)}
        result |= protocol.trained(session, task.request, task.threads)
        list(session.predict(looked_at, Control()))
        pairs = [(predicted(session, name), truth_of(data, name)) for name in looked_at]
    values = range(1, len(data.classes) + 1)
    each = [judged(found, truth, values) for found, truth in pairs if truth.any()]
    return result | {part: mean([one[part] for one in each]) for part in PARTS} | tenths(each)


def tenths(results: Sequence[Json]) -> Json:
    """Return the mean of each tenth; NaN where no volume has a slice there."""
    rows = [result["tenths"] for result in results]
    places = ([each[place] for each in rows] for place in range(TENTHS))
    return {"tenths": [mean([x for x in place if not math.isnan(x)]) for place in places]}


def row(name: str, results: Sequence[Json]) -> list[str]:
    """Return a row of the table: of one seed, or the mean of all."""
    cells = [shown(mean([result[part] for result in results])) for part in PARTS]
    return [name, *cells, shown(mean([result["steps"] for result in results]), 0)]


def main() -> None:
    """Run what is missing; print what is lost where, and the tenths."""
    parser = options(__doc__, minutes=4.0, seeds=[0, 1, 2])
    protocol.ask(parser, ["coronal", "orthogonal", "volumes"])
    parser.add_argument("--method", default=DEFAULT_METHOD)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    data = protocol.dataset_of(parser, args)
    found: dict[str, Json] = {}
    for seed in args.seeds:
        request = request_of(args, args.method, seed, settings_of(args.set))
        task = protocol.Task(request, args.threads, args.labels, args.volumes)
        key = protocol.methods_key(args.dataset, task)
        result = attempt(FILE, key, partial(alone, run, data, task), only_kept=args.table)
        if result is not None:
            found[str(seed)] = result
    rows = [row(seed, [result]) for seed, result in found.items()]
    print(table(HEAD, [*rows, row("mean", list(found.values()))]))
    if found:
        means = tenths(list(found.values()))["tenths"]
        numbers = range(1, TENTHS + 1)
        print(f"\n{table(['Tenth', *numbers], [['Dice', *(shown(x, 2) for x in means)]])}")


if __name__ == "__main__":
    main()
