"""What was trained in a project before, for the screen."""

from __future__ import annotations

import time
from pathlib import Path

from sslseg.core.words import counted


def last_training(project: Path) -> str:
    """Return which training the newest model is of, in words; "" where there is none.

    Only what stands beside the weights is read.
    """
    from sslseg.storage.checkpoints import latest_facts  # here: the dock opens without it

    for run in sorted((project / "runs").glob("*"), reverse=True):
        facts = latest_facts(run)
        if facts is not None and not facts.get("baseline"):
            when = time.strftime("%d %b %H:%M", time.localtime(run.stat().st_mtime))
            return f"last training: {facts['method']}, {when}, {counted(facts['step'], 'step')}"
    return ""
