"""The sample volumes that ship with the program, and the project made of them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np

from sslseg.core.annotation import SliceState
from sslseg.core.errors import SslsegError
from sslseg.core.geometry import Plane, take_slice
from sslseg.storage.images import case_name, describe, read_labels
from sslseg.storage.store import ProjectStore

SAMPLE_CLASSES = ("nucleus", "capsule")
"""What the sample masks show, values 1 and 2."""


def sample_folder() -> Path:
    """Return the folder that holds the sample `images` and `labels`.

    Raises
    ------
    SslsegError
        If neither the installed package nor the checkout around it has them.
    """
    package = Path(str(resources.files("sslseg")))
    for folder in (package / "sample_data", package.parents[1] / "sample_data"):
        if (folder / "images").is_dir():
            return folder
    raise SslsegError(
        f"no sample_data beside {package}",
        "the sample volumes that ship with the program",
        "Install napari-sslseg again, or run sample_data/make_sample_data.py in the checkout.",
    )


def sample_images() -> tuple[Path, ...]:
    """Return the sample volumes in order."""
    return tuple(sorted((sample_folder() / "images").glob("*.nii.gz")))


def sample_labels() -> tuple[Path, ...]:
    """Return the masks of the first sample volumes, named as their images."""
    return tuple(sorted((sample_folder() / "labels").glob("*.nii.gz")))


def make_sample_project(folder: Path, slices: int = 3) -> Path:
    """Make a project of the sample volumes and return its folder.

    Parameters
    ----------
    folder : Path
        New or empty.
    slices : int
        How many axial slices of each sample mask are taken over as complete annotations, spread
        evenly over the structure; 0 leaves all the work to the user.

    Raises
    ------
    SslsegError
        If there is a project already, or the sample volumes are not installed.
    """
    with ProjectStore.create(folder, SAMPLE_CLASSES) as store:
        for image in sample_images():
            store.add_case(describe(image))
        for mask in sample_labels():
            _annotate(store, mask, slices)
    return folder


def _annotate(store: ProjectStore, mask: Path, slices: int) -> None:
    case = store.case(case_name(mask))
    labels = read_labels(mask, case.geometry, case.reorientation)
    shown = np.flatnonzero(labels.any(axis=(0, 1)))
    chosen = shown[[round((i + 0.5) / slices * (len(shown) - 1)) for i in range(slices)]]
    saved = {int(z): (take_slice(labels, Plane.AXIAL, z), SliceState.COMPLETE) for z in chosen}
    store.save_slices(case.name, Plane.AXIAL, saved, author="sample data")
