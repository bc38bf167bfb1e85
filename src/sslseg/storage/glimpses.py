"""Some predicted slices on disk: one small file, replaced at each look."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from sslseg.core.errors import SslsegError
from sslseg.core.geometry import Plane
from sslseg.core.prediction import Glimpse
from sslseg.storage.arrays import write_atomic

FILE = "slices.npz"


def save_glimpse(path: Path, glimpse: Glimpse) -> None:
    """Write slices, all facts with them; raises Unwritable where the system refuses."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        case=np.array(glimpse.case),
        plane=np.array(glimpse.plane.value),
        first=np.array(glimpse.first),
        labels=glimpse.labels,
    )
    write_atomic(path, content.getvalue())


def load_glimpse(path: Path) -> Glimpse:
    """Read what `save_glimpse` wrote; raises SslsegError where it is gone or damaged."""
    try:
        # whole at once: numpy leaves a damaged file open, and Windows replaces no open one
        content = io.BytesIO(path.read_bytes())
        with np.load(content, allow_pickle=False) as stored:
            return Glimpse(
                case=str(stored["case"]),
                plane=Plane(str(stored["plane"])),
                first=int(stored["first"]),
                labels=stored["labels"],
            )
    except (OSError, EOFError, ValueError, KeyError, BadZipFile, zlib.error) as error:
        raise SslsegError(
            f"predicted slices that cannot be read ({path})",
            "a whole file",
            "Predict the case again.",
        ) from error
