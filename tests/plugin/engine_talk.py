"""What the fake engine says when a test wants it to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sslseg.core.events import Event, PredictionReady, SlicesPredicted
from sslseg.core.prediction import Glimpse
from sslseg.storage.glimpses import save_glimpse


def settle(qtbot: Any, dock: Any) -> None:
    """Wait until the engine has opened the project and has suggested slices."""
    qtbot.waitUntil(lambda: not dock.controller.awaits("open", "suggest"), timeout=5000)


def tell(dock: Any, runner: Any, monkeypatch: Any, *events: Event) -> None:
    """Let these events come in one poll, and from then on none by themselves."""
    batches = [list(events)]
    monkeypatch.setattr(runner, "poll", lambda: batches.pop() if batches else [])
    dock.controller._bridge.tick()
    assert not batches


def predict(qtbot: Any, dock: Any, runner: Any, case: str = "anna") -> PredictionReady:
    """Let the engine predict a ball in the case on the screen, and wait until it is shown."""
    settle(qtbot, dock)
    before = dock.controller.view.prediction
    event: PredictionReady = runner._predict(case)
    dock.controller._follow(event)
    qtbot.waitUntil(lambda: dock.controller.view.prediction is not before, timeout=5000)
    return event


def let_glimpse(dock: Any, path: Path, glimpse: Glimpse) -> None:
    """Let the engine predict slices, and wait until they have been read."""
    save_glimpse(path, glimpse)
    dock.controller._follow(SlicesPredicted(case=glimpse.case, file=str(path)))
    files = dock.controller.threads.files
    files._pool.submit(lambda: None).result(timeout=10)
    files.drain()
