"""Six axial slices of the spinal cord in all, leaving one subject out at a time.

    python benchmarks/spinal_cord.py                   default method and `supervised`, 4 minutes

Eight T2*-weighted sessions of six subjects from six sites, thick slices, a structure of a few
dozen voxels. For each subject: one axial slice in each of six sessions of the others is labelled
(the seed draws sessions and slices), all else of theirs is unlabelled; the sessions of the subject
join after training and are scored once. Dice of the cord (white and grey matter together) and of
the grey matter, each on the slices in which the expert drew it. The first method is compared with
the others by paired t-tests over the seeds, whose value is the mean of the folds that both have.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from common import (
    Json,
    Paired,
    alone,
    attempt,
    data_folder,
    kept_values,
    mean,
    options,
    paired,
    request_of,
    settings_of,
    shown,
    spread,
    table,
)
from dataset import image_files
from protocol import network, trained

from sslseg.core.catalogue import DEFAULT_METHOD
from sslseg.core.config import TrainRequest
from sslseg.core.control import Control
from sslseg.core.geometry import Plane
from sslseg.evaluation import dice
from sslseg.session import Session
from sslseg.storage.images import read_volume

FILE = "spinal_cord.jsonl"
ENDING = ".nii.gz"
CLASSES = ("white matter", "grey matter")
GREY = 2
SLICES = 6
LEAST = 5
"""Voxels that a slice needs to count as drawn; a stray one is no drawing."""

PARTS = ("cord", "grey")
HEAD = ("Method", "network", "cord", "sd", "grey matter", "sd", "folds", "steps", "peak MB")
Mask = npt.NDArray[np.bool_]
Runs = Mapping[tuple[int, str], Json]
"""Results by seed and the subject that was left out."""


def sessions(data: Path) -> dict[str, str]:
    """Return session to site."""
    with (data / "participants.tsv").open(encoding="utf-8") as stream:
        sites = {
            row["participant_id"]: row["Site"] for row in csv.DictReader(stream, delimiter="\t")
        }
    names = [path.name.removesuffix(ENDING) for path in sorted((data / "images").iterdir())]
    return {name: sites[name] for name in names}


def subject(session: str) -> str:
    """Return whose session it is."""
    return session.partition("Ses")[0]


def write_labels(data: Path, names: Sequence[str], out: Path) -> Path:
    """Write 1 for white and 2 for grey matter, from the two masks of each session."""
    out.mkdir()
    for name in names:
        cord, grey = (
            nib.load(data / kind / (name + ENDING)) for kind in ("labels", "labels_graymatter")
        )
        inside = np.asarray(grey.dataobj) > 0
        labels = np.where(inside, GREY, np.asarray(cord.dataobj) > 0).astype(np.uint8)
        nib.save(nib.Nifti1Image(labels, cord.affine), out / (name + ENDING))
    return out


def drawn_slices(mask: Mask) -> list[int]:
    """Return the axial slices of a mask ``(X, Y, Z)`` in which anything was drawn."""
    return np.nonzero(mask.sum(axis=(0, 1)) >= LEAST)[0].tolist()


def drawn_dice(said: Mask, truth: Mask) -> float | None:
    """Return Dice on the slices in which the truth was drawn, None where there are none."""
    slices = drawn_slices(truth)
    return dice(said[..., slices], truth[..., slices])


def dice_of(said: npt.NDArray[Any], truth: npt.NDArray[Any]) -> dict[str, float]:
    """Return Dice of cord and grey matter of one session, without what nobody drew."""
    found = {
        "cord": drawn_dice(said > 0, truth > 0),
        "grey": drawn_dice(said == GREY, truth == GREY),
    }
    return {part: value for part, value in found.items() if value is not None}


def annotate(session: Session, labels: Path, names: Sequence[str], seed: int) -> int:
    """Label one drawn slice in each of six sessions; return how many."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(list(names), SLICES, replace=False).tolist()
    count = 0
    for name in chosen:
        file = labels / (name + ENDING)
        grey = drawn_slices(read_volume(file).data == GREY)
        count += session.import_labels(name, file, Plane.AXIAL, [int(rng.choice(grey))])
    return count


