"""One line at the foot of the dock: device, worker, when the last stroke was saved."""

from __future__ import annotations

import time

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

from napari_sslseg.controller import Controller
from sslseg.core.events import Event, RunStarted, Task
from sslseg.runner import RunnerState, RunnerStatus

WORDS = {
    RunnerState.IDLE: "engine not started",
    RunnerState.STARTING: "engine starting",
    RunnerState.READY: "ready",
    RunnerState.RUNNING: "working",
    RunnerState.STOPPING: "stopping",
    RunnerState.FAILED: "engine ended; Train starts it again",
    RunnerState.CLOSED: "closed",
}


class StatusLine(QLabel):
    """Says that all is well, or what is not."""

    def __init__(self, controller: Controller, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("status")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._controller = controller
        self._task = Task.TRAINING
        self.setContentsMargins(8, 2, 8, 2)
        self.setToolTip("Where the model is computed, what the engine does, and your last save")
        self._timer = QTimer(self)
        self._timer.setInterval(1000)
        self._timer.timeout.connect(self._grow_older)
        self._timer.start()
        controller.status_changed.connect(self.refresh)
        controller.saved.connect(self.refresh)
        controller.project_changed.connect(self.refresh)
        controller.told.connect(self._follow)
        self.refresh()

    def refresh(self) -> None:
        """Write the line anew."""
        status = self._controller.status
        parts = [status.device, self._state(status), self._saved()]
        self.setText(" · ".join(part for part in parts if part))

    def _follow(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._task = event.task

    def _grow_older(self) -> None:
        if not self._controller.view.drawing:  # each new word has the whole window drawn anew
            self.refresh()

    def _saved(self) -> str:
        if self._controller.view.failing:
            return "<span style='color:#ff8f8f'>not saved!</span>"
        at = self._controller.saved_at
        return "" if at is None else f"saved {ago(time.time() - at)} ago"

    def _state(self, status: RunnerStatus) -> str:
        if status.state is not RunnerState.RUNNING:
            return WORDS[status.state]
        return self._task if status.run else status.detail.lower() or WORDS[status.state]


def ago(seconds: float) -> str:
    """Return how long ago in one unit, such as "3 s" or "5 min"."""
    for length, unit in ((3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(max(0, seconds))} s"
