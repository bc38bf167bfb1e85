"""What was trained in a project before, for the screen."""

from __future__ import annotations

import calendar
import time
from pathlib import Path
from typing import Any

from sslseg.core.words import counted

STAMP = len("20260131-120000")
"""Letters of a run's name that tell when it began, in UTC; no copy of the folder changes them."""


def last_training(project: Path) -> str:
    """Return which training the newest model is of, in words; "" where there is none.

    Only what stands beside the weights is read.
    """
    run, facts = _newest(project)
    if run is None:
        return ""
    told = (facts["method"], _when(run.name), counted(facts["step"], "step"))
    return "last training: " + ", ".join(word for word in told if word)


def last_plan(project: Path) -> tuple[str, ...]:
    """Return how the newest model was trained, and its last Dice on held-out slices, in words."""
    from sslseg.storage.runs import measured

    run, facts = _newest(project)
    if run is None:
        return ()
    dice = measured(run)
    return (*facts.get("plan", {}).get("words", ()), *((f"{dice.words}.",) if dice else ()))


def _newest(project: Path) -> tuple[Path | None, dict[str, Any]]:
    from sslseg.storage.checkpoints import latest_facts  # here: the dock opens without it
    from sslseg.storage.runs import serving

    found = ((run, latest_facts(run)) for run in serving(project))
    return next(((run, facts) for run, facts in found if facts is not None), (None, {}))


def _when(run: str) -> str:
    """Return when a run began, in local time; "" for a folder that somebody has renamed."""
    try:
        began = calendar.timegm(time.strptime(run[:STAMP], "%Y%m%d-%H%M%S"))
    except ValueError:
        return ""
    return time.strftime("%d %b %H:%M", time.localtime(began))