def scored(session: Session, labels: Path, names: Sequence[str], out: Path) -> Json:
    """Predict these sessions once; return mean Dice of cord and grey matter."""
    list(session.predict(list(names), Control()))
    list(session.export(out, "nifti", "predictions", Control()))
    each = [
        dice_of(*(read_volume(folder / (name + ENDING)).data for folder in (out, labels)))
        for name in names
    ]
    return {part: mean([found[part] for found in each if part in found]) for part in PARTS}


def run(data: Path, request: TrainRequest, out: str, threads: int) -> Json:
    """Train without the subject `out`, then score its sessions."""
    every = list(sessions(data))
    left_out = [name for name in every if subject(name) == out]
    others = [name for name in every if name not in left_out]
    with (
        tempfile.TemporaryDirectory() as folder,
        Session.create(Path(folder) / "project", CLASSES) as session,
    ):
        labels = write_labels(data, every, Path(folder) / "labels")
        list(session.add(image_files(data, others), Control()))
        slices = annotate(session, labels, others, request.seed)
        result = {"slices": slices, **trained(session, request, threads)}
        list(session.add(image_files(data, left_out), Control()))
        return result | scored(session, labels, left_out, Path(folder) / "predictions")


def row(method: str, results: Sequence[Json]) -> list[str]:
    """Return a row of the table; spread is over folds and seeds."""
    cord, grey = ([result[part] for result in results] for part in PARTS)
    numbers = [shown(value) for value in (mean(cord), spread(cord), mean(grey), spread(grey))]
    steps, peak = (mean([result[name] for result in results]) for name in ("steps", "peak_mb"))
    return [
        f"`{method}`",
        network(results[0]),
        *numbers,
        str(len(results)),
        shown(steps, 0),
        shown(peak, 0),
    ]


def by_seed(runs: Runs, part: str) -> dict[int, float]:
    """Return the mean of the folds of each seed."""
    folds: dict[int, list[float]] = {seed: [] for seed, _ in runs}
    for (seed, _), result in runs.items():
        folds[seed].append(result[part])
    return {seed: mean(values) for seed, values in folds.items()}


def compared(ours: Runs, theirs: Runs, part: str) -> Paired:
    """Return the advantage of `ours` over the seeds, on the folds that both have."""
    both = ours.keys() & theirs.keys()
    first, second = (
        by_seed({key: runs[key] for key in sorted(both)}, part) for runs in (ours, theirs)
    )
    return paired(first, second)


def comparison(found: Mapping[str, Runs]) -> str:
    """Return the table of the first method against each other one."""
    first, *others = found
    head = ("Against", f"`{first}` - this, cord", "p", "grey matter", "p", "seeds")
    rows = []
    for name in others:
        cord, grey = (compared(found[first], found[name], part) for part in PARTS)
        rows.append([f"`{name}`", *cord.cells, *grey.cells, cord.n])
    return table(head, rows)


def subjects_of(args: argparse.Namespace, data: Path) -> list[str]:
    """Return all subjects; with --table those of what is kept."""
    if args.table:
        return kept_values(FILE, "out")
    return list(dict.fromkeys(map(subject, sessions(data))))


def main() -> None:
    """Run what is missing and print the table."""
    parser = options(__doc__, minutes=4.0, seeds=[0, 1, 2, 3, 4])
    parser.add_argument("--methods", nargs="+", default=[DEFAULT_METHOD, "supervised"])
    parser.add_argument("--subjects", nargs="+", help="leave out these alone")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    data = data_folder(parser, args.data, "spinal_cord", only_kept=args.table)
    subjects = args.subjects or subjects_of(args, data)
    found: dict[str, dict[tuple[int, str], Json]] = {method: {} for method in args.methods}
    for seed in args.seeds:
        for out in subjects:
            for method in args.methods:
                request = request_of(args, method, seed, settings_of(args.set))
                key = {
                    "request": request.model_dump(mode="json"),
                    "out": out,
                    "threads": args.threads,
                }
                one = partial(alone, run, data, request, out, args.threads)
                result = attempt(FILE, key, one, only_kept=args.table)
                if result is not None:
                    found[method][seed, out] = result
    how = f"{args.steps} steps" if args.steps else f"{args.minutes:g} minutes"
    print(f"\n{SLICES} slices, {how} on {args.threads} threads, seeds {args.seeds}\n")
    print(table(HEAD, [row(method, list(runs.values())) for method, runs in found.items() if runs]))
    if len(found) > 1:
        print(f"\n{comparison(found)}")


if __name__ == "__main__":
    main()
