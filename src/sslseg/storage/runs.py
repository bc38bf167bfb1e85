"""Which runs a project has, and which cases their newest model has not looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from sslseg.core.errors import SslsegError
from sslseg.storage.arrays import latest_prediction, load_info
from sslseg.storage.checkpoints import latest_facts


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

    A damaged prediction is none.
    """
    newest = next(serving(project), None)
    if newest is None:
        return []
    return [case for case in cases if _predicted_by(project, case) != newest.name]


def predicted(project: Path, cases: Iterable[str]) -> set[str] | None:
    """Return the cases that the newest model has predicted; None where there is no model."""
    names = set(cases)
    return names - set(unseen(project, names)) if any(serving(project)) else None


def _predicted_by(project: Path, case: str) -> str:
    folder = latest_prediction(project, case)
    try:
        return load_info(folder).run if folder else ""
    except SslsegError:
        return ""


def behind(project: Path, cases: Iterable[str]) -> tuple[int, int]:
    """Return how many cases have only an older model's prediction, and how many have none."""
    names = list(cases)
    predicted = [name for name in names if latest_prediction(project, name) is not None]
    return len(unseen(project, predicted)), len(names) - len(predicted)
