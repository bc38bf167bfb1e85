"""Files that are whole or absent: atomic writing, sealed facts, and predictions on disk.

A prediction is a folder of ``.npy`` files and one sealed ``prediction.json`` with their
checksums, made under another name and renamed when complete. Predictions can always be computed
again; what matters is that a damaged one is never shown.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from sslseg.core.errors import SslsegError, Unwritable
from sslseg.core.geometry import Array
from sslseg.core.prediction import Figures, Prediction, PredictionInfo, mean_uncertainty
from sslseg.storage.remedy import remedy

FACTS = "prediction.json"
SCORES = "slices.npz"
_KEPT = 2
_TICK = 0.001
"""Seconds by which a prediction is newer than the one before, whatever the clock says."""
_REPLACE_SECONDS = 3.0
_CHUNK = 1 << 20


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that after any crash it is either the old one or the new one.

    Parameters
    ----------
    path : Path
        The file; its folder exists.
    data : bytes
        All of its content.

    Raises
    ------
    Unwritable
        If the system refuses, for instance on a full disk. The old file is then untouched.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _binary(), 0o644)
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        publish(temporary, path)
    except OSError as error:
        with suppress(OSError):  # what went wrong first is what matters
            temporary.unlink()
        raise Unwritable(
            f"'{error.strerror or error}' while writing {path}",
            f"{len(data)} bytes of room and permission to write in {path.parent}",
            f"{remedy(error)}; what was there before is unchanged.",
        ) from error


def publish(temporary: Path, path: Path) -> None:
    """Give a finished file or folder its name, and make the name durable.

    On Windows a virus scanner or a cloud client may hold the file for a moment, so the rename is
    tried for three seconds there.
    """
    deadline = time.monotonic() + _REPLACE_SECONDS
    while True:
        try:
            os.replace(temporary, path)
            break
        except PermissionError:
            if sys.platform != "win32" or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    _sync_folder(path.parent)


def make_folder(path: Path) -> Path:
    """Make a folder and those above it; raises Unwritable where that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unwritable(
            f"'{error.strerror or error}' while making the folder {path}",
            "a place where a folder can be made",
            f"{remedy(error)}, or choose another folder.",
        ) from error
    return path


def sync_file(path: Path) -> None:
    """Make the content of a file durable that someone else wrote, before `publish` names it."""
    with path.open("r+b") as file:  # Windows syncs only what it may write to
        os.fsync(file.fileno())


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def seal(facts: Mapping[str, Any]) -> bytes:
    """Return JSON with a checksum of itself, for `unseal`."""
    body = json.dumps(facts, sort_keys=True)
    check = hashlib.sha256(body.encode()).hexdigest()
    return json.dumps({"facts": json.loads(body), "check": check}, indent=1).encode()


def unseal(data: bytes) -> dict[str, Any]:
    """Return the facts in sealed JSON.

    Raises
    ------
    ValueError
        If a single bit differs from what was sealed.
    """
    content = json.loads(data)
    if not isinstance(content, dict) or set(content) != {"facts", "check"}:
        raise ValueError("not a sealed file")
    facts: dict[str, Any] = content["facts"]
    body = json.dumps(facts, sort_keys=True)
    if hashlib.sha256(body.encode()).hexdigest() != content["check"]:
        raise ValueError("checksum differs")
    return facts


