"""Data sets as the benchmarks read them: images/, labels/ and split.json in one folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sslseg.storage.images import label_files, read_volume

HIPPOCAMPUS = "hippocampus"
HIPPOCAMPUS_CLASSES = ("anterior", "posterior")
TEST_SHARE = 4
"""Where no file says how a set is split, one volume in so many is for the test."""


@dataclass(frozen=True)
class Dataset:
    """A data set.

    Parameters
    ----------
    folder : Path
        Its name is the set's.
    train, test : tuple of str
        Names of volumes.
    classes : tuple of str
        In order of their values, from 1.
    images, labels : mapping
        Name to file.
    """

    folder: Path
    train: tuple[str, ...]
    test: tuple[str, ...]
    classes: tuple[str, ...]
    images: Mapping[str, Path]
    labels: Mapping[str, Path]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def truth(self) -> Path:
        """The folder of the label files."""
        return self.folder / "labels"


def read(folder: Path) -> Dataset:
    """Find the volumes of a data set, their split and their classes."""
    files, images = (label_files(folder / kind) for kind in ("labels", "images"))
    train, test = split(folder)
    missing = [name for name in (*train, *test) if name not in files or name not in images]
    if missing:
        sys.exit(f"{missing[0]}: named by {folder.name}/split.json, without an image or its labels")
    known = folder.name == HIPPOCAMPUS
    classes = HIPPOCAMPUS_CLASSES if known else numbered(files[name] for name in [*train, *test])
    return Dataset(folder, train, test, classes, images, files)


def split(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names for training and test, as split.json says; else the last are the test."""
    file = folder / "split.json"
    if file.exists():
        found = json.loads(file.read_text(encoding="utf-8"))
        return tuple(found["train"]), tuple(found["test"])
    labels = label_files(folder / "labels")
    names = tuple(sorted(name for name in label_files(folder / "images") if name in labels))
    at = len(names) - max(1, len(names) // TEST_SHARE)
    words = f"{at} volumes by name for training, the last {len(names) - at} for the test"
    print(f"no split.json in {folder.name}: {words}", file=sys.stderr, flush=True)
    return names[:at], names[at:]


def numbered(labels: Iterable[Path]) -> tuple[str, ...]:
    """Return "class 1" to that of the highest value in these label files."""
    highest = max(int(read_volume(file).data.max()) for file in labels)
    return tuple(f"class {value}" for value in range(1, highest + 1))


def image_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the image files of these volumes of any data set."""
    files = label_files(folder / "images")
    return [files[name] for name in names]
