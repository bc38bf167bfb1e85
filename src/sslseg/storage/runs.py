"""Which runs a project has, and which cases their newest model has not looked at."""

from __future__ import annotations

import time
from calendar import timegm
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from sslseg.core.errors import SslsegError
from sslseg.core.events import Validated
from sslseg.storage.arrays import latest_prediction, load_info
from sslseg.storage.checkpoints import latest_facts

_STAMP = "%Y%m%d-%H%M%S"

VALIDATIONS = "validation.jsonl"
"""In a run's folder: what it measured on held-out slices, a line each time."""


def new_run(folder: Path, method: str) -> str:
    """Return an id that is not taken in `folder`.

    It sorts by time: UTC, which no clock change turns back. After a run of another computer whose
    clock is ahead it is a second later than that.
    """
    stem = time.strftime(_STAMP, time.gmtime(max(time.time(), _newest_of(folder) + 1)))
    for number in range(100):
        prefix = f"{stem}-{number:02d}"
        if not any(folder.glob(f"{prefix}-*")):
            return f"{prefix}-{method}"
    raise RuntimeError(f"100 runs within one second in {folder}")


def _newest_of(folder: Path) -> float:
    """Return when the newest run began, in seconds since 1970 by the clock that named it."""
    names = sorted((path.name for path in folder.glob("[0-9]*-[0-9]*-*")), reverse=True)
    for name in names:
        with suppress(ValueError):
            return float(timegm(time.strptime(name[: len("20260101-000000")], _STAMP)))
    return 0.0


def measured(run: Path) -> Validated | None:
    """Return what a run measured last on held-out slices, if it did and that can be read."""
    try:
        lines = (run / VALIDATIONS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        with suppress(ValueError):  # cut short
            return Validated.model_validate_json(line)
    return None


def runs(project: Path) -> list[Path]:
    """Return the folders of all runs that have a checkpoint, newest first."""
    found = (project / "runs").glob("*/checkpoint-*.safetensors")
    return sorted({path.parent for path in found}, key=lambda path: path.name, reverse=True)


def serving(project: Path) -> Iterator[Path]:
    """Yield the runs that predictions may come from, newest first: all but baselines."""
    for run in runs(project):
        facts = latest_facts(run)
        if facts is None or not facts.get("baseline"):
            yield run


def unseen(project: Path, cases: Iterable[str]) -> list[str]:
    """Return the cases that the newest model has not predicted; none where there is no model.

    A damaged prediction is none, and what was shown along the way of the newest run is of a model
    that has learnt on since.
    """
    newest = next(serving(project), None)
    if newest is None:
        return []
    step = (latest_facts(newest) or {}).get("step")
    return [case for case in cases if not _predicted_by(project, case, newest.name, step)]


def predicted(project: Path, cases: Iterable[str]) -> set[str] | None:
    """Return the cases that the newest model has predicted; None where there is no model."""
    names = set(cases)
    return names - set(unseen(project, names)) if any(serving(project)) else None


def _predicted_by(project: Path, case: str, run: str, step: int | None) -> bool:
    folder = latest_prediction(project, case)
    try:
        info = load_info(folder) if folder else None
    except SslsegError:
        return False
    return info is not None and info.run == run and (step is None or info.step == step)


def behind(project: Path, cases: Iterable[str]) -> tuple[int, int]:
    """Return how many cases have only an older model's prediction, and how many have none."""
    names = list(cases)
    predicted = [name for name in names if latest_prediction(project, name) is not None]
    return len(unseen(project, predicted)), len(names) - len(predicted)