def save_prediction(project: Path, prediction: Prediction, scores: Mapping[str, Array]) -> Path:
    """Write a prediction and the scores of its slices; keep the newest two of the case.

    The probability, many times as large as all else, is not written: nobody reads it again. An
    older prediction that still holds it, as they once did, loses it.

    Parameters
    ----------
    project : Path
        Project folder.
    prediction : Prediction
        Arrays on the case's RAS+ grid.
    scores : mapping of str to ndarray
        Slice scores for suggestions, any shape.

    Returns
    -------
    Path
        The folder, complete.

    Raises
    ------
    Unwritable
        If it cannot be written, for instance on a full disk.
    """
    info = _latest(project, prediction.info)
    folder = project / "predictions" / info.case / info.version
    temporary = folder.with_name(f".{info.version}.{uuid4().hex[:8]}")
    try:
        temporary.mkdir(parents=True)
        checks = _save_arrays(temporary, prediction, scores)
        figures = Figures(uncertainty=mean_uncertainty(prediction.labels, prediction.uncertainty))
        facts = {
            "info": info.model_dump(mode="json"),
            "figures": figures.model_dump(mode="json"),
            "sha256": checks,
        }
        write_atomic(temporary / FACTS, seal(facts))
        shutil.rmtree(folder, ignore_errors=True)
        publish(temporary, folder)
    except OSError as error:
        raise Unwritable(
            f"'{error.strerror or error}' while writing the prediction of {info.case}",
            f"room and permission to write in {folder.parent}",
            f"{remedy(error)}, then predict again.",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    older = _versions(folder.parent)[1:]
    for old in older[: _KEPT - 1]:
        with suppress(OSError):  # half of what one of an earlier version takes
            (old / "probability.npy").unlink(missing_ok=True)
    for old in older[_KEPT - 1 :]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def load_prediction(folder: Path) -> Prediction:
    """Read a prediction and verify every byte of what is read; there are no probabilities.

    Parameters
    ----------
    folder : Path
        As `save_prediction` returned it.

    Raises
    ------
    SslsegError
        If a file is missing or differs from what was written.
    """
    info, checks = _facts(folder)
    labels = load_array(folder, "labels")
    return Prediction(
        labels=labels,
        probability=np.empty((0, *labels.shape), np.float16),
        uncertainty=load_array(folder, "uncertainty"),
        mutual_information=load_array(folder, "mutual_information"),
        confidence=load_array(folder, "confidence") if "confidence.npy" in checks else None,
        info=info,
    )


def load_info(folder: Path) -> PredictionInfo:
    """Read the facts of a prediction without its arrays; raises SslsegError if damaged."""
    return _facts(folder)[0]


def load_figures(folder: Path) -> Figures | None:
    """Read the figures of a prediction; SslsegError if damaged.

    None where there are none: in the facts of earlier versions of the program.
    """
    try:
        figures = unseal((folder / FACTS).read_bytes()).get("figures")
        return None if figures is None else Figures.model_validate(figures)
    except (OSError, ValueError) as error:
        raise _damaged(folder / FACTS) from error


def load_array(folder: Path, name: str) -> Array:
    """Read and verify one array of a prediction, such as "labels"; SslsegError if damaged."""
    return np.asarray(_verified(folder, f"{name}.npy"))


def load_scores(folder: Path) -> dict[str, Array]:
    """Read and verify the slice scores of a prediction; SslsegError if damaged."""
    with _verified(folder, SCORES) as stored:
        return {name: stored[name] for name in stored.files}


def shrink_predictions(project: Path) -> None:
    """Throw away all but the newest labels and scores of every case: what suggestions need."""
    for case in (project / "predictions").glob("*"):
        for age, version in enumerate(_versions(case)):
            for path in version.iterdir():
                if age or path.name not in (FACTS, SCORES, "labels.npy"):
                    path.unlink()
            if age:
                version.rmdir()


def latest_prediction(project: Path, case: str) -> Path | None:
    """Return the folder of the newest complete prediction of a case, if there is one."""
    versions = _versions(project / "predictions" / case)
    return versions[0] if versions else None


def _save_arrays(
    folder: Path, prediction: Prediction, scores: Mapping[str, Array]
) -> dict[str, str]:
    """Write the arrays and return their checksums; no fsync, since a torn file is noticed."""
    arrays: dict[str, Array | None] = {
        "labels": prediction.labels,
        "uncertainty": prediction.uncertainty,
        "mutual_information": prediction.mutual_information,
        "confidence": prediction.confidence,
    }
    for name, array in arrays.items():
        if array is not None:
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
    named: dict[str, Any] = dict(scores)
    np.savez(folder / SCORES, **named)
    return {path.name: sha256(path) for path in sorted(folder.iterdir())}


def _verified(folder: Path, name: str) -> Any:
    """Open one file of a prediction with numpy after checking its bytes."""
    _, checks = _facts(folder)
    path = folder / name
    try:
        if sha256(path) != checks.get(name):
            raise _damaged(path)
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise _damaged(path) from error


def _facts(folder: Path) -> tuple[PredictionInfo, dict[str, str]]:
    """Return the description of a prediction and the checksums of its files."""
    try:
        facts = unseal((folder / FACTS).read_bytes())
        return PredictionInfo.model_validate(facts["info"]), facts["sha256"]
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(folder / FACTS) from error


def _latest(project: Path, info: PredictionInfo) -> PredictionInfo:
    """Return a description that is newer than what is there, also if another clock is ahead."""
    before = latest_prediction(project, info.case)
    newest = -math.inf if before is None else load_info(before).time
    return info if info.time > newest else info.model_copy(update={"time": newest + _TICK})


def _versions(folder: Path) -> list[Path]:
    """Return the complete predictions in a case's folder, newest first."""
    found: list[tuple[float, Path]] = []
    for path in folder.glob(f"[!.]*/{FACTS}"):
        try:
            info = PredictionInfo.model_validate(unseal(path.read_bytes())["info"])
        except (OSError, ValueError, KeyError):
            continue  # damaged facts: as if it had never been predicted
        found.append((info.time, path.parent))
    return [path for _, path in sorted(found, reverse=True)]


def _damaged(path: Path) -> SslsegError:
    return SslsegError(
        f"a damaged or missing file {path}",
        "the bytes that were written there",
        "Predict the case again; annotations are not affected.",
    )


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; Windows offers no such call and does not need it."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _binary() -> int:
    """Return the flag that keeps Windows from translating line ends."""
    return getattr(os, "O_BINARY", 0)
