"""What the model said of a slice before anybody labelled it.

Predictions go after two newer ones, so the slice is kept in a small file of its own: later the
annotation tells how good the prediction was where no label could have helped it.
"""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sslseg.core.annotation import SliceKey
from sslseg.core.errors import SslsegError
from sslseg.core.geometry import take_slice
from sslseg.storage.arrays import load_array, make_folder, seal, unseal, write_atomic
from sslseg.storage.packing import pack

Labels = npt.NDArray[np.uint8]


def keep_seen(project: Path, key: SliceKey, version: str, labels: Labels) -> None:
    """Keep what prediction `version` says of a slice, ``(H, W)``, unless one is kept already.

    Raises
    ------
    SslsegError
        If it cannot be written.
    """
    path = _path(project, key)
    if path.exists():
        return
    make_folder(path.parent)
    packed = base64.b64encode(pack(np.ascontiguousarray(labels))).decode()
    facts = {"version": version, "shape": list(labels.shape), "labels": packed}
    write_atomic(path, seal(facts))


def seen(project: Path, key: SliceKey, version: str) -> Labels | None:
    """Return what prediction `version` said of a slice, ``(H, W)``, as far as it is known.

    From the slice's own file, else from the prediction where that is still there.
    """
    try:
        facts = unseal(_path(project, key).read_bytes())
        if facts["version"] == version:
            data = zlib.decompress(base64.b64decode(facts["labels"]))
            return np.frombuffer(data, np.uint8).reshape(facts["shape"])
    except (OSError, ValueError, KeyError, zlib.error):
        pass  # never kept, or damaged: perhaps the prediction is still there
    folder = project / "predictions" / key.case / version
    try:
        return np.asarray(take_slice(load_array(folder, "labels"), key.plane, key.index))
    except (SslsegError, IndexError):
        return None


def _path(project: Path, key: SliceKey) -> Path:
    return project / "seen" / key.case / f"{key.plane.value}-{key.index:05d}.json"
