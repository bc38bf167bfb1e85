"""How much of a domain gap each adaptation method closes.

    python benchmarks/domain_shift.py                          hippocampus, 3 seeds
    python benchmarks/domain_shift.py --dataset spinal_cord    sites as domains, a small check

Hippocampus: 55 training volumes as they are (source, 3 coronal slices labelled in each of 4) and
the other 55 with inverted contrast, a gamma and a blur that are the same for all (target,
unlabelled). Source-only and supervised-on-target are `supervised` on as many labels of either side;
what a method closes of the gap between them is (method - source-only) / (on target - source-only).
The 41 test volumes, changed like the target, join after training and are scored once.

Spinal cord: each site in turn is the target, its sessions unlabelled; the other sites are labelled.
The target's own sessions are scored, which took part in training without labels. There are one or
two of them, too few to learn from, so there is no upper end and no gap.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import protocol
import spinal_cord
from common import (
    Json,
    alone,
    attempt,
    data_folder,
    kept_values,
    mean,
    options,
    request_of,
    settings_of,
    shown,
    spread,
    table,
)
from dataset import HIPPOCAMPUS, Dataset, image_files, read
from scipy import ndimage

from sslseg.core.catalogue import methods
from sslseg.core.config import TrainRequest
from sslseg.core.control import Control
from sslseg.session import Session

FILE = "domain_shift.jsonl"
GAMMA, BLUR_VOXELS = 0.7, 0.7
FOG = 0.5
SOURCE, TARGET = "source", "target"
HEAD = ("Arm", "network", "Dice on target", "sd", "n", "gap closed, %", "steps", "peak MB")


@dataclass(frozen=True)
class Arm:
    """A method and the domain whose labels it learns from."""

    name: str
    method: str
    labelled: str = SOURCE


SOURCE_ONLY = Arm("source only", "supervised")
ON_TARGET = Arm("supervised on target", "supervised", TARGET)


def inverted(image: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Return ``(X, Y, Z)`` with inverted contrast, gamma and blur, in [0, 1000]."""
    return _scanned(1 - _unit(image))


