"""What was trained in a project before, for the screen."""

from __future__ import annotations

import calendar
import time
from pathlib import Path

from sslseg.core.words import counted

STAMP = len("20260131-120000")
"""Letters of a run's name that tell when it began, in UTC; no copy of the folder changes them."""


def last_training(project: Path) -> str:
    """Return which training the newest model is of, in words; "" where there is none.

    Only what stands beside the weights is read.
    """
    from sslseg.storage.checkpoints import latest_facts  # here: the dock opens without it
    from sslseg.storage.runs import serving

    for run in serving(project):
        facts = latest_facts(run)
        if facts is not None:
            told = (facts["method"], _when(run.name), counted(facts["step"], "step"))
            return "last training: " + ", ".join(word for word in told if word)
    return ""


def _when(run: str) -> str:
    """Return when a run began, in local time; "" for a folder that somebody has renamed."""
    try:
        began = calendar.timegm(time.strptime(run[:STAMP], "%Y%m%d-%H%M%S"))
    except ValueError:
        return ""
    return time.strftime("%d %b %H:%M", time.localtime(began))
