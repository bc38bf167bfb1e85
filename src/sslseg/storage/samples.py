"""The sample volumes that ship with the program."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from sslseg.core.errors import SslsegError

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