def fogged(image: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Return ``(X, Y, Z)`` with the same contrast, dark tissue much brighter, and blur."""
    return _scanned(_unit(image) ** FOG)


def _unit(image: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    low, high = np.percentile(image, (0.5, 99.5))
    return np.clip((image.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1)


def _scanned(scaled: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    changed = ndimage.gaussian_filter(scaled**GAMMA, BLUR_VOXELS)
    return (1000 * changed).astype(np.float32)


Shift = Callable[[npt.NDArray[np.generic]], npt.NDArray[np.float32]]


def write_shifted(
    data: Path, names: Sequence[str], out: Path, shift: Shift = inverted
) -> list[Path]:
    """Write these volumes as the target's scanner would have made them."""
    out.mkdir(exist_ok=True)
    targets = [out / f"{name}.nii.gz" for name in names]
    for source, target in zip(image_files(data, names), targets, strict=True):
        image = nib.load(source)
        nib.save(nib.Nifti1Image(shift(np.asarray(image.dataobj)), image.affine), target)
    return targets


def shift_run(
    data: Dataset, request: TrainRequest, arm: Arm, labels: protocol.Labels, threads: int
) -> Json:
    """Train on both halves with the labels of one, then score the changed test volumes."""
    half = len(data.train) // 2
    sides = {SOURCE: data.train[:half], TARGET: data.train[half:]}
    chosen = protocol.drawn(sides[arm.labelled], labels, request.seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        Session.create(Path(folder) / "project", data.classes) as session,
    ):
        changed = Path(folder) / "images"
        protocol.add(session, data, sides[SOURCE], SOURCE)
        list(session.add(write_shifted(data.folder, sides[TARGET], changed), Control(), TARGET))
        slices = protocol.annotate(session, data, chosen, labels)
        result = {"slices": slices, **protocol.trained(session, request, threads)}
        list(session.add(write_shifted(data.folder, data.test, changed), Control(), TARGET))
        return result | protocol.scored(session, data.truth, data.test)


def site_run(data: Path, request: TrainRequest, site: str, threads: int) -> Json:
    """Train on all sites but with no labels of `site`, then score its sessions."""
    sites = spinal_cord.sessions(data)
    with (
        tempfile.TemporaryDirectory() as folder,
        Session.create(Path(folder) / "project", spinal_cord.CLASSES) as session,
    ):
        labels = spinal_cord.write_labels(data, list(sites), Path(folder) / "labels")
        for name, where in sites.items():
            list(session.add(image_files(data, [name]), Control(), where))
            if where != site:
                session.import_labels(name, labels / (name + spinal_cord.ENDING))
        result = protocol.trained(session, request, threads)
        scored = [name for name, where in sites.items() if where == site]
        dice = spinal_cord.scored(session, labels, scored, Path(folder) / "predictions")
        return result | dice | {"dice": mean(list(dice.values()))}


def sites_of(args: argparse.Namespace, data: Path) -> list[str]:
    """Return all sites of the spinal cord; with --table those of what is kept."""
    if args.table:
        return kept_values(FILE, "site")
    return list(dict.fromkeys(spinal_cord.sessions(data).values()))


def runs_of(args: argparse.Namespace, data: Path, arm: Arm, seed: int) -> list[Json]:
    """Return what is kept of an arm and a seed, after running what is missing."""
    request = request_of(args, arm.method, seed, settings_of(args.set))
    key = {"request": request.model_dump(mode="json"), "threads": args.threads}
    if args.dataset == HIPPOCAMPUS:
        keys = [{**key, "labelled": arm.labelled, "labels": args.labels}]
        tasks = [lambda: alone(shift_run, read(data), request, arm, args.labels, args.threads)]
    else:
        sites = args.sites or sites_of(args, data)
        keys = [{**key, "site": site} for site in sites]
        tasks = [partial(alone, site_run, data, request, site, args.threads) for site in sites]
    made = [
        attempt(FILE, k, task, only_kept=args.table) for k, task in zip(keys, tasks, strict=True)
    ]
    return [result for result in made if result is not None]


def written(found: dict[Arm, list[Json]]) -> str:
    """Return the table; the gap is that between the means of its two ends."""
    means = {arm: mean([result["dice"] for result in runs]) for arm, runs in found.items()}
    low, high = means.get(SOURCE_ONLY, np.nan), means.get(ON_TARGET, np.nan)
    rows = [
        [
            arm.name,
            protocol.network(runs[0]),
            shown(means[arm]),
            shown(spread([result["dice"] for result in runs])),
            len(runs),
            shown(float(np.divide(100 * (means[arm] - low), high - low)), 0),
            shown(mean([result["steps"] for result in runs]), 0),
            shown(mean([result["peak_mb"] for result in runs]), 0),
        ]
        for arm, runs in found.items()
        if runs
    ]
    return table(HEAD, rows)


def main() -> None:
    """Run what is missing and print the table."""
    parser = options(__doc__, minutes=2.0, seeds=[0, 1, 2])
    parser.add_argument("--dataset", choices=[HIPPOCAMPUS, "spinal_cord"], default=HIPPOCAMPUS)
    parser.add_argument("--labels", choices=protocol.LABELS, default="coronal", help="of one side")
    parser.add_argument("--only", nargs="+", metavar="METHOD", help="instead of all that adapt")
    parser.add_argument("--sites", nargs="+", help="of the spinal cord; these targets alone")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    data = data_folder(parser, args.data, args.dataset, only_kept=args.table)
    adapting = args.only or [method.name for method in methods() if method.needs_domains]
    arms = [SOURCE_ONLY, *(Arm(f"`{name}`", name) for name in adapting)]
    if args.dataset == HIPPOCAMPUS:
        arms.append(ON_TARGET)
    found: dict[Arm, list[Json]] = {arm: [] for arm in arms}
    for seed in args.seeds:
        for arm in arms:
            found[arm] += runs_of(args, data, arm, seed)
    how = f"{args.steps} steps" if args.steps else f"{args.minutes:g} minutes"
    print(f"\n{args.dataset}, {how} on {args.threads} threads, seeds {args.seeds}\n")
    print(written(found))


if __name__ == "__main__":
    main()
