"""The viewer, started from the command line in a process of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from sslseg.core.errors import SslsegError
from sslseg.storage import schema


def open_window(project: Path | None) -> int:
    """Start napari, wait until it is closed, and return its exit status.

    Raises
    ------
    SslsegError
        Without napari, or when `project` is none.
    """
    if importlib.util.find_spec("napari") is None:
        raise SslsegError(
            "an installation without napari",
            "napari and a Qt binding beside the engine",
            "Run: pip install '.[gui]' in the folder of this program",
        )
    if project is not None:
        schema.require(project)
    arguments = [] if project is None else [str(project)]
    return subprocess.call([sys.executable, "-m", "napari_sslseg", *arguments])
